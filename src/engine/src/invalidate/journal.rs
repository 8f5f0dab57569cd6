//! The journal: what was invalidated so far, asked for with every look-up.

use super::checked::Checked;
use super::event::{Event, EventNumber, NotKept};
use super::keeping::Keeping;
use super::queue::Queue;
use super::records::TagsRefused;
use super::state::{NAME_AT_MOST, NOTE_AT_MOST, NOTES_AT_MOST, State};
use super::{Invalidation, Mode, Subject, Target, Validity};
use parking_lot::{Condvar, Mutex, RwLock};
use semantics::Timestamp;
use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};

/// All invalidations.
///
/// What happens takes effect in memory, and waits in the queue to be written, in its order: both with `queue` locked, for as
/// long as memory takes. The disk is written with `keeping` locked, and without the others: nobody who looks something up,
/// or invalidates it, waits for it, and whoever wants to know whether it is there asks afterwards ([`Journal::wait`]).
pub struct Journal {
    epoch: AtomicU64,
    pub(super) state: RwLock<State>,
    pub(super) queue: Mutex<Queue>,
    /// Something is in the queue.
    pub(super) queued: Condvar,
    pub(super) keeping: Mutex<Keeping>,
}

/// What an invalidation did to the records themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    pub epoch: u64,
    /// Soft records that were folded into one to make room.
    pub folded: u64,
    /// Hard records do not fold: what they select should be removed, so that they can be forgotten.
    pub sweep: bool,
    /// For [`Journal::wait`].
    pub event: EventNumber,
}

/// The tags that were added to a page so far, and which event it was, if any is new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tagged {
    pub names: Vec<String>,
    pub event: Option<EventNumber>,
}

impl Journal {
    /// A journal of what is stored in memory, and ends with it. `seed`: of this process, for hashing.
    pub fn new(seed: u64) -> Self {
        Journal::restored(State::new(seed), 1, Keeping::Nowhere)
    }

    pub(super) fn restored(state: State, epoch: u64, keeping: Keeping) -> Self {
        Journal {
            epoch: AtomicU64::new(epoch),
            state: RwLock::new(state),
            queue: Mutex::new(keeping.queue()),
            queued: Condvar::new(),
            keeping: Mutex::new(keeping),
        }
    }

    /// The newest epoch. A fetch that begins now sees what every invalidation so far was about.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// To be called with `state` locked: who looks up with this epoch finds the records that belong to it.
    pub(super) fn raise(&self, epoch: u64) {
        self.epoch.fetch_max(epoch, Ordering::AcqRel);
    }

    /// Records invalidations. When this returns, no reader takes what they select for fresh; [`Journal::wait`] says whether
    /// they hold after a crash.
    ///
    /// # Errors
    /// Another process holds the journal: nothing was invalidated.
    pub fn invalidate(&self, all: &[Invalidation], now: Timestamp) -> Result<Recorded, NotKept> {
        let mut queue = self.queue.lock();
        queue.may_write()?;
        let epoch = self.epoch() + 1;
        let mut state = self.state.write();
        let folded = state.invalidate(all, epoch, now);
        let sweep = state.records.wants_sweep();
        self.raise(epoch);
        drop(state);
        let event = self.push(&mut queue, &Event::Invalidated { epoch, at: now, all: Cow::Borrowed(all) });
        Ok(Recorded { epoch, folded, sweep, event })
    }

    /// What has happened is to be written down.
    fn push(&self, queue: &mut Queue, event: &Event<'_>) -> EventNumber {
        let number = queue.push(event);
        self.queued.notify_one();
        number
    }

    /// How a response stands. One load where nothing was invalidated since it was last looked up.
    pub fn check<'s>(&self, checked: &Checked, subject: impl FnOnce() -> Option<Subject<'s>>) -> Validity {
        let epoch = self.epoch();
        if checked.epoch() != epoch {
            let state = self.state.read();
            // Under the lock: a sweep looks everything up before it lets records be forgotten.
            let (began, seen, swept) = (checked.began(), checked.epoch(), checked.swept());
            // Who cannot be named cannot be cleared.
            let validity = subject().map_or(Validity::Hard, |s| state.records.judge(&s, began, seen, swept));
            drop(state);
            checked.note(validity, epoch);
        }
        checked.validity()
    }

    /// How a response whose fetch began in `began` stands for somebody who came in `arrived`. What was invalidated after he
    /// came does not concern him.
    pub fn check_for(&self, subject: &Subject<'_>, began: u64, arrived: u64) -> Validity {
        if arrived <= began {
            return Validity::Valid;
        }
        self.state.read().records.judge(subject, began, began, began)
    }

    /// The invalidation that selects a response whose fetch began in that epoch, and its epoch: the worst, then the newest.
    pub fn reason(&self, subject: &Subject<'_>, began: u64) -> Option<(Mode, Target, u64)> {
        self.state.read().records.reason(subject, began)
    }

    /// Adds tags to whatever is stored at a page now and later (semantics 41), and returns all that were added there. They
    /// are kept as invalidations are.
    ///
    /// # Errors
    /// There is no room for more, or another process holds the journal: nothing was added.
    pub fn add_tags(&self, host: Option<&str>, path: &str, tags: &[String]) -> Result<Tagged, TagsRefused> {
        let mut queue = self.queue.lock();
        queue.may_write().map_err(|_| TagsRefused::HeldElsewhere)?;
        let epoch = self.epoch();
        let (names, new) = self.state.write().records.add_tags(host, path, tags, epoch)?;
        let tagged = || Event::Tagged { epoch, host, path, tags: Cow::Borrowed(tags) };
        let event = (new > 0).then(|| self.push(&mut queue, &tagged()));
        Ok(Tagged { names, event })
    }

    /// The tags that were added to a page.
    pub fn added_tags(&self, host: &str, path: &str) -> Vec<String> {
        self.state.read().records.added_tags(host, path)
    }

    /// When this tag was last to be validated on this host.
    pub fn last_of_tag(&self, host: &str, tag: &str) -> Option<Timestamp> {
        self.state.read().records.last_of_tag(host, tag)
    }

    /// Everything that hard records up to `epoch` select is gone: they are forgotten. A response that was not looked up
    /// since then counts as selected. Where another process holds the journal this is its business, and nothing happens.
    pub fn swept(&self, epoch: u64) {
        let mut queue = self.queue.lock();
        if queue.may_write().is_ok() {
            self.state.write().records.forget_hard(epoch);
            self.push(&mut queue, &Event::Swept(epoch));
        }
    }

    /// Hard records up to this epoch are forgotten: for [`Checked::restored`].
    pub fn swept_epoch(&self) -> u64 {
        self.state.read().records.forgotten()
    }

    /// Leaves a note, in the place of the one of this name. It is kept as invalidations are.
    ///
    /// # Errors
    /// Another process holds the journal, or there is no room for such a note: nothing changed.
    pub fn note(&self, name: &str, value: &[u8]) -> Result<EventNumber, NotKept> {
        let mut queue = self.queue.lock();
        queue.may_write()?;
        if name.len() > NAME_AT_MOST || value.len() > NOTE_AT_MOST {
            return Err(NotKept(format!("a note of {} bytes is too long", name.len() + value.len())));
        }
        let mut state = self.state.write();
        if state.notes.len() >= NOTES_AT_MOST && !state.notes.contains_key(name) {
            return Err(NotKept(format!("there are {NOTES_AT_MOST} notes already")));
        }
        state.notes.insert(name.to_owned(), value.to_vec());
        drop(state);
        Ok(self.push(&mut queue, &Event::Noted { name, value }))
    }

    /// The note of this name.
    pub fn noted(&self, name: &str) -> Option<Vec<u8>> {
        self.state.read().notes.get(name).cloned()
    }

    /// How many records there are, soft and hard.
    pub fn len(&self) -> usize {
        self.state.read().records.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
