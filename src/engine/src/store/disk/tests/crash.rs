//! The power goes, or the process, between any two operations.

use super::Files;
use super::faulty::{Faulty, Sabotage};
use super::ledger::check;
use super::rng::Rng;
use super::scenario::Scenario;
use super::through::{Call, Through};
use super::{PLENTY, crashes, runtime};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const OPERATIONS: usize = 200;
/// Crash states of one scenario.
const EACH: u64 = 100;
/// The same where nothing is right.
const FEW: u64 = 40;
/// So little room that pages are evicted, in bytes.
const LITTLE: u64 = 350_000;

/// Runs a scenario, takes the power away in many places, and says what was wrong.
fn wrong_after(files: &Faulty, through: Arc<dyn Files>, seed: u64, states: u64) -> Vec<String> {
    let runtime = runtime();
    let max_size = if seed.is_multiple_of(2) { PLENTY } else { LITTLE };
    let mut scenario = Scenario::new(files, through, max_size, true, seed);
    let mut wrong = Vec::new();
    for n in 0..OPERATIONS {
        if let Err(error) = scenario.go_on(&runtime) {
            wrong.push(format!("seed {seed}, while it ran, {n}: {error}"));
        }
    }
    let chance = &mut Rng(!seed);
    let operations = files.operations() as u64;
    let mut at: Vec<u64> = (0..states).map(|_| chance.below(operations + 1)).collect();
    at.sort_unstable();
    let mut at = at.into_iter().peekable();
    for (done, state) in files.states().enumerate() {
        while at.next_if_eq(&(done as u64)).is_some() {
            let found = if chance.chance(25) { state.kill() } else { state.crash(chance) };
            let errors = check(&found, &scenario.keys, &scenario.pasts, done, &runtime);
            wrong.extend(errors.iter().map(|error| format!("seed {seed}, {done} operations: {error}")));
        }
    }
    wrong
}

#[test]
fn whatever_crash_there_was_what_is_found_is_whole_and_what_was_acknowledged_is_there() {
    let scenarios = crashes().div_ceil(EACH);
    let run = |seeds: std::ops::Range<u64>| {
        for seed in seeds {
            let files = Faulty::recording();
            let wrong = wrong_after(&files, Arc::new(files.clone()), seed, EACH);
            assert!(wrong.is_empty(), "{:#?}", &wrong[..wrong.len().min(20)]);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| run(0..scenarios / 2));
        run(scenarios / 2..scenarios);
    });
}

#[test]
fn a_missing_fsync_would_be_noticed() {
    for sabotage in [
        Sabotage { ignore_sync: true, ..Sabotage::default() },
        Sabotage { ignore_sync_dir: true, ..Sabotage::default() },
    ] {
        let files = Faulty::recording();
        files.sabotage(sabotage);
        let wrong = wrong_after(&files, Arc::new(files.clone()), 2, FEW);
        assert!(!wrong.is_empty(), "{sabotage:?}");
    }
}

#[test]
fn a_rename_before_what_it_names_is_durable_would_be_noticed() {
    let files = Faulty::recording();
    let (inner, owed) = (files.clone(), AtomicBool::new(false));
    // Contents are made durable only after their files were renamed, but before that is acknowledged.
    let hasty = Through::new(&files, move |call| match call {
        Call::Sync => {
            owed.store(true, Ordering::Relaxed);
            false
        }
        Call::SyncAll => owed.fetch_not(Ordering::Relaxed),
        Call::SyncDir if owed.swap(false, Ordering::Relaxed) => {
            inner.sync_all().unwrap();
            false
        }
        _ => true,
    });
    let wrong = wrong_after(&files, Arc::new(hasty), 2, FEW);
    assert!(wrong.iter().any(|error| error.contains("damaged") || error.contains("foreign")), "{wrong:?}");
}
