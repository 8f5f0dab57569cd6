//! What the model promises, whatever was done to it.

use crate::support::Rng;
use crate::support::faulty::Faulty;
use engine::store::disk::Files;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const DIRS: [&str; 4] = ["", "d", "e", "e/f"];

/// All files, by their names.
fn all(files: &Faulty) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut dirs = vec![PathBuf::new()];
    while let Some(dir) = dirs.pop() {
        let mut each = |name: &std::ffi::OsStr| {
            let name = dir.join(name);
            match files.read_at_once(&name, usize::MAX) {
                Ok(bytes) => drop(found.insert(name, bytes)),
                Err(_) => dirs.push(name),
            }
        };
        let mut names = Vec::new();
        files.list(&dir, &mut |name| names.push(name.to_owned())).unwrap();
        names.iter().for_each(|name| each(name));
    }
    found
}

/// Renames some file to where nothing is; or makes, removes or syncs a directory.
fn shuffle(files: &Faulty, chance: &mut Rng) {
    let dir = Path::new(DIRS[chance.index(DIRS.len())]);
    match chance.below(8) {
        0 => drop(files.make_dir(dir)),
        1 => drop(files.remove(dir)),
        2 => drop(files.sync_dir(dir)),
        _ => {
            let names: Vec<PathBuf> = all(files).into_keys().collect();
            let to = dir.join(format!("{}", chance.below(5)));
            if !names.contains(&to) {
                drop(files.rename(&names[chance.index(names.len())], &to));
            }
        }
    }
}

#[test]
fn no_renames_lose_a_file() {
    for seed in 0..100 {
        let chance = &mut Rng(seed);
        let files = Faulty::new();
        for name in ["0", "1", "2"] {
            files.create(Path::new(name)).unwrap().write_at(name.as_bytes(), 0).unwrap();
        }
        files.sync_all().unwrap();
        for _ in 0..40 {
            shuffle(&files, chance);
            let crashed = files.crash(chance);
            let found = all(&crashed);
            for contents in ["0", "1", "2"] {
                assert!(found.values().any(|bytes| bytes == contents.as_bytes()), "seed {seed}: {found:?}");
            }
        }
    }
}

#[test]
fn nothing_is_lost_that_was_synced_all() {
    for seed in 0..100 {
        let chance = &mut Rng(seed);
        let files = Faulty::new();
        files.create(Path::new("0")).unwrap();
        for _ in 0..20 {
            shuffle(&files, chance);
            if let Some(name) = all(&files).keys().next() {
                let file = files.open_to_write(name).unwrap();
                file.write_at(&vec![1; chance.index(2000)], chance.below(2000)).unwrap();
                file.set_len(chance.below(3000)).unwrap();
            }
            drop(files.create(&Path::new(DIRS[chance.index(DIRS.len())]).join("new")));
        }
        files.sync_all().unwrap();
        for _ in 0..20 {
            assert_eq!(all(&files.crash(chance)), all(&files), "seed {seed}");
        }
    }
}
