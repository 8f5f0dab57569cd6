use super::*;
use semantics::guard::{Guard, MAX_TEXT, MAX_TEXTS};

fn guard(keys: &str) -> Guard {
    let config = with(&format!("routes:\n  - {{ match: /a, revalidate: 60s, guard: {{ {keys} }} }}\n"));
    config.routes[0].policy.guard.clone()
}

#[test]
fn every_guard_reaches_the_policy() {
    let written = "min_bytes: 4KiB, max_shrink: 50%, must_contain: [\"</html>\", \"<main\"], \
                   must_not_contain: [Application error], content_type: Text/HTML";
    let expected = Guard {
        min_bytes: 4_096,
        max_shrink: Some(50),
        must_contain: vec!["</html>".to_owned(), "<main".to_owned()],
        must_not_contain: vec!["Application error".to_owned()],
        content_type: Some("Text/HTML".to_owned()),
    };
    assert_eq!(guard(written), expected);
}

#[test]
fn without_a_guard_everything_passes() {
    assert_eq!(guard(""), Guard::default());
    let config = with("routes:\n  - { match: /a, revalidate: 60s }\n");
    assert_eq!((&config.routes[0].policy.guard, &config.unmatched.guard), (&Guard::default(), &Guard::default()));
}

#[test]
fn a_share_is_written_in_whole_percent() {
    for (written, percent) in [("1%", 1), ("9%", 9), ("10%", 10), ("99%", 99), ("'50%'", 50)] {
        assert_eq!(guard(&format!("max_shrink: {written}")).max_shrink, Some(percent), "{written}");
    }
    let none = "routes: [{ match: /a, guard: { max_shrink: 0% } }]\n";
    assert_one_fault(none, "3:44", "`routes[0].guard.max_shrink` must be a percentage from `1%` to `99%`");
    for written in ["100%", "050%", "12.5%", "+5%", "-5%", "300%", "'%'", "half", "'50'", "'50 %'", "'50%%'"] {
        let lines = format!("routes: [{{ match: /a, guard: {{ max_shrink: {written} }} }}]\n");
        assert_one_fault(&lines, "3:44", "`routes[0].guard.max_shrink` must be a percentage from `0%` to `99%`");
    }
    let bare = "routes: [{ match: /a, guard: { max_shrink: 50 } }]\n";
    assert_one_fault(bare, "3:44", "not the number `50` (with its sign: `50%`?)");
}

#[test]
fn the_guard_of_the_defaults_is_every_routes_until_it_has_its_own() {
    let config = with(
        "defaults: { guard: { min_bytes: 512, content_type: text/html } }\n\
         routes:\n  - { match: /a, revalidate: 60s }\n  - { match: /b, guard: { max_shrink: 9% } }\n  \
         - { match: /c, guard: {} }\n",
    );
    let inherited = Guard { min_bytes: 512, content_type: Some("text/html".to_owned()), ..Guard::default() };
    let own = Guard { max_shrink: Some(9), ..Guard::default() };
    let of = |at: usize| config.routes[at].policy.guard.clone();
    assert_eq!((of(0), config.unmatched.guard.clone()), (inherited.clone(), inherited));
    assert_eq!((of(1), of(2)), (own, Guard::default()), "as a whole: a guard is one key");
}

#[test]
fn guards_that_mean_nothing_are_refused_where_they_stand() {
    for (keys, place, words) in [
        ("must_contain: ['']", "3:47", "`routes[0].guard.must_contain[0]` is empty, and every page has that in it"),
        ("must_not_contain: [a, '']", "3:54", "`routes[0].guard.must_not_contain[1]` is empty"),
        (
            "must_contain: [x, </html>], must_not_contain: [html]",
            "3:79",
            "`routes[0].guard.must_not_contain[0]` stands in `must_contain[1]`: no page could have the one without \
             the other (remove one of them)",
        ),
        ("content_type: html", "3:46", "is not a media type: `html` (for example `text/html`)"),
        ("content_type: ''", "3:46", "is not a media type: ``"),
        ("content_type: text/", "3:46", "is not a media type: `text/`"),
        ("content_type: text/*", "3:46", "is not a media type: `text/*`"),
        (
            "content_type: text/html; charset=utf-8",
            "3:46",
            "is not a media type: `text/html; charset=utf-8` (write `text/html`: a page may have any parameters)",
        ),
        ("min_bytes: 1KB", "3:43", "`routes[0].guard.min_bytes` must be a size"),
        ("must_contain: </html>", "3:46", "must be a list, not `</html>`"),
        ("min_byte: 1", "3:32", "unknown key `min_byte` in `routes[0].guard` (did you mean `min_bytes`?)"),
    ] {
        assert_one_fault(&format!("routes: [{{ match: /a, guard: {{ {keys} }} }}]\n"), place, words);
    }
}

#[test]
fn a_guard_looks_for_so_many_texts_and_so_long_ones_and_no_more() {
    let texts = |count: usize, length: usize| {
        let each: Vec<String> = (0..count).map(|n| format!("{n:0length$}")).collect();
        format!("defaults: {{ guard: {{ must_contain: ['{}'] }} }}\n", each.join("', '"))
    };
    with(&texts(MAX_TEXTS, MAX_TEXT));
    assert_one_fault(
        &texts(MAX_TEXTS + 1, 2),
        "3:36",
        "`defaults.guard.must_contain` are 17 texts, and 16 are the most",
    );
    assert_one_fault(
        &texts(1, MAX_TEXT + 1),
        "3:37",
        "`defaults.guard.must_contain[0]` is 1025 bytes long, and 1KiB are the most",
    );
}

#[test]
fn a_fault_of_the_defaults_is_told_once() {
    let lines = "defaults: { guard: { must_contain: [''] } }\nroutes: [{ match: /a }, { match: /b }]\n";
    assert_one_fault(lines, "3:37", "`defaults.guard.must_contain[0]` is empty");
}
