use super::*;
use semantics::Policy;
use semantics::policy::{NamePattern, OnUncacheable, QueryRule, Revalidate, SetCookie};

fn route(keys: &str) -> Policy {
    with(&format!("routes:\n  - {{ match: /a, {keys} }}\n")).routes[0].policy.clone()
}

#[test]
fn a_window_makes_an_isr_route() {
    let policy = route("revalidate: 60s");
    assert_eq!(policy.revalidate, Revalidate::Every(seconds(60)));
    assert_eq!((policy.set_cookie, policy.on_uncacheable), (SetCookie::Strip, OnUncacheable::Keep));
    assert_eq!((policy.query, policy.expire), (QueryRule::Only(Vec::new()), seconds(365 * 86_400)));
    assert_eq!(policy.browser_cache_control.as_deref(), Some("public, max-age=0, must-revalidate"));
    assert_eq!(route("revalidate: never").revalidate, Revalidate::Never);
}

#[test]
fn a_route_without_a_window_goes_by_the_origins_headers() {
    for keys in ["revalidate: origin", "name: x"] {
        let policy = route(keys);
        assert_eq!(policy.revalidate, Revalidate::Origin);
        assert_eq!((policy.set_cookie, policy.on_uncacheable), (SetCookie::Bypass, OnUncacheable::Drop));
        assert_eq!((policy.query, policy.browser_cache_control), (QueryRule::AllButTracking, None));
    }
}

#[test]
fn every_key_of_a_route_reaches_its_policy() {
    let policy = route(
        "revalidate: 1m, expire: 2h, stale_if_error: 3d, key: { query: [page], headers: [X-Lang], cookies: [ab] }, \
         forward_headers: [X-Trace], ignore_cookies: ['_x*', y], keep_on: [404, 410], set_cookie: bypass, \
         on_uncacheable: drop, override_origin: true, \
         bypass_when: { cookies: [session], headers: [X-Preview], query: [draft] }, \
         response_headers: { X-Frame-Options: DENY }, browser_cache_control: no-cache",
    );
    assert_eq!((policy.expire, policy.stale_if_error), (seconds(7_200), Some(seconds(259_200))));
    assert_eq!(policy.query, QueryRule::Only(vec!["page".to_owned()]));
    assert_eq!((policy.key_headers, policy.key_cookies), (vec!["x-lang".to_owned()], vec!["ab".to_owned()]));
    assert_eq!(policy.forward_headers, ["x-trace"]);
    assert_eq!(policy.ignore_cookies, [NamePattern::parse("_x*"), NamePattern::parse("y")]);
    assert_eq!(policy.keep_on, [404, 410]);
    assert_eq!((policy.set_cookie, policy.on_uncacheable), (SetCookie::Bypass, OnUncacheable::Drop));
    assert!(policy.override_origin && !policy.bypass);
    assert_eq!(policy.bypass_when.cookies, [NamePattern::parse("session")]);
    assert_eq!(
        (policy.bypass_when.headers, policy.bypass_when.query),
        (vec!["x-preview".to_owned()], vec!["draft".to_owned()])
    );
    assert_eq!(policy.response_headers, [("X-Frame-Options".to_owned(), "DENY".to_owned())]);
    assert_eq!(policy.browser_cache_control.as_deref(), Some("no-cache"));
}

#[test]
fn a_header_driven_route_keys_by_the_parameters_that_it_lists() {
    assert_eq!(route("key: { query: [q] }").query, QueryRule::Only(vec!["q".to_owned()]));
    assert_eq!(route("key: { headers: [x-a] }").query, QueryRule::AllButTracking);
}

#[test]
fn defaults_hold_for_every_request_and_a_route_overrides_them_key_by_key() {
    let config = with(
        "defaults:\n  expire: 2h\n  set_cookie: bypass\n  keep_on: [404]\n  bypass_when: { cookies: [s] }\n\
         routes:\n  - { match: /a, revalidate: 60s, keep_on: [410] }\n  - { match: /b, set_cookie: strip }\n",
    );
    let (a, b, unmatched) = (&config.routes[0].policy, &config.routes[1].policy, &config.unmatched);
    assert_eq!((a.expire, a.set_cookie, a.keep_on.as_slice()), (seconds(7_200), SetCookie::Bypass, &[410][..]));
    assert_eq!((b.set_cookie, b.keep_on.as_slice()), (SetCookie::Strip, &[404][..]));
    assert_eq!(b.expire, seconds(365 * 86_400), "expire is for ISR routes");
    assert_eq!((unmatched.set_cookie, unmatched.keep_on.as_slice()), (SetCookie::Bypass, &[404][..]));
    for policy in [a, b, unmatched] {
        assert_eq!(policy.bypass_when.cookies, [NamePattern::parse("s")]);
    }
}

#[test]
fn a_route_may_leave_the_bypass_of_the_defaults() {
    let config = with("defaults: { bypass: true }\nroutes:\n  - { match: /a, revalidate: 60s, bypass: false }\n");
    assert!(config.unmatched.bypass && !config.routes[0].policy.bypass);
    assert_one_fault(
        "defaults: { bypass: true }\nroutes:\n  - match: /a\n    revalidate: 60s\n",
        "6:5",
        "`routes[0].revalidate` cannot be had with `bypass: true`, which asks the origin every time \
         (`bypass: true` is from `defaults`",
    );
}

#[test]
fn draft_cookies_are_every_routes() {
    let config = with("draft: { cookies: [preview], secret: null }\nroutes:\n  - { match: /a, revalidate: 60s }\n");
    assert_eq!(
        (&config.routes[0].policy.draft_cookies, &config.unmatched.draft_cookies),
        (&vec!["preview".to_owned()], &vec!["preview".to_owned()])
    );
    assert_eq!(with("").unmatched.draft_cookies, ["__prerender_bypass"]);
}
