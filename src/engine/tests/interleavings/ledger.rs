//! What the origin has, what was invalidated when, what visitors got, and what was wrong with that.

use engine::invalidate::Mode;
use semantics::{CacheStatus, Timestamp};
use std::time::Duration;

/// How long every page is fresh.
pub const WINDOW: Duration = Duration::from_secs(10);
/// After a failure a page's origin is left alone for so long at least.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Default)]
pub struct Ledger {
    pages: [Page; 2],
    /// Fetches that were open when their page was invalidated.
    pub overtaken: usize,
    pub wrong: Vec<String>,
}

#[derive(Default)]
struct Page {
    floor: Floor,
    fetches: Vec<Fetch>,
    /// Orders that are not answered yet.
    orders: usize,
    failures: usize,
    /// When the newest fetch failed, if nothing was stored since, and of which version it was.
    failed: Option<(Timestamp, u64)>,
    last: Option<(u64, CacheStatus)>,
}

/// What may be expected from now on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Floor {
    /// What the origin has. Nothing older is called fresh.
    current: u64,
    /// Nothing older is served, unless the origin fails.
    validate: u64,
    /// Nothing older is served.
    hard: u64,
    /// Nothing older is served: somebody has this already.
    seen: u64,
}

#[derive(Clone, Copy)]
struct Fetch {
    /// Of what the origin had when it was asked.
    version: u64,
    state: State,
}

#[derive(Clone, Copy)]
enum State {
    Open,
    Stored(Timestamp),
    Failed,
}

/// What a visitor saw.
pub enum Seen {
    /// `whole`: to its end.
    Page {
        version: u64,
        said: CacheStatus,
        whole: bool,
    },
    Failed,
    /// He was sent past the cache.
    Passed,
}

impl Ledger {
    pub fn floor(&self, page: usize) -> Floor {
        self.pages[page].floor
    }

    /// Right before the call: the origin has something new.
    pub fn invalidate(&mut self, page: usize, mode: Mode) {
        let Page { floor, fetches, .. } = &mut self.pages[page];
        floor.current += 1;
        match mode {
            Mode::Soft => {}
            Mode::Validate => floor.validate = floor.current,
            Mode::Hard => floor.hard = floor.current,
        }
        self.overtaken += fetches.iter().filter(|f| matches!(f.state, State::Open)).count();
    }

    /// The origin is asked. Returns what it has, and the number of the fetch.
    pub fn fetch(&mut self, page: usize, validator: Option<u64>, now: Timestamp) -> (u64, usize) {
        let state = &mut self.pages[page];
        let version = state.floor.current;
        let mut same = state.fetches.iter().filter(|f| f.version == version);
        let needless = |f: &Fetch| match f.state {
            State::Open => true,
            // Somebody may order it all the same.
            State::Stored(at) => state.orders == 0 && now < at.after(WINDOW),
            State::Failed => false,
        };
        // At the very moment it may have been on its way already, and so may one that took the place of an older one.
        let abandoned = state.floor.hard.max(state.floor.validate);
        let too_soon = |(at, of): (Timestamp, u64)| of >= abandoned && at < now && now < at.after(PAUSE);
        let wrong = if same.any(needless) {
            Some("another is under way, or what it brought is fresh")
        } else if state.orders == 0 && state.failed.is_some_and(too_soon) {
            Some("one failed just now")
        } else if validator.is_some_and(|v| v < state.floor.hard) {
            Some("it names what was invalidated hard")
        } else {
            None
        };
        let number = state.fetches.len();
        state.fetches.push(Fetch { version, state: State::Open });
        if let Some(wrong) = wrong {
            self.wrong.push(format!("fetch {number} of page {page}, of version {version}: {wrong}"));
        }
        (version, number)
    }

    pub fn stored(&mut self, page: usize, fetch: usize, now: Timestamp) {
        let state = &mut self.pages[page];
        state.fetches[fetch].state = State::Stored(now);
        state.failed = None;
    }

    pub fn failed(&mut self, page: usize, fetch: usize, now: Timestamp) {
        let state = &mut self.pages[page];
        state.fetches[fetch].state = State::Failed;
        state.failures += 1;
        if fetch + 1 == state.fetches.len() {
            state.failed = Some((now, state.fetches[fetch].version));
        }
    }

    /// A visitor who came when `floor` was what could be expected.
    pub fn visited(&mut self, page: usize, floor: Floor, seen: Seen) {
        let state = &mut self.pages[page];
        let wrong = match seen {
            Seen::Passed => Some("he was sent past the cache".to_owned()),
            Seen::Failed => (state.failures == 0).then(|| "a failure out of nothing".to_owned()),
            Seen::Page { version, said, whole } => {
                state.last = Some((version, said));
                if whole {
                    state.floor.seen = version.max(state.floor.seen);
                }
                let wrong = floor.breach(version, said).or_else(|| {
                    let broken = !whole && state.failures == 0;
                    broken.then_some("it broke off, and no answer of the origin did")
                });
                let wrong = wrong.or_else(|| (version > state.floor.current).then_some("the origin never had it"));
                wrong.map(|wrong| format!("version {version}, {said:?}: {wrong}"))
            }
        };
        if let Some(wrong) = wrong {
            self.wrong.push(format!("a visitor of page {page}, who came at {floor:?}: {wrong}"));
        }
    }

    pub fn order(&mut self, page: usize) -> Floor {
        self.pages[page].orders += 1;
        self.floor(page)
    }

    /// An order that was given when `floor` was what could be expected brought this version, or an error.
    pub fn ordered(&mut self, page: usize, floor: Floor, brought: Result<u64, String>) {
        let state = &mut self.pages[page];
        state.orders -= 1;
        let wrong = match brought {
            Ok(version) => {
                state.floor.seen = version.max(state.floor.seen);
                (version < floor.current).then(|| format!("version {version} was rendered before it"))
            }
            Err(message) => (state.failures == 0).then(|| format!("an error out of nothing: {message}")),
        };
        if let Some(wrong) = wrong {
            self.wrong.push(format!("an order of page {page}, given at {floor:?}: {wrong}"));
        }
    }

    /// With a healthy origin, the last visitor should have got a fresh page from the store.
    pub fn is_well(&mut self, page: usize) {
        let Page { floor, last, .. } = &self.pages[page];
        match last {
            Some((version, CacheStatus::Hit { ttl: 1.., failing: false })) if *version == floor.current => {}
            _ => self.wrong.push(format!("page {page} is stuck: {last:?} at {floor:?}")),
        }
    }
}

impl Floor {
    fn breach(&self, version: u64, said: CacheStatus) -> Option<&'static str> {
        let fresh = matches!(said, CacheStatus::Hit { ttl: 1.., .. } | CacheStatus::Forwarded { .. });
        let failing = matches!(said, CacheStatus::Hit { failing: true, .. } | CacheStatus::StaleAfter { .. });
        if version < self.hard {
            Some("it was invalidated hard")
        } else if version < self.validate && !failing {
            Some("it was to be validated")
        } else if version < self.current && fresh {
            Some("it was invalidated, and is called fresh")
        } else if version < self.seen {
            Some("something newer was served before")
        } else {
            None
        }
    }
}
