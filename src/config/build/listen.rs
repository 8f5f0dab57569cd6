//! The addresses of Larder itself.

use super::networks;
use crate::config::address::to_listen_on;
use crate::config::fault::{Fault, Location};
use crate::config::raw::{self, Root};
use crate::config::tree::Spot;
use crate::config::{Admin, Compat, Listener, Scope, ScopedToken};
use crate::tls;
use std::net::{Ipv4Addr, SocketAddr};

pub(super) struct Addresses {
    pub(super) listeners: Vec<Listener>,
    pub(super) admin: Admin,
    pub(super) metrics: Option<SocketAddr>,
}

const ADMIN_PORT: u16 = 9900;

pub(super) fn addresses(root: &Root, file: &Spot<'_>, faults: &mut Vec<Fault>) -> Addresses {
    let mut used = Vec::new();
    let mut listeners = Vec::new();
    if let Some(text) = &root.listen {
        let address = address(text, &file.key("listen"), &mut used, faults);
        listeners.extend(address.map(|address| Listener { address, tls: None, redirect: None, h2c: false }));
    }
    let several = file.key("server").key("listeners");
    let written = root.server.listeners.as_deref();
    if written.is_some_and(<[_]>::is_empty) {
        faults.push(several.fault("is an empty list: there is nothing to listen on"));
    }
    let secure = secure_port(written.unwrap_or_default());
    for (i, listener) in written.unwrap_or_default().iter().enumerate() {
        let spot = several.item(i);
        let tls = listener.tls.as_ref().map(|written| tls(written, &spot.key("tls"), faults));
        if listener.redirect_to_https && tls.is_some() {
            let fault = spot.key("redirect_to_https").fault("is for a listener without `tls`: here everybody has it");
            faults.push(fault.remedy("put it on the listener for http://, for example `:80`"));
        }
        if listener.h2c && tls.is_some() {
            let fault =
                spot.key("h2c").fault("is for a listener without `tls`: here clients choose HTTP/2 by themselves");
            faults.push(fault.remedy("leave it out"));
        }
        let (redirect, h2c) = (listener.redirect_to_https.then_some(secure), listener.h2c);
        let address = address(&listener.address, &spot.key("address"), &mut used, faults);
        listeners.extend(address.map(|address| Listener { address, tls, redirect, h2c }));
    }
    let metrics_spot = file.key("metrics").key("listen");
    Addresses {
        listeners,
        admin: admin(root, &file.key("admin"), &mut used, faults),
        metrics: root.metrics.listen.as_ref().and_then(|text| address(text, &metrics_spot, &mut used, faults)),
    }
}

/// Where https:// is served: here, or by whoever is in front.
fn secure_port(listeners: &[raw::Listener]) -> u16 {
    let first = listeners.iter().find(|listener| listener.tls.is_some());
    first.and_then(|listener| to_listen_on(&listener.address)).map_or(443, |address| address.port())
}

fn tls(written: &raw::Tls, spot: &Spot<'_>, faults: &mut Vec<Fault>) -> tls::Settings {
    let spot = spot.key("certificates");
    if written.certificates.is_empty() {
        let fault = spot.fault("is an empty list");
        faults.push(fault.remedy("for example `[{ cert: example.pem, key: example.key }]`"));
    }
    let files = |(i, files): (usize, &raw::CertificateFiles)| {
        for (key, path) in [("cert", &files.cert), ("key", &files.key)] {
            if path.is_empty() {
                faults.push(spot.item(i).key(key).fault("is empty").remedy("the path of a PEM file"));
            }
        }
        tls::Files { cert: files.cert.clone().into(), key: files.key.clone().into() }
    };
    let certificates = written.certificates.iter().enumerate().map(files).collect();
    let min_version = match written.min_version {
        raw::TlsVersion::Tls12 => tls::Version::Tls12,
        raw::TlsVersion::Tls13 => tls::Version::Tls13,
    };
    tls::Settings { certificates, min_version }
}

fn admin(root: &Root, spot: &Spot<'_>, used: &mut Vec<Used>, faults: &mut Vec<Fault>) -> Admin {
    let default = SocketAddr::from((Ipv4Addr::LOCALHOST, ADMIN_PORT));
    let listen = match &root.admin.listen {
        Some(text) => address(text, &spot.key("listen"), used, faults).unwrap_or(default),
        None => {
            take(default, "admin.listen", &spot.key("listen"), used, faults);
            default
        }
    };
    let token = root.admin.token.clone();
    if let Some(token) = &token {
        check_token(token, &spot.key("token"), faults);
    }
    // A token that is written but not understood is a fault already.
    if !listen.ip().to_canonical().is_loopback() && !spot.has("token") {
        let fault = spot.key("listen").fault("is no loopback address, and without a token it refuses to start");
        faults.push(fault.remedy("set `admin.token`, for example to ${LARDER_ADMIN_TOKEN}"));
    }
    let compat = root.admin.compat.iter().map(|product| match product {
        raw::Compat::Fastly => Compat::Fastly,
        raw::Compat::Cloudflare => Compat::Cloudflare,
    });
    let allowed = root.admin.purge_method.as_ref().map(|purge| purge.allow.as_slice()).unwrap_or_default();
    Admin {
        listen,
        token,
        tokens: tokens(&root.admin, &spot.key("tokens"), faults),
        compat: compat.collect(),
        purge_from: networks(allowed, &spot.key("purge_method").key("allow"), faults),
    }
}

fn tokens(admin: &raw::Admin, spot: &Spot<'_>, faults: &mut Vec<Fault>) -> Vec<ScopedToken> {
    let mut known: Vec<(&str, String)> = admin.token.iter().map(|t| (t.as_str(), "admin.token".to_owned())).collect();
    let mut tokens = Vec::new();
    for (i, raw::Token { token, scope }) in admin.tokens.iter().enumerate() {
        let spot = spot.item(i).key("token");
        check_token(token, &spot, faults);
        // The token itself is not shown: faults end up in logs.
        match known.iter().find(|(other, _)| *other == token.as_str()) {
            Some((_, name)) => faults.push(spot.fault(format!("is the same as `{name}`: which of them would count?"))),
            None => known.push((token.as_str(), spot.name.clone())),
        }
        let scope = match scope {
            raw::Scope::Revalidate => Scope::Revalidate,
            raw::Scope::Read => Scope::Read,
        };
        tokens.push(ScopedToken { token: token.clone(), scope });
    }
    tokens
}

fn check_token(token: &str, spot: &Spot<'_>, faults: &mut Vec<Fault>) {
    if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
        faults.push(spot.fault("must be visible ASCII without spaces: it is sent in a header field"));
    }
}

/// An address that is taken, under which name and where.
struct Used {
    address: SocketAddr,
    name: String,
    at: Location,
}

fn address(text: &str, spot: &Spot<'_>, used: &mut Vec<Used>, faults: &mut Vec<Fault>) -> Option<SocketAddr> {
    let Some(address) = to_listen_on(text) else {
        let fault = spot.fault(format!("is not an address to listen on: `{}`", text.escape_debug()));
        faults.push(fault.remedy("`IP:port`, `[IPv6]:port`, `localhost:port`, or `:port` for all addresses"));
        return None;
    };
    take(address, &spot.name, spot, used, faults);
    Some(address)
}

/// Two listeners cannot share a port where their addresses overlap; port 0 is a new one each time.
fn take(address: SocketAddr, name: &str, spot: &Spot<'_>, used: &mut Vec<Used>, faults: &mut Vec<Fault>) {
    let overlaps = |other: &SocketAddr| {
        let (mine, theirs) = (address.ip(), other.ip());
        address.port() == other.port() && (mine == theirs || mine.is_unspecified() || theirs.is_unspecified())
    };
    if address.port() != 0
        && let Some(other) = used.iter().find(|other| overlaps(&other.address))
    {
        let line = if other.at.line == 0 { String::new() } else { format!(" (line {})", other.at.line) };
        faults.push(spot.fault(format!("takes {address}, which `{}`{line} takes already", other.name)));
    }
    used.push(Used { address, name: name.to_owned(), at: spot.at() });
}
