//! What cannot be read: nobody may take it for what is not there, or not good.

use super::faulty::{EIO, Faulty, Kind};
use super::found::{begin, small};
use super::pages::page;
use super::runtime;
use crate::store::{NoAnswer, Place, Slot, Store};

const KINDS: [Kind; 4] = [Kind::Open, Kind::Read, Kind::Stat, Kind::List];

/// A page with an older version, in a process that has just begun.
fn two_versions(files: &Faulty) -> (super::Life, super::Key) {
    let key = page("one", "/", 3);
    let mut life = begin(files);
    life.put(small(&key, 1));
    assert!(life.settle());
    life.put(small(&key, 2));
    assert!(life.settle());
    let after = begin(files);
    after.disk.index_all();
    (after, key)
}

fn versions(life: &super::Life, key: &super::Key) -> usize {
    let Some(Slot::Response(response)) = life.find(key, &runtime()) else { panic!("it is there") };
    life.disk.versions(&response).len()
}

#[test]
fn a_sweep_leaves_versions_that_cannot_be_read_and_says_that_it_did_not_see_them() {
    for kind in KINDS {
        let files = Faulty::new();
        let (life, key) = two_versions(&files);
        files.fail_every(1, EIO);
        files.fail_only(&[kind]);
        assert!(!life.disk.sweep_versions(), "{kind:?}");
        files.heal();
        assert_eq!(versions(&life, &key), 1, "{kind:?}");
        assert!(life.disk.sweep_versions(), "{kind:?}");
        assert_eq!(versions(&life, &key), 1, "{kind:?}");
    }
}

#[test]
fn a_page_whose_pin_cannot_be_read_stays_pinned() {
    let files = Faulty::new();
    let (mut life, key) = two_versions(&files);
    let Slot::Response(mut pinned) = small(&key, 3) else { panic!("a response") };
    std::sync::Arc::get_mut(&mut pinned).unwrap().pinned = true;
    life.put(Slot::Response(pinned));
    assert!(life.settle());
    let after = begin(&files);
    after.disk.index_all();
    assert!(after.disk.is_pinned_at(key.hash()));
    files.fail_every(1, EIO);
    files.fail_only(&[Kind::Open]);
    assert!(!after.disk.sweep_versions());
    assert!(after.disk.is_pinned_at(key.hash()));
}

fn walked(store: &Store) -> (usize, bool) {
    runtime().block_on(async {
        let (mut place, mut met, mut whole) = (None::<Place>, 0, true);
        loop {
            let piece = store.walk(place).await;
            met += piece.met.len();
            whole &= piece.whole;
            place = piece.next;
            if place.is_none() {
                return (met, whole);
            }
        }
    })
}

#[test]
fn a_walk_says_that_it_did_not_see_all() {
    for kind in [Kind::Open, Kind::Read, Kind::Stat] {
        let files = Faulty::new();
        let (life, _) = two_versions(&files);
        assert_eq!(walked(&life.store), (1, true));
        files.fail_every(1, EIO);
        files.fail_only(&[kind]);
        assert_eq!(walked(&life.store), (0, false), "{kind:?}");
        files.heal();
        assert_eq!(walked(&life.store), (1, true));
    }
}

#[test]
fn nobody_can_say_what_stands_in_a_file_that_cannot_be_read_or_on_a_disk_that_is_off() {
    let files = Faulty::new();
    let (life, key) = two_versions(&files);
    let look = || runtime().block_on(life.store.look(key.hash(), &key.bytes, key.variant));
    assert!(matches!(look(), Ok(Some(_))));
    files.fail_every(1, EIO);
    while life.disk.is_up() {
        assert!(matches!(look(), Err(NoAnswer)));
    }
    assert!(matches!(look(), Err(NoAnswer)));
    files.heal();
    life.disk.probe();
    assert!(matches!(look(), Ok(Some(_))));
}
