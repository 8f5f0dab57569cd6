//! What a visit would get, as operators are told, and what it then gets.

use crate::support::{World, answer, at, hard, page, secs, soft, tagged};
use engine::guard::Known;
use engine::inspect::{InvalidatedBy, State};
use engine::invalidate::{Invalidation, Mode, Target};
use semantics::settlement::Failure;
use semantics::storability::NotStorable;
use semantics::{Decision, Forward, Outcome};

async fn stored() -> World {
    let world = World::new();
    for path in ["/p", "/isr/p"] {
        world.origin.on(path, page("v1").field("cache-tag", "blog"));
        world.visit(path, &[]).await.is("v1");
    }
    world.advance(secs(3)).await;
    world
}

#[tokio::test(start_paused = true)]
async fn nothing_is_known_of_what_was_never_asked_for() {
    let world = World::new();
    let seen = world.inspect("/p", &[]);
    assert!(seen.stored.is_none() && seen.invalidated.is_none() && seen.verdict.is_none());
    assert_eq!((seen.variants, seen.past.len(), seen.in_flight, seen.personal), (0, 0, false, false));
    assert_eq!(seen.decision, Decision::Fetch(Forward::UriMiss));
    assert_eq!(world.origin.asked("/p"), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_stored_is_seen_in_its_state_and_inspection_changes_nothing() {
    let world = stored().await;
    let seen = world.inspect("/p", &[]);
    assert_eq!(seen.stored.map(|l| l.state), Some(State::Fresh));
    assert_eq!((seen.decision, seen.variants), (Decision::Reuse { ttl: 7, failing: false }, 1));
    world.advance(secs(8)).await;
    for _ in 0..3 {
        let seen = world.inspect("/p", &[]);
        assert_eq!(seen.stored.map(|l| l.state), Some(State::Stale));
        assert_eq!(seen.decision, Decision::ReuseAndRefresh { ttl: -1 });
        world.settle().await;
    }
    assert_eq!(world.origin.asked("/p"), 1, "nobody came");
    world.advance(secs(60)).await;
    assert_eq!(world.inspect("/p", &[]).decision, Decision::Validate);
}

#[tokio::test(start_paused = true)]
async fn it_says_what_invalidated_a_page_and_when() {
    let orders: [(Mode, Target, Decision); 4] = [
        (Mode::Soft, at("/p"), Decision::ReuseAndRefresh { ttl: 0 }),
        (Mode::Soft, tagged("blog"), Decision::ReuseAndRefresh { ttl: 0 }),
        (Mode::Validate, tagged("blog"), Decision::Validate),
        (Mode::Hard, tagged("blog"), Decision::Fetch(Forward::UriMiss)),
    ];
    for (mode, target, decision) in orders {
        let world = stored().await;
        assert_eq!(world.inspect("/p", &[]).invalidated, None);
        world.soft(tagged("other"));
        let epoch = world.invalidate(&[Invalidation { target: target.clone(), host: None, mode }]);
        world.hard(at("/other"));
        let seen = world.inspect("/p", &[]);
        assert_eq!(seen.invalidated, Some(InvalidatedBy { mode, by: target, epoch }));
        assert_eq!(seen.decision, decision);
        assert_eq!(seen.stored.is_some(), mode != Mode::Hard);
        world.visit("/p", &[]).await;
        world.quiet().await;
        let seen = world.inspect("/p", &[]);
        assert_eq!((seen.invalidated, seen.decision), (None, Decision::Reuse { ttl: 10, failing: false }));
    }
}

#[tokio::test(start_paused = true)]
async fn of_several_invalidations_the_worst_is_told_and_then_the_newest() {
    let world = stored().await;
    world.soft(at("/p"));
    let newest = world.soft(tagged("blog"));
    let by = InvalidatedBy { mode: Mode::Soft, by: tagged("blog"), epoch: newest };
    assert_eq!(world.inspect("/p", &[]).invalidated, Some(by));
    let worst = world.hard(at("/p"));
    world.soft(tagged("blog"));
    let by = InvalidatedBy { mode: Mode::Hard, by: at("/p"), epoch: worst };
    assert_eq!(world.inspect("/p", &[]).invalidated, Some(by));
}

#[tokio::test(start_paused = true)]
async fn it_says_that_a_page_fails_and_until_when_it_is_left_alone() {
    let world = stored().await;
    world.soft(at("/p"));
    world.origin.on("/p", answer(503, &[], "sorry"));
    world.visit("/p", &[]).await.is("v1");
    world.quiet().await;
    let failed_at = world.now();
    world.advance(secs(1)).await;
    let seen = world.inspect("/p", &[]);
    assert_eq!(seen.failing, Some((failed_at.after(secs(10)), Failure::Status(503))));
    assert!(matches!(seen.decision, Decision::Reuse { failing: true, .. }), "{:?}", seen.decision);
    world.advance(secs(10)).await;
    assert_eq!(world.inspect("/p", &[]).failing, None);
}

#[tokio::test(start_paused = true)]
async fn it_says_that_a_fill_is_under_way() {
    let world = World::new();
    let held = world.origin.held("/p");
    let visit = world.start("/p", &[]);
    world.settle().await;
    assert!(world.inspect("/p", &[]).in_flight && !world.inspect("/q", &[]).in_flight);
    held.answer(page("v1"));
    visit.await.unwrap().is("v1");
    world.quiet().await;
    assert!(!world.inspect("/p", &[]).in_flight);
}

#[tokio::test(start_paused = true)]
async fn it_finds_the_variant_of_the_fields_that_it_is_given() {
    let world = World::new();
    world.origin.on("/p", page("v1").field("vary", "Accept-Language"));
    world.visit("/p", &[("accept-language", "de")]).await.is("v1");
    let seen = world.inspect("/p", &[("accept-language", "de")]);
    assert_eq!((seen.nominated, seen.variants), (vec!["accept-language".to_owned()], 1));
    assert_eq!(seen.stored.unwrap().variant, [("accept-language".to_owned(), Some(b"de".to_vec()))]);
    let seen = world.inspect("/p", &[("accept-language", "en")]);
    assert_eq!((seen.stored.is_none(), seen.decision), (true, Decision::Fetch(Forward::VaryMiss)));
}

#[tokio::test(start_paused = true)]
async fn it_says_whether_a_visitor_is_personal() {
    let world = World::new();
    for (fields, personal) in
        [([("cookie", "session=1")], true), ([("cookie", "_ga=1")], false), ([("x-key", "1")], true)]
    {
        assert_eq!(world.inspect("/p", &fields).personal, personal, "{fields:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn it_tells_the_verdict_of_what_is_not_storable() {
    let world = World::new();
    world.origin.on("/p", page("mine").cache_control("private"));
    world.visit("/p", &[]).await.is("mine");
    let seen = world.inspect("/p", &[]);
    assert!(
        matches!(seen.verdict, Some(Known::NotStorable { reason: NotStorable::Private, .. })),
        "{:?}",
        seen.verdict
    );
    assert_eq!(seen.decision, Decision::Bypass(Forward::Miss));
    world.visit("/p", &[]).await.was(Outcome::Bypass);
    world.advance(secs(121)).await;
    let seen = world.inspect("/p", &[]);
    assert_eq!((seen.verdict.is_none(), seen.decision), (true, Decision::Fetch(Forward::UriMiss)));
}

/// A visit would find out again.
#[tokio::test(start_paused = true)]
async fn a_verdict_that_an_invalidation_made_void_decides_nothing() {
    for one in [soft(at("/p")), hard(at("/p"))] {
        let world = World::new();
        world.origin.on("/p", page("mine").cache_control("private"));
        world.visit("/p", &[]).await.is("mine");
        world.invalidate(&[one]);
        assert_eq!(world.inspect("/p", &[]).decision, Decision::Fetch(Forward::UriMiss));
        world.visit("/p", &[]).await.was(Outcome::Miss);
    }
}

/// A visitor with a session found it out: it says nothing about one without.
#[tokio::test(start_paused = true)]
async fn a_verdict_about_personal_visitors_decides_for_them_alone() {
    let world = World::new();
    let session = [("cookie", "session=1")];
    world.origin.on("/p", page("mine").cache_control("private"));
    world.visit("/p", &session).await.is("mine");
    assert_eq!(world.inspect("/p", &session).decision, Decision::Bypass(Forward::Miss));
    assert_eq!(world.inspect("/p", &[]).decision, Decision::Fetch(Forward::UriMiss));
}
