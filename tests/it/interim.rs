//! What an origin says before it answers (RFC 9110, 15.2; RFC 8297): told as it comes, and never a part of what is stored.

use crate::dsl::{Edge, HOST, Http2, Raw, in_time, of, until};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// An origin that hints at once, and answers when it may.
struct Hinting {
    address: SocketAddr,
    may_answer: Arc<Semaphore>,
    asked: Arc<AtomicUsize>,
}

const HINTS: &str = "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\
                     Set-Cookie: a=1\r\nX-Hop: 1\r\nConnection: X-Hop\r\nSurrogate-Control: max-age=1\r\n\r\n";

impl Hinting {
    async fn start(cache_control: &'static str) -> Hinting {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (may_answer, asked) = (Arc::new(Semaphore::new(0)), Arc::<AtomicUsize>::default());
        let origin =
            Hinting { address: listener.local_addr().unwrap(), may_answer: may_answer.clone(), asked: asked.clone() };
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (may_answer, asked) = (may_answer.clone(), asked.clone());
                tokio::spawn(async move {
                    let mut seen = Vec::new();
                    loop {
                        while !seen.ends_with(b"\r\n\r\n") {
                            if stream.read_buf(&mut seen).await? == 0 {
                                return Ok::<(), std::io::Error>(());
                            }
                        }
                        seen.clear();
                        asked.fetch_add(1, Ordering::SeqCst);
                        stream.write_all(HINTS.as_bytes()).await?;
                        may_answer.acquire().await.unwrap().forget();
                        let answer = format!(
                            "HTTP/1.1 200 OK\r\nCache-Control: {cache_control}\r\nContent-Length: 4\r\n\r\npage"
                        );
                        stream.write_all(answer.as_bytes()).await?;
                    }
                });
            }
        });
        origin
    }

    async fn edge(&self) -> Edge {
        let yaml = format!(
            "server: {{ listeners: [{{ address: '{{listen}}', h2c: true }}] }}\norigin: http://{}\nadmin: {{ listen: '{{admin}}' }}\n",
            self.address
        );
        Edge::with_config(&crate::dsl::Origin::start().await, &yaml).await
    }

    async fn asked(&self, times: usize) {
        until("the origin is asked", async || self.asked.load(Ordering::SeqCst) == times).await;
    }
}

async fn ask(edge: &Edge, version: &str, path: &str) -> Raw {
    let mut client = edge.raw().await;
    client.send(format!("GET {path} HTTP/{version}\r\nHost: {HOST}\r\n\r\n")).await;
    client
}

#[tokio::test]
async fn who_waits_for_a_page_hears_what_comes_before_it() {
    for cache_control in ["s-maxage=60", "no-store"] {
        let origin = Hinting::start(cache_control).await;
        let edge = origin.edge().await;
        let mut client = ask(&edge, "1.1", "/p").await;
        client.head().await.status(102);
        let hints = client.head().await;
        hints.status(103).header("link", "</a.css>; rel=preload");
        for name in ["set-cookie", "x-hop", "connection", "surrogate-control"] {
            hints.no_header(name);
        }
        origin.may_answer.add_permits(1);
        client.response().await.status(200).is("page").no_header("link");
        // The connection is as good as before.
        origin.may_answer.add_permits(1);
        client.send(format!("GET /p HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await.response().await.status(200).is("page");
    }
}

#[tokio::test]
async fn it_is_told_in_http_2_and_not_in_http_1_0() {
    let origin = Hinting::start("s-maxage=60").await;
    let edge = origin.edge().await;
    let client = Http2::plain(edge.listen).await;
    let mut stream = client.begin(of("GET", "/two"), true).await;
    assert_eq!(stream.interim().await, 102);
    assert_eq!(stream.interim().await, 103);
    origin.may_answer.add_permits(1);
    stream.response().await.unwrap().status(200).is("page");
    let mut old = ask(&edge, "1.0", "/zero").await;
    origin.asked(2).await;
    origin.may_answer.add_permits(1);
    old.head().await.status(200);
}

#[tokio::test]
async fn neither_who_joins_nor_who_comes_later_hears_of_it() {
    let origin = Hinting::start("s-maxage=60").await;
    let edge = origin.edge().await;
    let mut first = ask(&edge, "1.1", "/p").await;
    first.head().await.status(102);
    let mut second = ask(&edge, "1.1", "/p").await;
    let joined = in_time("the first hint", first.head()).await;
    joined.status(103);
    origin.may_answer.add_permits(1);
    first.response().await.status(200);
    second.head().await.status(200);
    until("it is stored", async || edge.get("/p").await.is_hit()).await;
    ask(&edge, "1.1", "/p").await.head().await.status(200);
    assert_eq!(origin.asked.load(Ordering::SeqCst), 1);
}
