//! Pages that are generated before anybody asks for them (semantics 24): which those are, from lists, files, sitemaps and
//! JSON documents; and when. How a page is generated, and what is left as it is, is the engine's business.

mod fetch;
mod listing;
mod own;
mod pointer;
mod run;
mod sitemap;
mod spool;
mod warm;

pub use pointer::{Pointer, Template};
pub use run::{Occasion, Report, RunId};
pub use warm::Visited;

use crate::proxy::{Current, Listed};
use engine::origin::Origin;
use engine::{Prerendered, Unless};
use parking_lot::Mutex;
use run::{Run, Runs};
use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

/// What a route's `prerender` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub paths: Vec<String>,
    /// A path or a URL in each line.
    pub file: Option<PathBuf>,
    /// A path on the origin, or a URL of one of the route's hosts.
    pub sitemap: Option<String>,
    pub json: Option<Json>,
    pub on_start: bool,
    pub on_activate: bool,
    pub every: Option<Duration>,
    /// Pages at a time.
    pub concurrency: usize,
}

/// Paths from a JSON document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Json {
    pub url: String,
    pub pointer: Pointer,
    pub to: Template,
}

/// A route with pages to generate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub route: Arc<str>,
    pub settings: Settings,
    /// Whether the route answers 404 for what is on no list (semantics 25).
    pub closed: bool,
    /// What else decides which pages are the route's, written out: its patterns, and the hosts that are served.
    pub matching: String,
}

/// What is to be generated because somebody says so (`larder warm`).
#[derive(Clone, Debug, Default)]
pub struct Order {
    /// Routes by name; none and no paths: all that have a `prerender`.
    pub routes: Vec<String>,
    pub paths: Vec<String>,
    /// For paths; `None`: every host of their routes.
    pub host: Option<String>,
}

/// Why an order is not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// No route of that name has a `prerender`.
    NoSuchRoute(String),
    /// No route has a `prerender`, and no path is given.
    Nothing,
    /// So many orders run already.
    Busy(usize),
}

/// Orders that run at a time.
const ORDERS_AT_MOST: usize = 4;
/// Pages at a time, of an order's own paths.
const CONCURRENCY: usize = 4;
/// While the origin cannot be reached, it is tried again after a second, two, four ... this long.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Sees to all of it.
pub struct Prerender {
    shop: Arc<Shop>,
    plans: Mutex<HashMap<Arc<str>, (Plan, AbortHandle)>>,
    /// Orders and activations.
    tasks: Mutex<Vec<(Occasion, AbortHandle)>>,
}

/// What every run needs.
struct Shop {
    current: Current,
    origin: Arc<dyn Origin>,
    /// Where visitors are served: such URLs are the site's own.
    listening: Vec<SocketAddr>,
    runs: Runs,
    /// So many lists are read at a time: each takes a thread, and may take memory.
    readers: Semaphore,
}

/// Lists that are read at a time.
const READERS: usize = 4;

/// A run that goes on. Dropped, it has ended, and what is read for it is broken off.
struct Running {
    run: Arc<Run>,
    shop: Arc<Shop>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.run.end(self.shop.now());
    }
}

impl Prerender {
    pub fn new(current: Current, origin: Arc<dyn Origin>, listening: Vec<SocketAddr>) -> Self {
        let readers = Semaphore::new(READERS);
        let shop = Shop { current, origin, listening, runs: Runs::default(), readers };
        Prerender { shop: Arc::new(shop), plans: Mutex::default(), tasks: Mutex::default() }
    }

    /// What is to be generated from now on. A plan that stays as it was goes on; a route that has none any more is left
    /// alone. Must be called within a runtime.
    pub fn plan(&self, plans: Vec<Plan>) {
        let mut running = self.plans.lock();
        let mut before = std::mem::take(&mut *running);
        for plan in plans {
            self.shop.current.load().may_be_shared(&plan.route);
            let entry = match before.remove(&plan.route) {
                Some(kept) if kept.0 == plan => kept,
                replaced => {
                    self.forget(&plan.route, replaced);
                    let task = tokio::spawn(keep(self.shop.clone(), plan.clone()));
                    (plan.clone(), task.abort_handle())
                }
            };
            running.insert(plan.route, entry);
        }
        for (route, gone) in before {
            self.forget(&route, Some(gone));
        }
    }

    /// What was listed by a plan that is not in force any more, or still is being listed, counts no more.
    fn forget(&self, route: &Arc<str>, plan: Option<(Plan, AbortHandle)>) {
        if let Some((_, task)) = plan {
            task.abort();
        }
        self.shop.current.load().lists.forget(route, self.shop.now());
    }

    /// A deployment was activated: its pages are generated, and those of the one before no more.
    pub fn activated(&self) {
        self.tasks.lock().iter().filter(|(of, _)| *of == Occasion::Activate).for_each(|(_, task)| task.abort());
        for (plan, _) in self.plans.lock().values().filter(|(plan, _)| plan.settings.on_activate || plan.closed) {
            let (running, plan) = (self.shop.begin(Some(&plan.route), Occasion::Activate), plan.clone());
            self.spawn(Occasion::Activate, async move {
                running.shop.all(&running.run, &[plan], Unless::Stored).await;
            });
        }
    }

    fn spawn(&self, occasion: Occasion, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock();
        tasks.retain(|(_, task)| !task.is_finished());
        tasks.push((occasion, tokio::spawn(task).abort_handle()));
    }

    /// Larder leaves: nothing is generated any more.
    pub fn stop(&self) {
        self.plans.lock().values().for_each(|(_, task)| task.abort());
        self.tasks.lock().iter().for_each(|(_, task)| task.abort());
    }

    /// Carries out an order, and tells by which number its progress can be asked for.
    ///
    /// # Errors
    /// Why it is not; nothing is generated.
    pub fn order(&self, order: Order) -> Result<RunId, Refused> {
        let plans = self.ordered(&order)?;
        let busy = self.shop.runs.orders();
        if busy >= ORDERS_AT_MOST {
            return Err(Refused::Busy(busy));
        }
        let running = self.shop.begin(None, Occasion::Order);
        let id = running.run.id;
        self.spawn(Occasion::Order, async move {
            running.shop.paths(&running.run, &order.paths, order.host.as_deref()).await;
            running.shop.all(&running.run, &plans, Unless::Fresh).await;
        });
        Ok(id)
    }

    fn ordered(&self, order: &Order) -> Result<Vec<Plan>, Refused> {
        let plans = self.plans.lock();
        if order.routes.is_empty() && order.paths.is_empty() {
            let all: Vec<Plan> = plans.values().map(|(plan, _)| plan.clone()).collect();
            return if all.is_empty() { Err(Refused::Nothing) } else { Ok(all) };
        }
        let one = |name: &String| {
            plans.get(name.as_str()).map(|(plan, _)| plan.clone()).ok_or_else(|| Refused::NoSuchRoute(name.clone()))
        };
        order.routes.iter().map(one).collect()
    }

    /// How a run goes, or went. Of the last runs alone.
    pub fn report(&self, id: RunId) -> Option<Report> {
        self.shop.runs.report(id, self.shop.now())
    }

    /// The last runs, the newest first.
    pub fn reports(&self) -> Vec<Report> {
        self.shop.runs.reports(self.shop.now())
    }
}

impl Drop for Prerender {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Sees to one route's plan, from the start of Larder or a reload on.
async fn keep(shop: Arc<Shop>, plan: Plan) {
    if plan.closed {
        shop.restore(&plan).await;
    }
    if plan.settings.on_start || plan.closed {
        at_the_start(&shop, &plan).await;
    }
    while let Some(every) = plan.settings.every {
        tokio::time::sleep(every).await;
        let running = shop.begin(Some(&plan.route), Occasion::Every);
        shop.all(&running.run, std::slice::from_ref(&plan), Unless::Fresh).await;
    }
}

/// The origin may start later than Larder: it is tried until it answers, and what is stored by then is left alone.
async fn at_the_start(shop: &Arc<Shop>, plan: &Plan) {
    let mut pause = Duration::from_secs(1);
    loop {
        let running = shop.begin(Some(&plan.route), Occasion::Start);
        if shop.all(&running.run, std::slice::from_ref(plan), Unless::Stored).await == Reached::Yes {
            return;
        }
        drop(running);
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Whether the origin could be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reached {
    Yes,
    No,
}

impl Shop {
    fn now(&self) -> semantics::Timestamp {
        self.current.load().engine.clock.now()
    }

    fn begin(self: &Arc<Self>, route: Option<&Arc<str>>, occasion: Occasion) -> Running {
        Running { run: self.runs.begin(route, occasion, None, self.now()), shop: self.clone() }
    }

    /// Generates the pages of these plans.
    async fn all(self: &Arc<Self>, run: &Arc<Run>, plans: &[Plan], unless: Unless) -> Reached {
        let mut reached = Reached::Yes;
        for plan in plans {
            let began = self.now();
            let listing = listing::read(self, plan, run).await;
            if !listing.complete {
                reached = listing.reached;
            } else if plan.closed {
                let site = self.current.load_full();
                let bytes = listing.listed.to_bytes();
                site.lists.put(&plan.route, listing.listed, began);
                site.engine.save(saved_as(plan), bytes).await;
            }
            // A closed route needs its list whether or not its pages are generated now.
            let wanted = match run.occasion {
                Occasion::Start => plan.settings.on_start,
                Occasion::Activate => plan.settings.on_activate,
                Occasion::Every | Occasion::Order => true,
            };
            if wanted && run::generate(self, run, listing.pages, plan.settings.concurrency, unless).await == Reached::No
            {
                reached = Reached::No;
            }
        }
        reached
    }

    /// What the lists of a closed route said before a restart counts until they are read again (semantics 25).
    async fn restore(&self, plan: &Plan) {
        let site = self.current.load_full();
        if let Some(bytes) = site.engine.saved(saved_as(plan)).await {
            site.lists.restore(&plan.route, Listed::from_bytes(&bytes));
        }
    }

    /// Generates an order's own paths.
    async fn paths(self: &Arc<Self>, run: &Arc<Run>, paths: &[String], host: Option<&str>) {
        let (shop, given, host, into) = (self.clone(), paths.to_vec(), host.map(str::to_owned), run.clone());
        let listed = tokio::task::spawn_blocking(move || listing::given(&shop, &given, host.as_deref(), &into));
        let Ok(pages) = listed.await else { return };
        run::generate(self, run, pages, CONCURRENCY, Unless::Fresh).await;
    }
}

/// The name under which a route's list is kept: lists of other sources are not its lists.
fn saved_as(plan: &Plan) -> String {
    format!("list of {plan:?}")
}

/// Whether an outcome says that the origin cannot be asked at present.
fn is_unreachable(done: &Prerendered) -> bool {
    use semantics::settlement::Failure;
    match done {
        Prerendered::Failed(failed) => failed.failure.is_unreachable() || failed.failure == Failure::Shed,
        _ => false,
    }
}
