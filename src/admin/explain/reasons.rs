//! What in a request, beside its key, changes what becomes of it. The rules are those of `semantics`, which decides:
//! here they are asked once for each part, so that the part can be named.

use super::words::Words;
use semantics::personal::{self, Personal};
use semantics::{Facts, Field, Policy, Request, query};

/// Why a request is passed before the cache is asked for it: the rules of `decision::admit`, in their order. `None`: it
/// is not.
pub(in crate::admin) fn passed_because(
    request: &Request<'_>,
    facts: &Facts<'_>,
    policy: &Policy,
    route: &str,
) -> Option<Words> {
    let because = |why: String, advice: String| Some(Words { why, advice });
    if policy.bypass {
        return because(
            format!("The route `{route}` says `bypass: true`: every request goes to the origin as it came."),
            format!("To have it cached, take `bypass: true` out of the route `{route}`."),
        );
    }
    if facts.upgrade {
        return because(
            "The request asks for another protocol (`Upgrade`), which is the origin's to speak.".to_owned(),
            "Without `Upgrade` it is an ordinary visit.".to_owned(),
        );
    }
    if facts.body {
        return because(
            "The request has a body, which is no part of a key: its answer may depend on it.".to_owned(),
            "Send the GET without a body.".to_owned(),
        );
    }
    if facts.authorization && policy.is_isr() && !policy.keys_header("authorization") {
        return because(
            "The request has Authorization: a member's answer is not the page's, so it goes to the origin as it came."
                .to_owned(),
            "If pages may be kept for each such visitor, the route can key it: `key: { headers: [authorization] }`."
                .to_owned(),
        );
    }
    if let Some(name) = cookie(request, |name| policy.draft_cookies.iter().any(|d| d.as_bytes() == name)) {
        return because(
            format!("The request has the cookie `{name}` of draft mode, which neither reads the cache nor writes it."),
            "Without the cookie, a visitor gets what is stored.".to_owned(),
        );
    }
    let (what, name) = bypassed_when(request, policy)?;
    because(
        format!("The request has the {what} `{name}`: `bypass_when` sends such requests to the origin as they came."),
        format!("Without that {what} it asks the cache: it is named in `bypass_when` of the route `{route}`."),
    )
}

fn bypassed_when(request: &Request<'_>, policy: &Policy) -> Option<(&'static str, String)> {
    let when = &policy.bypass_when;
    if let Some(name) = when.headers.iter().find(|name| request.field(name).is_some()) {
        return Some(("field", name.clone()));
    }
    if let Some(name) = when.query.iter().find(|name| query::has(request.query, name)) {
        return Some(("query parameter", name.clone()));
    }
    cookie(request, |name| when.cookies.iter().any(|pattern| pattern.matches(name))).map(|name| ("cookie", name))
}

fn cookie(request: &Request<'_>, wanted: impl Fn(&[u8]) -> bool) -> Option<String> {
    request.cookies().find(|(name, _)| wanted(name)).map(|(name, _)| text(name))
}

/// What of a request makes it personal, each part by name: ``the cookie `session` ``.
pub(in crate::admin) fn personal_parts(request: &Request<'_>, policy: &Policy, nominated: &[String]) -> Vec<String> {
    let alone = |field: Field<'_>| {
        let fields = [field];
        let request = Request { fields: &fields, ..*request };
        personal::judge(&request, &Facts::of(&fields), policy, nominated) == Personal::Yes
    };
    let mut parts = Vec::new();
    for (name, value) in request.cookies() {
        if alone(Field { name: "cookie", value: &[name, b"=", value].concat() }) {
            parts.push(format!("the cookie `{}`", text(name)));
        }
    }
    for field in request.fields.iter().filter(|field| !field.is("cookie")) {
        if alone(*field) {
            parts.push(format!("the field `{}`", field.name));
        }
    }
    let mut seen = Vec::new();
    parts.retain(|part| {
        let new = !seen.contains(part);
        if new {
            seen.push(part.clone());
        }
        new
    });
    parts
}

/// The names of the query parameters that are not keyed, each once. What is keyed is what is left of the query, in its
/// order.
pub(in crate::admin) fn dropped_query(query: Option<&str>, keyed: Option<&str>) -> Vec<String> {
    let mut kept = keyed.into_iter().flat_map(|query| query.split('&')).peekable();
    let mut dropped: Vec<String> = Vec::new();
    for pair in query.into_iter().flat_map(|query| query.split('&')) {
        if kept.next_if_eq(&pair).is_some() {
            continue;
        }
        let name = pair.split('=').next().unwrap_or(pair);
        if !name.is_empty() && !dropped.iter().any(|known| known == name) {
            dropped.push(name.to_owned());
        }
    }
    dropped
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
