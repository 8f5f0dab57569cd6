//! Cache keys, keyed queries, variants, and whose request it is (RFC 9111, 2 and 4.1; semantics 1-5, 43-47).

use semantics::key::{KeyParts, is_group_field, write_primary};
use semantics::personal::{self, Personal};
use semantics::policy::{QueryRule, Revalidate};
use semantics::query::{has, keyed};
use semantics::vary::{favourite_language, is_list_of_languages, nominated, varies_with_the_way};
use semantics::{Facts, Field, Method, Policy, Request, Scheme};
use std::borrow::Cow;

type Fields<'a> = &'a [(&'a str, &'a str)];

fn lines(list: Fields<'_>) -> Vec<Field<'_>> {
    list.iter().map(|&(name, value)| Field { name, value: value.as_bytes() }).collect()
}

fn get<'a>(fields: &'a [Field<'a>]) -> Request<'a> {
    Request { method: Method::Get, scheme: Scheme::Https, host: "x.com", path: "/p", query: None, fields }
}

fn key_of(request: &Request<'_>, deployment: &str, policy: &Policy) -> Vec<u8> {
    let facts = Facts::of(request.fields);
    let parts = KeyParts { deployment, request, query: keyed(request.query, &policy.query, facts.rsc) };
    let mut out = b"what was there before".to_vec();
    write_primary(&mut out, &parts, &facts, policy);
    out
}

fn key(list: Fields<'_>, policy: &Policy) -> Vec<u8> {
    key_of(&get(&lines(list)), "", policy)
}

fn isr() -> Policy {
    Policy::isr(Revalidate::Never)
}

#[test]
fn every_part_of_the_url_is_in_the_key() {
    let policy = Policy::header_driven();
    let base = Request { query: Some("a=1"), ..get(&[]) };
    let of = |request: &Request<'_>| key_of(request, "d1", &policy);
    for (label, other) in [
        ("scheme", Request { scheme: Scheme::Http, ..base }),
        ("host", Request { host: "www.x.com", ..base }),
        ("path", Request { path: "/q", ..base }),
        ("44: a slash at the end", Request { path: "/p/", ..base }),
        ("44: case", Request { path: "/P", ..base }),
        ("44: as received", Request { path: "/%70", ..base }),
        ("query", Request { query: Some("a=2"), ..base }),
        ("a repeated parameter", Request { query: Some("a=1&a=1"), ..base }),
        ("no query", Request { query: None, ..base }),
    ] {
        assert_ne!(of(&other), of(&base), "{label}");
    }
    assert_ne!(key_of(&base, "d2", &policy), of(&base), "deployment");
    assert_eq!(of(&Request { method: Method::Head, ..base }), of(&base), "48: HEAD reads the entry of GET");
    assert_eq!(of(&Request { query: Some(""), ..base }), of(&Request { query: None, ..base }), "an empty query");
}

#[test]
fn fields_are_keyed_where_the_route_or_next_says_so() {
    let plain = Policy::header_driven();
    let tenant = Policy { key_headers: vec!["x-tenant".to_owned()], ..Policy::header_driven() };
    let lang = Policy { key_cookies: vec!["lang".to_owned()], ..Policy::header_driven() };
    let rows: &[(&str, &Policy, Fields<'_>, Fields<'_>, bool)] = &[
        ("an unkeyed field", &plain, &[("x-tenant", "a")], &[], true),
        ("a keyed field", &tenant, &[("x-tenant", "a")], &[("X-Tenant", "b")], false),
        ("its name in any case", &tenant, &[("x-tenant", "a")], &[("X-TENANT", "a")], true),
        ("absent and empty", &tenant, &[("x-tenant", "")], &[], false),
        ("one line and two", &tenant, &[("x-tenant", "a,b")], &[("x-tenant", "a"), ("x-tenant", "b")], false),
        ("a keyed cookie", &lang, &[("cookie", "lang=de")], &[("cookie", "lang=en")], false),
        ("among others", &lang, &[("cookie", "a=1; lang=de; b=2")], &[("cookie", "lang=de")], true),
        ("another cookie", &lang, &[("cookie", "sid=1")], &[], true),
        ("absent and empty cookie", &lang, &[("cookie", "lang=")], &[], false),
        ("a cookie's name is case-sensitive", &lang, &[("cookie", "Lang=de")], &[], true),
        ("46: RSC", &plain, &[("rsc", "1")], &[], false),
        ("46: the tree with RSC", &plain, &[("RSC", "1"), ("Next-Router-State-Tree", "x")], &[("rsc", "1")], false),
        ("46: Next-Url with RSC", &plain, &[("rsc", "1"), ("next-url", "/a")], &[("rsc", "1")], false),
        ("46: the tree without RSC", &plain, &[("next-router-state-tree", "x")], &[], true),
        ("46: prefetch without RSC", &plain, &[("next-router-prefetch", "1"), ("next-url", "/")], &[], true),
        ("data requests", &plain, &[("x-nextjs-data", "1")], &[], false),
    ];
    for (label, policy, one, other, same) in rows {
        assert_eq!(key(one, policy) == key(other, policy), *same, "{label}");
    }
    assert!(is_group_field("Next-Url", true) && !is_group_field("Next-Url", false));
    assert!(is_group_field("X-Nextjs-Data", false) && !is_group_field("x-other", true));
}

#[test]
fn queries_are_keyed_by_rule() {
    let listed = QueryRule::Only(vec!["page".to_owned(), "q".to_owned()]);
    let all = QueryRule::AllButTracking;
    let rows: &[(&str, &QueryRule, bool, &str, Option<&str>)] = &[
        ("45: all count", &all, false, "b=2&a=1&flag&empty=", Some("b=2&a=1&flag&empty=")),
        ("45: tracking does not", &all, false, "utm_source=x&a=1&gclid=y&fbclid=z", Some("a=1")),
        ("nothing left", &all, false, "utm_campaign=x&msclkid=1", None),
        ("a name that only begins like one", &all, false, "gclid2=1&utm=2", Some("gclid2=1&utm=2")),
        ("nothing there", &all, false, "", None),
        ("45: ISR drops what is not listed", &listed, false, "page=2&sort=up&q=x", Some("page=2&q=x")),
        ("repeated", &listed, false, "q=1&x=0&q=2", Some("q=1&q=2")),
        ("no list", &QueryRule::Only(Vec::new()), false, "page=2", None),
        ("a name is case-sensitive", &listed, false, "Page=2", None),
        ("46: _rsc with RSC", &listed, true, "_rsc=abc&page=2&x=1", Some("_rsc=abc&page=2")),
        ("46: _rsc without RSC", &listed, false, "_rsc=abc&page=2", Some("page=2")),
        ("header-driven: _rsc with RSC", &all, true, "_rsc=abc&utm_id=1", Some("_rsc=abc")),
    ];
    for (label, rule, rsc, query, expected) in rows {
        assert_eq!(keyed(Some(*query), rule, *rsc).as_deref(), *expected, "{label}: {query}");
    }
    assert_eq!(keyed(None, &all, true), None);
    assert!(matches!(keyed(Some("a=1"), &all, false), Some(Cow::Borrowed("a=1"))), "a hit does not copy");
    assert!(has(Some("a=1&preview"), "preview") && !has(Some("a=preview"), "preview") && !has(None, "preview"));
}

#[test]
fn values_of_nominated_fields_are_compared_in_canonical_form() {
    let rows: &[(&str, &str, Fields<'_>, Fields<'_>, bool)] = &[
        (
            "whitespace",
            "accept-language",
            &[("accept-language", "de, en;q=0.5")],
            &[("accept-language", "de,en; q=0.5")],
            true,
        ),
        ("several lines", "accept", &[("accept", "a/b"), ("accept", "c/d")], &[("accept", "a/b, c/d")], true),
        (
            "case of a language",
            "accept-language",
            &[("accept-language", "de-AT")],
            &[("Accept-Language", "de-at")],
            true,
        ),
        ("another language", "accept-language", &[("accept-language", "de")], &[("accept-language", "en")], false),
        ("case of any other field", "x-a", &[("x-a", "B")], &[("x-a", "b")], false),
        ("absent and empty", "x-a", &[("x-a", "")], &[], false),
        ("a comma in a cookie is one", "cookie", &[("cookie", "a=b, c")], &[("cookie", "a=b,c")], false),
        ("cookies in lines", "cookie", &[("cookie", "a=b"), ("cookie", "c=d")], &[("cookie", "a=b; c=d")], true),
        ("a comma in a name", "user-agent", &[("user-agent", "M (a, b)")], &[("user-agent", "M (a,b)")], false),
        ("absent on both", "x-a", &[("x-b", "1")], &[], true),
    ];
    for (label, name, one, other, same) in rows {
        let names = [(*name).to_owned()];
        let value = |list: Fields<'_>| nominated(&names, &get(&lines(list)), &isr());
        assert_eq!(value(one) == value(other), *same, "{label}");
    }
}

#[test]
fn by_the_rfc_alone_the_order_of_languages_means_nothing() {
    let names = ["accept-language".to_owned()];
    let value = |list: Fields<'_>, policy: &Policy| nominated(&names, &get(&lines(list)), policy);
    let plain = Policy::plain();
    let rows: &[(&str, Fields<'_>, Fields<'_>, bool)] = &[
        ("order", &[("accept-language", "en, de")], &[("accept-language", "de, en")], true),
        (
            "order, over lines",
            &[("accept-language", "en"), ("accept-language", "de")],
            &[("accept-language", "de,en")],
            true,
        ),
        (
            "12.5.4: weights count",
            &[("accept-language", "en, de;q=0.5")],
            &[("accept-language", "en;q=0.5, de")],
            false,
        ),
        (
            "as liked as ever",
            &[("accept-language", "fr, en;q=0.9, de;q=0.8")],
            &[("accept-language", "de;q=0.8,en;q=0.9,fr")],
            true,
        ),
        ("with the same weights", &[("accept-language", "en, de;q=0.5")], &[("accept-language", "de;q=0.5, en")], true),
        ("another language", &[("accept-language", "en, de")], &[("accept-language", "en, fr")], false),
    ];
    for (label, one, other, same) in rows {
        assert_eq!(value(one, &plain) == value(other, &plain), *same, "{label}");
    }
    let (one, other) = ([("accept-language", "en, de")], [("accept-language", "de, en")]);
    assert_ne!(value(&one, &isr()), value(&other, &isr()), "otherwise it does: many applications go by it");
    let accept = ["accept".to_owned()];
    let value = |list: Fields<'_>| nominated(&accept, &get(&lines(list)), &plain);
    assert_ne!(value(&[("accept", "a/a, b/b")]), value(&[("accept", "b/b, a/a")]), "of languages alone");
}

#[test]
fn by_the_rfc_alone_languages_are_kept_in_the_order_that_browsers_send() {
    let fields = lines(&[("accept-language", "fr-FR,fr;q=0.9,en;q=0.8,de;q=0.7")]);
    let value = nominated(&["accept-language".to_owned()], &get(&fields), &Policy::plain()).remove(0).1;
    assert_eq!(value.as_deref(), Some(&b"fr-fr,fr;q=0.9,en;q=0.8,de;q=0.7"[..]));
}

#[test]
fn a_list_of_languages_has_nothing_else_in_it() {
    for (value, is) in [
        ("de", true),
        ("de-at,de;q=0.9,*;q=0.1", true),
        ("de,<script>", false),
        ("de;q=x", false),
        ("de;level=1", false),
        ("de,", false),
        ("", false),
    ] {
        assert_eq!(is_list_of_languages(value.as_bytes()), is, "{value}");
    }
}

#[test]
fn an_answer_that_varies_with_the_way_is_told_from_others() {
    for (vary, does) in [
        ("accept-language", false),
        ("Accept-Encoding", false),
        ("X-Forwarded-Host, X-Forwarded-Proto", false),
        ("X-Forwarded-For", true),
        ("Forwarded", true),
        ("accept, via", true),
        ("Range", true),
        ("", false),
    ] {
        assert_eq!(varies_with_the_way([vary.as_bytes()]), does, "{vary}");
    }
}

#[test]
fn a_favourite_language_is_liked_more_than_all_others() {
    for (value, expected) in [
        ("de", Some("de")),
        ("fr;q=0.5, de;q=1.0", Some("de")),
        ("fr;q=0.5, de-AT", Some("de-AT")),
        ("de;q=0.1", Some("de")),
        ("en, de", None),
        ("en;q=0.5, de;q=0.5", None),
        ("*", None),
        ("*;q=0.5, de", Some("de")),
        ("de;q=0", None),
        ("de;q=2, en;q=0.3", Some("en")),
        ("", None),
    ] {
        let fields = [Field { name: "accept-language", value: value.as_bytes() }];
        let found = favourite_language(&get(&fields)).map(String::from_utf8_lossy);
        assert_eq!(found.as_deref(), expected, "{value}");
    }
    assert_eq!(favourite_language(&get(&[])), None, "none is named");
}

#[test]
fn whitespace_within_an_unknown_value_tells_variants_apart() {
    // RFC 9111, 4.1: whitespace may be folded "where allowed in the header field's syntax".
    let names = ["x-city".to_owned()];
    let value = |city: &str| nominated(&names, &get(&[Field { name: "x-city", value: city.as_bytes() }]), &isr());
    assert_ne!(value("New York"), value("NewYork"), "a space");
    assert_ne!(value("\"a b\""), value("\"ab\""), "a space in a quoted string");
}

/// A label, the policy, the request's fields, and whose it is.
type Judged<'a> = (&'a str, &'a Policy, Fields<'a>, Personal);

fn judges(rows: &[Judged<'_>]) {
    for (label, policy, list, expected) in rows {
        let fields = lines(list);
        let judged = personal::judge(&get(&fields), &Facts::of(&fields), policy, &[]);
        assert_eq!(judged, *expected, "{label}");
    }
}

#[test]
fn what_browsers_and_proxies_send_is_not_personal() {
    const BROWSER: Fields<'static> = &[
        ("User-Agent", "x"),
        ("Sec-CH-UA", "x"),
        ("Sec-Fetch-Mode", "navigate"),
        ("DNT", "1"),
        ("Priority", "u=0"),
        ("Referer", "/"),
        ("Upgrade-Insecure-Requests", "1"),
        ("Accept", "*/*"),
        ("Accept-Language", "de"),
        ("Accept-Encoding", "br"),
        ("Cache-Control", "no-cache"),
        ("Pragma", "no-cache"),
    ];
    const PROXIES: Fields<'static> = &[
        ("X-Forwarded-For", "::1"),
        ("Forwarded", "for=_x"),
        ("Via", "1.1 x"),
        ("X-Real-IP", "::1"),
        ("True-Client-IP", "::1"),
        ("CF-Ray", "1"),
        ("CDN-Loop", "x"),
        ("Fastly-SSL", "1"),
        ("X-Amzn-Trace-Id", "x"),
        ("X-Request-Id", "x"),
        ("traceparent", "00"),
    ];
    let plain = Policy::header_driven();
    let internal: Fields<'_> = &[("x-middleware-subrequest", "m"), ("x-prerender-revalidate", "s")];
    judges(&[
        ("nothing", &plain, &[], Personal::No),
        ("2: a browser", &plain, BROWSER, Personal::No),
        ("2: proxies", &plain, PROXIES, Personal::No),
        ("2: conditions", &plain, &[("If-None-Match", "*"), ("If-Modified-Since", "x")], Personal::No),
        ("2: a range", &plain, &[("Range", "bytes=0-1"), ("If-Range", "x")], Personal::No),
        ("2: analytics cookies", &plain, &[("Cookie", "_ga=1; _ga_X9=2; _gid=3; _fbp=4")], Personal::No),
        ("an empty Cookie", &plain, &[("Cookie", "")], Personal::No),
        ("46: the router's fields", &plain, &[("RSC", "1"), ("Next-Url", "/")], Personal::No),
        ("52: framework internals", &plain, internal, Personal::No),
    ]);
}

#[test]
fn what_is_left_of_a_request_makes_it_personal() {
    let plain = Policy::header_driven();
    let named = Policy {
        key_headers: vec!["authorization".to_owned(), "x-tenant".to_owned()],
        key_cookies: vec!["lang".to_owned()],
        forward_headers: vec!["test-id".to_owned()],
        ..Policy::header_driven()
    };
    judges(&[
        ("a session", &plain, &[("Cookie", "_ga=1; sid=2")], Personal::Yes),
        ("on a second line", &plain, &[("Cookie", "_ga=1"), ("cookie", "sid=2")], Personal::Yes),
        ("a cookie without a value", &plain, &[("Cookie", "admin")], Personal::Yes),
        ("a name that only ends like one", &plain, &[("Cookie", "x_ga=1")], Personal::Yes),
        ("Authorization", &plain, &[("authorization", "Bearer x")], Personal::Yes),
        ("an unknown field", &plain, &[("X-Api-Key", "x")], Personal::Yes),
        ("another", &plain, &[("X-Requested-With", "XMLHttpRequest")], Personal::Yes),
        ("on an ISR route", &isr(), &[("X-Api-Key", "x")], Personal::Yes),
        ("keyed fields", &named, &[("Authorization", "x"), ("X-Tenant", "a")], Personal::No),
        ("a keyed cookie", &named, &[("Cookie", "lang=de")], Personal::No),
        ("beside another", &named, &[("Cookie", "lang=de; sid=1")], Personal::Yes),
        ("a forwarded field", &named, &[("Test-ID", "1")], Personal::No),
    ]);
}

#[test]
fn a_nominated_field_is_not_personal_once_that_is_known() {
    let policy = Policy::header_driven();
    let fields = lines(&[("X-Country", "at")]);
    let judged = |nominated: &[String]| personal::judge(&get(&fields), &Facts::of(&fields), &policy, nominated);
    assert_eq!(judged(&[]), Personal::Yes, "5: nobody knows");
    assert_eq!(judged(&["x-country".to_owned()]), Personal::No, "5: Vary names it");
    assert_eq!(judged(&["x-other".to_owned()]), Personal::Yes, "5: Vary names another");
}
