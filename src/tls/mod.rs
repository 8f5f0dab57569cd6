//! Certificates towards clients: read from files, chosen by the name that a client asks for (SNI, RFC 6066, 3), and read again
//! when they change. What cannot be used never takes the place of what can.

mod certificate;
mod store;

pub use store::Certificates;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::version::{TLS12, TLS13};
use std::path::PathBuf;
use std::sync::Arc;

/// A certificate with its chain, and its key: two PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// The oldest protocol that is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    Tls12,
    Tls13,
}

/// How a listener speaks TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The first one is for clients that ask for a name that is on none.
    pub certificates: Vec<Files>,
    pub min_version: Version,
}

/// What cannot be used, where, and why.
#[derive(Debug)]
pub struct Unusable(pub String);

impl std::fmt::Display for Unusable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unusable {}

/// How HTTP/2 is called in a handshake (RFC 9113, 3.2).
pub const HTTP_2: &[u8] = b"h2";

/// What is spoken inside (RFC 7301), the best first.
const PROTOCOLS: [&[u8]; 2] = [HTTP_2, b"http/1.1"];

/// # Errors
/// The versions and the cipher suites do not go together, which is not up to the configuration.
pub fn server(settings: &Settings, certificates: Arc<Certificates>) -> Result<Arc<ServerConfig>, Unusable> {
    let versions = match settings.min_version {
        Version::Tls12 => &[&TLS13, &TLS12][..],
        Version::Tls13 => &[&TLS13][..],
    };
    let unusable = |error: rustls::Error| Unusable(format!("TLS cannot be set up: {error}"));
    let provider = Arc::new(ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(unusable)?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = PROTOCOLS.iter().map(|name| name.to_vec()).collect();
    // Whoever comes back need not shake hands in full; the keys change by themselves.
    config.ticketer = ring::Ticketer::new().map_err(unusable)?;
    Ok(Arc::new(config))
}
