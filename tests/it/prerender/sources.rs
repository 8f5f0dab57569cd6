//! Where the lists come from, and what is wrong with them: nothing that is bad in a source costs a page that is good.

use super::{HEAD, blog, ended, posts, prerendered};
use crate::dsl::{Edge, Origin, Reply, Scratch};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;

fn urlset(locations: &[&str]) -> String {
    let urls: String = locations.iter().map(|l| format!("<url><loc>{l}</loc><priority>0.5</priority></url>")).collect();
    format!("<?xml version=\"1.0\"?><urlset xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\">{urls}</urlset>")
}

fn index(locations: &[&str]) -> String {
    let maps: String = locations.iter().map(|l| format!("<sitemap><loc>{l}</loc></sitemap>")).collect();
    format!("<sitemapindex xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\">{maps}</sitemapindex>")
}

fn gzipped(text: &str) -> Vec<u8> {
    let mut gz = GzEncoder::new(Vec::new(), Compression::default());
    gz.write_all(text.as_bytes()).unwrap();
    gz.finish().unwrap()
}

/// A route whose list is the sitemap.
async fn with_sitemap(origin: &Origin) -> Edge {
    Edge::with_config(origin, &posts(HEAD, "sitemap: /sitemap.xml")).await
}

/// The report of a run on this sitemap: it ends, and its problems have these words.
async fn problem(origin: &Origin, words: &[&str]) -> Edge {
    let edge = with_sitemap(origin).await;
    let report = ended(&edge).await;
    for word in words {
        assert!(report["problems"].to_string().contains(word), "no `{word}` in {report:#}");
    }
    edge
}

#[tokio::test]
async fn a_sitemap_lists_the_pages_of_its_route_and_of_its_own_hosts() {
    let origin = blog().await;
    let locations = ["https://www.site.test/blog/a", "http://site.test/blog/caf\u{e9}", "https://site.test/about"];
    origin.answers("/sitemap.xml", Reply::ok(urlset(&locations)).header("Content-Type", "application/xml"));
    let edge = problem(&origin, &["https://site.test/about", "belongs to another route"]).await;
    prerendered(&edge, 2.0).await;
    edge.get("/blog/a").await.is("post a").cache_status("hit");
    edge.get("/blog/caf%C3%A9").await.is("post caf%C3%A9").cache_status("hit");
    assert_eq!(origin.count("/about"), 0);
}

#[tokio::test]
async fn an_index_leads_to_sitemaps_gzipped_ones_among_them_each_once() {
    let origin = blog().await;
    let maps = ["http://site.test/1.xml", "http://site.test/2.xml.gz", "http://site.test/1.xml", "/sitemap.xml"];
    origin.answers("/sitemap.xml", Reply::ok(index(&maps)));
    origin.answers("/1.xml", Reply::ok(urlset(&["/blog/a"])));
    origin.answers("/2.xml.gz", Reply::ok(gzipped(&urlset(&["/blog/b"]))).header("Content-Type", "application/gzip"));
    let edge = with_sitemap(&origin).await;
    prerendered(&edge, 2.0).await;
    ended(&edge).await;
    assert_eq!((origin.count("/sitemap.xml"), origin.count("/1.xml")), (1, 1), "each once, also in a circle");
}

#[tokio::test]
async fn a_sitemap_may_be_moved_on_its_own_host() {
    let origin = blog().await;
    origin.answers("/sitemap.xml", Reply::ok("").status(301).header("Location", "https://www.site.test/map.xml"));
    origin.answers("/map.xml", Reply::ok(urlset(&["/blog/a"])));
    let edge = with_sitemap(&origin).await;
    prerendered(&edge, 1.0).await;
}

#[tokio::test]
async fn a_sitemap_that_leads_off_the_site_is_not_followed() {
    let (origin, other) = (blog().await, Origin::start().await);
    origin.answers("/sitemap.xml", Reply::ok("").status(302).header("Location", &format!("{}/map.xml", other.url())));
    problem(&origin, &["is on a host that is none of the route's", "list yours under `hosts`"]).await;
    assert_eq!(other.total(), 0);
}

#[tokio::test]
async fn pages_of_another_host_are_left_out_and_told_of() {
    let origin = blog().await;
    let locations = ["https://evil.test/blog/x", "https://evil.test/blog/y", "/blog/a"];
    origin.answers("/sitemap.xml", Reply::ok(urlset(&locations)));
    let edge = problem(&origin, &["https://evil.test/blog/x", "and 1 more", "is on a host"]).await;
    prerendered(&edge, 1.0).await;
    assert_eq!(origin.count("/blog/x"), 0);
}

#[tokio::test]
async fn what_is_no_sitemap_is_said_to_be_what_it_is() {
    for (reply, words) in [
        (Reply::ok("<!doctype html><html><body>Welcome</body></html>"), "HTML"),
        (Reply::ok(""), "empty"),
        (Reply::ok("<urlset></urlset>"), "holds no URL"),
        (Reply::ok("<urlset><url><loc>/blog/a</loc></url>"), "broken"),
        (Reply::ok("{}"), "JSON"),
        (Reply::ok("gone").status(404), "answered 404"),
        (Reply::ok("").status(302).header("Location", "/sitemap.xml"), "redirects more than 5 times"),
    ] {
        let origin = blog().await;
        origin.answers("/sitemap.xml", reply);
        problem(&origin, &[words]).await;
    }
}

#[tokio::test]
async fn what_a_broken_sitemap_listed_before_it_broke_is_generated() {
    let origin = blog().await;
    origin.answers("/sitemap.xml", Reply::ok("<urlset><url><loc>/blog/a</loc></url><url><loc>/blog/b"));
    let edge = problem(&origin, &["the sitemap is broken"]).await;
    prerendered(&edge, 1.0).await;
}

#[tokio::test]
async fn a_json_document_lists_pages_by_a_pointer() {
    let origin = blog().await;
    origin.answers("/api/slugs", Reply::ok(r#"{"items": [{"slug": "a"}, {"slug": "b c/d"}, {"other": 1}]}"#));
    let json = "json: { url: /api/slugs, pointer: \"/items/*/slug\", to: \"/blog/{}\" }";
    let edge = Edge::with_config(&origin, &posts(HEAD, json)).await;
    let report = ended(&edge).await;
    assert_eq!(report["listed"], 1, "an encoded slash matches no ISR route: {report:#}");
    prerendered(&edge, 1.0).await;
    edge.get("/blog/a").await.is("post a").cache_status("hit");
}

#[tokio::test]
async fn a_pointer_that_finds_nothing_or_no_text_is_told_of() {
    for (document, words) in [
        (r#"{"items": []}"#, "the pointer matches nothing"),
        (r#"{"posts": [{"slug": "a"}]}"#, "the pointer matches nothing"),
        (r#"{"items": [{"slug": {"name": "a"}}]}"#, "is an object"),
        ("<html>", "is not JSON"),
    ] {
        let origin = blog().await;
        origin.answers("/api/slugs", Reply::ok(document));
        let json = "json: { url: /api/slugs, pointer: \"/items/*/slug\", to: \"/blog/{}\" }\npaths: [/blog/a]";
        let edge = Edge::with_config(&origin, &posts(HEAD, json)).await;
        let report = ended(&edge).await;
        assert!(report["problems"].to_string().contains(words), "no `{words}` in {report:#}");
        assert_eq!(report["stored"], 1, "what else is listed is generated: {report:#}");
    }
}

#[tokio::test]
async fn a_file_lists_pages_line_by_line() {
    let origin = blog().await;
    let list = Scratch::file(
        "paths.txt",
        "# posts\n/blog/a\n\n  /blog/b   # the second\nnonsense\nhttps://www.site.test/blog/c\n",
    );
    let edge = Edge::with_config(&origin, &posts(HEAD, &format!("file: {}", list.path()))).await;
    prerendered(&edge, 3.0).await;
    let report = ended(&edge).await;
    assert!(report["problems"].to_string().contains("`nonsense` is neither a path nor a URL"), "{report:#}");
}

#[tokio::test]
async fn a_file_that_is_not_there_is_told_of() {
    let origin = blog().await;
    let edge = Edge::with_config(&origin, &posts(HEAD, "file: nowhere.txt\npaths: [/blog/a]")).await;
    let report = ended(&edge).await;
    assert!(report["problems"].to_string().contains("nowhere.txt cannot be read"), "{report:#}");
    assert_eq!(report["stored"], 1, "{report:#}");
}
