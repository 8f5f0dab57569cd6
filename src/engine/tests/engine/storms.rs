//! Many pages of a route that turn into 404 all at once (semantics 30).

use crate::support::{Reply, World, answer, page, secs};
use semantics::Outcome;

fn gone() -> Reply {
    answer(404, &[], "no backend")
}

/// So many pages on an ISR route, stored and then stale.
async fn stale_pages(count: usize) -> World {
    let world = World::new();
    for n in 0..count {
        world.origin.on(&format!("/isr/{n}"), page("good"));
        world.visit(&format!("/isr/{n}"), &[]).await.is("good");
    }
    world.advance(secs(11)).await;
    world
}

async fn revisit(world: &World, count: usize) {
    for n in 0..count {
        world.visit(&format!("/isr/{n}"), &[]).await;
        world.quiet().await;
    }
}

async fn good_ones(world: &World, count: usize) -> usize {
    let mut good = 0;
    for n in 0..count {
        good += usize::from(world.visit(&format!("/isr/{n}"), &[]).await.body == "good");
    }
    good
}

#[tokio::test(start_paused = true)]
async fn from_the_tenth_page_on_that_turns_into_404_pages_stay_as_they_were() {
    let world = stale_pages(30).await;
    (0..30).for_each(|n| world.origin.on(&format!("/isr/{n}"), gone()));
    world.advance(secs(61)).await;
    revisit(&world, 30).await;
    assert_eq!(good_ones(&world, 30).await, 21);
    let seen = world.visit("/isr/29", &[]).await;
    assert_eq!((seen.status, seen.outcome), (200, Outcome::Stale), "{}", seen.cache_status);
    assert!(world.metric(r#"larder_refresh_failures_total{route="/isr/",reason="not-found-storm"}"#) > 0);
}

#[tokio::test(start_paused = true)]
async fn a_page_that_is_gone_while_others_come_well_is_gone() {
    let world = stale_pages(40).await;
    (0..15).for_each(|n| world.origin.on(&format!("/isr/{n}"), gone()));
    // The good ones first: their successes are more than the changes.
    for n in 15..40 {
        world.visit(&format!("/isr/{n}"), &[]).await;
    }
    world.quiet().await;
    revisit(&world, 15).await;
    assert_eq!(good_ones(&world, 15).await, 0);
}

#[tokio::test(start_paused = true)]
async fn after_the_storm_pages_heal_and_404_counts_again() {
    let world = stale_pages(20).await;
    (0..20).for_each(|n| world.origin.on(&format!("/isr/{n}"), gone()));
    world.advance(secs(61)).await;
    revisit(&world, 20).await;
    (0..20).for_each(|n| world.origin.on(&format!("/isr/{n}"), page("healed")));
    world.advance(secs(61)).await;
    revisit(&world, 20).await;
    for n in 0..20 {
        world.visit(&format!("/isr/{n}"), &[]).await.is("healed");
    }
    world.advance(secs(601)).await;
    world.origin.on("/isr/0", gone());
    revisit(&world, 1).await;
    assert_eq!(world.visit("/isr/0", &[]).await.status, 404);
}

/// Next.js says `private, no-store` of its own 404.
#[tokio::test(start_paused = true)]
async fn a_storm_of_404_that_may_not_be_stored_takes_no_page_either() {
    for route in ["/isr", ""] {
        let world = World::new();
        for n in 0..30 {
            let path = format!("{route}/{n}");
            world.origin.on(&path, page("good").cache_control("s-maxage=10, stale-while-revalidate=3600"));
            world.visit(&path, &[]).await.is("good");
        }
        world.advance(secs(71)).await;
        let no_page = answer(404, &[], "no backend").cache_control("private, no-store");
        (0..30).for_each(|n| world.origin.on(&format!("{route}/{n}"), no_page.clone()));
        for _ in 0..3 {
            for n in 0..30 {
                world.visit(&format!("{route}/{n}"), &[]).await;
                world.quiet().await;
            }
            world.advance(secs(31)).await;
        }
        let mut good = 0;
        for n in 0..30 {
            good += usize::from(world.visit(&format!("{route}/{n}"), &[]).await.body == "good");
        }
        assert!(good >= 21, "{route}: {good}");
    }
}
