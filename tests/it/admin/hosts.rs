//! Hosts that nobody has: in what operators send, and in what visitors do.

use super::{FULL, assert_problem, guarded, with};
use crate::dsl::{Edge, Reply, Response};
use serde_json::{Value, json};

async fn order(edge: &Edge, target: &str, body: &Value) -> Response {
    with(edge, FULL, "POST", target).body(body.to_string()).await
}

#[tokio::test]
async fn what_is_no_host_is_refused_and_does_not_stand_for_every_host() {
    let (_origin, edge) = guarded("").await;
    edge.stored("/p").await;
    for host in ["", " ", "a b", "evil/..", "[::1]:99999", "[gg]", "a\r\nX-Injected: 1", "http://a.test"] {
        for more in [json!({"hard": true}), json!({"regenerate": true})] {
            let mut body = json!({"paths": ["/p"], "host": host});
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            assert_problem(&order(&edge, "/v1/revalidate", &body).await, 422, &["`host`"]);
        }
        let body = json!({"path": "/p", "tags": ["t"], "host": host});
        assert_problem(&order(&edge, "/v1/tags", &body).await, 422, &["`host`"]);
    }
    assert!(edge.get("/p").await.is_hit());
}

#[tokio::test]
async fn orders_make_no_room_for_more_hosts_than_visitors_may() {
    let (_origin, edge) = guarded("").await;
    let mut refused = 0;
    for n in 0..70 {
        let body = json!({"paths": ["/p"], "host": format!("h{n}.test"), "regenerate": true});
        refused += usize::from(order(&edge, "/v1/revalidate", &body).await.code == 502);
    }
    assert_eq!(refused, 70 - 64);
}

#[tokio::test]
async fn groups_that_are_named_for_hosts_that_hold_nothing_leave_no_record() {
    let (origin, edge) = guarded("").await;
    origin.answers("/form", Reply::ok("done").header("Cache-Group-Invalidation", "\"news\""));
    edge.stored("/p").await;
    for n in 0..20 {
        edge.post("/form", "x").host(&format!("made-up-{n}.test")).await.is("done");
    }
    assert!(edge.metric("larder_invalidations_total").await.abs() < 0.5);
    edge.post("/form", "x").await.is("done");
    edge.metric_reaches("larder_invalidations_total{kind=tag,mode=validate}", 1.0).await;
}
