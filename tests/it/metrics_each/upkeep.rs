//! What moves beside single visits: the store, the circuit breaker, invalidations and reloads.

use super::{BYTES, ENTRIES, EPOCH, FRESH};
use super::{answered, asked, by, config, miss, moved, order, served, site};
use crate::dsl::{Edge, Moves, Origin, Reply, until};
use serde_json::{Value, json};

#[tokio::test]
async fn the_store_grows_by_what_is_stored_and_shrinks_by_what_is_evicted() {
    let (origin, edge) = site("store:\n  memory: { max_size: 256KiB, max_object: 128KiB }\n").await;
    for (path, size) in [("/p/1", 110_000), ("/p/2", 110_000), ("/p/3", 100_000)] {
        origin.answers(path, Reply::ok("x".repeat(size)).cache_control(FRESH));
    }
    let filled = || [answered("pages", "miss", 200), asked("fill", "success")].concat();
    let before = edge.snapshot().await;
    edge.get("/p/1").await.status(200);
    let one = moved(&edge, &before, miss("pages")).await;
    let cost = one.get(BYTES) - before.get(BYTES);
    assert!(cost > 110_000.0 && cost < 112_000.0, "{cost} bytes for a page of 110,000");
    edge.get("/p/2").await.status(200);
    let two = moved(&edge, &one, [filled(), by(ENTRIES, 1.0), by(BYTES, cost)].concat()).await;
    // The third takes the place of the first, which is 10,000 bytes larger.
    edge.get("/p/3").await.status(200);
    let evicted = by("larder_store_evictions_total{tier=memory,reason=capacity}", 1.0);
    let three = moved(&edge, &two, [filled(), evicted, by(BYTES, -10_000.0)].concat()).await;
    edge.get("/p/2").await.status(200);
    moved(&edge, &three, served("pages", "hit")).await;
}

/// Asks for a page that nobody asked for before, and adds what that moves.
async fn visit(edge: &Edge, n: usize, moves: &mut Moves) -> u16 {
    let code = edge.get(&format!("/p/{n}")).await.code;
    let outcome = if code == 502 { "connect" } else { "shed" };
    moves.extend(match code {
        200 => miss("pages"),
        _ => [answered("pages", "error", code), asked("fill", outcome)].concat(),
    });
    code
}

#[tokio::test]
async fn a_server_is_down_from_its_fifth_failure_in_a_row_until_it_answers() {
    let (origin, edge) = site("").await;
    origin.everything(|_| Reply::ok("page").cache_control(FRESH));
    let up = format!("larder_origin_up{{origin=app,server={}}}", origin.url().trim_start_matches("http://"));
    let before = edge.snapshot().await;
    assert_eq!(before.get(&up), 1.0);
    origin.down().await;
    let mut moves = Moves::new();
    for n in 0..4 {
        assert_eq!(visit(&edge, n, &mut moves).await, 502);
    }
    let seen = moved(&edge, &before, moves).await;
    let mut moves = by(&up, -1.0);
    assert_eq!(visit(&edge, 4, &mut moves).await, 502);
    // Not asked, unless a second is over already.
    visit(&edge, 5, &mut moves).await;
    let seen = moved(&edge, &seen, moves).await;
    assert_eq!(seen.get(&up), 0.0);
    origin.up();
    let (mut n, mut moves) = (5, by(&up, 1.0));
    until("the server is asked again", async || {
        n += 1;
        visit(&edge, n, &mut moves).await == 200
    })
    .await;
    moved(&edge, &seen, moves).await;
}

fn invalidated(kind: &str, mode: &str, count: f64) -> Moves {
    by(format!("larder_invalidations_total{{kind={kind},mode={mode}}}"), count)
}

#[tokio::test]
async fn an_invalidation_is_counted_by_what_it_selects_and_how_and_every_call_is_an_epoch() {
    let (origin, edge) = site("").await;
    let mut seen = edge.snapshot().await;
    let selectors = [
        ("path", "paths", "/p/a"),
        ("prefix", "prefixes", "/p"),
        ("route", "routes", "pages"),
        ("tag", "tags", "news"),
    ];
    for (kind, key, selector) in selectors {
        for (mode, hard) in [("soft", false), ("hard", true)] {
            order(&edge, "/v1/revalidate", &json!({ (key): [selector], "hard": hard })).await;
            seen = moved(&edge, &seen, [invalidated(kind, mode, 1.0), by(EPOCH, 1.0)].concat()).await;
        }
    }
    order(&edge, "/v1/revalidate", &json!({"paths": ["/p/a", "/p/b"], "tags": ["news"]})).await;
    let three = [invalidated("path", "soft", 2.0), invalidated("tag", "soft", 1.0)].concat();
    let seen = moved(&edge, &seen, [three, by(EPOCH, 1.0)].concat()).await;
    // What an answer to an unsafe method names is validated, on a host that holds anything.
    origin.page("/p/page", "page").cache_control(FRESH);
    edge.get("/p/page").await.is("page");
    let seen = moved(&edge, &seen, miss("pages")).await;
    let done = Reply::ok("done").cache_control("no-store").header("Cache-Group-Invalidation", "\"sport\"");
    origin.answers("/p/write", done);
    edge.post("/p/write", "x").await.is("done");
    let passed = [answered("pages", "bypass", 200), asked("pass", "success")].concat();
    moved(&edge, &seen, [passed, invalidated("tag", "validate", 1.0), by(EPOCH, 1.0)].concat()).await;
}

/// A thousand prefixes, or fewer: as many as one call takes.
fn prefixes(from: usize, count: usize) -> Value {
    let all: Vec<String> = (from..from + count).map(|n| format!("/folded/{n}/")).collect();
    json!({ "prefixes": all })
}

#[tokio::test]
async fn soft_invalidations_that_become_one_to_make_room_are_counted() {
    let (_origin, edge) = site("").await;
    let before = edge.snapshot().await;
    for call in 0..100 {
        order(&edge, "/v1/revalidate", &prefixes(call * 1000, 1000)).await;
    }
    let seen = moved(&edge, &before, [invalidated("prefix", "soft", 100_000.0), by(EPOCH, 100.0)].concat()).await;
    // One more than there is room for: the older half goes, with the whole call that stands in the middle.
    order(&edge, "/v1/revalidate", &prefixes(100_000, 1)).await;
    let folded = by("larder_invalidations_folded_total", 51_000.0);
    moved(&edge, &seen, [invalidated("prefix", "soft", 1.0), by(EPOCH, 1.0), folded].concat()).await;
}

fn reloaded(outcome: &str) -> Moves {
    by(format!("larder_config_reloads_total{{outcome={outcome}}}"), 1.0)
}

#[tokio::test]
async fn a_reload_is_counted_by_how_it_went_and_moves_nothing_else() {
    let (origin, edge) = site("").await;
    origin.page("/p/a", "page").cache_control(FRESH);
    let before = edge.snapshot().await;
    edge.get("/p/a").await.is("page");
    let mut seen = moved(&edge, &before, miss("pages")).await;
    for (outcome, more) in [
        ("success", "server: { shutdown: { drain: 5s } }\n"),
        ("faulty", "nonsense: 1\n"),
        ("needs-restart", "store: { memory: { max_size: 100MiB } }\n"),
    ] {
        edge.rewrite(&origin, &config(more));
        edge.larder.signal("HUP");
        seen = moved(&edge, &seen, reloaded(outcome)).await;
    }
    edge.get("/p/a").await.is("page");
    moved(&edge, &seen, served("pages", "hit")).await;
}

#[tokio::test]
async fn a_reload_without_a_file_is_counted() {
    let origin = Origin::start().await;
    let edge = Edge::start(&origin).await;
    let before = edge.snapshot().await;
    edge.larder.signal("HUP");
    moved(&edge, &before, reloaded("no-file")).await;
}
