//! `profile: rfc9111` section by section, in tables, through the real binary: what the public suite's older layout lacks.

use crate::dsl::{Edge, Origin, Reply, Request, Response, until};
use std::time::Duration;

const LONG_AGO: (&str, &str) = ("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT");
const CC: &str = "Cache-Control";
const CDN: &str = "CDN-Cache-Control";

type Fields = &'static [(&'static str, &'static str)];

async fn edge(origin: &Origin) -> Edge {
    let yaml = "listen: '{listen}'\norigin: {origin}\nadmin: { listen: '{admin}' }\nprofile: rfc9111\n";
    Edge::with_config(origin, yaml).await
}

fn reply(status: u16, fields: Fields) -> Reply {
    let body = if status == 204 { "" } else { "page" };
    fields.iter().fold(Reply::ok(body).status(status), |reply, (name, value)| reply.header(name, value))
}

fn with(request: Request, fields: Fields) -> Request {
    fields.iter().fold(request, |request, (name, value)| request.header(name, value))
}

/// The second of two answers. Who comes before the first is stored shares its fill, and that says nothing: he asks again.
async fn second_of(edge: &Edge, path: &str, first: Fields, second: Fields) -> Response {
    with(edge.get(path), first).await;
    let mut again = None;
    until(&format!("{path} has come to its end"), async || {
        let answer = with(edge.get(path), second).await;
        let shared = answer.field("cache-status").is_some_and(|told| told.contains("collapsed"));
        again = Some(answer);
        !shared
    })
    .await;
    again.unwrap()
}

/// RFC 9111, 4.2.2, and RFC 9110, 15.1: which answers without a lifetime are given one.
#[tokio::test]
async fn heuristic_freshness() {
    let rows: &[(&str, u16, Fields, bool)] = &[
        ("200", 200, &[LONG_AGO], true),
        ("203", 203, &[LONG_AGO], true),
        ("204", 204, &[LONG_AGO], true),
        ("300", 300, &[LONG_AGO], true),
        ("301", 301, &[LONG_AGO, ("Location", "/x")], true),
        ("308", 308, &[LONG_AGO, ("Location", "/x")], true),
        ("404", 404, &[LONG_AGO], true),
        ("405", 405, &[LONG_AGO], true),
        ("410", 410, &[LONG_AGO], true),
        ("201 is not among them", 201, &[LONG_AGO], false),
        ("302 neither", 302, &[LONG_AGO, ("Location", "/x")], false),
        ("307 neither", 307, &[LONG_AGO, ("Location", "/x")], false),
        ("403 neither", 403, &[LONG_AGO], false),
        ("an unknown status neither", 299, &[LONG_AGO], false),
        ("but `public` allows it", 201, &[LONG_AGO, (CC, "public")], true),
        ("without Last-Modified there is nothing to go by", 200, &[], false),
        ("nor with one in the future", 200, &[("Last-Modified", "Fri, 06 Nov 2076 08:49:37 GMT")], false),
        ("nor with one that is no date", 200, &[("Last-Modified", "long ago")], false),
        ("no-cache forbids it", 200, &[LONG_AGO, (CC, "no-cache")], false),
        ("no-store forbids it", 200, &[LONG_AGO, (CC, "no-store")], false),
        ("private forbids it", 200, &[LONG_AGO, (CC, "private")], false),
        ("a lifetime of its own counts", 200, &[LONG_AGO, (CC, "max-age=0")], false),
        ("Expires too", 200, &[LONG_AGO, ("Expires", "0")], false),
    ];
    let origin = Origin::start().await;
    let edge = edge(&origin).await;
    for (n, (what, status, fields, reused)) in rows.iter().enumerate() {
        let path = format!("/{n}");
        origin.answers(&path, reply(*status, fields));
        let again = second_of(&edge, &path, &[], &[]).await;
        assert_eq!((again.is_hit(), again.code), (*reused, *status), "{what}: {again:?}");
    }
}

/// RFC 9111, 3.5: what a request with Authorization leaves for others.
#[tokio::test]
async fn answers_to_authorized_requests() {
    const SIGNED: Fields = &[("Authorization", "Basic eDp5")];
    let rows: &[(&str, Fields, bool)] = &[
        ("a lifetime is not enough", &[(CC, "max-age=60")], false),
        ("nor Expires", &[("Expires", "Fri, 06 Nov 2076 08:49:37 GMT")], false),
        ("nor a validator", &[("ETag", "\"v1\""), LONG_AGO], false),
        ("nor proxy-revalidate", &[(CC, "max-age=60, proxy-revalidate")], false),
        ("nor immutable", &[(CC, "max-age=60, immutable")], false),
        ("public is", &[(CC, "max-age=60, public")], true),
        ("s-maxage is", &[(CC, "s-maxage=60")], true),
        ("must-revalidate is", &[(CC, "max-age=60, must-revalidate")], true),
        ("public in any case", &[(CC, "PUBLIC, Max-Age=60")], true),
        ("but not beside no-store", &[(CC, "public, no-store, max-age=60")], false),
        ("nor beside private", &[(CC, "public, private, max-age=60")], false),
        ("a targeted field says it", &[(CDN, "public, max-age=60")], true),
        ("and hides what others say", &[(CDN, "max-age=60"), (CC, "public, max-age=60")], false),
    ];
    let origin = Origin::start().await;
    let edge = edge(&origin).await;
    for (n, (what, fields, reused)) in rows.iter().enumerate() {
        let path = format!("/{n}");
        origin.answers(&path, reply(200, fields));
        let again = second_of(&edge, &path, SIGNED, SIGNED).await;
        assert_eq!(again.is_hit(), *reused, "{what}: {again:?}");
        again.status(200);
    }
}

/// RFC 9111, 5.2.1.7, also beside other directives of a request.
#[tokio::test]
async fn only_if_cached() {
    let origin = Origin::start().await;
    origin.page("/fresh", "page").cache_control("max-age=60");
    origin.page("/stale", "page").cache_control("max-age=1");
    origin.page("/never", "page").cache_control("no-store");
    origin.answers("/varies", Reply::ok("page").cache_control("max-age=60").header("Vary", "X-Kind"));
    let edge = edge(&origin).await;
    let clock = Duration::from_millis(2100);
    edge.get("/varies").header("X-Kind", "a").await.status(200);
    for path in ["/fresh", "/stale", "/never"] {
        edge.get(path).await.status(200);
    }
    let since = tokio::time::Instant::now();
    until("it is stale", async || since.elapsed() > clock).await;
    let asked = origin.total();
    let rows: &[(&str, &str, &str, Fields, u16)] = &[
        ("fresh", "/fresh", "only-if-cached", &[], 200),
        ("in any case", "/fresh", "Only-If-Cached", &[], 200),
        ("nothing stored", "/unknown", "only-if-cached", &[], 504),
        ("not to be stored", "/never", "only-if-cached", &[], 504),
        ("a value says nothing", "/unknown", "only-if-cached=1", &[], 504),
        ("stale", "/stale", "only-if-cached", &[], 504),
        // Advice, which is not taken: a client does not decide what the origin has to do (RFC 9111, 5.2.1).
        ("stale, and that is enough", "/stale", "only-if-cached, max-stale", &[], 504),
        ("not to be used unseen", "/fresh", "only-if-cached, no-cache", &[], 200),
        ("older than wanted", "/fresh", "only-if-cached, max-age=0", &[], 200),
        ("not fresh for long enough", "/fresh", "only-if-cached, min-fresh=100", &[], 200),
        ("the variant that is there", "/varies", "only-if-cached", &[("X-Kind", "a")], 200),
        ("another one", "/varies", "only-if-cached", &[("X-Kind", "b")], 504),
        ("a part of what is there", "/fresh", "only-if-cached", &[("Range", "bytes=0-1")], 206),
    ];
    for (what, path, directives, fields, status) in rows {
        let answer = with(edge.get(path).header(CC, directives), fields).await;
        assert_eq!(answer.code, *status, "{what}: {answer:?}");
    }
    assert_eq!(origin.total(), asked, "the origin is not asked");
}

/// RFC 5861, 3, with RFC 9111, 5.2.2.10: `s-maxage` forbids stale use, unless the answer itself allows it.
#[tokio::test]
async fn stale_while_revalidate_beside_what_forbids_it() {
    let rows: &[(&str, Fields, Fields, bool)] = &[
        ("s-maxage", &[(CC, "s-maxage=1, stale-while-revalidate=60")], &[], true),
        ("on two lines", &[(CC, "s-maxage=1"), (CC, "stale-while-revalidate=60")], &[], true),
        ("max-age", &[(CC, "max-age=1, stale-while-revalidate=60")], &[], true),
        ("s-maxage before max-age", &[(CC, "s-maxage=1, max-age=60, stale-while-revalidate=60")], &[], true),
        ("without a value", &[(CC, "s-maxage=1, stale-while-revalidate")], &[], true),
        ("in a targeted field", &[(CDN, "max-age=1, stale-while-revalidate=60"), (CC, "max-age=60")], &[], true),
        ("none", &[(CC, "s-maxage=1")], &[], false),
        ("none of max-age", &[(CC, "max-age=1")], &[], false),
        ("nothing", &[(CC, "s-maxage=1, stale-while-revalidate=0")], &[], false),
        ("must-revalidate", &[(CC, "s-maxage=1, stale-while-revalidate=60, must-revalidate")], &[], false),
        ("proxy-revalidate", &[(CC, "s-maxage=1, stale-while-revalidate=60, proxy-revalidate")], &[], false),
        ("no-cache", &[(CC, "s-maxage=1, stale-while-revalidate=60, no-cache")], &[], false),
        (
            "hidden by a targeted field",
            &[(CDN, "max-age=1"), (CC, "s-maxage=1, stale-while-revalidate=60")],
            &[],
            false,
        ),
        // Advice, which is not taken.
        ("a client who wants none", &[(CC, "s-maxage=1, stale-while-revalidate=60")], &[(CC, "max-age=0")], true),
        (
            "a client who wants it confirmed",
            &[(CC, "s-maxage=1, stale-while-revalidate=60")],
            &[(CC, "no-cache")],
            true,
        ),
    ];
    let origin = Origin::start().await;
    let edge = edge(&origin).await;
    for (n, (_, fields, ..)) in rows.iter().enumerate() {
        origin.answers(&format!("/{n}"), reply(200, fields));
        edge.get(&format!("/{n}")).await.status(200);
    }
    let since = tokio::time::Instant::now();
    until("all are stale", async || since.elapsed() > Duration::from_millis(2100)).await;
    for (n, (what, _, asked, stale)) in rows.iter().enumerate() {
        let answer = with(edge.get(&format!("/{n}")), asked).await;
        answer.status(200).is("page");
        assert_eq!(answer.is_stale(), *stale, "{what}: {answer:?}");
    }
}

/// RFC 9111, 4.4: what an unsafe method leaves of what is stored.
#[tokio::test]
async fn invalidation_by_unsafe_methods() {
    let rows: &[(&str, &str, u16, &str, bool)] = &[
        ("POST", "POST", 200, "", false),
        ("PUT", "PUT", 204, "", false),
        ("DELETE", "DELETE", 200, "", false),
        ("PATCH", "PATCH", 200, "", false),
        ("an unknown method", "FROB", 200, "", false),
        ("created", "POST", 201, "", false),
        ("sent elsewhere", "POST", 303, "Location: /elsewhere", false),
        ("refused", "POST", 403, "", true),
        ("failed", "POST", 500, "", true),
        ("a safe method", "OPTIONS", 200, "", true),
        ("HEAD", "HEAD", 200, "", true),
        ("what Location names", "POST", 201, "Location: {}", false),
        ("what Content-Location names", "POST", 200, "Content-Location: {}", false),
        ("not on another host", "POST", 201, "Location: http://other.test{}", true),
    ];
    let origin = Origin::start().await;
    let edge = edge(&origin).await;
    for (n, (what, method, status, line, kept)) in rows.iter().enumerate() {
        let (page, elsewhere) = (format!("/{n}"), format!("/{n}/write"));
        let named = line.contains("{}");
        let answer = match line.replace("{}", &page).split_once(": ") {
            Some((name, value)) => Reply::ok("").status(*status).header(name, value),
            None => Reply::ok("").status(*status),
        };
        let written = if named { &elsewhere } else { &page };
        let (unsafe_method, wrote) = ((*method).to_owned(), answer.clone());
        origin.everything(move |seen| {
            if seen.method == unsafe_method { wrote.clone() } else { Reply::ok("page").cache_control("max-age=60") }
        });
        edge.stored(&page).await;
        edge.ask(method, written).await.status(*status);
        let after = edge.get(&page).await;
        assert_eq!(after.is_hit(), *kept, "{what}: {after:?}");
    }
}
