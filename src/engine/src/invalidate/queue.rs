//! What has happened and is not written yet.

use super::event::{Encoded, Event, EventNumber, NotKept};
use super::log::Commit;
use super::opening::Role;
use std::collections::VecDeque;
use std::sync::Arc;

/// Beyond so many bytes of them events are dropped: all of the state is written instead, as soon as the disk answers.
const BYTES_AT_MOST: usize = 4 << 20;

/// Events in the order in which they happened. Who looks after it: [`super::Journal`].
pub(super) struct Queue {
    pub(super) role: Role,
    /// What is on the disk of them; `None`: there is no disk, or another process writes it.
    pub(super) commit: Option<Arc<Commit>>,
    events: VecDeque<Encoded>,
    bytes: usize,
    newest: u64,
    /// Up to here they may not be in the queue any more: only the whole state tells of them.
    dropped: u64,
    /// Events were dropped, and nobody has seen that yet.
    overflowed: bool,
}

/// What is to be written next.
pub(super) enum Next {
    Nothing,
    Event(Encoded),
    Whole,
}

impl Queue {
    pub(super) fn new(role: Role, commit: Option<Arc<Commit>>) -> Self {
        let newest = commit.as_ref().map_or(0, |commit| commit.appended());
        Queue { role, commit, events: VecDeque::new(), bytes: 0, newest, dropped: 0, overflowed: false }
    }

    /// Whether this process may change anything at all.
    pub(super) fn may_write(&self) -> Result<(), NotKept> {
        match self.role {
            Role::Holder => Ok(()),
            Role::Follower => {
                let why = "another process holds the journal of this directory, and alone may write to it";
                Err(NotKept(why.to_owned()))
            }
        }
    }

    pub(super) fn push(&mut self, event: &Event<'_>) -> EventNumber {
        if self.commit.is_some() {
            self.newest += 1;
            let event = Encoded::new(self.newest, event);
            self.bytes += event.payload.len();
            self.events.push_back(event);
            if self.bytes > BYTES_AT_MOST {
                self.drop_all();
                self.overflowed = true;
            }
        }
        EventNumber(self.newest)
    }

    /// Takes what comes next out of it. `written`: up to there the log has them.
    pub(super) fn next(&mut self, written: u64) -> Next {
        self.overflowed = false;
        while let Some(event) = self.events.pop_front() {
            self.bytes -= event.payload.len();
            if event.number > written {
                return if self.dropped > written { Next::Whole } else { Next::Event(event) };
            }
        }
        if self.dropped > written { Next::Whole } else { Next::Nothing }
    }

    /// Up to which event everything has happened.
    pub(super) fn newest(&self) -> u64 {
        self.newest
    }

    /// Whether there is nothing to be written, as far as is known here.
    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty() && !self.overflowed
    }

    /// The log takes no single events: it has to be written anew.
    pub(super) fn drop_all(&mut self) {
        self.events.clear();
        (self.bytes, self.dropped) = (0, self.newest);
    }
}
