//! Stale while regenerating, at most one render a window, and what a regeneration may do to a page (semantics 8, 10,
//! 13-21, 23, 30).

use crate::dsl::{Edge, Origin, PLAIN, Reply, SHORT, ms, until};
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::time::Instant;

const SOON_STALE: &str = "s-maxage=1, stale-while-revalidate=600";
const FRESH: &str = "s-maxage=60";
/// A route whose pages are fresh for a second.
const ISR: &str = "routes:\n  - name: pages\n    match: /isr/**\n    revalidate: 1s\n";

#[tokio::test]
async fn a_stale_page_is_answered_at_once_while_one_regeneration_runs() {
    let origin = Origin::start().await;
    origin.page("/p", "v1").cache_control(SOON_STALE);
    let edge = Edge::start(&origin).await;
    edge.stored("/p").await.is("v1");
    let hold = origin.page("/p", "v2").cache_control(FRESH).held();
    edge.until_stale("/p").await.is("v1").status(200).at_once();
    origin.asked("/p", 2).await;
    for _ in 0..30 {
        edge.get("/p").await.is("v1").at_once().cache_status("hit; ttl=");
    }
    assert_eq!(origin.count("/p"), 2, "one regeneration at a time");
    hold.release();
    edge.until_is("/p", "v2").await.cache_status("hit; ttl=");
    for _ in 0..30 {
        edge.get("/p").await.is("v2").cache_status("hit; ttl=");
    }
    assert_eq!(origin.count("/p"), 2, "the window has begun anew");
}

#[tokio::test]
async fn the_origin_renders_at_most_once_a_window() {
    let origin = Origin::start().await;
    origin.page("/p", "x").cache_control(SOON_STALE);
    let edge = Edge::start(&origin).await;
    until("four renders", async || {
        edge.get("/p").await.is("x");
        origin.count("/p") >= 4
    })
    .await;
    let renders = origin.requests("/p");
    for pair in renders.windows(2) {
        let apart = pair[1].at - pair[0].at;
        assert!(apart >= ms(990), "two renders within {apart:?}");
    }
}

#[tokio::test]
async fn without_a_request_nothing_is_regenerated() {
    let origin = Origin::start().await;
    origin.page("/quiet", "x").cache_control(SOON_STALE);
    origin.page("/busy", "x").cache_control(SOON_STALE);
    let edge = Edge::start(&origin).await;
    edge.stored("/quiet").await;
    edge.stored("/busy").await;
    until("two windows of the other page", async || {
        edge.get("/busy").await;
        origin.count("/busy") >= 3
    })
    .await;
    assert_eq!(origin.count("/quiet"), 1);
}

#[tokio::test]
async fn a_bare_stale_while_revalidate_means_a_year() {
    let origin = Origin::start().await;
    origin.page("/p", "v1").cache_control("s-maxage=1, stale-while-revalidate");
    let edge = Edge::start(&origin).await;
    edge.stored("/p").await;
    origin.page("/p", "v2").cache_control(FRESH);
    edge.until_stale("/p").await.is("v1");
    edge.until_is("/p", "v2").await.cache_status("hit");
}

#[tokio::test]
async fn after_a_bare_s_maxage_requests_wait_for_the_validation() {
    let origin = Origin::start().await;
    origin.page("/p", "v1").cache_control("s-maxage=1");
    let edge = Edge::start(&origin).await;
    edge.stored("/p").await;
    origin.page("/p", "v2").cache_control(FRESH);
    // v1 only as long as it is fresh, and the first that is not gets v2.
    let first_new = edge.first("/p", "it is forwarded", |answer| !answer.is_hit() || answer.is_stale()).await;
    first_new.is("v2").cache_status("fwd=stale");
}

#[tokio::test]
async fn a_304_makes_the_page_good_for_another_window() {
    let origin = Origin::start().await;
    origin.page("/p", "v1").cache_control(SOON_STALE).etag("\"one\"").header("X-Run", "1");
    let edge = Edge::start(&origin).await;
    edge.stored("/p").await;
    origin.page("/p", "v1").cache_control(FRESH).etag("\"one\"").header("X-Run", "2");
    edge.until_stale("/p").await.is("v1").header("X-Run", "1");
    let renewed = edge.first("/p", "it is fresh again", |answer| answer.is_hit() && !answer.is_stale()).await;
    renewed.status(200).is("v1").header("X-Run", "2").header("Cache-Control", FRESH).header("Content-Length", "2");
    assert_eq!(origin.count("/p"), 2);
    assert_eq!(origin.last("/p").field("if-none-match").as_deref(), Some("\"one\""));
}

#[tokio::test]
async fn an_expired_page_is_validated_while_the_client_waits() {
    let origin = Origin::start().await;
    origin.page("/p", "v1").cache_control("s-maxage=1").etag("\"one\"");
    let edge = Edge::start(&origin).await;
    edge.stored("/p").await;
    let validated = edge.first("/p", "it is validated", |answer| !answer.is_hit()).await;
    validated.status(200).is("v1").cache_status("fwd=stale").cache_status("fwd-status=304");
}

#[tokio::test]
async fn a_304_for_something_else_is_asked_again_without_conditions() {
    let origin = Origin::start().await;
    origin.page("/p", "v1").cache_control(SOON_STALE).etag("\"one\"");
    let edge = Edge::start(&origin).await;
    edge.stored("/p").await;
    origin.dynamic("/p", |seen| match seen.field("if-none-match") {
        Some(_) => Reply::ok("").status(304).header("ETag", "\"other\""),
        None => Reply::ok("v2").cache_control(FRESH).header("ETag", "\"two\""),
    });
    edge.until_stale("/p").await.is("v1");
    edge.until_is("/p", "v2").await.header("ETag", "\"two\"");
    assert_eq!(origin.count("/p"), 3);
}

#[tokio::test]
async fn conditional_clients_get_304_also_while_the_page_is_stale() {
    let origin = Origin::start().await;
    origin.page("/p", "v1").cache_control(SOON_STALE).header("ETag", "\"one\"");
    let edge = Edge::start(&origin).await;
    edge.stored("/p").await;
    let _hold = origin.page("/p", "v2").cache_control(FRESH).held();
    edge.until_stale("/p").await;
    let answer = edge.get("/p").header("If-None-Match", "\"one\"").await;
    answer.status(304).is("").at_once().cache_status("hit; ttl=");
}

#[tokio::test]
async fn an_isr_page_is_stale_after_its_own_window_whatever_the_origin_says() {
    let origin = Origin::start().await;
    origin.page("/isr/a", "v1").cache_control("s-maxage=31536000");
    origin.page("/isr/b", "v1");
    let edge = Edge::with_config(&origin, &[PLAIN, ISR].concat()).await;
    edge.stored("/isr/a").await.is("v1");
    edge.stored("/isr/b").await.is("v1");
    origin.page("/isr/a", "v2");
    origin.page("/isr/b", "v2");
    edge.until_stale("/isr/a").await.is("v1");
    edge.until_is("/isr/a", "v2").await;
    edge.until_is("/isr/b", "v2").await;
}

#[tokio::test]
async fn past_its_expiry_an_isr_page_is_waited_for() {
    let origin = Origin::start().await;
    let route = "routes:\n  - name: pages\n    match: /isr/**\n    revalidate: 1s\n    expire: 2s\n";
    origin.page("/isr/p", "v1");
    origin.page("/clock", "tick").cache_control("s-maxage=2, stale-while-revalidate=600");
    let edge = Edge::with_config(&origin, &[PLAIN, route].concat()).await;
    edge.stored("/isr/p").await.is("v1");
    edge.stored("/clock").await;
    origin.page("/isr/p", "v2");
    // Two seconds by the other page's window, in which nobody asks for this one.
    edge.until_stale("/clock").await;
    edge.get("/isr/p").await.is("v2").cache_status("fwd=stale");
}

#[tokio::test]
async fn a_page_with_revalidate_never_stays_fresh() {
    let origin = Origin::start().await;
    origin.page("/forever", "v1").cache_control("s-maxage=1");
    origin.page("/soon", "v1").cache_control(SOON_STALE);
    let route = "routes:\n  - name: forever\n    match: /forever\n    revalidate: never\n";
    let edge = Edge::with_config(&origin, &[PLAIN, route].concat()).await;
    edge.stored("/forever").await;
    edge.stored("/soon").await;
    edge.until_stale("/soon").await;
    let hit = edge.get("/forever").await;
    assert!(hit.is_hit() && !hit.is_stale());
    assert_eq!(origin.count("/forever"), 1);
}

#[tokio::test]
async fn a_404_replaces_an_isr_page_and_heals_at_the_next_regeneration() {
    let origin = Origin::start().await;
    origin.page("/isr/p", "here");
    let edge = Edge::with_config(&origin, &[PLAIN, ISR].concat()).await;
    edge.stored("/isr/p").await.is("here");
    origin.page("/isr/p", "gone").status(404);
    edge.until_is("/isr/p", "gone").await.status(404).cache_status("hit");
    origin.page("/isr/p", "back");
    edge.until_is("/isr/p", "back").await.status(200).cache_status("hit");
}

#[tokio::test]
async fn keep_on_keeps_a_page_against_a_404() {
    let origin = Origin::start().await;
    origin.page("/isr/p", "here");
    let edge = Edge::with_config(&origin, &[SHORT, ISR, "    keep_on: [404]\n"].concat()).await;
    edge.stored("/isr/p").await.is("here");
    origin.page("/isr/p", "gone").status(404);
    edge.until_stale("/isr/p").await.is("here");
    edge.metric_reaches("larder_refresh_failures_total{route=pages,reason=status-4xx}", 1.0).await;
    edge.get("/isr/p").await.status(200).is("here").cache_status("detail=failing");
}

#[tokio::test]
async fn every_answer_is_wholly_old_or_wholly_new() {
    let origin = Origin::start().await;
    let (old, new) = ("old ".repeat(20_000), "new".repeat(30_000));
    origin.page("/p", &old).cache_control(SOON_STALE);
    let edge = Edge::start(&origin).await;
    edge.stored("/p").await;
    let tap = origin.page("/p", "").cache_control(FRESH).tapped();
    edge.until_stale("/p").await.is(&old);
    origin.asked("/p", 2).await;
    tap.send(&new[..45_000]);
    for _ in 0..5 {
        edge.get("/p").await.is(&old).at_once();
    }
    tap.send(&new[45_000..]);
    tap.end();
    until("the new version", async || {
        let answer = edge.get("/p").await;
        assert!(answer.whole && (answer.text() == old || answer.text() == new), "neither old nor new");
        answer.text() == new
    })
    .await;
}

#[tokio::test]
async fn a_regeneration_survives_the_client_that_started_it() {
    let origin = Origin::start().await;
    origin.page("/p", "v1").cache_control(SOON_STALE);
    let edge = Edge::start(&origin).await;
    edge.stored("/p").await;
    let hold = origin.page("/p", "v2").cache_control(FRESH).held();
    // Whoever gets the first stale answer is gone as soon as he has it: each request has a connection of its own.
    edge.until_stale("/p").await;
    origin.asked("/p", 2).await;
    let begun = Instant::now();
    hold.release();
    edge.until_is("/p", "v2").await;
    assert_eq!(origin.count("/p"), 2, "after {:?}", begun.elapsed());
}

#[tokio::test]
async fn a_stale_hit_does_not_delay_the_next_request_on_its_connection() {
    let origin = Origin::start().await;
    origin.page("/p", "v1").cache_control(SOON_STALE);
    origin.page("/q", "q").cache_control(FRESH);
    let edge = Edge::start(&origin).await;
    edge.stored("/p").await;
    edge.stored("/q").await;
    let _hold = origin.page("/p", "v2").held();
    let mut client = edge.raw().await;
    until("the page is stale", async || {
        client.send("GET /p HTTP/1.1\r\nHost: site.test\r\n\r\n").await;
        client.response().await.is_stale()
    })
    .await;
    let begun = Instant::now();
    client.send("GET /q HTTP/1.1\r\nHost: site.test\r\n\r\n").await;
    client.response().await.is("q").cache_status("hit");
    assert!(begun.elapsed() < ms(900));
}

/// What `next start` says of a page that it renders anew behind this answer.
fn stale_itself(body: &str) -> Reply {
    Reply::ok(body).cache_control(FRESH).header("x-nextjs-cache", "STALE")
}

#[tokio::test]
async fn an_origin_that_answers_with_its_own_stale_page_is_asked_again() {
    let origin = Origin::start().await;
    origin.page("/p", "v1").cache_control(SOON_STALE);
    let edge = Edge::start(&origin).await;
    edge.stored("/p").await;
    let asked = AtomicUsize::new(0);
    origin.dynamic("/p", move |_| match asked.fetch_add(1, Ordering::SeqCst) {
        0 => stale_itself("v1"),
        _ => Reply::ok("v2").cache_control(FRESH),
    });
    edge.until_stale("/p").await.is("v1");
    edge.until_is("/p", "v2").await.cache_status("hit").no_header("x-nextjs-cache");
    assert_eq!(origin.count("/p"), 3);
}

#[tokio::test]
async fn a_first_page_that_is_stale_at_the_origin_is_never_stored_as_fresh() {
    let origin = Origin::start().await;
    origin.answers("/p", stale_itself("v1"));
    let edge = Edge::start(&origin).await;
    edge.get("/p").await.is("v1");
    origin.page("/p", "v2").cache_control(FRESH);
    // Its lifetime says a minute; the next visit renews it all the same.
    edge.until_is("/p", "v2").await.cache_status("hit");
}
