//! Two programs that were compiled apart meet in one region by name, in either order; and one that is given a region without a name.

mod shm_support;

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use shm_support::{LIMIT, Name, in_child};
use shmsync::{ErrorKind, Handle, Lock, Region, Semaphore};
use shmsync_harness::process;

/// `cargo test` builds the examples beside the tests; `cargo test --test region_programs` alone does not.
fn program(name: &str) -> Option<PathBuf> {
    let program = std::env::current_exe().unwrap().parent()?.parent()?.join("examples").join(name);
    if !program.exists() {
        eprintln!("skipped: {} is not built", program.display());
    }
    program.exists().then_some(program)
}

fn start(program: &PathBuf, arguments: &[&str]) -> Child {
    let mut command = Command::new(program);
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn two_programs_meet_whoever_comes_first() {
    let _watchdog = process::watchdog(LIMIT, "two programs");
    let (Some(worker), Some(client)) = (program("squares_worker"), program("squares_client")) else { return };
    for worker_first in [true, false] {
        let name = Name::new("programs");
        // Not less: it was seen that the client came a second later, on a machine that stood still, and the worker had gone.
        let work = || start(&worker, &[&name, "5"]);
        let ask = || start(&client, &["--name", &name, "--power", "3", "3", "4", "10"]);
        let (asking, working) = if worker_first {
            let working = work();
            thread::sleep(Duration::from_millis(50));
            (ask(), working)
        } else {
            let asking = ask();
            thread::sleep(Duration::from_millis(50));
            (asking, work())
        };
        let answers = asking.wait_with_output().unwrap();
        for answer in ["3 ^ 3 = 27", "4 ^ 3 = 64", "10 ^ 3 = 1000"] {
            assert!(answers.status.success() && text(&answers).contains(answer), "{}", text(&answers));
        }
        let work = working.wait_with_output().unwrap();
        assert!(work.status.success() && text(&work).contains("3 numbers raised"), "{}", text(&work));
        assert!(!name.path().exists());
    }
}

#[test]
fn a_program_learns_that_the_other_died() {
    let _watchdog = process::watchdog(LIMIT, "a dead program");
    let (Some(worker), Some(client)) = (program("squares_worker"), program("squares_client")) else { return };
    let name = Name::new("programs-dead");
    let mut working = start(&worker, &[&name, "1000"]);
    while Region::open(&name)
        .map_or(true, |region| region.get::<Lock>("worker").map_or(true, |worker| !worker.is_locked()))
    {
        thread::yield_now();
    }
    working.kill().unwrap(); // Not waited for: a zombie is dead as well.
    let answers = start(&client, &["--name", &name, "3"]).wait_with_output().unwrap();
    assert!(!answers.status.success() && text(&answers).contains(", died"), "{}", text(&answers));
    working.wait().unwrap();
    shmsync::unlink(&name).unwrap();
}

const GIVEN: &str = "SHMSYNC_TEST_REGION";

#[test]
#[ignore = "the part of a child"]
fn child_with_a_handle() {
    let handle: Handle = std::env::var(GIVEN).unwrap().parse().unwrap();
    let region = Region::from_handle(&handle).unwrap();
    region.get::<Lock>("lock").unwrap().acquire().unwrap();
    region.array::<AtomicU64>("theirs", 512).unwrap()[511].store(7, Relaxed);
    region.get_or_init::<Semaphore>("done").unwrap().release().unwrap();
    region.get_or_init::<Semaphore>("end").unwrap().acquire().unwrap();
}

/// A program that was started with a region's handle attaches by itself: it keeps what it has in hand, and goes when it ends.
/// The test is the only one of its process that has regions of its own open.
#[test]
fn a_program_is_given_a_region_without_a_name() {
    let _watchdog = process::watchdog(LIMIT, "a given region");
    in_child(|| {
        let mut region = Region::anonymous(8192).unwrap();
        let lock = region.get_or_init::<Lock>("lock").unwrap() as *const Lock;
        let handle = region.handle();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_with_a_handle", "--ignored"])
            .env(GIVEN, handle.to_string())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        drop(handle);
        region.get_or_init::<Semaphore>("done").unwrap().acquire_for(LIMIT).unwrap();
        assert!(region.get::<Lock>("lock").unwrap().is_locked());
        assert_eq!(region.get::<Lock>("lock").unwrap() as *const Lock, lock);
        let attached = region.attached().unwrap();
        assert!(attached.len() == 2 && attached.iter().any(|attached| attached.pid() == Some(child.id())));
        assert_eq!(region.array::<AtomicU64>("theirs", 512).unwrap()[511].load(Relaxed), 7);
        region.remove("theirs").unwrap();
        region.renew().unwrap();
        let room = |region: &Region| region.array::<u8>("ours", 4096).map(|_| ()).map_err(|error| error.kind());
        assert_eq!(room(&region), Err(ErrorKind::NoSpace));
        region.get_or_init::<Semaphore>("end").unwrap().release().unwrap();
        assert!(child.wait().unwrap().success());
        assert_eq!((region.attached().unwrap().len(), room(&region)), (1, Ok(())));
    });
}
