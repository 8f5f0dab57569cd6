//! An origin with a cache of its own, that says when it answers with something stale (semantics 23).

use crate::support::{Reply, World, at, page, secs};
use semantics::policy::Revalidate;
use semantics::{Outcome, Policy};
use std::time::Duration;

fn marked(body: &str) -> Reply {
    page(body).field("x-nextjs-cache", "STALE")
}

/// A stale `v1` on an ISR route, rendered in so much time.
async fn stale(render: Duration) -> World {
    let world = World::new();
    world.origin.on("/isr/p", page("v1").delay(render));
    world.visit("/isr/p", &[]).await.is("v1");
    world.advance(secs(11)).await;
    world
}

#[tokio::test(start_paused = true)]
async fn a_first_answer_that_is_stale_is_served_and_stored_as_stale() {
    for mark in [("x-nextjs-cache", "STALE"), ("cache-status", "\"Next.js\"; hit; ttl=-3")] {
        let world = World::new();
        world.origin.next("/isr/p", page("old").field(mark.0, mark.1));
        world.origin.on("/isr/p", page("new"));
        world.visit("/isr/p", &[]).await.is("old").was(Outcome::Miss);
        world.visit("/isr/p", &[]).await.is("old").was(Outcome::Stale);
        world.quiet().await;
        world.visit("/isr/p", &[]).await.is("new").was(Outcome::Hit);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_gets_something_stale_asks_again_for_what_is_rendered_behind_it() {
    let world = stale(Duration::ZERO).await;
    world.origin.next("/isr/p", marked("v1"));
    world.origin.on("/isr/p", page("v2"));
    world.visit("/isr/p", &[]).await.is("v1");
    world.quiet().await;
    world.visit("/isr/p", &[]).await.is("v2").was(Outcome::Hit);
    let asked = world.origin.requests("/isr/p");
    assert_eq!(asked.len(), 3);
    assert!(asked[2].at.since(asked[1].at) >= Duration::from_millis(250));
}

#[tokio::test(start_paused = true)]
async fn a_refresh_asks_twice_in_all_where_a_render_is_quick_and_five_times_where_it_is_slow() {
    for (render, requests) in [(Duration::ZERO, 2), (secs(1), 5)] {
        let world = stale(render).await;
        world.origin.on("/isr/p", marked("v1"));
        world.visit("/isr/p", &[]).await.is("v1");
        world.quiet().await;
        assert_eq!(world.origin.asked("/isr/p"), 1 + requests);
        world.visit("/isr/p", &[]).await.is("v1").was(Outcome::Stale);
        world.quiet().await;
        assert_eq!(world.origin.asked("/isr/p"), 1 + requests, "it is left alone for a while");
    }
}

/// With its retries used up, the back-off is that of any failure: clamp(R, 3 s, 30 s), here 10 s.
#[tokio::test(start_paused = true)]
async fn with_its_retries_used_up_a_regeneration_waits_for_the_usual_pause() {
    let world = stale(Duration::ZERO).await;
    world.origin.on("/isr/p", marked("v1"));
    world.visit("/isr/p", &[]).await.is("v1");
    world.quiet().await;
    world.origin.on("/isr/p", page("v2"));
    world.advance(secs(9)).await;
    world.visit("/isr/p", &[]).await.is("v1").was(Outcome::Stale);
    world.quiet().await;
    assert_eq!(world.origin.asked("/isr/p"), 3);
    world.advance(secs(1)).await;
    world.visit("/isr/p", &[]).await.is("v1").was(Outcome::Stale);
    world.quiet().await;
    world.visit("/isr/p", &[]).await.is("v2").was(Outcome::Hit);
}

/// A render so slow that its retries do not fit into one fill's deadline is no failure of the origin.
#[tokio::test(start_paused = true)]
async fn retries_end_with_the_deadline_and_leave_the_stale_answer() {
    let world = stale(secs(8)).await;
    world.origin.on("/isr/p", marked("v2").delay(Duration::from_millis(5)));
    world.visit("/isr/p", &[]).await.is("v1");
    world.quiet().await;
    let seen = world.visit("/isr/p", &[]).await;
    assert_eq!((seen.body.as_str(), seen.outcome), ("v2", Outcome::Stale), "{}", seen.cache_status);
    assert!(!seen.cache_status.contains("failing"), "{}", seen.cache_status);
}

#[tokio::test(start_paused = true)]
async fn what_must_be_revalidated_is_not_served_because_it_came_stale() {
    let world = World::new();
    world.origin.next("/p", marked("old").cache_control("s-maxage=10, must-revalidate"));
    world.origin.on("/p", page("new"));
    world.visit("/p", &[]).await.is("old");
    world.visit("/p", &[]).await.is("new");
}

/// Behind a cache of the origin's own a quick render may still take longer than the first wait: it is waited for longer
/// the next time, and for as long as it needs that.
#[tokio::test(start_paused = true)]
async fn a_render_that_was_not_there_in_time_is_given_more_the_next_time() {
    let world = stale(Duration::ZERO).await;
    world.origin.on("/isr/p", marked("v1"));
    world.visit("/isr/p", &[]).await.is("v1");
    world.quiet().await;
    for version in ["v2", "v3"] {
        world.advance(secs(11)).await;
        let before = world.origin.asked("/isr/p");
        world.origin.next("/isr/p", marked("old"));
        world.origin.on("/isr/p", page(version));
        world.visit("/isr/p", &[]).await.was(Outcome::Stale);
        world.quiet().await;
        world.visit("/isr/p", &[]).await.is(version).was(Outcome::Hit);
        let asked = world.origin.requests("/isr/p");
        assert_eq!(asked.len(), before + 2);
        let waited = asked[before + 1].at.since(asked[before].at);
        assert!(waited >= secs(1) && waited < secs(2), "{waited:?}");
    }
}

/// Two servers with a cache each: what one of them renders, the other does not have.
#[tokio::test(start_paused = true)]
async fn the_server_that_answered_with_something_stale_is_asked_again() {
    let world = stale(Duration::ZERO).await;
    world.origin.next("/isr/p", marked("v1").by_server(1));
    world.origin.on("/isr/p", page("v2"));
    world.visit("/isr/p", &[]).await.is("v1");
    world.quiet().await;
    let asked: Vec<_> = world.origin.requests("/isr/p").iter().map(|a| a.server).collect();
    assert_eq!(asked, [None, None, Some(1)]);
}

/// Next.js renders anew for whoever knows its secret.
#[tokio::test(start_paused = true)]
async fn after_an_invalidation_the_framework_s_secret_makes_its_cache_render_anew() {
    let policy = Policy { draft_secret: Some("s3cret".to_owned()), ..Policy::isr(Revalidate::Every(secs(10))) };
    let world = World::routing("/", policy);
    world.origin.on("/p", page("v1"));
    world.visit("/p", &[]).await.is("v1");
    world.advance(secs(11)).await;
    world.visit("/p", &[]).await;
    world.quiet().await;
    world.soft(at("/p"));
    world.visit("/p", &[]).await;
    world.quiet().await;
    world.regenerate("/p", &[]).await.unwrap();
    let asked = world.origin.requests("/p");
    let secrets: Vec<_> = asked.iter().map(|a| a.field("x-prerender-revalidate")).collect();
    assert_eq!(secrets, [None, None, Some("s3cret"), Some("s3cret")]);
}
