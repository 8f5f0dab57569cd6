use super::{Pointer, PointerError, Template};
use serde_json::{Value, json};

fn select<'v>(pointer: &str, document: &'v Value) -> Result<Vec<&'v str>, PointerError> {
    Pointer::parse(pointer).expect(pointer).select(document)
}

fn nothing(at: &str) -> Result<Vec<&'static str>, PointerError> {
    Err(PointerError::Nothing { at: at.to_owned() })
}

#[test]
fn a_pointer_finds_members_and_elements_as_rfc_6901_has_it() {
    // The document of RFC 6901, section 5, with strings for numbers.
    let document = json!({
        "foo": ["bar", "baz"], "": "0", "a/b": "1", "c%d": "2", "e^f": "3", "g|h": "4", "i\\j": "5", "k\"l": "6",
        " ": "7", "m~n": "8",
    });
    for (pointer, expected) in [
        ("/foo/0", "bar"),
        ("/foo/1", "baz"),
        ("/", "0"),
        ("/a~1b", "1"),
        ("/c%d", "2"),
        ("/e^f", "3"),
        ("/g|h", "4"),
        ("/i\\j", "5"),
        ("/k\"l", "6"),
        ("/ ", "7"),
        ("/m~0n", "8"),
    ] {
        assert_eq!(select(pointer, &document), Ok(vec![expected]), "{pointer}");
    }
}

#[test]
fn escapes_are_resolved_once() {
    let document = json!({"~1": "tilde one", "/": "slash"});
    assert_eq!(select("/~01", &document), Ok(vec!["tilde one"]));
    assert_eq!(select("/~1", &document), Ok(vec!["slash"]));
}

#[test]
fn the_empty_pointer_is_the_whole_document() {
    assert_eq!(select("", &json!("all")), Ok(vec!["all"]));
    assert_eq!(select("", &json!({"a": 1})), Err(PointerError::NotAString { index: 0, is: "an object" }));
}

#[test]
fn a_star_is_every_element_and_every_member() {
    let posts = json!({"posts": [{"slug": "a"}, {"slug": "b"}]});
    assert_eq!(select("/posts/*/slug", &posts), Ok(vec!["a", "b"]));
    let by_id = json!({"1": {"slug": "a"}, "2": {"slug": "b"}});
    assert_eq!(select("/*/slug", &by_id), Ok(vec!["a", "b"]));
    assert_eq!(select("/*/*", &json!([["a"], [], ["b", "c"]])), Ok(vec!["a", "b", "c"]));
}

#[test]
fn elements_without_the_rest_of_the_pointer_are_left_out() {
    let posts = json!([{"slug": "a"}, {"draft": true}, "text", {"slug": "b"}]);
    assert_eq!(select("/*/slug", &posts), Ok(vec!["a", "b"]));
}

#[test]
fn a_star_is_a_star_only_alone() {
    assert_eq!(select("/a*", &json!({"a*": "x", "ab": "y"})), Ok(vec!["x"]));
}

#[test]
fn a_pointer_to_nothing_says_how_far_it_got() {
    let document = json!({"data": {"a/b": [{"id": 1}], "none": []}});
    assert_eq!(select("/date/x", &document), nothing(""));
    assert_eq!(select("/data/x", &document), nothing("/data"));
    assert_eq!(select("/data/a~1b/*/slug", &document), nothing("/data/a~1b/*"));
    assert_eq!(select("/data/none/*/slug", &document), nothing("/data/none"));
    assert_eq!(select("/data/a~1b/0/id/x", &document), nothing("/data/a~1b/0/id"));
}

#[test]
fn an_element_is_named_by_a_plain_number() {
    let document = json!(["a", "b"]);
    for pointer in ["/2", "/-", "/01", "/+1", "/-1", "/1.0", "/", "/99999999999999999999999999", "/\u{0661}"] {
        assert_eq!(select(pointer, &document), nothing(""), "{pointer}");
    }
}

#[test]
fn what_is_no_string_is_refused_with_its_place_and_kind() {
    for (value, is) in [
        (json!(null), "null"),
        (json!(true), "a boolean"),
        (json!(7), "a number"),
        (json!([]), "an array"),
        (json!({}), "an object"),
    ] {
        let document = json!(["a", value, "c"]);
        assert_eq!(select("/*", &document), Err(PointerError::NotAString { index: 1, is }));
    }
}

#[test]
fn a_pointer_that_cannot_be_meant_is_refused() {
    for text in ["a", "posts/*", "*", "#/a", "/a~", "/a~2", "/~/b", "/a~~0"] {
        assert!(Pointer::parse(text).is_err(), "{text}");
    }
    assert_eq!(Pointer::parse("a/b"), Err("a JSON pointer begins with `/` (or is empty): `/a/b`?".to_owned()));
}

#[test]
fn errors_of_pointers_are_written_for_people() {
    let nothing = |at: &str| PointerError::Nothing { at: at.to_owned() }.to_string();
    assert!(nothing("").contains("the document has no part of it"), "{}", nothing(""));
    assert!(nothing("/data").contains("the document has `/data`"), "{}", nothing("/data"));
    let error = PointerError::NotAString { index: 3, is: "an object" }.to_string();
    assert!(error.contains("number 3") && error.contains("an object"), "{error}");
}

fn render(template: &str, value: &str) -> Option<String> {
    Template::parse(template).expect(template).render(value)
}

#[test]
fn a_value_becomes_one_segment_whatever_is_in_it() {
    for (value, path) in [
        ("hello", "/blog/hello"),
        ("AZaz09-._~", "/blog/AZaz09-._~"),
        ("a/b", "/blog/a%2Fb"),
        ("../../etc", "/blog/..%2F..%2Fetc"),
        ("a b?c#d", "/blog/a%20b%3Fc%23d"),
        ("100%", "/blog/100%25"),
        ("%2F", "/blog/%252F"),
        ("%2e", "/blog/%252e"),
        ("grüße", "/blog/gr%C3%BC%C3%9Fe"),
        ("a\r\nb\0", "/blog/a%0D%0Ab%00"),
        ("!$&'()*+,;=:@\\", "/blog/%21%24%26%27%28%29%2A%2B%2C%3B%3D%3A%40%5C"),
        ("...", "/blog/..."),
        ("{}", "/blog/%7B%7D"),
    ] {
        assert_eq!(render("/blog/{}", value).as_deref(), Some(path), "{value:?}");
    }
}

#[test]
fn the_gap_may_be_a_part_of_a_segment_and_in_the_middle() {
    assert_eq!(render("/blog/{}.html", "a").as_deref(), Some("/blog/a.html"));
    assert_eq!(render("/post-{}/comments", "a").as_deref(), Some("/post-a/comments"));
    assert_eq!(render("/{}", "a").as_deref(), Some("/a"));
    assert_eq!(render("/b%C3%BCcher/{}", "a").as_deref(), Some("/b%C3%BCcher/a"));
}

#[test]
fn no_path_climbs_out_of_its_folder() {
    for value in ["", ".", ".."] {
        assert_eq!(render("/blog/{}", value), None, "{value:?}");
        assert_eq!(render("/blog/{}.html", value), None, "{value:?}");
    }
    for template in ["/blog/.{}", "/blog/{}.", "/blog/%2e{}", "/blog/{}%2E/x"] {
        assert_eq!(render(template, "."), None, "{template}");
        assert!(render(template, "a").is_some(), "{template}");
    }
}

#[test]
fn a_template_that_is_no_path_with_one_gap_is_refused() {
    for text in [
        "",
        "blog/{}",
        "https://example.com/{}",
        "//example.com/{}",
        "/blog",
        "/{}/{}",
        "/{}{}",
        "/{slug}",
        "/{{}}",
        "/{}}",
        "/a b/{}",
        "/bücher/{}",
        "/\\{}",
        "/blog?id={}",
        "/{}#top",
        "/{}?x",
        "/a/../{}",
        "/./{}",
        "/%2E%2e/{}",
        "/{}/..",
        "/%{}",
        "/%4{}",
        "/%zz/{}",
        "/%C3%B/{}",
        "/a\n{}",
    ] {
        assert!(Template::parse(text).is_err(), "{text:?}");
    }
}
