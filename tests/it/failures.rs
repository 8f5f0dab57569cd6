//! An origin that fails in every way there is: known pages stay and answer at once; what nobody has is an honest error
//! (semantics 9, 18, 20, 27-31, 33).

use crate::dsl::{Crowd, Edge, HOST, Origin, Reply, SHORT, ms};
use tokio::time::Instant;

const SOON_STALE: &str = "s-maxage=1, stale-while-revalidate=600";
const FRESH: &str = "s-maxage=60";

/// A page is stored, its origin breaks, and the page is still there: at once, unaltered, and known to be failing.
async fn survives(reason: &str, breaks: impl AsyncFnOnce(&Origin)) {
    let origin = Origin::start().await;
    origin.page("/p", "good").cache_control(SOON_STALE).etag("\"good\"");
    let edge = Edge::with_config(&origin, SHORT).await;
    edge.stored("/p").await.is("good");
    breaks(&origin).await;
    edge.until_stale("/p").await.status(200).is("good").at_once();
    // While it fails, and after it has failed.
    for _ in 0..5 {
        edge.get("/p").await.status(200).is("good").at_once();
    }
    edge.metric_reaches(&format!("larder_refresh_failures_total{{reason={reason}}}"), 1.0).await;
    for _ in 0..5 {
        let answer = edge.get("/p").await;
        answer.status(200).is("good").at_once().cache_status("hit; ttl=").cache_status("detail=failing");
    }
    assert!(edge.metric("larder_stale_because_failing").await >= 1.0);
}

#[tokio::test]
async fn a_page_survives_an_origin_that_refuses_connections() {
    survives("connect", async |origin: &Origin| origin.down().await).await;
}

#[tokio::test]
async fn a_page_survives_an_origin_that_hangs() {
    survives("timeout", async |origin: &Origin| origin.answers("/p", Reply::hang())).await;
}

#[tokio::test]
async fn a_page_survives_an_origin_that_answers_503_and_asks_for_it_to_be_stored() {
    let sick = Reply::ok("sorry").status(503).cache_control("public, s-maxage=31536000");
    survives("status-5xx", async |origin: &Origin| origin.answers("/p", sick)).await;
}

#[tokio::test]
async fn a_page_survives_too_many_requests() {
    survives("status-4xx", async |origin: &Origin| origin.answers("/p", Reply::ok("slow down").status(429))).await;
}

#[tokio::test]
async fn a_page_survives_being_denied() {
    let denied = Reply::ok("members only").status(403).cache_control(FRESH);
    survives("status-4xx", async |origin: &Origin| origin.answers("/p", denied)).await;
}

#[tokio::test]
async fn a_page_survives_an_origin_that_resets() {
    survives("truncated", async |origin: &Origin| origin.answers("/p", Reply::reset())).await;
}

#[tokio::test]
async fn a_page_survives_an_origin_that_closes_without_an_answer() {
    survives("truncated", async |origin: &Origin| origin.answers("/p", Reply::close())).await;
}

#[tokio::test]
async fn a_page_survives_a_body_shorter_than_its_length() {
    let short = Reply::ok("half of a page").cache_control(FRESH).short(4);
    survives("truncated", async |origin: &Origin| origin.answers("/p", short)).await;
}

#[tokio::test]
async fn a_page_survives_a_chunked_body_without_its_end() {
    let short = Reply::ok("half of a page").cache_control(FRESH).short_chunked(4);
    survives("truncated", async |origin: &Origin| origin.answers("/p", short)).await;
}

#[tokio::test]
async fn a_page_survives_a_reset_in_the_middle_of_a_body() {
    let cut = Reply::ok("half of a page").cache_control(FRESH).reset_after(4);
    survives("truncated", async |origin: &Origin| origin.answers("/p", cut)).await;
}

#[tokio::test]
async fn a_page_survives_garbage() {
    survives("malformed", async |origin: &Origin| origin.answers("/p", Reply::raw("%$ what is this?\r\n\r\n"))).await;
}

#[tokio::test]
async fn a_page_survives_a_body_that_drips_without_end() {
    let drip = Reply::drip().cache_control(FRESH);
    survives("timeout", async |origin: &Origin| origin.answers("/p", drip)).await;
}

#[tokio::test]
async fn a_page_survives_a_body_that_stops_in_the_middle() {
    let mut kept = None;
    survives("timeout", async |origin: &Origin| {
        let tap = origin.page("/p", "").cache_control(FRESH).tapped();
        tap.send("half of");
        kept = Some(tap);
    })
    .await;
    drop(kept);
}

#[tokio::test]
async fn a_page_survives_a_body_that_ends_with_its_connection() {
    let unknown = Reply::ok("whole or not").cache_control(FRESH).until_close();
    survives("close-delimited", async |origin: &Origin| origin.answers("/p", unknown)).await;
}

#[tokio::test]
async fn a_page_survives_an_empty_one() {
    survives("empty", async |origin: &Origin| origin.answers("/p", Reply::ok("").cache_control(FRESH))).await;
}

#[tokio::test]
async fn a_page_survives_a_204() {
    let nothing = Reply::ok("").status(204).cache_control(FRESH);
    survives("status", async |origin: &Origin| origin.answers("/p", nothing)).await;
}

#[tokio::test]
async fn a_page_survives_304s_that_do_not_match_it() {
    let wrong = Reply::ok("").status(304).header("ETag", "\"other\"");
    survives("unmatched-304", async |origin: &Origin| origin.answers("/p", wrong)).await;
}

#[tokio::test]
async fn a_page_survives_a_redirect_to_itself() {
    let moved = Reply::ok("").status(308).cache_control(FRESH).header("Location", &format!("https://{HOST}/p"));
    survives("redirect-loop", async |origin: &Origin| origin.answers("/p", moved)).await;
}

#[tokio::test]
async fn an_isr_page_survives_becoming_private() {
    let origin = Origin::start().await;
    origin.page("/p", "good");
    let route = "routes:\n  - name: pages\n    match: /p\n    revalidate: 1s\n";
    let edge = Edge::with_config(&origin, &[SHORT, route].concat()).await;
    edge.stored("/p").await.is("good");
    origin.page("/p", "hello, member").cache_control("private");
    edge.until_stale("/p").await.is("good");
    edge.metric_reaches("larder_refresh_failures_total{route=pages,reason=uncacheable}", 1.0).await;
    edge.get("/p").await.is("good").cache_status("detail=failing");
}

#[tokio::test]
async fn an_expired_page_answers_for_a_failing_origin() {
    let origin = Origin::start().await;
    origin.page("/sick", "good").cache_control("s-maxage=1");
    origin.page("/gone", "good").cache_control("s-maxage=1");
    let edge = Edge::with_config(&origin, SHORT).await;
    edge.stored("/sick").await;
    edge.stored("/gone").await;
    origin.page("/sick", "sorry").status(503);
    origin.answers("/gone", Reply::reset());
    let expired = edge.first("/sick", "it is expired", |answer| !answer.is_hit()).await;
    expired.status(200).is("good").cache_status("fwd=stale").cache_status("fwd-status=503");
    let expired = edge.first("/gone", "it is expired", |answer| !answer.is_hit()).await;
    expired.status(200).is("good").cache_status("fwd=stale");
    // Until the next attempt, nobody waits for the origin.
    edge.get("/sick").await.is("good").at_once().cache_status("detail=failing");
    assert_eq!(origin.count("/sick"), 2);
}

#[tokio::test]
async fn must_revalidate_forbids_to_answer_for_a_failing_origin() {
    let origin = Origin::start().await;
    origin.page("/p", "good").cache_control("s-maxage=1, must-revalidate");
    let edge = Edge::with_config(&origin, SHORT).await;
    edge.stored("/p").await;
    origin.page("/p", "sorry").status(503);
    let failed = edge.first("/p", "it may not be stale", |answer| !answer.is_hit()).await;
    failed.status(503).header("Cache-Control", "no-store");
}

#[tokio::test]
async fn stale_if_error_has_an_end_where_one_is_configured() {
    let origin = Origin::start().await;
    origin.page("/p", "good").cache_control("s-maxage=1");
    let edge = Edge::with_config(&origin, &[SHORT, "defaults:\n  stale_if_error: 1s\n"].concat()).await;
    edge.stored("/p").await;
    origin.page("/p", "sorry").status(503);
    edge.first("/p", "it is given up", |answer| {
        let good = answer.code == 200 && answer.text() == "good";
        assert!(good || answer.code == 503, "{answer:?}");
        !good
    })
    .await;
}

#[tokio::test]
async fn a_failed_first_generation_is_shared_and_never_stored() {
    let origin = Origin::start().await;
    let sick = origin.page("/p", "sorry").status(500).cache_control("public, s-maxage=31536000");
    drop(sick.header("CDN-Cache-Control", "max-age=600").header("X-From", "origin"));
    let edge = Edge::start(&origin).await;
    let begun = Instant::now();
    for _ in 0..3 {
        let failed = edge.get("/p").await;
        failed.status(500).is("sorry").header("Cache-Control", "no-store").header("X-From", "origin");
        failed.cache_status("fwd=uri-miss").cache_status("fwd-status=500");
        // Nor may a cache in front of us keep it: a targeted field would outrank `no-store` (RFC 9213, 2.1).
        failed.no_header("CDN-Cache-Control");
    }
    if begun.elapsed() < ms(900) {
        assert_eq!(origin.count("/p"), 1, "the failure answers for a second");
    }
    origin.page("/p", "well").cache_control(FRESH);
    edge.until_is("/p", "well").await.status(200);
}

#[tokio::test]
async fn without_a_stored_page_a_sick_origin_is_a_clear_error() {
    let origin = Origin::start().await;
    origin.answers("/hang", Reply::hang());
    origin.answers("/reset", Reply::reset());
    origin.answers("/garbage", Reply::raw("%$ what is this?\r\n\r\n"));
    origin.page("/304", "").status(304);
    let edge = Edge::with_config(&origin, SHORT).await;
    for (path, code) in [("/reset", 502), ("/garbage", 502), ("/304", 502), ("/hang", 504)] {
        let failed = edge.get(path).await;
        failed.status(code).header("Cache-Control", "no-store").header_has("Content-Type", "text/html");
        assert!(failed.text().contains(&code.to_string()) && failed.field("Retry-After").is_some(), "{failed:?}");
    }
    origin.down().await;
    let failed = edge.get("/refused").header("Accept", "application/json").await;
    failed.status(502).header_has("Content-Type", "json").header("Cache-Control", "no-store");
    let problem: serde_json::Value = serde_json::from_slice(&failed.body).unwrap();
    assert_eq!(problem["status"], 502);
}

#[tokio::test]
async fn a_cut_body_is_never_a_clean_short_answer() {
    let origin = Origin::start().await;
    let page = "0123456789".repeat(1000);
    origin.answers("/length", Reply::ok(page.clone()).cache_control(FRESH).short(5000));
    origin.answers("/chunked", Reply::ok(page.clone()).cache_control(FRESH).short_chunked(5000));
    origin.answers("/reset", Reply::ok(page.clone()).cache_control(FRESH).reset_after(5000));
    let edge = Edge::with_config(&origin, SHORT).await;
    let paths = ["/length", "/chunked", "/reset"];
    for path in paths {
        for answer in Crowd::of((0..5).map(|_| edge.get(path))).settled().await.into_iter().flatten() {
            assert!(answer.code >= 500 || !answer.whole, "{path}: {answer:?}");
        }
    }
    for path in paths {
        origin.page(path, &page).cache_control(FRESH);
        edge.until_is(path, &page).await.status(200);
    }
}
