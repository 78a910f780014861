//! Programs of 32 and of 64 bits in one region: each sees what the other does, wakes it, and learns of its death. Where they
//! could not share, they are told.
//!
//! The other program is this same test, compiled for the other width: `ci/targets.sh` makes both, and says in
//! `SHMSYNC_OTHER_WIDTH` where that is. Without it, all that needs it is skipped.
#![cfg(all(target_os = "linux", not(loom)))]

mod shm_support;

use std::io::Read;
use std::os::unix::fs::FileExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use shm_support::{LIMIT, Name};
use shmsync::wait::{KernelRobust, PosixSem};
use shmsync::{
    AcquireError, Barrier, BoundedSemaphore, Condition, Error, ErrorKind, Event, Lock, Mutex, NamedSemaphore, Once,
    OnceCell, PermitPool, PoisonCause, RLock, Region, RwLock, Semaphore, Shared,
};
use shmsync_harness::process;
use zerocopy::FromBytes;

const OTHER: &str = "SHMSYNC_OTHER_WIDTH";
const NAME: &str = "SHMSYNC_TEST_REGION";

/// A wake-up that is lost costs a slice, up to 100 ms: so many of them would take longer than the watchdog allows.
const ROUNDS: u64 = 2_000;

/// Every primitive. No number of 64 bits but an atomic one begins a field: on 32-bit x86 the others are aligned to 4.
#[derive(FromBytes)]
#[repr(C)]
struct Desk {
    mark: AtomicU64,
    lock: Lock,
    rlock: RLock,
    mutex: Mutex<u64>,
    robust: Lock<KernelRobust>,
    robust_mutex: Mutex<u64, KernelRobust>,
    turn: Mutex<u64>,
    condition: Condition,
    calls: Semaphore,
    answers: BoundedSemaphore,
    event: Event,
    seen: Event,
    barrier: Barrier,
    table: RwLock<[u64; 2]>,
    once: Once,
    cell: OnceCell<u64>,
    pool: PermitPool<2>,
    ready: AtomicU64,
}

const MARK: u64 = 0x0123_4567_89ab_cdef;

fn desk() -> Desk {
    Desk {
        mark: AtomicU64::new(MARK),
        lock: Lock::new(),
        rlock: RLock::new(),
        mutex: Mutex::new(0),
        robust: Lock::new_in(),
        robust_mutex: Mutex::new_in(0),
        turn: Mutex::new(0),
        condition: Condition::new(),
        calls: Semaphore::new(0),
        answers: BoundedSemaphore::new(1),
        event: Event::new(),
        seen: Event::new(),
        barrier: Barrier::new(2),
        table: RwLock::new([0, MARK]),
        once: Once::new(),
        cell: OnceCell::new(),
        pool: PermitPool::new(),
        ready: AtomicU64::new(0),
    }
}

fn shared(name: &Name) -> Shared<Desk> {
    Shared::options().any_pointer_width().create(name, desk()).unwrap()
}

/// The other program, at one part. Killed when the test is over.
struct Other(Child);

impl Other {
    fn start(part: &str, name: &str) -> Option<Self> {
        let Some(program) = std::env::var_os(OTHER) else {
            eprintln!("skipped: {OTHER} does not say where this test is, compiled for the other width");
            return None;
        };
        let mut command = Command::new(program);
        command.args(["--exact", part, "--ignored", "--nocapture"]).env(NAME, name);
        Some(Self(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()))
    }

    fn ends_well(mut self) {
        let status = self.0.wait().unwrap();
        let mut text = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        assert!(status.success(), "the other program: {status}: {text}");
    }

    fn is_running(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// In the other program: the name that it was given. `--ignored` alone runs the parts as tests, which then do nothing.
fn given() -> Option<String> {
    std::env::var(NAME).ok()
}

// ---- They work together -------------------------------------------------------------------------------------------

/// What both do with all primitives, each as one of the two.
fn work(desk: &Desk, me: u64) {
    assert_eq!((desk.mark.load(SeqCst), desk.table.read().unwrap()[1]), (MARK, MARK), "the fields are elsewhere");
    let meet = || desk.barrier.wait_timeout(LIMIT).map(|_| ()).unwrap();
    meet();
    for _ in 0..ROUNDS * 10 {
        *desk.mutex.lock().unwrap() += 1;
        let _robust = desk.robust.lock().unwrap();
        let mut guarded = desk.robust_mutex.try_lock().expect("guarded by the lock");
        *guarded += 1;
    }
    for _ in 0..ROUNDS {
        let _outer = desk.rlock.lock().unwrap();
        let _inner = desk.rlock.lock().unwrap();
        let _lock = desk.lock.lock().unwrap();
        desk.table.write().unwrap()[0] += 1;
        let _permit = desk.pool.acquire_for(LIMIT).unwrap();
    }
    for _ in 0..ROUNDS {
        meet();
    }
    for _ in 0..ROUNDS {
        if me == 0 {
            desk.calls.release().unwrap();
            desk.answers.acquire_for(LIMIT).unwrap();
        } else {
            desk.calls.acquire_for(LIMIT).unwrap();
            desk.answers.release().unwrap();
        }
    }
    for round in 0..ROUNDS {
        let mut turn = desk.turn.lock().unwrap();
        desk.condition.wait_while(&mut turn, |turn| *turn != round * 2 + me).unwrap();
        *turn += 1;
        desk.condition.notify_all();
    }
    for _ in 0..ROUNDS {
        let (mine, yours) = if me == 0 { (&desk.event, &desk.seen) } else { (&desk.seen, &desk.event) };
        mine.set();
        assert!(yours.wait_timeout(LIMIT));
        yours.clear();
        meet();
    }
    desk.once.call_once(|| assert_eq!(desk.ready.fetch_add(1, SeqCst), 0));
    let first = *desk.cell.get_or_init(|| MARK + me);
    assert!(first == MARK || first == MARK + 1);
}

#[test]
fn both_use_every_primitive() {
    let _watchdog = process::watchdog(LIMIT, "two widths at work");
    let name = Name::new("widths");
    let desk = shared(&name);
    // The one without permits to begin with.
    desk.answers.acquire().unwrap();
    let Some(other) = Other::start("part_works", &name) else { return };
    work(&desk, 0);
    other.ends_well();
    assert_eq!((*desk.mutex.lock().unwrap(), *desk.robust_mutex.lock().unwrap()), (ROUNDS * 20, ROUNDS * 20));
    assert_eq!((desk.table.read().unwrap()[0], desk.ready.load(SeqCst)), (ROUNDS * 2, 1));
    assert_eq!((desk.rlock.depth(), desk.pool.available(), desk.calls.value()), (0, 2, 0));
}

#[test]
#[ignore = "the part of the other program"]
fn part_works() {
    let Some(name) = given() else { return };
    work(&Shared::<Desk>::open(&name).unwrap(), 1);
}

// ---- One is killed ------------------------------------------------------------------------------------------------

#[test]
fn a_death_is_seen_across() {
    let _watchdog = process::watchdog(LIMIT, "a death of the other width");
    let name = Name::new("widths-death");
    let desk = shared(&name);
    let Some(mut other) = Other::start("part_holds", &name) else { return };
    let holder = other.0.id();
    while desk.ready.load(SeqCst) == 0 {
        assert!(other.is_running(), "it could not take them");
        thread::sleep(Duration::from_millis(1));
    }
    let holds = desk.lock.holder().unwrap();
    assert!(holds.is_alive() && holds.tid() == desk.ready.load(SeqCst) as u32 && !desk.rlock.is_mine());
    assert_eq!(desk.lock.acquire_for(Duration::from_millis(300)), Err(AcquireError::TimedOut), "no living one is dead");
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(50));
            // SAFETY: takes numbers; a child that nobody has waited for yet.
            assert_eq!(unsafe { libc::kill(holder as i32, libc::SIGKILL) }, 0);
        });
        let died = |result: Result<(), AcquireError>| {
            assert!(matches!(&result, Err(AcquireError::OwnerDied(owner)) if owner.tid() == holds.tid()), "{result:?}");
        };
        died(desk.lock.acquire());
        died(desk.rlock.acquire());
        died(desk.robust.acquire());
    });
    desk.lock.recover().unwrap();
    desk.rlock.recover().unwrap();
    desk.robust.recover().unwrap();
    let killed = |cause: PoisonCause| {
        assert!(matches!(cause, PoisonCause::Died(owner) if owner.tid() == holds.tid()), "{cause:?}");
    };
    killed(desk.mutex.lock().map(drop).unwrap_err().cause());
    killed(desk.robust_mutex.lock().map(drop).unwrap_err().cause());
    killed(desk.table.write().map(drop).unwrap_err().cause());
    let permit = desk.pool.recover().unwrap();
    assert_eq!(permit.reclaimed().map(|owner| owner.tid()), Some(holds.tid()), "its permit has come back");
}

#[test]
#[ignore = "the part of the other program"]
fn part_holds() {
    let Some(name) = given() else { return };
    let desk = Shared::<Desk>::open(&name).unwrap();
    desk.lock.acquire().unwrap();
    desk.rlock.acquire().unwrap();
    desk.robust.acquire().unwrap();
    let _held = (desk.mutex.lock(), desk.robust_mutex.lock(), desk.table.write(), desk.pool.acquire());
    let me = desk.lock.holder().unwrap().tid();
    desk.ready.store(me.into(), SeqCst);
    thread::sleep(LIMIT * 2);
}

// ---- Regions of named objects, and named semaphores ---------------------------------------------------------------

#[test]
fn objects_are_found_by_name_across() {
    let _watchdog = process::watchdog(LIMIT, "objects of the other width");
    let name = Name::new("widths-region");
    let region = Region::options().any_pointer_width().create(&name, 1 << 16).unwrap();
    region.list("list", ["one", "two"]).unwrap();
    let Some(mut other) = Other::start("part_names", &name) else { return };
    while region.get::<Lock>("last").is_err() {
        assert!(other.is_running(), "it could not make them");
        thread::sleep(Duration::from_millis(1));
    }
    let attached = region.attached().unwrap();
    assert!(attached.iter().any(|attached| attached.pid() == Some(other.0.id())), "{attached:?}");
    assert_eq!(region.get_array::<AtomicU64>("numbers").unwrap()[511].load(SeqCst), MARK);
    assert_eq!(region.get_list("list").unwrap().get(1).unwrap(), "2".into());
    let holds = region.get::<Lock>("lock").unwrap().holder().unwrap();
    other.0.kill().unwrap();
    let died = region.get::<Lock>("lock").unwrap().acquire();
    assert!(matches!(&died, Err(AcquireError::OwnerDied(owner)) if owner.tid() == holds.tid()), "{died:?}");
    other.0.wait().unwrap();
    region.remove("numbers").unwrap();
}

#[test]
#[ignore = "the part of the other program"]
fn part_names() {
    let Some(name) = given() else { return };
    let region = Region::open(&name).unwrap();
    region.array::<AtomicU64>("numbers", 512).unwrap()[511].store(MARK, SeqCst);
    region.get_list("list").unwrap().set(1, "2").unwrap();
    region.get_or_init::<Lock>("lock").unwrap().acquire().unwrap();
    region.get_or_init::<Lock>("last").unwrap();
    thread::sleep(LIMIT * 2);
}

#[test]
fn a_named_semaphore_is_for_both() {
    let _watchdog = process::watchdog(LIMIT, "a semaphore of the other width");
    let sem = NamedSemaphore::create_random(0).unwrap();
    let Some(other) = Other::start("part_releases", sem.name()) else { return drop(sem.unlink()) };
    let came = sem.acquire_for(LIMIT);
    sem.unlink().unwrap();
    came.unwrap();
    other.ends_well();
}

#[test]
#[ignore = "the part of the other program"]
fn part_releases() {
    let Some(name) = given() else { return };
    NamedSemaphore::open(&name).unwrap().release().unwrap();
}

// ---- They are told where they cannot share ------------------------------------------------------------------------

#[track_caller]
fn refused<T>(result: Result<T, Error>, for_what: &str) {
    let error = result.map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LayoutMismatch);
    assert!(error.to_string().contains(for_what), "{error} says nothing of the {for_what}");
}

#[test]
fn a_region_is_for_its_own_width_unless_its_maker_says_otherwise() {
    const POINTER_WIDTH: u64 = 20; // where it stands in the header
    let name = Name::new("widths-header");
    let write_width = |width: u32| {
        let file = std::fs::File::options().write(true).open(name.path()).unwrap();
        file.write_all_at(&width.to_ne_bytes(), POINTER_WIDTH).unwrap();
    };
    Shared::create(&name, AtomicU64::new(MARK)).unwrap();
    write_width(96 - usize::BITS);
    refused(Shared::<AtomicU64>::open(&name), "pointer width");
    write_width(0x0032_0064);
    assert_eq!(Shared::<AtomicU64>::open(&name).unwrap().load(SeqCst), MARK);
    shmsync::unlink(&name).unwrap();
    Shared::options().any_pointer_width().create(&name, AtomicU64::new(MARK)).unwrap();
    assert_eq!(Shared::<AtomicU64>::open(&name).unwrap().load(SeqCst), MARK);
    write_width(1);
    refused(Shared::<AtomicU64>::open(&name), "pointer width");
}

#[test]
fn the_other_width_is_refused_in_plain_words() {
    let _watchdog = process::watchdog(LIMIT, "refusals of the other width");
    let name = Name::new("widths-refusals");
    Shared::create(&name, AtomicU64::new(MARK)).unwrap();
    let Some(other) = Other::start("part_is_refused", &name) else { return };
    other.ends_well();
    shmsync::unlink(&name).unwrap();
    Region::create(&name, 4096).unwrap();
    Other::start("part_is_refused_a_region", &name).unwrap().ends_well();
    shmsync::unlink(&name).unwrap();
    // A `sem_t` has another size there.
    Shared::options().any_pointer_width().create(&name, Lock::<PosixSem>::new_in()).unwrap();
    Other::start("part_is_refused_a_sem", &name).unwrap().ends_well();
}

#[test]
#[ignore = "the part of the other program"]
fn part_is_refused() {
    let Some(name) = given() else { return };
    refused(
        Shared::<AtomicU64>::open(&name),
        &format!("pointer width is {}, expected {}", 96 - usize::BITS, usize::BITS),
    );
}

#[test]
#[ignore = "the part of the other program"]
fn part_is_refused_a_region() {
    let Some(name) = given() else { return };
    refused(Region::open(&name), "pointer width");
}

#[test]
#[ignore = "the part of the other program"]
fn part_is_refused_a_sem() {
    let Some(name) = given() else { return };
    refused(Shared::<Lock<PosixSem>>::open(&name), "payload size");
}
