//! `profile: rfc9111`: a plain HTTP cache on routes without a `revalidate` (docs/conformance.md has the public suite's word).

use crate::dsl::{Crowd, Edge, Origin, Reply, until};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const CONFIG: &str = "listen: {listen}\norigin: {origin}\nadmin: { listen: {admin} }\nprofile: rfc9111\n\
                      logging: { access: { output: off } }\n\
                      routes: [{ match: /isr/**, revalidate: 1h }]\n";
const FRESH: &str = "max-age=600";

async fn larder(origin: &Origin) -> Edge {
    Edge::with_config(origin, CONFIG).await
}

#[tokio::test]
async fn the_origin_sees_what_the_visitor_sent_but_for_his_connection_and_conditions() {
    let origin = Origin::start().await;
    origin.page("/p", "v1").cache_control(FRESH);
    let edge = larder(&origin).await;
    let visit = edge.get("/p").cookie("a=b").header("X-Any", "thing").header("Cache-Control", "no-transform");
    visit.header("If-None-Match", "\"none\"").header("X-Forwarded-For", "10.0.0.1").await.is("v1");
    let seen = origin.last("/p");
    for (name, value) in [("cookie", "a=b"), ("x-any", "thing"), ("cache-control", "no-transform")] {
        assert_eq!(seen.field(name).as_deref(), Some(value), "{name}");
    }
    assert_eq!(seen.field("if-none-match"), None);
    edge.stored("/p").await;
    edge.get("/p").cookie("c=d").await.is("v1").cache_status("hit; ttl=");
    assert_eq!(origin.count("/p"), 1);
}

#[tokio::test]
async fn cookies_that_are_set_are_stored_and_replayed_and_kept_up_to_date() {
    let origin = Origin::start().await;
    origin.answers("/p", Reply::ok("v1").cache_control("max-age=1").etag("\"1\"").header("Set-Cookie", "a=b"));
    let edge = larder(&origin).await;
    edge.get("/p").await.is("v1").header("Set-Cookie", "a=b");
    edge.stored("/p").await.header("Set-Cookie", "a=b");
    origin.answers("/p", Reply::ok("").status(304).etag("\"1\"").cache_control(FRESH).header("Set-Cookie", "a=c"));
    let answer =
        edge.first("/p", "it was validated", |answer| answer.field("set-cookie").as_deref() == Some("a=c")).await;
    answer.is("v1").status(200);
}

#[tokio::test]
async fn what_may_not_be_stored_goes_to_who_asked_and_is_asked_for_once() {
    let origin = Origin::start().await;
    for (path, reply) in [
        ("/no-store", Reply::ok("mine").cache_control("no-store")),
        ("/private", Reply::ok("mine").cache_control("private, max-age=60")),
        ("/nothing", Reply::ok("mine")),
        ("/part", Reply::ok("mine").status(206).header("Content-Range", "bytes 0-3/10").cache_control(FRESH)),
    ] {
        origin.answers(path, reply);
    }
    let edge = larder(&origin).await;
    for path in ["/no-store", "/private", "/nothing", "/part"] {
        for n in 1..=2 {
            edge.get(path).cookie("a=b").await.is("mine").cache_status("fwd=uri-miss");
            assert_eq!(origin.count(path), n, "{path}");
        }
    }
    // Not remembered as such: it is stored as soon as it may be.
    origin.page("/private", "everybody's").cache_control(FRESH);
    edge.get("/private").await.is("everybody's");
    edge.stored("/private").await.is("everybody's");
}

#[tokio::test]
async fn nobody_gets_an_answer_that_was_for_another() {
    let origin = Origin::start().await;
    origin.dynamic("/p", |seen| {
        let name = seen.field("cookie").unwrap_or_default();
        Reply::ok(name).cache_control("private, max-age=60").delay(Duration::from_millis(50))
    });
    let edge = larder(&origin).await;
    let names: Vec<String> = (0..20).map(|n| format!("name={n}")).collect();
    let answers = Crowd::of(names.iter().map(|name| edge.get("/p").cookie(name))).answers().await;
    for (name, answer) in names.iter().zip(answers) {
        answer.is(name);
    }
}

#[tokio::test]
async fn with_authorization_only_what_is_said_to_be_everybodys_is_shared() {
    let origin = Origin::start().await;
    let shared =
        [("/public", "public, max-age=600"), ("/s-maxage", "s-maxage=600"), ("/must", "must-revalidate, max-age=600")];
    origin.page("/own", "mine").cache_control(FRESH);
    for (path, control) in shared {
        origin.page(path, "all").cache_control(control);
    }
    let edge = larder(&origin).await;
    for _ in 0..2 {
        edge.get("/own").header("Authorization", "Basic x").await.is("mine").cache_status("fwd=uri-miss");
    }
    for (path, _) in shared {
        edge.get(path).header("Authorization", "Basic x").await.is("all");
        edge.stored(path).await.is("all");
    }
}

#[tokio::test]
async fn an_error_with_a_lifetime_is_stored_and_never_in_place_of_a_good_page() {
    let origin = Origin::start().await;
    origin.answers("/down", Reply::ok("oops").status(503).cache_control(FRESH));
    origin.page("/p", "good").cache_control("max-age=1");
    let edge = larder(&origin).await;
    edge.get("/down").await.status(503).is("oops");
    edge.stored("/down").await.status(503).is("oops");
    edge.get("/p").await.is("good");
    origin.answers("/p", Reply::ok("oops").status(503).cache_control(FRESH));
    origin.asked("/p", 1).await;
    let answer = edge.first("/p", "it is stale", |answer| !answer.is_hit() || answer.is_stale()).await;
    answer.status(200).is("good");
}

#[tokio::test]
async fn a_write_has_the_pages_that_its_answer_names_validated() {
    let origin = Origin::start().await;
    for path in ["/list", "/item", "/other"] {
        origin.page(path, "v1").cache_control(FRESH);
    }
    let created = Reply::ok("").status(201).header("Location", "/item").header("Content-Location", "/list");
    origin.answers("/form", created);
    let edge = larder(&origin).await;
    for path in ["/list", "/item", "/other"] {
        edge.stored(path).await;
    }
    edge.post("/form", "a=b").await.status(201);
    for path in ["/list", "/item"] {
        edge.get(path).await.cache_status("fwd=stale");
    }
    edge.get("/other").await.cache_status("hit; ttl=");
}

#[tokio::test]
async fn isr_routes_are_as_ever() {
    let origin = Origin::start().await;
    origin.answers("/isr/p", Reply::ok("v1").header("Set-Cookie", "a=b"));
    let edge = larder(&origin).await;
    edge.get("/isr/p").header("X-Any", "thing").await.is("v1").no_header("Set-Cookie");
    assert_eq!(origin.last("/isr/p").field("x-any"), None);
    edge.stored("/isr/p").await;
}

#[tokio::test]
async fn a_body_that_ends_with_its_connection_is_stored_unless_it_was_cut_off() {
    let origin = Origin::start().await;
    origin.answers("/p", Reply::ok("whole").cache_control(FRESH).until_close());
    let cut = format!("HTTP/1.1 200 OK\r\nCache-Control: {FRESH}\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nwho\r\n");
    origin.answers("/cut", Reply::raw(&cut));
    let edge = larder(&origin).await;
    edge.get("/p").await.is("whole");
    edge.stored("/p").await.is("whole").header("Content-Length", "5");
    let _ = edge.get("/cut").send().await;
    origin.page("/cut", "whole").cache_control(FRESH);
    edge.first("/cut", "it is asked for again", |answer| answer.code == 200).await.is("whole");
}

/// RFC 9112, 6.3: of a body in a coding that is not `chunked` the end is that of its connection.
#[tokio::test]
async fn a_transfer_coding_that_nobody_knows_is_none_and_one_that_must_be_undone_is_refused() {
    let head = |framing: &str| format!("HTTP/1.1 200 OK\r\nCache-Control: {FRESH}\r\n{framing}\r\n\r\nbody");
    let origin = Origin::start().await;
    for (path, framing) in [
        ("/nonsense", "Transfer-Encoding: abc"),
        ("/identity", "transfer-encoding: Identity"),
        ("/length", "Transfer-Encoding: abc\r\nContent-Length: 2"),
    ] {
        origin.answers(path, Reply::raw(&head(framing)));
    }
    for (path, framing) in [
        ("/gzip", "Transfer-Encoding: gzip"),
        ("/x-gzip", "Transfer-Encoding: X-GZIP"),
        ("/deflate", "Transfer-Encoding: deflate"),
        ("/list", "Transfer-Encoding: abc, def"),
        ("/lines", "Transfer-Encoding: abc\r\nTransfer-Encoding: def"),
        ("/parameter", "Transfer-Encoding: abc;a=b"),
        ("/empty", "Transfer-Encoding: "),
    ] {
        origin.answers(path, Reply::raw(&head(framing)));
    }
    origin.page("/ok", "ok");
    let edge = larder(&origin).await;
    for path in ["/nonsense", "/identity", "/length"] {
        edge.get(path).await.status(200).is("body");
        edge.stored(path).await.status(200).is("body").no_header("Transfer-Encoding");
    }
    for path in ["/gzip", "/x-gzip", "/deflate", "/list", "/lines", "/parameter", "/empty"] {
        let answer = edge.get(path).await;
        assert_eq!(answer.code, 502, "{path}: {answer:?}");
        // A server that answers now and then keeps its breaker closed.
        edge.post("/ok", "").await.status(200);
    }
    // The other profile takes none of them.
    let other = Edge::start(&origin).await;
    other.get("/nonsense").await.status(502);
}

#[tokio::test]
async fn a_visitor_with_a_favourite_language_gets_what_is_stored_in_it() {
    let origin = Origin::start().await;
    origin.dynamic("/p", |seen| {
        let wanted = seen.field("accept-language").unwrap_or_default();
        let best = if wanted.contains("de") { "de" } else { "fr" };
        let reply = Reply::ok(best).cache_control(FRESH).header("Content-Language", best);
        reply.header("Vary", "Accept-Language, X-Shape")
    });
    let edge = larder(&origin).await;
    let asking = |languages: &str| edge.get("/p").header("Accept-Language", languages).header("X-Shape", "round");
    until("it is stored", async || asking("en, de").await.is("de").is_hit()).await;
    for languages in ["de, en", "de", "fr;q=0.5, de;q=1.0", "DE, *;q=0.1"] {
        asking(languages).await.is("de").cache_status("hit; ttl=");
    }
    assert_eq!(origin.count("/p"), 1);
    // Nothing that is stored is known to be what they would get.
    for languages in ["fr", "en, fr", "de;q=0.5, fr;q=0.5", "de-AT", "*"] {
        asking(languages).await.cache_status("fwd=vary-miss");
    }
    let another = edge.get("/p").header("Accept-Language", "de").header("X-Shape", "square").await;
    another.is("de").cache_status("fwd=vary-miss");
}

#[tokio::test]
async fn every_write_to_a_page_shows_at_once() {
    let origin = Origin::start().await;
    let writes = Arc::new(AtomicUsize::new(0));
    let (counted, shown) = (writes.clone(), writes.clone());
    origin.everything(move |seen| match seen.method.as_str() {
        "GET" => Reply::ok(format!("after {} writes", shown.load(Ordering::SeqCst))).cache_control(FRESH),
        _ => {
            counted.fetch_add(1, Ordering::SeqCst);
            Reply::ok("written")
        }
    });
    let edge = larder(&origin).await;
    edge.stored("/p").await.is("after 0 writes");
    for n in 1..=5 {
        edge.post("/p", "a=b").await.is("written");
        edge.get("/p").await.is(&format!("after {n} writes"));
        edge.stored("/p").await.is(&format!("after {n} writes"));
    }
}
