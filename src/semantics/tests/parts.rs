//! Stored parts: what they say they are, what they answer, and what completes them (RFC 9110, 14.4 and 15.3.7; RFC 9111, 3.3
//! and 3.4).

use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;
use semantics::part::{Cut, Part, are_of_the_same, may_be_stored};
use semantics::range::{Range, resolve};
use semantics::{Policy, Timestamp};

const NOW: Timestamp = Timestamp::from_secs(784_111_777);

fn part(first: u64, last: u64, complete: impl Into<Option<u64>>) -> Part {
    Part { first, last, complete: complete.into() }
}

type Fields<'a> = &'a [(&'static str, &'static str)];

fn fields(list: Fields<'_>) -> HeaderMap {
    list.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
}

#[test]
fn content_range_is_read_as_its_grammar_has_it() {
    for (value, expected) in [
        ("bytes 0-4/10", part(0, 4, 10)),
        ("bytes 4-9/10", part(4, 9, 10)),
        ("bytes 3-3/4", part(3, 3, 4)),
        ("bytes 42-1233/*", part(42, 1233, None)),
    ] {
        assert_eq!(Part::parse(value.as_bytes()), Some(expected), "{value}");
        assert_eq!(expected.to_string(), value);
    }
    for (label, value) in [
        ("416", "bytes */10"),
        ("last before first (14.4: invalid)", "bytes 4-3/10"),
        ("beyond the end (14.4: invalid)", "bytes 4-10/10"),
        ("of nothing", "bytes 0-0/0"),
        ("another unit", "lines 0-4/10"),
        ("no unit", "0-4/10"),
        ("an equals sign", "bytes=0-4/10"),
        ("no length", "bytes 0-4"),
        ("an empty length", "bytes 0-4/"),
        ("no last", "bytes 0-/10"),
        ("a sign", "bytes +0-4/10"),
        ("beyond 64 bits", "bytes 0-4/99999999999999999999"),
        ("two", "bytes 0-1/10, bytes 4-5/10"),
        ("nothing", ""),
    ] {
        assert_eq!(Part::parse(value.as_bytes()), None, "{label}: {value}");
    }
    assert_eq!(Part::of(&fields(&[("content-range", "bytes 0-4/10")])), Some(part(0, 4, 10)));
    let twice = fields(&[("content-range", "bytes 0-4/10"), ("content-range", "bytes 0-4/10")]);
    assert_eq!(Part::of(&twice), None, "two lines");
}

#[test]
fn a_stored_part_answers_what_lies_in_it() {
    /// A label, the stored part and the bytes that there are of it, a Range, and first and last byte of the answer.
    type Row<'a> = (&'a str, Part, u64, &'a str, Option<(u64, u64)>);
    let middle = part(4, 7, 10);
    let end = part(4, 9, 10);
    let rows: &[Row<'_>] = &[
        ("the same", middle, 4, "bytes=4-7", Some((4, 7))),
        ("its beginning", middle, 4, "bytes=4-5", Some((4, 5))),
        ("its end", middle, 4, "bytes=6-7", Some((6, 7))),
        ("one byte", middle, 4, "bytes=5-5", Some((5, 5))),
        ("one before", middle, 4, "bytes=3-5", None),
        ("one behind", middle, 4, "bytes=6-8", None),
        ("elsewhere", middle, 4, "bytes=0-1", None),
        ("to the end of all", middle, 4, "bytes=5-", None),
        ("the last of all", middle, 4, "bytes=-2", None),
        ("to the end", end, 6, "bytes=6-", Some((6, 9))),
        ("the last ones", end, 6, "bytes=-3", Some((7, 9))),
        ("all the last ones", end, 6, "bytes=-6", Some((4, 9))),
        ("more last ones than there are", end, 6, "bytes=-7", None),
        ("14.1.2: beyond the end of all", end, 6, "bytes=6-99", Some((6, 9))),
        ("behind the end of all", end, 6, "bytes=10-", None),
        ("no last ones", end, 6, "bytes=-0", None),
        ("last before first", end, 6, "bytes=7-6", None),
        ("several", end, 6, "bytes=4-5,7-8", None),
        ("another unit", end, 6, "lines=4-5", None),
        ("nonsense", end, 6, "bytes=a-b", None),
        ("nothing but a dash", end, 6, "bytes=-", None),
        ("of unknown length, within", part(4, 9, None), 6, "bytes=5-6", Some((5, 6))),
        ("of unknown length, to the end", part(4, 9, None), 6, "bytes=5-", None),
        ("of unknown length, the last ones", part(4, 9, None), 6, "bytes=-2", None),
        ("fewer bytes than it says: what there is", end, 5, "bytes=6-8", Some((6, 8))),
        ("fewer bytes: up to their end", end, 5, "bytes=6-", Some((6, 8))),
        ("fewer bytes: the last one that it says", end, 5, "bytes=6-9", None),
        ("fewer bytes: which are the last?", end, 5, "bytes=-2", None),
    ];
    for (label, stored, length, range, expected) in rows {
        let cut = stored.cut(*length, range.as_bytes(), None);
        assert_eq!(cut.map(|cut| (cut.part.first, cut.part.last)), *expected, "{label}");
        let Some(Cut { offset, length: taken, part }) = cut else { continue };
        assert_eq!((offset, taken), (part.first - stored.first, part.length()), "{label}");
        assert_eq!(part.complete, stored.complete, "{label}");
    }
}

#[test]
fn the_range_that_brought_a_part_brings_it_again() {
    let lying = part(4, 9, 10);
    let again = |length| lying.cut(length, b"bytes=-5", Some(b"bytes=-5"));
    assert_eq!(again(5), Some(Cut { offset: 0, length: 5, part: part(4, 8, 10) }), "as many bytes as there are");
    assert_eq!(again(0), None, "nothing");
    assert_eq!(lying.cut(5, b"bytes=-4", Some(b"bytes=-5")), None, "another range");
}

#[test]
fn a_beginning_is_completed_by_what_goes_on_to_the_end() {
    for (label, stored, length, rest) in [
        ("a beginning", part(0, 4, 10), 5, Some(5)),
        ("of unknown length", part(0, 4, None), 5, Some(5)),
        ("fewer bytes than it says", part(0, 4, 10), 4, None),
        ("all of it", part(0, 9, 10), 10, None),
        ("not the beginning", part(1, 4, 10), 4, None),
    ] {
        assert_eq!(stored.rest(length), rest, "{label}");
    }
    let beginning = part(0, 4, 10);
    for (label, next, completes) in [
        ("the rest", part(5, 9, 10), true),
        ("not all of it", part(5, 8, 10), false),
        ("a gap", part(6, 9, 10), false),
        ("an overlap", part(4, 9, 10), false),
        ("of another length", part(5, 10, 11), false),
        ("of unknown length", part(5, 9, None), false),
    ] {
        assert_eq!(beginning.is_completed_by(&next), completes, "{label}");
    }
    let tagged = |tag| fields(&[("etag", tag)]);
    for (label, one, other, same) in [
        ("a strong tag", tagged("\"a\""), tagged("\"a\""), true),
        ("another", tagged("\"a\""), tagged("\"b\""), false),
        ("a weak one", tagged("W/\"a\""), tagged("W/\"a\""), false),
        ("none", HeaderMap::new(), HeaderMap::new(), false),
        ("a date is not strong enough", fields(&[("last-modified", "x")]), fields(&[("last-modified", "x")]), false),
    ] {
        assert_eq!(are_of_the_same(&one, &other), same, "{label}");
    }
}

#[test]
fn a_part_is_stored_with_a_lifetime_of_its_own_and_as_it_is() {
    let rows: &[(&str, Fields<'_>, bool)] = &[
        ("a lifetime", &[("cache-control", "max-age=60")], true),
        ("a field for shared caches", &[("cdn-cache-control", "max-age=60")], true),
        ("no lifetime", &[], false),
        ("none left", &[("cache-control", "max-age=0")], false),
        ("15.3.7: no heuristics", &[("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT")], false),
        ("no-store", &[("cache-control", "max-age=60, no-store")], false),
        ("private", &[("cache-control", "max-age=60, private")], false),
        ("in a coding", &[("cache-control", "max-age=60"), ("content-encoding", "gzip")], false),
        ("one variant of several", &[("cache-control", "max-age=60"), ("vary", "accept-language")], false),
        ("of any", &[("cache-control", "max-age=60"), ("vary", "*")], false),
        ("by a coding that it has not", &[("cache-control", "max-age=60"), ("vary", "accept-encoding")], true),
    ];
    for (label, list, stored) in rows {
        assert_eq!(may_be_stored(&fields(list), &Policy::plain(), NOW, false), *stored, "{label}");
    }
    let fresh = fields(&[("cache-control", "max-age=60")]);
    assert!(!may_be_stored(&fresh, &Policy::plain(), NOW, true), "RFC 9111, 3.5: asked for with Authorization");
    let public = fields(&[("cache-control", "max-age=60, public")]);
    assert!(may_be_stored(&public, &Policy::plain(), NOW, true), "RFC 9111, 3.5: and public");
}

proptest! {
    /// What a part answers is what the whole would have answered.
    #[test]
    fn a_part_answers_as_the_whole_would(
        complete in 1..200u64, first in 0..200u64, length in 1..200u64, range in "bytes=[0-9]{0,3}-[0-9]{0,3}",
    ) {
        let first = first % complete;
        let length = length.min(complete - first);
        let stored = part(first, first + length - 1, complete);
        if let Some(cut) = stored.cut(length, range.as_bytes(), None) {
            let Range::Part(whole) = resolve(range.as_bytes(), complete) else { panic!("{range} of {stored:?}: {cut:?}") };
            prop_assert_eq!(cut.part, whole.part);
            prop_assert_eq!((cut.offset + first, cut.length), (whole.offset, whole.length));
        }
    }

    /// Whatever is stored, what is taken lies in it, and is as long as it says.
    #[test]
    fn nothing_is_taken_that_is_not_there(
        first in any::<u64>(), last in any::<u64>(), complete in any::<Option<u64>>(), length in any::<u64>(),
        range in "bytes=[0-9]{0,20}-[0-9]{0,20}",
    ) {
        let stored = part(first.min(last), first.max(last), complete);
        let length = 1 + length % stored.length();
        if let Some(cut) = stored.cut(length, range.as_bytes(), None) {
            prop_assert!(cut.length > 0 && cut.offset.checked_add(cut.length).is_some_and(|end| end <= length));
            prop_assert_eq!(cut.part.length(), cut.length);
        }
    }
}
