//! What one route wants: Larder's opinions and the operator's choices, where no RFC decides.

use crate::coding::Coding;
use crate::guard::Guard;
use std::time::Duration;

/// How a route's revalidation window R is found (semantics 7 and 12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Revalidate {
    /// Header-driven: as the origin's fields say.
    #[default]
    Origin,
    /// An ISR route with a fixed window.
    Every(Duration),
    /// An ISR route whose pages stay fresh until they are invalidated.
    Never,
}

/// Whose rules hold on header-driven routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Profile {
    /// Larder's opinions beside the RFCs (semantics 1-12).
    #[default]
    Isr,
    /// Those of RFC 9111 alone: a plain HTTP cache.
    Rfc9111,
}

/// What happens to an answer with Set-Cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetCookie {
    /// Stored and replayed, as RFC 9111 (7.3) has it.
    Store,
    /// The field is removed and the answer stored.
    Strip,
    /// The answer is not stored.
    Bypass,
}

/// What happens to a stored page whose regeneration says `private` or `no-store` (semantics 33).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnUncacheable {
    /// Counted as a failure; dropped after three in a row, at least 30 s apart.
    Keep,
    Drop,
}

/// Which query parameters are part of the key; all others never reach the origin on a fill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueryRule {
    /// A plain cache: the target as it came (RFC 9111, 2).
    All,
    /// Header-driven: all but well-known tracking parameters.
    AllButTracking,
    /// ISR: only these.
    Only(Vec<String>),
}

/// A cookie name, or a prefix of names where the pattern ended in `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamePattern {
    Exact(String),
    Prefix(String),
}

impl NamePattern {
    pub fn parse(pattern: &str) -> Self {
        match pattern.strip_suffix('*') {
            Some(prefix) => NamePattern::Prefix(prefix.to_owned()),
            None => NamePattern::Exact(pattern.to_owned()),
        }
    }

    /// Cookie names are case-sensitive (RFC 6265, 5.3).
    pub fn matches(&self, name: &[u8]) -> bool {
        match self {
            NamePattern::Exact(exact) => exact.as_bytes() == name,
            NamePattern::Prefix(prefix) => name.starts_with(prefix.as_bytes()),
        }
    }
}

/// Requests that a route sends past the cache (`bypass_when`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BypassWhen {
    pub cookies: Vec<NamePattern>,
    pub headers: Vec<String>,
    pub query: Vec<String>,
}

impl BypassWhen {
    pub fn is_empty(&self) -> bool {
        self.cookies.is_empty() && self.headers.is_empty() && self.query.is_empty()
    }
}

/// The analytics cookies that say nothing about the page (semantics 2).
pub const ANALYTICS_COOKIES: [&str; 14] = [
    "_ga*",
    "_gid",
    "_gat*",
    "_gcl_*",
    "_fbp",
    "_fbc",
    "_hj*",
    "_pk_*",
    "__utm*",
    "_clck",
    "_clsk",
    "_uetsid",
    "_uetvid",
    "ajs_anonymous_id",
];

/// Next.js' cookie for draft mode (semantics 49).
pub const DRAFT_COOKIE: &str = "__prerender_bypass";

/// What browsers are told about an ISR page, which is Larder's to keep fresh (semantics 51).
pub const BROWSER_CACHE_CONTROL: &str = "public, max-age=0, must-revalidate";

/// What a visitor of an ISR page that is not generated yet gets (semantics 25 and 26).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Fallback {
    /// He waits for it.
    #[default]
    Blocking,
    /// 404 for a path that is on no list, without a word to the origin.
    NotFound,
    /// The page at this path, while his own is generated.
    Shell(String),
}

/// In a time that tells nobody how much of it he has right.
fn same_secret(secret: &[u8], sent: &[u8]) -> bool {
    let different = secret.iter().zip(sent).fold(0, |different, (a, b)| different | (a ^ b));
    secret.len() == sent.len() && different == 0
}

/// One route's choices. Plain data: whoever reads configuration fills it in.
#[derive(Clone, Debug)]
pub struct Policy {
    pub profile: Profile,
    pub revalidate: Revalidate,
    /// How long after its generation an ISR page may be served stale: X = G + `expire`.
    pub expire: Duration,
    /// How long past its freshness a stored response answers for a failing origin; `None` is as long as it is stored.
    pub stale_if_error: Option<Duration>,
    pub query: QueryRule,
    /// Lower-case names of request fields in the key.
    pub key_headers: Vec<String>,
    pub key_cookies: Vec<String>,
    /// Lower-case names of request fields that fills carry although they are not keyed.
    pub forward_headers: Vec<String>,
    pub ignore_cookies: Vec<NamePattern>,
    /// Statuses that must not replace a good page.
    pub keep_on: Vec<u16>,
    /// What a page must look like to be stored (semantics 34).
    pub guard: Guard,
    pub set_cookie: SetCookie,
    pub on_uncacheable: OnUncacheable,
    /// Store although the origin says `private` or `no-store` (ISR routes).
    pub override_origin: bool,
    /// Send every request past the cache.
    pub bypass: bool,
    pub bypass_when: BypassWhen,
    pub draft_cookies: Vec<String>,
    /// The value that such a cookie has: the framework's secret, which also makes its own cache render anew when it is
    /// sent with a fill (semantics 23 and 49). `None`: any value.
    pub draft_secret: Option<String>,
    pub fallback: Fallback,
    /// Pages that somebody keeps asking for are regenerated before their window ends.
    pub refresh_ahead: bool,
    /// Store a page only from so many requests for it within 10 minutes on; at least 1.
    pub admit_after: u32,
    /// Good versions of a page that are kept, the one that is served among them.
    pub history: u16,
    /// So many renders a minute; further pages that are not stored are refused. `None`: any number.
    pub renders_per_minute: Option<u32>,
    /// Cache-Control towards the browser; `None` leaves the origin's.
    pub browser_cache_control: Option<String>,
    /// Fields added to every answer, replacing the origin's of that name.
    pub response_headers: Vec<(String, String)>,
    /// Content codings that clients may get, the best first.
    pub compress: Vec<Coding>,
}

impl Policy {
    /// What holds where no route says otherwise (semantics, "header-driven").
    pub fn header_driven() -> Self {
        Policy {
            profile: Profile::Isr,
            revalidate: Revalidate::Origin,
            expire: Duration::from_secs(365 * 86_400),
            stale_if_error: None,
            query: QueryRule::AllButTracking,
            key_headers: Vec::new(),
            key_cookies: Vec::new(),
            forward_headers: Vec::new(),
            ignore_cookies: ANALYTICS_COOKIES.iter().map(|c| NamePattern::parse(c)).collect(),
            keep_on: Vec::new(),
            guard: Guard::default(),
            set_cookie: SetCookie::Bypass,
            on_uncacheable: OnUncacheable::Drop,
            override_origin: false,
            bypass: false,
            bypass_when: BypassWhen::default(),
            draft_cookies: vec![DRAFT_COOKIE.to_owned()],
            draft_secret: None,
            fallback: Fallback::Blocking,
            refresh_ahead: false,
            history: 1,
            admit_after: 1,
            renders_per_minute: None,
            browser_cache_control: None,
            response_headers: Vec::new(),
            compress: Coding::ALL.to_vec(),
        }
    }

    /// The defaults of an ISR route with this window.
    pub fn isr(revalidate: Revalidate) -> Self {
        Policy {
            revalidate,
            query: QueryRule::Only(Vec::new()),
            set_cookie: SetCookie::Strip,
            on_uncacheable: OnUncacheable::Keep,
            browser_cache_control: Some(BROWSER_CACHE_CONTROL.to_owned()),
            ..Policy::header_driven()
        }
    }

    /// Header-driven, as a plain HTTP cache.
    pub fn plain() -> Self {
        Policy {
            profile: Profile::Rfc9111,
            set_cookie: SetCookie::Store,
            query: QueryRule::All,
            ..Policy::header_driven()
        }
    }

    /// Whether RFC 9111 alone says what is stored and reused.
    pub fn is_plain(&self) -> bool {
        self.profile == Profile::Rfc9111 && !self.is_isr()
    }

    /// Whether a cookie puts its request into draft mode (semantics 49).
    pub fn is_draft(&self, name: &[u8], value: &[u8]) -> bool {
        self.draft_cookies.iter().any(|d| d.as_bytes() == name)
            && self.draft_secret.as_ref().is_none_or(|secret| same_secret(secret.as_bytes(), value))
    }

    pub fn is_isr(&self) -> bool {
        self.revalidate != Revalidate::Origin
    }

    pub fn keys_header(&self, name: &str) -> bool {
        self.key_headers.iter().any(|k| k.eq_ignore_ascii_case(name))
    }
}
