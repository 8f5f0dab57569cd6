use super::disk::Cut;
use super::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

#[test]
fn a_disk_that_refuses_costs_durability_until_it_does_not() {
    let disk = Disk::default();
    let (journal, _) = open(&disk);
    let began = journal.epoch();
    let operations = disk.inner().operations;
    disk.inner().dies_at = Some(operations);
    for (n, name) in ["a", "b"].into_iter().enumerate() {
        let recorded = journal.invalidate(&[one(Mode::Hard, tag(name))], now()).unwrap();
        assert_eq!((recorded.epoch, recorded.durable), (began + 1 + n as u64, false));
        assert_eq!(judge(&journal, "/p", &[name], began), Validity::Hard, "it takes effect");
    }
    assert_eq!(journal.add_tags(None, "/p", &["x".to_owned()]).unwrap(), ["x"]);
    assert!(!journal.note("n", b"v").unwrap());
    assert!(journal.is_behind());
    assert!(journal.retry().is_err());
    disk.inner().dies_at = None;
    // The next one brings the others with it.
    assert!(journal.invalidate(&[one(Mode::Hard, tag("c"))], now()).unwrap().durable);
    assert!(!journal.is_behind());
    let before = held(&journal);
    let (journal, opened) = open(&disk.cut(Cut::Nothing));
    assert_eq!((held(&journal), opened.trust), (before, Trust::Kept));
}

#[test]
fn what_the_disk_refused_is_written_when_it_is_tried_again() {
    let disk = Disk::default();
    let (journal, _) = open(&disk);
    journal.retry().unwrap();
    let operations = disk.inner().operations;
    disk.inner().dies_at = Some(operations);
    assert!(!journal.invalidate(&[one(Mode::Hard, tag("a"))], now()).unwrap().durable);
    disk.inner().dies_at = None;
    journal.retry().unwrap();
    assert!(!journal.is_behind());
    assert_eq!(held(&open(&disk.cut(Cut::Nothing)).0), held(&journal));
}

#[test]
fn a_journal_opens_on_a_disk_that_refuses_everything() {
    let disk = Disk::default();
    disk.inner().dies_at = Some(0);
    let (journal, _) = open(&disk);
    assert!(journal.is_behind());
    assert!(!journal.invalidate(&[one(Mode::Hard, tag("a"))], now()).unwrap().durable);
    disk.inner().dies_at = None;
    assert!(journal.invalidate(&[one(Mode::Hard, tag("b"))], now()).unwrap().durable);
}

#[test]
fn on_a_full_disk_there_is_room_for_many_events() {
    let disk = Disk::default();
    let (journal, _) = open(&disk);
    disk.inner().full = true;
    for n in 0..300 {
        let recorded = journal.invalidate(&[one(Mode::Hard, tag(&format!("{n}")))], now()).unwrap();
        assert!(recorded.durable, "{n}");
    }
    assert!(!journal.note("n", &vec![0; 60_000]).unwrap());
    disk.inner().full = false;
    journal.retry().unwrap();
    assert_eq!(held(&open(&disk.cut(Cut::Nothing)).0), held(&journal));
}

#[test]
fn a_full_disk_does_not_keep_a_long_log_from_growing_in_its_room() {
    let disk = Disk::default();
    let (journal, _) = open(&disk);
    while disk.bytes("journal").len() < (1 << 20) + (70 << 10) {
        assert!(journal.note("n", &vec![7; 60_000]).unwrap());
    }
    disk.inner().full = true;
    for name in ["a", "b"] {
        assert!(journal.invalidate(&[one(Mode::Hard, tag(name))], now()).unwrap().durable);
    }
    assert!(!journal.is_behind());
    let (restored, opened) = open(&disk.cut(Cut::Nothing));
    assert_eq!((held(&restored), opened.trust), (held(&journal), Trust::Kept));
}

#[test]
fn nobody_who_looks_up_waits_for_the_disk_and_those_who_write_wait_together() {
    let disk = Disk::default();
    let journal = Arc::new(open(&disk).0);
    let began = journal.epoch();
    let syncs = disk.inner().syncs;
    disk.inner().hangs = true;
    let writers: Vec<_> = (0..8)
        .map(|n| {
            let journal = journal.clone();
            thread::spawn(move || journal.invalidate(&[one(Mode::Hard, tag(&format!("{n}")))], now()).unwrap())
        })
        .collect();
    while journal.epoch() < began + 8 {
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(judge(&journal, "/p", &["7"], began), Validity::Hard, "it takes effect at once");
    // The epoch comes before the event is written.
    journal.write();
    assert!(writers.iter().all(|writer| !writer.is_finished()), "and is acknowledged when it is on the disk");
    disk.let_go();
    assert!(writers.into_iter().all(|writer| writer.join().unwrap().durable));
    let shared = disk.inner().syncs - syncs;
    assert!((1..=2).contains(&shared), "{shared} waits for 8 events");
    assert_eq!(held(&open(&disk.cut(Cut::Nothing)).0), held(&journal));
}

#[test]
fn a_wait_that_fails_fails_for_all_who_shared_it() {
    let disk = Disk::default();
    let journal = Arc::new(open(&disk).0);
    let began = journal.epoch();
    disk.inner().hangs = true;
    let writers: Vec<_> = (0..4)
        .map(|n| {
            let journal = journal.clone();
            thread::spawn(move || journal.invalidate(&[one(Mode::Hard, tag(&format!("{n}")))], now()).unwrap())
        })
        .collect();
    while journal.epoch() < began + 4 {
        thread::sleep(Duration::from_millis(1));
    }
    // The epoch comes before the event is written.
    journal.write();
    let operations = disk.inner().operations;
    disk.inner().dies_at = Some(operations);
    disk.let_go();
    assert!(writers.into_iter().all(|writer| !writer.join().unwrap().durable));
    assert!(journal.is_behind());
    disk.inner().dies_at = None;
    journal.retry().unwrap();
    assert_eq!(held(&open(&disk.cut(Cut::Nothing)).0), held(&journal));
}

/// Writes a journal, as the engine's thread does, until it is told to stop.
fn written_by_another(journal: &Arc<Waited>) -> (Arc<AtomicBool>, thread::JoinHandle<()>) {
    let stop = Arc::new(AtomicBool::new(false));
    let (journal, stopped) = (journal.clone(), stop.clone());
    let writer = thread::spawn(move || {
        while !stopped.load(Ordering::Acquire) {
            journal.write_next(Duration::from_millis(1));
        }
    });
    (stop, writer)
}

#[test]
fn a_disk_that_hangs_keeps_nobody_from_invalidating() {
    let disk = Disk::default();
    let journal = Arc::new(open(&disk).0);
    let began = journal.epoch();
    disk.inner().writes_hang = true;
    let (stop, writer) = written_by_another(&journal);
    let first = journal.0.invalidate(&[one(Mode::Hard, tag("0"))], now()).unwrap();
    assert_eq!((first.epoch, judge(&journal, "/p", &["0"], began)), (began + 1, Validity::Hard), "it takes effect");
    assert!(!journal.wait_for(first.event, Duration::from_millis(50)), "and nobody is told that it is durable");
    // So many that they are not kept one by one; with the disk known to hang, nobody waits for it.
    for n in 0..100 {
        let noted = journal.0.note("n", &vec![n; 60_000]).unwrap();
        assert!(!journal.wait_for(noted, Duration::from_secs(3600)));
    }
    assert_eq!(journal.0.add_tags(None, "/p", &["x".to_owned()]).unwrap().names, ["x"]);
    journal.0.swept(began);
    let last = journal.0.invalidate(&[one(Mode::Hard, tag("last"))], now()).unwrap();
    assert_eq!(judge(&journal, "/p", &["last"], began), Validity::Hard);
    disk.let_go();
    assert!(journal.wait(last.event), "it is written when the disk answers again");
    assert!(journal.wait_for(last.event, Duration::ZERO));
    assert_eq!(held(&open(&disk.cut(Cut::Nothing)).0), held(&journal));
    stop.store(true, Ordering::Release);
    writer.join().unwrap();
}

#[test]
fn whoever_waits_for_another_to_write_learns_what_came_of_it() {
    let disk = Disk::default();
    let journal = Arc::new(open(&disk).0);
    let (stop, writer) = written_by_another(&journal);
    let patience = Duration::from_secs(3600);
    let kept = journal.0.note("n", b"1").unwrap();
    assert!(journal.wait_for(kept, patience));
    let operations = disk.inner().operations;
    disk.inner().dies_at = Some(operations);
    let refused = journal.0.note("n", b"2").unwrap();
    assert!(!journal.wait_for(refused, patience));
    disk.inner().dies_at = None;
    let kept = journal.0.note("n", b"3").unwrap();
    assert!(journal.wait_for(kept, patience), "the next one brings the others with it");
    assert!(journal.wait_for(refused, patience));
    stop.store(true, Ordering::Release);
    writer.join().unwrap();
}
