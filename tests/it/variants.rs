//! Pages that vary, in a memory that is too small for all of them.

use crate::dsl::{Edge, Origin, Reply};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// What says how a URL varies may go before its variants do, and what is written to the URL meanwhile reaches none of them.
#[tokio::test]
async fn a_write_counts_for_variants_that_nothing_led_to_when_it_came() {
    const PAGES: usize = 40;
    let origin = Origin::start().await;
    let versions: Arc<Mutex<HashMap<String, usize>>> = Arc::default();
    origin.everything(move |seen| {
        let mut versions = versions.lock().unwrap();
        let version = versions.entry(seen.path.clone()).or_insert(1);
        if seen.method == "PUT" {
            *version += 1;
            return Reply::ok("written");
        }
        let body = format!("{version} {}", "x".repeat(3000));
        let reply = Reply::ok(body).cache_control("max-age=600");
        if seen.path.starts_with("/varies") { reply.header("Vary", "Accept-Language") } else { reply }
    });
    let yaml = "listen: {listen}\norigin: {origin}\nadmin: { listen: {admin} }\nprofile: rfc9111\n\
                logging: { access: { output: off } }\nstore: { memory: { max_size: 1MiB, max_object: 200KiB } }\n";
    let edge = Edge::with_config(&origin, yaml).await;
    let varying = |n: usize, language: &str| edge.get(&format!("/varies/{n}")).header("Accept-Language", language);
    for n in 0..PAGES {
        for language in ["de", "fr", "de", "fr"] {
            varying(n, language).await.status(200);
        }
    }
    for n in 0..200 {
        for _ in 0..2 {
            edge.get(&format!("/known/{n}")).await.status(200);
        }
    }
    for n in 0..2000 {
        edge.get(&format!("/once/{n}")).await.status(200);
    }
    let mut stale = Vec::new();
    for n in 0..PAGES {
        edge.ask("PUT", &format!("/varies/{n}")).body("x").await.is("written");
        for language in ["de", "fr"] {
            let answer = varying(n, language).await;
            if !answer.text().starts_with("2 ") {
                stale.push(format!("/varies/{n} in {language}: {:?}", answer.field("cache-status")));
            }
        }
    }
    assert_eq!(stale, Vec::<String>::new());
}

#[tokio::test]
async fn who_comes_after_a_write_does_not_join_a_variants_fill_from_before() {
    let origin = Origin::start().await;
    let varying = |body: &str| origin.page("/p", body).cache_control("max-age=600").header("Vary", "Accept-Language");
    drop(varying("old"));
    let edge = Edge::start(&origin).await;
    let asking = |language: &str| edge.get("/p").header("Accept-Language", language);
    asking("de").await.is("old");
    let hold = varying("old").held();
    let early = tokio::spawn(asking("fr").send());
    origin.asked("/p", 2).await;
    drop(varying("new"));
    edge.ask("PUT", "/p").body("x").await.status(200);
    asking("fr").await.is("new");
    hold.release();
    early.await.unwrap().unwrap().is("old");
    asking("fr").await.is("new");
}
