//! Who is attached to a region of named objects, where that is not plain: without the right to open its file, without
//! `/proc`, without a descriptor to spare.
//!
//! Each test is a process of its own: children that others fork at the same time would be attached to its regions, too.

mod shm_support;
mod support;

use shm_support::{Name, become_nobody, in_child, mount_one_mebibyte, own_mounts};
use shmsync::{ErrorKind, Region};
use support::*;

/// Who may not open the file any more still counts, and cannot renew.
#[test]
fn who_has_given_up_his_rights_stays_attached() {
    in_child(|| {
        let name = Name::new("rights");
        let mut region = Region::create(&name, 4096).unwrap();
        region.array::<u8>("all", 4096).unwrap();
        region.remove("all").unwrap();
        let turn = Shm::new(Tally::new());
        let mut served = Region::open(&name).unwrap();
        let child = fork(|| {
            become_nobody();
            assert_eq!(served.renew().unwrap_err().kind(), ErrorKind::PermissionDenied);
            assert_eq!(served.attached().unwrap().len(), 2);
            assert_eq!(served.array::<u8>("new", 4096).unwrap_err().kind(), ErrorKind::NoSpace);
            turn.up();
            turn.reaches(2);
        });
        drop(served);
        turn.reaches(1);
        region.renew().unwrap();
        assert_eq!(region.array::<u8>("new", 4096).unwrap_err().kind(), ErrorKind::NoSpace);
        turn.up();
        join([child]);
        // The child had the parent's `region` as well, until it ended.
        region.array::<u8>("new", 4096).unwrap();
    });
}

/// Who was given a region that he may not open is attached by the descriptor that he was given: nothing is used again for
/// as long as anybody has that, and no longer.
#[test]
fn who_may_not_open_it_is_attached_by_what_he_was_given() {
    in_child(|| {
        let name = Name::new("given");
        let mut region = Region::create(&name, 4096).unwrap();
        let handle = region.handle();
        let child = fork(|| {
            become_nobody();
            let mut given = Region::from_handle(&handle).unwrap();
            given.array::<u8>("all", 4096).unwrap();
            let attached = given.attached().unwrap();
            assert_eq!((attached.len(), attached.iter().filter(|one| one.pid().is_none()).count()), (2, 1));
            assert_eq!(given.renew().unwrap_err().kind(), ErrorKind::PermissionDenied);
        });
        join([child]);
        drop(handle);
        region.remove("all").unwrap();
        region.renew().unwrap();
        assert_eq!(region.array::<u8>("new", 4096).unwrap_err().kind(), ErrorKind::NoSpace);
        assert_eq!(region.kept_bytes(), 4096);
        // The giver has it no more than the child does.
        drop(region);
        let region = Region::open(&name).unwrap();
        region.array::<u8>("new", 4096).unwrap();
    });
}

/// Without `/proc` no file can be opened once more: who is attached then counts until it has gone.
#[test]
fn without_proc_one_is_attached_all_the_same() {
    in_child(|| {
        let name = Name::new("no-proc");
        let mut region = Region::create(&name, 4096).unwrap();
        region.array::<u8>("all", 4096).unwrap();
        let turn = Shm::new(Tally::new());
        let child = fork(|| {
            own_mounts();
            mount_one_mebibyte(std::path::Path::new("/proc"));
            let theirs = Region::open(&name).unwrap();
            assert_eq!(theirs.attached().unwrap().len(), 2);
            turn.up();
            turn.reaches(2);
        });
        turn.reaches(1);
        assert_eq!(region.attached().unwrap().len(), 2);
        region.remove("all").unwrap();
        region.renew().unwrap();
        assert_eq!(region.array::<u8>("new", 4096).unwrap_err().kind(), ErrorKind::NoSpace);
        turn.up();
        join([child]);
        // The child had this one as well, until it ended.
        region.renew().unwrap();
        region.array::<u8>("new", 4096).unwrap();
    });
}

/// What cannot be attached to for want of a descriptor is not made.
#[test]
fn what_cannot_be_made_whole_leaves_nothing_behind() {
    in_child(|| {
        let name = Name::new("no-descriptor");
        let free = |descriptors: usize| {
            let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            // SAFETY: a local that is written, then read; this child alone has the limit.
            unsafe {
                assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit), 0);
                limit.rlim_cur = 3 + descriptors as libc::rlim_t;
                assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit), 0);
            }
        };
        for inherited in 3..256 {
            // SAFETY: whatever this child inherited it does not use; numbers that are not open are an error and no more.
            unsafe { libc::close(inherited) };
        }
        for descriptors in 0..2 {
            free(descriptors);
            for attempt in [Region::create, Region::open_or_create] {
                let error = attempt(&name, 4096).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Os, "{error}");
                assert!(!name.path().exists(), "with {descriptors} descriptors");
            }
        }
        free(2);
        let _region = Region::open_or_create(&name, 4096).unwrap();
    });
}
