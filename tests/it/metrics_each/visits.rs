//! What one visit moves: how it was answered, from what age, and why its answer was not stored or lost something.

use super::{FRESH, answered, asked, by, miss, moved, served, site, stored, uncacheable};
use crate::dsl::{Moves, Reply};

const GET: &str = "GET /p/a HTTP/1.1\r\nHost: site.test\r\n\r\n";

fn fresh() -> Reply {
    Reply::ok("page").cache_control(FRESH)
}

#[tokio::test]
async fn a_page_is_a_miss_once_and_then_a_hit() {
    let (origin, edge) = site("").await;
    origin.answers("/p/a", fresh());
    let before = edge.snapshot().await;
    edge.get("/p/a").await.is("page");
    let mut seen = moved(&edge, &before, miss("pages")).await;
    for _ in 0..3 {
        edge.get("/p/a").await.is("page");
        seen = moved(&edge, &seen, served("pages", "hit")).await;
    }
}

#[tokio::test]
async fn who_waits_for_anothers_fill_is_collapsed() {
    let (origin, edge) = site("").await;
    let tap = origin.page("/p/a", "").cache_control(FRESH).tapped();
    tap.send("half of ");
    let before = edge.snapshot().await;
    let (mut leads, mut follows) = (edge.raw().await, edge.raw().await);
    leads.send(GET).await.head().await.status(200);
    follows.send(GET).await.head().await.cache_status("collapsed");
    tap.send("a page");
    tap.end();
    leads.through("\r\n0\r\n\r\n").await;
    follows.through("\r\n0\r\n\r\n").await;
    drop((leads, follows));
    let both = [answered("pages", "miss", 200), answered("pages", "collapsed", 200)].concat();
    moved(&edge, &before, [both, asked("fill", "success"), stored()].concat()).await;
}

#[tokio::test]
async fn what_is_passed_is_counted_as_bypass() {
    let (origin, edge) = site("").await;
    origin.page("/forms/a", "thanks").status(201);
    let before = edge.snapshot().await;
    edge.post("/forms/a", "x").await.status(201);
    moved(&edge, &before, [answered("forms", "bypass", 201), asked("pass", "success")].concat()).await;
}

#[tokio::test]
async fn what_larder_says_itself_is_an_error_and_asks_nobody() {
    let (_origin, edge) = site("hosts: [[site.test]]\n").await;
    let before = edge.snapshot().await;
    edge.get("/p/a").host("other.test").await.status(421);
    let seen = moved(&edge, &before, answered("unmatched", "error", 421)).await;
    edge.get("/p/a").header("Cache-Control", "only-if-cached").await.status(504);
    let seen = moved(&edge, &seen, answered("pages", "error", 504)).await;
    edge.raw().await.send("GET /p\r\n\r\n").await.response().await.status(400);
    moved(&edge, &seen, answered("unmatched", "error", 400)).await;
}

#[tokio::test]
async fn an_origin_that_fails_is_an_error_where_nothing_is_stored() {
    let (origin, edge) = site("").await;
    origin.page("/p/sick", "sorry").status(503);
    let before = edge.snapshot().await;
    edge.get("/p/sick").await.status(503);
    let seen = moved(&edge, &before, [answered("pages", "error", 503), asked("fill", "status-5xx")].concat()).await;
    origin.down().await;
    edge.get("/p/a").await.status(502);
    let seen = moved(&edge, &seen, [answered("pages", "error", 502), asked("fill", "connect")].concat()).await;
    edge.post("/forms/a", "x").await.status(502);
    moved(&edge, &seen, [answered("forms", "error", 502), asked("pass", "connect")].concat()).await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_counted_as_499() {
    let (origin, edge) = site("").await;
    let tap = origin.page("/p/a", "").cache_control(FRESH).tapped();
    let before = edge.snapshot().await;
    let mut client = edge.raw().await;
    client.send(GET).await;
    tap.send("half of");
    client.through("half of").await;
    drop(tap);
    client.closed().await;
    drop(client);
    moved(&edge, &before, [answered("pages", "miss", 499), asked("fill", "truncated")].concat()).await;
}

#[tokio::test]
async fn an_answer_that_is_not_stored_is_counted_with_its_reason() {
    let rows = [
        ("no-store", Reply::ok("x").cache_control("no-store")),
        ("private", Reply::ok("x").cache_control("private, max-age=60")),
        ("set-cookie", fresh().header("Set-Cookie", "a=1")),
        ("vary-personal", fresh().header("Vary", "Cookie")),
        ("vary-unmatchable", fresh().header("Vary", "*")),
        ("no-lifetime", Reply::ok("x")),
        ("status", fresh().status(202)),
        ("too-large", Reply::ok("x".repeat(70_000)).cache_control(FRESH)),
        ("close-delimited", fresh().until_close()),
        ("component-without-rsc", fresh().header("Content-Type", "text/x-component")),
    ];
    let (origin, edge) = site("store:\n  memory: { max_size: 256KiB, max_object: 64KiB }\n").await;
    let mut seen = edge.snapshot().await;
    for (reason, reply) in rows {
        let path = format!("/p/{reason}");
        origin.answers(&path, reply);
        let status = if reason == "status" { 202 } else { 200 };
        edge.get(&path).await.status(status);
        let visit = [answered("pages", "miss", status), asked("fill", "not-storable")].concat();
        seen = moved(&edge, &seen, [visit, uncacheable("pages", reason)].concat()).await;
    }
    // The visitor may not have asked for this coding: he asks for himself.
    origin.answers("/p/coded", fresh().header("Content-Encoding", "of-its-own"));
    edge.get("/p/coded").await.status(200);
    let visit = [asked("fill", "not-storable"), answered("pages", "bypass", 200), asked("pass", "success")].concat();
    moved(&edge, &seen, [visit, uncacheable("pages", "content-encoding")].concat()).await;
}

#[tokio::test]
async fn a_page_that_is_stored_without_its_cookie_is_counted() {
    let (origin, edge) = site("").await;
    origin.page("/isr/a", "page").header("Set-Cookie", "a=1");
    let before = edge.snapshot().await;
    edge.get("/isr/a").await.is("page");
    let seen = moved(&edge, &before, [miss("isr"), uncacheable("isr", "set-cookie-stripped")].concat()).await;
    edge.get("/isr/a").await.is("page").no_header("Set-Cookie");
    moved(&edge, &seen, served("isr", "hit")).await;
}

#[tokio::test]
async fn tags_that_are_left_out_are_counted_with_their_reason() {
    let many: Vec<String> = (0..130).map(|n| format!("t{n}")).collect();
    let rows = [
        ("too-long", 1.0, fresh().header("Cache-Tag", &format!("{},kept", "y".repeat(257)))),
        ("too-many", 2.0, fresh().header("Cache-Tag", &many.join(","))),
        ("malformed", 1.0, fresh().header("Cache-Groups", "not a list of strings")),
    ];
    let (origin, edge) = site("").await;
    let mut seen = edge.snapshot().await;
    for (reason, dropped, reply) in rows {
        let path = format!("/p/{reason}");
        origin.answers(&path, reply);
        edge.get(&path).await.is("page");
        let dropped = by(format!("larder_tags_dropped_total{{route=pages,reason={reason}}}"), dropped);
        seen = moved(&edge, &seen, [miss("pages"), dropped].concat()).await;
    }
}

#[tokio::test]
async fn the_age_of_what_is_served_is_the_origins_and_ours_together() {
    let (origin, edge) = site("").await;
    origin.page("/p/old", "page").cache_control("s-maxage=1000000").header("Age", "100000");
    origin.answers("/p/new", fresh());
    let first = edge.snapshot().await;
    edge.get("/p/old").await.is("page");
    edge.get("/p/new").await.is("page");
    let mut seen = moved(&edge, &first, [miss("pages"), miss("pages")].concat()).await;
    // A page of a day and some hours, then one of no age: in the buckets of a minute, of a day and of a week.
    for (path, buckets, ages) in [("/p/old", [0.0, 0.0, 1.0], 100_000.0), ("/p/new", [1.0, 1.0, 1.0], 0.0)] {
        edge.get(path).await.is("page");
        let now = moved(&edge, &seen, served("pages", "hit")).await;
        let grew = |series: &str| now.get(series) - seen.get(series);
        let bucket = |most: &str| grew(&format!("larder_served_age_seconds_bucket{{le={most},route=pages}}"));
        assert_eq!(["60.0", "86400.0", "604800.0"].map(bucket), buckets, "{path}");
        let sum = grew("larder_served_age_seconds_sum{route=pages}");
        assert!(sum >= ages && sum < ages + 60.0, "{path}: {sum} s");
        seen = now;
    }
}

#[tokio::test]
async fn an_open_connection_is_counted_until_it_is_closed() {
    let (_origin, edge) = site("").await;
    let connections = |amount: f64| -> Moves { by("larder_connections", amount) };
    let before = edge.snapshot().await;
    let one = edge.raw().await;
    let seen = moved(&edge, &before, connections(1.0)).await;
    let other = edge.raw().await;
    let seen = moved(&edge, &seen, connections(1.0)).await;
    drop(one);
    let seen = moved(&edge, &seen, connections(-1.0)).await;
    drop(other);
    moved(&edge, &seen, connections(-1.0)).await;
}
