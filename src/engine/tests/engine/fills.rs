//! One fill a key: who starts it, who waits, what they see (semantics 13-22).

use crate::support::{Act, How, World, all, answer, millis, page, secs};
use semantics::Outcome;
use semantics::settlement::Failure;

#[tokio::test(start_paused = true)]
async fn one_fill_answers_everybody_who_waits() {
    let world = World::new();
    let held = world.origin.held("/p");
    let visits = world.start_many(10, "/p");
    world.settle().await;
    assert_eq!(world.origin.asked("/p"), 1);
    held.answer(page("v1"));
    let seen = all(visits).await;
    for one in &seen {
        one.is("v1");
    }
    let said = |what: &str| seen.iter().filter(|s| s.cache_status == what).count();
    assert_eq!(said("larder; fwd=uri-miss; stored"), 1);
    assert_eq!(said("larder; fwd=uri-miss; collapsed"), 9);
    world.visit("/p", &[]).await.is("v1").was(Outcome::Hit);
    assert_eq!(world.origin.asked("/p"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_fresh_page_is_answered_without_the_origin() {
    let world = World::new();
    world.origin.on("/p", page("v1"));
    world.visit("/p", &[]).await.is("v1");
    world.advance(millis(3_500)).await;
    let seen = world.visit("/p", &[]).await;
    assert_eq!(seen.is("v1").cache_status, "larder; hit; ttl=7");
    world.advance(millis(6_499)).await;
    world.visit("/p", &[]).await.is("v1").was(Outcome::Hit);
    assert_eq!(world.origin.asked("/p"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_late_follower_gets_what_there_is_at_once_and_the_rest_as_it_comes() {
    let world = World::new();
    let feed = world.origin.stream("/p", page(""));
    let first = world.open("/p").await;
    feed.send("one ");
    feed.send("two ");
    world.settle().await;
    let mut late = world.open("/p").await;
    assert_eq!(late.ready().await.as_deref(), Some("one "));
    assert_eq!(late.ready().await.as_deref(), Some("two "));
    assert_eq!(late.ready().await, None);
    feed.send("three");
    world.settle().await;
    assert_eq!(late.ready().await.as_deref(), Some("three"));
    feed.end();
    assert_eq!(first.rest().await.unwrap(), "one two three");
    assert_eq!(late.rest().await.unwrap(), "");
    world.visit("/p", &[]).await.is("one two three").was(Outcome::Hit);
    assert_eq!(world.origin.asked("/p"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_holds_up_neither_the_fill_nor_the_others() {
    let world = World::new();
    let feed = world.origin.stream("/p", page(""));
    let slow = world.open("/p").await;
    let quick = world.open("/p").await;
    for _ in 0..9 {
        feed.send(&"x".repeat(1000));
    }
    feed.end();
    assert_eq!(quick.rest().await.unwrap().len(), 9000);
    world.quiet().await;
    world.visit("/p", &[]).await.was(Outcome::Hit);
    assert_eq!(slow.rest().await.unwrap().len(), 9000);
}

#[tokio::test(start_paused = true)]
async fn a_fill_outlives_its_visitors() {
    let world = World::new();
    let held = world.origin.held("/p");
    let visits = world.start_many(3, "/p");
    world.settle().await;
    for visit in visits {
        visit.abort();
    }
    world.settle().await;
    held.answer(page("v1"));
    world.quiet().await;
    world.visit("/p", &[]).await.is("v1").was(Outcome::Hit);
    assert_eq!(world.origin.asked("/p"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_fill_goes_on_when_its_readers_leave_in_the_middle() {
    let world = World::new();
    let feed = world.origin.stream("/p", page(""));
    let reading = world.open("/p").await;
    feed.send("half ");
    world.settle().await;
    drop(reading);
    feed.send("whole");
    feed.end();
    world.quiet().await;
    world.visit("/p", &[]).await.is("half whole").was(Outcome::Hit);
}

#[tokio::test(start_paused = true)]
async fn stale_answers_at_once_and_starts_exactly_one_refresh() {
    let world = World::new();
    world.origin.on("/p", page("v1"));
    world.visit("/p", &[]).await.is("v1");
    world.advance(secs(11)).await;
    let held = world.origin.held("/p");
    let before = world.now();
    for _ in 0..5 {
        world.visit("/p", &[]).await.is("v1").was(Outcome::Stale);
    }
    assert_eq!(world.now(), before, "nobody waited");
    world.settle().await;
    assert_eq!(world.origin.asked("/p"), 2);
    world.advance(secs(3)).await;
    let seen = world.visit("/p", &[]).await;
    assert_eq!(seen.is("v1").cache_status, "larder; hit; ttl=-4");
    held.answer(page("v2"));
    world.quiet().await;
    world.visit("/p", &[]).await.is("v2").was(Outcome::Hit);
    assert_eq!(world.origin.asked("/p"), 2);
}

#[tokio::test(start_paused = true)]
async fn nobody_sees_anything_of_a_new_version_before_it_is_whole() {
    let world = World::new();
    world.origin.on("/p", page("old"));
    world.visit("/p", &[]).await.is("old");
    world.advance(secs(11)).await;
    let feed = world.origin.stream("/p", page(""));
    world.visit("/p", &[]).await.is("old");
    feed.send("ne");
    world.settle().await;
    world.visit("/p", &[]).await.is("old").by(How::Stored);
    feed.send("w");
    feed.end();
    world.quiet().await;
    world.visit("/p", &[]).await.is("new").was(Outcome::Hit);
}

#[tokio::test(start_paused = true)]
async fn a_window_sees_one_render_at_most() {
    let world = World::new();
    world.origin.on("/isr/p", page("same"));
    for _ in 0..150 {
        world.visit("/isr/p", &[]).await.is("same");
        world.quiet().await;
        world.advance(millis(700)).await;
    }
    let asked = world.origin.requests("/isr/p");
    assert!(asked.len() >= 9, "it was regenerated all along: {} requests", asked.len());
    for pair in asked.windows(2) {
        assert!(pair[1].at.since(pair[0].at) >= secs(10));
    }
}

#[tokio::test(start_paused = true)]
async fn without_visits_nothing_is_regenerated() {
    let world = World::new();
    world.origin.on("/isr/p", page("v1"));
    world.visit("/isr/p", &[]).await.is("v1");
    world.advance(secs(3600)).await;
    assert_eq!(world.origin.asked("/isr/p"), 1);
}

#[tokio::test(start_paused = true)]
async fn an_identical_result_starts_a_new_window_and_keeps_the_body_in_its_place() {
    let world = World::new();
    world.origin.on("/p", page("same"));
    world.visit("/p", &[]).await.is("same");
    let before = world.visit("/p", &[]).await.stored.unwrap();
    world.advance(secs(11)).await;
    world.visit("/p", &[]).await.was(Outcome::Stale);
    world.quiet().await;
    let after = world.visit("/p", &[]).await.was(Outcome::Hit).stored.clone().unwrap();
    assert_eq!(after.windows.generated.since(before.windows.generated), secs(11));
    assert_eq!(after.body.held().unwrap().as_ptr(), before.body.held().unwrap().as_ptr());
}

#[tokio::test(start_paused = true)]
async fn an_expired_page_waits_for_one_fill_with_everybody_who_comes() {
    let world = World::new();
    world.origin.on("/short/p", page("v1"));
    world.visit("/short/p", &[]).await.is("v1");
    world.advance(secs(61)).await;
    let held = world.origin.held("/short/p");
    let visits = world.start_many(4, "/short/p");
    world.settle().await;
    assert!(visits.iter().all(|v| !v.is_finished()));
    assert_eq!(world.origin.asked("/short/p"), 2);
    held.answer(page("v2"));
    for seen in all(visits).await {
        assert!(seen.is("v2").cache_status.starts_with("larder; fwd=stale"), "{}", seen.cache_status);
    }
    assert_eq!(world.origin.asked("/short/p"), 2);
}

#[tokio::test(start_paused = true)]
async fn an_expired_page_answers_when_the_fill_fails() {
    let world = World::new();
    world.origin.on("/short/p", page("v1"));
    world.visit("/short/p", &[]).await.is("v1");
    world.advance(secs(61)).await;
    let held = world.origin.held("/short/p");
    let visits = world.start_many(3, "/short/p");
    world.settle().await;
    held.answer(answer(503, &[], "sorry"));
    for seen in all(visits).await {
        assert_eq!(seen.is("v1").cache_status, "larder; fwd=stale; fwd-status=503");
    }
    assert_eq!(world.origin.asked("/short/p"), 2);
    let seen = world.visit("/short/p", &[]).await;
    assert!(seen.is("v1").cache_status.ends_with("detail=failing"), "{}", seen.cache_status);
    assert_eq!(world.origin.asked("/short/p"), 2);
}

#[tokio::test(start_paused = true)]
async fn must_revalidate_is_never_answered_stale() {
    for directive in ["must-revalidate", "proxy-revalidate", "no-cache"] {
        let world = World::new();
        world.origin.on("/p", page("v1").cache_control(&format!("s-maxage=10, {directive}")).field("etag", "\"1\""));
        world.visit("/p", &[]).await.is("v1");
        world.advance(secs(11)).await;
        world.origin.on("/p", answer(503, &[], "sorry"));
        let seen = world.visit("/p", &[]).await;
        assert_eq!((seen.status, seen.how), (503, How::Failed), "{directive}");
        world.origin.next("/p", Act::Fail(Failure::Connect));
        world.advance(secs(31)).await;
        assert_eq!(world.visit("/p", &[]).await.status, 502, "{directive}");
        world.origin.on("/p", page("v2"));
        world.advance(secs(31)).await;
        world.visit("/p", &[]).await.is("v2");
    }
}

#[tokio::test(start_paused = true)]
async fn bare_s_maxage_waits_when_stale_and_answers_when_the_origin_fails() {
    let world = World::new();
    world.origin.on("/p", page("v1").cache_control("s-maxage=10"));
    world.visit("/p", &[]).await.is("v1");
    world.advance(secs(11)).await;
    world.origin.on("/p", answer(500, &[], "sorry"));
    let seen = world.visit("/p", &[]).await;
    assert_eq!(seen.is("v1").cache_status, "larder; fwd=stale; fwd-status=500");
    world.advance(secs(86_400)).await;
    world.visit("/p", &[]).await.is("v1");
}

#[tokio::test(start_paused = true)]
async fn only_if_cached_never_reaches_the_origin() {
    let world = World::new();
    let only = [("cache-control", "only-if-cached")];
    let seen = world.visit("/p", &only).await;
    assert_eq!((seen.status, seen.how), (504, How::Unsatisfiable));
    assert_eq!(world.origin.asked("/p") + world.origin.passed("/p"), 0);
    world.origin.on("/p", page("v1"));
    world.visit("/p", &[]).await.is("v1");
    world.visit("/p", &only).await.is("v1").was(Outcome::Hit);
}

#[tokio::test(start_paused = true)]
async fn a_range_of_what_is_absent_is_passed_untouched() {
    let world = World::new();
    world.origin.on("/p", page("v1"));
    world.visit("/p", &[("range", "bytes=0-0")]).await.is("v1").by(How::Passed);
    assert_eq!((world.origin.asked("/p"), world.origin.passed("/p")), (0, 1));
    world.visit("/p", &[]).await.is("v1");
    world.visit("/p", &[("range", "bytes=0-0")]).await.by(How::Stored);
}

#[tokio::test(start_paused = true)]
async fn a_lead_that_panics_frees_its_followers() {
    let world = World::new();
    let held = world.origin.held("/p");
    let visits = world.start_many(5, "/p");
    world.settle().await;
    world.origin.on("/p", page("v1"));
    held.answer(Act::Panic);
    for seen in all(visits).await {
        seen.is("v1");
    }
    assert_eq!(world.origin.asked("/p"), 2);
    assert_eq!(world.engine.fills(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_panics_is_tried_again_after_the_usual_pause() {
    let world = World::new();
    world.origin.on("/isr/p", page("v1"));
    world.visit("/isr/p", &[]).await.is("v1");
    world.advance(secs(11)).await;
    world.origin.next("/isr/p", Act::Panic);
    world.origin.on("/isr/p", page("v2"));
    world.visit("/isr/p", &[]).await.is("v1");
    world.quiet().await;
    world.visit("/isr/p", &[]).await.is("v1");
    world.quiet().await;
    assert_eq!(world.origin.asked("/isr/p"), 2);
    world.advance(secs(10)).await;
    world.visit("/isr/p", &[]).await.is("v1");
    world.quiet().await;
    world.visit("/isr/p", &[]).await.is("v2");
}
