//! What a page must look like to be stored (semantics 34).

use http::StatusCode;
use proptest::prelude::*;
use semantics::guard::{Broken, Guard, applies_to, judge};
use semantics::settlement::Failure;

const HTML: Option<&[u8]> = Some(b"text/html; charset=utf-8");
const COMPONENT: Option<&[u8]> = Some(b"text/x-component");

/// A label, the Content-Type, the body, the size of what is stored, and the guard that breaks.
type Row<'a> = (&'a str, Option<&'a [u8]>, &'a [u8], Option<usize>, Option<Broken>);

fn check(guard: &Guard, rows: &[Row<'_>]) {
    for (label, content_type, body, replaces, expected) in rows {
        let broken = judge(guard, *content_type, body, *replaces).err();
        assert_eq!(broken, *expected, "{label}: {content_type:?} {replaces:?} {:?}", String::from_utf8_lossy(body));
    }
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn without_a_guard_everything_passes() {
    check(
        &Guard::default(),
        &[
            ("a page", HTML, b"page", Some(4), None),
            ("nothing at all", None, b"", None, None),
            ("nothing in the place of a page", None, b"", Some(1 << 20), None),
        ],
    );
}

#[test]
fn a_page_that_is_too_small_breaks_min_bytes() {
    let guard = Guard { min_bytes: 4, ..Guard::default() };
    check(
        &guard,
        &[
            ("empty", HTML, b"", None, Some(Broken::MinBytes)),
            ("a byte less", HTML, b"abc", None, Some(Broken::MinBytes)),
            ("just enough", HTML, b"abcd", None, None),
            ("in the place of one that was smaller", HTML, b"abc", Some(2), Some(Broken::MinBytes)),
            ("bytes count, not characters", HTML, "\u{e9}\u{e9}".as_bytes(), None, None),
        ],
    );
}

#[test]
fn a_page_that_lost_too_much_breaks_max_shrink() {
    let half = Guard { max_shrink: Some(50), ..Guard::default() };
    check(
        &half,
        &[
            ("nothing is stored", HTML, b"", None, None),
            ("an empty one is", HTML, b"", Some(0), None),
            ("half", HTML, b"abcd", Some(8), None),
            ("a byte less", HTML, b"abc", Some(8), Some(Broken::MaxShrink)),
            ("half of an odd one, rounded up", HTML, b"abcd", Some(7), None),
            ("half of an odd one, rounded down", HTML, b"abc", Some(7), Some(Broken::MaxShrink)),
            ("grown", HTML, b"abcd", Some(2), None),
        ],
    );
    for (percent, least) in [(1, 99), (10, 90), (99, 1)] {
        let guard = Guard { max_shrink: Some(percent), ..Guard::default() };
        let body = [b'x'; 100];
        check(
            &guard,
            &[
                ("as much as it may", HTML, &body[..least], Some(100), None),
                ("a byte more", HTML, &body[..least - 1], Some(100), Some(Broken::MaxShrink)),
            ],
        );
    }
}

#[test]
fn a_page_without_one_of_its_texts_breaks_must_contain() {
    let guard = Guard { must_contain: texts(&["<main", "</html>"]), ..Guard::default() };
    let broken = Some(Broken::MustContain);
    check(
        &guard,
        &[
            ("both", HTML, b"<html><main>a</main></html>", None, None),
            ("in any order", HTML, b"</html><main", None, None),
            ("cut off", HTML, b"<html><main>a", None, broken),
            ("the first is missing", HTML, b"<html></html>", None, broken),
            ("another case", HTML, b"<MAIN>a</MAIN></HTML>", None, broken),
            ("only almost", HTML, b"<main></html", None, broken),
            ("empty", HTML, b"", None, broken),
        ],
    );
}

#[test]
fn a_page_with_a_text_of_a_bad_one_breaks_must_not_contain() {
    let guard = Guard { must_not_contain: texts(&["Application error", "\u{2620}"]), ..Guard::default() };
    let broken = Some(Broken::MustNotContain);
    check(
        &guard,
        &[
            ("neither", HTML, b"all is well", None, None),
            ("empty", HTML, b"", None, None),
            ("the whole of it", HTML, b"Application error", None, broken),
            ("within it", HTML, b"<h1>Application error: a client-side exception</h1>", None, broken),
            ("the second", HTML, "oh \u{2620}!".as_bytes(), None, broken),
            ("half of it", HTML, b"Application", None, None),
        ],
    );
}

#[test]
fn texts_are_found_in_what_is_not_text() {
    let guard = Guard { must_contain: texts(&["ab\u{e9}c"]), ..Guard::default() };
    let around: [(&[u8], &[u8]); 7] = [
        (b"", b""),
        (b"\xff", b"\xff"),
        (b"\xc3", b"\xa9"),
        (b"\xe2\x82", b"\x80\x80"),
        (b"\xf0\x9f\x92", b"\xc3"),
        (b"ab\xc3", b"a"),
        (b"\x00", b"\x00"),
    ];
    for (before, after) in around {
        let body = [before, "ab\u{e9}c".as_bytes(), after].concat();
        check(&guard, &[("whatever is around it", None, &body, None, None)]);
    }
    check(&guard, &[("written down in Latin-1", None, b"ab\xe9c", None, Some(Broken::MustContain))]);
}

#[test]
fn a_page_of_another_type_breaks_content_type() {
    let guard = Guard { content_type: Some("text/html".to_owned()), ..Guard::default() };
    let broken = Some(Broken::ContentType);
    check(
        &guard,
        &[
            ("with a parameter", HTML, b"", None, None),
            ("bare", Some(b"text/html"), b"", None, None),
            ("in any case (RFC 9110, 8.3.1)", Some(b"Text/HTML;charset=utf-8"), b"", None, None),
            ("with spaces", Some(b" text/html ; charset=utf-8"), b"", None, None),
            ("another", Some(b"application/json"), b"", None, broken),
            ("one that begins so", Some(b"text/html-ish"), b"", None, broken),
            ("as a parameter", Some(b"text/plain; x=text/html"), b"", None, broken),
            ("empty", Some(b""), b"", None, broken),
            ("not told", None, b"", None, broken),
        ],
    );
    let loud = Guard { content_type: Some("TEXT/HTML".to_owned()), ..Guard::default() };
    check(&loud, &[("the guard in any case", HTML, b"", None, None)]);
}

#[test]
fn a_part_of_a_page_has_neither_its_type_nor_its_frame() {
    let guard = Guard {
        min_bytes: 512,
        max_shrink: Some(50),
        must_contain: texts(&["</html>"]),
        must_not_contain: texts(&["Application error"]),
        content_type: Some("text/html".to_owned()),
    };
    check(
        &guard,
        &[
            ("a component (46)", COMPONENT, b"0:[]", None, None),
            ("with a parameter", Some(b"Text/X-Component; a=b"), b"0:[]", None, None),
            ("no other type", Some(b"text/x-components"), b"0:[]", None, Some(Broken::ContentType)),
            ("a component with an error in it", COMPONENT, b"0:Application error", None, Some(Broken::MustNotContain)),
            ("a component that lost too much", COMPONENT, b"0:[]", Some(9), Some(Broken::MaxShrink)),
        ],
    );
}

#[test]
fn the_first_guard_that_breaks_is_named() {
    let mut guard = Guard {
        min_bytes: 512,
        max_shrink: Some(50),
        must_contain: texts(&["</html>"]),
        must_not_contain: texts(&["error"]),
        content_type: Some("text/html".to_owned()),
    };
    let next = |guard: &Guard| judge(guard, Some(b"text/plain"), b"error", Some(1000)).err();
    assert_eq!(next(&guard), Some(Broken::ContentType));
    guard.content_type = None;
    assert_eq!(next(&guard), Some(Broken::MinBytes));
    guard.min_bytes = 0;
    assert_eq!(next(&guard), Some(Broken::MaxShrink));
    guard.max_shrink = None;
    assert_eq!(next(&guard), Some(Broken::MustContain));
    guard.must_contain.clear();
    assert_eq!(next(&guard), Some(Broken::MustNotContain));
    guard.must_not_contain.clear();
    assert_eq!(next(&guard), None);
}

#[test]
fn only_the_page_itself_is_guarded() {
    assert!(applies_to(StatusCode::OK));
    for status in [203, 204, 300, 301, 302, 304, 308, 404, 410, 451, 500] {
        assert!(!applies_to(StatusCode::from_u16(status).expect("a status")), "{status}");
    }
}

#[test]
fn every_guard_has_the_name_of_its_key() {
    for (broken, name, told) in [
        (Broken::MinBytes, "min_bytes", "guard:min_bytes"),
        (Broken::MaxShrink, "max_shrink", "guard:max_shrink"),
        (Broken::MustContain, "must_contain", "guard:must_contain"),
        (Broken::MustNotContain, "must_not_contain", "guard:must_not_contain"),
        (Broken::ContentType, "content_type", "guard:content_type"),
    ] {
        assert_eq!((broken.as_str(), Failure::Guard(broken).told()), (name, told));
    }
    assert_eq!(Failure::Empty.told(), Failure::Empty.as_str(), "other failures have one name");
}

#[test]
fn a_text_is_found_behind_much_that_is_almost_the_same() {
    let almost = vec![b'a'; 8 << 20];
    for length in [2, 31, 33, 1024] {
        let text = "a".repeat(length - 1) + "b";
        let body = [&almost[..], b"b"].concat();
        let guard = Guard { must_contain: vec![text], ..Guard::default() };
        check(&guard, &[("at the end", HTML, &body, None, None)]);
        check(&guard, &[("nowhere", HTML, &almost, None, Some(Broken::MustContain))]);
    }
}

proptest! {
    #[test]
    fn a_text_is_found_exactly_where_its_bytes_are(
        body in prop::collection::vec(prop::sample::select(b"ab\xc3\xa9\xe2\x82\xac\xf0\xff".to_vec()), 0..40),
        text in "[ab\u{e9}\u{20ac}]{1,3}",
    ) {
        let there = body.windows(text.len()).any(|window| window == text.as_bytes());
        let wanted = Guard { must_contain: vec![text.clone()], ..Guard::default() };
        let unwanted = Guard { must_not_contain: vec![text], ..Guard::default() };
        prop_assert_eq!(judge(&wanted, None, &body, None).is_ok(), there);
        prop_assert_eq!(judge(&unwanted, None, &body, None).is_ok(), !there);
    }

    #[test]
    fn what_grows_never_breaks_max_shrink(before in 0_usize..2000, more in 0_usize..2000, percent in 1_u8..100) {
        let guard = Guard { max_shrink: Some(percent), ..Guard::default() };
        prop_assert!(judge(&guard, None, &vec![0; before + more], Some(before)).is_ok());
    }
}
