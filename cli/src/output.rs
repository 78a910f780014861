//! What is printed: text with colours where somebody looks at it, JSON where a program does.

use crate::Failure;
use anstyle::{AnsiColor, Style};
use serde_json::Value;
use std::io::{self, Write};
use std::time::Duration;

pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
pub(crate) const WARNING: Style = AnsiColor::Yellow.on_default();
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(crate) const PLAIN: Style = Style::new();

/// The text in that colour.
pub(crate) fn styled(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

/// Prints, without colours unless standard output is a terminal (and `NO_COLOR` is unset).
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    done(write!(anstream::stdout(), "{text}"))
}

pub(crate) fn print_json(value: &Value) -> Result<(), Failure> {
    done(writeln!(io::stdout(), "{value:#}"))
}

/// A reader that has seen enough is no failure.
fn done(written: io::Result<()>) -> Result<(), Failure> {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Refused(format!("cannot print: {error}")))
        }
        _ => Ok(()),
    }
}

/// What others have written, safe for a terminal: without control characters.
pub(crate) fn harmless(text: &str) -> String {
    let shown = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(shown).collect()
}

/// `3 s`, `2 h 5 min`.
pub(crate) fn age(age: Duration) -> String {
    let seconds = age.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match () {
        () if days > 0 => format!("{days} d {} h", hours % 24),
        () if hours > 0 => format!("{hours} h {} min", minutes % 60),
        () if minutes > 0 => format!("{minutes} min {} s", seconds % 60),
        () => format!("{seconds} s"),
    }
}

/// `65.5 KiB`, `12 B`.
pub(crate) fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut amount = n as f64;
    let mut unit = "B";
    for next in UNITS {
        if amount < 1024.0 {
            break;
        }
        (amount, unit) = (amount / 1024.0, next);
    }
    if amount.fract() == 0.0 { format!("{amount} {unit}") } else { format!("{amount:.1} {unit}") }
}

/// Aligned columns, two spaces apart. Colours take no room.
pub(crate) fn columns(rows: &[Vec<(Style, String)>]) -> String {
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|(_, text)| text.chars().count()).max();
    let mut all = String::new();
    for row in rows {
        for (column, (style, text)) in row.iter().enumerate() {
            let is_last = column + 1 == row.len();
            let gap = if is_last { 0 } else { width(column).unwrap_or(0) + 2 - text.chars().count() };
            all += &format!("{}{:gap$}", styled(*style, text), "");
        }
        all.push('\n');
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_readable() {
        let all = [0, 1, 1023, 1024, 67_108_864, 1_500_000].map(bytes);
        assert_eq!(all, ["0 B", "1 B", "1023 B", "1 KiB", "64 MiB", "1.4 MiB"]);
    }

    #[test]
    fn ages_are_readable() {
        let all = [0, 59, 61, 7500, 100_000].map(|seconds| age(Duration::from_secs(seconds)));
        assert_eq!(all, ["0 s", "59 s", "1 min 1 s", "2 h 5 min", "1 d 3 h"]);
    }

    #[test]
    fn nobody_writes_to_the_terminal_but_this_program() {
        assert_eq!(harmless("a\x1b[31m\nä"), "a\\u{1b}[31m\\nä");
    }

    #[test]
    fn colours_take_no_room() {
        let row = |style, text: &str| vec![(style, text.to_owned()), (PLAIN, String::from("x"))];
        let text = columns(&[row(BAD, "äb"), row(PLAIN, "abcd")]);
        let plain = anstream::adapter::strip_str(&text).to_string();
        assert_eq!(plain, "äb    x\nabcd  x\n");
    }
}
