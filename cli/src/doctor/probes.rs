//! The trials. Each does what the library does, or asks the kernel for the call that it is about, and says what follows.

use crate::output::bytes;
use crate::place::DIRECTORY;
use procfs::process::Process;
use rustix::fs::{FsWord, MemfdFlags, Mode, OFlags, SealFlags, fcntl_add_seals, memfd_create, open, statfs};
use rustix::io::Errno;
use rustix::process::{PidfdFlags, getpid, pidfd_open};
use rustix::thread::{MembarrierCommand, futex, membarrier_query};
use shmsync::wait::{KernelRobust, Wait};
use shmsync::{AcquireError, Lock, NamedSemaphore, RegionInfo, Semaphore, Shared};
use shmsync_harness::machine::Machine;
use shmsync_harness::process;
use std::os::unix::fs::MetadataExt;
use std::sync::Barrier;
use std::time::{Duration, Instant};
use std::{fs, thread};
use zerocopy::FromBytes;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing that could work or not.
    Told,
    Works,
    /// What is promised holds but for what is told.
    Limited,
    /// Something essential does not work.
    Fails,
}

#[derive(Debug)]
pub(super) struct Finding {
    pub(super) what: &'static str,
    pub(super) verdict: Verdict,
    pub(super) found: String,
    /// What follows from it for those who use the library.
    pub(super) means: Option<String>,
}

/// Far more than any of these takes.
const LIMIT: Duration = Duration::from_secs(5);

/// Ten times as long as a waiter needs at most to learn what can be learned.
const ENOUGH: Duration = Duration::from_secs(1);

pub(super) fn all() -> Vec<Finding> {
    let told = |what, found| Finding { what, verdict: Verdict::Told, found, means: None };
    vec![
        told("system", Machine::look().to_string()),
        waking(),
        death::<shmsync::wait::Platform>(
            "deaths",
            "locks of holders that are killed stay held, as long as nothing tells the dead from the living",
        ),
        death::<KernelRobust>(
            "robust list",
            "locks on KernelRobust learn of a death as late as others, or not at all: use the default",
        ),
        deadlock(),
        shared_memory(),
        unnamed_files(),
        locks(),
        sealed(),
        proc(),
        pid_namespace(),
        boot_id(),
        pidfd(),
        told(
            "futex_waitv",
            if waitv() { "the kernel has it" } else { "not to be had; nothing here needs it" }.to_owned(),
        ),
        told(
            "membarrier",
            if membarrier() { "the kernel has it" } else { "not to be had; nothing here needs it" }.to_owned(),
        ),
    ]
}

fn works(what: &'static str, found: impl Into<String>) -> Finding {
    Finding { what, verdict: Verdict::Works, found: found.into(), means: None }
}

fn limited(what: &'static str, found: impl Into<String>, means: &str) -> Finding {
    Finding { what, verdict: Verdict::Limited, found: found.into(), means: Some(means.to_owned()) }
}

fn fails(what: &'static str, found: impl Into<String>, means: &str) -> Finding {
    Finding { verdict: Verdict::Fails, ..limited(what, found, means) }
}

/// A process that sleeps is woken, and wakes in its turn.
fn waking() -> Finding {
    let what = "shared futex";
    let means = "waiting between processes does not work: a sandbox that forbids futexes, or one without shared memory";
    let pair = match Shared::anonymous([const { Semaphore::new(0) }; 2]) {
        Ok(pair) => pair,
        Err(error) => return fails(what, error.to_string(), means),
    };
    let mut other = process::fork(|| {
        while pair[0].acquire_for(LIMIT).is_ok() {
            let _ = pair[1].release();
        }
    });
    let mut best = None;
    for _ in 0..5 {
        thread::sleep(Duration::from_millis(20)); // Asleep by now, most likely.
        let began = Instant::now();
        let _ = pair[0].release();
        if pair[1].acquire_for(LIMIT).is_err() {
            other.kill();
            return fails(what, format!("a sleeping process was not woken in {LIMIT:?}"), means);
        }
        best = Some(best.unwrap_or(Duration::MAX).min(began.elapsed()));
    }
    other.kill();
    works(what, format!("a sleeping process woken, and back, in {:.1?}", best.unwrap_or_default()))
}

/// How long it takes a waiter to learn that the holder was killed.
fn death<W: Wait + Sync + FromBytes>(what: &'static str, means: &str) -> Finding {
    let lock = match Shared::anonymous((Lock::<W>::new_in(), Semaphore::new(0)).into()) {
        Ok(shared) => shared,
        Err(error) => return fails(what, error.to_string(), means),
    };
    let _: &Held<W> = &lock;
    let mut holder = process::fork(|| {
        let _ = lock.lock.acquire();
        let _ = lock.held.release();
        thread::sleep(2 * LIMIT);
    });
    if lock.held.acquire_for(LIMIT).is_err() {
        return fails(what, "no process could be started that holds a lock", means);
    }
    let learn = |end: &mut dyn FnMut()| {
        thread::scope(|scope| {
            let waiter = scope.spawn(|| (lock.lock.acquire_for(ENOUGH), Instant::now()));
            thread::sleep(Duration::from_millis(20));
            let ended = Instant::now();
            end();
            let (told, when) = waiter.join().unwrap_or((Err(AcquireError::TimedOut), ended));
            matches!(told, Err(AcquireError::OwnerDied(_))).then(|| when - ended)
        })
    };
    let as_zombie = learn(&mut || holder.kill());
    if let Some(after) = as_zombie {
        return works(what, format!("a waiter learned of the holder's death in {after:.1?}"));
    }
    match learn(&mut || _ = holder.wait_exit(LIMIT)) {
        Some(_) => {
            limited(what, "a waiter learned of the holder's death only when its parent had waited for it", means)
        }
        None => limited(what, "a waiter did not learn of the holder's death", means),
    }
}

#[derive(FromBytes)]
#[repr(C)]
struct Held<W: Wait> {
    held: Semaphore,
    lock: Lock<W>,
}

impl<W: Wait> From<(Lock<W>, Semaphore)> for Held<W> {
    fn from((lock, held): (Lock<W>, Semaphore)) -> Self {
        Self { held, lock }
    }
}

/// Two threads that each want what the other holds.
fn deadlock() -> Finding {
    let what = "deadlocks";
    let means = "two processes that wait for each other's locks wait for ever: process_vm_readv is not allowed here";
    let locks = match Shared::anonymous([const { Lock::new() }; 2]) {
        Ok(locks) => locks,
        Err(error) => return fails(what, error.to_string(), means),
    };
    let (both, began) = (Barrier::new(2), Instant::now());
    let cross = |mine: usize| {
        let _ = locks[mine].acquire();
        both.wait();
        let told = locks[1 - mine].acquire_for(Duration::from_secs(1));
        let _ = locks[mine].release();
        told == Err(AcquireError::WouldDeadlock)
    };
    let found = thread::scope(|scope| {
        let other = scope.spawn(|| cross(1));
        cross(0) | other.join().unwrap_or(false)
    });
    if found {
        works(what, format!("one of two that waited for each other was told in {:.1?}", began.elapsed()))
    } else {
        limited(what, "two that waited for each other were not told", means)
    }
}

fn shared_memory() -> Finding {
    const TMPFS: FsWord = 0x0102_1994;
    let what = "/dev/shm";
    let missing = "regions cannot have names; anonymous ones and those in files are not concerned";
    let found = match statfs(DIRECTORY) {
        Err(error) => return fails(what, format!("there is none: {error}"), missing),
        Ok(found) => found,
    };
    let block = u64::try_from(found.f_bsize).unwrap_or(0);
    let (size, free) = (found.f_blocks.saturating_mul(block), found.f_bavail.saturating_mul(block));
    let text = format!("{}, of which {} are free", bytes(size), bytes(free));
    match NamedSemaphore::create_random(0).and_then(|sem| sem.unlink()) {
        Err(error) => fails(what, format!("{text}; {error}"), missing),
        Ok(()) if found.f_type != TMPFS => {
            limited(what, format!("{text}, and no tmpfs"), "regions may be written to a disk, which takes its time")
        }
        Ok(()) if size > 0 && size <= 64 << 20 => limited(
            what,
            text,
            "64 MiB are what containers get unless asked (--shm-size); a region that does not fit is refused with NoSpace",
        ),
        Ok(()) => works(what, text),
    }
}

fn unnamed_files() -> Finding {
    let what = "O_TMPFILE";
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    match open(DIRECTORY, flags, Mode::RUSR | Mode::WUSR) {
        Ok(_) => works(what, "regions are made without a name and published whole"),
        Err(error) => limited(
            what,
            format!("not in {DIRECTORY}: {error}"),
            "regions are published whole all the same, but a killed creator leaves a file .shmsync.PID.RANDOM behind",
        ),
    }
}

/// Whether the kernel's locks on files tell who has one mapped.
fn locks() -> Finding {
    let what = "file locks";
    let tried = NamedSemaphore::create_random(0).and_then(|sem| {
        let name = sem.name().to_owned();
        let used = RegionInfo::of(&name).map(|info| info.is_mapped());
        sem.close();
        let unused = RegionInfo::of(&name).map(|info| info.is_mapped());
        shmsync::unlink(&name)?;
        Ok((used?, unused?))
    });
    let means = "nobody can tell that a region is unused: `shmsync gc` removes none";
    match tried {
        Ok((Some(true), Some(false))) => works(what, "the kernel tells whether any process has a region mapped"),
        Ok(wrong) => limited(what, format!("used and unused regions look alike: {wrong:?}"), means),
        Err(error) => limited(what, error.to_string(), means),
    }
}

fn sealed() -> Finding {
    let what = "memfd seals";
    let tried = memfd_create("shmsync-doctor", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)
        .and_then(|file| fcntl_add_seals(file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL));
    match tried {
        Ok(()) => works(what, "anonymous regions keep their size, whoever has them"),
        Err(error) => {
            fails(what, format!("not to be had: {error}"), "there are no anonymous regions, nor handles to them")
        }
    }
}

fn proc() -> Finding {
    let what = "/proc";
    let found = match Process::myself().and_then(|me| me.status()) {
        Err(error) => {
            let means = "a holder is found dead only when its thread id does not exist any more, not if that is reused";
            return limited(what, format!("not readable: {error}"), means);
        }
        Ok(found) => found,
    };
    if found.pid != getpid().as_raw_nonzero().get() || found.nspid.is_some_and(|ids| ids.len() > 1) {
        let means = "a holder is found dead only when its thread id does not exist any more, not if that is reused";
        return limited(what, "it is that of another PID namespace", means);
    }
    // Process 1 belongs to root, and is there.
    if fs::read("/proc/1/stat").is_err() {
        let means = "holders of other users are found dead only when their thread ids do not exist any more; `shmsync ls` does not \
                     see their processes";
        return limited(what, "other users' processes are hidden (hidepid)", means);
    }
    works(what, "this PID namespace's own, with all processes")
}

/// The number that the kernel gives to the first of them.
const INITIAL_PID_NAMESPACE: u64 = 0xEFFF_FFFC;

fn pid_namespace() -> Finding {
    let what = "PID namespace";
    match fs::metadata("/proc/self/ns/pid").map(|about| about.ino()) {
        Err(error) => limited(what, format!("not known: {error}"), "a holder is found dead only if it does not exist"),
        Ok(INITIAL_PID_NAMESPACE) => works(what, "the machine's own"),
        Ok(inode) => limited(
            what,
            format!("{inode}, a container's"),
            "a death is seen only from within the namespace of the dead: share it (--pid) among those who share a region",
        ),
    }
}

fn boot_id() -> Finding {
    const PROCFS: FsWord = 0x9fa0;
    let (what, path) = ("boot id", "/proc/sys/kernel/random/boot_id");
    let means = "in a region that is a file, holders of before a reboot count as those of now";
    match (fs::read_to_string(path), statfs(path)) {
        (Ok(id), Ok(found)) if found.f_type == PROCFS => works(what, id.trim()),
        (Ok(_), _) => limited(what, "not the kernel's own", means),
        (Err(error), _) => limited(what, format!("not readable: {error}"), means),
    }
}

fn pidfd() -> Finding {
    let what = "pidfd";
    match pidfd_open(getpid(), PidfdFlags::empty()) {
        Ok(_) => works(what, "the kernel has it"),
        Err(error) => {
            limited(what, format!("not to be had: {error}"), "of many holders those that are zombies are found later")
        }
    }
}

fn waitv() -> bool {
    // No list at all is an error, but of a call that exists.
    let waited = futex::waitv(&[], futex::WaitvFlags::empty(), None, futex::ClockId::Monotonic);
    waited.map_or_else(|error| error == Errno::INVAL, |_| true)
}

fn membarrier() -> bool {
    membarrier_query().contains_command(MembarrierCommand::GlobalExpedited)
}
