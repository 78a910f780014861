//! What older kernels, other file systems and sandboxes refuse, refused here by a filter: the way round it does the same as
//! the straight one, and where there is none, the error says so and nothing is left behind.
// The filters know calls by number: other libcs, and 32 bits, do the same by other ones.
#![cfg(all(target_env = "gnu", target_pointer_width = "64"))]

mod process_support;
mod shm_support;

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use process_support::{ms, program, state};
use shm_support::sandbox::{When, refuse, refused};
use shm_support::{Directory, LIMIT, Name, in_child, mount_one_mebibyte, own_mounts, reason, refusal};
use shmsync::process::{self, Command};
use shmsync::wait::KernelRobust;
use shmsync::{AcquireError, ErrorKind, Lock, Mutex, Shared};
use shmsync_harness::process::fork;

/// What `O_TMPFILE` is besides `O_DIRECTORY`.
const UNNAMED: u32 = (libc::O_TMPFILE & !libc::O_DIRECTORY) as u32;
const NEW: u32 = (libc::O_CREAT | libc::O_EXCL) as u32;

fn waits_for_nobody() {
    // SAFETY: takes numbers, and writes nothing.
    let waited = unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) };
    assert_eq!((waited, io::Error::last_os_error().raw_os_error()), (-1, Some(libc::ECHILD)), "a child is left");
}

// ---- Regions ----------------------------------------------------------------------------------------------------

/// Linux before 6.3 does not know `MFD_NOEXEC_SEAL`.
#[test]
fn anonymous_regions_are_made_and_sealed_without_the_newest_flag() {
    in_child(|| {
        refuse(&[refused(libc::SYS_memfd_create, When::Has(1, libc::MFD_NOEXEC_SEAL), libc::EINVAL)]);
        // SAFETY: the name ends in NUL.
        assert_eq!(unsafe { libc::memfd_create(c"control".as_ptr(), libc::MFD_NOEXEC_SEAL) }, -1);
        let region = Shared::anonymous(AtomicU64::new(7)).unwrap();
        let handle = region.handle();
        assert_eq!(Shared::<AtomicU64>::from_handle(&handle).unwrap().load(Ordering::Relaxed), 7);
        assert!(handle.is_sealed());
    });
    in_child(|| {
        refuse(&[refused(libc::SYS_memfd_create, When::Always, libc::ENOSYS)]);
        assert_eq!(refusal(Shared::anonymous(AtomicU64::new(7)), "anonymous"), ErrorKind::Unsupported);
    });
}

/// NFS, FAT and 9p answer the first, old kernels the others.
#[test]
fn where_there_are_no_unnamed_files_regions_are_made_under_a_temporary_name() {
    for errno in [libc::EOPNOTSUPP, libc::EISDIR, libc::EINVAL] {
        let (directory, name) = (Directory::new("no-unnamed"), Name::new("no-unnamed"));
        in_child(|| {
            refuse(&[refused(libc::SYS_openat, When::Has(2, UNNAMED), errno)]);
            let path = directory.join("region");
            let options = Shared::<AtomicU64>::options().mode(0o646);
            let made = options.create_file(&path, AtomicU64::new(7)).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o646);
            assert_eq!(refusal(options.create_file_zeroed(&path), path.to_str().unwrap()), ErrorKind::AlreadyExists);
            made.store(8, Ordering::Relaxed);
            assert_eq!(options.open_file(&path).unwrap().load(Ordering::Relaxed), 8);
            assert_eq!(directory.names(), ["region"], "no temporary name is left");
            Shared::open_or_create(&name, || AtomicU64::new(9)).unwrap();
            assert_eq!(Shared::<AtomicU64>::open(&name).unwrap().load(Ordering::Relaxed), 9);
        });
    }
    let directory = Directory::new("no-files");
    in_child(|| {
        let no_unnamed = refused(libc::SYS_openat, When::Has(2, UNNAMED), libc::EOPNOTSUPP);
        refuse(&[no_unnamed, refused(libc::SYS_openat, When::Has(2, NEW), libc::EDQUOT)]);
        let made = Shared::<AtomicU64>::create_file_zeroed(directory.join("region"));
        assert_eq!(refusal(made, directory.to_str().unwrap()), ErrorKind::NoSpace);
        assert_eq!(directory.names(), [""; 0]);
    });
}

/// Before Linux 6.10 it takes a capability to name a file by its descriptor alone; then the way is through `/proc`.
#[test]
fn an_unnamed_file_is_named_by_whichever_way_is_open() {
    let directory = Directory::new("linkat");
    let empty_path = libc::AT_EMPTY_PATH as u32;
    for errno in [libc::ENOENT, libc::EPERM, libc::EINVAL] {
        in_child(|| {
            refuse(&[refused(libc::SYS_linkat, When::Has(4, empty_path), errno)]);
            let path = directory.join(format!("region-{errno}"));
            let _made = Shared::create_file(&path, AtomicU64::new(7)).unwrap();
            assert_eq!(Shared::<AtomicU64>::open_file(&path).unwrap().load(Ordering::Relaxed), 7);
            let again = Shared::create_file(&path, AtomicU64::new(8));
            assert_eq!(refusal(again, path.to_str().unwrap()), ErrorKind::AlreadyExists);
        });
    }
    in_child(|| {
        let by_descriptor = refused(libc::SYS_linkat, When::Has(4, empty_path), libc::ENOENT);
        refuse(&[by_descriptor, refused(libc::SYS_linkat, When::Always, libc::EPERM)]);
        let path = directory.join("none");
        // The second way's error: the first one's would say that something does not exist.
        assert_eq!(refusal(Shared::create_file(&path, AtomicU64::new(7)), "its name"), ErrorKind::PermissionDenied);
        assert!(!path.exists());
    });
}

#[test]
fn where_nothing_can_be_reserved_it_is_written() {
    const SIZE: usize = 300_000;
    type Bytes = [AtomicU8; SIZE];
    for errno in [libc::EOPNOTSUPP, libc::ENOSYS] {
        let directory = Directory::in_memory("fallocate");
        in_child(|| {
            own_mounts();
            mount_one_mebibyte(&directory);
            refuse(&[refused(libc::SYS_fallocate, When::Always, errno)]);
            let path = directory.join("region");
            let made = Shared::<Bytes>::create_file_zeroed(&path).unwrap();
            let about = fs::metadata(&path).unwrap();
            assert!(about.len() == SIZE as u64 + 4096 && about.blocks() * 512 >= about.len(), "{about:?}");
            made[SIZE - 1].store(1, Ordering::Relaxed);
            drop(made);
            assert_eq!(Shared::<Bytes>::open_file(&path).unwrap()[SIZE - 1].load(Ordering::Relaxed), 1);

            let large = Shared::<[AtomicU8; 2 << 20]>::create_file_zeroed(directory.join("large"));
            assert_eq!(refusal(large, "reserve"), ErrorKind::NoSpace);
            assert_eq!(directory.names(), ["region"]);

            // Holes are left as they are, for others may write there by now.
            let file = fs::File::options().write(true).open(&path).unwrap();
            file.set_len(8192).and_then(|()| file.set_len(SIZE as u64 + 4096)).unwrap();
            let sparse = fs::metadata(&path).unwrap().blocks();
            let opened = Shared::<Bytes>::open_file(&path).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().blocks(), sparse);
            assert_eq!(opened[SIZE - 1].load(Ordering::Relaxed), 0);
        });
    }
}

/// Linux before 5.14 cannot be asked to take the faults of writes.
#[test]
fn to_populate_is_a_hint_where_the_kernel_knows_no_better() {
    let options = Shared::<[AtomicU8; 100_000]>::options().populate(true);
    let write = libc::MADV_POPULATE_WRITE as u32;
    in_child(|| {
        refuse(&[refused(libc::SYS_madvise, When::Is(2, write), libc::EINVAL)]);
        options.anonymous_zeroed().unwrap()[99_999].store(1, Ordering::Relaxed);
    });
    in_child(|| {
        refuse(&[refused(libc::SYS_madvise, When::Is(2, write), libc::ENOMEM)]);
        assert_eq!(refusal(options.anonymous_zeroed(), "cannot populate"), ErrorKind::NoSpace);
    });
}

/// For another reason than the limit.
#[test]
fn memory_that_cannot_be_locked_is_an_error() {
    in_child(|| {
        refuse(&[refused(libc::SYS_mlock, When::Always, libc::EPERM)]);
        let options = Shared::<AtomicU64>::options().lock_memory(true);
        assert_eq!(refusal(options.anonymous_zeroed(), "cannot lock"), ErrorKind::PermissionDenied);
    });
}

/// As a filter does that was told to refuse the call with errno 0.
#[test]
fn a_handle_that_was_not_sent_is_an_error() {
    let (here, _there) = std::os::unix::net::UnixStream::pair().unwrap();
    let handle = Shared::anonymous(AtomicU64::new(7)).unwrap().handle();
    in_child(|| {
        refuse(&[refused(libc::SYS_sendmsg, When::Always, 0)]);
        assert_eq!(reason(handle.send(&here)), io::ErrorKind::WriteZero);
    });
}

// ---- Processes --------------------------------------------------------------------------------------------------

/// Linux before 5.4, and sandboxes.
#[test]
fn without_pidfds_no_child_is_started() {
    let started = Name::new("started");
    in_child(|| {
        refuse(&[refused(libc::SYS_pidfd_open, When::Always, libc::ENOSYS)]);
        // SAFETY: this process has a single thread.
        let forked = unsafe { process::fork(|| fs::write(started.path(), "").map_or(1, |()| 0)) };
        for error in [forked.unwrap_err(), Command::new("touch").arg(started.path()).spawn().unwrap_err()] {
            assert!(error.kind() == io::ErrorKind::Unsupported && error.to_string().contains("Linux 5.4"), "{error}");
        }
        waits_for_nobody();
    });
    assert!(!started.path().exists());
}

/// Its descriptor is opened when it runs, and there may be none left by then.
#[test]
fn a_child_that_cannot_be_held_is_killed() {
    let pid = Shared::anonymous(AtomicU64::new(0)).unwrap();
    in_child(|| {
        refuse(&[refused(libc::SYS_pidfd_open, When::IsNot(0, std::process::id()), libc::EMFILE)]);
        let waits = || loop {
            pid.store(std::process::id().into(), Ordering::Relaxed);
            std::thread::sleep(ms(1));
        };
        // SAFETY: this process has a single thread.
        let forked = unsafe { process::fork(waits) };
        for error in [forked.unwrap_err(), Command::new("sleep").arg("1000").spawn().unwrap_err()] {
            assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
        }
        waits_for_nobody();
    });
    let pid = pid.load(Ordering::Relaxed) as u32;
    assert!(pid == 0 || state(pid) == '-', "the child lives, or is a zombie");
}

#[test]
fn a_wait_that_the_system_refuses_is_an_error_and_no_end() {
    in_child(|| {
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        child.kill_on_drop(true);
        refuse(&[refused(libc::SYS_ppoll, When::Always, libc::EPERM)]);
        assert_eq!(child.join(Some(ms(1))).unwrap_err().raw_os_error(), Some(libc::EPERM));
        assert_eq!(child.join(None).unwrap_err().raw_os_error(), Some(libc::EPERM));
        assert!(child.is_alive(), "what is not known is no end");
        assert_eq!(child.exit_code(), None);
        child.kill().unwrap();
        // Without a wait: how it ended is told as soon as it has.
        while child.exit_code().is_none() {
            std::thread::sleep(ms(1));
        }
        assert_eq!(child.exit_code(), Some(-libc::SIGKILL));
    });
}

// ---- Primitives -------------------------------------------------------------------------------------------------

/// qemu's user mode and some sandboxes: then slices find the death.
#[test]
fn without_a_robust_list_deaths_are_found_by_slices() {
    in_child(|| {
        refuse(&[refused(libc::SYS_get_robust_list, When::Always, libc::ENOSYS)]);
        let shared = Shared::anonymous([const { Lock::<KernelRobust>::new_in() }; 2]).unwrap();
        let [lock, of_thread] = &*shared;
        for _ in 0..3 {
            // In a process and in a thread of its own; each asks for its list twice.
            let mut holder = fork(|| {
                lock.acquire().unwrap();
                lock.release().unwrap();
                lock.acquire().unwrap();
                // SAFETY: no memory is involved.
                unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
            });
            holder.join(LIMIT).unwrap_err();
            assert!(!format!("{lock:?}").contains("died"), "{lock:?}");
            assert!(matches!(lock.acquire(), Err(AcquireError::OwnerDied(_))));
            lock.recover().unwrap();
            lock.release().unwrap();

            std::thread::scope(|scope| {
                scope.spawn(|| of_thread.acquire().unwrap());
            });
            assert!(matches!(of_thread.acquire_for(LIMIT), Err(AcquireError::OwnerDied(_))));
            of_thread.recover().unwrap();
            of_thread.release().unwrap();
        }
    });
}

/// glibc before 2.35, or told not to.
#[test]
fn without_rseq_no_thread_knows_its_cpu_and_all_goes_on() {
    let mut part = program("part_without_rseq");
    let child = part.env("GLIBC_TUNABLES", "glibc.pthread.rseq=0").spawn().unwrap();
    assert!(process_support::joined(&child).success());
}

#[test]
#[ignore = "the part of a child"]
fn part_without_rseq() {
    // SAFETY: the name ends in NUL; glibc declares it `const unsigned int`.
    let registered = unsafe {
        let size = libc::dlsym(libc::RTLD_DEFAULT, c"__rseq_size".as_ptr()).cast::<u32>();
        !size.is_null() && *size != 0
    };
    assert!(!registered, "this glibc does not heed its tunable");
    let count = Shared::anonymous(Mutex::new(0)).unwrap();
    let mut team: Vec<_> = (0..3)
        .map(|_| {
            fork(|| {
                for _ in 0..10_000 {
                    *count.lock().unwrap() += 1;
                }
            })
        })
        .collect();
    team.iter_mut().for_each(|child| child.join(LIMIT).unwrap());
    assert_eq!(*count.lock().unwrap(), 30_000);
    let mut dead = fork(|| {
        std::mem::forget(count.lock());
    });
    dead.join(LIMIT).unwrap();
    assert!(count.lock().is_err(), "a death is found out");
}
