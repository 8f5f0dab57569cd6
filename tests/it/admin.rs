//! The admin API on the wire: who may ask, what is refused and with which words, and what hostile requests come to
//! (interface, "Admin API").

mod entries;
mod explain;
mod hosts;
mod speed;

use crate::dsl::{Edge, Origin, PLAIN, Raw, Reply, Request, Response, until};
use serde_json::{Value, json};

const FULL: &str = "a-token-for-everything";
const REVALIDATE: &str = "a-token-that-revalidates";
const READ: &str = "a-token-that-reads";

const TOKENS: &str = "  token: a-token-for-everything\n  tokens:\n    \
                      - { token: a-token-that-revalidates, scope: revalidate }\n    \
                      - { token: a-token-that-reads, scope: read }\n";

/// In front of an origin to which every path is a page for an hour.
async fn guarded(more: &str) -> (Origin, Edge) {
    let origin = Origin::start().await;
    origin.everything(|seen| Reply::ok(seen.target.clone()).cache_control("s-maxage=3600"));
    let edge = Edge::with_config(&origin, &[PLAIN, TOKENS, more].concat()).await;
    (origin, edge)
}

/// A request to the admin address, without a token.
fn bare(edge: &Edge, method: &str, target: &str) -> Request {
    Request::new(edge.admin, method, target).host(&edge.admin.to_string())
}

fn with(edge: &Edge, token: &str, method: &str, target: &str) -> Request {
    bare(edge, method, target).header("Authorization", &format!("Bearer {token}"))
}

fn document(answer: &Response) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error} in `{}`", answer.text()))
}

/// What a GET says.
async fn get(edge: &Edge, target: &str) -> Value {
    let answer = with(edge, FULL, "GET", target).await;
    answer.status(200).header("Content-Type", "application/json");
    document(&answer)
}

/// What a POST says.
async fn post(edge: &Edge, target: &str, body: &Value) -> Value {
    let answer = with(edge, FULL, "POST", target).body(body.to_string()).await;
    answer.status(200).header("Content-Type", "application/json");
    document(&answer)
}

/// A problem document with this status, whose detail has these words.
#[track_caller]
fn assert_problem(answer: &Response, status: u16, words: &[&str]) {
    answer.status(status).header("Content-Type", "application/problem+json");
    answer.header("Cache-Control", "no-store").header("X-Content-Type-Options", "nosniff");
    let problem = document(answer);
    assert_eq!((&problem["type"], &problem["status"]), (&json!("about:blank"), &json!(status)), "{problem}");
    assert!(problem["title"].as_str().is_some_and(|title| !title.is_empty()), "{problem}");
    let detail = problem["detail"].as_str().unwrap();
    assert!(!detail.is_empty() && detail.len() < 1000, "{} bytes", detail.len());
    for word in words {
        assert!(detail.contains(word), "no `{word}` in `{detail}`");
    }
}

/// Everything that can be asked for, with a body that is in order.
const CALLS: [(&str, &str, &str); 14] = [
    ("GET", "/v1/entries", ""),
    ("GET", "/v1/explain?url=/p", ""),
    ("GET", "/v1/stats", ""),
    ("GET", "/v1/deployments", ""),
    ("GET", "/v1/prerenders", ""),
    ("GET", "/v1/export", ""),
    ("POST", "/v1/import", ""),
    ("POST", "/v1/revalidate", "{\"paths\":[\"/p\"]}"),
    ("POST", "/v1/tags", "{\"path\":\"/p\",\"tags\":[\"a\"]}"),
    ("POST", "/v1/warm", "{\"paths\":[\"/p\"]}"),
    ("POST", "/v1/deployments/default/activate", "{}"),
    ("GET", "/v1/versions?url=/p", ""),
    ("POST", "/v1/versions", "{\"url\":\"/p\",\"id\":\"1\"}"),
    ("POST", "/v1/versions/unpin", "{\"url\":\"/p\"}"),
];

fn call(edge: &Edge, token: &str, (method, target, body): (&str, &str, &str)) -> Request {
    let request = with(edge, token, method, target);
    if body.is_empty() { request } else { request.body(body) }
}

#[tokio::test]
async fn a_token_may_do_what_its_scope_says() {
    let (_origin, edge) = guarded("").await;
    for one in CALLS {
        let (method, target, _) = one;
        let done = match target {
            "/v1/warm" => 202,
            // Without a disk there are none.
            of_versions if of_versions.starts_with("/v1/versions") => 409,
            _ => 200,
        };
        let may_revalidate = matches!(target, "/v1/revalidate" | "/v1/tags" | "/v1/warm" | "/v1/prerenders");
        for (token, expected) in [
            (FULL, done),
            (READ, if method == "GET" && target != "/v1/export" { done } else { 403 }),
            (REVALIDATE, if may_revalidate { done } else { 403 }),
        ] {
            let answer = call(&edge, token, one).await;
            answer.status(expected).header("Cache-Control", "no-store").header("X-Content-Type-Options", "nosniff");
            if expected == 403 {
                assert_problem(&answer, 403, &["scope"]);
            }
        }
        for token in ["", "wrong", "a-token-for-everythin", "a-token-for-everything-", "A-TOKEN-FOR-EVERYTHING"] {
            let answer = call(&edge, token, one).await;
            assert_problem(&answer, 401, &["Authorization: Bearer"]);
            answer.header("WWW-Authenticate", "Bearer");
        }
        assert_problem(&bare(&edge, method, target).await, 401, &[]);
        let basic = bare(&edge, method, target).header("Authorization", "Basic YTpi").await;
        assert_problem(&basic, 401, &[]);
    }
    with(&edge, READ, "HEAD", "/v1/stats").await.status(200).is("");
}

#[tokio::test]
async fn what_is_not_there_is_told_to_those_alone_who_have_a_token() {
    let (_origin, edge) = guarded("").await;
    for target in ["/v1", "/v1/", "/v1/nothing", "/v1/Stats", "/v1/stats/", "/v1/deployments/activate"] {
        assert_problem(&with(&edge, FULL, "GET", target).await, 404, &[target]);
        assert_problem(&bare(&edge, "GET", target).await, 401, &[]);
    }
    for (method, target, allow) in [
        ("POST", "/v1/stats", "GET, HEAD"),
        ("DELETE", "/v1/entries", "GET, HEAD"),
        ("GET", "/v1/revalidate", "POST"),
        ("HEAD", "/v1/tags", "POST"),
        ("PUT", "/v1/deployments/a/activate", "POST"),
    ] {
        let answer = with(&edge, FULL, method, target).await;
        answer.status(405).header("Allow", allow);
        bare(&edge, method, target).await.status(401);
    }
    bare(&edge, "GET", "/nothing").await.status(404);
}

#[tokio::test]
async fn foreign_hosts_and_origins_are_refused_before_anything_else() {
    let (_origin, edge) = guarded("").await;
    let own = edge.admin.to_string();
    let port = edge.admin.port();
    for target in ["/v1/stats", "/v1/nothing", "/", "/openapi.json"] {
        let ask = |host: &str| with(&edge, FULL, "GET", target).host(host);
        let fine = if target == "/v1/nothing" { 404 } else { 200 };
        for host in [own.clone(), format!("localhost:{port}"), "[::1]".to_owned(), "10.0.0.1".to_owned()] {
            ask(&host).await.status(fine);
        }
        for host in ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:9900"] {
            assert_problem(&ask(host).await, 403, &["Host", host]);
        }
        for origin in [format!("http://{own}"), format!("https://{own}")] {
            ask(&own).header("Origin", &origin).await.status(fine);
        }
        for origin in ["http://evil.example", "null", "http://127.0.0.1"] {
            assert_problem(&ask(&own).header("Origin", origin).await, 403, &["Origin", origin]);
        }
    }
    // Without a token too: nobody learns from it whether one is good.
    assert_problem(&bare(&edge, "GET", "/v1/stats").host("evil.example").await, 403, &["Host"]);
    for open in ["/healthz", "/readyz", "/metrics"] {
        let answer = bare(&edge, "GET", open).host("probe.example").header("Origin", "http://evil.example").await;
        answer.status(200);
    }
}

#[tokio::test]
async fn a_request_without_a_host_or_with_two_is_malformed() {
    let (_origin, edge) = guarded("").await;
    for lines in ["", "Host: 127.0.0.1\r\nHost: 127.0.0.1\r\n"] {
        let mut raw = Raw::open(edge.admin).await;
        raw.send(format!("GET /v1/stats HTTP/1.1\r\n{lines}Authorization: Bearer {FULL}\r\n\r\n")).await;
        raw.response().await.status(400);
    }
    let mut raw = Raw::open(edge.admin).await;
    raw.send(format!("GET /v1/stats HTTP/1.1\r\nAuthorization: Bearer {FULL}\r\n\r\n")).await;
    assert_problem(&raw.response().await, 400, &["Host"]);
}

#[tokio::test]
async fn a_connection_serves_one_request_after_the_other_whatever_they_come_to() {
    let (_origin, edge) = guarded("").await;
    let mut raw = Raw::open(edge.admin).await;
    let head = format!("HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {FULL}\r\n", edge.admin);
    for (line, body, status) in [
        ("GET /v1/stats", "", 200),
        ("POST /v1/revalidate", "{\"paths\":[\"/p\"]}", 200),
        ("POST /v1/revalidate", "{\"paths\":", 400),
        ("POST /v1/tags", "{\"path\":\"/p\",\"tags\":[]}", 422),
        ("GET /v1/nothing", "", 404),
        ("GET /v1/stats", "", 200),
    ] {
        raw.send(format!("{line} {head}Content-Length: {}\r\n\r\n{body}", body.len())).await;
        raw.response().await.status(status);
    }
}

/// The token that a Larder printed.
async fn printed_token(edge: &Edge) -> String {
    let whole_line = || {
        let said = edge.larder.stderr();
        let mut lines = said.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        lines.find(|line| line.contains("admin token")).map(|line| line.trim_end().to_owned())
    };
    until("it prints a token", async || whole_line().is_some()).await;
    let line = whole_line().unwrap();
    match serde_json::from_str::<Value>(&line) {
        Ok(line) => line["fields"]["admin_token"].as_str().unwrap().to_owned(),
        Err(_) => line.split_whitespace().last().unwrap().to_owned(),
    }
}

#[tokio::test]
async fn without_a_token_in_the_configuration_one_is_made_and_printed() {
    let origin = Origin::start().await;
    let mut tokens = Vec::new();
    for more in ["", "logging: { level: error }\n", "logging: { level: error, format: json }\n"] {
        let edge = Edge::with_config(&origin, &[PLAIN, more].concat()).await;
        let token = printed_token(&edge).await;
        assert!(token.len() == 32 && token.bytes().all(|b| b.is_ascii_hexdigit()), "`{token}`");
        with(&edge, &token, "GET", "/v1/stats").await.status(200);
        with(&edge, &token, "POST", "/v1/revalidate").body("{\"prefixes\":[\"/\"]}").await.status(200);
        bare(&edge, "GET", "/v1/stats").await.status(401);
        assert!(!tokens.contains(&token), "each run has its own");
        tokens.push(token);
    }
    let (_origin, edge) = guarded("").await;
    with(&edge, &tokens[0], "GET", "/v1/stats").await.status(401);
    let said = edge.larder.stderr() + &edge.larder.stdout();
    assert!([FULL, READ, REVALIDATE, "admin token"].iter().all(|secret| !said.contains(secret)), "{said}");
}

#[tokio::test]
async fn a_body_is_json_of_at_most_a_mebibyte() {
    let (_origin, edge) = guarded("").await;
    let revalidate = || with(&edge, FULL, "POST", "/v1/revalidate");
    let order = "{\"paths\":[\"/p\"]}";
    for kind in ["application/json", "Application/JSON", "application/json; charset=utf-8", "application/json;x=\"y\""]
    {
        revalidate().header("Content-Type", kind).body(order).await.status(200);
    }
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/problem+json", "json", ""] {
        let answer = revalidate().header("Content-Type", kind).body(order).await;
        assert_problem(&answer, 415, &["application/json"]);
    }
    let padded = |length: usize| format!("{order}{}", " ".repeat(length - order.len()));
    revalidate().body(padded(1 << 20)).await.status(200);
    assert_problem(&revalidate().body(padded((1 << 20) + 1)).await, 413, &["1 MiB"]);
    assert_problem(&revalidate().body(padded(5_000_000)).await, 413, &["1 MiB"]);
    // Who is turned away by his head is not read at all, and gets his answer all the same.
    assert_problem(&bare(&edge, "POST", "/v1/revalidate").body(padded(5_000_000)).await, 401, &[]);
    assert_problem(&with(&edge, READ, "POST", "/v1/tags").body(padded(5_000_000)).await, 403, &[]);
    assert_problem(&revalidate().await, 400, &["not JSON"]);
}

#[tokio::test]
async fn a_body_may_come_in_chunks_or_wait_to_be_asked_for() {
    let (_origin, edge) = guarded("").await;
    let head = format!("POST /v1/revalidate HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {FULL}\r\n", edge.admin);
    let mut raw = Raw::open(edge.admin).await;
    raw.send(format!("{head}Transfer-Encoding: chunked\r\n\r\n")).await;
    raw.send("9\r\n{\"paths\":\r\n7\r\n[\"/p\"]}\r\n0\r\n\r\n").await;
    raw.response_to("POST").await.status(200);

    let mut raw = Raw::open(edge.admin).await;
    raw.send(format!("{head}Transfer-Encoding: chunked\r\n\r\n")).await;
    for _ in 0..20 {
        raw.send(format!("10000\r\n{}\r\n", " ".repeat(0x10000))).await;
    }
    assert_problem(&raw.response_to("POST").await, 413, &["1 MiB"]);

    let mut raw = Raw::open(edge.admin).await;
    raw.send(format!("{head}Content-Length: 16\r\nExpect: 100-continue\r\n\r\n")).await;
    raw.head().await.status(100);
    raw.send("{\"paths\":[\"/p\"]}").await;
    raw.response_to("POST").await.status(200);

    let mut raw = Raw::open(edge.admin).await;
    raw.send(format!("{head}Content-Length: 5000000\r\nExpect: 100-continue\r\n\r\n")).await;
    raw.head().await.status(413);
}

#[tokio::test]
async fn hostile_json_is_refused_and_nothing_else_happens() {
    let (_origin, edge) = guarded("").await;
    let nested = |open: &str, close: &str| [open.repeat(10_000), close.repeat(10_000)].concat();
    let long = "x".repeat(1_000_000);
    let many = vec!["\"t\""; 10_000].join(",");
    let epoch = get(&edge, "/v1/stats").await["epoch"].clone();
    for (body, status, word) in [
        ("{".to_owned(), 400, "not JSON"),
        ("{\"paths\":[\"/p\"]}}".to_owned(), 400, "not JSON"),
        ("[".repeat(10_000), 400, "not JSON"),
        (nested("[", "]"), 422, "object"),
        (nested("{\"a\":[", "]}"), 422, "`a`"),
        (format!("{{\"paths\":{}}}", nested("[", "]")), 422, "`paths[0]`"),
        (format!("{{\"tags\":[\"{long}\"]}}"), 422, "`tags[0]`"),
        (format!("{{\"tags\":[{many}]}}"), 422, "10000"),
        ("{\"tags\":[\"a\"],\"tags\":[\"b\"]}".to_owned(), 422, "`tags`"),
        ("{\"tag\":[\"a\"]}".to_owned(), 422, "`tag`"),
        ("{\"tags\":\"a\"}".to_owned(), 422, "`tags`"),
        ("{\"tags\":[\"a\"],\"hard\":1}".to_owned(), 422, "`hard`"),
        ("{\"prefixes\":[\"\"]}".to_owned(), 422, "`prefixes[0]`"),
        ("{}".to_owned(), 422, "nothing is selected"),
    ] {
        for target in ["/v1/revalidate", "/v1/tags"] {
            let answer = with(&edge, FULL, "POST", target).body(body.clone()).await;
            // What one of the two does not know, the other may have wanted otherwise.
            let words: &[&str] = if target == "/v1/revalidate" { &[word] } else { &[] };
            assert_problem(&answer, status, words);
        }
    }
    for target in ["/v1/revalidate?paths=/p", "/v1/tags?x"] {
        let answer = with(&edge, FULL, "POST", target).body("{\"paths\":[\"/p\"]}").await;
        assert_problem(&answer, 422, &["query parameter"]);
    }
    assert_eq!(get(&edge, "/v1/stats").await["epoch"], epoch, "none of it was half an order");
    post(&edge, "/v1/revalidate", &json!({"prefixes": ["/"]})).await;
    assert!(get(&edge, "/v1/stats").await["epoch"].as_u64() > epoch.as_u64(), "the whole site is a good order");
}

#[tokio::test]
async fn posted_tags_add_up_to_128_a_path() {
    let (_origin, edge) = guarded("").await;
    edge.stored("/p").await;
    let tag = async |tags: &[String]| {
        let body = json!({"path": "/p", "tags": tags}).to_string();
        with(&edge, FULL, "POST", "/v1/tags").body(body).await
    };
    let names = |from: usize, to: usize| (from..to).map(|n| format!("t{n:03}")).collect::<Vec<_>>();
    assert_eq!(document(&tag(&names(100, 102)).await), json!({"tags": ["t100", "t101"]}));
    assert_eq!(document(&tag(&names(99, 101)).await), json!({"tags": ["t099", "t100", "t101"]}), "sorted, each once");
    assert_eq!(get(&edge, "/v1/entries?tag=t099").await["entries"][0]["url"], "http://site.test/p");
    assert_problem(&tag(&names(0, 0)).await, 422, &["`tags`"]);
    assert_problem(&tag(&names(0, 129)).await, 422, &["129", "128"]);
    assert_problem(&tag(&names(200, 326)).await, 422, &["128"]);
    tag(&names(200, 325)).await.status(200);
    let bodies = [
        (json!({"tags": ["a"]}), "`path`"),
        (json!({"path": "/p"}), "`tags`"),
        (json!({"path": "p", "tags": ["a"]}), "`path`"),
        (json!({"path": "/p", "tags": [""]}), "`tags[0]`"),
        (json!({"path": "/p", "tags": ["a"], "host": "h".repeat(256)}), "`host`"),
    ];
    for (body, word) in bodies {
        assert_problem(&with(&edge, FULL, "POST", "/v1/tags").body(body.to_string()).await, 422, &[word]);
    }
}

#[tokio::test]
async fn an_ordered_regeneration_that_fails_says_what_and_keeps_the_page() {
    let (origin, edge) = guarded("").await;
    edge.stored("/good").await;
    edge.stored("/bad").await;
    origin.page("/bad", "sorry").status(503);
    let order = json!({"paths": ["/good", "/bad"], "regenerate": true, "count": true});
    let answer = with(&edge, FULL, "POST", "/v1/revalidate").body(order.to_string()).await;
    assert_problem(&answer, 502, &["1 of 2"]);
    let problem = document(&answer);
    assert!(problem["epoch"].is_u64() && problem["matched"] == 2, "{problem}");
    assert_eq!(problem["regenerated"][0]["url"], "http://site.test/good");
    assert_eq!(problem["regenerated"][0]["status"], 200);
    assert_eq!(problem["failed"][0]["url"], "http://site.test/bad");
    assert!(problem["failed"][0]["reason"].as_str().unwrap().contains("503"), "{problem}");
    edge.get("/bad").await.is("/bad");
}

#[tokio::test]
async fn stats_are_what_the_metrics_are() {
    let (origin, edge) = guarded("").await;
    let before = get(&edge, "/v1/stats").await;
    assert_eq!(before["hit_ratio"], json!(0.0), "none of nothing");
    edge.stored("/p").await;
    edge.metric_reaches("larder_requests_total{cache=hit}", 1.0).await;
    let stats = get(&edge, "/v1/stats").await;
    assert_eq!(stats["version"], env!("CARGO_PKG_VERSION"));
    assert!(stats["requests"]["miss"].as_u64() >= Some(1), "{stats}");
    assert!(stats["requests"]["hit"].as_u64() >= Some(1), "{stats}");
    let ratio = stats["hit_ratio"].as_f64().unwrap();
    assert!(ratio > 0.0 && ratio < 1.0, "{stats}");
    assert_eq!(stats["store"]["entries"], 1);
    assert_eq!(stats["store"]["max_bytes"], 256 << 20);
    assert_eq!(stats["listeners"], json!([edge.listen.to_string()]));
    let server = origin.url().trim_start_matches("http://").to_owned();
    assert_eq!(stats["origins"], json!([{"name": "app", "servers": [{"server": server, "state": "up"}]}]));
    assert_problem(&with(&edge, FULL, "GET", "/v1/stats?since=1").await, 422, &["`since`"]);
}
