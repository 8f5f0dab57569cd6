//! What operators send, read strictly: JSON bodies, and the paths, tags and hosts in them.

use super::problem::Problem;
use super::query::shortened;
use crate::proxy::{Site, is_authority};
use crate::service::{Request, TooLarge};
use http::StatusCode;
use semantics::{Scheme, page, tags};
use serde::de::{DeserializeOwned, IgnoredAny};

/// The longest path or prefix, in bytes.
const PATH_AT_MOST: usize = 8 * 1024;
/// The longest host, in bytes: longer ones cannot be names (RFC 1035, 2.3.4).
const HOST_AT_MOST: usize = 255;

/// Reads a request's JSON body.
///
/// # Errors
/// 413 for one that is too large, 400 for one that is no JSON, 422 for JSON that is not what is asked for.
pub(super) fn read<T: DeserializeOwned>(request: &Request) -> Result<T, Problem> {
    let body = request.body.as_ref().map_err(|TooLarge| {
        let detail = "the body is larger than 1 MiB: send less at a time";
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
    })?;
    let malformed = |what: String| {
        Problem::new(StatusCode::BAD_REQUEST, format!("the body is not JSON: {}", shortened(&what, 200)))
    };
    // All of it is looked at first: what is no JSON is 400, whatever stands before the place where it stops being some.
    let text = std::str::from_utf8(body).map_err(|error| malformed(error.to_string()))?;
    serde_json::from_str::<IgnoredAny>(text).map_err(|error| malformed(error.to_string()))?;
    if !text.trim_start().starts_with('{') {
        return Err(Problem::unprocessable("the body must be a JSON object: `{\"paths\": [\"/\"]}` for example"));
    }
    let mut json = serde_json::Deserializer::from_str(text);
    let understood: Result<T, _> = serde_path_to_error::deserialize(&mut json);
    understood.map_err(|error| wrong(&error.path().to_string(), &error.inner().to_string()))
}

/// What serde says, with the member's path and without the place in the text.
fn wrong(path: &str, said: &str) -> Problem {
    let said = said.rfind(" at line ").map_or(said, |end| &said[..end]);
    let (what, expected) = said.rsplit_once(", expected ").unwrap_or((said, ""));
    let what = shortened(what, 100);
    let found = what.strip_prefix("invalid type: ").or_else(|| what.strip_prefix("invalid value: "));
    let path = shortened(path, 100);
    Problem::unprocessable(match found {
        Some(found) => format!("`{path}` must be {expected}, not {found}"),
        // An unknown, missing or duplicate field is named already.
        None if !what.contains(" field ") => format!("`{path}` cannot be understood: {what}"),
        None if expected.is_empty() => format!("{what}: /openapi.json describes what may be sent"),
        None => format!("{what}: expected {expected}"),
    })
}

/// A path or prefix in normal form. `name` is for the message.
///
/// # Errors
/// It is none.
pub(super) fn path(text: &str, name: &str) -> Result<String, Problem> {
    let wrong = |what: &str| Err(Problem::unprocessable(format!("`{name}` {what}: `{}`", shortened(text, 100))));
    if !text.starts_with('/') {
        return wrong("must begin with `/`");
    }
    if text.len() > PATH_AT_MOST {
        return wrong("is longer than 8 KiB, and so longer than any path that is served");
    }
    if text.contains(['?', '#']) {
        return wrong("has a `?` or `#`: leave out what begins there, a path stands for all its queries");
    }
    Ok(page::normal(text))
}

/// # Errors
/// It is no tag.
pub(super) fn check_tag(text: &str, name: &str) -> Result<(), Problem> {
    if text.is_empty() {
        return Err(Problem::unprocessable(format!("`{name}` is empty: a tag has 1 to {} characters", tags::MAX_TAG)));
    }
    if text.chars().nth(tags::MAX_TAG).is_some() {
        let detail = format!("`{name}` is longer than {} characters, and so longer than any tag", tags::MAX_TAG);
        return Err(Problem::unprocessable(detail));
    }
    if text.chars().any(char::is_control) {
        let detail = format!("`{name}` has control characters, which no tag has: `{}`", text.escape_debug());
        return Err(Problem::unprocessable(detail));
    }
    Ok(())
}

/// The host under which a site's pages are stored; one that is not served stays as it is, and selects nothing.
///
/// # Errors
/// It is no host.
pub(super) fn host(site: &Site, text: Option<&str>) -> Result<Option<String>, Problem> {
    let Some(text) = text else { return Ok(None) };
    if text.len() > HOST_AT_MOST {
        return Err(Problem::unprocessable(format!("`host` is longer than {HOST_AT_MOST} bytes, and so no host")));
    }
    if !is_authority(text) {
        let detail = "`host` is not a host: write it as visitors do, `example.com` or `example.com:8080`, or leave it out \
                      for every host";
        return Err(Problem::unprocessable(detail));
    }
    let canonical = site.hosts.canonical(Some(text), Scheme::Http);
    Ok(Some(canonical.map_or_else(|| text.to_ascii_lowercase(), std::borrow::Cow::into_owned)))
}
