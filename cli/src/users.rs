//! Who has which file mapped or open, as far as `/proc` shows it; and how far that is.

use procfs::process::{FDTarget, Process};
use std::collections::{BTreeSet, HashMap};
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;

/// A file: device and inode.
type File = (u64, u64);

/// The processes of this PID namespace and the regions that they use.
#[derive(Debug, Default)]
pub(crate) struct Users {
    of: HashMap<File, BTreeSet<u32>>,
    /// How many processes would not show what they have mapped: another user's.
    pub(crate) hidden: usize,
    /// Whether there may be processes that this /proc does not show at all.
    pub(crate) others: bool,
}

impl Users {
    pub(crate) fn look() -> Self {
        let mut users = Self { others: !sees_all(), ..Self::default() };
        for process in procfs::process::all_processes().into_iter().flatten().flatten() {
            users.add(&process);
        }
        users
    }

    /// Who uses the file, in ascending order.
    pub(crate) fn of(&self, file: &Metadata) -> Vec<u32> {
        self.of.get(&(file.dev(), file.ino())).into_iter().flatten().copied().collect()
    }

    fn add(&mut self, process: &Process) {
        let Ok(id) = u32::try_from(process.pid) else { return };
        let Ok(maps) = process.maps() else {
            // It may have ended meanwhile, and then has nothing mapped.
            self.hidden += usize::from(process.is_alive());
            return;
        };
        for map in maps.iter().filter(|map| map.inode != 0) {
            let device = (u32::try_from(map.dev.0).unwrap_or(0), u32::try_from(map.dev.1).unwrap_or(0));
            self.note((rustix::fs::makedev(device.0, device.1), map.inode), id);
        }
        // Who has it open and not mapped was given a handle, or runs under `shmsync lock`.
        for descriptor in process.fd().into_iter().flatten().flatten() {
            // Only what seems to lie there: to ask after another file may mean to wait for a disk.
            if matches!(&descriptor.target, FDTarget::Path(path) if path.starts_with(crate::place::DIRECTORY)) {
                if let Ok(about) = fs::metadata(format!("/proc/{id}/fd/{}", descriptor.fd)) {
                    self.note((about.dev(), about.ino()), id);
                }
            }
        }
    }

    fn note(&mut self, file: File, id: u32) {
        self.of.entry(file).or_default().insert(id);
    }
}

/// Whether no process can escape this /proc: the machine's own PID namespace, where nobody is hidden.
fn sees_all() -> bool {
    /// The number that the kernel gives to the first of them.
    const INITIAL: u64 = 0xEFFF_FFFC;
    fs::metadata("/proc/self/ns/pid").is_ok_and(|about| about.ino() == INITIAL) && fs::metadata("/proc/1").is_ok()
}
