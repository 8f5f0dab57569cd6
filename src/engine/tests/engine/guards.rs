//! What a page must look like to be stored (semantics 34): a new version that does not keeps the old one, a first
//! version is delivered and not stored.

use crate::support::{Act, How, Reply, World, all, answer, at, page, secs};
use semantics::guard::{Broken, Guard};
use semantics::policy::Revalidate;
use semantics::settlement::Failure;
use semantics::{Outcome, Policy};

const PATH: &str = "/g/p";
const GOOD: &str = "<html>a page of some length</html>";
const BAD: &str = "<html>a page of some le";

fn html(body: &str) -> Reply {
    page(body).field("content-type", "text/html; charset=utf-8")
}

fn whole() -> Guard {
    Guard { must_contain: vec!["</html>".to_owned()], ..Guard::default() }
}

fn isr(guard: Guard) -> World {
    World::routing("/g/", Policy { guard, ..Policy::isr(Revalidate::Every(secs(10))) })
}

fn header_driven(guard: Guard) -> World {
    World::routing("/g/", Policy { guard, ..Policy::header_driven() })
}

fn rejections(world: &World, guard: &str) -> u64 {
    world.metric(&format!("larder_guard_rejections_total{{route=\"/g/\",guard=\"{guard}\"}}"))
}

fn failures(world: &World) -> u64 {
    world.metric("larder_refresh_failures_total{route=\"/g/\",reason=\"guard\"}")
}

fn uncacheable(world: &World) -> u64 {
    world.metric("larder_uncacheable_total{route=\"/g/\",reason=\"guard\"}")
}

/// Each guard, and an answer that breaks it in the place of [`GOOD`].
fn breaches() -> [(Guard, Reply, Broken); 5] {
    let none = Guard::default;
    [
        (Guard { min_bytes: 20, ..none() }, html("</html>"), Broken::MinBytes),
        (Guard { max_shrink: Some(50), ..none() }, html("</html>"), Broken::MaxShrink),
        (whole(), html(BAD), Broken::MustContain),
        (
            Guard { must_not_contain: vec!["Application error".to_owned()], ..none() },
            html("<html>Application error: see the log</html>"),
            Broken::MustNotContain,
        ),
        (
            Guard { content_type: Some("text/html".to_owned()), ..none() },
            page(GOOD).field("content-type", "text/plain"),
            Broken::ContentType,
        ),
    ]
}

async fn keeps_the_old_version(world: World, bad: Reply, broken: Broken) {
    let name = broken.as_str();
    world.origin.on(PATH, html(GOOD));
    world.visit(PATH, &[]).await.is(GOOD);
    world.visit(PATH, &[]).await.is(GOOD).was(Outcome::Hit);
    world.advance(secs(11)).await;
    world.origin.on(PATH, bad);
    world.visit(PATH, &[]).await.is(GOOD);
    world.quiet().await;
    for _ in 0..3 {
        let seen = world.visit(PATH, &[]).await;
        assert!(seen.is(GOOD).cache_status.ends_with("; detail=failing"), "{name}: {}", seen.cache_status);
    }
    assert_eq!(world.origin.asked(PATH), 2, "{name}: it is left alone for a while");
    assert_eq!((rejections(&world, name), failures(&world), uncacheable(&world)), (1, 1, 0), "{name}");
    assert_eq!(world.metric("larder_stale_because_failing{route=\"/g/\"}"), 1, "{name}");
    let inspection = world.inspect(PATH, &[]);
    assert_eq!(inspection.failing.map(|(_, failure)| failure), Some(Failure::Guard(broken)));
    assert_eq!(inspection.past[0].outcome, Failure::Guard(broken).told());
    world.origin.on(PATH, html("<html>another page, as long</html>"));
    world.advance(secs(10)).await;
    world.visit(PATH, &[]).await.is(GOOD);
    world.quiet().await;
    world.visit(PATH, &[]).await.is("<html>another page, as long</html>").was(Outcome::Hit);
    assert_eq!((rejections(&world, name), failures(&world)), (1, 1), "{name}: it heals");
    assert_eq!(world.metric("larder_stale_because_failing{route=\"/g/\"}"), 0, "{name}");
}

#[tokio::test(start_paused = true)]
async fn a_new_version_that_breaks_a_guard_is_a_failure_and_counted_by_its_name() {
    for (guard, bad, broken) in breaches() {
        keeps_the_old_version(isr(guard.clone()), bad.clone(), broken).await;
        keeps_the_old_version(header_driven(guard), bad, broken).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_first_version_that_breaks_a_guard_goes_to_everybody_who_waited_and_is_not_stored() {
    for world in [isr(whole()), header_driven(whole())] {
        let held = world.origin.held(PATH);
        let visits = world.start_many(5, PATH);
        world.settle().await;
        held.answer(html(BAD));
        for seen in all(visits).await {
            seen.is(BAD);
        }
        assert_eq!(world.origin.asked(PATH) + world.origin.passed(PATH), 1, "one render for everybody");
        assert_eq!((rejections(&world, "must_contain"), uncacheable(&world), failures(&world)), (1, 1, 0));
        assert_eq!(world.engine.usage().entries, 0);
        assert_eq!(world.inspect(PATH, &[]).past[0].outcome, "not-storable");
    }
}

#[tokio::test(start_paused = true)]
async fn max_shrink_says_nothing_of_a_first_version() {
    let world = isr(Guard { max_shrink: Some(1), ..Guard::default() });
    world.origin.on(PATH, html("x"));
    world.visit(PATH, &[]).await.is("x");
    world.visit(PATH, &[]).await.is("x").was(Outcome::Hit);
}

#[tokio::test(start_paused = true)]
async fn after_a_first_version_that_broke_a_guard_everybody_asks_for_himself_for_two_minutes() {
    for world in [isr(whole()), header_driven(whole())] {
        world.origin.on(PATH, html(BAD));
        world.visit(PATH, &[]).await.is(BAD);
        world.advance(secs(119)).await;
        world.visit(PATH, &[]).await.is(BAD).by(How::Passed);
        assert_eq!((world.origin.asked(PATH), world.origin.passed(PATH)), (1, 1));
        assert_eq!(rejections(&world, "must_contain"), 1, "what is passed is nobody's first version");
        world.origin.on(PATH, html(GOOD));
        world.advance(secs(1)).await;
        world.visit(PATH, &[]).await.is(GOOD);
        world.visit(PATH, &[]).await.is(GOOD).was(Outcome::Hit);
        assert_eq!(world.origin.asked(PATH), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn who_reads_along_reads_to_the_end_of_what_is_not_stored() {
    let world = isr(whole());
    let feed = world.origin.stream(PATH, html(""));
    world.origin.on(PATH, html("passed"));
    let mut first = world.open(PATH).await;
    feed.send("<html>half");
    world.settle().await;
    assert_eq!(first.ready().await.as_deref(), Some("<html>half"));
    let late = world.open(PATH).await;
    feed.send(" a page");
    feed.end();
    world.quiet().await;
    assert_eq!(first.rest().await.unwrap(), " a page");
    assert_eq!(late.rest().await.unwrap(), "<html>half a page");
    assert_eq!((rejections(&world, "must_contain"), world.engine.usage().entries), (1, 0));
    world.visit(PATH, &[]).await.is("passed").by(How::Passed);
}

#[tokio::test(start_paused = true)]
async fn who_could_not_read_along_gets_the_whole_of_it() {
    let world = isr(whole());
    world.origin.on_each(PATH, |request| {
        let english = request.fields.iter().any(|(n, v)| n.as_str() == "accept-language" && v == "en");
        // Nobody may read along before what this page varies on is settled.
        let reply = if english { html(BAD).field("vary", "X-Theme") } else { html(GOOD) };
        Act::from(reply.field("vary", "Accept-Language"))
    });
    let (german, english) = ([("accept-language", "de")], [("accept-language", "en")]);
    world.visit(PATH, &german).await.is(GOOD);
    let asked = world.origin.asked(PATH);
    let seen = world.visit(PATH, &english).await;
    assert_eq!(seen.is(BAD).by(How::Stored).cache_status, "larder; fwd=vary-miss");
    assert_eq!(world.origin.asked(PATH), asked + 1);
    world.visit(PATH, &german).await.is(GOOD).was(Outcome::Hit);
    world.visit(PATH, &english).await.is(BAD).by(How::Passed);
    assert_eq!(world.origin.asked(PATH), asked + 1);
}

#[tokio::test(start_paused = true)]
async fn who_is_personal_and_could_not_read_along_asks_for_himself() {
    let world = header_driven(whole());
    let (german, english) = ([("accept-language", "de")], [("accept-language", "en")]);
    world.origin.on(PATH, html(GOOD).field("vary", "Accept-Language"));
    world.visit(PATH, &german).await.is(GOOD);
    let held = world.origin.held(PATH);
    let first = world.start(PATH, &english);
    world.settle().await;
    let alice = world.start(PATH, &[english[0], ("cookie", "session=alice")]);
    world.settle().await;
    assert!(!alice.is_finished(), "nobody knows yet whose it is");
    world.origin.on(PATH, html("for alice"));
    // Only a validator: it is not said to be everybody's. And it varies on more than was known.
    let fields = [("content-type", "text/html"), ("etag", "\"1\""), ("vary", "Accept-Language, X-Theme")];
    held.answer(answer(200, &fields, BAD));
    first.await.unwrap().is(BAD).by(How::Stored);
    alice.await.unwrap().is("for alice").by(How::Passed);
    assert_eq!((world.origin.asked(PATH), world.origin.passed(PATH)), (2, 1));
    assert_eq!(rejections(&world, "must_contain"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_redirect_and_a_page_that_is_gone_are_not_guarded() {
    for (status, location) in [(404, ""), (410, ""), (308, "/elsewhere")] {
        let world = isr(Guard { min_bytes: 20, max_shrink: Some(1), ..whole() });
        world.origin.on(PATH, html(GOOD));
        world.visit(PATH, &[]).await.is(GOOD);
        world.advance(secs(11)).await;
        world.origin.on(PATH, answer(status, &[("location", location)], "gone"));
        world.visit(PATH, &[]).await.is(GOOD);
        world.quiet().await;
        assert_eq!(world.visit(PATH, &[]).await.was(Outcome::Hit).status, status);
        assert_eq!(failures(&world), 0, "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_may_come_back_smaller_than_the_words_that_it_was_gone() {
    let world = isr(Guard { max_shrink: Some(50), ..Guard::default() });
    let window = [("cache-control", "s-maxage=10, stale-while-revalidate=60")];
    world.origin.on(PATH, answer(404, &window, "many words about a page that is not there"));
    assert_eq!(world.visit(PATH, &[]).await.status, 404);
    world.advance(secs(11)).await;
    world.origin.on(PATH, html("back"));
    world.visit(PATH, &[]).await;
    world.quiet().await;
    world.visit(PATH, &[]).await.is("back").was(Outcome::Hit);
}

#[tokio::test(start_paused = true)]
async fn after_a_hard_invalidation_a_page_may_be_as_small_as_it_likes() {
    let world = isr(Guard { max_shrink: Some(50), ..Guard::default() });
    world.origin.on(PATH, html(GOOD));
    world.visit(PATH, &[]).await.is(GOOD);
    world.origin.on(PATH, html("short"));
    world.hard(at(PATH));
    world.visit(PATH, &[]).await.is("short");
    world.visit(PATH, &[]).await.is("short").was(Outcome::Hit);
    assert_eq!(rejections(&world, "max_shrink"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_304_freshens_a_page_that_passed_its_guards_already() {
    let world = isr(Guard { min_bytes: 20, content_type: Some("text/html".to_owned()), ..whole() });
    world.origin.on(PATH, html(GOOD).field("etag", "\"one\""));
    world.visit(PATH, &[]).await.is(GOOD);
    world.advance(secs(11)).await;
    world.origin.on(PATH, answer(304, &[("etag", "\"one\"")], ""));
    world.visit(PATH, &[]).await.is(GOOD).was(Outcome::Stale);
    world.quiet().await;
    world.visit(PATH, &[]).await.is(GOOD).was(Outcome::Hit);
    assert_eq!((world.origin.asked(PATH), failures(&world)), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn an_ordered_regeneration_that_breaks_a_guard_is_reported_and_the_page_stays() {
    let world = isr(whole());
    world.origin.on(PATH, html(BAD));
    let failed = world.regenerate(PATH, &[]).await.unwrap_err();
    assert_eq!(failed.message, "the answer was not stored: guard");
    world.advance(secs(120)).await;
    world.origin.on(PATH, html(GOOD));
    world.visit(PATH, &[]).await.is(GOOD);
    world.origin.on(PATH, html(BAD));
    let failed = world.regenerate(PATH, &[]).await.unwrap_err();
    assert_eq!(failed.failure, Failure::Guard(Broken::MustContain));
    assert_eq!(failed.message, "the new version breaks the guard `must_contain`");
    world.visit(PATH, &[]).await.is(GOOD).was(Outcome::Hit);
}

#[tokio::test(start_paused = true)]
async fn a_component_of_a_guarded_page_is_stored() {
    let world = isr(Guard { min_bytes: 512, content_type: Some("text/html".to_owned()), ..whole() });
    world.origin.on(PATH, page("0:[]").field("content-type", "text/x-component"));
    world.visit(PATH, &[("rsc", "1")]).await.is("0:[]");
    world.visit(PATH, &[("rsc", "1")]).await.is("0:[]").was(Outcome::Hit);
}
