//! Reloads: a new configuration counts at once and as a whole, or not at all, and nobody who is served notices.

use crate::dsl::{Edge, Origin, PLAIN, Request, Response, until};
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const HEAD: &str = "listen: {listen}\norigin: {origin}\nlogging: { access: { output: off } }\n";
const TOKEN: &str = "the-first-token";

fn with(token: &str, rest: &str) -> String {
    format!("{HEAD}admin:\n  listen: {{admin}}\n  token: {token}\n{rest}")
}

async fn reload(edge: &Edge, token: &str) -> Response {
    let request = Request::new(edge.admin, "POST", "/v1/reload").host(&edge.admin.to_string());
    request.header("Authorization", &format!("Bearer {token}")).await
}

#[tokio::test]
async fn a_reload_changes_routes_and_hosts_and_keeps_what_is_stored() {
    let origin = Origin::start().await;
    origin.page("/p", "v1").cache_control("s-maxage=600");
    origin.page("/later", "x").cache_control("private");
    let edge = Edge::with_config(&origin, &with(TOKEN, "")).await;
    edge.stored("/p").await;
    edge.get("/later").await.cache_status("fwd=");
    edge.get("/later").await.cache_status("fwd=miss");
    let routes = "routes: [{ name: later, match: /later, revalidate: 1h, override_origin: true }]\n";
    edge.rewrite(&origin, &with(TOKEN, routes));
    let answer = reload(&edge, TOKEN).await;
    answer.status(200);
    let told: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(told["changed"], serde_json::json!(["routes"]), "{told}");
    edge.get("/p").await.is("v1").cache_status("hit; ttl=").at_once();
    edge.get("/later?x").await;
    let revalidate = Request::new(edge.admin, "POST", "/v1/revalidate").host(&edge.admin.to_string());
    let revalidate = revalidate.header("Authorization", &format!("Bearer {TOKEN}"));
    revalidate.body("{\"paths\": [\"/later\"], \"hard\": true}").await.status(200);
    edge.stored("/later").await;
    edge.rewrite(&origin, &with(TOKEN, "hosts: [[only.test]]\n"));
    reload(&edge, TOKEN).await.status(200);
    edge.get("/p").await.status(421);
    assert!((edge.metric("larder_config_reloads_total{outcome=success}").await - 2.0).abs() < 0.5);
}

#[tokio::test]
async fn pages_of_a_route_that_changes_are_regenerated_and_those_of_an_earlier_one_stay_fresh() {
    let routes = |later: &str| {
        let early = "  - { name: early, match: /early, revalidate: 1h }\n";
        with(TOKEN, &format!("routes:\n{early}  - {{ name: later, match: /later, revalidate: {later} }}\n"))
    };
    let origin = Origin::start().await;
    origin.page("/early", "v1");
    origin.page("/later", "v1");
    let edge = Edge::with_config(&origin, &routes("never")).await;
    edge.stored("/early").await;
    edge.stored("/later").await;
    let asked = origin.count("/early");
    origin.page("/early", "v2");
    origin.page("/later", "v2");
    edge.rewrite(&origin, &routes("1h"));
    reload(&edge, TOKEN).await.status(200);
    let stale = edge.get("/later").await;
    assert!(stale.is("v1").at_once().is_stale(), "{:?}", stale.field("cache-status"));
    edge.until_is("/later", "v2").await.cache_status("hit; ttl=3");
    edge.get("/early").await.is("v1").cache_status("hit; ttl=3");
    assert_eq!(origin.count("/early"), asked);
}

#[tokio::test]
async fn a_hangup_reloads_too() {
    let origin = Origin::start().await;
    origin.page("/p", "x").cache_control("s-maxage=600");
    let edge = Edge::with_config(&origin, &with(TOKEN, "")).await;
    edge.rewrite(&origin, &with(TOKEN, "defaults: { response_headers: { X-New: \"1\" } }\n"));
    edge.larder.signal("HUP");
    until("the new configuration counts", async || edge.get("/fresh").await.field("x-new").is_some()).await;
}

#[tokio::test]
async fn a_faulty_file_changes_nothing_and_every_fault_is_told() {
    let origin = Origin::start().await;
    origin.page("/p", "x").cache_control("s-maxage=600");
    let edge = Edge::with_config(&origin, &with(TOKEN, "")).await;
    edge.rewrite(&origin, &with("another-token", "hosts: [[only.test]]\nroutes: [{ match: nowhere }]\nnonsense: 1\n"));
    let answer = reload(&edge, TOKEN).await;
    answer.status(422).header("content-type", "application/problem+json");
    let told: Value = serde_json::from_slice(&answer.body).unwrap();
    let faults = told["faults"].as_array().unwrap();
    assert!(faults.len() == 2 && faults.iter().all(|f| f["line"].as_u64().unwrap() > 5), "{told}");
    edge.get("/p").await.status(200);
    reload(&edge, "another-token").await.status(401);
    assert!((edge.metric("larder_config_reloads_total{outcome=faulty}").await - 1.0).abs() < 0.5);
    until("the log says why", async || edge.larder.stderr().contains("nonsense")).await;
}

#[tokio::test]
async fn what_cannot_change_while_larder_runs_is_named_and_nothing_of_the_rest_is_taken() {
    let origin = Origin::start().await;
    origin.page("/p", "x").cache_control("s-maxage=600");
    let edge = Edge::with_config(&origin, &with(TOKEN, "")).await;
    edge.rewrite(&origin, &with(TOKEN, "store: { memory: { max_size: 100MiB } }\nhosts: [[only.test]]\n"));
    let answer = reload(&edge, TOKEN).await;
    answer.status(422);
    assert!(answer.text().contains("`store`") && answer.text().contains("restart"), "{}", answer.text());
    edge.get("/p").await.status(200);
    assert!((edge.metric("larder_config_reloads_total{outcome=needs-restart}").await - 1.0).abs() < 0.5);
}

#[tokio::test]
async fn tokens_change_with_a_reload() {
    let origin = Origin::start().await;
    let edge = Edge::with_config(&origin, &with(TOKEN, "")).await;
    edge.rewrite(&origin, &with("the-second-token", ""));
    reload(&edge, TOKEN).await.status(200);
    reload(&edge, TOKEN).await.status(401);
    reload(&edge, "the-second-token").await.status(200);
}

#[tokio::test]
async fn without_a_file_there_is_nothing_to_reload() {
    let origin = Origin::start().await;
    origin.page("/p", "x");
    let edge = Edge::start(&origin).await;
    edge.larder.signal("HUP");
    edge.metric_reaches("larder_config_reloads_total{outcome=no-file}", 1.0).await;
    edge.get("/p").await.status(200);
}

#[tokio::test]
async fn nobody_who_is_served_notices_a_hundred_reloads() {
    let origin = Origin::start().await;
    origin.page("/p", "x").cache_control("s-maxage=600");
    origin.page("/passed", "y").cache_control("private");
    let edge = Arc::new(Edge::with_config(&origin, &with(TOKEN, "")).await);
    edge.stored("/p").await;
    let (over, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients = (0..4).map(|n| {
        let (edge, over, served) = (edge.clone(), over.clone(), served.clone());
        tokio::spawn(async move {
            while !over.load(Ordering::Relaxed) {
                let (target, body) = if n % 2 == 0 { ("/p", "x") } else { ("/passed", "y") };
                edge.get(target).await.status(200).is(body);
                served.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    let clients: Vec<_> = clients.collect();
    for n in 0..100 {
        let rest = match n % 3 {
            0 => "routes: [{ match: /other, revalidate: 1h }]\n".to_owned(),
            1 => "routes: [{ match: nowhere }]\n".to_owned(),
            _ => format!("defaults: {{ response_headers: {{ X-N: \"{n}\" }} }}\n"),
        };
        edge.rewrite(&origin, &with(TOKEN, &rest));
        reload(&edge, TOKEN).await.status(if n % 3 == 1 { 422 } else { 200 });
    }
    over.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    assert!(served.load(Ordering::Relaxed) > 100);
}

#[tokio::test]
async fn a_connection_that_is_kept_sees_the_new_configuration() {
    let origin = Origin::start().await;
    let edge = Edge::with_config(&origin, PLAIN).await;
    let mut kept = edge.raw().await;
    kept.send("GET /a HTTP/1.1\r\nHost: site.test\r\n\r\n").await;
    kept.response().await.no_header("x-new");
    edge.rewrite(&origin, &format!("{PLAIN}defaults: {{ response_headers: {{ X-New: \"1\" }} }}\n"));
    edge.larder.signal("HUP");
    edge.metric_reaches("larder_config_reloads_total{outcome=success}", 1.0).await;
    kept.send("GET /b HTTP/1.1\r\nHost: site.test\r\n\r\n").await;
    kept.response().await.header("x-new", "1");
}
