//! Other products' ways to purge (`admin.compat`): the requests that Fastly and Cloudflare document, byte for byte as curl
//! sends them but for address and token, and what visitors get after them.

mod refusals;

use crate::dsl::{Edge, Origin, PLAIN, Raw, Reply, Request, Response, until};
use serde_json::{Value, json};

const FULL: &str = "a-token-for-everything";
const REVALIDATE: &str = "a-token-that-revalidates";
const READ: &str = "a-token-that-reads";

const TOKENS: &str = "  token: a-token-for-everything\n  tokens:\n    \
                      - { token: a-token-that-revalidates, scope: revalidate }\n    \
                      - { token: a-token-that-reads, scope: read }\n";
const BOTH: &str = "  compat: [fastly, cloudflare]\n";

const KEY: &str = "/service/SU1Z0isxPaozGVKXdv0eY/purge/hTE5dRlSBICGPJxJwCH4M";
const KEYS: &str = "/service/SU1Z0isxPaozGVKXdv0eY/purge";
const ALL: &str = "/service/SU1Z0isxPaozGVKXdv0eY/purge_all";
const ZONE: &str = "023e105f4ecef8ad9ca31a8372d0c353";
const CACHE: &str = "/client/v4/zones/023e105f4ecef8ad9ca31a8372d0c353/purge_cache";

/// In front of an origin to which every path is a page for an hour, which has the segments of its path as tags.
async fn compatible(more: &str) -> (Origin, Edge) {
    let origin = Origin::start().await;
    origin.everything(|seen| {
        let reply = Reply::ok(seen.target.clone()).cache_control("s-maxage=3600");
        reply.header("Surrogate-Key", &seen.path.replace('/', " "))
    });
    let edge = Edge::with_config(&origin, &[PLAIN, TOKENS, more].concat()).await;
    (origin, edge)
}

/// Sends what curl would send for a documented request: Larder's address in the place of the product's, and a token of
/// Larder's in that of `{token}`.
async fn replay(edge: &Edge, target: &str, lines: &[&str], body: &str) -> Response {
    let mut head = format!("POST {target} HTTP/1.1\r\nHost: {}\r\nUser-Agent: curl/8.5.0\r\n", edge.admin);
    for line in lines {
        head += &line.replace("{token}", REVALIDATE);
        head += "\r\n";
    }
    if !body.is_empty() {
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    let mut raw = Raw::open(edge.admin).await;
    raw.send(format!("{head}\r\n{body}")).await;
    raw.response_to("POST").await
}

/// Fastly's documentation has these two in every request.
const FASTLY: [&str; 2] = ["Fastly-Key: {token}", "Accept: application/json"];

async fn fastly(edge: &Edge, target: &str, more: &[&str], body: &str) -> Response {
    replay(edge, target, &[&FASTLY, more].concat(), body).await
}

/// Cloudflare's has these.
async fn cloudflare(edge: &Edge, body: &str) -> Response {
    let lines = ["Accept: */*", "Authorization: Bearer {token}", "Content-Type: application/json"];
    replay(edge, CACHE, &lines, body).await
}

fn document(answer: &Response) -> Value {
    answer.header("Content-Type", "application/json").header("Cache-Control", "no-store");
    serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error} in `{}`", answer.text()))
}

#[track_caller]
fn assert_done(answer: &Response) {
    let done = document(answer.status(200));
    let id = done["id"].as_str().unwrap_or_default();
    assert!(!id.is_empty(), "{done}");
    assert_eq!(done, json!({"status": "ok", "id": id}));
}

#[track_caller]
fn assert_success(answer: &Response) {
    let expected = json!({"success": true, "errors": [], "messages": [], "result": {"id": ZONE}});
    assert_eq!(document(answer.status(200)), expected);
}

/// A refusal in Fastly's form, with these words.
#[track_caller]
fn assert_fastly_refuses(answer: &Response, status: u16, words: &str) {
    let refusal = document(answer.status(status));
    let told = refusal["detail"].as_str().unwrap_or_default();
    assert!(refusal["msg"].is_string() && told.contains(words) && told.len() < 600, "no `{words}` in {refusal}");
}

/// The same in Cloudflare's.
#[track_caller]
fn assert_cloudflare_refuses(answer: &Response, status: u16, code: u16, words: &str) {
    let refusal = document(answer.status(status));
    let error = &refusal["errors"][0];
    let told = error["message"].as_str().unwrap_or_default();
    assert!(told.contains(words) && told.len() < 600, "no `{words}` in {refusal}");
    let expected = json!({
        "success": false, "errors": [{"code": code, "message": told}], "messages": [], "result": null,
    });
    assert_eq!(refusal, expected);
}

/// A URL's host and target.
fn parted(url: &str) -> (&str, &str) {
    url.split_at(url.find('/').unwrap())
}

async fn visit(edge: &Edge, url: &str) -> Response {
    let (host, target) = parted(url);
    edge.get(target).host(host).await
}

/// Visits each until it is stored.
async fn stored(edge: &Edge, urls: &[&str]) {
    for url in urls {
        until(&format!("{url} is stored"), async || visit(edge, url).await.is_hit()).await;
    }
}

/// These are not there any more, and those are.
async fn assert_purged(edge: &Edge, gone: &[&str], there: &[&str]) {
    for url in there {
        assert!(visit(edge, url).await.is_hit(), "{url} is gone");
    }
    for url in gone {
        visit(edge, url).await.cache_status("fwd=uri-miss");
    }
}

async fn epoch(edge: &Edge) -> Value {
    let stats = edge.admin_get("/v1/stats").header("Authorization", &format!("Bearer {FULL}")).await;
    document(stats.status(200))["epoch"].clone()
}

#[tokio::test]
async fn fastly_purges_what_carries_a_surrogate_key() {
    let (_origin, edge) = compatible(BOTH).await;
    let tagged = ["www.example.com/hTE5dRlSBICGPJxJwCH4M", "a.test/x/hTE5dRlSBICGPJxJwCH4M"];
    stored(&edge, &[&tagged[..], &["a.test/x"]].concat()).await;
    assert_done(&fastly(&edge, KEY, &[], "").await);
    assert_purged(&edge, &tagged, &["a.test/x"]).await;
    let id = document(&fastly(&edge, KEY, &[], "").await)["id"].clone();
    assert_eq!(id.as_str().unwrap(), epoch(&edge).await.to_string(), "it is the epoch");
}

#[tokio::test]
async fn fastly_purges_several_surrogate_keys_in_a_call() {
    let (_origin, edge) = compatible(BOTH).await;
    let named = ["www.example.com/key_1", "www.example.com/key_2/x", "www.example.com/x/key_3"];
    let body = r#"{"surrogate_keys":["key_1","key_2","key_3"]}"#;
    let json = "Content-Type: application/json";
    for (more, body) in [
        (&["Surrogate-Key: key_1 key_2 key_3"][..], ""),
        (&[json], body),
        (&["Surrogate-Key: key_1", "Surrogate-Key:  key_2"], r#"{"surrogate_keys":["key_3"]}"#),
        // Of a client that calls nothing a form.
        (&["Content-Type: application/x-www-form-urlencoded", "Surrogate-Key: key_1 key_2 key_3"], ""),
    ] {
        stored(&edge, &named).await;
        stored(&edge, &["www.example.com/key_4"]).await;
        let ids = document(fastly(&edge, KEYS, more, body).await.status(200));
        let of = |key: &str| ids[key].as_str().unwrap_or_default().to_owned();
        assert!(["key_1", "key_2", "key_3"].iter().all(|key| !of(key).is_empty()), "{ids}");
        assert_eq!(ids.as_object().unwrap().len(), 3, "{ids}");
        assert_purged(&edge, &named, &["www.example.com/key_4"]).await;
    }
}

#[tokio::test]
async fn fastly_purges_everything_hard_whatever_else_is_sent() {
    let (_origin, edge) = compatible(BOTH).await;
    for more in [&[][..], &["Fastly-Soft-Purge: 1"]] {
        stored(&edge, &["www.example.com/", "a.test/x"]).await;
        let answer = fastly(&edge, ALL, more, "").await;
        assert_eq!(document(answer.status(200)), json!({"status": "ok"}));
        assert_purged(&edge, &["www.example.com/", "a.test/x"], &[]).await;
    }
}

#[tokio::test]
async fn fastly_purges_a_url_with_all_its_queries() {
    let (_origin, edge) = compatible(BOTH).await;
    let page = ["www.example.com/path/to/object-to-purge", "www.example.com/path/to/object-to-purge?b=2"];
    let others = ["www.example.com/path/to", "a.test/path/to/object-to-purge"];
    for target in [
        "/purge/www.example.com/path/to/object-to-purge",
        "/purge/www.example.com/path/to/object-to-purge?a=1",
        "/purge/http://www.example.com/path/to/object-to-purge",
        "/purge/https://WWW.example.com:443/path/to/object-to-purge",
        "/purge/www.example.com%2Fpath%2Fto%2Fobject-to-purge",
        "/purge/https%3A%2F%2Fwww.example.com%2Fpath%2Fto%2Fobject-to-purge%3Fa%3D1",
    ] {
        stored(&edge, &[&page[..], &others].concat()).await;
        assert_done(&fastly(&edge, target, &[], "").await);
        assert_purged(&edge, &page, &others).await;
    }
    stored(&edge, &["www.example.com/"]).await;
    assert_done(&fastly(&edge, "/purge/www.example.com", &[], "").await);
    assert_purged(&edge, &["www.example.com/"], &others).await;
}

#[tokio::test]
async fn a_soft_purge_gives_the_old_page_once_more() {
    let (origin, edge) = compatible(BOTH).await;
    let page = |body: &str| {
        let reply = Reply::ok(body).cache_control("s-maxage=3600, stale-while-revalidate=3600");
        origin.answers("/p", reply.header("Surrogate-Key", "hTE5dRlSBICGPJxJwCH4M"));
    };
    page("v0");
    edge.stored("/p").await;
    let url = "/purge/site.test/p";
    let keys = ["Fastly-Soft-Purge: 1", "Surrogate-Key: hTE5dRlSBICGPJxJwCH4M"];
    for (n, (target, more)) in
        [(KEY, &keys[..1]), (KEYS, &keys[..]), (url, &keys[..1]), (url, &["Fastly-Soft-Purge: yes"])]
            .into_iter()
            .enumerate()
    {
        let (old, new) = (format!("v{n}"), format!("v{}", n + 1));
        page(&new);
        fastly(&edge, target, more, "").await.status(200);
        let stale = edge.get("/p").await;
        assert!(stale.is(&old).is_stale(), "{target}: {:?}", stale.field("cache-status"));
        edge.until_is("/p", &new).await;
    }
}

#[tokio::test]
async fn a_key_in_a_path_may_be_percent_encoded_and_have_slashes() {
    let (origin, edge) = compatible(BOTH).await;
    origin.answers("/p", Reply::ok("x").cache_control("s-maxage=3600").header("Cache-Tag", "_N_T_/blog, ü"));
    for key in ["_N_T_/blog", "_N_T_%2fblog", "%C3%BC"] {
        edge.stored("/p").await;
        assert_done(&fastly(&edge, &format!("{KEYS}/{key}"), &[], "").await);
        edge.get("/p").await.cache_status("fwd=uri-miss");
    }
}

#[tokio::test]
async fn cloudflare_purges_what_is_named_in_each_documented_way() {
    let (_origin, edge) = compatible(BOTH).await;
    for (body, gone, there) in [
        (r#"{"purge_everything":true}"#, &["www.example.com/", "a.test/x"][..], &[][..]),
        (
            r#"{"files": ["http://www.example.com/css/styles.css", "http://www.example.com/js/index.js"]}"#,
            &["www.example.com/css/styles.css", "www.example.com/css/styles.css?v=2", "www.example.com/js/index.js"],
            &["www.example.com/css", "a.test/js/index.js"],
        ),
        (
            r#"{"files": [{"url": "http://www.example.com/cat_picture.jpg", "headers": {"CF-IPCountry": "US", "CF-Device-Type": "desktop", "Accept-Language": "zh-CN"}}, {"url": "http://www.example.com/dog_picture.jpg", "headers": {"CF-IPCountry": "EU", "CF-Device-Type": "mobile", "Accept-Language": "en-US"}}]}"#,
            &["www.example.com/cat_picture.jpg", "www.example.com/dog_picture.jpg"],
            &["www.example.com/mouse_picture.jpg"],
        ),
        (
            r#"{"files":["https://www.example.com/a?x=1",{"url":"https://www.example.com"}],"tags":[]}"#,
            &["www.example.com/a", "www.example.com/"],
            &["www.example.com/b"],
        ),
        (
            r#"{"tags": ["a-cache-tag", "another-cache-tag"]}"#,
            &["www.example.com/a-cache-tag", "a.test/x/another-cache-tag"],
            &["a.test/x/a-cache-tag-of-its-own"],
        ),
        (
            r#"{"hosts": ["www.example.com", "images.example.com"]}"#,
            &["www.example.com/", "www.example.com/x", "images.example.com/y"],
            &["example.com/"],
        ),
        (
            r#"{"prefixes": ["www.example.com/foo", "images.example.com/bar/baz"]}"#,
            &["www.example.com/foo", "www.example.com/foo/bar?good=bad", "images.example.com/bar/baz/qux.jpg"],
            &["www.example.com/bar/baz", "images.example.com/foo"],
        ),
        (r#"{"prefixes": ["www.example.com"]}"#, &["www.example.com/", "www.example.com/x"], &["a.test/x"]),
    ] {
        stored(&edge, &[gone, there].concat()).await;
        assert_success(&cloudflare(&edge, body).await);
        assert_purged(&edge, gone, there).await;
    }
}

#[tokio::test]
async fn cloudflares_older_key_is_a_token_too() {
    let (_origin, edge) = compatible(BOTH).await;
    let lines =
        ["Accept: */*", "X-Auth-Email: user@example.com", "X-Auth-Key: {token}", "Content-Type: application/json"];
    let body = r#"{"files":["http://www.example.com/css/styles.css",{"url":"http://www.example.com/cat_picture.jpg","headers":{"Origin":"https://www.cloudflare.com","CF-IPCountry":"US","CF-Device-Type":"desktop"}}]}"#;
    let urls = ["www.example.com/css/styles.css", "www.example.com/cat_picture.jpg"];
    stored(&edge, &urls).await;
    assert_success(&replay(&edge, CACHE, &lines, body).await);
    assert_purged(&edge, &urls, &[]).await;
    let wrong = lines.map(|line| line.replace("{token}", "wrong"));
    let wrong = replay(&edge, CACHE, &wrong.each_ref().map(String::as_str), body).await;
    assert_cloudflare_refuses(&wrong, 401, 10000, "X-Auth-Key");
}

#[tokio::test]
async fn cloudflares_tokens_can_be_verified() {
    let (_origin, edge) = compatible(BOTH).await;
    let verify = |token: &str| {
        let request = edge.admin_get("/client/v4/user/tokens/verify").header("Content-Type", "application/json");
        request.header("Authorization", &format!("Bearer {token}"))
    };
    for token in [FULL, REVALIDATE, READ] {
        let verified = document(verify(token).await.status(200));
        assert_eq!((&verified["success"], &verified["errors"]), (&json!(true), &json!([])), "{verified}");
        assert_eq!(verified["result"]["status"], "active", "{verified}");
        assert!(verified["result"]["id"].is_string(), "{verified}");
    }
    assert_cloudflare_refuses(&verify("wrong").await, 401, 10000, "no token");
}

/// The names of a site are one site, and what is none of its names is nobody's.
#[tokio::test]
async fn a_host_that_is_not_served_selects_nothing_and_other_names_of_a_site_are_that_site() {
    let (_origin, edge) = compatible(&[BOTH, "hosts: [[www.example.com, example.com], [shop.test]]\n"].concat()).await;
    let urls = ["www.example.com/a", "shop.test/a"];
    stored(&edge, &urls).await;
    assert_done(&fastly(&edge, "/purge/unknown.test/a", &[], "").await);
    for body in
        [r#"{"files":["https://unknown.test/a"]}"#, r#"{"hosts":["unknown.test"]}"#, r#"{"prefixes":["unknown.test"]}"#]
    {
        assert_success(&cloudflare(&edge, body).await);
    }
    assert_purged(&edge, &[], &urls).await;
    assert_done(&fastly(&edge, "/purge/example.com/a", &[], "").await);
    assert_purged(&edge, &urls[..1], &urls[1..]).await;
    for body in [r#"{"files":["https://Example.com:443/a"]}"#, r#"{"hosts":["example.com"]}"#] {
        stored(&edge, &urls).await;
        assert_success(&cloudflare(&edge, body).await);
        assert_purged(&edge, &urls[..1], &urls[1..]).await;
    }
}

#[tokio::test]
async fn what_is_not_listed_is_not_there() {
    for (more, fastly_status, cloudflare_status) in
        [("", 404, 404), ("  compat: [fastly]\n", 200, 404), ("  compat: [cloudflare]\n", 404, 200), (BOTH, 200, 200)]
    {
        let (_origin, edge) = compatible(more).await;
        for target in [KEY, ALL, "/purge/www.example.com/x"] {
            fastly(&edge, target, &[], "").await.status(fastly_status);
        }
        cloudflare(&edge, r#"{"purge_everything":true}"#).await.status(cloudflare_status);
        // On the visitors' address they are paths like any other.
        edge.get("/purge/www.example.com/x").await.is("/purge/www.example.com/x");
    }
}

#[tokio::test]
async fn a_reload_changes_whose_calls_are_answered() {
    let (origin, edge) = compatible("").await;
    for (more, status) in [(BOTH, 200), ("  compat: []\n", 404)] {
        edge.rewrite(&origin, &[PLAIN, TOKENS, more].concat());
        let reload = Request::new(edge.admin, "POST", "/v1/reload").host(&edge.admin.to_string());
        let told = document(reload.header("Authorization", &format!("Bearer {FULL}")).await.status(200));
        assert_eq!(told["changed"], json!(["admin"]), "{told}");
        fastly(&edge, ALL, &[], "").await.status(status);
        cloudflare(&edge, r#"{"purge_everything":true}"#).await.status(status);
    }
}
