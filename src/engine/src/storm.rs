//! Storms of 404 (semantics 30): many pages of a route that are gone all at once are not gone. Something in front of the
//! application answers for it, an ingress while its pods restart, say.

use parking_lot::Mutex;
use semantics::Timestamp;
use std::time::Duration;

/// So many pages that turn from 200 to 404 or 410 within [`SPAN`] are a storm, if they are more than the successes.
const CHANGES: u32 = 10;
/// In seconds.
const SPAN: usize = 60;
/// For so long after it was noticed, such answers are failures.
const LASTS: Duration = Duration::from_secs(600);

/// One route's pages that turned into 404, and those that came well.
#[derive(Debug, Default)]
pub struct Storm(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    gone: Recent,
    well: Recent,
    until: Timestamp,
}

impl Storm {
    /// A regeneration came well.
    pub fn succeeded(&self, now: Timestamp) {
        self.0.lock().well.note(now);
    }

    /// A page that is stored with 200 is to be replaced by 404 or 410: whether that counts as a failure.
    pub fn refuses(&self, now: Timestamp) -> bool {
        let mut state = self.0.lock();
        if now < state.until {
            return true;
        }
        state.gone.note(now);
        let changes = state.gone.count(now);
        let storm = changes >= CHANGES && changes > state.well.count(now);
        if storm {
            state.until = now.after(LASTS);
        }
        storm
    }
}

/// How often something happened in each of the last seconds.
#[derive(Debug)]
struct Recent {
    counts: [u32; SPAN],
    newest: u64,
}

impl Default for Recent {
    fn default() -> Self {
        Recent { counts: [0; SPAN], newest: 0 }
    }
}

impl Recent {
    fn note(&mut self, now: Timestamp) {
        let second = self.turn(now);
        let count = &mut self.counts[second];
        *count = count.saturating_add(1);
    }

    fn count(&mut self, now: Timestamp) -> u32 {
        self.turn(now);
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Forgets what is too old, and returns the present second's place.
    fn turn(&mut self, now: Timestamp) -> usize {
        let second = now.as_micros() / 1_000_000;
        if second >= self.newest + SPAN as u64 {
            *self = Recent { newest: second, ..Recent::default() };
        }
        while self.newest < second {
            self.newest += 1;
            self.counts[place(self.newest)] = 0;
        }
        place(second)
    }
}

fn place(second: u64) -> usize {
    usize::try_from(second % SPAN as u64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::Storm;
    use semantics::Timestamp;
    use std::time::Duration;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::EPOCH.after(Duration::from_secs(1_000_000 + seconds))
    }

    #[test]
    fn the_tenth_page_that_is_gone_within_a_minute_is_a_storm_for_ten_minutes() {
        let storm = Storm::default();
        assert!((0..9).all(|n| !storm.refuses(at(n))));
        assert!(storm.refuses(at(59)));
        assert!(storm.refuses(at(59 + 599)));
        assert!(!storm.refuses(at(59 + 600)));
    }

    #[test]
    fn pages_that_go_one_by_one_are_gone() {
        let storm = Storm::default();
        assert!((0..100).all(|n| !storm.refuses(at(n * 7))));
    }

    #[test]
    fn while_as_many_come_well_it_is_no_storm() {
        let storm = Storm::default();
        (0..20).for_each(|_| storm.succeeded(at(0)));
        assert!((0..20).all(|_| !storm.refuses(at(1))));
        assert!(storm.refuses(at(1)), "the 21st is more than the successes");
    }

    #[test]
    fn a_clock_that_steps_back_or_far_ahead_changes_nothing() {
        let storm = Storm::default();
        assert!((0..9).all(|_| !storm.refuses(at(100))));
        assert!(!storm.refuses(at(1_000_000_000)));
        assert!((0..8).all(|_| !storm.refuses(at(1_000_000_000))));
        assert!(storm.refuses(at(50)));
    }
}
