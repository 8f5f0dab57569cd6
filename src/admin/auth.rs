//! Who may ask what: tokens with their scopes; and whether a request comes from a page of somebody else's, which a
//! browser would send from inside.

use super::problem::Problem;
use super::query::shortened;
use super::{Api, Vendor};
use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::{HeaderMap, HeaderValue, StatusCode};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use subtle::ConstantTimeEq;

/// What a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everything.
    Full,
    /// Invalidate and tag.
    Revalidate,
    /// Look.
    Read,
}

impl Scope {
    pub(super) fn allows(self, call: Api) -> bool {
        match self {
            Scope::Full => true,
            Scope::Revalidate => matches!(call, Api::Revalidate | Api::Tags | Api::Warm | Api::Prerenders),
            // All that is stored leaves with an export.
            Scope::Read => call.only_reads() && call != Api::Export,
        }
    }

    /// As the configuration has it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Scope::Full => "full",
            Scope::Revalidate => "revalidate",
            Scope::Read => "read",
        }
    }
}

/// A token and what it is good for.
pub struct Token {
    pub secret: String,
    pub scope: Scope,
}

/// All tokens that are known, and in whose calls they may be sent besides Larder's own.
pub struct Tokens {
    all: Vec<Token>,
    compat: Vec<Vendor>,
}

impl Tokens {
    pub fn new(all: Vec<Token>, compat: Vec<Vendor>) -> Self {
        Tokens { all, compat }
    }

    /// Whether calls of this product are answered (`admin.compat`).
    pub(super) fn serve(&self, vendor: Vendor) -> bool {
        self.compat.contains(&vendor)
    }

    /// The scope of the token that a request carries; `None`: it carries none that is known.
    pub(super) fn scope_of(&self, fields: &HeaderMap) -> Option<Scope> {
        self.scope_by(bearer(fields)?)
    }

    /// The scope of this token; `None`: it is not known.
    pub(super) fn scope_by(&self, sent: &[u8]) -> Option<Scope> {
        let mut found = None;
        // All of them, and all of their bytes: how long it takes tells nobody how near he was.
        for token in &self.all {
            if bool::from(token.secret.as_bytes().ct_eq(sent)) {
                found = Some(token.scope);
            }
        }
        found
    }
}

/// What follows `Bearer` (RFC 6750, 2.1) in the only Authorization field.
fn bearer(fields: &HeaderMap) -> Option<&[u8]> {
    let mut lines = fields.get_all(AUTHORIZATION).iter().map(HeaderValue::as_bytes);
    let (line, None) = (lines.next()?, lines.next()) else { return None };
    let (scheme, token) = line.split_at_checked("bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

/// Refuses what a foreign web page could make its reader's browser send: on a loopback address a name that somebody
/// else's DNS gives (a rebinding), on any address another page's Origin.
pub(super) fn at_home(listening: SocketAddr, fields: &HeaderMap) -> Result<(), Problem> {
    let Some(host) = fields.get(HOST).and_then(|host| host.to_str().ok()).filter(|host| !host.is_empty()) else {
        let detail = "the request has no Host field: send the address that you ask, `Host: 127.0.0.1:9900` for example";
        return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
    };
    if listening.ip().to_canonical().is_loopback() && !is_address_or_localhost(host) {
        let detail = format!(
            "`Host: {}` is not for this address, which is a loopback one: ask for it as `{listening}` or as \
             `localhost:{}`",
            shortened(host, 100),
            listening.port()
        );
        return Err(Problem::new(StatusCode::FORBIDDEN, detail));
    }
    for origin in fields.get_all(ORIGIN) {
        let origin = origin.to_str().unwrap_or_default();
        let from = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        if !from.is_some_and(|from| from.eq_ignore_ascii_case(host)) {
            let (origin, host) = (shortened(origin, 100), shortened(host, 100));
            let detail = format!("`Origin: {origin}` is another page's: only pages of `{host}` may ask here");
            return Err(Problem::new(StatusCode::FORBIDDEN, detail));
        }
    }
    Ok(())
}

/// An IP address or `localhost`, with a port or without.
fn is_address_or_localhost(host: &str) -> bool {
    let (fits, port) = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) => (address.parse::<Ipv6Addr>().is_ok(), port),
            None => return false,
        },
        None => {
            let (name, port) = host.split_at(host.find(':').unwrap_or(host.len()));
            (name.eq_ignore_ascii_case("localhost") || name.parse::<Ipv4Addr>().is_ok(), port)
        }
    };
    let is_port = |port: &str| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok();
    fits && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
}
