//! Where responses are kept, and whose.

use super::{assert_one_fault, with};
use std::path::Path;
use std::time::Duration;

#[test]
fn a_disk_store_needs_its_path_alone() {
    let disk = with("store: { disk: { path: /var/lib/larder } }\n").disk.unwrap();
    assert_eq!(disk.path, Path::new("/var/lib/larder"));
    assert_eq!((disk.max_size, disk.max_object), (20 << 30, 64 << 20));
    assert_eq!((disk.sync, disk.min_free), (Duration::from_secs(1), 50));
    assert!(with("").disk.is_none());
}

#[test]
fn a_disk_store_is_as_it_is_written() {
    let all = "store:\n  memory: { max_size: 1GiB }\n  disk: { path: d, max_size: 2TiB, max_object: 1GiB, sync: 250ms, min_free: 0% }\n";
    let disk = with(all).disk.unwrap();
    assert_eq!((disk.max_size, disk.max_object), (2 << 40, 1 << 30));
    assert_eq!((disk.sync, disk.min_free), (Duration::from_millis(250), 0));
}

#[test]
fn a_disk_store_that_cannot_be_is_refused_where_that_is_written() {
    for (key, place, words) in [
        ("path: ''", "3:24", "is empty (for example `/var/lib/larder`)"),
        ("path: d, max_size: 512KiB, max_object: 1KiB", "3:37", "must be at least 1MiB"),
        ("path: d, max_size: 2MiB", "3:37", "does not fit: `max_object` (64MiB) is larger than `max_size` (2MiB)"),
        ("path: d, sync: 0s", "3:33", "must be between 10ms and 60s"),
        ("path: d, sync: 5m", "3:33", "must be between 10ms and 60s"),
        ("path: d, min_free: 95%", "3:37", "leaves hardly anything to store in"),
        ("max_size: 1GiB", "3:16", "path"),
    ] {
        assert_one_fault(&format!("store: {{ disk: {{ {key} }} }}\n"), place, words);
    }
}

#[test]
fn versions_are_kept_on_a_disk_alone() {
    let routes = "routes:\n  - { match: /a, revalidate: 60s, history: 3 }\n";
    assert_one_fault(routes, "4:44", "there is no `store.disk`");
    assert_one_fault("defaults: { history: 2 }\n", "3:22", "there is no `store.disk`");
    let config = with(&format!("store: {{ disk: {{ path: d }} }}\n{routes}"));
    assert_eq!(config.routes[0].policy.history, 3);
}

#[test]
fn a_deployment_has_an_id_and_says_how_many_are_kept() {
    let deployment = with("deployment: { id: v7, keep: 2, bridge: true }\n").deployment;
    assert_eq!((deployment.id.as_str(), deployment.keep, deployment.bridge), ("v7", 2, true));
    let deployment = with("").deployment;
    assert_eq!((deployment.id.as_str(), deployment.keep, deployment.bridge), ("default", 5, false));
    for (lines, place, words) in [
        ("deployment: { id: '' }", "3:19", "must be 1 to 128 characters"),
        ("deployment: { id: \"a\\nb\" }", "3:19", "without control characters"),
        ("deployment: { keep: 0 }", "3:21", "must be a whole number from 1"),
    ] {
        assert_one_fault(&format!("{lines}\n"), place, words);
    }
}
