//! May an answer be stored, and if not, why not (RFC 9111, 3; semantics 7, 11, 28, 29).

mod support;

use http::StatusCode;
use semantics::policy::{Revalidate, SetCookie};
use semantics::storability::{NotStorable, Verdict, is_posted_for_get, judge, verdict};
use semantics::{Policy, Timestamp};
use std::time::Duration;
use support::{Fields, fields};

/// Sun, 06 Nov 1994 08:49:37 GMT.
const NOW: Timestamp = Timestamp::from_secs(784_111_777);
const CC: &str = "cache-control";
const FRESH: (&str, &str) = (CC, "max-age=60");

/// A label, the response's fields, and the nominated fields or the reason.
type Row<'a> = (&'a str, Fields<'a>, Result<&'a [&'a str], NotStorable>);

fn check(policy: &Policy, status: u16, rows: &[Row<'_>]) {
    let status = StatusCode::from_u16(status).expect("a status");
    for (label, list, expected) in rows {
        let judged = judge(status, &fields(list), policy, NOW, false);
        let expected = expected.map(|names| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(judged, expected, "{label}: {status} {list:?}");
    }
}

fn header_driven() -> Policy {
    Policy::header_driven()
}

fn isr() -> Policy {
    Policy::isr(Revalidate::Every(Duration::from_secs(60)))
}

#[test]
fn a_lifetime_or_a_validator_makes_an_answer_storable() {
    check(
        &header_driven(),
        200,
        &[
            ("max-age", &[FRESH], Ok(&[])),
            ("s-maxage", &[(CC, "s-maxage=60")], Ok(&[])),
            ("Expires", &[("expires", "Sun, 06 Nov 1994 08:51:17 GMT")], Ok(&[])),
            ("a targeted field", &[("cdn-cache-control", "max-age=60")], Ok(&[])),
            ("Surrogate-Control", &[("surrogate-control", "max-age=60")], Ok(&[])),
            ("stale at once, with a window", &[(CC, "s-maxage=0, stale-while-revalidate=5")], Ok(&[])),
            ("ETag alone, for validation", &[("etag", "\"a\"")], Ok(&[])),
            ("Last-Modified alone", &[("last-modified", "Sun, 06 Nov 1993 08:49:37 GMT")], Ok(&[])),
            ("no-cache with a validator", &[(CC, "no-cache"), ("etag", "\"a\"")], Ok(&[])),
            ("max-age=0 with a validator", &[(CC, "max-age=0"), ("etag", "W/\"a\"")], Ok(&[])),
            ("7: nothing", &[], Err(NotStorable::NoLifetime)),
            ("7: public alone", &[(CC, "public")], Err(NotStorable::NoLifetime)),
            ("max-age=0 alone", &[(CC, "max-age=0")], Err(NotStorable::NoLifetime)),
            ("a malformed max-age", &[(CC, "max-age=abc")], Err(NotStorable::NoLifetime)),
            ("no-cache alone", &[(CC, "no-cache")], Err(NotStorable::NoLifetime)),
            ("Expires: 0", &[("expires", "0")], Err(NotStorable::NoLifetime)),
            (
                "Expires hidden by a targeted field",
                &[("expires", "Sun, 06 Nov 1994 08:51:17 GMT"), ("cdn-cache-control", "public")],
                Err(NotStorable::NoLifetime),
            ),
        ],
    );
}

#[test]
fn the_origin_forbids_storing() {
    check(
        &header_driven(),
        200,
        &[
            ("no-store (RFC 9111, 5.2.2.5)", &[(CC, "no-store")], Err(NotStorable::NoStore)),
            ("beside a lifetime", &[(CC, "no-store, max-age=60")], Err(NotStorable::NoStore)),
            ("on another line", &[FRESH, (CC, "No-Store")], Err(NotStorable::NoStore)),
            ("private (5.2.2.7)", &[(CC, "private, max-age=60")], Err(NotStorable::Private)),
            ("private with field names", &[(CC, "private=\"x-user\", max-age=60")], Err(NotStorable::Private)),
            ("private against public", &[(CC, "public, private, max-age=60")], Err(NotStorable::Private)),
            ("RFC 9213: targeted", &[FRESH, ("cdn-cache-control", "no-store")], Err(NotStorable::NoStore)),
            ("targeted private", &[FRESH, ("larder-cache-control", "private")], Err(NotStorable::Private)),
            ("Surrogate-Control", &[FRESH, ("surrogate-control", "no-store")], Err(NotStorable::NoStore)),
            ("a targeted field allows it", &[(CC, "no-store, private"), ("cdn-cache-control", "max-age=60")], Ok(&[])),
            (
                "a malformed targeted field does not",
                &[(CC, "no-store"), ("cdn-cache-control", "max-age=\"60\"")],
                Err(NotStorable::NoStore),
            ),
        ],
    );
}

#[test]
fn must_understand_overrides_no_store_for_known_statuses() {
    // RFC 9111, 5.2.2.3 and 3: a cache that understands the status ignores no-store.
    check(
        &header_driven(),
        200,
        &[
            ("known", &[(CC, "no-store, must-understand, max-age=60")], Ok(&[])),
            ("in any order and case", &[(CC, "Must-Understand, max-age=60, NO-STORE")], Ok(&[])),
            ("on two lines", &[(CC, "no-store, max-age=60"), (CC, "must-understand")], Ok(&[])),
            ("an argument says nothing", &[(CC, "no-store, must-understand=\"x\", max-age=60")], Ok(&[])),
            ("without no-store", &[(CC, "must-understand, max-age=60")], Ok(&[])),
            ("private stands", &[(CC, "private, must-understand, max-age=60")], Err(NotStorable::Private)),
            ("alone it is no lifetime", &[(CC, "no-store, must-understand")], Err(NotStorable::NoLifetime)),
            ("another word", &[(CC, "no-store, must-understands, max-age=60")], Err(NotStorable::NoStore)),
            ("in a targeted field", &[("cdn-cache-control", "no-store, must-understand, max-age=60")], Ok(&[])),
            (
                "not where a targeted field governs",
                &[("cdn-cache-control", "no-store"), (CC, "must-understand, max-age=60")],
                Err(NotStorable::NoStore),
            ),
        ],
    );
    check(&header_driven(), 404, &[("a known error", &[(CC, "no-store, must-understand, max-age=60")], Ok(&[]))]);
    check(&header_driven(), 203, &[("another success", &[(CC, "no-store, must-understand, max-age=60")], Ok(&[]))]);
    check(&header_driven(), 299, &[("unknown", &[(CC, "must-understand, max-age=60")], Err(NotStorable::Status))]);
}

#[test]
fn isr_routes_heed_private_and_no_store_alone() {
    check(
        &isr(),
        200,
        &[
            ("10: nothing said", &[], Ok(&[])),
            ("10: no-cache", &[(CC, "no-cache")], Ok(&[])),
            ("10: max-age=0", &[(CC, "public, max-age=0, must-revalidate")], Ok(&[])),
            ("10: private", &[(CC, "private")], Err(NotStorable::Private)),
            ("10: no-store", &[(CC, "private, no-cache, no-store, max-age=0")], Err(NotStorable::NoStore)),
            ("11: Set-Cookie is stripped", &[("set-cookie", "a=b")], Ok(&[])),
            ("11: Vary on Cookie", &[("vary", "cookie")], Err(NotStorable::VaryPersonal)),
        ],
    );
    let overriding = Policy { override_origin: true, ..isr() };
    check(
        &overriding,
        200,
        &[
            ("override: private", &[(CC, "private")], Ok(&[])),
            ("override: no-store", &[(CC, "no-store")], Ok(&[])),
            ("override does not tell variants apart", &[("vary", "*")], Err(NotStorable::VaryUnmatchable)),
        ],
    );
    let never = Policy::isr(Revalidate::Never);
    check(
        &never,
        200,
        &[("12: nothing said", &[], Ok(&[])), ("12: private", &[(CC, "private")], Err(NotStorable::Private))],
    );
}

#[test]
fn override_means_nothing_without_an_isr_route() {
    let policy = Policy { override_origin: true, ..header_driven() };
    check(
        &policy,
        200,
        &[
            ("private", &[(CC, "private, max-age=60")], Err(NotStorable::Private)),
            ("no-store", &[(CC, "no-store, max-age=60")], Err(NotStorable::NoStore)),
        ],
    );
}

#[test]
fn set_cookie_is_not_stored_where_it_is_not_stripped() {
    let rows: &[Row<'_>] = &[("Set-Cookie", &[FRESH, ("set-cookie", "a=b")], Err(NotStorable::SetCookie))];
    check(&header_driven(), 200, rows);
    check(&Policy { set_cookie: SetCookie::Bypass, ..isr() }, 200, rows);
    check(
        &Policy { set_cookie: SetCookie::Strip, ..header_driven() },
        200,
        &[("stripped", &[FRESH, ("set-cookie", "a=b")], Ok(&[]))],
    );
}

#[test]
fn vary_decides_who_may_share() {
    let many = (0..17).map(|n| format!("x-{n}")).collect::<Vec<_>>().join(", ");
    let fewer = (0..3).map(|n| format!("x-{n}")).collect::<Vec<_>>().join(", ");
    check(
        &header_driven(),
        200,
        &[
            ("*", &[FRESH, ("vary", "*")], Err(NotStorable::VaryUnmatchable)),
            ("no field's name", &[FRESH, ("vary", "part:")], Err(NotStorable::VaryUnmatchable)),
            ("* among others", &[FRESH, ("vary", "accept, *")], Err(NotStorable::VaryUnmatchable)),
            ("* on another line", &[FRESH, ("vary", "accept"), ("vary", "*")], Err(NotStorable::VaryUnmatchable)),
            ("more than can be told apart", &[FRESH, ("vary", &many)], Err(NotStorable::VaryUnmatchable)),
            ("a few", &[FRESH, ("vary", &fewer)], Ok(&["x-0", "x-1", "x-2"])),
            ("11: Cookie", &[FRESH, ("vary", "Cookie")], Err(NotStorable::VaryPersonal)),
            ("11: Authorization", &[FRESH, ("vary", "Accept, Authorization")], Err(NotStorable::VaryPersonal)),
            ("11: User-Agent", &[FRESH, ("vary", "user-AGENT")], Err(NotStorable::VaryPersonal)),
            ("in order, once, in lower case", &[FRESH, ("vary", "X-B, x-a"), ("vary", "x-b")], Ok(&["x-a", "x-b"])),
            ("empty members", &[FRESH, ("vary", ", Accept,,")], Ok(&["accept"])),
            ("Accept-Encoding is the same on every fill", &[FRESH, ("vary", "Accept-Encoding")], Ok(&[])),
        ],
    );
}

#[test]
fn a_field_that_is_keyed_is_settled() {
    let keyed = |name: &str| Policy { key_headers: vec![name.to_owned()], ..header_driven() };
    check(&keyed("authorization"), 200, &[("Authorization", &[FRESH, ("vary", "Authorization")], Ok(&[]))]);
    check(&keyed("user-agent"), 200, &[("User-Agent", &[FRESH, ("vary", "User-Agent")], Ok(&[]))]);
    check(&keyed("x-tenant"), 200, &[("any", &[FRESH, ("vary", "X-Tenant, X-Other")], Ok(&["x-other"]))]);
    let cookies = Policy { key_cookies: vec!["lang".to_owned()], ..header_driven() };
    check(&cookies, 200, &[("Cookie", &[FRESH, ("vary", "Cookie")], Ok(&[]))]);
    check(
        &header_driven(),
        200,
        &[(
            "46: the router's fields are keyed on every route",
            &[FRESH, ("vary", "RSC, Next-Router-State-Tree, Next-Router-Prefetch, Next-Url")],
            Ok(&[]),
        )],
    );
}

#[test]
fn only_successes_are_stored_whatever_their_lifetime() {
    for status in [200, 203, 300, 301, 308, 404, 410, 451] {
        check(&header_driven(), status, &[("28: a success", &[FRESH], Ok(&[]))]);
        check(&isr(), status, &[("28: on an ISR route", &[], Ok(&[]))]);
    }
    for status in [201, 202, 204, 205, 299, 304, 305, 400, 401, 403, 405, 407, 408, 414, 418, 425, 429] {
        check(&header_driven(), status, &[("28: no success", &[FRESH], Err(NotStorable::Status))]);
        check(&isr(), status, &[("28: on an ISR route", &[FRESH], Err(NotStorable::Status))]);
    }
    for status in [500, 501, 502, 503, 504, 599] {
        check(&header_driven(), status, &[("29: 5xx", &[FRESH], Err(NotStorable::Status))]);
    }
    check(&header_driven(), 206, &[("48: a part", &[FRESH], Err(NotStorable::Partial))]);
    check(&isr(), 206, &[("48: a part", &[FRESH], Err(NotStorable::Partial))]);
}

#[test]
fn temporary_redirects_need_a_lifetime_of_their_own() {
    for status in [302, 303, 307] {
        for policy in [header_driven(), isr()] {
            check(
                &policy,
                status,
                &[
                    ("28: without one", &[], Err(NotStorable::Status)),
                    ("28: a validator is not enough", &[("etag", "\"a\"")], Err(NotStorable::Status)),
                    ("28: max-age", &[FRESH], Ok(&[])),
                    ("28: Expires", &[("expires", "Sun, 06 Nov 1994 08:51:17 GMT")], Ok(&[])),
                    ("private", &[(CC, "private, max-age=60")], Err(NotStorable::Private)),
                ],
            );
        }
    }
}

#[test]
fn every_status_has_its_verdict() {
    let rows: &[(Verdict, &[u16])] = &[
        (Verdict::Success, &[200, 203, 300, 301, 308, 404, 410, 451]),
        (Verdict::SuccessWithLifetime, &[302, 303, 307]),
        (Verdict::Empty, &[204]),
        (Verdict::NotModified, &[304]),
        (Verdict::Denied, &[401, 403]),
        (Verdict::Sick, &[408, 425, 429, 500, 502, 503, 504, 599]),
        (Verdict::Other, &[201, 202, 205, 206, 299, 305, 400, 402, 405, 409, 414, 418, 422]),
    ];
    for (expected, statuses) in rows {
        for status in *statuses {
            assert_eq!(verdict(StatusCode::from_u16(*status).expect("a status")), *expected, "{status}");
        }
    }
}

#[test]
fn every_reason_has_a_name_of_its_own() {
    let names = [
        NotStorable::NoStore,
        NotStorable::Private,
        NotStorable::SetCookie,
        NotStorable::VaryUnmatchable,
        NotStorable::VaryPersonal,
        NotStorable::NoLifetime,
        NotStorable::Status,
        NotStorable::Partial,
        NotStorable::TooLarge,
        NotStorable::CloseDelimited,
        NotStorable::HostLimit,
        NotStorable::ComponentWithoutRsc,
        NotStorable::Encoded,
    ]
    .map(NotStorable::as_str);
    let distinct: std::collections::HashSet<&str> = names.into_iter().collect();
    assert_eq!(distinct.len(), names.len(), "{names:?}");
    assert!(names.iter().all(|n| n.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')), "{names:?}");
}

#[test]
fn an_answer_to_post_is_a_gets_with_its_own_address_and_a_lifetime_of_its_own() {
    let at = |location: &'static str| [("content-location", location), FRESH];
    for (label, location, is) in [
        ("the path", "/p?a=1", true),
        ("the URL", "http://x.com/p?a=1", true),
        ("the URL with TLS", "https://x.com/p?a=1", true),
        ("the same reference (RFC 3986, 5.2)", "", true),
        ("another query", "/p?a=2", false),
        ("no query", "/p", false),
        ("another path", "/q?a=1", false),
        ("another host", "http://y.com/p?a=1", false),
    ] {
        assert_eq!(is_posted_for_get(&fields(&at(location)), "x.com", "/p?a=1", NOW), is, "{label}");
    }
    for (label, list) in [
        ("no address", &[FRESH][..]),
        ("two", &[("content-location", "/p"), ("content-location", "/p"), FRESH]),
        ("RFC 9110, 9.3.3: no lifetime", &[("content-location", "/p")]),
        ("none left", &[("content-location", "/p"), (CC, "max-age=0")]),
    ] {
        assert!(!is_posted_for_get(&fields(list), "x.com", "/p", NOW), "{label}");
    }
}
