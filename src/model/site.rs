//! Where in the source an operation stands, found by what is written there: the labels of the ordering edges are the
//! names by which a model weakens them.

use std::panic::Location;
use std::path::Path;
use std::{env, fmt, fs, io};

/// A line of the source with an atomic operation or a wake.
#[derive(Clone, Debug)]
pub struct Site {
    file: String,
    line: u32,
    code: String,
}

impl Site {
    pub(super) fn is(&self, caller: &Location<'_>) -> bool {
        caller.line() == self.line && caller.file().ends_with(&self.file)
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.code)
    }
}

/// What an operation that a model can change looks like.
const OPERATIONS: [&str; 8] =
    [".load(", ".store(", ".swap(", ".compare_exchange", ".fetch_", ".replace(", "fence(", "wait.wake("];

/// The operations in `file`, a path below `src`, at which `text` is written: on the same line, or in a comment, or a
/// line, before it.
///
/// # Panics
/// If there is none, or the file has changed since it was compiled.
#[must_use]
pub fn sites(file: &str, text: &str) -> Vec<Site> {
    let source = source(file).unwrap_or_else(|error| panic!("{file}: {error}"));
    let lines: Vec<&str> = source.lines().collect();
    let mut found: Vec<Site> = Vec::new();
    for (index, _) in lines.iter().enumerate().filter(|(_, line)| line.contains(text)) {
        let operation = lines[index..].iter().position(|line| {
            let code = line.split("//").next().unwrap_or_default();
            OPERATIONS.iter().any(|operation| code.contains(operation))
        });
        let line = index + operation.unwrap_or_else(|| panic!("no operation after {file}:{}", index + 1));
        if found.last().is_none_or(|last| last.line != line as u32 + 1) {
            found.push(Site { file: format!("src/{file}"), line: line as u32 + 1, code: lines[line].trim().into() });
        }
    }
    assert!(!found.is_empty(), "{file} has no {text:?}");
    found
}

/// The text of `file`, if it is still what was compiled: else its lines would be somewhere else.
fn source(file: &str) -> io::Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(file);
    let compiled = fs::metadata(env::current_exe()?)?.modified()?;
    if fs::metadata(&path)?.modified()? > compiled {
        return Err(io::Error::other("changed since the models were built"));
    }
    fs::read_to_string(path)
}
