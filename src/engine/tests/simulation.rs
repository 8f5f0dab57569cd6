//! A seeded simulation: random pages, a random origin, random visitors, in virtual time. Whatever happens, these hold:
//! one fill a key at most; nothing is served beyond its windows, or older than what was served before; everybody is
//! answered; a body is one generation as the origin sent it; what is private reaches one visitor; the caps and the
//! budget hold; and once the origin is well again, no page is stuck.
//!
//! `LARDER_SEEDS` says how many seeds are run, `LARDER_SEED` runs one of them alone.

#![allow(unreachable_pub, clippy::unwrap_used, clippy::needless_pass_by_value, reason = "tests")]

mod support;

#[path = "simulation/ledger.rs"]
mod ledger;
#[path = "simulation/pages.rs"]
mod pages;

use engine::gate::GateSettings;
use engine::origin::Kind;
use ledger::{Ledger, Visitor};
use pages::{Moods, Page};
use parking_lot::Mutex;
use semantics::Policy;
use semantics::policy::Revalidate;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use support::{How, Rng, Setup, World, millis, secs};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

const SEEDS: u64 = 300;
const STEPS: usize = 40;
/// Nobody waits longer, in virtual time: a visitor may start over eight times, each time behind a queue and a fill.
const PATIENCE: Duration = Duration::from_secs(60);
/// All of one fill; the moods of the origin keep below it where they are to succeed.
const TOTAL: Duration = Duration::from_secs(3);

static PANICS: AtomicUsize = AtomicUsize::new(0);

#[test]
fn whatever_happens_the_invariants_hold() {
    let number = |name: &str| std::env::var(name).ok().map(|n| n.parse::<u64>().expect("a number of seeds, or a seed"));
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        before(info);
    }));
    let seeds = match number("LARDER_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("LARDER_SEEDS").unwrap_or(SEEDS),
    };
    for seed in seeds {
        let panics = PANICS.load(Ordering::Relaxed);
        let mut wrong = catch_unwind(AssertUnwindSafe(|| run(seed))).unwrap_or_default();
        // A fill that panics is cleaned up after: nobody else would tell.
        if PANICS.load(Ordering::Relaxed) > panics {
            wrong.push("something panicked".to_owned());
        }
        assert!(wrong.is_empty(), "seed {seed}; LARDER_SEED={seed} runs it alone\n{}", wrong.join("\n"));
    }
}

fn run(seed: u64) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async { Simulation::new(seed).run().await })
}

struct Simulation {
    rng: Rng,
    world: World,
    pages: Vec<Page>,
    moods: Arc<Moods>,
    ledger: Arc<Mutex<Ledger>>,
    max_size: usize,
    renders: usize,
    refreshes: usize,
    visits: Vec<JoinHandle<()>>,
    visitors: usize,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let mut rng = Rng(seed);
        // In a store that is too small what says how a page varies may be evicted while a variant is being filled.
        let tight = rng.chance(30);
        let pages = Page::some(&mut rng, !tight);
        let max_size = if tight { 4_000 + rng.index(10_000) } else { 4 << 20 };
        let (renders, refreshes) = (1 + rng.index(6), 1 + rng.index(4));
        let world = World::with(Setup {
            max_size,
            max_object: pages::MAX_OBJECT,
            renders: GateSettings { max_concurrent: renders, queue: rng.index(20) },
            refreshes: GateSettings { max_concurrent: refreshes, queue: rng.index(8) },
            total: TOTAL,
            between_bytes: secs(1),
            passed_idle: secs(1),
            routes: pages.iter().filter_map(route).collect(),
            ..Setup::default()
        });
        let ledger = Arc::new(Mutex::new(Ledger::default()));
        let moods = Arc::new(Moods::new(rng.draw(), ledger.clone(), world.time.clone()));
        for page in &pages {
            let (moods, page) = (moods.clone(), page.clone());
            if page.varies {
                world.origin.varies(&page.path);
            }
            world.origin.on_each(&page.path.clone(), move |request| moods.act(&page, request));
        }
        Simulation { rng, world, pages, moods, ledger, max_size, renders, refreshes, visits: Vec::new(), visitors: 0 }
    }

    async fn run(mut self) -> Vec<String> {
        for _ in 0..STEPS {
            for _ in 0..self.rng.below(5) {
                self.somebody_comes();
            }
            if self.rng.chance(10) && !self.visits.is_empty() {
                let gone = self.rng.index(self.visits.len());
                self.visits.swap_remove(gone).abort();
            }
            let span = match self.rng.below(8) {
                0 | 1 => Duration::ZERO,
                2 | 3 => millis(self.rng.below(300)),
                4 | 5 => millis(self.rng.below(3_000)),
                6 => millis(self.rng.below(15_000)),
                _ => secs(self.rng.below(60)),
            };
            sleep(span).await;
            self.world.settle().await;
            if !self.look() {
                return self.wrong();
            }
        }
        self.everybody_is_answered().await;
        self.no_page_is_stuck().await;
        self.look();
        self.wrong()
    }

    fn wrong(&self) -> Vec<String> {
        std::mem::take(&mut self.ledger.lock().wrong)
    }

    fn somebody_comes(&mut self) {
        let page = self.pages[self.rng.index(self.pages.len())].clone();
        self.visitors += 1;
        let visitor = Visitor {
            id: self.visitors.to_string(),
            member: self.rng.chance(30),
            language: [None, Some("de"), Some("en"), Some("fr")][self.rng.index(4)],
        };
        let visit = visit(self.world.clone(), self.ledger.clone(), page, visitor);
        self.visits.push(tokio::spawn(visit));
    }

    /// Checks what holds at every moment. `false`: something is wrong.
    fn look(&self) -> bool {
        let mut ledger = self.ledger.lock();
        for lane in self.world.origin.crowded() {
            ledger.wrong.push(format!("two fills at once for {lane}"));
        }
        for (kind, cap) in [(Kind::Fill, self.renders), (Kind::Refresh, self.refreshes)] {
            let most = self.world.origin.most(kind);
            if most > cap {
                ledger.wrong.push(format!("{most} requests of kind {kind:?} at once, and {cap} are allowed"));
            }
        }
        let usage = self.world.engine.usage();
        if usage.bytes > self.max_size {
            ledger.wrong.push(format!("the store holds {usage:?}, and its budget is {}", self.max_size));
        }
        ledger.wrong.is_empty()
    }

    async fn everybody_is_answered(&mut self) {
        for visit in self.visits.drain(..) {
            if let Err(error) = visit.await {
                self.ledger.lock().wrong.push(format!("a visitor: {error}"));
            }
        }
        for _ in 0..600 {
            if self.world.engine.fills() == 0 {
                return;
            }
            self.world.advance(millis(100)).await;
        }
        self.ledger.lock().wrong.push("a fill never ended".to_owned());
    }

    /// The origin is well again, and every back-off is over: two visits later, every page is a new one.
    async fn no_page_is_stuck(&mut self) {
        self.moods.calm_down();
        self.world.advance(secs(130)).await;
        let mark = self.ledger.lock().sent.len();
        for page in self.pages.clone() {
            let mut last = None;
            for _ in 0..2 {
                last = Some(self.world.visit(&page.path, &[]).await);
                self.world.quiet().await;
            }
            let seen = last.unwrap();
            let generation = ledger::generation(&seen.body);
            if seen.how == How::Failed || generation.is_none_or(|n| n < mark) {
                let what = format!("{} is stuck: {} {}", page.path, seen.cache_status, seen.body);
                self.ledger.lock().wrong.push(what);
            }
        }
    }
}

fn route(page: &Page) -> Option<(String, Policy)> {
    let expire = page.stale_for;
    let policy = Policy { expire, ..Policy::isr(Revalidate::Every(page.window)) };
    page.isr.then(|| (page.path.clone(), policy))
}

async fn visit(world: World, ledger: Arc<Mutex<Ledger>>, page: Page, visitor: Visitor) {
    let floor = ledger.lock().floor(&page, &visitor);
    let mut fields = Vec::new();
    if visitor.member {
        fields.push(("cookie".to_owned(), format!("session={}", visitor.id)));
    }
    if let Some(language) = visitor.language {
        fields.push(("accept-language".to_owned(), language.to_owned()));
    }
    let seen = timeout(PATIENCE, world.go(page.path.clone(), fields)).await;
    let mut ledger = ledger.lock();
    match seen {
        Ok(seen) => ledger.check(&page, &visitor, floor, &seen),
        Err(_) => ledger.wrong.push(format!("visitor {} was never answered at {}", visitor.id, page.path)),
    }
}
