//! Pages that are generated before anybody asks for them (semantics 24). Which those are is for others to say.

use crate::canonical::{self, Carry};
use crate::failed::Failed;
use crate::fill::{self, Job};
use crate::flight::{Landing, Lead};
use crate::guard::Known;
use crate::history::Cause;
use crate::origin::{Kind, OriginId};
use crate::store::StoredResponse;
use crate::{Engine, Selected, Visit};
use semantics::Timestamp;
use semantics::storability::NotStorable;
use std::sync::Arc;
use std::time::Duration;

/// When a page is left as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unless {
    /// It is stored, fresh or not.
    Stored,
    /// It is fresh: it is rendered at most once a window.
    Fresh,
}

/// What became of one page.
#[derive(Clone, Debug)]
pub enum Prerendered {
    Stored {
        took: Duration,
    },
    /// It was there already, or is not to be tried again yet.
    LeftAsItIs,
    NotStored(&'static str),
    Failed(Arc<Failed>),
}

/// A page is tried so often at most: each time another fill of it, with another outcome, was faster.
const TRIES: usize = 4;

impl Engine {
    /// Renders a page that nobody asked for, and returns when it is stored. Visitors go before it.
    pub async fn prerender(self: &Arc<Self>, visit: &Visit<'_>, unless: Unless) -> Prerendered {
        self.recall(visit).await;
        match self.shared_home(visit) {
            Some((hash, key)) => self.prerender_at(&Visit { key: &key, hash, ..*visit }, unless).await,
            None => self.prerender_at(visit, unless).await,
        }
    }

    async fn prerender_at(self: &Arc<Self>, visit: &Visit<'_>, unless: Unless) -> Prerendered {
        let started = self.clock.now();
        for _ in 0..TRIES {
            let selected = self.select(visit);
            let now = self.clock.now();
            if selected.stored.as_ref().is_some_and(|stored| self.stays(stored, unless, now)) {
                return Prerendered::LeftAsItIs;
            }
            match self.verdict(visit, selected.hash, &selected.nominated, now) {
                Some(Known::Failed(failed)) => return Prerendered::Failed(failed),
                Some(Known::NotStorable { reason, .. }) if selected.stored.is_none() => {
                    return Prerendered::NotStored(reason.as_str());
                }
                _ => {}
            }
            let (mut watcher, lead) = self.flights.join_or_lead(selected.hash);
            let ours = lead.is_some();
            if let Some(lead) = lead {
                // Between the look-up and the claim another fill may have landed: look again.
                let again = self.select(visit);
                let there = |s: &Selected| s.stored.as_ref().map(Arc::as_ptr);
                if again.hash != selected.hash || there(&again) != there(&selected) {
                    continue;
                }
                self.spawn_ordered(visit, &selected, lead, Kind::Prerender, Cause::Prerender);
            }
            match watcher.landing().await {
                Some(Landing::Stored(_) | Landing::Freshened(_)) => {
                    return Prerendered::Stored { took: self.clock.now().since(started) };
                }
                Some(Landing::Failed(failed)) => return Prerendered::Failed(failed),
                Some(Landing::NotStorable(reason)) => return Prerendered::NotStored(reason.as_str()),
                Some(Landing::Unstored(_)) if ours => {
                    return Prerendered::NotStored(NotStorable::Guard.as_str());
                }
                // Too few had asked for it, when a visitor did.
                Some(Landing::Unstored(_)) => {}
                None | Some(Landing::Delivered) => return Prerendered::NotStored("too-large or not cacheable"),
                Some(Landing::Abandoned) => {}
            }
        }
        Prerendered::NotStored("other fills were faster")
    }

    /// Whether a response is stored for this visit, fresh or not.
    pub fn is_stored(&self, visit: &Visit<'_>) -> bool {
        self.at_home(visit, |visit| self.select(visit).stored.is_some())
    }

    /// Whether nothing is known of a visit's page: neither is it stored, nor may it not be, nor did it just fail.
    pub fn is_unknown(&self, visit: &Visit<'_>) -> bool {
        self.at_home(visit, |visit| {
            let selected = self.select(visit);
            let verdict = || self.verdict(visit, selected.hash, &selected.nominated, self.clock.now());
            selected.stored.is_none() && verdict().is_none()
        })
    }

    /// A document that says which pages there are was fetched: counted like any request to an origin.
    pub fn fetched_a_list(&self, origin: OriginId, outcome: &'static str, took: Duration) {
        self.metrics.origin_request(&self.origins[origin].settings.name, Kind::Prerender, outcome, took);
    }

    /// Starts the fill of a page that a visitor asked for, and does not wait for it.
    pub fn start(self: &Arc<Self>, visit: &Visit<'_>) {
        self.admission.note(visit.hash, self.clock.now());
        let Some(lead) = self.flights.lead(self.select(visit).hash) else { return };
        // Between the look-up and the claim another fill may have landed.
        let selected = self.select(visit);
        if selected.stored.is_none() {
            self.spawn_ordered(visit, &selected, lead, Kind::Fill, Cause::Miss);
        }
    }

    fn stays(&self, stored: &StoredResponse, unless: Unless, now: Timestamp) -> bool {
        let failing = stored.regeneration.failing_until().is_some_and(|until| now < until);
        let fresh = || self.windows(stored, now).is_some_and(|windows| now < windows.fresh_until);
        unless == Unless::Stored || failing || fresh()
    }

    /// A fill that no visitor causes.
    pub(crate) fn spawn_ordered(
        self: &Arc<Self>,
        visit: &Visit<'_>,
        selected: &Selected,
        lead: Lead,
        kind: Kind,
        cause: Cause,
    ) {
        let request = match &selected.stored {
            Some(stored) => canonical::refresh(visit, stored, kind),
            None => canonical::request(visit, &selected.nominated, Carry::KeyOnly, kind),
        };
        fill::spawn(Job::new(self, visit, lead, request, selected.hash, selected.stored.clone(), cause));
    }
}
