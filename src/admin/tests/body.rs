use crate::admin::body::read;
use crate::admin::revalidate::Asked;
use crate::service::{Request, TooLarge};
use bytes::Bytes;
use engine::invalidate::{Invalidation, Mode, Target};
use http::{HeaderMap, Method};
use semantics::page::as_sent;

fn request(body: Result<Bytes, TooLarge>) -> Request {
    Request { method: Method::POST, path: "/v1/revalidate".to_owned(), query: None, fields: HeaderMap::new(), body }
}

/// What a body orders, or the status and the words that it is refused with.
fn ordered(body: impl Into<Vec<u8>>) -> Result<Vec<Invalidation>, (u16, String)> {
    let request = request(Ok(Bytes::from(body.into())));
    let understood = || {
        let asked: Asked = read(&request)?;
        asked.check()?;
        asked.invalidations(Some("site.test"))
    };
    understood().map_err(|problem| (problem.told().0, problem.told().1.to_owned()))
}

#[track_caller]
fn assert_refused(body: impl Into<Vec<u8>>, status: u16, words: &[&str]) {
    let body = body.into();
    let shown = String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned();
    let (got, said) = ordered(body).expect_err(&shown);
    assert_eq!(got, status, "{shown}: {said}");
    for word in words {
        assert!(said.contains(word), "no `{word}` said of `{shown}`: {said}");
    }
    assert!(said.len() < 600, "{} bytes said of `{shown}`", said.len());
}

#[test]
fn an_order_selects_by_paths_prefixes_tags_and_routes() {
    let body =
        r#" { "paths": ["/a", "/%7eb/ü"], "prefixes": ["/"], "tags": ["ü, x"], "routes": ["r"], "hard": true } "#;
    let targets = [
        Target::Path("/a".to_owned()),
        Target::Path("/~b/%C3%BC".to_owned()),
        Target::Prefix("/".to_owned()),
        Target::Tag("ü, x".to_owned()),
        Target::Route("r".to_owned()),
    ];
    let expected = targets.map(|target| Invalidation { target, host: Some("site.test".to_owned()), mode: Mode::Hard });
    assert_eq!(ordered(body).unwrap(), expected);
    let soft = ordered(r#"{"paths":["/a"],"host":null,"count":true,"regenerate":true}"#).unwrap();
    assert_eq!(soft.iter().map(|one| one.mode).collect::<Vec<_>>(), [Mode::Soft]);
}

#[test]
fn what_is_no_json_is_malformed() {
    for body in [
        "",
        " ",
        "{",
        "{]",
        "{\"paths\": [\"/a\"",
        "{\"paths\": [\"/a\"]} x",
        "{\"paths\": [\"/a\"],}",
        "{'paths': []}",
        "paths=/a",
        "\u{feff}{}",
        // What comes before is wrong as well, and does not hide it.
        "{\"nothing\": 1",
    ] {
        assert_refused(body, 400, &["not JSON"]);
    }
    assert_refused(&b"{\"paths\": [\"/\xff\"]}"[..], 400, &["not JSON"]);
    assert_refused(&b"\xff\xfe"[..], 400, &["not JSON"]);
}

#[test]
fn what_is_not_asked_for_is_named_with_its_place() {
    for (body, words) in [
        ("[]", vec!["object"]),
        ("[[\"/a\"], [], [], [], null, false, false, false]", vec!["object"]),
        ("null", vec!["object"]),
        ("\"/a\"", vec!["object"]),
        ("{\"path\": \"/a\"}", vec!["`path`", "`paths`"]),
        ("{\"paths\": \"/a\"}", vec!["`paths`", "must be", "not string \"/a\""]),
        ("{\"paths\": [\"/a\", 3]}", vec!["`paths[1]` must be a string", "`3`"]),
        ("{\"paths\": [[\"/a\"]]}", vec!["`paths[0]`"]),
        ("{\"paths\": [\"/\\ud800\"]}", vec!["`paths[0]`", "hex escape"]),
        ("{\"tags\": null}", vec!["`tags`", "null"]),
        ("{\"paths\": [\"/a\"], \"hard\": \"yes\"}", vec!["`hard` must be a boolean", "\"yes\""]),
        ("{\"paths\": [\"/a\"], \"hard\": null}", vec!["`hard`"]),
        ("{\"paths\": [\"/a\"], \"host\": 1}", vec!["`host` must be a string"]),
        ("{\"paths\": [\"/a\"], \"paths\": [\"/b\"]}", vec!["duplicate field `paths`"]),
        ("{\"paths\": [\"/a\"], \"hard\": true, \"hard\": false}", vec!["duplicate field `hard`"]),
        ("{}", vec!["nothing is selected"]),
        ("{\"paths\": [], \"hard\": true}", vec!["nothing is selected"]),
        ("{\"prefixes\": [\"\"]}", vec!["`prefixes[0]`", "begin with `/`"]),
        ("{\"paths\": [\"/a\", \"b\"]}", vec!["`paths[1]`", "`b`"]),
        ("{\"paths\": [\"http://site.test/a\"]}", vec!["`paths[0]`", "begin with `/`"]),
        ("{\"paths\": [\"/a?b\"]}", vec!["`paths[0]`", "`?`"]),
        ("{\"prefixes\": [\"/a#b\"]}", vec!["`prefixes[0]`", "`#`"]),
        ("{\"tags\": [\"a\", \"\"]}", vec!["`tags[1]` is empty"]),
        ("{\"tags\": [\"a\\nb\"]}", vec!["`tags[0]`", "control characters"]),
        ("{\"tags\": [\"\\u0085\"]}", vec!["`tags[0]`", "control characters"]),
        ("{\"tags\": [\"a\"], \"regenerate\": true}", vec!["`regenerate`", "`paths`"]),
        ("{\"paths\": [\"/a\"], \"routes\": [\"r\"], \"regenerate\": true}", vec!["`regenerate`"]),
    ] {
        assert_refused(body, 422, &words);
    }
}

#[test]
fn hostile_bodies_are_refused_briefly() {
    let nested = |open: &str, close: &str| [open.repeat(10_000), close.repeat(10_000)].concat();
    assert_refused(nested("[", "]"), 422, &["object"]);
    assert_refused(nested("{\"a\":[", "]}"), 422, &["unknown field `a`"]);
    assert_refused(format!("{{\"paths\": {}}}", nested("[", "]")), 422, &["`paths[0]`"]);
    assert_refused("[".repeat(500_000), 400, &["not JSON"]);
    let long = "x".repeat(1_000_000);
    assert_refused(format!("{{\"tags\": [\"{long}\"]}}"), 422, &["`tags[0]` is longer"]);
    assert_refused(format!("{{\"paths\": [\"/{long}\"]}}"), 422, &["`paths[0]` is longer"]);
    assert_refused(format!("{{\"paths\": \"{long}\"}}"), 422, &["`paths`"]);
    assert_refused(format!("{{\"{long}\": 1}}"), 422, &["unknown field"]);
    assert_refused(format!("{{\"hard\": {}}}", "1".repeat(100_000)), 422, &["`hard`", "number out of range"]);
    let tags = vec!["\"t\""; 10_000].join(",");
    assert_refused(format!("{{\"tags\": [{tags}]}}"), 422, &["10000 selectors", "1000"]);
    let problem = read::<Asked>(&request(Err(TooLarge))).unwrap_err();
    assert_eq!(problem.told().0, 413);
}

#[test]
fn what_is_just_within_the_limits_is_taken() {
    let texts = |text: &str, count| vec![format!("\"{text}\""); count].join(",");
    assert_eq!(ordered(format!("{{\"tags\": [{}]}}", texts("t", 1000))).unwrap().len(), 1000);
    assert_refused(format!("{{\"tags\": [{}]}}", texts("t", 1001)), 422, &["1001 selectors"]);
    assert!(ordered(format!("{{\"tags\": [\"{}\"]}}", "ü".repeat(256))).is_ok(), "characters, not bytes");
    assert_refused(format!("{{\"tags\": [\"{}\"]}}", "ü".repeat(257)), 422, &["256 characters"]);
    assert!(ordered(format!("{{\"paths\": [\"/{}\"]}}", "x".repeat(8191))).is_ok());
    assert_refused(format!("{{\"paths\": [\"/{}\"]}}", "x".repeat(8192)), 422, &["8 KiB"]);
    let regenerated = |count| format!("{{\"paths\": [{}], \"regenerate\": true}}", texts("/p", count));
    assert_eq!(ordered(regenerated(16)).unwrap().len(), 16);
    assert_refused(regenerated(17), 422, &["16 paths", "17"]);
}

#[test]
fn a_path_is_sent_as_browsers_send_it() {
    for (text, sent) in [
        ("/a~b%2f%zz", "/a~b%2f%zz"),
        ("/ü x", "/%C3%BC%20x"),
        ("/\"<>\\`#", "/%22%3C%3E%5C%60%23"),
        ("/\r\n\0\u{7f}", "/%0D%0A%00%7F"),
    ] {
        assert_eq!(as_sent(text), sent, "{text:?}");
    }
}
