//! Which coding a request gets of a stored response (RFC 9110, 8.4 and 12.5.3).

mod support;

use http::StatusCode;
use proptest::prelude::*;
use semantics::coding::{Accepted, Coding, SMALLEST, etag_in, etags_as_given, is_codable, varies_by_coding};
use support::{Fields, fields};

const ORDER: [Coding; 3] = [Coding::Zstd, Coding::Brotli, Coding::Gzip];

fn accepted(lines: &[&str]) -> Accepted {
    Accepted::of(lines.iter().map(|line| line.as_bytes()))
}

#[test]
fn what_the_client_likes_best_is_chosen_and_the_order_decides_among_equals() {
    use Coding::{Brotli, Gzip, Zstd};
    let rows: &[(&str, &[&str], Option<Coding>)] = &[
        ("no field", &[], None),
        ("an empty one", &[""], None),
        ("browsers", &["gzip, deflate, br, zstd"], Some(Zstd)),
        ("older browsers", &["gzip, deflate, br"], Some(Brotli)),
        ("old ones", &["gzip, deflate"], Some(Gzip)),
        ("names have no case", &["GZip"], Some(Gzip)),
        ("its old name", &["x-gzip"], Some(Gzip)),
        ("what is not made", &["deflate, compress, exi"], None),
        ("the body as it is", &["identity"], None),
        ("weights", &["gzip;q=1.0, br;q=0.9, zstd;q=0.8"], Some(Gzip)),
        ("small differences", &["gzip;q=0.501, br;q=0.5"], Some(Gzip)),
        ("equal ones", &["gzip;q=0.5, br;q=0.5"], Some(Brotli)),
        ("spaces", &["gzip ; q=0.2 , br ;q=0.1"], Some(Gzip)),
        ("refused", &["gzip;q=0, br;q=0.0, zstd;q=0.000"], None),
        ("some refused", &["zstd;q=0, br;q=0, gzip"], Some(Gzip)),
        ("anything", &["*"], Some(Zstd)),
        ("anything else", &["zstd;q=0, *"], Some(Brotli)),
        ("nothing else", &["gzip, *;q=0"], Some(Gzip)),
        ("nothing at all", &["*;q=0"], None),
        ("the body as it is is liked better", &["gzip;q=0.5, identity"], None),
        ("as much", &["gzip, identity"], Some(Gzip)),
        ("less", &["gzip, identity;q=0.5"], Some(Gzip)),
        ("refused, with another", &["identity;q=0, gzip;q=0.1"], Some(Gzip)),
        ("several lines are one list", &["gzip;q=0.1", "br"], Some(Brotli)),
        ("the last word counts", &["gzip, gzip;q=0"], None),
        ("a weight that is none voids its coding", &["br;q=2, gzip"], Some(Gzip)),
        ("another parameter", &["br;level=9, gzip"], Some(Gzip)),
        ("too many digits", &["br;q=0.9999, gzip;q=0.1"], Some(Gzip)),
        ("more than all", &["br;q=1.001, gzip"], Some(Gzip)),
        ("nothing but commas", &[", ,,"], None),
    ];
    for (label, lines, expected) in rows {
        assert_eq!(accepted(lines).best(&ORDER), *expected, "{label}: {lines:?}");
    }
}

#[test]
fn only_what_the_route_makes_is_chosen() {
    let all = accepted(&["gzip, br, zstd"]);
    assert_eq!(all.best(&[]), None);
    assert_eq!(all.best(&[Coding::Gzip]), Some(Coding::Gzip));
    assert_eq!(all.best(&[Coding::Gzip, Coding::Zstd]), Some(Coding::Gzip));
}

#[test]
fn the_body_as_it_is_is_refused_by_name_or_with_everything_else() {
    for (line, refused) in [
        ("", false),
        ("gzip", false),
        ("identity;q=0", true),
        ("*;q=0", true),
        ("gzip, *;q=0", true),
        ("*;q=0, identity;q=0.1", false),
        ("*;q=0.5", false),
    ] {
        assert_eq!(accepted(&[line]).refuses_identity(), refused, "{line}");
    }
}

#[test]
fn pages_of_kinds_that_compress_are_coded_unless_somebody_forbids_it() {
    let html = ("content-type", "text/html; charset=utf-8");
    let rows: &[(&str, u16, Fields<'_>, Option<u64>, bool)] = &[
        ("a page", 200, &[html], Some(2048), true),
        ("of unknown length", 200, &[html], None, true),
        ("a small one", 200, &[html], Some(SMALLEST - 1), false),
        ("the smallest", 200, &[html], Some(SMALLEST), true),
        ("not found", 404, &[html], Some(2048), false),
        ("a redirect", 301, &[html], Some(2048), false),
        ("in a coding already", 200, &[html, ("content-encoding", "gzip")], Some(2048), false),
        ("a part", 200, &[html, ("content-range", "bytes 0-1/2")], Some(2048), false),
        ("no-transform", 200, &[html, ("cache-control", "public, No-Transform")], Some(2048), false),
        (
            "no-transform on a second line",
            200,
            &[html, ("cache-control", "public"), ("cache-control", "no-transform")],
            None,
            false,
        ),
        ("of no kind", 200, &[], Some(2048), false),
        ("JSON", 200, &[("content-type", "application/json")], None, true),
        ("a kind of JSON", 200, &[("content-type", "application/ld+json")], None, true),
        ("SVG", 200, &[("content-type", "image/svg+xml")], None, true),
        ("events", 200, &[("content-type", "text/event-stream")], None, false),
        ("a component", 200, &[("content-type", "text/x-component")], None, true),
        ("case", 200, &[("content-type", "Text/HTML")], None, true),
        ("WebAssembly", 200, &[("content-type", "application/wasm")], None, true),
        ("a photo", 200, &[("content-type", "image/jpeg")], None, false),
        ("a film", 200, &[("content-type", "video/mp4")], None, false),
        ("a web font", 200, &[("content-type", "font/woff2")], None, false),
        ("an archive", 200, &[("content-type", "application/zip")], None, false),
        ("bytes", 200, &[("content-type", "application/octet-stream")], None, false),
    ];
    for (label, status, list, length, expected) in rows {
        let status = StatusCode::from_u16(*status).expect("a status");
        assert_eq!(is_codable(status, &fields(list), *length), *expected, "{label}");
    }
}

#[test]
fn each_coding_has_a_tag_of_its_own() {
    for (tag, expected) in [("\"v1\"", "\"v1~br\""), ("W/\"v1\"", "W/\"v1~br\""), ("\"\"", "\"~br\""), ("v1", "v1~br")]
    {
        assert_eq!(etag_in(tag.as_bytes(), Coding::Brotli), expected.as_bytes());
    }
}

#[test]
fn the_origin_is_told_its_own_tags() {
    for (sent, expected) in [
        ("\"v1~br\"", Some("\"v1\"")),
        ("W/\"v1~gzip\"", Some("\"v1\"")),
        ("\"a\", \"b~zstd\", W/\"c\"", Some("\"a\", \"b\", W/\"c\"")),
        ("\"v1\"", None),
        ("W/\"v1-gzip\"", None),
        ("*", None),
        ("\"~br~br\"", Some("\"~br\"")),
        ("\"a,b~br\"", Some("\"a,b\"")),
        ("", None),
    ] {
        let given = etags_as_given(sent.as_bytes()).map(|tags| String::from_utf8(tags).unwrap());
        assert_eq!(given.as_deref(), expected, "{sent}");
    }
}

#[test]
fn vary_is_not_said_twice() {
    for (vary, expected) in
        [("", false), ("Accept", false), ("accept, Accept-Encoding", true), ("*", true), ("x-accept-encoding", false)]
    {
        assert_eq!(varies_by_coding([vary.as_bytes()].into_iter()), expected, "{vary}");
    }
}

proptest! {
    #[test]
    fn nobody_gets_a_coding_that_he_does_not_take(
        lines in proptest::collection::vec("[a-z*]{0,8}(;q=[01](\\.[0-9]{0,4})?)?(, ?(gzip|br|zstd|identity|\\*)(;q=[01](\\.[0-9]{0,3})?)?){0,4}", 0..3)
    ) {
        let accepted = Accepted::of(lines.iter().map(String::as_bytes));
        if let Some(coding) = accepted.best(&ORDER) {
            prop_assert!(accepted.takes(coding));
            prop_assert!(lines.iter().any(|l| l.contains(coding.as_str()) || l.contains('*') || l.contains("x-gzip")));
        }
    }
}
