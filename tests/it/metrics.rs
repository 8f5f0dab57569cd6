//! What operators see, and where: health, readiness, metrics and the status page. What each metric counts is in
//! `metrics_each`.

use crate::dsl::{Edge, Origin, PLAIN, Reply, Request, reserve};

const FRESH: &str = "s-maxage=60";

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
