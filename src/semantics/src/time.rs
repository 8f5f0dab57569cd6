//! Points in time as plain numbers, so that everything below the proxy's edge can be given `now`.

use std::time::{Duration, SystemTime};

/// Microseconds since the Unix epoch. Saturates instead of wrapping: the far future is simply [`Timestamp::NEVER`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

impl Timestamp {
    /// A point that no clock reaches: the end of a lifetime that does not end.
    pub const NEVER: Timestamp = Timestamp(u64::MAX);
    /// The Unix epoch, which is before everything.
    pub const EPOCH: Timestamp = Timestamp(0);

    pub const fn from_micros(micros: u64) -> Self {
        Timestamp(micros)
    }

    pub const fn from_secs(secs: u64) -> Self {
        Timestamp(secs.saturating_mul(1_000_000))
    }

    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// This point plus `span`; [`Timestamp::NEVER`] when that cannot be told.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        Timestamp(self.0.saturating_add(micros))
    }

    /// This point minus `span`, the epoch at the earliest.
    #[must_use]
    pub fn before(self, span: Duration) -> Self {
        let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        Timestamp(self.0.saturating_sub(micros))
    }

    /// How long ago `earlier` was; zero when it lies ahead.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// Whole seconds from `now` to this point, rounded away from zero: the whole last second before it is 1, the whole
    /// first one after it is -1.
    pub fn seconds_from(self, now: Timestamp) -> i64 {
        const LONGEST: u64 = i32::MAX as u64;
        if self.0 > now.0 {
            let secs = (self.0 - now.0).div_ceil(1_000_000);
            i64::try_from(secs.min(LONGEST)).unwrap_or(i64::MAX)
        } else {
            let secs = (now.0 - self.0).div_ceil(1_000_000);
            -i64::try_from(secs.min(LONGEST)).unwrap_or(i64::MAX)
        }
    }
}

/// An HTTP-date in its preferred form (RFC 9110, 5.6.7).
pub fn http_date(at: Timestamp) -> String {
    // The grammar has four digits for the year.
    const LAST: Timestamp = Timestamp::from_secs(253_402_300_799);
    let time = SystemTime::UNIX_EPOCH + Duration::from_micros(at.min(LAST).as_micros());
    httpdate::fmt_http_date(time)
}

/// An HTTP-date in any of its three forms (RFC 9110, 5.6.7).
pub fn parse_date(value: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(value).ok()?;
    let time = httpdate::parse_http_date(text).ok().or_else(|| {
        let usual = usual_case(text);
        httpdate::parse_http_date(&usual).ok().or_else(|| on_any_day(&usual))
    })?;
    let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(Timestamp::from_micros(u64::try_from(since_epoch.as_micros()).ok()?))
}

/// A date with the name of another day than its own: the rest says it all (our choice, as that of most who read dates).
fn on_any_day(date: &str) -> Option<SystemTime> {
    const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
    let name = date.split(|c: char| !c.is_ascii_alphabetic()).next()?;
    let short = DAYS.iter().any(|day| name == &day[..3]);
    if !short && !DAYS.contains(&name) {
        return None;
    }
    let rest = &date[name.len()..];
    let named = |day: &&str| format!("{}{rest}", if short { &day[..3] } else { day });
    DAYS.iter().find_map(|day| httpdate::parse_http_date(&named(day)).ok())
}

/// Names of days and months in the case that the grammar has; some origins send another.
fn usual_case(date: &str) -> String {
    let mut within = false;
    let usual = date.chars().map(|c| {
        let c = if within { c.to_ascii_lowercase() } else { c.to_ascii_uppercase() };
        within = c.is_ascii_alphabetic();
        c
    });
    usual.collect::<String>().replace("Gmt", "GMT")
}
