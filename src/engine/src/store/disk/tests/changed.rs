//! What changes while it waits to be written.

use super::faulty::Faulty;
use super::found::{LARGE, begin, pages, place, sized, small};
use super::pages::{Key, validated};
use super::rng::Rng;
use super::through::{Call, Through};
use super::{Files, Life, PLENTY, runtime};
use crate::store::Slot;
use parking_lot::Mutex;
use semantics::coding::Coding;
use std::sync::Arc;
use std::time::Duration;

/// A life in which `act` comes while the first page is made durable, and once only.
fn while_made_durable(files: &Faulty, key: &Key, act: impl Fn(&mut Life) + Send + Sync + 'static) -> Life {
    let twin: Arc<Mutex<Option<Life>>> = Arc::default();
    let to = twin.clone();
    let through = Through::new(files, move |call| {
        if matches!(call, Call::Sync | Call::SyncAll)
            && let Some(mut life) = to.lock().take()
        {
            act(&mut life);
        }
        true
    });
    let mut life = Life::begin(Arc::new(through), PLENTY);
    // Its deployment is named by then.
    life.put(small(&pages(2)[1], 1));
    assert!(life.settle());
    life.put(small(key, 1));
    life.step();
    *twin.lock() = Some(life.twin());
    // It is due, and nothing else waits to be written.
    life.clock.advance(Duration::from_secs(1));
    life.writer.step(&life.disk);
    assert!(twin.lock().is_none(), "nothing was made durable");
    life
}

#[test]
fn a_page_that_changes_while_it_is_made_durable_is_on_the_disk_as_it_was() {
    let (files, key) = (Faulty::new(), pages(1).remove(0));
    let newer = small(&key, 2);
    let life = while_made_durable(&files, &key, move |life| life.put(newer.clone()));
    assert!(life.disk.index.has(key.hash()), "a page that changes faster than it is made durable never gets there");
    assert!(life.disk.usage().waiting == 1, "the newer one still waits");
    let after = begin(&files.crash(&mut Rng(1)));
    assert!(after.find(&key, &runtime()).is_some());
}

#[test]
fn a_page_that_is_removed_while_it_is_made_durable_does_not_get_there() {
    let (files, key) = (Faulty::new(), pages(1).remove(0));
    let gone = pages(1).remove(0);
    let life = while_made_durable(&files, &key, move |life| life.remove(&gone));
    assert!(!life.disk.index.has(key.hash()));
    assert!(life.find(&key, &runtime()).is_none());
}

#[test]
fn a_new_head_for_a_body_that_another_process_has_replaced_leaves_that_page_alone() {
    let files = Faulty::new();
    let mut life = begin(&files);
    let key = &pages(1)[0];
    let stored = sized(key, 1, LARGE);
    life.put(stored.slot.clone());
    assert!(life.settle());
    // What the other one wrote there, with a body of its own.
    let theirs = Faulty::new();
    let mut other = begin(&theirs);
    for number in 2..5 {
        other.put(sized(key, number, LARGE + 1).slot);
        assert!(other.settle());
    }
    let path = place(key).path();
    let newer = theirs.read_at_once(&path, usize::MAX).unwrap();
    let new = validated(&life, key, 11, &stored, &mut Rng(1)).unwrap();
    files.remove(&path).unwrap();
    files.create(&path).unwrap().write_at(&newer, 0).unwrap();
    life.put(new.slot);
    assert!(life.settle());
    assert!(files.read_at_once(&path, usize::MAX).unwrap() == newer, "the newer page is gone");
    assert_eq!((life.errors("body-gone"), life.errors("write")), (0, 0));
}

#[test]
fn a_page_that_is_coded_while_it_waits_to_be_written_takes_no_more_than_it_gave() {
    let files = Faulty::new();
    let mut life = begin(&files);
    for (number, key) in (1..).zip(pages(3)) {
        let slot = small(&key, number);
        life.put(slot.clone());
        let Slot::Response(response) = &slot else { panic!("a response") };
        response.coded.put(&response.head, Coding::Brotli, Some("coded".repeat(1000).into()));
    }
    assert!(life.settle());
    assert!(life.disk.has_room() && life.disk.usage().waiting == 0, "the queue is empty");
}
