//! Whose page is it? What a visitor sends beyond the key is never stored for others, and never lost to himself
//! (semantics 1-6, 11, 33, 45-47, 49).

use crate::dsl::{Edge, Origin, PLAIN, Reply, SHORT, Seen, until};
use std::sync::atomic::{AtomicUsize, Ordering};

const FRESH: &str = "s-maxage=60";
const ISR: &str = "routes:\n  - name: pages\n    match: /isr/**\n    revalidate: 60s\n";

#[tokio::test]
async fn a_members_page_is_his_alone() {
    let origin = Origin::start().await;
    origin.dynamic("/p", |seen| match seen.field("cookie") {
        Some(cookie) => Reply::ok(format!("hello {cookie}")).cache_control("private"),
        None => Reply::ok("hello all").cache_control(FRESH),
    });
    let edge = Edge::start(&origin).await;
    edge.get("/p").cookie("session=anna").await.is("hello session=anna");
    edge.get("/p").cookie("session=bert").await.is("hello session=bert");
    edge.stored("/p").await.is("hello all");
    // Once the origin has said that it may be shared, everybody gets it.
    edge.get("/p").cookie("session=anna").await.is("hello all").cache_status("hit");
}

#[tokio::test]
async fn a_page_behind_a_login_is_never_stored_from_a_members_request() {
    let origin = Origin::start().await;
    // A static page gated by middleware: whoever is let in is told that it may be shared for a year.
    origin.dynamic("/gated", |seen| match seen.field("cookie") {
        Some(_) => Reply::ok("the secret").cache_control("s-maxage=31536000"),
        None => Reply::ok("").status(307).header("Location", "/login"),
    });
    let edge = Edge::start(&origin).await;
    for _ in 0..3 {
        edge.get("/gated").cookie("session=anna").await.status(200).is("the secret");
        edge.get("/gated").await.status(307).is("").header("Location", "/login");
        edge.get("/gated").cookie("visitor=1").await.is("the secret");
        edge.head("/gated").await.status(307);
    }
}

#[tokio::test]
async fn authorization_makes_a_request_personal() {
    let origin = Origin::start().await;
    let page = |seen: &Seen| match seen.field("authorization") {
        Some(token) => Reply::ok(token).cache_control(FRESH),
        None => Reply::ok("who are you?").status(401),
    };
    origin.dynamic("/p", page);
    origin.dynamic("/isr/p", page);
    let edge = Edge::with_config(&origin, &[PLAIN, ISR].concat()).await;
    for path in ["/p", "/isr/p"] {
        edge.get(path).header("Authorization", "Bearer one").await.status(200).is("Bearer one");
        edge.get(path).await.status(401);
        edge.get(path).header("Authorization", "Bearer two").await.status(200).is("Bearer two");
    }
}

#[tokio::test]
async fn unknown_fields_make_a_request_personal_and_reach_the_origin() {
    let origin = Origin::start().await;
    origin.dynamic("/p", |seen| {
        Reply::ok(seen.field("x-tenant").unwrap_or_else(|| "none".to_owned())).cache_control(FRESH)
    });
    let edge = Edge::start(&origin).await;
    edge.get("/p").header("X-Tenant", "a").await.is("a");
    edge.stored("/p").await.is("none");
}

#[tokio::test]
async fn analytics_cookies_are_nobodys() {
    let origin = Origin::start().await;
    origin.page("/p", "x").cache_control(FRESH);
    let edge = Edge::start(&origin).await;
    edge.get("/p").cookie("_ga=GA1.2.3; _gid=4; _fbp=fb.1").await.is("x").cache_status("fwd=uri-miss");
    edge.stored("/p").await;
    assert_eq!(origin.count("/p"), 1);
    assert_eq!(origin.last("/p").field("cookie"), None);
}

#[tokio::test]
async fn set_cookie_keeps_a_header_driven_page_out_of_the_store() {
    let origin = Origin::start().await;
    let next = AtomicUsize::new(1);
    origin.dynamic("/p", move |_| {
        let session = format!("sid={}", next.fetch_add(1, Ordering::SeqCst));
        Reply::ok("page").cache_control(FRESH).header("Set-Cookie", &session)
    });
    let edge = Edge::start(&origin).await;
    for n in 1..=4 {
        let answer = edge.get("/p").await;
        answer.is("page").header("Set-Cookie", &format!("sid={n}"));
        assert!(!answer.is_hit());
    }
    edge.metric_reaches("larder_uncacheable_total{reason=set-cookie}", 1.0).await;
}

#[tokio::test]
async fn set_cookie_is_stripped_from_isr_pages() {
    let origin = Origin::start().await;
    origin.page("/isr/p", "page").header("Set-Cookie", "basket_id=1").header("X-Kept", "1");
    let edge = Edge::with_config(&origin, &[PLAIN, ISR].concat()).await;
    edge.get("/isr/p").await.is("page").no_header("Set-Cookie").header("X-Kept", "1");
    edge.stored("/isr/p").await.is("page").no_header("Set-Cookie");
    assert_eq!(origin.count("/isr/p"), 1);
    until("the log names the cookie", async || edge.larder.stderr().contains("basket_id")).await;
}

#[tokio::test]
async fn a_private_answer_on_an_isr_route_goes_to_its_owner_as_it_is() {
    let origin = Origin::start().await;
    origin.dynamic("/isr/cart", |seen| {
        let who = seen.field("cookie").unwrap_or_else(|| "nobody".to_owned());
        Reply::ok(who).cache_control("private, no-store").header("Set-Cookie", "seen=1")
    });
    let edge = Edge::with_config(&origin, &[PLAIN, ISR].concat()).await;
    for who in ["nobody", "cart=anna", "cart=bert", "nobody"] {
        let request = edge.get("/isr/cart");
        let answer = if who == "nobody" { request.await } else { request.cookie(who).await };
        // Nobody behind us may take it for everybody's.
        answer.is(who).header("Cache-Control", "private, no-store");
        assert!(!answer.is_hit());
    }
    until("the log says what to do", async || edge.larder.stderr().contains("override_origin")).await;
}

#[tokio::test]
async fn a_page_that_became_private_is_dropped() {
    let origin = Origin::start().await;
    origin.page("/p", "everybody's").cache_control("s-maxage=1, stale-while-revalidate=600");
    let edge = Edge::start(&origin).await;
    edge.stored("/p").await;
    origin.dynamic("/p", |seen| Reply::ok(seen.field("cookie").unwrap_or_default()).cache_control("private"));
    edge.first("/p", "it is nobody's any more", |answer| answer.text().is_empty()).await;
    for who in ["session=anna", "session=bert"] {
        edge.get("/p").cookie(who).await.is(who).cache_status("fwd=");
    }
}

#[tokio::test]
async fn draft_mode_neither_reads_nor_writes_the_cache() {
    let origin = Origin::start().await;
    let page = |seen: &Seen| match seen.field("cookie") {
        Some(_) => Reply::ok("draft").cache_control(FRESH),
        None => Reply::ok("published").cache_control(FRESH),
    };
    origin.dynamic("/p", page);
    origin.dynamic("/isr/p", page);
    let edge = Edge::with_config(&origin, &[PLAIN, ISR].concat()).await;
    for path in ["/p", "/isr/p"] {
        edge.get(path).cookie("__prerender_bypass=secret").await.is("draft").cache_status("fwd=bypass");
        edge.stored(path).await.is("published");
        edge.get(path).cookie("a=1; __prerender_bypass=secret").await.is("draft").cache_status("fwd=bypass");
        edge.get(path).await.is("published").cache_status("hit");
    }
}

#[tokio::test]
async fn bypass_when_passes_by_cookies_headers_and_query() {
    let origin = Origin::start().await;
    origin.page("/p", "x").cache_control(FRESH);
    let defaults = "defaults:\n  bypass_when: { cookies: [\"wp-*\"], headers: [X-Debug], query: [preview] }\n";
    let edge = Edge::with_config(&origin, &[PLAIN, defaults].concat()).await;
    edge.stored("/p").await;
    let bypassing =
        [edge.get("/p").cookie("wp-login=1"), edge.get("/p").header("X-Debug", "1"), edge.get("/p?preview=1")];
    for (n, request) in bypassing.into_iter().enumerate() {
        request.await.is("x").cache_status("fwd=bypass");
        assert_eq!(origin.count("/p"), n + 2);
    }
    edge.get("/p").cookie("wp=1").await.cache_status("hit");
}

#[tokio::test]
async fn a_bypass_route_is_never_stored() {
    let origin = Origin::start().await;
    origin.page("/api/x", "x").cache_control(FRESH);
    let route = "routes:\n  - name: api\n    match: /api/**\n    bypass: true\n";
    let edge = Edge::with_config(&origin, &[PLAIN, route].concat()).await;
    for n in 1..=3 {
        edge.get("/api/x").await.is("x").cache_status("fwd=bypass").header("Cache-Control", FRESH);
        assert_eq!(origin.count("/api/x"), n);
    }
}

#[tokio::test]
async fn vary_selects_variants_after_normalisation() {
    let origin = Origin::start().await;
    origin.dynamic("/p", |seen| {
        let language = seen.field("accept-language").unwrap_or_else(|| "none".to_owned());
        Reply::ok(language.to_ascii_lowercase()).cache_control(FRESH).header("Vary", "Accept-Language, Accept-Encoding")
    });
    let edge = Edge::start(&origin).await;
    edge.stored("/p").await.is("none");
    for language in ["de, en", "fr"] {
        let get = || edge.get("/p").header("Accept-Language", language);
        get().await.is(language);
        until("its variant is stored", async || get().await.is_hit()).await;
    }
    for (sent, got) in [("de,en", "de, en"), ("DE , EN", "de, en"), ("fr", "fr")] {
        let again = edge.get("/p").header("Accept-Language", sent).header("Accept-Encoding", "gzip").await;
        again.is(got).cache_status("hit");
    }
    edge.get("/p").await.is("none").cache_status("hit");
    assert_eq!(origin.count("/p"), 3);
    assert!(origin.requests("/p").iter().all(|seen| seen.field("accept-encoding").as_deref() == Some("identity")));
}

#[tokio::test]
async fn vary_on_what_identifies_a_visitor_is_not_stored() {
    let origin = Origin::start().await;
    for name in ["Cookie", "Authorization", "User-Agent", "*"] {
        let path = format!("/{}", name.to_ascii_lowercase());
        origin.page(&path, "x").cache_control(FRESH).header("Vary", name);
    }
    let edge = Edge::start(&origin).await;
    for path in ["/cookie", "/authorization", "/user-agent", "/*"] {
        for n in 1..=2 {
            edge.get(path).await.is("x");
            assert_eq!(origin.count(path), n, "{path}");
        }
    }
}

#[tokio::test]
async fn key_parts_of_an_isr_route_select_and_reach_the_origin() {
    let origin = Origin::start().await;
    origin.everything(|seen| {
        let (cookie, device) = (seen.field("cookie").unwrap_or_default(), seen.field("x-device").unwrap_or_default());
        Reply::ok(format!("{} {cookie} {device}", seen.target))
    });
    let key = "    key: { query: [page], headers: [X-Device], cookies: [lang] }\n";
    let edge = Edge::with_config(&origin, &[SHORT, ISR, key].concat()).await;
    let asking = || edge.get("/isr/p?page=2&x=1").header("X-Device", "phone");
    asking().cookie("lang=de; session=1").await.is("/isr/p?page=2 lang=de phone");
    edge.stored("/isr/p").await.is("/isr/p  ");
    asking().cookie("other=1; lang=de").await.is("/isr/p?page=2 lang=de phone").cache_status("hit");
    asking().cookie("lang=en").await.is("/isr/p?page=2 lang=en phone").cache_status("fwd=uri-miss");
    assert_eq!(origin.count("/isr/p"), 3);
}

#[tokio::test]
async fn tracking_parameters_are_one_page_and_never_sent() {
    let origin = Origin::start().await;
    origin.everything(|seen| Reply::ok(seen.target.clone()).cache_control(FRESH));
    let edge = Edge::with_config(&origin, &[PLAIN, ISR].concat()).await;
    edge.get("/p?utm_source=a&utm_medium=b").await.is("/p");
    edge.stored("/p").await.is("/p");
    edge.get("/p?gclid=1").await.is("/p").cache_status("hit");
    edge.get("/p?fbclid=1&id=7&utm_term=x").await.is("/p?id=7");
    edge.get("/isr/p?anything=1&utm_source=x").await.is("/isr/p");
    edge.stored("/isr/p").await;
    edge.get("/isr/p?id=2").await.is("/isr/p").cache_status("hit");
    assert!(!origin.heard("utm_") && !origin.heard("anything"));
}

#[tokio::test]
async fn rsc_and_html_never_swap() {
    let origin = Origin::start().await;
    let page = |seen: &Seen| match seen.field("rsc") {
        Some(_) => Reply::ok("0:flight").header("Content-Type", "text/x-component").cache_control(FRESH),
        None => Reply::ok("<html>").header("Content-Type", "text/html").cache_control(FRESH),
    };
    origin.dynamic("/p", page);
    origin.dynamic("/isr/p", page);
    // One that mixes them up.
    origin.page("/broken", "0:flight").header("Content-Type", "text/x-component").cache_control(FRESH);
    let edge = Edge::with_config(&origin, &[PLAIN, ISR].concat()).await;
    for path in ["/p", "/isr/p"] {
        edge.get(path).header("RSC", "1").await.is("0:flight");
        edge.stored(path).await.is("<html>");
        edge.get(path).header("RSC", "1").await.is("0:flight").cache_status("hit");
        edge.get(path).header("RSC", "1").header("Next-Router-Prefetch", "1").await.cache_status("fwd=uri-miss");
        assert_eq!(origin.count(path), 3, "{path}");
        assert_eq!(origin.last(path).field("next-router-prefetch").as_deref(), Some("1"));
    }
    for n in 1..=2 {
        edge.get("/broken").await.is("0:flight");
        assert_eq!(origin.count("/broken"), n, "not stored without RSC");
    }
}
