//! Larder's own requests, over HTTP/1.1 and HTTP/2: pooled connections, a deadline for every wait, whole answers or failures.
//!
//! On pingora's `Connector` rather than its subrequests: header hygiene, retry and deadlines are ours then, and nothing
//! of a visitor's request can leak into a fill (design 2).

use super::balance::{Balance, Server};
use super::forwarding::{self, Identity};
use super::{Settings, Timeouts};
use bytes::Bytes;
use engine::origin::{Body, BoxFuture, Early, Interim, Origin, OriginError, OriginRequest, OriginResponse};
use engine::{Clock, Metrics};
use http::{HeaderMap, StatusCode};
use pingora::ErrorType;
use pingora::connectors::http::Connector;
use pingora::http::RequestHeader;
use pingora::protocols::http::client;
use pingora::upstreams::peer::HttpPeer;
use semantics::settlement::Failure;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// One request on a connection.
type HttpSession = client::HttpSession<()>;

/// One origin with its servers.
pub struct Upstream {
    pub settings: Settings,
    pub balance: Balance,
}

/// Speaks to every configured origin.
pub struct Client {
    origins: Vec<Arc<Upstream>>,
    connector: Arc<Connector>,
    identity: Identity,
}

/// How long an unused connection is kept for the next request.
const POOLED_FOR: Duration = Duration::from_secs(60);

impl Client {
    pub async fn new(settings: &[Settings], identity: Identity, clock: &Clock, metrics: &Arc<Metrics>) -> Self {
        let mut origins = Vec::new();
        for settings in settings {
            let balance = Balance::new(settings, clock.clone(), metrics.clone()).await;
            origins.push(Arc::new(Upstream { settings: settings.clone(), balance }));
        }
        Client { origins, connector: Arc::new(Connector::new(None)), identity }
    }

    pub fn origins(&self) -> &[Arc<Upstream>] {
        &self.origins
    }

    async fn ask(&self, request: &OriginRequest) -> Result<OriginResponse, OriginError> {
        let upstream = &self.origins[request.origin];
        let server = upstream.balance.next(request.server).ok_or_else(breakers_open)?;
        let error = match self.ask_server(upstream, &server, request).await {
            Ok(response) => return Ok(response),
            Err(error) => error,
        };
        // Nothing was sent to a server that could not be reached: another one may try.
        match upstream.balance.other(&server) {
            Some(other) if error.failure == Failure::Connect => self.ask_server(upstream, &other, request).await,
            _ => Err(error),
        }
    }

    async fn ask_server(
        &self,
        upstream: &Arc<Upstream>,
        server: &Arc<Server>,
        request: &OriginRequest,
    ) -> Result<OriginResponse, OriginError> {
        let mut last = OriginError {
            failure: Failure::Connect,
            message: format!("the name of {} does not resolve", server.name()),
        };
        for _ in 0..server.addresses().min(ADDRESSES_TRIED) {
            let Some(address) = server.address() else { break };
            match self.ask_address(upstream, server, address, request).await {
                Ok(response) => return Ok(response),
                Err(error) => last = error,
            }
            if last.failure != Failure::Connect {
                break;
            }
        }
        if last.failure.is_unreachable() {
            upstream.balance.failed(server, &last.message);
        }
        Err(last)
    }

    async fn ask_address(
        &self,
        upstream: &Arc<Upstream>,
        server: &Arc<Server>,
        address: SocketAddr,
        request: &OriginRequest,
    ) -> Result<OriginResponse, OriginError> {
        let timeouts = &upstream.settings.timeouts;
        let head = self.request_head(upstream, server, request)?;
        let mut peer = peer(address, server, timeouts);
        let offered = server.offers_http2();
        let (session, reused) = self.connect(&peer, timeouts).await?;
        let first = exchange(session, head.clone(), server, timeouts, request).await;
        let session = match first {
            // The pooled connection was closed as we sent: once more on a fresh one (RFC 9112, 9.3.1). Or it is to be another
            // protocol: nothing was done (RFC 9113, 7).
            Err(error) if (reused && error.failure == Failure::Truncated) || offered != server.offers_http2() => {
                peer = self::peer(address, server, timeouts);
                peer.group_key = FRESH;
                let (session, _) = self.connect(&peer, timeouts).await?;
                peer.group_key = 0;
                exchange(session, head, server, timeouts, request).await?
            }
            other => other?,
        };
        Ok(self.response(upstream, server, peer, session))
    }

    async fn connect(&self, peer: &HttpPeer, timeouts: &Timeouts) -> Result<(HttpSession, bool), OriginError> {
        match timeout(timeouts.connect, self.connector.get_http_session(peer)).await {
            Ok(Ok(connected)) => Ok(connected),
            Ok(Err(error)) => {
                let failure =
                    if *error.etype() == ErrorType::ConnectTimedout { Failure::Timeout } else { Failure::Connect };
                Err(OriginError {
                    failure,
                    message: format!("no connection to {}: {}", address_of(peer), brief(&error)),
                })
            }
            Err(_) => Err(OriginError {
                failure: Failure::Timeout,
                message: format!("no connection to {} within `timeouts.connect`", address_of(peer)),
            }),
        }
    }

    fn request_head(
        &self,
        upstream: &Upstream,
        server: &Server,
        request: &OriginRequest,
    ) -> Result<Box<RequestHeader>, OriginError> {
        let internal = |e: &dyn std::fmt::Display| OriginError {
            failure: Failure::Internal,
            message: format!("the request for {} could not be built: {e}", request.url()),
        };
        let mut head = RequestHeader::build("GET", request.target.as_bytes(), Some(request.fields.len() + 6))
            .map_err(|e| internal(&e))?;
        let host = forwarding::host_header(&upstream.settings.host, &request.host, &server.settings);
        let forwarded = forwarding::forwarded(&request.host, request.scheme);
        let ours = [(http::header::HOST, host), (http::header::VIA, Some(self.identity.via().clone()))];
        for (name, value) in ours.into_iter().chain(forwarded) {
            if let Some(value) = value {
                head.insert_header(name, value).map_err(|e| internal(&e))?;
            }
        }
        for (name, value) in &request.fields {
            head.append_header(name.clone(), value.clone()).map_err(|e| internal(&e))?;
        }
        Ok(Box::new(head))
    }

    fn response(
        &self,
        upstream: &Arc<Upstream>,
        server: &Arc<Server>,
        peer: HttpPeer,
        mut session: HttpSession,
    ) -> OriginResponse {
        let (status, mut fields) = session
            .response_header()
            .map_or((StatusCode::BAD_GATEWAY, HeaderMap::new()), |head| (head.status, head.headers.clone()));
        let in_coding = fields.contains_key(http::header::TRANSFER_ENCODING);
        let chunked = in_coding && !forwarding::is_in_unknown_coding(&fields);
        let length = fields.get(http::header::CONTENT_LENGTH).and_then(|l| l.to_str().ok()?.trim().parse().ok());
        // What HTTP/2 would let come behind such a head is nobody's (RFC 9110, 6.4.1).
        let headed_alone = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let bodiless = session.response_done() || headed_alone;
        let length = if bodiless { Some(0) } else { length.filter(|_| !in_coding) };
        let close_delimited = session.as_http1().is_some() && !bodiless && !chunked && length.is_none();
        forwarding::strip_hop_by_hop(&mut fields);
        let body = HttpBody {
            session: (!headed_alone || session.response_done()).then_some(session),
            connector: self.connector.clone(),
            peer,
            upstream: upstream.clone(),
            server: server.clone(),
            failed: false,
        };
        let server = upstream.balance.id(server);
        OriginResponse { status, fields, length, close_delimited, server, body: Box::new(body) }
    }
}

/// A name may have many addresses; a request waits for at most so many of them.
const ADDRESSES_TRIED: usize = 3;

/// A pool of its own that is always empty, so that a connection is new.
const FRESH: u64 = 1;

impl Origin for Client {
    fn fetch(&self, request: OriginRequest) -> BoxFuture<'_, Result<OriginResponse, OriginError>> {
        Box::pin(async move { self.ask(&request).await })
    }
}

pub fn breakers_open() -> OriginError {
    OriginError {
        failure: Failure::Shed,
        message: "every server of the origin failed just now; it is asked again in a second".into(),
    }
}

fn peer(address: SocketAddr, server: &Server, timeouts: &Timeouts) -> HttpPeer {
    let mut peer = server.settings.peer(address);
    server.negotiate(&mut peer);
    peer.options.connection_timeout = Some(timeouts.connect);
    peer.options.total_connection_timeout = Some(timeouts.connect);
    peer.options.idle_timeout = Some(POOLED_FOR);
    peer
}

fn address_of(peer: &HttpPeer) -> String {
    pingora::upstreams::peer::Peer::address(peer).to_string()
}

/// Sends the request and reads the final head.
async fn exchange(
    mut session: HttpSession,
    head: Box<RequestHeader>,
    server: &Server,
    timeouts: &Timeouts,
    request: &OriginRequest,
) -> Result<HttpSession, OriginError> {
    let conversation = async {
        match &mut session {
            HttpSession::H2(two) => two.write_request_header(head, true)?,
            other => other.write_request_header(head).await?,
        }
        loop {
            session.read_response_header().await?;
            match status(&session) {
                // Interim answers are for whoever waits for the final one (RFC 9110, 15.2).
                Some(status) if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS => {
                    tell(&session, status, request.early.as_ref());
                }
                _ => return Ok::<(), Box<pingora::Error>>(()),
            }
        }
    };
    match timeout(timeouts.first_byte, conversation).await {
        Ok(Ok(())) if status(&session) == Some(StatusCode::SWITCHING_PROTOCOLS) => {
            Err(OriginError { failure: Failure::Malformed, message: "the origin switched protocols unasked".into() })
        }
        Ok(Ok(()))
            if !session.response_header().is_none_or(|head| is_framed(&head.headers, request.unknown_codings)) =>
        {
            Err(OriginError {
                failure: Failure::Malformed,
                message: "the origin's answer has a Transfer-Encoding other than `chunked`".into(),
            })
        }
        Ok(Ok(())) if session.as_http1().is_some_and(|one| mixes_line_ends(&one.get_headers_raw_bytes())) => {
            Err(OriginError {
                failure: Failure::Malformed,
                message: "the head of the origin's answer has lines that end in CRLF and lines that do not".into(),
            })
        }
        Ok(Ok(())) => Ok(session),
        Ok(Err(error)) => {
            server.note_protocol(&error);
            Err(reading(&error))
        }
        Err(_) => Err(OriginError {
            failure: Failure::Timeout,
            message: "the origin did not answer within `timeouts.first_byte`".into(),
        }),
    }
}

fn is_framed(fields: &HeaderMap, unknown_codings: bool) -> bool {
    forwarding::is_framed_plainly(fields) || (unknown_codings && forwarding::is_in_unknown_coding(fields))
}

/// 100 is for who sends a body, and nobody does.
fn tell(session: &HttpSession, status: StatusCode, early: Option<&Early>) {
    let (Some(early), Some(head)) = (early, session.response_header()) else { return };
    if status != StatusCode::CONTINUE {
        let mut fields = head.headers.clone();
        forwarding::strip_hop_by_hop(&mut fields);
        // He may have gone.
        let _ = early.send(Interim { status, fields });
    }
}

fn status(session: &HttpSession) -> Option<StatusCode> {
    session.response_header().map(|head| head.status)
}

/// Where a head ends is told differently by different parsers, if its lines end differently.
fn mixes_line_ends(head: &[u8]) -> bool {
    let lines = head.iter().filter(|b| **b == b'\n').count();
    let proper = memchr::memmem::find_iter(head, b"\r\n").count();
    proper != lines && proper != 0
}

fn reading(error: &pingora::Error) -> OriginError {
    let failure = match error.etype() {
        ErrorType::ReadTimedout | ErrorType::WriteTimedout => Failure::Timeout,
        ErrorType::ConnectionClosed | ErrorType::ReadError | ErrorType::WriteError | ErrorType::H2Error => {
            Failure::Truncated
        }
        other if other.as_str() == "PrematureBodyEnd" => Failure::Truncated,
        _ => Failure::Malformed,
    };
    OriginError { failure, message: format!("the origin's answer broke off or makes no sense: {}", brief(error)) }
}

/// pingora's errors print their whole chain; one line is enough.
fn brief(error: &pingora::Error) -> String {
    let text = error.to_string();
    let line: String = text.trim().chars().filter(|c| !c.is_control()).take(200).collect();
    line
}

/// A body as the origin sends it. Its connection goes back to the pool at its proper end, and is closed otherwise.
struct HttpBody {
    session: Option<HttpSession>,
    connector: Arc<Connector>,
    peer: HttpPeer,
    upstream: Arc<Upstream>,
    server: Arc<Server>,
    failed: bool,
}

impl HttpBody {
    async fn next(&mut self, patience: Duration) -> Result<Option<Bytes>, OriginError> {
        let Some(session) = &mut self.session else { return Ok(None) };
        let error = match timeout(patience, session.read_response_body()).await {
            Ok(Ok(chunk)) => {
                // At once: who got the last byte may ask for the next page before we are asked for another chunk.
                if session.response_done() {
                    self.give_back().await;
                }
                return Ok(chunk);
            }
            Ok(Err(error)) => reading(&error),
            Err(_) => OriginError {
                failure: Failure::Timeout,
                message: format!(
                    "the origin sent nothing for {} s in the middle of its answer",
                    patience.as_secs_f32()
                ),
            },
        };
        self.session = None;
        self.failed = true;
        self.upstream.balance.failed(&self.server, &error.message);
        Err(error)
    }
}

impl HttpBody {
    async fn give_back(&mut self) {
        if let Some(session) = self.session.take() {
            self.connector.release_http_session(session, &self.peer, Some(POOLED_FOR)).await;
        }
    }
}

impl Body for HttpBody {
    fn chunk(&mut self, patience: Duration) -> BoxFuture<'_, Result<Option<Bytes>, OriginError>> {
        Box::pin(self.next(patience))
    }
}

impl Drop for HttpBody {
    fn drop(&mut self) {
        if !self.failed {
            self.upstream.balance.succeeded(&self.server);
        }
    }
}
