//! Origins over HTTP: addresses, balance and the client. Does not know what is cached or why it is asked.

mod address;
mod balance;
mod client;
pub mod forwarding;

pub use balance::Server;
pub use client::{Client, Upstream, breakers_open};

use pingora::upstreams::peer::HttpPeer;
use std::net::SocketAddr;
use std::time::Duration;

/// How the Host field towards an origin is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostHeader {
    /// The client's, in canonical form.
    Preserve,
    /// The server's own authority.
    Origin,
    Literal(String),
}

/// One server of an origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSettings {
    /// Name or address, without brackets.
    pub host: String,
    pub port: u16,
    /// Whether it is spoken to over TLS, and has to prove that it is `host`.
    pub tls: bool,
    /// Whether HTTP/2 is spoken where the server wants it; only over TLS, where it can say so (RFC 7301).
    pub http2: bool,
    /// Its share in the round robin, at least 1.
    pub weight: u32,
}

/// Deadlines towards an origin; pingora's own defaults are none at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    pub connect: Duration,
    pub first_byte: Duration,
    pub between_bytes: Duration,
    /// A whole fill.
    pub total: Duration,
}

/// A cap and its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Concurrency {
    pub max_concurrent: usize,
    pub queue: usize,
}

/// The passed road's own pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassedSettings {
    pub max_concurrent: usize,
    pub first_byte: Duration,
    pub idle: Duration,
}

/// One origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub name: String,
    pub servers: Vec<ServerSettings>,
    pub host: HostHeader,
    pub timeouts: Timeouts,
    pub renders: Concurrency,
    pub refreshes: Concurrency,
    pub passed: PassedSettings,
}

impl ServerSettings {
    /// One of its addresses, as pingora dials it. Over TLS its name goes along: without one pingora would verify nothing.
    pub fn peer(&self, address: SocketAddr) -> HttpPeer {
        HttpPeer::new(address, self.tls, if self.tls { self.host.clone() } else { String::new() })
    }

    /// `host:port`, an IPv6 address in brackets; the default port is left out.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == if self.tls { 443 } else { 80 } { host } else { format!("{host}:{}", self.port) }
    }
}
