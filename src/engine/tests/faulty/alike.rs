//! The model does what the system does, as long as the power stays.

use crate::support::Rng;
use crate::support::faulty::Faulty;
use engine::store::disk::System;
use engine::store::disk::{File, Files};
use std::fmt::Debug;
use std::io;
use std::path::Path;

const NAMES: [&str; 10] = ["a", "b", "d", "d/a", "d/b", "e", "e/a", "e/f", "e/f/a", "../a"];

/// What can be compared of an outcome. The systems say in different words that something is not a file or a directory.
fn outcome<T: Debug>(result: io::Result<T>) -> String {
    use io::ErrorKind::{InvalidInput, IsADirectory, NotADirectory};
    match result {
        Ok(value) => format!("{value:?}"),
        Err(error) if matches!(error.kind(), InvalidInput | IsADirectory | NotADirectory) => "not that".to_owned(),
        Err(error) => error.kind().to_string(),
    }
}

fn contents(file: &dyn File) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 20_000];
    let length = file.read_at(&mut bytes, 0)?;
    bytes.truncate(length);
    Ok(bytes)
}

fn list(files: &dyn Files, dir: &str) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    files.list(Path::new(dir), &mut |name| names.push(name.to_str().unwrap().to_owned()))?;
    names.sort();
    Ok(names)
}

fn step(files: &dyn Files, chance: &mut Rng) -> String {
    let one = Path::new(NAMES[chance.index(NAMES.len())]);
    let other = Path::new(NAMES[chance.index(NAMES.len())]);
    let (offset, length) = (chance.below(4000), chance.below(3000));
    let byte = u8::try_from(chance.below(255)).unwrap() + 1;
    let is_dir = |name: &Path| files.list(name, &mut |_| ()).is_ok();
    match chance.below(13) {
        0 => outcome(files.create(one).map(drop)),
        1 => outcome(files.make_dir(one)),
        // The model renames no directories.
        2 | 3 if is_dir(one) => String::new(),
        // Nor does it say of a directory in the way that it is not empty.
        2 if one != other && one.starts_with(other) => String::new(),
        2 => outcome(files.rename(one, other)),
        3 => outcome(files.link(one, other)),
        4 => outcome(files.remove(one)),
        5 | 6 => {
            let bytes = vec![byte; usize::try_from(length).unwrap()];
            outcome(files.open_to_write(one).and_then(|file| file.write_at(&bytes, offset)))
        }
        7 => outcome(files.open_to_write(one).and_then(|file| file.set_len(length))),
        8 => outcome(files.open(one).and_then(|file| contents(&*file))),
        9 => outcome(files.open_to_write(one).and_then(|to| {
            let from = files.open(other)?;
            // What there is of it, and no file from itself.
            let length = length.min(from.stat()?.length.saturating_sub(offset));
            if from.stat()?.identity == to.stat()?.identity { Ok(()) } else { to.copy_from(&*from, offset, 7, length) }
        })),
        10 => outcome(files.open(one).and_then(|file| file.write_at(b"x", 0))),
        11 => outcome(files.sync_dir(one)),
        _ => outcome(files.stat(one).map(|stat| (stat.regular, stat.regular.then_some(stat.length)))),
    }
}

#[test]
fn the_model_does_what_the_system_does() {
    for seed in 0..20 {
        let dir = tempfile::TempDir::new().unwrap();
        let (system, model) = (System::open(dir.path()).unwrap(), Faulty::new());
        for n in 0..300 {
            let seed = seed * 1_000_000 + n;
            assert_eq!(step(&system, &mut Rng(seed)), step(&model, &mut Rng(seed)), "seed {seed}");
            let all = |files: &dyn Files| ["", "d", "e", "e/f"].map(|dir| outcome(list(files, dir)));
            assert_eq!(all(&system), all(&model), "seed {seed}");
        }
        for name in NAMES {
            let read = |files: &dyn Files| outcome(files.open(Path::new(name)).and_then(|file| contents(&*file)));
            assert_eq!(read(&system), read(&model), "seed {seed}, {name}");
        }
    }
}
