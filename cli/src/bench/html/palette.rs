//! Who has which colour: one for each family of peers, told apart by the colour-blind too (after Okabe and Ito), and
//! readable on white and on black. Ink is black here; the style sheet turns it where the page is dark.

use plotters::style::{BLACK, RGBColor};

pub(super) const INK: RGBColor = BLACK;

const FUTEX: RGBColor = RGBColor(0x00, 0x79, 0xc1);
const POSIX: RGBColor = RGBColor(0x56, 0xb4, 0xe9);
const ROBUST: RGBColor = RGBColor(0x00, 0x9e, 0x73);
const SEM_T: RGBColor = RGBColor(0xe6, 0x9f, 0x00);
const PTHREAD: RGBColor = RGBColor(0xd5, 0x5e, 0x00);
const THREADS: RGBColor = RGBColor(0x99, 0x99, 0x99);

/// The families, and their classes in the style sheet.
pub(super) const LEGEND: [(&str, &str); 6] = [
    ("shmsync", "futex"),
    ("shmsync on PosixSem", "posix"),
    ("shmsync on KernelRobust", "robust"),
    ("sem_t", "sem-t"),
    ("pthread", "pthread"),
    ("threads of one process", "threads"),
];

pub(super) fn colour(peer: &str) -> RGBColor {
    match peer {
        _ if peer.ends_with("(Futex)") => FUTEX,
        _ if peer.ends_with("(PosixSem)") => POSIX,
        _ if peer.ends_with("(KernelRobust)") => ROBUST,
        _ if peer.ends_with("(threads)") => THREADS,
        _ if peer.starts_with("pthread") => PTHREAD,
        "sem_t" => SEM_T,
        _ => INK,
    }
}
