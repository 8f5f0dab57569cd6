//! What protects the origin and everybody else: caps, queues, deadlines and sizes (semantics 20, 22, 31).

use crate::support::faulty::{EIO, Faulty};
use crate::support::{Act, How, Setup, World, all, answer, millis, page, secs};
use engine::gate::GateSettings;
use engine::origin::Kind;
use semantics::Outcome;
use semantics::settlement::Failure;

fn gate(max_concurrent: usize, queue: usize) -> GateSettings {
    GateSettings { max_concurrent, queue }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_outgrows_max_object_is_shared_by_its_readers_and_later_visitors_are_passed() {
    let world = World::with(Setup { max_object: 1000, ..Setup::default() });
    let feed = world.origin.stream("/p", page(""));
    world.origin.on("/p", page("later"));
    let mut first = world.open("/p").await;
    let second = world.open("/p").await;
    feed.send(&"a".repeat(600));
    world.settle().await;
    assert_eq!(first.ready().await.map(|piece| piece.len()), Some(600));
    feed.send(&"b".repeat(600));
    world.settle().await;
    world.visit("/p", &[]).await.is("later").by(How::Passed);
    feed.send("the end");
    feed.end();
    assert_eq!(first.rest().await.unwrap().len(), 607);
    assert_eq!(second.rest().await.unwrap().len(), 1207);
    world.quiet().await;
    world.visit("/p", &[]).await.is("later").by(How::Passed);
    assert_eq!((world.origin.asked("/p"), world.origin.passed("/p")), (1, 2));
    assert_eq!(world.engine.usage().entries, 0);
}

/// `max_object` is memory's meanwhile: that says nothing of the page, and there may be a version on the disk.
#[tokio::test(start_paused = true)]
async fn a_page_that_is_too_large_for_memory_is_looked_for_again_at_every_visit_while_the_disk_is_off() {
    let files = Faulty::new();
    let world = World::with(Setup { max_object: 1000, disk: Some(files.clone()), ..Setup::default() });
    files.fail_every(1, EIO);
    for n in 0..5 {
        world.origin.on(&format!("/{n}"), page("small"));
        world.visit(&format!("/{n}"), &[]).await;
    }
    for (path, large) in [("/told", page("x".repeat(1001))), ("/untold", page("x".repeat(1001)).chunked())] {
        world.origin.on(path, large);
        for _ in 0..3 {
            world.visit(path, &[]).await.is(&"x".repeat(1001)).by(How::Streamed);
            world.quiet().await;
        }
        assert_eq!((world.origin.asked(path), world.origin.passed(path)), (3, 0), "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_of_exactly_max_object_is_stored() {
    let world = World::with(Setup { max_object: 1000, ..Setup::default() });
    world.origin.on("/told", page("x".repeat(1000)));
    world.origin.on("/untold", page("x".repeat(1000)).chunked());
    for path in ["/told", "/untold"] {
        world.visit(path, &[]).await.was(Outcome::Miss);
        world.visit(path, &[]).await.was(Outcome::Hit);
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_says_it_is_larger_than_max_object_is_the_leaders_alone() {
    let world = World::with(Setup { max_object: 1000, ..Setup::default() });
    let held = world.origin.held("/p");
    let visits = world.start_many(3, "/p");
    world.settle().await;
    let large = "x".repeat(1001);
    world.origin.on("/p", page(large.clone()));
    held.answer(page(large.clone()));
    let seen = all(visits).await;
    assert_eq!(seen.iter().filter(|s| s.is(&large).how == How::Streamed).count(), 1);
    assert_eq!((world.origin.asked("/p"), world.origin.passed("/p")), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn what_is_handed_through_waits_for_its_slowest_reader() {
    let world = World::new();
    let body = "x".repeat(8 << 20);
    world.origin.next("/p", page(body).cache_control("private").pieces(128, millis(0)));
    let reading = world.open("/p").await;
    world.settle().await;
    world.advance(secs(1)).await;
    assert!(world.origin.handed("/p") <= 2 << 20, "{} bytes wait for a reader", world.origin.handed("/p"));
    assert_eq!(reading.rest().await.unwrap().len(), 8 << 20);
}

#[tokio::test(start_paused = true)]
async fn a_full_refresh_queue_keeps_the_page_and_it_is_refreshed_later() {
    let world = World::with(Setup { refreshes: gate(1, 1), ..Setup::default() });
    let paths = ["/isr/a", "/isr/b", "/isr/c"];
    for path in paths {
        world.origin.on(path, page("v1"));
        world.visit(path, &[]).await.is("v1");
    }
    world.advance(secs(11)).await;
    let (first, second) = (world.origin.held("/isr/a"), world.origin.held("/isr/b"));
    world.origin.on("/isr/c", page("v2"));
    for path in paths {
        world.visit(path, &[]).await.is("v1");
        world.settle().await;
    }
    let asked = |world: &World| paths.map(|path| world.origin.asked(path));
    assert_eq!(asked(&world), [2, 1, 1]);
    first.answer(page("v2"));
    world.settle().await;
    assert_eq!(asked(&world), [2, 2, 1]);
    second.answer(page("v2"));
    world.quiet().await;
    world.visit("/isr/a", &[]).await.is("v2");
    world.visit("/isr/b", &[]).await.is("v2");
    world.visit("/isr/c", &[]).await.is("v1");
    assert_eq!(asked(&world), [2, 2, 1]);
    world.advance(secs(10)).await;
    world.visit("/isr/c", &[]).await.is("v1");
    world.quiet().await;
    world.visit("/isr/c", &[]).await.is("v2");
    assert_eq!(world.origin.most(Kind::Refresh), 1);
}

#[tokio::test(start_paused = true)]
async fn with_the_queue_for_renders_full_visitors_are_turned_away_at_once() {
    let world = World::with(Setup { renders: gate(1, 1), ..Setup::default() });
    let held = world.origin.held("/a");
    world.origin.on("/b", page("b"));
    let visits = vec![world.start("/a", &[]), world.start("/b", &[])];
    world.settle().await;
    let before = world.now();
    let seen = world.visit("/c", &[]).await;
    assert_eq!((seen.status, seen.how), (503, How::Failed));
    assert_eq!(world.now(), before);
    assert_eq!(world.origin.asked("/c"), 0);
    held.answer(page("a"));
    let seen = all(visits).await;
    seen[0].is("a");
    seen[1].is("b");
    world.origin.on("/c", page("c"));
    world.advance(secs(1)).await;
    world.visit("/c", &[]).await.is("c");
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_place_does_not_wait_for_ever() {
    let world = World::with(Setup { renders: gate(1, 10), total: secs(4), ..Setup::default() });
    let feed = world.origin.stream("/a", page(""));
    let first = world.open("/a").await;
    world.origin.on("/b", page("b"));
    world.advance(secs(1)).await;
    let second = world.start("/b", &[]);
    world.advance(secs(2)).await;
    assert!(!second.is_finished());
    world.advance(millis(1_100)).await;
    second.await.unwrap().is("b");
    assert_eq!(first.rest().await, Err(Failure::Timeout));
    drop(feed);
}

#[tokio::test(start_paused = true)]
async fn no_more_than_max_concurrent_fills_are_at_the_origin() {
    let world = World::with(Setup { renders: gate(3, 100), refreshes: gate(2, 100), ..Setup::default() });
    let paths: Vec<String> = (0..30).map(|n| format!("/isr/{n}")).collect();
    let mut visits = Vec::new();
    for path in &paths {
        world.origin.on(path, page("v1").delay(millis(300)).pieces(2, millis(100)));
        visits.push(world.start(path, &[]));
    }
    for seen in all(visits).await {
        seen.is("v1");
    }
    assert_eq!(world.origin.most(Kind::Fill), 3);
    world.advance(secs(11)).await;
    for path in &paths {
        world.visit(path, &[]).await.is("v1").was(Outcome::Stale);
    }
    world.quiet().await;
    assert_eq!((world.origin.most(Kind::Refresh), world.origin.most(Kind::Fill)), (2, 3));
}

#[tokio::test(start_paused = true)]
async fn a_place_is_given_back_however_a_fill_ends() {
    let world = World::with(Setup { renders: gate(1, 0), total: secs(2), between_bytes: secs(1), ..Setup::default() });
    let ends: Vec<Act> = vec![
        page("whole").into(),
        page("x".repeat(10_001)).chunked().into(),
        page("private").cache_control("private").into(),
        page("truncated").truncated(2).into(),
        page("stalled").stalls(2).into(),
        answer(500, &[], "sorry").into(),
        answer(404, &[], "nothing").into(),
        Act::Fail(Failure::Connect),
        Act::Hang,
        Act::Panic,
    ];
    for (n, end) in ends.into_iter().enumerate() {
        let path = format!("/{n}");
        world.origin.next(&path, end);
        world.origin.on(&path, page("again"));
        let seen = world.visit(&path, &[]).await;
        assert_ne!(seen.status, 503, "no place was left for {path}");
        world.quiet().await;
    }
    world.origin.on("/last", page("still here"));
    world.visit("/last", &[]).await.is("still here");
}
