//! `profile: rfc9111`: what passes by and is stored. Parts (RFC 9111, 3.3 and 3.4), whole pages that a Range was answered with,
//! and answers to POST that are their URL's own (RFC 9110, 9.3.3).

use crate::disk::Folder;
use crate::dsl::{Edge, Http2, Origin, Reply, Request, Response, of, until};
use serde_json::json;

const CONFIG: &str = "server: { listeners: [{ address: '{listen}', h2c: true }] }\norigin: {origin}\nadmin: { listen: {admin}, token: a-token-for-the-tests }\nprofile: rfc9111\n\
                      logging: { access: { output: off } }\n";
const FRESH: &str = "max-age=600";
const ALPHABET: &str = "abcdefghijklmnopqrstuvwxyz";
const TAG: &str = "\"one\"";

async fn larder(origin: &Origin) -> Edge {
    Edge::with_config(origin, CONFIG).await
}

/// The bytes of the alphabet, counted from 0, both ends included.
fn slice(first: usize, last: usize) -> Reply {
    let content_range = format!("bytes {first}-{last}/{}", ALPHABET.len());
    Reply::ok(&ALPHABET[first..=last]).status(206).header("Content-Range", &content_range).cache_control(FRESH)
}

/// A file server's answer to a request for the alphabet.
fn file(range: Option<&str>) -> Reply {
    let end = ALPHABET.len() - 1;
    let reply = match range.and_then(|range| range.strip_prefix("bytes=")?.split_once('-')) {
        None => Reply::ok(ALPHABET).cache_control(FRESH),
        Some(("", n)) => slice(end + 1 - n.parse::<usize>().unwrap(), end),
        Some((first, "")) => slice(first.parse().unwrap(), end),
        Some((first, last)) => slice(first.parse().unwrap(), last.parse().unwrap()),
    };
    reply.header("ETag", TAG)
}

fn serve(origin: &Origin, path: &str) {
    origin.dynamic(path, |seen| file(seen.field("range").as_deref()));
}

fn ranged(edge: &Edge, path: &str, range: &str) -> Request {
    edge.get(path).header("Range", &format!("bytes={range}"))
}

/// What passes by is stored at its end, and its last byte may be there a moment before.
async fn is_stored(path: &str, request: impl Fn() -> Request) -> Response {
    let mut answer = request().await;
    until(&format!("{path} is stored"), async || {
        answer = request().await;
        answer.is_hit()
    })
    .await;
    answer
}

#[tokio::test]
async fn a_part_that_was_fetched_answers_for_what_lies_in_it() {
    let origin = Origin::start().await;
    serve(&origin, "/file");
    let edge = larder(&origin).await;
    let first = ranged(&edge, "/file", "4-9").await;
    first.status(206).is("efghij").header("Content-Range", "bytes 4-9/26").cache_status("fwd=request");
    assert_eq!(origin.last("/file").field("range").as_deref(), Some("bytes=4-9"));
    is_stored("4-9", || ranged(&edge, "/file", "4-9")).await;
    let asked = origin.count("/file");
    for (range, body, content_range) in
        [("4-9", "efghij", "bytes 4-9/26"), ("5-6", "fg", "bytes 5-6/26"), ("9-9", "j", "bytes 9-9/26")]
    {
        let part = ranged(&edge, "/file", range).await;
        part.status(206).is(body).header("Content-Range", content_range).cache_status("hit; ttl=");
        part.header("Content-Length", &body.len().to_string()).header("ETag", TAG);
        assert!(part.age().is_some(), "{part:?}");
    }
    assert_eq!(origin.count("/file"), asked);
    for (range, body) in [("3-5", "def"), ("8-10", "ijk"), ("0-0", "a")] {
        let passed = ranged(&edge, "/file", range).await;
        passed.status(206).is(body).cache_status("fwd=request");
    }
}

#[tokio::test]
async fn the_end_of_a_file_answers_for_its_last_bytes() {
    let origin = Origin::start().await;
    serve(&origin, "/file");
    let edge = larder(&origin).await;
    ranged(&edge, "/file", "-6").await.status(206).is("uvwxyz");
    is_stored("-6", || ranged(&edge, "/file", "-6")).await.is("uvwxyz").header("Content-Range", "bytes 20-25/26");
    let asked = origin.count("/file");
    for (range, body) in [("-1", "z"), ("22-", "wxyz"), ("24-99", "yz")] {
        ranged(&edge, "/file", range).await.status(206).is(body).cache_status("hit; ttl=");
    }
    assert_eq!(origin.count("/file"), asked);
}

#[tokio::test]
async fn over_http2_as_well() {
    let origin = Origin::start().await;
    serve(&origin, "/file");
    let edge = larder(&origin).await;
    let client = Http2::plain(edge.listen).await;
    let part = || async { client.ask(of("GET", "/file").header("range", "bytes=4-9")).await };
    part().await.status(206).is("efghij");
    until("the part is stored", async || part().await.is_hit()).await;
    let inner = client.ask(of("GET", "/file").header("range", "bytes=6-7")).await;
    inner.status(206).is("gh").header("content-range", "bytes 6-7/26");
}

#[tokio::test]
async fn if_range_and_conditions_are_minded() {
    let origin = Origin::start().await;
    serve(&origin, "/file");
    let edge = larder(&origin).await;
    is_stored("4-9", || ranged(&edge, "/file", "4-9")).await;
    let held = ranged(&edge, "/file", "4-5").header("If-Range", TAG).await;
    held.status(206).is("ef").cache_status("hit; ttl=");
    for (name, value) in [("If-Range", "\"other\""), ("If-Range", "W/\"one\""), ("If-None-Match", TAG)] {
        ranged(&edge, "/file", "4-5").header(name, value).await.cache_status("fwd=request");
    }
}

/// What may not be stored for all, or not as a part.
#[tokio::test]
async fn parts_that_are_not_everybodys_are_passed_each_time() {
    let origin = Origin::start().await;
    let part = || slice(4, 9);
    let bare = || Reply::ok("efghij").status(206);
    let cases: [(&str, Reply); 10] = [
        ("/private", bare().header("Content-Range", "bytes 4-9/26").cache_control("private, max-age=600")),
        ("/no-store", bare().header("Content-Range", "bytes 4-9/26").cache_control("no-store")),
        ("/no-lifetime", bare().header("Content-Range", "bytes 4-9/26").header("ETag", TAG)),
        ("/varies", part().header("Vary", "Accept-Language")),
        ("/coded", part().header("Content-Encoding", "gzip")),
        ("/no-range", bare().cache_control(FRESH)),
        ("/two-ranges", part().header("Content-Range", "bytes 4-9/26")),
        ("/impossible", bare().header("Content-Range", "bytes 9-4/26").cache_control(FRESH)),
        ("/longer-than-it-says", bare().header("Content-Range", "bytes 4-8/26").cache_control(FRESH)),
        ("/until-close", part().until_close()),
    ];
    for (path, reply) in cases.clone() {
        origin.answers(path, reply);
    }
    let edge = larder(&origin).await;
    for (path, _) in cases {
        for n in 1..=3 {
            ranged(&edge, path, "4-9").await.status(206).is("efghij").cache_status("fwd=request");
            assert_eq!(origin.count(path), n, "{path}");
        }
    }
    serve(&origin, "/members");
    for n in 1..=3 {
        ranged(&edge, "/members", "4-9").header("Authorization", "Basic x").await.is("efghij");
        assert_eq!(origin.count("/members"), n);
    }
}

#[tokio::test]
async fn what_was_cut_off_is_not_stored() {
    let origin = Origin::start().await;
    origin.answers("/short", slice(4, 9).short(3));
    origin.answers("/chunks", slice(4, 9).short_chunked(3));
    origin.answers("/reset", slice(4, 9).reset_after(3));
    let edge = larder(&origin).await;
    for path in ["/short", "/chunks", "/reset"] {
        let cut = ranged(&edge, path, "4-9").send().await;
        assert!(cut.as_ref().map_or(true, |answer| !answer.whole), "{path}: {cut:?}");
        serve(&origin, path);
        ranged(&edge, path, "4-6").await.is("efg").cache_status("fwd=request");
    }
}

#[tokio::test]
async fn a_request_with_content_leaves_no_part() {
    let origin = Origin::start().await;
    serve(&origin, "/file");
    let edge = larder(&origin).await;
    for n in 1..=3 {
        ranged(&edge, "/file", "4-9").body("poison").await.is("efghij").cache_status("fwd=bypass");
        assert_eq!(origin.count("/file"), n);
    }
    ranged(&edge, "/file", "4-9").await.cache_status("fwd=request");
}

#[tokio::test]
async fn the_default_profile_passes_parts_and_posts_and_keeps_nothing() {
    let origin = Origin::start().await;
    serve(&origin, "/file");
    origin.answers("/form", Reply::ok("done").cache_control(FRESH).header("Content-Location", "/form"));
    let edge = Edge::start(&origin).await;
    for n in 1..=3 {
        ranged(&edge, "/file", "4-9").await.is("efghij").cache_status("fwd=request");
        assert_eq!(origin.count("/file"), n);
    }
    edge.post("/form", "a=b").await.is("done");
    edge.get("/form").await.cache_status("fwd=uri-miss");
}

#[tokio::test]
async fn a_range_that_was_answered_with_the_whole_page_stores_the_page() {
    let origin = Origin::start().await;
    origin.page("/page", ALPHABET).cache_control(FRESH);
    let edge = larder(&origin).await;
    ranged(&edge, "/page", "4-9").await.status(200).is(ALPHABET);
    is_stored("/page", || edge.get("/page")).await.status(200).is(ALPHABET);
    ranged(&edge, "/page", "4-9").await.status(206).is("efghij").cache_status("hit; ttl=");
    let asked = origin.count("/page");
    assert!(asked <= 2, "{asked}");
}

#[tokio::test]
async fn a_page_whose_beginning_is_stored_is_asked_for_the_rest() {
    let origin = Origin::start().await;
    serve(&origin, "/file");
    let edge = larder(&origin).await;
    is_stored("0-9", || ranged(&edge, "/file", "0-9")).await;
    let whole = edge.get("/file").await;
    whole.status(200).is(ALPHABET).no_header("Content-Range").header("Content-Length", "26").header("ETag", TAG);
    let rest = origin.last("/file");
    assert_eq!(rest.field("range").as_deref(), Some("bytes=10-"));
    assert_eq!(rest.field("if-range").as_deref(), Some(TAG));
    let asked = origin.count("/file");
    edge.get("/file").await.status(200).is(ALPHABET).cache_status("hit; ttl=").header("Content-Length", "26");
    assert_eq!(origin.count("/file"), asked);
}

/// What the origin sends for the rest, and it is no rest of what is stored: it is asked again, for all.
#[tokio::test]
async fn a_rest_that_does_not_fit_is_never_joined() {
    let rest =
        |content_range: &str| Reply::ok("rest").status(206).header("Content-Range", content_range).cache_control(FRESH);
    let cases: [(&str, Reply); 7] = [
        ("/changed", slice(10, 25).header("ETag", "\"two\"")),
        ("/no-tag", slice(10, 25)),
        ("/weak", slice(10, 25).header("ETag", "W/\"one\"")),
        ("/elsewhere", slice(12, 25).header("ETag", TAG)),
        ("/not-all", slice(10, 20).header("ETag", TAG)),
        ("/another-length", rest("bytes 10-13/14").header("ETag", TAG)),
        ("/416", Reply::ok("").status(416).header("Content-Range", "bytes */5")),
    ];
    let origin = Origin::start().await;
    for (path, reply) in cases.clone() {
        origin.dynamic(path, move |seen| match seen.field("range").as_deref() {
            Some("bytes=10-") => reply.clone(),
            Some(_) => slice(0, 9).header("ETag", TAG),
            None => Reply::ok("anew").cache_control(FRESH),
        });
    }
    let edge = larder(&origin).await;
    for (path, _) in cases {
        is_stored(path, || ranged(&edge, path, "0-9")).await;
        edge.get(path).await.status(200).is("anew");
        let ranges: Vec<_> = origin.requests(path).iter().rev().take(2).map(|seen| seen.field("range")).collect();
        assert_eq!(ranges, [None, Some("bytes=10-".to_owned())], "{path}");
        edge.get(path).await.is("anew").cache_status("hit; ttl=");
    }
}

#[tokio::test]
async fn a_rest_that_breaks_off_breaks_the_answer_off() {
    let origin = Origin::start().await;
    origin.dynamic("/file", |seen| match seen.field("range").as_deref() {
        Some("bytes=10-") => slice(10, 25).header("ETag", TAG).short(3),
        range => file(range),
    });
    origin.dynamic("/chunks", |seen| match seen.field("range").as_deref() {
        // Fewer than its Content-Range says, and a proper end.
        Some("bytes=10-") => {
            let fields = "HTTP/1.1 206 Partial\r\nContent-Range: bytes 10-25/26\r\nETag: \"one\"\r\nCache-Control: max-age=600\r\n";
            Reply::raw(&format!("{fields}Transfer-Encoding: chunked\r\n\r\n3\r\nklm\r\n0\r\n\r\n"))
        }
        range => file(range),
    });
    let edge = larder(&origin).await;
    for path in ["/file", "/chunks"] {
        is_stored(path, || ranged(&edge, path, "0-9")).await;
        let broken = edge.get(path).send().await;
        assert!(broken.as_ref().map_or(true, |answer| !answer.whole || answer.code == 502), "{path}: {broken:?}");
        ranged(&edge, path, "0-9").await.is("abcdefghij");
    }
}

#[tokio::test]
async fn a_write_takes_parts_away_and_what_is_on_its_way_too() {
    let origin = Origin::start().await;
    serve(&origin, "/file");
    let edge = larder(&origin).await;
    is_stored("4-9", || ranged(&edge, "/file", "4-9")).await;
    edge.ask("PUT", "/file").body("new").await.status(200);
    ranged(&edge, "/file", "4-9").await.cache_status("fwd=request");

    // The part was asked for before the write, and comes after it.
    let tap =
        origin.page("/slow", "").status(206).header("Content-Range", "bytes 4-9/26").cache_control(FRESH).tapped();
    let request = tokio::spawn(ranged(&edge, "/slow", "4-9").send());
    origin.asked("/slow", 1).await;
    serve(&origin, "/slow");
    edge.ask("PUT", "/slow").body("new").await.status(200);
    tap.send("efghij");
    tap.end();
    request.await.unwrap().unwrap().is("efghij");
    ranged(&edge, "/slow", "4-6").await.cache_status("fwd=request");
}

#[tokio::test]
async fn what_is_invalidated_is_not_answered_from_parts() {
    let origin = Origin::start().await;
    serve(&origin, "/file");
    let edge = larder(&origin).await;
    for order in [json!({"paths": ["/file"]}), json!({"paths": ["/file"], "hard": true}), json!({"prefixes": ["/"]})] {
        is_stored("4-9", || ranged(&edge, "/file", "4-9")).await;
        edge.order("/v1/revalidate", &order).await;
        ranged(&edge, "/file", "4-9").await.is("efghij").cache_status("fwd=request");
    }
    // It was asked for before the order, and comes after it.
    let tap =
        origin.page("/slow", "").status(206).header("Content-Range", "bytes 4-9/26").cache_control(FRESH).tapped();
    let request = tokio::spawn(ranged(&edge, "/slow", "4-9").send());
    origin.asked("/slow", 1).await;
    serve(&origin, "/slow");
    edge.order("/v1/revalidate", &json!({"paths": ["/slow"]})).await;
    tap.send("efghij");
    tap.end();
    request.await.unwrap().unwrap().is("efghij");
    ranged(&edge, "/slow", "4-6").await.cache_status("fwd=request");
}

#[tokio::test]
async fn a_part_outlives_a_restart_where_there_is_a_disk() {
    let origin = Origin::start().await;
    serve(&origin, "/file");
    let folder = Folder::new();
    let path = folder.path();
    let yaml = format!("{CONFIG}store: {{ disk: {{ path: '{}', sync: 50ms, min_free: 0% }} }}\n", path.display());
    let edge = Edge::with_config(&origin, &yaml).await;
    is_stored("4-9", || ranged(&edge, "/file", "4-9")).await;
    until("it is written", async || edge.metric("larder_store_queue{tier=disk}").await == 0.0).await;
    let edge = edge.killed_and_restarted().await;
    origin.down().await;
    ranged(&edge, "/file", "5-6").await.status(206).is("fg").cache_status("hit; ttl=");
}

#[tokio::test]
async fn a_post_whose_answer_is_its_urls_own_answers_gets() {
    let origin = Origin::start().await;
    origin.dynamic("/form", |seen| {
        Reply::ok(seen.method.clone()).cache_control(FRESH).header("Content-Location", "/form?a=1")
    });
    let edge = larder(&origin).await;
    edge.get("/form?a=1").await.is("GET");
    edge.post("/form?a=1", "a=b").await.is("POST");
    // Also in the place of what was there.
    until("it is stored", async || edge.get("/form?a=1").await.text() == "POST").await;
    edge.get("/form?a=1").await.is("POST").cache_status("hit; ttl=");
    edge.head("/form?a=1").await.status(200).cache_status("hit; ttl=");
}

#[tokio::test]
async fn a_post_whose_answer_is_not_that_of_its_url_leaves_nothing() {
    let origin = Origin::start().await;
    let done = || Reply::ok("done");
    let cases: [(&str, Reply); 6] = [
        ("/no-location", done().cache_control(FRESH)),
        ("/elsewhere", done().cache_control(FRESH).header("Content-Location", "/other")),
        ("/no-lifetime", done().header("Content-Location", "/no-lifetime").header("ETag", TAG)),
        ("/private", done().cache_control("private, max-age=600").header("Content-Location", "/private")),
        ("/coded", done().cache_control(FRESH).header("Content-Location", "/coded").header("Content-Encoding", "gzip")),
        ("/query", done().cache_control(FRESH).header("Content-Location", "/query?utm_source=x")),
    ];
    for (path, reply) in cases.clone() {
        origin.answers(path, reply);
    }
    let edge = larder(&origin).await;
    for (path, _) in cases {
        let target = if path == "/query" { "/query?utm_source=x" } else { path };
        edge.post(target, "a=b").await.is("done");
        edge.get(target).await.cache_status("fwd=uri-miss");
    }
}

#[tokio::test]
async fn what_was_posted_and_written_over_before_its_answer_ended_is_not_stored() {
    let origin = Origin::start().await;
    let page = origin.page("/form", "").cache_control(FRESH).header("Content-Location", "/form");
    let tap = page.tapped();
    let edge = larder(&origin).await;
    let posting = tokio::spawn(edge.post("/form", "a=b").send());
    origin.asked("/form", 1).await;
    tap.send("old");
    // Its head is through, and so is the write that it is itself.
    origin.answers("/form", Reply::ok("new").cache_control(FRESH));
    edge.ask("PUT", "/form").body("a=c").await.status(200);
    tap.end();
    posting.await.unwrap().unwrap().is("old");
    edge.get("/form").await.is("new").cache_status("fwd=uri-miss");
}
