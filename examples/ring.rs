//! A ring buffer between two programs: a lock and two conditions in shared memory, beside the data they guard.
//!
//! ```text
//! cargo run --release --example ring -- produce &
//! cargo run --release --example ring -- consume
//! ```
//!
//! Start them in any order. Kill either of them: the other notices, says so and ends; nothing stays in `/dev/shm`.

use std::error::Error;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use shmsync::{AcquireError, Condition, Lock, LockGuard, Shared};
use zerocopy::FromBytes;

const SLOTS: usize = 1024;
const WORDS: usize = 6;

/// What both programs map. Zero bytes are an empty ring: every primitive in it is fresh when it is zero, so neither
/// program has to be the first one.
///
/// All that changes is atomic, because safe Rust shares nothing else; `Relaxed` will do, for the lock orders it.
#[derive(FromBytes)]
#[repr(C)]
struct Ring {
    /// Each program takes the lock of its part and never releases it: it is a sign of life, which the death of the
    /// holder turns into a sign of death.
    producer: Lock,
    consumer: Lock,
    /// Guards everything below.
    lock: Lock,
    not_empty: Condition,
    not_full: Condition,
    /// How many messages were ever put in, and taken out. These are stored last, which completes a step: a program
    /// that dies in the middle of one has not taken it, and there is never anything to repair.
    head: AtomicU64,
    tail: AtomicU64,
    /// 1 when `head` is final.
    finished: AtomicU64,
    /// 1 when the name is gone.
    hidden: AtomicU64,
    slots: [Message; SLOTS],
}

#[derive(FromBytes)]
#[repr(C)]
struct Message {
    sequence: AtomicU64,
    words: [AtomicU64; WORDS],
    checksum: AtomicU64,
}

impl Message {
    fn write(&self, sequence: u64) {
        self.sequence.store(sequence, Relaxed);
        for (i, word) in (1..).zip(&self.words) {
            word.store(sequence.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(i), Relaxed);
        }
        self.checksum.store(self.sum(), Relaxed);
    }

    fn check(&self, sequence: u64) -> Result<(), String> {
        let found = self.sequence.load(Relaxed);
        if found != sequence {
            return Err(format!("message {sequence} was expected, {found} came"));
        }
        if self.checksum.load(Relaxed) != self.sum() {
            return Err(format!("message {sequence} is damaged"));
        }
        Ok(())
    }

    fn sum(&self) -> u64 {
        let first = self.sequence.load(Relaxed) ^ 0xcbf2_9ce4_8422_2325;
        self.words.iter().fold(first, |sum, word| (sum ^ word.load(Relaxed)).wrapping_mul(0x0100_0000_01b3))
    }
}

impl Ring {
    fn slot(&self, sequence: u64) -> &Message {
        &self.slots[sequence as usize % SLOTS]
    }

    fn is_empty(&self) -> bool {
        self.head.load(Relaxed) == self.tail.load(Relaxed)
    }

    fn is_full(&self) -> bool {
        self.head.load(Relaxed).wrapping_sub(self.tail.load(Relaxed)) >= SLOTS as u64
    }

    fn is_finished(&self) -> bool {
        self.finished.load(Relaxed) == 1
    }

    /// Acquires the lock, from a dead holder if need be.
    fn enter(&self) -> Result<LockGuard<'_>, AcquireError> {
        loop {
            match self.lock.lock() {
                Err(AcquireError::OwnerDied(_)) => {
                    // Here one repairs what the dead may have left half done. A ring has nothing of the kind.
                    if self.lock.recover().is_ok() {
                        let _ = self.lock.release();
                    }
                }
                entered => return entered,
            }
        }
    }

    /// Waits on `condition` until `ready`, as long as the partner lives and is not late.
    fn wait<'a>(
        &'a self,
        mut guard: LockGuard<'a>,
        condition: &Condition,
        partner: &Partner<'_>,
        ready: impl Fn() -> bool,
    ) -> Result<LockGuard<'a>, Box<dyn Error>> {
        let since = Instant::now();
        let mut trouble = None;
        loop {
            if ready() {
                return Ok(guard);
            }
            // Seen before `ready` was asked for the last time, so it is not that the partner did its part and left.
            if let Some(trouble) = trouble {
                return Err(trouble);
            }
            match condition.wait_timeout(&mut guard, Duration::from_millis(100)) {
                Ok(true) => {}
                Ok(false) => trouble = partner.trouble(since).map(Into::into),
                // The partner died with the lock in hand, and the guard came back without it.
                Err(AcquireError::OwnerDied(_)) => guard = self.enter()?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Removes the name, once. From then on no other program finds this ring, and no kill leaves it behind.
    fn hide(&self, name: &str) -> Result<(), Box<dyn Error>> {
        let _guard = self.enter()?;
        if self.hidden.load(Relaxed) == 0 {
            shmsync::unlink(name)?;
            self.hidden.store(1, Relaxed);
        }
        Ok(())
    }
}

/// The other program, as this one sees it.
struct Partner<'a> {
    part: &'a str,
    sign: &'a Lock,
    timeout: Duration,
}

impl Partner<'_> {
    fn trouble(&self, since: Instant) -> Option<String> {
        let Self { part, sign, timeout } = self;
        match sign.holder() {
            Some(owner) if !owner.is_alive() => Some(format!("the {part}r ({owner}) died")),
            None if since.elapsed() > *timeout => Some(format!("no {part}r came within {timeout:?}")),
            Some(owner) if since.elapsed() > *timeout => {
                Some(format!("the {part}r ({owner}) did nothing for {timeout:?}"))
            }
            _ => None,
        }
    }
}

fn produce(ring: &Ring, partner: &Partner<'_>, count: u64) -> Result<u64, Box<dyn Error>> {
    for sequence in 0..count {
        let guard = ring.wait(ring.enter()?, &ring.not_full, partner, || !ring.is_full())?;
        ring.slot(sequence).write(sequence);
        ring.head.store(sequence + 1, Relaxed);
        ring.not_empty.notify_one(); // With the lock in hand: the consumer is woken when the guard is dropped.
        drop(guard);
    }
    let guard = ring.enter()?;
    ring.finished.store(1, Relaxed);
    ring.not_empty.notify_one();
    drop(ring.wait(guard, &ring.not_full, partner, || ring.is_empty())?);
    Ok(count)
}

fn consume(ring: &Ring, partner: &Partner<'_>) -> Result<u64, Box<dyn Error>> {
    for sequence in 0.. {
        let _guard = ring.wait(ring.enter()?, &ring.not_empty, partner, || !ring.is_empty() || ring.is_finished())?;
        if ring.is_empty() {
            return Ok(sequence);
        }
        ring.slot(sequence).check(sequence)?;
        ring.tail.store(sequence + 1, Relaxed);
        ring.not_full.notify_one();
    }
    unreachable!("no program lives for 2⁶⁴ messages")
}

/// Takes this program's part in the ring of that name, waits for the partner, and does the part.
fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let Arguments { part, name, count, timeout } = arguments;
    let ring = Shared::<Ring>::open_or_create_zeroed(name)?;
    let (mine, here, theirs, there, other) = match part {
        Part::Produce => (&ring.producer, &ring.not_full, &ring.consumer, &ring.not_empty, "consume"),
        Part::Consume => (&ring.consumer, &ring.not_empty, &ring.producer, &ring.not_full, "produce"),
    };

    // A ring that still has its name is unused. Somebody who waited alone may have died there: that place is free.
    if theirs.recover().is_ok() {
        let _ = theirs.release();
    }
    match mine.acquire_for(Duration::from_millis(100)) {
        Err(AcquireError::OwnerDied(_)) => mine.recover()?,
        taken => taken.map_err(|_| format!("{name} is in use by another program that does the same"))?,
    }

    // Both are here: the name has served its purpose. Or nobody came, then it has too.
    let partner = Partner { part: other, sign: theirs, timeout: *timeout };
    let guard = ring.enter()?;
    there.notify_one();
    let met = ring.wait(guard, here, &partner, || theirs.is_locked()).map(drop);
    ring.hide(name)?;
    met?;

    let start = Instant::now();
    let messages = match part {
        Part::Produce => produce(&ring, &partner, count.unwrap_or(1_000_000))?,
        Part::Consume => consume(&ring, &partner)?,
    };
    let seconds = start.elapsed().as_secs_f64();
    println!("{part:?}d {messages} messages in {seconds:.3} s: {:.0} per second", messages as f64 / seconds);
    match count {
        Some(count) if *count != messages => Err(format!("{count} messages were expected").into()),
        _ => Ok(()),
    }
}

#[derive(Debug)]
enum Part {
    Produce,
    Consume,
}

struct Arguments {
    part: Part,
    name: String,
    count: Option<u64>,
    timeout: Duration,
}

const USAGE: &str = "usage: ring produce|consume [--name /NAME] [--count MESSAGES] [--timeout SECONDS]

Sends numbered messages through a ring buffer in shared memory. Start one that produces
and one that consumes, in any order, with the same name.

  --name     the name of the region, /shmsync-ring unless given
  --count    produce: how many messages to send, 1000000 unless given
             consume: how many messages there must be
  --timeout  how long to wait for the other program, 30 seconds unless given";

fn parse(mut words: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let part = match words.next().as_deref() {
        Some("produce") => Part::Produce,
        Some("consume") => Part::Consume,
        Some(word) => return Err(format!("neither produce nor consume: {word}")),
        None => return Err("produce or consume?".into()),
    };
    let mut arguments = Arguments { part, name: "/shmsync-ring".into(), count: None, timeout: Duration::from_secs(30) };
    while let Some(option) = words.next() {
        let value = words.next().ok_or_else(|| format!("{option} needs a value"))?;
        let number = || value.parse().map_err(|_| format!("{option} needs a number, not {value}"));
        match &*option {
            "--name" => arguments.name = value,
            "--count" => arguments.count = Some(number()?),
            "--timeout" => arguments.timeout = Duration::from_secs(number()?),
            _ => return Err(format!("there is no option {option}")),
        }
    }
    Ok(arguments)
}

fn main() -> ExitCode {
    let arguments = match parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("ring: {error}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ring: {error}");
            ExitCode::FAILURE
        }
    }
}
