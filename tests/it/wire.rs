//! Raw bytes: what is refused, what is understood in one way alone, pipelining, and the limits of one client
//! (hardening, "attack families": request framing; semantics 43, 48).

use crate::dsl::{Edge, Origin, PLAIN, Reply, ms};
use tokio::time::Instant;

const FRESH: &str = "s-maxage=60";
const HOST: &str = "Host: site.test\r\n";
/// What an attacker hides in the body of another request.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: site.test\r\n\r\n";

/// Two pages, one of them stored, and short deadlines.
async fn site() -> (Origin, Edge) {
    let origin = Origin::start().await;
    origin.page("/p", "page").cache_control(FRESH);
    origin.page("/q", "quick").cache_control(FRESH);
    origin.dynamic("/echo", |seen| Reply::ok(seen.body.clone()));
    origin.page("/smuggled", "you should not see this");
    let limits = "server:\n  limits: { idle_timeout: 2s, header_timeout: 2s }\n";
    let edge = Edge::with_config(&origin, &[PLAIN, limits].concat()).await;
    edge.stored("/p").await;
    edge.stored("/q").await;
    (origin, edge)
}

/// Says this on a connection of its own: one answer with one of these codes, and the connection is closed.
async fn refused(edge: &Edge, what: &str, bytes: &[u8], codes: &[u16]) {
    let mut client = edge.raw().await;
    client.send(bytes).await;
    let answer = client.closed().await;
    let code = answer.get(9..12).and_then(|code| code.parse::<u16>().ok());
    assert!(code.is_some_and(|code| codes.contains(&code)), "{what}: wanted {codes:?}, got\n{answer}");
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{what}: more than one answer:\n{answer}");
    assert!(answer.to_ascii_lowercase().contains("\r\nconnection: close\r\n"), "{what}:\n{answer}");
}

/// A head of a GET with these lines, in place of a Host line too.
fn get(lines: &str) -> Vec<u8> {
    format!("GET /p HTTP/1.1\r\n{lines}\r\n").into_bytes()
}

/// A POST with these framing lines, and a body with a request in it.
fn post(framing: &str, body: &str) -> Vec<u8> {
    format!("POST /echo HTTP/1.1\r\n{HOST}{framing}\r\n{body}{SMUGGLED}").into_bytes()
}

#[tokio::test]
async fn a_host_is_one_valid_host() {
    let (origin, edge) = site().await;
    let before = origin.total();
    for lines in [
        "",
        "Host: site.test\r\nHost: site.test\r\n",
        "Host: site.test\r\nHost: evil.test\r\n",
        "Host:\r\n",
        "Host: a b\r\n",
        "Host: a/b\r\n",
        "Host: a,b\r\n",
        "Host: user@site.test\r\n",
        "Host: site.test:99999\r\n",
        "Host: site.test:http\r\n",
        "Host: site.test:80:80\r\n",
        "Host: [::1\r\n",
        "Host: site.test#x\r\n",
        "Host: site.test?x\r\n",
        "Host: <script>\r\n",
        "Host: s\u{ef}te.test\r\n",
    ] {
        refused(&edge, lines, &get(lines), &[400]).await;
    }
    assert_eq!(origin.total(), before);
    edge.get("/p").host("[::1]:8080").await.status(200);
    edge.get("/p").host("under_score.test").await.status(200);
}

#[tokio::test]
async fn a_body_has_one_length_or_the_request_is_refused() {
    let (origin, edge) = site().await;
    let chunked = "0\r\n\r\n";
    for (framing, body) in [
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", chunked),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", chunked),
        ("Content-Length: 5\r\nContent-Length: 6\r\n", "hello"),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"),
        ("Content-Length: 5, 5\r\n", "hello"),
        ("Content-Length: 010\r\n", "hello"),
        ("Content-Length: +5\r\n", "hello"),
        ("Content-Length: -1\r\n", ""),
        ("Content-Length: 0x5\r\n", "hello"),
        ("Content-Length: 5 5\r\n", "hello"),
        ("Content-Length: 5;\r\n", "hello"),
        ("Content-Length:\r\n", ""),
        ("Content-Length: 99999999999999999999\r\n", ""),
        ("Content-Length : 5\r\n", "hello"),
        ("Transfer-Encoding: xchunked\r\n", chunked),
        ("Transfer-Encoding: identity\r\n", chunked),
        ("Transfer-Encoding: gzip, chunked\r\n", chunked),
        ("Transfer-Encoding: chunked, chunked\r\n", chunked),
        ("Transfer-Encoding: chunked, identity\r\n", chunked),
        ("Transfer-Encoding: , chunked\r\n", chunked),
        ("Transfer-Encoding: \"chunked\"\r\n", chunked),
        ("Transfer-Encoding: chunked;q=1\r\n", chunked),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", chunked),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", chunked),
        ("Transfer-Encoding: \u{b}chunked\r\n", chunked),
        ("Transfer-Encoding : chunked\r\n", chunked),
        ("Transfer-Encoding:\r\n", chunked),
        ("X: y\r\n Transfer-Encoding: chunked\r\n", chunked),
        ("X: y\rTransfer-Encoding: chunked\r\n", chunked),
        ("X: y\nTransfer-Encoding: chunked\r\n", chunked),
    ] {
        refused(&edge, framing, &post(framing, body), &[400, 501]).await;
    }
    assert!(!origin.heard("smuggled"), "a request was smuggled");
    assert_eq!(origin.count("/echo"), 0);
}

#[tokio::test]
async fn broken_chunks_smuggle_nothing() {
    let (origin, edge) = site().await;
    let framing = "Transfer-Encoding: chunked\r\n";
    for body in [
        "\r\n\r\n",
        ";x\r\n\r\n",
        "-1\r\n\r\n",
        "0x1\r\na\r\n0\r\n\r\n",
        "1 \n a\r\n0\r\n\r\n",
        "1\na\n0\n\n",
        "g\r\na\r\n0\r\n\r\n",
        "fffffffffffffffff\r\na\r\n0\r\n\r\n",
        "1\r\nab\r\n0\r\n\r\n",
        "1\r\na0\r\n\r\n",
    ] {
        let mut client = edge.raw().await;
        client.send(post(framing, body)).await;
        let answer = client.closed().await;
        assert!(!answer.contains("you should not see this"), "{body:?}:\n{answer}");
    }
    assert!(!origin.heard("smuggled"), "a request was smuggled");
    edge.post("/echo", "well").await.is("well");
}

#[tokio::test]
async fn what_a_hit_leaves_unread_is_not_the_next_request() {
    let (origin, edge) = site().await;
    // A body on a GET whose answer is stored.
    let with_body = format!("GET /p HTTP/1.1\r\n{HOST}Content-Length: {}\r\n\r\n{SMUGGLED}", SMUGGLED.len());
    let mut client = edge.raw().await;
    client.send(with_body).await;
    client.response().await.status(200);
    client.send(format!("GET /q HTTP/1.1\r\n{HOST}\r\n")).await;
    client.response().await.is("quick");
    assert_eq!(origin.count("/smuggled"), 0);
    // And one on a request that is answered before its body is read.
    let purge = format!("PURGE /p HTTP/1.1\r\n{HOST}Content-Length: {}\r\n\r\n{SMUGGLED}", SMUGGLED.len());
    refused(&edge, "PURGE", purge.as_bytes(), &[405]).await;
    assert_eq!(origin.count("/smuggled"), 0);
}

#[tokio::test]
async fn lines_end_in_crlf_and_fields_have_a_colon() {
    let (origin, edge) = site().await;
    let before = origin.total();
    for bytes in [
        "GET /p HTTP/1.1\nHost: site.test\n\n",
        "GET /p HTTP/1.1\r\nHost: site.test\nX: y\r\n\r\n",
        "GET /p HTTP/1.1\nHost: site.test\r\n\r\n",
        "GET /p HTTP/1.1\r\nHost: site.test\rX: y\r\n\r\n",
        "GET /p HTTP/1.1\r\nHost: site.test\r\nX: a\rb\r\n\r\n",
        "GET /p HTTP/1.1\r\nHost: site.test\r\nX: a\0b\r\n\r\n",
        "GET /p HTTP/1.1\r\nHost: site.test\r\nX: a\r\n folded\r\n\r\n",
        "GET /p HTTP/1.1\r\nHost: site.test\r\n\tfolded\r\n\r\n",
        "GET /p HTTP/1.1\r\n Host: site.test\r\n\r\n",
        "GET /p HTTP/1.1\r\nHost : site.test\r\n\r\n",
        "GET /p HTTP/1.1\r\nHost: site.test\r\nno colon\r\n\r\n",
        "GET /p HTTP/1.1\r\nHost: site.test\r\n: no name\r\n\r\n",
        "GET /p HTTP/1.1\r\nHost: site.test\r\nX Y: z\r\n\r\n",
        "GET /p HTTP/1.1\r\nHost: site.test\r\nX(): z\r\n\r\n",
    ] {
        refused(&edge, bytes, bytes.as_bytes(), &[400]).await;
    }
    assert_eq!(origin.total(), before);
}

#[tokio::test]
async fn request_lines_are_method_target_and_a_known_version() {
    let (origin, edge) = site().await;
    let before = origin.total();
    for (line, code) in [
        ("GET /a b HTTP/1.1", 400),
        ("GET  /p HTTP/1.1", 400),
        ("GET\t/p HTTP/1.1", 400),
        (" GET /p HTTP/1.1", 400),
        ("GET /p", 400),
        ("GET /p http/1.1", 400),
        ("GET /p HTTP/1.1 ", 400),
        ("GET p HTTP/1.1", 400),
        ("GET * HTTP/1.1", 400),
        ("GET http:///p HTTP/1.1", 400),
        ("GET ftp://site.test/p HTTP/1.1", 400),
        ("GET http://user@site.test/p HTTP/1.1", 400),
        ("GET http://other.test/p HTTP/1.1", 400),
        ("GET /p#fragment HTTP/1.1", 400),
        ("GET /<script> HTTP/1.1", 400),
        ("GET /\"p\" HTTP/1.1", 400),
        ("GET /p\\q HTTP/1.1", 400),
        ("GET /\u{e9} HTTP/1.1", 400),
        ("G{T /p HTTP/1.1", 400),
        ("GET /p HTTP/2.0", 505),
        ("PRI * HTTP/2.0", 505),
        ("GET /p HTTP/3.1", 505),
        ("CONNECT site.test:443 HTTP/1.1", 405),
        ("TRACE /p HTTP/1.1", 405),
    ] {
        refused(&edge, line, format!("{line}\r\n{HOST}\r\n").as_bytes(), &[code]).await;
    }
    refused(&edge, "TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello\r\n\r\n", &[400]).await;
    refused(&edge, "Expect", &get(&format!("{HOST}Expect: the-unexpected\r\n")), &[417]).await;
    assert_eq!(origin.total(), before);
}

#[tokio::test]
async fn an_absolute_target_is_the_same_page() {
    let (origin, edge) = site().await;
    let mut client = edge.raw().await;
    for target in ["http://site.test/p", "HTTP://SITE.TEST/p", "http://site.test:80/p"] {
        let host = target.split('/').nth(2).unwrap();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        client.response().await.is("page").cache_status("hit");
    }
    assert_eq!(origin.count("/p"), 1);
}

#[tokio::test]
async fn empty_lines_before_a_request_are_skipped() {
    let (_origin, edge) = site().await;
    let mut client = edge.raw().await;
    client.send(format!("\r\n\r\nGET /p HTTP/1.1\r\n{HOST}\r\n")).await;
    client.response().await.is("page");
}

#[tokio::test]
async fn http_1_0_is_answered_and_closed_unless_it_asks_to_go_on() {
    let (origin, edge) = site().await;
    origin.page("/chunked", "in two parts").cache_control(FRESH).chunked();
    let mut client = edge.raw().await;
    client.send("GET /p HTTP/1.0\r\nHost: site.test\r\n\r\n").await;
    client.response().await.is("page").cache_status("hit");
    assert_eq!(client.closed().await, "");
    let mut client = edge.raw().await;
    for _ in 0..2 {
        client.send("GET /p HTTP/1.0\r\nHost: site.test\r\nConnection: keep-alive\r\n\r\n").await;
        client.response().await.is("page").header("Connection", "keep-alive");
    }
    // It knows no chunks.
    let mut client = edge.raw().await;
    client.send("GET /chunked HTTP/1.0\r\nHost: site.test\r\n\r\n").await;
    client.response().await.is("in two parts").no_header("Transfer-Encoding");
    let mut client = edge.raw().await;
    client.send("GET /p HTTP/1.0\r\n\r\n").await;
    client.response().await.is("page");
    refused(&edge, "TE", b"POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", &[400]).await;
}

#[tokio::test]
async fn http_1_0_on_the_passed_road_is_closed_too() {
    let (_origin, edge) = site().await;
    let mut client = edge.raw().await;
    let begun = Instant::now();
    client.send("POST /echo HTTP/1.0\r\nHost: site.test\r\nContent-Length: 4\r\n\r\nbody").await;
    client.response_to("POST").await.is("body").no_header("Transfer-Encoding");
    assert_eq!(client.closed().await, "");
    assert!(begun.elapsed() < ms(1500), "it was closed as idle, not as HTTP/1.0");
}

#[tokio::test]
async fn pipelined_hits_are_answered_in_order() {
    let (_origin, edge) = site().await;
    let mut client = edge.raw().await;
    let requests: String =
        (0..40).map(|n| format!("GET /{} HTTP/1.1\r\n{HOST}\r\n", if n % 2 == 0 { "p" } else { "q" })).collect();
    client.send(requests).await;
    for n in 0..40 {
        client.response().await.is(if n % 2 == 0 { "page" } else { "quick" }).cache_status("hit");
    }
}

#[tokio::test]
async fn pipelined_requests_of_all_kinds_are_answered_in_order() {
    let (origin, edge) = site().await;
    origin.page("/cold", "cold").cache_control(FRESH);
    origin.page("/private", "private").cache_control("private");
    let mut client = edge.raw().await;
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\n{HOST}\r\n");
    let member = format!("GET /private HTTP/1.1\r\n{HOST}Cookie: session=1\r\n\r\n");
    let delete = format!("DELETE /echo HTTP/1.1\r\n{HOST}\r\n");
    let head = format!("HEAD /q HTTP/1.1\r\n{HOST}\r\n");
    client.send([get("/p"), get("/cold"), member, delete, head, get("/private"), get("/q")].concat()).await;
    for body in ["page", "cold", "private"] {
        client.response().await.is(body);
    }
    client.response_to("DELETE").await.status(200).is("");
    client.response_to("HEAD").await.status(200).header("Content-Length", "5");
    client.response().await.is("private");
    client.response().await.is("quick");
}

#[tokio::test]
async fn a_request_behind_a_passed_body_is_not_lost() {
    let (origin, edge) = site().await;
    let mut client = edge.raw().await;
    let length = format!("POST /echo HTTP/1.1\r\n{HOST}Content-Length: 3\r\n\r\none");
    let chunked = format!("POST /echo HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\n");
    let hit = format!("GET /p HTTP/1.1\r\n{HOST}\r\n");
    client.send([length, hit.clone(), chunked, hit].concat()).await;
    for (method, body) in [("POST", "one"), ("GET", "page"), ("POST", "two"), ("GET", "page")] {
        client.response_to(method).await.status(200).is(body);
    }
    origin.assert_canonical();
}

#[tokio::test]
async fn a_request_that_comes_while_a_passed_one_runs_waits_for_its_turn() {
    let (origin, edge) = site().await;
    let hold = origin.page("/slow", "slow").held();
    let mut client = edge.raw().await;
    client.send(format!("DELETE /slow HTTP/1.1\r\n{HOST}\r\n")).await;
    origin.asked("/slow", 1).await;
    client.send(format!("GET /p HTTP/1.1\r\n{HOST}\r\n")).await;
    // By the time that others are served, its bytes have arrived, too.
    for _ in 0..5 {
        edge.get("/p").await.is("page");
    }
    hold.release();
    client.response_to("DELETE").await.status(200).is("slow");
    client.response().await.is("page");
}
