//! What is printed: text with colours where somebody looks at it, JSON where a program does.

use crate::Failure;
use anstyle::{AnsiColor, Style};
use serde_json::Value;
use std::io::{self, Write};

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
    fn colours_take_no_room() {
        let row = |style, text: &str| vec![(style, text.to_owned()), (PLAIN, String::from("x"))];
        let text = columns(&[row(BAD, "äb"), row(PLAIN, "abcd")]);
        let plain = anstream::adapter::strip_str(&text).to_string();
        assert_eq!(plain, "äb    x\nabcd  x\n");
    }
}
