//! Why fills fail: names for metrics, and what a client is told when nothing stored can answer (semantics 27, 29).

use semantics::guard::Broken;
use semantics::settlement::Failure;
use semantics::storability::NotStorable;
use std::collections::HashSet;

const FAILURES: [Failure; 14] = [
    Failure::Connect,
    Failure::Timeout,
    Failure::Truncated,
    Failure::Malformed,
    Failure::Uncacheable(NotStorable::Private),
    Failure::Empty,
    Failure::CloseDelimited,
    Failure::RedirectLoop,
    Failure::UnmatchedNotModified,
    Failure::TooLarge,
    Failure::Guard(Broken::MinBytes),
    Failure::Shed,
    Failure::Internal,
    Failure::Status(302),
];

#[test]
fn every_failure_has_a_label_and_a_status_for_the_client() {
    let labels: HashSet<&str> = FAILURES.iter().map(|failure| failure.as_str()).collect();
    assert_eq!(labels.len(), FAILURES.len(), "{labels:?}");
    for (failure, label, gateway, unreachable) in [
        (Failure::Timeout, "timeout", 504, true),
        (Failure::Connect, "connect", 502, true),
        (Failure::Truncated, "truncated", 502, true),
        (Failure::Malformed, "malformed", 502, true),
        (Failure::Shed, "shed", 503, false),
        (Failure::RedirectLoop, "redirect-loop", 502, false),
        (Failure::Guard(Broken::MustContain), "guard", 502, false),
        (Failure::Status(500), "status-5xx", 500, false),
        (Failure::Status(599), "status-5xx", 599, false),
        (Failure::Status(429), "status-4xx", 429, false),
        (Failure::Status(206), "status", 206, false),
    ] {
        assert_eq!(failure.as_str(), label);
        assert_eq!(failure.gateway_status().as_u16(), gateway, "{label}");
        assert_eq!(failure.is_unreachable(), unreachable, "{label}");
    }
    assert_eq!(Failure::Status(503).status(), Some(503));
    assert_eq!(Failure::Timeout.status(), None);
}
