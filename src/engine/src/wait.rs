//! A visit that cannot be answered at once: it leads or joins a fill, and watches it (semantics 3-5, 20, 27).

use crate::canonical::{self, Carry};
use crate::failed::Failed;
use crate::fill::{self, Job};
use crate::flight::{Landing, Lead, Opened, Sight, Watcher};
use crate::guard::Known;
use crate::history::Cause;
use crate::invalidate::{Tags, Validity};
use crate::origin::{Early, Kind};
use crate::probe::Probe;
use crate::store::{KeyHash, StoredResponse};
use crate::{Engine, Selected, Served, Step, Visit};
use semantics::{CacheStatus, Decision, Forward, Selection, Timestamp, decision};
use std::sync::Arc;

/// How a visit is answered.
pub enum Answer {
    Served(Served),
    /// The body is on its way: read it from the watcher.
    Stream {
        opened: Arc<Opened>,
        watcher: Watcher,
        status: CacheStatus,
    },
    Failed {
        failed: Arc<Failed>,
        status: CacheStatus,
    },
    /// Hand the visitor's own request through. With a probe, its answer decides for everybody who waits.
    Pass(Forward, Option<Probe>),
    Unsatisfiable,
}

/// A visit starts over when what it waited for was not for it; each round is caused by another's outcome, and this
/// many of them end as a pass.
const ROUNDS: usize = 8;

/// When a visit came: what was ordered or written before that must show.
#[derive(Clone, Copy)]
struct Arrived {
    epoch: u64,
    at: Timestamp,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Led,
    Followed,
}

impl Engine {
    /// Answers a visit, waiting for a fill where one is needed.
    pub async fn answer(self: &Arc<Self>, visit: &Visit<'_>) -> Answer {
        self.answer_early(visit, None).await
    }

    /// The same, and tells what the origin says before it answers, if it is asked for this visit: what is said to others who
    /// wait for the same fill may be of another variant.
    pub async fn answer_early(self: &Arc<Self>, visit: &Visit<'_>, early: Option<Early>) -> Answer {
        match self.shared_home(visit) {
            Some((hash, key)) => self.answer_at(&Visit { key: &key, hash, ..*visit }, early).await,
            None => self.answer_at(visit, early).await,
        }
    }

    async fn answer_at(self: &Arc<Self>, visit: &Visit<'_>, early: Option<Early>) -> Answer {
        let arrived = Arrived { epoch: self.journal.epoch(), at: self.clock.now() };
        if visit.route.policy.admit_after > 1 {
            self.admission.note(visit.hash, arrived.at);
        }
        for _ in 0..ROUNDS {
            if let Some(answer) = self.round(visit, arrived, early.as_ref()).await {
                return answer;
            }
        }
        Answer::Pass(Forward::Miss, None)
    }

    /// One try; `None`: what was waited for was not for this visit, and it starts over.
    async fn round(self: &Arc<Self>, visit: &Visit<'_>, arrived: Arrived, early: Option<&Early>) -> Option<Answer> {
        let now = self.clock.now();
        let selected = self.select(visit);
        if let Some(answer) = self.without_waiting(visit, &selected, now) {
            return Some(answer);
        }
        let known = self.verdicts.get(selected.hash, now).is_some();
        let (watcher, lead) = self.flights.join_or_lead(selected.hash);
        let role = if lead.is_some() { Role::Led } else { Role::Followed };
        if let Some(lead) = lead {
            // Between the look-up and the claim another fill may have landed: look again, and start over if it did.
            let again = self.select(visit);
            let stored = |s: &Selected| s.stored.as_ref().map(Arc::as_ptr);
            let verdict = self.verdicts.get(selected.hash, self.clock.now()).is_some();
            if again.hash != selected.hash || stored(&again) != stored(&selected) || (verdict && !known) {
                return None;
            }
            if let Some(probe) = self.lead(visit, &selected, lead, early) {
                return Some(Answer::Pass(Forward::Request, Some(probe)));
            }
        }
        self.watch(visit, &selected, watcher, role, arrived).await
    }

    /// The answer where no fill is needed: from the store, from what is remembered of the key, or past the cache.
    fn without_waiting(self: &Arc<Self>, visit: &Visit<'_>, selected: &Selected, now: Timestamp) -> Option<Answer> {
        let chosen = selected.stored.clone().or_else(|| self.in_favourite_language(visit, now));
        if let Some(stored) = &chosen {
            match self.step(visit, Some(stored), now) {
                Step::Serve(served) => return Some(Answer::Served(served)),
                Step::Pass(why) => return Some(Answer::Pass(why, None)),
                Step::Unsatisfiable => return Some(Answer::Unsatisfiable),
                Step::Wait if self.must_ask_himself(visit, stored) => {
                    return Some(Answer::Pass(Forward::Request, None));
                }
                Step::Wait => {}
            }
        } else if let Some(served) = self.part(visit, selected, now) {
            return Some(Answer::Served(served));
        }
        match self.verdict(visit, selected.hash, &selected.nominated, now) {
            Some(Known::Failed(failed)) => {
                let why = if selected.stored.is_some() { Forward::Stale } else { Forward::UriMiss };
                let status =
                    CacheStatus::Forwarded { why, status: failed.failure.status(), stored: false, collapsed: true };
                return Some(Answer::Failed { failed, status });
            }
            Some(Known::NotStorable { .. }) if selected.stored.is_none() => {
                return Some(match decision::decide(visit.facts, Selection::NotStorable, now) {
                    Decision::Unsatisfiable => Answer::Unsatisfiable,
                    Decision::Bypass(why) => Answer::Pass(why, None),
                    _ => Answer::Pass(Forward::Miss, None),
                });
            }
            _ => {}
        }
        if selected.stored.is_some() {
            return None;
        }
        match decision::decide(visit.facts, Selection::Nothing, now) {
            Decision::Unsatisfiable => Some(Answer::Unsatisfiable),
            Decision::Bypass(why) => Some(Answer::Pass(why, None)),
            _ => None,
        }
    }

    /// Whether a page that has to be fetched anew is not for this visitor: he is personal, and nobody said that it is
    /// everybody's (semantics 3); or he comes with credentials, and what they bring may be his alone (RFC 9111, 3.5).
    pub(crate) fn must_ask_himself(&self, visit: &Visit<'_>, response: &StoredResponse) -> bool {
        let personal = is_for_himself(visit, &response.variant) && !response.is_shared();
        personal || credentials_go_along(visit, response)
    }

    /// What is known of a key, as far as it binds this visit.
    pub(crate) fn verdict(
        &self,
        visit: &Visit<'_>,
        hash: KeyHash,
        nominated: &[String],
        now: Timestamp,
    ) -> Option<Known> {
        self.verdicts.get(hash, now).filter(|known| match known {
            Known::Failed(_) => true,
            Known::NotStorable { personal_only, epoch, .. } => {
                (!personal_only || visit.is_personal(nominated)) && !self.invalidated_since(visit, *epoch)
            }
        })
    }

    /// Whether this visit's page was invalidated after `epoch`: what was known of it then is to be found out again.
    fn invalidated_since(&self, visit: &Visit<'_>, epoch: u64) -> bool {
        let tags = Tags::new(&visit.route.tags_of(visit.request.path));
        self.journal.check_for(&visit.subject(&tags), epoch, self.journal.epoch()) != Validity::Valid
    }

    /// Starts the fill, or returns the probe by which a personal visitor's own request finds out whether there may be one.
    fn lead(
        self: &Arc<Self>,
        visit: &Visit<'_>,
        selected: &Selected,
        lead: Lead,
        early: Option<&Early>,
    ) -> Option<Probe> {
        let isr = visit.route.policy.is_isr();
        let unknown = selected.stored.is_none() && !isr;
        let personal = unknown && visit.is_personal(&selected.nominated);
        let (mut request, cause) = match &selected.stored {
            Some(stored) => (canonical::refresh(visit, stored, Kind::Fill), Cause::Expired),
            None => {
                let carry = if unknown && !personal { Carry::BrowserFields } else { Carry::KeyOnly };
                (canonical::request(visit, &selected.nominated, carry, Kind::Fill), Cause::Miss)
            }
        };
        request.early = early.filter(|_| !personal).cloned();
        let job = Job::new(self, visit, lead, request, selected.hash, selected.stored.clone(), cause);
        if personal {
            return Some(Probe::new(job, visit));
        }
        fill::spawn(job);
        None
    }

    async fn watch(
        self: &Arc<Self>,
        visit: &Visit<'_>,
        selected: &Selected,
        mut watcher: Watcher,
        role: Role,
        arrived: Arrived,
    ) -> Option<Answer> {
        let why = match (&selected.stored, selected.nominated.is_empty()) {
            (Some(_), _) => Forward::Stale,
            (None, true) => Forward::UriMiss,
            (None, false) => Forward::VaryMiss,
        };
        let collapsed = role == Role::Followed;
        // A variant that is not stored yet is not known to who writes: its flight is told from the URL.
        if collapsed {
            if watcher.began_before_write(selected.written) {
                self.flights.abandon(selected.hash, &watcher);
                return None;
            }
            watcher.want();
        }
        match watcher.sight().await {
            Sight::Open(opened) => {
                if !suits(visit, &opened.variant) {
                    return None;
                }
                if !opened.shared && is_for_himself(visit, &opened.variant) {
                    return Some(Answer::Pass(Forward::Request, None));
                }
                match self.journal.check_for(&visit.subject(&opened.tags), opened.began, arrived.epoch) {
                    Validity::Valid if !watcher.was_written_before(arrived.at) => {}
                    // Its fetch began before something that he must not see the far side of.
                    Validity::Valid | Validity::Validate | Validity::Doubt | Validity::Hard => {
                        self.flights.abandon(selected.hash, &watcher);
                        return None;
                    }
                    // It will be stored as STALE, and served so.
                    Validity::Soft(_) => {
                        watcher.landing().await;
                        return None;
                    }
                }
                let stored = opened.stored && !collapsed;
                let status = CacheStatus::Forwarded { why, status: None, stored, collapsed };
                Some(Answer::Stream { opened, watcher, status })
            }
            Sight::Relay(opened, reason)
                if role == Role::Led && visit.owns(reason, &selected.nominated) && suits(visit, &opened.variant) =>
            {
                let status = CacheStatus::Forwarded { why, status: None, stored: false, collapsed: false };
                Some(Answer::Stream { opened, watcher, status })
            }
            Sight::Relay(..) => Some(Answer::Pass(Forward::Miss, None)),
            Sight::Landed(Landing::Stored(_) | Landing::Freshened(_)) if watcher.was_written_before(arrived.at) => None,
            Sight::Landed(landing) => self.landed(visit, selected, landing, why, collapsed, arrived),
        }
    }

    fn landed(
        &self,
        visit: &Visit<'_>,
        selected: &Selected,
        landing: Landing,
        why: Forward,
        collapsed: bool,
        arrived: Arrived,
    ) -> Option<Answer> {
        let overtaken = |response: &StoredResponse| {
            let subject = visit.subject(&response.tags);
            self.journal.check_for(&subject, response.checked.began(), arrived.epoch) != Validity::Valid
        };
        match landing {
            Landing::Stored(response) | Landing::Freshened(response) | Landing::Unstored(response)
                if self.must_ask_himself(visit, &response) =>
            {
                Some(Answer::Pass(Forward::Request, None))
            }
            // Looked up again, it is what the invalidation made of it.
            Landing::Stored(response) | Landing::Freshened(response) | Landing::Unstored(response)
                if overtaken(&response) =>
            {
                None
            }
            Landing::Stored(response) if suits(visit, &response.variant) => {
                let status = CacheStatus::Forwarded { why, status: None, stored: !collapsed, collapsed };
                Some(Answer::Served(Served { response, status }))
            }
            Landing::Freshened(response) if suits(visit, &response.variant) => {
                let status = CacheStatus::Forwarded { why, status: Some(304), stored: !collapsed, collapsed };
                Some(Answer::Served(Served { response, status }))
            }
            Landing::Unstored(response) if suits(visit, &response.variant) => {
                let status = CacheStatus::Forwarded { why, status: None, stored: false, collapsed };
                Some(Answer::Served(Served { response, status }))
            }
            Landing::Failed(failed) => Some(self.after_failure(selected.stored.as_ref(), failed, why, collapsed)),
            Landing::Stored(_)
            | Landing::Freshened(_)
            | Landing::Unstored(_)
            | Landing::NotStorable(_)
            | Landing::Delivered
            | Landing::Abandoned => None,
        }
    }

    /// A fill failed: what is stored answers if it may (semantics 9), else everybody gets the same failure.
    fn after_failure(
        &self,
        stored: Option<&Arc<StoredResponse>>,
        failed: Arc<Failed>,
        why: Forward,
        collapsed: bool,
    ) -> Answer {
        let now = self.clock.now();
        let usable = stored.filter(|s| self.is_usable(s, now));
        match usable {
            Some(response) => {
                let status = CacheStatus::StaleAfter { status: failed.failure.status() };
                Answer::Served(Served { response: response.clone(), status })
            }
            None => {
                let status = CacheStatus::Forwarded { why, status: failed.failure.status(), stored: false, collapsed };
                Answer::Failed { failed, status }
            }
        }
    }
}

/// Whether a visitor is personal beside what selected this variant, on a route where that counts.
fn is_for_himself(visit: &Visit<'_>, variant: &[(String, Option<Vec<u8>>)]) -> bool {
    let nominated: Vec<String> = variant.iter().map(|(name, _)| name.clone()).collect();
    !visit.route.policy.is_isr() && visit.is_personal(&nominated)
}

/// Whether what a fill for this visitor brings may be his alone: his credentials would go along with it (`profile: rfc9111`), and
/// nobody said that their answer is everybody's (RFC 9111, 3.5).
pub(crate) fn credentials_go_along(visit: &Visit<'_>, response: &StoredResponse) -> bool {
    visit.facts.authorization && visit.route.policy.is_plain() && !response.is_shared_with_credentials()
}

/// Whether a response with these nominated fields answers this visitor (RFC 9111, 4.1).
fn suits(visit: &Visit<'_>, variant: &[(String, Option<Vec<u8>>)]) -> bool {
    if variant.is_empty() {
        return true;
    }
    let names: Vec<String> = variant.iter().map(|(n, _)| n.clone()).collect();
    semantics::vary::nominated(&names, visit.request, &visit.route.policy) == variant
}
