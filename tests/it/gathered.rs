//! `profile: rfc9111`: what passes by and is stored: parts (RFC 9111, 3.3), and whole pages that a Range was answered with.

use crate::disk::Folder;
use crate::dsl::{Edge, Http2, Origin, Reply, Request, Response, of, until};
use serde_json::json;

const CONFIG: &str = "server: { listeners: [{ address: '{listen}', h2c: true }] }\norigin: {origin}\nadmin: { listen: {admin}, token: a-token-for-the-tests }\nprofile: rfc9111\n\
                      logging: { access: { output: off } }\n";
pub(crate) const FRESH: &str = "max-age=600";
pub(crate) const ALPHABET: &str = "abcdefghijklmnopqrstuvwxyz";
pub(crate) const TAG: &str = "\"one\"";

pub(crate) async fn larder(origin: &Origin) -> Edge {
    Edge::with_config(origin, CONFIG).await
}

/// The bytes of the alphabet, counted from 0, both ends included.
pub(crate) fn slice(first: usize, last: usize) -> Reply {
    let content_range = format!("bytes {first}-{last}/{}", ALPHABET.len());
    Reply::ok(&ALPHABET[first..=last]).status(206).header("Content-Range", &content_range).cache_control(FRESH)
}

/// A file server's answer to a request for the alphabet.
pub(crate) fn file(range: Option<&str>) -> Reply {
    let end = ALPHABET.len() - 1;
    let reply = match range.and_then(|range| range.strip_prefix("bytes=")?.split_once('-')) {
        None => Reply::ok(ALPHABET).cache_control(FRESH),
        Some(("", n)) => slice(end + 1 - n.parse::<usize>().unwrap(), end),
        Some((first, "")) => slice(first.parse().unwrap(), end),
        Some((first, last)) => slice(first.parse().unwrap(), last.parse().unwrap()),
    };
    reply.header("ETag", TAG)
}

pub(crate) fn serve(origin: &Origin, path: &str) {
    origin.dynamic(path, |seen| file(seen.field("range").as_deref()));
}

pub(crate) fn ranged(edge: &Edge, path: &str, range: &str) -> Request {
    edge.get(path).header("Range", &format!("bytes={range}"))
}

/// What passes by is stored at its end, and its last byte may be there a moment before.
pub(crate) async fn is_stored(path: &str, request: impl Fn() -> Request) -> Response {
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

/// To who has some of a file already the origin may leave out what he knows (RFC 9110, 15.3.7).
#[tokio::test]
async fn a_part_that_hung_on_if_range_is_kept_where_it_says_all() {
    let origin = Origin::start().await;
    let part = || slice(4, 9).header("ETag", TAG);
    origin.answers("/all", part().header("Content-Type", "text/plain"));
    origin.answers("/less", part());
    let edge = larder(&origin).await;
    is_stored("4-9", || ranged(&edge, "/all", "4-9").header("If-Range", TAG)).await;
    for n in 1..=3 {
        ranged(&edge, "/less", "4-9").header("If-Range", TAG).await.is("efghij").cache_status("fwd=request");
        assert_eq!(origin.count("/less"), n);
    }
}

#[tokio::test]
async fn who_wants_nothing_stored_leaves_nothing() {
    let origin = Origin::start().await;
    serve(&origin, "/file");
    let edge = larder(&origin).await;
    for n in 1..=3 {
        ranged(&edge, "/file", "4-9").header("Cache-Control", "no-store").await.is("efghij");
        assert_eq!(origin.count("/file"), n);
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

/// What a visitor sends beyond what Larder's own request would have, or beyond the key, colours no page of anybody else's.
#[tokio::test]
async fn nobody_plants_a_page_by_a_range_request() {
    let origin = Origin::start().await;
    origin.everything(|seen| {
        let language = seen.field("accept-language").unwrap_or_default();
        let evil = seen.lines.iter().map(|(_, value)| value).find(|value| value.contains("evil")).cloned();
        let told = [language, evil.unwrap_or_default()];
        let reply = Reply::ok(format!("{} {}", seen.target, told.join(" "))).cache_control(FRESH);
        reply.header("Vary", "Accept-Language")
    });
    let trusting = CONFIG.replace("server: {", "server: { trusted_proxies: [127.0.0.1/32],");
    let (trusting, edge) = (Edge::with_config(&origin, &trusting).await, larder(&origin).await);
    let plainly = |edge: &Edge, path: &str| edge.get(path).header("Accept-Language", "de");
    for (n, (edge, name, value)) in [
        (&edge, "Connection", "accept-language"),
        (&edge, "Via", "1.1 evil"),
        (&edge, "Content-Type", "evil"),
        (&edge, "If-Range", "\"evil\""),
        (&edge, "Cache-Control", "no-store, evil"),
        (&trusting, "X-Forwarded-For", "evil"),
        (&trusting, "Forwarded", "host=evil"),
        (&trusting, "X-Forwarded-Prefix", "/evil"),
        (&trusting, "X_Forwarded_Prefix", "/evil"),
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("/{n}");
        for _ in 0..2 {
            let answer = plainly(edge, &path).header("Range", "bytes=0-").header(name, value).await;
            // Without the field that Connection names it is another's page: that of whoever sends none.
            assert!(answer.code == 200 || name == "Connection", "{name}: {answer:?}");
        }
        plainly(edge, &path).await.is(&format!("{path} de ")).cache_status("fwd=");
    }
    for _ in 0..2 {
        plainly(&edge, "/range").header("Range", "bytes=0-,evil").await.status(200);
    }
    plainly(&edge, "/range").await.is("/range de ").cache_status("fwd=uri-miss");
    // Without anything of the kind it is stored, and with what ingresses say of themselves.
    for edge in [&edge, &trusting] {
        let first = plainly(edge, "/good").header("Range", "bytes=0-").header("X-Forwarded-For", "10.1.2.3, 10.0.0.1");
        first.header("X-Forwarded-Server", "ingress").await.is("/good de ");
        is_stored("/good", || plainly(edge, "/good")).await.is("/good de ");
    }
}

#[tokio::test]
async fn what_varies_with_the_way_is_not_kept() {
    let origin = Origin::start().await;
    origin.everything(|seen| {
        let client = seen.field("x-forwarded-for").unwrap_or_default();
        Reply::ok(client).cache_control(FRESH).header("Vary", "X-Forwarded-For")
    });
    let edge = larder(&origin).await;
    for n in 1..=3 {
        ranged(&edge, "/p", "0-").await.is("127.0.0.1");
        assert_eq!(origin.count("/p"), n);
    }
    edge.get("/p").await.cache_status("fwd=uri-miss");
}

#[tokio::test]
async fn of_a_page_that_varies_no_part_is_used() {
    let origin = Origin::start().await;
    serve(&origin, "/file");
    let edge = larder(&origin).await;
    is_stored("4-9", || ranged(&edge, "/file", "4-9")).await;
    origin.page("/file", ALPHABET).cache_control("max-age=0").header("Vary", "Accept-Language").etag("\"two\"");
    edge.get("/file").header("Accept-Language", "de").await.is(ALPHABET);
    serve(&origin, "/file");
    for _ in 0..3 {
        ranged(&edge, "/file", "4-9").await.is("efghij").cache_status("fwd=request");
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
async fn a_part_of_one_deployment_is_none_of_the_next() {
    let origin = Origin::start().await;
    serve(&origin, "/file");
    let edge = Edge::with_config(&origin, &format!("{CONFIG}deployment: {{ id: one }}\n")).await;
    let tap =
        origin.page("/slow", "").status(206).header("Content-Range", "bytes 4-9/26").cache_control(FRESH).tapped();
    let hold = origin.page("/held", "").cache_control(FRESH).held();
    is_stored("4-9", || ranged(&edge, "/file", "4-9")).await;
    let late = tokio::spawn(ranged(&edge, "/slow", "4-9").send());
    let later = tokio::spawn(ranged(&edge, "/held", "0-").send());
    origin.asked("/slow", 1).await;
    origin.asked("/held", 1).await;
    edge.order("/v1/deployments/two/activate", &json!({})).await;
    serve(&origin, "/slow");
    serve(&origin, "/held");
    tap.send("efghij");
    tap.end();
    hold.release();
    late.await.unwrap().unwrap().is("efghij");
    later.await.unwrap().unwrap().is("");
    for path in ["/file", "/slow"] {
        ranged(&edge, path, "4-6").await.is("efg").cache_status("fwd=request");
    }
    edge.get("/held").await.is(ALPHABET).cache_status("fwd=uri-miss");
}
