//! HTTP/2 towards clients (RFC 9113): the same answers as in HTTP/1, and nothing that a client could hold open.

use crate::dsl::{ALL_VERSIONS, Authority, Edge, HOST, Http2, Origin, Raw, Reply, in_time, inside, ms, of, until};
use bytes::Bytes;
use http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const FRESH: &str = "s-maxage=60";
const H2C: &str = "server:\n  listeners: [{ address: '{listen}', h2c: true }]\n  limits: { header_timeout: 1s, idle_timeout: 1s }\n\
                   origin: {origin}\nadmin: { listen: '{admin}' }\n";

async fn edge(origin: &Origin) -> Edge {
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
async fn the_limits_are_told_and_hold() {
    let origin = Origin::start().await;
    let hold = origin.page("/slow", "slow").held();
    let edge = edge(&origin).await;
    let mut stream = TcpStream::connect(edge.listen).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut head = [0; 9];
    in_time("the settings", stream.read_exact(&mut head)).await.unwrap();
    assert_eq!(head[3], 4, "SETTINGS come first");
    let mut settings = vec![0; usize::from(head[2])];
    stream.read_exact(&mut settings).await.unwrap();
    let told = |id: u8| {
        let one =
            settings.chunks(6).find(|one| one[1] == id).map(|one| u32::from_be_bytes([one[2], one[3], one[4], one[5]]));
        one.unwrap_or(u32::MAX)
    };
    assert_eq!((told(3), told(6)), (100, 64 * 1024), "streams, and bytes of fields");
    drop(hold);
}

#[tokio::test]
async fn requests_that_are_reset_at_once_do_not_pile_up() {
    let origin = Origin::start().await;
    origin.page("/fine", "fine").cache_control(FRESH);
    let hold = origin.page("/slow", "slow").cache_control("private").held();
    let edge = edge(&origin).await;
    let mut abuser = TcpStream::connect(edge.listen).await.unwrap();
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    for n in 0..5000_u32 {
        let stream = (2 * n + 1).to_be_bytes();
        let path = format!("/slow?{n}");
        // GET, http, a path and a host (RFC 7541, 6), and a reset.
        let length = |of: &[u8]| u8::try_from(of.len()).unwrap();
        let fields =
            [&[0x82, 0x86, 0x04, length(path.as_bytes())][..], path.as_bytes(), &[0x41, 9], HOST.as_bytes()].concat();
        bytes.extend(
            [&[0, 0, length(&fields), 1, 5][..], &stream, &fields, &[0, 0, 4, 3, 0], &stream, &[0, 0, 0, 8]].concat(),
        );
    }
    let _ = abuser.write_all(&bytes).await;
    let mut said = Vec::new();
    let _ = in_time("an end of it", abuser.read_to_end(&mut said)).await;
    let calm = said.windows(9).position(|frame| frame[3] == 7 && frame[4] == 0);
    assert_eq!(calm.map(|at| said[at + 16]), Some(11), "ENHANCE_YOUR_CALM (RFC 9113, 7)");
    assert!(origin.total() <= 256, "{} requests reached the origin", origin.total());
    Http2::plain(edge.listen).await.get("/fine").await.status(200).is("fine");
    drop(hold);
}

#[tokio::test]
async fn a_client_that_waits_for_nothing_is_sent_away_and_one_that_waits_is_not() {
    let origin = Origin::start().await;
    let hold = origin.page("/slow", "slow").held();
    origin.page("/p", "x").cache_control(FRESH);
    let edge = edge(&origin).await;
    let idle = Http2::plain(edge.listen).await;
    idle.get("/p").await.status(200);
    let busy = Http2::plain(edge.listen).await;
    let waiting = busy.begin(of("GET", "/slow"), true).await;
    let mut idle = idle;
    idle.is_ended().await;
    hold.release();
    waiting.response().await.unwrap().is("slow");
    busy.get("/p").await.is("x");
}

#[tokio::test]
async fn a_preface_that_does_not_come_holds_nothing_open() {
    let origin = Origin::start().await;
    origin.page("/", "short").cache_control(FRESH);
    let edge = edge(&origin).await;
    for sent in ["P", "PRI * HTTP/2.0\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let mut client = Raw::open(edge.listen).await;
        client.send(sent).await;
        assert!(client.closed_within(ms(10_000)).await.is_some(), "{sent:?}");
    }
    // Shorter than the preface, and a request.
    let mut client = Raw::open(edge.listen).await;
    client.send("GET / HTTP/1.0\r\n\r\n").await.response().await.status(200).is("short");
    edge.get("/").await.status(200).is("short");
}

#[tokio::test]
async fn without_h2c_the_preface_is_an_unknown_version() {
    let origin = Origin::start().await;
    let edge = Edge::start(&origin).await;
    let mut client = Raw::open(edge.listen).await;
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.response().await.status(505);
    // Nor behind another request.
    let edge = self::edge(&origin).await;
    let mut client = Raw::open(edge.listen).await;
    client.send(format!("GET /x HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await.response().await.status(404);
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.response().await.status(505);
}

#[tokio::test]
async fn leaving_larder_answers_what_it_has_taken() {
    let origin = Origin::start().await;
    let hold = origin.page("/slow", "slow").held();
    let mut edge = edge(&origin).await;
    let client = Http2::plain(edge.listen).await;
    let waiting = client.begin(of("GET", "/slow"), true).await;
    origin.asked("/slow", 1).await;
    edge.larder.signal("TERM");
    until("it takes no more", async || TcpStream::connect(edge.listen).await.is_err()).await;
    hold.release();
    waiting.response().await.unwrap().status(200).is("slow");
    client.ended().await.unwrap();
    assert_eq!(edge.larder.exit().await, 0);
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
