//! HTTP/2 towards clients (RFC 9113): the same answers as in HTTP/1, and nothing that a client could hold open.

use crate::dsl::{ALL_VERSIONS, Authority, Edge, HOST, Http2, Origin, Reply, in_time, inside, of, until};
use bytes::Bytes;
use http::Request;

pub const FRESH: &str = "s-maxage=60";
const H2C: &str = "server:\n  listeners: [{ address: '{listen}', h2c: true }]\n  limits: { header_timeout: 1s, idle_timeout: 1s }\n\
                   origin: {origin}\nadmin: { listen: '{admin}' }\n";

pub async fn edge(origin: &Origin) -> Edge {
    Edge::with_config(origin, H2C).await
}

#[tokio::test]
async fn stored_pages_are_told_as_in_http_1() {
    let origin = Origin::start().await;
    let body = "a page ".repeat(2000);
    origin.page("/p", &body).etag("\"v1\"").header("Content-Type", "text/html").cache_control(FRESH);
    let edge = edge(&origin).await;
    let client = Http2::plain(edge.listen).await;
    client.get("/p").await.status(200).is(&body).cache_status("fwd=uri-miss");
    until("it is stored", async || client.get("/p").await.is_hit()).await;
    let (one, two) = (edge.get("/p").await, client.get("/p").await);
    let without = |lines: &[(String, String)]| {
        let mut lines: Vec<_> =
            lines.iter().filter(|(name, _)| name != "age" && name != "cache-status").cloned().collect();
        lines.sort();
        lines
    };
    assert_eq!(without(&one.lines), without(&two.lines));
    assert!(two.age().is_some());
    client.ask(of("HEAD", "/p")).await.status(200).is("").header("content-length", &body.len().to_string());
    client.ask(of("GET", "/p").header("if-none-match", "\"v1\"")).await.status(304).is("").header("etag", "\"v1\"");
    let part = client.ask(of("GET", "/p").header("range", "bytes=2-5")).await;
    part.status(206).is("page").header("content-range", &format!("bytes 2-5/{}", body.len()));
    client.ask(of("GET", "/p").header("range", "bytes=99999-")).await.status(416).is("");
    until("it is coded", async || {
        let coded = client.ask(of("GET", "/p").header("accept-encoding", "br")).await;
        coded.field("content-encoding").as_deref() == Some("br")
    })
    .await;
    assert_eq!(origin.count("/p"), 1);
    client.get("/nothing").await.status(404);
}

#[tokio::test]
async fn many_requests_of_one_connection_are_answered_at_once_and_by_one_generation() {
    let origin = Origin::start().await;
    let hold = origin.page("/slow", "slow").cache_control(FRESH).held();
    origin.page("/quick", "quick").cache_control(FRESH);
    let edge = edge(&origin).await;
    let client = Http2::plain(edge.listen).await;
    let mut waiting = Vec::new();
    for _ in 0..50 {
        waiting.push(client.begin(of("GET", "/slow"), true).await);
    }
    client.get("/quick").await.is("quick");
    hold.release();
    for one in waiting {
        one.response().await.unwrap().status(200).is("slow");
    }
    assert_eq!(origin.count("/slow"), 1);
}

#[tokio::test]
async fn bodies_larger_than_every_window_pass_both_ways() {
    let origin = Origin::start().await;
    let large = "0123456789abcdef".repeat(128 * 1024);
    origin.page("/large", &large).cache_control(FRESH);
    origin.page("/chunked", &large).chunked().cache_control(FRESH);
    origin.dynamic("/echo", |seen| Reply::ok(seen.body.clone()));
    let edge = edge(&origin).await;
    let client = Http2::plain(edge.listen).await;
    for path in ["/large", "/large", "/chunked", "/chunked"] {
        assert!(client.get(path).await.status(200).is(&large).field("transfer-encoding").is_none());
    }
    // With a length and without one.
    for request in [of("POST", "/echo").header("content-length", large.len()), of("POST", "/echo")] {
        let mut stream = client.begin(request, false).await;
        stream.upload(Bytes::from(large.clone())).await;
        stream.response().await.unwrap().status(200).is(&large).cache_status("fwd=method");
    }
}

#[tokio::test]
async fn the_origin_sees_an_ordinary_request() {
    let origin = Origin::start().await;
    origin.dynamic("/write", |seen| Reply::ok(seen.text()));
    let edge = edge(&origin).await;
    let client = Http2::plain(edge.listen).await;
    let request = of("POST", "/write").header("cookie", "a=1").header("cookie", "b=2").header("te", "trailers");
    let mut stream = client.begin(request, false).await;
    stream.upload("sent".into()).await;
    stream.response().await.unwrap().status(200).is("sent");
    let seen = origin.last("/write");
    assert_eq!(seen.field("cookie").as_deref(), Some("a=1; b=2"));
    assert_eq!(seen.field("host").as_deref(), Some(HOST));
    assert_eq!(seen.field("x-forwarded-proto").as_deref(), Some("http"));
    assert_eq!(seen.field("transfer-encoding").as_deref(), Some("chunked"));
    assert_eq!(seen.field("te"), None);
    client.ask(of("DELETE", "/write")).await.status(200).is("");
    assert_eq!(origin.last("/write").field("transfer-encoding"), None);
    origin.assert_canonical();
}

#[tokio::test]
async fn a_page_is_sent_on_as_it_comes_and_what_breaks_off_is_never_whole() {
    let origin = Origin::start().await;
    let edge = edge(&origin).await;
    let client = Http2::plain(edge.listen).await;
    for (path, cache_control) in [("/stored", FRESH), ("/passed", "private")] {
        for cut in [false, true] {
            let path = format!("{path}-{cut}");
            let tap = origin.page(&path, "").cache_control(cache_control).tapped();
            let stream = client.begin(of("GET", &path), true).await;
            tap.send("first");
            let (head, mut body) = stream.head().await;
            head.status(200);
            assert_eq!(in_time("the first piece", body.data()).await.unwrap().unwrap(), "first");
            tap.send("second");
            assert_eq!(in_time("the second piece", body.data()).await.unwrap().unwrap(), "second");
            if cut {
                drop(tap);
                let end = in_time("the end", body.data()).await;
                assert!(end.as_ref().is_some_and(|end| end.is_err()), "{path}: {end:?}");
            } else {
                tap.end();
                while let Some(rest) = in_time("the end", body.data()).await {
                    assert_eq!(rest.unwrap(), "", "{path}");
                }
            }
        }
    }
    client.get("/nothing").await.status(404);
}

#[tokio::test]
async fn interim_answers_of_passed_requests_are_told() {
    let origin = Origin::start().await;
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n";
    origin.answers("/hints", Reply::raw(&format!("{hints}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")));
    let edge = edge(&origin).await;
    let client = Http2::plain(edge.listen).await;
    let mut stream = client.begin(of("POST", "/hints"), true).await;
    assert_eq!(stream.interim().await, 103);
    stream.response().await.unwrap().status(200).is("ok");
}

#[tokio::test]
async fn what_is_no_request_is_refused_and_not_passed_on() {
    let origin = Origin::start().await;
    origin.everything(|_| Reply::ok("it came through"));
    let edge = edge(&origin).await;
    let client = Http2::plain(edge.listen).await;
    let many = (0..101).fold(of("GET", "/"), |request, n| request.header(format!("x-{n}"), "1"));
    for (what, request, status) in [
        ("a target with a quote", of("GET", "/a\"b"), 400),
        ("another host in Host", of("GET", "/").header("host", "other.test"), 400),
        ("userinfo", Request::builder().uri("http://user@site.test/"), 400),
        ("a bad length", of("POST", "/").header("content-length", "1,2"), 400),
        ("a length and no body", of("POST", "/").header("content-length", "5"), 400),
        ("too many fields", many, 431),
        ("a large field", of("GET", "/").header("x", "x".repeat(40_000)), 431),
        ("a long target", of("GET", &format!("/{}", "x".repeat(9000))), 414),
        ("a method of HTTP/1's", of("TRACE", "/"), 405),
        ("an expectation", of("POST", "/").header("expect", "miracles"), 417),
    ] {
        match client.send(request).await {
            Ok(answer) => assert_eq!(answer.code, status, "{what}: {}", answer.text()),
            // The library finds some of them first.
            Err(error) => assert!(error.is_reset() && status == 400, "{what}: {error}"),
        }
    }
    assert_eq!(origin.total(), 0);
    client.get("/").await.status(200);
}

#[tokio::test]
async fn errors_have_no_body_for_who_asked_for_none_and_cookies_are_one_field() {
    let origin = Origin::start().await;
    origin.page("/p", "x").cache_control(FRESH);
    let edge = edge(&origin).await;
    let client = Http2::plain(edge.listen).await;
    let crumbs = (0..150).fold(of("GET", "/p"), |request, n| request.header("cookie", format!("c{n}={n}")));
    client.ask(crumbs).await.status(200);
    origin.down().await;
    for path in ["/down", "/down?cookie"] {
        let request = of("HEAD", path).header("cookie", "session=1").header("authorization", "Basic eDp5");
        client.ask(request).await.status(502).is("");
    }
    client.ask(of("HEAD", "/a\"b")).await.status(400).is("");
}

#[tokio::test]
async fn a_get_with_a_body_is_passed_with_it() {
    let origin = Origin::start().await;
    origin.dynamic("/search", |seen| Reply::ok(seen.text()).cache_control(FRESH));
    let edge = edge(&origin).await;
    let client = Http2::plain(edge.listen).await;
    for query in ["one", "two"] {
        let mut stream = client.begin(of("GET", "/search"), false).await;
        stream.upload(query.into()).await;
        stream.response().await.unwrap().status(200).is(query).cache_status("fwd=bypass");
    }
}

#[tokio::test]
async fn what_belongs_to_the_origins_connection_stays_there() {
    let origin = Origin::start().await;
    let answer = Reply::ok("x").header("TE", "x").header("Keep-Alive", "timeout=5").header("Connection", "X-Hop");
    origin.answers("/odd", answer.header("X-Hop", "1").header("Trailer", "X"));
    origin.answers("/switch", Reply::raw("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nraw bytes"));
    let edge = edge(&origin).await;
    let client = Http2::plain(edge.listen).await;
    for answer in [client.ask(of("DELETE", "/odd")).await, edge.ask("DELETE", "/odd").await] {
        answer.status(200).is("x");
        for name in ["te", "keep-alive", "x-hop", "trailer"] {
            answer.no_header(name);
        }
    }
    client.ask(of("DELETE", "/switch")).await.status(502);
    edge.ask("DELETE", "/switch").await.status(502);
}

/// What is stored, too, waits for its reader in his stream's own time.
#[tokio::test]
async fn the_access_log_says_what_was_spoken() {
    let origin = Origin::start().await;
    origin.page("/p", "x").cache_control(FRESH);
    let edge = edge(&origin).await;
    let client = Http2::plain(edge.listen).await;
    client.get("/p").await.status(200);
    client.ask(of("DELETE", "/p")).await.status(200);
    let told = |method: &str| {
        let method = format!("\"method\":\"{method}\"");
        edge.larder.stdout().lines().any(|line| line.contains(&method) && line.contains("\"proto\":\"HTTP/2.0\""))
    };
    until("both are logged", async || told("GET") && told("DELETE")).await;
}

#[tokio::test]
async fn over_tls_clients_choose() {
    let origin = Origin::start().await;
    origin.page("/p", "x").cache_control(FRESH);
    let authority = Authority::new();
    let files = authority.issue(&[HOST]).files();
    let yaml = format!(
        "server:\n  listeners:\n    - address: '{{listen}}'\n      tls: {{ certificates: [{{ cert: {}, key: {} }}] }}\n\
         origin: {{origin}}\nadmin: {{ listen: '{{admin}}' }}\n",
        files[0].path(),
        files[1].path()
    );
    let edge = Edge::with_config(&origin, &yaml).await;
    for (offered, chosen) in
        [(&["h2", "http/1.1"][..], "h2"), (&["http/1.1", "h2"], "h2"), (&["http/1.1"], "http/1.1"), (&[], "")]
    {
        let stream = authority.handshake_for(edge.listen, HOST, ALL_VERSIONS, offered).await.unwrap();
        assert_eq!(inside(&stream), chosen, "{offered:?}");
        if chosen == "h2" {
            Http2::over(stream).await.get("/p").await.status(200).is("x");
        }
    }
    assert_eq!(origin.last("/p").field("x-forwarded-proto").as_deref(), Some("https"));
}
