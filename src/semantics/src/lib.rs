//! HTTP caching as pure functions over values: (request, stored, policy, now) -> a value.
//!
//! This crate knows RFC 9110, 9111, 5861, 8246, 9211, 9213 and 9875, and the opinions of `policy`. It does not know what
//! time it is, where bytes come from, or who acts on its answers: `now` is a parameter, and the engine acts.

pub mod cache_control;
pub mod cache_status;
pub mod coding;
pub mod crawler;
pub mod decision;
pub mod freshness;
pub mod guard;
pub mod honesty;
pub mod key;
pub mod message;
pub mod no_vary_search;
pub mod page;
pub mod part;
pub mod personal;
mod plain;
pub mod policy;
pub mod query;
pub mod range;
pub mod reference;
pub mod settlement;
pub mod storability;
mod structured;
pub mod tags;
pub mod targeted;
pub mod time;
pub mod validation;
pub mod vary;
mod weight;

pub use cache_status::{CacheStatus, Forward, Outcome};
pub use decision::{Decision, Selection, decide};
pub use freshness::{Times, Windows};
pub use message::{Facts, Field, Method, Request, Scheme};
pub use policy::Policy;
pub use time::Timestamp;
