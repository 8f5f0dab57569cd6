//! How a fill ends without a new version: what is remembered of its key, and what those who wait are told.

use super::Job;
use crate::failed::{Failed, SHARED_FOR};
use crate::flight::Landing;
use crate::guard::{Known, NOT_STORABLE_FOR, next_attempt};
use crate::history::Cause;
use crate::store::{Standing, StoredResponse};
use semantics::Timestamp;
use semantics::guard::Broken;
use semantics::settlement::Failure;
use semantics::storability::NotStorable;
use std::sync::Arc;
use std::time::Duration;

impl Job {
    pub(crate) fn fail(mut self, mut failed: Failed) {
        let now = failed.at;
        if let Some(stored) = self.stored.clone() {
            self.log_failure(&failed, now);
            let next = next_attempt(&stored.windows, failed.retry_after, now);
            if !self.engine.is_usable(&stored, now) {
                // It may not answer in the origin's place: the failure does, until the next attempt (semantics 31).
                failed.until = next;
            }
            let failing = &self.route.metrics.failing;
            let standing = stored.regeneration.failed(failed.failure, now, next, failing);
            self.engine.metrics.refresh_failed(&self.route.name, failed.failure);
            if standing == Standing::Goes {
                return self.drop_stored(NotStorable::Status);
            }
        } else if self.route.may_log(now) {
            tracing::warn!(route = %self.route.name, url = %self.request.url(), reason = %failed.message, "no page: the origin failed and nothing is stored");
        }
        let failed = Arc::new(failed);
        self.note(&Known::Failed(failed.clone()));
        self.lead.land(Landing::Failed(failed));
    }

    fn log_failure(&self, failed: &Failed, now: Timestamp) {
        if self.route.may_log(now) {
            tracing::warn!(route = %self.route.name, url = %self.request.url(), reason = %failed.message, "regeneration failed: the stored page stays and is tried again later");
        }
    }

    pub(super) fn shed(self, message: &str) {
        let now = self.engine.clock.now();
        let retry_after = Some(Duration::from_secs(1));
        self.fail(Failed { retry_after, ..Failed::plain(Failure::Shed, message, now) });
    }

    fn not_storable(mut self, reason: NotStorable) {
        self.note_not_storable(reason, false);
        self.lead.land(Landing::NotStorable(reason));
    }

    /// A first version breaks a guard: whoever waited for it shares it, and nobody after him (semantics 34).
    pub(super) fn guarded(mut self, response: Arc<StoredResponse>, broken: Broken) {
        if self.route.may_log(self.engine.clock.now()) {
            tracing::warn!(route = %self.route.name, url = %self.request.url(), guard = broken.as_str(), "a first version breaks a guard of its route: it is delivered, and not stored");
        }
        self.note_not_storable(NotStorable::Guard, false);
        self.lead.land(Landing::Unstored(response));
    }

    /// A first version that too few have asked for: whoever waited for it shares it, and the next one asks anew.
    pub(super) fn not_admitted(mut self, response: Arc<StoredResponse>) {
        self.lead.land(Landing::Unstored(response));
        // Counted when it is over: whoever sees the number asks anew.
        self.engine.metrics.uncacheable(&self.route.name, NotStorable::NotAdmitted);
    }

    /// Takes one of the route's renders, where they are counted: pages that are stored go before others. What operators
    /// and lists of pages order is not counted.
    ///
    /// # Errors
    /// There is none left; how long until there is one.
    pub(super) fn within_budget(&self) -> Result<(), Duration> {
        let now = self.engine.clock.now();
        match (self.cause, &self.stored) {
            (Cause::Operator | Cause::Prerender, _) => Ok(()),
            (_, None) => self.route.budget.take(now),
            (_, Some(_)) => self.route.budget.owe(now),
        }
    }

    /// A refresh ahead of its time that finds no place is none: the page is fresh, and becomes stale as any other.
    pub(super) fn leave(mut self) {
        if let (Some(stored), true) = (&self.stored, self.claimed) {
            stored.regeneration.release(self.engine.clock.now());
        }
        self.lead.land(Landing::Abandoned);
    }

    /// What is stored stays, and is no worse for it.
    pub(super) fn over_budget(mut self, wait: Duration) {
        let now = self.engine.clock.now();
        let message = "the route has had its renders of this minute (`renders_per_minute`)";
        let failed = Failed { retry_after: Some(wait), ..Failed::plain(Failure::Budget, message, now) };
        let Some(stored) = &self.stored else { return self.fail(failed) };
        self.engine.metrics.refresh_failed(&self.route.name, Failure::Budget);
        if self.claimed {
            stored.regeneration.release(now.after(wait));
        }
        self.lead.land(Landing::Failed(Arc::new(failed)));
    }

    /// Found out by a personal visitor's own request.
    pub(crate) fn not_storable_for_visitor(mut self, reason: NotStorable) {
        self.note_not_storable(reason, true);
        self.lead.land(Landing::NotStorable(reason));
    }

    /// A personal visitor's own request failed: it may be his cookie that the origin cannot bear. Others who are personal
    /// ask for themselves, under the cap; an anonymous visitor starts a fill.
    pub(crate) fn his_failure(mut self) {
        let until = self.engine.clock.now().after(SHARED_FOR);
        self.note(&Known::NotStorable { reason: NotStorable::Status, until, epoch: self.began, personal_only: true });
        self.lead.land(Landing::NotStorable(NotStorable::Status));
    }

    /// Remembers something of every key at which this fill is found.
    fn note(&self, known: &Known) {
        for hash in self.lead.keys() {
            self.engine.verdicts.note(*hash, known.clone());
        }
    }

    pub(super) fn drop_stored(self, reason: NotStorable) {
        if let Some(stored) = &self.stored {
            self.engine.store.remove_response(self.hash, stored);
        }
        self.not_storable(reason);
    }

    pub(super) fn note_not_storable(&self, reason: NotStorable, personal_only: bool) {
        let now = self.engine.clock.now();
        let may_change = !matches!(reason, NotStorable::TooLarge | NotStorable::CloseDelimited);
        // `max_object` is memory's while the disk is off: that says nothing of the page, nor of what lies there.
        let disk_off = matches!(reason, NotStorable::TooLarge) && !self.engine.store.is_whole();
        // In a plain cache the next answer is stored if it may be.
        if !disk_off && (!self.route.policy.is_plain() || !may_change) {
            let until = now.after(NOT_STORABLE_FOR);
            self.note(&Known::NotStorable { reason, until, epoch: self.began, personal_only });
        }
        // Counted when it is known: whoever sees the number finds it so.
        self.engine.metrics.uncacheable(&self.route.name, reason);
        let blocked = matches!(reason, NotStorable::NoStore | NotStorable::Private);
        if blocked && self.route.policy.is_isr() && self.route.first_block() {
            tracing::warn!(route = %self.route.name, url = %self.request.url(), reason = reason.as_str(), "the origin's Cache-Control keeps pages of this route out of the cache; `override_origin: true` stores them all the same");
        }
    }
}
