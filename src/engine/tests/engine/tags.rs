//! Where the tags of a page come from, and how many it may have (semantics 41).

use crate::support::{HOST, Setup, World, answer, page, soft, tagged};
use engine::RouteTags;
use engine::invalidate::{Invalidation, Journal, Mode, TagsRefused};
use semantics::Outcome;
use semantics::tags::{FIELDS, MAX_TAG, MAX_TAGS};

/// Visits, and says whether the page was stale; then it is fresh again.
async fn is_stale(world: &World, target: &str) -> bool {
    let seen = world.visit(target, &[]).await;
    world.quiet().await;
    world.visit(target, &[]).await.was(Outcome::Hit);
    assert!(matches!(seen.outcome, Outcome::Hit | Outcome::Stale), "{}", seen.cache_status);
    seen.outcome == Outcome::Stale
}

fn listed(world: &World, target: &str) -> Vec<String> {
    let mut tags = world.listed(target, &[]).tags;
    tags.sort_unstable();
    tags
}

#[tokio::test(start_paused = true)]
async fn a_route_gives_tags_to_its_pages_by_their_paths() {
    let tags: RouteTags = Box::new(|path| vec!["all".to_owned(), format!("page:{path}")]);
    let world = World::with(Setup { tags: [("/isr/".to_owned(), tags)].into(), ..Setup::default() });
    for path in ["/isr/a", "/isr/b", "/short/a"] {
        world.origin.on(path, page("v1").field("cache-tag", "own"));
        world.visit(path, &[]).await.is("v1");
    }
    assert_eq!(listed(&world, "/isr/a"), ["all", "own", "page:/isr/a"]);
    assert_eq!(listed(&world, "/short/a"), ["own"]);
    for (tag, stale) in [("all", [true, true, false]), ("page:/isr/a", [true, false, false]), ("own", [true; 3])] {
        world.soft(tagged(tag));
        for (path, stale) in ["/isr/a", "/isr/b", "/short/a"].into_iter().zip(stale) {
            assert_eq!(is_stale(&world, path).await, stale, "{path} by {tag}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn tags_come_from_each_of_their_fields_and_clients_do_not_see_them() {
    let written = ["a, blog", "a blog", "a blog", "a,blog", "\"a\", \"blog\""];
    for (field, value) in FIELDS.into_iter().zip(written) {
        for path in ["/p", "/isr/p"] {
            let world = World::new();
            world.origin.on(path, page("v1").field(field, value));
            assert_eq!(world.visit(path, &[]).await.field(field), None, "{field} on its way");
            assert_eq!(world.visit(path, &[]).await.field(field), None, "{field}");
            assert_eq!(listed(&world, path), ["a", "blog"], "{field}");
            world.soft(tagged("blo"));
            assert!(!is_stale(&world, path).await, "{field}");
            for _ in 0..2 {
                world.soft(tagged("blog"));
                assert!(is_stale(&world, path).await, "{field}");
            }
        }
    }
}

/// A 304 repeats only some of the fields (RFC 9110, 15.4.5).
#[tokio::test(start_paused = true)]
async fn a_page_keeps_its_tags_over_a_304_and_gets_those_that_it_brings() {
    let world = World::new();
    world.origin.on("/p", page("v1").field("etag", "\"1\"").field("cache-tag", "old"));
    world.visit("/p", &[]).await.is("v1");
    world.origin.on("/p", answer(304, &[("etag", "\"1\"")], ""));
    for _ in 0..2 {
        world.soft(tagged("old"));
        assert!(is_stale(&world, "/p").await);
    }
    world.origin.next("/p", answer(304, &[("etag", "\"1\""), ("cache-tag", "new")], ""));
    world.soft(tagged("old"));
    assert!(is_stale(&world, "/p").await);
    world.soft(tagged("old"));
    assert!(!is_stale(&world, "/p").await, "its field took the old one's place");
    world.soft(tagged("new"));
    assert!(is_stale(&world, "/p").await);
}

#[tokio::test(start_paused = true)]
async fn added_tags_select_what_is_stored_there_now_and_later() {
    let world = World::new();
    for path in ["/p", "/p.rsc", "/q"] {
        world.origin.on(path, page("v1"));
        world.visit(path, &[]).await.is("v1");
    }
    let add = |path: &str, tags: &[&str]| {
        let tags: Vec<String> = tags.iter().map(|t| (*t).to_owned()).collect();
        world.engine.add_tags(None, path, &tags).unwrap().tags
    };
    assert_eq!(add("/p", &["news", "extra"]), ["extra", "news"]);
    assert_eq!(add("/p", &["extra", "more"]), ["extra", "more", "news"], "all that were added so far");
    assert_eq!(add("/%6Eew", &["extra"]), ["extra"]);
    assert_eq!(listed(&world, "/p"), ["extra", "more", "news"]);
    for _ in 0..2 {
        world.soft(tagged("extra"));
        assert!(is_stale(&world, "/p").await, "also after a regeneration that did not bring it");
        assert!(is_stale(&world, "/p.rsc").await, "with its data");
        assert!(!is_stale(&world, "/q").await);
    }
    world.origin.on("/new", page("v1"));
    world.visit("/new", &[]).await.is("v1");
    world.soft(tagged("extra"));
    assert!(is_stale(&world, "/new").await, "it was not stored when the tag was added");
    world.visit("/p", &[]).await.was(Outcome::Stale);
    world.quiet().await;
    assert_eq!(world.engine.count_matching(&[soft(tagged("extra"))]).await, 3);
}

#[tokio::test(start_paused = true)]
async fn a_tag_that_is_added_says_nothing_of_what_was_invalidated_before() {
    let world = World::new();
    world.origin.on("/p", page("v1"));
    world.visit("/p", &[]).await.is("v1");
    world.hard(tagged("extra"));
    world.engine.add_tags(None, "/p", &["extra".to_owned()]).unwrap();
    world.origin.on("/p", page("v2"));
    for another in ["one", "two", "three"] {
        world.visit("/p", &[]).await.is("v1").was(Outcome::Hit);
        // After every invalidation, of whatever it is, a page is judged anew.
        world.hard(tagged(another));
    }
    world.visit("/p", &[]).await.is("v1").was(Outcome::Hit);
    world.hard(tagged("extra"));
    world.visit("/p", &[]).await.is("v2").was(Outcome::Miss);
}

/// Of one tag, an old order to validate does not make a new one to regenerate stricter than it is.
#[tokio::test(start_paused = true)]
async fn a_soft_invalidation_after_one_that_was_seen_to_is_no_more_than_soft() {
    let world = World::new();
    let grouped = |body: &str| page(body).field("cache-groups", "\"cart\"");
    world.origin.on("/p", grouped("v1"));
    world.visit("/p", &[]).await.is("v1");
    world.wrote("/form", &["cart"]);
    world.origin.on("/p", grouped("v2"));
    world.visit("/p", &[]).await.is("v2").was(Outcome::Miss);
    world.origin.on("/p", grouped("v3"));
    world.invalidate(&[Invalidation { target: tagged("cart"), host: Some(HOST.to_owned()), mode: Mode::Soft }]);
    world.visit("/p", &[]).await.is("v2").was(Outcome::Stale);
    world.quiet().await;
    world.visit("/p", &[]).await.is("v3").was(Outcome::Hit);
    assert_eq!(world.origin.asked("/p"), 3);
}

#[tokio::test(start_paused = true)]
async fn tags_that_are_added_for_one_host_are_that_hosts() {
    let world = World::new();
    let here: [(&str, &str); 0] = [];
    let elsewhere = [("host", "other.test")];
    world.origin.on("/p", page("v1"));
    for fields in [&here[..], &elsewhere[..]] {
        world.visit("/p", fields).await.is("v1");
    }
    world.engine.add_tags(Some("other.test"), "/p", &["extra".to_owned()]).unwrap();
    let here_alone = Some(HOST.to_owned());
    world.invalidate(&[Invalidation { target: tagged("extra"), host: here_alone, mode: Mode::Soft }]);
    world.visit("/p", &here).await.was(Outcome::Hit);
    world.visit("/p", &elsewhere).await.was(Outcome::Hit);
    world.soft(tagged("extra"));
    world.visit("/p", &here).await.was(Outcome::Hit);
    world.visit("/p", &elsewhere).await.was(Outcome::Stale);
}

#[tokio::test(start_paused = true)]
async fn an_entry_has_so_many_tags_of_so_many_characters_and_the_rest_is_counted() {
    let world = World::new();
    let long = "x".repeat(MAX_TAG);
    let numbered: Vec<String> = (1..MAX_TAGS + 3).map(|n| format!("n{n}")).collect();
    let tags = format!("{long}, {long}x, {}", numbered.join(","));
    world.origin.on("/p", page("v1").field("cache-tag", &tags).field("cache-groups", "not a string"));
    world.visit("/p", &[]).await.is("v1");
    let dropped =
        |reason: &str| world.metric(&format!("larder_tags_dropped_total{{route=\"rest\",reason=\"{reason}\"}}"));
    assert_eq!((dropped("too-long"), dropped("too-many"), dropped("malformed")), (1, 3, 1));
    assert_eq!(world.listed("/p", &[]).tags.len(), MAX_TAGS);
    let last = format!("n{}", MAX_TAGS - 1);
    let beyond = format!("n{MAX_TAGS}");
    for (tag, stale) in [(long.as_str(), true), ("n1", true), (last.as_str(), true), (beyond.as_str(), false)] {
        world.soft(tagged(tag));
        assert_eq!(is_stale(&world, "/p").await, stale, "{tag}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_gets_so_many_added_tags_and_no_more() {
    let world = World::new();
    let tags: Vec<String> = (0..MAX_TAGS).map(|n| format!("n{n:03}")).collect();
    assert_eq!(world.engine.add_tags(None, "/p", &tags).unwrap().tags, tags);
    let more = ["one more".to_owned(), "n000".to_owned()];
    assert_eq!(world.engine.add_tags(None, "/p", &more), Err(TagsRefused::TooManyOnPath));
    assert_eq!(world.engine.add_tags(None, "/p", &more[1..]).unwrap().tags, tags, "nothing was added");
    assert_eq!(world.engine.add_tags(None, "/q", &more).unwrap().tags.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn so_many_pages_have_added_tags_and_no_more() {
    let world = World::new();
    let tag = ["extra".to_owned()];
    for n in 0..100_000 {
        world.engine.add_tags(None, &format!("/{n}"), &tag).unwrap();
    }
    assert_eq!(world.engine.add_tags(None, "/one-more", &tag), Err(TagsRefused::TooManyPaths));
    world.engine.add_tags(None, "/7", &["another".to_owned()]).unwrap();
    for path in ["/7", "/one-more"] {
        world.origin.on(path, page("v1"));
        world.visit(path, &[]).await.is("v1");
    }
    world.soft(tagged("extra"));
    assert!(is_stale(&world, "/7").await);
    assert!(!is_stale(&world, "/one-more").await);
}

/// A CMS posts the same tags with every save: what is there already costs no room.
#[test]
fn tags_that_are_there_already_take_no_room() {
    let journal = Journal::new(7);
    let tags: Vec<String> = (0..128).map(|n| format!("{n:0>200}")).collect();
    // 25 KiB each time: together more than there is room for.
    for _ in 0..3_000 {
        assert_eq!(journal.add_tags(None, "/p", &tags).map(|all| all.names.len()), Ok(128));
    }
}
