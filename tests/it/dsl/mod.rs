//! The words of the tests: [`Origin`], [`Edge`] and what clients get. Nothing sleeps to synchronise: whoever waits,
//! waits for a fact, and not for ever.

mod bytes;
mod client;
mod edge;
mod http2;
mod origin;
mod reply;
mod snapshot;
mod tls;

pub use bytes::BytesOrigin;
pub use client::{Crowd, HOST, Raw, Request, Response};
pub use edge::{Edge, Larder, ORDERED, PLAIN, SHORT, Scratch, TOKEN};
pub use http2::{Http2, Http2Origin, Told, of};
pub use origin::{Origin, Seen};
pub use reply::Reply;
pub use snapshot::{DOWN, Moves, Snapshot, UP};
pub use tls::{ALL_VERSIONS, Authority, Issued, inside, shown, spoken};

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Duration, Instant, sleep, timeout};

/// No fact takes longer, on a machine with better things to do too.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// How often a fact is looked for that nobody announces.
pub const LOOK_AGAIN: Duration = Duration::from_millis(15);

pub const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Waits until a fact holds.
pub async fn until(what: &str, mut fact: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !fact().await {
        assert!(Instant::now() < deadline, "this did not come true: {what}");
        sleep(LOOK_AGAIN).await;
    }
}

/// Waits for something that announces itself.
pub async fn in_time<T>(what: &str, something: impl Future<Output = T>) -> T {
    match timeout(PATIENCE, something).await {
        Ok(value) => value,
        Err(_) => panic!("waited {} s in vain: {what}", PATIENCE.as_secs()),
    }
}

/// A free port, kept free for as long as the socket lives: it is bound and does not listen, so that connections are
/// refused, nobody else is given the port, and whoever sets SO_REUSEADDR may listen there.
pub fn reserve() -> (TcpSocket, SocketAddr) {
    let socket = bound(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

pub fn bound(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// A connection, and what was read of it too early.
pub struct Buffered {
    pub stream: TcpStream,
    held: Vec<u8>,
}

impl Buffered {
    pub fn new(stream: TcpStream) -> Self {
        let _ = stream.set_nodelay(true);
        Buffered { stream, held: Vec::new() }
    }

    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Whatever comes next; 0 bytes at the end.
    pub async fn more(&mut self) -> io::Result<usize> {
        self.held.reserve(16 * 1024);
        self.stream.read_buf(&mut self.held).await
    }

    /// What has come and was not taken yet.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }

    async fn expect_more(&mut self) -> io::Result<()> {
        if self.more().await? == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    fn split(&mut self, at: usize) -> Vec<u8> {
        let rest = self.held.split_off(at);
        std::mem::replace(&mut self.held, rest)
    }

    /// Up to the empty line and with it; `None` at a clean end.
    pub async fn head(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(at) = find(&self.held, b"\r\n\r\n") {
                return Ok(Some(latin(&self.split(at + 4))));
            }
            if self.more().await? == 0 {
                return if self.held.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
        }
    }

    async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(at) = find(&self.held, b"\r\n") {
                let line = self.split(at + 2);
                return Ok(latin(&line[..at]));
            }
            self.expect_more().await?;
        }
    }

    pub async fn exactly(&mut self, n: usize) -> io::Result<Vec<u8>> {
        while self.held.len() < n {
            self.expect_more().await?;
        }
        Ok(self.split(n))
    }

    /// One chunk of a chunked body; `None` after the last.
    pub async fn chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        let line = self.line().await?;
        let size = usize::from_str_radix(&line, 16).map_err(|_| io::Error::other(format!("chunk size `{line}`")))?;
        if size == 0 {
            while !self.line().await?.is_empty() {}
            return Ok(None);
        }
        let data = self.exactly(size).await?;
        if !self.line().await?.is_empty() {
            return Err(io::Error::other("a chunk is longer than its size"));
        }
        Ok(Some(data))
    }

    /// Takes everything up to and with this text.
    pub async fn through(&mut self, text: &str) -> io::Result<Vec<u8>> {
        loop {
            if let Some(at) = find(&self.held, text.as_bytes()) {
                return Ok(self.split(at + text.len()));
            }
            self.expect_more().await?;
        }
    }

    /// Everything up to the end of the connection. May be given up and begun again.
    pub async fn rest(&mut self) -> io::Result<Vec<u8>> {
        while self.more().await? > 0 {}
        Ok(self.take())
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// Bytes as text, one character each.
pub fn latin(bytes: &[u8]) -> String {
    bytes.iter().map(|b| char::from(*b)).collect()
}

/// Field lines in order, names in lower case.
pub type Lines = Vec<(String, String)>;

/// The first line of a head, and its field lines.
pub fn split_head(head: &str) -> (String, Lines) {
    let mut lines = head.split("\r\n");
    let first = lines.next().unwrap_or_default().to_owned();
    let fields = lines.filter(|line| !line.is_empty()).map(|line| {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        (name.to_ascii_lowercase(), value.trim().to_owned())
    });
    (first, fields.collect())
}

/// All values of a field, joined as one.
pub fn joined(lines: &Lines, name: &str) -> Option<String> {
    let values: Vec<&str> =
        lines.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str()).collect();
    (!values.is_empty()).then(|| values.join(", "))
}
