//! What the pure core costs: gathering facts, keys, the decision, and reading Cache-Control.

use criterion::{Criterion, criterion_group, criterion_main};
use semantics::cache_control::CacheControl;
use semantics::key::{KeyParts, write_primary};
use semantics::policy::Revalidate;
use semantics::{
    Facts, Field, Method, Policy, Request, Scheme, Selection, Timestamp, Windows, decide, query, targeted,
};
use std::hint::black_box;
use std::time::Duration;

/// What a browser behind one load balancer sends.
const BROWSER: [(&str, &str); 15] = [
    ("host", "www.example.com"),
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0 Safari/537.36"),
    ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"),
    ("accept-language", "de-AT,de;q=0.9,en;q=0.8"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("sec-fetch-dest", "document"),
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-site", "same-origin"),
    ("sec-ch-ua-platform", "\"Linux\""),
    ("upgrade-insecure-requests", "1"),
    ("referer", "https://www.example.com/"),
    ("cookie", "_ga=GA1.1.123456789.1700000000; _gid=GA1.1.987654321.1700000000"),
    ("cache-control", "max-age=0"),
    ("priority", "u=0, i"),
    ("x-forwarded-for", "2001:db8::1"),
];

fn browser() -> Vec<Field<'static>> {
    BROWSER.iter().map(|&(name, value)| Field { name, value: value.as_bytes() }).collect()
}

fn request<'a>(fields: &'a [Field<'a>]) -> Request<'a> {
    Request {
        method: Method::Get,
        scheme: Scheme::Https,
        host: "www.example.com",
        path: "/products/a-rather-ordinary-product-name",
        query: Some("page=2&utm_source=newsletter&sort=price"),
        fields,
    }
}

fn facts(c: &mut Criterion) {
    let fields = browser();
    c.bench_function("facts of 15 fields", |b| b.iter(|| Facts::of(black_box(&fields))));
}

fn keys(c: &mut Criterion) {
    let fields = browser();
    let request = request(&fields);
    let facts = Facts::of(&fields);
    let mut out = Vec::with_capacity(256);
    for (name, policy) in [("header-driven", Policy::header_driven()), ("ISR", Policy::isr(Revalidate::Never))] {
        c.bench_function(&format!("key, {name}"), |b| {
            b.iter(|| {
                let query = query::keyed(black_box(request.query), &policy.query, facts.rsc);
                let parts = KeyParts { deployment: "2024-11-06", request: black_box(&request), query };
                write_primary(&mut out, &parts, &facts, &policy);
                black_box(&out);
            });
        });
    }
}

fn decisions(c: &mut Criterion) {
    let fields = browser();
    let facts = Facts::of(&fields);
    let generated = Timestamp::from_secs(1_700_000_000);
    let after = |seconds| generated.after(Duration::from_secs(seconds));
    let windows = Windows {
        generated,
        age_at_generation: Duration::ZERO,
        fresh_until: after(60),
        stale_until: after(3600),
        error_until: Timestamp::NEVER,
    };
    let stored = Selection::Stored { windows, failing_until: None };
    for (name, selection, now) in
        [("fresh", stored, after(10)), ("stale", stored, after(600)), ("absent", Selection::Nothing, after(10))]
    {
        c.bench_function(&format!("decide, {name}"), |b| {
            b.iter(|| decide(black_box(&facts), black_box(selection), black_box(now)));
        });
    }
}

fn directives(c: &mut Criterion) {
    let plain: &[u8] = b"public, s-maxage=60, stale-while-revalidate=31535940";
    let quoted: &[u8] = b"private=\"set-cookie, x-user\", no-cache=\"a\", max-age=\"0\", must-revalidate";
    c.bench_function("Cache-Control, plain", |b| b.iter(|| CacheControl::parse([black_box(plain)])));
    c.bench_function("Cache-Control, quoted", |b| b.iter(|| CacheControl::parse([black_box(quoted)])));
    let targeted: &[u8] = b"max-age=60, stale-while-revalidate=31535940";
    c.bench_function("CDN-Cache-Control", |b| b.iter(|| targeted::parse([black_box(targeted)])));
}

criterion_group!(benches, facts, keys, decisions, directives);
criterion_main!(benches);
