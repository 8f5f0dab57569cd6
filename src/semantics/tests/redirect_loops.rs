//! A redirect to the page's own URL would loop its visitors for a whole window (semantics 28).

use http::{HeaderMap, HeaderValue, StatusCode};
use semantics::policy::Revalidate;
use semantics::settlement::{AnswerHead, Failure, Settlement, StoredSummary, settle};
use semantics::validation::Validators;
use semantics::{Policy, Times, Timestamp};
use std::time::Duration;

const URL: &str = "www.x.com/p?q=1";

fn settled(has_body: Option<bool>, status: u16, url: &str, location: &str) -> Settlement {
    let now = Timestamp::from_secs(784_111_777);
    let mut fields = HeaderMap::new();
    fields.insert("cache-control", HeaderValue::from_static("max-age=60"));
    fields.insert("location", HeaderValue::from_str(location).expect("a field value"));
    let status = StatusCode::from_u16(status).expect("a status");
    let answer = AnswerHead { status, fields: &fields, close_delimited: false, length: Some(0), authorized: false };
    let stored = has_body.map(|has_body| StoredSummary { validators: Validators::default(), has_body, good: true });
    let policy = Policy::isr(Revalidate::Every(Duration::from_secs(60)));
    settle(stored, &answer, &policy, &Times { requested: now, responded: now, completed: now }, url)
}

/// A label, the page's URL, the Location, and whether that is the page itself.
type Row<'a> = (&'a str, &'a str, &'a str, bool);

fn check(rows: &[Row<'_>]) {
    for (label, url, location, is_loop) in rows {
        let expected = if *is_loop {
            Settlement::Fail(Failure::RedirectLoop)
        } else {
            Settlement::Store { nominated: Vec::new() }
        };
        for (stored, status) in [(None, 301), (Some(true), 308), (Some(false), 302)] {
            assert_eq!(settled(stored, status, url, location), expected, "{label}: {status}, {url} to {location:?}");
        }
    }
}

#[test]
fn a_redirect_to_its_own_url_is_a_failure() {
    check(&[
        ("the scheme is ignored", URL, "https://www.x.com/p?q=1", true),
        ("http", URL, "http://www.x.com/p?q=1", true),
        ("without a scheme", URL, "//www.x.com/p?q=1", true),
        ("a path", URL, "/p?q=1", true),
        ("the host in any case", URL, "https://WWW.X.com/p?q=1", true),
        ("the default port", URL, "https://www.x.com:443/p?q=1", true),
        ("a fragment", URL, "https://www.x.com/p?q=1#top", true),
        ("an empty path", "www.x.com/", "https://www.x.com", true),
        ("with a port of its own", "x.com:8080/p", "http://x.com:8080/p", true),
    ]);
}

#[test]
fn a_redirect_to_another_url_is_stored() {
    check(&[
        ("another query", URL, "https://www.x.com/p?q=2", false),
        ("no query", URL, "https://www.x.com/p", false),
        ("a slash at the end", "www.x.com/p", "/p/", false),
        ("another host", URL, "https://x.com/p?q=1", false),
        ("another port", URL, "https://www.x.com:8443/p?q=1", false),
        ("another path", URL, "/q?q=1", false),
        ("the case of the path", "www.x.com/p", "/P", false),
        ("a relative one", URL, "q?q=1", false),
    ]);
}

#[test]
fn relative_and_oddly_written_locations_loop_too() {
    // RFC 3986, 5.2 and 3.1: references are resolved, and schemes match in any case.
    check(&[
        ("relative to the folder", URL, "p?q=1", true),
        ("with a dot", URL, "./p?q=1", true),
        ("the query alone", URL, "?q=1", true),
        ("nothing", URL, "", true),
        ("the scheme in any case", URL, "HTTPS://www.x.com/p?q=1", true),
    ]);
}

#[test]
fn location_on_a_page_is_no_redirect() {
    // 28: with an empty body, but nothing stored that it could replace.
    assert_eq!(settled(None, 200, URL, "/p?q=1"), Settlement::Store { nominated: Vec::new() });
}
