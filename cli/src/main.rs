//! The `shmsync` tool. Each subcommand is a file; this one knows what they are called and how the program ends.
#![deny(unsafe_code)]

#[cfg(target_os = "linux")]
mod bench;
#[cfg(target_os = "linux")]
mod doctor;
#[cfg(target_os = "linux")]
mod held;
#[cfg(target_os = "linux")]
mod lock;
mod output;
#[cfg(target_os = "linux")]
mod place;
#[cfg(target_os = "linux")]
mod sem;
#[cfg(target_os = "linux")]
mod storm;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Tools for shmsync, locks and friends between processes.
#[derive(Debug, Parser)]
#[command(name = "shmsync", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[cfg(target_os = "linux")]
    Lock(lock::Args),
    #[cfg(target_os = "linux")]
    Sem(sem::Args),
    #[cfg(target_os = "linux")]
    Doctor(doctor::Args),
    #[cfg(target_os = "linux")]
    Bench(bench::Args),
    #[cfg(target_os = "linux")]
    Storm(storm::Args),
}

/// How the program ends, beside 0 and clap's own 2.
#[derive(Debug)]
enum Failure {
    /// It was done, and something is wrong: exit code 1. What, has been told.
    Wrong,
    /// It could not be done as asked: exit code 2.
    Refused(String),
    /// With a code that means something to the caller, and a reason where that does not say all.
    Exit(u8, Option<String>),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let end = match cli.command {
        #[cfg(target_os = "linux")]
        Command::Lock(args) => lock::run(&args),
        #[cfg(target_os = "linux")]
        Command::Sem(args) => sem::run(&args),
        #[cfg(target_os = "linux")]
        Command::Doctor(args) => doctor::run(&args),
        #[cfg(target_os = "linux")]
        Command::Bench(args) => bench::run(&args),
        #[cfg(target_os = "linux")]
        Command::Storm(args) => storm::run(&args),
    };
    let (code, why) = match end {
        Ok(()) => (0, None),
        Err(Failure::Wrong) => (1, None),
        Err(Failure::Refused(why)) => (2, Some(why)),
        Err(Failure::Exit(code, why)) => (code, why),
    };
    if let Some(why) = why {
        eprintln!("error: {why}");
    }
    ExitCode::from(code)
}
