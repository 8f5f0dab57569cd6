//! Whose site a URL is: pages are generated for hosts of the route alone, whatever a list says.

use super::Shop;
use crate::proxy::{Matcher, Site};
use engine::Route;
use semantics::{Scheme, page};
use std::net::SocketAddr;
use std::sync::Arc;

/// A page to generate: the site's host, and the path with its query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) scheme: Scheme,
    pub(super) host: String,
    pub(super) target: String,
}

/// Where a route's pages are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Home {
    pub(super) scheme: Scheme,
    pub(super) host: String,
}

/// A route as it is configured at present.
pub(super) struct Place {
    pub(super) site: Arc<Site>,
    pub(super) route: Arc<Route>,
    matcher: Matcher,
    listening: Vec<SocketAddr>,
}

/// Why something that a list says is not generated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum NotOurs {
    /// It is neither a path nor an http URL.
    NoUrl,
    Foreign,
    OtherRoute,
}

impl NotOurs {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            NotOurs::NoUrl => "is neither a path nor a URL",
            NotOurs::Foreign => "is on a host that is none of the route's: list yours under `hosts`",
            NotOurs::OtherRoute => "belongs to another route",
        }
    }
}

impl Place {
    /// `None`: there is no such route any more.
    pub(super) fn of(shop: &Shop, route: &str) -> Option<Place> {
        let site = shop.current.load_full();
        let (matcher, route) = site.routes.routes.iter().find(|(_, r)| &*r.name == route)?.clone();
        Some(Place { site, route, matcher, listening: shop.listening.clone() })
    }

    /// A route by itself, also one without a name of its own.
    pub(super) fn of_any(shop: &Shop, route: &Arc<Route>) -> Place {
        let site = shop.current.load_full();
        let named = site.routes.routes.iter().find(|(_, r)| Arc::ptr_eq(r, route)).map(|(matcher, _)| matcher.clone());
        let (matcher, route, listening) = (named.unwrap_or_default(), route.clone(), shop.listening.clone());
        Place { site, route, matcher, listening }
    }

    /// The hosts under which the route's pages are stored, each with the scheme that visitors come with.
    pub(super) fn homes(&self) -> Vec<Home> {
        let scheme = self.scheme();
        let sites = &self.site.hosts.sites;
        let fits = |names: &&Vec<String>| {
            self.matcher.hosts.is_empty() || names.iter().any(|name| self.matcher.hosts.contains(name))
        };
        let hosts: Vec<String> = if sites.is_empty() {
            if self.matcher.hosts.is_empty() { vec![self.authority()] } else { self.matcher.hosts.clone() }
        } else {
            sites.iter().filter(fits).filter_map(|names| names.first().cloned()).collect()
        };
        hosts.into_iter().map(|host| Home { scheme, host }).collect()
    }

    fn authority(&self) -> String {
        self.site.hosts.authority(self.route.origin).to_owned()
    }

    pub(super) fn scheme(&self) -> Scheme {
        self.site.trust.usual_scheme()
    }

    /// The home and the path of what stands in a list: a path is one of `home`, a URL of whatever host it names.
    pub(super) fn resolve(&self, text: &str, home: &Home) -> Result<Page, NotOurs> {
        let text = text.trim().split('#').next().unwrap_or_default();
        let (scheme, rest) = match absolute(text) {
            Some((scheme, rest)) => (scheme, rest),
            None if text.starts_with('/') && !text.starts_with("//") => {
                return Ok(Page { scheme: home.scheme, host: home.host.clone(), target: page::as_sent(text) });
            }
            None => return Err(NotOurs::NoUrl),
        };
        let (host, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let host = self.own_host(host, scheme).ok_or(NotOurs::Foreign)?;
        let slash = if path.starts_with('/') { "" } else { "/" };
        // Where nobody can come by https, a URL that says so means the page that there is.
        let scheme = if self.scheme() == Scheme::Http { Scheme::Http } else { scheme };
        Ok(Page { scheme, host, target: format!("{slash}{}", page::as_sent(path)) })
    }

    /// The same for a page, which has to be one of this route.
    pub(super) fn page(&self, text: &str, home: &Home) -> Result<Page, NotOurs> {
        let page = self.resolve(text, home)?;
        let path = page.target.split('?').next().unwrap_or_default();
        let of = self.site.routes.find("GET", &page.host, path);
        if Arc::ptr_eq(of, &self.route) { Ok(page) } else { Err(NotOurs::OtherRoute) }
    }

    /// The host under which pages of this one are stored; `None`: it is none of ours.
    fn own_host(&self, host: &str, scheme: Scheme) -> Option<String> {
        let hosts = &self.site.hosts;
        if !hosts.sites.is_empty() {
            return hosts.canonical(Some(host), scheme).map(|host| host.into_owned());
        }
        let host = hosts.canonical(Some(host), scheme)?;
        let authority = self.authority();
        let listens = || {
            let local = |address: &SocketAddr| {
                host.parse::<SocketAddr>() == Ok(*address) || *host == format!("localhost:{}", address.port())
            };
            self.listening.iter().any(local)
        };
        (*host == authority || self.matcher.hosts.iter().any(|h| *h == *host) || listens() || self.site.is_known(&host))
            .then_some(if self.matcher.hosts.iter().any(|h| *h == *host) { host.into_owned() } else { authority })
    }
}

fn absolute(text: &str) -> Option<(Scheme, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        _ => return None,
    };
    (!rest.is_empty() && !rest.starts_with('/')).then_some((scheme, rest))
}
