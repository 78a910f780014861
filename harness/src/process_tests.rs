//! Children that end well, panic, hang, stop, outlive their parent; and a watchdog that bites.

use std::process::Command;

use super::*;

const SOON: Duration = Duration::from_secs(10);

/// Whether a process exists and is not a zombie.
fn runs(pid: u32) -> bool {
    let state = doing(pid);
    !state.starts_with("state ?") && !state.starts_with("state Z") && !state.starts_with("state X")
}

/// In a child whose panic is expected: descriptor 2 becomes `fd`, so that the run's output stays clean.
fn stderr_goes_to(fd: &impl AsRawFd) {
    // SAFETY: both descriptors are this process's own.
    assert_eq!(unsafe { libc::dup2(fd.as_raw_fd(), libc::STDERR_FILENO) }, libc::STDERR_FILENO);
}

fn sleep_for_ever() -> ! {
    loop {
        thread::park();
    }
}

#[test]
fn a_child_that_ends_well() {
    let mut child = fork(|| ());
    assert_eq!(child.join(SOON), Ok(()));
    assert_eq!(child.join(SOON), Ok(()), "asking again gives the same answer");
}

#[test]
fn a_panicking_child_gives_its_message_and_code() {
    let (mut reader, stderr) = UnixStream::pair().unwrap();
    let mut child = fork(|| {
        stderr_goes_to(&stderr);
        assert_eq!(1 + 1, 3, "sums");
    });
    drop(stderr);
    assert_eq!(child.wait_exit(SOON).expect("ends").code(), Some(101));
    let joined = child.join(SOON).unwrap_err();
    assert!(joined.contains("exit status: 101"), "{joined}");
    let mut written = String::new();
    reader.read_to_string(&mut written).unwrap();
    for part in ["process_tests.rs", "sums", "left: 2"] {
        assert!(joined.contains(part), "{part:?} is not in {joined:?}");
        assert!(written.contains(part), "{part:?} is not in {written:?}");
    }
}

#[test]
fn panics_in_many_children_of_many_threads() {
    let null = &fs::File::create("/dev/null").unwrap();
    thread::scope(|scope| {
        for n in 0..4 {
            scope.spawn(move || {
                for round in 0..20 {
                    // The parent's own threads print and allocate and unwind meanwhile.
                    let noise = thread::spawn(|| panic::catch_unwind(|| panic::resume_unwind(Box::new(1))).is_err());
                    let mut child = fork(|| {
                        stderr_goes_to(null);
                        panic!("thread {n} round {round}");
                    });
                    let text = child.join(SOON).unwrap_err();
                    assert!(text.contains(&format!("thread {n} round {round}")), "{text}");
                    assert!(noise.join().unwrap());
                }
            });
        }
    });
}

#[test]
fn a_hung_child_is_reported_and_killed() {
    let mut child = fork(|| sleep_for_ever());
    let start = Instant::now();
    assert_eq!(child.wait_exit(Duration::from_millis(20)), None);
    let text = child.join(Duration::from_millis(50)).unwrap_err();
    assert!(start.elapsed() >= Duration::from_millis(70), "gave up early");
    assert!(text.contains("still running after 50ms (state S"), "{text}");
    assert!(!runs(child.pid()));
}

#[test]
fn a_killed_child_is_a_zombie_until_it_is_joined() {
    let mut child = fork(|| sleep_for_ever());
    child.kill();
    assert!(doing(child.pid()).starts_with("state Z"), "{}", doing(child.pid()));
    assert!(child.join(SOON).unwrap_err().contains("SIGKILL"));
    assert!(doing(child.pid()).starts_with("state ?"));
}

#[test]
fn stop_and_resume() {
    let mut child = fork(|| ());
    child.stop();
    if child.wait_exit(Duration::from_millis(30)).is_none() {
        assert!(doing(child.pid()).starts_with("state T"), "{}", doing(child.pid()));
        child.resume();
    }
    assert_eq!(child.join(SOON), Ok(()));
}

#[test]
fn drop_kills_and_reaps() {
    let child = fork(|| sleep_for_ever());
    let pid = child.pid();
    assert!(runs(pid));
    drop(child);
    assert!(doing(pid).starts_with("state ?"));
}

#[test]
#[cfg(target_os = "linux")]
fn a_grandchild_dies_with_its_parent() {
    let (mut reader, writer) = UnixStream::pair().unwrap();
    let mut child = fork(|| {
        let grandchild = fork(|| sleep_for_ever());
        (&writer).write_all(&grandchild.pid().to_ne_bytes()).unwrap();
        sleep_for_ever()
    });
    let mut pid = [0; 4];
    reader.read_exact(&mut pid).unwrap();
    let pid = u32::from_ne_bytes(pid);
    assert!(runs(pid));
    child.kill();
    let deadline = Instant::now() + SOON;
    while runs(pid) {
        assert!(Instant::now() < deadline, "grandchild {pid} survives: {}", doing(pid));
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn pinning() {
    fork(|| {
        for cpu in 0..2 * online_cpus() {
            pin_to(cpu);
            #[cfg(target_os = "linux")]
            // SAFETY: no arguments, no memory.
            assert_eq!(unsafe { libc::sched_getcpu() } as usize, usable_cpus()[cpu % online_cpus()]);
        }
    })
    .join(SOON)
    .unwrap();
}

/// Runs this test binary again with one ignored test of this file, and returns its output if it failed.
fn failing_run_of(test: &str) -> String {
    let binary = std::env::current_exe().unwrap();
    let run = Command::new(binary).args(["--ignored", "--exact", &format!("process::tests::{test}")]).output().unwrap();
    assert!(!run.status.success(), "{test} should have failed");
    String::from_utf8_lossy(&run.stderr).into_owned()
}

#[test]
fn the_watchdog_names_what_hangs() {
    let text = failing_run_of("hangs_with_a_child");
    assert!(text.contains("watchdog: the test that hangs hangs: not finished after 100ms"), "{text}");
    assert!(text.contains("child "), "{text}");
    let pid = text.lines().find_map(|line| line.strip_prefix("watchdog:   child ")?.split(':').next()?.parse().ok());
    if let Some(pid) = pid {
        let deadline = Instant::now() + SOON;
        while runs(pid) {
            assert!(Instant::now() < deadline, "child {pid} survives the watchdog");
            thread::sleep(Duration::from_millis(1));
        }
    }
}

#[test]
#[ignore = "run by the_watchdog_names_what_hangs"]
fn hangs_with_a_child() {
    let _watchdog = watchdog(Duration::from_millis(100), "the test that hangs");
    let _child = fork(|| sleep_for_ever());
    sleep_for_ever()
}

#[test]
fn a_watchdog_that_is_dropped_does_nothing() {
    drop(watchdog(Duration::from_millis(20), "nothing"));
    thread::sleep(Duration::from_millis(60));
}
