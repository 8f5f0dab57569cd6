//! Which URLs were written to of late (RFC 9111, 4.4). Of what is stored, and of fills, it is known otherwise; not of what passes by
//! before it has come, nor of a URL while nothing in memory says how it varies.

use crate::store::KeyHash;
use lru::LruCache;
use parking_lot::Mutex;
use semantics::Timestamp;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};

/// So many URLs are remembered.
const KNOWN: NonZeroUsize = NonZeroUsize::new(4_096).expect("not zero");

/// Who wrote, where his own answer may be stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Writer(u64);

#[derive(Default)]
pub(crate) struct Writes {
    writers: AtomicU64,
    known: Mutex<Option<Known>>,
}

struct Known {
    /// By primary key.
    last: LruCache<KeyHash, Last>,
    /// When the latest of those was that are forgotten.
    forgotten: Timestamp,
}

/// The last write to a URL, and the last one of anybody else.
#[derive(Clone, Copy, Default)]
struct Last {
    by: Writer,
    at: Timestamp,
    by_another: Timestamp,
}

impl Writes {
    /// Somebody else than all before.
    pub(crate) fn writer(&self) -> Writer {
        Writer(self.writers.fetch_add(1, Ordering::Relaxed) + 1)
    }

    pub(crate) fn note(&self, primary: KeyHash, by: Writer, at: Timestamp) {
        let mut known = self.known.lock();
        let known = known.get_or_insert_with(|| Known { last: LruCache::new(KNOWN), forgotten: Timestamp::EPOCH });
        let before = known.last.peek(&primary).copied().unwrap_or_default();
        let by_another = if before.by == by { before.by_another } else { before.at };
        if let Some((gone, last)) = known.last.push(primary, Last { by, at, by_another })
            && gone != primary
        {
            known.forgotten = known.forgotten.max(last.at);
        }
    }

    /// Whether anybody but `by` may have written to that URL after `since`.
    pub(crate) fn any_since(&self, primary: KeyHash, since: Timestamp, by: Writer) -> bool {
        let known = self.known.lock();
        let Some(known) = known.as_ref() else { return false };
        let last = known.last.peek(&primary).copied().unwrap_or_default();
        let by_others = if last.by == by { last.by_another } else { last.at };
        known.forgotten.max(by_others) > since
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: KeyHash = 1;

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    #[test]
    fn ones_own_write_is_none_and_anothers_is_one() {
        let writes = Writes::default();
        let (me, other) = (writes.writer(), writes.writer());
        assert!(!writes.any_since(PAGE, at(0), me), "nobody wrote");
        writes.note(PAGE, me, at(10));
        writes.note(PAGE, me, at(11));
        assert!(!writes.any_since(PAGE, at(5), me), "one's own, twice");
        assert!(writes.any_since(PAGE, at(5), other), "another's");
        assert!(!writes.any_since(PAGE, at(11), other), "before one came");
        assert!(!writes.any_since(2, at(5), other), "elsewhere");
    }

    #[test]
    fn a_write_between_ones_own_is_seen() {
        for order in [["other", "me", "me"], ["me", "other", "me"], ["me", "me", "other"]] {
            let writes = Writes::default();
            let (me, other) = (writes.writer(), Writer::default());
            for (n, who) in order.iter().enumerate() {
                writes.note(PAGE, if *who == "me" { me } else { other }, at(10 + n as u64));
            }
            assert!(writes.any_since(PAGE, at(5), me), "{order:?}");
        }
    }

    #[test]
    fn what_is_forgotten_counts_for_every_url() {
        let writes = Writes::default();
        for n in 0..KNOWN.get() as u64 {
            writes.note(KeyHash::from(n), Writer::default(), at(10 + n));
        }
        assert!(!writes.any_since(KeyHash::MAX, at(5), writes.writer()), "nothing is forgotten");
        writes.note(KeyHash::MAX - 1, Writer::default(), at(20_000));
        assert!(writes.any_since(KeyHash::MAX, at(5), writes.writer()), "one is, and it may have been this one");
        assert!(!writes.any_since(KeyHash::MAX, at(10), writes.writer()), "but not after it");
    }
}
