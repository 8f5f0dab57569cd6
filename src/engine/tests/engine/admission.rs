//! What crawlers and made-up URLs may cost: `admit_after` and `renders_per_minute`.

use crate::support::{World, all, answer, page, secs};
use semantics::policy::Revalidate;
use semantics::{Outcome, Policy};

fn admitting_after(requests: u32) -> World {
    World::routing("/", Policy { admit_after: requests, ..Policy::isr(Revalidate::Every(secs(10))) })
}

fn rendering(per_minute: u32) -> World {
    World::routing("/", Policy { renders_per_minute: Some(per_minute), ..Policy::isr(Revalidate::Every(secs(10))) })
}

#[tokio::test(start_paused = true)]
async fn a_page_is_stored_from_the_nth_request_for_it_on() {
    let world = admitting_after(3);
    world.origin.on("/p", page("v1"));
    for _ in 0..2 {
        let seen = world.visit("/p", &[]).await;
        seen.is("v1").was(Outcome::Miss);
        assert!(!seen.cache_status.contains("stored"), "{}", seen.cache_status);
        assert_eq!(world.engine.usage().entries, 0);
    }
    let third = world.visit("/p", &[]).await;
    assert!(third.is("v1").cache_status.contains("stored"), "{}", third.cache_status);
    world.visit("/p", &[]).await.is("v1").was(Outcome::Hit);
    assert_eq!(world.origin.asked("/p"), 3);
    assert_eq!(world.metric(r#"larder_uncacheable_total{route="/",reason="not-admitted"}"#), 2);
}

#[tokio::test(start_paused = true)]
async fn requests_that_are_too_far_apart_do_not_count_together() {
    let world = admitting_after(2);
    world.origin.on("/p", page("v1"));
    world.visit("/p", &[]).await.is("v1");
    world.advance(secs(601)).await;
    world.visit("/p", &[]).await.is("v1");
    assert_eq!(world.engine.usage().entries, 0);
    world.visit("/p", &[]).await.is("v1");
    assert_eq!(world.engine.usage().entries, 1);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_page_that_is_not_admitted_shares_its_one_render_and_counts() {
    let world = admitting_after(100);
    world.origin.on("/p", page("v1").delay(secs(1)));
    for seen in all(world.start_many(50, "/p")).await {
        seen.is("v1");
    }
    assert_eq!((world.origin.asked("/p"), world.engine.usage().entries), (1, 0));
    for seen in all(world.start_many(50, "/p")).await {
        seen.is("v1");
    }
    assert_eq!((world.origin.asked("/p"), world.engine.usage().entries), (2, 1), "the hundredth has come");
}

#[tokio::test(start_paused = true)]
async fn made_up_urls_leave_nothing_in_the_store_also_where_answers_vary() {
    let world = admitting_after(2);
    for n in 0..50 {
        let path = format!("/{n}");
        world.origin.on(&path, page("v1").field("vary", "accept-language"));
        world.visit(&path, &[("accept-language", "de")]).await.is("v1");
    }
    assert_eq!(world.engine.usage().entries, 0);
}

#[tokio::test(start_paused = true)]
async fn what_an_operator_orders_is_stored_though_nobody_asked_for_it() {
    let world = admitting_after(5);
    world.origin.on("/p", page("v1"));
    world.regenerate("/p", &[]).await.unwrap();
    world.visit("/p", &[]).await.is("v1").was(Outcome::Hit);
}

#[tokio::test(start_paused = true)]
async fn new_pages_beyond_the_budget_are_refused_and_told_when_to_come_again() {
    let world = rendering(5);
    for n in 0..10 {
        world.origin.on(&format!("/{n}"), page("v1"));
    }
    let mut refused = 0;
    for n in 0..10 {
        let seen = world.visit(&format!("/{n}"), &[]).await;
        match seen.status {
            200 => assert!(n < 5),
            503 => refused += 1,
            other => panic!("{other}"),
        }
    }
    assert_eq!((refused, world.origin.asked("/7")), (5, 0));
    world.visit("/0", &[]).await.is("v1").was(Outcome::Hit);
    world.advance(secs(13)).await;
    world.visit("/7", &[]).await.is("v1").was(Outcome::Miss);
}

#[tokio::test(start_paused = true)]
async fn stored_pages_are_refreshed_before_new_ones_and_stay_when_the_budget_is_used_up() {
    let world = rendering(2);
    world.origin.on("/p", page("v1"));
    world.visit("/p", &[]).await.is("v1");
    world.origin.on("/new", page("new"));
    world.visit("/new", &[]).await.is("new");
    world.advance(secs(11)).await;
    world.origin.on("/p", page("v2"));
    world.visit("/p", &[]).await.is("v1").was(Outcome::Stale);
    world.quiet().await;
    world.visit("/p", &[]).await.is("v2").was(Outcome::Hit);
    for v in 3..6 {
        world.advance(secs(11)).await;
        world.origin.on("/p", page(format!("v{v}")));
        let seen = world.visit("/p", &[]).await;
        assert_eq!(seen.status, 200);
        assert!(!seen.cache_status.contains("failing"), "{}", seen.cache_status);
        world.quiet().await;
    }
    assert!(world.metric(r#"larder_refresh_failures_total{route="/",reason="render-budget"}"#) > 0);
    world.origin.on("/other", answer(200, &[], "x"));
    assert_eq!(world.visit("/other", &[]).await.status, 503, "no new page while the debt lasts");
}
