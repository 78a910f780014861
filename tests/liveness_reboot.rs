//! A region in a file that outlived a reboot: whoever held something in it is dead, be its id alive again.
//!
//! Once for real, where Debian's `user-mode-linux` is installed: a Linux as a process, with a boot of its own, whose root
//! is this machine's. And once by hand, changing what the file says.

mod shm_support;
mod support;

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::{env, fs};

use shm_support::{Directory, in_child, own_mounts};
use shmsync::{AcquireError, Lock, Shared};
use support::holder::*;
use support::namespaces::*;
use support::*;

/// Tells this program, when it is the first process of a machine, what to do, and where the region is.
const TAKE: &str = "SHMSYNC_TEST_TAKE";
const FIND: &str = "SHMSYNC_TEST_FIND";

#[test]
fn a_lock_held_across_a_reboot_is_a_dead_holders() {
    watched("a reboot", || {
        let directory = Directory::new("reboot");
        let file = directory.join("region");
        drop(Shared::create_file(&file, Lock::new()).unwrap());
        let Some((first, said)) = boot(&directory, TAKE, &file) else { return };
        assert!(said.contains("taken by tid 1"), "{said}");
        loop {
            let (second, said) = boot(&directory, FIND, &file).unwrap();
            assert_ne!(first, second);
            if first % 15 == second % 15 {
                eprintln!("two boots that fold alike, once in fifteen times: booting once more");
                continue;
            }
            assert!(said.contains("found OwnerDied(Owner(tid 1)), recovered"), "{said}");
            return;
        }
    });
}

/// Boots a machine whose first process is this program; gives its boot id and what it said.
fn boot(directory: &Path, variable: &str, file: &Path) -> Option<(u128, String)> {
    let mut machine = Command::new("timeout");
    machine.args([
        "--kill-after=1",
        "25",
        "linux.uml",
        "mem=128M",
        "root=/dev/root",
        "rootfstype=hostfs",
        "rootflags=/",
    ]);
    machine.args(["rw", "quiet", "con=null", "con0=fd:0,fd:1", "ssl=null"]);
    machine.arg(format!("uml_dir={}", directory.display()));
    machine.arg(format!("{variable}={}", file.display()));
    machine.arg(format!("init={}", env::current_exe().unwrap().display()));
    if cfg!(target_pointer_width = "32") {
        eprintln!("skipped: user-mode Linux runs no programs of 32 bits");
        return None;
    }
    if !Path::new("/usr/bin/linux.uml").exists() {
        eprintln!("skipped: no linux.uml to boot; it is in Debian's package user-mode-linux");
        return None;
    }
    let output = machine.stdin(Stdio::null()).stderr(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let id = said.lines().find_map(|line| line.split_once("boot id ")).unwrap_or_else(|| panic!("no boot: {said}")).1;
    let digits: String = id.trim().chars().filter(|c| *c != '-').collect();
    Some((u128::from_str_radix(&digits, 16).unwrap(), said))
}

/// Runs before `main`, whose tests have threads of their own: so the holder is thread 1 in the one boot, and the asker in
/// the next.
#[used]
#[unsafe(link_section = ".init_array")]
static FIRST_PROCESS: extern "C" fn() = first_process;

extern "C" fn first_process() {
    if std::process::id() != 1 {
        return; // of no machine that the test above booted
    }
    let open = |variable| env::var_os(variable).map(|file| Shared::<Lock>::open_file(Path::new(&file)).unwrap());
    let (take, find) = (open(TAKE), open(FIND));
    if take.is_none() && find.is_none() {
        return; // of a container, perhaps
    }
    mount_proc(c"");
    println!("boot id {}", fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap().trim());
    if let Some(lock) = take {
        lock.acquire().unwrap();
        println!("taken by {}", lock.holder().unwrap());
    }
    if let Some(lock) = find {
        // Without a look at /proc nothing else can prove it: thread 1 exists. (It starts within the first ticks of a
        // boot, but not always in the same one.)
        Lock::new().acquire().unwrap(); // The thread knows itself from now on.
        hide_proc();
        let found = lock.acquire_for(SLICES);
        let recovered = if lock.recover().is_ok() { ", recovered" } else { "" };
        println!("found {}{recovered}", found.map_or_else(|error| format!("{error:?}"), |()| "nothing".into()));
    }
    switch_off();
}

fn switch_off() {
    // SAFETY: no memory is involved; the machine is this test's own.
    unsafe {
        libc::sync();
        libc::reboot(libc::RB_POWER_OFF);
    }
}

/// A token's boot and namespace.
const BOOT: u64 = 0xf << 38;
const NAMESPACE: u64 = 0xfff << 52;

/// The file of a region with a lock that is held.
struct HeldInFile {
    file: fs::File,
    offset: u64,
    token: u64,
}

impl HeldInFile {
    fn new(path: &Path, holder: u32) -> Self {
        let file = fs::File::options().read(true).write(true).open(path).unwrap();
        let bytes = fs::read(path).unwrap();
        let words = bytes.chunks_exact(8).map(|word| u64::from_ne_bytes(word.try_into().unwrap()));
        let is_token = |word: u64| word & 0x3fff_ffff == u64::from(holder) && word & NAMESPACE != 0;
        let (at, token) = words.enumerate().find(|&(_, word)| is_token(word)).expect("held");
        Self { file, offset: at as u64 * 8, token }
    }

    fn write(&self, token: u64) {
        self.file.write_all_at(&token.to_ne_bytes(), self.offset).unwrap();
    }
}

#[test]
fn whoever_took_it_in_another_boot_is_dead() {
    watched("another boot", || {
        let directory = Directory::new("another-boot");
        let path = directory.join("region");
        let lock = Shared::create_file(&path, Lock::new()).unwrap();
        let taken = Shm::new(Tally::new());
        let mut child = fork(|| {
            Shared::<Lock>::open_file(&path).unwrap().acquire().unwrap();
            taken.up();
            until_killed();
        });
        taken.reaches(1);
        let held = HeldInFile::new(&path, child.pid());
        let now = held.token & BOOT;
        assert_ne!(now, 0, "this boot is known");
        // It lives, so nothing but its boot can say otherwise.
        for namespace in [held.token & NAMESPACE, 0, held.token & NAMESPACE ^ NAMESPACE] {
            for boot in (0..16_u64).map(|boot| boot << 38) {
                held.write(held.token & !(BOOT | NAMESPACE) | boot | namespace);
                let holder = lock.holder().unwrap();
                if boot == 0 || boot == now {
                    assert!(holder.is_alive(), "{:x}", boot >> 38);
                    assert_eq!(lock.acquire_for(ms(10)), Err(AcquireError::TimedOut));
                    assert_eq!(lock.recover(), Err(AcquireError::WouldBlock));
                } else {
                    assert!(!holder.is_alive(), "{:x}", boot >> 38);
                    assert_eq!(lock.acquire(), Err(AcquireError::OwnerDied(holder)));
                    assert_eq!(lock.recover(), Ok(()));
                    lock.release().unwrap();
                }
            }
        }
        // Disowned, it is waited for until somebody releases it; but not beyond the reboot.
        held.write(held.token);
        lock.disown();
        assert_eq!((lock.holder(), lock.acquire_for(ms(10))), (None, Err(AcquireError::TimedOut)));
        let nobody = 0x3fff_ffff;
        held.write(nobody | ((now >> 38) % 15 + 1) << 38);
        assert!(matches!(lock.acquire(), Err(AcquireError::OwnerDied(_))));
        assert_eq!((lock.recover(), lock.release()), (Ok(()), Ok(())));
        // And what the boot does not prove, it does not disprove.
        child.kill();
        held.write(held.token & !(BOOT | NAMESPACE) | (held.token & NAMESPACE ^ NAMESPACE));
        assert_eq!(lock.acquire_for(SLICES), Err(AcquireError::TimedOut), "of another namespace");
        held.write(held.token & !BOOT);
        assert!(matches!(lock.acquire(), Err(AcquireError::OwnerDied(_))), "of this one");
    });
}

#[test]
fn a_boot_id_that_is_not_the_kernels_proves_nothing() {
    watched("a boot id", || {
        const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
        let directory = Directory::new("boot-id");
        // What systemd-nspawn and LXC do. (The last digits change the fifteenths, by which boots are told apart.)
        let files = ["0", "1"].map(|digit| {
            let path = directory.join(digit);
            fs::write(&path, format!("12345678-9abc-4def-8123-456789abcde{digit}\n")).unwrap();
            path
        });
        // And what procfs itself has to offer that looks like one.
        let uuid = Path::new("/proc/sys/kernel/random/uuid");
        for fake in files.iter().map(|file| &**file).chain([uuid]) {
            let (mine, lock) = (Shm::new(Lock::new()), Shm::new(Lock::new()));
            in_child(|| {
                mine.acquire().unwrap();
                let kernels = fs::read_to_string(BOOT_ID).unwrap();
                let prepare = || {
                    own_mounts();
                    bind(fake, Path::new(BOOT_ID));
                    assert_ne!(fs::read_to_string(BOOT_ID).unwrap(), kernels);
                    assert_lives(&mine);
                };
                let mut child = holder_after(prepare, &lock);
                assert_lives(&lock);
                child.kill();
                assert_dead(&lock); // By the other rules.
            });
        }
    });
}
