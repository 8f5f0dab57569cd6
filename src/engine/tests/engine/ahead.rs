//! Pages that somebody keeps asking for are regenerated before their window ends (`refresh_ahead`).

use crate::support::{World, millis, page, secs};
use engine::origin::Kind;
use semantics::policy::Revalidate;
use semantics::{Outcome, Policy};

fn ahead(window: u64) -> World {
    World::routing("/", Policy { refresh_ahead: true, ..Policy::isr(Revalidate::Every(secs(window))) })
}

#[tokio::test(start_paused = true)]
async fn a_page_that_is_asked_for_in_its_window_is_never_stale() {
    let world = ahead(10);
    for v in 0..6 {
        world.origin.next("/p", page(format!("v{v}")).delay(millis(200)));
    }
    world.visit("/p", &[]).await.is("v0");
    for _ in 0..40 {
        world.time.pass(secs(1)).await;
        world.settle().await;
        world.visit("/p", &[]).await.was(Outcome::Hit);
    }
    let asked = world.origin.requests("/p");
    assert!((4..=6).contains(&asked.len()), "{asked:?}");
    for pair in asked.windows(2) {
        assert!(pair[1].at.since(pair[0].at) >= secs(8), "at most one render a window: {asked:?}");
        assert_eq!(pair[1].kind, Kind::Refresh);
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_that_nobody_asks_for_is_left_alone() {
    let world = ahead(10);
    world.origin.on("/p", page("v1"));
    world.visit("/p", &[]).await.is("v1");
    world.time.pass(secs(100)).await;
    world.settle().await;
    assert_eq!(world.origin.asked("/p"), 1);
    // Asked for once, it is regenerated once more, and then nobody asks any more.
    world.visit("/p", &[]).await.was(Outcome::Stale);
    world.quiet().await;
    world.visit("/p", &[]).await.was(Outcome::Hit);
    world.time.pass(secs(100)).await;
    world.settle().await;
    assert_eq!(world.origin.asked("/p"), 3);
}

#[tokio::test(start_paused = true)]
async fn pages_that_were_stored_together_are_not_due_together() {
    let world = ahead(60);
    for n in 0..200 {
        let path = format!("/{n}");
        world.origin.on(&path, page("v1"));
        world.visit(&path, &[]).await.is("v1");
        world.visit(&path, &[]).await.was(Outcome::Hit);
    }
    let from = world.now();
    world.time.pass(secs(60)).await;
    world.settle().await;
    let mut seconds = [0; 61];
    for n in 0..200 {
        let asked = world.origin.requests(&format!("/{n}"));
        assert_eq!(asked.len(), 2);
        seconds[usize::try_from(asked[1].at.since(from).as_secs()).unwrap()] += 1;
    }
    let (first, last) = (seconds.iter().position(|n| *n > 0).unwrap(), seconds.iter().rposition(|n| *n > 0).unwrap());
    assert!(first >= 47 && last <= 54, "{seconds:?}");
    assert!(seconds.iter().all(|n| *n <= 66), "no second with more than twice the mean of 33: {seconds:?}");
}

#[tokio::test(start_paused = true)]
async fn what_was_invalidated_waits_for_a_visitor() {
    let world = ahead(10);
    world.origin.on("/p", page("v1"));
    world.visit("/p", &[]).await.is("v1");
    world.visit("/p", &[]).await.was(Outcome::Hit);
    world.soft(crate::support::at("/p"));
    world.time.pass(secs(30)).await;
    world.settle().await;
    assert_eq!(world.origin.asked("/p"), 1);
    world.visit("/p", &[]).await.was(Outcome::Stale);
}

#[tokio::test(start_paused = true)]
async fn a_variant_with_a_query_is_refreshed_as_it_was_asked_for() {
    let policy = Policy {
        refresh_ahead: true,
        query: semantics::policy::QueryRule::Only(vec!["page".to_owned()]),
        key_headers: vec!["x-shop".to_owned()],
        ..Policy::isr(Revalidate::Every(secs(10)))
    };
    let world = World::routing("/", policy);
    world.origin.on("/p", page("v1").field("vary", "accept-language"));
    let fields = [("accept-language", "de"), ("x-shop", "7")];
    world.visit("/p?page=2&x=1", &fields).await.is("v1");
    world.visit("/p?page=2", &fields).await.was(Outcome::Hit);
    world.time.pass(secs(11)).await;
    world.settle().await;
    world.visit("/p?page=2", &fields).await.was(Outcome::Hit);
    let asked = world.origin.requests("/p");
    // The first visitor's language counts only once the answer has named it.
    let last = &asked[asked.len() - 1];
    assert_eq!((asked.len(), last.kind), (3, Kind::Refresh));
    assert_eq!((last.target.as_str(), last.field("accept-language")), ("/p?page=2", Some("de")));
    assert_eq!(last.field("x-shop"), Some("7"));
}

#[tokio::test(start_paused = true)]
async fn a_page_without_a_window_is_never_due() {
    let world = World::routing("/", Policy { refresh_ahead: true, ..Policy::isr(Revalidate::Never) });
    world.origin.on("/p", page("v1"));
    world.visit("/p", &[]).await.is("v1");
    world.visit("/p", &[]).await.was(Outcome::Hit);
    world.advance(secs(1_000_000)).await;
    world.settle().await;
    assert_eq!(world.origin.asked("/p"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_ahead_that_fails_leaves_the_page_fresh_and_then_stale() {
    let world = ahead(10);
    world.origin.on("/p", page("v1"));
    world.visit("/p", &[]).await.is("v1");
    world.visit("/p", &[]).await.was(Outcome::Hit);
    world.origin.on("/p", crate::support::answer(500, &[], ""));
    world.time.pass(millis(9_600)).await;
    world.settle().await;
    assert_eq!(world.origin.asked("/p"), 2);
    world.visit("/p", &[]).await.is("v1").was(Outcome::Hit);
    world.time.pass(secs(2)).await;
    world.settle().await;
    world.visit("/p", &[]).await.is("v1").was(Outcome::Stale);
}
