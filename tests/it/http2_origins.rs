//! HTTP/2 towards origins: theirs to choose, and no less strict.

use crate::dsl::{Authority, Crowd, Edge, HOST, Http2Origin, Origin, Raw, Told, until};

/// A configuration whose origin is `localhost` at that port, over TLS.
fn by_https(port: u16, more: &str) -> String {
    format!(
        "listen: {{listen}}\nadmin:\n  listen: {{admin}}\norigins:\n  app:\n    servers: [{{ url: 'https://localhost:{port}' }}]\n{more}"
    )
}

#[tokio::test]
async fn origins_that_choose_http_2_are_asked_in_it() {
    let authority = Authority::new();
    let behind = Http2Origin::start(&authority.issue(&["localhost"]), Told::Page("one".into())).await;
    let edge = Edge::trusting(authority.path(), &Origin::start().await, &by_https(behind.port, "")).await;
    edge.get("/p").await.status(200).is("one");
    edge.stored("/p").await.is("one");
    let large = "large ".repeat(100_000);
    behind.tells(Told::Page(large.clone()));
    edge.get("/large").await.status(200).is(&large);
    behind.tells(Told::Echo);
    for body in ["both ways", &large, ""] {
        edge.post("/echo", body).await.status(200).is(body).cache_status("fwd=method");
    }
    for one in behind.seen() {
        assert_eq!((one.version, one.uri.host()), (http::Version::HTTP_2, Some(HOST)));
        assert_eq!(one.headers["x-forwarded-host"], HOST);
    }
    // Many at a time.
    behind.tells(Told::Page("many".into()));
    let crowd = Crowd::of((0..100).map(|n| edge.get(&format!("/many/{n}"))));
    for answer in crowd.answers().await {
        answer.status(200).is("many");
    }
}

#[tokio::test]
async fn a_good_page_is_kept_whatever_an_origin_does_in_http_2() {
    let authority = Authority::new();
    let behind = Http2Origin::start(&authority.issue(&["localhost"]), Told::Page("good".into())).await;
    let routes = "routes: [{ match: /**, revalidate: 1s }]\n";
    let edge = Edge::trusting(authority.path(), &Origin::start().await, &by_https(behind.port, routes)).await;
    edge.stored("/p").await.is("good");
    for (told, reason) in [(Told::Cut("bad".into()), "truncated"), (Told::Reset, "truncated")] {
        behind.tells(told.clone());
        let before = edge.metric("larder_refresh_failures_total").await;
        until("its refresh fails", async || {
            edge.get("/p").await.is("good");
            edge.metric("larder_refresh_failures_total").await > before
        })
        .await;
        assert!(edge.metric(&format!("larder_refresh_failures_total{{reason=\"{reason}\"}}")).await >= 1.0);
        edge.get("/p").await.status(200).is("good");
        // Nobody has it: it breaks off, or is not there.
        for one in [edge.get("/new"), edge.post("/write", "x")] {
            let answer = one.send().await;
            assert!(answer.as_ref().map_or(true, |answer| answer.code == 502 || !answer.whole), "{answer:?}");
        }
    }
    behind.tells(Told::Page("better".into()));
    edge.until_is("/p", "better").await;
}

#[tokio::test]
async fn origins_are_not_asked_in_http_2_where_the_configuration_says_so() {
    let authority = Authority::new();
    let behind = Http2Origin::start(&authority.issue(&["localhost"]), Told::Page("one".into())).await;
    let yaml = by_https(behind.port, "    http2: false\n");
    let edge = Edge::trusting(authority.path(), &Origin::start().await, &yaml).await;
    // This one speaks nothing else.
    edge.get("/p").await.status(502);
    assert!(behind.seen().is_empty());
}

#[tokio::test]
async fn what_comes_behind_a_head_that_has_no_body_is_nobodys() {
    let authority = Authority::new();
    let behind = Http2Origin::start(&authority.issue(&["localhost"]), Told::Nothing("smuggled".into())).await;
    let edge = Edge::trusting(authority.path(), &Origin::start().await, &by_https(behind.port, "")).await;
    for method in ["GET", "GET", "DELETE"] {
        let mut client = Raw::open(edge.listen).await;
        client.send(format!("{method} /p HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await.response().await.status(204);
        let next = client.send(format!("GET /q HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n")).await;
        let rest = next.closed().await;
        assert!(rest.is_empty() || rest.starts_with("HTTP/1.1 204"), "{method}: {rest}");
    }
}

#[tokio::test]
async fn a_coded_answer_with_trailers_is_whole() {
    let authority = Authority::new();
    let page = "a page ".repeat(1000);
    let behind = Http2Origin::start(&authority.issue(&["localhost"]), Told::Trailed(page.clone())).await;
    let edge = Edge::trusting(authority.path(), &Origin::start().await, &by_https(behind.port, "")).await;
    let answer = edge.post("/p", "").header("Accept-Encoding", "gzip").await;
    let mut plain = Vec::new();
    if answer.field("content-encoding").is_some() {
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&answer.body[..]), &mut plain).unwrap();
    } else {
        plain.clone_from(&answer.body);
    }
    assert!(answer.whole && plain == page.as_bytes());
}

#[tokio::test]
async fn clients_of_http_1_0_get_no_chunks() {
    let authority = Authority::new();
    let behind = Http2Origin::start(&authority.issue(&["localhost"]), Told::WantsHttp1("old".into())).await;
    let edge = Edge::trusting(authority.path(), &Origin::start().await, &by_https(behind.port, "")).await;
    let mut client = Raw::open(edge.listen).await;
    client.send(format!("POST /p HTTP/1.0\r\nHost: {HOST}\r\nContent-Length: 0\r\n\r\n")).await;
    client.response().await.status(200).is("old").no_header("transfer-encoding");
    // And who says what it expects hears of it: HTTP/1.1 is spoken then, too.
    edge.post("/p", "x").header("Expect", "100-continue").await.status(200).is("old");
    assert!(behind.seen().is_empty());
}

#[tokio::test]
async fn an_origin_that_wants_http_1_1_after_all_is_asked_in_it() {
    let authority = Authority::new();
    let behind = Http2Origin::start(&authority.issue(&["localhost"]), Told::WantsHttp1("one".into())).await;
    let edge = Edge::trusting(authority.path(), &Origin::start().await, &by_https(behind.port, "")).await;
    edge.get("/p").await.status(200).is("one");
    edge.ask("DELETE", "/p").await.status(200).is("one");
    edge.get("/q").await.status(200).is("one");
    assert_eq!(behind.seen().len(), 1, "once was enough");
}
