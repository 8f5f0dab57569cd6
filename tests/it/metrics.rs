//! What operators see: health, readiness, every outcome counted for its reason, and the status page (interface,
//! "Metrics").

use crate::dsl::{Crowd, Edge, Origin, PLAIN, Reply, Request, SHORT, reserve};

const FRESH: &str = "s-maxage=60";
const SOON_STALE: &str = "s-maxage=1, stale-while-revalidate=600";

#[tokio::test]
async fn health_and_readiness_are_open() {
    let origin = Origin::start().await;
    let edge = Edge::start(&origin).await;
    for path in ["/healthz", "/readyz", "/metrics"] {
        edge.admin_get(path).await.status(200).header("Cache-Control", "no-store");
    }
    // They do not depend on the origin.
    origin.down().await;
    edge.admin_get("/healthz").await.status(200);
    edge.admin_get("/readyz").await.status(200);
    edge.admin_get("/nothing").await.status(404);
    Request::new(edge.admin, "POST", "/metrics").host(&edge.admin.to_string()).await.status(405);
}

#[tokio::test]
async fn the_operators_pages_are_not_on_the_visitors_address() {
    let origin = Origin::start().await;
    origin.everything(|_| Reply::ok("the site's own").cache_control(FRESH));
    let edge = Edge::start(&origin).await;
    for path in ["/healthz", "/readyz", "/metrics", "/"] {
        edge.get(path).await.is("the site's own");
    }
}

#[tokio::test]
async fn each_outcome_is_counted_for_its_reason() {
    let origin = Origin::start().await;
    origin.page("/p", "page").cache_control(SOON_STALE);
    origin.page("/form", "thanks").status(201);
    let route = "routes:\n  - { name: pages, match: /p }\n  - { name: forms, match: /form, bypass: true }\n";
    let edge = Edge::with_config(&origin, &[PLAIN, route].concat()).await;
    let counted = async |selector: &str| {
        edge.metric_reaches(&format!("larder_requests_total{{{selector}}}"), 1.0).await;
    };
    edge.get("/p").await.is("page");
    counted("route=pages,cache=miss,status=200").await;
    edge.stored("/p").await;
    counted("route=pages,cache=hit,status=200").await;
    edge.until_stale("/p").await;
    counted("route=pages,cache=stale,status=200").await;
    edge.post("/form", "x").await.status(201);
    counted("route=forms,cache=bypass,status=201").await;
    edge.get("/cold").header("Cache-Control", "only-if-cached").await.status(504);
    counted("cache=error,status=504").await;
    let hold = origin.page("/held", "held").cache_control(FRESH).held();
    let crowd = Crowd::of((0..20).map(|_| edge.get("/held")));
    edge.metric_reaches("larder_connections", 20.0).await;
    origin.asked("/held", 1).await;
    hold.release();
    crowd.answers().await;
    counted("cache=collapsed,status=200").await;
    assert!(edge.metric("larder_request_duration_seconds_count{route=pages,cache=hit}").await >= 1.0);
}

#[tokio::test]
async fn requests_to_the_origin_are_counted_by_kind_and_outcome() {
    let origin = Origin::start().await;
    origin.page("/p", "v1").cache_control(SOON_STALE);
    origin.page("/sick", "sorry").status(503);
    let edge = Edge::with_config(&origin, SHORT).await;
    edge.stored("/p").await;
    edge.metric_reaches("larder_origin_requests_total{origin=app,kind=fill,outcome=success}", 1.0).await;
    origin.page("/p", "v2").cache_control(FRESH);
    edge.until_is("/p", "v2").await;
    edge.metric_reaches("larder_origin_requests_total{origin=app,kind=refresh,outcome=success}", 1.0).await;
    edge.get("/sick").await.status(503);
    edge.metric_reaches("larder_origin_requests_total{origin=app,kind=fill,outcome=status-5xx}", 1.0).await;
    edge.post("/p", "x").await;
    edge.metric_reaches("larder_origin_requests_total{origin=app,kind=pass,outcome=success}", 1.0).await;
    origin.down().await;
    edge.get("/refused").await.status(502);
    edge.metric_reaches("larder_origin_requests_total{origin=app,kind=fill,outcome=connect}", 1.0).await;
    assert!(edge.metric("larder_origin_duration_seconds_count{origin=app,kind=fill}").await >= 3.0);
}

#[tokio::test]
async fn a_page_that_is_not_stored_is_counted_with_its_reason() {
    let origin = Origin::start().await;
    origin.page("/private", "x").cache_control("private, max-age=60");
    origin.page("/no-store", "x").cache_control("no-store");
    origin.page("/nothing", "x");
    origin.page("/cookie", "x").cache_control(FRESH).header("Set-Cookie", "a=1");
    origin.page("/vary", "x").cache_control(FRESH).header("Vary", "Cookie");
    let edge = Edge::start(&origin).await;
    for (path, reason) in [
        ("/private", "private"),
        ("/no-store", "no-store"),
        ("/nothing", "no-lifetime"),
        ("/cookie", "set-cookie"),
        ("/vary", "vary-personal"),
    ] {
        edge.get(path).await.is("x");
        edge.metric_reaches(&format!("larder_uncacheable_total{{reason={reason}}}"), 1.0).await;
    }
}

#[tokio::test]
async fn the_store_is_measured() {
    let origin = Origin::start().await;
    origin.everything(|_| Reply::ok("x".repeat(10_000)).cache_control(FRESH));
    let edge = Edge::start(&origin).await;
    assert_eq!(edge.metric("larder_store_entries").await, 0.0);
    for n in 0..10 {
        edge.stored(&format!("/{n}")).await;
    }
    assert_eq!(edge.metric("larder_store_entries{tier=memory}").await, 10.0);
    let bytes = edge.metric("larder_store_bytes{tier=memory}").await;
    assert!(bytes > 100_000.0 && bytes < 120_000.0, "{bytes} bytes for 10 pages of 10,000");
}

#[tokio::test]
async fn the_store_keeps_its_budget_and_counts_what_goes() {
    let origin = Origin::start().await;
    origin.everything(|_| Reply::ok("x".repeat(10_000)).cache_control(FRESH));
    let store = "store:\n  memory: { max_size: 256KiB, max_object: 64KiB }\n";
    let edge = Edge::with_config(&origin, &[PLAIN, store].concat()).await;
    for n in 0..100 {
        edge.get(&format!("/{n}")).await.status(200);
    }
    edge.stored("/99").await;
    assert!(edge.metric("larder_store_bytes").await <= 256.0 * 1024.0);
    assert!(edge.metric("larder_store_evictions_total{tier=memory,reason=capacity}").await >= 70.0);
}

#[tokio::test]
async fn every_promised_family_is_there() {
    let origin = Origin::start().await;
    origin.page("/p", "v1").cache_control(SOON_STALE);
    let edge = Edge::with_config(&origin, SHORT).await;
    edge.stored("/p").await;
    origin.page("/p", "sorry").status(500);
    edge.until_stale("/p").await;
    edge.metric_reaches("larder_refresh_failures_total{reason=status-5xx}", 1.0).await;
    let text = edge.admin_get("/metrics").await.text();
    for family in [
        "larder_requests_total",
        "larder_request_duration_seconds_bucket",
        "larder_request_duration_seconds_sum",
        "larder_origin_requests_total",
        "larder_origin_up",
        "larder_origin_duration_seconds_count",
        "larder_refresh_failures_total",
        "larder_refreshes_in_flight",
        "larder_refresh_queue",
        "larder_stale_because_failing",
        "larder_store_bytes",
        "larder_store_entries",
        "larder_store_evictions_total",
        "larder_connections",
        "larder_build_info",
    ] {
        assert!(text.lines().any(|line| line.starts_with(family)), "no {family} in\n{text}");
    }
    assert!(text.contains(&format!("larder_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"))), "{text}");
    assert!(text.ends_with("# EOF\n"), "OpenMetrics ends so");
    // Labels are routes, never paths.
    assert!(!text.contains("\"/p\""), "{text}");
}

#[tokio::test]
async fn metrics_may_have_an_address_of_their_own() {
    let origin = Origin::start().await;
    let (_port, metrics) = reserve();
    let edge = Edge::with_config(&origin, &format!("{PLAIN}metrics:\n  listen: {metrics}\n")).await;
    let ask = |path: &str| Request::new(metrics, "GET", path).host(&metrics.to_string());
    for path in ["/metrics", "/healthz", "/readyz"] {
        ask(path).await.status(200);
    }
    ask("/").await.status(404);
    edge.admin_get("/").await.status(200);
}

#[tokio::test]
async fn the_status_page_has_the_figures_and_no_script() {
    let origin = Origin::start().await;
    origin.page("/p", "page").cache_control(FRESH);
    let edge = Edge::start(&origin).await;
    edge.stored("/p").await;
    edge.post("/p", "x").await;
    edge.metric_reaches("larder_requests_total{cache=bypass}", 1.0).await;
    let page = edge.admin_get("/").await;
    page.status(200)
        .header_has("Content-Type", "text/html")
        .header_has("Content-Security-Policy", "default-src 'none'");
    let requests = edge.metric("larder_requests_total").await;
    let text = page.text();
    for part in [
        format!("{requests} requests"),
        edge.listen.to_string(),
        origin.url().trim_start_matches("http://").to_owned(),
        env!("CARGO_PKG_VERSION").to_owned(),
    ] {
        assert!(text.contains(&part), "no `{part}` in\n{text}");
    }
    assert!(!text.contains("{{") && !text.contains("<script"), "{text}");
}
