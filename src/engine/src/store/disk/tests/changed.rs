//! What changes while it waits to be written.

use super::Files;
use super::faulty::Faulty;
use super::found::{LARGE, begin, pages, place, sized, small};
use super::pages::validated;
use super::rng::Rng;
use crate::store::Slot;
use semantics::coding::Coding;

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
