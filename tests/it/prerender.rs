//! Pages that are generated before anybody asks for them: from lists, files, sitemaps and JSON; at the start, again and
//! again, by `larder warm`, and when a deployment is activated (semantics 24, 43).

mod sources;

use crate::dsl::{Edge, HOST, Origin, Reply, Seen, ms, until};

pub(super) const HEAD: &str = "listen: {listen}\norigin: {origin}\nadmin:\n  listen: {admin}\n  \
                    token: a-token-of-the-tests-0123456789abcdef\nhosts: [[site.test, www.site.test]]\n";

pub(super) const TOKEN: &str = "Bearer a-token-of-the-tests-0123456789abcdef";

/// A route for posts, and what its `prerender` says.
pub(super) fn posts(head: &str, prerender: &str) -> String {
    format!(
        "{head}routes:\n  - name: post\n    match: /blog/{{slug}}\n    revalidate: 60s\n    prerender:\n      {}\n",
        prerender.replace('\n', "\n      ")
    )
}

/// An origin that has every post.
pub(super) async fn blog() -> Origin {
    let origin = Origin::start().await;
    origin.everything(|seen: &Seen| match seen.path.strip_prefix("/blog/") {
        Some(slug) => Reply::ok(format!("post {slug}")),
        None => Reply::ok("nothing").status(404),
    });
    origin
}

pub(super) async fn prerendered(edge: &Edge, pages: f64) {
    edge.metric_reaches("larder_store_entries", pages).await;
}

#[tokio::test]
async fn pages_on_the_list_are_hits_for_their_first_visitors() {
    let origin = blog().await;
    let edge = Edge::with_config(&origin, &posts(HEAD, "paths: [/blog/a, /blog/b]")).await;
    ended(&edge).await;
    edge.get("/blog/a").await.is("post a").cache_status("hit");
    edge.get("/blog/b").host("www.site.test").await.is("post b").cache_status("hit");
    edge.get("/blog/c").await.is("post c").cache_status("fwd=uri-miss");
    let asked = origin.requests("/blog/a");
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].field("host").as_deref(), Some(HOST), "the site's first host");
    assert_eq!(edge.metric("larder_origin_requests_total{kind=prerender,outcome=success}").await, 2.0);
}

#[tokio::test]
async fn one_page_that_fails_does_not_stop_the_others() {
    let origin = blog().await;
    origin.page("/blog/bad", "broken").status(500);
    origin.page("/blog/mine", "mine").cache_control("private");
    let edge =
        Edge::with_config(&origin, &posts(HEAD, "paths: [/blog/bad, /blog/mine, /blog/a]\nconcurrency: 1")).await;
    prerendered(&edge, 1.0).await;
    edge.get("/blog/a").await.is("post a").cache_status("hit");
    let report = ended(&edge).await;
    assert_eq!(
        (&report["failed"], &report["not_stored"], &report["stored"]),
        (&1.into(), &1.into(), &1.into()),
        "{report}"
    );
    assert!(report["failures"].to_string().contains("the origin answered 500"), "{report}");
}

/// The last run, when it has ended.
pub(super) async fn ended(edge: &Edge) -> serde_json::Value {
    let mut report = serde_json::Value::Null;
    until("a run has ended", async || {
        let told = edge.admin_get("/v1/prerenders").header("Authorization", TOKEN).await;
        let mut told: serde_json::Value = serde_json::from_str(&told.text()).unwrap();
        report = told["runs"][0].take();
        report["state"] == "ended"
    })
    .await;
    report
}

#[tokio::test]
async fn an_origin_that_starts_later_than_larder_has_its_pages_generated_all_the_same() {
    let origin = blog().await;
    origin.down().await;
    let edge = Edge::with_config(&origin, &posts(HEAD, "paths: [/blog/a]")).await;
    edge.metric_reaches("larder_origin_requests_total{kind=prerender,outcome=connect}", 1.0).await;
    origin.up();
    prerendered(&edge, 1.0).await;
    edge.get("/blog/a").await.is("post a").cache_status("hit");
}

#[tokio::test]
async fn every_so_often_new_pages_come_and_old_ones_are_renewed_without_a_visit() {
    let origin = blog().await;
    origin.each("/sitemap.xml", |n| {
        let more = if n > 1 { "<url><loc>/blog/new</loc></url>" } else { "" };
        Reply::ok(format!("<urlset><url><loc>/blog/a</loc></url>{more}</urlset>"))
    });
    origin.each("/blog/a", |n| Reply::ok(format!("render {}", n)));
    let yaml = posts(HEAD, "sitemap: /sitemap.xml\nevery: 1s").replace("60s", "1s");
    let edge = Edge::with_config(&origin, &yaml).await;
    prerendered(&edge, 2.0).await;
    origin.asked("/blog/a", 3).await;
    edge.first("/blog/a", "a version that nobody asked for", |answer| answer.is_hit()).await;
    edge.get("/blog/new").await.is("post new");
}

#[tokio::test]
async fn what_is_fresh_is_rendered_no_second_time() {
    let origin = blog().await;
    let edge = Edge::with_config(&origin, &posts(HEAD, "paths: [/blog/a]\nevery: 1s")).await;
    prerendered(&edge, 1.0).await;
    until("it was looked at again", async || {
        let told = edge.admin_get("/v1/prerenders").header("Authorization", TOKEN).await.text();
        told.matches(r#""occasion":"every","state":"ended""#).count() >= 2
    })
    .await;
    assert_eq!(origin.count("/blog/a"), 1);
}

#[tokio::test]
async fn without_hosts_what_was_generated_answers_every_host() {
    let origin = blog().await;
    let head = HEAD.replace("hosts: [[site.test, www.site.test]]\n", "");
    let edge = Edge::with_config(&origin, &posts(&head, "paths: [/blog/a]")).await;
    ended(&edge).await;
    for host in ["one.test", "two.test"] {
        edge.get("/blog/a").host(host).await.is("post a").cache_status("hit");
        edge.get("/blog/b").host(host).await.is("post b").cache_status("fwd=uri-miss");
    }
    assert_eq!((origin.count("/blog/a"), origin.count("/blog/b")), (1, 2));
}

#[tokio::test]
async fn without_hosts_a_stale_page_for_all_is_renewed_for_all() {
    let origin = Origin::start().await;
    origin.each("/blog/a", |n| Reply::ok(format!("render {}", n)));
    let head = HEAD.replace("hosts: [[site.test, www.site.test]]\n", "");
    let edge = Edge::with_config(&origin, &posts(&head, "paths: [/blog/a]").replace("60s", "1s")).await;
    ended(&edge).await;
    edge.first("/blog/a", "a renewed page", |answer| answer.text() == "render 2" && answer.is_hit()).await;
    edge.get("/blog/a").host("other.test").await.cache_status("hit");
    assert_eq!(edge.metric("larder_store_entries").await, 1.0);
}

#[tokio::test]
async fn without_hosts_a_redirect_to_the_public_name_is_not_for_who_came_by_it() {
    let origin = Origin::start().await;
    origin.dynamic("/blog/a", |seen| match seen.field("host").as_deref() {
        Some("www.site.test") => Reply::ok("the page"),
        _ => Reply::ok("").status(308).header("Location", "http://www.site.test/blog/a"),
    });
    let head = HEAD.replace("hosts: [[site.test, www.site.test]]\n", "");
    let edge = Edge::with_config(&origin, &posts(&head, "paths: [/blog/a]")).await;
    ended(&edge).await;
    edge.get("/blog/a").host("www.site.test").await.status(200).is("the page");
}

#[tokio::test]
async fn without_hosts_what_is_invalidated_for_one_host_is_invalidated_for_all() {
    let origin = Origin::start().await;
    origin.each("/blog/a", |n| Reply::ok(format!("render {n}")));
    let head = HEAD.replace("hosts: [[site.test, www.site.test]]\n", "");
    let edge = Edge::with_config(&origin, &posts(&head, "paths: [/blog/a]")).await;
    ended(&edge).await;
    edge.get("/blog/a").host("www.site.test").await.is("render 1");
    let body = r#"{"paths": ["/blog/a"], "host": "www.site.test", "hard": true}"#;
    let call = crate::dsl::Request::new(edge.admin, "POST", "/v1/revalidate").host(&edge.admin.to_string());
    call.header("Authorization", TOKEN).body(body).await.status(200);
    edge.get("/blog/a").host("www.site.test").await.is("render 2");
}

#[tokio::test]
async fn a_reload_generates_what_is_new_and_leaves_what_stays() {
    let origin = blog().await;
    let edge = Edge::with_config(&origin, &posts(HEAD, "paths: [/blog/a]")).await;
    prerendered(&edge, 1.0).await;
    edge.rewrite(&origin, &posts(HEAD, "paths: [/blog/a, /blog/b]"));
    edge.larder.signal("HUP");
    prerendered(&edge, 2.0).await;
    edge.get("/blog/b").await.is("post b").cache_status("hit");
    assert_eq!(origin.count("/blog/a"), 1);
}

#[tokio::test]
async fn a_deployment_that_is_activated_has_its_pages_generated_and_one_that_comes_back_has_them_still() {
    let origin = blog().await;
    let edge = Edge::with_config(&origin, &posts(HEAD, "paths: [/blog/a]\non: [activate]")).await;
    edge.stored("/blog/b").await.is("post b");
    assert_eq!(origin.count("/blog/a"), 0, "not at the start");
    activate(&edge, "v2").await.status(200).is(r#"{"active":"v2"}"#);
    origin.asked("/blog/a", 1).await;
    edge.first("/blog/a", "the new deployment's page", |answer| answer.is_hit()).await;
    edge.get("/blog/b").await.cache_status("fwd=uri-miss");
    edge.stored("/blog/b").await;
    activate(&edge, "default").await.status(200);
    edge.get("/blog/b").await.is("post b").cache_status("hit");
    let listed = edge.admin_get("/v1/deployments").header("Authorization", TOKEN).await;
    let listed: serde_json::Value = serde_json::from_str(&listed.text()).unwrap();
    let of = |id: &str| listed["deployments"].as_array().unwrap().iter().find(|d| d["id"] == id).cloned().unwrap();
    assert_eq!((&of("default")["active"], &of("v2")["active"]), (&true.into(), &false.into()), "{listed}");
    assert!(of("v2")["entries"].as_u64() >= Some(2), "{listed}");
}

#[tokio::test]
async fn an_activation_breaks_off_what_is_read_for_the_one_before() {
    let origin = blog().await;
    let _held = origin.page("/sitemap.xml", "").held();
    let edge = Edge::with_config(&origin, &posts(HEAD, "sitemap: /sitemap.xml\non: [activate]")).await;
    for n in 1..=3 {
        activate(&edge, &format!("v{n}")).await.status(200);
        origin.asked("/sitemap.xml", n).await;
    }
    until("one run goes on", async || {
        let told = edge.admin_get("/v1/prerenders").header("Authorization", TOKEN).await.text();
        told.matches("\"state\":\"ended\"").count() == 2 && told.matches("\"state\":\"listing\"").count() == 1
    })
    .await;
}

#[tokio::test]
async fn larder_leaves_while_a_list_is_read() {
    let origin = blog().await;
    let _held = origin.page("/sitemap.xml", "").held();
    let mut edge = Edge::with_config(&origin, &posts(HEAD, "sitemap: /sitemap.xml")).await;
    origin.asked("/sitemap.xml", 1).await;
    edge.larder.signal("TERM");
    assert_eq!(edge.larder.exit().await, 0);
    assert!(!edge.larder.stderr().contains("panicked"), "{}", edge.larder.stderr());
}

async fn activate(edge: &Edge, id: &str) -> crate::dsl::Response {
    let path = format!("/v1/deployments/{id}/activate");
    crate::dsl::Request::new(edge.admin, "POST", &path)
        .host(&edge.admin.to_string())
        .header("Authorization", TOKEN)
        .await
}

#[tokio::test]
async fn visitors_are_served_while_thousands_of_pages_are_generated() {
    let origin = blog().await;
    origin.everything(|seen: &Seen| Reply::ok(format!("page {}", seen.path)).delay(ms(20)));
    let paths: Vec<String> = (0..2_000).map(|n| format!("/blog/{n}")).collect();
    let yaml = posts(HEAD, &format!("paths: [{}]\nconcurrency: 8", paths.join(", ")));
    let edge = Edge::with_config(&origin, &yaml).await;
    origin.asked("/blog/3", 1).await;
    edge.get("/blog/x").await.is("page /blog/x").cache_status("fwd=uri-miss");
    assert!(origin.peak() <= 9, "{} at a time", origin.peak());
    prerendered(&edge, 100.0).await;
}
