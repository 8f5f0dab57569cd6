//! What one client may ask for: sizes, deadlines, connections (interface, `server.limits`).

use crate::dsl::{Edge, Origin, PLAIN, Raw, Reply, ms, until};
use tokio::time::Instant;

const FRESH: &str = "s-maxage=60";
const GET_P: &str = "GET /p HTTP/1.1\r\nHost: site.test\r\n\r\n";

async fn site(limits: &str) -> (Origin, Edge) {
    let origin = Origin::start().await;
    origin.page("/p", "page").cache_control(FRESH);
    origin.dynamic("/echo", |seen| Reply::ok(seen.body.clone()));
    let limits = format!("server:\n  limits: {{ {limits} }}\n");
    let edge = Edge::with_config(&origin, &[PLAIN, &limits].concat()).await;
    edge.stored("/p").await;
    (origin, edge)
}

#[tokio::test]
async fn heads_have_a_size_a_number_of_lines_and_a_length_of_target() {
    let (origin, edge) = site("idle_timeout: 75s").await;
    let before = origin.total();
    edge.get("/p").header("X-Large", &"x".repeat(40_000)).await.status(431).header("Connection", "close");
    let many = (0..150).fold(edge.get("/p"), |request, n| request.header(&format!("X-{n}"), "1"));
    many.await.status(431).header("Cache-Control", "no-store");
    edge.get(&format!("/{}", "x".repeat(9_000))).await.status(414).header("Connection", "close");
    assert_eq!(origin.total(), before);
    // Just below.
    edge.get("/p").header("Accept", &"x".repeat(20_000)).await.status(200).is("page");
    let many = (0..90).fold(edge.get("/p"), |request, n| request.header(&format!("Sec-{n}"), "1"));
    many.await.status(200).is("page");
    edge.get(&format!("/p?{}", "x".repeat(7_000))).await.status(200);
}

#[tokio::test]
async fn a_body_over_body_bytes_is_413() {
    let (origin, edge) = site("body_bytes: 1KiB").await;
    edge.post("/echo", &"x".repeat(1024)).await.status(200);
    let before = origin.total();
    edge.post("/echo", &"x".repeat(1025)).await.status(413).header("Connection", "close");
    assert_eq!(origin.total(), before);
    // One that does not tell its length is cut off when it outgrows it.
    let mut client = edge.raw().await;
    client.send("POST /echo HTTP/1.1\r\nHost: site.test\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    client.send(format!("400\r\n{0}\r\n400\r\n{0}\r\n0\r\n\r\n", "x".repeat(1024))).await;
    let answer = client.closed().await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert_eq!(origin.total(), before, "it never arrives whole");
}

#[tokio::test]
async fn a_head_has_to_arrive_in_time() {
    let (_origin, edge) = site("header_timeout: 1s").await;
    let begun = Instant::now();
    let mut silent = edge.raw().await;
    silent.send("GET /p HT").await;
    // Every byte in good time, and the head never.
    let mut dripping = edge.raw().await;
    dripping.send("GET /p HTTP/1.1\r\nHost: site.test\r\nX: ").await;
    let answer = loop {
        dripping.send("x").await;
        if let Some(answer) = dripping.closed_within(ms(100)).await {
            break answer;
        }
        assert!(begun.elapsed() < ms(10_000), "a drip is never cut off");
    };
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    let answer = silent.closed().await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(begun.elapsed() >= ms(950) && begun.elapsed() < ms(4000), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_second_head_has_to_arrive_in_time_too() {
    let (_origin, edge) = site("header_timeout: 1s").await;
    let mut client = edge.raw().await;
    client.send(GET_P).await;
    client.response().await.is("page");
    client.send("GET /p").await;
    let answer = client.closed().await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let (_origin, edge) = site("idle_timeout: 1s").await;
    let begun = Instant::now();
    let mut never_asked = edge.raw().await;
    let mut asked = edge.raw().await;
    asked.send(GET_P).await;
    asked.response().await.is("page");
    assert_eq!(never_asked.closed().await, "");
    assert_eq!(asked.closed().await, "");
    assert!(begun.elapsed() >= ms(950) && begun.elapsed() < ms(5000), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_running_request_is_not_idle() {
    let (origin, edge) = site("idle_timeout: 1s").await;
    origin.page("/clock", "tick").cache_control("s-maxage=2, stale-while-revalidate=600");
    let hold = origin.page("/slow", "slow").cache_control(FRESH).held();
    let mut client = edge.raw().await;
    client.send("GET /slow HTTP/1.1\r\nHost: site.test\r\n\r\n").await;
    origin.asked("/slow", 1).await;
    // Two seconds by another page's window.
    edge.stored("/clock").await;
    edge.until_stale("/clock").await;
    hold.release();
    client.response().await.is("slow");
}

#[tokio::test]
async fn a_slow_body_is_cut_off() {
    let (origin, edge) = site("header_timeout: 1s, body_min_rate: 1KiB").await;
    let before = origin.total();
    let begun = Instant::now();
    let mut client = edge.raw().await;
    client.send("POST /echo HTTP/1.1\r\nHost: site.test\r\nContent-Length: 100000\r\n\r\n").await;
    let answer = loop {
        client.send("x").await;
        if let Some(answer) = client.closed_within(ms(100)).await {
            break answer;
        }
        assert!(begun.elapsed() < ms(10_000), "a slow body is never cut off");
    };
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert_eq!(origin.total(), before);
    // One that stops altogether, too.
    let mut stopped = edge.raw().await;
    stopped.send("POST /echo HTTP/1.1\r\nHost: site.test\r\nContent-Length: 10\r\n\r\nhalf").await;
    let answer = stopped.closed().await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
}

/// Clients that stay, each after one answer.
async fn enter(edge: &Edge, clients: usize) -> Vec<Raw> {
    until("nobody else is inside", async || edge.metric("larder_connections").await == 0.0).await;
    let mut inside = Vec::new();
    for _ in 0..clients {
        let mut client = edge.raw().await;
        client.send(GET_P).await;
        client.response().await.is("page");
        inside.push(client);
    }
    inside
}

#[tokio::test]
async fn connections_are_counted() {
    for limit in ["connections: 3", "connections_per_ip: 3"] {
        let (_origin, edge) = site(limit).await;
        let mut inside = enter(&edge, 3).await;
        let mut outside = edge.raw().await;
        outside.send(GET_P).await;
        assert_eq!(outside.closed().await, "", "{limit}");
        for client in &mut inside {
            client.send(GET_P).await;
            client.response().await.is("page");
        }
        inside.pop();
        until("a place is free again", async || edge.get("/p").send().await.is_ok()).await;
    }
}

#[tokio::test]
async fn trusted_proxies_are_not_counted_by_address() {
    let origin = Origin::start().await;
    origin.page("/p", "page").cache_control(FRESH);
    let server = "server:\n  trusted_proxies: [127.0.0.1/32]\n  limits: { connections_per_ip: 1 }\n";
    let edge = Edge::with_config(&origin, &[PLAIN, server].concat()).await;
    edge.stored("/p").await;
    enter(&edge, 4).await;
}
