//! A workload's parameters: a map in records, words in tables.

use serde::ser::{Serialize, SerializeMap, Serializer};
use std::fmt;

/// A parameter's value.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(untagged)]
pub enum Value {
    /// A number.
    Number(u64),
    /// A choice.
    Word(&'static str),
}

/// A workload's parameters, in the order in which they are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Params(pub Vec<(&'static str, Value)>);

impl Serialize for Params {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        self.0.iter().try_for_each(|(name, value)| map.serialize_entry(name, value))?;
        map.end()
    }
}

/// "processes 8, section 100 ns".
impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (name, value)) in self.0.iter().enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            match (value, name.strip_suffix("_ns")) {
                (Value::Number(n), Some(name)) if *n >= 1000 && n % 1000 == 0 => {
                    write!(f, "{comma}{name} {} µs", n / 1000)?;
                }
                (Value::Number(n), Some(name)) => write!(f, "{comma}{name} {n} ns")?,
                (Value::Number(n), None) => write!(f, "{comma}{name} {n}")?,
                (Value::Word(word), _) => write!(f, "{comma}{name} {}", word.replace('_', " "))?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn params_in_words_and_in_records() {
        let params = Params(vec![
            ("processes", Value::Number(8)),
            ("section_ns", Value::Number(100)),
            ("hold_ns", Value::Number(2000)),
            ("notify", Value::Word("lock_held")),
        ]);
        assert_eq!(params.to_string(), "processes 8, section 100 ns, hold 2 µs, notify lock held");
    }
}
