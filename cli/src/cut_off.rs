//! A stranger may cut a region off while it is looked into. The kernel tells that by a signal that ends the process; here
//! it ends with a reason and the exit code of what could not be done.
#![allow(unsafe_code)]

use signal_hook::consts::SIGBUS;
use signal_hook::low_level;
use std::os::fd::AsFd;

const WHY: &[u8] = b"error: the region was cut off while it was looked at\n";

/// From now on the process ends with that reason.
pub(crate) fn explained() {
    // SAFETY: the handler writes and exits, which are both async-signal-safe; it does not return to the access that failed.
    let handled = unsafe {
        low_level::register(SIGBUS, || {
            let _ = rustix::io::write(std::io::stderr().as_fd(), WHY);
            low_level::exit(2);
        })
    };
    // Without a handler the signal says it, less well.
    drop(handled);
}

#[cfg(test)]
mod tests {
    use shmsync::Shared;
    use shmsync_harness::process::{fork, watchdog};
    use std::time::Duration;

    #[test]
    fn a_cut_off_region_ends_with_a_reason() {
        let _watchdog = watchdog(Duration::from_secs(60), "a region cut off");
        let path = std::env::temp_dir().join(format!("shmsync-cut-off-{}", std::process::id()));
        let region = Shared::create_file(&path, [0_u8; 1 << 16]).unwrap();
        let mut child = fork(|| {
            super::explained();
            std::fs::File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
            // SAFETY: it points into the region.
            unsafe { std::ptr::read_volatile(&region[1 << 15]) };
        });
        let end = child.wait_exit(Duration::from_secs(30));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(end.and_then(|end| end.code()), Some(2));
    }
}
