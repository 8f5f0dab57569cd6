//! Whatever was written into a key is read back from it (semantics 43).

use proptest::prelude::*;
use semantics::key::{Key, KeyParts, host_and_path, read, write_primary, write_variant};
use semantics::{Facts, Field, Method, Policy, Request, Scheme};
use std::borrow::Cow;

/// A request as it is keyed; short texts of few letters, so that parts could run into each other.
#[derive(Clone, Debug)]
struct Asked {
    deployment: String,
    scheme: Scheme,
    host: String,
    path: String,
    query: Option<String>,
    /// Names and lines, in any order; a cookie is one of its pairs.
    fields: Vec<(&'static str, String)>,
    cookies: Vec<(&'static str, String)>,
}

const HEADERS: [&str; 2] = ["x-tenant", "x-region"];
const COOKIES: [&str; 2] = ["lang", "theme"];
/// In the order of the key: the group, then what a route may key.
const NAMES: [&str; 5] = ["rsc", "next-url", "x-nextjs-data", HEADERS[0], HEADERS[1]];

impl Asked {
    fn key(&self, policy: &Policy) -> Vec<u8> {
        let pairs: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let cookie = pairs.join("; ");
        let mut fields: Vec<Field<'_>> =
            self.fields.iter().map(|(name, value)| Field { name, value: value.as_bytes() }).collect();
        fields.push(Field { name: "cookie", value: cookie.as_bytes() });
        let Asked { host, path, scheme, .. } = self;
        let request = Request { method: Method::Get, scheme: *scheme, host, path, query: None, fields: &fields };
        let query = self.query.as_deref().map(Cow::Borrowed);
        let parts = KeyParts { deployment: &self.deployment, request: &request, query };
        let mut out = Vec::new();
        write_primary(&mut out, &parts, &Facts::of(&fields), policy);
        out
    }

    /// What is in the key, worked out another way.
    fn expected(&self, policy: &Policy) -> Key {
        let rsc = self.fields.iter().any(|(name, _)| *name == "rsc");
        let mut fields = Vec::new();
        for name in NAMES {
            let keyed = match name {
                "rsc" | "next-url" => rsc,
                "x-nextjs-data" => true,
                _ => policy.key_headers.iter().any(|key| key == name),
            };
            let lines: Vec<&str> =
                self.fields.iter().filter(|(field, _)| *field == name).map(|(_, v)| v.as_str()).collect();
            if keyed && !lines.is_empty() {
                fields.push((name.to_owned(), lines.join(", ")));
            }
        }
        for name in &policy.key_cookies {
            if let Some((_, value)) = self.cookies.iter().find(|(cookie, _)| cookie == name) {
                fields.push((format!("cookie:{name}"), value.clone()));
            }
        }
        let (deployment, host) = (self.deployment.clone(), self.host.clone());
        let (scheme, path) = (self.scheme.as_str().to_owned(), self.path.clone());
        Key { deployment, scheme, host, path, query: self.query.clone(), fields }
    }
}

fn policy(headers: usize, cookies: usize) -> Policy {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Policy {
        key_headers: owned(&HEADERS[..headers]),
        key_cookies: owned(&COOKIES[..cookies]),
        ..Policy::header_driven()
    }
}

fn asked() -> impl Strategy<Value = Asked> {
    let text = || "[ab\\x00\\x01\u{e9}]{0,3}";
    let scheme = prop_oneof![Just(Scheme::Http), Just(Scheme::Https)];
    let fields = prop::collection::vec((prop::sample::select(NAMES.to_vec()), text()), 0..6);
    let cookies = prop::sample::subsequence(COOKIES.to_vec(), 0..=COOKIES.len())
        .prop_flat_map(|names| names.into_iter().map(|name| (Just(name), "[ab]{0,2}")).collect::<Vec<_>>());
    (text(), scheme, text(), "/[a\\x00\\x01]{0,200}", prop::option::of(text()), fields, cookies).prop_map(
        |(deployment, scheme, host, path, query, fields, cookies)| Asked {
            deployment,
            scheme,
            host,
            path,
            query,
            fields,
            cookies,
        },
    )
}

proptest! {
    #[test]
    fn what_was_written_is_read_back(asked in asked(), headers in 0..=2usize, cookies in 0..=2usize) {
        let policy = policy(headers, cookies);
        let expected = asked.expected(&policy);
        let primary = asked.key(&policy);
        prop_assert_eq!(read(&primary, false), Some(expected.clone()));
        prop_assert_eq!(host_and_path(&primary, false), Some((asked.host.as_bytes(), asked.path.as_bytes())));

        let nominated = [("accept-language".to_owned(), Some(b"de".to_vec())), ("x-a".to_owned(), None)];
        for count in 0..=nominated.len() {
            let mut variant = Vec::new();
            write_variant(&mut variant, &primary, &nominated[..count]);
            prop_assert_eq!(read(&variant, true), Some(expected.clone()));
            prop_assert_eq!(host_and_path(&variant, true), Some((asked.host.as_bytes(), asked.path.as_bytes())));
        }
    }

    #[test]
    fn what_is_no_key_is_not_read(asked in asked(), cut in any::<prop::sample::Index>(), end in "[a-c]{1,3}") {
        let policy = policy(2, 2);
        let key = asked.key(&policy);
        let longer = [&key[..], end.as_bytes()].concat();
        prop_assert_eq!(read(&longer, false), None, "more than a key");
        // A key may end after any of its fields, but not before they begin.
        let url = Asked { fields: Vec::new(), cookies: Vec::new(), ..asked }.key(&policy);
        prop_assert_eq!(read(&key[..cut.index(url.len())], false), None, "cut off");
    }

    #[test]
    fn no_bytes_are_too_strange_to_look_at(
        bytes in prop::collection::vec(any::<u8>(), 0..80),
        variant in any::<bool>(),
    ) {
        let found = host_and_path(&bytes, variant);
        let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if let Some(key) = read(&bytes, variant) {
            prop_assert_eq!(Some((key.host, key.path)), found.map(|(host, path)| (lossy(host), lossy(path))));
        }
    }
}

fn read_of(query: Option<&str>, fields: &[Field<'_>], policy: &Policy) -> Key {
    let request =
        Request { method: Method::Get, scheme: Scheme::Https, host: "x.com", path: "/p%20q", query: None, fields };
    let parts = KeyParts { deployment: "d1", request: &request, query: query.map(Cow::Borrowed) };
    let mut out = Vec::new();
    write_primary(&mut out, &parts, &Facts::of(fields), policy);
    read(&out, false).expect("a key that was just written")
}

#[test]
fn a_key_gives_the_url_that_was_asked_for() {
    let policy = Policy::header_driven();
    assert_eq!(read_of(None, &[], &policy).url(), "https://x.com/p%20q");
    assert_eq!(read_of(Some("a=1&b"), &[], &policy).url(), "https://x.com/p%20q?a=1&b");
    assert_eq!(read_of(Some("a=1&b"), &[], &policy).query.as_deref(), Some("a=1&b"));
}

#[test]
fn a_value_that_is_not_utf_8_is_read_with_replacements() {
    let policy = policy(1, 0);
    let key = read_of(None, &[Field { name: "X-Tenant", value: b"a\xff" }], &policy);
    assert_eq!(key.fields, [("x-tenant".to_owned(), "a\u{fffd}".to_owned())]);
}

#[test]
fn lengths_beyond_any_key_are_refused() {
    for bytes in [&[][..], &[0xff; 4], &[0xff; 64], &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x7f]] {
        for variant in [false, true] {
            assert_eq!(read(bytes, variant), None, "{bytes:?}");
            assert_eq!(host_and_path(bytes, variant), None, "{bytes:?}");
        }
    }
}
