//! The world of the engine's tests: an engine with a model origin behind it, in virtual time.

#![allow(dead_code, unused_imports, unreachable_pub, clippy::unwrap_used, reason = "three test crates share this")]

mod asking;
pub mod faulty;
mod operator;
mod origin;
mod reply;
mod rng;
mod time;
mod visitor;

pub use asking::{Asking, HOST};
pub use operator::{at, hard, routed, soft, tagged, under};
pub use origin::{Asked, Feed, Held, ModelOrigin};
pub use reply::{Act, Done, Reply, answer, page};
pub use rng::Rng;
pub use time::{TICK, Time};
pub use visitor::{How, Reading, Seen, all};

use engine::gate::GateSettings;
use engine::invalidate::Journal;
use engine::{Engine, Metrics, OriginSettings, Route, RouteTags, store};
use semantics::policy::Revalidate;
use semantics::{Policy, Timestamp};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// What a world is made of. Small numbers, so that tests reach them.
pub struct Setup {
    pub max_size: usize,
    pub max_object: usize,
    /// Where the disk store is, if there is one. Nobody writes what waits for it.
    pub disk: Option<faulty::Faulty>,
    pub renders: GateSettings,
    pub refreshes: GateSettings,
    pub total: Duration,
    pub between_bytes: Duration,
    pub passed_idle: Duration,
    /// Path prefixes and their policies; the first that fits counts, and what fits none is header-driven.
    pub routes: Vec<(String, Policy)>,
    /// The tags that such a route gives to its pages, by the same prefixes.
    pub tags: HashMap<String, RouteTags>,
}

impl Default for Setup {
    fn default() -> Self {
        let every = Policy::isr(Revalidate::Every(secs(10)));
        let short = Policy { expire: secs(60), ..every.clone() };
        Setup {
            max_size: 16 << 20,
            max_object: 10_000,
            disk: None,
            renders: GateSettings { max_concurrent: 10, queue: 100 },
            refreshes: GateSettings { max_concurrent: 10, queue: 100 },
            total: secs(10),
            between_bytes: secs(5),
            passed_idle: secs(60),
            routes: vec![("/isr/".to_owned(), every), ("/short/".to_owned(), short)],
            tags: HashMap::new(),
        }
    }
}

#[derive(Clone)]
pub struct World {
    pub engine: Arc<Engine>,
    pub origin: Arc<ModelOrigin>,
    pub time: Time,
    memory: Arc<store::Memory>,
    routes: Arc<Vec<(String, Arc<Route>)>>,
}

impl World {
    pub fn new() -> World {
        World::with(Setup::default())
    }

    /// With this route in front of the usual ones.
    pub fn routing(prefix: &str, policy: Policy) -> World {
        let mut setup = Setup::default();
        setup.routes.insert(0, (prefix.to_owned(), policy));
        World::with(setup)
    }

    pub fn with(mut setup: Setup) -> World {
        let time = Time::start();
        let origin = Arc::new(ModelOrigin::new(time.clone()));
        let metrics = Arc::new(Metrics::new("test"));
        let mut routes: Vec<(String, Arc<Route>)> = Vec::new();
        for (prefix, policy) in setup.routes {
            let route = Route::new(&prefix, policy, 0, &metrics);
            let route = match setup.tags.remove(&prefix) {
                Some(tags) => route.tagged(tags),
                None => route,
            };
            routes.push((prefix, Arc::new(route)));
        }
        routes.push((String::new(), Arc::new(Route::new("rest", Policy::header_driven(), 0, &metrics))));
        let limits = OriginSettings {
            name: Arc::from("model"),
            renders: setup.renders,
            refreshes: setup.refreshes,
            total: setup.total,
            between_bytes: setup.between_bytes,
            passed_idle: setup.passed_idle,
        };
        let (max_size, max_object) = (setup.max_size, setup.max_object);
        let memory = Arc::new(store::Memory::new(store::Settings { max_size, max_object }));
        let disk = setup.disk.map(|files| disk_on(files, &memory, &time));
        let settings = engine::Settings {
            deployment: "test".to_owned(),
            store: store::Store::new(memory.clone(), disk),
            origins: vec![limits],
            seed: 7,
            journal: Journal::new(7),
        };
        let engine = Engine::new(settings, origin.clone(), metrics, time.clock.clone());
        World { engine, origin, time, memory, routes: Arc::new(routes) }
    }

    fn route(&self, path: &str) -> &Arc<Route> {
        let (_, route) = self.routes.iter().find(|(prefix, _)| path.starts_with(prefix.as_str())).unwrap();
        route
    }

    pub fn now(&self) -> Timestamp {
        self.time.sync()
    }

    /// Lets time pass, for tokio and for the engine's clock.
    pub async fn advance(&self, span: Duration) {
        self.settle().await;
        sleep(span).await;
        self.time.sync();
        self.settle().await;
    }

    /// Lets every task go as far as it gets without time passing.
    pub async fn settle(&self) {
        for _ in 0..32 {
            tokio::task::yield_now().await;
        }
        self.time.sync();
    }

    /// Waits until no fill runs.
    pub async fn quiet(&self) {
        self.until("no fill runs any more", |world| world.engine.fills() == 0).await;
    }

    pub async fn until(&self, what: &str, holds: impl Fn(&World) -> bool) {
        let patience = Instant::now() + secs(600);
        self.settle().await;
        while !holds(self) {
            assert!(Instant::now() < patience, "it never came to this: {what}");
            sleep(Duration::from_millis(10)).await;
            self.time.sync();
            self.settle().await;
        }
    }
}

fn disk_on(files: faulty::Faulty, memory: &Arc<store::Memory>, time: &Time) -> Arc<store::Disk> {
    let settings =
        store::DiskSettings { max_size: 1 << 30, max_object: 1 << 20, sync: secs(1), min_free: 0, seed: 7, process: 1 };
    store::Disk::open(Arc::new(files), settings, memory.clone(), time.clock.clone()).unwrap()
}

pub fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}
