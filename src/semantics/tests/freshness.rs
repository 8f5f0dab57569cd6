//! Freshness lifetime, current age and the three windows (RFC 9111, 4.2; RFC 5861; semantics 7-12 and 30).

mod support;

use semantics::freshness::windows;
use semantics::policy::Revalidate;
use semantics::{Policy, Times, Timestamp, Windows};
use std::time::Duration;
use support::{Fields, fields};

/// G: Sun, 06 Nov 1994 08:49:37 GMT.
const G: Timestamp = Timestamp::from_secs(784_111_777);
const YEAR: u64 = 31_536_000;
/// For ever.
const EVER: u64 = u64::MAX;
const CC: &str = "cache-control";

/// A label, the fields, and in seconds after G: until when it is fresh, may be stale, covers a failing origin.
type Row<'a> = (&'a str, Fields<'a>, [u64; 3]);

fn seconds_after_g(at: Timestamp) -> u64 {
    if at == Timestamp::NEVER { EVER } else { at.since(G).as_secs() }
}

fn seen(windows: &Windows) -> [u64; 3] {
    [windows.fresh_until, windows.stale_until, windows.error_until].map(seconds_after_g)
}

fn of(policy: &Policy, status: u16, list: Fields<'_>) -> Windows {
    windows(status, &fields(list), policy, &Times { requested: G, responded: G, completed: G }, false)
}

fn check(policy: &Policy, status: u16, rows: &[Row<'_>]) {
    for (label, list, expected) in rows {
        assert_eq!(seen(&of(policy, status, list)), *expected, "{label}: {status} {list:?}");
    }
}

fn isr(seconds: u64) -> Policy {
    Policy::isr(Revalidate::Every(Duration::from_secs(seconds)))
}

#[test]
fn the_origins_directives_make_the_windows() {
    let own = "larder-cache-control";
    let cdn = "cdn-cache-control";
    check(
        &Policy::header_driven(),
        200,
        &[
            ("7: nothing said, no heuristics", &[], [0, 0, EVER]),
            ("7: Last-Modified is no lifetime", &[("last-modified", "Sun, 06 Nov 1993 08:49:37 GMT")], [0, 0, EVER]),
            ("public is no lifetime", &[(CC, "public")], [0, 0, EVER]),
            ("max-age", &[(CC, "max-age=60")], [60, 60, EVER]),
            ("max-age=0", &[(CC, "max-age=0")], [0, 0, EVER]),
            ("s-maxage before max-age", &[(CC, "max-age=60, s-maxage=10")], [10, 10, EVER]),
            ("s-maxage=0 before max-age", &[(CC, "max-age=60, s-maxage=0")], [0, 0, EVER]),
            ("CDN-Cache-Control before both", &[(CC, "s-maxage=60"), (cdn, "max-age=5")], [5, 5, EVER]),
            ("Larder-Cache-Control before that", &[(own, "max-age=7"), (cdn, "max-age=5")], [7, 7, EVER]),
            ("Surrogate-Control", &[(CC, "max-age=5"), ("surrogate-control", "max-age=60+9")], [60, 69, EVER]),
            ("malformed", &[(CC, "max-age=abc")], [0, 0, EVER]),
            ("huge", &[(CC, "max-age=99999999999")], [1 << 31, 1 << 31, EVER]),
            ("immutable says nothing about a lifetime", &[(CC, "max-age=60, immutable")], [60, 60, EVER]),
            ("on two lines", &[(CC, "public"), (CC, "max-age=60")], [60, 60, EVER]),
        ],
    );
}

#[test]
fn stale_windows_follow_the_lifetime_unless_stale_is_forbidden() {
    let cdn = "cdn-cache-control";
    check(
        &Policy::header_driven(),
        200,
        &[
            ("8: the pair that frameworks send", &[(CC, "s-maxage=10, stale-while-revalidate=50")], [10, 60, EVER]),
            ("8: without a value, one year", &[(CC, "s-maxage=10, stale-while-revalidate")], [10, 10 + YEAR, EVER]),
            ("RFC 5861, 3: with max-age", &[(CC, "max-age=10, stale-while-revalidate=50")], [10, 60, EVER]),
            ("after no lifetime at all", &[(CC, "max-age=0, stale-while-revalidate=50")], [0, 50, EVER]),
            ("9: bare s-maxage still answers for a failing origin", &[(CC, "s-maxage=10")], [10, 10, EVER]),
            ("9: must-revalidate", &[(CC, "max-age=10, must-revalidate")], [10, 10, 10]),
            ("9: proxy-revalidate", &[(CC, "max-age=10, proxy-revalidate")], [10, 10, 10]),
            ("9: against a window", &[(CC, "max-age=10, must-revalidate, stale-while-revalidate=50")], [10, 10, 10]),
            ("RFC 9111, 5.2.2.4: no-cache", &[(CC, "no-cache")], [0, 0, 0]),
            ("no-cache with a lifetime", &[(CC, "no-cache, max-age=10")], [0, 0, 0]),
            ("no-cache with a window", &[(CC, "no-cache, s-maxage=10, stale-while-revalidate=50")], [0, 0, 0]),
            ("targeted no-cache", &[(CC, "max-age=60"), (cdn, "no-cache")], [0, 0, 0]),
            ("targeted must-revalidate", &[(cdn, "max-age=60, must-revalidate")], [60, 60, 60]),
            ("a targeted field voids must-revalidate", &[(CC, "must-revalidate"), (cdn, "max-age=60")], [60, 60, EVER]),
        ],
    );
}

#[test]
fn expires_counts_from_the_origins_own_date() {
    const NOW: (&str, &str) = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
    const LATER: (&str, &str) = ("expires", "Sun, 06 Nov 1994 08:51:17 GMT");
    check(
        &Policy::header_driven(),
        200,
        &[
            ("100 s ahead", &[NOW, LATER], [100, 100, EVER]),
            ("no Date: from reception", &[LATER], [100, 100, EVER]),
            ("a malformed Date: from reception", &[("date", "now"), LATER], [100, 100, EVER]),
            ("two Dates: from reception", &[("date", "Sun, 06 Nov 1994 08:51:00 GMT"), NOW, LATER], [100, 100, EVER]),
            ("equal to Date", &[NOW, ("expires", "Sun, 06 Nov 1994 08:49:37 GMT")], [0, 0, EVER]),
            ("before Date", &[NOW, ("expires", "Sun, 06 Nov 1994 08:49:36 GMT")], [0, 0, EVER]),
            (
                "Date +400, Expires +300",
                &[("date", "Sun, 06 Nov 1994 08:56:17 GMT"), ("expires", "Sun, 06 Nov 1994 08:54:37 GMT")],
                [0, 0, EVER],
            ),
            (
                "the origin's clock is an hour ahead",
                &[("date", "Sun, 06 Nov 1994 09:49:37 GMT"), ("expires", "Sun, 06 Nov 1994 09:51:17 GMT")],
                [100, 100, EVER],
            ),
            ("5.3: 0", &[NOW, ("expires", "0")], [0, 0, EVER]),
            ("5.3: -1", &[NOW, ("expires", "-1")], [0, 0, EVER]),
            ("5.3: nothing", &[NOW, ("expires", "")], [0, 0, EVER]),
            ("another zone", &[NOW, ("expires", "Sun, 06 Nov 1994 08:51:17 UTC")], [0, 0, EVER]),
            ("two lines", &[NOW, LATER, LATER], [0, 0, EVER]),
            ("max-age instead (5.3)", &[NOW, LATER, (CC, "max-age=10")], [10, 10, EVER]),
            ("max-age=0 instead", &[NOW, LATER, (CC, "max-age=0")], [0, 0, EVER]),
            ("a malformed max-age instead", &[NOW, LATER, (CC, "max-age=x")], [0, 0, EVER]),
            ("s-maxage instead", &[NOW, LATER, (CC, "s-maxage=10")], [10, 10, EVER]),
            ("public leaves it", &[NOW, LATER, (CC, "public")], [100, 100, EVER]),
            ("a targeted field hides it", &[NOW, LATER, ("cdn-cache-control", "public")], [0, 0, EVER]),
        ],
    );
}

#[test]
fn age_on_arrival_is_taken_off() {
    check(
        &Policy::header_driven(),
        200,
        &[
            ("half of it", &[(CC, "max-age=60"), ("age", "30")], [30, 30, EVER]),
            ("all of it", &[(CC, "max-age=60"), ("age", "60")], [0, 0, EVER]),
            ("into the stale window", &[(CC, "max-age=10, stale-while-revalidate=50"), ("age", "40")], [0, 20, EVER]),
            ("beyond it", &[(CC, "max-age=10, stale-while-revalidate=50"), ("age", "90")], [0, 0, EVER]),
            (
                "RFC 9213: with a targeted field too",
                &[("cdn-cache-control", "max-age=60"), ("age", "30")],
                [30, 30, EVER],
            ),
            ("must-revalidate", &[(CC, "max-age=60, must-revalidate"), ("age", "30")], [30, 30, 30]),
            ("the first of a list", &[(CC, "max-age=60"), ("age", "30, 5")], [30, 30, EVER]),
            ("the first line", &[(CC, "max-age=60"), ("age", "30"), ("age", "50")], [30, 30, EVER]),
            ("a decimal is ignored", &[(CC, "max-age=60"), ("age", "7200.0")], [60, 60, EVER]),
            ("a negative one is ignored", &[(CC, "max-age=60"), ("age", "-5")], [60, 60, EVER]),
            ("letters are ignored", &[(CC, "max-age=60"), ("age", "old")], [60, 60, EVER]),
            ("2^31", &[(CC, "max-age=60"), ("age", "2147483648")], [0, 0, EVER]),
            ("2^31 against the longest lifetime", &[(CC, "max-age=99999999999"), ("age", "99999999999")], [0, 0, EVER]),
            (
                "an old Date (4.2.3, apparent age)",
                &[(CC, "max-age=4000"), ("date", "Sun, 06 Nov 1994 07:49:37 GMT")],
                [400, 400, EVER],
            ),
            ("a Date ahead", &[(CC, "max-age=60"), ("date", "Sun, 06 Nov 1994 09:49:37 GMT")], [60, 60, EVER]),
        ],
    );
}

#[test]
fn current_age_grows_from_what_it_was_on_arrival() {
    // Asked for 10 s after G, when the request took 2 s.
    let rows: &[(&str, Fields<'_>, u64)] = &[
        ("told, plus the time on the way", &[("age", "30")], 42),
        ("an old Date", &[("date", "Sun, 06 Nov 1994 08:47:57 GMT")], 110),
        ("the larger: Age", &[("age", "300"), ("date", "Sun, 06 Nov 1994 08:47:57 GMT")], 312),
        ("the larger: Date", &[("age", "30"), ("date", "Sun, 06 Nov 1994 08:47:57 GMT")], 110),
        ("16: G is when it was complete", &[], 10),
        ("our choice: less than a minute is a clock that is off", &[("date", "Sun, 06 Nov 1994 08:49:07 GMT")], 10),
    ];
    let times = Times { requested: G.before(Duration::from_secs(2)), responded: G, completed: G };
    for (label, list, expected) in rows {
        let windows = windows(200, &fields(list), &Policy::header_driven(), &times, false);
        assert_eq!(windows.generated, G, "{label}");
        assert_eq!(windows.age(G.after(Duration::from_secs(10))).as_secs(), *expected, "{label}");
    }
}

#[test]
fn stale_if_error_limits_how_long_a_failing_origin_is_covered() {
    let policy = Policy { stale_if_error: Some(Duration::from_secs(100)), ..Policy::header_driven() };
    check(
        &policy,
        200,
        &[
            ("from the end of freshness", &[(CC, "max-age=60")], [60, 60, 160]),
            ("whatever the window", &[(CC, "s-maxage=60, stale-while-revalidate=5")], [60, 65, 160]),
            ("without a lifetime", &[("etag", "\"a\"")], [0, 0, 100]),
            ("not against must-revalidate", &[(CC, "max-age=60, must-revalidate")], [60, 60, 60]),
            ("not against no-cache", &[(CC, "no-cache")], [0, 0, 0]),
        ],
    );
    let policy = Policy { stale_if_error: Some(Duration::from_secs(100)), ..isr(60) };
    check(&policy, 200, &[("on an ISR route", &[], [60, YEAR, 160])]);
}

#[test]
fn stale_if_error_counts_from_where_freshness_ended_before_arrival() {
    let policy = Policy { stale_if_error: Some(Duration::from_secs(100)), ..Policy::header_driven() };
    check(
        &policy,
        200,
        &[
            ("stale for 40 s on arrival", &[(CC, "max-age=60"), ("age", "100")], [0, 0, 60]),
            ("stale for 140 s on arrival", &[(CC, "max-age=60"), ("age", "200")], [0, 0, 0]),
        ],
    );
}

#[test]
fn an_isr_route_keeps_its_own_window() {
    check(
        &isr(60),
        200,
        &[
            ("nothing said", &[], [60, YEAR, EVER]),
            ("a shorter lifetime", &[(CC, "max-age=5")], [60, YEAR, EVER]),
            ("a longer one", &[(CC, "s-maxage=600, stale-while-revalidate=1")], [60, YEAR, EVER]),
            ("must-revalidate", &[(CC, "max-age=0, must-revalidate")], [60, YEAR, EVER]),
            ("no-cache", &[(CC, "no-cache")], [60, YEAR, EVER]),
            ("Expires", &[("expires", "0")], [60, YEAR, EVER]),
            ("a targeted field", &[("cdn-cache-control", "max-age=5")], [60, YEAR, EVER]),
        ],
    );
    let expire = |seconds| Policy { expire: Duration::from_secs(seconds), ..isr(60) };
    check(&expire(3600), 200, &[("10: X = G + expire", &[], [60, 3600, EVER])]);
    check(&expire(10), 200, &[("never before R", &[], [60, 60, EVER])]);
    for status in [203, 300, 301, 308, 451] {
        check(&isr(600), status, &[("28: a success", &[], [600, YEAR, EVER])]);
    }
}

#[test]
fn revalidate_never_is_fresh_for_ever() {
    let never = Policy::isr(Revalidate::Never);
    check(
        &never,
        200,
        &[
            ("nothing said", &[], [EVER, EVER, EVER]),
            ("max-age=0", &[(CC, "max-age=0, must-revalidate")], [EVER, EVER, EVER]),
        ],
    );
    check(&never, 404, &[("30: a 404 heals", &[], [60, YEAR, EVER])]);
    check(&never, 410, &[("30: with its own lifetime", &[(CC, "s-maxage=5")], [5, YEAR, EVER])]);
}

#[test]
fn a_404_on_an_isr_route_lives_as_long_as_it_says_else_a_minute_at_most() {
    for status in [404, 410] {
        check(
            &isr(600),
            status,
            &[("nothing said", &[], [60, YEAR, EVER]), ("its own lifetime", &[(CC, "max-age=30")], [30, YEAR, EVER])],
        );
        check(&isr(10), status, &[("the route's window is shorter", &[], [10, YEAR, EVER])]);
    }
}

#[test]
fn a_404_in_a_pages_place_heals_within_a_minute_unless_it_says_how_long() {
    let times = Times { requested: G, responded: G, completed: G };
    let rows: &[(u16, Fields<'_>, bool, u64)] = &[
        (404, &[], true, 60),
        (410, &[("etag", "\"a\"")], true, 60),
        (404, &[(CC, "max-age=300")], true, 300),
        (404, &[(CC, "no-cache")], true, 0),
        (404, &[], false, 0),
        (200, &[], true, 0),
        (451, &[], true, 0),
    ];
    for (status, list, replaces, expected) in rows {
        let windows = windows(*status, &fields(list), &Policy::header_driven(), &times, *replaces);
        assert_eq!(seen(&windows)[0], *expected, "30: {status} {list:?}, in place of a page: {replaces}");
    }
}

#[test]
fn a_temporary_redirect_on_an_isr_route_lives_as_long_as_it_says() {
    for status in [302, 303, 307] {
        check(
            &isr(600),
            status,
            &[
                ("max-age", &[(CC, "max-age=30")], [30, YEAR, EVER]),
                ("at most the route's window", &[(CC, "s-maxage=3600")], [600, YEAR, EVER]),
            ],
        );
    }
}

#[test]
fn a_window_on_an_isr_route_is_never_under_a_second() {
    // Semantics 7; else every visit would start a regeneration (semantics 15).
    for status in [302, 404, 410] {
        check(&isr(600), status, &[("max-age=0", &[(CC, "max-age=0")], [1, YEAR, EVER])]);
    }
}
