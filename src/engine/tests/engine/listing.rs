//! What operators see of what is stored: the list of it, and the last regenerations.

use crate::support::{Act, World, answer, at, millis, page, secs};
use engine::history::Cause;
use engine::inspect::{Filter, State};
use semantics::policy::Revalidate;
use semantics::settlement::Failure;
use semantics::{Outcome, Policy};
use std::collections::HashMap;

/// The paths that a filter lets through, sorted.
async fn paths(world: &World, filter: &Filter) -> Vec<String> {
    let listing = world.engine.entries(filter, None, 1_000).await;
    assert_eq!(listing.next, None);
    let mut paths: Vec<String> = listing.entries.into_iter().map(|l| l.key.path).collect();
    paths.sort_unstable();
    paths
}

#[tokio::test(start_paused = true)]
async fn what_is_stored_throughout_is_listed_exactly_once_while_the_rest_comes_and_goes() {
    let world = World::new();
    let path = |n: usize| format!("/isr/{n}");
    for n in 0..200 {
        world.origin.on(&path(n), page("v1"));
        world.visit(&path(n), &[]).await.is("v1");
    }
    let mut times: HashMap<String, usize> = HashMap::new();
    let (mut after, mut round) = (None, 0);
    loop {
        let listing = world.engine.entries(&Filter::default(), after, 7).await;
        assert!(listing.entries.len() <= 7);
        for listed in listing.entries {
            *times.entry(listed.key.path).or_default() += 1;
        }
        let Some(next) = listing.next else { break };
        after = Some(next);
        // Some are used, some replaced, some go, and some are new.
        world.visit(&path(round % 75), &[]).await.was(Outcome::Hit);
        world.regenerate(&path(75 + round % 75), &[]).await.unwrap();
        world.hard(at(&path(150 + round % 50)));
        let new = format!("/isr/new/{round}");
        world.origin.on(&new, page("v1"));
        world.visit(&new, &[]).await.is("v1");
        round += 1;
    }
    assert!(round >= 150 / 7, "{round} rounds");
    for n in 0..150 {
        assert_eq!(times.get(&path(n)), Some(&1), "{}", path(n));
    }
    assert!(times.values().all(|times| *times == 1), "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn a_list_ends_where_there_is_no_more_and_an_empty_one_at_once() {
    let world = World::new();
    let empty = world.engine.entries(&Filter::default(), None, 10).await;
    assert_eq!((empty.entries.len(), empty.next), (0, None));
    for path in ["/a", "/b", "/c"] {
        world.origin.on(path, page("v1"));
        world.visit(path, &[]).await.is("v1");
    }
    let first = world.engine.entries(&Filter::default(), None, 3).await;
    assert_eq!(first.entries.len(), 3);
    let rest = world.engine.entries(&Filter::default(), first.next, 3).await;
    assert_eq!((rest.entries.len(), rest.next), (0, None));
}

#[tokio::test(start_paused = true)]
async fn a_list_is_narrowed_by_prefix_tag_and_state() {
    let world = World::new();
    for (path, tag) in [("/short/fresh", "a"), ("/short/stale", "a"), ("/short/expired", "b"), ("/%73hort/x", "a")] {
        world.origin.on(path, page("v1").field("cache-tag", tag));
    }
    world.visit("/short/expired", &[]).await.is("v1");
    world.advance(secs(50)).await;
    for path in ["/short/stale", "/%73hort/x"] {
        world.visit(path, &[]).await.is("v1");
    }
    world.advance(secs(11)).await;
    world.visit("/short/fresh", &[]).await.is("v1");
    let (prefix, tag) = (Some("/short/".to_owned()), Some("a".to_owned()));
    let state = |state| Filter { state: Some(state), ..Filter::default() };
    assert_eq!(paths(&world, &state(State::Fresh)).await, ["/short/fresh"]);
    assert_eq!(paths(&world, &state(State::Stale)).await, ["/%73hort/x", "/short/stale"]);
    assert_eq!(paths(&world, &state(State::Expired)).await, ["/short/expired"]);
    let tagged = Filter { tag, ..Filter::default() };
    assert_eq!(paths(&world, &tagged).await, ["/%73hort/x", "/short/fresh", "/short/stale"]);
    assert_eq!(paths(&world, &Filter { prefix: prefix.clone(), ..Filter::default() }).await.len(), 4);
    let all = Filter { prefix, state: Some(State::Stale), ..tagged };
    assert_eq!(paths(&world, &all).await, ["/%73hort/x", "/short/stale"]);
    world.soft(at("/short/fresh"));
    assert_eq!(paths(&world, &state(State::Fresh)).await.len(), 0);
    assert_eq!(paths(&world, &state(State::Stale)).await.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_entry_tells_what_it_is() {
    let world = World::routing("/never/", Policy::isr(Revalidate::Never));
    world.origin.on("/short/p", page("body").delay(millis(20)).field("cache-tag", "a,b"));
    world.visit("/short/p", &[]).await.is("body");
    world.engine.add_tags(None, "/short/p", &["c".to_owned(), "a".to_owned()]).unwrap();
    world.advance(secs(3)).await;
    let listed = world.listed("/short/p", &[]);
    assert_eq!(listed.key.url(), "http://example.test/short/p");
    assert_eq!((listed.status, listed.state, listed.age), (200, State::Fresh, secs(3)));
    assert_eq!((listed.ttl, listed.expires_in), (Some(7), Some(57)));
    assert_eq!(listed.tags, ["a", "b", "c"]);
    assert_eq!((&*listed.route, listed.variant.len()), ("/short/", 0));
    assert_eq!(listed.bytes, world.engine.usage().bytes);
    let last = listed.last_refresh;
    assert_eq!((last.cause, last.outcome, last.took), (Cause::Miss, "success", millis(20)));
    assert_eq!(world.now().since(last.at), secs(3));
    world.advance(secs(60)).await;
    let listed = world.listed("/short/p", &[]);
    assert_eq!((listed.state, listed.ttl, listed.expires_in), (State::Expired, Some(-53), Some(-3)));
    world.origin.on("/never/p", page("v1"));
    world.visit("/never/p", &[]).await.is("v1");
    let listed = world.listed("/never/p", &[]);
    assert_eq!((listed.state, listed.ttl, listed.expires_in), (State::Fresh, None, None));
}

/// Causes and outcomes, newest first.
fn past(world: &World, target: &str) -> Vec<(Cause, &'static str)> {
    world.inspect(target, &[]).past.into_iter().map(|past| (past.cause, past.outcome)).collect()
}

async fn visit(world: &World, path: &str) {
    world.visit(path, &[]).await;
    world.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn the_last_five_regenerations_are_remembered_with_their_causes() {
    let world = World::new();
    let reply = page("v1").field("etag", "\"1\"");
    world.origin.on("/isr/p", reply);
    visit(&world, "/isr/p").await;
    assert_eq!(past(&world, "/isr/p"), [(Cause::Miss, "success")]);
    world.advance(secs(11)).await;
    visit(&world, "/isr/p").await;
    assert_eq!(past(&world, "/isr/p"), [(Cause::Stale, "success")]);
    world.soft(at("/isr/p"));
    visit(&world, "/isr/p").await;
    world.regenerate("/isr/p", &[]).await.unwrap();
    world.advance(secs(11)).await;
    world.origin.next("/isr/p", answer(503, &[], "sorry"));
    visit(&world, "/isr/p").await;
    world.advance(secs(11)).await;
    world.origin.next("/isr/p", answer(304, &[("etag", "\"1\"")], ""));
    visit(&world, "/isr/p").await;
    world.advance(secs(1)).await;
    world.origin.next("/isr/p", Act::Fail(Failure::Connect));
    world.regenerate("/isr/p", &[]).await.unwrap_err();
    let expected = [
        (Cause::Operator, "connect"),
        (Cause::Stale, "not-modified"),
        (Cause::Stale, "status-5xx"),
        (Cause::Operator, "success"),
        (Cause::Invalidated, "success"),
    ];
    assert_eq!(past(&world, "/isr/p"), expected);
    let all = world.inspect("/isr/p", &[]).past;
    assert!(all.windows(2).all(|pair| pair[0].at >= pair[1].at), "newest first: {all:?}");
    assert_eq!(world.now().since(all[1].at), secs(1));
}

#[tokio::test(start_paused = true)]
async fn causes_are_told_apart() {
    let world = World::new();
    world.origin.on("/short/p", page("v1"));
    visit(&world, "/short/p").await;
    world.advance(secs(61)).await;
    visit(&world, "/short/p").await;
    assert_eq!(past(&world, "/short/p"), [(Cause::Expired, "success")]);
    world.hard(at("/short/p"));
    world.origin.on("/short/p", answer(500, &[], "sorry"));
    visit(&world, "/short/p").await;
    assert_eq!(past(&world, "/short/p")[0], (Cause::Miss, "status-5xx"));
    world.origin.on("/p", page("mine").cache_control("private"));
    visit(&world, "/p").await;
    assert_eq!(past(&world, "/p"), [(Cause::Miss, "not-storable")]);
    world.origin.on("/q", page("v1"));
    visit(&world, "/q").await;
    world.advance(secs(1)).await;
    world.wrote("/q", &[]);
    visit(&world, "/q").await;
    assert_eq!(past(&world, "/q")[0], (Cause::Invalidated, "success"));
}
