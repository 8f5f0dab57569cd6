//! Regenerations that somebody orders (semantics 38).

use crate::support::{Act, Reply, World, answer, at, hard, page, secs, soft};
use engine::origin::OriginRequest;
use semantics::Outcome;
use semantics::settlement::Failure;

const BOTH: [&str; 2] = ["/p", "/isr/p"];

fn validated(body: &str) -> Reply {
    page(body).field("etag", "\"1\"")
}

/// `v1` stored a second ago at both paths.
async fn stored() -> World {
    let world = World::new();
    for path in BOTH {
        world.origin.on(path, validated("v1"));
        world.visit(path, &[]).await.is("v1");
    }
    world.advance(secs(1)).await;
    world
}

#[tokio::test(start_paused = true)]
async fn an_order_renders_now_and_is_answered_when_the_page_is_stored() {
    for path in BOTH {
        let world = stored().await;
        world.origin.on(path, page("v2").delay(secs(2)));
        let done = world.regenerate(path, &[]).await.unwrap();
        assert_eq!(&done.response.body.held().unwrap()[..], b"v2");
        assert!(done.took >= secs(2), "{:?}", done.took);
        world.visit(path, &[]).await.is("v2").was(Outcome::Hit);
        assert_eq!(world.origin.asked(path), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_is_stored_an_order_renders() {
    type Before = fn(&World);
    let whatever: [(&str, Before); 4] = [
        ("fresh", |_| {}),
        ("stale by order", |world| {
            world.soft(at("/isr/p"));
        }),
        ("absent by order", |world| {
            world.hard(at("/isr/p"));
        }),
        ("both", |world| {
            world.invalidate(&[soft(at("/isr/p")), hard(at("/isr/p"))]);
        }),
    ];
    for (name, change) in whatever {
        let world = stored().await;
        change(&world);
        world.origin.on("/isr/p", page("v2"));
        let done = world.regenerate("/isr/p", &[]).await.unwrap();
        assert_eq!(&done.response.body.held().unwrap()[..], b"v2", "{name}");
        world.visit("/isr/p", &[]).await.is("v2").was(Outcome::Hit);
        assert_eq!(world.origin.asked("/isr/p"), 2, "{name}");
    }
    for (path, after) in [("/isr/new", 0), ("/short/p", 11), ("/short/p", 61)] {
        let world = World::new();
        world.origin.on("/short/p", page("v1"));
        world.visit("/short/p", &[]).await.is("v1");
        world.advance(secs(after)).await;
        world.origin.on(path, page("v2"));
        assert_eq!(&world.regenerate(path, &[]).await.unwrap().response.body.held().unwrap()[..], b"v2");
        world.visit(path, &[]).await.is("v2").was(Outcome::Hit);
    }
}

#[tokio::test(start_paused = true)]
async fn a_304_is_a_regeneration() {
    for path in BOTH {
        let world = stored().await;
        world.origin.on(path, answer(304, &[("etag", "\"1\"")], ""));
        let done = world.regenerate(path, &[]).await.unwrap();
        assert_eq!(&done.response.body.held().unwrap()[..], b"v1");
        assert_eq!(done.response.windows.generated, world.now());
        assert_eq!(world.visit(path, &[]).await.is("v1").cache_status, "larder; hit; ttl=10");
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_the_page_stays_and_the_error_says_what_happened() {
    for path in BOTH {
        let failures: [(Act, &str); 4] = [
            (answer(503, &[], "sorry").into(), "503"),
            (answer(403, &[], "no").into(), "403"),
            (Act::Fail(Failure::Connect), "connect"),
            (page("v2").truncated(1).into(), "truncated"),
        ];
        for (act, words) in failures {
            let world = stored().await;
            world.origin.next(path, act);
            let failed = world.regenerate(path, &[]).await.unwrap_err();
            assert!(failed.message.contains(words), "{}", failed.message);
            world.visit(path, &[]).await.is("v1").was(Outcome::Hit);
            assert_eq!(world.origin.asked(path), 2);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_order_for_what_cannot_be_stored_or_made_is_an_error() {
    for reply in [page("mine").cache_control("private"), page("x".repeat(10_001)), answer(500, &[], "sorry")] {
        let world = World::new();
        world.origin.on("/isr/p", reply);
        let failed = world.regenerate("/isr/p", &[]).await.unwrap_err();
        assert!(!failed.message.is_empty());
        world.quiet().await;
        assert_eq!(world.engine.usage().entries, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn an_order_does_not_wait_for_the_back_off_and_its_success_ends_it() {
    let world = stored().await;
    world.soft(at("/isr/p"));
    world.origin.next("/isr/p", answer(503, &[], "sorry"));
    world.visit("/isr/p", &[]).await.is("v1");
    world.quiet().await;
    world.origin.on("/isr/p", page("v2"));
    let seen = world.visit("/isr/p", &[]).await;
    assert!(seen.is("v1").cache_status.ends_with("; detail=failing"), "{}", seen.cache_status);
    world.regenerate("/isr/p", &[]).await.unwrap();
    world.visit("/isr/p", &[]).await.is("v2").was(Outcome::Hit);
    world.soft(at("/isr/p"));
    world.visit("/isr/p", &[]).await.is("v2").was(Outcome::Stale);
    world.quiet().await;
    assert_eq!(world.origin.asked("/isr/p"), 4);
}

#[tokio::test(start_paused = true)]
async fn an_order_during_another_fill_is_answered_by_a_render_that_began_after_it() {
    for path in BOTH {
        for (stored, overtaken) in [(false, false), (false, true), (true, false), (true, true)] {
            let world = World::new();
            if stored {
                world.origin.on(path, page("v1"));
                world.visit(path, &[]).await.is("v1");
                world.advance(secs(11)).await;
            }
            let held = world.origin.held(path);
            let visit = world.start(path, &[]);
            world.advance(secs(1)).await;
            if overtaken {
                world.soft(at(path));
            }
            let before = world.origin.asked(path);
            let order = world.order(path);
            world.settle().await;
            assert_eq!(world.origin.asked(path), before, "one fill a page at a time");
            world.origin.on(path, page("new"));
            held.answer(page("old"));
            visit.await.unwrap().is(if stored { "v1" } else { "old" });
            assert_eq!(&order.await.unwrap().unwrap().response.body.held().unwrap()[..], b"new");
            assert_eq!(world.origin.asked(path), before + 1);
            world.visit(path, &[]).await.is("new").was(Outcome::Hit);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_order_is_not_answered_by_the_failure_of_a_fill_that_began_before_it() {
    for path in BOTH {
        for fails in [false, true] {
            let world = World::new();
            let held = world.origin.held(path);
            let visit = world.start(path, &[]);
            world.advance(secs(1)).await;
            let order = world.order(path);
            world.settle().await;
            assert_eq!(world.origin.asked(path), 1, "one fill a page at a time");
            world.origin.on(path, if fails { answer(500, &[], "its own") } else { page("new") });
            held.answer(answer(503, &[], "sorry"));
            assert_eq!(visit.await.unwrap().status, 503);
            match order.await.unwrap() {
                Ok(done) => assert_eq!((&done.response.body.held().unwrap()[..], fails), (&b"new"[..], false)),
                Err(failed) => assert_eq!((failed.failure, fails), (Failure::Status(500), true)),
            }
            assert_eq!(world.origin.asked(path), 2);
        }
    }
}

/// The origin has a cache of its own, and renders behind what is stale there (semantics 23).
#[tokio::test(start_paused = true)]
async fn an_order_that_gets_something_stale_asks_again_and_is_an_error_where_nothing_else_comes() {
    let marked = |body: &str| validated(body).field("x-nextjs-cache", "STALE");
    for path in BOTH {
        let world = stored().await;
        world.origin.next(path, marked("v1"));
        world.origin.on(path, validated("v2"));
        let done = world.regenerate(path, &[]).await.unwrap();
        assert_eq!(&done.response.body.held().unwrap()[..], b"v2");
        world.visit(path, &[]).await.is("v2").was(Outcome::Hit);
        assert_eq!(world.origin.asked(path), 3);
        world.origin.on(path, marked("v2"));
        let failed = world.regenerate(path, &[]).await.unwrap_err();
        assert!(failed.message.contains("stale"), "{}", failed.message);
        assert_eq!(world.origin.asked(path), 5, "as often as any regeneration");
    }
}

#[tokio::test(start_paused = true)]
async fn orders_that_come_together_share_one_render() {
    let world = stored().await;
    let held = world.origin.held("/isr/p");
    let orders: Vec<_> = (0..5).map(|_| world.order("/isr/p")).collect();
    world.settle().await;
    assert_eq!(world.origin.asked("/isr/p"), 2);
    held.answer(page("v2"));
    for order in orders {
        assert_eq!(&order.await.unwrap().unwrap().response.body.held().unwrap()[..], b"v2");
    }
    assert_eq!(world.origin.asked("/isr/p"), 2);
}

#[tokio::test(start_paused = true)]
async fn visitors_are_served_while_an_order_is_carried_out() {
    let world = stored().await;
    world.soft(at("/isr/p"));
    let held = world.origin.held("/isr/p");
    let order = world.order("/isr/p");
    world.settle().await;
    for _ in 0..3 {
        world.visit("/isr/p", &[]).await.is("v1").was(Outcome::Stale);
    }
    held.answer(page("v2"));
    order.await.unwrap().unwrap();
    world.visit("/isr/p", &[]).await.is("v2").was(Outcome::Hit);
    assert_eq!(world.origin.asked("/isr/p"), 2, "that was their regeneration too");
}

fn localised(version: &'static str) -> impl Fn(&OriginRequest) -> Act + Send + Sync + 'static {
    move |request: &OriginRequest| {
        let language = request.fields.iter().find(|(n, _)| n == "accept-language");
        let language = language.map_or("none", |(_, value)| value.to_str().unwrap());
        page(format!("{version} in {language}")).field("vary", "Accept-Language").into()
    }
}

#[tokio::test(start_paused = true)]
async fn of_a_page_that_varies_an_order_renders_the_variant_that_it_names() {
    for path in BOTH {
        let world = World::new();
        world.origin.on_each(path, localised("v1"));
        for language in ["de", "en"] {
            world.visit(path, &[("accept-language", language)]).await.is(&format!("v1 in {language}"));
        }
        let before = world.origin.asked(path);
        world.advance(secs(1)).await;
        world.origin.on_each(path, localised("v2"));
        let done = world.regenerate(path, &[("accept-language", "de")]).await.unwrap();
        assert_eq!(&done.response.body.held().unwrap()[..], b"v2 in de");
        assert_eq!(world.origin.last(path).field("accept-language"), Some("de"));
        let done = world.regenerate(path, &[("accept-language", "fr")]).await.unwrap();
        assert_eq!(&done.response.body.held().unwrap()[..], b"v2 in fr", "also one that nobody asked for yet");
        assert_eq!(world.origin.asked(path), before + 2);
        for (language, version) in [("de", "v2"), ("en", "v1"), ("fr", "v2")] {
            let seen = world.visit(path, &[("accept-language", language)]).await;
            seen.is(&format!("{version} in {language}")).was(Outcome::Hit);
        }
    }
}
