//! `profile: rfc9111`: an answer to POST that says that it is its URL's own is that of a GET (RFC 9110, 9.3.3).

use crate::dsl::{Edge, Origin, Reply, until};

const CONFIG: &str = "listen: {listen}\norigin: {origin}\nadmin: { listen: {admin} }\nprofile: rfc9111\n\
                      logging: { access: { output: off } }\n";
const FRESH: &str = "max-age=600";
const TAG: &str = "\"one\"";

async fn larder(origin: &Origin) -> Edge {
    Edge::with_config(origin, CONFIG).await
}

#[tokio::test]
async fn a_post_whose_answer_is_its_urls_own_answers_gets() {
    let origin = Origin::start().await;
    origin.dynamic("/form", |seen| {
        Reply::ok(seen.method.clone()).cache_control(FRESH).header("Content-Location", "/form?a=1")
    });
    let edge = larder(&origin).await;
    edge.stored("/form?a=1").await.is("GET");
    // Also in the place of what was there; while a fill for it runs, that one's answer counts.
    until("it is stored", async || {
        edge.post("/form?a=1", "a=b").await.is("POST");
        edge.get("/form?a=1").await.text() == "POST"
    })
    .await;
    edge.get("/form?a=1").await.is("POST").cache_status("hit; ttl=");
    edge.head("/form?a=1").await.status(200).cache_status("hit; ttl=");
}

#[tokio::test]
async fn a_post_whose_answer_is_not_that_of_its_url_leaves_nothing() {
    let origin = Origin::start().await;
    let done = || Reply::ok("done");
    let cases: [(&str, Reply); 9] = [
        ("/refused", done().status(422).cache_control(FRESH).header("Content-Location", "/refused")),
        ("/broken", done().status(500).cache_control(FRESH).header("Content-Location", "/broken")),
        ("/created", done().status(201).cache_control(FRESH).header("Content-Location", "/created")),
        ("/no-location", done().cache_control(FRESH)),
        ("/elsewhere", done().cache_control(FRESH).header("Content-Location", "/other")),
        ("/no-lifetime", done().header("Content-Location", "/no-lifetime").header("ETag", TAG)),
        ("/private", done().cache_control("private, max-age=600").header("Content-Location", "/private")),
        ("/coded", done().cache_control(FRESH).header("Content-Location", "/coded").header("Content-Encoding", "gzip")),
        ("/query", done().cache_control(FRESH).header("Content-Location", "/query?a=2")),
    ];
    for (path, reply) in cases.clone() {
        origin.answers(path, reply);
    }
    let edge = larder(&origin).await;
    for (path, _) in cases {
        let target = if path == "/query" { "/query?a=1" } else { path };
        edge.post(target, "a=b").await.is("done");
        edge.get(target).await.cache_status("fwd=uri-miss");
    }
}

#[tokio::test]
async fn what_was_posted_and_written_over_before_its_answer_ended_is_not_stored() {
    let origin = Origin::start().await;
    let page = origin.page("/form", "").cache_control(FRESH).header("Content-Location", "/form");
    let tap = page.tapped();
    let edge = larder(&origin).await;
    let posting = tokio::spawn(edge.post("/form", "a=b").send());
    origin.asked("/form", 1).await;
    tap.send("old");
    // Its head is through, and so is the write that it is itself.
    origin.answers("/form", Reply::ok("new").cache_control(FRESH));
    edge.ask("PUT", "/form").body("a=c").await.status(200);
    tap.end();
    posting.await.unwrap().unwrap().is("old");
    edge.get("/form").await.is("new").cache_status("fwd=uri-miss");
}

#[tokio::test]
async fn of_two_writes_the_one_that_was_asked_for_first_leaves_nothing() {
    let origin = Origin::start().await;
    let hold = origin.page("/form", "old").cache_control(FRESH).header("Content-Location", "/form").held();
    let edge = larder(&origin).await;
    let posting = tokio::spawn(edge.post("/form", "a=b").send());
    origin.asked("/form", 1).await;
    // This one is answered before the first has its head.
    origin.answers("/form", Reply::ok("new").cache_control(FRESH));
    edge.ask("PUT", "/form").body("a=c").await.is("new");
    hold.release();
    posting.await.unwrap().unwrap().is("old");
    edge.get("/form").await.is("new").cache_status("fwd=uri-miss");
}

#[tokio::test]
async fn an_error_in_answer_to_a_post_takes_no_pages_place() {
    let origin = Origin::start().await;
    origin.page("/form", "good").cache_control(FRESH);
    let edge = larder(&origin).await;
    edge.stored("/form").await;
    origin.answers("/form", Reply::ok("bad").status(500).cache_control(FRESH).header("Content-Location", "/form"));
    edge.post("/form", "a=b").await.status(500);
    edge.get("/form").await.is("good").cache_status("hit; ttl=");
}

#[tokio::test]
async fn a_write_after_a_post_whose_answer_is_stored_is_not_put_off() {
    let origin = Origin::start().await;
    origin.page("/form", "one").cache_control(FRESH);
    let edge = larder(&origin).await;
    edge.stored("/form").await.is("one");
    for body in ["two", "three"] {
        origin.page("/form", body).cache_control(FRESH).header("Content-Location", "/form");
        edge.post("/form", "a=b").await.is(body);
        until("it is stored", async || edge.get("/form").await.text() == body).await;
    }
    origin.page("/form", "four").cache_control(FRESH);
    edge.ask("PUT", "/form").body("a=c").await.status(200);
    edge.get("/form").await.is("four");
}
