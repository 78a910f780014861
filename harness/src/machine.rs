//! Where it was measured: processor, cores, kernel, libc, and whether anybody else is using it.

use std::fmt;
use std::fs;

/// A machine's description.
#[derive(Debug, Clone, PartialEq)]
pub struct Machine {
    /// The processor's name.
    pub cpu: String,
    /// How many CPUs this process may use, and how many there are.
    pub cores: [usize; 2],
    /// The system and its version.
    pub kernel: String,
    /// The C library and its version.
    pub libc: String,
    /// How many processes wanted to run in the last minute.
    pub load: Option<f64>,
}

impl Machine {
    /// Looks.
    #[must_use]
    pub fn look() -> Self {
        let unknown = || String::from("unknown");
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let cpuinfo = read("/proc/cpuinfo");
        let all = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
        let kernel = read("/proc/sys/kernel/osrelease");
        Self {
            cpu: field(&cpuinfo, &["model name", "Model", "Hardware", "uarch"]).unwrap_or_else(unknown),
            cores: [usable(), all.max(usable())],
            kernel: format!("{} {} {}", std::env::consts::OS, kernel.trim(), std::env::consts::ARCH),
            libc: libc_version().unwrap_or_else(unknown),
            load: read("/proc/loadavg").split_whitespace().next().and_then(|load| load.parse().ok()),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cpu, cores: [usable, all], kernel, libc, .. } = self;
        let cores = if usable == all { format!("{all} CPUs") } else { format!("{usable} of {all} CPUs usable") };
        write!(f, "{cpu}, {cores}; {kernel}; {libc}")
    }
}

fn field(cpuinfo: &str, names: &[&str]) -> Option<String> {
    let lines = || cpuinfo.lines().filter_map(|line| line.split_once(':'));
    let value = |name: &&str| lines().find(|(key, _)| key.trim() == *name).map(|(_, value)| value.trim().to_owned());
    names.iter().find_map(value)
}

#[cfg(unix)]
fn usable() -> usize {
    crate::process::online_cpus()
}

#[cfg(not(unix))]
fn usable() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code)]
fn libc_version() -> Option<String> {
    // SAFETY: it returns a string that lives as long as the program.
    let version = unsafe { std::ffi::CStr::from_ptr(libc::gnu_get_libc_version()) };
    Some(format!("glibc {}", version.to_str().ok()?))
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn libc_version() -> Option<String> {
    cfg!(target_env = "musl").then(|| String::from("musl"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_field() {
        let cpuinfo = "processor\t: 0\nmodel name\t: Some CPU: the 2nd\n";
        assert_eq!(field(cpuinfo, &["Model", "model name"]).unwrap(), "Some CPU: the 2nd");
        assert_eq!(field(cpuinfo, &["uarch"]), None);
    }

    #[test]
    fn knows_this_one() {
        let machine = Machine::look();
        assert!(machine.cores[0] >= 1 && machine.cores[1] >= machine.cores[0], "{machine:?}");
        assert!(machine.to_string().contains("CPU"), "{machine}");
    }
}
