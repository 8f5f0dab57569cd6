//! Which URLs are the same to a response with No-Vary-Search (draft-ietf-httpbis-no-vary-search, 4 to 6).

use proptest::prelude::*;
use semantics::no_vary_search::Variance;

fn parse(field: &str) -> Option<Variance> {
    Variance::parse([field.as_bytes()])
}

#[test]
fn two_queries_are_the_same_if_what_matters_is() {
    // A field, two queries, whether they are the same.
    let rows: &[(&str, &str, &str, bool)] = &[
        ("params", "", "a=1&b=2", true),
        ("params=?1", "a=1", "a=2", true),
        ("params, except=(\"id\")", "id=1&utm=x", "utm=y&id=1", true),
        ("params, except=(\"id\")", "id=1", "id=2", false),
        ("params, except=(\"id\")", "id=1", "", false),
        ("params, except=()", "a=1", "b=2", true),
        ("params=(\"utm\" \"ref\")", "a=1&utm=x", "ref=z&a=1", true),
        ("params=(\"utm\")", "a=1&utm=x", "a=2&utm=x", false),
        ("params=(\"utm\")", "a=1&b=2", "b=2&a=1", false),
        ("params=(\"utm\")", "utm", "", true),
        ("params=(\"utm\")", "UTM=1", "", false),
        ("params=(\"utm\")", "utm=1", "utm=1&utm=2", true),
        ("key-order", "a=1&b=2", "b=2&a=1", true),
        ("key-order", "a=1&a=2", "a=2&a=1", false),
        ("key-order", "a=1&b=2&a=3", "b=2&a=1&a=3", true),
        ("key-order, params=(\"c\")", "a=1&b=2&c=3", "b=2&a=1", true),
        ("params=(\"a b\")", "a+b=1", "", true),
        ("params=(\"a+b\")", "a%20b=1", "", true),
        ("params=(\"%C3%A9\")", "%c3%a9=1", "", true),
        ("params=(\"q\\\"q\")", "q%22q=1", "", true),
        ("params=(\"x\")", "a=%20", "a=+", true),
        ("params=(\"x\")", "a", "a=", true),
        ("params=(\"x\")", "&&a=1&", "a=1", true),
        ("params=(\"x\")", "a=%zz", "a=%ZZ", false),
        ("params=(\"x\");p=1, other=1.5", "x=1", "", true),
    ];
    for (field, a, b, expected) in rows {
        let variance = parse(field).unwrap_or_else(|| panic!("`{field}` says nothing"));
        assert_eq!(variance.essence(Some(a)) == variance.essence(Some(b)), *expected, "{field}: ?{a} and ?{b}");
    }
    assert_eq!(parse("params").unwrap().essence(None), parse("params").unwrap().essence(Some("a=1")));
}

#[test]
fn what_is_malformed_or_says_nothing_is_as_if_it_were_not_there() {
    for field in [
        "",
        "params=?0",
        "params=()",
        "key-order=?0",
        "key-order=1",
        "key-order=(\"a\")",
        "params=1",
        "params=\"a\"",
        "params=(a)",
        "params=(\"a\" 1)",
        "except=(\"a\")",
        "params=?0, except=(\"a\")",
        "params=(\"a\"), except=(\"b\")",
        "params, except=1",
        "params, except=(a)",
        "params, except=\"a\"",
        "Params",
        "params,",
        "params=(\"a\"",
        "params=(\"\u{e9}\")",
        "unknown",
    ] {
        assert_eq!(parse(field), None, "`{field}`");
    }
    assert_eq!(Variance::parse([]), None);
    assert_eq!(Variance::parse([&b"params"[..], b""]), None, "an empty line is a comma too many");
    assert!(Variance::parse([&b"params"[..], b"key-order"]).is_some(), "lines are one list");
    assert_eq!(parse("params, params=?0"), None, "the last one counts");
}

proptest! {
    #[test]
    fn what_matters_is_never_merged(a in "[ab]=[0-9]{1,2}(&[abx]=[0-9]{0,2}){0,3}", b in "[ab]=[0-9]{1,2}(&[abx]=[0-9]{0,2}){0,3}") {
        let variance = parse("params=(\"x\")").unwrap();
        let kept = |q: &str| -> Vec<String> { q.split('&').filter(|p| !p.starts_with("x=")).map(str::to_owned).collect() };
        prop_assert_eq!(variance.essence(Some(&a)) == variance.essence(Some(&b)), kept(&a) == kept(&b));
    }
}
