//! Content codings of stored responses: made in the background, once, within the budget.

use crate::support::{Setup, World, at, page, secs};
use engine::store::StoredResponse;
use semantics::Outcome;
use semantics::coding::{Accepted, Coding};
use std::sync::Arc;
use std::time::Duration;

/// What is stored there.
async fn stored(world: &World, target: &str) -> Arc<StoredResponse> {
    world.quiet().await;
    world.visit(target, &[]).await.stored.unwrap()
}

/// Waits for what the coder does: its thread knows nothing of virtual time, and gives way to every other.
fn really(what: &str, mut fact: impl FnMut() -> bool) {
    for _ in 0..30_000 {
        if fact() {
            return;
        }
        std::thread::park_timeout(Duration::from_millis(1));
    }
    panic!("it never came to this: {what}");
}

/// Asks for a coding until it is there.
async fn coded(world: &World, target: &str, accepted: &str) -> Coding {
    let stored = stored(world, target).await;
    let mut coding = None;
    really(&format!("{target} is coded"), || {
        let accepted = Accepted::of([accepted.as_bytes()].into_iter());
        coding = world.engine.coding(&stored, accepted, &Coding::ALL);
        coding.is_some()
    });
    coding.unwrap()
}

fn text(words: usize) -> String {
    (0..words).map(|n| format!("word{n} ")).collect()
}

#[tokio::test(start_paused = true)]
async fn a_coding_is_made_once_and_counts_against_the_budget() {
    let world = World::new();
    world.origin.on("/isr/p", page(text(1_000)).field("content-type", "text/html"));
    world.visit("/isr/p", &[]).await.was(Outcome::Miss);
    let plain = world.engine.usage().bytes;
    assert_eq!(coded(&world, "/isr/p", "br").await, Coding::Brotli);
    let body = stored(&world, "/isr/p").await.coded.get(Coding::Brotli).unwrap().body.len();
    really("it is counted", || world.engine.usage().bytes > plain + body);
    assert!(world.engine.usage().bytes < plain + body + 1_500);
    for _ in 0..3 {
        coded(&world, "/isr/p", "br").await;
    }
    assert_eq!(world.metric(r#"larder_coded_total{coding="br"}"#), 1);
    // Gone with its page.
    world.hard(at("/isr/p"));
    world.origin.on("/isr/p", page(text(1_001)).field("content-type", "text/html"));
    world.visit("/isr/p", &[]).await.was(Outcome::Miss);
    world.quiet().await;
    assert!(world.engine.usage().bytes < plain + 100, "{:?} {plain}", world.engine.usage());
}

#[tokio::test(start_paused = true)]
async fn the_next_version_of_a_page_that_is_asked_for_in_a_coding_is_coded_before_anybody_asks() {
    let world = World::new();
    world.origin.on("/isr/p", page(text(1_000)).field("content-type", "text/html"));
    world.visit("/isr/p", &[]).await;
    coded(&world, "/isr/p", "br").await;
    world.origin.on("/isr/p", page(text(1_001)).field("content-type", "text/html"));
    world.advance(secs(11)).await;
    world.visit("/isr/p", &[]).await.was(Outcome::Stale);
    world.quiet().await;
    let next = stored(&world, "/isr/p").await;
    really("it is coded", || next.coded.get(Coding::Brotli).is_some());
    assert!(next.coded.get(Coding::Gzip).is_none(), "nobody asked for that");
}

#[tokio::test(start_paused = true)]
async fn the_same_body_under_another_head_keeps_its_codings() {
    let world = World::new();
    for version in 1..=3 {
        let answer = page(text(1_000)).field("content-type", "text/html").field("x-version", &version.to_string());
        world.origin.on("/isr/p", answer);
        world.visit("/isr/p", &[]).await;
        world.quiet().await;
        coded(&world, "/isr/p", "zstd").await;
        let stored = stored(&world, "/isr/p").await;
        let made = stored.coded.get(Coding::Zstd).unwrap();
        let wire = String::from_utf8_lossy(&made.wire).into_owned();
        assert!(wire.contains(&format!("x-version: {version}\r\n")), "{wire}");
        assert!(wire.contains("content-encoding: zstd\r\n") && wire.contains("~zstd\"\r\n"), "{wire}");
        assert!(wire.contains(&format!("content-length: {}\r\n", made.body.len())), "{wire}");
        world.advance(secs(11)).await;
    }
    assert_eq!(world.metric(r#"larder_coded_total{coding="zstd"}"#), 1);
}

#[tokio::test(start_paused = true)]
async fn codings_make_pages_go_when_there_is_no_room_for_both() {
    let world = World::with(Setup { max_size: 100_000, ..Setup::default() });
    for n in 0..12 {
        let path = format!("/isr/{n}");
        world.origin.on(&path, page(text(1_000 + n)).field("content-type", "text/html"));
        world.visit(&path, &[]).await;
        for accepted in ["br", "gzip", "zstd"] {
            coded(&world, &path, accepted).await;
        }
    }
    really("the budget holds", || world.engine.usage().bytes <= 100_000);
    let usage = world.engine.usage();
    assert!(usage.evictions > 0 && usage.entries > 5, "{usage:?}");
}
