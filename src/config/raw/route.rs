//! Keys of routes.

use super::values::{ByteSize, Duration, Limit, OneOrMore, OnlyAutoOrNone, Percent, RoutesOnly, Status};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::num::{NonZeroU16, NonZeroU32, NonZeroUsize};

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
    pub(crate) fallback: Fallback,
    /// Pages that are generated before anybody asks for them.
    pub(crate) prerender: Option<Prerender>,
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
    /// Pages that somebody keeps asking for are regenerated before their window ends, so that nobody gets a stale one.
    #[schemars(extend("default" = false))]
    pub(crate) refresh_ahead: Option<bool>,
    /// Stores a page only from the nth request for it within 10 minutes on.
    #[schemars(extend("default" = 1))]
    pub(crate) admit_after: Option<NonZeroU32>,
    /// So many renders a minute: beyond them pages that are not stored are refused with 503, and stored ones stay as they are.
    #[schemars(extend("default" = "unlimited"))]
    pub(crate) renders_per_minute: Option<Limit<NonZeroU32>>,
    /// Good versions of each page that are kept, with the one that is served; more than 1 needs `store.disk`.
    #[schemars(extend("default" = 1))]
    pub(crate) history: Option<NonZeroU16>,
    /// The path of the page that stands for one that is being generated (`fallback: shell`).
    pub(crate) shell: Option<String>,
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
    /// Content codings that clients may get, the best first: `zstd`, `br`, `gzip`. They are made in the background of what is
    /// stored, once; what passes by the cache is coded on its way. `[]`: none.
    #[schemars(extend("default" = ["zstd", "br", "gzip"]))]
    pub(crate) compress: Option<Vec<Coding>>,
    /// What is known of the framework behind.
    pub(crate) preset: OnlyAutoOrNone,
}

/// A content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum Coding {
    Zstd,
    Br,
    Gzip,
}

/// What a visitor of an ISR page that is not generated yet gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(crate) enum Fallback {
    /// He waits for it.
    #[default]
    Blocking,
    /// 404, for paths that are on no list of `prerender`.
    NotFound,
    /// The page at `shell`, while his own is generated.
    Shell,
}

/// Pages that are generated before anybody asks for them. All sources count together.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Prerender {
    /// Paths.
    pub(crate) paths: Vec<String>,
    /// A file with a path or a URL in each line; `#` begins a comment. Relative to this file.
    pub(crate) file: Option<String>,
    /// A sitemap, or an index of them, on the route's origin: a path, or a URL of one of its hosts.
    pub(crate) sitemap: Option<String>,
    /// A JSON document on the route's origin.
    pub(crate) json: Option<JsonSource>,
    /// When.
    #[schemars(extend("default" = ["start", "activate"]))]
    pub(crate) on: Vec<Occasion>,
    /// Again after so long: new paths, and pages that are not fresh any more.
    pub(crate) every: Option<Duration>,
    /// So many pages at a time.
    pub(crate) concurrency: NonZeroUsize,
}

impl Default for Prerender {
    fn default() -> Self {
        Prerender {
            paths: Vec::new(),
            file: None,
            sitemap: None,
            json: None,
            on: vec![Occasion::Start, Occasion::Activate],
            every: None,
            concurrency: super::count(4),
        }
    }
}

/// Paths from a JSON document.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct JsonSource {
    /// Where it is: a path, or a URL of one of the route's hosts.
    pub(crate) url: String,
    /// Which strings in it: a JSON pointer, in which `*` stands for every element.
    pub(crate) pointer: String,
    /// The path that each makes: `{}` stands for the string, encoded as one segment.
    pub(crate) to: String,
}

/// When pages are generated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum Occasion {
    /// When Larder starts: those that are not stored.
    Start,
    /// When a deployment is activated.
    Activate,
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
