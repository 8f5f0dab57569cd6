//! What went wrong once.

use super::faulty::{EIO, Faulty, Kind};
use super::pages::{Key, Stored, bytes, compare, page, validated, version_of};
use super::rng::Rng;
use super::through::{Call, Through};
use super::{HELD, Life, PLENTY, list, runtime, stored_files};
use crate::store::Slot;
use crate::store::disk::names::{Place, dir_of, dir_path};
use parking_lot::Mutex;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub(super) const LARGE: usize = HELD + 100_000;

pub(super) fn begin(files: &Faulty) -> Life {
    Life::begin(Arc::new(files.clone()), PLENTY)
}

pub(super) fn sized(key: &Key, number: u64, length: usize) -> Stored {
    let chance = &mut Rng(number);
    version_of(key, number, bytes(length, chance), chance)
}

pub(super) fn small(key: &Key, number: u64) -> Slot {
    sized(key, number, 100).slot
}

pub(super) fn place(key: &Key) -> Place {
    Place { dir: dir_of(super::SEED, &key.bytes, key.variant).unwrap(), hash: key.hash() }
}

pub(super) fn pages(count: u64) -> Vec<Key> {
    (0..count).map(|n| page("one", &format!("/{n}"), 1)).collect()
}

#[test]
fn the_first_page_of_a_new_store_is_there_after_a_crash() {
    let (files, key) = (Faulty::new(), page("one", "/", 1));
    let mut life = begin(&files);
    life.put(small(&key, 1));
    assert!(life.settle());
    for seed in 0..50 {
        let after = begin(&files.crash(&mut Rng(seed)));
        assert!(after.find(&key, &runtime()).is_some(), "seed {seed}");
    }
}

#[test]
fn what_was_removed_does_not_come_back_by_a_crash() {
    let (files, key) = (Faulty::new(), page("one", "/", 1));
    let mut life = begin(&files);
    life.put(small(&key, 1));
    assert!(life.settle());
    life.remove(&key);
    assert!(life.settle());
    for seed in 0..50 {
        let after = begin(&files.crash(&mut Rng(seed)));
        assert!(after.find(&key, &runtime()).is_none(), "seed {seed}");
    }
}

#[test]
fn what_cannot_be_removed_is_not_settled_until_it_is_and_not_found_meanwhile() {
    for kind in [Kind::Remove, Kind::SyncDir] {
        let (files, key) = (Faulty::new(), page("one", "/", 1));
        let mut life = begin(&files);
        life.put(small(&key, 1));
        assert!(life.settle());
        files.fail_every(1, EIO);
        files.fail_only(&[kind]);
        life.remove(&key);
        assert!(!life.settle(), "{kind:?}");
        assert!(life.find(&key, &runtime()).is_none());
        files.heal();
        life.clock.advance(Duration::from_secs(2));
        assert!(life.settle());
        let after = begin(&files.crash(&mut Rng(1)));
        assert!(after.find(&key, &runtime()).is_none(), "{kind:?}");
    }
}

#[test]
fn what_cannot_be_removed_does_not_remove_what_is_stored_later() {
    let (files, key) = (Faulty::new(), page("one", "/", 1));
    let mut life = begin(&files);
    life.put(small(&key, 1));
    assert!(life.settle());
    files.fail_every(1, EIO);
    files.fail_only(&[Kind::Remove]);
    life.remove(&key);
    assert!(!life.settle());
    files.heal();
    life.put(small(&key, 2));
    life.clock.advance(Duration::from_secs(2));
    assert!(life.settle());
    assert!(begin(&files).find(&key, &runtime()).is_some());
}

#[test]
fn what_cannot_be_evicted_is_still_counted() {
    let files = Faulty::new();
    let mut life = Life::begin(Arc::new(files.clone()), 10_000);
    files.fail_every(1, EIO);
    files.fail_only(&[Kind::Remove]);
    for key in pages(4) {
        life.put(small(&key, 1));
    }
    assert!(life.settle());
    assert_eq!(life.disk.usage().entries, stored_files(&files).len());
}

#[test]
fn pages_whose_directories_are_gone_are_not_in_the_index_after_a_start() {
    let files = Faulty::new();
    let mut life = begin(&files);
    let keys: Vec<Key> = ["one", "two"].iter().map(|of| page(of, "/", 1)).collect();
    keys.iter().for_each(|key| life.put(small(key, 1)));
    assert!(life.settle());
    life.disk.write_snapshot();
    for (key, all) in [(&keys[0], false), (&keys[1], true)] {
        let path = place(key).path();
        super::Files::remove(&files, &path).unwrap();
        super::Files::remove(&files, path.parent().unwrap()).unwrap();
        if all {
            let dir = dir_path(place(key).dir);
            super::Files::remove(&files, &dir.join("id")).unwrap();
            super::Files::remove(&files, &dir).unwrap();
        }
    }
    let after = begin(&files);
    after.disk.index_all();
    assert_eq!((after.disk.usage().entries, after.disk.usage().bytes), (0, 0));
}

#[test]
fn a_size_that_is_wrong_in_a_snapshot_is_put_right_by_a_look_up() {
    let (files, key) = (Faulty::new(), page("one", "/", 1));
    let mut life = begin(&files);
    life.put(small(&key, 1));
    assert!(life.settle());
    life.disk.write_snapshot();
    life.put(sized(&key, 2, LARGE).slot);
    assert!(life.settle());
    let after = begin(&files);
    after.disk.index_all();
    after.find(&key, &runtime()).unwrap();
    assert_eq!(after.disk.usage().bytes, stored_files(&files)[0].1);
}

#[test]
fn a_deployment_whose_name_was_half_written_is_named_again() {
    let (files, key) = (Faulty::new(), page("one", "/", 1));
    let mut life = begin(&files);
    let dir = dir_path(place(&key).dir);
    super::Files::make_dir(&files, &dir).unwrap();
    super::Files::create(&files, &dir.join("id")).unwrap();
    life.put(small(&key, 1));
    assert!(life.settle());
    assert_eq!(life.disk.deployments(), [("one".to_owned(), 1)]);
}

#[test]
fn new_heads_for_bodies_that_were_evicted_do_not_turn_the_store_off() {
    let (files, runtime) = (Faulty::new(), runtime());
    let mut life = begin(&files);
    for (key, number) in pages(6).iter().zip(1..) {
        let stored = sized(key, number, LARGE);
        life.put(stored.slot.clone());
        assert!(life.settle());
        life.disk.unlink(place(key));
        life.put(validated(&life, key, number + 10, &stored, &mut Rng(1)).unwrap().slot);
        assert!(life.settle());
        assert!(life.find(key, &runtime).is_none());
    }
    // What worked between them does not count: nothing failed.
    assert_eq!((life.errors("write"), life.errors("body-gone"), life.disk.is_up()), (0, 6, true));
}

#[test]
fn pages_of_a_deployment_that_was_just_removed_are_stored() {
    let (files, runtime) = (Faulty::new(), runtime());
    let mut life = begin(&files);
    let keys = pages(10);
    keys.iter().for_each(|key| life.put(small(key, 1)));
    assert!(life.settle());
    life.disk.remove_deployment("one");
    assert_eq!(life.disk.usage().entries, 0);
    keys.iter().for_each(|key| life.put(small(key, 2)));
    assert!(life.settle());
    assert!(life.disk.is_up());
    assert!(keys.iter().all(|key| life.find(key, &runtime).is_some()));
    assert_eq!(life.disk.usage().errors, []);
}

#[test]
fn a_version_that_cannot_be_kept_does_not_keep_the_new_one_from_its_place() {
    let (files, key) = (Faulty::new(), page("one", "/", 3));
    let mut life = begin(&files);
    life.put(small(&key, 1));
    assert!(life.settle());
    files.fail_every(1, EIO);
    files.fail_only(&[Kind::Link]);
    life.put(small(&key, 2));
    assert!(life.settle());
    files.heal();
    let after = begin(&files);
    let found = after.find(&key, &runtime()).unwrap();
    compare(&after, &found, &sized(&key, 2, 100), &runtime()).unwrap();
    assert!(list(&files, Path::new("versions")).len() <= 1);
}

#[test]
fn a_file_that_cannot_be_read_is_not_taken_for_damaged() {
    let (files, key) = (Faulty::new(), page("one", "/", 1));
    let mut life = begin(&files);
    life.put(small(&key, 1));
    assert!(life.settle());
    files.fail_every(1, EIO);
    files.fail_only(&[Kind::Open]);
    life.disk.discard(place(&key));
    files.heal();
    assert!(life.find(&key, &runtime()).is_some());
}

#[test]
fn what_is_removed_while_it_is_read_does_not_come_back_into_memory() {
    let (files, key) = (Faulty::new(), Arc::new(page("one", "/", 1)));
    let mut first = begin(&files);
    first.put(small(&key, 1));
    assert!(first.settle());
    let remover: Arc<Mutex<Option<Life>>> = Arc::default();
    let (to, gone) = (remover.clone(), key.clone());
    // Between the read and what is made of it, the page is ordered away, and is gone from the disk.
    let through = Through::new(&files, move |call| {
        let life = to.lock().take();
        if let (Call::Read, Some(mut life)) = (call, life) {
            life.remove(&gone);
            assert!(life.settle());
        }
        true
    });
    let life = Life::begin(Arc::new(through), PLENTY);
    *remover.lock() = Some(life.twin());
    runtime().block_on(life.store.recall(key.hash(), &key.bytes, false, life.clock.now()));
    assert!(life.memory.peek(key.hash(), &key.bytes).is_none());
    assert!(life.find(&key, &runtime()).is_none());
}

#[test]
fn what_is_removed_while_it_gets_its_place_does_not_come_back_into_memory() {
    let (files, key) = (Faulty::new(), Arc::new(page("one", "/", 1)));
    let remover: Arc<Mutex<Option<Life>>> = Arc::default();
    let (to, gone) = (remover.clone(), key.clone());
    let through = Through::new(&files, move |call| {
        if call == Call::Rename
            && let Some(mut life) = to.lock().take()
        {
            life.remove(&gone);
        }
        true
    });
    let mut life = Life::begin(Arc::new(through), PLENTY);
    // Its deployment is named by then.
    life.put(small(&page("one", "/other", 1), 1));
    assert!(life.settle());
    life.put(sized(&key, 2, LARGE).slot);
    *remover.lock() = Some(life.twin());
    assert!(life.settle());
    assert!(life.memory.peek(key.hash(), &key.bytes).is_none());
    assert!(life.find(&key, &runtime()).is_none());
}

#[test]
fn after_the_clock_was_set_back_by_a_day_a_page_is_stale_and_no_younger_for_it() {
    const A_DAY: u64 = 86_400;
    let files = Faulty::new();
    let key = page("one", "/", 1);
    let mut life = begin(&files);
    life.clock.advance(Duration::from_secs(2 * A_DAY));
    // Stored when the clock was a day ahead.
    let ahead = small(&key, 100_000_000 + A_DAY);
    life.put(ahead.clone());
    assert!(life.settle());
    let after = begin(&files.kill());
    let (now, Slot::Response(stored)) = (after.clock.now(), ahead) else { panic!("a response") };
    assert_eq!(stored.windows.generated.since(now), Duration::from_secs(A_DAY));
    let Some(Slot::Response(found)) = after.find(&key, &runtime()) else { panic!("it is there") };
    assert_eq!(found.windows.generated, now);
    assert!(found.windows.fresh_until <= now, "it is not fresh for another day");
    assert!(found.fetched_at <= now, "what is fetched now is newer");
    let left = |windows: &semantics::Windows| windows.error_until.since(windows.generated);
    assert_eq!(left(&found.windows), left(&stored.windows));
}

#[test]
fn however_many_ask_for_a_page_that_is_only_on_the_disk_it_is_read_once() {
    let (files, key) = (Faulty::new(), page("one", "/", 1));
    let mut life = begin(&files);
    life.put(small(&key, 1));
    assert!(life.settle());
    let files = files.kill();
    let life = begin(&files);
    files.set_cold(true);
    let before = files.count(Kind::Open);
    let recall = || life.store.recall(key.hash(), &key.bytes, false, life.clock.now());
    let (a, b, c, d) = runtime().block_on(async { tokio::join!(recall(), recall(), recall(), recall()) });
    assert!([a, b, c, d].iter().all(Option::is_some));
    assert_eq!(files.count(Kind::Open) - before, 1);
}

/// A page that is put back: who is told that it holds over a restart must be able to rely on it.
#[test]
fn whether_a_response_is_on_the_disk_is_said_of_this_very_one() {
    let (files, key) = (Faulty::new(), page("one", "/", 1));
    let mut life = begin(&files);
    let response = |slot: &Slot| match slot {
        Slot::Response(response) => response.clone(),
        Slot::Varies(_) => unreachable!("it is a page"),
    };
    let (first, second) = (small(&key, 1), small(&key, 2));
    life.put(first.clone());
    assert!(life.settle() && life.disk.has(&response(&first)));
    assert!(life.disk.takes_more() && !life.disk.has(&response(&second)));
    files.no_space_after(0);
    life.put(second.clone());
    assert!(life.settle(), "nothing waits any more");
    assert!(!life.disk.has(&response(&second)), "but it is not there");
    assert!(!life.disk.has(&response(&first)), "and neither is what it replaced");
    files.fail_every(1, EIO);
    for n in 0..5 {
        life.put(small(&key, 3 + n));
        life.settle();
    }
    assert!(!life.disk.takes_more(), "it is off");
}

/// Whoever has the beginning of a page gets the rest of it from a disk that fails now and then, and when it is off for that.
#[test]
fn a_delivery_that_has_begun_goes_on_while_the_disk_fails_now_and_then() {
    let (files, key) = (Faulty::new(), page("one", "/", 1));
    let mut life = begin(&files);
    let stored = sized(&key, 1, LARGE);
    life.put(stored.slot.clone());
    assert!(life.settle());
    let runtime = runtime();
    let Some(Slot::Response(response)) = life.find(&key, &runtime) else { panic!("it is stored") };
    let crate::store::Body::Filed(filed) = response.body else { panic!("it stays in its file") };
    let body = runtime.block_on(async {
        let mut reader = life.disk.read_body(&response, filed).await.unwrap();
        files.fail_every(2, EIO);
        files.fail_only(&[Kind::Read]);
        for _ in 0..5 {
            life.disk.health.failed("read", &std::io::Error::from_raw_os_error(EIO));
        }
        assert!(!life.disk.is_up());
        let mut body = Vec::new();
        while let Some(chunk) = reader.chunk().await.unwrap() {
            body.extend_from_slice(&chunk);
        }
        body
    });
    assert_eq!(body, stored.body);
}
