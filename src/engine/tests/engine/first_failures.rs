//! Nothing is stored, and the first generation fails: everybody who waited shares that failure (semantics 27).

use crate::support::{Act, How, Setup, World, all, answer, millis, page, secs};
use semantics::Outcome;
use semantics::settlement::Failure;

#[tokio::test(start_paused = true)]
async fn everybody_who_waited_gets_the_same_failure() {
    let world = World::new();
    let held = world.origin.held("/p");
    let visits = world.start_many(5, "/p");
    world.settle().await;
    held.answer(answer(503, &[("content-type", "text/plain")], "back at noon"));
    for seen in all(visits).await {
        assert_eq!((seen.status, seen.body.as_str(), seen.how), (503, "back at noon", How::Failed));
        assert_eq!(seen.field("content-type"), Some("text/plain"));
        assert!(seen.cache_status.starts_with("larder; fwd=uri-miss; fwd-status=503"), "{}", seen.cache_status);
    }
    assert_eq!(world.origin.asked("/p"), 1);
}

#[tokio::test(start_paused = true)]
async fn for_a_second_after_it_others_get_it_too_and_then_the_origin_is_asked_again() {
    for path in ["/p", "/isr/p"] {
        let world = World::new();
        world.origin.on(path, answer(500, &[], "sorry"));
        assert_eq!(world.visit(path, &[]).await.status, 500);
        world.advance(millis(999)).await;
        assert_eq!(world.visit(path, &[]).await.body, "sorry");
        assert_eq!(world.origin.asked(path), 1);
        world.origin.on(path, page("v1"));
        world.advance(millis(1)).await;
        world.visit(path, &[]).await.is("v1");
        assert_eq!(world.origin.asked(path), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn without_an_answer_the_status_says_what_went_wrong() {
    for (act, status) in [
        (Act::Fail(Failure::Connect), 502),
        (Act::Fail(Failure::Malformed), 502),
        (Act::Fail(Failure::Timeout), 504),
        (Act::Hang, 504),
        (Act::Reply(page("page").truncated(2)), 502),
        (Act::Reply(answer(301, &[("location", "/p")], "")), 502),
    ] {
        let world = World::new();
        world.origin.next("/p", act);
        let seen = world.visit("/p", &[]).await;
        assert_eq!((seen.status, seen.how, seen.outcome), (status, How::Failed, Outcome::Miss));
        assert_eq!(world.engine.usage().entries, 0);
        assert_eq!(world.engine.fills(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_304_that_nobody_asked_for_is_a_failure_after_the_second() {
    let world = World::new();
    world.origin.on("/p", answer(304, &[], ""));
    assert_eq!(world.visit("/p", &[]).await.status, 502);
    assert_eq!(world.origin.asked("/p"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_fill_has_a_deadline_in_all() {
    let world = World::with(Setup { total: secs(4), ..Setup::default() });
    world.origin.on("/p", page("x".repeat(100)).pieces(100, millis(100)));
    let visit = world.start("/p", &[]);
    world.advance(millis(3_900)).await;
    assert!(!visit.is_finished());
    world.advance(millis(200)).await;
    let seen = visit.await.unwrap();
    assert_eq!(seen.broken, Some(Failure::Timeout), "it broke off, and did not end as if it were whole");
    assert_eq!(world.engine.usage().entries, 0);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_off_breaks_off_for_its_readers_too() {
    let world = World::new();
    let feed = world.origin.stream("/p", page(""));
    let mut first = world.open("/p").await;
    feed.send("half");
    world.settle().await;
    assert_eq!(first.ready().await.as_deref(), Some("half"));
    let late = world.open("/p").await;
    feed.breaks(Failure::Truncated);
    assert_eq!(first.rest().await, Err(Failure::Truncated));
    assert_eq!(late.rest().await, Err(Failure::Truncated));
    let seen = world.visit("/p", &[]).await;
    assert_eq!((seen.status, seen.how), (502, How::Failed), "shared for a second");
    assert_eq!(world.origin.asked("/p"), 1);
    world.origin.on("/p", page("whole"));
    world.advance(secs(1)).await;
    world.visit("/p", &[]).await.is("whole");
}

#[tokio::test(start_paused = true)]
async fn the_origins_own_words_are_passed_on_only_when_they_are_whole() {
    for words in [
        answer(503, &[], "back at noon").truncated(4),
        answer(503, &[], "back at noon").stalls(4),
        answer(503, &[], "back at noon").pieces(12, secs(1)).chunked(),
        answer(503, &[], "x".repeat(65 * 1024)),
    ] {
        let world = World::new();
        world.origin.on("/p", words);
        let seen = world.visit("/p", &[]).await;
        assert_eq!(seen.status, 503);
        assert_eq!(seen.body, "the origin answered 503 Service Unavailable", "Larder's words, and no torn ones");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_never_stored_whatever_it_says() {
    for status in [500, 503, 408, 425, 429] {
        let world = World::new();
        world.origin.on("/p", answer(status, &[("cache-control", "public, s-maxage=600")], "no"));
        assert_eq!(world.visit("/p", &[]).await.status, status);
        world.origin.on("/p", page("v1"));
        world.advance(secs(1)).await;
        world.visit("/p", &[]).await.is("v1");
    }
}
