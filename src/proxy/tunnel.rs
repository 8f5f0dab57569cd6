//! Another protocol over a client's connection: WebSocket (RFC 6455), once the origin has agreed to it.
//!
//! Not by pingora: its proxying takes the end of the handshake's empty body for the end of the tunnel when it reads the
//! 101 first (its issue 946), and reads from neither side while it writes to one.

use super::conn::Conn;
use super::pace::too_slow;
use super::passed;
use super::site::Handover;
use super::synthetic::{Own, wants_json};
use crate::origin::{Server, Upstream, forwarding};
use engine::origin::Kind;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use parking_lot::Mutex;
use pingora::ErrorType;
use pingora::connectors::TransportConnector;
use pingora::http::RequestHeader;
use pingora::protocols::http::v1::client::HttpSession;
use semantics::Outcome;
use semantics::settlement::Failure;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::time::{Instant, sleep_until, timeout};

/// Where handshakes go.
pub(super) struct Tunnels {
    origins: Vec<Arc<Upstream>>,
    connector: TransportConnector,
}

/// A handshake that came to nothing.
struct Fell {
    failure: Failure,
    what: &'static str,
}

/// How one went: what the client was told, and the bytes that it got after that.
struct Went {
    status: StatusCode,
    sent: u64,
    failure: Option<Failure>,
}

impl Tunnels {
    pub(super) fn new(origins: Vec<Arc<Upstream>>) -> Self {
        Tunnels { origins, connector: TransportConnector::new(None) }
    }

    /// Asks the origin for the protocol, and carries it until either side ends or both are silent for `passed.idle`.
    /// `early`: what the client sent behind its handshake.
    pub(super) async fn run(&self, mut client: Conn, handover: &Handover, mut head: RequestHeader, early: &[u8]) {
        let upstream = &self.origins[handover.route.origin];
        let asked = head.clone();
        let went = match self.shake_hands(upstream, handover, &mut head).await {
            Ok(session) => answer(&mut client, handover, session, early, upstream.settings.passed.idle).await,
            Err(fell) => refuse(&mut client, handover, &asked, &fell).await,
        };
        client.farewell().await;
        note(upstream, handover, &asked, &went);
    }

    async fn shake_hands(
        &self,
        upstream: &Upstream,
        handover: &Handover,
        head: &mut RequestHeader,
    ) -> Result<HttpSession, Fell> {
        let mut server = upstream.balance.next(None);
        let mut fell = Fell { failure: Failure::Shed, what: "no server of it may be asked just now" };
        for _ in 0..2 {
            let Some(tried) = server else { break };
            match self.connect(upstream, &tried).await {
                Ok(session) => return ask(session, upstream, handover, &tried, head).await,
                Err(error) => fell = error,
            }
            upstream.balance.failed(&tried, "no connection");
            server = upstream.balance.other(&tried);
        }
        Err(fell)
    }

    async fn connect(&self, upstream: &Upstream, server: &Server) -> Result<HttpSession, Fell> {
        let unreachable = Fell { failure: Failure::Connect, what: "its server could not be reached" };
        let Some(address) = server.address() else { return Err(unreachable) };
        let peer = passed::peer(upstream, server, address);
        match self.connector.new_stream(&peer).await {
            Ok(stream) => Ok(HttpSession::new(stream)),
            Err(error) if *error.etype() == ErrorType::ConnectTimedout => Err(TOO_LATE),
            Err(_) => Err(unreachable),
        }
    }
}

const WEBSOCKET: &str = "websocket";

/// Whether the origin has switched to the protocol that was asked for (RFC 6455, 4.1).
fn agrees(session: &HttpSession) -> bool {
    session
        .get_header(header::UPGRADE)
        .is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(WEBSOCKET.as_bytes()))
}

const TOO_LATE: Fell = Fell { failure: Failure::Timeout, what: "it did not answer in time" };

/// Sends the handshake, and waits for the final answer.
async fn ask(
    mut session: HttpSession,
    upstream: &Upstream,
    handover: &Handover,
    server: &Server,
    head: &mut RequestHeader,
) -> Result<HttpSession, Fell> {
    let conversation = async {
        passed::address(head, handover, upstream, Some(server))?;
        for name in forwarding::of_the_connection(&head.headers) {
            head.remove_header(&name);
        }
        head.remove_header(&header::PROXY_AUTHORIZATION);
        // This protocol and no other: what else the client would switch to (h2c, say) is spoken past every check of ours.
        head.remove_header("http2-settings");
        head.insert_header(header::CONNECTION, "upgrade")?;
        head.insert_header(header::UPGRADE, WEBSOCKET)?;
        session.write_request_header(Box::new(head.clone())).await?;
        loop {
            session.read_response().await?;
            let interim = session.get_status().is_some_and(|s| s.is_informational());
            if !interim || session.was_upgraded() {
                return Ok::<(), Box<pingora::Error>>(());
            }
        }
    };
    match timeout(upstream.settings.passed.first_byte, conversation).await {
        Ok(Ok(())) if session.was_upgraded() && !agrees(&session) => {
            Err(Fell { failure: Failure::Malformed, what: "it switched to a protocol that was not asked for" })
        }
        Ok(Ok(())) => {
            upstream.balance.succeeded(server);
            Ok(session)
        }
        Ok(Err(_)) => Err(Fell { failure: Failure::Truncated, what: "its answer broke off or makes no sense" }),
        Err(_) => Err(TOO_LATE),
    }
}

/// Tells the client what the origin said: the tunnel begins, or this was an ordinary answer.
async fn answer(
    client: &mut Conn,
    handover: &Handover,
    mut session: HttpSession,
    early: &[u8],
    idle: Duration,
) -> Went {
    let Some(mut head) = session.resp_header().cloned() else { return Went::broken(StatusCode::BAD_GATEWAY) };
    let (status, upgraded) = (head.status, session.was_upgraded());
    let min_rate = handover.site.limits.send_min_rate;
    let chunked = !upgraded && !head.headers.contains_key(header::CONTENT_LENGTH) && !session.is_body_done();
    let told = passed::dress(&mut head, handover).is_ok();
    if !told || tell(client, &wire(status, head.headers.clone(), upgraded, chunked), min_rate).await.is_err() {
        return Went::broken(status);
    }
    let traffic = Traffic::default();
    let ended = if upgraded {
        traffic.or_silence(idle, carry(client, session, early, &traffic, min_rate)).await
    } else {
        traffic.or_silence(idle, relay(client, &mut session, chunked, &traffic, min_rate)).await
    };
    let failure = (!upgraded && ended.is_err()).then_some(Failure::Truncated);
    Went { status, sent: traffic.down.load(Ordering::Relaxed), failure }
}

/// The origin's fields, without those of its connection; of this one, the protocol's or how an ordinary body ends.
fn wire(status: StatusCode, mut fields: HeaderMap, upgraded: bool, chunked: bool) -> Vec<u8> {
    forwarding::strip_hop_by_hop(&mut fields);
    if upgraded {
        fields.remove(header::CONTENT_LENGTH);
        fields.insert(header::UPGRADE, HeaderValue::from_static(WEBSOCKET));
    } else if chunked {
        fields.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    fields.insert(header::CONNECTION, HeaderValue::from_static(if upgraded { "upgrade" } else { "close" }));
    let mut head = format!("HTTP/1.1 {} {}\r\n", status.as_u16(), status.canonical_reason().unwrap_or("")).into_bytes();
    for (name, value) in &fields {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// Writes what is not the other protocol's, and gives up on a client that takes too long for it.
async fn tell(client: &mut Conn, bytes: &[u8], min_rate: usize) -> io::Result<()> {
    let writing = async {
        client.write_all(bytes).await?;
        client.flush().await
    };
    let patience = GRACE + Duration::from_secs((bytes.len() / min_rate.max(1)) as u64);
    timeout(patience, writing).await.unwrap_or_else(|_| Err(too_slow()))
}

/// So long a client may take for any write, beside what it earns by `limits.send_min_rate`.
const GRACE: Duration = Duration::from_secs(10);

/// The body of an ordinary answer.
async fn relay(
    client: &mut Conn,
    session: &mut HttpSession,
    chunked: bool,
    traffic: &Traffic,
    min_rate: usize,
) -> io::Result<()> {
    while let Some(chunk) = session.read_body_bytes().await.map_err(io::Error::other)? {
        if chunk.is_empty() {
            continue;
        }
        if chunked {
            let framed = [format!("{:x}\r\n", chunk.len()).as_bytes(), &chunk, b"\r\n"].concat();
            tell(client, &framed, min_rate).await?;
        } else {
            tell(client, &chunk, min_rate).await?;
        }
        traffic.moved(&traffic.down, chunk.len());
    }
    if chunked { tell(client, b"0\r\n\r\n", min_rate).await } else { Ok(()) }
}

/// Carries bytes both ways until one side ends: then neither has anything more to say in that protocol.
async fn carry(
    client: &mut Conn,
    mut session: HttpSession,
    early: &[u8],
    traffic: &Traffic,
    min_rate: usize,
) -> io::Result<()> {
    // What came behind the 101 in one read; nothing is waited for.
    let first = {
        let mut reading = pin!(session.read_body_bytes());
        poll_fn(|cx| Poll::Ready(reading.as_mut().poll(cx))).await
    };
    let mut origin = session.into_inner();
    if let Poll::Ready(first) = first {
        let Some(first) = first.map_err(io::Error::other)? else { return Ok(()) };
        tell(client, &first, min_rate).await?;
        traffic.moved(&traffic.down, first.len());
    }
    if !early.is_empty() {
        origin.write_all(early).await?;
        origin.flush().await?;
    }
    let (mut from_origin, mut to_origin) = split(&mut origin);
    let (mut from_client, mut to_client) = split(client);
    tokio::select! {
        ended = one_way(&mut from_origin, &mut to_client, traffic, &traffic.down) => ended,
        ended = one_way(&mut from_client, &mut to_origin, traffic, &traffic.up) => ended,
    }
}

async fn one_way(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    traffic: &Traffic,
    count: &AtomicU64,
) -> io::Result<()> {
    let mut buffer = vec![0; 8 * 1024];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        to.write_all(&buffer[..read]).await?;
        to.flush().await?;
        traffic.moved(count, read);
    }
}

/// What went through, and when something last did.
struct Traffic {
    down: AtomicU64,
    up: AtomicU64,
    last: Mutex<Instant>,
}

impl Default for Traffic {
    fn default() -> Self {
        Traffic { down: AtomicU64::new(0), up: AtomicU64::new(0), last: Mutex::new(Instant::now()) }
    }
}

impl Traffic {
    fn moved(&self, count: &AtomicU64, bytes: usize) {
        count.fetch_add(bytes as u64, Ordering::Relaxed);
        *self.last.lock() = Instant::now();
    }

    /// Waits for the end of what moves bytes, or until nothing has moved for so long.
    async fn or_silence(&self, idle: Duration, moving: impl Future<Output = io::Result<()>>) -> io::Result<()> {
        let silence = async {
            loop {
                let end = *self.last.lock() + idle;
                if end <= Instant::now() {
                    return;
                }
                sleep_until(end).await;
            }
        };
        tokio::select! {
            ended = moving => ended,
            () = silence => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

impl Went {
    fn broken(status: StatusCode) -> Self {
        Went { status, sent: 0, failure: Some(Failure::Truncated) }
    }
}

/// An answer of our own: there was none of the origin's.
async fn refuse(client: &mut Conn, handover: &Handover, asked: &RequestHeader, fell: &Fell) -> Went {
    let own = Own {
        status: fell.failure.gateway_status(),
        explanation: format!("The request could not be passed to its origin: {}.", fell.what),
        remedy: "Try again in a moment.",
        cache_status: passed::cache_status(handover),
        retry_after: Some(1),
        location: None,
    };
    let json = wants_json(asked.headers.get(header::ACCEPT).map(HeaderValue::as_bytes));
    let (mut head, body) = own.render(json);
    head.extend_from_slice(b"connection: close\r\n\r\n");
    head.extend_from_slice(&body);
    // He may be gone; there is nobody else to tell.
    let _ = tell(client, &head, handover.site.limits.send_min_rate).await;
    Went { status: own.status, sent: body.len() as u64, failure: Some(fell.failure) }
}

/// Counts it and notes it down, once it is over.
fn note(upstream: &Upstream, handover: &Handover, asked: &RequestHeader, went: &Went) {
    let site = &handover.site;
    let now = site.engine.clock.now();
    let took = now.since(handover.started);
    let status = went.status.as_u16();
    let answered = !matches!(went.failure, Some(failure) if failure != Failure::Truncated);
    let outcome = if answered { passed::cache_status(handover).outcome() } else { Outcome::Error };
    handover.route.metrics.request(outcome, status, took);
    site.access.log(|| passed::note::line(handover, asked, (status, went.sent, outcome), now));
    let how = went.failure.map_or("success", Failure::as_str);
    let name: Arc<str> = Arc::from(upstream.settings.name.as_str());
    site.engine.metrics.origin_request(&name, Kind::Pass, how, took);
}
