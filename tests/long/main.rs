//! What takes long: an origin and a Larder that are killed again and again, thousands of mutated requests and answers.
//! `make test-long` runs it. The seed is `LARDER_SEED`, or always the same; a test that fails shows it.
//!
//! House rules as in `tests/it`, whose words these tests use. Where somebody pauses, it is a visitor who reads or an
//! attacker who takes his time: nothing is true because of it.

#![allow(clippy::unwrap_used, unreachable_pub, reason = "these are tests; nobody links them")]

#[allow(dead_code, unused_imports, reason = "`tests/it` needs all of it")]
#[path = "../it/dsl/mod.rs"]
mod dsl;

mod answers;
mod bytes;
mod chance;
mod huge;
mod kills;
mod mutants;
mod process;
mod recorder;
mod requests;
mod strict;
