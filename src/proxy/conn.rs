//! A client's connection: TCP, or TLS over it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

#[derive(Debug)]
pub(super) enum Conn {
    Plain(TcpStream),
    Tls(Box<Tls>),
}

#[derive(Debug)]
pub(super) struct Tls {
    stream: TlsStream<TcpStream>,
    /// Read while nobody wanted it, to see whether the client is still there.
    ahead: Vec<u8>,
}

/// What TLS holds back at most of what is written, in bytes: a slow reader has to make that room in the time that a pause may
/// take.
const HELD_BACK: usize = 16 * 1024;

/// So long a client may take to hear that it is the end.
const FAREWELL: Duration = Duration::from_secs(1);

impl Conn {
    pub(super) fn secure(mut stream: TlsStream<TcpStream>) -> Self {
        stream.get_mut().1.set_buffer_limit(Some(HELD_BACK));
        Conn::Tls(Box::new(Tls { stream, ahead: Vec::new() }))
    }

    /// Over TLS the end is told (RFC 8446, 6.1), to whoever listens; else nobody can tell it from an answer that was cut off.
    pub(super) async fn farewell(&mut self) {
        if self.is_secure() {
            let _ = timeout(FAREWELL, self.shutdown()).await;
        }
    }

    /// Ready when the client has gone. What it sends stays where it is, or is kept: then nobody can tell, until a write fails.
    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut byte = [0; 1];
        let mut buffer = ReadBuf::new(&mut byte);
        let tls = match self {
            Conn::Plain(tcp) => {
                return match tcp.poll_peek(cx, &mut buffer) {
                    Poll::Ready(Ok(0)) => Poll::Ready(Ok(())),
                    Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                    Poll::Ready(Ok(_)) | Poll::Pending => Poll::Pending,
                };
            }
            Conn::Tls(tls) => tls,
        };
        if !tls.ahead.is_empty() {
            return Poll::Pending;
        }
        ready!(Pin::new(&mut tls.stream).poll_read(cx, &mut buffer))?;
        tls.ahead.extend_from_slice(buffer.filled());
        if tls.ahead.is_empty() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    pub(super) fn is_secure(&self) -> bool {
        matches!(self, Conn::Tls(_))
    }

    pub(super) fn tcp(&self) -> &TcpStream {
        match self {
            Conn::Plain(tcp) => tcp,
            Conn::Tls(tls) => tls.stream.get_ref().0,
        }
    }
}

impl AsyncRead for Conn {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Conn::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Conn::Tls(tls) if !tls.ahead.is_empty() => {
                let most = tls.ahead.len().min(buf.remaining());
                buf.put_slice(&tls.ahead[..most]);
                tls.ahead.drain(..most);
                Poll::Ready(Ok(()))
            }
            Conn::Tls(tls) => Pin::new(&mut tls.stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Conn {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Conn::Plain(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Conn::Tls(tls) => Pin::new(&mut tls.stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Conn::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Conn::Tls(tls) => Pin::new(&mut tls.stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Conn::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Conn::Tls(tls) => Pin::new(&mut tls.stream).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Conn::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, bufs),
            Conn::Tls(tls) => Pin::new(&mut tls.stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}
