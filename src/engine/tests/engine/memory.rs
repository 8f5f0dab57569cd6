//! The memory store's budget, through the engine (semantics 35 and 56).

use crate::support::{Setup, World, answer, page, secs};
use semantics::Outcome;
use std::time::Duration;

fn small(max_size: usize) -> World {
    World::with(Setup { max_size, ..Setup::default() })
}

#[tokio::test(start_paused = true)]
async fn the_budget_holds_at_every_moment() {
    let world = small(200_000);
    for n in 0..1_000 {
        let path = format!("/isr/{n}");
        world.origin.on(&path, page("x".repeat(100 + 37 * (n % 50))));
        world.visit(&path, &[]).await.was(Outcome::Miss);
        let usage = world.engine.usage();
        assert!(usage.bytes <= 200_000, "{usage:?}");
    }
    let usage = world.engine.usage();
    assert!(usage.evictions > 500 && usage.entries > 50, "{usage:?}");
    assert_eq!(usage.evictions + usage.entries as u64, 1_000);
    assert!(usage.bytes > 190_000, "no more is evicted than has to be: {usage:?}");
}

#[tokio::test(start_paused = true)]
async fn heads_and_keys_count() {
    let world = small(1 << 20);
    let path = format!("/isr/{}", "p".repeat(2_000));
    world.origin.on(&path, page("body").field("x-long", &"h".repeat(3_000)).field("x-nextjs-cache", &"h".repeat(500)));
    world.visit(&path, &[]).await.is("body");
    let usage = world.engine.usage();
    assert_eq!(usage.entries, 1);
    assert!(usage.bytes >= 5_504, "{usage:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_replaced_or_dropped_is_given_back() {
    let world = small(1 << 20);
    for path in ["/p", "/isr/p"] {
        world.origin.on(path, page("x".repeat(5_000)));
        world.visit(path, &[]).await;
    }
    let before = world.engine.usage();
    world.advance(secs(11)).await;
    world.origin.on("/isr/p", page("x".repeat(1_000)));
    world.origin.on("/p", page("yours").cache_control("private"));
    for path in ["/p", "/isr/p"] {
        world.visit(path, &[]).await.was(Outcome::Stale);
    }
    world.quiet().await;
    let after = world.engine.usage();
    assert_eq!(after.entries, 1);
    assert!(after.bytes + 9_000 < before.bytes, "{before:?} {after:?}");
    assert_eq!(after.evictions, 0, "that is no eviction");
}

#[tokio::test(start_paused = true)]
async fn a_page_that_is_visited_stays_and_pages_that_are_not_go() {
    let world = small(1_000_000);
    let popular: Vec<String> = (0..20).map(|n| format!("/isr/popular/{n}")).collect();
    for path in &popular {
        world.origin.on(path, page("x".repeat(500)));
        world.visit(path, &[]).await;
    }
    for n in 0..3_000 {
        let path = format!("/isr/{n}");
        world.origin.on(&path, page("x".repeat(500)));
        world.visit(&path, &[]).await;
        world.advance(Duration::from_millis(1)).await;
        if n % 100 == 0 {
            for path in &popular {
                world.visit(path, &[]).await.was(Outcome::Hit);
            }
        }
    }
    assert!(world.engine.usage().evictions > 1_000);
    world.visit("/isr/0", &[]).await.was(Outcome::Miss);
}

/// The least recently used goes, also where a few large pages fill the store.
#[tokio::test(start_paused = true)]
async fn among_few_large_pages_the_oldest_goes_first() {
    let world = small(50_000);
    for n in 0..6 {
        let path = format!("/isr/{n}");
        world.origin.on(&path, page("x".repeat(9_000)));
        world.visit(&path, &[]).await.was(Outcome::Miss);
        world.advance(Duration::from_millis(1)).await;
        // The first one is the most popular.
        world.visit("/isr/0", &[]).await.was(Outcome::Hit);
        world.advance(Duration::from_millis(1)).await;
    }
    world.visit("/isr/5", &[]).await.was(Outcome::Hit);
    world.visit("/isr/4", &[]).await.was(Outcome::Hit);
    world.visit("/isr/1", &[]).await.was(Outcome::Miss);
}

#[tokio::test(start_paused = true)]
async fn a_page_is_not_evicted_because_its_refresh_fails() {
    let world = small(1 << 20);
    world.origin.on("/isr/p", page("v1"));
    world.visit("/isr/p", &[]).await.is("v1");
    world.origin.on("/isr/p", answer(503, &[], "sorry"));
    for _ in 0..200 {
        world.advance(secs(3600)).await;
        world.visit("/isr/p", &[]).await.is("v1");
        world.quiet().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_larger_than_the_whole_budget_is_delivered_and_not_stored() {
    let world = small(5_000);
    world.origin.on("/isr/small", page("small"));
    world.visit("/isr/small", &[]).await.is("small");
    let large = "x".repeat(6_000);
    world.origin.on("/isr/large", page(large.clone()));
    world.visit("/isr/large", &[]).await.is(&large);
    world.visit("/isr/large", &[]).await.is(&large);
    assert_eq!(world.engine.usage().entries, 1);
    world.visit("/isr/small", &[]).await.is("small").was(Outcome::Hit);
}

/// A crawler that asks for everything once takes the place of what it asked for before.
#[tokio::test(start_paused = true)]
async fn pages_that_visitors_come_back_to_survive_any_number_of_pages_that_nobody_does() {
    let world = small(200_000);
    let hot: Vec<String> = (0..50).map(|n| format!("/isr/hot/{n}")).collect();
    for path in &hot {
        world.origin.on(path, page("x".repeat(500)));
        world.visit(path, &[]).await.was(Outcome::Miss);
        world.visit(path, &[]).await.was(Outcome::Hit);
    }
    for n in 0..3_000 {
        let path = format!("/isr/{n}");
        world.origin.on(&path, page("x".repeat(500)).field("vary", "accept-language"));
        world.visit(&path, &[("accept-language", "de")]).await;
        assert!(world.engine.usage().bytes <= 200_000);
    }
    for path in &hot {
        world.visit(path, &[]).await.was(Outcome::Hit);
    }
}

/// What was asked for often once makes way for what is asked for now.
#[tokio::test(start_paused = true)]
async fn pages_that_visitors_do_not_come_back_to_any_more_make_way() {
    let world = small(100_000);
    for n in 0..400 {
        let path = format!("/isr/{n}");
        world.origin.on(&path, page("x".repeat(500)));
        world.visit(&path, &[]).await.was(Outcome::Miss);
        world.visit(&path, &[]).await.was(Outcome::Hit);
        world.advance(Duration::from_millis(1)).await;
    }
    let usage = world.engine.usage();
    assert!(usage.bytes <= 100_000 && usage.bytes > 90_000, "{usage:?}");
    world.visit("/isr/399", &[]).await.was(Outcome::Hit);
    world.visit("/isr/0", &[]).await.was(Outcome::Miss);
}

/// A URL that varies comes back from the disk in two pieces: the second must not put the first out.
#[tokio::test(start_paused = true)]
async fn what_is_new_has_its_share_however_few_entries_there_are() {
    let world = small(100_000);
    let paths: Vec<String> = (0..10).map(|n| format!("/isr/known/{n}")).collect();
    for path in &paths {
        world.origin.on(path, page("x".repeat(8_000)));
        for _ in 0..3 {
            world.visit(path, &[]).await;
        }
    }
    for path in ["/isr/first", "/isr/second"] {
        world.origin.on(path, page("x".repeat(8_000)));
        world.visit(path, &[]).await.was(Outcome::Miss);
    }
    world.visit("/isr/first", &[]).await.was(Outcome::Hit);
    world.visit("/isr/second", &[]).await.was(Outcome::Hit);
    assert!(world.engine.usage().bytes <= 100_000);
}
