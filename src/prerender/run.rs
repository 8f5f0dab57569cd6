//! One run through a list of pages: how far it is, and what became of them.

use super::own::Page;
use super::spool::Pages;
use super::{Reached, Shop, is_unreachable};
use crate::proxy::Asked;
use engine::{Prerendered, Unless};
use parking_lot::Mutex;
use semantics::Timestamp;
use serde::Serialize;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

pub type RunId = u64;

/// Why pages are generated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Occasion {
    Start,
    Activate,
    Every,
    /// Somebody ordered it.
    Order,
}

/// How a run goes, for people and machines.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub run: RunId,
    /// `None`: several, or single pages.
    pub route: Option<String>,
    pub occasion: Occasion,
    /// `listing` while lists are read, then `rendering`, then `ended`.
    pub state: &'static str,
    /// Pages that were found so far.
    pub listed: u64,
    pub stored: u64,
    /// Left as they were: stored already, or fresh.
    pub left: u64,
    /// Rendered, and may not be stored.
    pub not_stored: u64,
    pub failed: u64,
    pub elapsed_ms: u64,
    /// The pages that took longest.
    pub slowest: Vec<Slow>,
    /// The first ones.
    pub failures: Vec<Trouble>,
    /// What is wrong with the lists.
    pub problems: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Slow {
    pub url: String,
    pub took_ms: u64,
}

#[derive(Clone, Debug, Serialize)]
pub struct Trouble {
    pub url: String,
    pub reason: String,
}

/// So many of each are told.
const TOLD: usize = 20;
/// So many runs are remembered.
const REMEMBERED: usize = 64;
/// So many pages are read from the list at a time.
const BATCH: usize = 512;

pub(super) struct Run {
    pub(super) id: RunId,
    pub(super) occasion: Occasion,
    /// Whose pages; `None`: those of the deployment that is served.
    deployment: Option<String>,
    route: Option<Arc<str>>,
    started: Timestamp,
    listed: AtomicU64,
    stored: AtomicU64,
    left: AtomicU64,
    not_stored: AtomicU64,
    failed: AtomicU64,
    unreachable: AtomicU64,
    /// Whether it has ended: what is still read for it is broken off.
    over: watch::Sender<bool>,
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    rendering: bool,
    ended: Option<Timestamp>,
    slowest: Vec<Slow>,
    failures: Vec<Trouble>,
    problems: Vec<String>,
}

impl Run {
    pub(super) fn listed(&self) {
        self.listed.fetch_add(1, Ordering::Relaxed);
    }

    /// Something is wrong with a list.
    pub(super) fn problem(&self, what: String) {
        let mut told = self.told.lock();
        if told.problems.len() < TOLD && !told.problems.contains(&what) {
            tracing::warn!(route = self.route.as_deref().unwrap_or("-"), problem = %what, "prerender: a list is not as it should be");
            told.problems.push(what);
        }
    }

    /// Tells when it has ended.
    pub(super) fn over(&self) -> watch::Receiver<bool> {
        self.over.subscribe()
    }

    /// What is listed is rendered from now on.
    pub(super) fn renders(&self) {
        self.told.lock().rendering = true;
    }

    pub(super) fn is_over(&self) -> bool {
        *self.over.borrow()
    }

    pub(super) fn end(&self, now: Timestamp) {
        self.over.send_replace(true);
        self.told.lock().ended = Some(now);
        let count = |n: &AtomicU64| n.load(Ordering::Relaxed);
        let (stored, failed) = (count(&self.stored), count(&self.failed));
        if stored > 0 || failed > 0 {
            let (left, not_stored) = (count(&self.left), count(&self.not_stored));
            tracing::info!(
                route = self.route.as_deref().unwrap_or("-"),
                stored,
                left,
                not_stored,
                failed,
                "prerendered"
            );
        }
    }

    pub(super) fn note(&self, page: &Page, done: &Prerendered) {
        let url = || format!("{}://{}{}", page.scheme.as_str(), page.host, page.target);
        let counter = match done {
            Prerendered::Stored { took } => {
                self.slow(*took, url);
                &self.stored
            }
            Prerendered::LeftAsItIs => &self.left,
            Prerendered::NotStored(why) => {
                self.trouble(url, why);
                &self.not_stored
            }
            Prerendered::Failed(failed) => {
                self.trouble(url, &failed.message);
                &self.failed
            }
        };
        counter.fetch_add(1, Ordering::Relaxed);
        if is_unreachable(done) {
            self.unreachable.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn slow(&self, took: Duration, url: impl Fn() -> String) {
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let slowest = &mut self.told.lock().slowest;
        if slowest.len() == TOLD && slowest.last().is_some_and(|last| last.took_ms >= took_ms) {
            return;
        }
        let at = slowest.partition_point(|slow| slow.took_ms >= took_ms);
        slowest.insert(at, Slow { url: url(), took_ms });
        slowest.truncate(TOLD);
    }

    fn trouble(&self, url: impl Fn() -> String, reason: &str) {
        let failures = &mut self.told.lock().failures;
        if failures.len() < TOLD {
            failures.push(Trouble { url: url(), reason: reason.to_owned() });
        }
    }

    pub(super) fn report(&self, now: Timestamp) -> Report {
        let told = self.told.lock();
        let count = |n: &AtomicU64| n.load(Ordering::Relaxed);
        let elapsed = told.ended.unwrap_or(now).since(self.started);
        Report {
            run: self.id,
            route: self.route.as_deref().map(str::to_owned),
            occasion: self.occasion,
            state: match (told.ended, told.rendering) {
                (Some(_), _) => "ended",
                (None, true) => "rendering",
                (None, false) => "listing",
            },
            listed: count(&self.listed),
            stored: count(&self.stored),
            left: count(&self.left),
            not_stored: count(&self.not_stored),
            failed: count(&self.failed),
            elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            slowest: told.slowest.clone(),
            failures: told.failures.clone(),
            problems: told.problems.clone(),
        }
    }
}

/// The last runs.
#[derive(Default)]
pub(super) struct Runs {
    last: AtomicU64,
    runs: Mutex<VecDeque<Arc<Run>>>,
}

impl Runs {
    pub(super) fn begin(
        &self,
        route: Option<&Arc<str>>,
        occasion: Occasion,
        deployment: Option<&str>,
        now: Timestamp,
    ) -> Arc<Run> {
        let run = Arc::new(Run {
            id: self.last.fetch_add(1, Ordering::Relaxed) + 1,
            occasion,
            deployment: deployment.map(str::to_owned),
            route: route.cloned(),
            started: now,
            listed: AtomicU64::new(0),
            stored: AtomicU64::new(0),
            left: AtomicU64::new(0),
            not_stored: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            unreachable: AtomicU64::new(0),
            over: watch::Sender::new(false),
            told: Mutex::default(),
        });
        let mut runs = self.runs.lock();
        runs.push_front(run.clone());
        if runs.len() > REMEMBERED {
            // One that still runs is not forgotten for one that ended.
            let at = runs.iter().rposition(|run| run.told.lock().ended.is_some()).unwrap_or(runs.len() - 1);
            runs.remove(at);
        }
        run
    }

    /// How many orders run.
    pub(super) fn orders(&self) -> usize {
        let runs = self.runs.lock();
        runs.iter().filter(|run| run.occasion == Occasion::Order && run.told.lock().ended.is_none()).count()
    }

    pub(super) fn report(&self, id: RunId, now: Timestamp) -> Option<Report> {
        self.runs.lock().iter().find(|run| run.id == id).map(|run| run.report(now))
    }

    pub(super) fn reports(&self, now: Timestamp) -> Vec<Report> {
        self.runs.lock().iter().map(|run| run.report(now)).collect()
    }
}

/// Generates pages, so many at a time; one that fails does not stop the others.
pub(super) async fn generate(
    shop: &Arc<Shop>,
    run: &Arc<Run>,
    mut pages: Pages,
    concurrency: usize,
    unless: Unless,
) -> Reached {
    run.renders();
    let mut running = JoinSet::new();
    loop {
        let read = tokio::task::spawn_blocking(move || {
            let next = pages.next(BATCH);
            (pages, next)
        });
        let Ok((rest, next)) = read.await else { break };
        pages = rest;
        if next.is_empty() {
            break;
        }
        for page in next {
            if running.len() >= concurrency {
                running.join_next().await;
            }
            let (shop, run) = (shop.clone(), run.clone());
            running.spawn(async move {
                let done = one(&shop, &run, &page, unless).await;
                run.note(&page, &done);
            });
        }
    }
    while running.join_next().await.is_some() {}
    // One page that never comes is that page's trouble.
    let count = |n: &AtomicU64| n.load(Ordering::Relaxed);
    let nothing_came = count(&run.stored) + count(&run.left) == 0;
    if count(&run.unreachable) > 0 && nothing_came { Reached::No } else { Reached::Yes }
}

pub(super) async fn one(shop: &Shop, run: &Run, page: &Page, unless: Unless) -> Prerendered {
    let (path, query) =
        page.target.split_once('?').map_or((page.target.as_str(), None), |(path, query)| (path, Some(query)));
    let asked = Asked { scheme: page.scheme, host: Some(&page.host), path, query, fields: &[] };
    let site = shop.current.load_full();
    site.prerender(&asked, unless, run.deployment.as_deref()).await
}
