//! What fills carry, and whose an answer is that may not be shared (semantics 1, 2, 4, 11, 46).

use crate::support::{Act, How, World, all, answer, page, secs};
use engine::origin::{Kind, OriginRequest};
use semantics::policy::Revalidate;
use semantics::{Outcome, Policy};

/// What a browser with a session sends, behind a proxy, and some more.
const EVERYTHING: [(&str, &str); 19] = [
    ("host", "example.test"),
    ("user-agent", "Browser/1"),
    ("accept", "text/html"),
    ("accept-language", "de"),
    ("accept-encoding", "gzip, br"),
    ("referer", "https://example.test/before"),
    ("sec-fetch-mode", "navigate"),
    ("cookie", "session=alice; _ga=1"),
    ("authorization", "Basic YWxpY2U6"),
    ("x-api-key", "secret"),
    ("if-none-match", "\"theirs\""),
    ("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT"),
    ("cache-control", "no-cache"),
    ("pragma", "no-cache"),
    ("x-forwarded-for", "192.0.2.1"),
    ("forwarded", "for=192.0.2.1"),
    ("cf-ray", "1"),
    ("x-middleware-subrequest", "1"),
    ("next-url", "/elsewhere"),
];

fn cookie(request: &OriginRequest) -> bool {
    request.fields.iter().any(|(name, _)| name == "cookie")
}

#[tokio::test(start_paused = true)]
async fn a_refresh_carries_nothing_of_the_visitor_who_came_by() {
    for path in ["/p", "/isr/p"] {
        let world = World::new();
        world.origin.on(path, page("v1").field("etag", "\"ours\""));
        world.visit(path, &[]).await.is("v1");
        world.advance(secs(11)).await;
        let fields: Vec<(&str, &str)> = EVERYTHING.into_iter().filter(|(n, _)| *n != "authorization").collect();
        world.visit(path, &fields).await.is("v1").was(Outcome::Stale);
        world.quiet().await;
        let refresh = world.origin.last(path);
        assert_eq!(refresh.kind, Kind::Refresh);
        assert_eq!(refresh.names(), ["accept", "accept-encoding", "if-none-match", "user-agent"], "{path}");
        assert_eq!(refresh.field("if-none-match"), Some("\"ours\""));
        assert_eq!(refresh.field("accept-encoding"), Some("identity"));
        assert!(refresh.field("user-agent").unwrap().starts_with("Larder/"));
        assert_eq!(refresh.field("accept"), Some("*/*"));
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_fetch_of_a_header_driven_page_carries_what_the_browser_says_of_itself() {
    let world = World::new();
    world.origin.on("/p", page("v1"));
    let personal = ["cookie", "authorization", "x-api-key"];
    let mut fields: Vec<(&str, &str)> = EVERYTHING.into_iter().filter(|(n, _)| !personal.contains(n)).collect();
    fields.push(("cookie", "_ga=1; _gid=2"));
    world.visit("/p", &fields).await.is("v1");
    let first = world.origin.last("/p");
    assert_eq!(first.kind, Kind::Fill);
    assert_eq!(first.names(), ["accept", "accept-encoding", "accept-language", "sec-fetch-mode", "user-agent"]);
    assert_eq!(first.field("user-agent"), Some("Browser/1"));
    assert_eq!(first.field("accept-encoding"), Some("identity"));
}

#[tokio::test(start_paused = true)]
async fn the_first_fetch_of_an_isr_page_is_canonical() {
    let world = World::new();
    world.origin.on("/isr/p", page("v1"));
    let fields: Vec<(&str, &str)> = EVERYTHING.into_iter().filter(|(n, _)| *n != "authorization").collect();
    world.visit("/isr/p?utm_source=x&page=2", &fields).await.is("v1");
    let first = world.origin.last("/isr/p");
    assert_eq!(first.names(), ["accept", "accept-encoding", "user-agent"]);
    assert_eq!(first.target, "/isr/p");
}

#[tokio::test(start_paused = true)]
async fn keyed_and_forwarded_fields_are_carried() {
    let policy = Policy {
        key_headers: vec!["x-tenant".into()],
        key_cookies: vec!["theme".into()],
        forward_headers: vec!["x-trace".into()],
        ..Policy::isr(Revalidate::Every(secs(10)))
    };
    let world = World::routing("/keyed/", policy);
    world.origin.on("/keyed/p", page("v1"));
    let fields = [("x-tenant", "a"), ("x-trace", "t"), ("cookie", "session=alice; theme=dark"), ("x-other", "o")];
    world.visit("/keyed/p", &fields).await.is("v1");
    let first = world.origin.last("/keyed/p");
    assert_eq!(first.names(), ["accept", "accept-encoding", "cookie", "user-agent", "x-tenant", "x-trace"]);
    assert_eq!(first.field("cookie"), Some("theme=dark"));
    world.visit("/keyed/p", &[("x-tenant", "a"), ("cookie", "theme=dark")]).await.was(Outcome::Hit);
    world.visit("/keyed/p", &[("x-tenant", "b"), ("cookie", "theme=dark")]).await.was(Outcome::Miss);
}

#[tokio::test(start_paused = true)]
async fn the_routers_fields_are_keyed_and_carried_together() {
    let world = World::new();
    world.origin.on_each("/isr/p", |request| {
        let rsc = request.fields.iter().any(|(name, _)| name == "rsc");
        page(if rsc { "component" } else { "document" }).into()
    });
    let tree = [("rsc", "1"), ("next-router-state-tree", "%5B%5D"), ("next-url", "/from"), ("x-other", "1")];
    world.visit("/isr/p?_rsc=abc", &tree).await.is("component");
    let asked = world.origin.last("/isr/p");
    assert_eq!(asked.names(), ["accept", "accept-encoding", "next-router-state-tree", "next-url", "rsc", "user-agent"]);
    assert_eq!(asked.target, "/isr/p?_rsc=abc");
    world.visit("/isr/p", &[]).await.is("document").was(Outcome::Miss);
    world.visit("/isr/p?_rsc=abc", &tree).await.is("component").was(Outcome::Hit);
    // Without `rsc` they say nothing.
    world.visit("/isr/p", &tree[1..]).await.is("document").was(Outcome::Hit);
}

#[tokio::test(start_paused = true)]
async fn a_component_is_never_stored_for_a_request_without_rsc() {
    for path in ["/isr/p", "/p"] {
        let world = World::new();
        world.origin.on(path, page("component").field("content-type", "text/x-component; charset=utf-8"));
        world.visit(path, &[]).await;
        world.visit(path, &[]).await.by(How::Passed);
        assert_eq!(world.engine.usage().entries, 0);
        world.visit(path, &[("rsc", "1")]).await.is("component");
        world.visit(path, &[("rsc", "1")]).await.is("component").was(Outcome::Hit);
    }
}

#[tokio::test(start_paused = true)]
async fn a_component_does_not_replace_a_page() {
    let world = World::new();
    world.origin.on("/isr/p", page("page"));
    world.visit("/isr/p", &[]).await.is("page");
    world.advance(secs(11)).await;
    world.origin.on("/isr/p", page("component").field("content-type", "text/x-component"));
    world.visit("/isr/p", &[]).await.is("page");
    world.quiet().await;
    world.visit("/isr/p", &[]).await.is("page");
}

#[tokio::test(start_paused = true)]
async fn on_an_isr_route_a_private_answer_is_not_given_to_whom_it_was_not_made_for() {
    let dropped: [(&str, &[(&str, &str)]); 3] =
        [("/isr/p", &[("cookie", "session=alice")]), ("/isr/p?for=alice", &[]), ("/isr/p", &[("x-user", "alice")])];
    for (target, fields) in dropped {
        let world = World::new();
        world.origin.on_each("/isr/p", |request| {
            let hers = request.kind == Kind::Pass;
            page(if hers { "for alice" } else { "for nobody" }).cache_control("private").into()
        });
        world.visit(target, fields).await.is("for alice").by(How::Passed);
        assert_eq!((world.origin.asked("/isr/p"), world.origin.passed("/isr/p")), (1, 1));
        assert!(!world.origin.last("/isr/p").names().contains(&"cookie"));
    }
}

#[tokio::test(start_paused = true)]
async fn on_an_isr_route_a_visitor_without_anything_of_his_own_gets_the_private_answer() {
    let world = World::new();
    world.origin.on("/isr/p", page("for whom it may concern").cache_control("private"));
    let seen = world.visit("/isr/p", &[("cookie", "_ga=1")]).await;
    assert_eq!(seen.is("for whom it may concern").how, How::Streamed);
    assert_eq!((world.origin.asked("/isr/p"), world.origin.passed("/isr/p")), (1, 0));
    assert_eq!(world.engine.usage().entries, 0);
}

#[tokio::test(start_paused = true)]
async fn on_an_isr_route_authorization_passes_unless_it_is_keyed() {
    let keyed = Policy { key_headers: vec!["authorization".into()], ..Policy::isr(Revalidate::Every(secs(10))) };
    let world = World::routing("/members/", keyed);
    for path in ["/isr/p", "/members/p"] {
        world.origin.on(path, page("v1"));
    }
    let alice = [("authorization", "Basic YWxpY2U6")];
    world.visit("/isr/p", &alice).await.is("v1").by(How::Passed);
    assert_eq!(world.origin.asked("/isr/p"), 0);
    world.visit("/members/p", &alice).await.is("v1").was(Outcome::Miss);
    world.visit("/members/p", &alice).await.is("v1").was(Outcome::Hit);
    world.visit("/members/p", &[]).await.is("v1").was(Outcome::Miss);
}

#[tokio::test(start_paused = true)]
async fn an_isr_route_takes_set_cookie_off_and_a_header_driven_one_does_not_store_it() {
    let world = World::new();
    let greeting = page("hello").field("set-cookie", "session=alice");
    world.origin.on("/isr/p", greeting.clone());
    world.origin.on("/p", greeting);
    world.visit("/isr/p", &[]).await.is("hello");
    assert_eq!(world.visit("/isr/p", &[]).await.was(Outcome::Hit).field("set-cookie"), None);
    assert_eq!(world.visit("/p", &[]).await.is("hello").field("set-cookie"), Some("session=alice"));
    world.visit("/p", &[]).await.is("hello").by(How::Passed);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_may_not_be_shared_is_the_leaders_alone() {
    for (name, reply) in [
        ("private", page("yours").cache_control("private, max-age=60")),
        ("no-store", page("yours").cache_control("no-store")),
        ("cookie", page("yours").field("set-cookie", "a=b")),
        ("vary *", page("yours").field("vary", "*")),
        ("vary on a visitor", page("yours").field("vary", "Accept, Cookie")),
        ("nothing to go by", page("yours").cache_control("public")),
        ("close-delimited", page("yours").close_delimited()),
    ] {
        let world = World::new();
        let held = world.origin.held("/p");
        let visits = world.start_many(4, "/p");
        world.settle().await;
        world.origin.on("/p", reply.clone());
        held.answer(reply);
        let seen = all(visits).await;
        let led = seen.iter().filter(|s| s.is("yours").how == How::Streamed).count();
        let passed = seen.iter().filter(|s| s.how == How::Passed).count();
        assert_eq!((led, passed), (1, 3), "{name}");
        assert_eq!((world.origin.asked("/p"), world.origin.passed("/p")), (1, 3), "{name}");
        assert_eq!(world.engine.usage().entries, 0, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn not_storable_is_remembered_for_two_minutes_and_nobody_waits_for_anybody() {
    let world = World::new();
    world.origin.on("/p", page("yours").cache_control("private"));
    world.visit("/p", &[]).await.is("yours");
    world.advance(secs(119)).await;
    let held: Vec<_> = (0..3).map(|_| world.origin.held("/p")).collect();
    let visits = world.start_many(3, "/p");
    world.settle().await;
    assert_eq!((world.origin.asked("/p"), world.origin.passed("/p")), (1, 3), "side by side");
    for one in held {
        one.answer(page("mine").cache_control("private"));
    }
    for seen in all(visits).await {
        seen.is("mine").by(How::Passed);
    }
    world.advance(secs(1)).await;
    world.origin.on("/p", page("ours"));
    world.visit("/p", &[]).await.is("ours").was(Outcome::Miss);
    world.visit("/p", &[]).await.is("ours").was(Outcome::Hit);
    assert_eq!(world.origin.asked("/p"), 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_handed_through_ends_with_its_reader() {
    let world = World::new();
    let feed = world.origin.stream("/p", page("").cache_control("private"));
    let reading = world.open("/p").await;
    feed.send("some");
    world.settle().await;
    assert_eq!(world.origin.handed("/p"), 4);
    drop(reading);
    world.settle().await;
    feed.send("more");
    world.settle().await;
    assert_eq!(world.origin.handed("/p"), 4, "nobody reads it any more");
}

#[tokio::test(start_paused = true)]
async fn what_is_handed_through_breaks_off_where_the_origin_does() {
    let world = World::new();
    world.origin.next("/p", page("yours").cache_control("private").truncated(3));
    let seen = world.visit("/p", &[]).await;
    assert_eq!((seen.body.as_str(), seen.broken.is_some()), ("you", true));
    world.origin.next("/p", Act::Reply(answer(403, &[], "no")));
    assert_eq!(world.visit("/p", &[]).await.status, 403);
}

#[tokio::test(start_paused = true)]
async fn a_stored_page_is_everybodys_whatever_he_carries() {
    let world = World::new();
    world.origin.on_each("/p", |request| {
        assert!(!cookie(request), "a stored page is regenerated without cookies");
        page("for all").into()
    });
    world.visit("/p", &[]).await.is("for all");
    let alice = [("cookie", "session=alice"), ("authorization", "Basic YWxpY2U6"), ("x-api-key", "secret")];
    world.visit("/p", &alice).await.is("for all").was(Outcome::Hit);
    world.advance(secs(11)).await;
    world.visit("/p", &alice).await.is("for all").was(Outcome::Stale);
    world.quiet().await;
    world.visit("/p", &alice).await.is("for all").was(Outcome::Hit);
    assert_eq!((world.origin.asked("/p"), world.origin.passed("/p")), (2, 0));
}

/// A validator alone does not say that a page is everybody's: he asks for himself while it is fetched anew, and no less
/// while that fails.
#[tokio::test(start_paused = true)]
async fn while_a_page_that_nobody_shares_cannot_be_validated_a_personal_visitor_asks_for_himself() {
    let world = World::new();
    world.origin.on("/p", answer(200, &[("etag", "\"1\"")], "for nobody"));
    world.visit("/p", &[]).await.is("for nobody");
    world.advance(secs(1)).await;
    world.origin.on_each("/p", |request| match request.kind {
        Kind::Pass => answer(200, &[], "for alice").into(),
        _ => answer(500, &[], "sorry").into(),
    });
    let seen = world.visit("/p", &[]).await;
    assert_eq!(seen.is("for nobody").cache_status, "larder; fwd=stale; fwd-status=500");
    world.visit("/p", &[("cookie", "session=alice")]).await.is("for alice").by(How::Passed);
    let seen = world.visit("/p", &[]).await;
    assert!(seen.is("for nobody").cache_status.ends_with("; detail=failing"), "{}", seen.cache_status);
    assert_eq!((world.origin.asked("/p"), world.origin.passed("/p")), (2, 1));
}
