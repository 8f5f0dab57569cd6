//! What is not the cache's: unsafe methods, uploads, upgrades, event streams and personal pages, streamed both ways
//! (semantics 22, 42, 53).

use crate::dsl::{Edge, HOST, Origin, PLAIN, Reply, SHORT, ms, until};
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

const FRESH: &str = "s-maxage=60";

/// An origin whose `/echo` repeats bodies.
async fn echoing() -> Origin {
    let origin = Origin::start().await;
    origin.dynamic("/echo", |seen| Reply::ok(seen.body.clone()));
    origin
}

#[tokio::test]
async fn a_post_reaches_the_origin_whole_and_its_answer_comes_back() {
    let origin = echoing().await;
    let edge = Edge::start(&origin).await;
    edge.post("/echo", "name=larder")
        .header("X-Mine", "1")
        .await
        .status(200)
        .is("name=larder")
        .cache_status("fwd=method");
    let seen = origin.last("/echo");
    assert_eq!((seen.method.as_str(), seen.text().as_str()), ("POST", "name=larder"));
    assert_eq!(seen.field("x-mine").as_deref(), Some("1"));
    edge.post("/echo", "").await.status(200).is("");
    let mut client = edge.raw().await;
    client.send(format!("POST /echo HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n")).await;
    client.send("3\r\none\r\n").await.send("4;ext=1\r\n,two\r\n0\r\n\r\n").await;
    client.response_to("POST").await.status(200).is("one,two");
    assert_eq!(origin.last("/echo").text(), "one,two");
    origin.assert_canonical();
}

#[tokio::test]
async fn every_unsafe_method_is_passed_and_never_stored() {
    let origin = Origin::start().await;
    origin.dynamic("/p", |seen| Reply::ok(seen.method.clone()).cache_control(FRESH));
    let edge = Edge::start(&origin).await;
    for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "REPORT"] {
        for _ in 0..2 {
            edge.ask(method, "/p").await.status(200).is(method).cache_status("fwd=method");
        }
    }
    assert_eq!(origin.count("/p"), 12);
    edge.stored("/p").await.is("GET");
}

#[tokio::test]
async fn purge_is_not_forwarded() {
    let origin = Origin::start().await;
    let edge = Edge::start(&origin).await;
    edge.ask("PURGE", "/p").await.status(405);
    assert_eq!(origin.total(), 0);
}

#[tokio::test]
async fn a_large_upload_arrives_whole() {
    let origin = Origin::start().await;
    origin.dynamic("/upload", |seen| Reply::ok(format!("{} bytes", seen.body.len())));
    let edge = Edge::start(&origin).await;
    let large = vec![b'x'; 6 * 1024 * 1024];
    edge.ask("PUT", "/upload").body(large.clone()).await.status(200).is(&format!("{} bytes", large.len()));
    assert!(origin.last("/upload").body == large);
}

#[tokio::test]
async fn uploads_and_answers_are_streamed_while_they_are_made() {
    let origin = Origin::start().await;
    origin.echo("/echo");
    let edge = Edge::start(&origin).await;
    for framing in ["Content-Length: 8", "Transfer-Encoding: chunked"] {
        let chunked = framing.starts_with("Transfer");
        let piece = |text: &str| if chunked { format!("{:x}\r\n{text}\r\n", text.len()) } else { text.to_owned() };
        let mut client = edge.raw().await;
        client.send(format!("POST /echo HTTP/1.1\r\nHost: {HOST}\r\n{framing}\r\n\r\n")).await;
        client.send(piece("one,")).await.through("one,").await;
        client.send(piece("two,")).await.through("two,").await;
        if chunked {
            client.send("0\r\n\r\n").await;
        }
        client.through("0\r\n\r\n").await;
    }
}

#[tokio::test]
async fn a_client_that_expects_100_gets_it_before_it_sends() {
    let origin = echoing().await;
    let edge = Edge::start(&origin).await;
    let mut client = edge.raw().await;
    let head = "POST /echo HTTP/1.1\r\nHost: site.test\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n";
    client.send(head).await;
    client.head().await.status(100);
    client.send("body").await;
    client.response_to("POST").await.status(200).is("body");
}

#[tokio::test]
async fn a_websocket_speaks_both_ways() {
    let origin = Origin::start().await;
    origin.answers("/socket", Reply::upgrade().status(101).header("Sec-WebSocket-Accept", "yes"));
    let edge = Edge::start(&origin).await;
    let mut client = edge.raw().await;
    let head = "GET /socket HTTP/1.1\r\nHost: site.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    client.send(head).await;
    let switched = client.head().await;
    switched.status(101).header("Sec-WebSocket-Accept", "yes");
    assert!(switched.field("upgrade").is_some_and(|u| u.eq_ignore_ascii_case("websocket")));
    for message in ["hello", "\u{0}\u{1}binary", "bye"] {
        client.send(message).await.through(message).await;
    }
    let seen = origin.last("/socket");
    assert_eq!(seen.field("sec-websocket-version").as_deref(), Some("13"));
    assert!(seen.field("upgrade").is_some_and(|u| u.eq_ignore_ascii_case("websocket")));
    // The origin's end is the client's.
    origin.down().await;
    client.closed().await;
}

/// An origin of nothing but a handshake, which it does not wait for: the fastest there can be.
async fn hasty(sockets: usize) -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for _ in 0..sockets {
            let (mut stream, _) = listener.accept().await.unwrap();
            let head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nwelcome,";
            stream.write_all(head.as_bytes()).await.unwrap();
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    address
}

const HANDSHAKE: &str = "GET /socket HTTP/1.1\r\nHost: site.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

#[tokio::test]
async fn a_websocket_whose_origin_agrees_at_once_stays_open() {
    const SOCKETS: usize = 16;
    let edge = Edge::in_front_of(&format!("http://{}", hasty(SOCKETS).await)).await;
    for _ in 0..SOCKETS {
        let mut client = edge.raw().await;
        client.send(HANDSHAKE).await.head().await.status(101);
        client.through("welcome,").await;
        client.send("hello").await.through("hello").await;
    }
}

#[tokio::test]
async fn a_websocket_carries_much_both_ways_at_once() {
    let origin = Origin::start().await;
    origin.answers("/socket", Reply::upgrade().status(101));
    let edge = Edge::start(&origin).await;
    let mut client = edge.raw().await;
    client.send(HANDSHAKE).await.head().await.status(101);
    // More than all buffers on the way hold: what comes back must be read while this is written.
    let much = "0123456789abcdef".repeat(2 * 1024 * 1024 / 16);
    for _ in 0..4 {
        client.send(&much).await;
    }
    client.send("and that was all").await;
    let back = client.through("and that was all").await;
    assert_eq!(back.len(), 4 * much.len() + 16);
}

#[tokio::test]
async fn nothing_but_a_websocket_is_switched_to() {
    let origin = Origin::start().await;
    let smuggler = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
    origin.answers("/socket", Reply::raw(smuggler));
    let edge = Edge::start(&origin).await;
    let mut client = edge.raw().await;
    let head = "GET /socket HTTP/1.1\r\nHost: site.test\r\nConnection: Upgrade, HTTP2-Settings\r\n\
                Upgrade: h2c, websocket\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n";
    client.send(head).await.response().await.status(502);
    let seen = origin.last("/socket");
    assert_eq!(seen.field("upgrade").as_deref(), Some("websocket"));
    assert_eq!((seen.field("connection").as_deref(), seen.field("http2-settings")), (Some("upgrade"), None));
}

#[tokio::test]
async fn a_websocket_that_nobody_uses_is_closed_after_its_time() {
    let origin = Origin::start().await;
    origin.answers("/socket", Reply::upgrade().status(101));
    let brief = "origins:\n  app:\n    servers: [{ url: \"{origin}\" }]\n    passed: { idle: 300ms }\n";
    let edge = Edge::with_config(&origin, &PLAIN.replace("origin: {origin}\n", brief)).await;
    let mut client = edge.raw().await;
    client.send(HANDSHAKE).await.head().await.status(101);
    client.send("hello").await.through("hello").await;
    client.closed().await;
}

#[tokio::test]
async fn a_refused_upgrade_is_an_ordinary_answer() {
    let origin = Origin::start().await;
    let edge = Edge::start(&origin).await;
    for body in ["no sockets here", ""] {
        origin.page("/socket", body).status(403).header("X-Why", "no ticket");
        let refused = edge.get("/socket").header("Connection", "Upgrade").header("Upgrade", "websocket").await;
        refused.status(403).is(body).header("X-Why", "no ticket").cache_status("fwd=bypass");
    }
    let pieces = origin.page("/socket", "").status(400).tapped();
    let mut client = edge.raw().await;
    client.send(HANDSHAKE).await.head().await.status(400).header("Transfer-Encoding", "chunked");
    pieces.send("not ");
    client.through("4\r\nnot \r\n").await;
    pieces.send("here");
    pieces.end();
    assert_eq!(client.closed().await, "4\r\nhere\r\n0\r\n\r\n");
    origin.down().await;
    let mut client = edge.raw().await;
    client.send(HANDSHAKE).await.response().await.status(502).cache_status("fwd=bypass");
}

#[tokio::test]
async fn events_arrive_one_by_one() {
    let origin = Origin::start().await;
    let edge = Edge::start(&origin).await;
    // The first visitor finds out that it cannot be stored, the second passes by.
    for cookie in ["", "Cookie: session=1\r\n", ""] {
        let events = origin.page("/events", "").header("Content-Type", "text/event-stream");
        let events = events.cache_control("no-cache").tapped();
        let mut client = edge.raw().await;
        let head = format!("GET /events HTTP/1.1\r\nHost: {HOST}\r\nAccept: text/event-stream\r\n{cookie}\r\n");
        client.send(head).await;
        for n in 1..=3 {
            events.send(&format!("data: {n}\n\n"));
            client.through(&format!("data: {n}\n\n")).await;
        }
        events.end();
        client.through("0\r\n\r\n").await;
    }
    assert_eq!(origin.count("/events"), 3);
}

#[tokio::test]
async fn a_page_that_is_rendered_in_pieces_is_passed_in_pieces() {
    let origin = Origin::start().await;
    let edge = Edge::start(&origin).await;
    for cookie in ["session=1", "session=2"] {
        let page = origin.page("/me", "").cache_control("private").tapped();
        let mut client = edge.raw().await;
        client.send(format!("GET /me HTTP/1.1\r\nHost: {HOST}\r\nCookie: {cookie}\r\n\r\n")).await;
        page.send("<head>");
        client.through("<head>").await;
        page.send("<body>");
        client.through("<body>").await;
        page.end();
        client.through("0\r\n\r\n").await;
        assert_eq!(origin.last("/me").field("cookie").as_deref(), Some(cookie));
    }
}

#[tokio::test]
async fn the_origins_own_errors_pass() {
    let origin = Origin::start().await;
    origin.page("/form", "the form is broken").status(500).header("X-Why", "bug");
    origin.page("/strange", "no").status(418);
    let edge = Edge::start(&origin).await;
    edge.post("/form", "x").await.status(500).is("the form is broken").header("X-Why", "bug");
    edge.post("/strange", "x").await.status(418).is("no");
}

#[tokio::test]
async fn an_origin_that_is_not_there_is_a_clear_502() {
    let origin = Origin::start().await;
    let edge = Edge::with_config(&origin, SHORT).await;
    origin.down().await;
    let page = edge.post("/form", "x").await;
    page.status(502).header_has("Content-Type", "text/html").header("Cache-Control", "no-store");
    assert!(page.text().contains("502"));
    let json = edge.post("/form", "x").header("Accept", "application/json").await;
    json.status(502).header_has("Content-Type", "json").header("Cache-Control", "no-store").cache_status("fwd=method");
    let problem: serde_json::Value = serde_json::from_slice(&json.body).unwrap();
    assert_eq!(problem["status"], 502);
}

#[tokio::test]
async fn an_origin_that_does_not_answer_is_a_504_in_time() {
    let origin = Origin::start().await;
    origin.answers("/form", Reply::hang());
    let edge = Edge::with_config(&origin, SHORT).await;
    let answer = edge.post("/form", "x").await;
    answer.status(504).header("Cache-Control", "no-store");
    assert!(answer.took >= ms(1900) && answer.took < ms(6000), "{:?}", answer.took);
}

#[tokio::test]
async fn a_post_is_never_sent_twice() {
    let origin = Origin::start().await;
    origin.page("/cart", "full");
    origin.answers("/pay", Reply::close());
    let edge = Edge::with_config(&origin, SHORT).await;
    // Not on a connection of its own, and not on one that was used before.
    edge.post("/cart", "x").await.is("full");
    let answer = edge.post("/pay", "all my money").await;
    assert!(answer.code >= 500, "{answer:?}");
    assert_eq!(origin.count("/pay"), 1);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_not_made_whole() {
    let origin = Origin::start().await;
    origin.answers("/length", Reply::ok("0123456789".repeat(1000)).short(5000));
    origin.answers("/chunked", Reply::ok("0123456789".repeat(1000)).short_chunked(5000));
    let edge = Edge::start(&origin).await;
    for path in ["/length", "/chunked"] {
        if let Ok(answer) = edge.post(path, "x").send().await {
            assert!(!answer.whole || answer.code >= 500, "{path}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn after_a_passed_request_the_connection_goes_on() {
    let origin = echoing().await;
    origin.page("/p", "page").cache_control(FRESH);
    let edge = Edge::start(&origin).await;
    edge.stored("/p").await;
    let mut client = edge.raw().await;
    for _ in 0..3 {
        client.send("POST /echo HTTP/1.1\r\nHost: site.test\r\nContent-Length: 4\r\n\r\nbody").await;
        client.response_to("POST").await.is("body");
        client.send("GET /p HTTP/1.1\r\nHost: site.test\r\n\r\n").await;
        client.response().await.is("page").cache_status("hit");
        client.send("DELETE /echo HTTP/1.1\r\nHost: site.test\r\n\r\n").await;
        client.response_to("DELETE").await.status(200);
    }
    client.send("POST /echo HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx").await;
    client.response_to("POST").await.is("x").header("Connection", "close");
    assert_eq!(client.closed().await, "");
}

#[tokio::test]
async fn a_get_with_a_body_is_passed() {
    let origin = echoing().await;
    origin.dynamic("/search", |seen| Reply::ok(format!("results for {}", seen.text())).cache_control(FRESH));
    let edge = Edge::start(&origin).await;
    edge.get("/search").body("cats").await.is("results for cats").cache_status("fwd=bypass");
    edge.stored("/search").await.is("results for ");
    edge.get("/search").body("dogs").await.is("results for dogs").cache_status("fwd=bypass");
}

#[tokio::test]
async fn an_upload_that_is_answered_early_does_not_hang() {
    let origin = Origin::start().await;
    origin.answers("/closed", Reply::ok("too much").status(413));
    let edge = Edge::start(&origin).await;
    let mut client = edge.raw().await;
    let begun = Instant::now();
    client.send("POST /closed HTTP/1.1\r\nHost: site.test\r\nContent-Length: 5\r\n\r\nhello").await;
    client.response_to("POST").await.status(413).is("too much");
    assert!(begun.elapsed() < ms(5000));
}

#[tokio::test]
async fn a_client_that_leaves_frees_its_place_at_the_origin() {
    let origin = Origin::start().await;
    origin.answers("/slow", Reply::hang());
    origin.page("/quick", "quick").cache_control("private");
    let capped = "origins:\n  app:\n    servers: [{ url: \"{origin}\" }]\n    passed: { max_concurrent: 1 }\n";
    let edge = Edge::with_config(&origin, &PLAIN.replace("origin: {origin}\n", capped)).await;
    let mut slow = edge.raw().await;
    slow.send("GET /slow HTTP/1.1\r\nHost: site.test\r\nCookie: session=1\r\n\r\n").await;
    origin.asked("/slow", 1).await;
    // Unsafe methods hold no place.
    edge.post("/quick", "x").await.is("quick");
    slow.reset();
    until("his place is free", async || edge.metric("larder_connections").await == 0.0).await;
    edge.get("/quick").cookie("session=2").await.is("quick");
}
