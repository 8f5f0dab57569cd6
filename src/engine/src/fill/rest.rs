//! A page of which the beginning is stored is asked for its rest (RFC 9111, 3.3 and 3.4; `profile: rfc9111`).

use super::Job;
use super::commit::merged;
use crate::origin::{Body, BoxFuture, Kind, OriginError, OriginResponse};
use crate::store::{KeyHash, StoredResponse};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use semantics::freshness::Times;
use semantics::part::{self, Part};
use semantics::policy::SetCookie;
use semantics::settlement::Failure;
use std::sync::Arc;
use std::time::Duration;

/// What is stored of a page, and what its Content-Range says.
pub(super) struct Beginning {
    hash: KeyHash,
    stored: Arc<StoredResponse>,
    body: Bytes,
    part: Part,
}

impl Job {
    /// Asks for the rest alone, where the beginning is stored. A strong tag makes that sure (RFC 9110, 13.1.5); without one
    /// what comes cannot be joined, unless it is all of it.
    pub(super) fn ask_for_the_rest(&mut self) -> Option<Beginning> {
        let once = !self.request.fields.iter().any(|(name, _)| *name == header::RANGE);
        let fills = self.stored.is_none() && self.request.kind == Kind::Fill && self.route.policy.is_plain();
        if !fills || !once {
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

    /// The whole answer: the stored beginning and the rest that was sent, or all of it anew. `None`: it is to be asked for
    /// again, as if nothing was stored.
    pub(super) fn with_beginning(
        &mut self,
        beginning: Option<Beginning>,
        answer: OriginResponse,
    ) -> Option<OriginResponse> {
        let Some(Beginning { hash, stored, body, part }) = beginning else { return Some(answer) };
        self.request.remove(&header::RANGE);
        self.request.remove(&header::IF_RANGE);
        if !matches!(answer.status, StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE) {
            return Some(answer);
        }
        let rest = Part::of(&answer.fields).filter(|rest| {
            let whole = answer.length.is_none_or(|length| length == rest.length()) && !answer.close_delimited;
            let same = part::are_of_the_same(&stored.head.origin_fields(), &answer.fields);
            part.is_completed_by(rest) && whole && same && !answer.fields.contains_key(header::CONTENT_ENCODING)
        });
        let Some(rest) = rest else {
            // It would be as useless the next time.
            self.engine.store.remove_response(hash, &stored);
            return None;
        };
        let now = self.engine.clock.now();
        let times = Times { requested: now, responded: now, completed: now };
        let mut fields = merged(&stored, &answer, &times, self.route.policy.set_cookie == SetCookie::Store);
        fields.remove(header::CONTENT_RANGE);
        fields.remove(header::CONTENT_LENGTH);
        let body = Joined { beginning: Some(body), rest: answer.body, due: rest.length() };
        Some(OriginResponse {
            status: StatusCode::OK,
            fields,
            length: part.complete,
            close_delimited: false,
            server: answer.server,
            body: Box::new(body),
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
