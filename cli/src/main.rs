//! The `shmsync` tool. Each subcommand is a file; this one knows what they are called and how the program ends.
#![deny(unsafe_code)]

mod bench;
mod cut_off;
mod doctor;
mod held;
mod inspect;
mod list;
mod lock;
mod output;
mod pages;
mod permits;
mod place;
mod recover;
mod regions;
mod remove;
mod sem;
mod storm;
mod things;
mod users;
mod who;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

const AFTER: &str = "\
Exit codes, unless `shmsync COMMAND --help` says otherwise:
  0  it was done
  1  it was done, and something is wrong
  2  it could not be done as asked

Examples:
  shmsync lock nightly -- make all     one at a time, as flock(1) does
  shmsync sem gpu -j 2 -- train.sh     two at a time
  shmsync ls                           the regions in shared memory, and who uses them
  shmsync inspect nightly --watch      who holds what, and who waits
  shmsync gc                           remove what the dead have left
  shmsync doctor                       what works on this machine";

/// Tools for shmsync, locks and friends between processes.
#[derive(Debug, Parser)]
#[command(name = "shmsync", version, about, after_help = AFTER)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Ls(list::Args),
    Inspect(inspect::InspectArgs),
    Recover(recover::RecoverArgs),
    Rm(remove::RmArgs),
    Gc(remove::GcArgs),
    Lock(lock::Args),
    Sem(sem::Args),
    Doctor(doctor::Args),
    Bench(bench::Args),
    Storm(storm::Args),
    Completions(pages::CompletionArgs),
    Man(pages::ManArgs),
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
        Command::Ls(args) => list::run(&args),
        Command::Inspect(args) => inspect::inspect(&args),
        Command::Recover(args) => recover::recover(&args),
        Command::Rm(args) => remove::rm(&args),
        Command::Gc(args) => remove::gc(&args),
        Command::Lock(args) => lock::run(&args),
        Command::Sem(args) => sem::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Storm(args) => storm::run(&args),
        Command::Completions(args) => pages::completions(&args),
        Command::Man(args) => pages::man(&args),
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
