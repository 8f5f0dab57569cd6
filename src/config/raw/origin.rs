//! Keys about what is behind Larder, and about where responses are kept.

use super::values::{ByteSize, Duration, NotAvailable, OnlyRoundRobin, Percent};
use super::{MIB, count};
use schemars::JsonSchema;
use serde::Deserialize;
use std::num::{NonZeroU32, NonZeroUsize};

/// A renderer: one server, or several that answer alike.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Origin {
    /// Servers that answer alike.
    #[schemars(extend("minItems" = 1))]
    pub(crate) servers: Vec<OriginServer>,
    /// How the next server is chosen.
    #[serde(default)]
    pub(crate) balance: OnlyRoundRobin,
    /// The Host field towards the origin: `preserve` (the visitor's), `origin` (the server's own) or a name.
    #[serde(default = "preserve")]
    pub(crate) host: String,
    /// Lets servers with `https://` choose HTTP/2.
    #[serde(default = "yes")]
    pub(crate) http2: bool,
    /// Servers that do not answer this are left out.
    #[serde(default)]
    pub(crate) health_check: NotAvailable,
    /// Deadlines of the requests that fill the cache.
    #[serde(default)]
    pub(crate) timeouts: Timeouts,
    /// Renders that visitors wait for.
    #[serde(default)]
    pub(crate) renders: Renders,
    /// Renders in the background.
    #[serde(default)]
    pub(crate) refreshes: Refreshes,
    /// Requests that pass by the cache.
    #[serde(default)]
    pub(crate) passed: Passed,
}

const fn yes() -> bool {
    true
}

fn preserve() -> String {
    "preserve".to_owned()
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OriginServer {
    /// `http://host:port`, without a path.
    pub(crate) url: String,
    /// Its share of the requests.
    #[serde(default = "one")]
    pub(crate) weight: NonZeroU32,
}

const fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}

/// Deadlines of the requests that fill the cache.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Timeouts {
    /// To connect.
    pub(crate) connect: Duration,
    /// From the request to the first byte of the answer.
    pub(crate) first_byte: Duration,
    /// Between two parts of the answer.
    pub(crate) between_bytes: Duration,
    /// The whole fill.
    pub(crate) total: Duration,
}

/// Renders that visitors wait for.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Renders {
    /// So many at a time.
    pub(crate) max_concurrent: NonZeroUsize,
    /// So many wait for their turn.
    pub(crate) queue: usize,
}

/// Renders in the background.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Refreshes {
    /// So many at a time.
    pub(crate) max_concurrent: NonZeroUsize,
    /// So many wait for their turn.
    pub(crate) queue: usize,
}

/// Requests that pass by the cache.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Passed {
    /// So many wait for the head of their answer at a time.
    pub(crate) max_concurrent: NonZeroUsize,
    /// From the request to the first byte of the answer.
    pub(crate) first_byte: Duration,
    /// Without a byte in either direction: for upgrades and event streams.
    pub(crate) idle: Duration,
}

/// Where responses are kept.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Store {
    /// In memory.
    pub(crate) memory: Memory,
    /// On disk too, to survive a restart.
    pub(crate) disk: Option<Disk>,
    /// Shared by several Larders.
    pub(crate) redis: NotAvailable,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Memory {
    /// For everything that is stored: bodies, heads, keys and indexes.
    pub(crate) max_size: ByteSize,
    /// Larger bodies are not stored.
    pub(crate) max_object: ByteSize,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Disk {
    /// A directory for Larder alone; it is made where it is missing.
    pub(crate) path: String,
    /// For all files, as they lie on the disk.
    #[serde(default = "disk_size")]
    pub(crate) max_size: ByteSize,
    /// Larger bodies are not stored. Those that are larger than `memory.max_object` are read from the disk for each visitor.
    #[serde(default = "disk_object")]
    pub(crate) max_object: ByteSize,
    /// After so long what was stored is on the disk, whatever happens to Larder.
    #[serde(default = "disk_sync")]
    pub(crate) sync: Duration,
    /// So much of the file system is left free.
    #[serde(default = "disk_free")]
    pub(crate) min_free: Percent,
}

fn disk_size() -> ByteSize {
    ByteSize(20 << 30)
}

fn disk_object() -> ByteSize {
    ByteSize(64 * MIB)
}

fn disk_sync() -> Duration {
    Duration::from_secs(1)
}

fn disk_free() -> Percent {
    Percent(5)
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts {
            connect: Duration::from_secs(2),
            first_byte: Duration::from_secs(30),
            between_bytes: Duration::from_secs(10),
            total: Duration::from_secs(60),
        }
    }
}

impl Default for Renders {
    fn default() -> Self {
        Renders { max_concurrent: count(64), queue: 10_000 }
    }
}

impl Default for Refreshes {
    fn default() -> Self {
        Refreshes { max_concurrent: count(16), queue: 100_000 }
    }
}

impl Default for Passed {
    fn default() -> Self {
        Passed { max_concurrent: count(256), first_byte: Duration::from_secs(60), idle: Duration::from_secs(3_600) }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Memory { max_size: ByteSize(256 * MIB), max_object: ByteSize(8 * MIB) }
    }
}

impl Default for Origin {
    /// What the short form `origin: URL` stands for, without its server.
    fn default() -> Self {
        Origin {
            servers: Vec::new(),
            balance: OnlyRoundRobin,
            host: preserve(),
            http2: yes(),
            health_check: NotAvailable,
            timeouts: Timeouts::default(),
            renders: Renders::default(),
            refreshes: Refreshes::default(),
            passed: Passed::default(),
        }
    }
}

impl OriginServer {
    pub(crate) fn new(url: &str) -> Self {
        OriginServer { url: url.to_owned(), weight: one() }
    }
}
