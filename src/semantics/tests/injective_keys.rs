//! No two different requests ever write the same key (RFC 9111, 2; semantics 43).

use proptest::prelude::*;
use semantics::key::{KeyParts, write_primary, write_variant};
use semantics::{Facts, Field, Method, Policy, Request, Scheme};
use std::borrow::Cow;

/// What makes one key; short texts of few letters, so that parts could run into each other.
#[derive(Clone, Debug, PartialEq)]
struct Parts {
    site: (String, bool, String, String, Option<String>),
    rsc: Option<(Vec<String>, Vec<String>)>,
    data: Option<String>,
    tenant: Vec<String>,
    lang: Option<String>,
}

impl Parts {
    fn key(&self, policy: &Policy) -> Vec<u8> {
        let (deployment, https, host, path, query) = &self.site;
        let cookie = self.lang.as_ref().map(|lang| format!("lang={lang}"));
        let none: &[String] = &[];
        let (rsc, tree) = self.rsc.as_ref().map_or((none, none), |(rsc, tree)| (&rsc[..], &tree[..]));
        let named =
            |name: &'static str, values: &[String]| values.iter().map(|v| (name, v.clone())).collect::<Vec<_>>();
        let mut list: Vec<(&'static str, String)> = named("rsc", rsc);
        list.extend(named("next-url", tree));
        list.extend(named("x-tenant", &self.tenant));
        list.extend(self.data.iter().map(|v| ("x-nextjs-data", v.clone())));
        list.extend(cookie.map(|c| ("cookie", c)));
        let fields: Vec<Field<'_>> = list.iter().map(|(name, v)| Field { name, value: v.as_bytes() }).collect();
        let scheme = if *https { Scheme::Https } else { Scheme::Http };
        let request = Request { method: Method::Get, scheme, host, path, query: None, fields: &fields };
        let parts = KeyParts { deployment, request: &request, query: query.as_deref().map(Cow::Borrowed) };
        let mut out = Vec::new();
        write_primary(&mut out, &parts, &Facts::of(&fields), policy);
        out
    }
}

fn parts() -> impl Strategy<Value = Parts> {
    let text = || "[ab\\x00\\x01]{0,2}";
    let texts = move |least: usize| prop::collection::vec(text(), least..3);
    let optional = move || prop::option::of(text());
    let site = (text(), any::<bool>(), text(), text(), optional());
    (site, prop::option::of((texts(1), texts(0))), optional(), texts(0), prop::option::of("[ab]{0,2}"))
        .prop_map(|(site, rsc, data, tenant, lang)| Parts { site, rsc, data, tenant, lang })
}

fn nominated_value() -> impl Strategy<Value = (String, Option<Vec<u8>>)> {
    ("[ab\\x00\\x01]{0,2}", prop::option::of(prop::collection::vec(0..2u8, 0..3)))
}

proptest! {
    #[test]
    fn two_different_tuples_never_give_the_same_bytes(a in parts(), b in parts(), keys in 0..3usize) {
        let tenant = if keys > 0 { vec!["x-tenant".to_owned()] } else { Vec::new() };
        let lang = if keys > 1 { vec!["lang".to_owned()] } else { Vec::new() };
        let policy = Policy { key_headers: tenant, key_cookies: lang, ..Policy::header_driven() };
        // What the policy does not key is no part of the tuple; one part of the other at a time makes near misses.
        let unkeyed = |p: Parts| Parts {
            tenant: if keys > 0 { p.tenant } else { Vec::new() },
            lang: if keys > 1 { p.lang } else { None },
            ..p
        };
        let (a, b) = (unkeyed(a), unkeyed(b));
        let near = [
            b.clone(),
            Parts { site: b.site.clone(), ..a.clone() },
            Parts { rsc: b.rsc.clone(), ..a.clone() },
            Parts { data: b.data.clone(), ..a.clone() },
            Parts { tenant: b.tenant.clone(), ..a.clone() },
            Parts { lang: b.lang, ..a.clone() },
        ];
        for other in near {
            prop_assert_eq!(a.key(&policy) == other.key(&policy), a == other, "{:?} and {:?}", a, other);
        }
    }

    #[test]
    fn moving_a_boundary_moves_the_key(text in "[a/]{1,300}", i in 0..300usize, j in 0..300usize) {
        let (i, j) = (i.min(text.len()), j.min(text.len()));
        let of = |at: usize| {
            let (host, path) = text.split_at(at);
            let request = Request { method: Method::Get, scheme: Scheme::Https, host, path, query: None, fields: &[] };
            let parts = KeyParts { deployment: "", request: &request, query: None };
            let mut out = Vec::new();
            write_primary(&mut out, &parts, &Facts::default(), &Policy::header_driven());
            out
        };
        prop_assert_eq!(of(i) == of(j), i == j);
    }

    #[test]
    fn two_different_variants_never_give_the_same_bytes(
        a in prop::collection::vec(nominated_value(), 0..3),
        b in prop::collection::vec(nominated_value(), 0..3),
        keys in ("[ab\\x01]{0,2}", "[ab\\x01]{0,2}"),
    ) {
        let of = |primary: &str, variant: &[(String, Option<Vec<u8>>)]| {
            let mut out = b"before".to_vec();
            write_variant(&mut out, primary.as_bytes(), variant);
            out
        };
        prop_assert_eq!(of(&keys.0, &a) == of(&keys.1, &b), keys.0 == keys.1 && a == b);
    }
}
