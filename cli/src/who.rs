//! Processes as people know them: by command line, age and user.

use crate::output::{age, harmless};
use procfs::process::Process;
use serde_json::{Value, json};
use shmsync::Owner;
use std::time::Duration;

/// What can be said of a thread that holds or waits, or of a process that has a region mapped.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Who {
    /// As its own PID namespace counts; zero if unknown.
    pub(crate) id: u32,
    pub(crate) alive: bool,
    /// `None` for the dead, for those of other PID namespaces, and where /proc does not say.
    pub(crate) command: Option<String>,
    pub(crate) age: Option<Duration>,
    pub(crate) user: Option<String>,
}

impl Who {
    pub(crate) fn of(owner: &Owner) -> Self {
        let nobody = Self { id: owner.tid(), alive: owner.is_alive(), command: None, age: None, user: None };
        if nobody.alive && owner.is_of_this_namespace() { Self { ..Self::of_process(owner.tid()) } } else { nobody }
    }

    /// A living process, or a thread, of this PID namespace.
    pub(crate) fn of_process(id: u32) -> Self {
        let process = i32::try_from(id).ok().and_then(|id| Process::new(id).ok());
        Self {
            id,
            alive: true,
            command: command(id),
            age: process.as_ref().and_then(age_of),
            user: process.and_then(|process| process.uid().ok()).map(user_name),
        }
    }

    /// `tid 4711 (make -j4, 3 min 2 s old)`.
    pub(crate) fn text(&self) -> String {
        let id = match self.id {
            0 => String::from("a thread of unknown id"),
            id => format!("{id}"),
        };
        let known = [self.command.as_deref().map(cut), self.age.map(|old| format!("{} old", age(old)))];
        let known: Vec<_> = known.into_iter().flatten().collect();
        match known.is_empty() {
            true if self.alive => format!("{id} (not of this PID namespace, or hidden)"),
            true => id,
            false => format!("{id} ({})", known.join(", ")),
        }
    }

    pub(crate) fn json(&self) -> Value {
        let seconds = self.age.map(|age| age.as_secs());
        json!({ "id": self.id, "alive": self.alive, "command": self.command, "age_seconds": seconds, "user": self.user })
    }
}

/// As much of a command line as fits beside other things.
fn cut(command: &str) -> String {
    const MOST: usize = 60;
    match command.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}..", &command[..end]),
        None => command.to_owned(),
    }
}

/// The arguments with spaces between them, or the name of what has none.
fn command(id: u32) -> Option<String> {
    let arguments = std::fs::read(format!("/proc/{id}/cmdline")).ok()?;
    let text = match String::from_utf8_lossy(&arguments).trim_end_matches('\0') {
        "" => format!("[{}]", std::fs::read_to_string(format!("/proc/{id}/comm")).ok()?.trim_end()),
        text => text.replace('\0', " "),
    };
    Some(harmless(&text))
}

fn age_of(process: &Process) -> Option<Duration> {
    let started = process.stat().ok()?.starttime as f64 / procfs::ticks_per_second() as f64;
    let up = std::fs::read_to_string("/proc/uptime").ok()?;
    let up: f64 = up.split_whitespace().next()?.parse().ok()?;
    Duration::try_from_secs_f64((up - started).max(0.0)).ok()
}

/// Whether nobody here can tell if the thread lives: one of another PID namespace, or that /proc does not show.
pub(crate) fn is_unknown(owner: &Owner) -> bool {
    let shown = || std::path::Path::new(&format!("/proc/{}", owner.tid())).exists();
    owner.is_alive() && !(owner.is_of_this_namespace() && shown())
}

/// The name of a user, or the number of one who has none.
pub(crate) fn user_name(uid: u32) -> String {
    let name = uzers::get_user_by_uid(uid).map(|user| harmless(&user.name().to_string_lossy()));
    name.unwrap_or_else(|| uid.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_known() {
        let me = Who::of_process(std::process::id());
        assert!(me.command.as_deref().is_some_and(|command| command.contains("shmsync")), "{me:?}");
        assert!(me.age.is_some_and(|age| age < Duration::from_secs(3600)) && me.user.is_some(), "{me:?}");
        assert!(me.text().contains(" old)"), "{}", me.text());
        let long = Who { command: Some("x".repeat(200)), ..me };
        assert!(long.text().len() < 100);
    }

    #[test]
    fn of_the_dead_nothing_is_said_but_the_id() {
        let dead = Who { id: 4711, alive: false, command: None, age: None, user: None };
        assert_eq!(dead.text(), "4711");
        assert_eq!(Who { id: 0, ..dead.clone() }.text(), "a thread of unknown id");
        assert!(Who { alive: true, ..dead }.text().contains("not of this PID namespace"));
    }
}
