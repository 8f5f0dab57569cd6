//! Vary: variants, who gets which, and what a URL that begins to vary does to what is stored (semantics 1, 5, 11, 47).

use crate::support::{Act, How, Reply, World, all, answer, page, secs};
use engine::origin::OriginRequest;
use engine::store::MAX_VARIANTS;
use semantics::Outcome;
use semantics::settlement::Failure;

fn sent<'a>(request: &'a OriginRequest, name: &str) -> &'a str {
    request.fields.iter().find(|(n, _)| n.as_str() == name).map_or("none", |(_, v)| v.to_str().unwrap())
}

/// A page that says in what language it was asked for.
fn localised(request: &OriginRequest) -> Reply {
    page(format!("in {}", sent(request, "accept-language"))).field("vary", "Accept-Language")
}

fn language(tag: &str) -> [(&str, &str); 1] {
    [("accept-language", tag)]
}

#[tokio::test(start_paused = true)]
async fn variants_are_filled_and_refreshed_separately() {
    for path in ["/p", "/isr/p"] {
        let world = World::new();
        world.origin.on_each(path, |request| localised(request).into());
        for tag in ["de", "en", "de", "en"] {
            world.visit(path, &language(tag)).await.is(&format!("in {tag}"));
        }
        world.visit(path, &[]).await.is("in none");
        let asked = world.origin.asked(path);
        for tag in ["de", "en"] {
            world.visit(path, &language(tag)).await.is(&format!("in {tag}")).was(Outcome::Hit);
        }
        world.visit(path, &[]).await.is("in none").was(Outcome::Hit);
        assert_eq!(world.origin.asked(path), asked);
        world.advance(secs(11)).await;
        world.visit(path, &language("de")).await.is("in de").was(Outcome::Stale);
        world.quiet().await;
        assert_eq!(world.origin.last(path).field("accept-language"), Some("de"));
        world.visit(path, &language("de")).await.was(Outcome::Hit);
        world.visit(path, &language("en")).await.is("in en").was(Outcome::Stale);
    }
}

#[tokio::test(start_paused = true)]
async fn a_follower_with_other_nominated_values_gets_a_fill_of_his_own() {
    let world = World::new();
    world.origin.varies("/p");
    let held = world.origin.held("/p");
    let mut visits = vec![world.start("/p", &language("de"))];
    world.settle().await;
    for tag in ["en", "de", "fr", "en"] {
        visits.push(world.start("/p", &language(tag)));
    }
    world.settle().await;
    assert_eq!(world.origin.asked("/p"), 1, "nothing is known of Vary yet");
    world.origin.on_each("/p", |request| localised(request).into());
    held.answer(page("in de").field("vary", "Accept-Language"));
    let bodies: Vec<String> = all(visits).await.into_iter().map(|seen| seen.body).collect();
    assert_eq!(bodies, ["in de", "in en", "in de", "in fr", "in en"]);
    assert_eq!(world.origin.asked("/p"), 3);
    assert_eq!(world.origin.crowded(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn the_same_value_in_other_words_is_the_same_variant() {
    let world = World::new();
    world.origin.on_each("/p", |request| localised(request).into());
    world.visit("/p", &language("de-DE, en;q=0.5")).await.is("in de-DE, en;q=0.5");
    world.visit("/p", &language("DE-de,en;q=0.5")).await.was(Outcome::Hit);
    world.visit("/p", &[("accept-language", "de-de"), ("accept-language", "en;q=0.5")]).await.was(Outcome::Hit);
    world.visit("/p", &language("en;q=0.5, de-DE")).await.was(Outcome::Miss);
    assert_eq!(world.origin.asked("/p"), 2);
}

/// RFC 9111, 4.1: white space may be normalised around members, and not inside of values.
#[tokio::test(start_paused = true)]
async fn values_that_differ_inside_are_different_variants() {
    let world = World::new();
    world.origin.on_each("/isr/p", |request| page(sent(request, "x-city").to_owned()).field("vary", "X-City").into());
    for city in ["new york", "newyork", "new york"] {
        world.visit("/isr/p", &[("x-city", city)]).await.is(city);
    }
    world.advance(secs(11)).await;
    world.visit("/isr/p", &[("x-city", "new york")]).await.is("new york").was(Outcome::Stale);
    world.quiet().await;
    world.visit("/isr/p", &[("x-city", "new york")]).await.is("new york").was(Outcome::Hit);
}

#[tokio::test(start_paused = true)]
async fn a_page_has_so_many_variants_at_most() {
    let world = World::new();
    world.origin.on_each("/p", |request| localised(request).into());
    for n in 0..2 * MAX_VARIANTS {
        world.visit("/p", &language(&format!("x{n}"))).await;
    }
    let entries = world.engine.usage().entries;
    assert_eq!(entries, MAX_VARIANTS + 1, "and what says how it varies");
    let newest = format!("x{}", 2 * MAX_VARIANTS - 1);
    world.visit("/p", &language(&newest)).await.was(Outcome::Hit);
    world.visit("/p", &language("x0")).await.was(Outcome::Miss);
}

#[tokio::test(start_paused = true)]
async fn a_variant_whose_fill_fails_takes_nobodys_place() {
    let world = World::new();
    world.origin.on_each("/p", |request| localised(request).into());
    for n in 0..MAX_VARIANTS {
        world.visit("/p", &language(&format!("x{n}"))).await;
    }
    world.origin.next("/p", page("broken").field("vary", "Accept-Language").truncated(3));
    world.visit("/p", &language("one-more")).await;
    for n in 0..MAX_VARIANTS {
        world.visit("/p", &language(&format!("x{n}"))).await.was(Outcome::Hit);
    }
}

/// The old version is served as it was until the new one is whole, and after it failed.
#[tokio::test(start_paused = true)]
async fn a_page_that_begins_to_vary_keeps_its_old_version_until_the_new_one_is_whole() {
    for failure in [None, Some(Failure::Truncated)] {
        let world = World::new();
        world.origin.on("/isr/p", page("old"));
        world.visit("/isr/p", &language("de")).await.is("old");
        world.advance(secs(11)).await;
        let feed = world.origin.stream("/isr/p", page("").field("vary", "Accept-Language"));
        world.origin.on_each("/isr/p", |request| localised(request).into());
        world.visit("/isr/p", &language("de")).await.is("old");
        feed.send("ne");
        world.settle().await;
        world.visit("/isr/p", &language("de")).await.is("old").was(Outcome::Stale);
        world.visit("/isr/p", &[]).await.is("old").was(Outcome::Stale);
        assert_eq!(world.origin.asked("/isr/p"), 2, "{failure:?}");
        match failure {
            Some(failure) => feed.breaks(failure),
            None => {
                feed.send("w");
                feed.end();
            }
        }
        world.quiet().await;
        let expected = if failure.is_some() { "old" } else { "new" };
        world.visit("/isr/p", &[]).await.is(expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_variant_that_begins_to_vary_further_keeps_the_others_when_it_fails() {
    let world = World::new();
    world.origin.on_each("/p", |request| localised(request).into());
    for tag in ["de", "en"] {
        world.visit("/p", &language(tag)).await;
    }
    world.advance(secs(11)).await;
    world.origin.next("/p", page("broken").field("vary", "Accept-Language, Accept").truncated(3));
    world.visit("/p", &language("de")).await.is("in de").was(Outcome::Stale);
    world.quiet().await;
    for tag in ["de", "en"] {
        world.visit("/p", &language(tag)).await.is(&format!("in {tag}")).was(Outcome::Stale);
    }
}

#[tokio::test(start_paused = true)]
async fn a_variant_that_begins_to_vary_further_leaves_nothing_at_its_old_place() {
    let world = World::new();
    world.origin.on("/p", page("v1").field("vary", "Accept-Language"));
    world.visit("/p", &language("de")).await.is("v1");
    let entries = world.engine.usage().entries;
    assert_eq!(entries, 2, "itself, and what says how it varies");
    world.advance(secs(11)).await;
    world.origin.on("/p", page("v2").field("vary", "Accept-Language, X-Theme"));
    world.visit("/p", &language("de")).await.is("v1").was(Outcome::Stale);
    world.quiet().await;
    world.visit("/p", &language("de")).await.is("v2").was(Outcome::Hit);
    assert_eq!(world.engine.usage().entries, entries);
}

#[tokio::test(start_paused = true)]
async fn a_first_fill_that_varies_and_fails_is_shared_like_any_other() {
    let world = World::new();
    let feed = world.origin.stream("/p", page("").field("vary", "Accept-Language"));
    let visit = world.start("/p", &language("de"));
    world.settle().await;
    feed.breaks(Failure::Truncated);
    assert!(visit.await.unwrap().broken.is_some());
    world.origin.on_each("/p", |request| localised(request).into());
    let seen = world.visit("/p", &language("de")).await;
    assert_eq!((seen.status, seen.how), (502, How::Failed), "for a second");
    assert_eq!(world.origin.asked("/p"), 1);
    world.advance(secs(1)).await;
    world.visit("/p", &language("de")).await.is("in de");
}

/// A field that Larder adds where a visitor sent none must not keep him from his variant.
#[tokio::test(start_paused = true)]
async fn a_visitor_without_accept_gets_an_answer_that_varies_by_accept() {
    for path in ["/p", "/isr/p"] {
        let world = World::new();
        world.origin.on(path, page("v1").field("vary", "Accept"));
        world.visit(path, &[]).await.is("v1");
        assert!(world.origin.asked(path) <= 2, "{path}: {} requests for one visit", world.origin.asked(path));
        world.visit(path, &[]).await.is("v1").was(Outcome::Hit);
        world.visit(path, &[("accept", "text/html")]).await.is("v1").was(Outcome::Miss);
        world.visit(path, &[("accept", "text/html")]).await.is("v1").was(Outcome::Hit);
        assert_eq!(world.origin.passed(path), 0);
    }
}

/// The key's host and scheme are told by Larder itself, and conditions and ranges are never a visitor's.
#[tokio::test(start_paused = true)]
async fn what_only_larder_may_say_is_not_carried_because_an_answer_varies_by_it() {
    let world = World::new();
    let vary = "Host, X-Forwarded-Proto, X-Forwarded-For, If-None-Match, Range, Connection";
    world.origin.on("/p", page("v1").field("vary", vary));
    let fields = [
        ("host", "example.test"),
        ("x-forwarded-proto", "gopher"),
        ("x-forwarded-for", "192.0.2.1"),
        ("if-none-match", "\"theirs\""),
        ("connection", "keep-alive"),
    ];
    for _ in 0..3 {
        world.visit("/p", &fields).await;
    }
    for request in world.origin.requests("/p") {
        assert_eq!(request.names(), ["accept", "accept-encoding", "user-agent"]);
    }
}

/// The first fill of an ISR page does not carry what nobody nominated yet: its answer is not his who sent it.
#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_stored_is_not_given_to_a_visitor_whom_it_does_not_suit() {
    let world = World::new();
    world.origin.on_each("/isr/p", |request| localised(request).cache_control("private").into());
    world.visit("/isr/p", &language("de")).await.is("in de").by(How::Passed);
    world.visit("/isr/p", &language("en")).await.is("in en").by(How::Passed);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_told_apart_is_not_stored() {
    let many = (0..17).map(|n| format!("x-{n}")).collect::<Vec<_>>().join(", ");
    for vary in ["*", "Accept, *", "Cookie", "authorization", "Accept-Encoding, User-Agent", many.as_str()] {
        let world = World::new();
        world.origin.on("/isr/p", page("v1").field("vary", vary));
        world.visit("/isr/p", &[]).await.is("v1");
        world.visit("/isr/p", &[]).await.is("v1").by(How::Passed);
        assert_eq!(world.engine.usage().entries, 0, "{vary}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_every_fill_sends_alike_does_not_vary() {
    let world = World::new();
    let next = "rsc, next-router-state-tree, next-router-prefetch, Accept-Encoding";
    world.origin.on("/isr/p", page("v1").field("vary", next));
    world.visit("/isr/p", &[("accept-encoding", "gzip")]).await.is("v1");
    world.visit("/isr/p", &[("accept-encoding", "br")]).await.is("v1").was(Outcome::Hit);
    assert_eq!(world.engine.usage().entries, 1);
}

#[tokio::test(start_paused = true)]
async fn a_variant_that_fails_leaves_the_others_alone() {
    let world = World::new();
    world.origin.on_each("/p", |request| localised(request).into());
    world.visit("/p", &language("de")).await.is("in de");
    world.origin.on_each("/p", |request| match sent(request, "accept-language") {
        "fr" => Act::Reply(answer(503, &[], "non")),
        _ => Act::Reply(localised(request)),
    });
    assert_eq!(world.visit("/p", &language("fr")).await.status, 503);
    world.visit("/p", &language("de")).await.is("in de").was(Outcome::Hit);
    world.visit("/p", &language("en")).await.is("in en").was(Outcome::Miss);
}

/// In little memory what says how a URL varies may go while it is filled. That says nothing of its other variants.
#[tokio::test(start_paused = true)]
async fn variants_stay_fresh_though_what_leads_to_them_is_put_out_of_memory_during_a_fill() {
    for written in [false, true] {
        let world = World::new();
        world.origin.on_each("/p", |request| localised(request).into());
        world.visit("/p", &language("de")).await.is("in de");
        world.advance(secs(1)).await;
        let held = world.origin.held("/p");
        let visit = world.start("/p", &language("en"));
        world.settle().await;
        world.forget_how_it_varies("/p");
        world.advance(secs(1)).await;
        if written {
            // It reaches no variant: nothing leads to them.
            world.wrote("/p", &[]);
        }
        held.answer(page("in en").field("vary", "Accept-Language"));
        visit.await.unwrap().is("in en");
        world.quiet().await;
        let expected = if written { Outcome::Miss } else { Outcome::Hit };
        world.visit("/p", &language("de")).await.is("in de").was(expected);
    }
}
