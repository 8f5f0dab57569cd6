//! What Larder itself sends, and what no client can make it send or store: canonical fills, forwarding fields, hosts,
//! loops and unkeyed input (semantics 1, 2, 43, 52).

use crate::dsl::{Edge, HOST, Origin, PLAIN, Reply, Seen};

const FRESH: &str = "s-maxage=60";
const ISR: &str = "routes:\n  - name: pages\n    match: /isr/**\n    revalidate: 60s\n";
const TRUSTING: &str = "server:\n  trusted_proxies: [127.0.0.0/8]\n";
const MARKER: &str = "evil-marker";

/// A page that repeats all that it was asked with, and may be stored.
fn reflecting(seen: &Seen) -> Reply {
    let lines: String = seen.lines.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
    Reply::ok(format!("{} {}\n{lines}{}", seen.method, seen.target, seen.text())).cache_control(FRESH)
}

/// Fields by which frameworks and proxies can be led astray.
const UNKEYED: &[&str] = &[
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Forwarded-Port",
    "X-Forwarded-Scheme",
    "X-Forwarded-Prefix",
    "X-Forwarded-For",
    "Forwarded",
    "X-Real-IP",
    "True-Client-IP",
    "CF-Connecting-IP",
    "X-Host",
    "X-Original-URL",
    "X-Rewrite-URL",
    "X-HTTP-Method-Override",
    "X-Method-Override",
    "X-Middleware-Prefetch",
    "X-Middleware-Subrequest",
    "X-Now-Route-Matches",
    "X-Matched-Path",
    "X-Invoke-Path",
    "X-Prerender-Revalidate",
    "X-Anything",
    "Origin",
    "Cookie",
];

#[tokio::test]
async fn no_unkeyed_field_gets_into_a_stored_page() {
    let origin = Origin::start().await;
    origin.everything(reflecting);
    let edge = Edge::with_config(&origin, &[PLAIN, ISR].concat()).await;
    for (n, field) in UNKEYED.iter().enumerate() {
        for path in [format!("/p/{n}"), format!("/isr/{n}")] {
            edge.get(&path).header(field, &format!("x={MARKER}")).await.status(200);
            let stored = edge.stored(&path).await;
            assert!(!stored.text().contains(MARKER), "{field} poisons {path}:\n{}", stored.text());
        }
    }
}

#[tokio::test]
async fn neither_does_a_body_nor_a_dropped_parameter() {
    let origin = Origin::start().await;
    origin.everything(reflecting);
    let edge = Edge::with_config(&origin, &[PLAIN, ISR].concat()).await;
    for path in ["/p", "/isr/p"] {
        edge.get(path).body(MARKER).await.status(200);
        edge.get(&format!("{path}?utm_source={MARKER}")).await.status(200);
        edge.post(path, MARKER).header("X-HTTP-Method-Override", "GET").await.status(200);
        assert!(!edge.stored(path).await.text().contains(MARKER), "{path}");
    }
}

#[tokio::test]
async fn a_fill_for_an_isr_route_is_canonical() {
    let origin = Origin::start().await;
    origin.page("/isr/p", "x");
    let edge = Edge::with_config(&origin, &[PLAIN, ISR, "    forward_headers: [X-Build]\n"].concat()).await;
    let visitor = edge.get("/isr/p").cookie("session=1").header("User-Agent", "Mozilla").header("X-Build", "7");
    let visitor =
        visitor.header("Accept-Encoding", "gzip, br").header("If-None-Match", "\"x\"").header("TE", "trailers");
    visitor.header("X-Forwarded-For", "1.2.3.4").header("X-Anything", "1").await.status(200);
    let fill = origin.last("/isr/p");
    assert_eq!(fill.method, "GET");
    for (name, value) in [
        ("host", HOST),
        ("accept-encoding", "identity"),
        ("x-forwarded-host", HOST),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-port", "80"),
        ("x-build", "7"),
    ] {
        assert_eq!(fill.field(name).as_deref(), Some(value), "{name}");
    }
    assert!(fill.field("user-agent").unwrap().starts_with("Larder/"));
    assert!(fill.field("via").unwrap().starts_with("1.1 larder-"));
    for name in ["cookie", "if-none-match", "x-forwarded-for", "x-anything", "te", "range"] {
        assert_eq!(fill.field(name), None, "{name}");
    }
}

#[tokio::test]
async fn the_first_fetch_of_a_page_carries_what_a_browser_says_of_itself_and_the_next_does_not() {
    let origin = Origin::start().await;
    origin.page("/p", "v1").cache_control("s-maxage=1, stale-while-revalidate=600");
    let edge = Edge::start(&origin).await;
    let browser = edge.get("/p").header("User-Agent", "Mozilla").header("Sec-CH-UA-Mobile", "?1");
    browser.header("X-Forwarded-For", "1.2.3.4").header("CF-IPCountry", "CH").await.is("v1");
    edge.until_stale("/p").await;
    origin.asked("/p", 2).await;
    let seen = origin.requests("/p");
    let (first, refresh) = (&seen[0], &seen[1]);
    assert_eq!(first.field("user-agent").as_deref(), Some("Mozilla"));
    assert_eq!(first.field("sec-ch-ua-mobile").as_deref(), Some("?1"));
    assert!(refresh.field("user-agent").unwrap().starts_with("Larder/"));
    for seen in [first, refresh] {
        assert_eq!((seen.field("x-forwarded-for"), seen.field("cf-ipcountry")), (None, None));
        assert_eq!(seen.field("accept-encoding").as_deref(), Some("identity"));
    }
    assert_eq!(refresh.field("sec-ch-ua-mobile"), None);
}

#[tokio::test]
async fn what_frameworks_say_to_themselves_never_comes_from_outside() {
    let origin = Origin::start().await;
    origin.everything(|_| Reply::ok("x"));
    let edge = Edge::with_config(&origin, &[PLAIN, TRUSTING].concat()).await;
    let internal = [
        "x-middleware-subrequest",
        "x-middleware-prefetch",
        "x-now-route-matches",
        "x-matched-path",
        "x-invoke-status",
        "x-prerender-revalidate",
        "x-original-url",
        "x-rewrite-url",
        "x-http-method-override",
    ];
    for (method, path) in [("POST", "/post"), ("GET", "/get"), ("GET", "/member")] {
        let request = edge.ask(method, path).header("X-Kept", "1").cookie("session=1");
        let request = internal.iter().fold(request, |request, name| request.header(name, MARKER));
        request.await.status(200);
        assert_eq!(origin.last(path).field("x-kept").as_deref(), Some("1"));
    }
    assert!(!origin.heard(MARKER));
}

#[tokio::test]
async fn forwarding_fields_of_strangers_are_replaced() {
    let origin = Origin::start().await;
    origin.page("/p", "x");
    let edge = Edge::start(&origin).await;
    let lying = edge.post("/p", "x").header("X-Forwarded-For", "1.2.3.4").header("X-Forwarded-Proto", "https");
    let lying = lying.header("X-Forwarded-Host", "evil.test").header("X-Forwarded-Port", "443");
    lying.header("Forwarded", "for=1.2.3.4;host=evil.test").header("X-Real-IP", "1.2.3.4").await.status(200);
    let seen = origin.last("/p");
    for (name, value) in [
        ("x-forwarded-for", Some("127.0.0.1")),
        ("x-forwarded-proto", Some("http")),
        ("x-forwarded-host", Some(HOST)),
        ("x-forwarded-port", Some("80")),
        ("x-real-ip", None),
    ] {
        assert_eq!(seen.field(name).as_deref(), value, "{name}");
    }
    assert!(!origin.heard("1.2.3.4") && !origin.heard("evil.test"));
    assert!(seen.field("via").unwrap().starts_with("1.1 larder-"));
}

#[tokio::test]
async fn a_trusted_proxy_is_believed() {
    let origin = Origin::start().await;
    origin.dynamic("/p", |seen| Reply::ok(seen.field("x-forwarded-proto").unwrap()).cache_control(FRESH));
    let edge = Edge::with_config(&origin, &[PLAIN, TRUSTING].concat()).await;
    let secure = edge.post("/p", "x").header("X-Forwarded-For", "1.2.3.4").header("X-Forwarded-Proto", "https");
    secure.await.is("https");
    assert_eq!(origin.last("/p").field("x-forwarded-for").as_deref(), Some("1.2.3.4, 127.0.0.1"));
    assert_eq!(origin.last("/p").field("x-forwarded-port").as_deref(), Some("443"));
    // The scheme is part of the key.
    edge.get("/p").header("X-Forwarded-Proto", "https").await.is("https");
    edge.get("/p").await.is("http").cache_status("fwd=uri-miss");
}

#[tokio::test]
async fn a_strangers_scheme_is_the_listeners() {
    let origin = Origin::start().await;
    origin.dynamic("/p", |seen| Reply::ok(seen.field("x-forwarded-proto").unwrap()).cache_control(FRESH));
    let edge = Edge::start(&origin).await;
    edge.get("/p").header("X-Forwarded-Proto", "https").await.is("http");
    edge.stored("/p").await.is("http");
}

#[tokio::test]
async fn a_site_is_its_first_host_and_strange_hosts_get_421() {
    let origin = Origin::start().await;
    origin.everything(|seen| Reply::ok(seen.field("host").unwrap()).cache_control(FRESH));
    let hosts = "hosts: [[www.shop.test, shop.test]]\n";
    let edge = Edge::with_config(&origin, &[PLAIN, hosts].concat()).await;
    edge.get("/p").host("shop.test").await.is("www.shop.test");
    edge.get("/p").host("www.shop.test").await.is("www.shop.test");
    edge.get("/p").host("SHOP.test:80").await.is("www.shop.test");
    edge.post("/p", "x").host("shop.test").await.is("www.shop.test");
    for strange in ["evil.test", "shop.test.evil.test", "127.0.0.1", "xshop.test"] {
        for method in ["GET", "POST"] {
            edge.ask(method, "/p").host(strange).await.status(421).header("Cache-Control", "no-store");
        }
    }
    assert!(!origin.heard("evil"));
    let fills = origin.requests("/p").iter().filter(|seen| seen.method == "GET").count();
    assert_eq!(fills, 1, "both names are one site");
}

#[tokio::test]
async fn the_host_towards_the_origin_may_be_its_own() {
    let origin = Origin::start().await;
    origin.everything(|seen| {
        Reply::ok(format!("{} {}", seen.field("host").unwrap(), seen.field("x-forwarded-host").unwrap()))
    });
    let own = "origins:\n  app:\n    servers: [{ url: \"{origin}\" }]\n    host: origin\n";
    let edge = Edge::with_config(&origin, &PLAIN.replace("origin: {origin}\n", own)).await;
    let expected = format!("{} {HOST}", origin.url().trim_start_matches("http://"));
    edge.get("/p").await.is(&expected);
    edge.post("/p", "x").await.is(&expected);
}

#[tokio::test]
async fn a_request_that_comes_round_again_is_508() {
    let origin = Origin::start().await;
    origin.page("/p", "x").cache_control(FRESH);
    origin.page("/stored", "x").cache_control(FRESH);
    let edge = Edge::start(&origin).await;
    edge.stored("/stored").await;
    let via = origin.last("/stored").field("via").unwrap();
    edge.get("/p").header("Via", &via).await.status(508).header("Cache-Control", "no-store");
    edge.get("/p").header("Via", &format!("1.0 first, {via}")).await.status(508);
    edge.post("/p", "x").header("Via", &via).await.status(508);
    assert_eq!(origin.count("/p"), 0);
    edge.get("/p").header("Via", "1.1 larder-somebody-else").await.status(200);
    assert!(edge.post("/p", "x").header("Via", "1.1 front").await.code == 200);
    assert_eq!(origin.last("/p").field("via").unwrap(), format!("1.1 front, {via}"));
}

#[tokio::test]
async fn larder_in_front_of_itself_ends_as_an_error() {
    let origin = Origin::start().await;
    let edge = Edge::with_config(&origin, &PLAIN.replace("{origin}", "http://{listen}")).await;
    edge.get("/p").await.status(508);
    edge.post("/p", "x").await.status(508);
    // And it lives.
    edge.admin_get("/healthz").await.status(200);
}

#[tokio::test]
async fn ambiguous_paths_match_no_isr_route() {
    let origin = Origin::start().await;
    origin.everything(|seen| Reply::ok(seen.target.clone()));
    let edge = Edge::with_config(&origin, &[PLAIN, ISR].concat()).await;
    for path in ["/isr//a", "/isr/../b", "/isr/a%2fb", "/isr/a%5Cb", "/isr/a;b", "/isr/%2e%2e/b", "/ISR/a"] {
        for n in 1..=2 {
            edge.get(path).await.is(path);
            assert_eq!(origin.count(path), n, "{path} is not stored");
        }
    }
    edge.stored("/isr/%61").await.is("/isr/%61");
}
