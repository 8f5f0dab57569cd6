//! Deployments (semantics 54): whose pages are served, which others stay stored, and what stands in for a page that the new
//! one has not rendered yet. A deployment is the first part of every key, so that switching is one store, and switching back
//! finds everything as it was.

use crate::guard::{Known, back_off};
use crate::invalidate::NotKept;
use crate::store::{KeyHash, StoredResponse};
use crate::{Engine, Served, Visit};
use parking_lot::Mutex;
use semantics::{CacheStatus, key, page};
use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The name under which the journal keeps them.
const NOTE: &str = "deployments";

/// What is configured of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeploymentSettings {
    pub id: String,
    /// So many keep their pages, the one that is served among them.
    pub keep: usize,
    /// Whether the one before stands in.
    pub bridge: bool,
}

/// In which order they were served.
#[derive(Default)]
pub(crate) struct Deployments {
    order: Mutex<Order>,
    keep: AtomicUsize,
    bridge: AtomicBool,
    /// What the configuration said last.
    settings: Mutex<Option<DeploymentSettings>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Order {
    /// The id in the configuration, when it was last read.
    configured: String,
    /// The one that is served first, then the one that was served before it, and so on.
    ids: Vec<String>,
}

impl Order {
    /// Ids have no control characters: one parts them here.
    fn written(&self) -> Vec<u8> {
        let mut lines = vec![self.configured.as_str()];
        lines.extend(self.ids.iter().map(String::as_str));
        lines.join("\n").into_bytes()
    }

    fn read(note: &[u8]) -> Option<Order> {
        let mut lines = std::str::from_utf8(note).ok()?.split('\n').map(str::to_owned);
        Some(Order { configured: lines.next()?, ids: lines.collect() })
    }

    fn activate(&mut self, id: &str) {
        self.ids.retain(|there| there != id);
        self.ids.insert(0, id.to_owned());
    }
}

impl Engine {
    /// Takes over what is configured. The id counts if it is another one than when a configuration was last read; otherwise
    /// what was activated since then stays.
    ///
    /// # Errors
    /// It could not be kept, and another deployment may be served after a restart.
    pub fn configure(self: &Arc<Self>, settings: &DeploymentSettings) -> Result<(), NotKept> {
        let deployments = &self.deployments;
        deployments.keep.store(settings.keep.max(1), Ordering::Relaxed);
        deployments.bridge.store(settings.bridge, Ordering::Relaxed);
        *deployments.settings.lock() = Some(settings.clone());
        self.switch(|order| {
            if order.configured != settings.id || order.ids.is_empty() {
                order.configured.clone_from(&settings.id);
                order.activate(&settings.id);
            }
        })
        .map(|_| ())
    }

    /// The process that held the journal has left: what is configured here counts now.
    pub(crate) fn configure_again(self: &Arc<Self>) {
        let settings = self.deployments.settings.lock().clone();
        if let Some(Err(error)) = settings.map(|settings| self.configure(&settings)) {
            tracing::warn!(%error, "`deployment.id` does not count");
        }
    }

    /// Serves the pages of this deployment from now on. Those of others stay stored, as long as there is room and they are
    /// among those that are kept; what is being rendered for one is stored for that one. Says whether it is on the disk, where
    /// there is one.
    ///
    /// # Errors
    /// It could not be kept: nothing changed.
    pub fn activate(self: &Arc<Self>, deployment: &str) -> Result<bool, NotKept> {
        self.switch(|order| order.activate(deployment))
    }

    fn switch(self: &Arc<Self>, change: impl FnOnce(&mut Order)) -> Result<bool, NotKept> {
        let mut order = self.deployments.order.lock();
        if order.ids.is_empty()
            && let Some(before) = self.journal.noted(NOTE).and_then(|note| Order::read(&note))
        {
            *order = before;
        }
        let mut new = order.clone();
        change(&mut new);
        let keep = self.deployments.keep.load(Ordering::Relaxed).max(1);
        let gone = new.ids.split_off(keep.min(new.ids.len()));
        let written = new.written();
        let changed = self.journal.noted(NOTE).as_deref() != Some(&written);
        let event = if changed { Some(self.journal.note(NOTE, &written)?) } else { None };
        if let Some(active) = new.ids.first() {
            self.deployment.store(Arc::new(active.clone()));
        }
        *order = new;
        // Visits that bridge ask for it.
        drop(order);
        // On the disk before anybody is told, where there is one and it answers.
        // With nothing to write, what was written before may still be on its way.
        let durable = event.map_or_else(|| !self.journal.is_behind(), |event| self.is_durable(event));
        if !gone.is_empty() && tokio::runtime::Handle::try_current().is_ok() {
            tokio::spawn(forget(self.clone(), gone));
        }
        Ok(durable)
    }

    /// Whose pages are served, as another process that holds the journal says.
    pub(crate) fn follow_deployments(&self) {
        if let Some(order) = self.journal.noted(NOTE).and_then(|note| Order::read(&note)) {
            if let Some(active) = order.ids.first() {
                self.deployment.store(Arc::new(active.clone()));
            }
            *self.deployments.order.lock() = order;
        }
    }

    /// The deployment whose pages are served.
    pub fn deployment(&self) -> Arc<String> {
        self.deployment.load_full()
    }

    fn keeps(&self, id: &str) -> bool {
        self.deployments.order.lock().ids.iter().any(|kept| kept == id)
    }

    /// The one that was served before it.
    fn previous(&self) -> Option<String> {
        self.deployments.order.lock().ids.get(1).cloned()
    }

    /// How many responses of each deployment are stored, by its id.
    pub async fn deployments(&self) -> BTreeMap<String, usize> {
        let known = self.deployments.order.lock().ids.clone();
        let mut counts: BTreeMap<String, usize> = known.into_iter().map(|id| (id, 0)).collect();
        counts.entry(self.deployment().to_string()).or_default();
        let mut held = 0;
        while let Some(found) = self.store.held(held) {
            for (_, response) in found {
                if let Some(id) = deployment_of(&response) {
                    *counts.entry(id.into_owned()).or_default() += 1;
                }
            }
            held += 1;
            tokio::task::yield_now().await;
        }
        // What is in memory is on the disk too, or will be in a moment.
        for (id, count) in self.store.disk_deployments().await {
            let there = counts.entry(id).or_default();
            *there = count.max(*there);
        }
        // What is keyed without one belongs to all of them.
        counts.remove("");
        counts
    }

    /// The page of the deployment before, for a visit whose own page is not rendered yet: STALE, while that one is rendered.
    /// Never data, which would not fit what the visitor has, and nothing that was invalidated hard.
    pub async fn bridged(self: &Arc<Self>, visit: &Visit<'_>) -> Option<Served> {
        if !self.deployments.bridge.load(Ordering::Relaxed) || is_data(visit) {
            return None;
        }
        let (hash, key) = self.rekeyed(visit.key, &self.previous()?);
        let before = Visit { key: &key, hash, ..*visit };
        let own = self.select(visit);
        let now = self.clock.now();
        let verdict = self.verdict(visit, own.hash, &own.nominated, now);
        if own.stored.is_some() || matches!(verdict, Some(Known::NotStorable { .. })) {
            return None;
        }
        self.recall(&before).await;
        let response = self.select(&before).stored?;
        let windows = self.windows(&response, now).filter(|windows| now < windows.usable_until())?;
        let waits = now >= windows.stale_until && verdict.is_none();
        if waits || self.must_ask_himself(visit, &response) {
            return None;
        }
        if verdict.is_none() && response.regeneration.claim(now) {
            self.start(visit);
            // A render that fails is tried again after the usual pause, whoever asks.
            response.regeneration.release(now.after(back_off(&response.windows)));
        }
        let ttl = windows.fresh_until.seconds_from(now).min(0);
        Some(Served { response, status: CacheStatus::Hit { ttl, failing: verdict.is_some() } })
    }

    /// What of a deployment was asked for most: the stored pages of a kind that can be asked for by its URL alone, `most` at
    /// most.
    pub async fn most_visited(&self, deployment: &str, most: usize) -> Vec<Arc<StoredResponse>> {
        let mut found: Vec<(u32, KeyHash, Arc<StoredResponse>)> = Vec::new();
        let mut part = 0;
        while let Some(held) = self.store.held_with_hits(part) {
            let of_it = held.into_iter().filter(|(_, response, _)| is_page_of(response, deployment));
            found.extend(of_it.map(|(hash, response, hits)| (hits, hash, response)));
            part += 1;
            tokio::task::yield_now().await;
        }
        found.sort_unstable_by_key(|(hits, hash, _)| Reverse((*hits, *hash)));
        found.truncate(most);
        let mut pages: Vec<_> = found.into_iter().map(|(.., response)| response).collect();
        if pages.len() < most {
            // After a restart nobody knows how often, but the disk knows when.
            let there: Vec<KeyHash> = pages.iter().map(|page| self.hasher.hash(&page.key)).collect();
            let below = self.store.recent_below(deployment, most - pages.len(), there).await;
            pages.extend(below.into_iter().filter(|response| is_page_of(response, deployment)));
        }
        pages
    }
}

/// Removes what is stored of deployments that are not kept.
async fn forget(engine: Arc<Engine>, gone: Vec<String>) {
    for id in gone {
        tracing::info!(deployment = %id, "a deployment is not kept any more (`deployment.keep`): its pages go");
        let mut part = 0;
        while let Some(held) = engine.store.held(part) {
            for (hash, response) in held {
                if engine.keeps(&id) {
                    return;
                }
                if deployment_of(&response).is_some_and(|of| *of == *id) {
                    engine.store.remove_response(hash, &response);
                }
            }
            part += 1;
            tokio::task::yield_now().await;
        }
        if !engine.keeps(&id) {
            engine.store.remove_deployment(id).await;
        }
    }
}

fn deployment_of(response: &StoredResponse) -> Option<Cow<'_, str>> {
    key::deployment(&response.key, !response.variant.is_empty()).map(String::from_utf8_lossy)
}

/// A page that a browser would ask for, and that can be asked for again by its URL.
fn is_page_of(response: &StoredResponse, deployment: &str) -> bool {
    let plain = response.variant.is_empty() && response.head.status() == http::StatusCode::OK;
    let key = || key::read(&response.key, false);
    plain
        && deployment_of(response).is_some_and(|of| *of == *deployment)
        && key().is_some_and(|key| key.fields.is_empty())
}

/// Data that a script of the same deployment asks for.
fn is_data(visit: &Visit<'_>) -> bool {
    visit.facts.rsc || visit.facts.keyed_group || page::pages_of(visit.request.path).len() > 1
}
