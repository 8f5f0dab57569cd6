//! The disk fails, or is full, while the store is in use.

use super::faulty::{EIO, ENOSPC, Faulty, Kind};
use super::ledger::check;
use super::pages::{bytes, keys, version_of};
use super::rng::Rng;
use super::scenario::Scenario;
use super::{Life, PLENTY, runtime};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

const BEFORE: usize = 30;
const MEANWHILE: usize = 60;

/// Something was done already when `fault` begins, and goes on being done.
fn with_fault(seed: u64, runtime: &Runtime, fault: impl Fn(&Faulty)) -> (Faulty, Scenario) {
    let files = Faulty::recording();
    let mut scenario = Scenario::new(&files, Arc::new(files.clone()), PLENTY, false, seed);
    for n in 0..BEFORE + MEANWHILE {
        if n == BEFORE {
            fault(&files);
        }
        scenario.go_on(runtime).unwrap_or_else(|error| panic!("{seed}, {n}: {error}"));
    }
    (files, scenario)
}

/// Once nothing fails any more everything is stored again, and is there after a crash.
fn stores_again(files: &Faulty, mut scenario: Scenario, runtime: &Runtime) {
    files.heal();
    scenario.life.disk.probe();
    assert!(scenario.life.disk.is_up());
    scenario.life.clock.advance(Duration::from_secs(2));
    for key in 0..scenario.keys.len() {
        scenario.put(key);
    }
    assert!(scenario.settle());
    for key in 0..scenario.keys.len() {
        scenario.look(key, runtime).unwrap();
        assert!(scenario.life.find(&scenario.keys[key], runtime).is_some());
    }
    let crashed = files.crash(&mut Rng(1));
    let wrong = check(&crashed, &scenario.keys, &scenario.pasts, usize::MAX, runtime);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn whatever_fails_what_is_found_is_right_and_once_nothing_fails_all_is_stored_again() {
    let runtime = runtime();
    for n in 1..=40 {
        let (files, scenario) = with_fault(n, &runtime, |files| files.fail_every(n, EIO));
        assert!(n > 1 || !scenario.life.disk.is_up());
        stores_again(&files, scenario, &runtime);
    }
}

#[test]
fn whatever_kind_of_operation_fails_what_is_found_is_right() {
    let runtime = runtime();
    let kinds = [Kind::Create, Kind::Open, Kind::Read, Kind::Write, Kind::Rename, Kind::Link, Kind::Remove]
        .into_iter()
        .chain([Kind::MakeDir, Kind::List, Kind::Stat, Kind::Sync, Kind::SyncDir, Kind::SyncAll, Kind::Space]);
    for (kind, seed) in kinds.zip(100..) {
        for n in [1, 3] {
            let (files, scenario) = with_fault(seed, &runtime, |files| {
                files.fail_every(n, EIO);
                files.fail_only(&[kind]);
            });
            stores_again(&files, scenario, &runtime);
        }
    }
}

#[test]
fn a_full_disk_is_used_on_and_made_less_full() {
    let runtime = runtime();
    for (bytes, seed) in [0, 512, 4096, 20_000, 100_000, 300_000].into_iter().zip(200..) {
        let (files, mut scenario) = with_fault(seed, &runtime, |files| files.no_space_after(bytes));
        assert!(scenario.life.disk.is_up());
        // What was evicted for the first of them makes room for the second.
        for _ in 0..2 {
            scenario.put_small(0);
            scenario.settle();
        }
        assert!(scenario.life.find(&scenario.keys[0], &runtime).is_some(), "{bytes}");
        assert!(scenario.life.disk.index.has(scenario.keys[0].hash()), "{bytes}: {:?}", scenario.life.disk.usage());
        stores_again(&files, scenario, &runtime);
    }
}

#[test]
fn a_full_disk_that_says_so_late_is_made_less_full() {
    let runtime = runtime();
    let (files, mut scenario) = with_fault(1, &runtime, |files| {
        files.fail_every(1, ENOSPC);
        files.fail_only(&[Kind::Sync, Kind::SyncAll]);
    });
    scenario.put_small(0);
    scenario.settle();
    assert_eq!(scenario.life.disk.usage().entries, 0, "nothing was evicted");
    stores_again(&files, scenario, &runtime);
}

#[test]
fn after_five_errors_in_a_row_the_disk_is_left_alone() {
    let (files, runtime) = (Faulty::new(), runtime());
    let mut life = Life::begin(Arc::new(files.clone()), PLENTY);
    let (keys, chance) = (keys(), &mut Rng(1));
    files.fail_every(1, EIO);
    let mut numbers = 1..=5;
    while life.disk.is_up() {
        let number = numbers.next().unwrap();
        life.put(version_of(&keys[0], number, bytes(10, chance), chance).slot);
        life.settle();
    }
    let errors: u64 = life.disk.usage().errors.iter().map(|(_, count)| count).sum();
    assert_eq!(errors, 5, "{:?}", life.disk.usage().errors);
    let asked = files.count(Kind::Read) + files.count(Kind::Open);
    assert!(life.find(&keys[1], &runtime).is_none());
    // What waits is found where it waits.
    life.put(version_of(&keys[7], 6, bytes(10, chance), chance).slot);
    assert!(!life.settle());
    assert!(life.find(&keys[7], &runtime).is_some());
    assert_eq!(files.count(Kind::Read) + files.count(Kind::Open), asked);
    files.heal();
    life.disk.probe();
    assert!(life.settle());
    let after = Life::begin(Arc::new(files.crash(chance)), PLENTY);
    assert!(after.find(&keys[7], &runtime).is_some());
}

#[test]
fn a_store_can_be_taken_into_use_or_not_whatever_fails_then() {
    for n in 1..=12 {
        let files = Faulty::new();
        files.fail_every(n, EIO);
        if let Ok(mut life) = Life::try_begin(Arc::new(files.clone()), PLENTY) {
            let chance = &mut Rng(n);
            life.put(version_of(&keys()[0], 1, bytes(10, chance), chance).slot);
            life.settle();
        }
    }
}

#[test]
fn the_threads_find_out_by_themselves_that_the_disk_works_again() {
    let (files, runtime) = (Faulty::new(), runtime());
    let mut life = Life::begin(Arc::new(files.clone()), PLENTY);
    let (keys, chance) = (keys(), &mut Rng(1));
    life.disk.start(Box::new(|_| true)).unwrap();
    wait_until(|| life.disk.usage().indexed);
    files.fail_every(1, EIO);
    for (number, key) in (1..).zip(&keys).take(5) {
        life.put(version_of(key, number, bytes(10, chance), chance).slot);
    }
    wait_until(|| !life.disk.is_up());
    files.heal();
    wait_until(|| life.disk.is_up());
    let stored = version_of(&keys[0], 9, bytes(10, chance), chance);
    life.put(stored.slot);
    assert!(life.disk.settle(Duration::from_secs(10)));
    let after = Life::begin(Arc::new(files.crash(chance)), PLENTY);
    assert!(after.find(&keys[0], &runtime).is_some());
    life.disk.leave();
}

/// For what other threads do in their own time.
fn wait_until(done: impl Fn() -> bool) {
    for _ in 0..2000 {
        if done() {
            return;
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
    panic!("it does not happen");
}
