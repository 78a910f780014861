//! What the system says of the pages of a mapping.

use std::fs;

/// What `/proc/self/smaps` says of the mapping that holds this address: a field in KiB, or the flags.
pub fn smaps(address: *const u8, field: &str) -> String {
    let mut inside = false;
    for line in fs::read_to_string("/proc/self/smaps").unwrap().lines() {
        let (first, rest) = line.split_once(' ').unwrap();
        if let Some((start, end)) = first.split_once('-') {
            let number = |text| usize::from_str_radix(text, 16).unwrap();
            inside = (number(start)..number(end)).contains(&address.addr());
        } else if inside && first == field {
            return rest.trim().to_owned();
        }
    }
    panic!("no {field} for {address:?}");
}

pub fn kibibytes(address: *const u8, field: &str) -> usize {
    smaps(address, field).strip_suffix(" kB").unwrap().parse().unwrap()
}
