//! Which URLs are one page: the normal form of a path, and the data URLs of frameworks (semantics 40 and 44).

use proptest::prelude::*;
use semantics::page::{normal, pages_of};

#[test]
fn paths_that_mean_the_same_have_one_normal_form() {
    for (label, path, expected) in [
        ("nothing to do", "/blog/a-b_c.d~e", "/blog/a-b_c.d~e"),
        ("unreserved characters", "/%62lo%67/%7Ea%2d", "/blog/~a-"),
        ("case of escapes", "/a%2fb%c3%a9", "/a%2Fb%C3%A9"),
        ("outside ASCII", "/caf\u{e9}", "/caf%C3%A9"),
        ("spaces and controls", "/a b\t\u{7f}", "/a%20b%09%7F"),
        ("reserved characters stay", "/a+b,c;d=e:f@g!h", "/a+b,c;d=e:f@g!h"),
        ("and so do their escapes", "/a%2Bb%3B", "/a%2Bb%3B"),
        ("decoded once", "/a%2541", "/a%2541"),
        ("a `%` without an escape", "/100%/%4/%zz", "/100%25/%254/%25zz"),
        ("nor one made of what follows", "/%%341", "/%2541"),
        ("case of letters", "/Blog", "/Blog"),
        ("a slash at the end", "/blog/", "/blog/"),
        ("an escaped dot", "/%2e%2E/a", "/../a"),
    ] {
        assert_eq!(normal(path), expected, "{label}: {path}");
    }
}

/// Labels, paths as received, and the pages behind them.
type Rows<'a> = &'a [(&'a str, &'a str, &'a [&'a str])];

fn check(rows: Rows<'_>) {
    for (label, path, behind) in rows {
        let pages = pages_of(path);
        assert_eq!(pages[0], normal(path), "{label}: {path} selects itself");
        assert_eq!(pages[1..], **behind, "{label}: {path}");
    }
}

#[test]
fn a_data_url_of_next_selects_its_page_with_and_without_a_slash() {
    check(&[
        ("Pages Router", "/_next/data/b-1/blog/a.json", &["/blog/a", "/blog/a/"]),
        ("the root", "/_next/data/b-1/index.json", &["/"]),
        ("a page called index", "/_next/data/b-1/index/index.json", &["/index", "/index/"]),
        ("a page below one called index", "/_next/data/b-1/index/index/a.json", &["/index/a", "/index/a/"]),
        ("a name that only begins so", "/_next/data/b-1/indexes.json", &["/indexes", "/indexes/"]),
        ("a locale", "/_next/data/b-1/de.json", &["/de", "/de/"]),
        ("in normal form", "/%5Fnext/data/b-1/caf%c3%a9.json", &["/caf%C3%A9", "/caf%C3%A9/"]),
        ("App Router", "/blog/a.rsc", &["/blog/a", "/blog/a/"]),
        ("its root", "/index.rsc", &["/"]),
        ("a prefetch", "/blog/a.prefetch.rsc", &["/blog/a", "/blog/a/"]),
        ("the root's prefetch", "/index.prefetch.rsc", &["/"]),
        ("a segment", "/blog/a.segments/_tree.segment.rsc", &["/blog/a", "/blog/a/"]),
        ("a deep segment", "/a.segments/$d$slug/__PAGE__.segment.rsc", &["/a", "/a/"]),
        ("the root's segment", "/index.segments/_full.segment.rsc", &["/"]),
        ("a page with such a name", "/a.segment.rsc", &["/a.segment", "/a.segment/"]),
    ]);
}

#[test]
fn a_data_url_of_other_frameworks_selects_its_page_with_and_without_a_slash() {
    check(&[
        ("SvelteKit", "/blog/a/__data.json", &["/blog/a", "/blog/a/"]),
        ("its root", "/__data.json", &["/"]),
        ("its page with a suffix", "/a.html__data.json", &["/a.html", "/a.html/"]),
        ("React Router", "/blog/a.data", &["/blog/a", "/blog/a/"]),
        ("its root", "/_root.data", &["/"]),
        ("its root below a base", "/shop/_root.data", &["/shop", "/shop/"]),
        ("where slashes count", "/blog/_.data", &["/blog", "/blog/"]),
        ("the root where slashes count", "/_.data", &["/"]),
        ("with server components", "/_root.rsc", &["/"]),
        ("and where slashes count", "/blog/_.rsc", &["/blog", "/blog/"]),
        ("Nuxt", "/blog/a/_payload.json", &["/blog/a", "/blog/a/"]),
        ("its root", "/_payload.json", &["/"]),
        ("without JSON", "/blog/a/_payload.js", &["/blog/a", "/blog/a/"]),
    ]);
}

#[test]
fn any_other_path_selects_itself_alone() {
    for path in [
        "/",
        "/blog/a",
        "/blog/a/",
        "/blog/a.json",
        "/index",
        "/_next/data/b-1",
        "/_next/data/b-1/",
        "/_next/data/a.json",
        "/_next/data/b-1/a.js",
        "/_next/data/b-1/.json",
        "/_next/static/a.json",
        "/a__data.json",
        "/a/__data.json/b",
        "/my_payload.json",
        "/.data",
        "/blog/.data",
        "/blog/.rsc",
        "/a.rsc/b",
        "/A.RSC",
    ] {
        check(&[("no data URL", path, &[])]);
    }
}

proptest! {
    #[test]
    fn a_normal_form_is_printable_ascii_and_its_own(path in "/([a%/._4 \u{e9}]|%[0-9a-fA-F]{2}|\\PC){0,40}") {
        let once = normal(&path);
        prop_assert!(once.bytes().all(|b| b.is_ascii_graphic()), "{}", once);
        prop_assert_eq!(normal(&once), once);
    }

    #[test]
    fn pages_are_few_and_in_normal_form(
        path in "(/_next/data/b)?(/(index|_root|_|%5f|a|caf\u{e9})?){1,3}(\\.html)?(\\.segments/a\\.segment)?\
                 (/?__data\\.json|/_payload\\.json|\\.json|\\.rsc|\\.data|/)?",
    ) {
        let pages = pages_of(&path);
        prop_assert!((1..=3).contains(&pages.len()), "{:?}", pages);
        for page in &pages {
            prop_assert_eq!(normal(page), page.clone());
        }
        for page in &pages[1..] {
            prop_assert!(page.starts_with('/') && !page.ends_with("//"), "{:?}", pages);
        }
    }
}
