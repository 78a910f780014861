//! Regions without a name, and regions larger than any stack.

mod shm_support;

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use shm_support::{LIMIT, Name};
use shmsync::{Error, ErrorKind, Shared};
use shmsync_harness::process;
use zerocopy::FromBytes;

#[test]
fn forked_children_share_it() {
    let count = Shared::anonymous(AtomicU64::new(0)).unwrap();
    let work = || {
        for _ in 0..1000 {
            count.fetch_add(1, Ordering::Relaxed);
        }
    };
    let mut children: Vec<_> = (0..4).map(|_| process::fork(work)).collect();
    children.iter_mut().for_each(|child| child.join(LIMIT).unwrap());
    assert_eq!(count.load(Ordering::Relaxed), 4000);
}

/// Nobody can cut it off, and so raise SIGBUS in the others: not even through the descriptor.
#[test]
fn its_size_is_sealed() {
    let region = Shared::anonymous(AtomicU64::new(1)).unwrap();
    let handle = region.handle().to_string();
    let number = handle.split([':', '=']).nth(2).unwrap();
    let file = fs::OpenOptions::new().write(true).open(format!("/proc/self/fd/{number}")).unwrap();
    for size in [0, 1 << 20] {
        assert_eq!(file.set_len(size).unwrap_err().raw_os_error(), Some(libc::EPERM));
    }
    assert_eq!(region.load(Ordering::Relaxed), 1);
}

#[test]
fn it_is_sent_and_shared_between_threads() {
    fn is_send_and_sync<T: Send + Sync>(_: &T) {}
    let region = Shared::anonymous(AtomicU64::new(1)).unwrap();
    is_send_and_sync(&region);
    thread::spawn(move || region.store(2, Ordering::Relaxed)).join().unwrap();
}

const SLOTS: usize = (1 << 27) - 1;

/// One GiB.
#[derive(FromBytes)]
#[repr(C)]
struct Ring {
    head: AtomicU64,
    slots: [AtomicU64; SLOTS],
}

/// Older kernels give up reserving memory in tmpfs whenever a signal comes, and what they had is gone.
#[test]
fn a_profilers_timer_does_not_keep_a_large_region_from_being_made() {
    extern "C" fn nothing(_: i32) {}
    let work = || {
        let handler = nothing as extern "C" fn(i32) as libc::sighandler_t;
        let period = libc::timeval { tv_sec: 0, tv_usec: 2000 };
        let timer = libc::itimerval { it_interval: period, it_value: period };
        // SAFETY: the handler does nothing, in this child alone; the timer is read, and the old one not asked for.
        unsafe {
            libc::signal(libc::SIGALRM, handler);
            libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut());
        }
        touch(Shared::anonymous_zeroed());
    };
    process::fork(work).join(LIMIT).unwrap();
}

fn touch(ring: Result<Shared<Ring>, Error>) {
    let ring = match ring {
        Err(e) if e.kind() == ErrorKind::NoSpace => return eprintln!("skipped: {e}"),
        ring => ring.unwrap(),
    };
    assert_eq!(ring.slots[SLOTS - 1].load(Ordering::Relaxed), 0);
    ring.slots[SLOTS - 1].store(1, Ordering::Relaxed);
    ring.head.store(1, Ordering::Relaxed);
}

/// In a thread whose stack would not hold a ten-thousandth of it.
fn touch_both_ends(make: impl FnOnce() -> Result<Shared<Ring>, Error> + Send + 'static) {
    thread::Builder::new().stack_size(64 << 10).spawn(|| touch(make())).unwrap().join().unwrap();
}

#[test]
fn a_gibibyte_never_touches_the_stack() {
    assert_eq!(size_of::<Ring>(), 1 << 30);
    let _watchdog = process::watchdog(LIMIT, "making regions of one GiB");
    touch_both_ends(Shared::anonymous_zeroed);
    let name = Name::new("gibibyte");
    let text = name.to_string();
    touch_both_ends(move || Shared::create_zeroed(&text));
    let text = name.to_string();
    touch_both_ends(move || {
        let ring = Shared::<Ring>::open_or_create_zeroed(&text)?;
        ring.slots[SLOTS - 1].store(0, Ordering::Relaxed);
        Ok(ring)
    });
}
