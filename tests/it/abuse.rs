//! What one client could do to the others, found by attacking: each of these once worked.

use crate::dsl::{Crowd, Edge, Origin, Reply, SHORT};

const FRESH: &str = "s-maxage=60";
const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

#[tokio::test]
async fn a_visitor_cannot_open_the_circuit_breaker_for_the_others() {
    let origin = Origin::start().await;
    origin.answers("/socket", Reply::close());
    origin.page("/cold", "page").cache_control(FRESH);
    origin.page("/form", "thanks");
    let edge = Edge::with_config(&origin, SHORT).await;
    for _ in 0..8 {
        let mut client = edge.raw().await;
        client.send(format!("GET /socket HTTP/1.1\r\nHost: site.test\r\n{UPGRADE}\r\n")).await;
        client.response().await.status(502);
        edge.post("/socket", "x").await.status(502);
    }
    edge.get("/cold").await.status(200).is("page");
    edge.post("/form", "x").await.status(200).is("thanks");
}

#[tokio::test]
async fn a_failure_that_is_shared_carries_nobodys_cookie() {
    let origin = Origin::start().await;
    origin.page("/ill", "sorry").status(500).header("Set-Cookie", "session=secret").header("X-Kept", "1");
    let edge = Edge::with_config(&origin, SHORT).await;
    for answer in Crowd::of((0..4).map(|_| edge.get("/ill"))).answers().await {
        answer.status(500).is("sorry").header("X-Kept", "1").no_header("Set-Cookie");
    }
}

#[tokio::test]
async fn an_encoded_failure_is_told_in_larders_own_words() {
    let origin = Origin::start().await;
    origin.page("/ill", "gibberish").status(500).header("Content-Encoding", "gzip");
    let edge = Edge::with_config(&origin, SHORT).await;
    edge.get("/ill").await.status(500).no_header("Content-Encoding").header("Cache-Control", "no-store");
}

#[tokio::test]
async fn an_error_page_names_no_address() {
    let origin = Origin::start().await;
    let edge = Edge::with_config(&origin, SHORT).await;
    origin.down().await;
    let port = origin.url().rsplit(':').next().map(str::to_owned).unwrap_or_default();
    for answer in [edge.get("/cold").await, edge.post("/form", "x").await] {
        answer.status(502);
        assert!(!answer.text().contains(&port) && !answer.text().contains("127.0.0.1"), "{}", answer.text());
    }
}

#[tokio::test]
async fn a_variant_that_varies_further_and_is_too_large_is_passed() {
    let origin = Origin::start().await;
    origin.dynamic("/p", |seen| {
        let page = |body: &str, vary| Reply::ok(body.to_owned()).cache_control(FRESH).header("Vary", vary);
        match seen.field("accept-language").as_deref() {
            Some("fr") => page(&"x".repeat(300_000), "accept-language, x-region").chunked(),
            _ => page("small", "accept-language"),
        }
    });
    let edge = Edge::with_config(&origin, &[SHORT, "store: { memory: { max_object: 100KiB } }\n"].concat()).await;
    edge.get("/p").header("Accept-Language", "en").await.is("small");
    let large = edge.get("/p").header("Accept-Language", "fr").await;
    assert_eq!(large.status(200).text().len(), 300_000);
}

#[tokio::test]
async fn a_304_does_not_describe_a_body_that_was_decoded() {
    const HELLO: [u8; 25] =
        [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xcb, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0, 0x86, 0xa6, 0x10, 0x36, 5, 0, 0, 0];
    let origin = Origin::start().await;
    origin.dynamic("/p", |seen| {
        let reply = if seen.field("if-none-match").is_some() { Reply::ok("").status(304) } else { Reply::ok(HELLO) };
        reply.cache_control("s-maxage=1, stale-while-revalidate=60").header("Content-Encoding", "gzip").etag("W/\"x\"")
    });
    let edge = Edge::start(&origin).await;
    edge.stored("/p").await.is("hello");
    edge.until_stale("/p").await;
    origin.asked("/p", 2).await;
    edge.stored("/p").await.is("hello").no_header("Content-Encoding");
}

#[tokio::test]
async fn http_1_0_gets_no_chunks_on_the_passed_road() {
    let origin = Origin::start().await;
    origin.answers("/p", Reply::ok("in parts").cache_control("private").chunked());
    let edge = Edge::start(&origin).await;
    let mut client = edge.raw().await;
    client.send("GET /p HTTP/1.0\r\nHost: site.test\r\nCookie: session=1\r\n\r\n").await;
    let answer = client.closed().await;
    assert!(!answer.to_lowercase().contains("transfer-encoding") && answer.ends_with("\r\n\r\nin parts"), "{answer}");
}

#[tokio::test]
async fn an_announced_empty_body_stays_announced() {
    let origin = Origin::start().await;
    origin.page("/form", "thanks");
    let edge = Edge::start(&origin).await;
    let mut client = edge.raw().await;
    client.send("POST /form HTTP/1.1\r\nHost: site.test\r\nContent-Length: 0\r\n\r\n").await;
    client.response_to("POST").await.status(200);
    assert_eq!(origin.last("/form").field("content-length").as_deref(), Some("0"));
}
