//! A personal visitor and a header-driven page that nobody has a verdict about (semantics 3).

use crate::support::{Act, Held, How, Reply, Seen, World, all, answer, page, secs};
use engine::origin::Kind;
use semantics::Outcome;
use semantics::settlement::Failure;
use tokio::task::JoinHandle;

const ALICE: [(&str, &str); 1] = [("cookie", "session=alice")];
const BOB: [(&str, &str); 1] = [("cookie", "session=bob")];

/// Fills of `/p` are answered by `all`, visitors' own requests by `own`.
fn answers(world: &World, own: Reply, all: Reply) {
    world.origin.on_each("/p", move |request| {
        let reply = if request.kind == Kind::Pass { own.clone() } else { all.clone() };
        reply.into()
    });
}

/// Alice's own request is on its way, and three more wait for what it finds out.
async fn alice_asks(world: &World) -> (Held, JoinHandle<Seen>, Vec<JoinHandle<Seen>>) {
    let held = world.origin.held("/p");
    let alice = world.start("/p", &ALICE);
    world.settle().await;
    assert_eq!((world.origin.asked("/p"), world.origin.passed("/p")), (0, 1));
    let others = vec![world.start("/p", &[]), world.start("/p", &BOB), world.start("/p", &[])];
    world.settle().await;
    assert_eq!((world.origin.asked("/p"), world.origin.passed("/p")), (0, 1), "they wait for the verdict");
    (held, alice, others)
}

#[tokio::test(start_paused = true)]
async fn a_personal_visitor_gets_his_own_answer_and_then_one_canonical_fill_starts() {
    let world = World::new();
    answers(&world, page("for alice"), page("for all"));
    world.visit("/p", &ALICE).await.is("for alice").by(How::Probed);
    world.quiet().await;
    assert_eq!((world.origin.asked("/p"), world.origin.passed("/p")), (1, 1));
    assert_eq!(world.origin.last("/p").names(), ["accept", "accept-encoding", "user-agent"]);
    for fields in [&ALICE[..], &BOB[..], &[]] {
        world.visit("/p", fields).await.is("for all").was(Outcome::Hit);
    }
}

#[tokio::test(start_paused = true)]
async fn others_wait_for_the_verdict_and_join_the_fill() {
    let world = World::new();
    let (held, alice, others) = alice_asks(&world).await;
    answers(&world, page("unasked"), page("for all"));
    held.answer(page("for alice"));
    alice.await.unwrap().is("for alice").by(How::Probed);
    for seen in all(others).await {
        seen.is("for all");
    }
    assert_eq!((world.origin.asked("/p"), world.origin.passed("/p")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_private_answer_sends_the_personal_ones_their_own_way_and_does_not_stop_an_anonymous_fill() {
    let world = World::new();
    let (held, alice, others) = alice_asks(&world).await;
    answers(&world, page("for one").cache_control("private"), page("for all"));
    held.answer(page("for alice").cache_control("private"));
    alice.await.unwrap().is("for alice");
    let seen = all(others).await;
    seen[0].is("for all");
    seen[1].is("for one").by(How::Passed);
    seen[2].is("for all");
    assert_eq!((world.origin.asked("/p"), world.origin.passed("/p")), (1, 2));
    world.visit("/p", &BOB).await.is("for all").was(Outcome::Hit);
}

#[tokio::test(start_paused = true)]
async fn a_personal_verdict_holds_for_personal_visitors_for_two_minutes() {
    let world = World::new();
    answers(&world, page("for one").cache_control("private"), page("for all"));
    world.visit("/p", &ALICE).await.is("for one").by(How::Probed);
    world.advance(secs(119)).await;
    let held = [world.origin.held("/p"), world.origin.held("/p")];
    let visits = vec![world.start("/p", &ALICE), world.start("/p", &BOB)];
    world.settle().await;
    assert_eq!(world.origin.passed("/p"), 3, "side by side");
    for one in held {
        one.answer(page("for one").cache_control("private"));
    }
    for seen in all(visits).await {
        seen.is("for one").by(How::Passed);
    }
    world.advance(secs(1)).await;
    world.visit("/p", &BOB).await.is("for one").by(How::Probed);
    assert_eq!(world.origin.asked("/p"), 0, "Larder never invents a request for a page without a verdict");
}

#[tokio::test(start_paused = true)]
async fn a_personal_visitor_who_goes_away_leaves_the_question_to_the_next() {
    let world = World::new();
    let (held, alice, others) = alice_asks(&world).await;
    answers(&world, page("for one"), page("for all"));
    alice.abort();
    let seen = all(others).await;
    assert!(seen.iter().all(|s| s.body == "for all" || s.how == How::Probed));
    world.quiet().await;
    drop(held);
    world.visit("/p", &[]).await.is("for all").was(Outcome::Hit);
    assert_eq!(world.origin.asked("/p"), 1);
}

/// Only a canonical answer is shared: what an origin tells one session is no failure of the page.
#[tokio::test(start_paused = true)]
async fn a_personal_visitors_failure_is_his_alone() {
    for (name, act) in [
        ("500", Act::Reply(answer(500, &[], "your session is broken"))),
        ("429", Act::Reply(answer(429, &[], "not so fast, alice"))),
        ("reset", Act::Fail(Failure::Truncated)),
    ] {
        let world = World::new();
        let (held, alice, others) = alice_asks(&world).await;
        answers(&world, page("for one"), page("for all"));
        held.answer(act);
        assert_ne!(alice.await.unwrap().body, "for all", "{name}");
        let seen = all(others).await;
        assert_eq!((seen[0].status, seen[0].body.as_str()), (200, "for all"), "{name}");
        assert_eq!(seen[1].status, 200, "{name}");
        assert_eq!((seen[2].status, seen[2].body.as_str()), (200, "for all"), "{name}");
    }
}

/// A 304 tells a visitor about his own copy, and nothing about whether the page may be stored.
#[tokio::test(start_paused = true)]
async fn a_304_for_a_personal_visitor_is_no_verdict() {
    let world = World::new();
    answers(&world, page("for one"), page("for all"));
    world.origin.next("/p", answer(304, &[("etag", "\"his\"")], ""));
    let conditional = [("cookie", "session=alice"), ("if-none-match", "\"his\"")];
    assert_eq!(world.visit("/p", &conditional).await.status, 304);
    world.quiet().await;
    world.visit("/p", &BOB).await.is("for one").by(How::Probed);
    world.quiet().await;
    world.visit("/p", &ALICE).await.is("for all").was(Outcome::Hit);
}

#[tokio::test(start_paused = true)]
async fn the_fill_after_a_probe_carries_the_fields_that_vary_nominates_and_no_others() {
    let world = World::new();
    world.origin.on_each("/p", |request| {
        let language = request.fields.iter().find(|(n, _)| n == "accept-language");
        let language = language.map_or("none", |(_, v)| v.to_str().unwrap());
        page(format!("in {language}")).field("vary", "Accept-Language").into()
    });
    let alice = [("cookie", "session=alice"), ("accept-language", "de"), ("x-api-key", "secret")];
    world.visit("/p", &alice).await.is("in de").by(How::Probed);
    world.quiet().await;
    assert_eq!(world.origin.last("/p").names(), ["accept", "accept-encoding", "accept-language", "user-agent"]);
    world.visit("/p", &alice).await.is("in de").was(Outcome::Hit);
}

#[tokio::test(start_paused = true)]
async fn a_canonical_answer_that_turns_out_private_sends_everybody_his_own_way() {
    let world = World::new();
    let (held, alice, others) = alice_asks(&world).await;
    answers(&world, page("for one"), page("for nobody").cache_control("private"));
    held.answer(page("for alice"));
    alice.await.unwrap().is("for alice");
    for seen in all(others).await {
        seen.is("for one").by(How::Passed);
    }
    assert_eq!((world.origin.asked("/p"), world.origin.passed("/p")), (1, 4));
    assert_eq!(world.engine.usage().entries, 0);
}
