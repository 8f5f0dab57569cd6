//! Conditional requests both ways, and ranges (RFC 9110, 13 and 14; RFC 9111, 4.3; semantics 18, 22, 48).

use proptest::prelude::*;
use semantics::part::{Cut, Part};
use semantics::range::{Range, if_range_holds, resolve};
use semantics::validation::{Validators, confirms, not_modified, weakly_equal};
use semantics::{Field, Method, Request, Scheme};

type Fields<'a> = &'a [(&'a str, &'a str)];

const OLDER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const NEWER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";
const INM: &str = "if-none-match";
const IMS: &str = "if-modified-since";

fn validators<'a>(etag: Option<&'a str>, last_modified: Option<&'a str>) -> Validators<'a> {
    Validators { etag: etag.map(str::as_bytes), last_modified: last_modified.map(str::as_bytes) }
}

/// A label, the request's fields, and whether they are answered by 304.
type Row<'a> = (&'a str, Fields<'a>, bool);

fn check(stored: Validators<'_>, rows: &[Row<'_>]) {
    for (label, list, expected) in rows {
        let fields: Vec<Field<'_>> =
            list.iter().map(|&(name, value)| Field { name, value: value.as_bytes() }).collect();
        let request = Request {
            method: Method::Get,
            scheme: Scheme::Https,
            host: "x.com",
            path: "/",
            query: None,
            fields: &fields,
        };
        assert_eq!(not_modified(&request, stored), *expected, "{label}: {list:?} against {stored:?}");
    }
}

#[test]
fn if_none_match_compares_weakly_and_byte_by_byte() {
    check(
        validators(Some("\"a\""), Some(DATE)),
        &[
            ("no condition", &[], false),
            ("the tag", &[(INM, "\"a\"")], true),
            ("its weak form (RFC 9110, 13.1.2)", &[(INM, "W/\"a\"")], true),
            ("another", &[(INM, "\"b\"")], false),
            ("case counts", &[(INM, "\"A\"")], false),
            ("a lower-case w is no weak tag", &[(INM, "w/\"a\"")], false),
            ("without quotes", &[(INM, "a")], false),
            ("half quoted", &[(INM, "\"a")], false),
            ("any", &[(INM, "*")], true),
            ("nothing", &[(INM, "")], false),
            ("the name in any case", &[("If-None-Match", "\"a\"")], true),
        ],
    );
    check(
        validators(Some("W/\"a\""), None),
        &[
            ("a strong tag against a weak one", &[(INM, "\"a\"")], true),
            ("weak against weak", &[(INM, "W/\"a\"")], true),
            ("another", &[(INM, "W/\"b\"")], false),
        ],
    );
    assert!(weakly_equal(b"\"\"", b"W/\"\"") && !weakly_equal(b"\"a\"", b"W/\"b\""));
}

#[test]
fn if_none_match_may_be_a_list() {
    check(
        validators(Some("\"a\""), None),
        &[
            ("the first", &[(INM, "\"a\", \"b\"")], true),
            ("the last", &[(INM, "\"b\", W/\"c\",\"a\"")], true),
            ("none", &[(INM, "\"b\", \"c\"")], false),
            ("on a second line", &[(INM, "\"b\""), (INM, "\"a\"")], true),
            ("empty members", &[(INM, ", ,\"a\",")], true),
            ("a tag with a comma in it", &[(INM, "\"x,a\"")], false),
        ],
    );
    check(
        validators(Some("\"a,b\""), None),
        &[("a tag with a comma", &[(INM, "\"a,b\"")], true), ("its halves", &[(INM, "\"a\", \"b\"")], false)],
    );
}

#[test]
fn a_backslash_in_a_tag_is_a_letter_like_any_other() {
    // RFC 9110, 8.8.3: etagc holds %x5C, and an opaque-tag is no quoted-string.
    check(validators(Some("\"b\""), None), &[("before another tag", &[(INM, "\"a\\\", \"b\"")], true)]);
    check(validators(Some("\"a\\\""), None), &[("alone", &[(INM, "\"a\\\"")], true)]);
}

#[test]
fn if_none_match_decides_alone() {
    // RFC 9110, 13.2.2: If-Modified-Since is ignored when If-None-Match is there.
    check(
        validators(Some("\"a\""), Some(DATE)),
        &[
            ("a match, though modified since", &[(INM, "\"a\""), (IMS, OLDER)], true),
            ("no match, though not modified since", &[(INM, "\"b\""), (IMS, DATE)], false),
        ],
    );
    check(validators(None, Some(DATE)), &[("no tag stored", &[(INM, "\"a\""), (IMS, DATE)], false)]);
}

#[test]
fn any_matches_whatever_is_stored() {
    // RFC 9110, 13.1.2: `*` is false if there is a current representation, with a tag or without.
    check(validators(None, Some(DATE)), &[("Last-Modified alone", &[(INM, "*")], true)]);
    check(validators(None, None), &[("no validator", &[(INM, "*")], true)]);
}

#[test]
fn if_modified_since_compares_dates() {
    check(
        validators(None, Some(DATE)),
        &[
            ("the same", &[(IMS, DATE)], true),
            ("since later", &[(IMS, NEWER)], true),
            ("since before", &[(IMS, OLDER)], false),
            ("RFC 850", &[(IMS, "Sunday, 06-Nov-94 08:49:37 GMT")], true),
            ("asctime", &[(IMS, "Sun Nov  6 08:49:37 1994")], true),
            ("malformed (RFC 9110, 13.1.3)", &[(IMS, "yesterday")], false),
            ("another zone", &[(IMS, "Sun, 06 Nov 1994 08:49:38 CET")], false),
        ],
    );
    check(validators(Some("\"a\""), None), &[("nothing to compare with", &[(IMS, NEWER)], false)]);
    check(validators(None, Some("yesterday")), &[("a malformed Last-Modified", &[(IMS, NEWER)], false)]);
}

#[test]
fn a_304_counts_only_if_it_matches_what_was_sent() {
    // RFC 9111, 4.3.4; semantics 18. What was sent, what came back, and whether the stored body is good.
    type Sent<'a> = (Option<&'a str>, Option<&'a str>);
    let rows: &[(&str, Sent<'_>, Sent<'_>, bool)] = &[
        ("the tag", (Some("\"a\""), None), (Some("\"a\""), None), true),
        ("the tag, by now weak", (Some("\"a\""), None), (Some("W/\"a\""), None), true),
        ("another tag", (Some("\"a\""), None), (Some("\"b\""), None), false),
        ("another tag, the same date", (Some("\"a\""), Some(DATE)), (Some("\"b\""), Some(DATE)), false),
        ("a tag where none was sent", (None, Some(DATE)), (Some("\"a\""), Some(DATE)), false),
        ("the date", (None, Some(DATE)), (None, Some(DATE)), true),
        ("another date", (None, Some(DATE)), (None, Some(NEWER)), false),
        ("a tag was sent, another date came", (Some("\"a\""), Some(DATE)), (None, Some(NEWER)), false),
        ("no validator at all", (Some("\"a\""), Some(DATE)), (None, None), true),
    ];
    for (label, sent, back, expected) in rows {
        let (etag, modified) = (back.0.map(str::as_bytes), back.1.map(str::as_bytes));
        assert_eq!(confirms(validators(sent.0, sent.1), etag, modified), *expected, "{label}");
    }
    assert!(validators(None, None).is_empty());
    assert!(!validators(Some("\"a\""), None).is_empty() && !validators(None, Some(DATE)).is_empty());
}

#[test]
fn one_range_is_cut_from_the_stored_body() {
    let part = |first, last| {
        let part = Part { first, last, complete: Some(10) };
        Range::Part(Cut { offset: first, length: last - first + 1, part })
    };
    let rows: &[(&str, &str, u64, Range)] = &[
        ("first and last", "bytes=0-4", 10, part(0, 4)),
        ("one byte", "bytes=3-3", 10, part(3, 3)),
        ("all of it", "bytes=0-9", 10, part(0, 9)),
        ("to the end", "bytes=4-", 10, part(4, 9)),
        ("beyond the end", "bytes=4-99", 10, part(4, 9)),
        ("the last ones", "bytes=-3", 10, part(7, 9)),
        ("more last ones than there are", "bytes=-99", 10, part(0, 9)),
        ("a last position beyond 64 bits", "bytes=4-99999999999999999999", 10, part(4, 9)),
        ("a suffix beyond 64 bits", "bytes=-99999999999999999999", 10, part(0, 9)),
        ("leading zeros", "bytes=002-004", 10, part(2, 4)),
        ("space around", "bytes= 0-4 ", 10, part(0, 4)),
        ("behind the end (RFC 9110, 14.1.2)", "bytes=10-", 10, Range::Unsatisfiable),
        ("far behind", "bytes=99999999999999999999-", 10, Range::Unsatisfiable),
        ("no last bytes", "bytes=-0", 10, Range::Unsatisfiable),
        ("of an empty body", "bytes=0-", 0, Range::Unsatisfiable),
        ("the last of an empty body", "bytes=-1", 0, Range::Unsatisfiable),
        ("14.1.1: last before first is invalid", "bytes=4-3", 10, Range::Whole),
        ("several", "bytes=0-1,4-5", 10, Range::Whole),
        ("another unit", "lines=0-4", 10, Range::Whole),
        ("no unit", "0-4", 10, Range::Whole),
        ("no dash", "bytes=4", 10, Range::Whole),
        ("nothing but a dash", "bytes=-", 10, Range::Whole),
        ("letters", "bytes=a-b", 10, Range::Whole),
        ("a sign", "bytes=+1-4", 10, Range::Whole),
        ("two dashes", "bytes=--4", 10, Range::Whole),
        ("space within", "bytes=0 - 4", 10, Range::Whole),
        ("nothing", "", 10, Range::Whole),
    ];
    for (label, value, size, expected) in rows {
        assert_eq!(resolve(value.as_bytes(), *size), *expected, "{label}: {value} of {size}");
    }
    assert_eq!(resolve(b"bytes=\xff-4", 10), Range::Whole, "bytes that are no text");
}

#[test]
fn if_range_needs_a_strong_match() {
    /// A label, If-Range, the stored ETag and Last-Modified, and whether the Range counts.
    type Row<'a> = (&'a str, &'a str, Option<&'a str>, Option<&'a str>, bool);
    let rows: &[Row<'_>] = &[
        ("the tag", "\"a\"", Some("\"a\""), None, true),
        ("another", "\"b\"", Some("\"a\""), None, false),
        ("weak (RFC 9110, 13.1.5)", "W/\"a\"", Some("W/\"a\""), None, false),
        ("strong against weak", "\"a\"", Some("W/\"a\""), None, false),
        ("no tag stored", "\"a\"", None, Some(DATE), false),
        ("the date", DATE, Some("\"a\""), Some(DATE), true),
        ("a later date is no match", NEWER, None, Some(DATE), false),
        ("a date that is the answer's own is weak (8.8.2.2)", NEWER, None, Some(NEWER), false),
        ("a date and no Last-Modified", DATE, Some("\"a\""), None, false),
        ("nothing", "", None, None, false),
    ];
    for (label, value, etag, modified, expected) in rows {
        let validators = Validators { etag: etag.map(str::as_bytes), last_modified: modified.map(str::as_bytes) };
        let held = if_range_holds(value.as_bytes(), validators, Some(NEWER.as_bytes()));
        assert_eq!(held, *expected, "{label}");
    }
}

proptest! {
    #[test]
    fn a_part_lies_within_the_body(value in "bytes=[0-9]{0,3}-?[0-9]{0,3}", size in 0..300u64) {
        if let Range::Part(Cut { offset, length, part }) = resolve(value.as_bytes(), size) {
            prop_assert!(length > 0 && offset + length <= size, "{part:?} of {size}");
            prop_assert_eq!(part, Part { first: offset, last: offset + length - 1, complete: Some(size) });
        }
    }

    #[test]
    fn any_bytes_are_read_without_panic(value in prop::collection::vec(any::<u8>(), 0..30), size in any::<u64>()) {
        let _ = resolve(&value, size);
        let _ = resolve(&[&b"bytes="[..], &value[..]].concat(), size);
        let fields = [Field { name: INM, value: &value }, Field { name: IMS, value: &value }];
        let request = Request {
            method: Method::Head, scheme: Scheme::Http, host: "x.com", path: "/", query: None, fields: &fields,
        };
        let _ = not_modified(&request, validators(Some("\"a\""), Some(DATE)));
    }
}
