//! What happens because somebody said so: invalidations, ordered regenerations, tags, and writes to a URL (semantics 36-42).

use crate::failed::Failed;
use crate::flight::Landing;
use crate::guard::{BACK_OFF_LEAST, write_pause};
use crate::history::Cause;
use crate::invalidate::{EventNumber, Invalidation, Mode, NotKept, TagsRefused, Target, Validity};
use crate::origin::Kind;
use crate::store::{Slot, StoredResponse};
use crate::writes::Writer;
use crate::{Engine, Visit};
use semantics::Timestamp;
use semantics::settlement::Failure;
use semantics::storability::NotStorable;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::runtime::RuntimeFlavor::MultiThread;

/// A page that was regenerated because somebody ordered it.
#[derive(Clone, Debug)]
pub struct Regenerated {
    pub response: Arc<StoredResponse>,
    pub took: Duration,
}

/// What came of an invalidation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalidated {
    pub epoch: u64,
    /// Whether it holds after a crash, as far as anything does here: not if the disk refuses it.
    pub durable: bool,
}

/// How long whoever orders something waits for the disk.
const DISK_PATIENCE: Duration = Duration::from_secs(5);

/// An order is carried out in so many tries at most: each is lost to a fill that began before the order.
const TRIES: usize = 8;

/// What a page was tagged with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagsAdded {
    /// All that were added there so far.
    pub tags: Vec<String>,
    /// Whether the disk has it, where there is one.
    pub durable: bool,
}

impl Engine {
    /// Invalidates. When this returns nobody gets what is selected as fresh. Where there is a disk it is on the disk by then,
    /// or the disk does not answer: so this may block.
    ///
    /// # Errors
    /// Another process holds the journal: nothing was invalidated.
    pub fn invalidate(self: &Arc<Self>, all: &[Invalidation]) -> Result<Invalidated, NotKept> {
        let recorded = self.journal.invalidate(all, self.clock.now())?;
        for one in all {
            self.metrics.invalidated(one);
        }
        self.metrics.invalidations_folded(recorded.folded);
        if recorded.sweep && !self.sweeping.swap(true, Ordering::AcqRel) {
            tokio::spawn(sweep(self.clone()));
        }
        Ok(Invalidated { epoch: recorded.epoch, durable: self.is_durable(recorded.event) })
    }

    /// Waits for the disk, but not for ever; others have the worker meanwhile. Where it did not take it, the log says so too:
    /// not every caller has somebody to tell.
    pub(crate) fn is_durable(&self, event: EventNumber) -> bool {
        let durable = self.became_durable(event);
        if !durable {
            tracing::warn!("a change counts, and the disk did not take it (in time): a restart may undo it");
        }
        durable
    }

    fn became_durable(&self, event: EventNumber) -> bool {
        if self.store.disk().is_none() {
            return true;
        }
        if !self.keeps_journal.load(Ordering::Acquire) {
            return self.journal.wait(event);
        }
        let wait = || self.journal.wait_for(event, DISK_PATIENCE);
        if tokio::runtime::Handle::try_current().is_ok_and(|h| h.runtime_flavor() == MultiThread) {
            tokio::task::block_in_place(wait)
        } else {
            wait()
        }
    }

    /// The newest epoch.
    pub fn epoch(&self) -> u64 {
        self.journal.epoch()
    }

    /// Adds tags to whatever is stored at a page, now and later.
    ///
    /// # Errors
    /// There is no room for more: nothing was added.
    pub fn add_tags(&self, host: Option<&str>, path: &str, tags: &[String]) -> Result<TagsAdded, TagsRefused> {
        let tagged = self.journal.add_tags(host, path, tags)?;
        let durable = tagged.event.is_none_or(|event| self.is_durable(event));
        Ok(TagsAdded { tags: tagged.names, durable })
    }

    /// Renders a visit's page now, and returns when it is stored. What is stored stays if that fails.
    ///
    /// # Errors
    /// What the origin did instead.
    pub async fn regenerate(self: &Arc<Self>, visit: &Visit<'_>) -> Result<Regenerated, Arc<Failed>> {
        self.recall(visit).await;
        match self.shared_home(visit) {
            Some((hash, key)) => self.regenerate_at(&Visit { key: &key, hash, ..*visit }).await,
            None => self.regenerate_at(visit).await,
        }
    }

    async fn regenerate_at(self: &Arc<Self>, visit: &Visit<'_>) -> Result<Regenerated, Arc<Failed>> {
        let (ordered, started) = (self.journal.epoch(), self.clock.now());
        for _ in 0..TRIES {
            let selected = self.select(visit);
            if selected.stored.as_ref().is_some_and(|stored| stored.pinned) {
                let message = "it is pinned to a version: unpin it first (`POST /v1/versions/unpin`)";
                return Err(Arc::new(Failed::plain(Failure::Internal, message, self.clock.now())));
            }
            let (mut watcher, lead) = self.flights.join_or_lead(selected.hash);
            let ours = lead.is_some();
            if let Some(lead) = lead {
                self.spawn_ordered(visit, &selected, lead, Kind::Fill, Cause::Operator);
            }
            watcher.want();
            match watcher.landing().await {
                Some(Landing::Stored(response) | Landing::Freshened(response))
                    if response.checked.began() >= ordered && response.fetched_at >= started =>
                {
                    if response.windows.fresh_until <= response.windows.generated {
                        return Err(self.refused("the origin says itself that it is stale, or fresh for no time"));
                    }
                    return Ok(Regenerated { response, took: self.clock.now().since(started) });
                }
                // A fill that began before the order says nothing of it.
                Some(_) | None if !ours => {}
                Some(Landing::Failed(failed)) => return Err(failed),
                Some(Landing::NotStorable(reason)) => return Err(self.refused(reason.as_str())),
                Some(Landing::Unstored(_)) => return Err(self.refused(NotStorable::Guard.as_str())),
                None | Some(Landing::Delivered) => return Err(self.refused("too-large or not cacheable")),
                Some(_) => {}
            }
        }
        Err(self.refused("other fills were faster"))
    }

    fn refused(&self, why: &str) -> Arc<Failed> {
        let message = format!("the answer was not stored: {why}");
        Arc::new(Failed::plain(Failure::Internal, message, self.clock.now()))
    }

    /// An unsafe method succeeded on a visit's URL: what is stored there is to be validated (RFC 9111, 4.4), and so are
    /// the groups that its answer names in `Cache-Group-Invalidation` (RFC 9875), each group at most once per back-off. Of what is
    /// stored: what was recalled, and its variants, wherever they are. `by`: whose own answer may be stored all the same.
    pub fn unsafe_method_succeeded(self: &Arc<Self>, visit: &Visit<'_>, groups: &[String], by: Writer) {
        let now = self.clock.now();
        // What others gather is not kept, and parts of what was there go.
        self.writes.note(visit.hash, by, now);
        if visit.route.policy.is_plain() {
            self.forget_part(visit.key);
        }
        self.at_home(visit, |home| {
            if home.hash != visit.hash {
                self.writes.note(home.hash, by, now);
            }
            self.note_written(home, now);
        });
        let mut due: Vec<Invalidation> = Vec::new();
        for group in groups {
            due.extend(self.due_now(visit.request.host, group).filter(|one| !due.contains(one)));
        }
        // All at once: whoever wrote waits for the disk once.
        if !due.is_empty() {
            self.invalidate_or_log(&due);
        }
    }

    fn note_written(&self, visit: &Visit<'_>, now: Timestamp) {
        let note = |hash, response: &Arc<StoredResponse>| {
            if response.written.note(response.fetched_at, now, write_pause(&visit.route.policy, &response.windows)) {
                self.store.keep(hash, &Slot::Response(response.clone()));
            }
        };
        // First what is on its way: it looks again after it has landed.
        self.flights.note_written(visit.hash, now);
        match self.store.peek(visit.hash, visit.key) {
            Some(Slot::Response(response)) => note(visit.hash, &response),
            Some(Slot::Varies(spec)) => {
                spec.written.stamp(now);
                self.store.keep(visit.hash, &Slot::Varies(spec.clone()));
                let variants: Vec<_> = spec.variants.lock().iter().copied().collect();
                for hash in variants {
                    self.flights.note_written(hash, now);
                    if let Some(response) = self.store.peek_response(hash) {
                        note(hash, &response);
                    }
                }
            }
            None => {}
        }
    }

    /// The invalidation of a group; one that comes within the back-off of the last one is put off, or dropped if one is already.
    fn due_now(self: &Arc<Self>, host: &str, group: &str) -> Option<Invalidation> {
        let now = self.clock.now();
        let one =
            Invalidation { target: Target::Tag(group.to_owned()), host: Some(host.to_owned()), mode: Mode::Validate };
        let last = self.journal.last_of_tag(host, group);
        let due = last.map_or(now, |last| last.after(BACK_OFF_LEAST).max(now));
        if due > now {
            if self.put_off.lock().insert((host.to_owned(), group.to_owned())) {
                tokio::spawn(later(self.clone(), one, due.since(now)));
            }
            return None;
        }
        Some(one)
    }

    fn invalidate_or_log(self: &Arc<Self>, all: &[Invalidation]) {
        if let Err(error) = self.invalidate(all) {
            tracing::warn!(%error, "a Cache-Group-Invalidation is lost");
        }
    }
}

async fn later(engine: Arc<Engine>, one: Invalidation, pause: Duration) {
    tokio::time::sleep(pause).await;
    if let (Some(host), Target::Tag(group)) = (&one.host, &one.target) {
        engine.put_off.lock().remove(&(host.clone(), group.clone()));
    }
    engine.invalidate_or_log(std::slice::from_ref(&one));
}

/// Removes what was invalidated hard, so that the records of it can be forgotten.
async fn sweep(engine: Arc<Engine>) {
    let epoch = engine.journal.epoch();
    // What is on its way to the disk was judged when it was stored: now it has to be seen.
    if !engine.store.settle().await {
        engine.sweeping.store(false, Ordering::Release);
        return;
    }
    let (mut place, mut seen) = (None, true);
    loop {
        let piece = engine.store.walk(place).await;
        for (hash, response, _) in piece.met {
            if engine.validity(&response, engine.clock.now()) == Validity::Hard {
                engine.store.remove_response(hash, &response);
            }
        }
        seen &= piece.whole;
        place = piece.next;
        if place.is_none() {
            break;
        }
        tokio::task::yield_now().await;
    }
    seen &= engine.store.sweep_versions().await;
    // The records are forgotten only when what they select was seen and is gone from the disk, whatever happens next.
    if seen && engine.store.settle().await {
        // In this order: whoever reads a page meanwhile finds it judged.
        engine.store.swept(epoch);
        engine.journal.swept(epoch);
    }
    engine.sweeping.store(false, Ordering::Release);
}
