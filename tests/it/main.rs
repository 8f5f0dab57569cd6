//! Larder as a black box: the real binary between scripted origins and clients that look closely. What is expected is
//! what semantics.md promises, not what the code happens to do.
//!
//! House rules: a test's name says what holds; it waits for facts, each with a deadline; ports are free ones; no test
//! needs another. `dsl` has the words.

#![allow(clippy::unwrap_used, unreachable_pub, reason = "these are tests; nobody links them")]

mod disk;
mod dsl;

mod abuse;
mod access;
mod admin;
mod cli;
mod client;
mod codings;
mod compat;
mod crawlers;
mod crowds;
mod failures;
mod fallbacks;
mod frameworks;
mod framing;
mod gathered;
mod guards;
mod hits;
mod http2;
mod http2_origins;
mod http2_patience;
mod init;
mod interim;
mod letter;
mod limits;
mod metrics;
mod metrics_each;
mod on_demand;
mod openapi;
mod outages;
mod passed;
mod personal;
mod plain;
mod poisoning;
mod posted;
mod prerender;
mod reload;
mod rests;
mod rfc9111;
mod stale;
mod tls;
mod twins;
mod variants;
mod versions;
mod wire;
