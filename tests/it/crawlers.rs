//! What crawlers and made-up URLs may cost: `admit_after` and `renders_per_minute`; pages that are refreshed ahead of their
//! time; draft mode with the framework's secret.

use crate::dsl::{Edge, Origin, PLAIN, Reply, Seen, until};
use std::collections::HashMap;
use std::sync::Mutex;

const NOT_ADMITTED: &str = "larder_uncacheable_total{route=all,reason=not-admitted}";

async fn everything() -> Origin {
    let origin = Origin::start().await;
    let renders: Mutex<HashMap<String, usize>> = Mutex::default();
    origin.everything(move |seen: &Seen| {
        let mut renders = renders.lock().unwrap();
        let render = renders.entry(seen.path.clone()).or_default();
        *render += 1;
        Reply::ok(format!("render {render} of {}", seen.path))
    });
    origin
}

fn route(keys: &str) -> String {
    format!("{PLAIN}routes:\n  - name: all\n    match: /**\n    revalidate: 60s\n    {keys}\n")
}

#[tokio::test]
async fn a_page_is_stored_from_the_nth_request_on() {
    let origin = everything().await;
    let edge = Edge::with_config(&origin, &route("admit_after: 3")).await;
    for n in 1..=3 {
        edge.get("/p").await.is(&format!("render {n} of /p")).cache_status("fwd=uri-miss");
        if n < 3 {
            edge.metric_reaches(NOT_ADMITTED, f64::from(n)).await;
        }
    }
    edge.stored("/p").await.is("render 3 of /p");
    for n in 0..20 {
        edge.get(&format!("/made-up/{n}")).await.status(200);
    }
    edge.metric_reaches(NOT_ADMITTED, 22.0).await;
    assert_eq!(edge.metric("larder_store_entries").await, 1.0);
}

#[tokio::test]
async fn beyond_the_budget_new_pages_are_refused_and_stored_ones_are_served() {
    let origin = everything().await;
    let edge = Edge::with_config(&origin, &route("renders_per_minute: 5")).await;
    let mut refused = 0;
    for n in 0..20 {
        let answer = edge.get(&format!("/{n}")).await;
        if answer.code == 503 {
            refused += 1;
            let wait: u64 = answer.field("retry-after").unwrap().parse().unwrap();
            assert!((1..=60).contains(&wait), "{wait}");
            answer.header("cache-control", "no-store");
        }
    }
    assert_eq!((refused, origin.total()), (15, 5));
    edge.stored("/0").await.is("render 1 of /0");
}

#[tokio::test]
async fn a_page_that_is_asked_for_is_renewed_before_it_is_stale() {
    let origin = everything().await;
    let edge = Edge::with_config(&origin, &route("refresh_ahead: true").replace("60s", "2s")).await;
    edge.stored("/p").await.is("render 1 of /p");
    let mut stale = 0;
    until("three generations have come", async || {
        let answer = edge.get("/p").await;
        stale += usize::from(!answer.is_hit());
        answer.text() == "render 4 of /p"
    })
    .await;
    assert_eq!(stale, 0, "nobody got a stale page");
    edge.get("/once").await.is("render 1 of /once");
    assert_eq!(origin.count("/once"), 1);
}

#[tokio::test]
async fn draft_mode_wants_the_framework_s_secret_where_it_is_configured() {
    let origin = everything().await;
    let draft = "draft: { secret: s3cret }\n";
    let edge = Edge::with_config(&origin, &format!("{draft}{}", route("keep_on: []"))).await;
    edge.stored("/p").await.is("render 1 of /p");
    edge.get("/p").cookie("__prerender_bypass=made-up").await.is("render 1 of /p").cache_status("hit");
    edge.get("/p").cookie("__prerender_bypass=s3cret").await.is("render 2 of /p").cache_status("fwd=bypass");
    edge.get("/p").await.is("render 1 of /p").cache_status("hit");
}

#[tokio::test]
async fn a_storm_of_404_takes_nine_pages_and_no_more() {
    let origin = everything().await;
    let edge = Edge::with_config(&origin, &route("keep_on: []").replace("60s", "1s")).await;
    for n in 0..30 {
        edge.stored(&format!("/{n}")).await;
    }
    origin.everything(|_| Reply::ok("no backend").status(404));
    let mut good = Vec::new();
    until("every page was tried again", async || {
        good.clear();
        for n in 0..30 {
            good.push(edge.get(&format!("/{n}")).await.code == 200);
        }
        edge.metric("larder_origin_requests_total{kind=refresh}").await >= 30.0
    })
    .await;
    // The successes of the first fills count too: more changes than those are needed.
    let kept = good.iter().filter(|good| **good).count();
    assert!(kept >= 20 || edge.metric("larder_refresh_failures_total{reason=not-found-storm}").await == 0.0, "{kept}");
}
