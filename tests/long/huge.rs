//! A page that is larger than every budget: handed through, not stored, and never held.

use crate::dsl::{Edge, HOST, Origin, in_time};
use crate::process::Process;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// Bytes.
const SIZE: u64 = 3 << 30;
const PIECE: usize = 1 << 20;
/// What it may grow by: `memory.max_object` and buffers on the way, in bytes.
const GROWTH: u64 = 48 << 20;
const LONG: Duration = Duration::from_secs(300);

/// Answers every request with so many bytes, with a length or in chunks.
async fn origin() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(tell(stream));
        }
    });
    address
}

async fn tell(mut stream: TcpStream) -> Option<()> {
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n") {
        stream.read_buf(&mut seen).await.ok()?;
    }
    let chunked = String::from_utf8_lossy(&seen).contains("/chunked");
    let framing = if chunked { "Transfer-Encoding: chunked".to_owned() } else { format!("Content-Length: {SIZE}") };
    let head = format!("HTTP/1.1 200 OK\r\nCache-Control: s-maxage=60\r\n{framing}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.ok()?;
    let piece = vec![b'x'; PIECE];
    for _ in 0..SIZE / PIECE as u64 {
        if chunked {
            stream.write_all(format!("{PIECE:x}\r\n").as_bytes()).await.ok()?;
        }
        stream.write_all(&piece).await.ok()?;
        if chunked {
            stream.write_all(b"\r\n").await.ok()?;
        }
    }
    if chunked {
        stream.write_all(b"0\r\n\r\n").await.ok()?;
    }
    Some(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_3_gb_is_handed_through_and_not_held() {
    let yaml = format!(
        "listen: '{{listen}}'\norigins: {{ app: {{ servers: [{{ url: 'http://{}' }}], timeouts: {{ total: 5m }} }} }}\n\
         admin: {{ listen: '{{admin}}' }}\n",
        origin().await
    );
    let edge = Edge::with_config(&Origin::start().await, &yaml).await;
    let process = Process::of(&edge);
    for (method, path) in [("GET", "/length"), ("GET", "/chunked"), ("DELETE", "/length")] {
        let before = process.resident();
        let mut client = TcpStream::connect(edge.listen).await.unwrap();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
        client.write_all(head.as_bytes()).await.unwrap();
        let (mut read, mut most, mut buffer) = (0, before, vec![0; PIECE]);
        let reading = async {
            loop {
                let n = client.read(&mut buffer).await.unwrap();
                if n == 0 {
                    return;
                }
                if read / (64 << 20) != (read + n as u64) / (64 << 20) {
                    most = most.max(process.resident());
                }
                read += n as u64;
            }
        };
        timeout(LONG, reading).await.unwrap();
        assert!(read > SIZE && read < SIZE + SIZE / 100, "{method} {path}: {read} bytes");
        assert!(most < before + GROWTH, "{method} {path}: {} MiB more", (most - before) >> 20);
    }
    assert!(edge.metric("larder_store_entries{tier=\"memory\"}").await < 1.0);
    in_time("others are served", edge.admin_get("/readyz").send()).await.unwrap().status(200);
}
