//! 304 in answer to Larder's own conditional requests (semantics 18; RFC 9111, 4.3.4).

use crate::support::{How, Reply, World, answer, page, secs};
use semantics::{Outcome, time};

fn validated(body: &str) -> Reply {
    page(body).field("etag", "\"1\"")
}

fn not_modified(fields: &[(&str, &str)]) -> Reply {
    answer(304, fields, "").field("etag", "\"1\"")
}

/// A world with a stale `v1` at `/p` and at `/isr/p`.
async fn stale(reply: &Reply) -> World {
    let world = World::new();
    for path in ["/p", "/isr/p"] {
        world.origin.on(path, reply.clone());
        world.visit(path, &[]).await.is("v1");
    }
    world.advance(secs(11)).await;
    world
}

#[tokio::test(start_paused = true)]
async fn a_304_keeps_the_body_merges_the_fields_and_starts_a_new_window() {
    let world = stale(&validated("v1").field("x-old", "kept").field("x-both", "before")).await;
    let fields = [("x-both", "after"), ("x-new", "added"), ("cache-control", "s-maxage=20"), ("content-length", "7")];
    world.origin.next("/p", not_modified(&fields));
    let before = world.visit("/p", &[]).await.is("v1").was(Outcome::Stale).stored.clone().unwrap();
    world.quiet().await;
    assert_eq!(world.origin.last("/p").field("if-none-match"), Some("\"1\""));
    let seen = world.visit("/p", &[]).await;
    assert_eq!(seen.is("v1").cache_status, "larder; hit; ttl=20");
    let told = |name| seen.field(name);
    assert_eq!((told("x-old"), told("x-both"), told("x-new")), (Some("kept"), Some("after"), Some("added")));
    assert_eq!((told("etag"), told("content-length")), (Some("\"1\""), Some("2")));
    assert_eq!(seen.fields.iter().filter(|(n, _)| n == "x-both").count(), 1);
    let after = seen.stored.clone().unwrap();
    assert_eq!(after.body.held().unwrap().as_ptr(), before.body.held().unwrap().as_ptr());
    assert!(after.windows.generated > before.windows.generated);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_304_gets_the_stored_page() {
    let world = stale(&validated("v1").cache_control("s-maxage=10")).await;
    world.origin.on("/p", not_modified(&[]));
    let seen = world.visit("/p", &[]).await;
    assert_eq!(seen.is("v1").cache_status, "larder; fwd=stale; fwd-status=304; stored");
    world.visit("/p", &[]).await.is("v1").was(Outcome::Hit);
}

#[tokio::test(start_paused = true)]
async fn a_date_validates_too() {
    let modified = "Sun, 06 Nov 1994 08:49:37 GMT";
    let world = stale(&page("v1").field("last-modified", modified)).await;
    world.origin.on("/p", answer(304, &[("last-modified", modified)], ""));
    world.visit("/p", &[]).await.was(Outcome::Stale);
    world.quiet().await;
    assert_eq!(world.origin.last("/p").field("if-modified-since"), Some(modified));
    assert_eq!(world.origin.last("/p").field("if-none-match"), None);
    world.visit("/p", &[]).await.is("v1").was(Outcome::Hit);
}

#[tokio::test(start_paused = true)]
async fn a_304_that_does_not_match_is_fetched_again_without_conditions_once() {
    for path in ["/p", "/isr/p"] {
        let world = stale(&validated("v1")).await;
        world.origin.next(path, answer(304, &[("etag", "\"2\"")], ""));
        world.origin.on(path, page("v2").field("etag", "\"2\""));
        world.visit(path, &[]).await.is("v1");
        world.quiet().await;
        let asked = world.origin.requests(path);
        assert_eq!(asked.len(), 3, "{path}");
        assert_eq!(asked[1].field("if-none-match"), Some("\"1\""));
        assert_eq!((asked[2].field("if-none-match"), asked[2].field("if-modified-since")), (None, None));
        world.visit(path, &[]).await.is("v2").was(Outcome::Hit);
    }
}

#[tokio::test(start_paused = true)]
async fn a_validator_that_larder_made_up_is_not_sent() {
    let world = stale(&page("v1")).await;
    assert!(world.visit("/isr/p", &[]).await.field("etag").is_some(), "an ISR page has one");
    world.quiet().await;
    assert_eq!(world.origin.asked("/isr/p"), 2);
    assert_eq!(world.origin.last("/isr/p").names(), ["accept", "accept-encoding", "user-agent"]);
    assert_eq!(world.visit("/p", &[]).await.field("etag"), None, "a header-driven one has the origin's or none");
}

#[tokio::test(start_paused = true)]
async fn an_absent_page_is_fetched_without_conditions() {
    let world = World::new();
    world.origin.on("/p", validated("v1"));
    world.visit("/p", &[("if-none-match", "\"1\"")]).await.is("v1");
    assert_eq!(world.origin.last("/p").field("if-none-match"), None);
}

/// It was made for Larder's own request: replayed, everybody would share one session.
#[tokio::test(start_paused = true)]
async fn a_cookie_on_a_304_is_nobodys() {
    for path in ["/p", "/isr/p"] {
        let world = stale(&validated("v1")).await;
        world.origin.on(path, not_modified(&[("set-cookie", "session=1")]));
        for _ in 0..3 {
            assert_eq!(world.visit(path, &[]).await.field("set-cookie"), None, "{path}");
            world.quiet().await;
        }
    }
}

/// What it says of sharing holds for the page that it freshens.
#[tokio::test(start_paused = true)]
async fn a_304_that_says_private_ends_the_sharing() {
    for directive in ["private", "no-store"] {
        let world = stale(&validated("v1")).await;
        world.origin.next("/p", not_modified(&[("cache-control", directive)]));
        world.origin.on("/p", page("yours").cache_control("private"));
        world.visit("/p", &[]).await.is("v1");
        world.quiet().await;
        world.visit("/p", &[]).await.by(How::Passed);
        assert_eq!(world.engine.usage().entries, 1, "the other path's");
    }
}

/// The stored Date is the old generation's (semantics 16: G is when the answer was complete).
#[tokio::test(start_paused = true)]
async fn a_304_without_a_date_starts_a_whole_window() {
    let world = World::new();
    let date = time::http_date(world.now());
    let lifetime = "s-maxage=90, stale-while-revalidate=600";
    world.origin.on("/p", validated("v1").cache_control(lifetime).field("date", &date));
    world.visit("/p", &[]).await.is("v1");
    world.advance(secs(100)).await;
    world.origin.on("/p", not_modified(&[]));
    world.visit("/p", &[]).await.was(Outcome::Stale);
    world.quiet().await;
    world.visit("/p", &[]).await.is("v1").was(Outcome::Hit);
    world.advance(secs(80)).await;
    world.visit("/p", &[]).await.is("v1").was(Outcome::Hit);
}

/// What an origin says instead of confirming the page is for whoever waits for it (RFC 9111, 4.3.3).
#[tokio::test(start_paused = true)]
async fn where_the_stored_page_may_not_answer_the_origins_own_answer_does() {
    for directive in ["no-cache", "s-maxage=10, must-revalidate"] {
        for (status, body) in [(302, "log in"), (401, "who is it"), (403, "no"), (418, "teapot"), (503, "at noon")] {
            let world = stale(&validated("v1").cache_control(directive)).await;
            world.origin.on("/p", answer(status, &[("location", "/login")], body));
            let seen = world.visit("/p", &[]).await;
            assert_eq!((seen.status, seen.body.as_str()), (status, body), "{directive}");
            assert_eq!(seen.field("location"), Some("/login"), "{directive}, {status}");
        }
    }
}
