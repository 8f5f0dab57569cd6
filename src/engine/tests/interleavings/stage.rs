//! An engine on which interleavings are played, and the visitors and operators who play them.

use crate::desk::Desk;
use crate::ledger::{Ledger, Seen, WINDOW};
use crate::support::Asking;
use engine::gate::GateSettings;
use engine::invalidate::Journal;
use engine::{Answer, Clock, Engine, Metrics, OriginSettings, Route, Step, store};
use parking_lot::Mutex;
use semantics::policy::Revalidate;
use semantics::{CacheStatus, Policy, Timestamp};
use std::sync::Arc;
use std::time::Duration;

/// What kind of pages an interleaving has.
#[derive(Clone, Copy, Debug, Hash)]
pub enum Kind {
    Isr,
    HeaderDriven,
    /// Header-driven, and never stale: they expire.
    Expiring,
}

impl Kind {
    pub const ALL: [Kind; 3] = [Kind::Isr, Kind::HeaderDriven, Kind::Expiring];

    pub fn route(self) -> &'static str {
        match self {
            Kind::Isr => "isr",
            Kind::HeaderDriven | Kind::Expiring => "rest",
        }
    }

    /// With a window of [`WINDOW`].
    pub fn cache_control(self) -> &'static str {
        match self {
            Kind::Isr => "public",
            Kind::HeaderDriven => "s-maxage=10, stale-while-revalidate=50",
            Kind::Expiring => "s-maxage=10",
        }
    }
}

pub struct Stage {
    pub engine: Arc<Engine>,
    pub clock: Clock,
    pub desk: Arc<Desk>,
    pub ledger: Arc<Mutex<Ledger>>,
    isr: Arc<Route>,
    rest: Arc<Route>,
}

impl Stage {
    pub fn new() -> Arc<Stage> {
        let clock = Clock::manual(Timestamp::from_secs(1_700_000_000));
        let ledger: Arc<Mutex<Ledger>> = Arc::default();
        let desk = Arc::new(Desk::new(clock.clone(), ledger.clone()));
        let metrics = Arc::new(Metrics::new("test"));
        let policy = Policy { expire: WINDOW * 6, ..Policy::isr(Revalidate::Every(WINDOW)) };
        let isr = Arc::new(Route::new(Kind::Isr.route(), policy, 0, &metrics));
        let rest = Arc::new(Route::new(Kind::HeaderDriven.route(), Policy::header_driven(), 0, &metrics));
        // Few places, so that some wait for one.
        let origin = OriginSettings {
            name: Arc::from("model"),
            renders: GateSettings { max_concurrent: 2, queue: 100 },
            refreshes: GateSettings { max_concurrent: 1, queue: 100 },
            total: Duration::from_secs(3_600),
            between_bytes: Duration::from_secs(3_600),
            passed_idle: Duration::from_secs(3_600),
        };
        let settings = engine::Settings {
            deployment: "test".to_owned(),
            store: store::Store::new(
                Arc::new(store::Memory::new(store::Settings { max_size: 64 << 20, max_object: 10_000 })),
                None,
            ),
            origins: vec![origin],
            seed: 7,
            journal: Journal::new(7),
        };
        let engine = Engine::new(settings, desk.clone(), metrics, clock.clone());
        Arc::new(Stage { engine, clock, desk, ledger, isr, rest })
    }

    fn route(&self, kind: Kind) -> &Arc<Route> {
        match kind {
            Kind::Isr => &self.isr,
            Kind::HeaderDriven | Kind::Expiring => &self.rest,
        }
    }

    /// From here to the first `await` nothing comes between: he comes when the ledger says so.
    pub async fn visit(self: Arc<Self>, kind: Kind, page: usize, path: String) {
        let floor = self.ledger.lock().floor(page);
        let asking = Asking::new(&self.engine, self.route(kind), &path, &[]);
        let visit = asking.visit();
        let answer = match self.engine.begin(&visit, self.clock.now()) {
            Step::Serve(served) => Answer::Served(served),
            Step::Pass(why) => Answer::Pass(why, None),
            Step::Unsatisfiable => Answer::Unsatisfiable,
            Step::Wait => self.engine.answer(&visit).await,
        };
        let seen = read(answer).await;
        self.ledger.lock().visited(page, floor, seen);
    }

    pub async fn order(self: Arc<Self>, kind: Kind, page: usize, path: String) {
        let floor = self.ledger.lock().order(page);
        let asking = Asking::new(&self.engine, self.route(kind), &path, &[]);
        let visit = asking.visit();
        let brought = match self.engine.regenerate(&visit).await {
            Ok(done) => {
                version(done.response.body.held().expect("held")).ok_or_else(|| "it brought no page".to_owned())
            }
            Err(failed) => Err(failed.message.clone()),
        };
        self.ledger.lock().ordered(page, floor, brought);
    }
}

async fn read(answer: Answer) -> Seen {
    match answer {
        Answer::Served(served) => seen(served.response.body.held().expect("held"), served.status, true),
        Answer::Stream { mut watcher, status, .. } => {
            let mut body = Vec::new();
            loop {
                match watcher.chunk().await {
                    Ok(Some(piece)) => body.extend_from_slice(&piece),
                    Ok(None) => return seen(&body, status, true),
                    Err(_) => return seen(&body, status, false),
                }
            }
        }
        Answer::Failed { .. } => Seen::Failed,
        Answer::Pass(..) | Answer::Unsatisfiable => Seen::Passed,
    }
}

fn seen(body: &[u8], said: CacheStatus, whole: bool) -> Seen {
    match version(body) {
        Some(version) => Seen::Page { version, said, whole },
        None => Seen::Failed,
    }
}

fn version(body: &[u8]) -> Option<u64> {
    std::str::from_utf8(body).ok()?.parse().ok()
}
