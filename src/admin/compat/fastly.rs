//! Fastly's purge calls (www.fastly.com/documentation/reference/api/purging), by one surrogate key, by several, of
//! everything, and of a URL. A surrogate key is a tag.
//!
//! It does not know Fastly's other calls, nor the method PURGE, which visitors' addresses take.

use super::{Selected, everything, page, purge, read};
use crate::admin::body::check_tag;
use crate::admin::problem::{Problem, json, written};
use crate::admin::query::Query;
use crate::admin::takes_json;
use crate::proxy::Site;
use crate::service::{Request, Response};
use engine::invalidate::{Mode, Target};
use http::StatusCode;
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// How its paths begin.
pub(super) const BASES: [&str; 2] = ["/service/", "/purge/"];
/// The field that carries the token.
pub(super) const KEY: &str = "fastly-key";
/// Makes a purge soft. Its value is not important, says the documentation.
const SOFT: &str = "fastly-soft-purge";
const KEYS: &str = "surrogate-key";
const EXAMPLE: &str = "{\"surrogate_keys\": [\"key_1\", \"key_2\"]}";

#[derive(Clone, Copy, Debug)]
pub(super) enum Call<'r> {
    /// `/service/ID/purge/KEY`
    Key(&'r str),
    /// `/service/ID/purge`
    Keys,
    /// `/service/ID/purge_all`
    All,
    /// `/purge/URL`
    Url(&'r str),
}

impl<'r> Call<'r> {
    pub(super) fn at(path: &'r str) -> Option<Self> {
        if let Some(url) = path.strip_prefix("/purge/") {
            return Some(Call::Url(url));
        }
        let (service, call) = path.strip_prefix("/service/")?.split_once('/')?;
        match call {
            _ if service.is_empty() => None,
            "purge" => Some(Call::Keys),
            "purge_all" => Some(Call::All),
            // Fastly's own clients leave the slashes of a key as they are.
            _ => call.strip_prefix("purge/").filter(|key| !key.is_empty()).map(Call::Key),
        }
    }
}

#[derive(Serialize)]
struct Done {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
}

/// The body of a call for several keys.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Asked {
    surrogate_keys: Vec<String>,
}

#[derive(Serialize)]
struct Refusal<'a> {
    msg: &'static str,
    detail: &'a str,
}

pub(super) fn answer(site: &Site, call: Call<'_>, request: &Request) -> Result<Response, Problem> {
    // The query of a URL is the URL's.
    if !matches!(call, Call::Url(_)) {
        Query::parse(request.query.as_deref())?.end(&[])?;
    }
    let mode = if request.fields.contains_key(SOFT) { Mode::Soft } else { Mode::Hard };
    let one = |selected: Selected| -> Result<Response, Problem> {
        // The epoch is what logs and statistics know a purge by.
        let id = purge(site, vec![selected], mode)?.to_string();
        Ok(json(&Done { status: "ok", id: Some(id) }))
    };
    match call {
        Call::Key(key) => one(tagged(&decoded(key, "surrogate_key")?, "surrogate_key")?),
        Call::Url(url) => one(page(site, &unfolded(url)?, "cached_url")?),
        Call::Keys => several(site, &keys(request)?, mode),
        Call::All => {
            // It cannot be soft, says the documentation.
            purge(site, vec![everything(None)], Mode::Hard)?;
            Ok(json(&Done { status: "ok", id: None }))
        }
    }
}

fn several(site: &Site, keys: &[(String, String)], mode: Mode) -> Result<Response, Problem> {
    if keys.is_empty() {
        let detail = format!("no surrogate key is given: send `Surrogate-Key: key_1 key_2`, or `{EXAMPLE}`");
        return Err(Problem::unprocessable(detail));
    }
    let selected: Result<Vec<Selected>, Problem> = keys.iter().map(|(key, name)| tagged(key, name)).collect();
    let id = purge(site, selected?, mode)?.to_string();
    let ids: BTreeMap<&str, &str> = keys.iter().map(|(key, _)| (key.as_str(), id.as_str())).collect();
    Ok(json(&ids))
}

/// The keys in the field and in the body, each with the place where it stands.
fn keys(request: &Request) -> Result<Vec<(String, String)>, Problem> {
    let mut keys = Vec::new();
    for line in request.fields.get_all(KEYS) {
        let line = std::str::from_utf8(line.as_bytes());
        let line = line.map_err(|_| Problem::unprocessable("`Surrogate-Key` is not UTF-8"))?;
        keys.extend(line.split_ascii_whitespace().map(|key| (key.to_owned(), "Surrogate-Key".to_owned())));
    }
    let nothing = request.body.as_ref().is_ok_and(|body| body.is_empty());
    if !nothing {
        takes_json(request)?;
        let asked: Asked = read(request, EXAMPLE)?;
        let listed = asked.surrogate_keys.into_iter().enumerate();
        keys.extend(listed.map(|(i, key)| (key, format!("surrogate_keys[{i}]"))));
    }
    Ok(keys)
}

fn tagged(key: &str, name: &str) -> Result<Selected, Problem> {
    check_tag(key, name)?;
    Ok((Target::Tag(key.to_owned()), None))
}

/// Some clients encode a URL whole, as if it were one segment: no scheme or host has a `%`.
fn unfolded(url: &str) -> Result<Cow<'_, str>, Problem> {
    match url.split('/').next() {
        Some(first) if first.contains('%') => decoded(url, "cached_url"),
        _ => Ok(Cow::Borrowed(url)),
    }
}

fn decoded<'t>(text: &'t str, name: &str) -> Result<Cow<'t, str>, Problem> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map_err(|_| Problem::unprocessable(format!("`{name}` is not percent-encoded UTF-8")))
}

pub(super) fn refusal(status: StatusCode, detail: &str) -> Response {
    let msg = match status {
        // Clients know a bad token by these words.
        StatusCode::UNAUTHORIZED => "Provided credentials are missing or invalid",
        _ => status.canonical_reason().unwrap_or("Error"),
    };
    written(status, "application/json", &Refusal { msg, detail })
}
