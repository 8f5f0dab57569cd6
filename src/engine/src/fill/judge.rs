//! What the head of an answer means for a fill: to be stored, handed on, or a failure.

use super::decode::{self, Encoding};
use super::{Ending, Job};
use crate::failed::{Failed, SHARED_FOR};
use crate::origin::OriginResponse;
use crate::store::StoredResponse;
use http::header::VARY;
use http::{HeaderMap, HeaderValue, StatusCode};
use semantics::Timestamp;
use semantics::freshness::Times;
use semantics::settlement::{AnswerHead, Failure, Settlement, StoredSummary, settle};
use semantics::storability::NotStorable;
use semantics::vary::{self, Vary};
use std::time::Duration;
use tokio::time::Instant;

impl Job {
    pub(super) fn settle(&mut self, response: &OriginResponse, times: &Times) -> Settlement {
        let stored = self.stored.as_deref().map(|s| StoredSummary {
            validators: self.sent_validators(s),
            has_body: !s.body.is_empty(),
            good: !s.head.status().is_server_error() && self.engine.is_usable(s, times.responded),
        });
        let answer = AnswerHead {
            status: response.status,
            fields: &response.fields,
            close_delimited: response.close_delimited,
            length: response.length,
            authorized: self.request.fields.iter().any(|(name, _)| *name == http::header::AUTHORIZATION),
        };
        let settlement = settle(stored, &answer, &self.route.policy, times, &self.request.url());
        let goes = matches!(
            settlement,
            Settlement::Store { .. } | Settlement::Drop(_) | Settlement::Fail(Failure::Uncacheable(_))
        );
        if goes && self.is_in_a_storm(response.status, times.responded) {
            return Settlement::Fail(Failure::NotFoundStorm(response.status.as_u16()));
        }
        let plain = self.route.policy.is_plain();
        match settlement {
            Settlement::Store { .. } if self.swaps_components(response) => {
                self.refuse(NotStorable::ComponentWithoutRsc)
            }
            // A plain cache keeps it as it came.
            Settlement::Store { .. } if !plain && matches!(decode::of(&response.fields), Encoding::Unknown) => {
                self.refuse(NotStorable::Encoded)
            }
            // The leader may not have asked for this coding: everybody asks for himself.
            Settlement::Relay(reason) if !plain && !matches!(decode::of(&response.fields), Encoding::None) => {
                Settlement::Drop(reason)
            }
            Settlement::Store { .. } if self.too_large(response.length) => self.refuse(NotStorable::TooLarge),
            other => other,
        }
    }

    /// Whether a 304 says that what is stored answers fewer requests than it did: another answer of the same origin would be
    /// another variant (RFC 9111, 4.1).
    pub(super) fn begins_to_vary(&self, fields: &HeaderMap) -> bool {
        let Some(stored) = &self.stored else { return false };
        let lines = fields.get_all(VARY).into_iter().map(HeaderValue::as_bytes);
        let Vary::Fields(names) = vary::parse(lines, &self.route.policy) else { return false };
        names.iter().any(|name| !stored.variant.iter().any(|(known, _)| known == name))
    }

    /// Whether a page that is stored seems to be gone because everything does (semantics 30).
    fn is_in_a_storm(&mut self, status: StatusCode, now: Timestamp) -> bool {
        let gone = matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE);
        let was_there = self.stored.as_ref().is_some_and(|stored| stored.head.status() == StatusCode::OK);
        // Once a fill, however often it asks.
        gone && was_there && *self.stormy.get_or_insert_with(|| self.route.storm.refuses(now))
    }

    /// Not stored after all: a failure where something is stored, else the leader's.
    fn refuse(&self, reason: NotStorable) -> Settlement {
        match (&self.stored, reason) {
            (None, NotStorable::Encoded) => Settlement::Drop(reason),
            (None, _) => Settlement::Relay(reason),
            (Some(_), NotStorable::TooLarge) => Settlement::Fail(Failure::TooLarge),
            (Some(_), _) => Settlement::Fail(Failure::Uncacheable(reason)),
        }
    }

    fn sent_validators<'s>(&self, stored: &'s StoredResponse) -> semantics::validation::Validators<'s> {
        let conditional = self
            .request
            .fields
            .iter()
            .any(|(n, _)| *n == http::header::IF_NONE_MATCH || *n == http::header::IF_MODIFIED_SINCE);
        if conditional { stored.origin_validators() } else { Default::default() }
    }

    /// `text/x-component` never answers a request without `RSC` (semantics 46).
    fn swaps_components(&self, response: &OriginResponse) -> bool {
        let component = response
            .fields
            .get(http::header::CONTENT_TYPE)
            .is_some_and(|t| t.as_bytes().starts_with(b"text/x-component"));
        component && !self.rsc
    }

    fn too_large(&self, length: Option<u64>) -> bool {
        length.is_some_and(|l| l > self.engine.store.max_object() as u64)
    }

    /// A failed answer, with the origin's own words if nothing is stored that may answer instead (RFC 9111, 4.3.3).
    pub(super) async fn failure_answer(&self, failure: Failure, response: OriginResponse, deadline: Instant) -> Ending {
        let message = match failure {
            Failure::Uncacheable(reason) => {
                format!("the origin's answer ({}) may not be stored: {}", response.status, reason.as_str())
            }
            Failure::NotFoundStorm(_) => {
                format!(
                    "the origin answered {}, as for many pages at once: it is not the page that is gone",
                    response.status
                )
            }
            _ => format!("the origin answered {}", response.status),
        };
        let retry_after = retry_after(&response, self.engine.clock.now());
        let mut failed = Failed { retry_after, ..Failed::plain(failure, message, self.engine.clock.now()) };
        let now = self.engine.clock.now();
        let unusable = self.stored.as_ref().is_none_or(|s| !self.engine.is_usable(s, now));
        if unusable && matches!(failure, Failure::Status(_)) {
            failed.answer = self.failed_words(response, deadline).await;
        }
        let now = self.engine.clock.now();
        let failed = Failed { at: now, until: now.after(SHARED_FOR), ..failed };
        Ending::failed(failed)
    }
}

/// Retry-After in either of its forms (RFC 9110, 10.2.3).
fn retry_after(response: &OriginResponse, now: Timestamp) -> Option<Duration> {
    let value = response.fields.get(http::header::RETRY_AFTER)?;
    if let Some(seconds) = value.to_str().ok().and_then(|v| v.trim().parse().ok()) {
        return Some(Duration::from_secs(seconds));
    }
    semantics::time::parse_date(value.as_bytes()).map(|at| at.since(now))
}
