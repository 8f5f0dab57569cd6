use super::*;

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).unwrap()
}

#[test]
fn a_pattern_matches_these_paths_and_not_those() {
    let table: [(&str, &[&str], &[&str]); 13] = [
        ("/", &["/"], &["/x", "//", "", "x"]),
        ("/x", &["/x"], &["/", "/x/", "/X", "/xy", "/x/y"]),
        ("/x/", &["/x/"], &["/x", "/x/y", "/x//"]),
        ("/*", &["/x", "/y.html"], &["/", "/x/", "/x/y"]),
        ("/x/*", &["/x/a"], &["/x", "/x/", "/x/a/", "/x/a/b"]),
        ("/x/*/z", &["/x/y/z"], &["/x//z", "/x/z", "/x/y/y/z"]),
        ("/blog/{slug}", &["/blog/hello", "/blog/h%C3%A9"], &["/blog", "/blog/", "/blog/a/b", "/Blog/a"]),
        ("/{lang}/docs/{page}", &["/en/docs/a"], &["/docs/a", "/en/docs/", "/en/doc/a"]),
        ("/**", &["/", "/x", "/x/", "/x/y/z"], &["", "*"]),
        ("/x/**", &["/x", "/x/", "/x/a/b", "/x/a/"], &["/", "/xy", "/y/x"]),
        ("/x/*/**", &["/x/a", "/x/a/", "/x/a/b/c"], &["/x", "/x/"]),
        ("/caf\u{e9}", &["/caf%C3%A9", "/caf%c3%a9", "/caf\u{e9}", "/%63af%C3%A9"], &["/cafe", "/caf%C3"]),
        ("/a%7eb%41/c%2Bd", &["/a~bA/c%2Bd", "/a~bA/c%2bd", "/a%7EbA/%63%2bd"], &["/a~bA/c+d", "/a~bA/c%252Bd"]),
    ];
    for (text, these, those) in table {
        for path in these {
            assert!(pattern(text).matches(path), "{text} matches {path}");
        }
        for path in those {
            assert!(!pattern(text).matches(path), "{text} does not match {path}");
        }
    }
}

#[test]
fn a_pattern_that_cannot_be_meant_is_refused_with_the_reason() {
    for (text, reason) in [
        ("", "begin with `/`"),
        ("blog/*", "begin with `/`"),
        ("/a//b", "`//`"),
        ("/a/../b", "`..`"),
        ("/a/%2e%2E/b", "`..`"),
        ("/a/./b", "`.`"),
        ("/a%2fb", "`%2f`"),
        ("/a%5Cb", "`%5c`"),
        ("/a\\b", "`\\`"),
        ("/a;b", "`;`"),
        ("/**/b", "after `**`"),
        ("/**/", "after `**`"),
        ("/a*", "whole"),
        ("/***", "whole"),
        ("/{slug}.html", "whole"),
        ("/{}", "name"),
        ("/{1st}", "name"),
        ("/{a b}", "name"),
        ("/{a}/{a}", "twice"),
        ("/[slug]", "`{slug}`"),
        ("/[...slug]", "`**`"),
        ("/a?b=c", "path alone"),
        ("/a b", "path alone"),
    ] {
        let refused = Pattern::parse(text).unwrap_err();
        assert!(refused.contains(reason), "{text}: {refused}");
    }
}

#[test]
fn ambiguous_paths_are_known() {
    for path in
        ["//", "/a//b", "/a/..", "/../a", "/a/%2e%2e/b", "/./a", "/a%2Fb", "/a%2fb", "/a%5cb", "/a\\b", "/a;b=c"]
    {
        assert!(is_ambiguous(path), "{path}");
    }
    for path in ["/", "/a", "/a/", "/a..b/c", "/.well-known/x", "/a/...", "/a%20b", "/a%252Fb", "/%2"] {
        assert!(!is_ambiguous(path), "{path}");
    }
}

#[test]
fn framework_folders_are_known() {
    for path in ["/_next/static/a.js", "/_nuxt/a.js", "/_app/immutable/a.js", "/%5Fnext/data", "/_next/"] {
        assert!(is_framework_internal(path), "{path}");
    }
    for path in ["/", "/_next", "/_nextra/a", "/a/_next/b", "/next/a"] {
        assert!(!is_framework_internal(path), "{path}");
    }
    assert!(pattern("/_next/image").spells_internals());
    assert!(pattern("/_next/**").spells_internals());
    assert!(!pattern("/**").spells_internals());
    assert!(!pattern("/{any}/image").spells_internals());
}

#[test]
fn one_pattern_covers_another_when_it_matches_all_that_the_other_matches() {
    let table = [
        ("/**", "/**", true),
        ("/**", "/", true),
        ("/**", "/a/{b}/**", true),
        ("/a/**", "/a", true),
        ("/a/**", "/a/", true),
        ("/a/**", "/a/*/c", true),
        ("/a/**", "/b", false),
        ("/a/**", "/*", false),
        ("/*", "/{name}", true),
        ("/*", "/a", true),
        ("/*", "/", false),
        ("/*", "/**", false),
        ("/a", "/a/**", false),
        ("/a/*", "/a/**", false),
        ("/a/*/**", "/a/**", false),
        ("/a/*/**", "/a/b", true),
        ("/{a}/b", "/x/b", true),
        ("/x/b", "/{a}/b", false),
        ("/a%62", "/ab", true),
    ];
    for (mine, theirs, expected) in table {
        assert_eq!(pattern(mine).covers(&pattern(theirs)), expected, "{mine} covers {theirs}");
    }
}

fn matcher(patterns: &[&str], hosts: &[&str], methods: &[&str]) -> Matcher {
    let owned = |list: &[&str]| list.iter().map(|one| (*one).to_owned()).collect();
    Matcher { patterns: patterns.iter().map(|p| pattern(p)).collect(), hosts: owned(hosts), methods: owned(methods) }
}

#[test]
fn a_matcher_asks_for_method_host_and_path() {
    let matcher = matcher(&["/a", "/b/**"], &["www.example.com"], &["GET", "HEAD"]);
    assert!(matcher.matches("GET", "www.example.com", "/b/c"));
    assert!(matcher.matches("HEAD", "WWW.example.com", "/a"));
    assert!(matcher.matches("GET", "www.example.com:8080", "/a"));
    assert!(!matcher.matches("POST", "www.example.com", "/a"));
    assert!(!matcher.matches("GET", "example.com", "/a"));
    assert!(!matcher.matches("GET", "www.example.com", "/c"));
}

#[test]
fn a_matcher_covers_another_only_if_hosts_methods_and_patterns_do() {
    let all = matcher(&["/**"], &[], &[]);
    let get = matcher(&["/a", "/b"], &[], &["GET"]);
    let host = matcher(&["/**"], &["a.example", "b.example"], &[]);
    assert!(all.covers(&get) && all.covers(&host) && all.covers(&all));
    assert!(!get.covers(&all) && !host.covers(&get));
    assert!(host.covers(&matcher(&["/x"], &["a.example"], &["GET"])));
    assert!(!host.covers(&matcher(&["/x"], &["a.example", "c.example"], &[])));
    assert!(matcher(&["/a", "/b"], &[], &[]).covers(&get));
    assert!(!matcher(&["/a"], &[], &[]).covers(&get));
}
