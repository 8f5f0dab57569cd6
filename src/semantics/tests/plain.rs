//! `profile: rfc9111`: header-driven routes as a plain HTTP cache.

mod support;

use http::StatusCode;
use semantics::policy::Revalidate;
use semantics::reference::on_same_host;
use semantics::settlement::{AnswerHead, Failure, Settlement, StoredSummary, settle};
use semantics::storability::{NotStorable, judge};
use semantics::validation::Validators;
use semantics::{Policy, Times, Timestamp, freshness, personal};
use std::time::Duration;
use support::{Fields, fields};

/// Sun, 06 Nov 1994 08:49:37 GMT.
const NOW: Timestamp = Timestamp::from_secs(784_111_777);
const DATE: (&str, &str) = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
/// 100 seconds before.
const CHANGED: (&str, &str) = ("last-modified", "Sun, 06 Nov 1994 08:47:57 GMT");
const CC: &str = "cache-control";
const TIMES: Times = Times { requested: NOW, responded: NOW, completed: NOW };

fn judged(status: u16, list: Fields<'_>) -> Result<Vec<String>, NotStorable> {
    judge(StatusCode::from_u16(status).expect("a status"), &fields(list), &Policy::plain(), NOW, false)
}

#[test]
fn any_final_status_is_stored_with_a_lifetime() {
    for status in [200, 201, 204, 299, 302, 400, 403, 404, 418, 499, 500, 502, 503, 504, 599] {
        for list in [&[(CC, "max-age=60")][..], &[(CC, "s-maxage=60")], &[("expires", "Sun, 06 Nov 1994 09:49:37 GMT")]]
        {
            assert!(judged(status, list).is_ok(), "{status} {list:?}");
        }
    }
    assert_eq!(judged(206, &[(CC, "max-age=60")]), Err(NotStorable::Partial));
    assert_eq!(judged(103, &[(CC, "max-age=60")]), Err(NotStorable::Status));
}

#[test]
fn without_a_lifetime_the_status_or_public_has_to_allow_it() {
    for status in [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501] {
        assert!(judged(status, &[CHANGED]).is_ok(), "{status}");
    }
    for status in [201, 202, 302, 307, 400, 403, 500, 502, 503, 504, 599] {
        assert_eq!(judged(status, &[CHANGED]), Err(NotStorable::Status), "{status}");
        assert!(judged(status, &[CHANGED, (CC, "public")]).is_ok(), "{status}");
    }
    assert_eq!(judged(200, &[DATE]), Err(NotStorable::NoLifetime));
}

#[test]
fn what_forbids_to_store_forbids_it() {
    let rows: [(u16, Fields<'_>, Result<(), NotStorable>); 7] = [
        (200, &[(CC, "no-store, max-age=60")], Err(NotStorable::NoStore)),
        (200, &[(CC, "private, max-age=60")], Err(NotStorable::Private)),
        (200, &[(CC, "no-store, must-understand, max-age=60")], Ok(())),
        (599, &[(CC, "must-understand, max-age=60")], Err(NotStorable::Status)),
        (200, &[(CC, "no-cache"), ("etag", "\"a\"")], Ok(())),
        (200, &[(CC, "max-age=60"), ("set-cookie", "a=b")], Ok(())),
        (200, &[(CC, "max-age=60"), ("vary", "*")], Err(NotStorable::VaryUnmatchable)),
    ];
    for (status, list, expected) in rows {
        assert_eq!(judged(status, list).map(drop), expected, "{status} {list:?}");
    }
}

#[test]
fn every_field_may_select() {
    let list = &[(CC, "max-age=60"), ("vary", "Cookie, Authorization, User-Agent, Foo")];
    assert_eq!(judged(200, list), Ok(["authorization", "cookie", "foo", "user-agent"].map(str::to_owned).to_vec()));
}

#[test]
fn lifetimes_are_guessed_and_stale_is_forbidden_as_the_rfc_has_it() {
    let second = Duration::from_secs(1);
    let (ten, sixty) = (NOW.after(10 * second), NOW.after(60 * second));
    let never = Timestamp::NEVER;
    // Fresh until, stale until, for errors until.
    let rows: [(u16, Fields<'_>, [Timestamp; 3]); 10] = [
        (200, &[DATE, CHANGED], [ten, ten, never]),
        (200, &[CHANGED], [ten, ten, never]),
        (201, &[DATE, CHANGED], [NOW, NOW, never]),
        (201, &[DATE, CHANGED, (CC, "public")], [ten, ten, never]),
        (200, &[DATE, CHANGED, (CC, "max-age=60")], [sixty, sixty, never]),
        (200, &[DATE, (CC, "s-maxage=60")], [sixty; 3]),
        (
            200,
            &[DATE, (CC, "s-maxage=60, stale-while-revalidate=60")],
            [sixty, sixty.after(60 * second), sixty.after(60 * second)],
        ),
        (200, &[DATE, (CC, "max-age=60, stale-if-error=5")], [sixty, sixty, sixty.after(5 * second)]),
        (200, &[DATE, (CC, "max-age=60, must-revalidate")], [sixty; 3]),
        (200, &[DATE, CHANGED, (CC, "no-cache")], [NOW; 3]),
    ];
    for (status, list, [fresh, stale, error]) in rows {
        let windows = freshness::windows(status, &fields(list), &Policy::plain(), &TIMES, false);
        let told = [windows.fresh_until, windows.stale_until, windows.error_until];
        assert_eq!(told, [fresh, stale, error], "{status} {list:?}");
    }
    // A Date that is a little behind is age, not a clock that is off.
    let old = [("date", "Sun, 06 Nov 1994 08:49:27 GMT"), (CC, "max-age=60")];
    let windows = freshness::windows(200, &fields(&old), &Policy::plain(), &TIMES, false);
    assert_eq!(windows.fresh_until, NOW.after(50 * second));
}

#[test]
fn nobody_is_personal_and_the_fill_has_what_he_sent() {
    for name in ["Cookie", "Authorization", "X-Anything", "Cache-Control", "Pragma", "User-Agent"] {
        assert!(personal::is_forwarded_plainly(name), "{name}");
    }
    for name in
        ["Connection", "Range", "If-None-Match", "If-Range", "Host", "X-Forwarded-For", "Via", "X-Middleware-Next"]
    {
        assert!(!personal::is_forwarded_plainly(name), "{name}");
    }
}

#[test]
fn errors_never_take_the_place_of_what_is_good_and_everything_else_does() {
    let settled = |stored: Option<bool>, status: u16, list: Fields<'_>, authorized: bool| {
        let validators = Validators { etag: Some(b"\"v1\""), last_modified: None };
        let stored = stored.map(|good| StoredSummary { validators, has_body: true, good });
        let map = fields(list);
        let status = StatusCode::from_u16(status).expect("a status");
        let answer = AnswerHead { status, fields: &map, close_delimited: false, length: Some(1), authorized };
        settle(stored, &answer, &Policy::plain(), &TIMES, "h/p")
    };
    let fresh: Fields<'_> = &[(CC, "max-age=60")];
    let store = || Settlement::Store { nominated: Vec::new() };
    let rows = [
        (None, 503, fresh, false, store()),
        (Some(true), 503, fresh, false, Settlement::Fail(Failure::Status(503))),
        (Some(false), 503, fresh, false, store()),
        (Some(false), 503, &[][..], false, Settlement::Replace(NotStorable::Status)),
        (Some(true), 403, fresh, false, store()),
        (Some(true), 200, &[(CC, "no-store")], false, Settlement::Replace(NotStorable::NoStore)),
        (None, 200, &[(CC, "no-store")], false, Settlement::Relay(NotStorable::NoStore)),
        (None, 200, fresh, true, Settlement::Relay(NotStorable::Authorization)),
        (None, 200, &[(CC, "max-age=60, public")], true, store()),
        (None, 200, &[(CC, "max-age=60, must-revalidate")], true, store()),
        (None, 200, &[(CC, "s-maxage=60")], true, store()),
        (Some(true), 304, &[("etag", "\"other\"")], false, Settlement::Freshen),
        (None, 304, &[], false, Settlement::Refetch),
    ];
    for (stored, status, list, authorized, expected) in rows {
        assert_eq!(settled(stored, status, list, authorized), expected, "{stored:?} {status} {list:?} {authorized}");
    }
}

#[test]
fn isr_routes_are_what_they_were() {
    let isr = Policy { profile: semantics::policy::Profile::Rfc9111, ..Policy::isr(Revalidate::Never) };
    assert!(!isr.is_plain() && Policy::plain().is_plain() && !Policy::header_driven().is_plain());
}

#[test]
fn a_plain_cache_counts_from_the_head_on() {
    // RFC 9111, 4.2.3: the time since the response was received is part of its age.
    let slow = Times { completed: TIMES.responded.after(Duration::from_secs(20)), ..TIMES };
    let age = |policy: &Policy, at: Timestamp| {
        freshness::windows(200, &fields(&[("cache-control", "max-age=60")]), policy, &slow, false).age(at).as_secs()
    };
    assert_eq!(age(&Policy::plain(), slow.completed), 20);
    assert_eq!(age(&Policy::header_driven(), slow.completed), 0, "otherwise a page is as new as its last byte");
    let windows = freshness::windows(200, &fields(&[("cache-control", "max-age=60")]), &Policy::plain(), &slow, false);
    assert_eq!(windows.fresh_until, TIMES.responded.after(Duration::from_secs(60)));
    // How long the head was on its way counts, too.
    let late = Times { requested: TIMES.responded.before(Duration::from_secs(3)), ..TIMES };
    let windows = freshness::windows(200, &fields(&[("cache-control", "max-age=60")]), &Policy::plain(), &late, false);
    assert_eq!(windows.fresh_until, TIMES.responded.after(Duration::from_secs(57)));
}

#[test]
fn references_to_other_pages_of_the_host_are_followed() {
    let rows = [
        ("/a", Some("/a")),
        ("b?q=1", Some("/x/b?q=1")),
        ("", Some("/x/y?z")),
        ("http://H.com/a#f", Some("/a")),
        ("https://h.com:443", Some("/")),
        ("//h.com/a", Some("/a")),
        ("http://other.com/a", None),
    ];
    for (reference, expected) in rows {
        assert_eq!(on_same_host(reference, "h.com", "/x/y?z").as_deref(), expected, "{reference}");
    }
}
