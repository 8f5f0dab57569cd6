//! How an origin in trouble is asked: back-off, the circuit breaker, several servers, bounded queues; and what happens
//! when it is back (semantics 27, 31).

use crate::dsl::{Crowd, Edge, Origin, PLAIN, Reply, SHORT, ms, until};
use tokio::time::Instant;

const SOON_STALE: &str = "s-maxage=1, stale-while-revalidate=600";
const FRESH: &str = "s-maxage=60";

#[tokio::test]
async fn when_the_origin_is_back_pages_renew() {
    let origin = Origin::start().await;
    origin.page("/p", "v1").cache_control(SOON_STALE);
    let edge = Edge::with_config(&origin, SHORT).await;
    edge.stored("/p").await;
    origin.down().await;
    edge.until_stale("/p").await.is("v1");
    edge.metric_reaches("larder_refresh_failures_total", 1.0).await;
    origin.up();
    origin.page("/p", "v2").cache_control(FRESH);
    edge.until_is("/p", "v2").await.status(200).cache_status("hit");
    until("nothing fails any more", async || edge.metric("larder_stale_because_failing").await == 0.0).await;
}

#[tokio::test]
async fn a_failing_page_is_tried_again_after_its_back_off_whatever_the_load() {
    let origin = Origin::start().await;
    origin.page("/plain", "good").cache_control(SOON_STALE);
    origin.page("/asked", "good").cache_control(SOON_STALE);
    let edge = Edge::with_config(&origin, SHORT).await;
    edge.stored("/plain").await;
    edge.stored("/asked").await;
    origin.page("/plain", "sorry").status(503);
    origin.page("/asked", "sorry").status(503).header("Retry-After", "5");
    until("both were tried twice", async || {
        for answer in Crowd::of((0..10).map(|n| edge.get(if n % 2 == 0 { "/plain" } else { "/asked" }))).answers().await
        {
            answer.status(200).is("good");
        }
        origin.count("/plain") >= 3 && origin.count("/asked") >= 3
    })
    .await;
    for (path, least) in [("/plain", ms(2990)), ("/asked", ms(4990))] {
        let asked = origin.requests(path);
        let pause = asked[2].at - asked[1].at;
        assert!(pause >= least, "{path} was tried again after {pause:?}");
    }
}

#[tokio::test]
async fn the_back_off_holds_also_where_the_stored_page_may_not_answer() {
    let origin = Origin::start().await;
    origin.page("/p", "good").cache_control("s-maxage=1, must-revalidate");
    let edge = Edge::with_config(&origin, SHORT).await;
    edge.stored("/p").await;
    origin.page("/p", "sorry").status(503);
    until("it was tried twice", async || {
        edge.get("/p").await;
        origin.count("/p") >= 3
    })
    .await;
    let asked = origin.requests("/p");
    let pause = asked[2].at - asked[1].at;
    assert!(pause >= ms(2990), "it was tried again after {pause:?}");
}

#[tokio::test]
async fn an_origin_that_does_not_answer_is_asked_once_a_second() {
    let origin = Origin::start().await;
    origin.page("/known", "good").cache_control(FRESH);
    let edge = Edge::with_config(&origin, SHORT).await;
    edge.stored("/known").await;
    origin.everything(|_| Reply::close());
    let (before, begun) = (origin.total(), Instant::now());
    let mut n = 0;
    while begun.elapsed() < ms(3000) {
        n += 1;
        let failed = edge.get(&format!("/unknown/{n}")).await;
        assert!((502..=503).contains(&failed.code), "{failed:?}");
        edge.get("/known").await.is("good").at_once().cache_status("hit");
    }
    // Five to open the breaker, one of them perhaps twice because its connection was a pooled one; then one a second.
    let (asked, most) = (origin.total() - before, 6 + usize::try_from(begun.elapsed().as_secs()).unwrap() + 1);
    assert!(asked <= most, "{n} requests reached the origin {asked} times");
    assert_eq!(edge.metric("larder_origin_up").await, 0.0);
    origin.everything(|_| Reply::ok("back").cache_control(FRESH));
    edge.until_is("/unknown/back", "back").await.status(200);
    edge.metric_reaches("larder_origin_up", 1.0).await;
}

#[tokio::test]
async fn the_breaker_holds_for_stored_pages_too() {
    let origin = Origin::start().await;
    let pages: Vec<String> = (0..30).map(|n| format!("/page/{n}")).collect();
    origin.everything(|_| Reply::ok("good").cache_control(SOON_STALE));
    let config = SHORT.replace("    passed:", "    refreshes: { max_concurrent: 1 }\n    passed:");
    let edge = Edge::with_config(&origin, &config).await;
    for page in &pages {
        edge.stored(page).await;
    }
    origin.everything(|_| Reply::reset());
    let (before, begun) = (origin.total(), Instant::now());
    for page in &pages {
        edge.until_stale(page).await.status(200).is("good");
    }
    edge.metric_reaches("larder_refresh_failures_total", 30.0).await;
    let (asked, most) = (origin.total() - before, 6 + usize::try_from(begun.elapsed().as_secs()).unwrap() + 1);
    assert!(asked <= most, "30 stale pages reached the origin {asked} times");
}

#[tokio::test]
async fn when_one_of_two_servers_dies_nobody_notices() {
    let (one, two) = (Origin::start().await, Origin::start().await);
    for origin in [&one, &two] {
        origin.everything(|_| Reply::ok("page").cache_control(FRESH));
    }
    let both = format!("[{{ url: \"{{origin}}\" }}, {{ url: \"{}\" }}]", two.url());
    let config = SHORT.replace("[{ url: \"{origin}\" }]", &both);
    let edge = Edge::with_config(&one, &config).await;
    for n in 0..10 {
        edge.get(&format!("/well/{n}")).await.status(200).is("page");
    }
    assert!(one.total() >= 4 && two.total() >= 4, "{} and {}", one.total(), two.total());
    one.down().await;
    for n in 0..20 {
        edge.get(&format!("/ill/{n}")).await.status(200).is("page");
        edge.get("/passed").cookie("session=1").await.status(200).is("page");
    }
    edge.post("/form", "x").await.status(200).is("page");
    two.down().await;
    one.up();
    edge.until_is("/back", "page").await.status(200);
}

#[tokio::test]
async fn a_pooled_connection_that_was_closed_under_us_is_no_failure() {
    let origin = Origin::start().await;
    origin.everything(|seen| match seen.nth {
        1 => Reply::ok("page").cache_control(FRESH),
        _ => Reply::close(),
    });
    let edge = Edge::with_config(&origin, SHORT).await;
    for n in 0..8 {
        edge.get(&format!("/fill/{n}")).await.status(200).is("page");
    }
    for n in 0..8 {
        edge.get(&format!("/passed/{n}")).cookie("session=1").await.status(200).is("page");
    }
    assert!(origin.connections() >= 2);
}

#[tokio::test]
async fn connections_to_the_origin_are_used_again() {
    let origin = Origin::start().await;
    origin.everything(|_| Reply::ok("page").cache_control(FRESH));
    // One thread: between two of them, pingora's pool may miss a connection that is just being put back.
    let edge = Edge::with_config(&origin, &[PLAIN, "server: { threads: 1 }\n"].concat()).await;
    for n in 0..10 {
        edge.stored(&format!("/fill/{n}")).await;
    }
    assert!(origin.connections() <= 3, "{} connections for {} fills", origin.connections(), origin.total());
    for n in 0..10 {
        edge.post(&format!("/passed/{n}"), "x").await.is("page");
    }
    assert!(origin.connections() <= 10, "{} connections for {} requests", origin.connections(), origin.total());
}

#[tokio::test]
async fn a_full_refresh_queue_costs_the_visitor_nothing() {
    let origin = Origin::start().await;
    origin.page("/one", "old").cache_control(SOON_STALE);
    origin.page("/two", "old").cache_control(SOON_STALE);
    let config = SHORT.replace("    passed:", "    refreshes: { max_concurrent: 1, queue: 0 }\n    passed:");
    let edge = Edge::with_config(&origin, &config).await;
    edge.stored("/one").await;
    edge.stored("/two").await;
    let hold = origin.page("/one", "new").cache_control(FRESH).held();
    edge.until_stale("/one").await.is("old");
    origin.asked("/one", 2).await;
    edge.until_stale("/two").await.is("old").at_once();
    edge.metric_reaches("larder_refresh_failures_total{reason=shed}", 1.0).await;
    edge.get("/two").await.status(200).is("old").at_once();
    assert_eq!(origin.count("/two"), 1);
    hold.release();
    edge.until_is("/one", "new").await;
}

#[tokio::test]
async fn a_full_render_queue_is_503_for_new_pages_alone() {
    let origin = Origin::start().await;
    origin.page("/known", "known").cache_control(FRESH);
    let config = SHORT.replace("    passed:", "    renders: { max_concurrent: 1, queue: 0 }\n    passed:");
    let edge = Edge::with_config(&origin, &config).await;
    edge.stored("/known").await;
    let hold = origin.page("/slow", "slow").cache_control(FRESH).held();
    let waiting = Crowd::of([edge.get("/slow")]);
    origin.asked("/slow", 1).await;
    let shed = edge.get("/new").await;
    shed.status(503).header("Cache-Control", "no-store");
    assert!(shed.field("Retry-After").is_some() && origin.count("/new") == 0);
    edge.get("/known").await.is("known").cache_status("hit");
    hold.release();
    waiting.answers().await[0].status(200).is("slow");
}

/// Every faulty reload is a line; a pipe holds 64 KiB of them.
#[tokio::test]
async fn a_log_that_nobody_reads_holds_up_nobody() {
    let origin = Origin::start().await;
    origin.page("/p", "page").cache_control("s-maxage=1, stale-while-revalidate=600");
    let mut edge = Edge::deaf(&origin, PLAIN).await;
    edge.stored("/p").await;
    edge.rewrite(&origin, "nonsense: 1\n");
    for n in 1..=600 {
        edge.larder.signal("HUP");
        edge.metric_reaches("larder_config_reloads_total{outcome=faulty}", f64::from(n)).await;
    }
    origin.answers("/p", Reply::ok("broken").status(500));
    for _ in 0..20 {
        edge.get("/p").await.is("page").at_once();
    }
    edge.admin_get("/healthz").await.status(200);
    edge.larder.signal("TERM");
    assert_eq!(edge.larder.exit().await, 0);
}
