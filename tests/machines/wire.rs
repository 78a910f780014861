//! Orders and answers as a few bytes, for they may go to another process.

use std::sync::LazyLock;

use crate::verb::*;

static VERBS: LazyLock<Vec<Verb>> = LazyLock::new(|| {
    let mut verbs = vec![Verb::Rest, Verb::Die];
    verbs.extend(Kind::ALL.iter().flat_map(|kind| kind.verbs()));
    verbs
});

pub fn wire_of(verb: Verb) -> u8 {
    let index = VERBS.iter().position(|&known| known == verb).expect("a verb of some kind");
    u8::try_from(index).expect("few")
}

pub fn verb_at(index: u8) -> Verb {
    VERBS[usize::from(index)]
}

/// Those without anything in them, by their number.
const PLAIN: [Said; 12] = [
    Said::Odd,
    Said::Done,
    Said::WouldBlock,
    Said::TimedOut,
    Said::OwnerDied,
    Said::WouldDeadlock,
    Said::NotLocked,
    Said::NotOwner,
    Said::Overflow,
    Said::Broken,
    Said::Panicked,
    Said::Gone,
];
const POISONS: [Poison; 3] = [Poison::None, Poison::Died, Poison::Panicked];

pub fn to_wire(said: &Said) -> [u8; 16] {
    let poison = |poison: Poison| POISONS.iter().position(|&known| known == poison).expect("known") as u8;
    let (tag, detail, number) = match *said {
        Said::Got(value, cause) => (100, poison(cause), value),
        Said::Permit { index, reclaimed } => (101, reclaimed.into(), index as u64),
        Said::Told(told) => (102, told.into(), 0),
        Said::Met { index, leader } => (103, leader.into(), index.into()),
        Said::Began(cause) => (104, poison(cause), 0),
        ref plain => (PLAIN.iter().position(|known| known == plain).expect("plain") as u8, 0, 0),
    };
    let mut wire = [0; 16];
    (wire[0], wire[1]) = (tag, detail);
    wire[8..].copy_from_slice(&number.to_ne_bytes());
    wire
}

pub fn from_wire(wire: [u8; 16]) -> Said {
    let [tag, detail, ..] = wire;
    let number = u64::from_ne_bytes(wire[8..].try_into().expect("eight bytes"));
    match tag {
        100 => Said::Got(number, POISONS[usize::from(detail)]),
        101 => Said::Permit { index: number as usize, reclaimed: detail != 0 },
        102 => Said::Told(detail != 0),
        103 => Said::Met { index: number as u32, leader: detail != 0 },
        104 => Said::Began(POISONS[usize::from(detail)]),
        plain => PLAIN[usize::from(plain)].clone(),
    }
}
