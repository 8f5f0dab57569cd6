//! What the model keeps, and what it loses.

use crate::support::Rng;
use crate::support::faulty::{EIO, ENOSPC, Faulty, Kind, Sabotage};
use engine::store::disk::Files;
use std::collections::BTreeSet;
use std::io;
use std::path::Path;

/// How often the power goes in each test.
const CRASHES: u64 = 2000;

fn p(name: &str) -> &Path {
    Path::new(name)
}

fn write(files: &Faulty, name: &str, bytes: &[u8]) {
    files.create(p(name)).unwrap().write_at(bytes, 0).unwrap();
}

fn sync(files: &Faulty, name: &str) {
    files.open(p(name)).unwrap().sync().unwrap();
}

fn read(files: &Faulty, name: &str) -> Option<Vec<u8>> {
    files.read_at_once(p(name), usize::MAX).ok()
}

/// Another file, whole and synced.
fn durable(files: &Faulty, name: &str, bytes: &[u8]) {
    write(files, name, bytes);
    files.sync_all().unwrap();
}

fn crashes(files: &Faulty) -> impl Iterator<Item = Faulty> {
    (0..CRASHES).map(|seed| files.crash(&mut Rng(seed)))
}

/// All that one file may be found as.
fn found(files: &Faulty, name: &str) -> BTreeSet<Option<Vec<u8>>> {
    crashes(files).map(|files| read(&files, name)).collect()
}

fn only(bytes: &[u8]) -> BTreeSet<Option<Vec<u8>>> {
    BTreeSet::from([Some(bytes.to_vec())])
}

#[test]
fn what_was_synced_survives() {
    let files = Faulty::new();
    files.make_dir(p("d")).unwrap();
    write(&files, "d/a", &[1; 2000]);
    sync(&files, "d/a");
    files.sync_dir(p("d")).unwrap();
    files.sync_dir(p(".")).unwrap();
    assert_eq!(found(&files, "d/a"), only(&[1; 2000]));
    // And what is found once is found again.
    let after = files.crash(&mut Rng(1));
    write(&files, "d/b", b"b");
    assert_eq!(found(&after, "d/a"), only(&[1; 2000]));
}

#[test]
fn a_file_needs_its_contents_its_name_and_its_directories_name() {
    for missing in ["contents", "name", "directory"] {
        let files = Faulty::new();
        files.make_dir(p("d")).unwrap();
        write(&files, "d/a", b"a");
        let sync_unless = |part, sync: &dyn Fn()| {
            if part != missing {
                sync();
            }
        };
        sync_unless("contents", &|| sync(&files, "d/a"));
        sync_unless("name", &|| files.sync_dir(p("d")).unwrap());
        sync_unless("directory", &|| files.sync_dir(p("")).unwrap());
        let found = found(&files, "d/a");
        assert!(found.contains(&Some(b"a".to_vec())), "{missing}");
        let lost = if missing == "contents" { Some(vec![]) } else { None };
        assert!(found.contains(&lost), "{missing}");
        assert_eq!(found.contains(&None), missing != "contents", "{missing}");
    }
}

#[test]
fn writes_are_torn_and_overtake_each_other() {
    let files = Faulty::new();
    durable(&files, "a", &[0; 2048]);
    let file = files.open_to_write(p("a")).unwrap();
    file.write_at(&[1; 1024], 0).unwrap();
    file.write_at(&[2; 512], 1024).unwrap();
    let found = found(&files, "a");
    let sectors = |of: [u8; 4]| Some(of.iter().flat_map(|&byte| [byte; 512]).collect::<Vec<u8>>());
    for (what, state) in [
        ("all", [1, 1, 2, 0]),
        ("nothing", [0, 0, 0, 0]),
        ("the first", [1, 1, 0, 0]),
        ("the second", [0, 0, 2, 0]),
        ("a torn one", [1, 0, 0, 0]),
        ("another torn one", [0, 1, 2, 0]),
    ] {
        assert!(found.contains(&sectors(state)), "{what}");
    }
    assert_eq!(found.len(), 8, "no half sectors");
}

#[test]
fn a_file_may_grow_before_what_it_grew_by_is_there() {
    let files = Faulty::new();
    durable(&files, "secret", &[9; 512]);
    durable(&files, "a", b"old");
    files.open_to_write(p("a")).unwrap().write_at(&[1; 1024], 3).unwrap();
    let found = found(&files, "a");
    let state = |first: u8, rest: u8| Some([b"old".to_vec(), vec![first; 509], vec![rest; 515]].concat());
    for (what, expected) in [("nothing", Some(b"old".to_vec())), ("all", state(1, 1)), ("zeros", state(0, 0))] {
        assert!(found.contains(&expected), "{what}");
    }
    assert!(found.iter().flatten().any(|bytes| bytes.contains(&9)), "garbage");
    assert!(found.iter().flatten().all(|bytes| bytes.starts_with(b"old")));
}

#[test]
fn a_shorter_file_may_be_the_old_one() {
    let files = Faulty::new();
    durable(&files, "a", b"0123456789");
    files.open_to_write(p("a")).unwrap().set_len(3).unwrap();
    let found = found(&files, "a");
    assert!(found.contains(&Some(b"012".to_vec())) && found.contains(&Some(b"0123456789".to_vec())));
}

#[test]
fn a_rename_before_the_sync_shows_less_than_the_file() {
    let files = Faulty::new();
    durable(&files, "a", b"old");
    write(&files, "new", &[1; 1500]);
    files.rename(p("new"), p("a")).unwrap();
    files.sync_dir(p("")).unwrap();
    let unsynced = found(&files, "a");
    assert!(unsynced.contains(&Some(vec![])), "empty");
    assert!(unsynced.contains(&Some([vec![1; 512], vec![0; 988]].concat())), "torn");
    assert!(!unsynced.contains(&None) && !unsynced.contains(&Some(b"old".to_vec())), "its name is durable");
}

#[test]
fn a_rename_after_the_sync_shows_one_of_both() {
    for all in [false, true] {
        let files = Faulty::new();
        durable(&files, "a", b"old");
        write(&files, "new", &[1; 1500]);
        if all {
            files.sync_all().unwrap();
        } else {
            sync(&files, "new");
        }
        files.rename(p("new"), p("a")).unwrap();
        let both = BTreeSet::from([Some(b"old".to_vec()), Some(vec![1; 1500])]);
        assert_eq!(found(&files, "a"), both);
        files.sync_dir(p("")).unwrap();
        assert_eq!(found(&files, "a"), only(&[1; 1500]));
    }
}

/// Where a file is after it went from one directory to another.
fn moved(files: &Faulty) -> BTreeSet<(bool, bool)> {
    crashes(files).map(|files| (read(&files, "from/a").is_some(), read(&files, "to/a").is_some())).collect()
}

#[test]
fn a_rename_never_loses_a_file() {
    let files = Faulty::new();
    files.make_dir(p("from")).unwrap();
    durable(&files, "from/a", b"a");
    // Nor where the new directory is itself not yet on the disk, or the old one is gone already.
    files.make_dir(p("to")).unwrap();
    files.rename(p("from/a"), p("to/a")).unwrap();
    assert_eq!(moved(&files), BTreeSet::from([(true, true), (true, false), (false, true)]));
    files.remove(p("from")).unwrap();
    assert_eq!(moved(&files), BTreeSet::from([(true, true), (true, false), (false, true)]));
    let synced = files.kill();
    synced.sync_dir(p("")).unwrap();
    assert_eq!(moved(&synced), BTreeSet::from([(false, true)]));
    // There and back, and away for good.
    files.make_dir(p("from")).unwrap();
    files.rename(p("to/a"), p("from/a")).unwrap();
    assert!(!moved(&files).contains(&(false, false)));
    files.remove(p("from/a")).unwrap();
    assert!(moved(&files).contains(&(false, false)));
}

#[test]
fn a_sync_of_the_directory_that_a_file_left_is_one_of_the_other_too() {
    let files = Faulty::new();
    files.make_dir(p("from")).unwrap();
    durable(&files, "from/a", b"a");
    files.make_dir(p("to")).unwrap();
    files.rename(p("from/a"), p("to/a")).unwrap();
    files.sync_dir(p("from")).unwrap();
    assert_eq!(moved(&files), BTreeSet::from([(false, true)]));
}

#[test]
fn names_reach_the_disk_in_any_order() {
    let files = Faulty::new();
    write(&files, "a", b"");
    write(&files, "b", b"");
    files.link(p("a"), p("c")).unwrap();
    let names = |files: Faulty| ["a", "b", "c"].map(|name| read(&files, name).is_some());
    assert_eq!(crashes(&files).map(names).collect::<BTreeSet<_>>().len(), 8);
    files.sync_dir(p("")).unwrap();
    files.remove(p("a")).unwrap();
    let names: BTreeSet<_> = crashes(&files).map(names).collect();
    assert_eq!(names, BTreeSet::from([[true; 3], [false, true, true]]));
}

#[test]
fn a_killed_process_leaves_all_that_it_wrote_but_not_on_the_disk() {
    let files = Faulty::new();
    write(&files, "a", b"a");
    let lock = files.lock(p("lock")).unwrap();
    let killed = files.kill();
    assert_eq!(read(&killed, "a").unwrap(), b"a");
    assert!(killed.lock(p("lock")).unwrap().is_some(), "the dead hold no locks");
    assert!(found(&killed, "a").contains(&None));
    killed.sync_all().unwrap();
    assert_eq!(found(&killed, "a"), only(b"a"));
    assert!(found(&files, "a").contains(&None), "that is not this one's");
    drop(lock);
}

#[test]
fn one_has_the_lock() {
    let files = Faulty::new();
    let lock = files.lock(p("lock")).unwrap();
    assert!(lock.is_some());
    assert!(files.clone().lock(p("lock")).unwrap().is_none());
    drop(lock);
    assert!(files.lock(p("lock")).unwrap().is_some());
}

#[test]
fn operations_fail_when_they_are_told_to() {
    let files = Faulty::new();
    let file = files.create(p("a")).unwrap();
    files.fail_after(2, EIO);
    let outcomes: Vec<bool> = (0..5).map(|n| file.write_at(&[1; 1000], n * 1000).is_ok()).collect();
    assert_eq!(outcomes, [true, true, false, true, true]);
    files.fail_every(2, ENOSPC);
    let outcomes: Vec<_> = (0..4).map(|_| files.stat(p("a")).err().and_then(|error| error.raw_os_error())).collect();
    assert_eq!(outcomes, [None, Some(ENOSPC), None, Some(ENOSPC)]);
    files.fail_only(&[Kind::Sync]);
    assert!((0..4).all(|_| files.stat(p("a")).is_ok()));
    assert_eq!((0..4).filter(|_| file.sync().is_err()).count(), 2);
    files.heal();
    assert!((0..4).all(|_| file.sync().is_ok()));
    assert_eq!((files.count(Kind::Write), files.count(Kind::Sync), files.count(Kind::List)), (5, 8, 0));
}

#[test]
fn a_failed_write_leaves_some_of_it() {
    let lengths = (0..50).map(|before| {
        let files = Faulty::new();
        let file = files.create(p("a")).unwrap();
        (0..before).for_each(|_| drop(file.stat()));
        files.fail_after(0, EIO);
        file.write_at(&[1; 9], 0).unwrap_err();
        read(&files, "a").unwrap().len()
    });
    assert_eq!(lengths.collect::<BTreeSet<_>>().len(), 10);
}

#[test]
fn after_a_failed_sync_no_other_helps() {
    for all in [false, true] {
        let files = Faulty::new();
        durable(&files, "a", b"old");
        files.open_to_write(p("a")).unwrap().write_at(b"new", 0).unwrap();
        let again = || if all { files.sync_all() } else { files.open(p("a")).unwrap().sync() };
        files.fail_only(&[Kind::Sync, Kind::SyncAll]);
        files.fail_after(0, EIO);
        again().unwrap_err();
        again().unwrap();
        assert_eq!(read(&files, "a").unwrap(), b"new");
        assert!(found(&files, "a").contains(&Some(b"old".to_vec())));
    }
}

#[test]
fn a_full_disk_takes_what_fits_until_something_goes() {
    let files = Faulty::new();
    write(&files, "a", &[1; 1000]);
    files.no_space_after(1024);
    let file = files.create(p("b")).unwrap();
    let error = file.write_at(&[2; 2000], 0).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(read(&files, "b").unwrap(), [2; 1024]);
    let space = files.space().unwrap();
    assert_eq!((space.total, space.free), (2048, 0));
    assert!(files.create(p("c")).is_err());
    file.write_at(&[3; 1024], 0).unwrap();
    files.remove(p("a")).unwrap();
    assert_eq!(files.space().unwrap().free, 1024);
    file.write_at(&[2; 2000], 0).unwrap();
}

#[test]
fn a_sync_that_does_nothing_is_noticed() {
    for all in [false, true] {
        let files = Faulty::new();
        files.sabotage(Sabotage { ignore_sync: true, ..Sabotage::default() });
        write(&files, "a", b"a");
        if all {
            files.sync_all().unwrap();
        } else {
            sync(&files, "a");
        }
        files.sync_dir(p("")).unwrap();
        assert!(found(&files, "a").contains(&Some(vec![])));
    }
    let files = Faulty::new();
    files.sabotage(Sabotage { ignore_sync_dir: true, ..Sabotage::default() });
    write(&files, "a", b"a");
    sync(&files, "a");
    files.sync_dir(p("")).unwrap();
    assert!(found(&files, "a").contains(&None));
}

#[test]
fn what_was_done_can_be_done_again_up_to_any_operation() {
    let files = Faulty::new();
    durable(&files, "before", b"before");
    files.record();
    files.fail_only(&[Kind::Write]);
    files.fail_every(2, EIO);
    let file = files.create(p("a")).unwrap();
    file.write_at(b"one", 0).unwrap();
    file.write_at(b"two", 0).unwrap_err();
    file.sync().unwrap();
    files.rename(p("a"), p("b")).unwrap();
    assert_eq!(files.operations(), 5, "what failed is one, as it left something");
    assert!(files.create(p("b")).is_err());
    assert_eq!(files.operations(), 5, "what did nothing is none");
    let seen: Vec<_> = files.states().map(|state| (read(&state, "a"), read(&state, "b"))).collect();
    assert_eq!(seen.len(), 6);
    assert_eq!(seen[0], (None, None));
    assert_eq!(seen[1], (Some(vec![]), None));
    assert_eq!(seen[2], (Some(b"one".to_vec()), None));
    assert_eq!(seen[5], (None, read(&files, "b")));
    assert!(files.states().all(|state| found(&state, "before") == only(b"before")));
    let length = read(&files, "b").unwrap().len();
    assert!(found(&files.replay(5), "a").iter().flatten().all(|bytes| bytes.len() == length), "it was synced");
    assert!(found(&files.replay(3), "a").contains(&Some(vec![])), "it was not yet");
}

#[test]
fn the_same_seed_brings_the_same_crash() {
    let files = Faulty::new();
    for n in 0..20 {
        write(&files, &format!("{n}"), &[n; 3000]);
    }
    let all = |files: &Faulty| (0..20).map(|n| read(files, &format!("{n}"))).collect::<Vec<_>>();
    let crash = |seed| all(&files.crash(&mut Rng(seed)));
    assert_eq!(crash(7), crash(7));
    assert_ne!(crash(7), crash(8));
}
