//! What an operator may ask: what is stored, and what a visit would get and why. Nothing here counts as a use, and nothing
//! changes by it.

use crate::guard::Known;
use crate::history::{Cause, Past};
use crate::invalidate::{Invalidation, Mode, Target, Validity};
use crate::recall::note_write;
use crate::store::{KeyHash, Place, Slot, StoredResponse, Tier};
use crate::{Engine, Visit};
use semantics::key::Key;
use semantics::settlement::Failure;
use semantics::{Decision, Selection, Timestamp, Windows, decision, key, page};
use std::sync::Arc;
use std::time::Duration;

/// In which state a stored response is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Answers without a word to the origin.
    Fresh,
    /// Answers, and is regenerated.
    Stale,
    /// Answers only when the origin cannot.
    Expired,
}

impl State {
    pub const ALL: [State; 3] = [State::Fresh, State::Stale, State::Expired];

    pub fn as_str(self) -> &'static str {
        match self {
            State::Fresh => "fresh",
            State::Stale => "stale",
            State::Expired => "expired",
        }
    }

    fn of(windows: &Windows, now: Timestamp) -> State {
        if now < windows.fresh_until {
            State::Fresh
        } else if now < windows.stale_until {
            State::Stale
        } else {
            State::Expired
        }
    }
}

/// Which entries are wanted; nothing set: all.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// What the path begins with, in normal form.
    pub prefix: Option<String>,
    pub tag: Option<String>,
    pub state: Option<State>,
}

/// A page of the list.
#[derive(Debug)]
pub struct Listing {
    pub entries: Vec<Listed>,
    /// Where the next page begins; `None`: there is no more.
    pub next: Option<KeyHash>,
}

/// One stored response, for people.
#[derive(Debug)]
pub struct Listed {
    pub key: Key,
    pub variant: Vec<(String, Option<Vec<u8>>)>,
    pub status: u16,
    pub state: State,
    pub age: Duration,
    /// Seconds until it is stale, negative since; `None`: it never is.
    pub ttl: Option<i64>,
    /// Seconds until it may not be served stale; `None`: it always may.
    pub expires_in: Option<i64>,
    /// Everything that it costs.
    pub bytes: usize,
    pub tier: Tier,
    /// Served until somebody unpins it.
    pub pinned: bool,
    pub tags: Vec<String>,
    pub route: Arc<str>,
    pub last_refresh: Past,
}

/// What a visit would find.
#[derive(Debug)]
pub struct Inspection {
    pub stored: Option<Listed>,
    pub nominated: Vec<String>,
    /// Stored variants of the URL.
    pub variants: usize,
    pub decision: Decision,
    pub invalidated: Option<InvalidatedBy>,
    /// Newest first.
    pub past: Vec<Past>,
    pub verdict: Option<Known>,
    /// Until when it is not tried again, and why.
    pub failing: Option<(Timestamp, Failure)>,
    pub in_flight: bool,
    /// Whether the canonical answer is not this visitor's.
    pub personal: bool,
}

/// What invalidated a stored response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidatedBy {
    pub mode: Mode,
    pub by: Target,
    pub epoch: u64,
}

impl Engine {
    /// Lists stored responses, `limit` at most, from behind `after`. What is stored throughout is listed exactly once, in as far
    /// as the disk answers.
    pub async fn entries(&self, filter: &Filter, after: Option<KeyHash>, limit: usize) -> Listing {
        let mut entries = Vec::new();
        let mut place = after.map(Place::behind);
        loop {
            let piece = self.store.walk(place).await;
            let now = self.clock.now();
            for (hash, response, tier) in piece.met {
                let Some(listed) = self.listed(hash, &response, tier, now).filter(|l| fits(filter, l)) else {
                    continue;
                };
                entries.push(listed);
                if entries.len() == limit {
                    return Listing { entries, next: Some(hash) };
                }
            }
            match piece.next {
                Some(next) => place = Some(next),
                None => return Listing { entries, next: None },
            }
            // Requests come first.
            tokio::task::yield_now().await;
        }
    }

    /// Calls `each` for all that is stored and was not invalidated hard, in pieces.
    async fn each_stored(&self, mut each: impl FnMut(&Arc<StoredResponse>) -> std::ops::ControlFlow<()>) {
        let mut place = None;
        loop {
            let piece = self.store.walk(place).await;
            for (_, response, _) in &piece.met {
                if each(response).is_break() {
                    return;
                }
            }
            place = piece.next;
            if place.is_none() {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    /// How many stored responses these invalidations select.
    pub async fn count_matching(&self, all: &[Invalidation]) -> usize {
        let mut count = 0;
        let now = self.clock.now();
        self.each_stored(|response| {
            let there = self.validity(response, now) != Validity::Hard;
            count += usize::from(there && self.select_one(all, response));
            std::ops::ControlFlow::Continue(())
        })
        .await;
        count
    }

    /// Whether any of these invalidations selects a response.
    fn select_one(&self, all: &[Invalidation], response: &StoredResponse) -> bool {
        let Some(subject) = response.subject() else { return false };
        let pages = page::pages_of(subject.path);
        let added = self.journal.added_tags(subject.host, subject.path);
        all.iter().filter(|one| one.host.as_deref().is_none_or(|host| host == subject.host)).any(|one| {
            match &one.target {
                Target::Path(path) => pages.contains(path),
                Target::Prefix(prefix) => pages.iter().any(|p| p.starts_with(prefix.as_str())),
                Target::Route(route) => route == subject.route,
                Target::Tag(tag) => added.contains(tag) || subject.tags.iter().any(|t| t == tag),
            }
        })
    }

    /// The responses stored at exactly this path, `most` at most: every host, query and variant of it.
    pub async fn stored_at(&self, host: Option<&str>, path: &str, most: usize) -> Vec<Arc<StoredResponse>> {
        let (path, now) = (page::normal(path), self.clock.now());
        let mut there = Vec::new();
        self.each_stored(|response| {
            let here = response
                .subject()
                .is_some_and(|subject| host.is_none_or(|h| h == subject.host) && page::normal(subject.path) == path);
            if here && self.validity(response, now) != Validity::Hard {
                there.push(response.clone());
            }
            if there.len() < most { std::ops::ControlFlow::Continue(()) } else { std::ops::ControlFlow::Break(()) }
        })
        .await;
        there
    }

    fn listed(&self, hash: KeyHash, response: &StoredResponse, tier: Tier, now: Timestamp) -> Option<Listed> {
        let Some(Selection::Stored { windows, .. }) = self.selection(response, now) else { return None };
        let subject = response.subject()?;
        let key = key::read(&response.key, !response.variant.is_empty())?;
        let mut tags: Vec<String> = subject.tags.iter().map(str::to_owned).collect();
        for tag in self.journal.added_tags(subject.host, subject.path) {
            if !tags.contains(&tag) {
                tags.push(tag);
            }
        }
        let seconds = |at: Timestamp| (at != Timestamp::NEVER).then(|| at.seconds_from(now));
        let last = self.history.of(hash).first().copied().unwrap_or(Past {
            at: response.windows.generated,
            took: response.rendered_in(),
            cause: Cause::Miss,
            outcome: "success",
        });
        Some(Listed {
            key,
            variant: response.variant.to_vec(),
            status: response.head.status().as_u16(),
            state: State::of(&windows, now),
            age: response.windows.age(now),
            ttl: seconds(windows.fresh_until),
            expires_in: seconds(windows.stale_until),
            bytes: bytes_of(response),
            tier,
            pinned: response.pinned,
            tags,
            route: response.route.clone(),
            last_refresh: last,
        })
    }

    /// What a visit would get now, and why. `below`: see [`Engine::below`].
    pub fn inspect(&self, visit: &Visit<'_>, now: Timestamp, below: &Below) -> Inspection {
        let shared = below.primary.as_ref().filter(|slot| slot.key() != visit.key);
        match shared.map(|slot| (self.hasher.hash(slot.key()), slot.key().to_vec())).or(self.shared_home(visit)) {
            Some((hash, key)) => self.inspect_at(&Visit { key: &key, hash, ..*visit }, now, below),
            None => self.inspect_at(visit, now, below),
        }
    }

    fn inspect_at(&self, visit: &Visit<'_>, now: Timestamp, below: &Below) -> Inspection {
        let Peeked { hash, stored, tier, nominated, variants } = self.peek(visit, below);
        let selection = stored.as_ref().and_then(|response| self.selection(response, now));
        let verdict = self.verdict(visit, hash, &nominated, now);
        let selection = match (selection, &verdict) {
            (Some(selection), _) => selection,
            (None, Some(Known::NotStorable { .. })) => Selection::NotStorable,
            (None, _) if !nominated.is_empty() => Selection::OtherVariants,
            (None, _) => Selection::Nothing,
        };
        let failing = stored.as_ref().and_then(|response| {
            let until = response.regeneration.failing_until().filter(|until| *until > now)?;
            Some((until, response.regeneration.last_failure()?))
        });
        let invalidated = stored.as_ref().filter(|response| !response.pinned).and_then(|response| {
            let (mode, by, epoch) = self.journal.reason(&response.subject()?, response.checked.began())?;
            Some(InvalidatedBy { mode, by, epoch })
        });
        let listed = stored.as_ref().and_then(|response| self.listed(hash, response, tier, now));
        let mut past = self.history.of(hash);
        if past.is_empty() {
            past.extend(listed.as_ref().map(|l| l.last_refresh));
        }
        Inspection {
            stored: listed,
            decision: decision::decide(visit.facts, selection, now),
            invalidated,
            past,
            verdict,
            failing,
            in_flight: self.flights.is_flying(hash),
            personal: visit.is_personal(&nominated),
            nominated,
            variants,
        }
    }

    /// What lies on the disk for a visit, and not in memory: for [`Engine::inspect`]. It stays there.
    pub async fn below(&self, visit: &Visit<'_>) -> Below {
        let own = self.below_at(visit).await;
        if own.primary.is_some() || self.store.peek(visit.hash, visit.key).is_some() || visit.route.policy.is_isr() {
            return own;
        }
        let (hash, key) = self.rekeyed(visit.key, "");
        self.below_at(&Visit { key: &key, hash, ..*visit }).await
    }

    async fn below_at(&self, visit: &Visit<'_>) -> Below {
        let there = self.store.peek(visit.hash, visit.key);
        let primary = match there {
            Some(_) => None,
            None => self.store.peek_below(visit.hash, visit.key, false).await,
        };
        let mut variant = None;
        if let Some(Slot::Varies(spec)) = there.as_ref().or(primary.as_ref()) {
            let (hash, key) = self.variant_of(visit, spec);
            if self.store.peek(hash, &key).is_none() {
                variant = self.store.peek_below(hash, &key, true).await;
            }
        }
        Below { primary, variant }
    }

    /// The same look-up as a visit's, without noting a use.
    pub(crate) fn peek(&self, visit: &Visit<'_>, below: &Below) -> Peeked {
        let at = |hash, key: &[u8], below: &Option<Slot>| match self.store.peek(hash, key) {
            Some(slot) => Some((slot, Tier::Memory)),
            None => below.clone().filter(|slot| slot.key() == key).map(|slot| (slot, Tier::Disk)),
        };
        let nothing = |hash| Peeked { hash, stored: None, tier: Tier::Memory, nominated: Vec::new(), variants: 0 };
        let spec = match at(visit.hash, visit.key, &below.primary) {
            Some((Slot::Response(response), tier)) => {
                return Peeked { stored: Some(response), tier, variants: 1, ..nothing(visit.hash) };
            }
            Some((Slot::Varies(spec), _)) => spec,
            None => return nothing(visit.hash),
        };
        let (hash, key) = self.variant_of(visit, &spec);
        let (stored, tier) = match at(hash, &key, &below.variant) {
            Some((Slot::Response(response), tier)) => {
                note_write(&spec, &response, &visit.route.policy);
                (Some(response), tier)
            }
            _ => (None, Tier::Memory),
        };
        let variants = spec.variants.lock().len();
        Peeked { hash, stored, tier, nominated: spec.names.clone(), variants }
    }
}

/// What lies on the disk for one visit.
#[derive(Clone, Debug, Default)]
pub struct Below {
    primary: Option<Slot>,
    variant: Option<Slot>,
}

/// What a look-up came to.
pub(crate) struct Peeked {
    hash: KeyHash,
    pub(crate) stored: Option<Arc<StoredResponse>>,
    tier: Tier,
    nominated: Vec<String>,
    variants: usize,
}

/// Everything that it costs, wherever its body is.
fn bytes_of(response: &StoredResponse) -> usize {
    let in_file = response.body.len() - response.body.heap_size() as u64;
    response.cost().saturating_add(usize::try_from(in_file).unwrap_or(usize::MAX))
}

fn fits(filter: &Filter, listed: &Listed) -> bool {
    let prefix = |wanted: &String| page::normal(&listed.key.path).starts_with(wanted.as_str());
    filter.prefix.as_ref().is_none_or(prefix)
        && filter.tag.as_ref().is_none_or(|tag| listed.tags.contains(tag))
        && filter.state.is_none_or(|state| listed.state == state)
}
