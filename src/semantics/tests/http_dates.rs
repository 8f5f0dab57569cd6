//! HTTP-dates as a cache reads them (RFC 9110, 5.6.7; RFC 9111, 4.2), and the points in time they become.

use proptest::prelude::*;
use semantics::Timestamp;
use semantics::time::http_date;
use semantics::time::parse_date;
use std::time::Duration;

const G: Timestamp = Timestamp::from_secs(784_111_777);

#[test]
fn dates_are_read_in_their_three_forms_only() {
    for date in ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
        assert_eq!(parse_date(date.as_bytes()), Some(G), "{date}");
    }
    for (label, date) in [
        ("UTC", "Sun, 06 Nov 1994 08:49:37 UTC"),
        ("a local zone", "Sun, 06 Nov 1994 08:49:37 AEST"),
        ("an offset", "Sun, 06 Nov 1994 08:49:37 +0000"),
        ("no zone", "Sun, 06 Nov 1994 08:49:37"),
        ("two-digit year", "Sun, 06 Nov 94 08:49:37 GMT"),
        ("no comma", "Sun 06 Nov 1994 08:49:37 GMT"),
        ("a double space", "Sun, 06 Nov 1994  08:49:37 GMT"),
        ("another", "Sun,  06 Nov 1994 08:49:37 GMT"),
        ("dashes with a four-digit year", "Sun, 06-Nov-1994 08:49:37 GMT"),
        ("points for colons", "Sun, 06 Nov 1994 08.49.37 GMT"),
        ("a one-digit hour", "Sun, 06 Nov 1994 8:49:37 GMT"),
        ("a day of the week that there is not", "Sux, 06 Nov 1994 08:49:37 GMT"),
        ("a long day in the short form", "Sunday, 06 Nov 1994 08:49:37 GMT"),
        ("a day that is not there", "Sun, 31 Feb 1994 08:49:37 GMT"),
        ("hour 24", "Sun, 06 Nov 1994 24:00:00 GMT"),
        ("ISO 8601", "1994-11-06T08:49:37Z"),
        ("a number", "784111777"),
        ("nothing", ""),
    ] {
        assert_eq!(parse_date(date.as_bytes()), None, "{label}: {date}");
    }
}

#[test]
fn dates_are_read_in_any_letter_case() {
    // RFC 9111, 4.2: "a cache recipient SHOULD match the field value case-insensitively".
    for date in ["sun, 06 nov 1994 08:49:37 gmt", "SUN, 06 NOV 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 gMT"] {
        assert_eq!(parse_date(date.as_bytes()), Some(G), "{date}");
    }
}

#[test]
fn the_day_of_the_week_says_nothing_that_the_date_does_not() {
    for date in ["Mon, 06 Nov 1994 08:49:37 GMT", "Monday, 06-Nov-94 08:49:37 GMT", "Thu Nov  6 08:49:37 1994"] {
        assert_eq!(parse_date(date.as_bytes()), Some(G), "{date}");
    }
}

#[test]
fn a_written_date_reads_back() {
    assert_eq!(http_date(G), "Sun, 06 Nov 1994 08:49:37 GMT");
    assert_eq!(http_date(G.after(Duration::from_millis(999))), http_date(G), "parts of a second are cut off");
    assert_eq!(parse_date(http_date(Timestamp::EPOCH).as_bytes()), Some(Timestamp::EPOCH));
}

#[test]
fn points_in_time_saturate() {
    assert_eq!(G.after(Duration::MAX), Timestamp::NEVER);
    assert_eq!(Timestamp::NEVER.after(Duration::from_secs(1)), Timestamp::NEVER);
    assert_eq!(G.before(Duration::MAX), Timestamp::EPOCH);
    assert_eq!(G.since(G.after(Duration::from_secs(1))), Duration::ZERO);
    assert_eq!(Timestamp::from_secs(u64::MAX), Timestamp::NEVER);
}

#[test]
fn seconds_left_round_away_from_zero() {
    let from = |micros: i64| {
        let span = Duration::from_micros(micros.unsigned_abs());
        let point = if micros < 0 { G.before(span) } else { G.after(span) };
        point.seconds_from(G)
    };
    for (label, micros, expected) in [
        ("now", 0, 0),
        ("a whole second ahead", 1_000_000, 1),
        ("more than one ahead", 1_000_001, 2),
        ("the last second", 1, 1),
        ("just over", -1, -1),
        ("a whole second ago", -1_000_000, -1),
        ("more than one ago", -1_000_001, -2),
    ] {
        assert_eq!(from(micros), expected, "{label}");
    }
    assert_eq!(Timestamp::NEVER.seconds_from(G), i64::from(i32::MAX), "for ever");
    assert_eq!(Timestamp::EPOCH.seconds_from(Timestamp::NEVER), -i64::from(i32::MAX), "long ago");
}

proptest! {
    #[test]
    fn any_bytes_are_no_date_rather_than_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let _ = parse_date(&bytes);
    }

    #[test]
    fn nearly_valid_dates_are_read_without_panic(
        date in "(Sun|Monday|wed),? [0-3][0-9][ -](Jan|Feb|Nov)[ -]([0-9]{2}){1,2} [0-9:]{8} (GMT|UTC)",
    ) {
        let _ = parse_date(date.as_bytes());
    }

    #[test]
    fn every_second_up_to_the_year_9999_reads_back(secs in 0..253_402_300_800u64) {
        let at = Timestamp::from_secs(secs);
        prop_assert_eq!(parse_date(http_date(at).as_bytes()), Some(at));
    }
}
