//! Keys of routes.

use super::values::{
    ByteSize, Duration, Limit, NotAvailable, OneOrMore, OnlyAutoOrNone, OnlyBlocking, OnlyFalse, OnlyOne,
    OnlyUnlimited, Percent, RoutesOnly, Status,
};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Requests that are treated alike.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Route {
    /// For logs and metrics. Absent: the first pattern.
    pub(crate) name: Option<String>,
    /// A path's pattern, a list of them, or `{path, host, methods}`: `*` stands for one segment, `**` for the rest,
    /// `{name}` captures a segment.
    #[serde(rename = "match")]
    pub(crate) matches: Match,
    /// The origin's name. Absent: the first origin.
    pub(crate) origin: Option<String>,
    /// How long a page is fresh: a duration, `never` (until it is invalidated) or `origin` (as its headers say).
    /// A duration or `never` makes it an ISR route.
    pub(crate) revalidate: Option<Revalidate>,
    /// What a visitor of a page that is not generated yet gets.
    #[serde(default)]
    pub(crate) fallback: OnlyBlocking,
    /// Pages that are generated before anybody asks for them.
    #[serde(default)]
    pub(crate) prerender: NotAvailable,
    /// Everything else.
    #[serde(flatten)]
    pub(crate) keys: RouteKeys,
}

/// Route keys for every request.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Defaults {
    pub(crate) name: RoutesOnly,
    #[serde(rename = "match")]
    pub(crate) matches: RoutesOnly,
    pub(crate) origin: RoutesOnly,
    pub(crate) revalidate: RoutesOnly,
    pub(crate) fallback: RoutesOnly,
    pub(crate) prerender: RoutesOnly,
    #[serde(flatten)]
    pub(crate) keys: RouteKeys,
}

/// The keys that `defaults` and routes share.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct RouteKeys {
    /// ISR routes: so long after its generation a page may be served stale.
    #[schemars(extend("default" = "365d"))]
    pub(crate) expire: Option<Duration>,
    /// So long past its freshness a stored response answers for a failing origin; `unlimited`: as long as it is stored.
    #[schemars(extend("default" = "unlimited"))]
    pub(crate) stale_if_error: Option<Limit<Duration>>,
    /// Refreshes pages before they are stale.
    pub(crate) refresh_ahead: OnlyFalse,
    /// Stores only from the nth request within 10 minutes.
    pub(crate) admit_after: OnlyOne,
    /// Renders a minute.
    pub(crate) renders_per_minute: OnlyUnlimited,
    /// Good versions that are kept.
    pub(crate) history: OnlyOne,
    /// The page that stands for one that is being generated.
    pub(crate) shell: NotAvailable,
    /// Tags of every page, by which it can be invalidated; `{name}` stands for the segment that the pattern captures.
    #[schemars(extend("default" = []))]
    pub(crate) tags: Option<Vec<String>>,
    /// What is in the cache key besides scheme, host and path.
    pub(crate) key: Option<KeyParts>,
    /// Fields that are also sent on fills and not in the key: your promise that the answer does not depend on them.
    #[schemars(extend("default" = []))]
    pub(crate) forward_headers: Option<Vec<String>>,
    /// Cookies that say nothing about the page; `*` at the end stands for any rest. Absent: the analytics ones.
    pub(crate) ignore_cookies: Option<Vec<String>>,
    /// What a page must look like to be stored.
    pub(crate) guard: Option<Guard>,
    /// Statuses that must not replace a good page.
    #[schemars(extend("default" = []))]
    pub(crate) keep_on: Option<Vec<Status>>,
    /// An answer with Set-Cookie: `strip` removes the field and stores, `bypass` does not store. Absent: `strip` on
    /// ISR routes, `bypass` on others.
    pub(crate) set_cookie: Option<SetCookie>,
    /// A stored page whose regeneration says `private` or `no-store`: `keep` counts that as a failure and drops it
    /// after the third, `drop` drops it at once. Absent: `keep` on ISR routes, `drop` on others.
    pub(crate) on_uncacheable: Option<OnUncacheable>,
    /// ISR routes: stores although the origin says `private` or `no-store`.
    #[schemars(extend("default" = false))]
    pub(crate) override_origin: Option<bool>,
    /// Every request passes by the cache.
    #[schemars(extend("default" = false))]
    pub(crate) bypass: Option<bool>,
    /// Requests that pass by the cache.
    pub(crate) bypass_when: Option<BypassWhen>,
    /// Fields that are added to every answer, in the place of the origin's of that name.
    pub(crate) response_headers: Option<BTreeMap<String, String>>,
    /// Cache-Control towards browsers. Absent: `public, max-age=0, must-revalidate` on ISR routes, the origin's on
    /// others.
    pub(crate) browser_cache_control: Option<String>,
    /// Encodings towards clients.
    pub(crate) compress: NotAvailable,
    /// What is known of the framework behind.
    pub(crate) preset: OnlyAutoOrNone,
}

/// What a route matches.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(crate) enum Match {
    Paths(OneOrMore),
    Full(FullMatch),
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FullMatch {
    /// A pattern, or a list of them.
    pub(crate) path: OneOrMore,
    /// A host, or a list of them. Absent: any.
    pub(crate) host: Option<OneOrMore>,
    /// Methods. Absent: any.
    #[schemars(extend("minItems" = 1))]
    pub(crate) methods: Option<Vec<String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(crate) enum Revalidate {
    Every(Duration),
    Word(RevalidateWord),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum RevalidateWord {
    Never,
    Origin,
}

/// Parts of the cache key. ISR routes: nothing but what is listed here.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct KeyParts {
    /// Query parameters; all others never reach the origin. Absent: none on ISR routes, all but tracking ones on
    /// others.
    pub(crate) query: Option<Vec<String>>,
    /// Request fields.
    pub(crate) headers: Vec<String>,
    /// Cookies.
    pub(crate) cookies: Vec<String>,
}

/// What a page must look like to be stored. A new version that does not is a failure, and the old one stays; a first
/// version goes to those who wait for it. Answers other than 200 are not guarded.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Guard {
    /// It has at least so many bytes.
    pub(crate) min_bytes: Option<ByteSize>,
    /// It is smaller by so much at most than the stored page whose place it takes; after a hard invalidation there is
    /// none.
    pub(crate) max_shrink: Option<Percent>,
    /// It has each of these texts in it, byte for byte.
    pub(crate) must_contain: Vec<String>,
    /// It has none of these texts in it.
    pub(crate) must_not_contain: Vec<String>,
    /// It is of this media type, with any parameters.
    pub(crate) content_type: Option<String>,
}

/// Requests that pass by the cache: those that have one of these.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct BypassWhen {
    /// Cookies; `*` at the end stands for any rest.
    pub(crate) cookies: Vec<String>,
    /// Request fields.
    pub(crate) headers: Vec<String>,
    /// Query parameters.
    pub(crate) query: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum SetCookie {
    Strip,
    Bypass,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum OnUncacheable {
    Keep,
    Drop,
}
