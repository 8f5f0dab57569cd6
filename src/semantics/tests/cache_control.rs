//! Cache-Control (RFC 9111, 5.2; RFC 5861; RFC 8246): what is read from the lines that origins send.

use proptest::prelude::*;
use semantics::cache_control::{BARE_STALE_WHILE_REVALIDATE, CacheControl};
use std::time::Duration;

/// A label, the lines, and what they say.
type Row<'a> = (&'a str, &'a [&'a str], CacheControl);

fn parse(lines: &[&str]) -> CacheControl {
    CacheControl::parse(lines.iter().map(|line| line.as_bytes()))
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
fn every_directive_of_a_shared_cache_is_read() {
    check(&[
        ("no lines", &[], none()),
        ("an empty line", &[""], none()),
        ("no-store", &["no-store"], CacheControl { no_store: true, ..none() }),
        ("no-cache", &["no-cache"], CacheControl { no_cache: true, ..none() }),
        ("private", &["private"], CacheControl { private: true, ..none() }),
        ("public", &["public"], CacheControl { public: true, ..none() }),
        ("must-revalidate", &["must-revalidate"], CacheControl { must_revalidate: true, ..none() }),
        ("proxy-revalidate", &["proxy-revalidate"], CacheControl { proxy_revalidate: true, ..none() }),
        ("must-understand", &["must-understand"], CacheControl { must_understand: true, ..none() }),
        ("immutable (RFC 8246)", &["immutable"], CacheControl { immutable: true, ..none() }),
        ("max-age", &["max-age=60"], max_age(60)),
        ("s-maxage", &["s-maxage=60"], CacheControl { s_maxage: secs(60), ..none() }),
        (
            "stale-while-revalidate (RFC 5861, 3)",
            &["stale-while-revalidate=60"],
            CacheControl { stale_while_revalidate: secs(60), ..none() },
        ),
        ("stale-if-error (RFC 5861, 4)", &["stale-if-error=60"], CacheControl { stale_if_error: secs(60), ..none() }),
        (
            "the pair that frameworks send",
            &["s-maxage=10, stale-while-revalidate=60"],
            CacheControl { s_maxage: secs(10), stale_while_revalidate: secs(60), ..none() },
        ),
        ("an extension", &["x-extra=5, max-age=60, x-flag"], max_age(60)),
        ("a request's directive", &["max-stale=60, min-fresh=5, only-if-cached"], none()),
        ("a name that only begins like one", &["max-age-x=60, no-storex, xprivate"], none()),
    ]);
}

#[test]
fn names_match_in_any_case_and_lists_may_be_untidy() {
    check(&[
        ("upper case", &["MAX-AGE=60"], max_age(60)),
        ("mixed case", &["mAx-aGe=60, No-CACHE"], CacheControl { no_cache: true, ..max_age(60) }),
        ("no space after the comma", &["public,max-age=60"], CacheControl { public: true, ..max_age(60) }),
        ("spaces and tabs around", &[" \tmax-age=60\t ,\t public "], CacheControl { public: true, ..max_age(60) }),
        ("empty members", &[",, max-age=60 ,,"], max_age(60)),
        ("nothing but commas", &[",,,"], none()),
        ("two lines", &["public", "max-age=60"], CacheControl { public: true, ..max_age(60) }),
        ("an empty line between", &["public", "", "max-age=60"], CacheControl { public: true, ..max_age(60) }),
    ]);
}

#[test]
fn quoted_strings_hide_commas_and_equals_signs() {
    check(&[
        ("a quoted value", &[r#"max-age="60""#], max_age(60)),
        ("max-age inside a string before", &[r#"ext="max-age=3600", max-age=1"#], max_age(1)),
        ("max-age inside a string behind", &[r#"max-age=1, ext="max-age=3600""#], max_age(1)),
        ("a comma inside a string", &[r#"ext="a, no-store", max-age=60"#], max_age(60)),
        ("an escaped quote inside a string", &[r#"ext="a\", no-store", max-age=60"#], max_age(60)),
        ("an escaped backslash ends it", &[r#"ext="a\\", no-store"#], CacheControl { no_store: true, ..none() }),
        ("an empty string", &[r#"ext="", max-age=60"#], max_age(60)),
    ]);
}

#[test]
fn a_prohibition_behind_an_unterminated_quote_counts() {
    // Semantics 12: malformed directives make a response less fresh, never more.
    let hidden = |directive: &str| parse(&[&format!(r#"max-age=60, ext="oops, {directive}"#)]);
    assert!(hidden("no-store").no_store, "no-store");
    assert!(hidden("private").private, "private");
    assert!(hidden("no-cache").no_cache, "no-cache");
    assert!(hidden("must-revalidate").must_revalidate, "must-revalidate");
}

#[test]
fn field_name_forms_count_as_the_plain_directive() {
    check(&[
        ("no-cache (5.2.2.4)", &[r#"no-cache="set-cookie""#], CacheControl { no_cache: true, ..none() }),
        (
            "private (5.2.2.7)",
            &[r#"private="set-cookie, x-user", max-age=60"#],
            CacheControl { private: true, ..max_age(60) },
        ),
        ("flags with needless values", &["no-store=1"], CacheControl { no_store: true, ..none() }),
    ]);
}

#[test]
fn delta_seconds_saturate_and_anything_but_digits_is_stale() {
    const LONGEST: u64 = 1 << 31;
    let rows: &[(&str, &str, u64)] = &[
        ("zero", "0", 0),
        ("leading zeros", "0060", 60),
        ("only zeros", "000", 0),
        ("below 2^31", "2147483647", LONGEST - 1),
        ("2^31", "2147483648", LONGEST),
        ("eleven digits", "99999999999", LONGEST),
        ("beyond 64 bits", "340282366920938463463374607431768211456", LONGEST),
        ("negative", "-60", 0),
        ("a plus sign", "+60", 0),
        ("single quotes", "'60'", 0),
        ("a letter before", "a60", 0),
        ("a letter behind", "60a", 0),
        ("a decimal", "60.5", 0),
        ("a decimal without a fraction", "60.0", 0),
        ("hexadecimal", "0x3c", 0),
        ("a space before", " 60", 0),
        ("a space within", "6 0", 0),
        ("nothing", "", 0),
        ("an empty string", r#""""#, 0),
        ("a lone quote before", r#""60"#, 0),
    ];
    for (label, value, expected) in rows {
        let line = format!("max-age={value}");
        assert_eq!(parse(&[&line]), max_age(*expected), "{label}: {line}");
    }
}

#[test]
fn a_lifetime_without_its_value_is_zero() {
    check(&[
        ("max-age", &["max-age"], max_age(0)),
        ("s-maxage", &["s-maxage"], CacheControl { s_maxage: secs(0), ..none() }),
        ("stale-if-error", &["stale-if-error"], CacheControl { stale_if_error: secs(0), ..none() }),
    ]);
}

#[test]
fn bare_stale_while_revalidate_means_a_year() {
    let swr = |span| CacheControl { stale_while_revalidate: Some(span), ..none() };
    assert_eq!(BARE_STALE_WHILE_REVALIDATE, Duration::from_secs(31_536_000));
    check(&[
        ("bare", &["stale-while-revalidate"], swr(BARE_STALE_WHILE_REVALIDATE)),
        (
            "as Nitro sends it",
            &["s-maxage=10, stale-while-revalidate"],
            CacheControl { s_maxage: secs(10), ..swr(BARE_STALE_WHILE_REVALIDATE) },
        ),
        ("with a value", &["stale-while-revalidate=60"], swr(Duration::from_secs(60))),
        ("with a malformed value", &["stale-while-revalidate=long"], swr(Duration::ZERO)),
        ("with an empty value", &["stale-while-revalidate="], swr(Duration::ZERO)),
    ]);
}

#[test]
fn conflicting_values_count_as_the_shorter() {
    check(&[
        ("the shorter last", &["max-age=100, max-age=10"], max_age(10)),
        ("the shorter first", &["max-age=10, max-age=100"], max_age(10)),
        ("on two lines", &["max-age=10", "max-age=100"], max_age(10)),
        ("twice the same", &["max-age=10, max-age=10"], max_age(10)),
        ("one of them malformed", &["max-age=10, max-age=x"], max_age(0)),
        ("one of them without a value", &["max-age, max-age=10"], max_age(0)),
        ("s-maxage", &["s-maxage=100, s-maxage=10"], CacheControl { s_maxage: secs(10), ..none() }),
        (
            "stale-while-revalidate, one of them bare",
            &["stale-while-revalidate, stale-while-revalidate=5"],
            CacheControl { stale_while_revalidate: secs(5), ..none() },
        ),
        (
            "stale-if-error",
            &["stale-if-error=7", "stale-if-error=5"],
            CacheControl { stale_if_error: secs(5), ..none() },
        ),
        ("public and private", &["public, private"], CacheControl { public: true, private: true, ..none() }),
    ]);
}

#[test]
fn only_revalidation_directives_and_no_cache_forbid_stale() {
    let rows: &[(&str, bool)] = &[
        ("must-revalidate", true),
        ("proxy-revalidate", true),
        ("no-cache", true),
        ("s-maxage=10", false),
        ("max-age=10, immutable", false),
        ("public, stale-if-error=0", false),
        ("", false),
    ];
    for (line, expected) in rows {
        assert_eq!(parse(&[line]).forbids_stale(), *expected, "{line:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(
        lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..4),
    ) {
        let _ = CacheControl::parse(lines.iter().map(Vec::as_slice));
    }

    #[test]
    fn the_order_of_directives_does_not_matter(members in prop::collection::vec(
        "(max-age|s-maxage|stale-while-revalidate|no-store|private|public)(=[0-9x]{0,3})?", 0..6,
    )) {
        let there = members.join(", ");
        let back = members.iter().rev().cloned().collect::<Vec<_>>().join(",");
        prop_assert_eq!(parse(&[&there]), parse(&[&back]));
        let lines: Vec<&str> = members.iter().map(String::as_str).collect();
        prop_assert_eq!(parse(&lines), parse(&[&there]));
    }
}
