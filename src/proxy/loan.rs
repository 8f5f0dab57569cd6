//! A client's connection on loan to pingora: for one request that goes the passed road, then it comes back.

use super::chunks::Chunks;
use super::conn::Conn;
use super::pace::{Pace, too_slow};
use async_trait::async_trait;
use pingora::protocols::l4::socket::SocketAddr as PingoraAddr;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest, UniqueID,
    UniqueIDType,
};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufWriter, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// Head and first body bytes leave in one write.
const WRITE_BUFFER: usize = 16 * 1024;

/// One read takes at most so much: its place is cleared first.
const READ_AT_MOST: usize = 16 * 1024;

/// How much of what the client sends belongs to this request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reading {
    /// So many bytes are still to come; what lies behind them is the next request's, and stays in the socket.
    Bytes(u64),
    /// Chunks, to their end.
    Chunks(Chunks),
}

#[derive(Debug)]
pub(super) struct Loan {
    stream: BufWriter<Conn>,
    socket: Arc<SocketDigest>,
    reading: Reading,
    /// Read with this request's last bytes, and the next one's.
    surplus: Vec<u8>,
    pace: Pace,
    /// Since when a write waits for the client, and until when it may.
    stalled: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl Loan {
    pub(super) fn new(stream: Conn, peer: SocketAddr, reading: Reading, min_rate: usize) -> Self {
        let socket = SocketDigest::from_raw_fd(stream.tcp().as_raw_fd());
        // Known already: saves a system call.
        let _ = socket.peer_addr.set(Some(PingoraAddr::Inet(peer)));
        Loan {
            stream: BufWriter::with_capacity(WRITE_BUFFER, stream),
            socket: Arc::new(socket),
            reading,
            surplus: Vec::new(),
            pace: Pace::new(min_rate),
            stalled: None,
        }
    }

    /// The connection, and what was read of the next request.
    pub(super) fn into_parts(self) -> (Conn, Vec<u8>) {
        (self.stream.into_inner(), self.surplus)
    }
}

impl AsyncRead for Loan {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let left = match self.reading {
            Reading::Bytes(left) => left,
            Reading::Chunks(chunks) => {
                if chunks.is_done() {
                    0
                } else {
                    u64::MAX
                }
            }
        };
        if left == 0 {
            return self.poll_gone(cx);
        }
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buf.remaining()).min(READ_AT_MOST);
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(most));
        ready!(Pin::new(self.stream.get_mut()).poll_read(cx, &mut part))?;
        let ours = self.take_in(part.filled())?;
        buf.advance(ours);
        Poll::Ready(Ok(()))
    }
}

impl Loan {
    /// Notes what was read, and says how much of it is this request's.
    fn take_in(&mut self, read: &[u8]) -> io::Result<usize> {
        match &mut self.reading {
            Reading::Bytes(left) => {
                *left -= read.len() as u64;
                Ok(read.len())
            }
            Reading::Chunks(chunks) => {
                let broken = |_| io::Error::new(io::ErrorKind::InvalidData, "the chunked request body is malformed");
                let ours = chunks.feed(read).map_err(broken)?;
                self.surplus.extend_from_slice(&read[ours..]);
                Ok(ours)
            }
        }
    }

    /// Lets a write wait only as long as the client's pace allows.
    fn paced<T>(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
        sent: impl Fn(&T) -> usize,
    ) -> Poll<io::Result<T>> {
        if let Poll::Ready(done) = polled {
            if let Some((since, _)) = self.stalled.take() {
                self.pace.waited(since.elapsed());
            }
            self.pace.sent(done.as_ref().map_or(0, sent));
            return Poll::Ready(done);
        }
        let patience = self.pace.patience();
        let (_, timer) = self.stalled.get_or_insert_with(|| (Instant::now(), Box::pin(sleep(patience))));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(too_slow()))
    }

    /// Nothing is left to read for this request: ready only when the client has gone. A next request waits.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.surplus.is_empty() {
            return Poll::Pending;
        }
        self.stream.get_mut().poll_gone(cx)
    }
}

impl AsyncWrite for Loan {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.paced(cx, polled, |n| *n)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        self.paced(cx, polled, |()| 0)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.paced(cx, polled, |()| 0)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.paced(cx, polled, |n| *n)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[async_trait]
impl Shutdown for Loan {
    async fn shutdown(&mut self) {
        // The peer may be gone already; there is nobody to tell.
        let _ = self.stream.shutdown().await;
    }
}

impl UniqueID for Loan {
    fn id(&self) -> UniqueIDType {
        self.stream.get_ref().tcp().as_raw_fd()
    }
}

impl Ssl for Loan {}

#[async_trait]
impl Peek for Loan {}

impl GetTimingDigest for Loan {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for Loan {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }

    fn set_proxy_digest(&mut self, _digest: ProxyDigest) {}
}

impl GetSocketDigest for Loan {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(self.socket.clone())
    }

    fn set_socket_digest(&mut self, _digest: SocketDigest) {}
}
