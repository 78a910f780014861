//! Trials of what the system offers: files, `/proc`, system calls.

use super::{Finding, fails, limited, works};
use crate::output::bytes;
use crate::place::DIRECTORY;
use procfs::process::Process;
use rustix::fs::{FsWord, MemfdFlags, Mode, OFlags, SealFlags, fcntl_add_seals, memfd_create, open, statfs};
use rustix::io::Errno;
use rustix::process::{PidfdFlags, getpid, pidfd_open};
use rustix::thread::{MembarrierCommand, futex, membarrier_query};
use shmsync::{NamedSemaphore, RegionInfo};
use std::fs;
use std::os::unix::fs::MetadataExt;

pub(super) fn shared_memory() -> Finding {
    const TMPFS: FsWord = 0x0102_1994;
    let what = "/dev/shm";
    let missing = "regions cannot have names; anonymous ones and those in files are not concerned";
    let found = match statfs(DIRECTORY) {
        Err(error) => return fails(what, format!("there is none: {error}"), missing),
        Ok(found) => found,
    };
    let block = u64::try_from(found.f_bsize).unwrap_or(0);
    let (size, free) = (found.f_blocks.saturating_mul(block), found.f_bavail.saturating_mul(block));
    let text = format!("{}, of which {} are free", bytes(size), bytes(free));
    match NamedSemaphore::create_random(0).and_then(|sem| sem.unlink()) {
        Err(error) => fails(what, format!("{text}; {error}"), missing),
        Ok(()) if found.f_type != TMPFS => {
            limited(what, format!("{text}, and no tmpfs"), "regions may be written to a disk, which takes its time")
        }
        Ok(()) if size > 0 && size <= 64 << 20 => limited(
            what,
            text,
            "64 MiB are what containers get unless asked (--shm-size); a region that does not fit is refused with NoSpace",
        ),
        Ok(()) => works(what, text),
    }
}

pub(super) fn unnamed_files() -> Finding {
    let what = "O_TMPFILE";
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    match open(DIRECTORY, flags, Mode::RUSR | Mode::WUSR) {
        Ok(_) => works(what, "regions are made without a name and published whole"),
        Err(error) => limited(
            what,
            format!("not in {DIRECTORY}: {error}"),
            "regions are published whole all the same, but a killed creator leaves a file .shmsync.PID.RANDOM behind",
        ),
    }
}

/// Whether the kernel's locks on files tell who has one mapped.
pub(super) fn locks() -> Finding {
    let what = "file locks";
    let tried = NamedSemaphore::create_random(0).and_then(|sem| {
        let name = sem.name().to_owned();
        let used = RegionInfo::of(&name).map(|info| info.is_mapped());
        sem.close();
        let unused = RegionInfo::of(&name).map(|info| info.is_mapped());
        shmsync::unlink(&name)?;
        Ok((used?, unused?))
    });
    let means = "nobody can tell that a region is unused: `shmsync gc` removes none";
    match tried {
        Ok((Some(true), Some(false))) => works(what, "the kernel tells whether any process has a region mapped"),
        Ok(wrong) => limited(what, format!("used and unused regions look alike: {wrong:?}"), means),
        Err(error) => limited(what, error.to_string(), means),
    }
}

pub(super) fn sealed() -> Finding {
    let what = "memfd seals";
    let tried = memfd_create("shmsync-doctor", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)
        .and_then(|file| fcntl_add_seals(file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL));
    match tried {
        Ok(()) => works(what, "anonymous regions keep their size, whoever has them"),
        Err(error) => {
            fails(what, format!("not to be had: {error}"), "there are no anonymous regions, nor handles to them")
        }
    }
}

pub(super) fn proc() -> Finding {
    let what = "/proc";
    let found = match Process::myself().and_then(|me| me.status()) {
        Err(error) => {
            let means = "a holder is found dead only when its thread id does not exist any more, not if that is reused";
            return limited(what, format!("not readable: {error}"), means);
        }
        Ok(found) => found,
    };
    if found.pid != getpid().as_raw_nonzero().get() || found.nspid.is_some_and(|ids| ids.len() > 1) {
        let means = "a holder is found dead only when its thread id does not exist any more, not if that is reused";
        return limited(what, "it is that of another PID namespace", means);
    }
    // Process 1 belongs to root, and is there.
    if fs::read("/proc/1/stat").is_err() {
        let means = "holders of other users are found dead only when their thread ids do not exist any more; `shmsync ls` does not \
                     see their processes";
        return limited(what, "other users' processes are hidden (hidepid)", means);
    }
    works(what, "this PID namespace's own, with all processes")
}

/// The number that the kernel gives to the first of them.
const INITIAL_PID_NAMESPACE: u64 = 0xEFFF_FFFC;

pub(super) fn pid_namespace() -> Finding {
    let what = "PID namespace";
    match fs::metadata("/proc/self/ns/pid").map(|about| about.ino()) {
        Err(error) => limited(what, format!("not known: {error}"), "a holder is found dead only if it does not exist"),
        Ok(INITIAL_PID_NAMESPACE) => works(what, "the machine's own"),
        Ok(inode) => limited(
            what,
            format!("{inode}, a container's"),
            "a death is seen only from within the namespace of the dead: share it (--pid) among those who share a region",
        ),
    }
}

pub(super) fn boot_id() -> Finding {
    const PROCFS: FsWord = 0x9fa0;
    let (what, path) = ("boot id", "/proc/sys/kernel/random/boot_id");
    let means = "in a region that is a file, holders of before a reboot count as those of now";
    match (fs::read_to_string(path), statfs(path)) {
        (Ok(id), Ok(found)) if found.f_type == PROCFS => works(what, id.trim()),
        (Ok(_), _) => limited(what, "not the kernel's own", means),
        (Err(error), _) => limited(what, format!("not readable: {error}"), means),
    }
}

pub(super) fn pidfd() -> Finding {
    let what = "pidfd";
    match pidfd_open(getpid(), PidfdFlags::empty()) {
        Ok(_) => works(what, "the kernel has it"),
        Err(error) => {
            limited(what, format!("not to be had: {error}"), "of many holders those that are zombies are found later")
        }
    }
}

pub(super) fn waitv() -> bool {
    // No list at all is an error, but of a call that exists.
    let waited = futex::waitv(&[], futex::WaitvFlags::empty(), None, futex::ClockId::Monotonic);
    waited.map_or_else(|error| error == Errno::INVAL, |_| true)
}

pub(super) fn membarrier() -> bool {
    membarrier_query().contains_command(MembarrierCommand::GlobalExpedited)
}
