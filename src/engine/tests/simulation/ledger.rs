//! What the origin sent, who saw what of it, and what was wrong with that.

use super::pages::Page;
use crate::support::{How, Seen};
use semantics::settlement::Failure;
use semantics::{CacheStatus, Timestamp};
use std::collections::HashMap;
use std::time::Duration;

/// The engine's clock is at most so far behind while the origin is at work.
const SLACK: Duration = Duration::from_millis(100);

/// One generation of one page; its number is its place in the ledger.
#[derive(Debug)]
pub struct Sent {
    pub path: String,
    pub body: String,
    pub language: Option<String>,
    /// Whose session its request carried.
    pub owner: Option<String>,
    pub private: bool,
    pub delivered: u32,
    /// When it was last complete, or confirmed by a 304.
    pub good: Option<Timestamp>,
}

pub struct Visitor {
    pub id: String,
    /// With a session.
    pub member: bool,
    pub language: Option<&'static str>,
}

type Variant = (String, Option<&'static str>);

#[derive(Default)]
pub struct Ledger {
    pub sent: Vec<Sent>,
    /// When the origin last failed at a page.
    pub trouble: HashMap<String, Timestamp>,
    /// The newest generation that was served from the store.
    newest: HashMap<Variant, usize>,
    pub wrong: Vec<String>,
}

/// The generation that a body says it is of.
pub fn generation(body: &str) -> Option<usize> {
    body.strip_prefix("gen=")?.split_once(';')?.0.parse().ok()
}

impl Ledger {
    /// What a visitor who comes now must get at least.
    pub fn floor(&self, page: &Page, visitor: &Visitor) -> Option<usize> {
        self.newest.get(&variant(page, visitor)).copied()
    }

    pub fn check(&mut self, page: &Page, visitor: &Visitor, floor: Option<usize>, seen: &Seen) {
        let found = match generation(&seen.body) {
            Some(number) => self.check_generation(page, visitor, floor, seen, number),
            None => without_generation(seen),
        };
        if let Err(what) = found {
            let Seen { how, status, cache_status, body, broken, at, .. } = seen;
            let body: String = body.chars().take(100).collect();
            self.wrong.push(format!(
                "visitor {} at {}: {what}\n  {how:?} {status} `{cache_status}` broken {broken:?} at {at:?}\n  {body}\n  {page:?}",
                visitor.id, page.path
            ));
        }
    }

    fn check_generation(
        &mut self,
        page: &Page,
        visitor: &Visitor,
        floor: Option<usize>,
        seen: &Seen,
        number: usize,
    ) -> Result<(), String> {
        let trouble = self.trouble.get(&page.path).copied();
        let Some(sent) = self.sent.get_mut(number) else { return Err("a generation that was never sent".into()) };
        sent.delivered += 1;
        let as_sent = if seen.broken.is_some() { sent.body.starts_with(&seen.body) } else { sent.body == seen.body };
        if sent.path != page.path || !as_sent {
            return Err("not what the origin sent".into());
        }
        if page.varies && sent.language.as_deref() != visitor.language {
            return Err(format!("in the wrong language, {:?}", sent.language));
        }
        if sent.owner.as_ref().is_some_and(|owner| *owner != visitor.id) {
            return Err("made for somebody else".into());
        }
        if sent.private && sent.delivered > 1 {
            return Err("private, and delivered before".into());
        }
        if seen.how != How::Stored {
            return Ok(());
        }
        if sent.private || sent.owner.is_some() {
            return Err("private, and stored".into());
        }
        in_its_windows(page, sent, seen, trouble)?;
        if floor.is_some_and(|floor| number < floor) {
            return Err(format!("older than what was served before, generation {floor:?}"));
        }
        let newest = self.newest.entry(variant(page, visitor)).or_default();
        *newest = number.max(*newest);
        Ok(())
    }
}

fn variant(page: &Page, visitor: &Visitor) -> Variant {
    (page.path.clone(), visitor.language.filter(|_| page.varies))
}

/// An answer that names no generation is a failure, or broke off before it could.
fn without_generation(seen: &Seen) -> Result<(), String> {
    match seen.how {
        How::Failed if seen.status >= 500 => Ok(()),
        How::Stored => Err("something stored that is no page".into()),
        _ if seen.broken.is_some() || seen.status != 200 => Ok(()),
        _ => Err("a success without a page".into()),
    }
}

fn in_its_windows(page: &Page, sent: &Sent, seen: &Seen, trouble: Option<Timestamp>) -> Result<(), String> {
    let Some(good) = sent.good else { return Err("stored, and never whole".into()) };
    let last = seen.stored.as_ref().and_then(|stored| stored.regeneration.last_failure());
    // With its queue full the engine fails by itself.
    let failed = last == Some(Failure::Shed) || trouble.is_some_and(|trouble| trouble >= good);
    let (holds, what) = match seen.said {
        CacheStatus::Hit { ttl, failing: false } if ttl > 0 => (seen.at < good.after(page.window + SLACK), "fresh"),
        CacheStatus::Hit { failing: false, .. } => {
            (!page.never_stale && seen.at < good.after(page.stale_for + SLACK), "stale")
        }
        CacheStatus::Hit { .. } | CacheStatus::StaleAfter { .. } => {
            (!page.never_stale && failed, "for a failing origin")
        }
        CacheStatus::Forwarded { .. } => (seen.at.since(good) <= SLACK, "just generated"),
        CacheStatus::Own { .. } | CacheStatus::Shell => (false, "by Larder itself"),
    };
    let what = format!("served {what} beyond its windows: good at {good:?}, trouble at {trouble:?}");
    holds.then_some(()).ok_or(what)
}
