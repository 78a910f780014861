//! What the fuzz targets share. Each target says at its head what it throws, and what must hold.
//!
//! | file       | its one idea |
//! |------------|--------------|
//! | `words`    | 64-bit words that mean something to the crate, or nothing |
//! | `guard`    | memory that ends where the thing in it ends |
//! | `slate`    | a file in `/dev/shm` that is gone afterwards |
//! | `worker`   | threads that live for many executions |
//! | `watch`    | that an execution comes to an end, and how soon |
//! | `which`    | each primitive by a number |
//! | `using`    | every verb of a `Region`, on whatever is in it |
//! | `subjects` | every verb of the primitives, as far as it comes to an end |

#![deny(unsafe_code)]

pub mod guard;
pub mod slate;
pub mod subjects;
pub mod using;
pub mod watch;
pub mod which;
pub mod words;
pub mod worker;
