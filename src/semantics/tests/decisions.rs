//! What is done with a request, and what is said about it (RFC 9111, 4; RFC 9211; semantics 4, 9, 13, 14, 20, 22, 31,
//! 48-50, 53).

use semantics::decision::admit;
use semantics::policy::{BypassWhen, NamePattern, Revalidate};
use semantics::{
    CacheStatus, Decision, Facts, Field, Forward, Method, Outcome, Policy, Request, Scheme, Selection, Timestamp,
    Windows, decide,
};
use std::collections::HashSet;
use std::time::Duration;

const G: Timestamp = Timestamp::from_secs(1_000_000);

type Fields<'a> = &'a [(&'a str, &'a str)];

fn at(millis: u64) -> Timestamp {
    G.after(Duration::from_millis(millis))
}

fn lines(list: Fields<'_>) -> Vec<Field<'_>> {
    list.iter().map(|&(name, value)| Field { name, value: value.as_bytes() }).collect()
}

/// FRESH, STALE and covering a failing origin until so many seconds after G; `failing` is when it may be tried again.
fn stored(until: [u64; 3], failing: Option<u64>) -> Selection {
    let [fresh_until, stale_until, error_until] = until.map(|seconds| at(seconds * 1000));
    Selection::Stored {
        windows: Windows { generated: G, age_at_generation: Duration::ZERO, fresh_until, stale_until, error_until },
        failing_until: failing.map(|seconds| at(seconds * 1000)),
    }
}

/// A label, what is stored, milliseconds after G, and the decision: plainly, with Range, with only-if-cached.
type Row<'a> = (&'a str, Selection, u64, [Decision; 3]);

fn check(rows: &[Row<'_>]) {
    let range = Some(&b"bytes=0-1"[..]);
    let asked = [
        ("plain", Facts::default()),
        ("Range", Facts { range, ..Facts::default() }),
        ("only-if-cached", Facts { only_if_cached: true, ..Facts::default() }),
    ];
    for (label, selection, millis, expected) in rows {
        for ((how, facts), expected) in asked.iter().zip(expected) {
            assert_eq!(decide(facts, *selection, at(*millis)), *expected, "{label}, {how}");
        }
        let both = Facts { range, only_if_cached: true, ..Facts::default() };
        assert_eq!(decide(&both, *selection, at(*millis)), expected[2], "{label}, Range and only-if-cached");
    }
}

fn reuse(ttl: i64) -> [Decision; 3] {
    [Decision::Reuse { ttl, failing: false }; 3]
}

fn failing(ttl: i64) -> [Decision; 3] {
    [Decision::Reuse { ttl, failing: true }; 3]
}

fn refresh(ttl: i64) -> [Decision; 3] {
    [Decision::ReuseAndRefresh { ttl }; 3]
}

const VALIDATE: [Decision; 3] = [Decision::Validate, Decision::Validate, Decision::Unsatisfiable];

#[test]
fn nothing_stored_is_fetched_and_parts_of_it_are_passed() {
    let range = Decision::Bypass(Forward::Request);
    let none = Decision::Unsatisfiable;
    check(&[
        ("20: ABSENT", Selection::Nothing, 0, [Decision::Fetch(Forward::UriMiss), range, none]),
        ("another variant", Selection::OtherVariants, 0, [Decision::Fetch(Forward::VaryMiss), range, none]),
        ("3: not storable", Selection::NotStorable, 0, [Decision::Bypass(Forward::Miss), range, none]),
    ]);
}

#[test]
fn the_windows_tell_the_state() {
    let until = [100, 200, 300];
    check(&[
        ("13: just generated", stored(until, None), 0, reuse(100)),
        ("13: FRESH", stored(until, None), 50_000, reuse(50)),
        ("13: its last second", stored(until, None), 99_500, reuse(1)),
        ("14: the end of freshness is stale", stored(until, None), 100_000, refresh(0)),
        ("14: within the first stale second", stored(until, None), 100_001, refresh(-1)),
        ("14: STALE", stored(until, None), 103_000, refresh(-3)),
        ("14: its last moment", stored(until, None), 199_999, refresh(-100)),
        ("20: X is EXPIRED", stored(until, None), 200_000, VALIDATE),
        ("20: EXPIRED", stored(until, None), 250_000, VALIDATE),
        ("20: long ago", stored(until, None), 1_000_000_000, VALIDATE),
        ("9: stale is forbidden", stored([100, 100, 100], None), 100_000, VALIDATE),
        ("no-cache", stored([0, 0, 0], None), 0, VALIDATE),
    ]);
}

#[test]
fn while_the_origin_fails_the_stored_response_answers_and_nothing_starts() {
    let until = [100, 200, 300];
    check(&[
        ("FRESH does not say so", stored(until, Some(500)), 50_000, reuse(50)),
        ("31: STALE", stored(until, Some(500)), 103_000, failing(-3)),
        ("at the end of freshness", stored(until, Some(500)), 100_000, failing(0)),
        ("9: EXPIRED", stored(until, Some(500)), 250_000, failing(-150)),
        ("stale_if_error is over", stored(until, Some(500)), 300_000, VALIDATE),
        ("31: it may be tried again", stored(until, Some(103)), 103_000, refresh(-3)),
        ("31: a moment before", stored(until, Some(104)), 103_999, failing(-4)),
        ("EXPIRED, to be tried again", stored(until, Some(240)), 250_000, VALIDATE),
        ("9: stale is forbidden", stored([100, 100, 100], Some(500)), 100_000, VALIDATE),
        ("the stale window outlasts stale_if_error", stored([100, 200, 150], Some(500)), 180_000, failing(-80)),
    ]);
}

#[test]
fn a_response_without_an_end_has_the_longest_ttl() {
    let never = Timestamp::NEVER;
    let windows = Windows {
        generated: G,
        age_at_generation: Duration::ZERO,
        fresh_until: never,
        stale_until: never,
        error_until: never,
    };
    let selection = Selection::Stored { windows, failing_until: None };
    check(&[("12: revalidate: never", selection, 1_000_000_000, reuse(i64::from(i32::MAX)))]);
}

/// A label, the method, the fields, and why it is passed, if it is.
type Admission<'a> = (&'a str, &'a str, Fields<'a>, Result<(), Forward>);

fn admits(policy: &Policy, rows: &[Admission<'_>]) {
    for (label, method, list, expected) in rows {
        let fields = lines(list);
        let request = Request {
            method: Method::of(method),
            scheme: Scheme::Https,
            host: "x.com",
            path: "/",
            query: Some("a=1&preview=x"),
            fields: &fields,
        };
        assert_eq!(admit(&request, &Facts::of(&fields), policy), *expected, "{label}");
    }
}

#[test]
fn only_get_and_head_without_a_body_use_the_cache() {
    let bypass = Err(Forward::Bypass);
    admits(
        &Policy::header_driven(),
        &[
            ("GET", "GET", &[], Ok(())),
            ("HEAD", "HEAD", &[], Ok(())),
            ("POST", "POST", &[], Err(Forward::Method)),
            ("PURGE", "PURGE", &[], Err(Forward::Method)),
            ("methods are case-sensitive", "get", &[], Err(Forward::Method)),
            ("a body by length", "GET", &[("content-length", "5")], bypass),
            ("an empty body", "GET", &[("content-length", "0")], Ok(())),
            ("a body in chunks", "GET", &[("transfer-encoding", "chunked")], bypass),
            ("53: WebSocket", "GET", &[("connection", "upgrade"), ("Upgrade", "WebSocket")], bypass),
            ("h2c is not switched to", "GET", &[("upgrade", "h2c")], Ok(())),
            ("48: no-cache is ignored", "GET", &[("cache-control", "no-cache"), ("pragma", "no-cache")], Ok(())),
            ("Authorization, header-driven", "GET", &[("authorization", "x")], Ok(())),
            ("any cookie", "GET", &[("cookie", "sid=1")], Ok(())),
            ("49: draft mode", "GET", &[("cookie", "a=b; __prerender_bypass=x")], bypass),
            ("49: a value like it", "GET", &[("cookie", "a=__prerender_bypass")], Ok(())),
        ],
    );
}

#[test]
fn routes_send_what_they_name_past_the_cache() {
    let isr = Policy::isr(Revalidate::Never);
    let authorized: Fields<'_> = &[("Authorization", "x")];
    admits(&isr, &[("4: Authorization on an ISR route", "GET", authorized, Err(Forward::Bypass))]);
    let keyed = Policy { key_headers: vec!["authorization".to_owned()], ..isr.clone() };
    admits(&keyed, &[("4: where it is keyed", "GET", authorized, Ok(()))]);
    admits(
        &Policy { bypass: true, ..isr.clone() },
        &[
            ("a route that caches nothing", "GET", &[], Err(Forward::Bypass)),
            ("the method is named first", "POST", &[], Err(Forward::Method)),
        ],
    );
    let draft = Policy { draft_cookies: vec!["preview".to_owned()], ..isr.clone() };
    admits(
        &draft,
        &[
            ("49: its own draft cookie", "GET", &[("cookie", "preview=1")], Err(Forward::Bypass)),
            ("49: Next's is no longer one", "GET", &[("cookie", "__prerender_bypass=1")], Ok(())),
        ],
    );
    let when = |cookies: &str, headers: &[&str], query: &[&str]| {
        let owned = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let cookies = if cookies.is_empty() { Vec::new() } else { vec![NamePattern::parse(cookies)] };
        Policy { bypass_when: BypassWhen { cookies, headers: owned(headers), query: owned(query) }, ..isr.clone() }
    };
    admits(
        &when("wp_*", &[], &[]),
        &[
            ("a cookie by prefix", "GET", &[("cookie", "a=1; wp_user=2")], Err(Forward::Bypass)),
            ("another", "GET", &[("cookie", "awp_user=2")], Ok(())),
        ],
    );
    admits(
        &when("", &["x-debug"], &[]),
        &[("a field", "GET", &[("X-Debug", "")], Err(Forward::Bypass)), ("without it", "GET", &[], Ok(()))],
    );
    admits(&when("", &[], &["preview"]), &[("a parameter", "GET", &[], Err(Forward::Bypass))]);
    admits(&when("", &[], &["x"]), &[("a value is no parameter", "GET", &[], Ok(()))]);
}

type Holds = fn(&Facts<'_>) -> bool;

#[test]
fn facts_are_read_in_one_pass_in_any_case() {
    let rows: &[(&str, Fields<'_>, Holds)] = &[
        ("nothing", &[], |f| !f.cookie && !f.authorization && !f.body && !f.upgrade && !f.conditional()),
        ("Cookie", &[("COOKIE", "a=1")], |f| f.cookie),
        ("Authorization", &[("Authorization", "x")], |f| f.authorization),
        ("Range", &[("Range", "bytes=0-1")], |f| f.range == Some(&b"bytes=0-1"[..])),
        ("If-Range", &[("If-Range", "\"a\"")], |f| f.if_range == Some(&b"\"a\""[..])),
        ("If-None-Match", &[("If-None-Match", "*")], |f| f.if_none_match && f.conditional()),
        ("If-Modified-Since", &[("If-Modified-Since", "x")], |f| {
            f.if_modified_since == Some(&b"x"[..]) && f.conditional()
        }),
        ("48: only-if-cached", &[("Cache-Control", "max-age=0, Only-If-Cached")], |f| f.only_if_cached),
        ("no-cache", &[("Cache-Control", "no-cache")], |f| !f.only_if_cached),
        ("RSC", &[("RSC", "1")], |f| f.rsc && f.keyed_group),
        ("a data request", &[("x-nextjs-data", "1")], |f| !f.rsc && f.keyed_group),
        ("the router without RSC", &[("next-url", "/")], |f| !f.rsc && !f.keyed_group),
        ("names of the same length", &[("abc", "1"), ("abcdef", "1"), ("abcdefghijklm", "1")], |f| !f.cookie && !f.rsc),
    ];
    for (label, list, holds) in rows {
        assert!(holds(&Facts::of(&lines(list))), "{label}");
    }
}

#[test]
fn cache_status_is_said_as_documented() {
    let fwd = |why, status, stored, collapsed| CacheStatus::Forwarded { why, status, stored, collapsed };
    let rows: &[(CacheStatus, &str, Outcome)] = &[
        (CacheStatus::Hit { ttl: 7, failing: false }, "larder; hit; ttl=7", Outcome::Hit),
        (CacheStatus::Hit { ttl: 0, failing: false }, "larder; hit; ttl=0", Outcome::Stale),
        (CacheStatus::Hit { ttl: -3, failing: false }, "larder; hit; ttl=-3", Outcome::Stale),
        (CacheStatus::Hit { ttl: -3, failing: true }, "larder; hit; ttl=-3; detail=failing", Outcome::Stale),
        (fwd(Forward::UriMiss, None, true, false), "larder; fwd=uri-miss; stored", Outcome::Miss),
        (fwd(Forward::UriMiss, None, false, true), "larder; fwd=uri-miss; collapsed", Outcome::Collapsed),
        (fwd(Forward::UriMiss, None, false, false), "larder; fwd=uri-miss", Outcome::Miss),
        (fwd(Forward::VaryMiss, None, true, false), "larder; fwd=vary-miss; stored", Outcome::Miss),
        (fwd(Forward::Stale, Some(200), true, false), "larder; fwd=stale; fwd-status=200; stored", Outcome::Miss),
        (fwd(Forward::Stale, None, true, true), "larder; fwd=stale; stored; collapsed", Outcome::Collapsed),
        (fwd(Forward::Method, None, false, false), "larder; fwd=method", Outcome::Bypass),
        (fwd(Forward::Bypass, None, false, false), "larder; fwd=bypass", Outcome::Bypass),
        (fwd(Forward::Request, None, false, false), "larder; fwd=request", Outcome::Bypass),
        (fwd(Forward::Miss, None, false, false), "larder; fwd=miss", Outcome::Bypass),
        (CacheStatus::StaleAfter { status: Some(503) }, "larder; fwd=stale; fwd-status=503", Outcome::Stale),
        (CacheStatus::StaleAfter { status: Some(304) }, "larder; fwd=stale; fwd-status=304", Outcome::Stale),
        (CacheStatus::StaleAfter { status: None }, "larder; fwd=stale; detail=failing", Outcome::Stale),
        (CacheStatus::Own { detail: "timeout" }, "larder; detail=timeout", Outcome::Error),
    ];
    for (status, expected, outcome) in rows {
        let mut out = b"origin; hit, ".to_vec();
        status.write(&mut out);
        assert_eq!(String::from_utf8_lossy(&out), format!("origin; hit, {expected}"), "appended");
        assert_eq!(status.outcome(), *outcome, "{expected}");
    }
}

#[test]
fn every_outcome_has_a_label_of_its_own() {
    let labels: HashSet<&str> = Outcome::ALL.iter().map(|outcome| outcome.as_str()).collect();
    assert_eq!(labels.len(), Outcome::ALL.len());
}
