//! Content codings (RFC 9110, 8.4 and 12.5.3): one stored version for everybody, coded in the background.

use crate::dsl::{Edge, HOST, ORDERED, Origin, PLAIN, Reply, Request, Response, until};
use serde_json::json;
use std::io::Read;

const FRESH: &str = "s-maxage=60";
const BROWSER: &str = "gzip, deflate, br, zstd";

fn page() -> String {
    (0..400).map(|n| format!("<p>This is paragraph {n}.</p>\n")).collect()
}

fn decoded(coding: &str, body: &[u8]) -> String {
    let mut text = String::new();
    match coding {
        "gzip" => flate2::read::GzDecoder::new(body).read_to_string(&mut text),
        "br" => brotli::Decompressor::new(body, 4096).read_to_string(&mut text),
        "zstd" => zstd::stream::read::Decoder::new(body).unwrap().read_to_string(&mut text),
        _ => panic!("no such coding: {coding}"),
    }
    .unwrap_or_else(|error| panic!("the body is not {coding}: {error}"));
    text
}

fn asking(edge: &Edge, target: &str, accepted: &str) -> Request {
    edge.get(target).header("Accept-Encoding", accepted)
}

/// The first answer in this coding.
async fn in_coding(edge: &Edge, target: &str, accepted: &str, coding: &str) -> Response {
    let mut found = None;
    until(&format!("{target} is there in {coding}"), async || {
        let answer = asking(edge, target, accepted).await;
        let there = answer.field("content-encoding").as_deref() == Some(coding);
        found = there.then_some(answer);
        there
    })
    .await;
    found.unwrap()
}

async fn with_page() -> (Origin, Edge) {
    let origin = Origin::start().await;
    origin.page("/p", &page()).header("Content-Type", "text/html").cache_control(FRESH).etag("\"v1\"");
    let edge = Edge::start(&origin).await;
    edge.stored("/p").await;
    (origin, edge)
}

#[tokio::test]
async fn one_stored_page_serves_every_accept_encoding() {
    let (origin, edge) = with_page().await;
    let whole = page().len().to_string();
    for (accepted, coding) in [(BROWSER, "zstd"), ("br, gzip;q=0.5", "br"), ("gzip", "gzip"), ("*", "zstd")] {
        let coded = in_coding(&edge, "/p", accepted, coding).await;
        coded.status(200).cache_status("hit").header("Vary", "accept-encoding").header("Content-Type", "text/html");
        coded.header("ETag", &format!("\"v1~{coding}\""));
        assert_eq!(decoded(coding, &coded.body), page());
        assert!(coded.body.len() < page().len() / 4, "{} bytes in {coding}", coded.body.len());
        let head = edge.head("/p").header("Accept-Encoding", accepted).await;
        head.header("Content-Encoding", coding).header("Content-Length", &coded.body.len().to_string()).is("");
    }
    for accepted in ["identity", "gzip;q=0", "deflate", "gzip;q=0.5, identity", "*;q=0"] {
        let plain = asking(&edge, "/p", accepted).await;
        plain.is(&page()).no_header("Content-Encoding").header("ETag", "\"v1\"").header("Vary", "accept-encoding");
    }
    edge.get("/p").await.is(&page()).header("Content-Length", &whole).header("Vary", "accept-encoding");
    assert_eq!(origin.count("/p"), 1);
    assert_eq!(origin.last("/p").field("accept-encoding").as_deref(), Some("identity"));
}

#[tokio::test]
async fn the_first_answers_do_not_wait_for_a_coding() {
    let origin = Origin::start().await;
    origin.page("/p", &page()).header("Content-Type", "text/html").cache_control(FRESH);
    let edge = Edge::start(&origin).await;
    let first = asking(&edge, "/p", BROWSER).await;
    first.is(&page()).no_header("Content-Encoding").cache_status("fwd=uri-miss").header("Vary", "accept-encoding");
    in_coding(&edge, "/p", BROWSER, "zstd").await;
    // Nobody asked for the others.
    assert_eq!(edge.metric("larder_coded_total{coding=\"zstd\"}").await, 1.0);
    edge.metric_reaches("larder_coding_saved_bytes_total{coding=\"zstd\"}", 10_000.0).await;
}

#[tokio::test]
async fn who_refuses_the_body_as_it_is_gets_a_coding_at_once() {
    let (_origin, edge) = with_page().await;
    for (accepted, coding) in [("identity;q=0, br", "br"), ("gzip, *;q=0", "gzip")] {
        let coded = asking(&edge, "/p", accepted).await;
        coded.status(200).header("Content-Encoding", coding);
        assert_eq!(decoded(coding, &coded.body), page());
    }
}

#[tokio::test]
async fn a_client_is_told_that_it_has_the_page_in_its_coding() {
    let (_origin, edge) = with_page().await;
    in_coding(&edge, "/p", BROWSER, "zstd").await;
    let asked = |accepted: &str, tag: &str| asking(&edge, "/p", accepted).header("If-None-Match", tag);
    asked(BROWSER, "\"v1~zstd\"").await.status(304).header("ETag", "\"v1~zstd\"").is("");
    // Whether it is made yet or not.
    asked(BROWSER, "\"v1~br\"").await.status(304).header("ETag", "\"v1~br\"");
    asked(BROWSER, "W/\"v1~zstd\"").await.status(304);
    asked(BROWSER, "\"v1\"").await.status(304).header("ETag", "\"v1\"");
    asked(BROWSER, "\"v0~zstd\"").await.status(200).header("Content-Encoding", "zstd");
    // What it does not take it cannot have meant.
    asked("gzip;q=0", "\"v1~zstd\"").await.status(200).is(&page());
    edge.get("/p").header("If-None-Match", "\"v1~zstd\"").await.status(200).is(&page());
}

#[tokio::test]
async fn parts_are_parts_of_the_body_as_it_is() {
    let (_origin, edge) = with_page().await;
    in_coding(&edge, "/p", BROWSER, "zstd").await;
    let part = asking(&edge, "/p", BROWSER).header("Range", "bytes=0-2").await;
    part.status(206).is("<p>").no_header("Content-Encoding").header("ETag", "\"v1\"");
    let whole = asking(&edge, "/p", BROWSER).header("Range", "bytes=0-2").header("If-Range", "\"v1~zstd\"").await;
    whole.status(200).is(&page());
}

#[tokio::test]
async fn what_does_not_gain_or_may_not_change_stays_as_it_is() {
    let origin = Origin::start().await;
    let html =
        |path: &str, body: &str| origin.page(path, body).header("Content-Type", "text/html").cache_control(FRESH);
    html("/small", "<p>small</p>");
    origin.page("/photo", &page()).header("Content-Type", "image/jpeg").cache_control(FRESH);
    let fixed = "s-maxage=60, no-transform";
    origin.page("/fixed", &page()).header("Content-Type", "text/html").cache_control(fixed);
    html("/missing", &page()).status(404);
    let edge = Edge::start(&origin).await;
    for path in ["/small", "/photo", "/fixed", "/missing"] {
        edge.stored(path).await;
        for _ in 0..3 {
            asking(&edge, path, BROWSER).await.no_header("Content-Encoding").no_header("Vary").cache_status("hit");
        }
    }
    // Noise has the right type, and gets no smaller.
    let noise: String =
        (0..4096_u32).map(|n| char::from(b'!' + (n.wrapping_mul(2_654_435_761) >> 24) as u8 % 90)).collect();
    html("/noise", &noise);
    edge.stored("/noise").await;
    asking(&edge, "/noise", "gzip").await.is(&noise);
}

#[tokio::test]
async fn what_its_owner_does_not_let_change_stays_on_isr_routes_too() {
    let origin = Origin::start().await;
    let html = origin.page("/isr", &page()).header("Content-Type", "text/html");
    drop(html.cache_control("public").header("Cache-Control", "no-transform"));
    let edge = Edge::with_config(&origin, &format!("{PLAIN}routes: [{{ match: /isr, revalidate: 60s }}]\n")).await;
    edge.stored("/isr").await;
    for _ in 0..5 {
        let answer = asking(&edge, "/isr", BROWSER).await;
        answer.is(&page()).no_header("Content-Encoding").cache_status("hit");
    }
    assert_eq!(edge.metric("larder_coded_total").await, 0.0);
}

#[tokio::test]
async fn the_origin_is_asked_by_its_own_tags() {
    let origin = Origin::start().await;
    origin.dynamic("/me", |seen| {
        let tag = seen.field("if-match").or(seen.field("if-none-match")).unwrap_or_default();
        Reply::ok(tag).cache_control("private")
    });
    let edge = Edge::start(&origin).await;
    for (name, sent, told) in [
        ("If-Match", "\"v1~zstd\"", "\"v1\""),
        ("If-Match", "W/\"v1~br\", \"v2\"", "\"v1\", \"v2\""),
        ("If-None-Match", "W/\"v1~gzip\"", "\"v1\""),
        ("If-None-Match", "W/\"v1-gzip\"", "W/\"v1-gzip\""),
    ] {
        edge.ask("PUT", "/me").header(name, sent).body("x").await.is(told);
    }
}

#[tokio::test]
async fn a_route_says_which_codings_it_makes() {
    let origin = Origin::start().await;
    for path in ["/none", "/some"] {
        origin.page(path, &page()).header("Content-Type", "text/html").cache_control(FRESH);
    }
    let routes = "routes:\n  - { match: /none, compress: [] }\n  - { match: /some, compress: [gzip, zstd] }\n";
    let edge = Edge::with_config(&origin, &format!("{PLAIN}{routes}")).await;
    edge.stored("/none").await;
    asking(&edge, "/none", BROWSER).await.is(&page()).no_header("Vary");
    edge.stored("/some").await;
    in_coding(&edge, "/some", BROWSER, "gzip").await;
    asking(&edge, "/some", "br").await.is(&page());
}

#[tokio::test]
async fn a_regeneration_of_the_same_page_keeps_its_codings() {
    let origin = Origin::start().await;
    origin.page("/p", &page()).header("Content-Type", "text/html").cache_control(FRESH);
    let edge = Edge::with_config(&origin, ORDERED).await;
    edge.stored("/p").await;
    in_coding(&edge, "/p", BROWSER, "zstd").await;
    for _ in 0..3 {
        let before = origin.count("/p");
        edge.order("/v1/revalidate", &json!({"paths": ["/p"]})).await;
        until("the page is regenerated and fresh again", async || {
            let answer = asking(&edge, "/p", BROWSER).await;
            assert_eq!(answer.field("content-encoding").as_deref(), Some("zstd"), "{:?}", answer.lines);
            assert_eq!(decoded("zstd", &answer.body), page());
            origin.count("/p") > before && answer.is_hit() && !answer.is_stale()
        })
        .await;
    }
    assert_eq!(edge.metric("larder_coded_total{coding=\"zstd\"}").await, 1.0);
}

#[tokio::test]
async fn a_new_version_is_never_served_in_an_old_coding() {
    let origin = Origin::start().await;
    origin.each("/p", |nth| {
        let body = format!("{}<p>version {nth}</p>", page());
        Reply::ok(body).header("Content-Type", "text/html").cache_control("s-maxage=1, stale-while-revalidate=60")
    });
    let edge = Edge::start(&origin).await;
    let mut newest = 0;
    until("five versions were seen", async || {
        let answer = asking(&edge, "/p", "br").await;
        let text = match answer.field("content-encoding") {
            Some(coding) => decoded(&coding, &answer.body),
            None => answer.text(),
        };
        let version = text.rsplit_once("version ").unwrap().1.trim_end_matches("</p>").parse().unwrap();
        assert!(version >= newest, "version {version} after {newest}");
        newest = version;
        newest >= 4
    })
    .await;
}

#[tokio::test]
async fn passed_answers_are_coded_on_their_way() {
    let origin = Origin::start().await;
    origin.page("/me", &page()).header("Content-Type", "text/html").cache_control("private").etag("\"mine\"");
    let edge = Edge::start(&origin).await;
    for (accepted, coding) in [(BROWSER, "zstd"), ("br", "br"), ("gzip", "gzip")] {
        let mine = asking(&edge, "/me", accepted).cookie("session=1").await;
        mine.status(200)
            .header("Content-Encoding", coding)
            .header("ETag", &format!("W/\"mine~{coding}\""))
            .header("Vary", "accept-encoding");
        mine.no_header("Content-Length");
        assert_eq!(decoded(coding, &mine.body), page());
    }
    let plain = edge.get("/me").cookie("session=1").await;
    plain.is(&page()).header("ETag", "\"mine\"").header("Vary", "accept-encoding");
    let posted = edge.post("/me", "x").header("Accept-Encoding", "gzip").await;
    assert_eq!(decoded("gzip", &posted.header("Content-Encoding", "gzip").body), page());
    let head = edge.head("/me").cookie("session=1").header("Accept-Encoding", "gzip").await;
    head.status(200).is("").no_header("Content-Encoding");
}

#[tokio::test]
async fn what_the_origin_has_coded_itself_is_passed_as_it_is() {
    let origin = Origin::start().await;
    let mut coder = flate2::read::GzEncoder::new(page().into_bytes().leak() as &[u8], flate2::Compression::fast());
    let mut coded = Vec::new();
    coder.read_to_end(&mut coded).unwrap();
    let body = coded.clone();
    origin.dynamic("/me", move |_| {
        Reply::ok(body.clone())
            .header("Content-Type", "text/html")
            .header("Content-Encoding", "gzip")
            .cache_control("private")
    });
    let edge = Edge::start(&origin).await;
    let mine = asking(&edge, "/me", BROWSER).cookie("session=1").await;
    assert!(mine.header("Content-Encoding", "gzip").body == coded);
}

#[tokio::test]
async fn a_coded_stream_is_not_held_back() {
    let origin = Origin::start().await;
    let edge = Edge::start(&origin).await;
    for coding in ["gzip", "br", "zstd"] {
        let events = origin.page("/me", "").header("Content-Type", "text/html").cache_control("private").tapped();
        let mut client = edge.raw().await;
        let head = format!("GET /me HTTP/1.1\r\nHost: {HOST}\r\nCookie: a=1\r\nAccept-Encoding: {coding}\r\n\r\n");
        client.send(head).await;
        let first = "<p>the first piece of the page</p>".repeat(3);
        events.send(&first);
        client.head().await.status(200).header("Content-Encoding", coding).header("Transfer-Encoding", "chunked");
        // All of the first piece can be read before there is a second.
        let mut got = Vec::new();
        while so_far(coding, &got) != first {
            got.extend(client.chunk().await);
        }
        events.send("<p>the end</p>");
        events.end();
        loop {
            let chunk = client.chunk().await;
            if chunk.is_empty() {
                break;
            }
            got.extend(chunk);
        }
        assert_eq!(decoded(coding, &got), format!("{first}<p>the end</p>"));
    }
}

/// What can be decoded of the beginning of a body.
fn so_far(coding: &str, body: &[u8]) -> String {
    let mut text = Vec::new();
    let mut reader: Box<dyn Read + '_> = match coding {
        "gzip" => Box::new(flate2::read::GzDecoder::new(body)),
        "br" => Box::new(brotli::Decompressor::new(body, 4096)),
        _ => Box::new(zstd::stream::read::Decoder::new(body).unwrap()),
    };
    let mut byte = [0];
    while matches!(reader.read(&mut byte), Ok(1)) {
        text.push(byte[0]);
    }
    String::from_utf8(text).unwrap()
}

/// A fill asks the origin for the bytes as they are: nobody else would code what is validated on every visit.
#[tokio::test]
async fn a_page_that_is_validated_on_every_visit_is_coded_too() {
    let origin = Origin::start().await;
    let says = "public, max-age=0, must-revalidate";
    origin.page("/p", &page()).header("Content-Type", "text/html").cache_control(says).etag("\"v1\"");
    for edge in [Edge::start(&origin).await, Edge::with_config(&origin, &[PLAIN, "profile: rfc9111\n"].concat()).await]
    {
        let coded = in_coding(&edge, "/p", BROWSER, "zstd").await;
        coded.cache_status("fwd=stale; fwd-status=304").header("ETag", "\"v1~zstd\"");
        assert_eq!(decoded("zstd", &coded.body), page());
    }
}

/// Also under the profile that remembers of no page that it may not be stored.
#[tokio::test]
async fn what_a_fill_brings_for_its_visitor_alone_is_coded_on_its_way() {
    let origin = Origin::start().await;
    for (path, length) in [("/length", true), ("/chunked", false)] {
        let reply = Reply::ok(page()).header("Content-Type", "text/html").cache_control("private").etag("\"mine\"");
        origin.answers(path, if length { reply } else { reply.chunked() });
    }
    let edge = Edge::with_config(&origin, &[PLAIN, "profile: rfc9111\n"].concat()).await;
    for (accepted, coding) in [(BROWSER, "zstd"), ("identity;q=0, br", "br"), ("gzip", "gzip")] {
        for path in ["/length", "/chunked"] {
            let mine = asking(&edge, path, accepted).await;
            mine.cache_status("fwd=uri-miss").header("Content-Encoding", coding).no_header("Content-Length");
            mine.header("ETag", &format!("W/\"mine~{coding}\"")).header("Vary", "accept-encoding");
            assert_eq!(decoded(coding, &mine.body), page());
        }
    }
    edge.get("/length").await.is(&page()).no_header("Content-Encoding").header("ETag", "\"mine\"");
    let mut old = edge.raw().await;
    old.send(format!("GET /length HTTP/1.0\r\nHost: {HOST}\r\nAccept-Encoding: gzip\r\n\r\n")).await;
    assert_eq!(decoded("gzip", &old.response().await.header("Content-Encoding", "gzip").body), page());
}
