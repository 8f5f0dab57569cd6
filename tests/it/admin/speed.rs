//! Calls that follow each other on one connection. This is no benchmark: it tells whether TCP_NODELAY is set.

use super::{FULL, guarded};
use crate::dsl::{Raw, ms};
use tokio::time::{Duration, Instant};

const ORDERS: u32 = 20;
/// Generous for a call, and less than what an acknowledgement is put off by: 40 ms.
const EACH: Duration = ms(30);

async fn orders(raw: &mut Raw, order: &str) -> Duration {
    let begun = Instant::now();
    for _ in 0..ORDERS {
        raw.send(order).await;
        raw.response_to("POST").await.status(200);
    }
    begun.elapsed()
}

/// An answer whose body is a write of its own would wait until the client acknowledges its head.
#[tokio::test]
async fn calls_on_a_kept_connection_do_not_wait_for_acknowledgements() {
    let (_origin, edge) = guarded("").await;
    let body = "{\"paths\":[\"/p\"]}";
    let head = format!("POST /v1/revalidate HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {FULL}\r\n", edge.admin);
    let order = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
    let mut raw = Raw::open(edge.admin).await;
    // On a new connection the first answers are acknowledged at once, whatever is set.
    orders(&mut raw, &order).await;
    let mut rounds = Vec::new();
    for _ in 0..5 {
        rounds.push(orders(&mut raw, &order).await);
    }
    // Without it every round is slow; on a busy machine only some are.
    assert!(rounds.iter().any(|took| *took < ORDERS * EACH), "{ORDERS} calls took {rounds:?}");
}
