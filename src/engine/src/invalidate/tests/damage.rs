use super::*;
use crate::invalidate::Found;
use crate::store::disk::Files;
use std::path::Path;

/// A small log, what was held after each of its events, and how long the log was then.
fn small() -> (Vec<u8>, Vec<(usize, Vec<u8>)>) {
    let disk = Disk::default();
    let (journal, _) = open(&disk);
    let acts = [
        Act::Invalidate(vec![one(Mode::Soft, tag("a"))]),
        Act::Tag(None, "/p".to_owned(), vec!["x".to_owned()]),
        Act::Note("n".to_owned(), b"value".to_vec()),
        Act::Invalidate(vec![one(Mode::Hard, tag("b")), one(Mode::Validate, Target::Prefix("/y".to_owned()))]),
        Act::Sweep,
        Act::Invalidate(vec![one(Mode::Hard, tag("c"))]),
    ];
    let mut states = vec![(written(&disk), held(&journal))];
    for act in acts {
        assert!(act.act(&journal));
        states.push((written(&disk), held(&journal)));
    }
    (disk.bytes("journal"), states)
}

fn written(disk: &Disk) -> usize {
    disk.bytes("journal").iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

fn is_distrusted(journal: &Journal) -> bool {
    [0, 1, 2, 1_000].iter().all(|began| matches!(judge(journal, "/q", &[], *began), Validity::Doubt | Validity::Hard))
        && judge(journal, "/q", &[], journal.epoch()) == Validity::Valid
}

#[test]
fn of_a_log_that_was_cut_everything_before_the_cut_holds() {
    let (bytes, states) = small();
    let end = states.last().unwrap().0;
    for cut in (0..end + 20).chain([bytes.len() - 1]) {
        let (journal, opened) = open(&Disk::with("journal", bytes[..cut].to_vec()));
        match states.iter().rfind(|(end, _)| *end <= cut) {
            Some((_, state)) => {
                assert_eq!(held(&journal), *state, "cut at {cut}");
                assert_eq!((opened.trust, opened.bad_frames), (Trust::Kept, 0), "cut at {cut}");
            }
            None => assert!(opened.trust == Trust::Lost && is_distrusted(&journal), "cut at {cut}"),
        }
        assert!(journal.invalidate(&[one(Mode::Soft, tag("d"))], now()).unwrap().durable);
    }
}

#[test]
fn a_torn_end_is_cut_off_and_what_comes_then_is_read_again() {
    let (bytes, states) = small();
    let end = states.last().unwrap().0;
    for torn in states[states.len() - 2].0 + 1..end {
        let mut bytes = bytes.clone();
        bytes[torn..end].fill(0);
        let disk = Disk::with("journal", bytes);
        let (journal, opened) = open(&disk);
        assert_eq!(opened.trust, Trust::Kept, "torn at {torn}");
        journal.note("n", b"").unwrap();
        let before = held(&journal);
        drop(journal);
        let (journal, opened) = open(&disk);
        assert_eq!((held(&journal), opened.bad_frames), (before, 0), "torn at {torn}");
    }
}

#[test]
fn after_a_bit_flip_either_everything_holds_or_nothing_is_trusted() {
    let (bytes, states) = small();
    let (end, state) = states.last().unwrap();
    for bit in 0..(end + 80) * 8 {
        let mut bytes = bytes[..end + 700].to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let disk = Disk::with("journal", bytes);
        let (journal, opened) = open(&disk);
        if opened.trust == Trust::Kept {
            assert_eq!(held(&journal), *state, "bit {bit}");
            assert!(bit / 8 >= *end, "bit {bit}");
        } else {
            assert!(is_distrusted(&journal), "bit {bit}");
        }
        // And over the next restart: of some of them, because it takes long to write so many files anew.
        if bit % 7 > 0 {
            continue;
        }
        let distrusted = opened.trust;
        drop(journal);
        let (journal, opened) = open(&disk);
        assert_eq!(opened.trust, Trust::Kept, "damage is found once: bit {bit}");
        assert_eq!(distrusted == Trust::Lost, journal.state.read().records.distrusted() > 0, "bit {bit}");
    }
}

#[test]
fn noise_is_no_reason_to_panic() {
    let (bytes, states) = small();
    let end = states.last().unwrap().0;
    let mut rng = Rng(3);
    for _ in 0..2_000 {
        let mut bytes = bytes[..end + 1024].to_vec();
        let (from, length) = (rng.below(end as u64) as usize, rng.below(80) as usize);
        for byte in &mut bytes[from..from + length] {
            *byte = rng.draw() as u8;
        }
        let (journal, _) = open(&Disk::with("journal", bytes));
        assert!(journal.invalidate(&[one(Mode::Soft, tag("d"))], now()).unwrap().durable);
    }
}

#[test]
fn a_bad_frame_in_the_middle_costs_trust_but_not_what_comes_after_it() {
    let (mut bytes, states) = small();
    let (first, second) = (states[0].0, states[1].0);
    bytes[usize::midpoint(first, second)] ^= 0x55;
    let (journal, opened) = open(&Disk::with("journal", bytes));
    assert_eq!((opened.bad_frames, opened.trust, opened.found), (1, Trust::Lost, Found::Restored));
    assert!(is_distrusted(&journal));
    assert_eq!(judge(&journal, "/q", &["c"], 1), Validity::Hard);
    assert_eq!(journal.noted("n").as_deref(), Some(&b"value"[..]));
}

#[test]
fn a_journal_that_cannot_be_read_gets_another_name_and_nothing_is_trusted() {
    let (bytes, _) = small();
    let newer = [&b"LARDERJ\x02"[..], &bytes[8..]].concat();
    for (n, unreadable) in [newer, b"something else".to_vec(), Vec::new()].into_iter().enumerate() {
        let disk = Disk::with("journal", unreadable.clone());
        let (journal, opened) = open(&disk);
        let kept_as = "journal.bad-1".into();
        assert_eq!((opened.found, opened.trust, opened.seed), (Found::Unreadable { kept_as }, Trust::Lost, SEED));
        assert!(is_distrusted(&journal), "{n}");
        assert_eq!(disk.bytes("journal.bad-1"), unreadable);
        assert!(journal.invalidate(&[one(Mode::Soft, tag("d"))], now()).unwrap().durable);
        drop(journal);
        let epoch = open(&disk).0.epoch();
        assert!(epoch > 1 << 40, "beyond all that the lost one may have counted: {epoch}");
    }
}

#[test]
fn every_unreadable_journal_has_a_name_of_its_own() {
    let disk = Disk::with("journal", b"first".to_vec());
    drop(open(&disk));
    let name = Path::new("journal");
    disk.remove(name).unwrap();
    disk.create(name).unwrap().write_at(b"second", 0).unwrap();
    drop(open(&disk));
    assert_eq!(disk.list_all(), ["journal", "journal.bad-1", "journal.bad-2"]);
    assert_eq!((disk.bytes("journal.bad-1"), disk.bytes("journal.bad-2")), (b"first".to_vec(), b"second".to_vec()));
}

#[test]
fn a_store_whose_journal_is_missing_is_not_trusted_if_the_caller_says_so() {
    let disk = Disk::default();
    let options = Options { trust: Trust::Lost, least: 1 << 60, ..OPTIONS };
    let (journal, opened) = open_with(&disk, &options).unwrap();
    assert_eq!((opened.found, opened.trust), (Found::Nothing, Trust::Lost));
    assert!(is_distrusted(&journal));
    assert_eq!(judge(&journal, "/q", &[], 1 << 60), Validity::Doubt);
}
