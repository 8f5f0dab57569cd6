//! What is said of an answer: the Cache-Status field (RFC 9211; semantics 50) and the metric label, from one value.

use std::fmt::Write;

/// Why a request went to the origin (RFC 9211, 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forward {
    UriMiss,
    VaryMiss,
    /// A stored response was too old to answer, or had to be validated.
    Stale,
    Method,
    /// Configuration, draft mode, upgrades: the cache was not asked.
    Bypass,
    /// The request's own fields: it is personal, or asks for a part.
    Request,
    /// Nothing stored, and the key is known not to be storable.
    Miss,
}

impl Forward {
    pub fn as_str(self) -> &'static str {
        match self {
            Forward::UriMiss => "uri-miss",
            Forward::VaryMiss => "vary-miss",
            Forward::Stale => "stale",
            Forward::Method => "method",
            Forward::Bypass => "bypass",
            Forward::Request => "request",
            Forward::Miss => "miss",
        }
    }
}

/// How a request was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheStatus {
    /// From the store. `failing`: its regeneration fails at present.
    Hit { ttl: i64, failing: bool },
    /// By the origin.
    Forwarded { why: Forward, status: Option<u16>, stored: bool, collapsed: bool },
    /// By a stored response, after the origin was asked in vain: a failure, or a 304.
    StaleAfter { status: Option<u16> },
    /// By a page that stands for one that is being generated (semantics 26).
    Shell,
    /// By Larder itself.
    Own { detail: &'static str },
}

/// The `cache` label of requests in the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    Hit,
    Stale,
    Miss,
    Collapsed,
    Bypass,
    Error,
}

impl Outcome {
    pub const ALL: [Outcome; 6] =
        [Outcome::Hit, Outcome::Stale, Outcome::Miss, Outcome::Collapsed, Outcome::Bypass, Outcome::Error];

    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Hit => "hit",
            Outcome::Stale => "stale",
            Outcome::Miss => "miss",
            Outcome::Collapsed => "collapsed",
            Outcome::Bypass => "bypass",
            Outcome::Error => "error",
        }
    }
}

impl CacheStatus {
    pub fn outcome(&self) -> Outcome {
        match self {
            CacheStatus::Hit { ttl, failing: false } if *ttl > 0 => Outcome::Hit,
            CacheStatus::Hit { .. } | CacheStatus::StaleAfter { .. } => Outcome::Stale,
            CacheStatus::Shell => Outcome::Miss,
            CacheStatus::Forwarded { collapsed: true, .. } => Outcome::Collapsed,
            CacheStatus::Forwarded { why: Forward::UriMiss | Forward::VaryMiss | Forward::Stale, .. } => Outcome::Miss,
            CacheStatus::Forwarded { .. } => Outcome::Bypass,
            CacheStatus::Own { .. } => Outcome::Error,
        }
    }

    /// The field's value, appended to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut text = Text(out);
        // Writing into a Vec cannot fail.
        let _ = match *self {
            CacheStatus::Hit { ttl, failing } => text.hit(ttl, failing),
            CacheStatus::Forwarded { why, status, stored, collapsed } => text.forwarded(why, status, stored, collapsed),
            CacheStatus::StaleAfter { status } => text.stale_after(status),
            CacheStatus::Shell => text.write_str("larder; fwd=uri-miss; detail=shell"),
            CacheStatus::Own { detail } => write!(text, "larder; detail={detail}"),
        };
    }
}

struct Text<'a>(&'a mut Vec<u8>);

impl Write for Text<'_> {
    fn write_str(&mut self, s: &str) -> std::fmt::Result {
        self.0.extend_from_slice(s.as_bytes());
        Ok(())
    }
}

impl Text<'_> {
    fn hit(&mut self, ttl: i64, failing: bool) -> std::fmt::Result {
        write!(self, "larder; hit; ttl={ttl}{}", if failing { "; detail=failing" } else { "" })
    }

    fn forwarded(&mut self, why: Forward, status: Option<u16>, stored: bool, collapsed: bool) -> std::fmt::Result {
        write!(self, "larder; fwd={}", why.as_str())?;
        if let Some(status) = status {
            write!(self, "; fwd-status={status}")?;
        }
        self.write_str(if stored { "; stored" } else { "" })?;
        self.write_str(if collapsed { "; collapsed" } else { "" })
    }

    fn stale_after(&mut self, status: Option<u16>) -> std::fmt::Result {
        self.write_str("larder; fwd=stale")?;
        match status {
            Some(status) => write!(self, "; fwd-status={status}"),
            None => self.write_str("; detail=failing"),
        }
    }
}
