//! What an answer to a fill means for what is stored (RFC 9111, 3 and 4.3; semantics 18-20, 28-34).

use crate::freshness::Times;
use crate::guard::Broken;
use crate::policy::{OnUncacheable, Policy};
use crate::reference::on_same_host;
use crate::storability::{self, NotStorable, Verdict};
use crate::validation::{self, Validators};
use http::{HeaderMap, StatusCode};

/// Why a fill failed. The names are metric labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// Name resolution, connection or TLS.
    Connect,
    /// A deadline passed: connect, first byte, between bytes, or in all.
    Timeout,
    /// The origin closed or reset before the answer was whole.
    Truncated,
    /// What came back is not HTTP.
    Malformed,
    /// A status that is no success.
    Status(u16),
    /// The answer became `private` or `no-store` on an ISR route.
    Uncacheable(NotStorable),
    /// An empty body in place of a body.
    Empty,
    /// A close-delimited body in place of a whole one.
    CloseDelimited,
    /// A redirect to the page's own URL.
    RedirectLoop,
    /// A 304 that nothing stored matches, twice.
    UnmatchedNotModified,
    /// The body outgrew `max_object` while a stored one was to be replaced.
    TooLarge,
    /// The new version breaks one of its route's guards (semantics 34).
    Guard(Broken),
    /// 404 or 410 in place of a page, in a storm of them: it is not the page that is gone (semantics 30).
    NotFoundStorm(u16),
    /// The route has had its renders of this minute (`renders_per_minute`): the origin was not asked.
    Budget,
    /// The fill's queue is full, or the circuit breaker is open: the origin was not asked.
    Shed,
    /// Larder itself stumbled: the task that led the fill is gone.
    Internal,
}

impl Failure {
    pub fn as_str(self) -> &'static str {
        match self {
            Failure::Connect => "connect",
            Failure::Timeout => "timeout",
            Failure::Truncated => "truncated",
            Failure::Malformed => "malformed",
            Failure::Status(500..) => "status-5xx",
            Failure::Status(400..) => "status-4xx",
            Failure::Status(_) => "status",
            Failure::Uncacheable(_) => "uncacheable",
            Failure::Empty => "empty",
            Failure::CloseDelimited => "close-delimited",
            Failure::RedirectLoop => "redirect-loop",
            Failure::UnmatchedNotModified => "unmatched-304",
            Failure::TooLarge => "too-large",
            Failure::Guard(_) => "guard",
            Failure::NotFoundStorm(_) => "not-found-storm",
            Failure::Budget => "render-budget",
            Failure::Shed => "shed",
            Failure::Internal => "internal",
        }
    }

    /// The same for people, who want to know which guard it was.
    pub fn told(self) -> &'static str {
        match self {
            Failure::Guard(Broken::MinBytes) => "guard:min_bytes",
            Failure::Guard(Broken::MaxShrink) => "guard:max_shrink",
            Failure::Guard(Broken::MustContain) => "guard:must_contain",
            Failure::Guard(Broken::MustNotContain) => "guard:must_not_contain",
            Failure::Guard(Broken::ContentType) => "guard:content_type",
            other => other.as_str(),
        }
    }

    /// The origin's status, where it sent one.
    pub fn status(self) -> Option<u16> {
        match self {
            Failure::Status(status) | Failure::NotFoundStorm(status) => Some(status),
            _ => None,
        }
    }

    /// The status for a client when nothing stored can answer: 504 where the origin was too slow, else 502, and 503
    /// where it was not asked.
    pub fn gateway_status(self) -> StatusCode {
        match self {
            Failure::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Failure::Shed | Failure::Budget => StatusCode::SERVICE_UNAVAILABLE,
            Failure::Status(status) | Failure::NotFoundStorm(status) => {
                StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY)
            }
            _ => StatusCode::BAD_GATEWAY,
        }
    }

    /// Whether it says something about the origin's health (for the circuit breaker): it could not be reached, or did
    /// not answer.
    pub fn is_unreachable(self) -> bool {
        matches!(self, Failure::Connect | Failure::Timeout | Failure::Truncated | Failure::Malformed)
    }
}

/// What is stored, as far as settling needs it.
#[derive(Clone, Copy, Debug)]
pub struct StoredSummary<'a> {
    pub validators: Validators<'a>,
    pub has_body: bool,
    /// It is no error of the origin's, and may still be used.
    pub good: bool,
}

/// An answer's head as it came.
#[derive(Clone, Copy, Debug)]
pub struct AnswerHead<'a> {
    pub status: StatusCode,
    pub fields: &'a HeaderMap,
    /// The body's end will be told by the connection's (RFC 9112, 6.3, rule 8).
    pub close_delimited: bool,
    /// `Content-Length`, where given.
    pub length: Option<u64>,
    /// The request had `Authorization`.
    pub authorized: bool,
}

/// What to do with an answer, judged by its head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// Store it when it is complete; these fields are nominated by Vary.
    Store { nominated: Vec<String> },
    /// 304 to Larder's own conditional: the stored body is good for another window.
    Freshen,
    /// 304 that does not match: ask once more, without conditions.
    Refetch,
    /// Nothing is stored for this key, and this is not to be: it goes to the one who asked.
    Relay(NotStorable),
    /// What is stored is to go: the page is no longer anybody's to share.
    Drop(NotStorable),
    /// The same, and the one who asked gets this, which answers his very request.
    Replace(NotStorable),
    /// A failure: what is stored stays as it was.
    Fail(Failure),
}

/// Judges an answer to a fill. `url` is the fill's own `host/path?query`, to tell a redirect to itself.
pub fn settle(
    stored: Option<StoredSummary<'_>>,
    answer: &AnswerHead<'_>,
    policy: &Policy,
    times: &Times,
    url: &str,
) -> Settlement {
    if policy.is_plain() {
        return settle_plain(stored, answer, policy, times);
    }
    let status = answer.status;
    match storability::verdict(status) {
        Verdict::NotModified => return settle_not_modified(stored, answer),
        Verdict::Sick => return Settlement::Fail(Failure::Status(status.as_u16())),
        Verdict::Denied | Verdict::Other | Verdict::Empty if stored.is_some() => {
            return Settlement::Fail(Failure::Status(status.as_u16()));
        }
        _ => {}
    }
    if redirects_to_itself(status, answer.fields, url) {
        return Settlement::Fail(Failure::RedirectLoop);
    }
    if stored.is_some() && policy.keep_on.contains(&status.as_u16()) {
        return Settlement::Fail(Failure::Status(status.as_u16()));
    }
    match storability::judge(status, answer.fields, policy, times.responded, stored.is_some()) {
        Ok(nominated) => settle_storable(stored, answer, nominated),
        Err(reason) => settle_not_storable(stored, reason, status, policy),
    }
}

/// By RFC 9111 alone, but for errors of the origin's: they never take the place of what is good (9111, 4.2.4 and 4.3.3).
fn settle_plain(
    stored: Option<StoredSummary<'_>>,
    answer: &AnswerHead<'_>,
    policy: &Policy,
    times: &Times,
) -> Settlement {
    let status = answer.status;
    if status == StatusCode::NOT_MODIFIED {
        // Whatever its validator: the origin has answered a request for exactly what is stored.
        let asked = stored.is_some_and(|stored| !stored.validators.is_empty());
        return if asked { Settlement::Freshen } else { Settlement::Refetch };
    }
    if status.is_server_error() && stored.is_some_and(|stored| stored.good) {
        return Settlement::Fail(Failure::Status(status.as_u16()));
    }
    let judged = storability::judge(status, answer.fields, policy, times.responded, stored.is_some());
    let refused = match judged {
        Ok(_) if answer.authorized && !storability::is_shared_with_credentials(answer.fields) => {
            NotStorable::Authorization
        }
        Ok(nominated) => return Settlement::Store { nominated },
        Err(reason) => reason,
    };
    if stored.is_some() { Settlement::Replace(refused) } else { Settlement::Relay(refused) }
}

fn settle_not_modified(stored: Option<StoredSummary<'_>>, answer: &AnswerHead<'_>) -> Settlement {
    let Some(stored) = stored.filter(|s| !s.validators.is_empty()) else { return Settlement::Refetch };
    let bytes = |name: http::HeaderName| answer.fields.get(name).map(http::HeaderValue::as_bytes);
    if validation::confirms(stored.validators, bytes(http::header::ETAG), bytes(http::header::LAST_MODIFIED)) {
        Settlement::Freshen
    } else {
        Settlement::Refetch
    }
}

fn settle_storable(stored: Option<StoredSummary<'_>>, answer: &AnswerHead<'_>, nominated: Vec<String>) -> Settlement {
    let replaces_body = stored.is_some_and(|s| s.has_body);
    if answer.close_delimited {
        // Nobody can tell whether it is whole (semantics 28). Relayed when nothing is stored.
        return if replaces_body {
            Settlement::Fail(Failure::CloseDelimited)
        } else {
            Settlement::Relay(NotStorable::CloseDelimited)
        };
    }
    if replaces_body && answer.length == Some(0) && !may_be_empty(answer.status) {
        return Settlement::Fail(Failure::Empty);
    }
    Settlement::Store { nominated }
}

/// Whether an answer may take a page's place without a body: redirects, and a page that the law forbids.
pub fn may_be_empty(status: StatusCode) -> bool {
    status.is_redirection() || status == StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS
}

fn settle_not_storable(
    stored: Option<StoredSummary<'_>>,
    reason: NotStorable,
    status: StatusCode,
    policy: &Policy,
) -> Settlement {
    match (stored, reason) {
        (None, _) => Settlement::Relay(reason),
        (Some(_), NotStorable::Status | NotStorable::Partial) => Settlement::Fail(Failure::Status(status.as_u16())),
        (Some(_), _) if policy.on_uncacheable == OnUncacheable::Keep => Settlement::Fail(Failure::Uncacheable(reason)),
        (Some(_), _) => Settlement::Drop(reason),
    }
}

/// A redirect whose target is the page itself, with the scheme ignored: an origin that believes it is asked in the
/// wrong way would loop its visitors for a whole window (semantics 28).
fn redirects_to_itself(status: StatusCode, fields: &HeaderMap, url: &str) -> bool {
    let location = fields.get(http::header::LOCATION).filter(|_| status.is_redirection());
    let (host, path) = url.split_at(url.find('/').unwrap_or(url.len()));
    let target = location.and_then(|location| on_same_host(location.to_str().ok()?, host, path));
    target.as_deref() == Some(path)
}
