//! Clients of HTTP/2, and an origin that speaks it.

use super::{HOST, Issued, Response, in_time};
use bytes::Bytes;
use h2::client::{SendRequest, handshake};
use h2::{Reason, RecvStream, SendStream};
use http::request::Builder;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// One connection.
pub struct Http2 {
    requests: SendRequest<Bytes>,
    driven: JoinHandle<Result<(), h2::Error>>,
}

/// A request to the usual host.
pub fn of(method: &str, target: &str) -> Builder {
    http::Request::builder().method(method).uri(format!("http://{HOST}{target}"))
}

/// A request that was begun.
pub struct Stream {
    answer: h2::client::ResponseFuture,
    pub sends: SendStream<Bytes>,
}

impl Http2 {
    /// Without TLS, by prior knowledge.
    pub async fn plain(to: SocketAddr) -> Http2 {
        Http2::over(TcpStream::connect(to).await.unwrap()).await
    }

    pub async fn over(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Http2 {
        let (requests, connection) = in_time("a handshake of HTTP/2", handshake(io)).await.unwrap();
        Http2 { requests, driven: tokio::spawn(connection) }
    }

    pub async fn begin(&self, request: Builder, ended: bool) -> Stream {
        let mut requests = in_time("a stream", self.requests.clone().ready()).await.unwrap();
        let (answer, sends) = requests.send_request(request.body(()).unwrap(), ended).unwrap();
        Stream { answer, sends }
    }

    pub async fn send(&self, request: Builder) -> Result<Response, h2::Error> {
        self.begin(request, true).await.response().await
    }

    pub async fn get(&self, target: &str) -> Response {
        self.ask(of("GET", target)).await
    }

    pub async fn ask(&self, request: Builder) -> Response {
        self.send(request).await.unwrap_or_else(|error| panic!("no answer in HTTP/2: {error}"))
    }

    /// Waits until the connection ends. Says how, where that was an error.
    pub async fn ended(self) -> Result<(), h2::Error> {
        drop(self.requests);
        in_time("the end of a connection", self.driven).await.unwrap()
    }

    /// The same, while it might ask for more.
    pub async fn is_ended(&mut self) {
        let _ = in_time("the end of a connection", &mut self.driven).await;
    }
}

impl Stream {
    /// Sends as much as there is room for, and all of it.
    pub async fn upload(&mut self, mut body: Bytes) {
        while !body.is_empty() {
            self.sends.reserve_capacity(body.len());
            let room = in_time("room to send", poll_fn(|cx| self.sends.poll_capacity(cx))).await.unwrap().unwrap();
            self.sends.send_data(body.split_to(room.min(body.len())), false).unwrap();
        }
        self.sends.send_data(Bytes::new(), true).unwrap();
    }

    /// The head of the answer; its body comes in pieces.
    pub async fn head(self) -> (Response, RecvStream) {
        let answer = in_time("an answer", self.answer).await.unwrap();
        let (parts, body) = answer.into_parts();
        (of_parts(&parts), body)
    }

    /// The next interim answer.
    pub async fn interim(&mut self) -> u16 {
        let interim = in_time("an interim answer", poll_fn(|cx| self.answer.poll_informational(cx))).await;
        interim.unwrap().unwrap().status().as_u16()
    }

    /// An error where the stream was reset before its end.
    pub async fn response(self) -> Result<Response, h2::Error> {
        let (parts, mut body) = in_time("an answer", self.answer).await?.into_parts();
        let mut response = of_parts(&parts);
        while let Some(piece) = in_time("a piece of a body", body.data()).await {
            let piece = piece?;
            body.flow_control().release_capacity(piece.len())?;
            response.body.extend_from_slice(&piece);
        }
        response.whole = true;
        Ok(response)
    }
}

fn of_parts(parts: &http::response::Parts) -> Response {
    assert_eq!(parts.version, http::Version::HTTP_2);
    let line = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    Response { code: parts.status.as_u16(), lines: parts.headers.iter().map(line).collect(), ..Response::default() }
}

/// How an origin's answer goes.
#[derive(Clone)]
pub enum Told {
    /// A page, fresh for a minute, in pieces of its own size or as one.
    Page(String),
    /// So much of a page, and then a reset.
    Cut(String),
    /// What came along with the request.
    Echo,
    /// A page, and trailers behind it.
    Trailed(String),
    /// 204, and all the same a body.
    Nothing(String),
    Reset,
    /// It would rather hear HTTP/1.1 (RFC 9113, 7), and answers this there.
    WantsHttp1(String),
}

/// An origin that speaks HTTP/2, over TLS alone; HTTP/1.1 only to who asks for nothing better.
pub struct Http2Origin {
    pub port: u16,
    seen: Arc<Mutex<Vec<http::request::Parts>>>,
    told: Arc<Mutex<Told>>,
}

impl Http2Origin {
    pub async fn start(issued: &Issued, told: Told) -> Http2Origin {
        let (acceptor, listener) =
            (issued.acceptor(&["h2", "http/1.1"]), TcpListener::bind("127.0.0.1:0").await.unwrap());
        let port = listener.local_addr().unwrap().port();
        let (seen, told) = (Arc::<Mutex<Vec<_>>>::default(), Arc::new(Mutex::new(told)));
        let origin = Http2Origin { port, seen: seen.clone(), told: told.clone() };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, seen, told) = (acceptor.clone(), seen.clone(), told.clone());
                tokio::spawn(async move {
                    let mut stream = acceptor.accept(stream).await.ok()?;
                    if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
                        let Told::WantsHttp1(page) = told.lock().unwrap().clone() else { return None };
                        let mut seen = Vec::new();
                        // What is sent behind the head is not looked at.
                        while !seen.windows(4).any(|end| end == b"\r\n\r\n") {
                            stream.read_buf(&mut seen).await.ok()?;
                        }
                        let head = "HTTP/1.1 200 OK\r\nCache-Control: s-maxage=60\r\nConnection: close\r\n";
                        let answer = format!("{head}Content-Length: {}\r\n\r\n{page}", page.len());
                        stream.write_all(answer.as_bytes()).await.ok()?;
                        stream.shutdown().await.ok()?;
                        return Some(());
                    }
                    let mut connection = h2::server::handshake(stream).await.ok()?;
                    while let Some(Ok((request, respond))) = connection.accept().await {
                        let (parts, body) = request.into_parts();
                        seen.lock().unwrap().push(parts);
                        tokio::spawn(answer(told.lock().unwrap().clone(), body, respond));
                    }
                    Some(())
                });
            }
        });
        origin
    }

    /// From now on.
    pub fn tells(&self, told: Told) {
        *self.told.lock().unwrap() = told;
    }

    pub fn seen(&self) -> Vec<http::request::Parts> {
        self.seen.lock().unwrap().clone()
    }
}

async fn answer(told: Told, mut body: RecvStream, mut respond: h2::server::SendResponse<Bytes>) -> Option<()> {
    let (mut trailers, mut status) = (None, 200);
    let (mut page, cut) = match told {
        Told::Page(page) => (Bytes::from(page), false),
        Told::Trailed(page) => {
            trailers =
                Some(http::HeaderMap::from_iter([(http::header::ETAG, http::HeaderValue::from_static("\"t\""))]));
            (Bytes::from(page), false)
        }
        Told::Nothing(page) => {
            status = 204;
            (Bytes::from(page), false)
        }
        Told::WantsHttp1(_) => {
            respond.send_reset(Reason::HTTP_1_1_REQUIRED);
            return None;
        }
        Told::Cut(page) => (Bytes::from(page), true),
        Told::Reset => {
            respond.send_reset(Reason::INTERNAL_ERROR);
            return None;
        }
        Told::Echo => {
            let mut all = Vec::new();
            while let Some(Ok(piece)) = body.data().await {
                body.flow_control().release_capacity(piece.len()).ok()?;
                all.extend_from_slice(&piece);
            }
            (Bytes::from(all), false)
        }
    };
    let head = http::Response::builder()
        .status(status)
        .header("cache-control", "s-maxage=60")
        .header("content-type", "text/html");
    let mut stream = respond.send_response(head.body(()).ok()?, false).ok()?;
    while !page.is_empty() {
        stream.reserve_capacity(page.len());
        let room = poll_fn(|cx| stream.poll_capacity(cx)).await?.ok()?;
        stream.send_data(page.split_to(room.min(page.len())), false).ok()?;
    }
    if cut {
        stream.send_reset(Reason::INTERNAL_ERROR);
    } else if let Some(trailers) = trailers {
        stream.send_trailers(trailers).ok()?;
    } else {
        stream.send_data(Bytes::new(), true).ok()?;
    }
    Some(())
}
