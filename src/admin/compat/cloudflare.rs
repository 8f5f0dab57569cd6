//! Cloudflare's purge call (developers.cloudflare.com/api/resources/cache/methods/purge), and the one that asks whether a
//! token is good.
//!
//! It does not know that Cloudflare's tags have no case: Larder's have, since those of its other sources do.

use super::{Selected, everything, host, or_root, page, parted, purge, read, schemed};
use crate::admin::body::{check_tag, path};
use crate::admin::problem::{Problem, json, written};
use crate::admin::query::{Query, shortened};
use crate::proxy::Site;
use crate::service::{Request, Response};
use engine::invalidate::{Mode, Target};
use http::StatusCode;
use semantics::Scheme;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How its paths begin.
pub(super) const BASE: &str = "/client/v4/";
/// The field that carried the key before there were tokens. The address that goes with it is not looked at.
pub(super) const LEGACY_KEY: &str = "x-auth-key";
const EXAMPLE: &str = "{\"files\": [\"https://www.example.com/a\"]}";

#[derive(Clone, Copy, Debug)]
pub(super) enum Call<'r> {
    /// `zones/ZONE/purge_cache`
    Purge { zone: &'r str },
    /// `user/tokens/verify`
    Verify,
}

impl<'r> Call<'r> {
    pub(super) fn at(path: &'r str) -> Option<Self> {
        let call = path.strip_prefix(BASE)?;
        if call == "user/tokens/verify" {
            return Some(Call::Verify);
        }
        let zone = call.strip_prefix("zones/")?.strip_suffix("/purge_cache")?;
        (!zone.is_empty() && !zone.contains('/')).then_some(Call::Purge { zone })
    }
}

/// The body of a purge: one of these has something in it.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Asked {
    purge_everything: bool,
    files: Vec<File>,
    tags: Vec<String>,
    hosts: Vec<String>,
    prefixes: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a file is a URL, or an object with `url` and, where wanted, `headers`")]
enum File {
    Url(String),
    OneVariant(OneVariant),
}

/// Larder purges all variants of a page, so what tells them apart is not needed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OneVariant {
    url: String,
    #[serde(default, rename = "headers")]
    _headers: BTreeMap<String, String>,
}

/// What every answer is wrapped in.
#[derive(Serialize)]
struct Envelope<'a, T> {
    success: bool,
    errors: Vec<Note<'a>>,
    messages: Vec<Note<'a>>,
    result: Option<T>,
}

#[derive(Serialize)]
struct Note<'a> {
    code: u16,
    message: &'a str,
}

#[derive(Serialize)]
struct Purged<'a> {
    id: &'a str,
}

#[derive(Serialize)]
struct Verified {
    id: &'static str,
    status: &'static str,
}

pub(super) fn answer(site: &Site, call: Call<'_>, request: &Request) -> Result<Response, Problem> {
    Query::parse(request.query.as_deref())?.end(&[])?;
    let zone = match call {
        Call::Purge { zone } => zone,
        Call::Verify => {
            let message = Note { code: 10000, message: "This API Token is valid and active" };
            let result = Verified { id: "larder", status: "active" };
            return Ok(json(&Envelope {
                success: true,
                errors: vec![],
                messages: vec![message],
                result: Some(result),
            }));
        }
    };
    let asked: Asked = read(request, EXAMPLE)?;
    purge(site, asked.selected(site)?, Mode::Hard)?;
    Ok(json(&Envelope { success: true, errors: vec![], messages: vec![], result: Some(Purged { id: zone }) }))
}

impl Asked {
    fn selected(&self, site: &Site) -> Result<Vec<Selected>, Problem> {
        let lists = [self.files.len(), self.tags.len(), self.hosts.len(), self.prefixes.len()];
        match lists.into_iter().filter(|length| *length > 0).count() + usize::from(self.purge_everything) {
            1 => {}
            0 => {
                // In Cloudflare's own words.
                let detail =
                    "Request must contain one of \"purge_everything\", \"files\", \"tags\", \"hosts\" or \"prefixes\"";
                return Err(Problem::unprocessable(detail));
            }
            _ => {
                let detail = "a call takes one of `purge_everything`, `files`, `tags`, `hosts` and `prefixes`: send the \
                              others in calls of their own";
                return Err(Problem::unprocessable(detail));
            }
        }
        let mut selected = Vec::new();
        if self.purge_everything {
            selected.push(everything(None));
        }
        for (i, file) in self.files.iter().enumerate() {
            let (File::Url(url) | File::OneVariant(OneVariant { url, .. })) = file;
            selected.push(absolute(site, url, &format!("files[{i}]"))?);
        }
        for (i, tag) in self.tags.iter().enumerate() {
            check_tag(tag, &format!("tags[{i}]"))?;
            selected.push((Target::Tag(tag.clone()), None));
        }
        for (i, name) in self.hosts.iter().enumerate() {
            selected.push(everything(Some(host(site, name, Scheme::Http, &format!("hosts[{i}]"))?)));
        }
        for (i, text) in self.prefixes.iter().enumerate() {
            selected.push(prefix(site, text, &format!("prefixes[{i}]"))?);
        }
        Ok(selected)
    }
}

fn absolute(site: &Site, url: &str, name: &str) -> Result<Selected, Problem> {
    if schemed(url).is_none() {
        let url = shortened(url, 100);
        let detail = format!("`{name}` must be a URL that begins with `http://` or `https://`: `{url}`");
        return Err(Problem::unprocessable(detail));
    }
    page(site, url, name)
}

/// `www.example.com/foo`, without a scheme and without a query.
fn prefix(site: &Site, text: &str, name: &str) -> Result<Selected, Problem> {
    if schemed(text).is_some() {
        let text = shortened(text, 100);
        let detail = format!("`{name}` has a scheme: leave it out, a prefix begins with its host: `{text}`");
        return Err(Problem::unprocessable(detail));
    }
    let (authority, rest) = parted(text);
    let host = host(site, authority, Scheme::Http, name)?;
    Ok((Target::Prefix(path(or_root(rest), name)?), Some(host)))
}

pub(super) fn refusal(status: StatusCode, detail: &str) -> Response {
    let code = match status {
        // Authentication error
        StatusCode::UNAUTHORIZED => 10000,
        // Unauthorized to access requested resource
        StatusCode::FORBIDDEN => 9109,
        // No route for that URI
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => 7000,
        // A request that cannot be used
        status if status.is_client_error() => 1012,
        _ => 1000,
    };
    let errors = vec![Note { code, message: detail }];
    let envelope: Envelope<'_, ()> = Envelope { success: false, errors, messages: vec![], result: None };
    written(status, "application/json", &envelope)
}
