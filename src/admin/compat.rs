//! Other products' ways to purge (`admin.compat`): what speaks to Fastly or to Cloudflare is pointed here by its base URL
//! and its token. This page finds the call, judges token and scope, and invalidates; how each product writes its calls
//! and answers is in the rooms below.
//!
//! It knows no services and no zones: Larder is one site, and every identifier means it.

mod cloudflare;
mod fastly;

use super::auth::{self, Scope, Tokens};
use super::problem::Problem;
use super::query::shortened;
use super::revalidate::SELECTORS_AT_MOST;
use super::{Admin, Api, body, takes_json};
use crate::proxy::{Site, is_authority};
use crate::service::{Request, Response};
use engine::invalidate::{Invalidation, Mode, Target};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use semantics::Scheme;
use serde::de::DeserializeOwned;
use std::borrow::Cow;

/// A product whose purge calls are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vendor {
    Fastly,
    Cloudflare,
}

/// A call of one of them, as its path has it.
#[derive(Clone, Copy, Debug)]
enum Call<'r> {
    Fastly(fastly::Call<'r>),
    Cloudflare(cloudflare::Call<'r>),
}

/// Something that a call names, and for which host; `None`: for any.
type Selected = (Target, Option<String>);

impl Vendor {
    /// Whose paths these are.
    pub(super) fn at(path: &str) -> Option<Vendor> {
        if path.starts_with(cloudflare::BASE) {
            return Some(Vendor::Cloudflare);
        }
        fastly::BASES.into_iter().any(|base| path.starts_with(base)).then_some(Vendor::Fastly)
    }

    /// The scope of the token that a request carries in one of the product's own fields.
    fn scope_of(self, tokens: &Tokens, fields: &HeaderMap) -> Option<Scope> {
        match self {
            Vendor::Fastly => tokens.scope_by(only(fields, fastly::KEY)?),
            Vendor::Cloudflare => {
                tokens.scope_of(fields).or_else(|| tokens.scope_by(only(fields, cloudflare::LEGACY_KEY)?))
            }
        }
    }

    fn without_token(self) -> Problem {
        let (sent, challenge) = match self {
            Vendor::Fastly => ("`Fastly-Key: TOKEN`", "Fastly-Key"),
            Vendor::Cloudflare => ("`Authorization: Bearer TOKEN` or `X-Auth-Key: TOKEN`", "Bearer"),
        };
        let detail = format!("no token that is known: send {sent} with `admin.token` or one of `admin.tokens`");
        Problem::new(StatusCode::UNAUTHORIZED, detail).with_field("www-authenticate", challenge)
    }

    /// A refusal in the product's own form.
    fn refusal(self, problem: Problem) -> Response {
        let (status, detail, field) = problem.into_parts();
        // Neither of them has a 422: what they cannot use is 400.
        let status = if status == StatusCode::UNPROCESSABLE_ENTITY { StatusCode::BAD_REQUEST } else { status };
        let response = match self {
            Vendor::Fastly => fastly::refusal(status, &detail),
            Vendor::Cloudflare => cloudflare::refusal(status, &detail),
        };
        match field {
            Some((name, value)) => response.with(name, value),
            None => response,
        }
    }
}

impl<'r> Call<'r> {
    fn at(vendor: Vendor, path: &'r str) -> Result<Self, Problem> {
        let call = match vendor {
            Vendor::Fastly => fastly::Call::at(path).map(Call::Fastly),
            Vendor::Cloudflare => cloudflare::Call::at(path).map(Call::Cloudflare),
        };
        call.ok_or_else(|| {
            let path = shortened(path, 100);
            Problem::new(
                StatusCode::NOT_FOUND,
                format!("there is no `{path}`: Larder has this API's purge calls alone"),
            )
        })
    }

    /// A GET that changes nothing; all others are POST.
    fn only_reads(self) -> bool {
        matches!(self, Call::Cloudflare(cloudflare::Call::Verify))
    }
}

/// Judges a call by its head.
///
/// # Errors
/// What it is refused with.
pub(super) fn admit(admin: &Admin, vendor: Vendor, request: &Request) -> Result<(), Response> {
    judge(admin, vendor, request).map_err(|problem| vendor.refusal(problem))
}

fn judge(admin: &Admin, vendor: Vendor, request: &Request) -> Result<(), Problem> {
    auth::at_home(admin.address, &request.fields)?;
    let scope = vendor.scope_of(&admin.tokens.load(), &request.fields).ok_or_else(|| vendor.without_token())?;
    let call = Call::at(vendor, &request.path)?;
    let (allow, fits) = if call.only_reads() {
        ("GET, HEAD", request.method == Method::GET || request.method == Method::HEAD)
    } else {
        ("POST", request.method == Method::POST)
    };
    if !fits {
        let detail = format!("`{}` takes {allow} alone", shortened(&request.path, 100));
        return Err(Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail).with_field("allow", allow));
    }
    if call.only_reads() {
        return Ok(());
    }
    // In other words it is the same order.
    if !scope.allows(Api::Revalidate) {
        let detail = format!("a token of scope `{}` may not do this: use one that may", scope.as_str());
        return Err(Problem::new(StatusCode::FORBIDDEN, detail));
    }
    // Most of Fastly's calls have no body, and its clients call that what they like: who has one is asked for its kind later.
    if vendor == Vendor::Cloudflare { takes_json(request) } else { Ok(()) }
}

/// Answers a call that was admitted.
pub(super) fn answer(admin: &Admin, vendor: Vendor, request: &Request) -> Response {
    let answered = Call::at(vendor, &request.path).and_then(|call| match call {
        Call::Fastly(call) => fastly::answer(&admin.site(), call, request),
        Call::Cloudflare(call) => cloudflare::answer(&admin.site(), call, request),
    });
    answered.unwrap_or_else(|problem| vendor.refusal(problem))
}

/// Invalidates all that is selected, or nothing, and returns the epoch.
fn purge(site: &Site, selected: Vec<Selected>, mode: Mode) -> Result<u64, Problem> {
    if selected.len() > SELECTORS_AT_MOST {
        let detail =
            format!("{} selectors, of which a call takes {SELECTORS_AT_MOST}: send them in parts", selected.len());
        return Err(Problem::unprocessable(detail));
    }
    let each = |(target, host)| Invalidation { target, host, mode };
    let all: Vec<Invalidation> = selected.into_iter().map(each).collect();
    let invalidated = site.invalidate(&all).map_err(|error| super::revalidate::not_kept(&error))?;
    Ok(invalidated.epoch)
}

/// Everything that is stored, of one host or of all.
fn everything(host: Option<String>) -> Selected {
    (Target::Prefix("/".to_owned()), host)
}

/// The page at a URL with all its variants and queries: what follows a `?` is left out. A URL without a scheme begins with
/// its host.
fn page(site: &Site, url: &str, name: &str) -> Result<Selected, Problem> {
    let (scheme, rest) = schemed(url).unwrap_or((Scheme::Http, url));
    let (authority, path) = parted(rest);
    let path = path.split('?').next().unwrap_or_default();
    let host = host(site, authority, scheme, name)?;
    Ok((Target::Path(body::path(or_root(path), name)?), Some(host)))
}

/// The scheme of a URL, and what follows.
fn schemed(url: &str) -> Option<(Scheme, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    [Scheme::Http, Scheme::Https].into_iter().find(|s| scheme.eq_ignore_ascii_case(s.as_str())).map(|s| (s, rest))
}

/// A host, and what follows it.
fn parted(text: &str) -> (&str, &str) {
    text.split_at(text.find(['/', '?', '#']).unwrap_or(text.len()))
}

fn or_root(path: &str) -> &str {
    if path.is_empty() { "/" } else { path }
}

/// The host under which a site's pages are stored; one that is not served stays as it is, and selects nothing (semantics
/// 39).
fn host(site: &Site, text: &str, scheme: Scheme, name: &str) -> Result<String, Problem> {
    if !is_authority(text) {
        let text = shortened(text, 100);
        let detail = format!("`{name}` has no host as visitors ask for it, `www.example.com` for example: `{text}`");
        return Err(Problem::unprocessable(detail));
    }
    let canonical = site.hosts.canonical(Some(text), scheme);
    Ok(canonical.map_or_else(|| text.to_ascii_lowercase(), Cow::into_owned))
}

/// Reads a request's JSON body; `example` is one.
fn read<T: DeserializeOwned>(request: &Request, example: &str) -> Result<T, Problem> {
    if request.body.as_ref().is_ok_and(|body| !body.trim_ascii_start().starts_with(b"{")) {
        let detail = format!("the body must be a JSON object: `{example}` for example");
        return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
    }
    body::read(request)
}

/// The value of a field that stands once.
fn only<'f>(fields: &'f HeaderMap, name: &str) -> Option<&'f [u8]> {
    let mut lines = fields.get_all(name).iter().map(HeaderValue::as_bytes);
    let (line, None) = (lines.next()?, lines.next()) else { return None };
    Some(line.trim_ascii())
}
