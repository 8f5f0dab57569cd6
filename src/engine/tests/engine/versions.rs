//! What is pinned, and what is put back, where there is memory alone: older versions are kept on the disk (tests/it).

use crate::support::{World, at, hard, page, secs, soft, tagged, under};
use engine::{NotPutBack, NotUnpinned, Prerendered, Unless};
use semantics::policy::Revalidate;
use semantics::{Outcome, Policy};

const PATH: &str = "/isr/p";

/// `v1` stored a second ago, and `v2` at the origin.
async fn stored() -> World {
    let world = World::new();
    world.origin.on(PATH, page("v1").field("cache-tag", "blog"));
    world.visit(PATH, &[]).await.is("v1");
    world.advance(secs(1)).await;
    world.origin.on(PATH, page("v2"));
    world
}

#[tokio::test(start_paused = true)]
async fn what_is_stored_is_the_first_version() {
    let world = stored().await;
    assert!(world.versions("/isr/other").await.is_empty());
    let all = world.versions(PATH).await;
    assert_eq!(all.len(), 1);
    assert!(all[0].current && !all[0].pinned, "{all:?}");
    assert_eq!((all[0].age, all[0].status, all[0].bytes), (secs(1), 200, 2));
    world.hard(at(PATH));
    assert!(world.versions(PATH).await.is_empty(), "invalidated hard, it is not there");
}

#[tokio::test(start_paused = true)]
async fn what_is_pinned_is_served_whatever_happens() {
    let world = stored().await;
    world.pin(PATH).await;
    assert!(world.versions(PATH).await[0].pinned);
    for round in 0..3 {
        world.soft(at(PATH));
        world.soft(under("/"));
        world.soft(tagged("blog"));
        world.wrote(PATH, &[]);
        world.advance(secs(100 * 86_400)).await;
        world.visit(PATH, &[]).await.is("v1").was(Outcome::Hit);
        let refused = world.regenerate(PATH, &[]).await.unwrap_err();
        assert!(refused.message.contains("unpin"), "{}", refused.message);
        let left = world.prerender(PATH, Unless::Fresh).await;
        assert!(matches!(left, Prerendered::LeftAsItIs), "{round}: {left:?}");
    }
    assert_eq!(world.origin.asked(PATH), 1);
    let age = world.versions(PATH).await[0].age;
    assert!(age > secs(300 * 86_400), "its age goes on: {age:?}");
}

#[tokio::test(start_paused = true)]
async fn unpinned_it_is_stale_and_its_next_visit_renews_it() {
    let world = stored().await;
    assert_eq!(world.unpin(PATH).await, Err(NotUnpinned::NotPinned));
    assert_eq!(world.unpin("/isr/other").await, Err(NotUnpinned::NothingStored));
    world.pin(PATH).await;
    world.advance(secs(100)).await;
    world.unpin(PATH).await.unwrap();
    world.visit(PATH, &[]).await.is("v1").was(Outcome::Stale);
    world.quiet().await;
    world.visit(PATH, &[]).await.is("v2").was(Outcome::Hit);
    assert_eq!(world.origin.asked(PATH), 2);
}

#[tokio::test(start_paused = true)]
async fn a_hard_invalidation_takes_what_is_pinned() {
    let world = stored().await;
    world.pin(PATH).await;
    world.invalidate(&[soft(at(PATH)), hard(at(PATH))]);
    world.visit(PATH, &[]).await.is("v2").was(Outcome::Miss);
    assert!(!world.versions(PATH).await[0].pinned);
}

#[tokio::test(start_paused = true)]
async fn put_back_without_a_pin_it_is_as_old_as_it_is_and_has_its_window_once_more() {
    let world = stored().await;
    world.advance(secs(8)).await;
    let id = world.versions(PATH).await[0].id;
    world.put_back(PATH, id, false).await.unwrap();
    assert_eq!(world.visit(PATH, &[]).await.is("v1").cache_status, "larder; hit; ttl=10");
    assert_eq!(world.versions(PATH).await[0].age, secs(9));
    world.advance(secs(9)).await;
    world.visit(PATH, &[]).await.is("v1").was(Outcome::Hit);
    assert_eq!(world.origin.asked(PATH), 1);
    world.advance(secs(2)).await;
    world.visit(PATH, &[]).await.is("v1");
    world.quiet().await;
    world.visit(PATH, &[]).await.is("v2").was(Outcome::Hit);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_version_is_an_error_that_names_the_known_ones() {
    let world = stored().await;
    let id = world.versions(PATH).await[0].id;
    assert_eq!(world.put_back(PATH, 1, true).await.unwrap_err(), NotPutBack::Unknown(vec![id]));
    assert_eq!(world.put_back("/isr/other", 1, true).await.unwrap_err(), NotPutBack::NothingStored);
    world.visit(PATH, &[]).await.is("v1").was(Outcome::Hit);
}

/// A fill that is on its way when a page is pinned, or waits for its turn, does not replace it.
#[tokio::test(start_paused = true)]
async fn a_regeneration_on_its_way_does_not_replace_what_is_pinned() {
    let world = stored().await;
    world.origin.on(PATH, page("v2").delay(secs(2)));
    world.advance(secs(10)).await;
    world.visit(PATH, &[]).await.is("v1");
    world.pin(PATH).await;
    world.quiet().await;
    assert_eq!(world.origin.asked(PATH), 2);
    world.visit(PATH, &[]).await.is("v1").was(Outcome::Hit);
    assert!(world.versions(PATH).await[0].pinned);
}

/// Refreshed ahead by its whole age, what was put back would be gone at the first visit.
#[tokio::test(start_paused = true)]
async fn what_was_put_back_is_refreshed_ahead_of_its_new_window() {
    let world = World::routing("/ahead/", Policy { refresh_ahead: true, ..Policy::isr(Revalidate::Every(secs(100))) });
    world.origin.on("/ahead/p", page("v1"));
    world.visit("/ahead/p", &[]).await.is("v1");
    world.advance(secs(10 * 86_400)).await;
    world.origin.on("/ahead/p", page("v2"));
    let id = world.versions("/ahead/p").await[0].id;
    world.put_back("/ahead/p", id, false).await.unwrap();
    world.visit("/ahead/p", &[]).await.is("v1");
    world.time.pass(secs(50)).await;
    world.settle().await;
    world.visit("/ahead/p", &[]).await.is("v1").was(Outcome::Hit);
    world.time.pass(secs(49)).await;
    world.settle().await;
    world.visit("/ahead/p", &[]).await.is("v2").was(Outcome::Hit);
}
