use crate::admin::explain::reasons::{dropped_query, passed_because, personal_parts};
use crate::admin::explain::words::{Words, failure, not_storable, sentence, span};
use crate::admin::stats::ratio;
use semantics::guard::Broken;
use semantics::policy::{BypassWhen, NamePattern, Revalidate};
use semantics::settlement::Failure;
use semantics::storability::NotStorable;
use semantics::{Facts, Field, Method, Policy, Request, Scheme, decision};
use std::collections::HashSet;
use std::time::Duration;

/// The place of each in [`REASONS`]: who adds one to the enum finds it here.
fn place(reason: NotStorable) -> usize {
    match reason {
        NotStorable::NoStore => 0,
        NotStorable::Private => 1,
        NotStorable::SetCookie => 2,
        NotStorable::VaryUnmatchable => 3,
        NotStorable::VaryPersonal => 4,
        NotStorable::NoLifetime => 5,
        NotStorable::Status => 6,
        NotStorable::Partial => 7,
        NotStorable::TooLarge => 8,
        NotStorable::CloseDelimited => 9,
        NotStorable::HostLimit => 10,
        NotStorable::ComponentWithoutRsc => 11,
        NotStorable::Encoded => 12,
        NotStorable::Guard => 13,
        NotStorable::NotAdmitted => 14,
        NotStorable::Authorization => 15,
    }
}

const REASONS: [NotStorable; 16] = [
    NotStorable::NoStore,
    NotStorable::Private,
    NotStorable::SetCookie,
    NotStorable::VaryUnmatchable,
    NotStorable::VaryPersonal,
    NotStorable::NoLifetime,
    NotStorable::Status,
    NotStorable::Partial,
    NotStorable::TooLarge,
    NotStorable::CloseDelimited,
    NotStorable::HostLimit,
    NotStorable::ComponentWithoutRsc,
    NotStorable::Encoded,
    NotStorable::Guard,
    NotStorable::NotAdmitted,
    NotStorable::Authorization,
];

const FAILURES: [Failure; 26] = [
    Failure::Connect,
    Failure::Timeout,
    Failure::Truncated,
    Failure::Malformed,
    Failure::Status(503),
    Failure::Status(403),
    Failure::Status(429),
    Failure::Status(404),
    Failure::Status(400),
    Failure::Status(307),
    Failure::Status(204),
    Failure::Uncacheable(NotStorable::Private),
    Failure::Uncacheable(NotStorable::NoStore),
    Failure::Empty,
    Failure::CloseDelimited,
    Failure::RedirectLoop,
    Failure::UnmatchedNotModified,
    Failure::TooLarge,
    Failure::Guard(Broken::MinBytes),
    Failure::Guard(Broken::MaxShrink),
    Failure::Guard(Broken::MustContain),
    Failure::Guard(Broken::MustNotContain),
    Failure::Guard(Broken::ContentType),
    Failure::Shed,
    Failure::Budget,
    Failure::NotFoundStorm(404),
];

/// Each has its own, and they read as sentences.
#[track_caller]
fn assert_told_apart(all: &[Words]) {
    let whys: HashSet<&str> = all.iter().map(|words| words.why.as_str()).collect();
    assert_eq!(whys.len(), all.len(), "some have the same reason: {all:#?}");
    for Words { why, advice } in all {
        for text in [why, advice] {
            assert!(text.len() > 20 && !text.contains("  ") && text.trim() == text, "`{text}`");
        }
        assert!(advice.ends_with('.') && advice.starts_with(char::is_uppercase), "`{advice}`");
    }
}

#[test]
fn every_reason_not_to_store_has_its_own_sentence_and_advice() {
    let all = REASONS.map(not_storable);
    assert_told_apart(&all);
    let advice: HashSet<&str> = all.iter().map(|words| words.advice.as_str()).collect();
    assert_eq!(advice.len(), all.len(), "{all:#?}");
    for (n, reason) in REASONS.into_iter().enumerate() {
        assert_eq!(place(reason), n, "{reason:?}");
        assert!(all[n].why.ends_with(['.', ')']) && all[n].why.starts_with(char::is_uppercase), "{}", all[n].why);
    }
}

#[test]
fn every_failure_has_its_own_words() {
    let all: Vec<Words> = FAILURES.into_iter().chain([Failure::Internal]).map(failure).collect();
    assert_told_apart(&all);
    for Words { why, .. } in &all {
        assert!(!why.ends_with('.'), "a clause: `{why}`");
        let said = sentence(why);
        assert!(said.ends_with('.') && said.starts_with(char::is_uppercase), "`{said}`");
    }
    assert_eq!(sentence("it broke off."), "It broke off.");
    assert_eq!(sentence(""), ".");
}

#[test]
fn spans_are_told_in_their_largest_whole_unit() {
    for (seconds, told) in [
        (0, "0 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7_199, "119 min"),
        (7_200, "2 h"),
        (172_799, "47 h"),
        (172_800, "2 days"),
        (u64::MAX, "213503982334601 days"),
    ] {
        assert_eq!(span(seconds), told);
    }
}

#[test]
fn a_ratio_has_four_digits() {
    for (part, whole, expected) in [(0, 0, 0.0), (1, 3, 0.3333), (2, 2, 1.0), (u64::MAX, u64::MAX, 1.0), (0, 7, 0.0)] {
        assert!((ratio(part, whole) - expected).abs() < 1e-9, "{part} of {whole}");
    }
}

#[test]
fn dropped_parameters_are_those_that_are_not_keyed() {
    for (query, keyed, expected) in [
        (None, None, vec![]),
        (Some(""), None, vec![]),
        (Some("a=1&b=2"), Some("a=1&b=2"), vec![]),
        (Some("a=1&b=2"), None, vec!["a", "b"]),
        (Some("utm_source=x&a=1&gclid=y&b"), Some("a=1&b"), vec!["utm_source", "gclid"]),
        (Some("x=1&x=2&&a=1"), Some("a=1"), vec!["x"]),
        (Some("a=1&x&a=2"), Some("a=1&a=2"), vec!["x"]),
    ] {
        assert_eq!(dropped_query(query, keyed), expected, "{query:?}, {keyed:?}");
    }
}

fn isr() -> Policy {
    Policy::isr(Revalidate::Every(Duration::from_secs(60)))
}

fn request<'a>(query: Option<&'a str>, fields: &'a [Field<'a>]) -> Request<'a> {
    Request { method: Method::Get, scheme: Scheme::Http, host: "site.test", path: "/p", query, fields }
}

#[test]
fn a_reason_to_pass_is_found_exactly_where_there_is_one() {
    let when = BypassWhen {
        cookies: vec![NamePattern::parse("wp-*")],
        headers: vec!["x-debug".to_owned()],
        query: vec!["preview".to_owned()],
    };
    let policies = [
        Policy::header_driven(),
        isr(),
        Policy { bypass: true, ..isr() },
        Policy { bypass_when: when, ..Policy::header_driven() },
        Policy { key_headers: vec!["authorization".to_owned()], draft_cookies: Vec::new(), ..isr() },
    ];
    let lines: [(&str, &[u8]); 10] = [
        ("Accept", b"text/html"),
        ("Cookie", b"session=1"),
        ("Cookie", b"a=1; __prerender_bypass=x"),
        ("Cookie", b"wp-login=1"),
        ("Authorization", b"Bearer x"),
        ("X-Debug", b"1"),
        ("Upgrade", b"websocket"),
        ("Content-Length", b"3"),
        ("Content-Length", b"0"),
        ("Transfer-Encoding", b"chunked"),
    ];
    let mut passed = 0;
    for policy in &policies {
        for (name, value) in lines {
            for query in [None, Some("preview=1"), Some("a=preview")] {
                let fields = [Field { name, value }];
                let (request, facts) = (request(query, &fields), Facts::of(&fields));
                let because = passed_because(&request, &facts, policy, "route");
                let admitted = decision::admit(&request, &facts, policy).is_ok();
                assert_eq!(because.is_none(), admitted, "{name} {query:?} {policy:?}: {because:?}");
                passed += usize::from(!admitted);
            }
        }
    }
    assert!(passed > 40, "{passed} of them were passed");
}

#[test]
fn the_parts_that_make_a_visit_personal_are_named() {
    let fields: [(&str, &[u8]); 7] = [
        ("Accept-Language", b"de"),
        ("Cookie", b"_ga=1; session=2; lang=de"),
        ("X-Tenant", b"a"),
        ("X-Tenant", b"b"),
        ("X-Device", b"phone"),
        ("Cookie", b"session=3"),
        ("X-Forwarded-For", b"10.0.0.1"),
    ];
    let fields = fields.map(|(name, value)| Field { name, value });
    let policy = Policy { key_cookies: vec!["lang".to_owned()], ..isr() };
    let parts = personal_parts(&request(None, &fields), &policy, &["x-device".to_owned()]);
    assert_eq!(parts, ["the cookie `session`", "the field `X-Tenant`"]);
    assert_eq!(personal_parts(&request(None, &fields[..1]), &policy, &[]), Vec::<String>::new());
}
