//! A stored response in the content codings that were made of it: kept beside it, and gone with it.

use super::{Body, Head, Made};
use bytes::Bytes;
use semantics::coding::{self, Coding};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

/// What was made of one response.
#[derive(Debug, Default)]
pub struct Coded {
    made: [OnceLock<Option<Box<InCoding>>>; 3],
    /// A bit for each coding that somebody has ordered.
    ordered: AtomicU8,
    codable: OnceLock<bool>,
}

/// The response in one coding, ready to be written.
#[derive(Debug)]
pub struct InCoding {
    /// As [`Head::wire`].
    pub wire: Bytes,
    pub body: Bytes,
}

impl InCoding {
    /// Made once, and kept.
    fn kept(head: &Head, coding: Coding, body: Bytes) -> Self {
        InCoding { wire: head.in_coding(coding, Made::Once(body.len())), body }
    }

    /// Made for one visitor.
    pub fn for_one(head: &Head, coding: Coding, body: Bytes) -> Self {
        InCoding { wire: head.in_coding(coding, Made::ForOne(body.len())), body }
    }

    fn cost(&self) -> usize {
        size_of::<Self>() + self.wire.len() + self.body.len()
    }
}

impl Coded {
    /// What was made of the same body, under another head.
    pub fn carried(&self, head: &Head) -> Coded {
        let carried = Coded::default();
        for coding in Coding::ALL {
            if let Some(made) = self.made[coding.index()].get() {
                carried.put(head, coding, made.as_ref().map(|made| made.body.clone()));
            }
        }
        carried
    }

    /// Whether this response is ever coded.
    pub fn is_codable(&self, head: &Head, body: &Body) -> bool {
        // By the origin's own fields: what clients see may leave out that it forbids this.
        let codable = || coding::is_codable(head.status(), &head.origin_fields(), Some(body.len()));
        body.held().is_some() && *self.codable.get_or_init(codable)
    }

    pub fn get(&self, coding: Coding) -> Option<&InCoding> {
        self.made[coding.index()].get()?.as_deref()
    }

    /// Whether this is the first order for it. Reads alone after that.
    pub fn is_first_order(&self, coding: Coding) -> bool {
        let bit = 1 << coding.index();
        self.ordered.load(Ordering::Relaxed) & bit == 0 && self.ordered.fetch_or(bit, Ordering::Relaxed) & bit == 0
    }

    /// Takes an order back that could not be carried out: the next one counts.
    pub fn cancel(&self, coding: Coding) {
        self.ordered.fetch_and(!(1 << coding.index()), Ordering::Relaxed);
    }

    /// `body`: in that coding; `None` where nothing is gained by it.
    pub fn put(&self, head: &Head, coding: Coding, body: Option<Bytes>) {
        self.ordered.fetch_or(1 << coding.index(), Ordering::Relaxed);
        let _ = self.made[coding.index()].set(body.map(|body| Box::new(InCoding::kept(head, coding, body))));
    }

    /// Bytes that all of it takes in memory.
    pub fn cost(&self) -> usize {
        self.made.iter().filter_map(|made| made.get()?.as_deref()).map(InCoding::cost).sum()
    }
}
