//! Origins that mark their own stale answers (semantics 23; RFC 9211, 2).

mod support;

use semantics::freshness::windows;
use semantics::honesty::{is_stale, pause, requests_at_most, stale_from_the_start};
use semantics::policy::Revalidate;
use semantics::{Decision, Facts, Policy, Selection, Times, Timestamp, decide};
use std::time::Duration;
use support::{Fields, fields};

fn check(rows: &[(&str, Fields<'_>, bool)]) {
    for (label, list, expected) in rows {
        assert_eq!(is_stale(&fields(list)), *expected, "{label}: {list:?}");
    }
}

#[test]
fn an_answer_that_says_it_is_stale_is_believed() {
    const NEXT: &str = "x-nextjs-cache";
    const STATUS: &str = "cache-status";
    check(&[
        ("nothing said", &[], false),
        ("Next.js: stale", &[(NEXT, "STALE")], true),
        ("Next.js: in any case", &[(NEXT, "stale")], true),
        ("Next.js: hit", &[(NEXT, "HIT")], false),
        ("Next.js: miss", &[(NEXT, "MISS")], false),
        ("a stale hit", &[(STATUS, "nitro; hit; ttl=-5")], true),
        ("without spaces", &[(STATUS, "nitro;hit;ttl=-5")], true),
        ("in another order", &[(STATUS, "nitro; ttl=-5; hit")], true),
        ("a boolean in full", &[(STATUS, "nitro; hit=?1; ttl=-5")], true),
        ("a fresh hit", &[(STATUS, "nitro; hit; ttl=5")], false),
        ("a hit without a ttl", &[(STATUS, "nitro; hit")], false),
        ("no hit", &[(STATUS, "nitro; hit=?0; ttl=-5")], false),
        ("forwarded since", &[(STATUS, "nitro; fwd=stale; fwd-status=200; stored; ttl=-5")], false),
        ("one of two caches", &[(STATUS, "inner; hit; ttl=-5, outer; fwd=miss")], true),
        ("on a second line", &[(STATUS, "inner; fwd=miss"), (STATUS, "outer; hit; ttl=-1")], true),
        ("a comma in a string", &[(STATUS, "nitro; detail=\"x, y\"; hit; ttl=5")], false),
        ("parameters in a string", &[(STATUS, "nitro; fwd=miss; detail=\"x, y; hit; ttl=-1\"")], false),
    ]);
}

#[test]
fn a_stale_answer_is_never_fresh_but_serves() {
    let g = Timestamp::from_secs(1_000_000);
    let times = Times { requested: g, responded: g, completed: g };
    let policy = Policy::isr(Revalidate::Every(Duration::from_secs(10)));
    let honest = windows(200, &fields(&[]), &policy, &times, false);
    let stale = stale_from_the_start(honest);
    assert_eq!(stale.fresh_until, g);
    assert_eq!((stale.generated, stale.stale_until, stale.error_until), (g, honest.stale_until, honest.error_until));
    let stored = Selection::Stored { windows: stale, failing_until: None };
    assert_eq!(decide(&Facts::default(), stored, g), Decision::ReuseAndRefresh { ttl: 0 });
}

#[test]
fn a_stale_answer_is_asked_for_again_at_the_pace_of_renders() {
    let rows = [(0, 500, 2), (400, 500, 2), (800, 1000, 2), (996, 1245, 2), (1000, 1250, 5), (8000, 10_000, 5)];
    for (rendered_in, waits, requests) in rows {
        let rendered_in = Duration::from_millis(rendered_in);
        assert_eq!(pause(rendered_in), Duration::from_millis(waits), "{rendered_in:?}");
        assert_eq!(requests_at_most(rendered_in), requests, "{rendered_in:?}");
    }
}
