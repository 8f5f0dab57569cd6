//! Addresses to listen on, hosts, and the URLs of origins.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const HTTPS_NEEDS_A_NAME: &str =
    "write the name that its certificate is for (an entry in /etc/hosts will do), or `http://`";

/// `IP:port`, `[IPv6]:port`, `localhost:port` or `:port`.
pub(super) fn to_listen_on(text: &str) -> Option<SocketAddr> {
    let full = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None if text.starts_with(':') => format!("0.0.0.0{text}"),
        None => text.to_owned(),
    };
    full.parse().ok()
}

/// `name`, `name:port`, `[IPv6]` or `[IPv6]:port`, as a name or address without brackets and a port.
pub(super) fn host_and_port(text: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.parse::<Ipv6Addr>().ok()?;
            (host, port)
        }
        None => {
            let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            if !is_name(host) {
                return None;
            }
            (host, port)
        }
    };
    if port.is_empty() {
        return Some((host, None));
    }
    let digits = port.strip_prefix(':').filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))?;
    let number = digits.parse::<u16>().ok().filter(|number| *number != 0)?;
    Some((host, Some(number)))
}

/// A name as in DNS, underscores included, or an IPv4 address.
fn is_name(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let numeric = host.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    host.len() <= 253 && host.split('.').all(label) && (!numeric || host.parse::<Ipv4Addr>().is_ok())
}

/// Why a URL is not an origin's, and what to write.
pub(super) struct NotAnOrigin {
    pub(super) message: &'static str,
    pub(super) remedy: String,
}

/// What an origin's URL says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OriginUrl {
    /// Without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// https
    pub(super) tls: bool,
}

pub(super) fn of_origin(url: &str) -> Result<OriginUrl, NotAnOrigin> {
    let wrong = |message, remedy: String| Err(NotAnOrigin { message, remedy });
    let Some((scheme, rest)) = url.split_once("://") else {
        return wrong("has no scheme", format!("write `http://{url}`"));
    };
    let tls = match scheme.to_ascii_lowercase().as_str() {
        "http" => false,
        "https" => true,
        _ => return wrong("must begin with `http://` or `https://`", format!("write `http://{rest}`")),
    };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if authority.contains('@') {
        return wrong("carries a user or a password, which are not sent", "remove what is before the `@`".to_owned());
    }
    if !matches!(path, "" | "/") {
        return wrong("must end with the host or the port", format!("write `{scheme}://{authority}`"));
    }
    match host_and_port(authority) {
        // No name, no proof: who answers there could be anybody.
        Some((host, _)) if tls && host.parse::<IpAddr>().is_ok() => {
            wrong("is https:// with an IP address, which no certificate is checked for", HTTPS_NEEDS_A_NAME.to_owned())
        }
        Some((host, port)) => {
            Ok(OriginUrl { host: host.to_owned(), port: port.unwrap_or(if tls { 443 } else { 80 }), tls })
        }
        None => wrong("has no valid host and port", "for example `http://127.0.0.1:3000`".to_owned()),
    }
}
