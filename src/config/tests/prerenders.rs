use super::*;
use crate::prerender::Settings;
use semantics::policy::Fallback;
use std::path::Path;
use std::time::Duration;

fn prerender(keys: &str) -> Settings {
    let lines = format!("routes:\n  - {{ match: '/blog/{{slug}}', revalidate: 60s, prerender: {{ {keys} }} }}\n");
    with(&lines).routes[0].prerender.clone().unwrap()
}

fn one_fault(keys: &str, place: &str, words: &str) {
    assert_one_fault(&format!("routes:\n  - {{ match: '/blog/{{slug}}', revalidate: 60s, {keys} }}\n"), place, words);
}

#[test]
fn every_source_and_occasion_is_read() {
    let all = prerender(
        "paths: [/blog/a], file: p.txt, sitemap: /s.xml, json: { url: /j, pointer: '/x/*', to: '/blog/{}' }, \
         on: [activate], every: 10m, concurrency: 9",
    );
    assert_eq!((all.paths, all.sitemap.as_deref()), (vec!["/blog/a".to_owned()], Some("/s.xml")));
    assert_eq!(all.file.as_deref(), Some(Path::new("p.txt")));
    assert_eq!((all.on_start, all.on_activate, all.concurrency), (false, true, 9));
    assert_eq!(all.every, Some(Duration::from_secs(600)));
    assert_eq!(all.json.unwrap().to.render("x").as_deref(), Some("/blog/x"));
}

#[test]
fn by_default_pages_are_generated_at_the_start_and_at_an_activation_four_at_a_time() {
    let all = prerender("paths: [/blog/a]");
    assert_eq!((all.on_start, all.on_activate, all.every, all.concurrency), (true, true, None, 4));
}

#[test]
fn lists_that_name_nothing_or_what_is_not_the_route_s_are_refused() {
    for (keys, place, words) in [
        ("prerender: {}", "4", "names no page"),
        ("prerender: { paths: [] }", "4", "names no page"),
        ("prerender: { paths: [/shop/a] }", "4", "`match` of this route does not match"),
        ("prerender: { paths: [blog] }", "4", "is not a path"),
        ("prerender: { sitemap: sitemap.xml }", "4", "is neither a path nor a URL"),
        ("prerender: { json: { url: /j, pointer: x, to: '/blog/{}' } }", "4", "pointer"),
        ("prerender: { json: { url: /j, pointer: '/x', to: '/blog' } }", "4", "`{}`"),
        ("prerender: { json: { url: /j, pointer: '/x', to: '/shop/{}' } }", "4", "`match` does not match"),
        ("prerender: { paths: [/blog/a], every: 10ms }", "4", "at least `1s`"),
        ("prerender: { paths: [/blog/a], concurrency: 0 }", "4", "whole number from 1"),
        ("prerender: { paths: [/blog/a], on: [noon] }", "4", "`start` or `activate`"),
        ("prerender: { paths: [/blog/a] }, bypass: true", "4", "bypass"),
    ] {
        let lines = format!("routes:\n  - {{ match: '/blog/{{slug}}', {keys} }}\n");
        let faults = wrong_with(&lines);
        assert!(faults.len() == 1 && faults[0].contains(words), "{keys} ({place}): {faults:#?}");
    }
}

#[test]
fn fallbacks_want_what_they_need() {
    let route = |keys: &str| {
        let lines = format!("routes:\n  - {{ match: '/blog/{{slug}}', revalidate: 60s, {keys} }}\n");
        with(&lines).routes[0].policy.fallback.clone()
    };
    assert_eq!(route("fallback: shell, shell: /loading"), Fallback::Shell("/loading".to_owned()));
    assert_eq!(route("fallback: not_found, prerender: { paths: [/blog/a] }"), Fallback::NotFound);
    assert_eq!(route("fallback: blocking"), Fallback::Blocking);
    one_fault("fallback: shell", "4:57", "there is no `shell`");
    one_fault("fallback: not_found", "4:57", "there is no `prerender`");
    one_fault("shell: /x", "4:47", "is for `fallback: shell`");
    let lines = "routes:\n  - { match: /a, fallback: shell, shell: /x }\n";
    assert_one_fault(lines, "4:18", "is for ISR routes");
}

#[test]
fn a_number_of_requests_or_renders_is_at_least_one() {
    one_fault("admit_after: 0", "4:60", "whole number from 1");
    one_fault("renders_per_minute: 0", "4:67", "whole number from 1");
    let config = with("routes:\n  - { match: /a, admit_after: 2, renders_per_minute: 60, refresh_ahead: true }\n");
    let policy = &config.routes[0].policy;
    assert_eq!((policy.admit_after, policy.renders_per_minute, policy.refresh_ahead), (2, Some(60), true));
}
