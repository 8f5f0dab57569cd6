//! Malformed or conflicting directives make a response less fresh, never more (semantics 12; RFC 9111, 4.2.1).

use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;
use semantics::freshness::windows;
use semantics::{Policy, Times, Timestamp, Windows};

fn header_driven(line: &str) -> Windows {
    let g = Timestamp::from_secs(784_111_777);
    let mut fields = HeaderMap::new();
    fields.insert("cache-control", HeaderValue::from_str(line).expect("a field value"));
    let times = Times { requested: g, responded: g, completed: g };
    windows(200, &fields, &Policy::header_driven(), &times, false)
}

fn never_later(less: &Windows, more: &Windows) -> bool {
    less.fresh_until <= more.fresh_until && less.stale_until <= more.stale_until && less.error_until <= more.error_until
}

/// A Cache-Control line as an origin might mean it.
fn meant() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec("(max-age|s-maxage|stale-while-revalidate)=[0-9]{1,3}|public|must-revalidate|no-cache", 1..4)
}

proptest! {
    /// Semantics 12. The alphabet cannot spell a directive, so that nothing in it is a legal extension.
    #[test]
    fn garbage_never_makes_a_response_fresher(
        base in meant(),
        garbage in "[qxz0-9=,;:\"'\\\\ &?-]{0,24}",
        front in any::<bool>(),
    ) {
        let base = base.join(", ");
        // In front, a lone quote would hide the rest: see `cache_control.rs`.
        let line = if front { format!("{}, {base}", garbage.replace('"', "")) } else { format!("{base}, {garbage}") };
        prop_assert!(never_later(&header_driven(&line), &header_driven(&base)), "{}", line);
    }

    /// Semantics 12. A prohibition, a malformed value, or another value for a directive that is there.
    #[test]
    fn added_directives_never_make_a_response_fresher(base in meant(), added in prop::sample::select(vec![
        "no-cache", "no-store", "private", "must-revalidate", "proxy-revalidate", "public", "immutable", "max-age",
        "s-maxage", "max-age=x", "max-age=-1", "s-maxage='600'", "s-maxage=", "s-maxage=1e9",
        "stale-while-revalidate=soon", "stale-while-revalidate=", "stale-if-error=600", "no-transform", "max-stale=600",
    ]), conflicting in 0..1000u32) {
        let conflict = base[0].split_once('=').map(|(name, _)| format!("{name}={conflicting}"));
        let base = base.join(", ");
        let before = header_driven(&base);
        for added in conflict.iter().map(String::as_str).chain([added]) {
            for line in [format!("{base}, {added}"), format!("{added}, {base}")] {
                prop_assert!(never_later(&header_driven(&line), &before), "{}", line);
            }
        }
    }
}
