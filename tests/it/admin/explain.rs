//! What a visit would get, in every case that there is, and that asking changes nothing.

use super::{FULL, assert_problem, document, get, guarded, post, with};
use crate::dsl::{Crowd, Edge, HOST, Origin, Reply, SHORT, until};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const ROUTES: &str = "routes:\n  - { name: api, match: /api/**, bypass: true }\n  \
                      - { name: post, match: \"/blog/{slug}\", revalidate: 1h, key: { query: [page] } }\n  \
                      - { name: feed, match: { path: /feed, methods: [GET] }, revalidate: never }\n";

/// What a visit would get, of a URL on the site and of field lines.
async fn explain(edge: &Edge, path: &str, lines: &[&str]) -> Value {
    explain_url(edge, &format!("http://{HOST}{path}"), lines).await
}

async fn explain_url(edge: &Edge, url: &str, lines: &[&str]) -> Value {
    let mut target = format!("/v1/explain?url={}", encoded(url));
    for line in lines {
        target += &format!("&header={}", encoded(line));
    }
    let explained = get(edge, &target).await;
    assert_whole(&explained);
    explained
}

fn encoded(text: &str) -> String {
    let kept = |b: u8| b.is_ascii_alphanumeric() || b"-._~/:".contains(&b);
    text.bytes().map(|b| if kept(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// It has every member, and sentences that are sentences.
#[track_caller]
fn assert_whole(explained: &Value) {
    let names: BTreeSet<&str> = explained.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = [
        "advice",
        "back_off",
        "decision",
        "in_flight",
        "invalidated",
        "key",
        "origin",
        "regenerations",
        "route",
        "stored",
        "summary",
        "tags",
        "url",
        "variants",
        "verdict",
    ];
    assert_eq!(names, BTreeSet::from(expected), "{explained}");
    let texts = [&explained["decision"]["why"], &explained["advice"]];
    let lists = texts.into_iter().flat_map(|list| list.as_array().unwrap());
    for text in lists.chain([&explained["summary"]]) {
        let text = text.as_str().unwrap();
        assert!(text.ends_with('.') && text.starts_with(char::is_uppercase) && !text.contains("  "), "`{text}`");
    }
    assert!(!explained["decision"]["why"].as_array().unwrap().is_empty(), "{explained}");
}

/// The decision, and words that stand anywhere in its reasons.
#[track_caller]
fn assert_decided(explained: &Value, action: &str, cache_status: &str, words: &[&str]) {
    let decision = &explained["decision"];
    assert_eq!(decision["action"], action, "{explained:#}");
    let status = decision["cache_status"].as_str().unwrap();
    assert!(status.starts_with(cache_status), "no `{cache_status}` in {explained:#}");
    for word in words {
        assert!(decision["why"].to_string().contains(word), "no `{word}` in {explained:#}");
    }
}

#[track_caller]
fn assert_advised(explained: &Value, word: &str) {
    assert!(explained["advice"].to_string().contains(word), "no `{word}` in {explained:#}");
}

#[tokio::test]
async fn a_fresh_page_is_reused() {
    let (origin, edge) = guarded(ROUTES).await;
    edge.stored("/p").await;
    let explained = explain(&edge, "/p?utm_source=x&gclid=y", &[]).await;
    assert_decided(&explained, "reuse", "hit; ttl=", &["RFC 9111, 4.2", "No route", "`utm_source`, `gclid`"]);
    let route = json!({"name": "unmatched", "kind": "header-driven", "revalidate": "origin", "origin": "app"});
    assert_eq!(explained["route"], route);
    let key = json!({"deployment": "default", "scheme": "http", "host": HOST, "path": "/p", "query": null, "fields": {},
                     "dropped_query": ["utm_source", "gclid"]});
    assert_eq!(explained["key"], key);
    assert_eq!(explained["url"], format!("http://{HOST}/p?utm_source=x&gclid=y"));
    assert_eq!(explained["stored"]["state"], "fresh");
    assert_eq!(explained["variants"], json!({"nominated": [], "stored": 1}));
    assert_eq!(explained["regenerations"][0]["cause"], "miss");
    for name in ["invalidated", "verdict", "back_off"] {
        assert_eq!(explained[name], Value::Null, "{explained:#}");
    }
    edge.stored("/blog/a").await;
    let explained = explain(&edge, "/blog/a?page=2&x=1", &[]).await;
    assert_decided(&explained, "fetch", "fwd=uri-miss", &["`post`", "`x`", "`page`", "60 min"]);
    assert_advised(&explained, "key: { query: [x] }");
    assert_eq!((&explained["key"]["query"], &explained["key"]["dropped_query"]), (&json!("page=2"), &json!(["x"])));
    let explained = explain(&edge, "/blog/a?x=1", &[]).await;
    assert_decided(&explained, "reuse", "hit; ttl=", &["`post`"]);
    assert_eq!((&explained["route"]["kind"], &explained["route"]["revalidate"]), (&json!("isr"), &json!("3600s")));
    assert_eq!(origin.count("/blog/a"), 1, "explaining asks nobody");
}

#[tokio::test]
async fn an_invalidated_page_says_by_what() {
    let (origin, edge) = guarded("").await;
    origin.everything(|_| {
        Reply::ok("x").cache_control("s-maxage=600, stale-while-revalidate=600").header("Cache-Tag", "blog")
    });
    edge.stored("/p").await;
    let soft = post(&edge, "/v1/revalidate", &json!({"tags": ["blog"]})).await;
    let explained = explain(&edge, "/p", &[]).await;
    assert_decided(&explained, "reuse-and-refresh", "hit; ttl=", &["tag `blog`", "soft"]);
    let by = json!({"mode": "soft", "by": "tag `blog`", "epoch": soft["epoch"]});
    assert_eq!((&explained["invalidated"], &explained["tags"]), (&by, &json!(["blog"])));
    assert_eq!(explained["stored"]["state"], "stale");
    let hard = post(&edge, "/v1/revalidate", &json!({"prefixes": ["/"], "hard": true})).await;
    let explained = explain(&edge, "/p", &[]).await;
    assert_decided(&explained, "fetch", "fwd=uri-miss", &["prefix `/`", "hard"]);
    assert_eq!(explained["invalidated"], json!({"mode": "hard", "by": "prefix `/`", "epoch": hard["epoch"]}));
    assert_eq!(explained["stored"], Value::Null);
    assert_eq!(origin.count("/p"), 1);
}

#[tokio::test]
async fn a_page_whose_regeneration_fails_says_how_and_until_when() {
    let (origin, edge) = guarded("").await;
    origin.page("/p", "good").cache_control("s-maxage=1, stale-while-revalidate=600");
    edge.stored("/p").await;
    origin.page("/p", "sorry").status(503);
    edge.until_stale("/p").await;
    let mut explained = Value::Null;
    until("its regeneration has failed", async || {
        explained = explain(&edge, "/p", &[]).await;
        explained["back_off"] != Value::Null
    })
    .await;
    assert_decided(&explained, "reuse", "hit; ttl=-", &["503", "stale_if_error"]);
    assert!(explained["decision"]["cache_status"].as_str().unwrap().ends_with("detail=failing"), "{explained:#}");
    assert_eq!(explained["back_off"]["reason"], "status-5xx");
    assert!(explained["back_off"]["for_s"].as_u64().unwrap() <= 3, "{explained:#}");
    assert_advised(&explained, "origin's log");
    assert_eq!(explained["regenerations"][0]["outcome"], "status-5xx");
    assert_eq!(explained["stored"]["status"], 200);
}

#[tokio::test]
async fn a_page_that_is_not_stored_says_why_and_what_would_change_that() {
    let (origin, edge) = guarded("").await;
    let page = || Reply::ok("x").cache_control("s-maxage=600");
    let cases = [
        ("/no-store", Reply::ok("x").cache_control("no-store"), "no-store", "5.2.2.5", "override_origin"),
        ("/private", Reply::ok("x").cache_control("private"), "private", "5.2.2.7", "public"),
        ("/cookie", page().header("Set-Cookie", "a=1"), "set-cookie", "cookie", "set_cookie: strip"),
        ("/any", page().header("Vary", "*"), "vary-unmatchable", "4.1", "Vary"),
        ("/agent", page().header("Vary", "User-Agent"), "vary-personal", "User-Agent", "key: { cookies"),
        ("/nothing", Reply::ok("x"), "no-lifetime", "4.2.2", "stale-while-revalidate"),
        ("/teapot", page().status(418), "status", "status", "s-maxage"),
        ("/rsc", page().header("Content-Type", "text/x-component"), "component-without-rsc", "RSC", "rewrite"),
    ];
    let mut advice = BTreeSet::new();
    for (path, reply, reason, rule, remedy) in cases {
        origin.answers(path, reply);
        edge.get(path).await;
        until("there is a verdict", async || explain(&edge, path, &[]).await["verdict"] != Value::Null).await;
        let explained = explain(&edge, path, &[]).await;
        assert_decided(&explained, "pass", "fwd=miss", &[rule]);
        assert_eq!(explained["verdict"]["reason"], reason, "{explained:#}");
        assert!((1..=120).contains(&explained["verdict"]["for_s"].as_u64().unwrap()), "{explained:#}");
        assert!(explained["verdict"]["explanation"].as_str().unwrap().contains(rule), "{explained:#}");
        assert_advised(&explained, remedy);
        assert_eq!(explained["stored"], Value::Null);
        advice.insert(explained["advice"].to_string());
    }
    assert_eq!(advice.len(), 8, "each has its own: {advice:#?}");
}

#[tokio::test]
async fn what_passes_by_the_cache_says_which_rule_sends_it_there() {
    let bypass_when = "defaults:\n  bypass_when: { cookies: [\"wp-*\"], headers: [X-Debug], query: [preview] }\n";
    let (origin, edge) = guarded(&[ROUTES, bypass_when].concat()).await;
    edge.stored("/p").await;
    for (path, lines, words) in [
        ("/api/x", vec![], vec!["`api`", "bypass: true"]),
        ("/p", vec!["Cookie: a=1; wp-login=2"], vec!["cookie `wp-login`", "bypass_when"]),
        ("/p", vec!["X-Debug: 1"], vec!["field `x-debug`", "bypass_when"]),
        ("/p?preview", vec![], vec!["query parameter `preview`"]),
        ("/p", vec!["Cookie: __prerender_bypass=1"], vec!["draft mode"]),
        ("/p", vec!["Upgrade: websocket"], vec!["Upgrade"]),
        ("/p", vec!["Content-Length: 3"], vec!["body"]),
        ("/blog/a", vec!["Authorization: Bearer x"], vec!["Authorization"]),
    ] {
        let explained = explain(&edge, path, &lines).await;
        assert_decided(&explained, "pass", "fwd=bypass", &words);
        assert_ne!(explained["advice"], json!([]), "{explained:#}");
    }
    assert_eq!(explain(&edge, "/api/x", &[]).await["route"]["kind"], "bypass");
    assert_decided(&explain(&edge, "/p", &[]).await, "reuse", "hit", &[]);
    assert_eq!(origin.total(), origin.count("/p"), "nobody was asked for anything else");
}

#[tokio::test]
async fn a_personal_visitor_is_told_what_makes_him_one() {
    let (_origin, edge) = guarded(ROUTES).await;
    let lines = ["Cookie: _ga=1; session=2", "X-Tenant: a", "Accept-Language: de"];
    let explained = explain(&edge, "/p", &lines).await;
    assert_decided(&explained, "pass", "fwd=request", &["the cookie `session`, the field `X-Tenant`", "never stored"]);
    assert!(!explained["decision"]["why"].to_string().contains("_ga"), "{explained:#}");
    assert_advised(&explained, "ignore_cookies");
    let explained = explain(&edge, "/blog/a", &lines).await;
    assert_decided(&explained, "fetch", "fwd=uri-miss", &["`session`", "passed as it came"]);
    edge.stored("/p").await;
    let explained = explain(&edge, "/p", &lines).await;
    assert_decided(&explained, "reuse", "hit; ttl=", &["`session`", "everybody gets it"]);
    let range = explain(&edge, "/other", &["Range: bytes=0-1"]).await;
    assert_decided(&range, "pass", "fwd=request", &["Range"]);
    let cached = explain(&edge, "/other", &["Cache-Control: only-if-cached"]).await;
    assert_decided(&cached, "unsatisfiable", "detail=only-if-cached", &["5.2.1.7"]);
}

#[tokio::test]
async fn a_host_that_is_not_served_is_refused() {
    let (_origin, edge) = guarded("hosts: [[site.test, www.site.test]]\n").await;
    edge.stored("/p").await;
    let explained = explain_url(&edge, "https://evil.example:8443/p?q", &[]).await;
    assert_decided(&explained, "refuse", "detail=unknown-host", &["`evil.example:8443`", "421"]);
    assert_eq!((&explained["stored"], &explained["url"]), (&Value::Null, &json!("https://evil.example:8443/p?q")));
    assert_advised(&explained, "hosts");
    for url in ["http://WWW.site.test/p", "http://site.test:80/p", "/p"] {
        let explained = explain_url(&edge, url, &[]).await;
        assert_decided(&explained, "reuse", "hit; ttl=", &[]);
        assert_eq!(explained["key"]["host"], "site.test", "{url}");
    }
    assert_decided(&explain_url(&edge, "/p", &["Host: evil.example"]).await, "refuse", "detail=unknown-host", &[]);
}

#[tokio::test]
async fn a_page_that_nobody_asked_for_is_not_known() {
    let (origin, edge) = guarded("").await;
    let explained = explain(&edge, "/never", &[]).await;
    assert_decided(&explained, "fetch", "fwd=uri-miss", &["Nothing is stored"]);
    assert_advised(&explained, "Visit it once");
    assert_eq!((&explained["stored"], &explained["regenerations"]), (&Value::Null, &json!([])));
    assert_eq!(origin.total(), 0);
    assert_eq!(explain(&edge, "/never", &[]).await, explained, "asking changes nothing");
    // Without `hosts`, a path alone is on the origin's own name until it is clear which one visitors use.
    let explained = explain_url(&edge, "/p", &[]).await;
    assert_eq!(explained["key"]["host"], origin.url().trim_start_matches("http://"));
    edge.stored("/p").await;
    let explained = explain_url(&edge, "/p", &[]).await;
    assert_decided(&explained, "reuse", "hit; ttl=", &[]);
    assert_eq!(explained["key"]["host"], "site.test");
    edge.get("/other").host("other.test").await;
    let explained = explain_url(&edge, "/p", &[]).await;
    assert_advised(&explained, "http://site.test/p");
}

#[tokio::test]
async fn a_fill_that_runs_is_seen() {
    let (origin, edge) = guarded("").await;
    let hold = origin.page("/held", "held").cache_control("s-maxage=600").held();
    let crowd = Crowd::of([edge.get("/held")]);
    origin.asked("/held", 1).await;
    let explained = explain(&edge, "/held", &[]).await;
    assert_eq!(explained["in_flight"], true);
    assert_decided(&explained, "fetch", "fwd=uri-miss; collapsed", &[]);
    hold.release();
    crowd.answers().await;
    until("it has landed", async || explain(&edge, "/held", &[]).await["in_flight"] == false).await;
}

#[tokio::test]
async fn variants_are_told_apart() {
    let (origin, edge) = guarded("").await;
    origin.page("/p", "page").cache_control("s-maxage=600").header("Vary", "Accept-Language");
    edge.get("/p").header("Accept-Language", "de").await.status(200);
    let german = async || explain(&edge, "/p", &["Accept-Language: DE"]).await;
    until("it is stored", async || german().await["stored"] != Value::Null).await;
    let explained = german().await;
    assert_decided(&explained, "reuse", "hit; ttl=", &[]);
    assert_eq!(explained["variants"], json!({"nominated": ["accept-language"], "stored": 1}));
    assert_eq!(explained["stored"]["variant"], json!({"accept-language": "de"}));
    let explained = explain(&edge, "/p", &["Accept-Language: fr"]).await;
    assert_decided(&explained, "fetch", "fwd=vary-miss", &["4.1"]);
}

#[tokio::test]
async fn routes_are_chosen_as_for_a_visit() {
    let (_origin, edge) = guarded(ROUTES).await;
    edge.stored("/feed").await;
    let url = format!("/v1/explain?url=http://{HOST}/feed");
    assert_eq!(get(&edge, &url).await["route"]["name"], "feed");
    let head = get(&edge, &format!("{url}&method=HEAD")).await;
    assert_eq!(head["route"]["name"], "unmatched", "the route is for GET alone");
    for path in ["/blog//", "/blog/a%2Fb", "/blog/a;b"] {
        let explained = explain(&edge, path, &[]).await;
        assert_eq!(explained["route"]["name"], "unmatched", "{path}");
    }
    assert_decided(&explain(&edge, "/blog/a;b", &[]).await, "fetch", "fwd=uri-miss", &["`post`", "disagree"]);
    let answer = with(&edge, FULL, "GET", "/v1/explain?url=/&method=POST").await;
    assert_problem(&answer, 422, &["`method`"]);
    let answer = with(&edge, FULL, "GET", "/v1/explain").await;
    assert_problem(&answer, 422, &["`url`"]);
}

#[tokio::test]
async fn an_origin_that_is_down_is_named() {
    let origin = Origin::start().await;
    let edge = Edge::with_config(&origin, &SHORT.replace("admin:\n", &format!("admin:\n  token: {FULL}\n"))).await;
    origin.down().await;
    let mut visits = 0;
    until("its breaker is open", async || {
        visits += 1;
        edge.get(&format!("/{visits}")).await.status(502);
        explain(&edge, "/p", &[]).await["origin"]["servers"][0]["state"] == "down"
    })
    .await;
    let explained = explain(&edge, "/other", &[]).await;
    assert_decided(&explained, "fetch", "fwd=uri-miss", &["No server of the origin `app`"]);
    assert_advised(&explained, "`app`");
    let answer = with(&edge, FULL, "GET", "/v1/stats").await;
    assert_eq!(document(&answer)["origins"][0]["servers"][0]["state"], "down");
}
