//! The visit that `GET /v1/explain` is asked about: a URL, field lines and a method, read strictly.

use crate::admin::problem::Problem;
use crate::admin::query::{Query, shortened};
use http::Method;
use semantics::page::as_sent;
use semantics::{Field, Scheme};

/// The longest URL, in characters.
const URL_AT_MOST: usize = 8192;

/// The visit. Path and query are as a client would send them.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::admin) struct Asked {
    /// GET or HEAD.
    pub(in crate::admin) method: Method,
    pub(in crate::admin) scheme: Scheme,
    /// `None`: the site's first.
    pub(in crate::admin) host: Option<String>,
    pub(in crate::admin) path: String,
    pub(in crate::admin) query: Option<String>,
    lines: Vec<(String, String)>,
}

impl Asked {
    pub(in crate::admin) fn read(query: Option<&str>) -> Result<Self, Problem> {
        let mut query = Query::parse(query)?;
        let url = query.take("url")?;
        let headers = query.take_all("header");
        let method = query.take("method")?;
        query.end(&["url", "header", "method"])?;
        let Some(url) = url else {
            return Err(Problem::unprocessable("`url` is missing: a URL or a path, `url=/blog/hello` for example"));
        };
        let mut asked = Asked::of(&url, &headers)?;
        asked.method = match method.as_deref() {
            None | Some("GET") => Method::GET,
            Some("HEAD") => Method::HEAD,
            Some(other) => {
                let other = shortened(other, 60);
                return Err(Problem::unprocessable(format!(
                    "`method` must be `GET` or `HEAD`, not `{other}`: all others go to the origin as they come"
                )));
            }
        };
        Ok(asked)
    }

    /// A GET of this URL, or of a path of the site's first host, with these field lines.
    ///
    /// # Errors
    /// Names what cannot be read.
    pub(in crate::admin) fn of(url: &str, headers: &[String]) -> Result<Self, Problem> {
        let mut asked = visited(url)?;
        for header in headers {
            asked.lines.push(line(header)?);
        }
        // In a URL the host stands already, and counts for more (RFC 9112, 3.2.2).
        if asked.host.is_none() {
            asked.host = asked.lines.iter().find(|(name, _)| name.eq_ignore_ascii_case("host")).map(|(_, v)| v.clone());
        }
        Ok(asked)
    }

    pub(in crate::admin) fn fields(&self) -> Vec<Field<'_>> {
        self.lines.iter().map(|(name, value)| Field { name, value: value.as_bytes() }).collect()
    }
}

/// An http(s) URL, or a path on the site's first host.
fn visited(url: &str) -> Result<Asked, Problem> {
    let wrong = |what: &str| Err(Problem::unprocessable(format!("`url` {what}: `{}`", shortened(url, 100))));
    if url.chars().nth(URL_AT_MOST).is_some() {
        return wrong("is longer than 8192 characters");
    }
    if url.contains('#') {
        return wrong("has a fragment, which no client sends: leave out what begins at the `#`");
    }
    let (scheme, host, rest) = if url.starts_with('/') {
        (Scheme::Http, None, url)
    } else {
        let Some((scheme, after)) = strip_scheme(url) else {
            return wrong("must be a path or begin with `http://` or `https://`");
        };
        let (host, rest) = after.split_at(after.find(['/', '?']).unwrap_or(after.len()));
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"-._~:[]".contains(&b);
        if host.is_empty() || !host.bytes().all(fits) {
            return wrong("has no host, or one that is none");
        }
        (scheme, Some(host.to_owned()), rest)
    };
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (path, Some(as_sent(query))),
        None => (rest, None),
    };
    let path = if path.is_empty() { "/".to_owned() } else { as_sent(path) };
    Ok(Asked { method: Method::GET, scheme, host, path, query, lines: Vec::new() })
}

fn strip_scheme(url: &str) -> Option<(Scheme, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    [Scheme::Http, Scheme::Https].into_iter().find(|s| scheme.eq_ignore_ascii_case(s.as_str())).map(|s| (s, rest))
}

/// `Name: value`.
fn line(text: &str) -> Result<(String, String), Problem> {
    let token = |name: &str| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
    };
    match text.split_once(':') {
        Some((name, value)) if token(name) && value.bytes().all(|b| matches!(b, b' '..=b'~')) => {
            Ok((name.to_owned(), value.trim().to_owned()))
        }
        _ => Err(Problem::unprocessable(format!(
            "`header` must be `Name: value` in printable ASCII, not `{}`",
            shortened(text, 100)
        ))),
    }
}
