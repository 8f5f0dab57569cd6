//! From a request to its route: whose site it is, which pattern it matches, and whether the cache may be asked.

use super::{IpNet, Matcher, pattern};
use engine::Route;
use engine::origin::OriginId;
use semantics::Scheme;
use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

/// The route table. First match wins; what matches none is header-driven.
#[derive(Clone)]
pub struct Routes {
    pub routes: Vec<(Matcher, Arc<Route>)>,
    pub unmatched: Arc<Route>,
}

impl Routes {
    pub fn find(&self, method: &str, host: &str, path: &str) -> &Arc<Route> {
        if self.routes.is_empty() {
            return &self.unmatched;
        }
        let ambiguous = pattern::is_ambiguous(path);
        let internal = pattern::is_framework_internal(path);
        let fits = |matcher: &Matcher, route: &Route| {
            let page = !route.policy.is_isr() || (!ambiguous && (!internal || matcher.spells_internals()));
            page && matcher.matches(method, host, path)
        };
        self.routes.iter().find(|(m, r)| fits(m, r)).map_or(&self.unmatched, |(_, route)| route)
    }

    pub fn all(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.routes.iter().map(|(_, r)| r).chain(std::iter::once(&self.unmatched))
    }
}

/// Which hosts are served, and under which name each is stored (semantics 43).
#[derive(Clone)]
pub struct Hosts {
    /// Each list is one site; its first name is the one sent to the origin.
    pub sites: Vec<Vec<String>>,
    /// Of each origin's first server. The first origin's stands for a missing Host field in HTTP/1.0; without `sites` pages
    /// that are generated before anybody asks are stored under their own origin's.
    pub authorities: Vec<String>,
}

impl Hosts {
    /// Of an origin's first server.
    pub fn authority(&self, origin: OriginId) -> &str {
        self.authorities.get(origin).map_or("", String::as_str)
    }

    /// The site's canonical host; `None` when it is not one of ours.
    pub fn canonical<'a>(&'a self, host: Option<&'a str>, scheme: Scheme) -> Option<Cow<'a, str>> {
        let host = normalise(host.unwrap_or(self.authority(0)), scheme);
        if self.sites.is_empty() {
            return Some(host);
        }
        // A name without a port stands for the site at every port that it listens on.
        let bare = without_port(&host);
        let site = self.sites.iter().find(|names| names.iter().any(|n| *n == *host || n == bare))?;
        site.first().map(|first| Cow::Borrowed(first.as_str()))
    }
}

/// Lower case, without the scheme's default port and without the root's dot.
fn normalise(host: &str, scheme: Scheme) -> Cow<'_, str> {
    let default = match scheme {
        Scheme::Http => ":80",
        Scheme::Https => ":443",
    };
    let host = host.strip_suffix(default).unwrap_or(host);
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    }
}

pub(super) fn without_port(host: &str) -> &str {
    match host.rfind(':') {
        Some(at) if !host[at..].contains(']') => &host[..at],
        _ => host,
    }
}

/// Who is believed about the client's address and scheme.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    pub proxies: Vec<IpNet>,
    /// A listener of ours speaks TLS.
    pub tls: bool,
}

impl Trust {
    /// The scheme that visitors come with, where nobody says: https, if that is spoken here or in front.
    pub fn usual_scheme(&self) -> Scheme {
        if self.tls || !self.proxies.is_empty() { Scheme::Https } else { Scheme::Http }
    }

    pub fn of(&self, peer: IpAddr) -> bool {
        self.proxies.iter().any(|net| net.contains(peer))
    }

    /// The client's address: the peer's, or the last one in X-Forwarded-For that is no trusted proxy's. What stands
    /// before an entry that is not an address, nobody vouches for.
    pub fn client<'v>(&self, peer: IpAddr, forwarded_for: impl DoubleEndedIterator<Item = &'v [u8]>) -> IpAddr {
        let mut client = peer;
        let mut hops = forwarded_for.rev().flat_map(|value| value.rsplit(|b| *b == b','));
        while self.of(client) {
            let told = hops.next().and_then(|hop| std::str::from_utf8(hop.trim_ascii()).ok());
            let Some(address) = told.and_then(|text| text.parse::<IpAddr>().ok()) else { break };
            client = address.to_canonical();
        }
        client
    }

    /// The client's scheme: the listener's, or what a trusted proxy in front says (semantics 43).
    pub fn scheme(&self, peer: IpAddr, fields: &[semantics::Field<'_>], listener: Scheme) -> Scheme {
        if self.proxies.is_empty() || !self.of(peer) {
            return listener;
        }
        let told = fields.iter().find(|f| f.is("x-forwarded-proto")).map(|f| f.value);
        let told = told.or_else(|| fields.iter().rfind(|f| f.is("forwarded")).and_then(|f| forwarded_proto(f.value)));
        match told {
            Some(told) if told.eq_ignore_ascii_case(b"https") => Scheme::Https,
            Some(_) => Scheme::Http,
            None => listener,
        }
    }
}

/// What the nearest proxy says in Forwarded of the scheme by which it was asked (RFC 7239, 5.4).
fn forwarded_proto(value: &[u8]) -> Option<&[u8]> {
    let nearest = value.rsplit(|b| *b == b',').next()?;
    let proto = nearest.split(|b| *b == b';').map(<[u8]>::trim_ascii).find_map(|pair| {
        let (name, value) = pair.split_at_checked("proto=".len())?;
        name.eq_ignore_ascii_case(b"proto=").then_some(value)
    })?;
    Some(proto.strip_prefix(b"\"").and_then(|proto| proto.strip_suffix(b"\"")).unwrap_or(proto))
}
