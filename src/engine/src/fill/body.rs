//! A fill's body: collected for the store while watchers read along, or handed through when it is not to be stored.

use super::decode::{self, Coding, Encoding, Undecodable};
use super::{Ending, Job, Storable};
use crate::failed::{BODY_AT_MOST, Failed};
use crate::flight::{Landing, Opened};
use crate::gate::Pass;
use crate::invalidate::Tags;
use crate::origin::{Body, OriginError, OriginResponse};
use crate::store::{Audience, Head, HeadBuilder};
use bytes::{Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use semantics::settlement::Failure;
use semantics::storability::{self, NotStorable};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

impl Job {
    /// Takes in a storable answer. Watchers get its bytes as they come, unless a stored version is to be replaced:
    /// then nobody sees anything of it before it is whole.
    pub(super) async fn receive(
        &mut self,
        mut storable: Storable,
        deadline: Instant,
        pass: Pass,
    ) -> Result<Landing, Ending> {
        let placed = self.place(&storable.nominated, &storable.response.fields);
        let encoding = decode::of(&storable.response.fields);
        // What must be decoded first is seen when it is whole.
        if self.stored.is_none() && placed.settled && !matches!(encoding, Encoding::Known(_)) {
            let opened =
                self.opened(&storable.response, Audience::Watchers, placed.variant.clone(), storable.tags.clone());
            self.lead.open(opened);
        }
        let mut size = 0;
        let patience = self.limits().settings.between_bytes;
        loop {
            let next = timeout_at(deadline, storable.response.body.chunk(patience)).await;
            match self.check(next)? {
                None => break,
                Some(chunk) => {
                    size += chunk.len();
                    self.lead.push(chunk);
                }
            }
            if size > self.engine.store.max_object() {
                // Nobody reads along: whoever waits asks for himself.
                if self.stored.is_none() && !self.lead.is_open() {
                    return Err(Ending::Dropped(NotStorable::TooLarge));
                }
                return self.overflow(storable.response.body, pass).await;
            }
        }
        let mut body = join(self.lead.collected(), size);
        if let Encoding::Known(coding) = encoding {
            body = self.decoded(body, coding).await?;
            decode::decoded_fields(&mut storable.response.fields);
        }
        let OriginResponse { status, fields, .. } = &storable.response;
        let (status, kind) = (*status, fields.get(CONTENT_TYPE).cloned());
        let broken = self.broken_guard(status, kind, &body).await;
        storable.times.completed = self.engine.clock.now();
        self.commit(&storable, placed, body, broken)
    }

    /// A body without its coding. Off the async workers: it may be large.
    async fn decoded(&self, body: Bytes, coding: Coding) -> Result<Bytes, Ending> {
        let most = self.engine.store.max_object();
        let (failure, message) = match tokio::task::spawn_blocking(move || decode::decode(&body, coding, most)).await {
            Ok(Ok(body)) => return Ok(body),
            Ok(Err(Undecodable::TooLarge)) if self.stored.is_none() => {
                return Err(Ending::Dropped(NotStorable::TooLarge));
            }
            Ok(Err(Undecodable::TooLarge)) => (Failure::TooLarge, "the new version is larger than `max_object`"),
            Ok(Err(Undecodable::Broken)) => (Failure::Malformed, "the origin's answer is not encoded as it says"),
            Err(_) => (Failure::Internal, "decoding the answer failed"),
        };
        Err(Ending::failed(Failed::plain(failure, message, self.engine.clock.now())))
    }

    fn check<T>(&self, next: Result<Result<T, OriginError>, tokio::time::error::Elapsed>) -> Result<T, Ending> {
        let now = self.engine.clock.now();
        match next {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(OriginError { failure, message })) => Err(Ending::failed(Failed::plain(failure, message, now))),
            Err(_) => {
                let message = "the origin took longer than `timeouts.total`";
                Err(Ending::failed(Failed::plain(Failure::Timeout, message, now)))
            }
        }
    }

    /// The body outgrew `max_object`: a stored version stays; else those who read already share it (semantics 22).
    async fn overflow(&mut self, body: Box<dyn Body>, pass: Pass) -> Result<Landing, Ending> {
        if self.stored.is_some() {
            let message = "the new version is larger than `max_object`";
            return Err(Ending::failed(Failed::plain(Failure::TooLarge, message, self.engine.clock.now())));
        }
        drop(pass);
        self.note_not_storable(NotStorable::TooLarge, false);
        self.lead.relay(None, NotStorable::TooLarge);
        self.hand_through(body).await
    }

    /// Passes a body on at the pace of its slowest reader, for as long as somebody reads.
    pub(super) async fn hand_through(&mut self, mut body: Box<dyn Body>) -> Result<Landing, Ending> {
        let idle = self.limits().settings.passed_idle;
        while self.lead.has_room().await {
            let next = tokio::select! {
                next = body.chunk(idle) => next,
                () = self.lead.deserted() => break,
            };
            match next {
                Ok(Some(chunk)) => self.lead.push(chunk),
                Ok(None) => break,
                Err(OriginError { failure, message }) => {
                    return Err(Ending::Cut(Box::new(Failed::plain(failure, message, self.engine.clock.now()))));
                }
            }
        }
        Err(Ending::Relayed)
    }

    /// The origin's own words about its failure, if they are short and whole.
    pub(super) async fn failed_words(&self, mut response: OriginResponse, deadline: Instant) -> Option<(Head, Bytes)> {
        if !matches!(decode::of(&response.fields), Encoding::None) {
            return None;
        }
        let patience = self.limits().settings.between_bytes.min(Duration::from_secs(5));
        let mut body = BytesMut::new();
        while let Some(chunk) = timeout_at(deadline, response.body.chunk(patience)).await.ok()?.ok()? {
            body.extend_from_slice(&chunk);
            if body.len() > BODY_AT_MOST {
                return None;
            }
        }
        let head = self.head(&response, Audience::Watchers, Some(body.len() as u64), None);
        Some((head, body.freeze()))
    }

    pub(super) fn opened(
        &self,
        response: &OriginResponse,
        audience: Audience,
        variant: Vec<(String, Option<Vec<u8>>)>,
        tags: Tags,
    ) -> Opened {
        let head = self.head(response, audience, response.length, None);
        let shared = storability::is_shared(&response.fields, self.engine.clock.now());
        Opened { head, length: response.length, variant, began: self.began, tags, shared, stored: self.is_admitted() }
    }

    pub(super) fn head(
        &self,
        response: &OriginResponse,
        audience: Audience,
        length: Option<u64>,
        etag: Option<http::HeaderValue>,
    ) -> Head {
        HeadBuilder {
            status: response.status,
            fields: &response.fields,
            policy: &self.route.policy,
            audience,
            length,
            etag,
            date: crate::fill::commit::http_date(self.engine.clock.now()),
        }
        .build()
    }
}

fn join(chunks: Vec<Bytes>, size: usize) -> Bytes {
    let mut chunks = chunks;
    // One chunk may be a small view of a large buffer: a copy holds what it needs and no more.
    let mut body = Vec::with_capacity(size);
    for chunk in chunks.drain(..) {
        body.extend_from_slice(&chunk);
    }
    Bytes::from(body)
}
