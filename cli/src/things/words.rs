//! What `Debug` says of a primitive, in words.

/// `held by tid 4711, waited for` for `Lock { state: "held by tid 4711, waited for" }`; `value 4, not waited for` for
/// `Semaphore { value: 4, waited_for: false }`.
pub(super) fn in_words(debug: &str) -> String {
    let Some((_, fields)) = debug.split_once(" { ").filter(|_| debug.ends_with('}')) else { return debug.to_owned() };
    let fields = fields.trim_end_matches('}').trim_end().trim_end_matches(", ..");
    let words = split(fields).into_iter().filter_map(|field| {
        let (key, value) = field.split_once(": ")?;
        let key = key.replace('_', " ");
        Some(match value.trim_matches('"') {
            "true" => key,
            "false" => format!("not {key}"),
            "None" | "[]" => format!("no {key}"),
            value if key == "state" => value.to_owned(),
            value => format!("{key} {value}"),
        })
    });
    words.collect::<Vec<_>>().join(", ")
}

/// At the commas that stand in no quotes and no brackets.
fn split(fields: &str) -> Vec<&str> {
    let (mut parts, mut begin, mut quoted, mut depth) = (Vec::new(), 0, false, 0_u32);
    for (at, character) in fields.char_indices() {
        match character {
            '"' => quoted = !quoted,
            '(' | '[' | '{' if !quoted => depth += 1,
            ')' | ']' | '}' if !quoted => depth = depth.saturating_sub(1),
            ',' if !quoted && depth == 0 => {
                parts.push(fields[begin..at].trim());
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(fields[begin..].trim());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use shmsync::{Barrier, Lock, Mutex, PermitPool, RwLock, Semaphore};

    #[test]
    fn states_are_words() {
        let lock = Lock::new();
        assert_eq!(in_words(&format!("{lock:?}")), "free");
        lock.acquire().unwrap();
        let tid = lock.holder().unwrap().tid();
        assert_eq!(in_words(&format!("{lock:?}")), format!("held by tid {tid}"));
        assert_eq!(
            in_words("Lock { state: \"held by tid 1, who died, waited for\" }"),
            "held by tid 1, who died, waited for"
        );
        assert_eq!(in_words(&format!("{:?}", Semaphore::new(4))), "value 4, not waited for");
        assert_eq!(in_words(&format!("{:?}", Mutex::new(1))), "free, no poison");
        assert_eq!(in_words(&format!("{:?}", RwLock::<u8>::new(1))), "writer free, no readers, no poison");
        assert_eq!(in_words(&format!("{:?}", Barrier::new(3))), "parties 3, waiting 0, not broken");
        assert_eq!(in_words(&format!("{:?}", PermitPool::<2>::new())), "available 2, capacity 2, not waited for");
        assert_eq!((in_words("17"), in_words("")), (String::from("17"), String::new()));
        assert_eq!(in_words("A { b: C { d: 1, e: [2, 3] }, f: true }"), "b C { d: 1, e: [2, 3] }, f");
    }
}
