//! Lists of mixed items: Python's `ShareableList`, whose items are changed whole whoever is killed.

mod shm_support;
mod support;

use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use shm_support::{Name, in_child};
use shmsync::{ErrorKind, Item, Lock, Region};
use support::*;

fn mixed() -> [Item; 8] {
    let bytes: &[u8] = b"\0\xff bytes";
    assert_eq!(Item::from(b"\0\xff bytes"), bytes.into());
    [Item::None, true.into(), (-7_i64).into(), 2.5.into(), "größer".into(), bytes.into(), "".into(), Some(1).into()]
}

#[test]
fn items_of_every_kind() {
    let region = Region::anonymous(1 << 16).unwrap();
    let list = region.list("list", mixed()).unwrap();
    assert_eq!((list.len(), list.is_empty()), (8, false));
    assert_eq!(list.iter().map(Result::unwrap).collect::<Vec<_>>(), mixed());
    for (index, item) in mixed().into_iter().enumerate() {
        assert_eq!(list.get(index).unwrap(), item);
        assert_eq!(list.index(&item).unwrap(), Some(index));
        assert_eq!(list.count(&item).unwrap(), 1);
    }
    assert_eq!((list.index(&9.into()).unwrap(), list.count(&9.into()).unwrap()), (None, 0));
    // Any kind that fits, again and again, so that both buffers have had it.
    for _ in 0..3 {
        for item in [
            Item::from("12345678"),
            Item::from(b"\0bytes\0\xff"),
            1.into(),
            f64::INFINITY.into(),
            false.into(),
            Item::None,
            "".into(),
        ] {
            for index in 0..list.len() {
                list.set(index, item.clone()).unwrap();
                assert_eq!(list.get(index).unwrap(), item);
            }
        }
    }
    assert_eq!(list.count(&"".into()).unwrap(), 8);
    assert_eq!(
        format!("{list:?}"),
        "[Str(\"\"), Str(\"\"), Str(\"\"), Str(\"\"), Str(\"\"), Str(\"\"), Str(\"\"), Str(\"\")]"
    );
}

#[test]
fn room_is_given_once() {
    let region = Region::anonymous(1 << 16).unwrap();
    let list = region.list("list", [Item::from("123456789"), 1.into()]).unwrap();
    list.set(0, "1234567890123456").unwrap();
    let error = list.set(0, "12345678901234567").unwrap_err();
    assert!(error.kind() == ErrorKind::NoSpace && error.to_string().contains("room for 16 bytes"), "{error}");
    assert_eq!(list.set(1, &b"123456789"[..]).unwrap_err().kind(), ErrorKind::NoSpace);
    assert_eq!((list.get(0).unwrap(), list.get(1).unwrap()), ("1234567890123456".into(), 1.into()), "as before");
    assert_eq!(list.get(2).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(list.set(2, 0).unwrap_err().kind(), ErrorKind::NotFound);
    let roomy = region.list_with_room("roomy", 30, ["", ""]).unwrap();
    roomy.set(1, "x".repeat(32)).unwrap();
    assert_eq!(roomy.get(0).unwrap(), "".into());
    for room in [1 << 16, usize::MAX >> 8, usize::MAX - 7, usize::MAX] {
        assert_eq!(region.list_with_room("too large", room, [1, 2]).unwrap_err().kind(), ErrorKind::NoSpace);
    }
}

#[test]
fn lists_are_found_again() {
    let name = Name::new("lists");
    let region = Region::create(&name, 1 << 16).unwrap();
    assert_eq!(region.get_list("list").unwrap_err().kind(), ErrorKind::NotFound);
    region.list("list", mixed()).unwrap().set(4, "other").unwrap();
    let same = Region::open(&name).unwrap();
    assert_eq!(same.get_list("list").unwrap().get(4).unwrap(), "other".into());
    assert_eq!(same.list("list", mixed()).unwrap().get(4).unwrap(), "other".into(), "not made again");
    assert_eq!(same.list("list", [1, 2]).unwrap_err().kind(), ErrorKind::LayoutMismatch);
    assert_eq!(same.get::<Lock>("list").unwrap_err().kind(), ErrorKind::LayoutMismatch);
    same.get_or_init::<Lock>("lock").unwrap();
    assert_eq!(region.get_list("lock").unwrap_err().kind(), ErrorKind::LayoutMismatch);
    assert!(region.list("empty", [(); 0].map(|()| 0)).unwrap().is_empty());
    let state = |name: &str| region.objects().iter().find(|object| object.name() == name).unwrap().state().unwrap();
    assert_eq!(state("empty"), "[]");
    assert!(state("list").contains("Str(\"other\")"));
}

/// Texts that are torn would show: each is one letter, as often as its number says.
fn text(n: u64) -> String {
    char::from(b'a' + (n % 26) as u8).to_string().repeat(1 + n as usize % 200)
}

#[track_caller]
fn assert_whole(item: Item) {
    let Item::Str(found) = item else { panic!("{item:?}") };
    let first = found.chars().next().expect("not empty");
    assert!(found.chars().all(|letter| letter == first), "torn: {found:?}");
    let n = found.len() - 1;
    assert!((0..26).any(|k| (n + 200 * k) % 26 == (first as u8 - b'a') as usize), "of two: {found:?}");
}

#[test]
fn items_are_seen_whole_while_others_set_them() {
    in_child(|| {
        let region = Region::anonymous(1 << 16).unwrap();
        let list = region.list_with_room("list", 200, ["a", "a"]).unwrap();
        let (gets, until) = (Shm::new(Tally::new()), Instant::now() + Duration::from_secs(1));
        let setters = team(2, |me| {
            for n in u64::from(me) * 1_000_003.. {
                list.set((n % 2) as usize, text(n)).unwrap();
                if Instant::now() > until {
                    break;
                }
            }
        });
        let getters = team(2, |_| {
            while Instant::now() < until {
                assert_whole(list.get(0).unwrap());
                assert_whole(list.get(1).unwrap());
                gets.up();
            }
        });
        join(setters.into_iter().chain(getters));
        assert!(gets.get() > 100, "{}", gets.get());
    });
}

#[test]
fn who_is_killed_leaves_the_old_item_or_the_new() {
    in_child(|| {
        let region = Region::anonymous(1 << 16).unwrap();
        let list = region.list_with_room("list", 200, ["a"; 3]).unwrap();
        kill_at_random(3, 400, |me, rounds| {
            let mut dice = Dice::new();
            for _ in 0..50 {
                let index = dice.below(3) as usize;
                list.set(index, text(dice.below(5200) + u64::from(me))).unwrap();
                assert_whole(list.get(dice.below(3) as usize).unwrap());
            }
            rounds.up();
        });
        list.iter().for_each(|item| assert_whole(item.unwrap()));
        for index in 0..3 {
            list.set(index, "z").unwrap();
            list.set(index, 7).unwrap();
        }
        assert_eq!(list.count(&7.into()).unwrap(), 3);
    });
}

#[test]
fn scribbles_are_errors_or_items() {
    in_child(|| {
        let name = Name::new("list-hostile");
        let region = Region::create(&name, 4096).unwrap();
        region.list_with_room("list", 40, mixed()).unwrap();
        let file = std::fs::File::options().read(true).write(true).open(name.path()).unwrap();
        let mut sound = vec![0; file.metadata().unwrap().len() as usize];
        file.read_exact_at(&mut sound, 0).unwrap();
        let (begin, mut dice) = (sound.len() as u64 - 4096, Dice::new());
        let mut gets = 0;
        for _ in 0..20_000 {
            file.write_all_at(&sound[begin as usize..], begin).unwrap();
            for _ in 0..=dice.below(6) {
                // Not the locks: a held one is waited for, for ten seconds.
                let at = dice.below(1200) & !7;
                let is_lock = (16..16 + 8 * 32).contains(&at) && (at - 16) % 32 == 0;
                let random = dice.below(1 << 53) << 11 ^ dice.below(1 << 32);
                let word = [random, 0, u64::MAX, dice.below(1500) & !7, dice.below(1 << 12)][dice.below(5) as usize];
                if !is_lock {
                    file.write_all_at(&word.to_ne_bytes(), begin + at).unwrap();
                }
            }
            let Ok(list) = region.get_list("list") else { continue };
            for index in 0..list.len().min(9) {
                gets += usize::from(list.get(index).is_ok());
                let _ = list.set(index, if index % 2 == 0 { Item::from("some text") } else { 7.into() });
            }
            _ = (format!("{list:?}").len(), list.index(&7.into()), list.count(&Item::None));
        }
        assert!(gets > 20_000, "{gets}");
    });
}
