//! What the success of an unsafe method leaves behind: pages that are to be validated (semantics 42; RFC 9111, 4.4;
//! RFC 9875).

use crate::support::{Reply, World, answer, page, secs};
use semantics::{Outcome, Policy};
use std::time::Duration;

/// Fresh for long, so that nothing but a write makes it otherwise; the pause between two validations is then 30 s.
fn long(body: &str) -> Reply {
    page(body).cache_control("s-maxage=1000, stale-while-revalidate=1000")
}

fn validated(body: &str) -> Reply {
    long(body).field("etag", &format!("\"{body}\""))
}

/// `v1` stored a second ago, and `v2` at the origin.
async fn stored() -> World {
    let world = World::new();
    world.origin.on("/p", validated("v1"));
    world.visit("/p", &[]).await.is("v1");
    world.advance(secs(1)).await;
    world.origin.on("/p", validated("v2"));
    world
}

#[tokio::test(start_paused = true)]
async fn a_page_that_was_written_to_is_validated_before_its_next_use() {
    let world = stored().await;
    world.wrote("/p", &[]);
    world.settle().await;
    assert_eq!(world.origin.asked("/p"), 1, "the write itself asks nobody");
    let held = world.origin.held("/p");
    let visits = world.start_many(3, "/p");
    world.settle().await;
    assert!(visits.iter().all(|v| !v.is_finished()), "the old page is not served meanwhile");
    assert_eq!(world.origin.asked("/p"), 2);
    assert_eq!(world.origin.last("/p").field("if-none-match"), Some("\"v1\""));
    held.answer(validated("v2"));
    for visit in visits {
        visit.await.unwrap().is("v2");
    }
    world.visit("/p", &[]).await.is("v2").was(Outcome::Hit);
    assert_eq!(world.origin.asked("/p"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_304_confirms_a_page_that_was_written_to() {
    let world = stored().await;
    world.wrote("/p", &[]);
    world.origin.on("/p", answer(304, &[("etag", "\"v1\"")], ""));
    assert_eq!(world.visit("/p", &[]).await.is("v1").cache_status, "larder; fwd=stale; fwd-status=304; stored");
    world.visit("/p", &[]).await.is("v1").was(Outcome::Hit);
}

#[tokio::test(start_paused = true)]
async fn a_page_that_was_written_to_answers_for_an_origin_that_fails() {
    let world = stored().await;
    world.wrote("/p", &[]);
    world.origin.on("/p", answer(503, &[], "sorry"));
    assert_eq!(world.visit("/p", &[]).await.is("v1").cache_status, "larder; fwd=stale; fwd-status=503");
    let seen = world.visit("/p", &[]).await;
    assert!(seen.is("v1").cache_status.ends_with("; detail=failing"), "{}", seen.cache_status);
    assert_eq!(world.origin.asked("/p"), 2);
    world.origin.on("/p", validated("v2"));
    world.advance(secs(30)).await;
    world.visit("/p", &[]).await.is("v2").was(Outcome::Miss);
}

#[tokio::test(start_paused = true)]
async fn where_stale_use_is_forbidden_a_page_that_was_written_to_does_not_answer_for_an_origin_that_fails() {
    let world = World::new();
    let strict = |body: &str| page(body).cache_control("s-maxage=60, must-revalidate");
    world.origin.on("/p", strict("v1"));
    world.visit("/p", &[]).await.is("v1");
    world.advance(secs(1)).await;
    world.wrote("/p", &[]);
    world.origin.on("/p", answer(503, &[], "sorry"));
    for _ in 0..2 {
        let seen = world.visit("/p", &[]).await;
        assert_eq!((seen.status, seen.body.as_str()), (503, "sorry"), "{}", seen.cache_status);
    }
    assert_eq!(world.origin.asked("/p"), 2, "it is left alone for a while");
    world.origin.on("/p", strict("v2"));
    world.advance(secs(30)).await;
    world.visit("/p", &[]).await.is("v2").was(Outcome::Miss);
}

#[tokio::test(start_paused = true)]
async fn a_write_concerns_its_own_url_in_all_of_its_variants_and_no_other() {
    let world = World::new();
    let varies = |body: &str| long(body).field("vary", "Accept-Language");
    for path in ["/p", "/q"] {
        world.origin.on(path, varies("v1"));
    }
    let variants = [("accept-language", "de"), ("accept-language", "en")];
    let others = [("/p?a", variants[0]), ("/q", variants[0]), ("/p", ("host", "other.test"))];
    for (target, field) in variants.map(|v| ("/p", v)).into_iter().chain(others) {
        world.visit(target, &[field]).await.is("v1");
    }
    world.advance(secs(1)).await;
    for path in ["/p", "/q"] {
        world.origin.on(path, varies("v2"));
    }
    world.wrote("/p", &[]);
    for (target, field) in others {
        world.visit(target, &[field]).await.is("v1").was(Outcome::Hit);
    }
    for field in variants {
        world.visit("/p", &[field]).await.is("v2").was(Outcome::Miss);
        world.visit("/p", &[field]).await.is("v2").was(Outcome::Hit);
    }
}

/// How often the origin was asked while somebody writes and looks once a second.
async fn asked_after(world: &World, seconds: u64) -> usize {
    for _ in 0..seconds {
        world.wrote("/p", &[]);
        assert_eq!(world.visit("/p", &[]).await.status, 200);
        world.quiet().await;
        world.advance(secs(1)).await;
    }
    world.origin.asked("/p")
}

#[tokio::test(start_paused = true)]
async fn whoever_writes_all_the_time_has_a_page_validated_once_a_back_off() {
    let world = stored().await;
    assert_eq!(asked_after(&world, 1).await, 2, "the first write counts at once");
    assert_eq!(asked_after(&world, 29).await, 2);
    assert_eq!(asked_after(&world, 1).await, 3);
    assert_eq!(asked_after(&world, 29).await, 3);
    assert_eq!(asked_after(&world, 1).await, 4);
}

/// A validation that is due already is not put off by the next write.
#[tokio::test(start_paused = true)]
async fn writes_in_a_row_count_like_one() {
    let world = stored().await;
    for _ in 0..3 {
        world.wrote("/p", &[]);
        world.advance(secs(1)).await;
    }
    world.visit("/p", &[]).await.is("v2").was(Outcome::Miss);
    world.visit("/p", &[]).await.is("v2").was(Outcome::Hit);
}

#[tokio::test(start_paused = true)]
async fn a_write_within_the_back_off_is_put_off_and_not_lost() {
    let world = stored().await;
    world.wrote("/p", &[]);
    world.visit("/p", &[]).await.is("v2").was(Outcome::Miss);
    world.advance(secs(5)).await;
    world.wrote("/p", &[]);
    world.origin.on("/p", validated("v3"));
    world.advance(secs(25) - Duration::from_millis(1)).await;
    world.visit("/p", &[]).await.is("v2").was(Outcome::Hit);
    world.advance(Duration::from_millis(1)).await;
    world.visit("/p", &[]).await.is("v3").was(Outcome::Miss);
    world.advance(secs(100)).await;
    world.visit("/p", &[]).await.is("v3").was(Outcome::Hit);
    assert_eq!(world.origin.asked("/p"), 3);
}

/// RFC 9111, 4.4: every success invalidates, and `profile: rfc9111` has no opinion on that.
#[tokio::test(start_paused = true)]
async fn in_a_plain_cache_every_write_counts_at_once() {
    let world = World::routing("/p", Policy::plain());
    for vary in [None, Some("Accept-Language")] {
        let varying = |body: &str| vary.map_or_else(|| validated(body), |name| validated(body).field("vary", name));
        world.origin.on("/p", varying("v0"));
        world.visit("/p?x", &[]).await;
        for n in 1..=5 {
            world.advance(Duration::from_millis(1)).await;
            world.wrote("/p?x", &[]);
            world.origin.on("/p", varying(&format!("v{n}")));
            world.visit("/p?x", &[]).await.is(&format!("v{n}")).was(Outcome::Miss);
            world.visit("/p?x", &[]).await.is(&format!("v{n}")).was(Outcome::Hit);
        }
    }
}

/// `v1` is written to, and once more while its validation is on its way, which brings `v2`. Then the origin has `v3`.
async fn written_to_while_validated(world: &World) {
    let brief = |body: &str| validated(body).cache_control("s-maxage=3, stale-while-revalidate=60");
    world.origin.on("/p", brief("v1"));
    world.visit("/p", &[]).await.is("v1");
    world.advance(secs(1)).await;
    world.wrote("/p", &[]);
    let held = world.origin.held("/p");
    let visit = world.start("/p", &[]);
    world.advance(secs(1)).await;
    world.wrote("/p", &[]);
    world.origin.on("/p", brief("v3"));
    held.answer(brief("v2"));
    visit.await.unwrap().is("v2").was(Outcome::Miss);
}

#[tokio::test(start_paused = true)]
async fn in_a_plain_cache_a_write_during_the_validation_after_another_write_counts_at_once() {
    let world = World::routing("/p", Policy::plain());
    written_to_while_validated(&world).await;
    world.visit("/p", &[]).await.is("v3").was(Outcome::Miss);
    world.visit("/p", &[]).await.is("v3").was(Outcome::Hit);
}

/// The pause counts from the write that the validation was for, and is three seconds at least.
#[tokio::test(start_paused = true)]
async fn a_write_during_the_validation_after_another_write_is_put_off_and_not_lost() {
    let world = World::new();
    written_to_while_validated(&world).await;
    world.visit("/p", &[]).await.is("v2").was(Outcome::Hit);
    world.advance(secs(2) - Duration::from_millis(1)).await;
    world.visit("/p", &[]).await.is("v2").was(Outcome::Hit);
    world.advance(Duration::from_millis(1)).await;
    world.visit("/p", &[]).await.is("v3").was(Outcome::Miss);
    world.visit("/p", &[]).await.is("v3").was(Outcome::Hit);
    assert_eq!(world.origin.asked("/p"), 3);
}

/// It may say what was there before the write.
#[tokio::test(start_paused = true)]
async fn a_page_that_was_on_its_way_when_it_was_written_to_is_validated_too() {
    for stored in [false, true] {
        let world = World::new();
        if stored {
            world.origin.on("/p", long("v0").cache_control("s-maxage=10, stale-while-revalidate=60"));
            world.visit("/p", &[]).await.is("v0");
            world.advance(secs(11)).await;
        }
        let held = world.origin.held("/p");
        let visit = world.start("/p", &[]);
        world.advance(secs(1)).await;
        world.wrote("/p", &[]);
        world.advance(secs(1)).await;
        held.answer(long("v1"));
        visit.await.unwrap().is(if stored { "v0" } else { "v1" });
        world.quiet().await;
        world.origin.on("/p", long("v2"));
        world.visit("/p", &[]).await.is("v2").was(Outcome::Miss);
        world.visit("/p", &[]).await.is("v2").was(Outcome::Hit);
    }
}

#[tokio::test(start_paused = true)]
async fn a_variant_on_its_way_for_the_first_time_when_its_url_was_written_to_is_validated_too() {
    let world = World::new();
    let varies = |body: &str| long(body).field("vary", "Accept-Language");
    let (german, english) = ([("accept-language", "de")], [("accept-language", "en")]);
    world.origin.on("/p", varies("v1"));
    world.visit("/p", &german).await.is("v1");
    let held = world.origin.held("/p");
    let visit = world.start("/p", &english);
    world.advance(secs(1)).await;
    world.wrote("/p", &[]);
    held.answer(varies("v1"));
    visit.await.unwrap().is("v1");
    world.quiet().await;
    world.origin.on("/p", varies("v2"));
    for fields in [english, german] {
        world.visit("/p", &fields).await.is("v2").was(Outcome::Miss);
        world.visit("/p", &fields).await.is("v2").was(Outcome::Hit);
    }
}

#[tokio::test(start_paused = true)]
async fn who_comes_after_a_write_does_not_get_what_was_asked_for_before_it() {
    for stored in [false, true] {
        let world = World::new();
        // Without a stale window: once it is over, everybody waits.
        let short = |body: &str| long(body).cache_control("s-maxage=10");
        if stored {
            world.origin.on("/p", short("v0"));
            world.visit("/p", &[]).await.is("v0");
            world.advance(secs(11)).await;
        }
        let held = world.origin.held("/p");
        let before = world.start("/p", &[]);
        world.advance(secs(1)).await;
        world.wrote("/p", &[]);
        let after = world.start("/p", &[]);
        world.settle().await;
        assert!(!after.is_finished());
        world.origin.on("/p", short("new"));
        held.answer(short("old"));
        before.await.unwrap().is("old");
        after.await.unwrap().is("new");
        world.visit("/p", &[]).await.is("new").was(Outcome::Hit);
    }
}

#[tokio::test(start_paused = true)]
async fn who_comes_after_a_write_does_not_read_along_in_a_body_from_before_it() {
    let world = World::new();
    let feed = world.origin.stream("/p", long(""));
    let before = world.open("/p").await;
    feed.send("o");
    world.advance(secs(1)).await;
    world.wrote("/p", &[]);
    let held = world.origin.held("/p");
    let after = world.start("/p", &[]);
    world.settle().await;
    assert_eq!(world.origin.asked("/p"), 2, "he waits for nothing old");
    held.answer(long("new"));
    after.await.unwrap().is("new");
    feed.send("ld");
    feed.end();
    assert_eq!(before.rest().await.unwrap(), "old", "who watched before goes on");
    world.origin.on("/p", long("new"));
    world.visit("/p", &[]).await.is("new");
}

#[tokio::test(start_paused = true)]
async fn a_write_to_what_is_not_stored_is_nothing() {
    let world = World::new();
    world.wrote("/p", &["nobody's"]);
    world.settle().await;
    assert_eq!(world.origin.asked("/p"), 0);
    world.origin.on("/p", long("v1"));
    world.visit("/p", &[]).await.is("v1").was(Outcome::Miss);
    world.visit("/p", &[]).await.is("v1").was(Outcome::Hit);
}

const ELSEWHERE: [(&str, &str); 1] = [("host", "other.test")];

/// `/a` and `/b` in a group on two hosts, and `/c` in none.
async fn grouped() -> World {
    let world = World::new();
    for path in ["/a", "/b", "/c"] {
        let reply = long("v1");
        let reply = if path == "/c" { reply } else { reply.field("cache-groups", "\"cart\"") };
        world.origin.on(path, reply);
        world.visit(path, &[]).await.is("v1");
        world.visit(path, &ELSEWHERE).await.is("v1");
        world.origin.on(path, long("v2").field("cache-groups", "\"cart\""));
    }
    world.advance(secs(1)).await;
    world
}

#[tokio::test(start_paused = true)]
async fn a_group_that_an_answer_names_is_validated_on_its_host_alone() {
    let world = grouped().await;
    world.wrote("/form", &["cart", "nobody's"]);
    world.settle().await;
    for path in ["/a", "/b"] {
        assert_eq!(world.origin.asked(path), 2);
        world.visit(path, &[]).await.is("v2").was(Outcome::Miss);
        world.visit(path, &[]).await.is("v2").was(Outcome::Hit);
        world.visit(path, &ELSEWHERE).await.is("v1").was(Outcome::Hit);
    }
    world.visit("/c", &[]).await.is("v1").was(Outcome::Hit);
    assert_eq!(world.metric("larder_invalidations_total{kind=\"tag\",mode=\"validate\"}"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_group_is_validated_once_a_back_off_and_what_comes_sooner_is_put_off() {
    let world = grouped().await;
    let validated = || world.metric("larder_invalidations_total{kind=\"tag\",mode=\"validate\"}");
    world.wrote("/form", &["cart"]);
    world.visit("/a", &[]).await.is("v2").was(Outcome::Miss);
    world.advance(secs(1)).await;
    world.origin.on("/a", long("v3").field("cache-groups", "\"cart\""));
    for _ in 0..5 {
        world.wrote("/form", &["cart"]);
    }
    world.visit("/a", &[]).await.is("v2").was(Outcome::Hit);
    assert_eq!(validated(), 1);
    world.advance(secs(3)).await;
    assert_eq!(validated(), 2, "all of them are one");
    world.visit("/a", &[]).await.is("v3").was(Outcome::Miss);
    world.advance(secs(60)).await;
    assert_eq!(validated(), 2);
    world.wrote("/form", &["cart"]);
    assert_eq!(validated(), 3, "and long after it the next counts at once");
}
