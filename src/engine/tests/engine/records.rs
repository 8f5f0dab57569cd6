//! The records of invalidations are bounded: soft ones fold, hard ones are forgotten once what they select is gone
//! (semantics 37).

use crate::support::{World, at, hard, millis, page, soft, tagged, under};
use engine::invalidate::{Invalidation, Journal, Target};
use semantics::{Outcome, Timestamp};

/// So many soft records are kept by path, route and tag, and before hard ones are swept.
const RECORDS: usize = 100_000;
/// So many by prefix.
const PREFIXES: usize = 100_000;

fn tags(order: fn(Target) -> Invalidation, count: usize) -> Vec<Invalidation> {
    (0..count).map(|n| order(tagged(&format!("n{n}")))).collect()
}

async fn storing(paths: &[&str]) -> World {
    let world = World::new();
    for path in paths {
        world.origin.on(path, page("v1"));
        world.visit(path, &[]).await.is("v1");
        world.origin.on(path, page("v2"));
    }
    world
}

#[tokio::test(start_paused = true)]
async fn what_was_not_looked_up_since_the_records_that_folded_is_stale_and_the_rest_is_as_it_was() {
    let world = storing(&["/unseen", "/seen"]).await;
    world.soft(tagged("oldest"));
    world.visit("/seen", &[]).await.is("v1").was(Outcome::Hit);
    world.invalidate(&tags(soft, RECORDS - 1));
    assert_eq!(world.metric("larder_invalidations_folded_total"), 0);
    world.soft(tagged("one more"));
    assert_eq!(world.metric("larder_invalidations_folded_total"), 1);
    world.visit("/seen", &[]).await.is("v1").was(Outcome::Hit);
    world.visit("/unseen", &[]).await.is("v1").was(Outcome::Stale);
    world.quiet().await;
    world.visit("/unseen", &[]).await.is("v2").was(Outcome::Hit);
    assert_eq!((world.origin.asked("/seen"), world.origin.asked("/unseen")), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn what_a_folded_record_selected_stays_stale() {
    let world = World::new();
    for path in ["/unseen", "/seen"] {
        world.origin.on(path, page("v1").field("cache-tag", "oldest"));
        world.visit(path, &[]).await.is("v1");
    }
    world.soft(tagged("oldest"));
    let held = world.origin.held("/seen");
    world.visit("/seen", &[]).await.was(Outcome::Stale);
    world.invalidate(&tags(soft, RECORDS));
    for path in ["/seen", "/unseen"] {
        world.visit(path, &[]).await.was(Outcome::Stale);
    }
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn the_same_selectors_again_take_no_room() {
    let world = storing(&["/p"]).await;
    for _ in 0..3 {
        world.invalidate(&tags(soft, RECORDS));
    }
    assert_eq!(world.metric("larder_invalidations_folded_total"), 0);
    world.visit("/p", &[]).await.is("v1").was(Outcome::Hit);
}

#[tokio::test(start_paused = true)]
async fn of_prefixes_the_older_half_folds() {
    let world = storing(&["/unseen", "/seen"]).await;
    for n in 0..PREFIXES {
        world.soft(under(&format!("/{n}/")));
    }
    world.visit("/seen", &[]).await.is("v1").was(Outcome::Hit);
    assert_eq!(world.metric("larder_invalidations_folded_total"), 0);
    world.soft(under("/one-more/"));
    let folded = world.metric("larder_invalidations_folded_total");
    assert!((PREFIXES as u64 * 4 / 10..PREFIXES as u64 * 6 / 10).contains(&folded), "{folded}");
    world.visit("/seen", &[]).await.is("v1").was(Outcome::Hit);
    world.visit("/unseen", &[]).await.is("v1").was(Outcome::Stale);
}

#[tokio::test(start_paused = true)]
async fn hard_records_are_forgotten_when_what_they_select_is_removed() {
    let world = storing(&["/stays"]).await;
    for path in ["/gone", "/late"] {
        world.origin.on(path, page("v1").field("cache-tag", "n7"));
    }
    world.visit("/gone", &[]).await.is("v1");
    let held = world.origin.held("/late");
    let late = world.start("/late", &[]);
    world.settle().await;
    world.invalidate(&tags(hard, RECORDS + 1));
    world.until("what was selected is removed", |world| world.engine.usage().entries == 1).await;
    // Time passes only when nobody has anything to do: the sweep is over then.
    world.advance(millis(1)).await;
    world.visit("/stays", &[]).await.is("v1").was(Outcome::Hit);
    world.origin.on("/gone", page("v2"));
    world.visit("/gone", &[]).await.is("v2").was(Outcome::Miss);
    // Its fetch began before all of it, and there is no record of its tag any more.
    held.answer(page("v1").field("cache-tag", "n7"));
    late.await.unwrap().is("v1");
    world.quiet().await;
    world.origin.on("/late", page("v2"));
    world.visit("/late", &[]).await.is("v2").was(Outcome::Miss);
    for path in ["/gone", "/late"] {
        world.visit(path, &[]).await.is("v2").was(Outcome::Hit);
    }
    world.hard(at("/stays"));
    world.visit("/stays", &[]).await.is("v2").was(Outcome::Miss);
}

#[tokio::test(start_paused = true)]
async fn hard_records_by_prefix_are_swept_with_the_others() {
    let world = storing(&["/gone/p", "/stays"]).await;
    world.hard(under("/gone/"));
    world.invalidate(&tags(hard, RECORDS));
    world.until("what was selected is removed", |world| world.engine.usage().entries == 1).await;
    world.visit("/stays", &[]).await.is("v1").was(Outcome::Hit);
    world.visit("/gone/p", &[]).await.is("v2").was(Outcome::Miss);
    world.visit("/gone/p", &[]).await.is("v2").was(Outcome::Hit);
}

#[tokio::test(start_paused = true)]
async fn a_sweep_leaves_what_is_soft_as_it_is() {
    let world = storing(&["/soft", "/gone"]).await;
    world.soft(at("/soft"));
    world.hard(at("/gone"));
    world.invalidate(&tags(hard, RECORDS));
    world.until("what was selected is removed", |world| world.engine.usage().entries == 1).await;
    world.visit("/soft", &[]).await.is("v1").was(Outcome::Stale);
    world.quiet().await;
    world.visit("/soft", &[]).await.is("v2").was(Outcome::Hit);
}

/// The journal by itself: what it holds at most, whoever keeps it.
#[test]
fn the_journal_holds_so_many_records_at_most() {
    let journal = Journal::new(7);
    assert!(journal.is_empty());
    let now = Timestamp::from_secs(1);
    let mut folded = 0;
    for chunk in tags(soft, 2 * RECORDS).chunks(10_000) {
        folded += journal.invalidate(chunk, now).unwrap().folded;
        assert!(journal.len() <= RECORDS, "{}", journal.len());
    }
    assert_eq!(folded, RECORDS as u64);
    let before = journal.len();
    for n in 0..3 * PREFIXES {
        journal.invalidate(&[soft(under(&format!("/{n}/")))], now).unwrap();
        assert!(journal.len() <= before + PREFIXES);
    }
    let recorded = journal.invalidate(&tags(hard, RECORDS), now).unwrap();
    assert!(!recorded.sweep);
    let recorded = journal.invalidate(&[hard(at("/one-more"))], now).unwrap();
    assert!(recorded.sweep, "hard ones do not fold");
    let before = journal.len();
    journal.swept(recorded.epoch);
    assert_eq!(journal.len(), before - RECORDS - 1);
}

/// What was being refreshed while a sweep let records be forgotten cannot be cleared any more: it is left out, and the page
/// that was there stays.
#[tokio::test(start_paused = true)]
async fn a_sweep_costs_no_page_that_is_being_refreshed() {
    let world = storing(&["/p"]).await;
    world.invalidate(&tags(hard, RECORDS));
    world.soft(at("/p"));
    let held = world.origin.held("/p");
    world.visit("/p", &[]).await.is("v1").was(Outcome::Stale);
    world.settle().await;
    world.hard(tagged("one more"));
    // Time passes only when nobody has anything to do: the sweep is over then.
    world.advance(millis(1)).await;
    world.visit("/p", &[]).await.is("v1").was(Outcome::Stale);
    held.answer(page("v2"));
    world.quiet().await;
    world.visit("/p", &[]).await.is("v1").was(Outcome::Stale);
    world.advance(millis(60_000)).await;
    world.visit("/p", &[]).await.was(Outcome::Stale);
    world.quiet().await;
    world.visit("/p", &[]).await.is("v2").was(Outcome::Hit);
}
