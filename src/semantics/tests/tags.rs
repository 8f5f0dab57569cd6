//! Tags of an answer (semantics 41), and cache groups (RFC 9875).

use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;
use semantics::tags::{FIELDS, MAX_TAG, MAX_TAGS, Tags, groups, of};
use std::collections::HashSet;

fn fields(lines: &[(&str, &[u8])]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in lines {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        map.append(name, HeaderValue::from_bytes(value).expect("a value"));
    }
    map
}

fn owned(tags: &[&str]) -> Vec<String> {
    tags.iter().map(|tag| (*tag).to_owned()).collect()
}

fn kept(tags: &[&str]) -> Tags {
    Tags { kept: owned(tags), ..Tags::default() }
}

/// A label, the fields of an answer, and its tags.
type Row<'a> = (&'a str, &'a [(&'a str, &'a [u8])], Tags);

fn check(rows: &[Row<'_>]) {
    for (label, lines, expected) in rows {
        assert_eq!(of(Vec::new(), &fields(lines)), *expected, "{label}");
    }
}

#[test]
fn every_field_has_its_own_separators() {
    check(&[
        ("none", &[("cache-control", b"public")], kept(&[])),
        ("Cache-Tag", &[("cache-tag", b"blog, post:1,a b")], kept(&["blog", "post:1", "a b"])),
        ("Surrogate-Key", &[("surrogate-key", b"blog  post:1\ta,b")], kept(&["blog", "post:1", "a,b"])),
        ("xkey", &[("xkey", b"blog post:1, c,d")], kept(&["blog", "post:1", "c", "d"])),
        ("Next.js", &[("x-next-cache-tags", b"_N_T_/layout,_N_T_/a/page")], kept(&["_N_T_/layout", "_N_T_/a/page"])),
        ("Cache-Groups", &[("cache-groups", br#""blog", "a,b c""#)], kept(&["blog", "a,b c"])),
        ("several lines", &[("xkey", b"a"), ("xkey", b"b")], kept(&["a", "b"])),
        ("empty ones", &[("cache-tag", b", a,,b ,"), ("xkey", b""), ("cache-groups", br#""""#)], kept(&["a", "b"])),
        ("not ASCII", &[("cache-tag", "caf\u{e9}".as_bytes())], kept(&["caf\u{e9}"])),
        ("case counts", &[("cache-tag", b"a,A")], kept(&["a", "A"])),
        (
            "several fields, each tag once",
            &[("cache-groups", br#""d", "a""#), ("surrogate-key", b"b a"), ("cache-tag", b"a, b, c, b")],
            kept(&["a", "b", "c", "d"]),
        ),
    ]);
}

#[test]
fn the_tags_of_the_route_come_first() {
    let answer = fields(&[("cache-tag", b"from-origin, blog")]);
    assert_eq!(of(owned(&["blog", "post:1", "blog"]), &answer), kept(&["blog", "post:1", "from-origin"]));
}

#[test]
fn what_is_no_tag_is_left_out_and_counted() {
    let malformed = |tags: &[&str], malformed| Tags { malformed, ..kept(tags) };
    check(&[
        ("not UTF-8", &[("cache-tag", b"a,\xff\xfe,b")], malformed(&["a", "b"], 1)),
        ("a tab", &[("cache-tag", b"a\tb,c")], malformed(&["c"], 1)),
        ("a control outside ASCII", &[("surrogate-key", "a\u{85}b c".as_bytes())], malformed(&["c"], 1)),
        ("Cache-Groups that is no list of strings", &[("cache-groups", br#""a", b"#)], malformed(&[], 1)),
        (
            "on one of its lines",
            &[("cache-groups", br#""a""#), ("cache-groups", b"b"), ("xkey", b"c")],
            malformed(&["c"], 1),
        ),
    ]);
    assert_eq!(of(owned(&["a\nb", "c"]), &HeaderMap::new()), malformed(&["c"], 1), "of the route");
}

#[test]
fn a_tag_has_at_most_256_characters() {
    let (longest, longer) = ("\u{e9}".repeat(MAX_TAG), "\u{e9}".repeat(MAX_TAG + 1));
    let megabyte = "x".repeat(1 << 20);
    for (label, name, value) in [
        ("Cache-Tag", "cache-tag", format!("{longer},{longest},{megabyte}")),
        ("xkey", "xkey", format!("{longer} {longest} {megabyte}")),
    ] {
        let tags = of(Vec::new(), &fields(&[(name, value.as_bytes())]));
        assert_eq!(tags, Tags { too_long: 2, ..kept(&[&longest]) }, "{label}");
    }
    let ascii = "g".repeat(MAX_TAG);
    let listed = format!(r#""{ascii}", "{ascii}x", "{megabyte}", "{}""#, r"\\".repeat(MAX_TAG));
    let tags = of(Vec::new(), &fields(&[("cache-groups", listed.as_bytes())]));
    let backslashes = r"\".repeat(MAX_TAG);
    assert_eq!(tags, Tags { too_long: 2, ..kept(&[&ascii, &backslashes]) }, "escapes do not count");
    assert_eq!(groups([listed.as_bytes()]), Some(vec![ascii, backslashes]));
}

#[test]
fn an_answer_has_at_most_128_tags() {
    let names: Vec<String> = (0..10_000).map(|n| format!("tag-{n}")).collect();
    for (name, list) in [
        ("cache-tag", names.join(",")),
        ("surrogate-key", names.join(" ")),
        ("cache-groups", format!("\"{}\"", names.join("\", \""))),
    ] {
        let tags = of(Vec::new(), &fields(&[(name, list.as_bytes())]));
        assert_eq!(tags.kept, names[..MAX_TAGS], "{name}");
        assert_eq!((tags.too_many, tags.too_long, tags.malformed), (10_000 - MAX_TAGS, 0, 0), "{name}");
    }
    // What is there already is not one more.
    let again = fields(&[("cache-tag", b"tag-0, tag-127, one-more")]);
    let tags = of(names[..MAX_TAGS].to_vec(), &again);
    assert_eq!((tags.kept.len(), tags.too_many), (MAX_TAGS, 1));
    let list = format!("\"{}\"", names.join("\", \""));
    assert_eq!(groups([list.as_bytes()]).unwrap(), names[..MAX_TAGS]);
}

#[test]
fn groups_are_a_list_of_strings() {
    type Row<'a> = (&'a str, &'a [&'a str], Option<&'a [&'a str]>);
    let rows: &[Row<'_>] = &[
        ("absent", &[], Some(&[])),
        ("empty", &[""], Some(&[])),
        ("one", &[r#""a""#], Some(&["a"])),
        ("several", &["\"a\",\"b\"  ,\t\"c d\""], Some(&["a", "b", "c d"])),
        ("several lines", &[r#""a""#, r#""b", "c""#], Some(&["a", "b", "c"])),
        ("twice", &[r#""a", "b", "a""#], Some(&["a", "b"])),
        ("escapes", &[r#""a\"b\\c", "\\\"""#], Some(&[r#"a"b\c"#, r#"\""#])),
        ("commas inside", &[r#""a,b", "c;d""#], Some(&["a,b", "c;d"])),
        ("RFC 9875, 2: parameters are ignored", &[r#""a";x, "b";y=1;z="q,r""#], Some(&["a", "b"])),
        ("a token", &["a"], None),
        ("a number", &["1"], None),
        ("an inner list", &[r#"("a" "b")"#], None),
        ("a dictionary", &[r#"a="b""#], None),
        ("one that is no string voids all", &[r#""a", b, "c""#], None),
        ("no comma", &[r#""a" "b""#], None),
        ("a comma too many", &[r#""a","#], None),
        ("a comma in front", &[r#", "a""#], None),
        ("an empty line beside another", &[r#""a""#, ""], None),
        ("not closed", &[r#""a"#], None),
        ("a foreign escape", &[r#""\a""#], None),
        ("not ASCII", &["\"\u{e9}\""], None),
        ("a malformed parameter", &[r#""a";"b""#], None),
    ];
    for (label, lines, expected) in rows {
        let read = groups(lines.iter().map(|line| line.as_bytes()));
        assert_eq!(read, expected.map(owned), "{label}: {lines:?}");
    }
}

/// Values of fields with much of what separates and ends.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![Just(b' '), Just(b','), Just(b'"'), Just(b'\\'), Just(b';'), b'a'..=b'c', any::<u8>()];
    prop::collection::vec(byte, 0..400)
}

proptest! {
    #[test]
    fn tags_stay_within_their_limits(
        route in prop::collection::vec(".{0,8}", 0..4),
        lines in prop::collection::vec((0..FIELDS.len(), value()), 0..8),
    ) {
        let mut map = HeaderMap::new();
        for (field, value) in &lines {
            let _ = groups([&value[..]]);
            if let Ok(value) = HeaderValue::from_bytes(value) {
                map.append(FIELDS[*field], value);
            }
        }
        let tags = of(route, &map);
        prop_assert!(tags.kept.len() <= MAX_TAGS);
        for tag in &tags.kept {
            prop_assert!((1..=MAX_TAG).contains(&tag.chars().count()), "{:?}", tag);
            prop_assert!(!tag.chars().any(char::is_control), "{:?}", tag);
        }
        prop_assert_eq!(tags.kept.iter().collect::<HashSet<_>>().len(), tags.kept.len(), "each once");
    }

    #[test]
    fn any_printable_string_is_read_back_from_a_list(texts in prop::collection::vec("[ -~]{1,12}", 0..8)) {
        let quoted = |text: &String| format!("\"{}\"", text.replace('\\', r"\\").replace('"', r#"\""#));
        let line = texts.iter().map(quoted).collect::<Vec<_>>().join(", ");
        let mut seen = HashSet::new();
        let once: Vec<String> = texts.into_iter().filter(|text| seen.insert(text.clone())).collect();
        prop_assert_eq!(groups([line.as_bytes()]), Some(once));
    }
}
