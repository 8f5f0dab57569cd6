//! Open connections: how many, whose, and until when each may stay idle.

use parking_lot::Mutex;
use prometheus_client::metrics::gauge::Gauge;
use semantics::Timestamp;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::task::AbortHandle;

/// The state of one connection that its keeper watches.
pub(super) struct Watched {
    /// In microseconds; [`BUSY`] while a request is served.
    pub(super) deadline: AtomicU64,
}

pub(super) const BUSY: u64 = u64::MAX;

/// All open connections.
pub(super) struct Registry {
    pub(super) open: Mutex<HashMap<u64, (Arc<Watched>, AbortHandle)>>,
    pub(super) by_ip: Mutex<HashMap<IpAddr, usize>>,
    pub(super) gauge: Gauge,
}

/// One connection's place, given back on drop.
pub(super) struct Ticket {
    pub(super) registry: Arc<Registry>,
    pub(super) watched: Arc<Watched>,
    pub(super) id: u64,
    pub(super) counted: Option<IpAddr>,
}

impl Ticket {
    pub(super) fn idle(&self, deadline: Timestamp) {
        self.watched.deadline.store(deadline.as_micros(), Ordering::Relaxed);
    }

    pub(super) fn busy(&self) {
        self.watched.deadline.store(BUSY, Ordering::Relaxed);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.registry.open.lock().remove(&self.id);
        self.registry.gauge.dec();
        if let Some(ip) = self.counted {
            let mut by_ip = self.registry.by_ip.lock();
            if let Some(n) = by_ip.get_mut(&ip) {
                *n -= 1;
                if *n == 0 {
                    by_ip.remove(&ip);
                }
            }
        }
    }
}
