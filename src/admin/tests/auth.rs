use crate::admin::Api;
use crate::admin::auth::{Scope, Token, Tokens, at_home};
use http::{HeaderMap, HeaderName, HeaderValue};

fn fields(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for (name, value) in lines {
        fields.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    }
    fields
}

fn tokens() -> Tokens {
    let token = |secret: &str, scope| Token { secret: secret.to_owned(), scope };
    Tokens::new(vec![token("all", Scope::Full), token("cms", Scope::Revalidate), token("watch", Scope::Read)], vec![])
}

#[test]
fn a_token_is_known_by_all_of_its_bytes() {
    for (authorization, expected) in [
        ("Bearer all", Some(Scope::Full)),
        ("Bearer cms", Some(Scope::Revalidate)),
        ("Bearer watch", Some(Scope::Read)),
        ("bearer all", Some(Scope::Full)),
        ("BEARER  all ", Some(Scope::Full)),
        ("Bearer al", None),
        ("Bearer alll", None),
        ("Bearer ALL", None),
        ("Bearer all, watch", None),
        ("Bearer", None),
        ("Bearer ", None),
        ("", None),
        ("all", None),
        ("Basic all", None),
        ("Bearerall", None),
    ] {
        assert_eq!(tokens().scope_of(&fields(&[("authorization", authorization)])), expected, "`{authorization}`");
    }
    assert_eq!(tokens().scope_of(&HeaderMap::new()), None);
    let two = fields(&[("authorization", "Bearer all"), ("authorization", "Bearer all")]);
    assert_eq!(tokens().scope_of(&two), None, "which of the two counts?");
    assert_eq!(Tokens::new(vec![], vec![]).scope_of(&fields(&[("authorization", "Bearer ")])), None);
}

#[test]
fn a_scope_allows_what_it_is_for() {
    use Api::{Activate, Deployments, Entries, Explain, PutBack, Reload, Revalidate, Stats, Tags, Unpin, Versions};
    let all = [Revalidate, Tags, Entries, Explain, Stats, Reload, Deployments, Activate, Versions, PutBack, Unpin];
    for call in all {
        let reads = matches!(call, Entries | Explain | Stats | Deployments | Versions);
        assert!(Scope::Full.allows(call), "{call:?}");
        assert_eq!(Scope::Read.allows(call), reads, "{call:?}");
        assert_eq!(Scope::Revalidate.allows(call), matches!(call, Revalidate | Tags), "{call:?}");
    }
}

/// The status of a refusal; 200 for none.
fn status(listening: &str, lines: &[(&'static str, &str)]) -> u16 {
    at_home(listening.parse().unwrap(), &fields(lines)).map_or_else(|problem| problem.told().0, |()| 200)
}

#[test]
fn on_a_loopback_address_no_name_but_localhost_is_asked_for() {
    for (host, expected) in [
        ("127.0.0.1:9900", 200),
        ("127.0.0.1", 200),
        ("10.1.2.3:80", 200),
        ("[::1]:9900", 200),
        ("[::1]", 200),
        ("localhost", 200),
        ("LocalHost:9900", 200),
        ("evil.example", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example:9900", 403),
        ("evil.example:9900", 403),
        ("localhost:", 403),
        ("localhost:+80", 403),
        ("localhost:99999", 403),
        ("localhost:80:80", 403),
        ("[::1", 403),
        ("[evil.example]:80", 403),
        ("[127.0.0.1]", 403),
        ("::1", 403),
        ("", 400),
    ] {
        for listening in ["127.0.0.1:9900", "[::1]:9900", "[::ffff:127.0.0.1]:9900"] {
            assert_eq!(status(listening, &[("host", host)]), expected, "`{host}` at {listening}");
        }
    }
    assert_eq!(status("127.0.0.1:9900", &[]), 400, "no Host at all");
    for listening in ["10.0.0.1:9900", "0.0.0.0:9900", "[::]:9900"] {
        assert_eq!(status(listening, &[("host", "larder.example")]), 200, "{listening} is reached by its names");
        assert_eq!(status(listening, &[]), 400, "{listening}");
    }
}

#[test]
fn an_origin_is_the_host_that_is_asked_or_foreign() {
    for (host, origin, expected) in [
        ("127.0.0.1:9900", "http://127.0.0.1:9900", 200),
        ("127.0.0.1:9900", "https://127.0.0.1:9900", 200),
        ("localhost:9900", "http://LOCALHOST:9900", 200),
        ("127.0.0.1:9900", "http://127.0.0.1", 403),
        ("127.0.0.1:9900", "http://127.0.0.1:9901", 403),
        ("127.0.0.1:9900", "http://localhost:9900", 403),
        ("127.0.0.1:9900", "http://evil.example", 403),
        ("127.0.0.1:9900", "http://127.0.0.1:9900.evil.example", 403),
        ("127.0.0.1:9900", "ftp://127.0.0.1:9900", 403),
        ("127.0.0.1:9900", "127.0.0.1:9900", 403),
        ("127.0.0.1:9900", "null", 403),
        ("127.0.0.1:9900", "", 403),
    ] {
        for listening in ["127.0.0.1:9900", "0.0.0.0:9900"] {
            assert_eq!(status(listening, &[("host", host), ("origin", origin)]), expected, "{origin} to {host}");
        }
    }
    let (host, own, foreign) = ("127.0.0.1:9900", "http://127.0.0.1:9900", "http://evil.example");
    assert_eq!(status(host, &[("host", host), ("origin", own), ("origin", foreign)]), 403);
}
