//! The passed road: unsafe methods, upgrades, personal pages and everything that is not stored, streamed both ways by
//! pingora's ordinary proxying. Here are its hooks, and what they add: hygiene, deadlines, slots, and what others may
//! learn from a personal visitor's answer.

use super::site::{Handed, Handover};
use super::synthetic::wants_json;
use crate::origin::forwarding;
use crate::origin::{Server, Upstream};
use async_trait::async_trait;
use bytes::Bytes;
use engine::Gather;
use engine::coding::Stream;
use engine::origin::Kind;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::{FailToProxy, ProxyHttp, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType};
use semantics::settlement::Failure;
use semantics::{CacheStatus, Outcome, Timestamp};
use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

mod answer;
mod coding;
mod fields;
mod gathered;
pub(super) mod note;
mod written;

pub(super) use fields::{address, dress};

/// pingora's hooks.
pub struct Passed {
    origins: Vec<Arc<Upstream>>,
    fresh_pools: AtomicU64,
}

/// One passed request.
#[derive(Default)]
pub struct Passage {
    handover: Option<Handover>,
    server: Option<Arc<Server>>,
    slot: Option<OwnedSemaphorePermit>,
    attempts: u8,
    /// A pooled connection was closed under us: the next one must be new.
    fresh_next: bool,
    body_received: u64,
    body_started: Option<Timestamp>,
    /// What happened, when it failed.
    failure: Option<(Failure, String)>,
    answered: bool,
    /// The answer's body goes through it.
    coder: Option<Stream>,
    /// What was sent, where the answer may be stored.
    sent: Option<HeaderMap>,
    /// The answer is stored at its end.
    gather: Option<Gather>,
}

/// The hand-over from the front door always sets it; without one there is nothing to go by.
fn handed(ctx: &Passage) -> pingora::Result<&Handover> {
    ctx.handover
        .as_ref()
        .ok_or_else(|| Error::explain(ErrorType::InternalError, "a request came without its hand-over"))
}

impl Passed {
    pub fn new(origins: Vec<Arc<Upstream>>) -> Self {
        Passed { origins, fresh_pools: AtomicU64::new(0) }
    }

    fn upstream(&self, ctx: &Passage) -> pingora::Result<&Arc<Upstream>> {
        Ok(&self.origins[handed(ctx)?.route.origin])
    }

    /// Waits for a slot, as long as for a first byte. Unsafe methods hold none.
    async fn take_slot(&self, session: &Session, ctx: &mut Passage) -> pingora::Result<()> {
        let safe = matches!(session.req_header().method, http::Method::GET | http::Method::HEAD);
        if !safe || ctx.slot.is_some() {
            return Ok(());
        }
        let origin = handed(ctx)?.route.origin;
        let patience = self.origins[origin].settings.passed.first_byte;
        let pool = handed(ctx)?.site.gate.pools[origin].clone();
        match tokio::time::timeout(patience, pool.acquire_owned()).await {
            Ok(Ok(slot)) => {
                ctx.slot = Some(slot);
                Ok(())
            }
            _ => {
                let message = "too many requests are at the origin already".to_owned();
                ctx.failure = Some((Failure::Shed, message));
                Error::e_explain(ErrorType::HTTPStatus(503), "no slot on the passed road")
            }
        }
    }
}

/// How a server is dialled on this road.
pub(super) fn peer(upstream: &Upstream, server: &Server, address: std::net::SocketAddr) -> HttpPeer {
    let mut peer = server.settings.peer(address);
    let options = &mut peer.options;
    options.connection_timeout = Some(upstream.settings.timeouts.connect);
    options.total_connection_timeout = Some(upstream.settings.timeouts.connect);
    options.idle_timeout = Some(Duration::from_secs(60));
    options.read_timeout = Some(upstream.settings.passed.first_byte);
    options.write_timeout = Some(upstream.settings.passed.first_byte);
    peer
}

#[async_trait]
impl ProxyHttp for Passed {
    type CTX = Passage;

    fn new_ctx(&self) -> Passage {
        Passage::default()
    }

    fn on_connection_reuse(&self, _session: &mut Session, ctx: &mut Passage, handover: Box<dyn Any + Send + Sync>) {
        ctx.handover = handover.downcast::<Handover>().ok().map(|h| *h);
    }

    async fn early_request_filter(&self, session: &mut Session, ctx: &mut Passage) -> pingora::Result<()> {
        if ctx.handover.is_none() {
            ctx.handover = session.req_header().extensions.get::<Handed>().and_then(Handed::take);
        }
        let Handover { keep_alive, .. } = *handed(ctx)?;
        let limits = &handed(ctx)?.site.limits;
        session.set_read_timeout(Some(limits.header_timeout));
        // HTTP/1.0 knows no interim answers (RFC 9110, 15.2).
        let http10 = session.req_header().version == http::Version::HTTP_10;
        session.set_ignore_info_resp(http10);
        session.set_total_drain_timeout(Some(limits.header_timeout));
        // An upload that was answered before its end is not read for ever.
        session.set_keepalive(keep_alive.then(|| limits.idle_timeout.as_secs().max(1)));
        Ok(())
    }

    async fn request_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        _end_of_stream: bool,
        ctx: &mut Passage,
    ) -> pingora::Result<()> {
        let site = handed(ctx)?.site.clone();
        let (now, limits) = (site.engine.clock.now(), &site.limits);
        ctx.body_received += body.as_ref().map_or(0, |b| b.len() as u64);
        if limits.body_bytes.is_some_and(|most| ctx.body_received > most) {
            return Error::e_explain(ErrorType::HTTPStatus(413), "the request body is too large");
        }
        let started = *ctx.body_started.get_or_insert(now);
        let grace = limits.header_timeout;
        let earned = Duration::from_secs(ctx.body_received / limits.body_min_rate.max(1) as u64);
        if now.since(started) > grace + earned {
            return Error::e_explain(ErrorType::HTTPStatus(408), "the request body comes too slowly");
        }
        Ok(())
    }

    async fn upstream_peer(&self, session: &mut Session, ctx: &mut Passage) -> pingora::Result<Box<HttpPeer>> {
        self.take_slot(session, ctx).await?;
        let upstream = self.upstream(ctx)?.clone();
        let server = match &ctx.server {
            Some(tried) if ctx.fresh_next => Some(tried.clone()),
            Some(tried) => upstream.balance.other(tried).or_else(|| Some(tried.clone())),
            None => upstream.balance.next(None),
        };
        let Some((server, address)) = server.and_then(|s| s.address().map(|a| (s, a))) else {
            let error = crate::origin::breakers_open();
            ctx.failure = Some((error.failure, error.message));
            return Error::e_explain(ErrorType::HTTPStatus(503), "no server of the origin may be asked");
        };
        let mut peer = peer(&upstream, &server, address);
        // pingora's client of HTTP/2 does not hear 100, and sends chunks to who knows none.
        let head = session.req_header();
        if head.version != http::Version::HTTP_10 && !head.headers.contains_key(header::EXPECT) {
            server.negotiate(&mut peer);
        }
        ctx.server = Some(server);
        let accept = session.get_header(header::ACCEPT).map_or(&b""[..], HeaderValue::as_bytes);
        if memchr::memmem::find(accept, b"text/event-stream").is_some() {
            peer.options.read_timeout = Some(upstream.settings.passed.idle);
        }
        if ctx.fresh_next {
            // A pool that no other request knows is empty.
            peer.group_key = self.fresh_pools.fetch_add(1, Ordering::Relaxed) + 1;
        }
        Ok(Box::new(peer))
    }

    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        session: &mut Session,
        mut error: Box<Error>,
        ctx: &mut Passage,
        client_reused: bool,
    ) -> Box<Error> {
        if let Some(server) = &ctx.server {
            server.note_protocol(&error);
        }
        // Once more only what may be repeated, and only where the connection was closed before it was used (RFC 9112, 9.3.1).
        if !session.req_header().method.is_idempotent() || session.as_ref().retry_buffer_truncated() || ctx.fresh_next {
            error.set_retry(false);
        } else {
            error.retry.decide_reuse(client_reused);
        }
        ctx.fresh_next = true;
        error
    }

    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        ctx: &mut Passage,
        mut error: Box<Error>,
    ) -> Box<Error> {
        ctx.attempts += 1;
        if let (Ok(upstream), Some(server)) = (self.upstream(ctx), &ctx.server) {
            upstream.balance.failed(server, "no connection");
        }
        ctx.failure = Some((Failure::Connect, "its server could not be reached".to_owned()));
        // Nothing was sent: once more, at another server if there is one.
        error.set_retry(ctx.attempts < 2);
        error
    }

    async fn upstream_request_filter(
        &self,
        _session: &mut Session,
        request: &mut RequestHeader,
        ctx: &mut Passage,
    ) -> pingora::Result<()> {
        let handover = handed(ctx)?;
        // Another protocol goes through a tunnel, or not at all (RFC 9110, 7.8: a server may ignore it).
        request.remove_header(&header::UPGRADE);
        coding::translate(request)?;
        address(request, handover, &self.origins[handover.route.origin], ctx.server.as_deref())?;
        ctx.sent = gathered::sent(request, handover);
        Ok(())
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Passage,
    ) -> pingora::Result<()> {
        if response.status.is_informational() && response.status != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(());
        }
        answer::settle_framing(response)?;
        ctx.slot = None;
        ctx.answered = true;
        ctx.failure = None;
        if let (Ok(upstream), Some(server)) = (self.upstream(ctx), &ctx.server) {
            upstream.balance.succeeded(server);
        }
        let sent = ctx.sent.take();
        ctx.gather =
            sent.and_then(|sent| gathered::begin(session.req_header(), &sent, response, ctx.handover.as_ref()?));
        let writer = ctx.gather.as_ref().map(Gather::writer).unwrap_or_default();
        if written::after_unsafe(session, response, handed(ctx)?, writer).await
            && let Some(gather) = &mut ctx.gather
        {
            gather.comes_behind_its_own_write();
        }
        if let Some(probe) = ctx.handover.as_mut().and_then(|h| h.probe.as_mut()) {
            let mut fields = response.headers.clone();
            forwarding::strip_hop_by_hop(&mut fields);
            probe.verdict(response.status, &fields);
        }
        ctx.coder = coding::begin(session.req_header(), response, handed(ctx)?)?;
        Ok(())
    }

    fn response_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        ctx: &mut Passage,
    ) -> pingora::Result<Option<Duration>> {
        gathered::piece(&mut ctx.gather, body.as_ref(), end_of_stream);
        coding::piece(&mut ctx.coder, body, end_of_stream)
            .map_err(|error| Error::because(ErrorType::InternalError, "coding the answer", error))?;
        Ok(None)
    }

    /// The end of a coded body that has trailers behind it, which are no part of what was coded.
    async fn response_trailer_filter(
        &self,
        _session: &mut Session,
        _trailers: &mut HeaderMap,
        ctx: &mut Passage,
    ) -> pingora::Result<Option<Bytes>> {
        let mut end = None;
        gathered::piece(&mut ctx.gather, None, true);
        coding::piece(&mut ctx.coder, &mut end, true)
            .map_err(|error| Error::because(ErrorType::InternalError, "coding the answer", error))?;
        Ok(end)
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Passage,
    ) -> pingora::Result<()> {
        fields::strip(response);
        if response.status.is_informational() {
            fields::unframe(response);
            return Ok(());
        }
        let handover = handed(ctx)?;
        // Ours, whatever the origin speaks (RFC 9110, 6.2).
        response.set_version(http::Version::HTTP_11);
        if response.status == StatusCode::NO_CONTENT {
            fields::unframe(response);
        }
        // HTTP/1.0 knows no chunks: the end of the connection is the end of the body (RFC 9112, 6.1).
        if session.req_header().version == http::Version::HTTP_10 {
            response.remove_header(&header::TRANSFER_ENCODING);
            if !response.headers.contains_key(header::CONTENT_LENGTH) {
                session.set_keepalive(None);
            }
        }
        dress(response, handover)?;
        coding::vary(response, handover)
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, ctx: &mut Passage) -> FailToProxy {
        let code = answer::status_of(error);
        if ctx.failure.is_none() && *error.esource() == ErrorSource::Upstream {
            let failure = if code == 504 { Failure::Timeout } else { Failure::Truncated };
            let what = if code == 504 {
                "it did not answer in time"
            } else {
                "it closed the connection before it had answered"
            };
            // Not counted against the server: what a visitor sends may be what it cannot bear.
            ctx.failure = Some((failure, what.to_owned()));
        }
        let shared = ctx.failure.clone();
        if let (Some(probe), Some((failure, message))) = (ctx.handover.as_mut().and_then(|h| h.probe.as_mut()), shared)
        {
            probe.failed(failure, &message);
        }
        // Once a head was written there is nothing to be said: the connection is cut.
        if code > 0 && session.response_written().is_none() {
            let own = answer::own(ctx, code);
            let json = wants_json(session.get_header(header::ACCEPT).map(HeaderValue::as_bytes));
            session.set_keepalive(None);
            if let Err(error) = answer::write_own(session, &own, json).await {
                tracing::debug!(%error, "the client went away before he could be told");
            }
        }
        FailToProxy { error_code: code, can_reuse_downstream: false }
    }

    fn suppress_error_log(&self, _session: &Session, _ctx: &Passage, _error: &Error) -> bool {
        // Counted, and logged once where the breaker opens.
        true
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, ctx: &mut Passage) {
        let Some(handover) = &ctx.handover else { return };
        let now = handover.site.engine.clock.now();
        let took = now.since(handover.started);
        let status = session.response_written().map_or(499, |r| r.status.as_u16());
        let outcome = if ctx.answered { cache_status(handover).outcome() } else { Outcome::Error };
        handover.route.metrics.request(outcome, status, took);
        let bytes = session.body_bytes_sent() as u64;
        handover.site.access.log(|| note::line(handover, session.req_header(), (status, bytes, outcome), now));
        let how = match (&ctx.failure, error) {
            (Some((failure, _)), _) => failure.as_str(),
            (None, Some(_)) => "client-gone",
            (None, None) => "success",
        };
        let name: Arc<str> = Arc::from(self.origins[handover.route.origin].settings.name.as_str());
        handover.site.engine.metrics.origin_request(&name, Kind::Pass, how, took);
    }
}

/// What Cache-Status says of an answer that was passed.
pub(super) fn cache_status(handover: &Handover) -> CacheStatus {
    CacheStatus::Forwarded { why: handover.why, status: None, stored: false, collapsed: false }
}
