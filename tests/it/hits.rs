//! What is stored, and what clients get of it (semantics 7-13, 41, 44, 45, 48, 50, 51).

use crate::dsl::{Edge, HOST, Origin, PLAIN, Reply};

const FRESH: &str = "s-maxage=60";

/// A route whose pages are fresh for a minute.
const ISR: &str = "routes:\n  - name: pages\n    match: /isr/**\n    revalidate: 60s\n";

#[tokio::test]
async fn a_fresh_page_is_answered_without_the_origin() {
    let origin = Origin::start().await;
    origin.page("/p", "v1").cache_control(FRESH).header("X-Made-By", "origin");
    let edge = Edge::start(&origin).await;
    edge.get("/p").await.status(200).is("v1").cache_status("fwd=uri-miss").cache_status("stored");
    edge.stored("/p").await;
    for _ in 0..20 {
        let hit = edge.get("/p").await;
        hit.status(200).is("v1").cache_status("hit; ttl=").header("X-Made-By", "origin").header("Cache-Control", FRESH);
    }
    assert_eq!(origin.count("/p"), 1);
}

#[tokio::test]
async fn age_goes_on_from_what_the_origin_told() {
    let origin = Origin::start().await;
    origin.page("/old", "x").cache_control("s-maxage=1000").header("Age", "100");
    origin.page("/new", "x").cache_control("s-maxage=1000");
    let edge = Edge::start(&origin).await;
    let old = edge.stored("/old").await.age().unwrap();
    assert!((100..130).contains(&old), "Age: {old}");
    let new = edge.stored("/new").await.age().unwrap();
    assert!(new < 30, "Age: {new}");
    edge.get("/old").await.header_has("Date", "GMT");
}

#[tokio::test]
async fn cache_status_is_appended_to_the_origins_own() {
    let origin = Origin::start().await;
    origin.page("/p", "x").cache_control(FRESH).header("Cache-Status", "inner; hit");
    let edge = Edge::start(&origin).await;
    edge.get("/p").await.header_has("Cache-Status", "inner; hit").cache_status("fwd=uri-miss");
    edge.stored("/p").await.header_has("Cache-Status", "inner; hit");
}

#[tokio::test]
async fn head_is_answered_from_the_get_entry() {
    let origin = Origin::start().await;
    origin.page("/p", "twelve bytes").cache_control(FRESH);
    let edge = Edge::start(&origin).await;
    edge.stored("/p").await;
    edge.head("/p").await.status(200).is("").header("Content-Length", "12").cache_status("hit");
    assert_eq!(origin.count("/p"), 1);
}

#[tokio::test]
async fn a_cold_head_fills_with_a_get() {
    let origin = Origin::start().await;
    origin.page("/p", "body").cache_control(FRESH);
    let edge = Edge::start(&origin).await;
    edge.head("/p").await.status(200).is("");
    edge.stored("/p").await.is("body");
    assert_eq!(origin.count("/p"), 1);
    assert_eq!(origin.last("/p").method, "GET");
}

#[tokio::test]
async fn a_client_that_has_the_page_gets_304() {
    let origin = Origin::start().await;
    origin.page("/p", "v1").cache_control(FRESH).header("ETag", "W/\"one\"").header("X-Other", "1");
    let edge = Edge::start(&origin).await;
    edge.stored("/p").await;
    for tag in ["W/\"one\"", "\"one\"", "\"zero\", \"one\"", "*"] {
        let answer = edge.get("/p").header("If-None-Match", tag).await;
        answer.status(304).is("").header("ETag", "W/\"one\"").header("Cache-Control", FRESH).cache_status("hit");
    }
    edge.head("/p").header("If-None-Match", "\"one\"").await.status(304);
    edge.get("/p").header("If-None-Match", "\"two\"").await.status(200).is("v1");
    // If-None-Match decides alone.
    let both = edge.get("/p").header("If-None-Match", "\"two\"").header("If-Modified-Since", LATER);
    both.await.status(200).is("v1");
    assert_eq!(origin.count("/p"), 1);
}

const WHEN: &str = "Wed, 21 Oct 2015 07:28:00 GMT";
const EARLIER: &str = "Tue, 20 Oct 2015 07:28:00 GMT";
const LATER: &str = "Thu, 22 Oct 2015 07:28:00 GMT";

#[tokio::test]
async fn if_modified_since_is_answered_from_last_modified() {
    let origin = Origin::start().await;
    origin.page("/p", "v1").cache_control(FRESH).header("Last-Modified", WHEN);
    let edge = Edge::start(&origin).await;
    edge.stored("/p").await;
    edge.get("/p").header("If-Modified-Since", WHEN).await.status(304).is("");
    edge.get("/p").header("If-Modified-Since", LATER).await.status(304).is("");
    edge.get("/p").header("If-Modified-Since", EARLIER).await.status(200).is("v1");
    edge.get("/p").header("If-Modified-Since", "yesterday").await.status(200).is("v1");
}

#[tokio::test]
async fn an_isr_page_without_an_etag_gets_a_strong_one_from_its_body() {
    let origin = Origin::start().await;
    origin.page("/isr/a", "same");
    origin.page("/isr/b", "same");
    origin.page("/isr/c", "other");
    let edge = Edge::with_config(&origin, &[PLAIN, ISR].concat()).await;
    let tag = edge.stored("/isr/a").await.field("ETag").unwrap();
    assert!(tag.starts_with('"') && tag.len() > 2, "{tag}");
    edge.stored("/isr/b").await.header("ETag", &tag);
    assert_ne!(edge.stored("/isr/c").await.field("ETag").unwrap(), tag);
    edge.get("/isr/a").header("If-None-Match", &tag).await.status(304).is("");
}

#[tokio::test]
async fn ranges_are_cut_from_the_stored_body() {
    let origin = Origin::start().await;
    origin.page("/p", "0123456789").cache_control(FRESH).header("ETag", "\"t\"");
    let edge = Edge::start(&origin).await;
    edge.stored("/p").await;
    for (range, part, told) in [
        ("bytes=0-3", "0123", "bytes 0-3/10"),
        ("bytes=4-", "456789", "bytes 4-9/10"),
        ("bytes=-2", "89", "bytes 8-9/10"),
        ("bytes=8-100", "89", "bytes 8-9/10"),
        ("bytes=-100", "0123456789", "bytes 0-9/10"),
    ] {
        let answer = edge.get("/p").header("Range", range).await;
        answer.status(206).is(part).header("Content-Range", told).cache_status("hit");
    }
    for range in ["bytes=10-", "bytes=99-100", "bytes=-0"] {
        edge.get("/p").header("Range", range).await.status(416).header("Content-Range", "bytes */10");
    }
    for ignored in ["bytes=5-3", "bytes=x-", "lines=1-2", "bytes=0-1,3-4"] {
        edge.get("/p").header("Range", ignored).await.status(200).is("0123456789");
    }
    edge.get("/p").header("Range", "bytes=0-1").header("If-Range", "\"t\"").await.status(206).is("01");
    edge.get("/p").header("Range", "bytes=0-1").header("If-Range", "\"u\"").await.status(200).is("0123456789");
    assert_eq!(origin.count("/p"), 1);
}

#[tokio::test]
async fn a_range_of_an_absent_page_passes_untouched_and_is_not_stored() {
    let origin = Origin::start().await;
    origin.dynamic("/p", |seen| match seen.field("range") {
        Some(_) => Reply::ok("01").status(206).header("Content-Range", "bytes 0-1/10").cache_control(FRESH),
        None => Reply::ok("0123456789").cache_control(FRESH),
    });
    let edge = Edge::start(&origin).await;
    let part = edge.get("/p").header("Range", "bytes=0-1").await;
    part.status(206).is("01").header("Content-Range", "bytes 0-1/10").cache_status("fwd=");
    assert_eq!(origin.requests("/p")[0].field("range").as_deref(), Some("bytes=0-1"));
    edge.stored("/p").await.status(200).is("0123456789");
    assert_eq!(origin.last("/p").field("range"), None);
}

#[tokio::test]
async fn only_if_cached_gets_what_is_stored_or_504() {
    let origin = Origin::start().await;
    origin.page("/p", "v1").cache_control(FRESH);
    let edge = Edge::start(&origin).await;
    let asking = || edge.get("/p").header("Cache-Control", "only-if-cached");
    asking().await.status(504).header_has("Cache-Control", "no-store");
    assert_eq!(origin.count("/p"), 0);
    edge.stored("/p").await;
    asking().await.status(200).is("v1").cache_status("hit");
}

#[tokio::test]
async fn a_client_cannot_force_a_refresh() {
    let origin = Origin::start().await;
    origin.page("/p", "v1").cache_control(FRESH);
    let edge = Edge::start(&origin).await;
    edge.stored("/p").await;
    for (name, value) in
        [("Cache-Control", "no-cache"), ("Cache-Control", "max-age=0, no-store"), ("Pragma", "no-cache")]
    {
        edge.get("/p").header(name, value).await.is("v1").cache_status("hit");
    }
    assert_eq!(origin.count("/p"), 1);
}

#[tokio::test]
async fn response_headers_are_on_every_answer_in_the_place_of_the_origins() {
    let origin = Origin::start().await;
    origin.page("/p", "v1").cache_control(FRESH).header("X-Frame-Options", "SAMEORIGIN");
    let defaults = "defaults:\n  response_headers: { X-Frame-Options: DENY, X-Served: larder }\n";
    let edge = Edge::with_config(&origin, &[PLAIN, defaults].concat()).await;
    for answer in [edge.get("/p").await, edge.stored("/p").await, edge.post("/p", "x").await] {
        answer.status(200).header("X-Frame-Options", "DENY").header("X-Served", "larder");
    }
}

#[tokio::test]
async fn browsers_ask_again_for_isr_pages_and_may_be_told_otherwise() {
    let origin = Origin::start().await;
    origin.page("/isr/p", "v1").cache_control("s-maxage=5, stale-while-revalidate");
    origin.page("/own/p", "v1");
    let own =
        "  - name: own\n    match: /own/**\n    revalidate: 60s\n    browser_cache_control: \"public, max-age=30\"\n";
    let edge = Edge::with_config(&origin, &[PLAIN, ISR, own].concat()).await;
    for answer in [edge.get("/isr/p").await, edge.stored("/isr/p").await] {
        answer.header("Cache-Control", "public, max-age=0, must-revalidate");
    }
    edge.stored("/own/p").await.header("Cache-Control", "public, max-age=30");
}

#[tokio::test]
async fn what_is_meant_for_caches_does_not_reach_the_client() {
    let origin = Origin::start().await;
    let names = ["Cache-Tag", "Surrogate-Key", "xkey", "x-next-cache-tags", "x-nextjs-cache", "Surrogate-Control"];
    let reply = names.iter().fold(Reply::ok("v1").cache_control(FRESH), |reply, name| reply.header(name, "max-age=60"));
    origin.answers("/p", reply);
    let edge = Edge::start(&origin).await;
    for answer in [edge.get("/p").await, edge.stored("/p").await] {
        for name in names {
            answer.no_header(name);
        }
        answer.header("Cache-Control", FRESH);
    }
}

#[tokio::test]
async fn a_targeted_field_replaces_cache_control() {
    let origin = Origin::start().await;
    origin.page("/cdn", "x").cache_control("no-store").header("CDN-Cache-Control", "max-age=60");
    origin.page("/ours", "x").header("CDN-Cache-Control", "no-store").header("Larder-Cache-Control", "max-age=60");
    origin.page("/off", "x").cache_control(FRESH).header("CDN-Cache-Control", "no-store");
    origin.page("/broken", "x").cache_control(FRESH).header("CDN-Cache-Control", "no-store=;;");
    let edge = Edge::start(&origin).await;
    for path in ["/cdn", "/ours", "/broken"] {
        edge.stored(path).await;
        assert_eq!(origin.count(path), 1, "{path}");
    }
    for n in 1..=3 {
        edge.get("/off").await.is("x").cache_status("fwd=");
        assert_eq!(origin.count("/off"), n);
    }
}

#[tokio::test]
async fn without_a_lifetime_nothing_is_stored() {
    let origin = Origin::start().await;
    origin.page("/none", "x");
    origin.page("/zero", "x").cache_control("max-age=0");
    origin.page("/no-store", "x").cache_control("no-store, max-age=60");
    origin.page("/private", "x").cache_control("private, max-age=60");
    origin.page("/star", "x").cache_control(FRESH).header("Vary", "*");
    origin.page("/found", "x").status(302).header("Location", "/elsewhere");
    let edge = Edge::start(&origin).await;
    for path in ["/none", "/zero", "/no-store", "/private", "/star", "/found"] {
        for n in 1..=3 {
            edge.get(path).await.is("x").cache_status("fwd=");
            assert_eq!(origin.count(path), n, "{path}");
        }
    }
}

#[tokio::test]
async fn permanent_redirects_and_404s_are_stored_for_their_lifetime() {
    let origin = Origin::start().await;
    origin.page("/moved", "").status(308).header("Location", "/new").cache_control(FRESH);
    origin.page("/gone", "not here").status(404).cache_control(FRESH);
    origin.page("/login", "").status(307).header("Location", "/x").cache_control(FRESH);
    let edge = Edge::start(&origin).await;
    edge.stored("/moved").await.status(308).header("Location", "/new");
    edge.stored("/gone").await.status(404).is("not here");
    edge.stored("/login").await.status(307).header("Location", "/x");
    assert_eq!(origin.total(), 3);
}

#[tokio::test]
async fn a_body_that_outgrows_max_object_is_delivered_and_not_stored() {
    let origin = Origin::start().await;
    let large = "x".repeat(50_000);
    origin.page("/length", &large).cache_control(FRESH);
    origin.page("/chunked", &large).cache_control(FRESH).chunked();
    origin.page("/small", "x").cache_control(FRESH);
    let store = "store:\n  memory: { max_object: 16KiB }\n";
    let edge = Edge::with_config(&origin, &[PLAIN, store].concat()).await;
    for path in ["/length", "/chunked"] {
        for _ in 0..2 {
            let answer = edge.get(path).await;
            answer.status(200).is(&large);
            assert!(!answer.is_hit());
        }
        assert_eq!(origin.count(path), 2);
    }
    edge.stored("/small").await;
}

#[tokio::test]
async fn different_queries_and_trailing_slashes_are_different_pages() {
    let origin = Origin::start().await;
    origin.everything(|seen| Reply::ok(seen.target.clone()).cache_control(FRESH));
    let edge = Edge::start(&origin).await;
    for target in ["/x", "/x/", "/x?a=1", "/x?a=2", "/x?a=1&b=2", "/X", "/%78"] {
        edge.stored(target).await.is(target);
    }
    assert_eq!(origin.total(), 7);
}

#[tokio::test]
async fn the_host_is_part_of_the_key_without_case_and_default_port() {
    let origin = Origin::start().await;
    origin.dynamic("/p", |seen| Reply::ok(seen.field("host").unwrap()).cache_control(FRESH));
    let edge = Edge::start(&origin).await;
    edge.stored("/p").await.is(HOST);
    edge.get("/p").host("SITE.test:80").await.is(HOST).cache_status("hit");
    edge.get("/p").host("other.test").await.is("other.test").cache_status("fwd=uri-miss");
    edge.get("/p").host("site.test:8080").await.is("site.test:8080").cache_status("fwd=uri-miss");
}

#[tokio::test]
async fn an_encoded_body_never_reaches_a_client_that_did_not_ask_for_it() {
    // "hello"; the origin sends it whatever it is asked for.
    const GZIP: [u8; 25] =
        [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 0xff, 0xcb, 0x48, 0xcd, 0xc9, 0xc9, 7, 0, 0x86, 0xa6, 0x10, 0x36, 5, 0, 0, 0];
    let origin = Origin::start().await;
    let encoded = Reply::ok(&GZIP[..]).header("Content-Encoding", "gzip").cache_control(FRESH);
    origin.answers("/p", encoded.header("Vary", "Accept-Encoding"));
    let edge = Edge::start(&origin).await;
    let asking = edge.get("/p").header("Accept-Encoding", "gzip").await;
    assert!(asking.body == GZIP || asking.text() == "hello", "{asking:?}");
    for _ in 0..2 {
        edge.get("/p").await.is("hello").no_header("Content-Encoding");
    }
}
