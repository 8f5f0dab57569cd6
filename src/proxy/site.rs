//! What every connection shares, and what goes from our road to the passed one.

use super::lists::Lists;
use super::{Hosts, IpNet, Limits, Routes, Trust};
use crate::access::AccessLog;
use crate::origin::PassedSettings;
use crate::origin::forwarding::Identity;
use arc_swap::ArcSwap;
use engine::{Engine, Moment, Probe, Route};
use parking_lot::Mutex;
use semantics::{Forward, Scheme, Timestamp};
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;

/// The site as it is configured at present. A reload puts another in its place; requests that run keep theirs.
pub type Current = Arc<ArcSwap<Site>>;

/// Everything a connection needs to know.
#[derive(Clone)]
pub struct Site {
    pub engine: Arc<Engine>,
    pub routes: Routes,
    pub hosts: Hosts,
    pub trust: Trust,
    pub limits: Limits,
    pub identity: Identity,
    pub gate: PassedGate,
    pub draining: Arc<AtomicBool>,
    pub known_hosts: Arc<KnownHosts>,
    /// The pages that routes have, where lists say so.
    pub lists: Arc<Lists>,
    pub shared: Arc<Shared>,
    pub access: AccessLog,
    /// Peers whose PURGE is obeyed (`admin.purge_method`).
    pub may_purge: Vec<IpNet>,
}

/// Without a `hosts` list, at most so many hosts hold entries (semantics 43). One that was not asked for in ten
/// minutes gives up its place.
#[derive(Default)]
pub struct KnownHosts {
    seen: Mutex<HashMap<String, Timestamp>>,
    told: AtomicBool,
}

const HOSTS_AT_MOST: usize = 64;
const HOST_IDLE: Duration = Duration::from_secs(600);

impl KnownHosts {
    /// Whether anything can be stored for this host.
    pub(super) fn has(&self, host: &str) -> bool {
        self.seen.lock().contains_key(host)
    }

    /// The host that visitors ask for, if there is only one.
    pub(super) fn only(&self) -> Option<String> {
        let seen = self.seen.lock();
        let mut hosts = seen.keys();
        let (Some(only), None) = (hosts.next(), hosts.next()) else { return None };
        Some(only.clone())
    }

    pub(super) fn admit(&self, host: &str, now: Timestamp) -> bool {
        let mut seen = self.seen.lock();
        if let Some(last) = seen.get_mut(host) {
            *last = now;
            return true;
        }
        if seen.len() >= HOSTS_AT_MOST {
            seen.retain(|_, last| now.since(*last) < HOST_IDLE);
        }
        let admitted = seen.len() < HOSTS_AT_MOST;
        if admitted {
            seen.insert(host.to_owned(), now);
        } else if !self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(%host, "more than {HOSTS_AT_MOST} hosts are asked for: further ones are passed and not stored; list yours under `hosts`");
        }
        admitted
    }
}

/// The routes with pages that are stored for every host: without `hosts`, those that were generated before anybody asked
/// (semantics 43).
#[derive(Default)]
pub struct Shared {
    any: AtomicBool,
    routes: Mutex<HashSet<Arc<str>>>,
}

impl Shared {
    pub(super) fn note(&self, route: &Arc<str>) {
        self.routes.lock().insert(route.clone());
        self.any.store(true, Ordering::Relaxed);
    }

    pub(super) fn any(&self) -> bool {
        self.any.load(Ordering::Relaxed)
    }

    pub(super) fn has(&self, route: &str) -> bool {
        self.any() && self.routes.lock().contains(route)
    }
}

/// A request that goes the passed road.
pub(super) struct Handover {
    /// As it was configured when the request came.
    pub(super) site: Arc<Site>,
    pub(super) why: Forward,
    pub(super) probe: Option<Probe>,
    pub(super) route: Arc<Route>,
    pub(super) host: String,
    pub(super) scheme: Scheme,
    pub(super) peer: SocketAddr,
    pub(super) started: Timestamp,
    /// What it found when it came.
    pub(super) came: Moment,
    /// Another protocol is asked for.
    pub(super) upgrade: bool,
    /// The connection is to be kept for a next request.
    pub(super) keep_alive: bool,
}

/// A hand-over that goes along with the head of its request.
#[derive(Clone)]
pub(super) struct Handed(Arc<Mutex<Option<Handover>>>);

impl Handed {
    pub(super) fn new(handover: Handover) -> Self {
        Handed(Arc::new(Mutex::new(Some(handover))))
    }

    pub(super) fn take(&self) -> Option<Handover> {
        self.0.lock().take()
    }
}

/// The slots of the passed road, one pool for each origin (semantics 53).
#[derive(Clone)]
pub struct PassedGate {
    pub(super) pools: Vec<Arc<Semaphore>>,
}

impl PassedGate {
    pub fn new<'a>(settings: impl Iterator<Item = &'a PassedSettings>) -> Self {
        PassedGate {
            pools: settings.map(|s| Arc::new(Semaphore::new(s.max_concurrent.min(Semaphore::MAX_PERMITS)))).collect(),
        }
    }
}
