//! The model of a file system that loses power, and what the tests that use it rely on.

#![allow(clippy::unwrap_used, reason = "not only in the tests themselves")]

#[path = "faulty/alike.rs"]
mod alike;
#[path = "faulty/chaos.rs"]
mod chaos;
#[path = "faulty/model.rs"]
mod model;
mod support;
