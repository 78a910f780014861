//! Mutex<T>: std's idioms unchanged, and a holder that dies poisons as one that panics does.

mod support;

use std::panic::{self, AssertUnwindSafe};
use std::thread;
use std::time::{Duration, Instant};

use shmsync::wait::Wait;
use shmsync::{Mutex, PoisonCause, PoisonError, TryLockError};
use support::*;

every_backend!(
    guards_give_the_data,
    held_elsewhere,
    trying_keeps_time,
    a_blocked_one_gets_it,
    relocking_is_an_error_and_not_a_hang,
    a_panic_poisons,
    a_panic_in_a_child_poisons,
    a_panic_that_is_older_than_the_guard_does_not_poison,
    a_killed_holder_poisons,
    everyone_blocked_gets_the_poisoned_data_in_turn,
    every_form_gives_the_poisoned_guard,
    poison_stays_until_it_is_cleared,
    debug_does_not_block,
    two_processes_one_at_a_time,
    eight_processes_one_at_a_time,
    kills_leave_the_others_going,
);

fn shared<T: Send, W: Wait>(data: T) -> Shm<Mutex<T, W>> {
    Shm::new(Mutex::new_in(data))
}

/// Locks in a child that is then killed, in the middle of `change`.
fn die_holding<T: Send, W: Wait>(mutex: &Mutex<T, W>, change: impl FnOnce(&mut T)) -> Child {
    die_after(|| {
        let mut guard = mutex.lock().unwrap();
        change(&mut guard);
        std::mem::forget(guard);
    })
}

/// Keeps it locked in a child until the value is dropped.
fn hold<T: Send, W: Wait>(mutex: &Mutex<T, W>) -> Child {
    let held = Shm::new(Tally::new());
    let child = fork(|| {
        let _guard = mutex.lock().unwrap();
        held.up();
        until_killed();
    });
    held.reaches(1);
    child
}

/// Panics with the lock held, without a word on the terminal.
fn panic_holding<T: Send, W: Wait>(mutex: &Mutex<T, W>, change: impl FnOnce(&mut T)) {
    let unwound = panic::catch_unwind(AssertUnwindSafe(|| {
        let mut guard = mutex.lock().unwrap();
        change(&mut guard);
        panic::resume_unwind(Box::new(()));
    }));
    assert!(unwound.is_err());
}

/// The thread that a cause names, and whether it died.
fn culprit(cause: PoisonCause) -> (u32, bool) {
    match cause {
        PoisonCause::Died(owner) => (owner.tid(), true),
        PoisonCause::Panicked(owner) => (owner.tid(), false),
    }
}

fn guards_give_the_data<W: Wait>() {
    let mutex = Mutex::<_, W>::new_in(vec![1, 2]);
    mutex.lock().unwrap().push(3);
    mutex.try_lock().unwrap().push(4);
    assert_eq!(*mutex.try_lock_for(Duration::ZERO).unwrap(), [1, 2, 3, 4]);
    assert_eq!(*mutex.try_lock_until(Instant::now()).unwrap(), [1, 2, 3, 4]);
    assert_eq!(*mutex.lock().unwrap_or_else(PoisonError::into_inner), [1, 2, 3, 4]);
    assert!(!mutex.is_poisoned());
}

fn held_elsewhere<W: Wait>() {
    let mutex = shared::<_, W>(7);
    let _holder = hold(&mutex);
    assert!(matches!(mutex.try_lock(), Err(TryLockError::WouldBlock)));
    assert!(matches!(mutex.try_lock_for(Duration::ZERO), Err(TryLockError::TimedOut)));
    assert!(matches!(mutex.try_lock_until(Instant::now()), Err(TryLockError::TimedOut)));
    assert!(!mutex.is_poisoned());
}

fn trying_keeps_time<W: Wait>() {
    let mutex = shared::<_, W>(7);
    let _holder = hold(&mutex);
    for timeout in [ms(1), ms(130)] {
        keeps_time(timeout, |timeout| {
            assert!(matches!(mutex.try_lock_for(timeout), Err(TryLockError::TimedOut)));
        });
        keeps_time(timeout, |timeout| {
            assert!(matches!(mutex.try_lock_until(Instant::now() + timeout), Err(TryLockError::TimedOut)));
        });
    }
}

fn a_blocked_one_gets_it<W: Wait>() {
    let (mutex, about) = (shared::<_, W>([0_u64; 2]), Shm::new(Tally::new()));
    let mut guard = mutex.lock().unwrap();
    let waiters = team(4, |i| {
        about.up();
        match i {
            0 => mutex.try_lock_for(Duration::MAX).unwrap()[0] += 1,
            1 => mutex.try_lock_until(Instant::now() + SOON).unwrap()[0] += 1,
            _ => mutex.lock().unwrap()[0] += 1,
        }
    });
    about.reaches(4);
    waiters.iter().for_each(|waiter| asleep(waiter.pid()));
    thread::sleep(SLICES);
    assert_eq!(*guard, [0, 0]);
    guard[1] = 5;
    drop(guard);
    join(waiters);
    assert_eq!(*mutex.lock().unwrap(), [4, 5]);
}

fn relocking_is_an_error_and_not_a_hang<W: Wait>() {
    let mutex = Mutex::<_, W>::new_in(1);
    let guard = mutex.lock().unwrap();
    assert!(matches!(mutex.try_lock(), Err(TryLockError::WouldDeadlock)));
    assert!(matches!(mutex.try_lock_for(SOON), Err(TryLockError::WouldDeadlock)));
    assert!(matches!(mutex.try_lock_until(Instant::now() + SOON), Err(TryLockError::WouldDeadlock)));
    drop(guard);
    assert!(mutex.try_lock().is_ok());
    let mut child = fork(|| {
        let _guard = mutex.lock().unwrap();
        // SAFETY: this child needs no descriptor 2; the message reaches the parent by another way.
        unsafe { libc::close(libc::STDERR_FILENO) };
        let _ = mutex.lock();
    });
    let text = child.join(SOON).unwrap_err();
    assert!(text.contains("exit status: 101") && text.contains("holds it already"), "{text}");
}

fn a_panic_poisons<W: Wait>() {
    let mutex = Mutex::<_, W>::new_in([1, 1]);
    panic_holding(&mutex, |data| data[0] = 2);
    assert!(mutex.is_poisoned());
    let mut error = mutex.lock().unwrap_err();
    assert_eq!(culprit(error.cause()), (gettid(), false));
    assert_eq!(**error.get_ref(), [2, 1]);
    error.get_mut()[1] = 2;
    assert!(matches!(mutex.try_lock(), Err(TryLockError::WouldDeadlock)), "the error holds the guard");
    assert_eq!(*error.into_inner(), [2, 2]);
    assert_eq!(*mutex.lock().unwrap_or_else(PoisonError::into_inner), [2, 2]);
}

fn a_panic_in_a_child_poisons<W: Wait>() {
    let mutex = shared::<_, W>(1);
    let child = fork(|| panic_holding(&mutex, |data| *data = 2));
    let pid = child.pid();
    join([child]);
    let error = mutex.lock().unwrap_err();
    assert_eq!(culprit(error.cause()), (pid, false));
    assert_eq!(**error.get_ref(), 2);
}

fn a_panic_that_is_older_than_the_guard_does_not_poison<W: Wait>() {
    struct LocksInDrop<'a, W: Wait>(&'a Mutex<u32, W>);
    impl<W: Wait> Drop for LocksInDrop<'_, W> {
        fn drop(&mut self) {
            assert!(thread::panicking());
            *self.0.lock().unwrap() += 1;
        }
    }
    let mutex = Mutex::<_, W>::new_in(0);
    let unwound = panic::catch_unwind(AssertUnwindSafe(|| {
        let _locks = LocksInDrop(&mutex);
        panic::resume_unwind(Box::new(()));
    }));
    assert!(unwound.is_err());
    assert_eq!(*mutex.lock().unwrap(), 1);
}

fn a_killed_holder_poisons<W: Wait>() {
    for reaped in [false, true] {
        let mutex = shared::<_, W>([1, 1]);
        let dead = die_holding(&mutex, |data| data[0] = 2);
        let pid = dead.pid();
        let _zombie = (!reaped).then_some(dead);
        let mut error = mutex.lock().unwrap_err();
        assert_eq!(culprit(error.cause()), (pid, true));
        assert!(mutex.is_poisoned());
        assert_eq!(**error.get_ref(), [2, 1]);
        error.get_mut()[0] = 1;
        mutex.clear_poison();
        drop(error);
        assert_eq!(*mutex.lock().unwrap(), [1, 1]);
    }
}

fn everyone_blocked_gets_the_poisoned_data_in_turn<W: Wait>() {
    let (mutex, about) = (shared::<_, W>(0), Shm::new(Tally::new()));
    let mut holder = hold(&mutex);
    let pid = holder.pid();
    let waiters = team(4, |_| {
        about.up();
        let mut error = mutex.lock().unwrap_err();
        assert_eq!(culprit(error.cause()), (pid, true));
        **error.get_mut() += 1;
    });
    about.reaches(4);
    waiters.iter().for_each(|waiter| asleep(waiter.pid()));
    thread::sleep(SLICES); // So that they are in their longest slices.
    holder.kill();
    join(waiters);
    assert_eq!(*mutex.lock().unwrap_err().into_inner(), 4);
}

type Form<W> = fn(&Mutex<u32, W>) -> Option<PoisonCause>;

fn every_form_gives_the_poisoned_guard<W: Wait>() {
    let forms: [Form<W>; 4] = [
        |mutex| mutex.lock().err().map(|error| error.cause()),
        |mutex| match mutex.try_lock() {
            Err(TryLockError::Poisoned(error)) => Some(error.cause()),
            _ => None,
        },
        |mutex| match mutex.try_lock_for(Duration::ZERO) {
            Err(TryLockError::Poisoned(error)) => Some(error.cause()),
            _ => None,
        },
        |mutex| match mutex.try_lock_until(Instant::now() + SOON) {
            Err(TryLockError::Poisoned(error)) => Some(error.cause()),
            _ => None,
        },
    ];
    for form in forms {
        let mutex = shared::<_, W>(0);
        let dead = die_holding(&mutex, |_| ());
        assert_eq!(form(&mutex).map(culprit), Some((dead.pid(), true)), "while nobody has noticed the death");
        assert_eq!(form(&mutex).map(culprit), Some((dead.pid(), true)), "once it is poisoned");
    }
}

fn poison_stays_until_it_is_cleared<W: Wait>() {
    let mutex = shared::<_, W>(0);
    panic_holding(&mutex, |_| ());
    join(team(2, |_| assert!(mutex.lock().is_err())));
    assert!(mutex.is_poisoned() && mutex.lock().is_err());
    let dead = die_after(|| std::mem::forget(mutex.lock().unwrap_err()));
    assert_eq!(culprit(mutex.lock().unwrap_err().cause()), (dead.pid(), true), "the last cause counts");
    mutex.clear_poison();
    assert!(!mutex.is_poisoned() && mutex.lock().is_ok());
    join([fork(|| assert!(mutex.lock().is_ok()))]);
}

fn debug_does_not_block<W: Wait>() {
    let mutex = Mutex::<_, W>::new_in(7);
    let free = format!("{mutex:?}");
    let _guard = mutex.lock().unwrap();
    let held = format!("{mutex:?}");
    assert_ne!(free, held);
    assert!(held.contains(&gettid().to_string()), "{held} does not name the holder");
}

fn one_at_a_time<W: Wait>(processes: u32, rounds: u32) {
    let mutex = shared::<u32, W>(0);
    join(team(processes, |_| (0..rounds).for_each(|_| *mutex.lock().unwrap() += 1)));
    assert_eq!(*mutex.lock().unwrap(), processes * rounds);
}

fn two_processes_one_at_a_time<W: Wait>() {
    one_at_a_time::<W>(2, 30_000);
}

fn eight_processes_one_at_a_time<W: Wait>() {
    one_at_a_time::<W>(8, 3_000);
}

/// Two numbers that are equal whenever nobody is inside: unequal ones come with poison only.
fn kills_leave_the_others_going<W: Wait>() {
    let mutex = shared::<_, W>([0_u64; 2]);
    kill_at_random(4, 60, |_, rounds| {
        let mut data = mutex.lock().unwrap_or_else(|error| {
            let mut data = error.into_inner();
            data[1] = data[0];
            mutex.clear_poison();
            data
        });
        assert_eq!(data[0], data[1], "torn, and nobody said so");
        for number in &mut *data {
            // SAFETY: borrowed exclusively. Volatile, so that there is a moment between the two.
            unsafe { std::ptr::from_mut(number).write_volatile(*number + 1) };
        }
        drop(data);
        rounds.up();
    });
}
