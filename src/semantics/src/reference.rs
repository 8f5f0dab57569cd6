//! References to other pages in the fields of an answer (RFC 3986, 5.2; RFC 9110, 8.7 and 10.2.2).

/// The path and query that a reference means from a page of this host, if it is of the same host. `base`: the page's own.
pub fn on_same_host(reference: &str, host: &str, base: &str) -> Option<String> {
    let reference = reference.split('#').next().unwrap_or_default();
    let Some(rest) = absolute(reference) else { return Some(resolve(base, reference)) };
    let (to_host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let to_host = to_host.strip_suffix(":80").or_else(|| to_host.strip_suffix(":443")).unwrap_or(to_host);
    to_host.eq_ignore_ascii_case(host).then(|| if path.is_empty() { "/".to_owned() } else { path.to_owned() })
}

/// What follows the scheme of an http URL, or the slashes of one without a scheme.
fn absolute(location: &str) -> Option<&str> {
    if let Some(rest) = location.strip_prefix("//") {
        return Some(rest);
    }
    let (scheme, rest) = location.split_once("://")?;
    (scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")).then_some(rest)
}

/// A relative reference against `base`, a path with its query (RFC 3986, 5.2, without `..`).
fn resolve(base: &str, reference: &str) -> String {
    let path = base.split('?').next().unwrap_or_default();
    match reference {
        "" => base.to_owned(),
        _ if reference.starts_with('/') => reference.to_owned(),
        _ if reference.starts_with('?') => format!("{path}{reference}"),
        _ => {
            let folder = path.rfind('/').map_or("/", |at| &path[..=at]);
            format!("{folder}{}", reference.strip_prefix("./").unwrap_or(reference))
        }
    }
}
