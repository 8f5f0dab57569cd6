//! What an origin says before it answers (RFC 9110, 15.2; RFC 8297): told as it comes, and never a part of what is stored.

use crate::dsl::{BytesOrigin, Edge, HOST, Http2, Origin, Raw, of, until};

const HINTS: &str = "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\
                     Set-Cookie: a=1\r\nX-Hop: 1\r\nConnection: X-Hop\r\nSurrogate-Control: max-age=1\r\n\r\n";

/// It hints at once, and answers when it may.
async fn hinting(cache_control: &str) -> BytesOrigin {
    let answer = format!("HTTP/1.1 200 OK\r\nCache-Control: {cache_control}\r\nContent-Length: 4\r\n\r\npage");
    BytesOrigin::start(move |_| vec![HINTS.into(), answer.clone().into()]).await
}

async fn edge(origin: &BytesOrigin) -> Edge {
    let yaml = format!(
        "server: {{ listeners: [{{ address: '{{listen}}', h2c: true }}] }}\norigin: http://{}\nadmin: {{ listen: '{{admin}}' }}\n",
        origin.address
    );
    Edge::with_config(&Origin::start().await, &yaml).await
}

async fn ask(edge: &Edge, version: &str, path: &str) -> Raw {
    let mut client = edge.raw().await;
    client.send(format!("GET {path} HTTP/{version}\r\nHost: {HOST}\r\n\r\n")).await;
    client
}

#[tokio::test]
async fn who_waits_for_a_page_hears_what_comes_before_it() {
    for cache_control in ["s-maxage=60", "no-store"] {
        let origin = hinting(cache_control).await;
        let edge = edge(&origin).await;
        let mut client = ask(&edge, "1.1", "/p").await;
        client.head().await.status(102);
        let hints = client.head().await;
        hints.status(103).header("link", "</a.css>; rel=preload");
        for name in ["set-cookie", "x-hop", "connection", "surrogate-control"] {
            hints.no_header(name);
        }
        origin.may_go_on.add_permits(1);
        client.response().await.status(200).is("page").no_header("link");
        // The connection is as good as before.
        origin.may_go_on.add_permits(1);
        client.send(format!("GET /p HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await.response().await.status(200).is("page");
    }
}

#[tokio::test]
async fn it_is_told_in_http_2_and_not_in_http_1_0() {
    let origin = hinting("s-maxage=60").await;
    let edge = edge(&origin).await;
    let client = Http2::plain(edge.listen).await;
    let mut stream = client.begin(of("GET", "/two"), true).await;
    assert_eq!(stream.interim().await, 102);
    assert_eq!(stream.interim().await, 103);
    origin.may_go_on.add_permits(1);
    stream.response().await.unwrap().status(200).is("page");
    let mut old = ask(&edge, "1.0", "/zero").await;
    until("the origin is asked", async || origin.asked() == 2).await;
    origin.may_go_on.add_permits(1);
    old.head().await.status(200);
}

#[tokio::test]
async fn neither_who_joins_nor_who_comes_later_hears_of_it() {
    let origin = hinting("s-maxage=60").await;
    let edge = edge(&origin).await;
    let mut asked = 0;
    // Whoever asks while the page is on its way has joined; who is late by a moment has not, and the next page tells.
    until("one has joined", async || {
        asked += 1;
        let path = format!("/{asked}");
        let mut first = ask(&edge, "1.1", &path).await;
        first.head().await.status(102);
        let mut second = ask(&edge, "1.1", &path).await;
        first.head().await.status(103);
        origin.may_go_on.add_permits(1);
        first.response().await.status(200);
        let joined = second.head().await;
        joined.status(200);
        until("it is stored", async || edge.get(&path).await.is_hit()).await;
        ask(&edge, "1.1", &path).await.head().await.status(200);
        joined.header_has("Cache-Status", "larder").field("cache-status").is_some_and(|told| told.contains("collapsed"))
    })
    .await;
    assert_eq!(origin.asked(), asked);
}
