//! URLs that are the same page by the origin's own word: No-Vary-Search, on the cache's side.

use crate::dsl::{Edge, Origin, Reply};
use std::sync::atomic::{AtomicBool, Ordering};

const FRESH: &str = "s-maxage=60";

/// An origin whose pages say what they were asked for, and this.
async fn saying(field: &'static str) -> (Origin, Edge) {
    let origin = Origin::start().await;
    origin.everything(move |seen| Reply::ok(seen.target.clone()).cache_control(FRESH).header("No-Vary-Search", field));
    let edge = Edge::start(&origin).await;
    (origin, edge)
}

#[tokio::test]
async fn parameters_that_make_no_difference_make_no_other_page() {
    let (origin, edge) = saying("params, except=(\"id\")").await;
    edge.stored("/p?id=1&from=mail").await.is("/p?id=1&from=mail");
    for target in ["/p?id=1", "/p?from=feed&id=1", "/p?id=1&x=2&y=3"] {
        edge.get(target)
            .await
            .is("/p?id=1&from=mail")
            .cache_status("hit")
            .header("No-Vary-Search", "params, except=(\"id\")");
    }
    edge.get("/p?id=2&from=mail").await.is("/p?id=2&from=mail").cache_status("fwd=uri-miss");
    edge.get("/q?id=1").await.is("/q?id=1").cache_status("fwd=uri-miss");
    edge.get("/p").await.is("/p").cache_status("fwd=uri-miss");
    assert_eq!(origin.total(), 4);
}

#[tokio::test]
async fn a_page_without_a_query_has_twins_too() {
    let (origin, edge) = saying("params=(\"ref\")").await;
    edge.stored("/p").await;
    edge.get("/p?ref=mail").await.is("/p").cache_status("hit");
    edge.get("/p?ref=mail&id=1").await.is("/p?ref=mail&id=1").cache_status("fwd=uri-miss");
    assert_eq!(origin.count("/p"), 2);
}

#[tokio::test]
async fn the_order_of_parameters_counts_unless_the_origin_says_that_it_does_not() {
    let (_origin, edge) = saying("key-order").await;
    edge.stored("/p?a=1&b=2").await;
    edge.get("/p?b=2&a=1").await.is("/p?a=1&b=2").cache_status("hit");
    let (_origin, edge) = saying("params=(\"x\")").await;
    edge.stored("/p?a=1&b=2").await;
    edge.get("/p?b=2&a=1").await.is("/p?b=2&a=1");
}

#[tokio::test]
async fn what_is_malformed_says_nothing() {
    for field in ["params=(", "params, except=1", "PARAMS", "params=1"] {
        let (_origin, edge) = saying(field).await;
        edge.stored("/p?a=1").await;
        edge.get("/p?a=2").await.is("/p?a=2").cache_status("fwd=uri-miss");
    }
}

#[tokio::test]
async fn what_the_origin_says_now_counts() {
    let origin = Origin::start().await;
    let said = AtomicBool::new(false);
    origin.dynamic("/p", move |seen| {
        let reply = Reply::ok(seen.target.clone()).cache_control("s-maxage=60");
        let first = seen.target == "/p?a=1" && !said.swap(true, Ordering::SeqCst);
        if first { reply.header("No-Vary-Search", "params") } else { reply }
    });
    let edge = Edge::start(&origin).await;
    edge.stored("/p?a=1").await;
    edge.get("/p?a=2").await.is("/p?a=1").cache_status("hit");
    // Its next version says nothing of the kind: from then on others are others.
    edge.post("/p?a=1", "").await;
    edge.get("/p?a=3").await.is("/p?a=3").cache_status("fwd=uri-miss").no_header("No-Vary-Search");
    edge.get("/p?a=1").await.is("/p?a=1").no_header("No-Vary-Search");
    edge.get("/p?a=4").await.is("/p?a=4");
}

#[tokio::test]
async fn an_invalidated_page_is_not_served_for_its_twins_either() {
    let (origin, edge) = saying("params").await;
    edge.stored("/p?a=1").await;
    edge.get("/p?a=2").await.is("/p?a=1").cache_status("hit");
    edge.post("/p?a=1", "").await;
    edge.get("/p?a=2").await.cache_status("fwd=");
    assert!(origin.count("/p") >= 3);
}
