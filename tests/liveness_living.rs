//! The living are never called dead, whatever they do while they are asked about.
//!
//! A patient waiter asks ten times a second, 36,000 times an hour. This asks almost three hours' questions, about
//! holders of which most keep changing what /proc says of them.

mod support;

use std::ffi::CString;
use std::thread;

use shmsync::{Lock, Owner};
use support::*;

/// In all, by two threads at once.
const QUESTIONS: u32 = 100_000;

/// A child that takes the lock and then lives as `live` says, counting what it does.
fn holder(lock: &Lock, lives: &Tally, live: impl FnOnce(&Tally)) -> Child {
    let held = Shm::new(Tally::new());
    let child = fork(|| {
        lock.acquire().unwrap();
        held.up();
        live(lives);
    });
    held.reaches(1);
    child
}

/// Hands the lock on to another thread, and ends the first one.
fn without_the_first_thread(lock: &Lock) {
    lock.release().unwrap();
    let held = Tally::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            lock.acquire().unwrap();
            held.up();
            until_killed();
        });
        held.reaches(1);
        // SAFETY: ends this thread only. Its stack stays, so what the other borrows stays.
        unsafe { libc::syscall(libc::SYS_exit, 0) };
    });
}

fn forks(count: &Tally) {
    loop {
        // SAFETY: the child does nothing but end; the parent waits for it and for nobody else.
        unsafe {
            match libc::fork() {
                0 => libc::_exit(0),
                child => libc::waitpid(child, std::ptr::null_mut(), 0),
            }
        };
        count.up();
    }
}

fn starts_threads(count: &Tally) {
    loop {
        thread::spawn(|| ()).join().unwrap();
        count.up();
    }
}

/// By the first thread: its id and its start stay. A shell that becomes a shell, and so on; it cannot count.
fn execs(_: &Tally) {
    let arguments =
        ["sh", "-c", r#"exec sh -c "$0" "$0""#, r#"exec sh -c "$0" "$0""#].map(|s| CString::new(s).unwrap());
    let mut pointers: Vec<_> = arguments.iter().map(|argument| argument.as_ptr()).collect();
    pointers.push(std::ptr::null());
    // SAFETY: a path and a list of strings that end in NUL; the list ends in a null pointer.
    unsafe { libc::execv(c"/bin/sh".as_ptr(), pointers.as_ptr()) };
    panic!("no shell: {}", std::io::Error::last_os_error());
}

/// The name stands in the line that liveness reads, before the state, and may be anything.
fn renames_itself(count: &Tally) {
    for name in [c"a", c") Z 1 (", c"Z) X 4 4 4 4 4", c"\xff\xfe)\n"].iter().cycle() {
        // SAFETY: the name ends in NUL.
        unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
        count.up();
    }
}

fn moves_about(count: &Tally) {
    for cpu in 0.. {
        pin_to(cpu);
        count.up();
    }
}

fn sleeps_and_wakes(count: &Tally) {
    loop {
        thread::sleep(std::time::Duration::from_micros(50));
        count.up();
    }
}

#[test]
fn the_living_are_never_called_dead() {
    watched("the living are never called dead", || {
        type Life = fn(&Tally);
        let lives: [(&str, Life); 7] = [
            ("waits", |_| until_killed()),
            ("forks", forks),
            ("starts threads", starts_threads),
            ("execs", execs),
            ("renames itself", renames_itself),
            ("moves about", moves_about),
            ("sleeps and wakes", sleeps_and_wakes),
        ];
        let locks = Shm::new([const { Lock::new() }; 10]);
        let counts = Shm::new([const { Tally::new() }; 7]);
        let mut children: Vec<_> =
            lives.iter().enumerate().map(|(i, (_, live))| holder(&locks[i], &counts[i], live)).collect();
        let mut stopped = holder(&locks[7], &counts[0], |_| until_killed());
        stopped.stop();
        children.push(stopped);
        let orphan = holder(&locks[8], &counts[0], |_| without_the_first_thread(&locks[8]));
        eventually("the first thread is gone", || match (state(orphan.pid()), locks[8].holder()) {
            ('Z', Some(holder)) if holder.tid() != orphan.pid() => Ok(()),
            (state, _) => Err(state.to_string()),
        });
        children.push(orphan);
        let kinds: Vec<_> =
            lives.iter().map(|life| life.0).chain(["is stopped", "has no first thread", "is another thread"]).collect();

        let (ready, end) = (Tally::new(), Tally::new());
        let called_dead = thread::scope(|scope| {
            scope.spawn(|| {
                locks[9].acquire().unwrap();
                ready.up();
                end.reaches(1);
            });
            ready.reaches(1);
            let owners: Vec<_> = locks.iter().map(|lock| lock.holder().unwrap()).collect();
            let before: Vec<_> = counts.iter().map(Tally::get).collect();
            let (called_dead, took) = timed(|| ask_about(&owners));
            let done: Vec<_> = counts.iter().zip(before).map(|(count, before)| count.get() - before).collect();
            end.up();
            eprintln!("{QUESTIONS} questions in {took:?}, meanwhile {kinds:?}: {done:?}");
            for i in [1, 2, 4, 5, 6] {
                assert!(done[i] > 10, "who {} did it {} times only", kinds[i], done[i]);
            }
            called_dead
        });
        assert_eq!(called_dead.map(|i| kinds[i]), None, "called dead");
        // The shell runs still: it was alive all the time, and not for want of a look.
        assert!(children.iter_mut().all(|child| child.wait_exit(ms(0)).is_none()));
        assert_eq!(name_of(children[3].pid()), "sh");
    });
}

/// Asks by two threads at once; the number of one who is called dead.
fn ask_about(owners: &[Owner]) -> Option<usize> {
    let ask = || (0..QUESTIONS as usize / 2).map(|i| i % owners.len()).find(|&i| !owners[i].is_alive());
    thread::scope(|scope| {
        let askers = [scope.spawn(ask), scope.spawn(ask)];
        askers.into_iter().find_map(|asker| asker.join().unwrap())
    })
}

fn name_of(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned()
}
