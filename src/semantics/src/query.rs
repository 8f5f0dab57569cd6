//! Which part of a query is keyed and sent on a fill (semantics 45).

use crate::policy::QueryRule;
use std::borrow::Cow;

/// Parameters that mark where a visitor came from and never change the page.
const TRACKING: [&str; 18] = [
    "utm_*",
    "gclid",
    "gclsrc",
    "dclid",
    "gbraid",
    "wbraid",
    "fbclid",
    "msclkid",
    "twclid",
    "ttclid",
    "li_fat_id",
    "igshid",
    "mc_cid",
    "mc_eid",
    "yclid",
    "_ga",
    "_gl",
    "_hsenc",
];

/// The keyed part of `query`, in the order received. `None` when nothing is left.
///
/// `rsc` says that the request carries `RSC`: then `_rsc` is keyed on every route (semantics 46).
pub fn keyed<'a>(query: Option<&'a str>, rule: &QueryRule, rsc: bool) -> Option<Cow<'a, str>> {
    let query = query.filter(|q| !q.is_empty())?;
    let keep = |name: &str| {
        (rsc && name == "_rsc")
            || match rule {
                QueryRule::All => true,
                QueryRule::AllButTracking => !is_tracking(name),
                QueryRule::Only(listed) => listed.iter().any(|l| l == name),
            }
    };
    if query.split('&').all(|pair| keep(name_of(pair))) {
        return Some(Cow::Borrowed(query));
    }
    let kept: Vec<&str> = query.split('&').filter(|pair| keep(name_of(pair))).collect();
    if kept.is_empty() { None } else { Some(Cow::Owned(kept.join("&"))) }
}

/// Whether a parameter of that name is present.
pub fn has(query: Option<&str>, name: &str) -> bool {
    query.is_some_and(|q| q.split('&').any(|pair| name_of(pair) == name))
}

fn name_of(pair: &str) -> &str {
    pair.split('=').next().unwrap_or(pair)
}

fn is_tracking(name: &str) -> bool {
    TRACKING.iter().any(|t| match t.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => *t == name,
    })
}
