//! Where responses are kept, and whose.

use crate::config::fault::Fault;
use crate::config::raw::{ByteSize, Root};
use crate::config::tree::Spot;
use crate::config::{Deployment, Disk};
use std::path::PathBuf;
use std::time::Duration;

/// Fewer bytes hold no page worth the name.
const LEAST_DISK: ByteSize = ByteSize(1 << 20);
/// Longer ones are no promise, shorter ones no rest for the disk.
const SYNC_AT_MOST: Duration = Duration::from_secs(60);
const SYNC_AT_LEAST: Duration = Duration::from_millis(10);
/// The longest id of a deployment, in characters: it is part of every key.
const ID_AT_MOST: usize = 128;

pub(super) fn memory(root: &Root, file: &Spot<'_>, faults: &mut Vec<Fault>) -> engine::store::Settings {
    let memory = &root.store.memory;
    let spot = file.key("store").key("memory");
    fits(memory.max_object, memory.max_size, &spot, faults);
    engine::store::Settings { max_size: memory.max_size.in_memory(), max_object: memory.max_object.in_memory() }
}

fn fits(object: ByteSize, size: ByteSize, spot: &Spot<'_>, faults: &mut Vec<Fault>) {
    if object > size {
        let at = spot.key(if spot.has("max_object") { "max_object" } else { "max_size" });
        let message = format!("does not fit: `max_object` ({object}) is larger than `max_size` ({size})");
        faults.push(at.fault(message));
    }
}

pub(super) fn disk(root: &Root, file: &Spot<'_>, faults: &mut Vec<Fault>) -> Option<Disk> {
    let Some(disk) = &root.store.disk else {
        needs_disk(root, file, faults);
        return None;
    };
    let spot = file.key("store").key("disk");
    if disk.path.is_empty() {
        faults.push(spot.key("path").fault("is empty").remedy("for example `/var/lib/larder`"));
    }
    if disk.max_size < LEAST_DISK {
        faults.push(spot.key("max_size").fault(format!("must be at least {LEAST_DISK}, not {}", disk.max_size)));
    }
    fits(disk.max_object, disk.max_size, &spot, faults);
    if disk.sync.0 > SYNC_AT_MOST || disk.sync.0 < SYNC_AT_LEAST {
        faults.push(spot.key("sync").fault(format!("must be between 10ms and 60s, not {}", disk.sync)));
    }
    if disk.min_free.0 > 90 {
        faults.push(spot.key("min_free").fault("leaves hardly anything to store in: at most 90%"));
    }
    Some(Disk {
        path: PathBuf::from(&disk.path),
        max_size: disk.max_size.0,
        max_object: disk.max_object.0,
        sync: disk.sync.0,
        min_free: u32::from(disk.min_free.0) * 10,
    })
}

/// Old versions are kept on the disk alone.
fn needs_disk(root: &Root, file: &Spot<'_>, faults: &mut Vec<Fault>) {
    let routes = file.key("routes");
    let of_routes = root.routes.iter().enumerate().map(|(i, route)| (routes.item(i), route.keys.history));
    let of_defaults = std::iter::once((file.key("defaults"), root.defaults.keys.history));
    for (spot, history) in of_defaults.chain(of_routes) {
        if history.is_some_and(|versions| versions.get() > 1) && spot.has("history") {
            let fault = spot.key("history").fault("keeps versions on the disk, and there is no `store.disk`");
            faults.push(fault.remedy("for example `store: { disk: { path: /var/lib/larder } }`"));
        }
    }
}

pub(super) fn deployment(root: &Root, file: &Spot<'_>, faults: &mut Vec<Fault>) -> Deployment {
    let written = &root.deployment;
    let id = &written.id;
    if id.is_empty() || id.chars().count() > ID_AT_MOST || id.chars().any(char::is_control) {
        let spot = file.key("deployment").key("id");
        faults.push(spot.fault(format!("must be 1 to {ID_AT_MOST} characters, without control characters")));
    }
    Deployment { id: id.clone(), keep: written.keep.get(), bridge: written.bridge }
}
