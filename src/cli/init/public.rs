//! The files in an app's `public` folder: Next.js serves them before any page, so a page's route must not take them.

use super::path::Path;
use std::path::Path as File;

/// Files that are looked at.
const MOST: usize = 10_000;
/// Folders in folders.
const DEEPEST: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Files {
    /// Sorted.
    pub(super) paths: Vec<Path>,
    pub(super) more: bool,
}

/// None where there is no such folder, or it cannot be read.
pub(super) fn files(public: &File) -> Files {
    let mut files = Files::default();
    walk(public, "", 0, &mut files);
    files.paths.sort();
    files
}

fn walk(folder: &File, path: &str, depth: usize, files: &mut Files) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if files.paths.len() >= MOST || depth >= DEEPEST {
            files.more = true;
            return;
        }
        let path = format!("{path}/{}", entry.file_name().to_string_lossy());
        // A link is taken for a file: it may lead round in a circle.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(&entry.path(), &path, depth + 1, files);
        } else {
            files.paths.push(Path::of_file(&path));
        }
    }
}
