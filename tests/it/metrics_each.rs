//! Every metric moves for its reason and for no other: of all series exactly those that an event is about, each by
//! exactly as much as it should (interface, "Metrics"). Dropped lines of the access log are in `access`.

mod documented;
mod refreshes;
mod upkeep;
mod visits;

use crate::dsl::{Edge, Moves, Origin, PLAIN, Reply, Request, Snapshot, UP};
use serde_json::Value;

const FRESH: &str = "s-maxage=60";
const ADMIN: &str = "  token: a-token-for-the-tests\nlogging: { access: { output: off } }\n";
const ROUTES: &str = "routes:\n  - { name: pages, match: /p/** }\n  - { name: forms, match: /forms/**, bypass: true }\n  \
                      - { name: isr, match: /isr/**, revalidate: 1h }\n";

/// Of a page that is stale as soon as it is stored, if its `Age` is 60.
const STALE: &str = "s-maxage=10, stale-while-revalidate=600";
/// Of one that is fresh. As long as the other: in its place it takes as many bytes.
const RENEWED: &str = "s-maxage=99, stale-while-revalidate=600";

const BYTES: &str = "larder_store_bytes{tier=memory}";
const ENTRIES: &str = "larder_store_entries{tier=memory}";
const EPOCH: &str = "larder_invalidation_epoch";

/// Pages that go by the origin's headers, forms that are passed, and pages of an ISR route; then what a test needs more.
fn config(more: &str) -> String {
    [PLAIN, ADMIN, ROUTES, more].concat()
}

async fn site(more: &str) -> (Origin, Edge) {
    let origin = Origin::start().await;
    let edge = Edge::with_config(&origin, &config(more)).await;
    (origin, edge)
}

/// A page that is stale as soon as it is stored. Its visitor has its end when it is stored, and not before.
fn stale(body: &str) -> Reply {
    Reply::ok(body).cache_control(STALE).header("Age", "60").chunked()
}

/// A call of the admin API that succeeds.
async fn order(edge: &Edge, path: &str, body: &Value) {
    let request = Request::new(edge.admin, "POST", path).host(&edge.admin.to_string());
    let request = request.header("Authorization", "Bearer a-token-for-the-tests");
    request.header("Content-Type", "application/json").body(body.to_string()).await.status(200);
}

/// Waits until exactly this has moved. Whatever there is to see then must be documented.
async fn moved(edge: &Edge, before: &Snapshot, moves: Moves) -> Snapshot {
    let now = edge.until_moved(before, moves).await;
    documented::check(&now);
    now
}

fn by(series: impl Into<String>, amount: f64) -> Moves {
    vec![(series.into(), amount)]
}

/// One answer to a visitor, and its duration.
fn answered(route: &str, cache: &str, status: u16) -> Moves {
    let requests = format!("larder_requests_total{{route={route},cache={cache},status={status}}}");
    let durations = format!("larder_request_duration_seconds_count{{route={route},cache={cache}}}");
    [by(requests, 1.0), by(durations, 1.0)].concat()
}

/// One answer from what was stored already, and its age. Who waited for a fill got no such answer, also where the fill
/// was stored before he was answered.
fn served(route: &str, cache: &str) -> Moves {
    [answered(route, cache, 200), by(format!("larder_served_age_seconds_count{{route={route}}}"), 1.0)].concat()
}

/// One request to the origin, and its duration.
fn asked(kind: &str, outcome: &str) -> Moves {
    let requests = format!("larder_origin_requests_total{{origin=app,kind={kind},outcome={outcome}}}");
    let durations = format!("larder_origin_duration_seconds_count{{origin=app,kind={kind}}}");
    [by(requests, 1.0), by(durations, 1.0)].concat()
}

/// One more stored response.
fn stored() -> Moves {
    [by(ENTRIES, 1.0), by(BYTES, UP)].concat()
}

/// A first visit to a page.
fn miss(route: &str) -> Moves {
    [answered(route, "miss", 200), asked("fill", "success"), stored()].concat()
}

fn uncacheable(route: &str, reason: &str) -> Moves {
    by(format!("larder_uncacheable_total{{route={route},reason={reason}}}"), 1.0)
}

/// A page whose regeneration failed for the first time.
fn failing(route: &str, reason: &str) -> Moves {
    let failures = format!("larder_refresh_failures_total{{route={route},reason={reason}}}");
    [by(failures, 1.0), by(format!("larder_stale_because_failing{{route={route}}}"), 1.0)].concat()
}

#[tokio::test]
async fn to_look_moves_nothing() {
    let (_origin, edge) = site("").await;
    let before = edge.snapshot().await;
    for path in ["/metrics", "/healthz", "/readyz", "/", "/v1/stats", "/nothing"] {
        edge.admin_get(path).await;
    }
    moved(&edge, &before, Moves::new()).await;
}
