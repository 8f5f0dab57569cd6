//! What is refused, in the form that each product's clients read, and that nothing is purged by it.

use super::{
    ALL, BOTH, CACHE, FULL, KEY, KEYS, READ, assert_cloudflare_refuses, assert_fastly_refuses, assert_purged,
    assert_success, cloudflare, compatible, document, epoch, fastly, stored,
};
use crate::dsl::Request;
use serde_json::json;

#[tokio::test]
async fn a_token_that_is_not_known_or_only_reads_purges_nothing() {
    let (_origin, edge) = compatible(BOTH).await;
    stored(&edge, &["www.example.com/x"]).await;
    let purge = |target: &str| {
        Request::new(edge.admin, "POST", target).host(&edge.admin.to_string()).header("Surrogate-Key", "x")
    };
    for target in [KEY, KEYS, ALL, "/purge/www.example.com/x"] {
        assert_fastly_refuses(&purge(target).await, 401, "Fastly-Key: TOKEN");
        let answer = purge(target).header("Fastly-Key", "a-token-for-everythin").await;
        assert_fastly_refuses(&answer, 401, "no token");
        assert_eq!(document(&answer)["msg"], "Provided credentials are missing or invalid");
        // Larder's own field is for Larder's own calls.
        let own = purge(target).header("Authorization", &format!("Bearer {FULL}")).await;
        assert_fastly_refuses(&own, 401, "no token");
        let two = purge(target).header("Fastly-Key", FULL).header("Fastly-Key", FULL).await;
        assert_fastly_refuses(&two, 401, "no token");
        assert_fastly_refuses(&purge(target).header("Fastly-Key", READ).await, 403, "scope `read`");
    }
    let purge = || purge(CACHE).body(r#"{"purge_everything":true}"#);
    assert_cloudflare_refuses(&purge().await, 401, 10000, "Authorization: Bearer TOKEN");
    purge().await.header("WWW-Authenticate", "Bearer");
    for token in ["", "wrong", "a-token-for-everythin"] {
        let answer = purge().header("Authorization", &format!("Bearer {token}")).await;
        assert_cloudflare_refuses(&answer, 401, 10000, "no token");
    }
    let reader = purge().header("Authorization", &format!("Bearer {READ}")).await;
    assert_cloudflare_refuses(&reader, 403, 9109, "scope `read`");
    assert_purged(&edge, &[], &["www.example.com/x"]).await;
    assert_success(&purge().header("Authorization", &format!("Bearer {FULL}")).await);
    assert_purged(&edge, &["www.example.com/x"], &[]).await;
}

#[tokio::test]
async fn foreign_pages_and_rebound_names_are_refused_in_the_products_form() {
    let (_origin, edge) = compatible(BOTH).await;
    let own = edge.admin.to_string();
    let before = epoch(&edge).await;
    for (host, origin, words) in [
        ("evil.example", None, "Host"),
        (own.as_str(), Some("http://evil.example"), "Origin"),
        (&own, Some("null"), "Origin"),
    ] {
        let ask = |target: &str, name: &str, token: &str| {
            let request = Request::new(edge.admin, "POST", target).host(host).header(name, token);
            if let Some(origin) = origin { request.header("Origin", origin) } else { request }
        };
        assert_fastly_refuses(&ask(ALL, "Fastly-Key", FULL).await, 403, words);
        let answer = ask(CACHE, "X-Auth-Key", FULL).body(r#"{"purge_everything":true}"#).await;
        assert_cloudflare_refuses(&answer, 403, 9109, words);
    }
    assert_eq!(epoch(&edge).await, before);
}

#[tokio::test]
async fn what_fastly_would_not_understand_is_refused_and_purges_nothing() {
    let (_origin, edge) = compatible(BOTH).await;
    let before = epoch(&edge).await;
    let ask = |method: &str, target: &str| {
        Request::new(edge.admin, method, target).host(&edge.admin.to_string()).header("Fastly-Key", FULL)
    };
    for target in
        ["/service/", "/service/a", "/service/a/version", "/service//purge", "/service/a/purge/", "/service/a/purge_al"]
    {
        assert_fastly_refuses(&ask("POST", target).await, 404, target);
    }
    for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"] {
        let answer = ask(method, ALL).await;
        answer.status(405).header("Allow", "POST");
    }
    for (target, words) in [
        ("/purge/", "`cached_url` has no host"),
        ("/purge//x", "`cached_url` has no host"),
        ("/purge/user@www.example.com/x", "`cached_url` has no host"),
        ("/purge/www.example.com%ff/x", "not percent-encoded UTF-8"),
        ("/purge/www.example.com%2Fa%23b", "`cached_url` has a `?` or `#`"),
        ("/service/a/purge/%0a", "control characters"),
        ("/service/a/purge/%ff", "not percent-encoded UTF-8"),
        ("/service/a/purge_all?soft=1", "query parameter `soft`"),
        (KEYS, "no surrogate key is given"),
    ] {
        assert_fastly_refuses(&ask("POST", target).await, 400, words);
    }
    for (body, words) in [
        ("{", "not JSON"),
        ("[\"a\"]", "must be a JSON object: `{\"surrogate_keys\""),
        ("{}", "no surrogate key is given"),
        ("{\"surrogate_keys\":\"a\"}", "`surrogate_keys` must be"),
        ("{\"surrogate_keys\":[\"a\",\"\"]}", "`surrogate_keys[1]` is empty"),
        ("{\"keys\":[\"a\"]}", "unknown field `keys`"),
    ] {
        assert_fastly_refuses(&ask("POST", KEYS).body(body).await, 400, words);
    }
    let form = ask("POST", KEYS).header("Content-Type", "application/x-www-form-urlencoded");
    assert_fastly_refuses(&form.body("{\"surrogate_keys\":[\"a\"]}").await, 415, "application/json");
    assert_fastly_refuses(&ask("POST", KEYS).body(" ".repeat((1 << 20) + 1)).await, 413, "1 MiB");
    assert_eq!(epoch(&edge).await, before);
}

#[tokio::test]
async fn what_cloudflare_would_not_understand_is_refused_and_purges_nothing() {
    let (_origin, edge) = compatible(BOTH).await;
    let before = epoch(&edge).await;
    let ask = |method: &str, target: &str| {
        let request = Request::new(edge.admin, method, target).host(&edge.admin.to_string());
        request.header("Authorization", &format!("Bearer {FULL}"))
    };
    for target in
        ["/client/v4/", "/client/v4/zones", "/client/v4/zones//purge_cache", "/client/v4/zones/a/b/purge_cache"]
    {
        assert_cloudflare_refuses(&ask("POST", target).await, 404, 7000, target);
    }
    assert_cloudflare_refuses(&ask("DELETE", CACHE).await, 405, 7000, "POST");
    assert_cloudflare_refuses(&ask("POST", "/client/v4/user/tokens/verify").await, 405, 7000, "GET");
    let one_of = "Request must contain one of \"purge_everything\", \"files\", \"tags\", \"hosts\" or \"prefixes\"";
    for (body, words) in [
        ("", "must be a JSON object"),
        ("{", "not JSON"),
        ("[]", "must be a JSON object: `{\"files\""),
        ("{}", one_of),
        ("{\"purge_everything\":false}", one_of),
        ("{\"tags\":[]}", one_of),
        ("{\"purge_everything\":true,\"tags\":[\"a\"]}", "a call takes one of"),
        ("{\"hosts\":[\"a.test\"],\"files\":[\"http://a.test/\"]}", "a call takes one of"),
        ("{\"purge_everything\":\"true\"}", "`purge_everything` must be a boolean"),
        ("{\"tag\":[\"a\"]}", "unknown field `tag`"),
        ("{\"tags\":\"a\"}", "`tags` must be"),
        ("{\"tags\":[\"a\",\"\"]}", "`tags[1]` is empty"),
        ("{\"files\":[\"/a\"]}", "`files[0]` must be a URL"),
        ("{\"files\":[\"www.example.com/a\"]}", "`files[0]` must be a URL"),
        ("{\"files\":[\"ftp://www.example.com/a\"]}", "`files[0]` must be a URL"),
        ("{\"files\":[\"http://a.test/\",\"http:///a\"]}", "`files[1]` has no host"),
        ("{\"files\":[\"http://a.test/#b\"]}", "`files[0]` has a `?` or `#`"),
        ("{\"files\":[{\"headers\":{}}]}", "a file is a URL, or an object with `url`"),
        ("{\"files\":[{\"url\":\"http://a.test/\",\"header\":{}}]}", "a file is a URL, or an object with `url`"),
        ("{\"files\":[3]}", "`files[0]`"),
        ("{\"hosts\":[\"http://a.test\"]}", "`hosts[0]` has no host"),
        ("{\"hosts\":[\"a.test/x\"]}", "`hosts[0]` has no host"),
        ("{\"prefixes\":[\"http://a.test/x\"]}", "`prefixes[0]` has a scheme"),
        ("{\"prefixes\":[\"/x\"]}", "`prefixes[0]` has no host"),
        ("{\"prefixes\":[\"a.test/foo?a=b\"]}", "`prefixes[0]` has a `?` or `#`"),
    ] {
        assert_cloudflare_refuses(&ask("POST", CACHE).body(body).await, 400, 1012, words);
    }
    let query = ask("POST", &format!("{CACHE}?x=1")).body("{\"purge_everything\":true}").await;
    assert_cloudflare_refuses(&query, 400, 1012, "query parameter `x`");
    let form = ask("POST", CACHE).header("Content-Type", "text/plain").body("{\"purge_everything\":true}");
    assert_cloudflare_refuses(&form.await, 415, 1012, "application/json");
    assert_cloudflare_refuses(&ask("POST", CACHE).body(" ".repeat((1 << 20) + 1)).await, 413, 1012, "1 MiB");
    assert_eq!(epoch(&edge).await, before);
}

#[tokio::test]
async fn a_call_takes_a_thousand_selectors() {
    let (_origin, edge) = compatible(BOTH).await;
    let listed = |count| json!(vec!["t"; count]);
    assert_success(&cloudflare(&edge, &json!({"tags": listed(1000)}).to_string()).await);
    let many = cloudflare(&edge, &json!({"tags": listed(1001)}).to_string()).await;
    assert_cloudflare_refuses(&many, 400, 1012, "1001 selectors");
    fastly(&edge, KEYS, &[], &json!({"surrogate_keys": listed(1000)}).to_string()).await.status(200);
    let many = fastly(&edge, KEYS, &["Surrogate-Key: t"], &json!({"surrogate_keys": listed(1000)}).to_string()).await;
    assert_fastly_refuses(&many, 400, "1001 selectors");
}
