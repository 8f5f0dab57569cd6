//! What an answer to a fill means for what is stored (RFC 9111, 3 and 4.3; semantics 18, 20, 27-30, 33).

mod support;

use http::StatusCode;
use proptest::prelude::*;
use semantics::policy::{OnUncacheable, Revalidate};
use semantics::settlement::{AnswerHead, Failure, Settlement, StoredSummary, settle};
use semantics::storability::NotStorable;
use semantics::validation::Validators;
use semantics::{Policy, Times, Timestamp};
use std::time::Duration;
use support::{Fields, fields};

const NOW: Timestamp = Timestamp::from_secs(784_111_777);
const CC: &str = "cache-control";
const FRESH: (&str, &str) = (CC, "max-age=60");
const URL: &str = "www.x.com/p?q=1";
/// A tag that nothing stored carries.
const OTHER: (&str, &str) = ("etag", "\"other\"");

/// What the store holds.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Held {
    Nothing,
    /// A page with ETag `"v1"` and a Last-Modified.
    Page,
    /// A page without validators.
    Bare,
    /// A redirect: no body, no validators.
    Redirect,
}

impl Held {
    fn summary(self) -> Option<StoredSummary<'static>> {
        let validators = Validators { etag: Some(b"\"v1\""), last_modified: Some(b"Sun, 06 Nov 1994 08:49:37 GMT") };
        match self {
            Held::Nothing => None,
            Held::Page => Some(StoredSummary { validators, has_body: true, good: true }),
            Held::Bare => Some(StoredSummary { validators: Validators::default(), has_body: true, good: true }),
            Held::Redirect => Some(StoredSummary { validators: Validators::default(), has_body: false, good: true }),
        }
    }
}

/// How the body comes.
#[derive(Clone, Copy, Debug)]
enum Body {
    Chunked,
    Length(u64),
    UntilClose,
}

fn settled(policy: &Policy, held: Held, status: u16, list: Fields<'_>, body: Body, url: &str) -> Settlement {
    let map = fields(list);
    let answer = AnswerHead {
        status: StatusCode::from_u16(status).expect("a status"),
        fields: &map,
        close_delimited: matches!(body, Body::UntilClose),
        length: if let Body::Length(n) = body { Some(n) } else { None },
        authorized: false,
    };
    settle(held.summary(), &answer, policy, &Times { requested: NOW, responded: NOW, completed: NOW }, url)
}

/// A label, what is stored, the status, the fields, and the settlement.
type Row<'a> = (&'a str, Held, u16, Fields<'a>, Settlement);

fn check(policy: &Policy, rows: &[Row<'_>]) {
    for (label, held, status, list, expected) in rows {
        let got = settled(policy, *held, *status, list, Body::Chunked, URL);
        assert_eq!(got, *expected, "{label}: {held:?} {status} {list:?}");
    }
}

fn store() -> Settlement {
    Settlement::Store { nominated: Vec::new() }
}

fn failed(status: u16) -> Settlement {
    Settlement::Fail(Failure::Status(status))
}

fn header_driven() -> Policy {
    Policy::header_driven()
}

fn isr() -> Policy {
    Policy::isr(Revalidate::Every(Duration::from_secs(60)))
}

#[test]
fn every_class_of_status_has_its_settlement() {
    let relay = || Settlement::Relay(NotStorable::Status);
    for policy in [header_driven(), isr()] {
        for status in [200, 203, 300, 301, 302, 303, 307, 308, 404, 410, 451] {
            check(
                &policy,
                &[
                    ("28: stored", Held::Nothing, status, &[FRESH], store()),
                    ("28: replaces", Held::Page, status, &[FRESH], store()),
                ],
            );
        }
        for status in [201, 202, 205, 299, 305, 400, 401, 403, 405, 407, 409, 414, 418] {
            check(
                &policy,
                &[
                    ("27: to the one who asked", Held::Nothing, status, &[FRESH], relay()),
                    ("29: the old version stays", Held::Page, status, &[FRESH], failed(status)),
                    ("29: without validators too", Held::Bare, status, &[FRESH], failed(status)),
                ],
            );
        }
        for status in [408, 425, 429, 500, 501, 502, 503, 504, 599] {
            check(
                &policy,
                &[
                    ("29: whatever its Cache-Control says", Held::Nothing, status, &[FRESH], failed(status)),
                    ("29: the old version stays", Held::Page, status, &[FRESH], failed(status)),
                ],
            );
        }
        check(
            &policy,
            &[
                ("48: a part", Held::Nothing, 206, &[FRESH], Settlement::Relay(NotStorable::Partial)),
                ("48: a part for a page", Held::Page, 206, &[FRESH], failed(206)),
                ("28: 204", Held::Nothing, 204, &[FRESH], relay()),
            ],
        );
        for held in [Held::Page, Held::Redirect] {
            let got = settled(&policy, held, 204, &[FRESH], Body::Length(0), URL);
            assert!(matches!(got, Settlement::Fail(_)), "28: 204 never replaces: {got:?}");
        }
    }
}

#[test]
fn a_success_without_a_lifetime_depends_on_the_route() {
    check(
        &isr(),
        &[
            ("10: the route's window", Held::Nothing, 200, &[], store()),
            ("30: 404", Held::Page, 404, &[], store()),
            ("28: 302 needs its own", Held::Nothing, 302, &[], Settlement::Relay(NotStorable::Status)),
            ("28: 302 for a page", Held::Page, 302, &[], failed(302)),
        ],
    );
    check(
        &header_driven(),
        &[
            ("7: nothing to reuse", Held::Nothing, 200, &[], Settlement::Relay(NotStorable::NoLifetime)),
            ("7: for validation", Held::Nothing, 200, &[OTHER], store()),
            ("33: no longer", Held::Page, 200, &[], Settlement::Drop(NotStorable::NoLifetime)),
            ("28: 307 needs its own", Held::Page, 307, &[OTHER], failed(307)),
        ],
    );
}

#[test]
fn a_404_takes_the_place_of_a_page_for_a_while_whatever_its_lifetime() {
    let later = Settlement::Relay(NotStorable::NoLifetime);
    check(
        &header_driven(),
        &[
            ("30: 404", Held::Page, 404, &[], store()),
            ("30: 410", Held::Bare, 410, &[], store()),
            ("nothing is replaced", Held::Nothing, 404, &[], later),
            ("33: private stands", Held::Page, 404, &[(CC, "private")], Settlement::Drop(NotStorable::Private)),
            (
                "11: so does Set-Cookie",
                Held::Page,
                404,
                &[("set-cookie", "a=b")],
                Settlement::Drop(NotStorable::SetCookie),
            ),
        ],
    );
}

#[test]
fn a_404_in_a_pages_place_is_shared_no_wider_than_its_vary_allows() {
    // Semantics 11 and 47 hold for it as for any other.
    let language = Settlement::Store { nominated: vec!["accept-language".to_owned()] };
    check(
        &header_driven(),
        &[
            ("a variant", Held::Page, 404, &[("vary", "accept-language")], language),
            ("*", Held::Page, 404, &[("vary", "*")], Settlement::Drop(NotStorable::VaryUnmatchable)),
            ("Cookie", Held::Page, 404, &[("vary", "cookie")], Settlement::Drop(NotStorable::VaryPersonal)),
        ],
    );
}

#[test]
fn nominated_fields_come_with_what_is_stored() {
    let nominated = || Settlement::Store { nominated: vec!["accept-language".to_owned(), "x-country".to_owned()] };
    let vary = ("vary", "X-Country, Accept-Language, Accept-Encoding");
    check(&header_driven(), &[("5: Vary", Held::Nothing, 200, &[FRESH, vary], nominated())]);
    check(&isr(), &[("5: Vary on an ISR route", Held::Page, 200, &[vary], nominated())]);
}

#[test]
fn what_became_private_is_dropped_or_kept_by_route() {
    let private: Fields<'_> = &[(CC, "private, max-age=60")];
    let no_store: Fields<'_> = &[(CC, "no-store")];
    let cookie: Fields<'_> = &[FRESH, ("set-cookie", "a=b")];
    let vary: Fields<'_> = &[FRESH, ("vary", "*")];
    let kept = |reason| Settlement::Fail(Failure::Uncacheable(reason));
    check(
        &header_driven(),
        &[
            ("33: header-driven, private", Held::Page, 200, private, Settlement::Drop(NotStorable::Private)),
            ("33: header-driven, no-store", Held::Page, 200, no_store, Settlement::Drop(NotStorable::NoStore)),
            ("11: Set-Cookie", Held::Page, 200, cookie, Settlement::Drop(NotStorable::SetCookie)),
            ("11: Vary: *", Held::Page, 200, vary, Settlement::Drop(NotStorable::VaryUnmatchable)),
            ("nothing stored", Held::Nothing, 200, private, Settlement::Relay(NotStorable::Private)),
        ],
    );
    check(
        &isr(),
        &[
            ("33: ISR, private", Held::Page, 200, private, kept(NotStorable::Private)),
            ("33: ISR, no-store", Held::Page, 200, no_store, kept(NotStorable::NoStore)),
            ("11: ISR, Set-Cookie is stripped", Held::Page, 200, cookie, store()),
            ("11: ISR, Vary: *", Held::Page, 200, vary, kept(NotStorable::VaryUnmatchable)),
            ("4: nothing stored", Held::Nothing, 200, private, Settlement::Relay(NotStorable::Private)),
        ],
    );
    let dropping = Policy { on_uncacheable: OnUncacheable::Drop, ..isr() };
    check(&dropping, &[("33: drop", Held::Page, 200, private, Settlement::Drop(NotStorable::Private))]);
    let overriding = Policy { override_origin: true, ..isr() };
    check(
        &overriding,
        &[
            ("10: override_origin", Held::Page, 200, no_store, store()),
            ("10: override_origin, first fill", Held::Nothing, 200, private, store()),
        ],
    );
}

#[test]
fn keep_on_protects_a_good_page_only() {
    let policy = Policy { keep_on: vec![404], ..isr() };
    check(
        &policy,
        &[
            ("30: 404 for a page", Held::Page, 404, &[], failed(404)),
            ("30: 410 is not listed", Held::Page, 410, &[], store()),
            ("30: nothing to keep", Held::Nothing, 404, &[], store()),
        ],
    );
}

#[test]
fn a_304_freshens_what_it_matches_and_else_is_asked_again() {
    let modified = ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT");
    let later = ("last-modified", "Sun, 06 Nov 1994 08:49:38 GMT");
    for policy in [header_driven(), isr()] {
        check(
            &policy,
            &[
                ("18: the tag", Held::Page, 304, &[("etag", "\"v1\"")], Settlement::Freshen),
                ("its weak form", Held::Page, 304, &[("etag", "W/\"v1\"")], Settlement::Freshen),
                ("no validator", Held::Page, 304, &[], Settlement::Freshen),
                ("the date", Held::Page, 304, &[modified], Settlement::Freshen),
                ("18: another tag", Held::Page, 304, &[OTHER], Settlement::Refetch),
                ("another tag, the same date", Held::Page, 304, &[OTHER, modified], Settlement::Refetch),
                ("another date", Held::Page, 304, &[later], Settlement::Refetch),
                ("nothing stored", Held::Nothing, 304, &[("etag", "\"v1\"")], Settlement::Refetch),
                ("nothing was sent", Held::Bare, 304, &[], Settlement::Refetch),
            ],
        );
    }
}

#[test]
fn an_empty_body_never_replaces_a_body() {
    let empty = |held, status| settled(&isr(), held, status, &[FRESH], Body::Length(0), URL);
    assert_eq!(empty(Held::Page, 200), Settlement::Fail(Failure::Empty), "28");
    assert_eq!(empty(Held::Bare, 203), Settlement::Fail(Failure::Empty), "28: without validators");
    assert_eq!(empty(Held::Nothing, 200), store(), "nothing to replace");
    assert_eq!(empty(Held::Redirect, 200), store(), "no body to replace");
    for status in [301, 302, 308] {
        assert_eq!(empty(Held::Page, status), store(), "a redirect needs no body: {status}");
    }
    let whole = settled(&isr(), Held::Page, 200, &[], Body::Length(5), URL);
    assert_eq!(whole, store(), "a short body is a body");
}

#[test]
fn a_close_delimited_body_never_replaces_a_whole_one() {
    for policy in [header_driven(), isr()] {
        let until_close = |held| settled(&policy, held, 200, &[FRESH], Body::UntilClose, URL);
        assert_eq!(until_close(Held::Page), Settlement::Fail(Failure::CloseDelimited), "28");
        assert_eq!(until_close(Held::Nothing), Settlement::Relay(NotStorable::CloseDelimited), "28: nothing stored");
    }
}

proptest! {
    /// Semantics 28 and 29: whatever comes, nothing but a success replaces or removes a page.
    #[test]
    fn only_a_success_touches_a_stored_page(
        status in 200..600u16,
        on_isr in any::<bool>(),
        cc in "(max-age=[0-9]{1,2}|no-store|private)?",
    ) {
        let policy = if on_isr { isr() } else { header_driven() };
        let got = settled(&policy, Held::Page, status, &[(CC, &cc)], Body::Chunked, URL);
        let success = matches!(status, 200 | 203 | 300..=303 | 307 | 308 | 404 | 410 | 451);
        prop_assert!(success || matches!(got, Settlement::Fail(_)) || status == 304, "{} {:?}", status, got);
    }
}
