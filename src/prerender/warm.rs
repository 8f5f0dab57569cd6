//! A deployment is warmed before it is activated: the pages of its routes' lists, and those that visitors asked for most
//! under the one before, are rendered under its id while the old one is still served.

use super::own::Page;
use super::run::{Run, one};
use super::{Occasion, Plan, Prerender, Report, Running, Shop, is_unreachable};
use engine::{Prerendered, Unless};
use semantics::Scheme;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// A page that visitors asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Visited {
    pub scheme: Scheme,
    pub host: String,
    /// With its query.
    pub target: String,
}

/// Pages at a time.
const CONCURRENCY: usize = 8;
/// An origin that starts just now is tried so often, a second apart: a new deployment rarely answers at once.
const TRIES: usize = 5;
const PAUSE: Duration = Duration::from_secs(1);

impl Prerender {
    /// Renders pages under a deployment that is not served yet, and returns when all are done.
    pub async fn warm(&self, deployment: &str, visited: Vec<Visited>) -> Report {
        let shop = self.shop.clone();
        let run = shop.runs.begin(None, Occasion::Activate, Some(deployment), shop.now());
        let running = Running { run: run.clone(), shop: shop.clone() };
        let plans: Vec<Plan> = {
            let plans = self.plans.lock();
            plans.values().map(|(plan, _)| plan.clone()).filter(|plan| plan.settings.on_activate).collect()
        };
        // Visitors' pages first: they find out, patiently, whether the origin is there.
        pages(&shop, &run, visited).await;
        shop.all(&run, &plans, Unless::Stored).await;
        drop(running);
        run.report(shop.now())
    }
}

async fn pages(shop: &Arc<Shop>, run: &Arc<Run>, visited: Vec<Visited>) {
    let mut seen = HashSet::new();
    let mut left: Vec<Page> = Vec::new();
    for Visited { scheme, host, target } in visited.into_iter().filter(|page| seen.insert(page.clone())) {
        run.listed();
        left.push(Page { scheme, host, target });
    }
    run.renders();
    for again in (0..TRIES).rev() {
        left = round(shop, run, left, again == 0).await;
        if left.is_empty() {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Renders pages, and returns those for which the origin could not be asked; `last`: these have failed then.
async fn round(shop: &Arc<Shop>, run: &Arc<Run>, pages: Vec<Page>, last: bool) -> Vec<Page> {
    let mut left = Vec::new();
    let mut running: JoinSet<(Page, Prerendered)> = JoinSet::new();
    let mut done = |page: Page, done: &Prerendered| {
        if is_unreachable(done) && !last {
            left.push(page);
        } else {
            run.note(&page, done);
        }
    };
    for page in pages {
        if running.len() >= CONCURRENCY
            && let Some(Ok((page, outcome))) = running.join_next().await
        {
            done(page, &outcome);
        }
        let (shop, run) = (shop.clone(), run.clone());
        running.spawn(async move {
            let outcome = one(&shop, &run, &page, Unless::Stored).await;
            (page, outcome)
        });
    }
    while let Some(ended) = running.join_next().await {
        if let Ok((page, outcome)) = ended {
            done(page, &outcome);
        }
    }
    left
}
