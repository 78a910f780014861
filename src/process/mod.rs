//! Child processes, for those who share a region with them: started, handed the region, waited for without a timer.
//!
//! | what is asked | how |
//! |---|---|
//! | a program that attaches to a region | [`Command::region`], and [`inherited`] in the program |
//! | a copy of this process | [`fork`], which is unsafe |
//! | has it ended, and how | [`Child::join`], [`Child::is_alive`], [`Child::exit_code`] |
//! | end it | [`Child::terminate`], [`Child::kill`] |
//!
//! The verbs are those of Python's `multiprocessing.Process`. A [`Child`] is held by a descriptor (a pidfd), never by its
//! number, so that no signal goes to a stranger to whom the number was given anew; and `join` sleeps until the kernel
//! says that it has ended, be that now or at its deadline, however often a signal handler runs meanwhile. This needs Linux
//! 5.4 or later: before that, starting a child is [`Unsupported`](std::io::ErrorKind::Unsupported).
//!
//! Nothing here is needed to use the primitives: how processes come into being is no matter to them.
//!
//! # What becomes of a child that is dropped
//!
//! It goes on running, as std's does. But it does not stay a zombie for ever: those that have ended since are waited for
//! whenever a child is started or dropped here. [`Child::kill_on_drop`] ends it instead.
//!
//! A process that ignores `SIGCHLD` is not told how its children end: [`Child::join`] waits for them, and then is an error
//! (`ECHILD`).

mod child;
mod command;
mod fork;
mod orphans;

pub use child::Child;
pub use command::{Command, inherited};
pub use fork::fork;
