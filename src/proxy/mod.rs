//! The face towards clients: the front door, our road and the passed road behind it, and the one writer.
//!
//! Every request is read here, strictly, and answered from the engine where the cache may be asked. What may not
//! goes to pingora's ordinary proxying, with its head in canonical bytes.

mod chunks;
mod conn;
mod deliver;
mod door;
mod fallback;
mod front;
mod head;
mod http2;
mod listen;
mod lists;
mod loan;
mod lookup;
mod net;
mod nominated;
mod pace;
mod passed;
mod pattern;
mod purge;
mod registry;
mod road;
mod route;
mod site;
mod synthetic;
mod tagging;
mod tunnel;

pub use fallback::StandIn;
pub use head::is_authority;
pub use listen::{Entrance, Listener, bind};
pub use lists::Listed;
pub use lookup::{Asked, RegenerateError, UnknownHost};
pub use net::IpNet;
pub use passed::Passed;
pub use pattern::{Matcher, Pattern};
pub use route::{Hosts, Routes, Trust};
pub use site::{Current, KnownHosts, PassedGate, Site};
pub use synthetic::escape;
pub use tagging::{TagTemplate, tags_of};

use std::time::Duration;

/// What one client may ask of us (`server.limits`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open connections in all.
    pub connections: usize,
    /// Open connections of one address; never counted for trusted proxies.
    pub connections_per_ip: Option<usize>,
    /// A request head, in bytes.
    pub header_bytes: usize,
    /// Field lines of a request.
    pub headers: usize,
    /// A request target, in bytes.
    pub uri_bytes: usize,
    /// A request body, in bytes.
    pub body_bytes: Option<u64>,
    /// From the first byte of a head to its end, in all.
    pub header_timeout: Duration,
    /// Between two requests on a connection.
    pub idle_timeout: Duration,
    /// Slowest request body, in bytes a second.
    pub body_min_rate: usize,
    /// Slowest reader of an answer, in bytes a second.
    pub send_min_rate: usize,
}
