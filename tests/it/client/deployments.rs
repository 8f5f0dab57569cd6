//! `larder deployments`: what it lists, what it activates, and how it exits.

use super::{TOKEN, ask, guarded};
use crate::dsl::Origin;

#[tokio::test]
async fn deployments_are_listed_and_another_one_is_activated() {
    let origin = Origin::start().await;
    origin.page("/a", "a").cache_control("s-maxage=600");
    let (edge, admin) = guarded(&origin).await;
    edge.stored("/a").await;
    let table = ask(&admin, TOKEN, &["deployments"]).await.fine();
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines, [vec!["id", "active", "entries"], vec!["default", "yes", "1"]], "{table}");
    let said = ask(&admin, TOKEN, &["deployments", "activate", "two words"]).await.fine();
    assert_eq!(said, "two words is served\n");
    let listed = ask(&admin, TOKEN, &["deployments", "--json"]).await.json();
    let active: Vec<&str> = listed["deployments"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["active"] == true)
        .map(|one| one["id"].as_str().unwrap())
        .collect();
    assert_eq!(active, ["two words"]);
}

#[tokio::test]
async fn warmed_it_is_told_how_many_pages_were_rendered() {
    let origin = Origin::start().await;
    for path in ["/a", "/b"] {
        origin.page(path, path).cache_control("s-maxage=600");
    }
    let (edge, admin) = guarded(&origin).await;
    edge.stored("/a").await;
    edge.stored("/b").await;
    let said = ask(&admin, TOKEN, &["deployments", "activate", "new", "--warm"]).await.fine();
    assert!(said.starts_with("2 pages: 2 stored") && said.ends_with("new is served\n"), "{said}");
    edge.get("/a").await.is("/a").cache_status("hit");
    assert_eq!(origin.count("/a"), 2);
    let json = ask(&admin, TOKEN, &["deployments", "activate", "default", "--warm", "--pages", "1", "--json"]).await;
    assert_eq!(json.json()["active"], "default");
}

#[tokio::test]
async fn where_too_many_fail_the_old_one_stays_and_the_pages_are_named() {
    let origin = Origin::start().await;
    origin.page("/a", "a").cache_control("s-maxage=600");
    let (edge, admin) = guarded(&origin).await;
    edge.stored("/a").await;
    origin.page("/a", "broken").status(500);
    let warm = ["deployments", "activate", "new", "--warm"];
    let ran = ask(&admin, TOKEN, &warm).await;
    ran.fails(1, &["`default` stays", "/a: the origin answered 500"]);
    assert_eq!(ran.out, "");
    edge.get("/a").await.is("a").cache_status("hit");
    ask(&admin, TOKEN, &[&warm[..], &["--max-failed", "100"]].concat()).await.fine();
    ask(&admin, TOKEN, &[&warm[..], &["--force"]].concat()).await.fine();
}

#[tokio::test]
async fn what_goes_with_warm_alone_is_refused_without_it() {
    let origin = Origin::start().await;
    let (_edge, admin) = guarded(&origin).await;
    for option in [&["--pages", "5"] as &[&str], &["--max-failed", "5"], &["--force"]] {
        ask(&admin, TOKEN, &[&["deployments", "activate", "new"], option].concat()).await.fails(1, &["--warm"]);
    }
    ask(&admin, TOKEN, &["deployments", "activate", ""]).await.fails(1, &[]);
}
