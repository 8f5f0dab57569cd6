//! What keeps crawlers and made-up URLs from costing too much: pages are stored only once they were asked for often
//! enough (`admit_after`), and a route renders so much a minute and no more (`renders_per_minute`).

use crate::store::KeyHash;
use lru::LruCache;
use parking_lot::Mutex;
use semantics::Timestamp;
use std::num::NonZeroUsize;
use std::time::Duration;

/// Requests count together for so long, from the first one on.
const COUNTED_FOR: Duration = Duration::from_secs(600);
/// Of so many keys requests are counted, those asked for last: about 8 MiB, taken as keys come.
const COUNTED: usize = 131_072;
const SHARDS: usize = 16;

type Shard = Mutex<LruCache<KeyHash, Count>>;

struct Count {
    first: Timestamp,
    requests: u32,
}

/// Requests for keys that nothing is stored for.
pub struct Admission {
    shards: Box<[Shard]>,
}

impl Default for Admission {
    fn default() -> Self {
        let each = NonZeroUsize::new(COUNTED / SHARDS).unwrap_or(NonZeroUsize::MIN);
        // Without its whole table from the start: most routes admit everything.
        let shard = || Mutex::new(resized(LruCache::unbounded(), each));
        Admission { shards: (0..SHARDS).map(|_| shard()).collect() }
    }
}

fn resized(mut counts: LruCache<KeyHash, Count>, size: NonZeroUsize) -> LruCache<KeyHash, Count> {
    counts.resize(size);
    counts
}

impl Admission {
    fn shard(&self, hash: KeyHash) -> &Shard {
        &self.shards[usize::try_from((hash >> 32) % SHARDS as u128).unwrap_or_default()]
    }

    /// Counts a request.
    pub fn note(&self, hash: KeyHash, now: Timestamp) {
        let mut shard = self.shard(hash).lock();
        let count = shard.get_or_insert_mut(hash, || Count { first: now, requests: 0 });
        if now.since(count.first) > COUNTED_FOR {
            *count = Count { first: now, requests: 0 };
        }
        count.requests = count.requests.saturating_add(1);
    }

    /// How many requests for this key were counted within the last minutes.
    pub fn requests(&self, hash: KeyHash, now: Timestamp) -> u32 {
        let shard = self.shard(hash).lock();
        shard.peek(&hash).filter(|count| now.since(count.first) <= COUNTED_FOR).map_or(0, |count| count.requests)
    }
}

/// One render, in parts: so many accrue in a minute for each render that a minute has.
const RENDER: i64 = 60_000_000;

/// A route's renders: a bucket that fills by `per_minute`, and holds so many.
#[derive(Debug)]
pub struct Budget(Option<Mutex<Bucket>>);

#[derive(Debug)]
struct Bucket {
    per_minute: i64,
    level: i64,
    at: Timestamp,
}

impl Budget {
    /// `None`: any number of renders.
    pub fn new(per_minute: Option<u32>) -> Self {
        Budget(per_minute.map(|renders| {
            let per_minute = i64::from(renders.max(1));
            Mutex::new(Bucket { per_minute, level: per_minute * RENDER, at: Timestamp::EPOCH })
        }))
    }

    /// Takes one render for a page that is not stored.
    ///
    /// # Errors
    /// There is none left; how long until there is one.
    pub fn take(&self, now: Timestamp) -> Result<(), Duration> {
        self.take_down_to(0, now)
    }

    /// Takes one render for a page that is stored. Such pages go before others: for them a route goes into debt, by the
    /// renders of one more minute.
    ///
    /// # Errors
    /// The debt is as large as it may be; how long until it is less.
    pub fn owe(&self, now: Timestamp) -> Result<(), Duration> {
        self.take_down_to(-1, now)
    }

    fn take_down_to(&self, minutes: i64, now: Timestamp) -> Result<(), Duration> {
        let Some(bucket) = &self.0 else { return Ok(()) };
        let mut bucket = bucket.lock();
        let elapsed = i64::try_from(now.since(bucket.at).min(Duration::from_secs(120)).as_micros()).unwrap_or(i64::MAX);
        let full = bucket.per_minute * RENDER;
        bucket.level = bucket.level.saturating_add(elapsed * bucket.per_minute).min(full);
        bucket.at = now.max(bucket.at);
        let least = minutes * full;
        if bucket.level - RENDER >= least {
            bucket.level -= RENDER;
            return Ok(());
        }
        let lacking = (least + RENDER - bucket.level).div_euclid(bucket.per_minute) + 1;
        Err(Duration::from_micros(u64::try_from(lacking).unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::{Admission, Budget};
    use semantics::Timestamp;
    use std::time::Duration;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::EPOCH.after(Duration::from_secs(1_000_000 + seconds))
    }

    #[test]
    fn requests_count_together_for_ten_minutes_from_the_first_one_on() {
        let admission = Admission::default();
        admission.note(7, at(0));
        admission.note(7, at(600));
        admission.note(8, at(600));
        assert_eq!((admission.requests(7, at(600)), admission.requests(8, at(600))), (2, 1));
        assert_eq!(admission.requests(7, at(601)), 0);
        admission.note(7, at(601));
        assert_eq!(admission.requests(7, at(601)), 1);
    }

    #[test]
    fn keys_that_nobody_asks_for_again_are_forgotten_for_others() {
        let admission = Admission::default();
        admission.note(1, at(0));
        for key in 2..1_000_000 {
            admission.note(key << 32, at(1));
        }
        assert_eq!(admission.requests(1, at(1)), 0);
    }

    #[test]
    fn a_minute_has_its_renders_and_says_when_the_next_one_is_there() {
        let budget = Budget::new(Some(3));
        assert!((0..3).all(|_| budget.take(at(0)).is_ok()));
        let wait = budget.take(at(0)).unwrap_err();
        assert!(wait > Duration::from_secs(19) && wait < Duration::from_secs(21), "{wait:?}");
        assert!(budget.take(at(19)).is_err());
        assert!(budget.take(at(21)).is_ok());
        assert!(budget.take(at(21)).is_err());
        assert!((0..3).all(|_| budget.take(at(2_000)).is_ok()), "no more than a minute's renders are saved up");
        assert!(budget.take(at(2_000)).is_err());
    }

    #[test]
    fn pages_that_are_stored_go_before_others_up_to_a_minute_s_debt() {
        let budget = Budget::new(Some(2));
        assert!((0..2).all(|_| budget.take(at(0)).is_ok()));
        assert!(budget.take(at(0)).is_err());
        assert!((0..2).all(|_| budget.owe(at(0)).is_ok()));
        assert!(budget.owe(at(0)).is_err());
        assert!(budget.take(at(61)).is_err(), "the debt is paid first");
        assert!(budget.owe(at(61)).is_ok());
    }

    #[test]
    fn without_a_budget_everything_is_rendered() {
        let budget = Budget::new(None);
        assert!((0..100_000).all(|_| budget.take(at(0)).is_ok() && budget.owe(at(0)).is_ok()));
    }
}
