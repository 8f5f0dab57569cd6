//! What an invalidation selects, and what it leaves alone (semantics 36, 40).

use crate::support::{HOST, Reply, World, at, hard, page, routed, secs, soft, tagged, under};
use engine::inspect::Filter;
use engine::invalidate::{Invalidation, Mode, Target};
use semantics::Outcome;

type Asked<'a> = (&'a str, &'a [(&'a str, &'a str)]);

const ELSEWHERE: [(&str, &str); 1] = [("host", "other.test")];

/// All of these are stored and fresh.
async fn storing(all: &[Asked<'_>], reply: Reply) -> World {
    let world = World::new();
    for (target, fields) in all {
        let path = target.split('?').next().unwrap();
        world.origin.on(path, reply.clone());
        world.visit(target, fields).await.is("v1").was(Outcome::Miss);
        world.visit(target, fields).await.is("v1").was(Outcome::Hit);
    }
    world
}

/// Invalidates in both modes: what is selected is stale or gone, and the rest is as it was.
async fn selects(selected: &[Asked<'_>], others: &[Asked<'_>], target: &Target, host: Option<&str>) {
    let all: Vec<Asked<'_>> = selected.iter().chain(others).copied().collect();
    for (mode, outcome) in [(Mode::Soft, Outcome::Stale), (Mode::Hard, Outcome::Miss)] {
        let world = storing(&all, page("v1").field("cache-tag", "blog")).await;
        let one = Invalidation { target: target.clone(), host: host.map(str::to_owned), mode };
        assert_eq!(world.engine.count_matching(std::slice::from_ref(&one)).await, selected.len(), "{one:?}");
        world.invalidate(&[one]);
        for (target, fields) in others {
            assert_eq!(world.visit(target, fields).await.outcome, Outcome::Hit, "{mode:?}: {target} {fields:?}");
        }
        for (target, fields) in selected {
            assert_eq!(world.visit(target, fields).await.outcome, outcome, "{mode:?}: {target} {fields:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_path_selects_its_queries_hosts_and_spellings_and_the_data_of_its_page() {
    let selected: [Asked<'_>; 11] = [
        ("/p", &[]),
        ("/p?a=1", &[]),
        ("/p?b=2", &[]),
        ("/p", &ELSEWHERE),
        ("/p?a=1", &ELSEWHERE),
        ("/%70", &[]),
        ("/_next/data/build/p.json", &[]),
        ("/p.rsc", &[]),
        ("/p/__data.json", &[]),
        ("/p.data", &[]),
        ("/p/_payload.json", &[]),
    ];
    let others: [Asked<'_>; 8] = [
        ("/", &[]),
        ("/P", &[]),
        ("/p/", &[]),
        ("/pp", &[]),
        ("/p/q", &[]),
        ("/q?p", &[]),
        ("/p.json", &[]),
        ("/_next/data/build/p/q.json", &[]),
    ];
    selects(&selected, &others, &at("/p"), None).await;
}

/// An ISR page's parameters are not part of its key, and its data is another page of its route.
#[tokio::test(start_paused = true)]
async fn a_path_selects_an_isr_page_and_its_data() {
    selects(&[("/isr/p", &[]), ("/isr/p.rsc", &[])], &[("/isr/q", &[])], &at("/isr/p"), None).await;
}

/// The request for its data is told from the one for the page by its fields alone.
#[tokio::test(start_paused = true)]
async fn a_path_selects_what_is_keyed_by_fields() {
    let data = [("rsc", "1"), ("next-url", "/q")];
    selects(&[("/p", &[]), ("/p", &data)], &[("/q", &data)], &at("/p"), None).await;
}

#[tokio::test(start_paused = true)]
async fn a_prefix_selects_every_path_that_begins_so() {
    let within: [Asked<'_>; 4] =
        [("/a/", &[]), ("/a/b?c", &[]), ("/a/b/c", &ELSEWHERE), ("/_next/data/build/a/b.json", &[])];
    let beside: [Asked<'_>; 2] = [("/a", &[]), ("/ab", &[])];
    let others: [Asked<'_>; 3] = [("/", &[]), ("/A/b", &[]), ("/b/a/", &[])];
    let outside: Vec<Asked<'_>> = beside.iter().chain(&others).copied().collect();
    selects(&within, &outside, &under("/a/"), None).await;
    let within: Vec<Asked<'_>> = within.into_iter().chain(beside).collect();
    selects(&within, &others, &under("/a"), None).await;
    let all: Vec<Asked<'_>> = within.into_iter().chain(others).collect();
    selects(&all, &[], &under("/"), None).await;
}

#[tokio::test(start_paused = true)]
async fn a_route_selects_all_of_its_pages_and_no_others() {
    let pages: [Asked<'_>; 3] = [("/isr/a", &[]), ("/isr/b/c", &[]), ("/isr/a", &ELSEWHERE)];
    selects(&pages, &[("/short/a", &[]), ("/a", &[])], &routed("/isr/"), None).await;
}

#[tokio::test(start_paused = true)]
async fn an_invalidation_for_one_host_leaves_the_others_alone() {
    let here: [Asked<'_>; 3] = [("/p", &[]), ("/p?a", &[]), ("/p.rsc", &[])];
    let there: [Asked<'_>; 2] = [("/p", &ELSEWHERE), ("/p?a", &ELSEWHERE)];
    for target in [at("/p"), under("/"), routed("rest"), tagged("blog")] {
        selects(&here, &there, &target, Some(HOST)).await;
        selects(&there, &here, &target, Some("other.test")).await;
        selects(&[], &here, &target, Some("nobody.test")).await;
    }
}

fn localised(version: &'static str, world: &World) {
    world.origin.on_each("/p", move |request| {
        let language = request.fields.iter().find(|(n, _)| n == "accept-language");
        let language = language.map_or("none", |(_, value)| value.to_str().unwrap());
        page(format!("{version} in {language}")).field("vary", "Accept-Language").field("cache-tag", language).into()
    });
}

#[tokio::test(start_paused = true)]
async fn a_path_selects_every_variant_and_a_variants_own_tag_only_it() {
    for (one, selected) in [(at("/p"), vec!["de", "en"]), (tagged("de"), vec!["de"])] {
        for (mode, outcome) in [(Mode::Soft, Outcome::Stale), (Mode::Hard, Outcome::Miss)] {
            let world = World::new();
            localised("v1", &world);
            for language in ["de", "en"] {
                world.visit("/p", &[("accept-language", language)]).await;
            }
            localised("v2", &world);
            world.invalidate(&[Invalidation { target: one.clone(), host: None, mode }]);
            for language in ["de", "en"] {
                let fields = [("accept-language", language)];
                let outcome = if selected.contains(&language) { outcome } else { Outcome::Hit };
                let version = if outcome == Outcome::Miss { "v2" } else { "v1" };
                world.visit("/p", &fields).await.is(&format!("{version} in {language}")).was(outcome);
                world.quiet().await;
                let version = if outcome == Outcome::Hit { "v1" } else { "v2" };
                world.visit("/p", &fields).await.is(&format!("{version} in {language}")).was(Outcome::Hit);
            }
            assert_eq!(world.origin.asked("/p"), 2 + selected.len(), "{one}: each once");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn several_targets_of_one_call_select_what_any_of_them_selects() {
    let world = storing(&[("/a", &[]), ("/b", &[]), ("/c", &[])], page("v1")).await;
    let both = [soft(at("/a")), hard(under("/b")), soft(at("/a"))];
    assert_eq!(world.engine.count_matching(&both).await, 2, "each is counted once");
    world.invalidate(&both);
    for (path, outcome) in [("/a", Outcome::Stale), ("/b", Outcome::Miss), ("/c", Outcome::Hit)] {
        world.visit(path, &[]).await.is("v1").was(outcome);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_invalidated_hard_is_neither_counted_nor_listed_nor_found_at_its_path() {
    let world = storing(&[("/p", &[]), ("/p?a", &[]), ("/q", &[])], page("v1")).await;
    let everything = [soft(under("/"))];
    assert_eq!(world.engine.count_matching(&everything).await, 3);
    world.hard(at("/p"));
    assert_eq!(world.engine.count_matching(&everything).await, 1);
    assert_eq!(world.engine.entries(&Filter::default(), None, 10).await.entries.len(), 1);
    assert_eq!(world.engine.stored_at(None, "/p", 10).await.len(), 0);
    assert_eq!(world.engine.stored_at(None, "/q", 10).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_stored_at_a_path_is_found_with_its_queries_and_hosts() {
    let all: [Asked<'_>; 5] = [("/p", &[]), ("/p?a", &[]), ("/p", &ELSEWHERE), ("/p.rsc", &[]), ("/%70", &[])];
    let world = storing(&all, page("v1")).await;
    let found = |host, most| {
        let world = world.clone();
        async move { world.engine.stored_at(host, "/p", most).await.len() }
    };
    assert_eq!(found(None, 10).await, 4, "and not its data, which is another page");
    assert_eq!(found(Some(HOST), 10).await, 3);
    assert_eq!(found(Some("other.test"), 10).await, 1);
    assert_eq!(found(Some("nobody.test"), 10).await, 0);
    assert_eq!(found(None, 2).await, 2);
    world.advance(secs(3_600)).await;
    assert_eq!(found(None, 10).await, 4, "however old");
}
