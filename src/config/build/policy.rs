//! From route keys to a policy.

use super::{check_cookies, guard, is_token};
use crate::config::fault::Fault;
use crate::config::raw::{
    BypassWhen as RawBypassWhen, Coding as RawCoding, Limit, OnUncacheable as RawOnUncacheable, Profile, Root,
    RouteKeys, SetCookie as RawSetCookie,
};
use crate::config::tree::Spot;
use http::{HeaderName, HeaderValue};
use semantics::Policy;
use semantics::coding::Coding;
use semantics::policy::{BypassWhen, NamePattern, OnUncacheable, QueryRule, Revalidate, SetCookie};
use std::num::{NonZeroU16, NonZeroU32};

/// The policy for requests that match no route. Its faults are those of `defaults`.
pub(super) fn unmatched(root: &Root, file: &Spot<'_>, faults: &mut Vec<Fault>) -> Policy {
    check(&root.defaults.keys, &file.key("defaults"), faults);
    policy(&root.defaults.keys, Revalidate::Origin, root)
}

/// What the keys of a route, its defaults included, make of it.
pub(super) fn policy(keys: &RouteKeys, revalidate: Revalidate, root: &Root) -> Policy {
    let draft = &root.draft;
    let mut policy = match revalidate {
        Revalidate::Origin if root.profile == Profile::Rfc9111 => Policy::plain(),
        Revalidate::Origin => Policy::header_driven(),
        window => Policy::isr(window),
    };
    if policy.is_isr() {
        policy.expire = keys.expire.map_or(policy.expire, |expire| expire.0);
        policy.override_origin = keys.override_origin.unwrap_or(false);
    }
    policy.bypass = keys.bypass.unwrap_or(false);
    policy.stale_if_error = keys.stale_if_error.and_then(Limit::get).map(|limit| limit.0);
    policy.draft_cookies.clone_from(&draft.cookies);
    policy.draft_secret.clone_from(&draft.secret.0);
    policy.refresh_ahead = keys.refresh_ahead.unwrap_or(false);
    policy.admit_after = keys.admit_after.map_or(1, NonZeroU32::get);
    policy.history = keys.history.map_or(1, NonZeroU16::get);
    policy.renders_per_minute = keys.renders_per_minute.and_then(Limit::get).map(NonZeroU32::get);
    if let Some(key) = &keys.key {
        if let Some(query) = &key.query {
            policy.query = QueryRule::Only(query.clone());
        }
        policy.key_headers = lower(&key.headers);
        policy.key_cookies.clone_from(&key.cookies);
    }
    if let Some(names) = &keys.forward_headers {
        policy.forward_headers = lower(names);
    }
    if let Some(names) = &keys.ignore_cookies {
        policy.ignore_cookies = name_patterns(names);
    }
    if let Some(statuses) = &keys.keep_on {
        policy.keep_on = statuses.iter().map(|status| status.0).collect();
    }
    if let Some(written) = &keys.guard {
        policy.guard = guard::guard(written);
    }
    match keys.set_cookie {
        Some(RawSetCookie::Strip) => policy.set_cookie = SetCookie::Strip,
        Some(RawSetCookie::Bypass) => policy.set_cookie = SetCookie::Bypass,
        None => {}
    }
    match keys.on_uncacheable {
        Some(RawOnUncacheable::Keep) => policy.on_uncacheable = OnUncacheable::Keep,
        Some(RawOnUncacheable::Drop) => policy.on_uncacheable = OnUncacheable::Drop,
        None => {}
    }
    if let Some(when) = &keys.bypass_when {
        policy.bypass_when = bypass_when(when);
    }
    if let Some(value) = &keys.browser_cache_control {
        policy.browser_cache_control = Some(value.clone());
    }
    if let Some(codings) = &keys.compress {
        policy.compress = codings.iter().map(|coding| coding_of(*coding)).collect();
    }
    if let Some(fields) = &keys.response_headers {
        policy.response_headers = fields.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    }
    policy
}

fn coding_of(written: RawCoding) -> Coding {
    match written {
        RawCoding::Zstd => Coding::Zstd,
        RawCoding::Br => Coding::Brotli,
        RawCoding::Gzip => Coding::Gzip,
    }
}

fn bypass_when(when: &RawBypassWhen) -> BypassWhen {
    BypassWhen { cookies: name_patterns(&when.cookies), headers: lower(&when.headers), query: when.query.clone() }
}

fn lower(names: &[String]) -> Vec<String> {
    names.iter().map(|name| name.to_ascii_lowercase()).collect()
}

fn name_patterns(names: &[String]) -> Vec<NamePattern> {
    names.iter().map(|name| NamePattern::parse(name)).collect()
}

/// Faults of the keys that stand at this place; keys that a route has from `defaults` are looked at there.
pub(super) fn check(keys: &RouteKeys, spot: &Spot<'_>, faults: &mut Vec<Fault>) {
    if let Some(key) = keys.key.as_ref().filter(|_| spot.has("key")) {
        let spot = spot.key("key");
        check_fields(&key.headers, &spot.key("headers"), faults);
        check_cookies(&key.cookies, &spot.key("cookies"), faults);
        check_parameters(key.query.as_deref().unwrap_or_default(), &spot.key("query"), faults);
    }
    if let Some(names) = keys.forward_headers.as_ref().filter(|_| spot.has("forward_headers")) {
        check_fields(names, &spot.key("forward_headers"), faults);
    }
    if let Some(names) = keys.ignore_cookies.as_ref().filter(|_| spot.has("ignore_cookies")) {
        check_cookie_patterns(names, &spot.key("ignore_cookies"), faults);
    }
    if let Some(written) = keys.guard.as_ref().filter(|_| spot.has("guard")) {
        guard::check(written, &spot.key("guard"), faults);
    }
    if let Some(when) = keys.bypass_when.as_ref().filter(|_| spot.has("bypass_when")) {
        let spot = spot.key("bypass_when");
        check_cookie_patterns(&when.cookies, &spot.key("cookies"), faults);
        check_fields(&when.headers, &spot.key("headers"), faults);
        check_parameters(&when.query, &spot.key("query"), faults);
    }
    if let Some(fields) = keys.response_headers.as_ref().filter(|_| spot.has("response_headers")) {
        let spot = spot.key("response_headers");
        for (name, value) in fields {
            check_response_field(name, value, &spot, faults);
        }
    }
    if let Some(value) = keys.browser_cache_control.as_ref().filter(|_| spot.has("browser_cache_control"))
        && !is_field_value(value)
    {
        faults.push(spot.key("browser_cache_control").fault("is not a value of a header field"));
    }
}

/// Fields that say how a message is cut up are the connection's own.
const FRAMING: [&str; 8] =
    ["connection", "content-length", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"];

fn check_response_field(name: &str, value: &str, spot: &Spot<'_>, faults: &mut Vec<Fault>) {
    if !is_field_name(name) {
        faults.push(spot.fault_of_key(name, "is not a name of a header field"));
    } else if FRAMING.contains(&name.to_ascii_lowercase().as_str()) {
        faults.push(spot.fault_of_key(name, "belongs to the connection, and cannot be set"));
    }
    if !is_field_value(value) {
        faults.push(spot.key(name).fault("is not a value of a header field"));
    }
}

fn check_fields(names: &[String], spot: &Spot<'_>, faults: &mut Vec<Fault>) {
    for (i, name) in names.iter().enumerate() {
        if !is_field_name(name) {
            let message = format!("is not a name of a header field: `{}`", name.escape_debug());
            faults.push(spot.item(i).fault(message));
        }
    }
}

fn check_cookie_patterns(names: &[String], spot: &Spot<'_>, faults: &mut Vec<Fault>) {
    for (i, name) in names.iter().enumerate() {
        let fixed = name.strip_suffix('*').unwrap_or(name);
        if name.is_empty() || fixed.contains('*') || !(fixed.is_empty() || is_token(fixed)) {
            let fault = spot.item(i).fault(format!("is not a cookie's name: `{}`", name.escape_debug()));
            faults.push(fault.remedy("a name, or its beginning with `*` at the end"));
        }
    }
}

fn check_parameters(names: &[String], spot: &Spot<'_>, faults: &mut Vec<Fault>) {
    for (i, name) in names.iter().enumerate() {
        if name.is_empty() || name.contains(['&', '=', '#', '?']) {
            faults.push(spot.item(i).fault(format!("is not a parameter's name: `{}`", name.escape_debug())));
        }
    }
}

fn is_field_name(name: &str) -> bool {
    HeaderName::from_bytes(name.as_bytes()).is_ok()
}

fn is_field_value(value: &str) -> bool {
    value.is_ascii() && HeaderValue::from_str(value).is_ok()
}
