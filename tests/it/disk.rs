//! Pages that survive: a restart, a kill, a small memory, bad files, and a second process beside.

use crate::dsl::{Edge, Larder, Origin, PLAIN, Request, Response, Scratch, until};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

const TOKEN: &str = "the-token";

/// A folder for one store, gone after the test.
pub(crate) struct Folder(Scratch);

impl Folder {
    pub(crate) fn new() -> Folder {
        Folder(Scratch::file("beside", ""))
    }

    pub(crate) fn path(&self) -> PathBuf {
        Path::new(self.0.path()).with_file_name("store")
    }

    /// A configuration with its store here.
    fn with(&self, memory: &str, rest: &str) -> String {
        let path = self.path();
        format!(
            "listen: {{listen}}\norigin: {{origin}}\nlogging: {{ access: {{ output: off }} }}\n\
             admin:\n  listen: {{admin}}\n  token: {TOKEN}\n\
             store: {{ memory: {{ {memory} }}, disk: {{ path: {}, sync: 100ms, min_free: 0% }} }}\n{rest}",
            path.display()
        )
    }

    async fn edge(&self, origin: &Origin) -> Edge {
        Edge::with_config(origin, &self.with("max_size: 64MiB", "")).await
    }

    /// The files of stored responses.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.path().join("larder-1/pages")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                match entry.file_type().unwrap().is_dir() {
                    true => folders.push(entry.path()),
                    false if entry.file_name() != "id" => found.push(entry.path()),
                    false => {}
                }
            }
        }
        found
    }
}

/// Everything that was stored is on the disk: so many files at least.
pub(crate) async fn settled(edge: &Edge, least: f64) {
    edge.metric_reaches("larder_store_entries{tier=disk}", least).await;
    until("everything is written", async || edge.metric("larder_store_queue{tier=disk}").await == 0.0).await;
}

fn order(edge: &Edge, target: &str, body: &Value) -> Request {
    let request = Request::new(edge.admin, "POST", target).host(&edge.admin.to_string());
    request.header("Authorization", &format!("Bearer {TOKEN}")).body(body.to_string())
}

async fn deployments(edge: &Edge) -> Value {
    let request = edge.admin_get("/v1/deployments").header("Authorization", &format!("Bearer {TOKEN}"));
    serde_json::from_str(&request.await.status(200).text()).unwrap()
}

fn is_stale_hit(answer: &Response) -> bool {
    answer.field("Cache-Status").is_some_and(|status| status.contains("hit; ttl=-") || status.contains("hit; ttl=0"))
}

#[tokio::test]
async fn after_a_kill_every_page_is_a_hit_with_its_true_age_though_the_origin_is_gone() {
    let (folder, origin) = (Folder::new(), Origin::start().await);
    let large = "large ".repeat(40_000);
    origin.page("/plain", "v1").cache_control("s-maxage=600").etag("\"one\"");
    origin.page("/empty", "").cache_control("s-maxage=600");
    origin.page("/large", &large).cache_control("s-maxage=600");
    origin.dynamic("/varies", |seen| {
        let language = seen.field("accept-language").unwrap_or_default();
        crate::dsl::Reply::ok(format!("in {language}")).cache_control("s-maxage=600").header("Vary", "Accept-Language")
    });
    let edge = Edge::with_config(&origin, &folder.with("max_size: 8MiB, max_object: 64KiB", "")).await;
    for path in ["/plain", "/empty", "/large"] {
        edge.stored(path).await;
    }
    for language in ["de", "en"] {
        edge.get("/varies").header("Accept-Language", language).await.is(&format!("in {language}"));
    }
    settled(&edge, 6.0).await;
    drop(edge);
    origin.down().await;
    let edge = Edge::with_config(&origin, &folder.with("max_size: 8MiB, max_object: 64KiB", "")).await;
    edge.get("/plain").await.is("v1").cache_status("hit; ttl=").at_once();
    edge.get("/plain").header("If-None-Match", "\"one\"").await.status(304);
    edge.get("/empty").await.status(200).is("").cache_status("hit; ttl=");
    edge.get("/large").await.is(&large).cache_status("hit; ttl=");
    edge.get("/large").header("Range", "bytes=100000-100005").await.status(206).is(&large[100_000..100_006]);
    edge.head("/large").await.status(200).header("Content-Length", &large.len().to_string());
    for language in ["de", "en"] {
        let answer = edge.get("/varies").header("Accept-Language", language).await;
        answer.is(&format!("in {language}")).cache_status("hit; ttl=");
    }
}

#[tokio::test]
async fn a_write_to_a_url_counts_for_its_variants_that_are_on_the_disk_alone() {
    let (folder, origin) = (Folder::new(), Origin::start().await);
    origin.dynamic("/varies", |seen| {
        let language = seen.field("accept-language").unwrap_or_default();
        crate::dsl::Reply::ok(format!("in {language}")).cache_control("s-maxage=600").header("Vary", "Accept-Language")
    });
    let edge = folder.edge(&origin).await;
    let languages = ["de", "en", "fr"];
    for language in languages {
        edge.get("/varies").header("Accept-Language", language).await.is(&format!("in {language}"));
    }
    settled(&edge, 4.0).await;
    drop(edge);
    let edge = folder.edge(&origin).await;
    edge.post("/varies", "").await.status(200);
    let before = origin.count("/varies");
    for language in languages {
        let answer = edge.get("/varies").header("Accept-Language", language).await;
        answer.is(&format!("in {language}")).cache_status("fwd=stale");
        edge.get("/varies").header("Accept-Language", language).await.cache_status("hit; ttl=");
    }
    assert_eq!(origin.count("/varies") - before, 3, "each is validated once");
}

#[tokio::test]
async fn what_was_invalidated_stays_so_over_a_kill() {
    let (folder, origin) = (Folder::new(), Origin::start().await);
    for path in ["/soft", "/hard", "/tagged", "/fine"] {
        let tag = if path == "/tagged" { "blog" } else { "none" };
        origin.page(path, "v1").cache_control("s-maxage=600").header("Cache-Tag", tag);
    }
    let edge = folder.edge(&origin).await;
    for path in ["/soft", "/hard", "/tagged", "/fine"] {
        edge.stored(path).await;
    }
    settled(&edge, 4.0).await;
    order(&edge, "/v1/revalidate", &json!({ "paths": ["/hard"], "hard": true })).await.status(200);
    let answer = order(&edge, "/v1/revalidate", &json!({ "paths": ["/soft"], "tags": ["blog"] })).await;
    let before: Value = serde_json::from_str(&answer.status(200).text()).unwrap();
    drop(edge);
    origin.down().await;
    let edge = folder.edge(&origin).await;
    assert!(is_stale_hit(edge.get("/soft").await.is("v1")));
    assert!(is_stale_hit(edge.get("/tagged").await.is("v1")));
    assert!(!is_stale_hit(edge.get("/fine").await.is("v1").cache_status("hit")));
    edge.get("/hard").await.status(502);
    let after = order(&edge, "/v1/revalidate", &json!({ "paths": ["/x"] })).await;
    let after: Value = serde_json::from_str(&after.text()).unwrap();
    assert!(after["epoch"].as_u64() > before["epoch"].as_u64(), "{before} {after}");
}

#[tokio::test]
async fn what_memory_has_no_room_for_is_on_the_disk() {
    let (folder, origin) = (Folder::new(), Origin::start().await);
    let body = "x".repeat(20_000);
    origin.everything(move |_| crate::dsl::Reply::ok(body.clone()).cache_control("s-maxage=600"));
    let edge = Edge::with_config(&origin, &folder.with("max_size: 256KiB, max_object: 64KiB", "")).await;
    for n in 0..60 {
        edge.stored(&format!("/p{n}")).await;
    }
    for n in 0..60 {
        edge.get(&format!("/p{n}")).await.cache_status("hit; ttl=");
        assert_eq!(origin.count(&format!("/p{n}")), 1);
    }
    settled(&edge, 60.0).await;
    assert!(edge.metric("larder_store_entries{tier=memory}").await < 20.0);
    assert_eq!(edge.metric("larder_store_entries{tier=disk}").await, 60.0);
    let request = edge.admin_get("/v1/entries?limit=100").header("Authorization", &format!("Bearer {TOKEN}"));
    let entries: Value = serde_json::from_str(&request.await.text()).unwrap();
    let entries = entries["entries"].as_array().unwrap().clone();
    assert_eq!(entries.len(), 60);
    assert!(entries.iter().any(|e| e["tier"] == "disk") && entries.iter().any(|e| e["tier"] == "memory"));
}

#[tokio::test]
async fn files_that_are_not_what_they_should_be_are_never_served_and_counted() {
    let (folder, origin) = (Folder::new(), Origin::start().await);
    origin.everything(|seen| crate::dsl::Reply::ok(format!("page {}", seen.target)).cache_control("s-maxage=600"));
    let edge = folder.edge(&origin).await;
    for n in 0..8 {
        edge.stored(&format!("/p{n}")).await;
    }
    settled(&edge, 8.0).await;
    drop(edge);
    let files = folder.files();
    assert_eq!(files.len(), 8);
    let bytes = |at: usize| fs::read(&files[at]).unwrap();
    let (one, two) = (bytes(0), bytes(1));
    fs::write(&files[0], &two).unwrap();
    fs::write(&files[1], &one[..one.len() - 1]).unwrap();
    fs::write(&files[2], [&bytes(2)[..], b"x"].concat()).unwrap();
    let mut flipped = bytes(3);
    let last = flipped.len() - 12;
    flipped[last] ^= 1;
    fs::write(&files[3], flipped).unwrap();
    fs::write(&files[4], "something else").unwrap();
    fs::remove_file(&files[5]).unwrap();
    fs::create_dir(&files[5]).unwrap();
    fs::remove_file(&files[6]).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &files[6]).unwrap();
    fs::remove_file(&files[7]).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&files[7]).status().unwrap().success());
    let edge = folder.edge(&origin).await;
    for n in 0..8 {
        edge.get(&format!("/p{n}")).await.status(200).is(&format!("page /p{n}")).cache_status("fwd=uri-miss");
    }
    for (operation, least) in [("swapped", 1.0), ("damaged", 3.0), ("foreign", 1.0), ("not-a-file", 3.0)] {
        edge.metric_reaches(&format!("larder_store_errors_total{{operation={operation}}}"), least).await;
    }
    assert_eq!(edge.metric("larder_store_up{tier=disk}").await, 1.0);
}

#[tokio::test]
async fn a_directory_that_cannot_be_used_is_told_at_the_start() {
    let (folder, origin) = (Folder::new(), Origin::start().await);
    let (file, missing) = (folder.0.path().to_owned(), folder.path().join("not/there"));
    for (path, words) in [(file.as_str(), "is not a directory"), (missing.to_str().unwrap(), "is missing")] {
        let yaml = format!("listen: 127.0.0.1:0\norigin: {}\nadmin: {{ listen: '127.0.0.1:0' }}\n", origin.url());
        let yaml = format!("{yaml}store: {{ disk: {{ path: {path} }} }}\n");
        let written = Scratch::file("larder.yaml", &yaml);
        let mut larder = Larder::run(["serve", "--config", written.path()]);
        assert_eq!(larder.exit().await, 2);
        let said = larder.stderr();
        assert!(said.contains("store.disk.path") && said.contains(words), "{said}");
    }
}

#[tokio::test]
async fn a_directory_that_is_removed_costs_no_request_and_is_made_again() {
    let (folder, origin) = (Folder::new(), Origin::start().await);
    origin.everything(|seen| crate::dsl::Reply::ok(format!("page {}", seen.target)).cache_control("s-maxage=600"));
    let edge = folder.edge(&origin).await;
    edge.stored("/before").await;
    settled(&edge, 1.0).await;
    fs::remove_dir_all(folder.path()).unwrap();
    fs::create_dir(folder.path()).unwrap();
    for n in 0..20 {
        edge.get(&format!("/p{n}")).await.status(200);
    }
    edge.get("/before").await.is("page /before").cache_status("hit");
    until("pages are on the disk again", async || {
        edge.get(&format!("/q{}", origin.total())).await.status(200);
        !folder.files().is_empty()
    })
    .await;
    order(&edge, "/v1/revalidate", &json!({ "paths": ["/before"] })).await.status(200);
}

#[tokio::test]
async fn a_second_process_follows_the_one_that_holds_the_journal_and_takes_over_when_it_is_killed() {
    let (folder, origin) = (Folder::new(), Origin::start().await);
    origin.page("/p", "v1").cache_control("s-maxage=600");
    origin.page("/q", "v1").cache_control("s-maxage=600");
    let first = folder.edge(&origin).await;
    first.stored("/p").await;
    first.stored("/q").await;
    settled(&first, 2.0).await;
    let second = folder.edge(&origin).await;
    second.get("/p").await.is("v1").cache_status("hit; ttl=");
    assert_eq!(origin.count("/p"), 1);
    let held = order(&second, "/v1/revalidate", &json!({ "paths": ["/p"] })).await;
    assert!(held.status(503).text().contains("another process"), "{}", held.text());
    assert!(!is_stale_hit(second.get("/p").await.is("v1")));
    order(&first, "/v1/revalidate", &json!({ "paths": ["/p"], "hard": true })).await.status(200);
    origin.page("/p", "v2").cache_control("s-maxage=600");
    second.until_is("/p", "v2").await;
    order(&first, "/v1/deployments/next/activate", &json!({})).await.status(200);
    until("the other one serves the same deployment", async || {
        deployments(&second).await["deployments"]
            .as_array()
            .unwrap()
            .iter()
            .any(|d| d["id"] == "next" && d["active"] == true)
    })
    .await;
    drop(first);
    until("it takes over", async || order(&second, "/v1/revalidate", &json!({ "paths": ["/q"] })).await.code == 200)
        .await;
}

#[tokio::test]
async fn an_activation_survives_a_kill_and_a_configured_id_counts_when_it_is_another_one() {
    let (folder, origin) = (Folder::new(), Origin::start().await);
    origin.page("/p", "of a").cache_control("s-maxage=600");
    let config = |id: &str| folder.with("max_size: 64MiB", &format!("deployment: {{ id: {id}, keep: 2 }}\n"));
    let edge = Edge::with_config(&origin, &config("a")).await;
    edge.stored("/p").await;
    order(&edge, "/v1/deployments/b/activate", &json!({})).await.status(200);
    origin.page("/p", "of b").cache_control("s-maxage=600");
    edge.until_is("/p", "of b").await;
    settled(&edge, 2.0).await;
    drop(edge);
    let edge = Edge::with_config(&origin, &config("a")).await;
    edge.get("/p").await.is("of b").cache_status("hit; ttl=");
    order(&edge, "/v1/deployments/a/activate", &json!({})).await.status(200);
    edge.get("/p").await.is("of a").cache_status("hit; ttl=");
    drop(edge);
    origin.page("/p", "of c").cache_control("s-maxage=600");
    let edge = Edge::with_config(&origin, &config("c")).await;
    edge.get("/p").await.is("of c").cache_status("fwd=uri-miss");
    until("two are kept", async || {
        let there = deployments(&edge).await;
        let there: Vec<String> =
            there["deployments"].as_array().unwrap().iter().map(|d| d["id"].as_str().unwrap().to_owned()).collect();
        there == ["a", "c"]
    })
    .await;
}

#[tokio::test]
async fn without_a_disk_nothing_is_on_it() {
    let origin = Origin::start().await;
    let edge = Edge::with_config(&origin, PLAIN).await;
    let metrics = edge.admin_get("/metrics").await.text();
    assert!(!metrics.contains("tier=\"disk\""), "{metrics}");
}

#[tokio::test]
async fn after_a_restart_a_list_that_was_read_once_still_says_which_pages_there_are() {
    let (folder, origin) = (Folder::new(), Origin::start().await);
    origin.page("/post/one", "one").cache_control("s-maxage=600");
    let list = Scratch::file("paths.txt", "/post/one\n");
    let route = format!(
        "routes: [{{ name: post, match: '/post/{{slug}}', revalidate: 1h, fallback: not_found, prerender: {{ file: {} }} }}]\n",
        list.path()
    );
    let config = folder.with("max_size: 64MiB", &route);
    let edge = Edge::with_config(&origin, &config).await;
    until("the list counts", async || edge.get("/post/two").await.code == 404).await;
    edge.stored("/post/one").await;
    settled(&edge, 1.0).await;
    drop(edge);
    // Neither the list nor the origin is there any more.
    drop(list);
    let asked = origin.count("/post/two");
    let edge = Edge::with_config(&origin, &config).await;
    until("the list counts again", async || edge.get("/post/three").await.code == 404).await;
    edge.get("/post/one").await.is("one").cache_status("hit; ttl=");
    assert_eq!(origin.count("/post/two"), asked);
}
