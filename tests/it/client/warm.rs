//! `larder warm`: what it generates, what it tells, and how it exits.

use super::{TOKEN, ask, url};
use crate::dsl::{Edge, Origin};
use crate::prerender::{HEAD, blog, posts};

async fn warmable(prerender: &str) -> (Origin, Edge, String) {
    let origin = blog().await;
    let edge = Edge::with_config(&origin, &posts(HEAD, prerender)).await;
    let admin = url(edge.admin);
    (origin, edge, admin)
}

#[tokio::test]
async fn warm_generates_what_the_routes_list_and_tells_how_it_went() {
    let (origin, edge, admin) = warmable("paths: [/blog/a, /blog/b]\non: []").await;
    assert_eq!(origin.total(), 0);
    let said = ask(&admin, TOKEN, &["warm"]).await.fine();
    assert!(said.starts_with("2 pages in ") && said.contains("2 stored, 0 left as they were"), "{said}");
    edge.get("/blog/a").await.is("post a").cache_status("hit");
    let again = ask(&admin, TOKEN, &["warm", "--route", "post", "--json"]).await.json();
    assert_eq!((&again["runs"][0]["left"], &again["runs"][0]["state"]), (&2.into(), &"ended".into()), "{again:#}");
    assert_eq!(origin.total(), 2, "what is fresh is left as it is");
}

#[tokio::test]
async fn warm_takes_paths_that_no_list_names() {
    let (_origin, edge, admin) = warmable("paths: [/blog/a]\non: []").await;
    let said = ask(&admin, TOKEN, &["warm", "/blog/x", "/blog/y", "--host", "www.site.test"]).await.fine();
    assert!(said.contains("2 stored"), "{said}");
    edge.get("/blog/x").await.is("post x").cache_status("hit");
}

#[tokio::test]
async fn warm_exits_with_2_and_names_the_pages_that_failed() {
    let (origin, _edge, admin) = warmable("paths: [/blog/a, /blog/bad]\nfile: nowhere.txt\non: []").await;
    origin.page("/blog/bad", "broken").status(500);
    let ran = ask(&admin, TOKEN, &["warm"]).await;
    ran.fails(2, &["http://site.test/blog/bad: the origin answered 500", "nowhere.txt cannot be read"]);
    assert!(ran.out.contains("1 stored") && ran.out.contains("1 failed"), "{ran:#?}");
}

#[tokio::test]
async fn warm_refuses_what_it_cannot_do_and_says_why() {
    let (_origin, _edge, admin) = warmable("paths: [/blog/a]\non: []").await;
    ask(&admin, TOKEN, &["warm", "--route", "nobody"]).await.fails(1, &["no route `nobody` has a `prerender`"]);
    ask(&admin, TOKEN, &["warm", "no-path"]).await.fails(1, &["`paths[0]` must begin with `/`"]);
    ask(&admin, TOKEN, &["warm", "--host", "site.test"]).await.fails(1, &["`host` is for `paths`"]);
    ask(&admin, "wrong", &["warm"]).await.fails(1, &["does not know the token"]);
}
