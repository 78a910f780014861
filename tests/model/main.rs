#![cfg(loom)]
#![allow(missing_docs, unreachable_pub)]

mod barrier;
mod condition;
mod event;
mod lock;
mod mutex;
mod posix_sem;
mod rwlock;
mod semaphore;
mod support;
