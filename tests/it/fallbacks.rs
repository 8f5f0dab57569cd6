//! What a visitor of a page that is not generated yet gets: 404 for what is on no list, a shell, or the page itself
//! (semantics 25 and 26).

use crate::dsl::{Crowd, Edge, Origin, Reply, until};
use crate::prerender::{HEAD, blog, ended, posts, prerendered};

const GOOGLEBOT: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";

fn closed(prerender: &str) -> String {
    posts(HEAD, prerender) + "    fallback: not_found\n"
}

const SHELL: &str = "routes:\n  - name: post\n    match: /blog/{slug}\n    revalidate: 1s\n    fallback: shell\n    \
                     shell: /blog/_loading\n";

fn with_shell() -> String {
    [HEAD, SHELL].concat()
}

async fn app() -> Origin {
    let origin = blog().await;
    origin.page("/blog/_loading", "loading").header("Content-Type", "text/html").etag("\"shell\"");
    origin
}

#[tokio::test]
async fn a_page_that_is_on_no_list_is_404_without_a_word_to_the_origin() {
    let origin = blog().await;
    let edge = Edge::with_config(&origin, &closed("paths: [/blog/a]")).await;
    prerendered(&edge, 1.0).await;
    edge.get("/blog/a").await.is("post a");
    for n in 0..5 {
        let answer = edge.get(&format!("/blog/made-up-{n}?x={n}")).await;
        answer.status(404).header("cache-control", "no-store").cache_status("detail=not-listed");
    }
    edge.head("/blog/made-up").await.status(404);
    edge.get("/blog/%61").await.is("post %61");
    assert_eq!(origin.total(), 2, "the listed page, by two spellings");
    edge.get("/other").await.status(404).cache_status("fwd=uri-miss");
}

#[tokio::test]
async fn until_the_list_was_read_once_visitors_wait_for_the_page() {
    let origin = blog().await;
    let held = origin.page("/sitemap.xml", "<urlset><url><loc>/blog/a</loc></url></urlset>").held();
    let edge = Edge::with_config(&origin, &closed("sitemap: /sitemap.xml")).await;
    edge.get("/blog/early").await.is("post early");
    held.release();
    prerendered(&edge, 2.0).await;
    edge.get("/blog/late").await.status(404);
    edge.get("/blog/early").await.is("post early").cache_status("hit");
}

#[tokio::test]
async fn a_list_that_cannot_be_read_leaves_the_last_one_in_force() {
    let origin = blog().await;
    origin.each("/sitemap.xml", |n| match n {
        1 => Reply::ok("<urlset><url><loc>/blog/a</loc></url></urlset>"),
        _ => Reply::ok("<html>a login page</html>"),
    });
    let edge = Edge::with_config(&origin, &closed("sitemap: /sitemap.xml\nevery: 1s")).await;
    origin.asked("/sitemap.xml", 3).await;
    edge.get("/blog/a").await.is("post a");
    edge.get("/blog/b").await.status(404);
}

#[tokio::test]
async fn a_list_of_hosts_that_nobody_knows_closes_no_route() {
    let origin = blog().await;
    let foreign = "<urlset><url><loc>https://www.unknown.test/blog/a</loc></url></urlset>";
    origin.answers("/sitemap.xml", Reply::ok(foreign));
    let head = HEAD.replace("hosts: [[site.test, www.site.test]]\n", "");
    let edge = Edge::with_config(&origin, &closed("sitemap: /sitemap.xml").replace(HEAD, &head)).await;
    let report = ended(&edge).await;
    assert!(report["problems"].to_string().contains("the list does not close the route"), "{report:#}");
    edge.get("/blog/a").await.is("post a");
}

#[tokio::test]
async fn the_data_of_a_listed_page_is_listed_with_it() {
    let origin = blog().await;
    let yaml = closed("paths: [/blog/a]").replace("/blog/{slug}", "/blog/**");
    let edge = Edge::with_config(&origin, &yaml).await;
    prerendered(&edge, 1.0).await;
    for data in ["/blog/a/_payload.json", "/blog/a/__data.json", "/blog/a.rsc"] {
        edge.get(data).await.status(200);
    }
    edge.get("/blog/b/_payload.json").await.status(404);
}

#[tokio::test]
async fn a_reload_that_changes_the_list_or_the_hosts_has_it_read_again() {
    let origin = blog().await;
    let edge = Edge::with_config(&origin, &closed("paths: [/blog/a]")).await;
    prerendered(&edge, 1.0).await;
    edge.get("/blog/b").await.status(404);
    let wider = closed("paths: [/blog/a, /blog/b]").replace("hosts: [[site.test", "hosts: [[other.test], [site.test");
    edge.rewrite(&origin, &wider);
    edge.larder.signal("HUP");
    edge.until_is("/blog/b", "post b").await;
    edge.get("/blog/a").host("other.test").await.is("post a");
    edge.first("/blog/c", "the new list closes the route", |answer| answer.code == 404).await;
    edge.get("/blog/a").await.is("post a");
}

#[tokio::test]
async fn the_shell_comes_at_once_and_nobody_may_keep_it() {
    let origin = app().await;
    let edge = Edge::with_config(&origin, &with_shell()).await;
    edge.get("/blog/_loading").await.is("loading");
    let page = origin.page("/blog/slow", "the page").held();
    let shell = edge.get("/blog/slow").await;
    shell.status(200).is("loading").at_once().header("cache-control", "no-store").cache_status("detail=shell");
    shell.header("content-type", "text/html").no_header("etag").no_header("age");
    for answer in Crowd::of((0..10).map(|_| edge.get("/blog/slow"))).answers().await {
        answer.is("loading").at_once();
    }
    page.release();
    edge.until_is("/blog/slow", "the page").await;
    assert_eq!(origin.count("/blog/slow"), 1, "one generation, however many got the shell");
    for _ in 0..3 {
        edge.get("/blog/slow").await.is("the page");
    }
}

#[tokio::test]
async fn crawlers_and_requests_for_data_wait_for_the_page() {
    let origin = app().await;
    let edge = Edge::with_config(&origin, &with_shell()).await;
    edge.get("/blog/a").header("User-Agent", GOOGLEBOT).await.is("post a").cache_status("fwd=uri-miss");
    edge.get("/blog/b").header("RSC", "1").await.is("post b");
    edge.get("/blog/c").header("x-nextjs-data", "1").await.is("post c");
    edge.get("/blog/_loading").await.is("loading");
}

#[tokio::test]
async fn a_shell_that_fails_itself_lets_visitors_wait_for_the_page() {
    for shell in [Reply::ok("broken").status(500), Reply::ok("mine").cache_control("no-store"), Reply::reset()] {
        let origin = blog().await;
        origin.answers("/blog/_loading", shell);
        let edge = Edge::with_config(&origin, &with_shell()).await;
        edge.get("/blog/a").await.status(200).is("post a");
        // Who had all of it may be back before it is stored.
        edge.stored("/blog/a").await.is("post a");
    }
}

#[tokio::test]
async fn a_page_that_cannot_be_generated_says_so_and_is_no_shell_for_ever() {
    let origin = app().await;
    origin.page("/blog/bad", "broken").status(500);
    let edge = Edge::with_config(&origin, &with_shell()).await;
    edge.get("/blog/_loading").await.is("loading");
    edge.get("/blog/bad").await.is("loading");
    until("the failure is told", async || edge.get("/blog/bad").await.code == 500).await;
}

#[tokio::test]
async fn a_page_that_may_not_be_stored_is_passed_to_its_visitors() {
    let origin = app().await;
    origin.page("/blog/mine", "mine").cache_control("private");
    let edge = Edge::with_config(&origin, &with_shell()).await;
    edge.get("/blog/_loading").await.is("loading");
    edge.get("/blog/mine").await.is("loading");
    until("it is passed", async || edge.get("/blog/mine").await.text() == "mine").await;
}
