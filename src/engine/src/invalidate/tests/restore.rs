use super::*;
use crate::invalidate::{Checked, Found, Role};

#[test]
fn a_directory_without_a_journal_gets_one() {
    let disk = Disk::default();
    let (journal, opened) = open(&disk);
    assert_eq!((opened.role, opened.seed, opened.found), (Role::Holder, SEED, Found::Nothing));
    assert_eq!((opened.trust, opened.bad_frames), (Trust::Kept, 0));
    assert_eq!((journal.epoch(), journal.is_behind(), journal.len()), (1, false, 0));
    assert_eq!(disk.list_all(), ["journal"]);
    let room = disk.bytes("journal").iter().rev().take_while(|byte| **byte == 0).count();
    assert!(room >= 64 << 10, "room is made ahead: {room}");
}

#[test]
fn what_happened_holds_after_a_restart() {
    let hosted = Invalidation { host: Some("h".to_owned()), ..one(Mode::Soft, tag("hosted")) };
    let acts = [
        Act::Invalidate(vec![one(Mode::Soft, tag("soft")), one(Mode::Hard, Target::Path("/hard".to_owned()))]),
        Act::Invalidate(vec![one(Mode::Validate, Target::Route("other".to_owned()))]),
        Act::Invalidate(vec![one(Mode::Hard, Target::Prefix("/x/".to_owned())), hosted]),
        Act::Invalidate(vec![one(Mode::Soft, Target::Prefix("/x/y".to_owned())), one(Mode::Validate, tag("v"))]),
        Act::Tag(None, "/p".to_owned(), vec!["a".to_owned(), "b".to_owned()]),
        Act::Tag(Some("h".to_owned()), "/p".to_owned(), vec!["c".to_owned()]),
        Act::Note("deployment".to_owned(), b"blue\0".to_vec()),
        Act::Note("deployment".to_owned(), Vec::new()),
        Act::Note(String::new(), vec![0; 64 << 10]),
        Act::Sweep,
        Act::Invalidate(Vec::new()),
    ];
    for count in 0..=acts.len() {
        let disk = Disk::default();
        let (journal, _) = open(&disk);
        assert!(acts[..count].iter().all(|act| act.act(&journal)));
        let (before, epoch) = (held(&journal), journal.epoch());
        drop(journal);
        let (journal, opened) = open(&disk.cut(disk::Cut::Nothing));
        assert_eq!((opened.found, opened.trust, opened.bad_frames), (Found::Restored, Trust::Kept, 0));
        assert_eq!(held(&journal), before, "after {count}");
        assert!(journal.epoch() > epoch);
        assert!(!journal.is_behind());
    }
}

#[test]
fn a_journal_that_is_restored_is_asked_and_answers_as_before() {
    let disk = Disk::default();
    let (journal, _) = open(&disk);
    let began = journal.epoch();
    journal.invalidate(&[one(Mode::Soft, tag("soft")), one(Mode::Hard, tag("hard"))], now()).unwrap();
    journal.invalidate(&[one(Mode::Validate, tag("validate"))], now()).unwrap();
    journal.add_tags(None, "/added", &["soft".to_owned()]).unwrap();
    journal.note("a", b"1").unwrap();
    journal.note("a", b"2").unwrap();
    drop(journal);
    // Its own seed, not that which is offered.
    let options = Options { seed: 1, ..OPTIONS };
    let (journal, opened) = open_with(&disk, &options).unwrap();
    assert_eq!(opened.seed, SEED);
    assert_eq!(judge(&journal, "/p", &["soft"], began), Validity::Soft(now()));
    assert_eq!(judge(&journal, "/p", &["hard"], began), Validity::Hard);
    assert_eq!(judge(&journal, "/p", &["validate"], began), Validity::Validate);
    assert_eq!(judge(&journal, "/p", &["none"], began), Validity::Valid);
    assert_eq!(judge(&journal, "/p", &["hard", "soft", "validate"], journal.epoch()), Validity::Valid);
    assert_eq!(journal.added_tags("h", "/added"), ["soft"]);
    assert_eq!(judge(&journal, "/added", &[], began), Validity::Valid, "it was tagged later");
    assert_eq!(journal.noted("a").as_deref(), Some(&b"2"[..]));
    assert_eq!(journal.noted("b"), None);
    // An invalidation selects what was fetched before the restart, and in an epoch that did not reach the disk.
    journal.invalidate(&[one(Mode::Soft, tag("none"))], now()).unwrap();
    assert_eq!(judge(&journal, "/p", &["none"], began + 1_000), Validity::Soft(now()));
}

#[test]
fn random_events_are_restored_whatever_they_are() {
    let mut rng = Rng(1);
    let mut events = 0;
    while events < 10_000 {
        let disk = Disk::default();
        let (mut journal, _) = open(&disk);
        for _ in 0..1 + rng.below(60) {
            assert!(Act::random(&mut rng).act(&journal));
            events += 1;
            if rng.below(20) == 0 {
                drop(journal);
                journal = open(&disk).0;
            }
        }
        let (before, epoch, seed) = (held(&journal), journal.epoch(), rng.draw());
        let pages = random_pages(&journal, &mut Rng(seed), epoch);
        drop(journal);
        let (journal, _) = open(&disk);
        assert_eq!(held(&journal), before);
        assert_eq!(random_pages(&journal, &mut Rng(seed), epoch), pages);
    }
}

#[test]
fn what_folded_stays_folded() {
    let disk = Disk::default();
    let (journal, _) = open(&disk);
    let all: Vec<_> = (0..100_010).map(|n| one(Mode::Soft, tag(&format!("n{n}")))).collect();
    let began = journal.epoch();
    for chunk in all.chunks(20_000) {
        journal.invalidate(chunk, now()).unwrap();
    }
    assert_eq!(judge(&journal, "/p", &[], began), Validity::Soft(now()));
    let before = held(&journal);
    drop(journal);
    let (journal, _) = open(&disk);
    assert_eq!(held(&journal), before);
    assert_eq!(judge(&journal, "/p", &[], began), Validity::Soft(now()));
    // And the next ones fold in the same order.
    let recorded = journal.invalidate(&all[..10], now()).unwrap();
    assert_eq!(recorded.folded, 10);
}

#[test]
fn a_log_that_grows_is_written_anew() {
    let disk = Disk::default();
    let (journal, _) = open(&disk);
    let mut longest = 0;
    for n in 0..200_u8 {
        assert!(journal.note("n", &vec![n; 60_000]).unwrap());
        longest = longest.max(disk.bytes("journal").len());
    }
    assert!((1 << 20..(1 << 20) + (300 << 10)).contains(&longest), "{longest}");
    journal.invalidate(&[one(Mode::Hard, tag("t"))], now()).unwrap();
    let before = held(&journal);
    drop(journal);
    let (journal, _) = open(&disk);
    assert_eq!(held(&journal), before);
    assert_eq!(disk.list_all(), ["journal"]);
}

#[test]
fn what_is_there_already_is_not_written_again() {
    let disk = Disk::default();
    let (journal, _) = open(&disk);
    journal.add_tags(None, "/p", &["a".to_owned()]).unwrap();
    let before = disk.inner().operations;
    assert_eq!(journal.add_tags(None, "/p", &["a".to_owned()]).unwrap(), ["a"]);
    assert_eq!(disk.inner().operations, before);
}

#[test]
fn a_note_has_so_many_bytes_and_there_are_so_many_of_them() {
    let journal = Waited(Journal::new(SEED));
    assert!(journal.note("n", &vec![1; (64 << 10) + 1]).is_err());
    assert!(journal.note(&"n".repeat(256), b"").is_err());
    for n in 0..64 {
        assert!(journal.note(&n.to_string(), b"").unwrap());
    }
    assert!(journal.note("one more", b"").is_err());
    assert!(journal.note("63", b"new").unwrap());
}

/// A sweep says nothing of soft records: one that folded still counts for what nobody has looked up.
#[test]
fn what_a_sweep_cleared_may_still_be_stale() {
    let disk = Disk::default();
    let (journal, _) = open(&disk);
    let began = journal.epoch();
    let all: Vec<_> = (0..=100_000).map(|n| one(Mode::Soft, tag(&format!("n{n}")))).collect();
    journal.invalidate(&all, now()).unwrap();
    journal.invalidate(&[one(Mode::Hard, tag("gone"))], now()).unwrap();
    journal.swept(journal.epoch());
    drop(journal);
    let (journal, _) = open(&disk);
    let tags = Tags::default();
    let subject = || Some(Subject { host: "h", path: "/p", route: "r", tags: &tags });
    assert_eq!(journal.check(&Checked::restored(began, began, began), subject), Validity::Hard);
    let cleared = Checked::restored(began, began, journal.swept_epoch());
    assert_eq!(journal.check(&cleared, subject), Validity::Soft(now()));
    assert_eq!(cleared.seen(), began, "what is not valid is to be judged again");
    let seen = Checked::restored(began, journal.swept_epoch(), journal.swept_epoch());
    assert_eq!(journal.check(&seen, subject), Validity::Valid);
    assert_eq!(seen.seen(), journal.epoch());
}
