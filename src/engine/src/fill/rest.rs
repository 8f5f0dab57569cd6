//! A page of which the beginning is stored is asked for its rest (RFC 9111, 3.3 and 3.4; `profile: rfc9111`).

use super::Job;
use super::commit::merged;
use crate::failed::Failed;
use crate::origin::{Body, BoxFuture, Kind, OriginError, OriginResponse};
use crate::store::{KeyHash, StoredResponse};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use semantics::freshness::Times;
use semantics::part::{self, OF_THE_CONTENT, Part};
use semantics::policy::SetCookie;
use semantics::settlement::Failure;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What is stored of a page, and what its Content-Range says.
struct Beginning {
    hash: KeyHash,
    stored: Arc<StoredResponse>,
    body: Bytes,
    part: Part,
}

impl Job {
    /// Asks the origin; where the beginning of the page is stored, for the rest of it. What comes is the whole answer.
    pub(super) async fn fetch_whole(&mut self, deadline: Instant) -> Result<OriginResponse, Failed> {
        let Some(beginning) = self.ask_for_the_rest() else { return self.fetch(deadline).await };
        let answer = self.fetch(deadline).await;
        self.request.remove(&header::RANGE);
        self.request.remove(&header::IF_RANGE);
        // The part is used up: it becomes the page, or it was of no use. Unless nobody was asked.
        if !answer.as_ref().is_err_and(|failed| matches!(failed.failure, Failure::Connect | Failure::Shed)) {
            self.engine.store.remove_response(beginning.hash, &beginning.stored);
        }
        match self.joined(beginning, answer?) {
            Some(whole) => Ok(whole),
            // As if nothing was stored.
            None => self.fetch(deadline).await,
        }
    }

    /// Asks for the rest alone, where the beginning is stored. A strong tag makes that sure (RFC 9110, 13.1.5); without one
    /// what comes cannot be joined, unless it is all of it.
    fn ask_for_the_rest(&mut self) -> Option<Beginning> {
        if self.stored.is_some() || self.request.kind != Kind::Fill || !self.route.policy.is_plain() {
            return None;
        }
        let (hash, stored) = self.engine.stored_part(&self.key, self.engine.clock.now())?;
        let body = stored.body.held()?.clone();
        let part = Part::parse(stored.head.field("content-range")?)?;
        let from = part.rest(body.len() as u64)?;
        self.request.set(header::RANGE, HeaderValue::try_from(format!("bytes={from}-")).ok()?);
        if let Some(etag) = part::strong(&stored.head.origin_fields()) {
            self.request.set(header::IF_RANGE, etag.clone());
        }
        Some(Beginning { hash, stored, body, part })
    }

    /// The stored beginning and the rest that was sent, or all of it anew; `None`: it is neither.
    fn joined(&self, beginning: Beginning, answer: OriginResponse) -> Option<OriginResponse> {
        let Beginning { stored, body, part, .. } = beginning;
        match answer.status {
            StatusCode::OK => return Some(answer),
            StatusCode::PARTIAL_CONTENT => {}
            _ => return None,
        }
        let rest = Part::of(&answer.fields).filter(|rest| {
            let whole = answer.length.is_none_or(|length| length == rest.length()) && !answer.close_delimited;
            let same = part::are_of_the_same(&stored.head.origin_fields(), &answer.fields);
            part.is_completed_by(rest) && whole && same && !answer.fields.contains_key(header::CONTENT_ENCODING)
        })?;
        let now = self.engine.clock.now();
        let times = Times { requested: now, responded: now, completed: now };
        let mut fields = merged(&stored, &answer, &times, self.route.policy.set_cookie == SetCookie::Store);
        for name in [header::CONTENT_RANGE, header::CONTENT_LENGTH].iter().chain(&OF_THE_CONTENT) {
            fields.remove(name);
        }
        Some(OriginResponse {
            status: StatusCode::OK,
            fields,
            length: part.complete,
            close_delimited: false,
            server: answer.server,
            body: Box::new(Joined { beginning: Some(body), rest: answer.body, due: rest.length() }),
        })
    }
}

/// A stored beginning, and the rest as it comes.
struct Joined {
    beginning: Option<Bytes>,
    rest: Box<dyn Body>,
    /// Bytes of the rest that are still to come.
    due: u64,
}

impl Body for Joined {
    fn chunk(&mut self, patience: Duration) -> BoxFuture<'_, Result<Option<Bytes>, OriginError>> {
        Box::pin(async move {
            if let Some(beginning) = self.beginning.take() {
                return Ok(Some(beginning));
            }
            let next = self.rest.chunk(patience).await?;
            let came = next.as_ref().map_or(0, |bytes| bytes.len() as u64);
            let ends_right = if next.is_none() { self.due == 0 } else { came <= self.due };
            if !ends_right {
                let message = "the rest of the page is not as long as its Content-Range says".to_owned();
                return Err(OriginError { failure: Failure::Malformed, message });
            }
            self.due -= came;
            Ok(next)
        })
    }
}
