//! The house itself: who may know whom, how large a room may grow, who may look at the clock, and that every metric is documented.

use std::fs;
use std::path::{Path, PathBuf};

fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = fs::read_to_string(&path).expect("a source file");
                found.push((path, text));
            }
        }
    }
    assert!(!found.is_empty(), "nothing under {folder}");
    found
}

fn forbid(folder: &str, words: &[&str], why: &str) {
    for (path, text) in sources(folder) {
        for (number, line) in text.lines().enumerate().filter(|(_, l)| !l.trim_start().starts_with("//")) {
            for word in words {
                assert!(!line.contains(word), "{}:{}: `{word}`: {why}", path.display(), number + 1);
            }
        }
    }
}

#[test]
fn imports_go_down_only() {
    let semantics = ["tokio", "tracing", "serde", "parking_lot", "async ", "Mutex", "std::fs", "std::net", "std::io"];
    forbid("src/semantics/src", &semantics, "semantics decides, and does nothing else");
    forbid(
        "src/engine/src",
        &["pingora", "std::net", "tokio::net", "serde", "clap"],
        "the engine knows no sockets and no files",
    );
    forbid(
        "src/origin",
        &["crate::proxy", "crate::admin", "crate::config", "crate::cli"],
        "an origin is asked, and does not ask why",
    );
    forbid(
        "src/proxy",
        &["crate::admin", "crate::config", "crate::cli", "crate::app"],
        "a face does not know who made it",
    );
    forbid("src/admin", &["crate::config", "crate::cli", "crate::app"], "a face does not know who made it");
    forbid(
        "src/config",
        &["crate::admin", "crate::cli", "crate::app", "crate::service"],
        "a configuration starts nothing",
    );
}

#[test]
fn yaml_is_known_in_one_room() {
    for folder in ["src/proxy", "src/origin", "src/admin", "src/cli"] {
        forbid(folder, &["serde_saphyr", "schemars", "saphyr"], "only config/ knows YAML");
    }
}

#[test]
fn rooms_stay_small() {
    for (path, text) in sources("src") {
        let lines = text.lines().count();
        assert!(lines <= 400, "{} has {lines} lines: split it by meaning", path.display());
    }
}

#[test]
fn one_clock_tells_the_time() {
    for (path, text) in sources("src") {
        if path.ends_with("engine/src/clock.rs") || path.components().any(|c| c.as_os_str() == "tests") {
            continue;
        }
        for word in ["SystemTime::now(", "std::time::Instant::now("] {
            assert!(!text.contains(word), "{}: `{word}`: take `now` as a parameter, or ask the clock", path.display());
        }
    }
}

#[test]
fn every_metric_is_documented() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let names = fs::read_to_string(root.join("src/engine/src/metrics.rs")).expect("the metrics");
    let documented = fs::read_to_string(root.join("docs/metrics.md")).expect("docs/metrics.md");
    let names: Vec<&str> = names.split('"').filter(|word| word.starts_with("larder_")).collect();
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        assert!(documented.contains(&format!("`{name}")), "`{name}` is not in docs/metrics.md");
    }
}
