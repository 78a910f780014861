//! Every verb of a `Region`, on whatever is in it. What a verb answers is the caller's business; that it answers, and that
//! what it hands out lies in the region, is looked at here.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arbitrary::Arbitrary;
use shmsync::{Event, Item, Lock, Mutex, Object, OnceCell, PermitPool, Region, RwLock, Semaphore};

/// What a sound region of the targets holds, and what the verbs ask for.
pub const NAMES: [&str; 12] =
    ["lock", "semaphore", "mutex", "pool", "rwlock", "array", "value", "list", "event", "cell", "removed", "new"];

/// One verb.
#[derive(Arbitrary, Debug, Clone, Copy)]
pub enum Step {
    Look,
    Attached,
    Get(u8, Type),
    Init(u8, Type),
    Put(u8, Type),
    Value(u8),
    ValueInit(u8, u64),
    Array(u8, u16),
    GetArray(u8),
    List(u8, u8),
    GetList(u8),
    Set(u8, u8, u8),
    Remove(u8),
    RecoverAll,
    Renew,
    /// Waits beyond the first slice, where waiters enter themselves in the region's table. Once in a program.
    WaitLong(u8),
}

/// What is asked for under a name.
#[derive(Arbitrary, Debug, Clone, Copy)]
pub enum Type {
    Lock,
    Semaphore,
    Mutex,
    Pool,
    RwLock,
    Event,
    Cell,
    Number,
}

const SHORT: Duration = Duration::from_micros(5);
const LONG: Duration = Duration::from_millis(4);

/// Does what the steps say. All references must lie in `room`, if it is known where that is.
pub fn walk(region: &mut Region, steps: &[Step], room: Option<Range<usize>>) {
    let mut may_wait = true;
    for &step in steps {
        match step {
            Step::Renew => _ = region.renew(),
            Step::WaitLong(_) if !std::mem::take(&mut may_wait) => {}
            step => one(region, step, &Within(room.clone())),
        }
    }
}

/// Asks for each object of a sound region, as what it is there. All references must lie in `room`, as for `walk`.
pub fn tour(region: &Region, room: Option<Range<usize>>) {
    let within = Within(room);
    let types =
        [Type::Lock, Type::Semaphore, Type::Mutex, Type::Pool, Type::RwLock, Type::Event, Type::Event, Type::Cell];
    for (what, name) in
        types.into_iter().zip(["lock", "semaphore", "mutex", "pool", "rwlock", "event", "removed", "cell"])
    {
        typed(region, name, what, How::Get, &within);
    }
    _ = region.get_array::<AtomicU64>("array").map(|array| within.check(array));
    _ = region.get_value::<AtomicU64>("value").map(|number| within.check(number));
    _ = region.get_list("list").map(|list| format!("{list:?}"));
}

struct Within(Option<Range<usize>>);

impl Within {
    fn check<T: ?Sized>(&self, found: &T) {
        let (begin, size) = (std::ptr::from_ref(found).addr(), size_of_val(found));
        let inside = |room: &Range<usize>| room.start <= begin && begin + size <= room.end;
        assert!(self.0.as_ref().is_none_or(inside), "{size} bytes at {begin:#x} are not in {:x?}", self.0);
        assert!(begin % align_of_val(found) == 0, "{begin:#x} is not aligned");
    }
}

fn name(of: u8) -> &'static str {
    NAMES[usize::from(of) % NAMES.len()]
}

fn one(region: &Region, step: Step, within: &Within) {
    match step {
        Step::Look => look(region),
        Step::Attached => _ = region.attached().map(|all| all.iter().filter_map(|one| one.pid()).count()),
        Step::Get(of, what) => typed(region, name(of), what, How::Get, within),
        Step::Init(of, what) => typed(region, name(of), what, How::Init, within),
        Step::Put(of, what) => typed(region, name(of), what, How::Put, within),
        Step::Value(of) => _ = region.value::<AtomicU64>(name(of)).map(|found| use_number(found, within)),
        Step::ValueInit(of, value) => {
            _ = region.value_or_init(name(of), AtomicU64::new(value)).map(|found| use_number(found, within));
        }
        Step::Array(of, length) => {
            let length = usize::from(length % 600);
            if let Ok(array) = region.array::<AtomicU64>(name(of), length) {
                assert_eq!(array.len(), length);
                use_array(array, within);
            }
        }
        Step::GetArray(of) => _ = region.get_array::<AtomicU64>(name(of)).map(|found| use_array(found, within)),
        Step::List(of, items) => {
            let items = (0..items % 5).map(|n| if n % 2 == 0 { Item::from("a text") } else { Item::Int(n.into()) });
            _ = region.list(name(of), items).map(|list| format!("{list:?} {list}"));
        }
        Step::GetList(of) => _ = region.get_list(name(of)).map(|list| format!("{:?}", list.count(&Item::None))),
        Step::Set(of, at, length) => {
            if let Ok(list) = region.get_list(name(of)) {
                let at = usize::from(at) % (list.len() + 1);
                let text = "x".repeat(length.into());
                if list.set(at, &*text).is_ok() {
                    // What was scribbled may let the two buffers overlap, or those of two items; never fail, though.
                    _ = list.get(at).map(|item| item == Item::from(text));
                }
            }
        }
        Step::Remove(of) => _ = region.remove(name(of)),
        Step::RecoverAll => region.objects().iter().for_each(|object| _ = object.recover()),
        Step::WaitLong(of) => _ = region.get::<Lock>(name(of)).map(|lock| lock.acquire_for(LONG)),
        Step::Renew => {}
    }
}

fn look(region: &Region) {
    _ = format!("{region:?} {} {}", region.free_bytes(), region.kept_bytes());
    for object in region.objects() {
        _ = format!("{object:?} {:?} {:?} {:?}", object.state(), object.holders(), object.long_waiters());
        let name = object.name();
        assert!(!name.contains(char::is_control) && !object.kind().contains(char::is_control));
    }
}

#[derive(Clone, Copy)]
enum How {
    Get,
    Init,
    Put,
}

fn typed(region: &Region, name: &str, what: Type, how: How, within: &Within) {
    match what {
        Type::Lock => found(region, name, how, within, Lock::new, |lock| {
            _ = (format!("{lock:?}"), lock.acquire_for(SHORT), lock.release());
        }),
        Type::Semaphore => found(
            region,
            name,
            how,
            within,
            || Semaphore::new(3),
            |semaphore| {
                _ = (format!("{semaphore:?}"), semaphore.acquire_for(SHORT), semaphore.release());
            },
        ),
        Type::Mutex => found(
            region,
            name,
            how,
            within,
            || Mutex::new(7_u64),
            |mutex| {
                _ = mutex.try_lock_for(SHORT).map(|mut data| *data = data.wrapping_add(1)).map_err(drop);
            },
        ),
        Type::Pool => found(region, name, how, within, PermitPool::<4>::new, |pool| {
            _ = (format!("{pool:?}"), pool.acquire_for(SHORT).map(|permit| permit.index()));
        }),
        Type::RwLock => found(region, name, how, within, RwLock::<u64, 4>::default, |lock| {
            _ = lock.try_read_for(SHORT).map(|data| *data).map_err(drop);
            _ = lock.try_write_for(SHORT).map(|mut data| *data += u64::from(*data == 0)).map_err(drop);
        }),
        Type::Event => found(region, name, how, within, Event::new, |event| {
            event.set();
            assert!(event.wait_timeout(SHORT), "it is set");
            event.clear();
        }),
        Type::Cell => found(region, name, how, within, OnceCell::<u64>::new, |cell| _ = format!("{cell:?}")),
        Type::Number => found(region, name, how, within, || AtomicU64::new(1), |number| use_number(number, within)),
    }
}

fn found<T: Object>(
    region: &Region,
    name: &str,
    how: How,
    within: &Within,
    value: impl FnOnce() -> T,
    act: impl FnOnce(&T),
) {
    let found = match how {
        How::Get => region.get::<T>(name),
        How::Init => region.get_or_init::<T>(name),
        How::Put => region.get_or_init_with(name, value),
    };
    match found {
        Ok(found) => {
            within.check(found);
            act(found);
        }
        Err(error) => _ = format!("{error} {error:?} {:?}", error.kind()),
    }
}

fn use_number(number: &AtomicU64, within: &Within) {
    within.check(number);
    number.fetch_add(1, Ordering::Relaxed);
}

fn use_array(array: &[AtomicU64], within: &Within) {
    within.check(array);
    array.iter().for_each(|word| word.store(1, Ordering::Relaxed));
}
