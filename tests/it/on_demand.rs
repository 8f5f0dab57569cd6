//! On demand: invalidation through the admin API, by PURGE and by writes, and what visitors get of it (semantics 32, 36-42).

use crate::dsl::{Edge, HOST, Origin, Reply, Request, Response, TOKEN, until};
use serde_json::{Value, json};

/// Fresh for an hour, stale for a day.
const LONG: &str = "s-maxage=3600, stale-while-revalidate=86400";

const CONFIG: &str = r#"listen: {listen}
origin: {origin}
admin:
  listen: {admin}
  token: a-token-for-the-tests
  purge_method: { allow: [127.0.0.1/32] }
logging: { access: { output: off } }
routes:
  - name: post
    match: /blog/{slug}
    revalidate: 1h
    tags: [blog, "post:{slug}"]
  - name: never
    match: /never/**
    revalidate: never
"#;

async fn larder(origin: &Origin) -> Edge {
    Edge::with_config(origin, CONFIG).await
}

fn ask(edge: &Edge, path: &str, body: &Value) -> Request {
    Request::new(edge.admin, "POST", path)
        .host(&edge.admin.to_string())
        .header("Authorization", &format!("Bearer {TOKEN}"))
        .header("Content-Type", "application/json")
        .body(body.to_string())
}

fn ttl(answer: &Response) -> i64 {
    let status = answer.field("cache-status").unwrap_or_default();
    let ttl = status.split("ttl=").nth(1).unwrap_or_else(|| panic!("no ttl in `{status}`"));
    ttl.split(';').next().unwrap().trim().parse().unwrap()
}

/// Every way to select a page, soft: the next visit gets the old page as stale and starts one regeneration.
#[tokio::test]
async fn a_soft_invalidation_by_any_selector_gives_the_old_page_once_more_and_renders_one_new() {
    let selectors = [
        json!({"paths": ["/blog/x"]}),
        json!({"prefixes": ["/blo"]}),
        json!({"prefixes": ["/"]}),
        json!({"tags": ["post:x"]}),
        json!({"tags": ["unknown", "from-the-origin"]}),
        json!({"routes": ["post"]}),
        json!({"paths": ["/blog/x"], "host": HOST}),
    ];
    let origin = Origin::start().await;
    let edge = larder(&origin).await;
    for (n, selector) in selectors.into_iter().enumerate() {
        // Each in a Larder that knows nothing of the others would take seconds: the page's versions tell them apart.
        origin.page("/blog/x", &format!("v{n}")).header("Cache-Tag", "a, from-the-origin");
        edge.order("/v1/revalidate", &json!({"paths": ["/blog/x"], "hard": true})).await;
        edge.stored("/blog/x").await.is(&format!("v{n}"));
        let asked = origin.count("/blog/x");
        origin.page("/blog/x", &format!("new{n}")).header("Cache-Tag", "a, from-the-origin");
        let answer = edge.order("/v1/revalidate", &selector).await;
        assert!(answer["epoch"].is_u64(), "{answer}");
        assert_eq!(origin.count("/blog/x"), asked, "the call itself asks nobody: {selector}");
        let old = edge.get("/blog/x").await;
        old.is(&format!("v{n}")).cache_status("hit; ttl=").at_once();
        assert!(ttl(&old) <= 0, "{selector}");
        let new = edge.until_is("/blog/x", &format!("new{n}")).await;
        assert!(ttl(&new) > 3500, "{selector}");
        assert_eq!(origin.count("/blog/x"), asked + 1, "{selector}");
    }
}

#[tokio::test]
async fn after_a_hard_invalidation_nobody_gets_the_old_page_and_its_validators_are_not_sent() {
    let origin = Origin::start().await;
    origin.answers("/p", Reply::ok("v1").etag("\"v1\"").cache_control(LONG));
    let edge = larder(&origin).await;
    edge.stored("/p").await.is("v1");
    origin.answers("/p", Reply::ok("v2").etag("\"v2\"").cache_control(LONG));
    edge.order("/v1/revalidate", &json!({"paths": ["/p"], "hard": true})).await;
    edge.get("/p").await.is("v2").cache_status("fwd=uri-miss; stored");
    let last = origin.last("/p");
    assert_eq!(last.field("if-none-match"), None);
}

#[tokio::test]
async fn a_hard_invalidation_and_an_origin_that_fails_give_the_failure_and_a_soft_one_the_page() {
    let origin = Origin::start().await;
    origin.page("/soft", "kept").cache_control(LONG);
    origin.page("/hard", "gone").cache_control(LONG);
    let edge = larder(&origin).await;
    edge.stored("/soft").await;
    edge.stored("/hard").await;
    origin.answers("/soft", Reply::ok("broken").status(500));
    origin.answers("/hard", Reply::ok("broken").status(500));
    edge.order("/v1/revalidate", &json!({"paths": ["/soft"]})).await;
    edge.order("/v1/revalidate", &json!({"paths": ["/hard"], "hard": true})).await;
    edge.get("/soft").await.status(200).is("kept");
    edge.metric_reaches("larder_refresh_failures_total", 1.0).await;
    edge.get("/soft").await.status(200).is("kept").cache_status("detail=failing");
    edge.get("/hard").await.status(500).is("broken");
}

#[tokio::test]
async fn a_page_that_is_never_stale_by_itself_is_invalidated_all_the_same() {
    let origin = Origin::start().await;
    origin.page("/never/p", "v1");
    let edge = larder(&origin).await;
    edge.stored("/never/p").await.is("v1");
    origin.page("/never/p", "v2");
    edge.order("/v1/revalidate", &json!({"prefixes": ["/never/"]})).await;
    edge.get("/never/p").await.is("v1");
    edge.until_is("/never/p", "v2").await;
}

#[tokio::test]
async fn a_path_selects_its_queries_hosts_variants_and_data_urls_and_nothing_else() {
    let origin = Origin::start().await;
    let all = ["/p?a=1", "/p", "/_next/data/build/p.json", "/p.rsc", "/p/__data.json", "/p.data", "/p/_payload.json"];
    let others = ["/p/child", "/px", "/P", "/"];
    origin.everything(|_| Reply::ok("old").cache_control(LONG));
    origin.answers("/lang", Reply::ok("old").cache_control(LONG).header("Vary", "Accept-Language"));
    let edge = larder(&origin).await;
    for target in all.iter().chain(&others) {
        edge.stored(target).await;
    }
    until("it is stored for the other host", async || edge.get("/p").host("other.test").await.is_hit()).await;
    for language in ["de", "en"] {
        let get = || edge.get("/lang").header("Accept-Language", language);
        until("its variant is stored", async || get().await.is_hit()).await;
    }
    let count = edge.order("/v1/revalidate", &json!({"paths": ["/p", "/lang"], "hard": true, "count": true})).await;
    assert_eq!(count["matched"], json!(all.len() + 1 + 2), "{count}");
    for target in others {
        assert!(edge.get(target).await.is_hit(), "{target}");
    }
    for target in all {
        edge.get(target).await.cache_status("fwd=uri-miss");
    }
    edge.get("/p").host("other.test").await.cache_status("fwd=uri-miss");
    for language in ["de", "en"] {
        edge.get("/lang").header("Accept-Language", language).await.cache_status("fwd=vary-miss");
    }
}

#[tokio::test]
async fn of_one_host_alone() {
    let origin = Origin::start().await;
    origin.page("/p", "old").cache_control(LONG);
    let edge = larder(&origin).await;
    for host in ["one.test", "two.test"] {
        edge.get("/p").host(host).await;
        until("it is stored", async || edge.get("/p").host(host).await.is_hit()).await;
    }
    edge.order("/v1/revalidate", &json!({"paths": ["/p"], "host": "one.test", "hard": true})).await;
    edge.get("/p").host("one.test").await.cache_status("fwd=uri-miss");
    assert!(edge.get("/p").host("two.test").await.is_hit());
}

#[tokio::test]
async fn a_fill_in_flight_does_not_bring_back_what_was_invalidated_meanwhile() {
    for hard in [false, true] {
        let origin = Origin::start().await;
        let edge = larder(&origin).await;
        let hold = origin.page("/p", "old").cache_control(LONG).header("Cache-Tag", "late").held();
        let first = tokio::spawn(edge.get("/p").send());
        origin.asked("/p", 1).await;
        edge.order("/v1/revalidate", &json!({"tags": ["late"], "hard": hard})).await;
        origin.page("/p", "new").cache_control(LONG);
        hold.release();
        // He came before the call, and may have what was on its way.
        first.await.unwrap().unwrap().is("old");
        let next = edge.get("/p").await;
        if hard {
            next.is("new");
        } else {
            assert!(next.text() == "new" || ttl(&next) <= 0, "{:?}", next.lines);
        }
        edge.until_is("/p", "new").await;
    }
}

#[tokio::test]
async fn regenerate_answers_when_the_new_page_is_stored() {
    let origin = Origin::start().await;
    origin.page("/p", "v1").cache_control(LONG);
    let edge = larder(&origin).await;
    edge.stored("/p").await;
    origin.page("/p", "v2").cache_control(LONG);
    let answer = edge.order("/v1/revalidate", &json!({"paths": ["/p"], "regenerate": true})).await;
    assert_eq!(answer["regenerated"][0]["status"], json!(200), "{answer}");
    let page = edge.get("/p").await;
    assert!(page.is("v2").is_hit() && ttl(&page) > 3500);
    assert_eq!(origin.count("/p"), 2);
}

#[tokio::test]
async fn regenerate_of_what_was_never_asked_for_renders_it_for_the_host_that_is_given() {
    let origin = Origin::start().await;
    origin.page("/new", "v1").cache_control(LONG);
    let edge = larder(&origin).await;
    edge.order("/v1/revalidate", &json!({"paths": ["/new"], "regenerate": true, "host": HOST})).await;
    assert!(edge.get("/new").await.is("v1").is_hit());
    assert_eq!(origin.count("/new"), 1);
}

#[tokio::test]
async fn regenerate_that_fails_says_why_and_the_old_page_stays() {
    let origin = Origin::start().await;
    origin.page("/p", "good").cache_control(LONG);
    let edge = larder(&origin).await;
    edge.stored("/p").await;
    origin.answers("/p", Reply::ok("broken").status(503));
    let answer = ask(&edge, "/v1/revalidate", &json!({"paths": ["/p"], "regenerate": true})).await;
    answer.status(502).header("content-type", "application/problem+json");
    assert!(answer.text().contains("503"), "{}", answer.text());
    edge.get("/p").await.status(200).is("good");
}

#[tokio::test]
async fn tags_that_were_posted_select_the_page_and_stay_with_it() {
    let origin = Origin::start().await;
    origin.page("/p", "v1").cache_control(LONG);
    let edge = larder(&origin).await;
    edge.stored("/p").await;
    ask(&edge, "/v1/tags", &json!({"path": "/p", "tags": ["mine"]})).await.status(200);
    for n in 2..5 {
        origin.page("/p", &format!("v{n}")).cache_control(LONG);
        edge.order("/v1/revalidate", &json!({"tags": ["mine"], "hard": true})).await;
        edge.get("/p").await.is(&format!("v{n}")).cache_status("fwd=uri-miss");
    }
}

#[tokio::test]
async fn clients_do_not_see_tags() {
    let origin = Origin::start().await;
    let fields = ["Cache-Tag", "Surrogate-Key", "xkey", "x-next-cache-tags", "Cache-Groups"];
    for method in ["stored", "passed"] {
        let control = if method == "stored" { LONG } else { "private" };
        let reply = fields.iter().fold(Reply::ok("x").cache_control(control), |r, name| r.header(name, "\"a\""));
        origin.answers(&format!("/{method}"), reply);
    }
    let edge = larder(&origin).await;
    for target in ["/stored", "/stored", "/passed", "/passed"] {
        let answer = edge.get(target).await;
        for name in fields {
            answer.no_header(name);
        }
    }
}

#[tokio::test]
async fn of_ten_thousand_tags_and_one_of_a_megabyte_the_first_that_fit_are_kept_and_the_rest_is_counted() {
    let origin = Origin::start().await;
    let many: Vec<String> = (0..10_000).map(|n| format!("t{n}")).collect();
    // Heads are limited: so many lines as fit.
    let few = many[..2_000].join(",");
    origin.answers("/many", Reply::ok("x").cache_control(LONG).header("Cache-Tag", &few));
    origin.answers("/long", Reply::ok("x").cache_control(LONG).header("Cache-Tag", &format!("{},ok", "y".repeat(300))));
    let edge = larder(&origin).await;
    edge.stored("/many").await;
    edge.stored("/long").await;
    assert!((edge.metric("larder_tags_dropped_total{reason=too-many}").await - 1_872.0).abs() < 0.5);
    assert!((edge.metric("larder_tags_dropped_total{reason=too-long}").await - 1.0).abs() < 0.5);
    edge.order("/v1/revalidate", &json!({"tags": ["t127", "ok"], "hard": true})).await;
    edge.get("/many").await.cache_status("fwd=uri-miss");
    edge.get("/long").await.cache_status("fwd=uri-miss");
}

#[tokio::test]
async fn a_success_of_an_unsafe_method_has_its_url_validated_and_no_other() {
    let origin = Origin::start().await;
    for target in ["/p", "/q"] {
        origin.answers(target, Reply::ok("old").etag("\"1\"").cache_control(LONG));
    }
    origin.page("/blog/x", "old");
    let edge = larder(&origin).await;
    for target in ["/p", "/q", "/blog/x"] {
        edge.stored(target).await;
    }
    edge.post("/p", "x").await.status(200);
    edge.post("/blog/x", "x").await.status(200);
    let asked = origin.count("/p");
    edge.get("/p").await.is("old").cache_status("fwd=stale");
    assert_eq!(origin.last("/p").field("if-none-match").as_deref(), Some("\"1\""));
    assert_eq!(origin.count("/p"), asked + 1);
    assert!(edge.get("/p").await.is_hit(), "once is enough");
    assert!(edge.get("/q").await.is_hit());
    assert!(edge.get("/blog/x").await.is_hit(), "an ISR page is its route's");
}

#[tokio::test]
async fn a_failed_unsafe_method_changes_nothing() {
    let origin = Origin::start().await;
    origin.page("/p", "old").cache_control(LONG);
    let edge = larder(&origin).await;
    edge.stored("/p").await;
    origin.answers("/p", Reply::ok("no").status(403));
    edge.post("/p", "x").await.status(403);
    edge.ask("OPTIONS", "/p").await.status(403);
    assert!(edge.get("/p").await.is("old").is_hit());
}

#[tokio::test]
async fn groups_that_an_unsafe_answer_names_are_validated_on_its_host() {
    let origin = Origin::start().await;
    origin.answers("/p", Reply::ok("old").cache_control(LONG).header("Cache-Groups", "\"news\", \"sport\""));
    origin.answers("/api", Reply::ok("done").cache_control("no-store").header("Cache-Group-Invalidation", "\"sport\""));
    let edge = larder(&origin).await;
    edge.stored("/p").await;
    edge.get("/p").host("other.test").await;
    until("it is stored", async || edge.get("/p").host("other.test").await.is_hit()).await;
    origin.answers("/p", Reply::ok("new").cache_control(LONG).header("Cache-Groups", "\"news\""));
    edge.post("/api", "x").await.status(200);
    edge.get("/p").await.is("new").cache_status("fwd=stale");
    assert!(edge.get("/p").host("other.test").await.is("old").is_hit());
}

#[tokio::test]
async fn purge_is_obeyed_for_those_who_may_and_is_never_forwarded() {
    let origin = Origin::start().await;
    origin.page("/p", "v1").cache_control(LONG);
    let edge = larder(&origin).await;
    edge.stored("/p").await;
    origin.page("/p", "v2").cache_control(LONG);
    edge.ask("PURGE", "/p").await.status(200);
    edge.get("/p").await.is("v2").cache_status("fwd=uri-miss");
    origin.page("/p", "v3").cache_control(LONG);
    edge.ask("PURGE", "/p").header("Fastly-Soft-Purge", "1").await.status(200);
    edge.get("/p").await.is("v2").cache_status("hit; ttl=");
    edge.until_is("/p", "v3").await;
    assert!(origin.requests("/p").iter().all(|seen| seen.method == "GET"));
}

#[tokio::test]
async fn purge_of_others_is_refused_whatever_their_fields_say() {
    let origin = Origin::start().await;
    origin.page("/p", "v1").cache_control(LONG);
    let config = CONFIG.replace("127.0.0.1/32", "10.0.0.0/8");
    let edge = Edge::with_config(&origin, &config).await;
    edge.stored("/p").await;
    edge.ask("PURGE", "/p").header("X-Forwarded-For", "10.0.0.1").await.status(405);
    assert!(edge.get("/p").await.is("v1").is_hit());
    let plain = Edge::start(&origin).await;
    plain.ask("PURGE", "/p").await.status(405);
}

#[tokio::test]
async fn the_epoch_grows_and_every_kind_is_counted() {
    let origin = Origin::start().await;
    let edge = larder(&origin).await;
    let mut last = 0;
    for body in [
        json!({"paths": ["/a", "/b"]}),
        json!({"prefixes": ["/c"], "hard": true}),
        json!({"tags": ["t"]}),
        json!({"routes": ["post", "no such route"]}),
    ] {
        let epoch = edge.order("/v1/revalidate", &body).await["epoch"].as_u64().unwrap();
        assert!(epoch > last);
        last = epoch;
    }
    let counts = [("path", "soft", 2.0), ("prefix", "hard", 1.0), ("tag", "soft", 1.0), ("route", "soft", 2.0)];
    for (kind, mode, count) in counts {
        let counted = edge.metric(&format!("larder_invalidations_total{{kind={kind},mode={mode}}}")).await;
        assert!((counted - count).abs() < 0.5, "{kind} {mode}: {counted}");
    }
    assert!((edge.metric("larder_invalidations_total").await - 6.0).abs() < 0.5);
    let shown = edge.metric("larder_invalidation_epoch").await;
    assert!((shown - last as f64).abs() < 0.5);
}
