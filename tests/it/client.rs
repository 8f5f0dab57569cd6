//! The commands that ask the admin API: `revalidate`, `entries`, `explain`; what they print (interface, "Command
//! line" and "Admin API").

mod archive;
mod deployments;
mod faults;
mod warm;

use crate::dsl::{Edge, Origin, Reply, Seen, in_time};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::process::{Command, Stdio};

const TOKEN: &str = "a-token-of-the-tests-0123456789abcdef";

const GUARDED: &str = "listen: {listen}\norigin: {origin}\nadmin:\n  listen: {admin}\n  \
                       token: a-token-of-the-tests-0123456789abcdef\n";

/// What a command said, and how it ended.
#[derive(Debug)]
pub struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Ran {
    #[track_caller]
    pub fn fine(self) -> String {
        assert_eq!(self.code, 0, "{self:#?}");
        self.out
    }

    #[track_caller]
    pub fn json(self) -> Value {
        serde_json::from_str(&self.fine()).unwrap()
    }

    /// It failed like this and said all of that, and no panic's words.
    #[track_caller]
    pub fn fails(&self, code: i32, words: &[&str]) -> &Self {
        assert_eq!(self.code, code, "{self:#?}");
        assert!(self.err.starts_with("larder: ") || self.err.starts_with("error: "), "{self:#?}");
        for word in words {
            assert!(self.err.contains(word), "no `{word}` in {self:#?}");
        }
        self
    }
}

/// A command that ends, without the variables of whoever runs the tests.
fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_larder"));
    command.args(arguments).stdin(Stdio::null());
    for variable in ["LARDER_ADMIN", "LARDER_ADMIN_TOKEN", "http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"] {
        command.env_remove(variable);
    }
    command
}

async fn finish(mut command: Command) -> Ran {
    let running = tokio::task::spawn_blocking(move || command.output());
    let output = in_time("the command ends", running).await.unwrap().unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

pub async fn run(arguments: &[&str]) -> Ran {
    finish(command(arguments)).await
}

/// Asks whoever is at this address, with this token.
async fn ask(admin: &str, token: &str, arguments: &[&str]) -> Ran {
    run(&[arguments, &["--admin", admin, "--token", token]].concat()).await
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}")
}

/// Larder with a token, and an admin address to ask it at.
async fn guarded(origin: &Origin) -> (Edge, String) {
    let edge = Edge::with_config(origin, GUARDED).await;
    let admin = url(edge.admin);
    (edge, admin)
}

/// Somebody who answers everything in this way.
async fn impostor(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Origin {
    let origin = Origin::start().await;
    origin.everything(script);
    origin
}

fn as_json(value: &Value) -> Reply {
    Reply::ok(value.to_string()).header("Content-Type", "application/json")
}

fn problem(status: u16, detail: &str) -> Reply {
    let document = json!({"type": "about:blank", "title": "A Problem", "status": status, "detail": detail});
    Reply::ok(document.to_string()).status(status).header("Content-Type", "application/problem+json")
}

#[tokio::test]
async fn entries_lists_what_is_stored() {
    let origin = Origin::start().await;
    origin.page("/a", &"a".repeat(20_000)).cache_control("s-maxage=600");
    origin.page("/b", "b").cache_control("s-maxage=600");
    let (edge, admin) = guarded(&origin).await;
    let nothing = ask(&admin, TOKEN, &["entries"]).await;
    assert!(nothing.err.contains("nothing"), "{nothing:#?}");
    assert_eq!(nothing.fine(), "");
    edge.stored("/a").await;
    edge.stored("/b").await;

    let table = ask(&admin, TOKEN, &["entries"]).await.fine();
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 3, "{table}");
    assert_eq!(
        lines[0].split_whitespace().collect::<Vec<_>>(),
        ["url", "status", "state", "age", "ttl", "size", "tags"]
    );
    let row = lines.iter().find(|line| line.starts_with("http://site.test/a ")).unwrap();
    assert!(row.contains(" 200 ") && row.contains(" fresh ") && row.contains(" s ") && row.contains(" KiB"), "{table}");
    let column = lines[0].find("status").unwrap();
    assert!(lines[1..].iter().all(|line| line[column..].starts_with("200 ")), "{table}");

    let urls = |document: &Value| {
        let mut urls: Vec<String> =
            document["entries"].as_array().unwrap().iter().map(|e| e["url"].as_str().unwrap().to_owned()).collect();
        urls.sort();
        urls
    };
    let all = ask(&admin, TOKEN, &["entries", "--json"]).await.json();
    assert_eq!(urls(&all), ["http://site.test/a", "http://site.test/b"]);
    let some = ask(&admin, TOKEN, &["entries", "--json", "--prefix", "/b", "--state", "fresh"]).await.json();
    assert_eq!(urls(&some), ["http://site.test/b"]);
    let none = ask(&admin, TOKEN, &["entries", "--json", "--tag", "nobody-has-this"]).await.json();
    assert_eq!(none, json!({"entries": []}));

    let first = ask(&admin, TOKEN, &["entries", "--limit", "1"]).await;
    assert!(first.err.contains("--limit 0"), "{first:#?}");
    assert_eq!(first.fine().lines().count(), 2);
    assert_eq!(ask(&admin, TOKEN, &["entries", "--limit", "0"]).await.fine().lines().count(), 3);
}

#[tokio::test]
async fn revalidate_makes_a_page_stale_and_tells_the_epoch() {
    let origin = Origin::start().await;
    origin.page("/p", "v1").cache_control("s-maxage=600, stale-while-revalidate=600");
    let (edge, admin) = guarded(&origin).await;
    edge.stored("/p").await.is("v1");
    origin.page("/p", "v2").cache_control("s-maxage=600, stale-while-revalidate=600");

    let said = ask(&admin, TOKEN, &["revalidate", "/p", "--count"]).await.fine();
    let (epoch, matched) = said.split_once('\n').unwrap();
    let epoch: u64 = epoch.strip_prefix("epoch ").unwrap().parse().unwrap();
    assert_eq!(matched, "matched 1\n");
    edge.until_is("/p", "v2").await;

    let later = ask(&admin, TOKEN, &["revalidate", "--prefix", "/nowhere", "--tag", "t", "--json"]).await.json();
    assert!(later["epoch"].as_u64().unwrap() > epoch && later["matched"].is_null(), "{later}");
    let said = ask(&admin, TOKEN, &["revalidate", "--route", "no-such-route", "--hard"]).await.fine();
    assert!(said.starts_with("epoch ") && said.lines().count() == 1, "{said}");
}

#[tokio::test]
async fn revalidate_sends_all_that_it_was_given() {
    let api = impostor(|_| as_json(&json!({"epoch": 7}))).await;
    let line = "revalidate /a /b --prefix /c --prefix /d --tag e --route f --host g.test --hard --regenerate --count";
    let arguments: Vec<&str> = line.split(' ').collect();
    assert_eq!(ask(&api.url(), TOKEN, &arguments).await.fine(), "epoch 7\n");
    let seen = api.last("/v1/revalidate");
    assert_eq!(seen.method, "POST");
    assert_eq!(seen.field("content-type").as_deref(), Some("application/json"));
    assert_eq!(seen.field("authorization"), Some(format!("Bearer {TOKEN}")));
    let body: Value = serde_json::from_str(&seen.text()).unwrap();
    assert_eq!(
        body,
        json!({"paths": ["/a", "/b"], "prefixes": ["/c", "/d"], "tags": ["e"], "routes": ["f"], "host": "g.test",
               "hard": true, "regenerate": true, "count": true})
    );
}

#[tokio::test]
async fn revalidate_regenerates_at_once() {
    let origin = Origin::start().await;
    origin.page("/p", "v1").cache_control("s-maxage=600");
    let (edge, admin) = guarded(&origin).await;
    edge.stored("/p").await.is("v1");
    origin.page("/p", "v2").cache_control("s-maxage=600");
    let regenerate = ["revalidate", "/p", "--host", "site.test", "--regenerate"];
    let said = ask(&admin, TOKEN, &regenerate).await.fine();
    assert!(said.starts_with("epoch ") && said.contains("\nregenerated http://site.test/p (200) in "), "{said}");
    edge.get("/p").await.is("v2");
    let done = ask(&admin, TOKEN, &[&regenerate[..], &["--json"]].concat()).await.json();
    assert_eq!(done["regenerated"][0]["url"], "http://site.test/p");

    origin.answers("/p", Reply::ok("broken").status(500));
    let failed = ask(&admin, TOKEN, &regenerate).await;
    failed.fails(2, &["http://site.test/p"]);
    assert!(failed.out.starts_with("epoch "), "the invalidation stands: {failed:#?}");
}

#[tokio::test]
async fn explain_is_a_page_of_text_or_the_document_itself() {
    let origin = Origin::start().await;
    origin.page("/p", "page").cache_control("s-maxage=600");
    let (edge, admin) = guarded(&origin).await;
    edge.stored("/p").await;
    let page = ask(&admin, TOKEN, &["explain", "http://site.test/p"]).await.fine();
    assert!(page.starts_with("http://site.test/p\n"), "{page}");
    for line in ["\nRoute\n", "\nKey\n", "\nStored\n", "\nDecision\n", " reuse\n", " site.test\n", " fresh\n"] {
        assert!(page.contains(line), "no `{line}` in\n{page}");
    }
    assert!(!page.contains('\x1b'), "stdout is no terminal: {page:?}");

    let document = ask(&admin, TOKEN, &["explain", "http://site.test/p", "--json"]).await.json();
    assert_eq!(document["decision"]["action"], "reuse");
    assert_eq!(document["key"]["host"], "site.test");
    let header = ["explain", "http://site.test/none?a=1&b=%20", "--header", "Accept-Language: de, en;q=0.5"];
    let absent = ask(&admin, TOKEN, &header).await.fine();
    assert!(absent.contains("\nStored\n  Nothing"), "{absent}");
    ask(&admin, TOKEN, &["explain", "/p"]).await.fine();
}

/// Everything an explanation can have, with a control character in each text.
fn explanation() -> Value {
    json!({
        "url": "http://site.test/p\u{1b}[2J", "summary": "It is stored. ".repeat(20),
        "route": {"name": "post", "kind": "isr", "revalidate": "60s", "origin": "app"},
        "key": {"deployment": "default", "scheme": "http", "host": "site.test", "path": "/p\r", "query": null,
                "fields": {"accept-language": "de"}, "dropped_query": ["utm_source"]},
        "stored": entry("http://site.test/p"), "variants": {"nominated": ["accept-language"], "stored": 2},
        "decision": {"action": "reuse-and-refresh", "cache_status": "hit; ttl=-3", "why": ["Because \u{9b}31m."]},
        "advice": ["Send s-maxage."], "tags": ["blog"],
        "invalidated": {"mode": "soft", "by": "tag `blog`", "epoch": 12},
        "regenerations": [{"ago_s": 240, "cause": "stale", "outcome": "status 500", "took_ms": 1250}],
        "verdict": {"reason": "no-store", "for_s": 90, "explanation": "The origin forbids it."},
        "back_off": {"for_s": 7, "reason": "status 500"},
        "origin": {"name": "app", "servers": [{"server": "127.0.0.1:3000", "state": "down"}]}, "in_flight": true,
    })
}

fn entry(url: &str) -> Value {
    json!({"url": url, "variant": {"accept-language": "de"}, "status": 200, "state": "stale", "age_s": 240, "ttl_s": -3,
           "expires_in_s": null, "bytes": 12_288, "tags": ["a", "b"], "deployment": "default", "tier": "memory",
           "last_refresh": {"ago_s": 240, "cause": "miss", "outcome": "success", "took_ms": 12}})
}

#[tokio::test]
async fn explain_tells_all_that_there_is_to_tell() {
    let api = impostor(|_| as_json(&explanation())).await;
    let asked = ["explain", "/p?a=1&b=c d#é", "--header", "A: 1", "--header", "B: x&y"];
    let page = ask(&api.url(), TOKEN, &asked).await.fine();
    assert_eq!(
        api.last("/v1/explain").target,
        "/v1/explain?url=%2Fp%3Fa%3D1%26b%3Dc%20d%23%C3%A9&header=A%3A%201&header=B%3A%20x%26y"
    );
    for part in [
        "name          post\n",
        "revalidate    60s\n",
        "origin        app (127.0.0.1:3000 is down)\n",
        "path          /p\\r\n",
        "accept-language: de",
        "utm_source",
        "age           4 min\n",
        "ttl           -3 s\n",
        "expires in    never\n",
        "size          12 KiB\n",
        "last refresh  4 min ago: miss, success, in 12 ms\n",
        "variants      2\n",
        "invalidated   soft, by tag `blog` (epoch 12)\n",
        "action        reuse-and-refresh\n",
        "Cache-Status  hit; ttl=-3\n",
        "  - Because \\u{9b}31m.\n",
        "The origin forbids it. (no-store; remembered for another 90 s)\n",
        "(status 500); none is tried for another 7 s.\n",
        "\nAdvice\n  - Send s-maxage.\n",
        "\nLast regenerations\n  - 4 min ago: stale, status 500, in 1.2 s\n",
    ] {
        assert!(page.contains(part), "no `{part}` in\n{page}");
    }
    assert!(page.lines().all(|line| line.chars().count() <= 80), "a line is too long:\n{page}");
    assert!(!page.chars().any(|c| c.is_control() && c != '\n'), "{page:?}");
}

#[tokio::test]
async fn a_table_is_aligned_and_reads_well() {
    let api = impostor(|_| as_json(&json!({"entries": [entry("http://site.test/p")], "cursor": null}))).await;
    assert_eq!(
        ask(&api.url(), TOKEN, &["entries"]).await.fine(),
        "url                 status  state  age    ttl   size    tags\n\
         http://site.test/p  200     stale  4 min  -3 s  12 KiB  a, b\n"
    );
}

#[tokio::test]
async fn what_a_stored_url_says_to_a_terminal_is_not_passed_on() {
    let hostile = "http://site.test/\u{1b}]0;x\u{7}\r\n\u{9b}2J\u{7f}\u{202e}é";
    let listing = json!({"entries": [entry(hostile)], "cursor": null});
    let sent = listing.clone();
    let api = impostor(move |_| as_json(&sent)).await;
    let table = ask(&api.url(), TOKEN, &["entries"]).await.fine();
    assert!(table.contains("\\u{1b}]0;x\\u{7}\\r\\n\\u{9b}2J\\u{7f}\\u{202e}é"), "{table:?}");
    assert_eq!(table.lines().count(), 2, "{table:?}");
    let document = ask(&api.url(), TOKEN, &["entries", "--json"]).await.fine();
    for said in [&table, &document] {
        let rules = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!said.chars().any(rules), "{said:?}");
    }
    let document: Value = serde_json::from_str(&document).unwrap();
    assert_eq!(document["entries"], listing["entries"], "the document means the same");

    let api = impostor(|_| problem(422, "not \u{1b}[2J this")).await;
    ask(&api.url(), TOKEN, &["entries"]).await.fails(1, &["not \\u{1b}[2J this"]);
}

/// Three entries on two pages.
fn paged(seen: &Seen) -> Reply {
    let page = if seen.target.contains("cursor=c%2F1") {
        json!({"entries": [entry("http://site.test/3")], "cursor": null})
    } else {
        json!({"entries": [entry("http://site.test/1"), entry("http://site.test/2")], "cursor": "c/1"})
    };
    as_json(&page)
}

#[tokio::test]
async fn entries_follows_the_cursor_as_far_as_the_limit_goes() {
    let api = impostor(paged).await;
    let listed = async |arguments: &[&str]| {
        let ran = ask(&api.url(), TOKEN, &[&["entries"][..], arguments].concat()).await;
        let targets: Vec<String> = api.requests("/v1/entries").iter().map(|seen| seen.target.clone()).collect();
        (ran, targets)
    };
    let (all, _) = listed(&["--limit", "0"]).await;
    assert_eq!(all.err, "");
    let table = all.fine();
    assert_eq!(table.lines().count(), 4, "one head, three rows:\n{table}");
    let (all, asked) = listed(&["--limit", "0", "--json", "--state", "stale", "--prefix", "/"]).await;
    let document = all.json();
    let urls: Vec<&Value> = document["entries"].as_array().unwrap().iter().map(|entry| &entry["url"]).collect();
    assert_eq!(urls, ["http://site.test/1", "http://site.test/2", "http://site.test/3"]);
    assert!(document.get("cursor").is_none(), "it leads nowhere: {document}");
    assert_eq!(asked[2], "/v1/entries?prefix=%2F&state=stale&limit=1000");
    assert_eq!(asked[3], "/v1/entries?prefix=%2F&state=stale&limit=1000&cursor=c%2F1");
    let (_, asked) = listed(&["--limit", "3"]).await;
    assert_eq!(asked[4..], ["/v1/entries?limit=3", "/v1/entries?limit=1&cursor=c%2F1"]);
    let (two, asked) = listed(&["--limit", "2"]).await;
    assert_eq!(asked.len(), 7, "nobody asks for what is not shown");
    assert!(two.err.contains("--limit 0"), "{two:#?}");

    let round = impostor(|_| as_json(&json!({"entries": [], "cursor": "again"}))).await;
    ask(&round.url(), TOKEN, &["entries"]).await.fails(2, &["not Larder's"]);
}
