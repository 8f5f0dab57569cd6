//! Which server is asked: weighted round robin over those that answer, and a circuit breaker for each (semantics 31).

use super::address::Addresses;
use super::{ServerSettings, Settings};
use engine::origin::ServerId;
use engine::{Clock, Metrics};
use parking_lot::Mutex;
use pingora::ErrorType;
use pingora::upstreams::peer::{ALPN, HttpPeer};
use semantics::Timestamp;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// Failures in a row, to connect or to answer, that open the breaker.
const OPENS_AFTER: u32 = 5;
/// While it is open, one request in this time is let through to see.
const PROBE_EVERY: Duration = Duration::from_secs(1);

pub struct Server {
    pub settings: ServerSettings,
    name: Arc<str>,
    addresses: Addresses,
    turn: AtomicUsize,
    breaker: Mutex<Breaker>,
    /// It has said that it wants HTTP/1.1 after all.
    http1: AtomicBool,
}

/// How often a connection of HTTP/2 is looked at: one that is dead is not found out by writing.
const PING_EVERY: Duration = Duration::from_secs(15);

#[derive(Default)]
struct Breaker {
    failures: u32,
    /// When open: the next probe may go then.
    probe_at: Timestamp,
}

/// The servers of one origin.
pub struct Balance {
    origin: Arc<str>,
    servers: Vec<Arc<Server>>,
    /// Indexes into `servers`, each as often as its weight, spread out.
    order: Vec<usize>,
    turn: AtomicUsize,
    clock: Clock,
    metrics: Arc<Metrics>,
}

impl Balance {
    pub async fn new(settings: &Settings, clock: Clock, metrics: Arc<Metrics>) -> Self {
        let origin: Arc<str> = Arc::from(settings.name.as_str());
        let mut servers = Vec::new();
        for server in &settings.servers {
            let name: Arc<str> = Arc::from(server.authority());
            metrics.origin_up(&origin, &name, true);
            servers.push(Arc::new(Server {
                settings: server.clone(),
                name,
                addresses: Addresses::resolve(&server.host, server.port).await,
                turn: AtomicUsize::new(0),
                breaker: Mutex::default(),
                http1: AtomicBool::new(false),
            }));
        }
        let weights: Vec<u32> = settings.servers.iter().map(|s| s.weight).collect();
        Balance { origin, servers, order: spread(&weights), turn: AtomicUsize::new(0), clock, metrics }
    }

    /// The next server that may be asked, `wanted` if it is well; `None` while every breaker is open and no probe is due.
    pub fn next(&self, wanted: Option<ServerId>) -> Option<Arc<Server>> {
        if let Some(server) = wanted.and_then(|id| self.servers.get(id)).filter(|server| server.is_closed()) {
            return Some(server.clone());
        }
        let now = self.clock.now();
        let from = self.turn.fetch_add(1, Ordering::Relaxed);
        let in_turn = (0..self.order.len()).map(|i| &self.servers[self.order[(from + i) % self.order.len()]]);
        // A probe that is due comes first, so that a server that is back is found also while others are well.
        if let Some(due) = self.servers.iter().find(|s| s.claim_probe(now)) {
            return Some(due.clone());
        }
        in_turn.into_iter().find(|s| s.is_closed()).cloned()
    }

    /// The place of a server among them.
    pub fn id(&self, server: &Server) -> Option<ServerId> {
        self.servers.iter().position(|s| std::ptr::eq(s.as_ref(), server))
    }

    /// Another closed server than `than`, for the one retry.
    pub fn other(&self, than: &Server) -> Option<Arc<Server>> {
        self.servers.iter().find(|s| !std::ptr::eq(s.as_ref(), than) && s.is_closed()).cloned()
    }

    pub fn succeeded(&self, server: &Server) {
        let mut breaker = server.breaker.lock();
        let was_open = breaker.failures >= OPENS_AFTER;
        breaker.failures = 0;
        drop(breaker);
        if was_open {
            self.metrics.origin_up(&self.origin, &server.name, true);
            tracing::info!(origin = %self.origin, server = %server.name, "the server answers again");
        }
    }

    /// It could not be reached, or did not answer.
    pub fn failed(&self, server: &Server, why: &str) {
        let mut breaker = server.breaker.lock();
        breaker.failures = breaker.failures.saturating_add(1);
        let opened = breaker.failures == OPENS_AFTER;
        if breaker.failures >= OPENS_AFTER {
            breaker.probe_at = self.clock.now().after(PROBE_EVERY);
        }
        drop(breaker);
        if opened {
            self.metrics.origin_up(&self.origin, &server.name, false);
            tracing::warn!(origin = %self.origin, server = %server.name, reason = why, "the server fails {OPENS_AFTER} times in a row: from now on it is asked once a second");
        }
    }

    /// Name and state of each server, for the status page.
    pub fn states(&self) -> Vec<(String, bool)> {
        self.servers.iter().map(|s| (s.name.to_string(), s.is_closed())).collect()
    }
}

impl Server {
    /// Lets it choose between HTTP/1.1 and HTTP/2. A connection carries one request at a time, as pingora has it: then no
    /// reader holds up another, and what does not answer is left alone with its connection.
    pub fn negotiate(&self, peer: &mut HttpPeer) {
        if self.offers_http2() {
            peer.options.alpn = ALPN::H2H1;
            peer.options.h2_ping_interval = Some(PING_EVERY);
        }
    }

    pub fn offers_http2(&self) -> bool {
        self.settings.tls && self.settings.http2 && !self.http1.load(Ordering::Relaxed)
    }

    /// Notes that it wants HTTP/1.1, if that is what this error says (RFC 9113, 7: `HTTP_1_1_REQUIRED`).
    pub fn note_protocol(&self, error: &pingora::Error) {
        if matches!(error.etype(), ErrorType::H2Downgrade | ErrorType::InvalidH2) {
            self.http1.store(true, Ordering::Relaxed);
        }
    }

    /// The address to dial next: each in its turn.
    pub fn address(&self) -> Option<SocketAddr> {
        let all = self.addresses.all();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        (!all.is_empty()).then(|| all[turn % all.len()])
    }

    /// How many addresses there are to try.
    pub fn addresses(&self) -> usize {
        self.addresses.all().len()
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    fn is_closed(&self) -> bool {
        self.breaker.lock().failures < OPENS_AFTER
    }

    fn claim_probe(&self, now: Timestamp) -> bool {
        let mut breaker = self.breaker.lock();
        let due = breaker.failures >= OPENS_AFTER && breaker.probe_at <= now;
        if due {
            breaker.probe_at = now.after(PROBE_EVERY);
        }
        due
    }
}

/// Smooth weighted round robin: each index as often as its weight, as far apart as can be.
fn spread(weights: &[u32]) -> Vec<usize> {
    let total: i64 = weights.iter().map(|w| i64::from((*w).clamp(1, 1000))).sum();
    let mut current = vec![0i64; weights.len()];
    let mut order = Vec::new();
    for _ in 0..total {
        for (c, w) in current.iter_mut().zip(weights) {
            *c += i64::from((*w).clamp(1, 1000));
        }
        let Some(best) = (0..current.len()).max_by_key(|i| (current[*i], usize::MAX - i)) else { break };
        current[best] -= total;
        order.push(best);
    }
    order
}
