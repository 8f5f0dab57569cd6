//! What a regeneration in the background moves: its success, each way to fail, each guard, and its turn at the origin.

use super::{BYTES, ENTRIES, EPOCH, FRESH, RENEWED};
use super::{answered, asked, by, failing, miss, moved, order, served, site, stale, uncacheable};
use crate::dsl::{DOWN, Edge, HOST, Moves, Origin, Reply, SHORT};
use serde_json::json;

const FAILING: &str = "larder_stale_because_failing{route=pages}";
const IN_FLIGHT: &str = "larder_refreshes_in_flight{origin=app}";
const QUEUE: &str = "larder_refresh_queue{origin=app}";

/// An origin that is asked for one regeneration at a time, while so many wait.
const ONE_AT_A_TIME: &str = r#"listen: {listen}
admin:
  listen: {admin}
origins:
  app:
    servers: [{ url: "{origin}" }]
    refreshes: { max_concurrent: 1, queue: {queue} }
routes:
  - { name: pages, match: /p/** }
"#;

#[tokio::test]
async fn a_stale_visit_is_counted_and_so_is_the_refresh_that_it_starts() {
    let (origin, edge) = site("").await;
    origin.answers("/p/a", stale("old"));
    let before = edge.snapshot().await;
    edge.get("/p/a").await.is("old");
    let seen = moved(&edge, &before, miss("pages")).await;
    origin.page("/p/a", "new").cache_control(RENEWED);
    edge.get("/p/a").await.is("old");
    let seen = moved(&edge, &seen, [served("pages", "stale"), asked("refresh", "success")].concat()).await;
    edge.get("/p/a").await.is("new");
    moved(&edge, &seen, served("pages", "hit")).await;
}

/// The ways to fail that an origin has. Those of guards and of a full queue follow; `internal` is nobody's to provoke.
fn ways_to_fail() -> Vec<(&'static str, Option<Reply>)> {
    let fresh = |body: &str| Reply::ok(body).cache_control(FRESH);
    let itself = format!("https://{HOST}/p/redirect-loop");
    vec![
        ("status-5xx", Some(Reply::ok("sorry").status(503))),
        ("status-4xx", Some(Reply::ok("slow down").status(429))),
        ("status", Some(fresh("").status(204))),
        ("timeout", Some(Reply::hang())),
        ("truncated", Some(Reply::reset())),
        ("malformed", Some(Reply::raw("%$ what is this?\r\n\r\n"))),
        ("uncacheable", Some(Reply::ok("mine").cache_control("private"))),
        ("empty", Some(fresh(""))),
        ("close-delimited", Some(fresh("whole or not").until_close())),
        ("redirect-loop", Some(fresh("").status(308).header("Location", &itself))),
        ("unmatched-304", Some(Reply::ok("").status(304).header("ETag", "\"other\""))),
        ("too-large", Some(fresh(&"x".repeat(70_000)))),
        // The origin is down.
        ("connect", None),
    ]
}

#[tokio::test]
async fn a_refresh_that_fails_is_counted_with_its_reason() {
    let origin = Origin::start().await;
    let more = "routes:\n  - { name: pages, match: /p/**, on_uncacheable: keep }\n\
                store:\n  memory: { max_size: 1MiB, max_object: 64KiB }\n";
    let edge = Edge::with_config(&origin, &[SHORT, more].concat()).await;
    let mut seen = edge.snapshot().await;
    for (reason, reply) in ways_to_fail() {
        let path = format!("/p/{reason}");
        origin.answers(&path, stale("good"));
        edge.get(&path).await.is("good");
        seen = moved(&edge, &seen, miss("pages")).await;
        match reply {
            Some(reply) => origin.answers(&path, reply),
            None => origin.down().await,
        }
        edge.get(&path).await.is("good");
        let fails = [asked("refresh", reason), failing("pages", reason)].concat();
        seen = moved(&edge, &seen, [served("pages", "stale"), fails].concat()).await;
    }
}

#[tokio::test]
async fn a_page_is_no_longer_failing_once_it_is_renewed() {
    let (origin, edge) = site("").await;
    origin.answers("/p/a", stale("old"));
    let before = edge.snapshot().await;
    edge.get("/p/a").await.is("old");
    let seen = moved(&edge, &before, miss("pages")).await;
    origin.page("/p/a", "sorry").status(503);
    edge.get("/p/a").await.is("old");
    let fails = [asked("refresh", "status-5xx"), failing("pages", "status-5xx")].concat();
    let seen = moved(&edge, &seen, [served("pages", "stale"), fails].concat()).await;
    origin.page("/p/a", "new").cache_control(RENEWED);
    order(&edge, "/v1/revalidate", &json!({"paths": ["/p/a"], "regenerate": true})).await;
    let ordered = [by("larder_invalidations_total{kind=path,mode=soft}", 1.0), by(EPOCH, 1.0)].concat();
    moved(&edge, &seen, [ordered, asked("fill", "success"), by(FAILING, -1.0)].concat()).await;
}

#[tokio::test]
async fn a_page_that_may_not_be_stored_any_more_is_not_failing_but_gone() {
    let (origin, edge) = site("").await;
    origin.answers("/p/a", stale("old"));
    let before = edge.snapshot().await;
    edge.get("/p/a").await.is("old");
    let seen = moved(&edge, &before, miss("pages")).await;
    origin.page("/p/a", "mine").cache_control("private");
    edge.get("/p/a").await.is("old");
    let goes = [uncacheable("pages", "private"), by(ENTRIES, -1.0), by(BYTES, DOWN)].concat();
    let visit = [served("pages", "stale"), asked("refresh", "not-storable")].concat();
    let gone = moved(&edge, &seen, [visit, goes].concat()).await;
    assert_eq!(gone.get(BYTES), before.get(BYTES), "nothing is left of it");
}

/// `/p/a` and `/p/b` stored, stale, behind an origin that is asked for one regeneration at a time.
async fn two_stale_pages(queue: &str) -> (Origin, Edge) {
    let origin = Origin::start().await;
    let edge = Edge::with_config(&origin, &ONE_AT_A_TIME.replace("{queue}", queue)).await;
    let before = edge.snapshot().await;
    for path in ["/p/a", "/p/b"] {
        origin.answers(path, stale("old"));
        edge.get(path).await.is("old");
    }
    moved(&edge, &before, [miss("pages"), miss("pages")].concat()).await;
    (origin, edge)
}

#[tokio::test]
async fn refreshes_are_in_flight_while_the_origin_renders_and_in_the_queue_before() {
    let (origin, edge) = two_stale_pages("10").await;
    let hold = origin.page("/p/a", "new").cache_control(RENEWED).held();
    origin.page("/p/b", "new").cache_control(RENEWED);
    let before = edge.snapshot().await;
    edge.get("/p/a").await.is("old");
    let seen = moved(&edge, &before, [served("pages", "stale"), by(IN_FLIGHT, 1.0)].concat()).await;
    edge.get("/p/b").await.is("old");
    let seen = moved(&edge, &seen, [served("pages", "stale"), by(QUEUE, 1.0)].concat()).await;
    hold.release();
    let both = [asked("refresh", "success"), asked("refresh", "success")].concat();
    moved(&edge, &seen, [both, by(IN_FLIGHT, -1.0), by(QUEUE, -1.0)].concat()).await;
}

#[tokio::test]
async fn a_refresh_that_finds_the_queue_full_is_shed_and_asks_nobody() {
    let (origin, edge) = two_stale_pages("0").await;
    let hold = origin.page("/p/a", "new").cache_control(RENEWED).held();
    let before = edge.snapshot().await;
    edge.get("/p/a").await.is("old");
    let seen = moved(&edge, &before, [served("pages", "stale"), by(IN_FLIGHT, 1.0)].concat()).await;
    edge.get("/p/b").await.is("old");
    let seen = moved(&edge, &seen, [served("pages", "stale"), failing("pages", "shed")].concat()).await;
    hold.release();
    moved(&edge, &seen, [asked("refresh", "success"), by(IN_FLIGHT, -1.0)].concat()).await;
}

const GUARDS: &str = r#"routes:
  - { name: min_bytes, match: /min_bytes/*, guard: { min_bytes: 20 } }
  - { name: max_shrink, match: /max_shrink/*, guard: { max_shrink: 50% } }
  - { name: must_contain, match: /must_contain/*, guard: { must_contain: ["</html>"] } }
  - { name: must_not_contain, match: /must_not_contain/*, guard: { must_not_contain: ["Application error"] } }
  - { name: content_type, match: /content_type/*, guard: { content_type: text/html } }
"#;

const GOOD: &str = "<html>a page of some length</html>";

fn html(body: &str) -> Reply {
    stale(body).header("Content-Type", "text/html; charset=utf-8")
}

/// Each guard has a route of its name.
fn rejected(guard: &str) -> Moves {
    by(format!("larder_guard_rejections_total{{route={guard},guard={guard}}}"), 1.0)
}

#[tokio::test]
async fn a_version_that_breaks_a_guard_is_counted_by_the_guards_name_and_as_a_failure() {
    let rows = [
        ("min_bytes", html("</html>")),
        ("max_shrink", html("</html>")),
        ("must_contain", html("<html>a page of some le")),
        ("must_not_contain", html("<html>Application error: see the log</html>")),
        ("content_type", stale("{\"a\": \"message that is long enough\"}").header("Content-Type", "application/json")),
    ];
    let origin = Origin::start().await;
    let edge = Edge::with_config(&origin, &[SHORT, GUARDS].concat()).await;
    let mut seen = edge.snapshot().await;
    for (guard, bad) in rows {
        let path = format!("/{guard}/a");
        origin.answers(&path, html(GOOD));
        edge.get(&path).await.is(GOOD);
        seen = moved(&edge, &seen, miss(guard)).await;
        origin.answers(&path, bad);
        edge.get(&path).await.is(GOOD);
        let fails = [asked("refresh", "guard"), failing(guard, "guard"), rejected(guard)].concat();
        seen = moved(&edge, &seen, [served(guard, "stale"), fails].concat()).await;
    }
}

#[tokio::test]
async fn a_first_version_that_breaks_a_guard_is_counted_by_the_guards_name_and_as_uncacheable() {
    let origin = Origin::start().await;
    origin.answers("/must_contain/a", html("<html>a page of some le"));
    let edge = Edge::with_config(&origin, &[SHORT, GUARDS].concat()).await;
    let before = edge.snapshot().await;
    edge.get("/must_contain/a").await.status(200);
    let visit = [answered("must_contain", "miss", 200), asked("fill", "not-storable")].concat();
    let refused = [rejected("must_contain"), uncacheable("must_contain", "guard")].concat();
    moved(&edge, &before, [visit, refused].concat()).await;
}
