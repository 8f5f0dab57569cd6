//! Pages that are generated before anybody asks for them (semantics 24).

use crate::support::{Setup, World, answer, page, secs};
use engine::gate::GateSettings;
use engine::origin::Kind;
use engine::{Prerendered, Unless};
use semantics::Outcome;

#[tokio::test(start_paused = true)]
async fn a_prerendered_page_is_a_hit_for_its_first_visitor() {
    let world = World::new();
    world.origin.on("/isr/p", page("v1"));
    assert!(matches!(world.prerender("/isr/p", Unless::Stored).await, Prerendered::Stored { .. }));
    world.visit("/isr/p", &[]).await.is("v1").was(Outcome::Hit);
    let asked = world.origin.requests("/isr/p");
    assert_eq!((asked.len(), asked[0].kind), (1, Kind::Prerender));
}

#[tokio::test(start_paused = true)]
async fn what_is_stored_is_left_and_what_is_due_is_rendered_where_that_is_wanted() {
    let world = World::new();
    world.origin.on("/isr/p", page("v1"));
    world.visit("/isr/p", &[]).await.is("v1");
    for unless in [Unless::Stored, Unless::Fresh] {
        assert!(matches!(world.prerender("/isr/p", unless).await, Prerendered::LeftAsItIs));
    }
    world.advance(secs(11)).await;
    assert!(matches!(world.prerender("/isr/p", Unless::Stored).await, Prerendered::LeftAsItIs));
    world.origin.on("/isr/p", page("v2"));
    assert!(matches!(world.prerender("/isr/p", Unless::Fresh).await, Prerendered::Stored { .. }));
    world.visit("/isr/p", &[]).await.is("v2").was(Outcome::Hit);
}

#[tokio::test(start_paused = true)]
async fn a_page_that_fails_says_why_and_loses_nothing() {
    let world = World::new();
    world.origin.on("/isr/p", answer(500, &[], ""));
    let Prerendered::Failed(failed) = world.prerender("/isr/p", Unless::Stored).await else { panic!("it failed") };
    assert_eq!(failed.failure.status(), Some(500));
    world.origin.on("/isr/q", page("v1"));
    world.visit("/isr/q", &[]).await.is("v1");
    world.advance(secs(11)).await;
    world.origin.on("/isr/q", answer(500, &[], ""));
    assert!(matches!(world.prerender("/isr/q", Unless::Fresh).await, Prerendered::Failed(_)));
    world.visit("/isr/q", &[]).await.is("v1").was(Outcome::Stale);
    assert!(matches!(world.prerender("/isr/q", Unless::Fresh).await, Prerendered::LeftAsItIs), "not before its time");
}

#[tokio::test(start_paused = true)]
async fn what_may_not_be_stored_is_told_by_its_reason() {
    let world = World::new();
    world.origin.on("/isr/p", page("mine").cache_control("private"));
    let Prerendered::NotStored(why) = world.prerender("/isr/p", Unless::Stored).await else { panic!("not stored") };
    assert_eq!(why, "too-large or not cacheable");
    let Prerendered::NotStored(why) = world.prerender("/isr/p", Unless::Stored).await else { panic!("not stored") };
    assert_eq!(why, "private");
}

/// One place at the origin, and it is taken.
fn narrow() -> World {
    let one = GateSettings { max_concurrent: 1, queue: 100 };
    World::with(Setup { refreshes: one, ..Setup::default() })
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_a_visitor_caused_goes_before_prerenders_that_wait_longer() {
    let world = narrow();
    world.origin.on("/isr/p", page("v1").delay(secs(1)));
    world.visit("/isr/p", &[]).await.is("v1");
    world.advance(secs(11)).await;
    for n in 0..3 {
        world.origin.on(&format!("/isr/{n}"), page("pre").delay(secs(1)));
    }
    let orders: Vec<_> = (0..3).map(|n| world.order_prerender(&format!("/isr/{n}"))).collect();
    world.settle().await;
    world.visit("/isr/p", &[]).await.was(Outcome::Stale);
    for order in orders {
        assert!(matches!(order.await.unwrap(), Prerendered::Stored { .. }));
    }
    let at = |path: &str| world.origin.requests(path).last().unwrap().at;
    assert!(at("/isr/0") < at("/isr/p") && at("/isr/p") < at("/isr/1") && at("/isr/p") < at("/isr/2"));
}

#[tokio::test(start_paused = true)]
async fn a_visitor_does_not_wait_in_the_line_of_the_prerender_that_he_joins() {
    let world = narrow();
    world.origin.on("/isr/slow", page("slow").delay(secs(8)));
    world.origin.on("/isr/p", page("v1"));
    let slow = world.order_prerender("/isr/slow");
    world.settle().await;
    let waiting = world.order_prerender("/isr/p");
    world.settle().await;
    assert_eq!(world.origin.asked("/isr/p"), 0);
    let before = world.now();
    world.visit("/isr/p", &[]).await.is("v1").was(Outcome::Collapsed);
    assert!(world.now().since(before) < secs(1));
    assert!(matches!(waiting.await.unwrap(), Prerendered::Stored { .. }));
    assert!(matches!(slow.await.unwrap(), Prerendered::Stored { .. }));
    assert_eq!(world.origin.asked("/isr/p"), 1);
}
