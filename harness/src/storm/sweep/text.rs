//! The code of this process, and what a victim is given in its place: breakpoints wherever nobody has been killed yet.
//!
//! A victim is a fork, so it has the same code at the same addresses. A page of its code is written over with `int3`,
//! but for the instructions that have been passed, which stay what they are. So it runs at full speed, along whatever way
//! it happens to take, to the first instruction that has not been passed.
#![cfg(target_arch = "x86_64")]
#![allow(unsafe_code)]

use iced_x86::{Decoder, DecoderOptions};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::ptr;

const PAGE: usize = 4096;
const INT3: u8 = 0xcc;
/// Of those, as many as are written at once.
static INT3S: [u8; 16 * PAGE] = [INT3; 16 * PAGE];

/// No instruction is longer.
const LONGEST: usize = 15;

pub(super) struct Text {
    pieces: Vec<Range<usize>>,
    passed: BTreeSet<usize>,
    /// The pages on which somebody has ever been, as they are written.
    pages: BTreeMap<usize, Box<[u8; PAGE]>>,
}

impl Text {
    /// All executable code of this process, the kernel's page in it included.
    pub(super) fn new() -> Self {
        let maps = fs::read_to_string("/proc/self/maps").expect("a list of the mappings");
        let pieces =
            maps.lines().filter(|line| line.contains(" r-x") && !line.ends_with("[vsyscall]")).flat_map(|line| {
                let (start, rest) = line.split_once('-').expect("two addresses");
                let end = rest.split_once(' ').expect("two addresses").0;
                let address = |hex| usize::from_str_radix(hex, 16).expect("an address");
                let piece = address(start)..address(end);
                if line.ends_with("[vdso]") { executable_sections(piece) } else { vec![piece] }
            });
        Self { pieces: pieces.collect(), passed: BTreeSet::new(), pages: BTreeMap::new() }
    }

    /// From now on nothing has been passed.
    pub(super) fn forget(&mut self) {
        self.passed.clear();
        self.pages.values_mut().for_each(|page| page.fill(INT3));
    }

    /// The instruction at `address` has been passed.
    pub(super) fn pass(&mut self, address: usize) {
        if self.passed.insert(address) {
            for (at, byte) in (address..).zip(instruction(address)) {
                let page = self.pages.entry(at / PAGE * PAGE).or_insert_with(|| Box::new([INT3; PAGE]));
                page[at % PAGE] = byte;
            }
        }
    }

    pub(super) fn has_passed(&self, address: usize) -> bool {
        self.passed.contains(&address)
    }

    pub(super) fn passed(&self) -> usize {
        self.passed.len()
    }

    /// Writes the breakpoints into a child's memory: `everywhere`, which takes a millisecond, or only on pages on which
    /// somebody has ever been.
    pub(super) fn lay(&self, memory: &File, everywhere: bool) -> io::Result<()> {
        for piece in &self.pieces {
            let mut at = piece.start;
            for (&page, bytes) in self.pages.range(piece.start / PAGE * PAGE..piece.end) {
                let mut part = page.max(piece.start)..(page + PAGE).min(piece.end);
                if !everywhere && part.start != at {
                    // An instruction may begin on the page before, where there are no breakpoints, and end here.
                    let Some(&first) = self.passed.range(part.clone()).next() else { continue };
                    part.start = first;
                }
                if everywhere {
                    lay_on(at..part.start, memory)?;
                }
                memory.write_all_at(&bytes[part.start - page..part.end - page], part.start as u64)?;
                at = part.end;
            }
            if everywhere {
                lay_on(at..piece.end, memory)?;
            }
        }
        Ok(())
    }
}

fn lay_on(piece: Range<usize>, memory: &File) -> io::Result<()> {
    piece.clone().step_by(INT3S.len()).try_for_each(|at| {
        let some = &INT3S[..INT3S.len().min(piece.end - at)];
        memory.write_all_at(some, at as u64)
    })
}

/// The bytes of the instruction at `address`.
pub(super) fn instruction(address: usize) -> Vec<u8> {
    // Up to the end of the page first: there may be nothing behind.
    let length = [LONGEST.min(PAGE - address % PAGE), LONGEST].into_iter().find_map(|most| {
        let bytes = bytes(address, most);
        let instruction = Decoder::with_ip(64, &bytes, address as u64, DecoderOptions::NONE).decode();
        (!instruction.is_invalid()).then(|| instruction.len())
    });
    bytes(address, length.unwrap_or(1))
}

/// What there is at `address` in this process, where nobody ever puts breakpoints.
fn bytes(address: usize, length: usize) -> Vec<u8> {
    let at = ptr::with_exposed_provenance::<u8>(address);
    // SAFETY: a forked child has executed what is there, and the same code is at the same place here.
    (0..length).map(|i| unsafe { at.add(i).read_volatile() }).collect()
}

/// Whether the instruction at `address` calls the kernel.
pub(super) fn is_syscall(address: usize) -> bool {
    bytes(address, 2) == [0x0f, 0x05]
}

/// Those of the ELF image that lies at `image`: the kernel's page has its data among its code.
fn executable_sections(image: Range<usize>) -> Vec<Range<usize>> {
    const EXECUTABLE: u64 = 4;
    let field = |at: usize, size: usize| {
        let mut word = [0; 8];
        if at + size <= image.len() {
            word[..size].copy_from_slice(&bytes(image.start + at, size));
        }
        u64::from_le_bytes(word)
    };
    let (headers, size, count) = (field(0x28, 8) as usize, field(0x3a, 2) as usize, field(0x3c, 2) as usize);
    let sections = (0..count).map(|number| headers + number * size).filter(|at| field(at + 8, 8) & EXECUTABLE != 0);
    let part = |at| (image.start + field(at + 0x18, 8) as usize, field(at + 0x20, 8) as usize);
    sections.map(part).map(|(start, length)| start..(start + length).min(image.end)).collect()
}

/// Where an address is, for people: function, file and line.
pub(super) fn name(address: usize) -> String {
    let mut name = None;
    backtrace::resolve(ptr::without_provenance_mut(address), |symbol| {
        let file = symbol.filename().map(|path| path.display().to_string()).unwrap_or_default();
        let function = symbol.name().map(|name| format!("{name:#}")).unwrap_or_default();
        name.get_or_insert(format!("{function} {file}:{}", symbol.lineno().unwrap_or(0)));
    });
    let name = name.unwrap_or_else(|| String::from("?"));
    format!("{address:#x} {name}")
}
