//! Fills that were under way when what they were to fetch was invalidated (semantics 16 and 32).

use crate::support::{Setup, World, all, answer, at, hard, millis, page, routed, secs, soft, tagged, under};
use engine::gate::GateSettings;
use engine::invalidate::{Mode, Target};
use semantics::Outcome;

const BOTH: [&str; 2] = ["/p", "/isr/p"];

/// By what a first fill of this page can be overtaken. Its tag is known from its answer alone.
fn selectors(path: &str) -> [Target; 4] {
    let route = if path == "/p" { "rest" } else { "/isr/" };
    [at(path), under("/"), routed(route), tagged("late")]
}

#[tokio::test(start_paused = true)]
async fn a_first_fill_that_was_overtaken_softly_is_stored_as_stale() {
    for path in BOTH {
        for target in selectors(path) {
            let world = World::new();
            let held = world.origin.held(path);
            let first = world.start(path, &[]);
            world.advance(secs(1)).await;
            world.soft(target.clone());
            world.origin.on(path, page("new"));
            held.answer(page("old").field("cache-tag", "late"));
            first.await.unwrap().is("old").was(Outcome::Miss);
            world.quiet().await;
            world.visit(path, &[]).await.is("old").was(Outcome::Stale);
            world.quiet().await;
            world.visit(path, &[]).await.is("new").was(Outcome::Hit);
            assert_eq!(world.origin.asked(path), 2, "{target}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_first_fill_that_was_overtaken_hard_answers_who_came_before_and_nobody_else() {
    for path in BOTH {
        for target in selectors(path) {
            let world = World::new();
            let held = world.origin.held(path);
            let first = world.start(path, &[]);
            world.advance(secs(1)).await;
            world.hard(target.clone());
            world.origin.on(path, page("new"));
            held.answer(page("old").field("cache-tag", "late"));
            first.await.unwrap().is("old").was(Outcome::Miss);
            world.quiet().await;
            world.visit(path, &[]).await.is("new").was(Outcome::Miss);
            world.visit(path, &[]).await.is("new").was(Outcome::Hit);
            assert_eq!(world.origin.asked(path), 2, "{target}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_regeneration_that_was_overtaken_is_not_fresh_either() {
    for path in BOTH {
        for (mode, outcome) in [(Mode::Soft, Outcome::Stale), (Mode::Hard, Outcome::Miss)] {
            let world = World::new();
            world.origin.on(path, page("v1"));
            world.visit(path, &[]).await.is("v1");
            world.advance(secs(11)).await;
            let held = world.origin.held(path);
            world.visit(path, &[]).await.is("v1").was(Outcome::Stale);
            world.advance(secs(1)).await;
            world.invalidate(&[if mode == Mode::Soft { soft(at(path)) } else { hard(at(path)) }]);
            world.origin.on(path, page("v3"));
            held.answer(page("v2"));
            world.quiet().await;
            let body = if mode == Mode::Soft { "v2" } else { "v3" };
            world.visit(path, &[]).await.is(body).was(outcome);
            world.quiet().await;
            world.visit(path, &[]).await.is("v3").was(Outcome::Hit);
            assert_eq!(world.origin.asked(path), 3, "{mode:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn during_a_regeneration_that_was_overtaken_softly_visits_start_no_other() {
    let world = World::new();
    world.origin.on("/isr/p", page("v1"));
    world.visit("/isr/p", &[]).await.is("v1");
    world.soft(at("/isr/p"));
    let held = world.origin.held("/isr/p");
    for _ in 0..5 {
        world.visit("/isr/p", &[]).await.is("v1").was(Outcome::Stale);
        world.settle().await;
        world.soft(at("/isr/p"));
    }
    assert_eq!(world.origin.asked("/isr/p"), 2);
    held.answer(page("v2"));
    world.origin.on("/isr/p", page("v3"));
    world.quiet().await;
    for _ in 0..3 {
        world.visit("/isr/p", &[]).await.is("v2").was(Outcome::Stale);
    }
    world.quiet().await;
    world.visit("/isr/p", &[]).await.is("v3").was(Outcome::Hit);
    assert_eq!(world.origin.asked("/isr/p"), 3);
}

#[tokio::test(start_paused = true)]
async fn who_comes_after_a_soft_invalidation_gets_the_body_on_its_way_as_the_stale_one_that_it_is() {
    for path in BOTH {
        for target in selectors(path) {
            let world = World::new();
            let feed = world.origin.stream(path, page("").field("cache-tag", "late"));
            let first = world.open(path).await;
            world.soft(target.clone());
            let second = world.start(path, &[]);
            world.settle().await;
            assert!(!second.is_finished());
            world.origin.on(path, page("new"));
            feed.send("old");
            feed.end();
            assert_eq!(first.rest().await.unwrap(), "old");
            second.await.unwrap().is("old").was(Outcome::Stale);
            world.quiet().await;
            world.visit(path, &[]).await.is("new").was(Outcome::Hit);
            assert_eq!(world.origin.asked(path), 2, "{target}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_comes_after_a_hard_invalidation_leads_a_new_fill_and_the_older_body_replaces_nothing() {
    for path in BOTH {
        for target in selectors(path) {
            let world = World::new();
            let feed = world.origin.stream(path, page("").field("cache-tag", "late"));
            let first = world.open(path).await;
            feed.send("o");
            world.settle().await;
            world.hard(target.clone());
            let held = world.origin.held(path);
            let later = world.start_many(3, path);
            world.settle().await;
            assert_eq!(world.origin.asked(path), 2, "{target}: one for all of them");
            held.answer(page("new").field("cache-tag", "late"));
            for seen in all(later).await {
                seen.is("new");
            }
            feed.send("ld");
            feed.end();
            assert_eq!(first.rest().await.unwrap(), "old", "who watched before goes on");
            world.quiet().await;
            world.visit(path, &[]).await.is("new").was(Outcome::Hit);
            assert_eq!((world.origin.asked(path), world.origin.passed(path)), (2, 0), "{target}");
        }
    }
}

/// The new fill is slower than the one that it took the place of.
#[tokio::test(start_paused = true)]
async fn an_older_body_that_lands_first_is_not_served_after_a_hard_invalidation() {
    for path in BOTH {
        let world = World::new();
        let feed = world.origin.stream(path, page(""));
        let first = world.open(path).await;
        world.hard(at(path));
        let held = world.origin.held(path);
        let second = world.start(path, &[]);
        world.settle().await;
        feed.send("old");
        feed.end();
        assert_eq!(first.rest().await.unwrap(), "old");
        let third = world.start(path, &[]);
        world.settle().await;
        assert!(!second.is_finished() && !third.is_finished());
        held.answer(page("new"));
        second.await.unwrap().is("new");
        third.await.unwrap().is("new");
        world.visit(path, &[]).await.is("new").was(Outcome::Hit);
        assert_eq!(world.origin.asked(path), 2);
    }
}

/// A fill that is to replace something shows nothing before its end: who waited for it finds out then.
#[tokio::test(start_paused = true)]
async fn who_waits_for_a_fill_that_began_before_a_hard_invalidation_does_not_get_its_body() {
    let world = World::new();
    world.origin.on("/short/p", page("v1"));
    world.visit("/short/p", &[]).await.is("v1");
    world.advance(secs(61)).await;
    let held = world.origin.held("/short/p");
    let before = world.start("/short/p", &[]);
    world.settle().await;
    world.hard(at("/short/p"));
    let after = world.start("/short/p", &[]);
    world.settle().await;
    world.origin.on("/short/p", page("new"));
    held.answer(page("old"));
    before.await.unwrap().is("old");
    after.await.unwrap().is("new").was(Outcome::Miss);
    world.visit("/short/p", &[]).await.is("new").was(Outcome::Hit);
    assert_eq!(world.origin.asked("/short/p"), 3);
}

/// What comes back is judged as the new version of a page that is stored. For those who wait, none is.
#[tokio::test(start_paused = true)]
async fn who_waits_for_a_refresh_that_fails_after_a_hard_invalidation_starts_over() {
    let private = || page("mine").cache_control("private");
    for (then, body, passed) in [(private(), "mine", 1), (page("new"), "new", 0)] {
        let world = World::new();
        world.origin.on("/isr/p", page("v1").field("etag", "\"1\""));
        world.visit("/isr/p", &[]).await.is("v1");
        world.advance(secs(11)).await;
        let held = world.origin.held("/isr/p");
        world.visit("/isr/p", &[]).await.is("v1").was(Outcome::Stale);
        world.settle().await;
        assert_eq!(world.origin.last("/isr/p").field("if-none-match"), Some("\"1\""));
        world.hard(at("/isr/p"));
        let waiting = world.start_many(2, "/isr/p");
        world.settle().await;
        assert_eq!(world.origin.asked("/isr/p"), 2, "they wait for the one that runs");
        world.origin.on("/isr/p", then);
        held.answer(private());
        for seen in all(waiting).await {
            seen.is(body);
        }
        assert_eq!((world.origin.asked("/isr/p"), world.origin.passed("/isr/p")), (3, passed));
    }
}

/// It was fresh when it was asked for, and a 304 says no more than that.
#[tokio::test(start_paused = true)]
async fn a_304_to_a_request_from_before_an_invalidation_makes_nothing_fresh() {
    for (mode, outcome) in [(Mode::Soft, Outcome::Stale), (Mode::Hard, Outcome::Miss)] {
        let world = World::new();
        world.origin.on("/p", page("v1").field("etag", "\"1\""));
        world.visit("/p", &[]).await.is("v1");
        world.advance(secs(11)).await;
        let held = world.origin.held("/p");
        world.visit("/p", &[]).await.is("v1").was(Outcome::Stale);
        world.settle().await;
        world.invalidate(&[if mode == Mode::Soft { soft(at("/p")) } else { hard(at("/p")) }]);
        world.origin.on("/p", page("v2"));
        held.answer(answer(304, &[("etag", "\"1\"")], ""));
        world.quiet().await;
        let body = if mode == Mode::Soft { "v1" } else { "v2" };
        world.visit("/p", &[]).await.is(body).was(outcome);
        world.quiet().await;
        world.visit("/p", &[]).await.is("v2").was(Outcome::Hit);
    }
}

/// Invalidated while it waits for a place at the origin, a regeneration is of what comes after.
#[tokio::test(start_paused = true)]
async fn a_fill_counts_from_its_request_and_not_from_its_place_in_the_queue() {
    for mode in [Mode::Soft, Mode::Hard] {
        let one = GateSettings { max_concurrent: 1, queue: 10 };
        let world = World::with(Setup { refreshes: one, ..Setup::default() });
        for path in ["/isr/a", "/isr/b"] {
            world.origin.on(path, page("v1").field("etag", "\"1\""));
            world.visit(path, &[]).await.is("v1");
        }
        world.advance(secs(11)).await;
        let held = world.origin.held("/isr/a");
        world.visit("/isr/a", &[]).await.was(Outcome::Stale);
        world.settle().await;
        world.visit("/isr/b", &[]).await.was(Outcome::Stale);
        world.settle().await;
        assert_eq!(world.origin.asked("/isr/b"), 1, "it waits");
        world.invalidate(&[if mode == Mode::Soft { soft(at("/isr/b")) } else { hard(at("/isr/b")) }]);
        world.origin.on("/isr/b", page("v2"));
        held.answer(page("v2"));
        world.quiet().await;
        let validator = world.origin.last("/isr/b").field("if-none-match").map(str::to_owned);
        assert_eq!(validator.is_some(), mode == Mode::Soft, "what is absent is not asked about");
        world.visit("/isr/b", &[]).await.is("v2").was(Outcome::Hit);
        assert_eq!(world.origin.asked("/isr/b"), 2);
    }
}

/// The invalidations of other pages concern nobody.
#[tokio::test(start_paused = true)]
async fn a_fill_is_not_overtaken_by_what_does_not_select_it() {
    for path in BOTH {
        let world = World::new();
        let feed = world.origin.stream(path, page("").field("cache-tag", "late"));
        let first = world.open(path).await;
        world.invalidate(&[hard(at("/q")), soft(tagged("l")), hard(under("/pp")), hard(routed("/short/"))]);
        let second = world.start(path, &[]);
        world.settle().await;
        feed.send("page");
        feed.end();
        assert_eq!(first.rest().await.unwrap(), "page");
        second.await.unwrap().is("page").was(Outcome::Collapsed);
        world.advance(millis(1)).await;
        world.visit(path, &[]).await.is("page").was(Outcome::Hit);
        assert_eq!(world.origin.asked(path), 1);
    }
}
