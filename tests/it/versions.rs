//! Good versions of a page (`history`): listed, put back, pinned; and what of it survives a crash.

use crate::client::{Ran, run};
use crate::dsl::{Edge, HOST, Origin, Reply, Request, Response, Scratch, TOKEN, until};
use serde_json::{Value, json};
use std::path::Path;

const PATH: &str = "/blog/x";

/// Pages of an hour, of which three versions are kept, and others of a second.
fn config(folder: &Scratch, history: u16) -> String {
    let store = Path::new(folder.path()).with_file_name("store");
    format!(
        r#"listen: {{listen}}
origin: {{origin}}
admin:
  listen: {{admin}}
  token: {TOKEN}
logging: {{ access: {{ output: off }} }}
store: {{ disk: {{ path: {}, max_size: 64MiB, sync: 20ms, min_free: 0% }} }}
routes:
  - {{ name: post, match: "/blog/{{slug}}", revalidate: 1h, history: {history}, tags: [blog] }}
  - {{ name: news, match: "/news/{{slug}}", revalidate: 1s, history: {history} }}
"#,
        store.display()
    )
}

fn ask(edge: &Edge, method: &str, target: &str) -> Request {
    Request::new(edge.admin, method, target)
        .host(&edge.admin.to_string())
        .header("Authorization", &format!("Bearer {TOKEN}"))
}

fn post(edge: &Edge, target: &str, body: &Value) -> Request {
    ask(edge, "POST", target).header("Content-Type", "application/json").body(body.to_string())
}

#[track_caller]
fn document(answer: &Response) -> Value {
    serde_json::from_slice(&answer.body).unwrap()
}

async fn listed(edge: &Edge, path: &str) -> Vec<Value> {
    let answer = ask(edge, "GET", &format!("/v1/versions?url={path}")).await;
    if answer.code == 404 { Vec::new() } else { document(answer.status(200))["versions"].as_array().unwrap().clone() }
}

async fn revalidate(edge: &Edge, body: Value) -> Response {
    post(edge, "/v1/revalidate", &body).await
}

/// Its id, as soon as it is listed among so many.
async fn id_of(edge: &Edge, path: &str, count: usize, nth: usize) -> String {
    let mut there = Vec::new();
    until(&format!("{count} versions are listed"), async || {
        there = listed(edge, path).await;
        there.len() == count
    })
    .await;
    there[nth]["id"].as_str().unwrap().to_owned()
}

/// The nth render of a page is `v<n>`.
async fn numbered() -> Origin {
    let origin = Origin::start().await;
    for path in [PATH, "/news/x"] {
        origin.each(path, |n| Reply::ok(format!("v{n}")));
    }
    origin
}

/// Renders it once more. What is served before is on the disk by then, so that it becomes a version.
async fn render_again(edge: &Edge, path: &str) {
    on_disk(edge, path).await;
    revalidate(edge, json!({"paths": [path], "regenerate": true})).await.status(200);
}

/// Whoever lists versions waits until what was stored is on the disk.
async fn on_disk(edge: &Edge, path: &str) {
    assert!(!listed(edge, path).await.is_empty());
}

/// `v1` to `v3` of a page, the last one served.
async fn three(history: u16) -> (Origin, Edge, Scratch) {
    let (origin, folder) = (numbered().await, Scratch::file("nothing", ""));
    let edge = Edge::with_config(&origin, &config(&folder, history)).await;
    edge.stored(PATH).await.is("v1");
    render_again(&edge, PATH).await;
    render_again(&edge, PATH).await;
    edge.get(PATH).await.is("v3");
    (origin, edge, folder)
}

#[tokio::test]
async fn so_many_good_versions_are_kept_as_the_route_says() {
    for history in [2, 3, 5] {
        let (_origin, edge, _folder) = three(history).await;
        let kept = usize::from(history.min(3));
        id_of(&edge, PATH, kept, 0).await;
        let all = listed(&edge, PATH).await;
        let current: Vec<bool> = all.iter().map(|one| one["current"].as_bool().unwrap()).collect();
        assert_eq!(current.iter().filter(|current| **current).count(), 1);
        assert!(current[0], "{all:?}");
        let ids: Vec<&str> = all.iter().map(|one| one["id"].as_str().unwrap()).collect();
        assert!(ids.is_sorted_by(|newer, older| newer > older), "{ids:?}");
        assert!(all.iter().all(|one| one["bytes"] == 2 && one["status"] == 200 && one["pinned"] == false), "{all:?}");
    }
}

#[tokio::test]
async fn the_same_page_once_more_is_no_new_version() {
    let (origin, folder) = (Origin::start().await, Scratch::file("nothing", ""));
    origin.page(PATH, "the same");
    let edge = Edge::with_config(&origin, &config(&folder, 3)).await;
    edge.stored(PATH).await;
    render_again(&edge, PATH).await;
    render_again(&edge, PATH).await;
    on_disk(&edge, PATH).await;
    assert_eq!((origin.count(PATH), listed(&edge, PATH).await.len()), (3, 1));
}

#[tokio::test]
async fn put_back_a_version_is_served_as_old_as_it_is_and_what_it_replaces_is_kept() {
    let (origin, edge, _folder) = three(3).await;
    let oldest = id_of(&edge, PATH, 3, 2).await;
    until("it is two seconds old", async || listed(&edge, PATH).await[2]["age_s"].as_u64() >= Some(2)).await;
    let done = document(post(&edge, "/v1/versions", &json!({"url": PATH, "id": oldest})).await.status(200));
    assert_eq!((&done["id"], &done["pinned"], done.get("durable")), (&json!(oldest), &json!(false), None));
    let served = edge.get(PATH).await;
    served.is("v1").cache_status("hit").cache_status("ttl=3600");
    assert!(served.field("age").unwrap().parse::<u64>().unwrap() >= 2, "{:?}", served.field("age"));
    let all = listed(&edge, PATH).await;
    assert_eq!(all.len(), 3, "{all:?}");
    assert_eq!(all[0]["id"].as_str(), Some(&*oldest));
    // And back again.
    let newest = all[1]["id"].as_str().unwrap();
    post(&edge, "/v1/versions", &json!({"url": PATH, "id": newest})).await.status(200);
    edge.get(PATH).await.is("v3").cache_status("hit");
    assert_eq!(origin.count(PATH), 3);
}

#[tokio::test]
async fn what_is_pinned_stays_whatever_happens_a_crash_too_until_it_is_unpinned() {
    let (origin, edge, _folder) = three(2).await;
    let older = id_of(&edge, PATH, 2, 1).await;
    post(&edge, "/v1/versions", &json!({"url": PATH, "id": older, "pin": true})).await.status(200);
    edge.get(PATH).await.is("v2").cache_status("hit");
    revalidate(&edge, json!({"paths": [PATH]})).await.status(200);
    revalidate(&edge, json!({"tags": ["blog"]})).await.status(200);
    edge.get(PATH).await.is("v2").cache_status("hit");
    let refused = revalidate(&edge, json!({"paths": [PATH], "regenerate": true})).await;
    assert!(refused.status(502).text().contains("pinned"), "{}", refused.text());
    let edge = edge.killed_and_restarted().await;
    edge.get(PATH).await.is("v2").cache_status("hit");
    // By a path alone nobody knows the host yet.
    let url = format!("http://{HOST}{PATH}");
    let elsewhere = ask(&edge, "GET", &format!("/v1/versions?url={PATH}")).await;
    assert!(elsewhere.status(404).text().contains(&url), "{}", elsewhere.text());
    let explained = document(ask(&edge, "GET", &format!("/v1/explain?url={url}")).await.status(200));
    assert_eq!(explained["stored"]["pinned"], true, "{explained:#}");
    assert!(explained["summary"].as_str().unwrap().contains("pinned"), "{explained:#}");
    let entries = document(ask(&edge, "GET", "/v1/entries").await.status(200));
    assert_eq!(entries["entries"][0]["pinned"], true, "{entries:#}");
    assert_eq!(origin.count(PATH), 3);
    post(&edge, "/v1/versions/unpin", &json!({"url": url})).await.status(200);
    edge.get(PATH).await.is("v2").cache_status("hit");
    edge.until_is(PATH, "v4").await;
    post(&edge, "/v1/versions/unpin", &json!({"url": url})).await.status(409);
}

#[tokio::test]
async fn the_end_of_its_window_is_none_for_what_is_pinned() {
    let (origin, folder) = (numbered().await, Scratch::file("nothing", ""));
    let edge = Edge::with_config(&origin, &config(&folder, 3)).await;
    edge.stored("/news/x").await.is("v1");
    on_disk(&edge, "/news/x").await;
    edge.until_is("/news/x", "v2").await;
    let older = id_of(&edge, "/news/x", 2, 1).await;
    post(&edge, "/v1/versions", &json!({"url": "/news/x", "id": older, "pin": true})).await.status(200);
    let asked = origin.count("/news/x");
    // Another page of the route has become stale since: so would this one.
    origin.page("/news/clock", "tick");
    edge.stored("/news/clock").await;
    edge.until_stale("/news/clock").await;
    edge.get("/news/x").await.is("v1").cache_status("hit");
    assert_eq!(origin.count("/news/x"), asked);
}

#[tokio::test]
async fn a_hard_invalidation_takes_what_is_pinned_and_every_version() {
    let (_origin, edge, _folder) = three(3).await;
    let older = id_of(&edge, PATH, 3, 2).await;
    post(&edge, "/v1/versions", &json!({"url": PATH, "id": older, "pin": true})).await.status(200);
    revalidate(&edge, json!({"tags": ["blog"], "hard": true})).await.status(200);
    assert!(listed(&edge, PATH).await.is_empty());
    edge.get(PATH).await.is("v4");
    edge.stored(PATH).await.is("v4");
    on_disk(&edge, PATH).await;
    assert_eq!(listed(&edge, PATH).await.len(), 1, "what was before it is gone");
}

/// Asked for longest ago, it would be the first to go.
#[tokio::test]
async fn what_is_pinned_makes_no_room_for_others() {
    let (origin, folder) = (numbered().await, Scratch::file("nothing", ""));
    let edge = Edge::with_config(&origin, &config(&folder, 3).replace("64MiB", "1MiB, max_object: 512KiB")).await;
    edge.stored(PATH).await.is("v1");
    let id = id_of(&edge, PATH, 1, 0).await;
    post(&edge, "/v1/versions", &json!({"url": PATH, "id": id, "pin": true})).await.status(200);
    let edge = edge.killed_and_restarted().await;
    for n in 0..40 {
        let other = format!("/blog/{n}");
        origin.page(&other, &"x".repeat(60_000));
        edge.stored(&other).await;
    }
    edge.metric_reaches("larder_store_evictions_total{tier=disk}", 10.0).await;
    let edge = edge.killed_and_restarted().await;
    edge.get(PATH).await.is("v1").cache_status("hit");
    assert_eq!(origin.count(PATH), 1);
}

/// They are a part of what is stored: counted after a start, too, and gone with their page.
#[tokio::test]
async fn versions_count_as_bytes_on_the_disk() {
    let (origin, edge, _folder) = three(3).await;
    id_of(&edge, PATH, 3, 0).await;
    edge.metric_reaches("larder_store_bytes{tier=disk}", 3.0 * 4096.0).await;
    let edge = edge.killed_and_restarted().await;
    edge.metric_reaches("larder_store_bytes{tier=disk}", 3.0 * 4096.0).await;
    assert_eq!(listed(&edge, &format!("http://{HOST}{PATH}")).await.len(), 3);
    revalidate(&edge, json!({"paths": [PATH], "hard": true})).await.status(200);
    edge.get(PATH).await.is("v4");
    until("the new page is all", async || edge.metric("larder_store_bytes{tier=disk}").await == 4096.0).await;
    assert_eq!(origin.count(PATH), 4);
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_with_what_to_do() {
    let (_origin, edge, _folder) = three(3).await;
    let served = id_of(&edge, PATH, 3, 0).await;
    for (target, body, status, words) in [
        ("/v1/versions", json!({"url": PATH, "id": "abc"}), 404, served.as_str()),
        ("/v1/versions", json!({"url": "/blog/other", "id": "abc"}), 404, "nothing is stored"),
        ("/v1/versions", json!({"url": PATH, "id": "v1"}), 422, "16 hexadecimal digits"),
        ("/v1/versions", json!({"url": PATH}), 422, "`id`"),
        ("/v1/versions", json!({"url": "blog", "id": "1"}), 422, "`url`"),
        ("/v1/versions/unpin", json!({"url": PATH}), 409, "is not pinned"),
        ("/v1/versions/unpin", json!({"url": "/blog/other"}), 404, "nothing is stored"),
    ] {
        let answer = post(&edge, target, &body).await;
        answer.status(status).header("Content-Type", "application/problem+json");
        assert!(answer.text().contains(words), "no `{words}` in {}", answer.text());
    }
    ask(&edge, "GET", "/v1/versions?url=/blog/other").await.status(404);
    edge.get(PATH).await.is("v3");
}

#[tokio::test]
async fn without_a_disk_the_remedy_is_named() {
    let origin = numbered().await;
    let plain = format!("listen: {{listen}}\norigin: {{origin}}\nadmin:\n  listen: {{admin}}\n  token: {TOKEN}\n");
    let edge = Edge::with_config(&origin, &plain).await;
    let refused = ask(&edge, "GET", &format!("/v1/versions?url={PATH}")).await;
    assert!(refused.status(409).text().contains("store: { disk:"), "{}", refused.text());
}

async fn command(edge: &Edge, arguments: &[&str]) -> Ran {
    let admin = format!("http://{}", edge.admin);
    run(&[&["versions"], arguments, &["--admin", &admin, "--token", TOKEN]].concat()).await
}

#[tokio::test]
async fn the_command_lists_restores_pins_and_unpins() {
    let (_origin, edge, _folder) = three(3).await;
    let oldest = id_of(&edge, PATH, 3, 2).await;
    let table = command(&edge, &[PATH]).await.fine();
    assert!(table.lines().count() == 5 && table.contains(&oldest) && table.contains("keeps 3"), "{table}");
    let json = command(&edge, &[PATH, "--json"]).await.json();
    assert_eq!(json["versions"].as_array().unwrap().len(), 3, "{json:#}");
    let said = command(&edge, &[PATH, "--restore", &oldest, "--pin"]).await.fine();
    assert!(said.contains("until it is unpinned"), "{said}");
    edge.get(PATH).await.is("v1").cache_status("hit");
    assert!(command(&edge, &[PATH]).await.fine().contains("served, pinned"));
    command(&edge, &[PATH, "--unpin"]).await.fine();
    edge.until_is(PATH, "v4").await;
    command(&edge, &[PATH, "--unpin"]).await.fails(1, &["is not pinned"]);
    command(&edge, &[PATH, "--restore", "abc"]).await.fails(1, &["there is no version"]);
    command(&edge, &["/blog/other"]).await.fails(1, &["nothing is stored"]);
    command(&edge, &[PATH, "--pin"]).await.fails(1, &["--restore"]);
}
