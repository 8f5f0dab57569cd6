//! Invalidation by epoch (semantics 32, 36-42): a record says what was invalidated, an entry says in which epoch its fetch
//! began, and a look-up compares. So a tag on a million pages costs one record, and a fill that began earlier cannot
//! bring old content back.
//!
//! It knows selectors and epochs; it does not know where responses are stored, or what becomes of them.

mod checked;
mod codec;
mod event;
mod journal;
mod keeping;
mod log;
mod opening;
mod prefixes;
mod queue;
mod records;
mod state;
#[cfg(test)]
mod tests;

pub use checked::Checked;
pub use event::{EventNumber, NotKept};
pub use journal::{Journal, Recorded, Tagged};
pub use opening::{Followed, Found, Opened, Options, Role, Trust};
pub use records::TagsRefused;

use semantics::Timestamp;

/// What becomes of the responses that an invalidation selects. The names are metric labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// STALE: the next visit still gets them, and starts one regeneration.
    Soft,
    /// To be validated before they are used again: what a success of an unsafe method does (RFC 9111, 4.4).
    Validate,
    /// As if they were not stored; their validators are not sent either.
    Hard,
}

impl Mode {
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Soft => "soft",
            Mode::Validate => "validate",
            Mode::Hard => "hard",
        }
    }
}

/// What an invalidation selects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A page with all its variants, queries and data URLs (semantics 40), in normal form.
    Path(String),
    /// Every page whose path begins so, in normal form.
    Prefix(String),
    /// Every page of the route of that name.
    Route(String),
    Tag(String),
}

impl Target {
    /// A metric label.
    pub fn kind(&self) -> &'static str {
        match self {
            Target::Path(_) => "path",
            Target::Prefix(_) => "prefix",
            Target::Route(_) => "route",
            Target::Tag(_) => "tag",
        }
    }
}

/// For people: ``tag `blog` ``.
impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Target::Path(value) | Target::Prefix(value) | Target::Route(value) | Target::Tag(value)) = self;
        write!(f, "{} `{value}`", self.kind())
    }
}

/// One order to invalidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalidation {
    pub target: Target,
    /// Only what is stored for this host; `None`: for any.
    pub host: Option<String>,
    pub mode: Mode,
}

/// What a stored response can be selected by.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    pub host: &'a str,
    /// As received.
    pub path: &'a str,
    pub route: &'a str,
    pub tags: &'a Tags,
}

/// The tags of one stored response, in one allocation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags(Box<str>);

impl Tags {
    /// Tags have no control characters: one parts them here.
    pub fn new(tags: &[String]) -> Self {
        Tags(tags.join("\n").into_boxed_str())
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.split('\n').filter(|t| !t.is_empty())
    }

    /// All of them, a line each.
    pub fn joined(&self) -> &str {
        &self.0
    }

    /// What was [`Tags::joined`].
    pub fn from_joined(joined: Box<str>) -> Self {
        Tags(joined)
    }

    /// Bytes on the heap.
    pub fn heap_size(&self) -> usize {
        self.0.len()
    }
}

/// How a stored response stands against everything that was invalidated. Later ones are worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    Valid,
    /// STALE from then on.
    Soft(Timestamp),
    /// To be validated.
    Validate,
    /// Something that was invalidated may be lost: to be validated, and not to be used where that cannot be done.
    Doubt,
    /// ABSENT.
    Hard,
}
