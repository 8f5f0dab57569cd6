//! Listing what is stored, while it changes.

use super::{FULL, assert_problem, get, guarded, post, with};
use crate::dsl::{Crowd, Edge, Reply, until};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// All pages of a list, with what happens between each two of them.
async fn listed(edge: &Edge, query: &str, mut between: impl AsyncFnMut(usize)) -> Vec<Value> {
    let mut entries = Vec::new();
    let mut target = format!("/v1/entries?{query}");
    for page in 0.. {
        let answer = get(edge, &target).await;
        entries.extend(answer["entries"].as_array().unwrap().iter().cloned());
        let Some(cursor) = answer["cursor"].as_str() else { break };
        target = format!("/v1/entries?{query}&cursor={cursor}");
        between(page).await;
        assert!(page < 1000, "the list does not end");
    }
    entries
}

fn urls(entries: &[Value]) -> Vec<String> {
    entries.iter().map(|entry| entry["url"].as_str().unwrap().to_owned()).collect()
}

/// Visits so many pages, and waits until they are stored.
async fn fill(edge: &Edge, paths: impl Iterator<Item = String>) {
    let before = edge.metric("larder_store_entries").await;
    let paths: Vec<String> = paths.collect();
    for some in paths.chunks(50) {
        for answer in Crowd::of(some.iter().map(|path| edge.get(path))).answers().await {
            answer.status(200);
        }
    }
    let all = before + f64::from(u32::try_from(paths.len()).unwrap());
    until("all pages are stored", async || edge.metric("larder_store_entries").await >= all).await;
}

#[tokio::test]
async fn what_is_stored_throughout_is_listed_exactly_once_while_pages_come_and_are_replaced() {
    let (_origin, edge) = guarded("").await;
    fill(&edge, (0..300).map(|n| format!("/p/{n}"))).await;
    let listed = listed(&edge, "limit=23", async |page| {
        fill(&edge, (0..5).map(|n| format!("/new/{page}/{n}"))).await;
        // New versions of pages that were listed, and of some that were not yet.
        let n = page % 15 * 20;
        let again = json!({"paths": [format!("/p/{n}"), format!("/p/{}", 299 - n)], "regenerate": true});
        post(&edge, "/v1/revalidate", &again).await;
    })
    .await;
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for url in urls(&listed) {
        *times.entry(url).or_default() += 1;
    }
    for n in 0..300 {
        assert_eq!(times.get(&format!("http://site.test/p/{n}")), Some(&1), "/p/{n}");
    }
    assert!(times.values().all(|times| *times == 1), "nothing comes twice: {times:?}");
}

#[tokio::test]
async fn a_list_is_narrowed_by_prefix_tag_and_state() {
    let (origin, edge) = guarded("").await;
    origin.everything(|seen| {
        let parity = if seen.path.len().is_multiple_of(2) { "even" } else { "odd" };
        Reply::ok("x").cache_control("s-maxage=3600, stale-while-revalidate=600").header("Cache-Tag", parity)
    });
    let path = |n: usize| format!("/{}/{}", if n.is_multiple_of(4) { "a" } else { "b" }, "x".repeat(n));
    let paths: Vec<String> = (0..40).map(path).collect();
    fill(&edge, paths.iter().cloned()).await;
    let all: BTreeSet<String> = paths.iter().map(|path| format!("http://site.test{path}")).collect();
    let select = |wanted: &dyn Fn(&str) -> bool| all.iter().filter(|url| wanted(url)).cloned().collect::<BTreeSet<_>>();
    let is_even = |url: &str| (url.len() - "http://site.test".len()).is_multiple_of(2);
    post(&edge, "/v1/revalidate", &json!({"tags": ["even"]})).await;
    for (query, expected) in [
        ("", all.clone()),
        ("prefix=/", all.clone()),
        ("prefix=/a", select(&|url| url.starts_with("http://site.test/a"))),
        ("prefix=/b/xxx", select(&|url| url.starts_with("http://site.test/b/xxx"))),
        ("prefix=/%61/", select(&|url| url.starts_with("http://site.test/a/"))),
        ("tag=even", select(&is_even)),
        ("tag=odd", select(&|url| !is_even(url))),
        ("tag=eve", BTreeSet::new()),
        ("state=stale", select(&is_even)),
        ("state=fresh", select(&|url| !is_even(url))),
        ("state=expired", BTreeSet::new()),
        ("prefix=/a&tag=even&state=stale", select(&|url| url.starts_with("http://site.test/a") && is_even(url))),
        ("prefix=/nowhere", BTreeSet::new()),
    ] {
        for limit in ["", "&limit=1", "&limit=7", "&limit=1000"] {
            let query = format!("{query}{limit}");
            let found = urls(&listed(&edge, query.trim_start_matches('&'), async |_| {}).await);
            assert_eq!(found.iter().cloned().collect::<BTreeSet<_>>(), expected, "`{query}`");
            assert_eq!(found.len(), expected.len(), "`{query}`: something comes twice");
        }
    }
}

#[tokio::test]
async fn an_entry_says_what_is_stored() {
    let (origin, edge) = guarded("routes:\n  - { name: kept, match: /kept, revalidate: never }\n").await;
    let page = Reply::ok("x".repeat(1000)).header("Cache-Tag", "a, b").header("Vary", "Accept-Language");
    origin.answers("/p", page.cache_control("s-maxage=100, stale-while-revalidate=50"));
    edge.get("/p?b=1&utm_source=x").header("Accept-Language", "DE").await.status(200);
    edge.stored("/kept").await;
    until("it is stored", async || get(&edge, "/v1/entries?prefix=/p").await["entries"] != json!([])).await;
    let entry = get(&edge, "/v1/entries?prefix=/p").await["entries"][0].clone();
    let number = |name: &str| entry[name].as_i64().unwrap_or_else(|| panic!("{name} of {entry}"));
    assert_eq!(entry["url"], "http://site.test/p?b=1");
    assert_eq!(entry["variant"], json!({"accept-language": "de"}));
    assert_eq!((&entry["status"], &entry["state"]), (&json!(200), &json!("fresh")));
    assert_eq!((&entry["deployment"], &entry["tier"]), (&json!("default"), &json!("memory")));
    assert_eq!(entry["tags"], json!(["a", "b"]));
    assert!((0..50).contains(&number("age_s")) && (50..=100).contains(&number("ttl_s")), "{entry}");
    assert!(number("expires_in_s") - number("ttl_s") == 50 && (1000..4000).contains(&number("bytes")), "{entry}");
    let last = &entry["last_refresh"];
    assert_eq!((&last["cause"], &last["outcome"]), (&json!("miss"), &json!("success")), "{entry}");
    assert!(last["ago_s"].is_u64() && last["took_ms"].is_u64(), "{entry}");
    let kept = get(&edge, "/v1/entries?prefix=/kept").await["entries"][0].clone();
    assert_eq!((&kept["ttl_s"], &kept["variant"]), (&Value::Null, &json!({})), "it is fresh for ever: {kept}");
}

#[tokio::test]
async fn a_cursor_is_good_for_the_process_that_gave_it() {
    let (_origin, edge) = guarded("").await;
    fill(&edge, (0..3).map(|n| format!("/{n}"))).await;
    let cursor = get(&edge, "/v1/entries?limit=1").await["cursor"].as_str().unwrap().to_owned();
    get(&edge, &format!("/v1/entries?limit=1&cursor={cursor}")).await;
    let (_origin, other) = guarded("").await;
    let refused = with(&other, FULL, "GET", &format!("/v1/entries?cursor={cursor}")).await;
    assert_problem(&refused, 422, &["start again without `cursor`"]);
    let longer = format!("{cursor}0");
    for wrong in ["", "x", "%00", &cursor[1..], longer.as_str()] {
        let answer = with(&edge, FULL, "GET", &format!("/v1/entries?cursor={wrong}")).await;
        assert_problem(&answer, 422, &["start again without `cursor`"]);
    }
    for (query, word) in [
        ("limit=0", "`limit`"),
        ("limit=1001", "`limit`"),
        ("limit=x", "`limit`"),
        ("state=old", "`state`"),
        ("sort=url", "`sort`"),
    ] {
        assert_problem(&with(&edge, FULL, "GET", &format!("/v1/entries?{query}")).await, 422, &[word]);
    }
}
