//! Answers of a scripted origin, and how each of them is played.

use super::origin::{Busy, Seen};
use super::{Buffered, Lines, joined};
use std::io;
use std::sync::{Arc, Mutex};
use tokio::sync::{mpsc, watch};
use tokio::time::{Duration, sleep};

/// What happens after a request.
#[derive(Clone)]
pub(super) enum Act {
    /// Head and body with Content-Length.
    Length,
    /// Head and body in two chunks.
    Chunked,
    /// The end of the body is the end of the connection.
    UntilClose,
    /// Only so many bytes of the body, then FIN.
    Short(usize),
    ShortChunked(usize),
    /// Only so many bytes of the body, then RST.
    ResetAfter(usize),
    /// Never answers.
    Hang,
    /// RST instead of an answer.
    Reset,
    /// FIN instead of an answer.
    Close,
    Raw(Vec<u8>),
    /// A byte now and then, without end.
    Drip,
    /// As the test tells, once.
    Tapped(Arc<Mutex<Option<mpsc::UnboundedReceiver<Told>>>>),
    /// 101, and every byte back.
    Upgrade,
    /// The request's body back, piece by piece as it comes.
    Echo,
}

pub(super) enum Told {
    Bytes(Vec<u8>),
    End,
}

/// An answer.
#[derive(Clone)]
pub struct Reply {
    status: u16,
    lines: Lines,
    body: Vec<u8>,
    pub(super) delay: Duration,
    pub(super) held: Option<watch::Receiver<bool>>,
    /// Answers 304 to its own ETag.
    conditional: bool,
    act: Act,
}

impl Reply {
    pub fn ok(body: impl Into<Vec<u8>>) -> Reply {
        Reply {
            status: 200,
            lines: Lines::new(),
            body: body.into(),
            delay: Duration::ZERO,
            held: None,
            conditional: false,
            act: Act::Length,
        }
    }

    pub(super) fn acting(act: Act) -> Reply {
        Reply { act, ..Reply::ok("") }
    }

    pub fn hang() -> Reply {
        Reply::acting(Act::Hang)
    }

    pub fn reset() -> Reply {
        Reply::acting(Act::Reset)
    }

    pub fn close() -> Reply {
        Reply::acting(Act::Close)
    }

    pub fn raw(bytes: &str) -> Reply {
        Reply::acting(Act::Raw(bytes.as_bytes().to_vec()))
    }

    pub fn drip() -> Reply {
        Reply::acting(Act::Drip)
    }

    pub fn upgrade() -> Reply {
        Reply::acting(Act::Upgrade)
    }

    pub fn status(mut self, status: u16) -> Reply {
        self.status = status;
        self
    }

    pub fn header(mut self, name: &str, value: &str) -> Reply {
        self.lines.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn cache_control(self, value: &str) -> Reply {
        self.header("Cache-Control", value)
    }

    /// An ETag, and 304 to who has it.
    pub fn etag(mut self, tag: &str) -> Reply {
        self.conditional = true;
        self.header("ETag", tag)
    }

    pub fn delay(mut self, delay: Duration) -> Reply {
        self.delay = delay;
        self
    }

    pub(super) fn held(mut self, until: watch::Receiver<bool>) -> Reply {
        self.held = Some(until);
        self
    }

    pub(super) fn act(mut self, act: Act) -> Reply {
        self.act = act;
        self
    }

    pub fn chunked(self) -> Reply {
        self.act(Act::Chunked)
    }

    pub fn until_close(self) -> Reply {
        self.act(Act::UntilClose)
    }

    pub fn short(self, bytes: usize) -> Reply {
        self.act(Act::Short(bytes))
    }

    pub fn short_chunked(self, bytes: usize) -> Reply {
        self.act(Act::ShortChunked(bytes))
    }

    pub fn reset_after(self, bytes: usize) -> Reply {
        self.act(Act::ResetAfter(bytes))
    }

    /// What this request gets: 304 where it has the page already.
    pub(super) fn to(self, seen: &Seen) -> Reply {
        if self.conditional && seen.field("if-none-match") == joined(&self.lines, "etag") {
            return Reply { status: 304, body: Vec::new(), act: Act::Length, ..self };
        }
        self
    }
}

/// Plays an answer; `true`: the connection stays.
pub(super) async fn play(reply: Reply, io: &mut Buffered, seen: &Seen, busy: Busy<'_>) -> io::Result<bool> {
    let Reply { status, lines, body, act, .. } = reply;
    if let Act::Hang = act {
        // Busy until the other side gives up.
        io.rest().await?;
        return Ok(false);
    }
    drop(busy);
    let head = |framing: &str| {
        let fields: String = lines.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        format!("HTTP/1.1 {status} Scripted\r\n{fields}{framing}\r\n").into_bytes()
    };
    let with_length = || head(&format!("Content-Length: {}\r\n", body.len()));
    match act {
        Act::Length if matches!(status, 204 | 304) => io.write(&head("")).await?,
        Act::Length if seen.method == "HEAD" => io.write(&with_length()).await?,
        Act::Length => io.write(&[with_length(), body].concat()).await?,
        Act::Chunked => {
            let (one, two) = body.split_at(body.len() / 2);
            io.write(&head("Transfer-Encoding: chunked\r\n")).await?;
            write_chunk(io, one).await?;
            write_chunk(io, two).await?;
            io.write(b"0\r\n\r\n").await?;
        }
        Act::UntilClose => {
            io.write(&[head("Connection: close\r\n"), body].concat()).await?;
            return Ok(false);
        }
        Act::Short(n) => {
            io.write(&[&with_length()[..], &body[..n]].concat()).await?;
            return Ok(false);
        }
        Act::ShortChunked(n) => {
            io.write(&head("Transfer-Encoding: chunked\r\n")).await?;
            write_chunk(io, &body[..n]).await?;
            return Ok(false);
        }
        Act::ResetAfter(n) => {
            io.write(&[&with_length()[..], &body[..n]].concat()).await?;
            io.stream.set_zero_linger()?;
            return Ok(false);
        }
        Act::Reset => {
            io.stream.set_zero_linger()?;
            return Ok(false);
        }
        Act::Close | Act::Hang => return Ok(false),
        Act::Raw(bytes) => {
            io.write(&bytes).await?;
            return Ok(false);
        }
        Act::Drip => {
            io.write(&head("Content-Length: 1000000\r\n")).await?;
            loop {
                io.write(b".").await?;
                sleep(Duration::from_millis(50)).await;
            }
        }
        Act::Tapped(slot) => {
            let told = slot.lock().unwrap().take();
            return tapped(io, &head("Transfer-Encoding: chunked\r\n"), told).await;
        }
        Act::Upgrade => {
            io.write(&head("Connection: Upgrade\r\nUpgrade: websocket\r\n")).await?;
            return echo_raw(io).await;
        }
        Act::Echo => return echo_body(io, seen, &head("Transfer-Encoding: chunked\r\n")).await,
    }
    Ok(true)
}

async fn write_chunk(io: &mut Buffered, part: &[u8]) -> io::Result<()> {
    if part.is_empty() {
        return Ok(());
    }
    let size = format!("{:x}\r\n", part.len());
    io.write(&[size.as_bytes(), part, b"\r\n"].concat()).await
}

async fn tapped(io: &mut Buffered, head: &[u8], told: Option<mpsc::UnboundedReceiver<Told>>) -> io::Result<bool> {
    let Some(mut told) = told else {
        // The tap is for one request.
        io.write(b"HTTP/1.1 500 Tapped\r\nContent-Length: 0\r\n\r\n").await?;
        return Ok(true);
    };
    io.write(head).await?;
    while let Some(what) = told.recv().await {
        match what {
            Told::Bytes(bytes) => write_chunk(io, &bytes).await?,
            Told::End => {
                io.write(b"0\r\n\r\n").await?;
                return Ok(true);
            }
        }
    }
    Ok(false)
}

async fn echo_raw(io: &mut Buffered) -> io::Result<bool> {
    loop {
        let bytes = io.take();
        io.write(&bytes).await?;
        if io.more().await? == 0 {
            return Ok(false);
        }
    }
}

async fn echo_body(io: &mut Buffered, seen: &Seen, head: &[u8]) -> io::Result<bool> {
    io.write(head).await?;
    if let Some(length) = seen.field("content-length") {
        let mut left: usize = length.parse().map_err(|_| io::Error::other(length.clone()))?;
        while left > 0 {
            let mut part = io.take();
            if part.is_empty() {
                if io.more().await? == 0 {
                    return Ok(false);
                }
                continue;
            }
            part.truncate(left);
            left -= part.len();
            write_chunk(io, &part).await?;
        }
    } else {
        while let Some(part) = io.chunk().await? {
            write_chunk(io, &part).await?;
        }
    }
    io.write(b"0\r\n\r\n").await?;
    Ok(true)
}
