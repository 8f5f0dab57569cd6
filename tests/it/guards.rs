//! What a page must look like to be stored: a regeneration that breaks a guard keeps the old page and is counted by the
//! guard's name; a first page that breaks one is delivered and not stored (semantics 34).

use crate::dsl::{Crowd, Edge, Origin, Reply, SHORT};

const GOOD: &str = "<html>a page of some length</html>";
const CUT: &str = "<html>a page of some le";

/// A route whose pages are fresh for a second; its guard follows.
const GUARDED: &str = "routes:\n  - name: pages\n    match: /isr/**\n    revalidate: 1s\n    guard:\n";
const WHOLE: &str = "      must_contain: [\"</html>\"]\n";

fn html(body: &str) -> Reply {
    Reply::ok(body).header("Content-Type", "text/html; charset=utf-8")
}

/// A page is stored, its regeneration breaks this guard, and the page is still there: at once, unaltered, and known to
/// be failing.
async fn keeps_the_old_page(guard: &str, name: &str, bad: Reply) {
    let origin = Origin::start().await;
    origin.answers("/isr/p", html(GOOD));
    let edge = Edge::with_config(&origin, &[SHORT, GUARDED, guard].concat()).await;
    edge.stored("/isr/p").await.is(GOOD);
    origin.answers("/isr/p", bad);
    edge.until_stale("/isr/p").await.status(200).is(GOOD).at_once();
    edge.metric_reaches(&format!("larder_guard_rejections_total{{route=pages,guard={name}}}"), 1.0).await;
    edge.metric_reaches("larder_refresh_failures_total{route=pages,reason=guard}", 1.0).await;
    for _ in 0..5 {
        let answer = edge.get("/isr/p").await;
        answer.status(200).is(GOOD).at_once().cache_status("hit; ttl=").cache_status("detail=failing");
    }
    assert_eq!(edge.metric("larder_stale_because_failing{route=pages}").await, 1.0);
    let better = GOOD.replace("a page", "a better page");
    origin.answers("/isr/p", html(&better));
    edge.until_is("/isr/p", &better).await.status(200).cache_status("hit");
}

#[tokio::test]
async fn a_page_survives_a_version_that_is_too_small() {
    keeps_the_old_page("      min_bytes: 20\n", "min_bytes", html("</html>")).await;
}

#[tokio::test]
async fn a_page_survives_a_version_that_shrank() {
    keeps_the_old_page("      max_shrink: 50%\n", "max_shrink", html("</html>")).await;
}

#[tokio::test]
async fn a_page_survives_a_version_without_its_marker() {
    keeps_the_old_page(WHOLE, "must_contain", html(CUT)).await;
}

#[tokio::test]
async fn a_page_survives_a_version_with_an_error_in_it() {
    let guard = "      must_not_contain: [\"Application error\"]\n";
    keeps_the_old_page(guard, "must_not_contain", html("<html>Application error: see the log</html>")).await;
}

#[tokio::test]
async fn a_page_survives_a_version_of_another_type() {
    let json = Reply::ok("{\"error\": \"a message that is long enough\"}").header("Content-Type", "application/json");
    keeps_the_old_page("      content_type: text/html\n", "content_type", json).await;
}

#[tokio::test]
async fn a_first_page_that_breaks_a_guard_is_delivered_and_not_stored() {
    let origin = Origin::start().await;
    origin.answers("/isr/p", html(CUT));
    let edge = Edge::with_config(&origin, &[SHORT, GUARDED, WHOLE].concat()).await;
    edge.get("/isr/p").await.status(200).is(CUT).cache_status("fwd=uri-miss");
    edge.metric_reaches("larder_guard_rejections_total{route=pages,guard=must_contain}", 1.0).await;
    edge.metric_reaches("larder_uncacheable_total{route=pages,reason=guard}", 1.0).await;
    edge.metric_reaches("larder_origin_requests_total{kind=fill,outcome=not-storable}", 1.0).await;
    for _ in 0..3 {
        edge.get("/isr/p").await.status(200).is(CUT).cache_status("fwd=miss");
    }
    assert_eq!(origin.count("/isr/p"), 4, "it is nobody's to share");
    assert_eq!(edge.metric("larder_guard_rejections_total").await, 1.0, "what is passed is not guarded");
    assert_eq!(edge.metric("larder_store_entries").await, 0.0);
    assert_eq!(edge.metric("larder_refresh_failures_total").await, 0.0);
    assert_eq!(edge.metric("larder_requests_total{cache=error}").await, 0.0);
}

#[tokio::test]
async fn who_reads_along_gets_a_proper_end_of_a_page_that_breaks_a_guard() {
    let origin = Origin::start().await;
    let tap = origin.page("/isr/p", "").tapped();
    let edge = Edge::with_config(&origin, &[SHORT, GUARDED, WHOLE].concat()).await;
    let mut client = edge.raw().await;
    client.send("GET /isr/p HTTP/1.1\r\nHost: site.test\r\n\r\n").await;
    origin.asked("/isr/p", 1).await;
    tap.send("<html>half");
    client.head().await.status(200);
    client.through("<html>half").await;
    // Whoever comes too late to read along asks for himself.
    origin.answers("/isr/p", html("<html>half a page"));
    let late = Crowd::of([edge.get("/isr/p")]);
    tap.send(" a page");
    client.through(" a page").await;
    tap.end();
    client.through("\r\n0\r\n\r\n").await;
    late.answers().await[0].status(200).is("<html>half a page");
    edge.metric_reaches("larder_guard_rejections_total{route=pages,guard=must_contain}", 1.0).await;
    assert_eq!(edge.metric("larder_store_entries").await, 0.0);
}

#[tokio::test]
async fn a_guard_of_the_defaults_holds_where_no_route_matches() {
    let origin = Origin::start().await;
    origin.page("/p", "fine").cache_control("s-maxage=1, stale-while-revalidate=600");
    let defaults = "defaults:\n  guard: { must_not_contain: [\"Application error\"] }\n";
    let edge = Edge::with_config(&origin, &[SHORT, defaults].concat()).await;
    edge.stored("/p").await.is("fine");
    origin.page("/p", "Application error").cache_control("s-maxage=60");
    edge.until_stale("/p").await.is("fine");
    edge.metric_reaches("larder_guard_rejections_total{route=unmatched,guard=must_not_contain}", 1.0).await;
    edge.get("/p").await.status(200).is("fine");
}
