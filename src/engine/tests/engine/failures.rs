//! A regeneration that fails keeps the page, and leaves the origin alone for a while (semantics 28-33).

use crate::support::{Act, How, Reply, World, answer, millis, page, secs};
use semantics::policy::{OnUncacheable, Revalidate};
use semantics::settlement::Failure;
use semantics::{Outcome, Policy, time};
use std::time::Duration;

/// Everything that is no success, by name: what the origin does, request by request, in one regeneration.
fn failures(path: &str) -> Vec<(String, Vec<Act>)> {
    let mut all: Vec<(String, Vec<Act>)> = Vec::new();
    for status in [500, 502, 503, 504, 599, 408, 425, 429, 400, 405, 418, 401, 403, 407, 206, 204, 302, 303, 307] {
        all.push((status.to_string(), vec![answer(status, &[], "").into()]));
    }
    let boast = [("cache-control", "public, s-maxage=60")];
    all.push(("503 that may be cached".into(), vec![answer(503, &boast, "no").into()]));
    all.push(("403 that may be cached".into(), vec![answer(403, &boast, "no").into()]));
    all.push(("204 that may be cached".into(), vec![answer(204, &boast, "").into()]));
    for failure in [Failure::Connect, Failure::Timeout, Failure::Truncated, Failure::Malformed] {
        all.push((failure.as_str().into(), vec![Act::Fail(failure)]));
    }
    let mut reply = |name: &str, reply: Reply| all.push((name.to_owned(), vec![reply.into()]));
    reply("empty", page(""));
    reply("empty and chunked", page("").chunked());
    reply("truncated", page("version two").truncated(7));
    reply("stalled", page("version two").stalls(7));
    reply("close-delimited", page("version two").close_delimited());
    reply("larger than max_object", page("x".repeat(10_001)));
    reply("larger than max_object, as it turns out", page("x".repeat(10_001)).chunked());
    for status in [301, 302, 303, 307, 308] {
        for to in ["http://example.test", "https://example.test", "//example.test", ""] {
            let location = format!("{to}{path}");
            let redirect = answer(status, &boast, "moved").field("location", &location);
            all.push((format!("{status} to {location}"), vec![redirect.into()]));
        }
    }
    all.push(("hangs".into(), vec![Act::Hang]));
    let not_modified = || Act::from(answer(304, &[("etag", "\"unheard of\"")], ""));
    all.push(("304 out of nothing, twice".into(), vec![not_modified(), not_modified()]));
    all
}

async fn is_kept(path: &str, name: &str, acts: Vec<Act>) {
    let world = World::new();
    world.origin.on(path, page("v1"));
    world.visit(path, &[]).await.is("v1");
    world.advance(secs(11)).await;
    let requests = acts.len();
    for act in acts {
        world.origin.next(path, act);
    }
    world.origin.on(path, page("v2"));
    world.visit(path, &[]).await.is("v1");
    world.quiet().await;
    let seen = world.visit(path, &[]).await;
    assert_eq!((seen.status, seen.body.as_str()), (200, "v1"), "{name}");
    assert!(seen.cache_status.ends_with("; detail=failing"), "{name}: {}", seen.cache_status);
    world.quiet().await;
    assert_eq!(world.origin.asked(path), 1 + requests, "{name}");
    world.advance(secs(10)).await;
    assert_eq!(world.visit(path, &[]).await.body, "v1", "{name}");
    world.quiet().await;
    let seen = world.visit(path, &[]).await;
    assert_eq!((seen.body.as_str(), seen.outcome), ("v2", Outcome::Hit), "{name}: it heals");
}

#[tokio::test(start_paused = true)]
async fn every_failure_keeps_an_isr_page() {
    for (name, acts) in failures("/isr/p") {
        is_kept("/isr/p", &name, acts).await;
    }
}

#[tokio::test(start_paused = true)]
async fn every_failure_keeps_a_header_driven_page() {
    for (name, acts) in failures("/p") {
        is_kept("/p", &name, acts).await;
    }
}

/// Visits when the page is stale, with an origin that fails so, and says how long it is then left alone.
async fn is_left_alone(window: u64, reply: Reply, pause: Duration) {
    let world = World::new();
    let lifetime = format!("s-maxage={window}, stale-while-revalidate=7200");
    world.origin.on("/p", page("v1").cache_control(&lifetime));
    world.visit("/p", &[]).await.is("v1");
    world.advance(secs(window)).await;
    world.origin.on("/p", reply);
    for round in 1..4 {
        world.visit("/p", &[]).await.is("v1");
        world.quiet().await;
        assert_eq!(world.origin.asked("/p"), 1 + round, "{window} s, attempt {round}");
        world.advance(pause - millis(100)).await;
        for _ in 0..3 {
            world.visit("/p", &[]).await.is("v1");
            world.quiet().await;
        }
        assert_eq!(world.origin.asked("/p"), 1 + round, "{window} s, too early after attempt {round}");
        world.advance(millis(100)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_the_origin_is_left_alone_for_the_window_but_3_s_at_least_and_30_s_at_most() {
    for (window, pause) in [(1, 3), (10, 10), (120, 30)] {
        is_left_alone(window, answer(503, &[], "sorry"), secs(pause)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_honoured_up_to_ten_minutes() {
    for (asks_for, pause) in [("120", 120), ("600", 600), ("86400", 600), ("1", 10), ("soon", 10)] {
        for status in [503, 429] {
            is_left_alone(10, answer(status, &[("retry-after", asks_for)], "sorry"), secs(pause)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_may_be_a_date() {
    let world = World::new();
    world.origin.on("/p", page("v1").cache_control("s-maxage=10, stale-while-revalidate=7200"));
    world.visit("/p", &[]).await.is("v1");
    world.advance(secs(10)).await;
    let until = time::http_date(world.now().after(secs(100)));
    world.origin.on("/p", answer(503, &[("retry-after", until.as_str())], "sorry"));
    world.visit("/p", &[]).await.is("v1");
    world.advance(secs(99)).await;
    world.visit("/p", &[]).await.is("v1");
    world.quiet().await;
    assert_eq!(world.origin.asked("/p"), 2);
    world.advance(secs(1)).await;
    world.visit("/p", &[]).await.is("v1");
    world.quiet().await;
    assert_eq!(world.origin.asked("/p"), 3);
}

#[tokio::test(start_paused = true)]
async fn gone_replaces_the_page_and_heals() {
    for path in ["/isr/p", "/p"] {
        for status in [404, 410] {
            let world = World::new();
            world.origin.on(path, page("v1"));
            world.visit(path, &[]).await.is("v1");
            world.advance(secs(11)).await;
            let gone = answer(status, &[("cache-control", "s-maxage=10, stale-while-revalidate=60")], "gone");
            world.origin.next(path, gone);
            world.origin.on(path, page("v2"));
            world.visit(path, &[]).await.is("v1");
            world.quiet().await;
            let seen = world.visit(path, &[]).await;
            assert_eq!((seen.status, seen.body.as_str(), seen.outcome), (status, "gone", Outcome::Hit));
            world.advance(secs(11)).await;
            assert_eq!(world.visit(path, &[]).await.status, status);
            world.quiet().await;
            world.visit(path, &[]).await.is("v2").was(Outcome::Hit);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn gone_without_a_lifetime_stays_a_minute_at_most() {
    let world = World::routing("/long/", Policy::isr(Revalidate::Every(secs(3600))));
    world.origin.on("/long/p", page("v1"));
    world.visit("/long/p", &[]).await.is("v1");
    world.advance(secs(3601)).await;
    world.origin.next("/long/p", answer(404, &[], "gone"));
    world.origin.on("/long/p", page("v2"));
    world.visit("/long/p", &[]).await.is("v1");
    world.quiet().await;
    assert_eq!(world.visit("/long/p", &[]).await.was(Outcome::Hit).status, 404);
    world.advance(secs(60)).await;
    world.visit("/long/p", &[]).await.was(Outcome::Stale);
    world.quiet().await;
    world.visit("/long/p", &[]).await.is("v2");
}

#[tokio::test(start_paused = true)]
async fn a_404_that_breaks_off_replaces_nothing() {
    for path in ["/isr/p", "/p"] {
        let world = World::new();
        world.origin.on(path, page("v1"));
        world.visit(path, &[]).await.is("v1");
        world.advance(secs(11)).await;
        world.origin.next(path, answer(404, &[], "not found").truncated(3));
        world.visit(path, &[]).await.is("v1");
        world.quiet().await;
        world.visit(path, &[]).await.is("v1");
    }
}

#[tokio::test(start_paused = true)]
async fn keep_on_keeps_the_page() {
    let policy = Policy { keep_on: vec![404], ..Policy::isr(Revalidate::Every(secs(10))) };
    let world = World::routing("/kept/", policy);
    world.origin.on("/kept/p", page("v1"));
    world.visit("/kept/p", &[]).await.is("v1");
    world.advance(secs(11)).await;
    world.origin.on("/kept/p", answer(404, &[], "gone"));
    world.visit("/kept/p", &[]).await.is("v1");
    world.quiet().await;
    world.visit("/kept/p", &[]).await.is("v1");
}

#[tokio::test(start_paused = true)]
async fn unavailable_for_legal_reasons_replaces_at_once() {
    let world = World::new();
    world.origin.on("/isr/p", page("v1"));
    world.visit("/isr/p", &[]).await.is("v1");
    world.advance(secs(11)).await;
    world.origin.on("/isr/p", answer(451, &[], "blocked"));
    world.visit("/isr/p", &[]).await.is("v1");
    world.quiet().await;
    let seen = world.visit("/isr/p", &[]).await;
    assert_eq!((seen.status, seen.body.as_str()), (451, "blocked"));
}

#[tokio::test(start_paused = true)]
async fn a_page_is_kept_for_an_hour_of_denial_and_then_goes() {
    for status in [401, 403] {
        let world = World::new();
        world.origin.on("/isr/p", page("v1"));
        world.visit("/isr/p", &[]).await.is("v1");
        world.origin.on("/isr/p", answer(status, &[], "members only"));
        for minute in 1..=60 {
            world.advance(secs(60)).await;
            assert_eq!(world.visit("/isr/p", &[]).await.body, "v1", "{status}, minute {minute}");
            world.quiet().await;
        }
        world.advance(secs(120)).await;
        world.visit("/isr/p", &[]).await;
        world.quiet().await;
        world.advance(secs(2)).await;
        let seen = world.visit("/isr/p", &[]).await;
        assert_eq!((seen.status, seen.body.as_str()), (status, "members only"));
    }
}

#[tokio::test(start_paused = true)]
async fn any_other_failure_interrupts_the_hour_of_denial() {
    let world = World::new();
    world.origin.on("/isr/p", page("v1"));
    world.visit("/isr/p", &[]).await.is("v1");
    for minute in 1..=100 {
        world.origin.on("/isr/p", answer(if minute == 50 { 503 } else { 403 }, &[], "no"));
        world.advance(secs(60)).await;
        assert_eq!(world.visit("/isr/p", &[]).await.body, "v1", "minute {minute}");
        world.quiet().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_header_driven_page_that_becomes_private_is_dropped_at_once() {
    for directive in ["private", "no-store"] {
        let world = World::new();
        world.origin.on("/p", page("v1"));
        world.visit("/p", &[]).await.is("v1");
        world.advance(secs(11)).await;
        world.origin.on("/p", page("yours").cache_control(directive));
        world.visit("/p", &[]).await.is("v1");
        world.quiet().await;
        world.visit("/p", &[]).await.is("yours").by(How::Passed);
        world.visit("/p", &[]).await.is("yours").by(How::Passed);
        assert_eq!(world.origin.asked("/p"), 2);
    }
}

/// How often the origin says `private` at this distance before the page is gone; it visits seven times.
async fn private_answers_until_gone(apart: Duration, policy: Policy) -> Option<usize> {
    let world = World::routing("/mine/", policy);
    world.origin.on("/mine/p", page("v1"));
    world.visit("/mine/p", &[]).await.is("v1");
    world.origin.on("/mine/p", page("yours").cache_control("private"));
    world.advance(secs(11)).await;
    for round in 1..8 {
        world.visit("/mine/p", &[]).await;
        world.quiet().await;
        if world.engine.usage().entries == 0 {
            return Some(round);
        }
        world.advance(apart).await;
    }
    None
}

#[tokio::test(start_paused = true)]
async fn an_isr_page_that_becomes_private_goes_after_three_times_in_a_row_half_a_minute_apart() {
    let keep = Policy::isr(Revalidate::Every(secs(10)));
    assert_eq!(private_answers_until_gone(secs(30), keep.clone()).await, Some(3));
    assert_eq!(private_answers_until_gone(secs(10), keep.clone()).await, Some(7));
    let at_once = Policy { on_uncacheable: OnUncacheable::Drop, ..keep };
    assert_eq!(private_answers_until_gone(secs(10), at_once).await, Some(1));
}
