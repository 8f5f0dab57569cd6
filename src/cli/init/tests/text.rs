//! What is written can be nothing else than what it is.

use super::{Build, lines, options};
use crate::cli::init::text::{comment, duration, quote};
use crate::cli::init::{Options, yaml};
use serde_json::json;

#[test]
fn durations_as_people_write_them() {
    for (seconds, expected) in [
        (1, "1s"),
        (60, "60s"),
        (61, "61s"),
        (90, "90s"),
        (120, "2m"),
        (900, "15m"),
        (3_600, "1h"),
        (5_400, "90m"),
        (86_400, "1d"),
        (31_536_000, "365d"),
    ] {
        assert_eq!(duration(seconds), expected);
    }
}

#[test]
fn quoted_texts() {
    for (text, expected) in [
        ("/a b: #c", r#""/a b: #c""#),
        ("a\"b\\c", r#""a\"b\\c""#),
        ("a\nb\tc\r\0", r#""a\nb\tc\x0d\x00""#),
        ("ü\u{85}\u{2028}\u{feff}😀", r#""\xfc\x85\u2028\ufeff\U0001f600""#),
        ("${HOME} $x {y}", r#""\x24{HOME} $x {y}""#),
    ] {
        assert_eq!(quote(text), expected);
    }
}

#[test]
fn comments_stay_comments() {
    let text = comment(2, "a\nroutes: []\r\u{85}b \u{2028}listen: x");
    assert_eq!(text, "  # a routes: []??b ?listen: x\n");
    let long = comment(0, &"word ".repeat(100));
    assert!(long.lines().all(|line| line.starts_with("# ") && line.len() <= 112), "{long}");
    assert_eq!(comment(0, ""), "#\n");
}

const HOSTILE: [&str; 6] =
    ["/a\"\nroutes: []\n#", "/x: &y !!z", "/\u{0}\u{1b}[2J\u{85}\u{2028}", "/${HOME}", "/[a\"\nb: c]", "/*/{x}/?q#f"];

#[test]
fn names_of_pages_cannot_become_yaml() {
    let mut build = Build::new().file("BUILD_ID", "a\"\nlisten: 0.0.0.0:1\r\u{2028}").proxy("/p\"\nx: y");
    for name in HOSTILE {
        let fixed = format!("{name}fixed");
        let shell = json!({ "fallback": name });
        build = build.prerendered(name, name, 60).prerendered(&fixed, &fixed, false).dynamic(name, shell);
        let (page, path) = (format!("{name}/[...x]"), format!("{name}/y"));
        build = build.prerendered(&path, &page, 60).dynamic(&page, json!({ "fallback": false }));
    }
    let text = yaml(&build.read().unwrap(), &options());
    assert!(text.chars().all(|c| matches!(c, ' '..='~' | '\n')), "{text}");
    let keys = [
        "- match: \"/",
        "- name: \"/",
        "match: \"/",
        "match:",
        "revalidate: 60s",
        "expire: 365d",
        "tags: [\"",
        "- \"/",
    ];
    let more = [
        "fallback: not_found",
        "prerender:",
        "paths:",
        "listen: \"127",
        "- name: \"by-headers\"",
        "revalidate: origin",
        "origin: \"http",
        "routes:",
    ];
    for line in lines(&build) {
        let trimmed = line.trim_start();
        assert!(keys.iter().chain(&more).any(|key| trimmed.starts_with(key)), "{line}");
    }
    for pattern in ["/a%22%0Aroutes:%20[]", "/x:%20&y%20!!z"] {
        let pattern = pattern.replace("[]", "%5B%5D");
        assert!(text.contains(&format!("\"{pattern}")), "{pattern}: {text}");
    }
}

#[test]
fn options_cannot_become_yaml() {
    let options = Options { origin: "http://x\nadmin: y".to_owned(), listen: "\" #".to_owned() };
    let text = yaml(&Build::new().read().unwrap(), &options);
    assert!(text.contains(r#"origin: "http://x\nadmin: y""#) && text.contains(r#"listen: "\" #""#), "{text}");
}
