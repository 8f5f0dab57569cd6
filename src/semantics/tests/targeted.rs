//! Targeted fields (RFC 9213) as RFC 8941 dictionaries, Surrogate-Control, and which of them governs.

mod support;

use proptest::prelude::*;
use semantics::cache_control::{BARE_STALE_WHILE_REVALIDATE, CacheControl};
use semantics::freshness::{Governing, explicit_lifetime};
use semantics::{Timestamp, targeted};
use std::time::Duration;
use support::{Fields, fields};

/// A label, the lines, and what they say; `None` is as if the field had not been sent.
type Row<'a> = (&'a str, &'a [&'a str], Option<CacheControl>);

fn parse(lines: &[&str]) -> Option<CacheControl> {
    targeted::parse(lines.iter().map(|line| line.as_bytes()))
}

fn check(rows: &[Row<'_>]) {
    for (label, lines, expected) in rows {
        assert_eq!(parse(lines), *expected, "{label}: {lines:?}");
    }
}

fn none() -> CacheControl {
    CacheControl::default()
}

fn secs(n: u64) -> Option<Duration> {
    Some(Duration::from_secs(n))
}

fn max_age(n: u64) -> CacheControl {
    CacheControl { max_age: secs(n), ..none() }
}

#[test]
fn a_dictionary_is_read_member_by_member() {
    let both = Some(CacheControl { s_maxage: secs(30), ..max_age(60) });
    check(&[
        ("one member", &["max-age=60"], Some(max_age(60))),
        ("spaces around", &["  max-age=60  "], Some(max_age(60))),
        ("two members", &["max-age=60, s-maxage=30"], both),
        ("no whitespace", &["max-age=60,s-maxage=30"], both),
        ("tabs around the comma", &["max-age=60\t,\ts-maxage=30"], both),
        ("two lines", &["max-age=60", "s-maxage=30"], both),
        ("a flag", &["no-store"], Some(CacheControl { no_store: true, ..none() })),
        ("a flag that says yes", &["no-store=?1"], Some(CacheControl { no_store: true, ..none() })),
        ("a flag that says no", &["no-store=?0, max-age=60"], Some(max_age(60))),
        ("no-cache", &["no-cache, max-age=60"], Some(CacheControl { no_cache: true, ..max_age(60) })),
        ("private with field names", &[r#"private="set-cookie""#], Some(CacheControl { private: true, ..none() })),
        ("leading zeros", &["max-age=0060"], Some(max_age(60))),
        ("negative", &["max-age=-60"], Some(max_age(0))),
        ("huge", &["max-age=99999999999"], Some(max_age(1 << 31))),
        ("fifteen digits", &["max-age=999999999999999"], Some(max_age(1 << 31))),
        ("the last of equal keys (RFC 8941, 3.2)", &["max-age=30, max-age=60"], Some(max_age(60))),
        ("the last of equal keys over lines", &["max-age=60", "max-age=30"], Some(max_age(30))),
        (
            "bare stale-while-revalidate",
            &["stale-while-revalidate"],
            Some(CacheControl { stale_while_revalidate: Some(BARE_STALE_WHILE_REVALIDATE), ..none() }),
        ),
        (
            "stale-while-revalidate and stale-if-error",
            &["stale-while-revalidate=5, stale-if-error=7"],
            Some(CacheControl { stale_while_revalidate: secs(5), stale_if_error: secs(7), ..none() }),
        ),
    ]);
}

#[test]
fn unknown_members_and_parameters_of_every_type_are_skipped() {
    check(&[
        ("an integer", &["x=-5, max-age=60"], Some(max_age(60))),
        ("a decimal", &["x=123456789012.125, max-age=60"], Some(max_age(60))),
        ("a string", &[r#"x="a, \" b \\", max-age=60"#], Some(max_age(60))),
        ("a token", &["x=a/b:c*, y=*t, max-age=60"], Some(max_age(60))),
        ("bytes", &["x=:YW55:, max-age=60"], Some(max_age(60))),
        ("booleans", &["x, y=?0, z=?1, max-age=60"], Some(max_age(60))),
        ("odd keys", &["*x_y-z.1*=1, max-age=60"], Some(max_age(60))),
        ("parameters", &[r#"max-age=60;a;b=1;c="x";d=?0;*e=tok"#], Some(max_age(60))),
        (
            "a space before a parameter's name",
            &["max-age=60; a=1, public;b"],
            Some(CacheControl { public: true, ..max_age(60) }),
        ),
        ("nothing that is known", &["x=1"], Some(none())),
    ]);
}

#[test]
fn inner_lists_are_legal_values_of_unknown_members() {
    // RFC 8941, 3.1.1 and 4.2.1.2.
    check(&[
        ("integers", &["x=(1 2), max-age=60"], Some(max_age(60))),
        ("empty", &["x=(), max-age=60"], Some(max_age(60))),
        ("strings and parameters", &[r#"x=("a" "b";p);q=1, max-age=60"#], Some(max_age(60))),
        ("unterminated", &["x=(1 2, max-age=60"], None),
    ]);
}

#[test]
fn one_fault_voids_the_whole_field() {
    let faults = [
        "max-age=10000, &&&&&",
        "max-age=10000,",
        ",max-age=10000",
        "max-age=10000,, public",
        "max-age=10000 public",
        "max-age=10000; public=",
        "max-age=10000;",
        "max-age=10000;A=1",
        "Max-Age=10000",
        "max-age =10000",
        "max-age= 10000",
        "max-age=",
        "max-age=--1",
        "max-age=-",
        "max-age=1000000000000000",
        "max-age=10., public",
        "max-age=10, x=1.2345",
        "max-age=10, x=?2",
        "max-age=10, x=?",
        "max-age=10, x=\"open",
        "max-age=10, x=\"a\\b\"",
        "max-age=10, x=\"\u{e9}\"",
        "max-age=10, x=\"a\tb\"",
        "max-age=10, x=:YQ==",
        "max-age=10, 1x=1",
        "max-age=10, -x=1",
        "max-age=10, x='single'",
        "max-age=10, \u{e9}",
    ];
    for fault in faults {
        assert_eq!(parse(&[fault]), None, "{fault}");
    }
}

#[test]
fn a_value_of_the_wrong_type_voids_the_whole_field() {
    for fault in [
        r#"max-age="10000""#,
        "max-age",
        "max-age=?1",
        "max-age=10.0",
        "max-age=ten",
        "max-age=:MTA=:",
        "s-maxage=10.5",
        "stale-if-error",
        r#"stale-while-revalidate="5""#,
        "no-store=1",
        r#"public="x""#,
        "must-revalidate=soon",
    ] {
        let line = format!("public, {fault}");
        assert_eq!(parse(&[&line]), None, "{line}");
    }
}

#[test]
fn the_finer_limits_of_rfc_8941_are_kept() {
    check(&[
        ("4.2.4: 12 digits before a point", &["x=1234567890123.5, max-age=60"], None),
        ("4.2.7: bytes that are not base64", &["x=:&&:, max-age=60"], None),
        ("4.2: an empty first line leaves a leading comma", &["", "max-age=60"], None),
        ("4.2: an empty last line leaves a trailing comma", &["max-age=60", ""], None),
    ]);
}

#[test]
fn an_empty_field_is_as_if_it_had_not_been_sent() {
    check(&[("no lines", &[], None), ("an empty line", &[""], None), ("spaces", &["   "], None)]);
}

#[test]
fn surrogate_control_gives_a_fresh_and_a_stale_part() {
    let rows: &[Row<'_>] = &[
        ("max-age", &["max-age=600"], Some(max_age(600))),
        (
            "fresh, then stale",
            &["max-age=600+60"],
            Some(CacheControl { stale_while_revalidate: secs(60), ..max_age(600) }),
        ),
        ("any case", &["Max-Age=600"], Some(max_age(600))),
        ("no-store", &["no-store"], Some(CacheControl { no_store: true, ..none() })),
        ("both", &["no-store, max-age=600"], Some(CacheControl { no_store: true, ..max_age(600) })),
        ("beside a content type", &[r#"content="ESI/1.0", max-age=600"#], Some(max_age(600))),
        ("a content type alone", &[r#"content="ESI/1.0""#], None),
        ("named for a surrogate", &["max-age=600;larder"], Some(max_age(600))),
        ("malformed", &["max-age=long"], Some(max_age(0))),
        ("without a value", &["max-age"], Some(max_age(0))),
        (
            "a malformed stale part",
            &["max-age=600+x"],
            Some(CacheControl { stale_while_revalidate: secs(0), ..max_age(600) }),
        ),
        ("conflicting: less fresh, never more (semantics 12)", &["max-age=10, max-age=1000"], Some(max_age(10))),
        ("conflicting over lines", &["max-age=10", "max-age=1000"], Some(max_age(10))),
        ("absent", &[], None),
    ];
    for (label, lines, expected) in rows {
        let read = targeted::surrogate_control(lines.iter().map(|line| line.as_bytes()));
        assert_eq!(read, *expected, "{label}: {lines:?}");
    }
}

#[test]
fn the_most_specific_valid_field_governs_alone() {
    const CDN: &str = "cdn-cache-control";
    const OWN: &str = "larder-cache-control";
    const SURROGATE: &str = "surrogate-control";
    const CC: &str = "cache-control";
    let no_store = CacheControl { no_store: true, ..none() };
    let rows: &[(&str, Fields<'_>, bool, CacheControl)] = &[
        ("none at all", &[], false, none()),
        ("Cache-Control", &[(CC, "max-age=1")], false, max_age(1)),
        ("Surrogate-Control before it", &[(CC, "max-age=1"), (SURROGATE, "max-age=2")], true, max_age(2)),
        ("CDN- before that", &[(SURROGATE, "max-age=2"), (CDN, "max-age=3"), (CC, "max-age=1")], true, max_age(3)),
        ("Larder- before all", &[(CDN, "max-age=3"), (OWN, "max-age=4"), (CC, "max-age=1")], true, max_age(4)),
        ("longer than Cache-Control", &[(CC, "no-store, private"), (CDN, "max-age=60")], true, max_age(60)),
        ("no-store against Cache-Control", &[(CC, "max-age=60"), (CDN, "no-store")], true, no_store),
        ("malformed: the next one", &[(OWN, "max-age=4,"), (CDN, "max-age=3")], true, max_age(3)),
        ("malformed: Surrogate-Control", &[(CDN, "&&&"), (SURROGATE, "max-age=2")], true, max_age(2)),
        ("malformed: Cache-Control", &[(CDN, "max-age=\"9\""), (CC, "max-age=1")], false, max_age(1)),
        ("empty: Cache-Control", &[(CDN, ""), (CC, "max-age=1")], false, max_age(1)),
        ("two lines of one", &[(CDN, "public"), (CDN, "max-age=3")], true, CacheControl { public: true, ..max_age(3) }),
        ("another CDN's", &[("akamai-cache-control", "max-age=9"), (CC, "max-age=1")], false, max_age(1)),
    ];
    for (label, list, targeted, cache_control) in rows {
        let expected = Governing { cache_control: *cache_control, targeted: *targeted };
        assert_eq!(Governing::of(&fields(list)), expected, "{label}");
    }
}

#[test]
fn a_targeted_field_hides_expires_too() {
    const LATER: &str = "Sun, 06 Nov 1994 08:51:17 GMT";
    let now = Timestamp::from_secs(784_111_777);
    let lifetime = |list: Fields<'_>| {
        let map = fields(list);
        explicit_lifetime(&map, &Governing::of(&map), now)
    };
    assert_eq!(lifetime(&[("expires", LATER)]), secs(100), "Expires alone");
    assert_eq!(lifetime(&[("expires", LATER), ("cdn-cache-control", "public")]), None, "hidden");
    assert_eq!(lifetime(&[("expires", LATER), ("cdn-cache-control", "public,")]), secs(100), "malformed");
    assert_eq!(lifetime(&[("expires", LATER), ("cdn-cache-control", "max-age=5")]), secs(5), "replaced");
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(
        lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..3),
    ) {
        let _ = targeted::parse(lines.iter().map(Vec::as_slice));
        let _ = targeted::surrogate_control(lines.iter().map(Vec::as_slice));
    }

    #[test]
    fn nearly_valid_dictionaries_are_read_without_panic(line in "[a-c*]{1,2}=?[?:\"0-9.a-c;, ()\\\\-]{0,12}") {
        let _ = parse(&[&line]);
    }
}
