//! Clients: one request on a connection of its own, a crowd of them, or raw bytes.

use super::{Buffered, Lines, PATIENCE, in_time, joined, split_head};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Duration, Instant, timeout};

/// The host that clients ask for, unless a test says otherwise.
pub const HOST: &str = "site.test";

/// An answer from the store does not wait for anybody; this much is the machine's.
const AT_ONCE: Duration = Duration::from_millis(900);

/// A request on a connection of its own. Awaiting it sends it.
#[derive(Clone, Debug)]
pub struct Request {
    to: SocketAddr,
    method: String,
    target: String,
    host: String,
    lines: Lines,
    body: Option<Vec<u8>>,
}

impl Request {
    pub fn new(to: SocketAddr, method: &str, target: &str) -> Self {
        Request {
            to,
            method: method.to_owned(),
            target: target.to_owned(),
            host: HOST.to_owned(),
            lines: Vec::new(),
            body: None,
        }
    }

    pub fn host(mut self, host: &str) -> Self {
        host.clone_into(&mut self.host);
        self
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.lines.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn cookie(self, pair: &str) -> Self {
        self.header("Cookie", pair)
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\nHost: {}\r\n", self.method, self.target, self.host);
        for (name, value) in &self.lines {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(body) = &self.body {
            text.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(self.body.as_deref().unwrap_or_default());
        bytes
    }

    /// Sends it; an error where no head of an answer comes back.
    pub async fn send(self) -> Result<Response, String> {
        let begun = Instant::now();
        let exchange = async {
            let mut io = Buffered::new(TcpStream::connect(self.to).await?);
            // An answer may come before all of a body is taken.
            let _ = io.write(&self.bytes()).await;
            read(&mut io, &self.method).await
        };
        let mut response = match timeout(PATIENCE, exchange).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(format!("{} {}: {error}", self.method, self.target)),
            Err(_) => return Err(format!("{} {}: no answer in {} s", self.method, self.target, PATIENCE.as_secs())),
        };
        response.took = begun.elapsed();
        Ok(response)
    }
}

impl IntoFuture for Request {
    type Output = Response;
    type IntoFuture = Pin<Box<dyn Future<Output = Response> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            match self.send().await {
                Ok(response) => response,
                Err(error) => panic!("{error}"),
            }
        })
    }
}

/// What a client got.
#[derive(Clone, Debug, Default)]
pub struct Response {
    pub code: u16,
    pub lines: Lines,
    pub body: Vec<u8>,
    /// The body ended as its framing says.
    pub whole: bool,
    pub took: Duration,
}

/// Reads one answer; interim ones are skipped.
async fn read(io: &mut Buffered, method: &str) -> io::Result<Response> {
    let mut response = loop {
        let response = read_head(io).await?;
        if response.code >= 200 || response.code == 101 {
            break response;
        }
    };
    if method == "HEAD" || matches!(response.code, 101 | 204 | 304) {
        response.whole = true;
    } else if response.field("transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked")) {
        while let Ok(part) = io.chunk().await {
            match part {
                Some(part) => response.body.extend(part),
                None => {
                    response.whole = true;
                    break;
                }
            }
        }
    } else if let Some(length) = response.field("content-length") {
        let length = length.parse().map_err(|_| io::Error::other(format!("Content-Length: {length}")))?;
        match io.exactly(length).await {
            Ok(body) => (response.body, response.whole) = (body, true),
            Err(_) => response.body = io.take(),
        }
    } else {
        (response.body, response.whole) = (io.rest().await?, true);
    }
    Ok(response)
}

async fn read_head(io: &mut Buffered) -> io::Result<Response> {
    let Some(head) = io.head().await? else { return Err(io::ErrorKind::UnexpectedEof.into()) };
    let (first, lines) = split_head(&head);
    let code = first.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)?.parse().ok());
    let code = code.ok_or_else(|| io::Error::other(format!("status line `{first}`")))?;
    Ok(Response { code, lines, ..Response::default() })
}

impl Response {
    /// A field's value, several lines joined.
    pub fn field(&self, name: &str) -> Option<String> {
        joined(&self.lines, name)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn story(&self) -> String {
        let body: String = self.text().chars().take(300).collect();
        let whole = if self.whole { "" } else { " (cut off)" };
        format!("{} in {:?}\n{:#?}\n{body}{whole}", self.code, self.took, self.lines)
    }

    /// The body is exactly this, and came to its end.
    #[track_caller]
    pub fn is(&self, body: &str) -> &Self {
        assert!(self.whole && self.text() == body, "wanted the body `{body}`, got {}", self.story());
        self
    }

    #[track_caller]
    pub fn status(&self, code: u16) -> &Self {
        assert_eq!(self.code, code, "got {}", self.story());
        self
    }

    /// Larder's member of Cache-Status has this in it.
    #[track_caller]
    pub fn cache_status(&self, part: &str) -> &Self {
        let status = self.field("cache-status").unwrap_or_default();
        let ours = status.rsplit("larder;").next().unwrap_or_default();
        assert!(status.contains("larder;") && ours.contains(part), "no `{part}` in `{status}` of {}", self.story());
        self
    }

    #[track_caller]
    pub fn header(&self, name: &str, value: &str) -> &Self {
        assert_eq!(self.field(name).as_deref(), Some(value), "{name} of {}", self.story());
        self
    }

    #[track_caller]
    pub fn header_has(&self, name: &str, part: &str) -> &Self {
        let value = self.field(name).unwrap_or_default();
        assert!(value.contains(part), "no `{part}` in {name} of {}", self.story());
        self
    }

    #[track_caller]
    pub fn no_header(&self, name: &str) -> &Self {
        assert_eq!(self.field(name), None, "{name} of {}", self.story());
        self
    }

    /// The one who asked did not wait for the origin.
    #[track_caller]
    pub fn at_once(&self) -> &Self {
        assert!(self.took < AT_ONCE, "not at once: {}", self.story());
        self
    }

    pub fn age(&self) -> Option<u64> {
        self.field("age")?.parse().ok()
    }

    pub fn is_hit(&self) -> bool {
        self.field("cache-status").is_some_and(|s| s.contains("larder; hit"))
    }

    /// From the store, and its window is over.
    pub fn is_stale(&self) -> bool {
        let status = self.field("cache-status").unwrap_or_default();
        status.contains("larder; hit; ttl=-") || status.contains("larder; hit; ttl=0")
    }
}

/// Many requests at the same time, each on its own connection.
pub struct Crowd(Vec<JoinHandle<Result<Response, String>>>);

impl Crowd {
    pub fn of(requests: impl IntoIterator<Item = Request>) -> Crowd {
        Crowd(requests.into_iter().map(|request| tokio::spawn(request.send())).collect())
    }

    /// How it went for everybody, in the order of the requests.
    pub async fn settled(self) -> Vec<Result<Response, String>> {
        let mut settled = Vec::with_capacity(self.0.len());
        for one in self.0 {
            settled.push(one.await.unwrap());
        }
        settled
    }

    /// Everybody's answer.
    pub async fn answers(self) -> Vec<Response> {
        let answers: Result<Vec<Response>, String> = self.settled().await.into_iter().collect();
        answers.unwrap_or_else(|error| panic!("one of the crowd: {error}"))
    }
}

/// A connection whose bytes the test writes.
pub struct Raw {
    io: Buffered,
}

impl Raw {
    pub async fn open(to: SocketAddr) -> Raw {
        Raw { io: Buffered::new(TcpStream::connect(to).await.unwrap()) }
    }

    /// Writes; that the other side has closed shows in what is read.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let _ = in_time("room for more bytes", self.io.write(bytes.as_ref())).await;
        self
    }

    /// The next answer, to a GET.
    pub async fn response(&mut self) -> Response {
        self.response_to("GET").await
    }

    pub async fn response_to(&mut self, method: &str) -> Response {
        let response = in_time("an answer on a raw connection", read(&mut self.io, method)).await;
        response.unwrap_or_else(|error| panic!("no answer on a raw connection: {error}"))
    }

    /// The head of the next answer, interim ones too; its body stays where it is.
    pub async fn head(&mut self) -> Response {
        let head = in_time("a head on a raw connection", read_head(&mut self.io)).await;
        head.unwrap_or_else(|error| panic!("no head on a raw connection: {error}"))
    }

    /// Reads until this text has come.
    pub async fn through(&mut self, text: &str) -> String {
        let read = in_time(&format!("`{text}` on a raw connection"), self.io.through(text)).await;
        let read = read.unwrap_or_else(|error| panic!("`{text}` did not come: {error}"));
        String::from_utf8_lossy(&read).into_owned()
    }

    /// The next chunk of a body; empty at its end.
    pub async fn chunk(&mut self) -> Vec<u8> {
        let chunk = in_time("a chunk on a raw connection", self.io.chunk()).await;
        chunk.unwrap_or_else(|error| panic!("no chunk on a raw connection: {error}")).unwrap_or_default()
    }

    /// Everything until Larder closes the connection.
    pub async fn closed(&mut self) -> String {
        in_time("the end of a connection", self.ended()).await
    }

    /// The same, if it closes within this time.
    pub async fn closed_within(&mut self, span: Duration) -> Option<String> {
        timeout(span, self.ended()).await.ok()
    }

    async fn ended(&mut self) -> String {
        let read = match self.io.rest().await {
            Ok(read) => read,
            Err(_) => self.io.take(),
        };
        String::from_utf8_lossy(&read).into_owned()
    }

    /// Goes away without a word.
    pub fn reset(self) {
        let _ = self.io.stream.set_zero_linger();
    }
}
