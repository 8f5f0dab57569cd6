//! Many clients at the same time: one render for all who wait, streamed to everybody, nobody at the mercy of another,
//! and nobody with another's page (semantics 3, 5, 20-22, 27).

use crate::dsl::{Crowd, Edge, Origin, PLAIN, Reply, ms, until};
use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};

const FRESH: &str = "s-maxage=60";
const GET_P: &str = "GET /p HTTP/1.1\r\nHost: site.test\r\n\r\n";

#[tokio::test]
async fn two_hundred_clients_on_a_cold_page_are_one_request() {
    let origin = Origin::start().await;
    let hold = origin.page("/p", "page").cache_control(FRESH).held();
    let edge = Edge::start(&origin).await;
    let crowd = Crowd::of((0..200).map(|_| edge.get("/p")));
    edge.metric_reaches("larder_connections", 200.0).await;
    origin.asked("/p", 1).await;
    hold.release();
    let answers = crowd.answers().await;
    for answer in &answers {
        answer.status(200).is("page");
    }
    let led = answers.iter().filter(|a| a.field("cache-status").is_some_and(|s| s.ends_with("fwd=uri-miss; stored")));
    assert_eq!(led.count(), 1);
    let collapsed = answers.iter().filter(|a| a.field("cache-status").is_some_and(|s| s.contains("collapsed"))).count();
    assert!(collapsed > 0);
    assert_eq!(origin.count("/p"), 1);
}

#[tokio::test]
async fn a_page_is_streamed_to_everybody_while_it_is_made() {
    let origin = Origin::start().await;
    let tap = origin.page("/p", "").cache_control(FRESH).tapped();
    let edge = Edge::start(&origin).await;
    let (mut first, mut second) = (edge.raw().await, edge.raw().await);
    first.send(GET_P).await;
    origin.asked("/p", 1).await;
    second.send(GET_P).await;
    tap.send("one,");
    first.through("one,").await;
    second.through("one,").await;
    // Who comes late gets what there is, at once.
    let mut late = edge.raw().await;
    late.send(GET_P).await;
    late.through("one,").await;
    tap.send("two,");
    for client in [&mut first, &mut second, &mut late] {
        client.through("two,").await;
    }
    tap.end();
    for client in [&mut first, &mut second, &mut late] {
        client.through("0\r\n\r\n").await;
    }
    edge.stored("/p").await.is("one,two,");
    assert_eq!(origin.count("/p"), 1);
}

#[tokio::test]
async fn a_cold_error_for_two_hundred_clients_is_at_most_three_requests() {
    let origin = Origin::start().await;
    let hold = origin.page("/p", "sorry").status(500).held();
    let edge = Edge::start(&origin).await;
    let crowd = Crowd::of((0..200).map(|_| edge.get("/p")));
    edge.metric_reaches("larder_connections", 200.0).await;
    origin.asked("/p", 1).await;
    hold.release();
    for answer in crowd.answers().await {
        answer.status(500).is("sorry").header("Cache-Control", "no-store");
    }
    assert!(origin.count("/p") <= 3, "{} requests", origin.count("/p"));
}

/// Every answer has a number of its own, and says who asked.
fn numbered(origin: &Origin) {
    let next = AtomicUsize::new(0);
    origin.dynamic("/p", move |seen| {
        let who = seen.field("cookie").unwrap_or_else(|| "nobody".to_owned());
        let page = format!("{who} {}", next.fetch_add(1, Ordering::SeqCst));
        Reply::ok(page).cache_control("private").delay(ms(20))
    });
}

#[tokio::test]
async fn an_uncacheable_page_is_asked_for_within_its_cap() {
    let origin = Origin::start().await;
    numbered(&origin);
    let capped = "origins:\n  app:\n    servers: [{ url: \"{origin}\" }]\n    passed: { max_concurrent: 8 }\n";
    let edge = Edge::with_config(&origin, &PLAIN.replace("origin: {origin}\n", capped)).await;
    let answers = Crowd::of((0..100).map(|_| edge.get("/p"))).answers().await;
    let pages: HashSet<String> = answers.iter().map(|answer| answer.status(200).text()).collect();
    assert_eq!(pages.len(), 100, "everybody has his own");
    assert!(origin.peak() <= 8, "{} at the same time", origin.peak());
    assert_eq!(origin.count("/p"), 100);
}

#[tokio::test]
async fn in_a_mixed_crowd_nobody_gets_anothers_page() {
    let origin = Origin::start().await;
    numbered(&origin);
    let edge = Edge::start(&origin).await;
    let requests = (0..100).map(|n| match n % 2 {
        0 => edge.get("/p").cookie(&format!("member={n}")),
        _ => edge.get("/p"),
    });
    let mut numbers = HashSet::new();
    for (n, answer) in Crowd::of(requests).answers().await.iter().enumerate() {
        let text = answer.status(200).text();
        let (who, number) = text.split_once(' ').unwrap();
        let expected = if n % 2 == 0 { format!("member={n}") } else { "nobody".to_owned() };
        assert_eq!(who, expected, "client {n} got {text}");
        assert!(numbers.insert(number.to_owned()), "{text} was given twice");
        assert!(!answer.is_hit());
    }
}

#[tokio::test]
async fn a_fill_outlives_the_client_that_caused_it() {
    let origin = Origin::start().await;
    let tap = origin.page("/p", "").cache_control(FRESH).tapped();
    let edge = Edge::start(&origin).await;
    let mut leader = edge.raw().await;
    leader.send(GET_P).await;
    origin.asked("/p", 1).await;
    tap.send("one,");
    leader.through("one,").await;
    leader.reset();
    until("the leader is gone", async || edge.metric("larder_connections").await == 0.0).await;
    tap.send("two");
    tap.end();
    edge.stored("/p").await.is("one,two");
    assert_eq!(origin.count("/p"), 1);
}

#[tokio::test]
async fn a_leader_that_leaves_before_the_head_changes_nothing_for_the_others() {
    let origin = Origin::start().await;
    let hold = origin.page("/p", "page").cache_control(FRESH).held();
    let edge = Edge::start(&origin).await;
    let mut leader = edge.raw().await;
    leader.send(GET_P).await;
    origin.asked("/p", 1).await;
    let crowd = Crowd::of((0..10).map(|_| edge.get("/p")));
    edge.metric_reaches("larder_connections", 11.0).await;
    leader.reset();
    hold.release();
    for answer in crowd.answers().await {
        answer.status(200).is("page");
    }
    assert_eq!(origin.count("/p"), 1);
}

#[tokio::test]
async fn a_slow_reader_does_not_slow_the_others() {
    let origin = Origin::start().await;
    let large = "0123456789abcdef".repeat(256 * 1024);
    origin.page("/p", &large).cache_control(FRESH).chunked();
    let edge = Edge::start(&origin).await;
    let mut slow = edge.raw().await;
    slow.send(GET_P).await;
    origin.asked("/p", 1).await;
    for answer in Crowd::of((0..5).map(|_| edge.get("/p"))).answers().await {
        assert!(answer.status(200).whole && answer.body.len() == large.len());
    }
    edge.stored("/p").await;
    assert_eq!(origin.count("/p"), 1);
    // He gets all of it, too.
    assert_eq!(slow.response().await.body.len(), large.len());
}

#[tokio::test]
async fn a_crowd_of_members_on_a_shared_page_costs_one_canonical_fill() {
    let origin = Origin::start().await;
    origin.page("/p", "everybody's").cache_control(FRESH);
    let edge = Edge::start(&origin).await;
    let members = (0..50).map(|n| edge.get("/p").cookie(&format!("session={n}")));
    for answer in Crowd::of(members).answers().await {
        answer.status(200).is("everybody's");
    }
    edge.stored("/p").await;
    let canonical = origin.requests("/p").iter().filter(|seen| seen.field("cookie").is_none()).count();
    assert_eq!(canonical, 1);
    assert!(origin.count("/p") <= 3, "{} requests", origin.count("/p"));
}

#[tokio::test]
async fn variants_are_filled_once_each() {
    let origin = Origin::start().await;
    origin.dynamic("/p", |seen| {
        let language = seen.field("accept-language").unwrap_or_default();
        Reply::ok(language).cache_control(FRESH).header("Vary", "Accept-Language").delay(ms(300))
    });
    let edge = Edge::start(&origin).await;
    let languages = ["de", "en", "fr"];
    let crowd = Crowd::of((0..60).map(|n| edge.get("/p").header("Accept-Language", languages[n % 3])));
    for (n, answer) in crowd.answers().await.iter().enumerate() {
        answer.status(200).is(languages[n % 3]);
    }
    assert_eq!(origin.count("/p"), 3);
}
