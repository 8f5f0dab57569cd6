//! What becomes of a page that is invalidated, softly or hard (semantics 31, 36, 37 and 39).

use crate::support::{How, World, all, answer, at, hard, millis, page, routed, secs, soft, tagged, under};
use engine::invalidate::Target;
use semantics::policy::Revalidate;
use semantics::{Outcome, Policy};

const BOTH: [&str; 2] = ["/p", "/isr/p"];

/// `v1` stored a second ago at both paths, and `v2` at the origin.
async fn stored() -> World {
    let world = World::new();
    for path in BOTH {
        world.origin.on(path, page("v1").field("etag", "\"1\"").field("cache-tag", "news, blog"));
        world.visit(path, &[]).await.is("v1");
        world.origin.on(path, page("v2").field("etag", "\"2\""));
    }
    world.advance(secs(1)).await;
    world
}

/// Everything by which one of the two is selected.
fn selectors() -> Vec<(&'static str, Target)> {
    let mut all = vec![("/p", routed("rest")), ("/isr/p", routed("/isr/")), ("/isr/p", under("/isr/"))];
    for path in BOTH {
        all.extend([at(path), under(path), under("/"), tagged("blog")].map(|target| (path, target)));
    }
    all
}

#[tokio::test(start_paused = true)]
async fn softly_the_next_visits_get_the_old_page_and_start_one_regeneration() {
    for (path, target) in selectors() {
        let world = stored().await;
        world.soft(target.clone());
        world.settle().await;
        assert_eq!(world.origin.asked(path), 1, "{target}: the call itself asks nobody");
        let held = world.origin.held(path);
        for _ in 0..3 {
            let seen = world.visit(path, &[]).await;
            assert_eq!(seen.is("v1").was(Outcome::Stale).cache_status, "larder; hit; ttl=0", "{target}");
        }
        world.settle().await;
        assert_eq!(world.origin.asked(path), 2, "{target}");
        assert_eq!(world.origin.last(path).field("if-none-match"), Some("\"1\""), "{target}");
        held.answer(page("v2"));
        world.quiet().await;
        for _ in 0..3 {
            world.visit(path, &[]).await.is("v2").was(Outcome::Hit);
        }
        assert_eq!(world.origin.asked(path), 2, "{target}");
    }
}

#[tokio::test(start_paused = true)]
async fn hard_it_is_as_if_the_page_were_not_stored() {
    for (path, target) in selectors() {
        let world = stored().await;
        world.hard(target.clone());
        world.settle().await;
        assert_eq!(world.origin.asked(path), 1, "{target}: the call itself asks nobody");
        let held = world.origin.held(path);
        let visits = world.start_many(3, path);
        world.settle().await;
        assert!(visits.iter().all(|v| !v.is_finished()), "{target}");
        assert_eq!(world.origin.asked(path), 2, "{target}");
        assert_eq!(world.origin.last(path).field("if-none-match"), None, "{target}: nor are its validators sent");
        held.answer(page("v2"));
        for seen in all(visits).await {
            assert!(seen.is("v2").cache_status.starts_with("larder; fwd=uri-miss"), "{}", seen.cache_status);
        }
        world.visit(path, &[]).await.is("v2").was(Outcome::Hit);
        assert_eq!(world.origin.asked(path), 2, "{target}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_soft_and_hard_the_worse_counts_whichever_came_first() {
    for orders in [[soft(at("/p")), hard(tagged("blog"))], [hard(at("/p")), soft(tagged("blog"))]] {
        let world = stored().await;
        for order in orders {
            world.invalidate(&[order]);
        }
        world.visit("/p", &[]).await.is("v2").was(Outcome::Miss);
    }
}

#[tokio::test(start_paused = true)]
async fn again_before_anybody_came_is_the_same_and_again_after_it_is_one_more_regeneration() {
    let world = stored().await;
    for _ in 0..5 {
        world.soft(at("/p"));
    }
    for asked in 2..5 {
        world.visit("/p", &[]).await.was(Outcome::Stale);
        world.quiet().await;
        world.visit("/p", &[]).await.is("v2").was(Outcome::Hit);
        assert_eq!(world.origin.asked("/p"), asked);
        world.soft(at("/p"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_without_a_stale_window_is_stale_for_the_freshness_it_still_had_and_no_longer() {
    for cache_control in ["s-maxage=10", "s-maxage=10, must-revalidate"] {
        for (later, waits) in [(millis(5_999), false), (secs(6), true)] {
            let world = World::new();
            world.origin.on("/p", page("v1").cache_control(cache_control));
            world.visit("/p", &[]).await.is("v1");
            world.origin.on("/p", page("v2").cache_control(cache_control));
            world.advance(secs(4)).await;
            world.soft(at("/p"));
            world.advance(later).await;
            let seen = world.visit("/p", &[]).await;
            let (body, said) = if waits { ("v2", "larder; fwd=stale; stored") } else { ("v1", "larder; hit; ttl=-6") };
            assert_eq!(seen.is(body).cache_status, said, "{cache_control}, {later:?} later");
            world.quiet().await;
            world.visit("/p", &[]).await.is("v2").was(Outcome::Hit);
            assert_eq!(world.origin.asked("/p"), 2);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stale_window_ends_when_it_would_have_ended() {
    for (path, window) in [("/short/p", 60), ("/p", 70)] {
        for (at_last, outcome) in [(millis(1), Outcome::Stale), (secs(0), Outcome::Miss)] {
            let world = World::new();
            world.origin.on(path, page("v1"));
            world.visit(path, &[]).await.is("v1");
            world.origin.on(path, page("v2"));
            for wait in [5, 25, 20] {
                world.advance(secs(wait)).await;
                world.soft(at(path));
            }
            world.advance(secs(window - 50) - at_last).await;
            let body = if outcome == Outcome::Stale { "v1" } else { "v2" };
            world.visit(path, &[]).await.is(body).was(outcome);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_expired_stays_expired() {
    let world = World::new();
    world.origin.on("/short/p", page("v1"));
    world.visit("/short/p", &[]).await.is("v1");
    world.advance(secs(61)).await;
    world.soft(at("/short/p"));
    let held = world.origin.held("/short/p");
    let visit = world.start("/short/p", &[]);
    world.settle().await;
    assert!(!visit.is_finished(), "it waits");
    held.answer(page("v2"));
    visit.await.unwrap().is("v2").was(Outcome::Miss);
}

#[tokio::test(start_paused = true)]
async fn a_page_that_is_never_revalidated_is_invalidated_like_any_other() {
    let world = World::routing("/never/", Policy::isr(Revalidate::Never));
    world.origin.on("/never/p", page("v1"));
    world.visit("/never/p", &[]).await.is("v1");
    world.advance(secs(100 * 86_400)).await;
    world.visit("/never/p", &[]).await.is("v1").was(Outcome::Hit);
    world.origin.on("/never/p", page("v2"));
    world.soft(at("/never/p"));
    world.visit("/never/p", &[]).await.is("v1").was(Outcome::Stale);
    world.quiet().await;
    world.visit("/never/p", &[]).await.is("v2").was(Outcome::Hit);
    world.origin.on("/never/p", page("v3"));
    world.hard(at("/never/p"));
    world.visit("/never/p", &[]).await.is("v3").was(Outcome::Miss);
    world.advance(secs(100 * 86_400)).await;
    world.visit("/never/p", &[]).await.is("v3").was(Outcome::Hit);
}

#[tokio::test(start_paused = true)]
async fn the_back_off_after_a_failure_is_kept_whatever_is_invalidated() {
    for path in BOTH {
        let world = stored().await;
        world.origin.on(path, answer(503, &[], "sorry"));
        world.soft(at(path));
        world.visit(path, &[]).await.is("v1");
        world.quiet().await;
        for _ in 0..9 {
            world.advance(secs(1)).await;
            world.soft(tagged("blog"));
            let seen = world.visit(path, &[]).await;
            assert!(seen.is("v1").cache_status.ends_with("; detail=failing"), "{}", seen.cache_status);
            world.settle().await;
        }
        assert_eq!(world.origin.asked(path), 2);
        world.origin.on(path, page("v2"));
        world.advance(secs(1)).await;
        world.visit(path, &[]).await.is("v1").was(Outcome::Stale);
        world.quiet().await;
        world.visit(path, &[]).await.is("v2").was(Outcome::Hit);
    }
}

#[tokio::test(start_paused = true)]
async fn hard_and_with_a_failing_origin_everybody_gets_the_failure_and_nobody_the_old_page() {
    for path in BOTH {
        let world = stored().await;
        world.origin.on(path, answer(503, &[], "sorry"));
        world.hard(at(path));
        for asked in 2..5 {
            let seen = world.visit(path, &[]).await;
            assert_eq!((seen.status, seen.body.as_str(), seen.how), (503, "sorry", How::Failed));
            assert_eq!(world.origin.asked(path), asked);
            assert_eq!(world.origin.last(path).field("if-none-match"), None);
            world.advance(secs(2)).await;
        }
        world.origin.on(path, page("v2"));
        world.visit(path, &[]).await.is("v2").was(Outcome::Miss);
    }
}

#[tokio::test(start_paused = true)]
async fn what_nobody_has_is_invalidated_with_success_and_the_epoch_grows_with_every_call() {
    let world = stored().await;
    let first = world.engine.epoch();
    let nothing = [soft(tagged("unheard of")), hard(at("/nowhere")), hard(under("/no/")), soft(routed("unrouted"))];
    let mut epochs = vec![first];
    for one in nothing.clone().into_iter().chain(nothing) {
        epochs.push(world.invalidate(&[one]));
    }
    assert!(epochs.windows(2).all(|pair| pair[0] < pair[1]), "{epochs:?}");
    let together = world.invalidate(&[soft(tagged("a")), soft(tagged("b")), hard(at("/c"))]);
    assert_eq!(world.engine.epoch(), together, "one call is one epoch");
    for path in BOTH {
        world.visit(path, &[]).await.is("v1").was(Outcome::Hit);
        assert_eq!(world.origin.asked(path), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn invalidations_are_counted_by_what_they_select() {
    let world = stored().await;
    let before = world.engine.epoch();
    world.invalidate(&[soft(at("/p")), soft(at("/q")), hard(at("/p")), soft(tagged("a"))]);
    world.invalidate(&[hard(under("/x")), soft(routed("rest"))]);
    let counted = |kind: &str, mode: &str| {
        world.metric(&format!("larder_invalidations_total{{kind=\"{kind}\",mode=\"{mode}\"}}"))
    };
    assert_eq!((counted("path", "soft"), counted("path", "hard")), (2, 1));
    assert_eq!((counted("tag", "soft"), counted("tag", "hard")), (1, 0));
    assert_eq!((counted("prefix", "hard"), counted("route", "soft")), (1, 1));
    assert_eq!(world.metric("larder_invalidation_epoch"), before + 2);
}

/// "Not storable" is remembered for two minutes, and void as soon as the page is invalidated.
#[tokio::test(start_paused = true)]
async fn a_verdict_is_void_after_an_invalidation_of_its_page_and_of_no_other() {
    for path in BOTH {
        for one in [soft(at(path)), hard(at(path)), soft(under("/")), hard(routed("rest")), hard(routed("/isr/"))] {
            let selects = one.target != routed(if path == "/p" { "/isr/" } else { "rest" });
            let world = World::new();
            world.origin.on(path, page("v1").cache_control("private"));
            world.visit(path, &[]).await.is("v1");
            world.origin.on(path, page("v2"));
            world.visit(path, &[]).await.is("v2").by(How::Passed);
            world.invalidate(&[hard(at("/other")), one.clone()]);
            let seen = world.visit(path, &[]).await;
            let outcome = if selects { Outcome::Miss } else { Outcome::Bypass };
            seen.is("v2").was(outcome);
            assert_eq!(world.origin.asked(path), 1 + usize::from(selects), "{one:?}");
        }
    }
}
