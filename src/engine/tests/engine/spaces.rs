//! Large spaces of variants, drawn by a seed: nobody gets another's, and what they take is bounded (RFC 9111, 4.1).
//! `LARDER_SEEDS` says how many.

use crate::support::{Reply, Rng, World, page, secs};
use engine::origin::OriginRequest;
use engine::store::MAX_VARIANTS;
use semantics::Outcome;
use std::sync::{Arc, Mutex};

const NAMES: [&str; 4] = ["x-country", "x-device", "x-plan", "x-flag"];
const PAGES: usize = 3;
const VISITS: usize = 400;

fn seeds() -> u64 {
    std::env::var("LARDER_SEEDS").ok().map_or(8, |n| n.parse::<u64>().unwrap() / 50).max(1)
}

/// A page that varies on some of the fields, not always on the same, and says what it saw of each.
fn varying(request: &OriginRequest, chance: &mut Rng) -> Reply {
    let names: Vec<&str> = NAMES.into_iter().filter(|_| chance.chance(60)).collect();
    let saw = |name: &&str| {
        let sent = request.fields.iter().find(|(n, _)| n.as_str() == *name);
        format!("{name}={};", sent.map_or("none", |(_, v)| v.to_str().unwrap()))
    };
    let body: String = names.iter().map(saw).collect();
    // A page that is empty would be taken for a failure.
    page(format!("{body}.")).field("vary", &names.join(", "))
}

#[tokio::test(start_paused = true)]
async fn nobody_gets_another_variant_and_a_page_has_so_many_at_most() {
    for seed in 0..seeds() {
        let world = World::new();
        for page in 0..PAGES {
            let chance = Arc::new(Mutex::new(Rng(seed * 100 + page as u64)));
            world
                .origin
                .on_each(&format!("/{page}"), move |request| varying(request, &mut chance.lock().unwrap()).into());
        }
        let mut chance = Rng(seed);
        let mut visits = Vec::new();
        for _ in 0..VISITS {
            // Few values, so that there are hits, or many, so that there is no room for all.
            let space = if chance.chance(50) { 3 } else { 1000 };
            let mut fields: Vec<(&str, String)> = Vec::new();
            for name in NAMES {
                if chance.chance(70) {
                    fields.push((name, format!("v{}", chance.below(space))));
                }
            }
            let target = format!("/{}", chance.index(PAGES));
            let sent: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
            visits.push((world.start(&target, &sent), fields.clone()));
            if chance.chance(30) {
                world.advance(secs(chance.below(4))).await;
            }
        }
        for (visit, fields) in visits {
            let seen = visit.await.unwrap();
            assert_eq!((seen.status, seen.broken), (200, None), "seed {seed}: {}", seen.cache_status);
            for told in seen.body.split(';').filter_map(|told| told.split_once('=')) {
                let own = fields.iter().find(|(name, _)| *name == told.0).map_or("none", |(_, value)| value.as_str());
                assert_eq!(told.1, own, "seed {seed}: {} for {fields:?} ({})", seen.body, seen.cache_status);
            }
        }
        let entries = world.engine.usage().entries;
        assert!(entries <= PAGES * (MAX_VARIANTS + 1), "seed {seed}: {entries} entries");
    }
}

#[tokio::test(start_paused = true)]
async fn a_url_that_varies_further_by_what_is_imported_leaves_nothing_behind_either() {
    let saying = async |vary: &'static str, values: [&str; 2]| {
        let world = World::new();
        world.origin.on("/p", page("x").field("vary", vary));
        for value in values {
            world.visit("/p", &[("x-plan", value), ("x-flag", value)]).await.is("x");
        }
        world
    };
    let (from, to) = (saying("x-plan, x-flag", ["a", "b"]).await, saying("x-plan", ["c", "d"]).await);
    let archive = from.engine.export(None, 100).await;
    assert_eq!((to.engine.usage().entries, archive.next), (3, None));
    to.advance(secs(1)).await;
    let told = to.engine.import(&archive.frames).await.unwrap();
    assert_eq!((told.stored, told.refused), (2, 0), "{told:?}");
    assert_eq!(to.engine.usage().entries, 3, "two variants, and what says how it varies");
    to.visit("/p", &[("x-plan", "a"), ("x-flag", "a")]).await.was(Outcome::Hit);
}
