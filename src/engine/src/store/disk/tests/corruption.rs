//! Files that somebody damaged, lengthened, swapped or wrote himself: each is a miss, counted, and removed.

use super::faulty::Faulty;
use super::pages::{Key, Stored, bytes, compare, keys, version_of};
use super::rng::Rng;
use super::{Files, HELD, Life, PLENTY, crashes, runtime};
use crate::store::disk::format::{BLOCK, PREAMBLE, SUM};
use crate::store::disk::names::{Place, dir_of};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::runtime::Runtime;
use xxhash_rust::xxh3::xxh3_64;

/// A store with a page of each kind, which are damaged one after the other.
struct Victims {
    files: Faulty,
    life: Life,
    pages: Vec<Page>,
    runtime: Runtime,
}

struct Page {
    key: Key,
    stored: Stored,
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Victims {
    fn new() -> Victims {
        let files = Faulty::new();
        let mut life = Life::begin(Arc::new(files.clone()), PLENTY);
        let chance = &mut Rng(1);
        let lengths = [300, 0, BLOCK + 300, HELD + 2 * BLOCK, 700, 1, 0];
        let mut all = keys();
        // The last ones are a variant and what leads to it.
        let last = all.split_off(all.len() - 2);
        all.truncate(lengths.len() - 2);
        all.extend(last);
        let mut pages = Vec::new();
        for (number, (key, length)) in (1..).zip(all.into_iter().zip(lengths)) {
            let stored = version_of(&key, number, bytes(length, chance), chance);
            life.put(stored.slot.clone());
            let dir = dir_of(super::SEED, &key.bytes, key.variant).unwrap();
            pages.push(Page { path: Place { dir, hash: key.hash() }.path(), key, stored, bytes: Vec::new() });
        }
        assert!(life.settle());
        for page in &mut pages {
            page.bytes = files.read_at_once(&page.path, usize::MAX).unwrap();
        }
        Victims { files, life, pages, runtime: runtime() }
    }

    fn write(&self, path: &Path, bytes: &[u8]) {
        let _ = self.files.remove(path);
        self.files.create(path).unwrap().write_at(bytes, 0).unwrap();
    }

    /// Whether a page can still be had, all of it. Anything else must be a miss.
    fn is_served(&self, page: usize) -> bool {
        let Page { key, stored, .. } = &self.pages[page];
        let Some(found) = self.life.find(key, &self.runtime) else { return false };
        match compare(&self.life, &found, stored, &self.runtime) {
            Ok(()) => true,
            Err(error) => {
                assert!(!error.contains("another"), "page {page}: {error}");
                false
            }
        }
    }

    /// With this in its place a page is a miss, which is counted by that name; says whether the file is still there.
    fn is_missed(&mut self, page: usize, bytes: &[u8], name: &str) -> bool {
        let path = self.pages[page].path.clone();
        self.write(&path, bytes);
        let before = self.life.errors(name);
        assert!(!self.is_served(page), "page {page}, {name}");
        assert_eq!(self.life.errors(name), before + 1, "page {page}: {:?}", self.life.disk.usage().errors);
        assert!(self.life.settle());
        let there = self.files.stat(&path).is_ok();
        self.write(&path, &self.pages[page].bytes);
        there
    }
}

#[test]
fn no_flipped_bit_is_served() {
    let mut victims = Victims::new();
    let chance = &mut Rng(2);
    for _ in 0..crashes() {
        let page = chance.index(victims.pages.len());
        let mut bytes = victims.pages[page].bytes.clone();
        // Half of them in the heads, which are small.
        let among = if chance.chance(50) { bytes.len().min(500) } else { bytes.len() };
        let at = chance.index(among);
        bytes[at] ^= 1 << chance.below(8);
        let name = if at < 8 { "foreign" } else { "damaged" };
        assert!(!victims.is_missed(page, &bytes, name), "it stays, flipped at {at}");
        assert!(chance.chance(90) || victims.is_served(page));
    }
}

#[test]
fn nothing_that_was_cut_off_or_lengthened_is_served() {
    let mut victims = Victims::new();
    for length in 0..victims.pages[0].bytes.len() {
        let bytes = victims.pages[0].bytes[..length].to_vec();
        assert!(!victims.is_missed(0, &bytes, "damaged"), "cut off at {length}");
    }
    for page in 0..victims.pages.len() {
        let whole = victims.pages[page].bytes.clone();
        for more in [1, SUM, BLOCK, BLOCK + SUM] {
            let longer = [&whole[..], &vec![0; more]].concat();
            assert!(!victims.is_missed(page, &longer, "damaged"));
            let shorter = &whole[..whole.len().saturating_sub(more)];
            assert!(!victims.is_missed(page, shorter, "damaged"));
        }
    }
}

#[test]
fn a_file_in_the_place_of_another_is_not_served() {
    let mut victims = Victims::new();
    for page in 0..victims.pages.len() {
        for other in (0..victims.pages.len()).filter(|other| *other != page) {
            let bytes = victims.pages[other].bytes.clone();
            assert!(!victims.is_missed(page, &bytes, "swapped"));
        }
    }
}

#[test]
fn blocks_in_the_place_of_others_are_not_served() {
    let mut victims = Victims::new();
    let (large, stride) = (3, BLOCK + SUM);
    let whole = victims.pages[large].bytes.clone();
    let from = whole.len() - (HELD + 2 * BLOCK) - SUM * (HELD + 2 * BLOCK).div_ceil(BLOCK);
    let mut bytes = whole.clone();
    bytes[from..from + 2 * stride].rotate_left(stride);
    assert!(!victims.is_missed(large, &bytes, "damaged"));
    // The first block of another body.
    let mut bytes = whole;
    let other = victims.pages[2].bytes.clone();
    let others = other.len() - (BLOCK + 300) - 2 * SUM;
    bytes[from..from + stride].copy_from_slice(&other[others..others + stride]);
    assert!(!victims.is_missed(large, &bytes, "damaged"));
}

#[test]
fn what_somebody_else_wrote_is_not_served() {
    let mut victims = Victims::new();
    let chance = &mut Rng(3);
    for page in 0..victims.pages.len() {
        let length = victims.pages[page].bytes.len();
        assert!(!victims.is_missed(page, &bytes(length, chance), "foreign"));
        assert!(!victims.is_missed(page, &vec![0; length], "foreign"));
    }
}

#[test]
fn what_a_later_version_wrote_is_not_served_and_stays() {
    let mut victims = Victims::new();
    for page in 0..victims.pages.len() {
        let mut bytes = victims.pages[page].bytes.clone();
        bytes[8] += 1;
        assert!(!victims.is_missed(page, &bytes, "damaged"), "its checksum is of another version");
        let sum = xxh3_64(&bytes[..PREAMBLE - SUM]);
        bytes[PREAMBLE - SUM..PREAMBLE].copy_from_slice(&sum.to_le_bytes());
        assert!(victims.is_missed(page, &bytes, "newer-format"), "it is gone");
    }
}

#[test]
fn a_directory_in_the_place_of_a_file_is_a_miss() {
    let victims = Victims::new();
    for (page, number) in (0..victims.pages.len()).zip(1..) {
        let path = &victims.pages[page].path;
        victims.files.remove(path).unwrap();
        victims.files.make_dir(path).unwrap();
        assert!(!victims.is_served(page));
        assert_eq!(victims.life.errors("not-a-file"), number);
    }
}

#[test]
fn a_directory_in_the_place_of_a_file_does_not_keep_the_page_from_being_removed() {
    let mut victims = Victims::new();
    for page in 0..victims.pages.len() {
        let Page { key, path, .. } = &victims.pages[page];
        victims.files.remove(path).unwrap();
        victims.files.make_dir(path).unwrap();
        drop(victims.files.create(&path.join("something")).unwrap());
        victims.life.disk.remove(key.hash(), &key.bytes, key.variant);
        assert!(victims.life.settle(), "its removal is tried for ever");
        assert_eq!(victims.life.errors("remove"), 0);
    }
}
