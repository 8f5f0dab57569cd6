use super::disk::Cut;
use super::*;

/// Small events, and enough of them that the log is written anew: sizes that no power cut tears in the middle.
fn story(seed: u64) -> Vec<Act> {
    let mut rng = Rng(seed);
    (0..12).map(|_| Act::random(&mut rng)).collect()
}

/// Everything that was on the disk is held.
fn holds(journal: &Journal, states: &[(Vec<u8>, bool)]) -> bool {
    let durable = states.iter().rposition(|(_, durable)| *durable).unwrap_or(0);
    let now = held(journal);
    states[durable..].iter().any(|(state, _)| *state == now)
}

const CUTS: u64 = 6;

fn cuts(seed: u64) -> impl Iterator<Item = Cut> {
    [Cut::Nothing, Cut::Everything].into_iter().chain((0..CUTS).map(move |n| Cut::Some(seed * CUTS + n)))
}

#[test]
fn what_is_acknowledged_survives_a_power_cut_at_any_moment() {
    for seed in 0..8 {
        let story = story(seed);
        for dies_at in 0.. {
            let disk = Disk::default();
            disk.inner().dies_at = Some(dies_at);
            let (journal, _) = open(&disk);
            let mut states = vec![(held(&journal), !journal.is_behind())];
            for act in &story {
                let durable = act.act(&journal);
                states.push((held(&journal), durable));
            }
            let done = disk.inner().operations <= dies_at;
            for cut in cuts(seed * 1_000 + dies_at) {
                let after = disk.cut(cut);
                let (journal, opened) = open(&after);
                assert_eq!(opened.trust, Trust::Kept, "{seed}, {dies_at}, {cut:?}");
                assert!(holds(&journal, &states), "{seed}, {dies_at}, {cut:?}");
                assert!(!journal.is_behind());
                assert_eq!(after.list_all(), ["journal"]);
            }
            if done {
                break;
            }
        }
    }
}

/// Long enough that the next event has the file replaced.
fn long(disk: &Disk) -> Waited {
    let (journal, _) = open(disk);
    while disk.bytes("journal").len() < (1 << 20) + (70 << 10) {
        assert!(journal.note("n", &vec![7; 60_000]).unwrap());
    }
    journal
}

#[test]
fn while_the_file_is_replaced_the_old_one_or_the_new_one_is_there() {
    let whole = Disk::default();
    let (journal, mut before) = (long(&whole), whole.inner().operations);
    assert!(journal.note("m", b"").unwrap());
    let steps = whole.inner().operations - before;
    assert!(steps > 4, "it was replaced: {steps}");
    for step in 0..=steps {
        let disk = Disk::default();
        let journal = long(&disk);
        before = disk.inner().operations;
        let mut states = vec![(held(&journal), true)];
        disk.inner().dies_at = Some(before + step);
        let durable = journal.invalidate(&[one(Mode::Hard, tag("t"))], now()).unwrap().durable;
        assert_eq!(durable, step >= steps, "{step}");
        states.push((held(&journal), durable));
        for cut in cuts(step) {
            let (journal, opened) = open(&disk.cut(cut));
            assert_eq!(opened.trust, Trust::Kept, "{step}, {cut:?}");
            assert!(holds(&journal, &states), "{step}, {cut:?}");
        }
        // The disk works again: so does the journal.
        disk.inner().dies_at = None;
        journal.retry().unwrap();
        let (journal, _) = open(&disk.cut(Cut::Nothing));
        assert_eq!(held(&journal), states[1].0);
    }
}

/// What was fetched after an invalidation that did not reach the disk is not newer than the next one.
#[test]
fn epochs_that_did_not_reach_the_disk_are_not_used_again() {
    let mut disk = Disk::default();
    let mut newest = 0;
    for _ in 0..5 {
        let (journal, _) = open(&disk);
        let operations = disk.inner().operations;
        disk.inner().dies_at = Some(operations);
        let recorded = journal.invalidate(&[one(Mode::Soft, tag("t"))], now()).unwrap();
        assert!(!recorded.durable);
        assert!(recorded.epoch > newest);
        newest = recorded.epoch;
        disk = disk.cut(Cut::Nothing);
    }
}

#[test]
fn what_many_write_at_once_is_there_over_files_that_are_replaced() {
    let disk = Disk::default();
    let journal = Arc::new(open(&disk).0);
    let began = journal.epoch();
    let writers: Vec<_> = (0..4)
        .map(|writer: u8| {
            let journal = journal.clone();
            std::thread::spawn(move || {
                for n in 0..50 {
                    let order = one(Mode::Hard, tag(&format!("{writer}-{n}")));
                    assert!(journal.invalidate(&[order], now()).unwrap().durable);
                    assert!(journal.note("n", &vec![writer; 30_000]).unwrap());
                }
            })
        })
        .collect();
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    let (restored, opened) = open(&disk.cut(Cut::Nothing));
    assert_eq!((held(&restored), opened.trust), (held(&journal), Trust::Kept));
    assert_eq!(journal.epoch(), began + 200);
}
