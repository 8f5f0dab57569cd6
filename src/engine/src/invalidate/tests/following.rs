use super::*;
use crate::invalidate::{Followed, Found, NotKept, Role, TagsRefused};
use crate::store::disk::Files;
use std::path::Path;

fn pair() -> (Disk, Waited, Waited) {
    let disk = Disk::default();
    let (holder, _) = open(&disk);
    let (follower, opened) = open(&disk);
    assert_eq!((opened.role, opened.seed, opened.found), (Role::Follower, SEED, Found::Restored));
    (disk, holder, follower)
}

#[test]
fn a_follower_sees_what_the_holder_writes() {
    let (_disk, holder, follower) = pair();
    let mut rng = Rng(4);
    assert_eq!(follower.follow().unwrap(), Followed::default());
    for _ in 0..300 {
        for _ in 0..1 + rng.below(3) {
            assert!(Act::random(&mut rng).act(&holder));
        }
        assert_eq!(follower.follow().unwrap().bad_frames, 0);
        assert_eq!((held(&follower), follower.epoch()), (held(&holder), holder.epoch()));
    }
}

#[test]
fn a_follower_sees_it_over_a_file_that_is_replaced() {
    let (disk, holder, follower) = pair();
    let before = disk.bytes("journal").len();
    let mut replaced = 0;
    let mut length = before;
    for n in 0..100_u8 {
        holder.note("n", &vec![n; 50_000]).unwrap();
        holder.invalidate(&[one(Mode::Soft, tag(&format!("{n}")))], now()).unwrap();
        replaced += u32::from(disk.bytes("journal").len() < length);
        length = disk.bytes("journal").len();
        if n % 7 == 0 {
            let followed = follower.follow().unwrap();
            assert_eq!(followed.notes, [("n".to_owned(), vec![n; 50_000])]);
            assert_eq!((held(&follower), follower.epoch()), (held(&holder), holder.epoch()));
        }
    }
    assert!(replaced > 2, "{replaced}");
}

#[test]
fn a_follower_hears_of_notes_that_changed_and_of_no_others() {
    let (_disk, holder, follower) = pair();
    holder.note("a", b"1").unwrap();
    holder.note("b", b"1").unwrap();
    let note = |name: &str, value: &[u8]| (name.to_owned(), value.to_vec());
    assert_eq!(follower.follow().unwrap().notes, [note("a", b"1"), note("b", b"1")]);
    holder.note("a", b"1").unwrap();
    holder.note("b", b"2").unwrap();
    assert_eq!(follower.follow().unwrap().notes, [note("b", b"2")]);
    assert_eq!(follower.noted("b").as_deref(), Some(&b"2"[..]));
    assert!(follower.follow().unwrap().notes.is_empty());
}

#[test]
fn a_follower_writes_nothing() {
    let (disk, holder, follower) = pair();
    let (before, operations) = (held(&follower), disk.inner().operations);
    let why = "another process holds the journal of this directory, and alone may write to it";
    let refused = NotKept(why.to_owned());
    let epoch = follower.epoch();
    assert_eq!(follower.invalidate(&[one(Mode::Hard, tag("a"))], now()), Err(refused.clone()));
    assert_eq!(follower.note("n", b""), Err(refused));
    assert_eq!(follower.add_tags(None, "/p", &["a".to_owned()]), Err(TagsRefused::HeldElsewhere));
    follower.swept(follower.epoch());
    follower.retry().unwrap();
    assert_eq!((held(&follower), follower.epoch(), disk.inner().operations), (before, epoch, operations));
    assert_eq!((holder.role(), follower.role(), follower.is_behind()), (Role::Holder, Role::Follower, false));
    assert_eq!(holder.follow().unwrap(), Followed::default());
}

#[test]
fn a_follower_takes_over_when_the_holder_is_gone() {
    let (disk, holder, follower) = pair();
    assert_eq!(follower.take_over(now()).unwrap(), None);
    holder.invalidate(&[one(Mode::Hard, tag("a"))], now()).unwrap();
    holder.note("n", b"v").unwrap();
    let (before, epoch) = (held(&holder), holder.epoch());
    drop(holder);
    let (opened, followed) = follower.take_over(now()).unwrap().unwrap();
    assert_eq!((opened.role, opened.seed, opened.found), (Role::Holder, SEED, Found::Restored));
    assert_eq!(followed.notes, [("n".to_owned(), b"v".to_vec())]);
    assert_eq!((held(&follower), follower.role()), (before, Role::Holder));
    assert!(follower.epoch() > epoch);
    assert!(follower.invalidate(&[one(Mode::Hard, tag("b"))], now()).unwrap().durable);
    let (third, opened) = open(&disk);
    assert_eq!((opened.role, held(&third)), (Role::Follower, held(&follower)));
    assert_eq!(follower.take_over(now()).unwrap(), None, "it holds it already");
}

#[test]
fn who_takes_over_a_journal_that_is_gone_trusts_nothing() {
    let (disk, holder, follower) = pair();
    holder.invalidate(&[one(Mode::Hard, tag("a"))], now()).unwrap();
    drop(holder);
    disk.remove(Path::new("journal")).unwrap();
    assert_eq!(follower.follow().unwrap().bad_frames, 0, "the file that is open can still be read");
    let (opened, _) = follower.take_over(now()).unwrap().unwrap();
    assert_eq!((opened.seed, opened.trust), (SEED, Trust::Lost));
    assert_eq!(judge(&follower, "/p", &[], 2), Validity::Doubt);
}

#[test]
fn a_follower_of_a_damaged_journal_trusts_nothing_until_the_next_epoch() {
    let (disk, holder, follower) = pair();
    let from = disk.bytes("journal").iter().rposition(|byte| *byte != 0).unwrap() as u64 + 40;
    holder.note("n", b"a value that is to be lost").unwrap();
    holder.note("m", b"").unwrap();
    disk.open_to_write(Path::new("journal")).unwrap().write_at(b"?", from).unwrap();
    let followed = follower.follow().unwrap();
    assert_eq!((followed.bad_frames, followed.notes), (1, vec![("m".to_owned(), Vec::new())]));
    assert_eq!(judge(&follower, "/p", &[], follower.epoch()), Validity::Doubt);
    holder.invalidate(&[one(Mode::Soft, tag("a"))], now()).unwrap();
    assert_eq!(follower.follow().unwrap().bad_frames, 0);
    assert_eq!(judge(&follower, "/p", &[], follower.epoch()), Validity::Valid);
}

#[test]
fn a_follower_needs_a_journal_that_can_be_read() {
    let disk = Disk::default();
    let _lock = disk.lock(Path::new("lock")).unwrap().unwrap();
    let error = open_with(&disk, &OPTIONS).err().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    disk.create(Path::new("journal")).unwrap();
    let error = open_with(&disk, &OPTIONS).err().unwrap();
    assert_eq!(error.to_string(), "the journal cannot be read: it is too short");
}

#[test]
fn another_stores_journal_is_not_followed() {
    let (disk, holder, follower) = pair();
    drop(holder);
    disk.remove(Path::new("journal")).unwrap();
    let options = Options { seed: SEED + 1, ..OPTIONS };
    let (other, _) = open_with(&disk, &options).unwrap();
    other.invalidate(&[one(Mode::Hard, tag("a"))], now()).unwrap();
    let before = held(&follower);
    assert_eq!(follower.follow().unwrap_err().kind(), io::ErrorKind::InvalidData);
    drop(other);
    assert_eq!(follower.take_over(now()).unwrap_err().kind(), io::ErrorKind::InvalidData);
    assert_eq!((held(&follower), follower.role()), (before, Role::Follower));
}
