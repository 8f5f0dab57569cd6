//! Interleavings of visits, invalidations, ordered regenerations and the origin's answers, on one page or two, each
//! drawn from a seed. What the origin has is a number that grows right before each invalidation of a page. Whatever
//! comes first, these hold for whoever begins his visit after the call returned:
//! - hard: he gets nothing older, ever; soft: nothing older that is called fresh; to be validated: nothing older unless
//!   the origin fails;
//! - nobody gets anything older than what another had got before he came;
//! - what an order brings was rendered after it;
//! - a page has one fetch at a time for each state of the origin, none while it is fresh, none right after a failure,
//!   and none that names what was invalidated hard;
//! - nobody waits for ever, no failure comes out of nothing, and once the origin is well every page is new again.
//!
//! `LARDER_INTERLEAVINGS` says how many are run; `LARDER_SEED` runs one of them alone, and tells its steps.

#![allow(unreachable_pub, clippy::unwrap_used, clippy::needless_pass_by_value, reason = "tests")]

mod support;

#[path = "interleavings/desk.rs"]
mod desk;
#[path = "interleavings/ledger.rs"]
mod ledger;
#[path = "interleavings/schedule.rs"]
mod schedule;
#[path = "interleavings/stage.rs"]
mod stage;

use schedule::Schedule;
use stage::Stage;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

const INTERLEAVINGS: u64 = 20_000;
/// So many share an engine, each with pages of its own: so none of the engine's bounds on records is reached.
const BATCH: u64 = 500;

static PANICS: AtomicUsize = AtomicUsize::new(0);

#[derive(Default)]
struct Tally {
    run: u64,
    different: HashSet<u64>,
    overtaken: usize,
}

#[test]
fn whatever_comes_first_nobody_gets_what_was_invalidated_before_he_came() {
    let number =
        |name: &str| std::env::var(name).ok().map(|n| n.parse::<u64>().expect("a number of interleavings, or a seed"));
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        before(info);
    }));
    let alone = number("LARDER_SEED");
    let seeds = match alone {
        Some(seed) => seed..seed + 1,
        None => 0..number("LARDER_INTERLEAVINGS").unwrap_or(INTERLEAVINGS),
    };
    let mut tally = Tally::default();
    let mut from = seeds.start;
    while from < seeds.end {
        let to = seeds.end.min(from + BATCH);
        batch(from..to, &mut tally, alone.is_some());
        from = to;
    }
    let Tally { run, different, overtaken } = tally;
    println!("{run} interleavings were run, {} of them different; {overtaken} fetches were overtaken", different.len());
    assert!(overtaken > 0 || alone.is_some(), "no fetch was ever overtaken: this shows nothing");
}

fn batch(seeds: Range<u64>, tally: &mut Tally, tell: bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let stage = Stage::new();
        for seed in seeds {
            let panics = PANICS.load(Ordering::Relaxed);
            let mut played = Schedule::new(&stage, seed).play().await;
            // A fill that panics is cleaned up after: nobody else would tell.
            if PANICS.load(Ordering::Relaxed) > panics {
                played.wrong.push("something panicked".to_owned());
            }
            if tell {
                println!("{}", played.told());
            }
            let wrong = played.wrong.join("\n");
            assert!(wrong.is_empty(), "LARDER_SEED={seed} runs it alone\n{}\n{wrong}", played.told());
            tally.run += 1;
            tally.overtaken += played.overtaken;
            tally.different.insert(played.digest());
        }
    });
}
