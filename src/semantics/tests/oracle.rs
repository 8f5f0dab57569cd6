//! Plain RFC 9111 freshness against another implementation, `http_cache_semantics` (a shared cache without heuristics).
//! Every difference is a named opinion of one side; one that nobody named fails.

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_cache_semantics::{CacheOptions, CachePolicy};
use semantics::storability::judge;
use semantics::{Decision, Facts, Policy, Selection, Times, Timestamp, decide, freshness};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

/// Reception: Sun, 06 Nov 1994 08:49:37 GMT.
const NOW: u64 = 784_111_777;

const CACHE_CONTROL: [Option<&str>; 30] = [
    None,
    Some(""),
    Some("public"),
    Some("max-age=100"),
    Some("max-age=0"),
    Some("max-age=0100"),
    Some("max-age=99999999999"),
    Some("max-age=\"100\""),
    Some("max-age=abc"),
    Some("max-age=-5"),
    Some("max-age=1.5"),
    Some("max-age"),
    Some("MAX-AGE=100"),
    Some("public, max-age=100"),
    Some("s-maxage=50"),
    Some("max-age=100, s-maxage=50"),
    Some("s-maxage=200, max-age=10"),
    Some("s-maxage, max-age=100"),
    Some("max-age=10, max-age=100"),
    Some("max-age=100, max-age=10"),
    Some("max-age=100, must-revalidate"),
    Some("max-age=100, proxy-revalidate"),
    Some("max-age=100, immutable"),
    Some("max-age=100, stale-while-revalidate=1000"),
    Some("ext=\"a, max-age=5\", max-age=100"),
    Some("no-cache"),
    Some("no-cache=\"set-cookie\", max-age=100"),
    Some("no-store, max-age=100"),
    Some("private, max-age=100"),
    Some("private=\"x-user\", max-age=100"),
];

const EXPIRES: [&[&str]; 8] = [
    &[],
    &["Sun, 06 Nov 1994 08:51:17 GMT"],
    &["Sun, 06 Nov 1994 08:49:37 GMT"],
    &["Sun, 06 Nov 1994 07:49:37 GMT"],
    &["Sunday, 06-Nov-94 08:51:17 GMT"],
    &["Sun, 06 Nov 1994 08:51:17 +0000"],
    &["0"],
    &["Sun, 06 Nov 1994 08:51:17 GMT", "Sun, 06 Nov 1994 08:51:17 GMT"],
];

const DATE: [Option<&str>; 6] = [
    None,
    Some("Sun, 06 Nov 1994 08:49:37 GMT"),
    Some("Sun, 06 Nov 1994 08:49:07 GMT"),
    Some("Sun, 06 Nov 1994 08:39:37 GMT"),
    Some("Sun, 06 Nov 1994 08:56:17 GMT"),
    Some("today"),
];

const AGE: [Option<&str>; 8] =
    [None, Some("0"), Some("30"), Some("150"), Some("7200.0"), Some("old"), Some("30, 5"), Some("2147483648")];

/// Seconds after reception.
const LATER: [u64; 6] = [0, 20, 60, 99, 100, 1000];

#[derive(Clone, Copy, Debug)]
struct Sent {
    cache_control: Option<&'static str>,
    expires: &'static [&'static str],
    date: Option<&'static str>,
    age: Option<&'static str>,
}

impl Sent {
    fn all() -> impl Iterator<Item = Sent> {
        CACHE_CONTROL.into_iter().flat_map(|cache_control| {
            EXPIRES.into_iter().flat_map(move |expires| {
                DATE.into_iter()
                    .flat_map(move |date| AGE.into_iter().map(move |age| Sent { cache_control, expires, date, age }))
            })
        })
    }

    fn fields(&self) -> HeaderMap {
        let mut map = HeaderMap::new();
        let mut add = |name: &'static str, value: &'static str| {
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        };
        self.cache_control.into_iter().for_each(|value| add("cache-control", value));
        self.expires.iter().copied().for_each(|value| add("expires", value));
        self.date.into_iter().for_each(|value| add("date", value));
        self.age.into_iter().for_each(|value| add("age", value));
        map
    }

    fn says(&self, part: &str) -> bool {
        self.cache_control.is_some_and(|line| line.contains(part))
    }
}

/// What one side makes of a response.
#[derive(Clone, Copy, Debug, PartialEq)]
struct View {
    storable: bool,
    fresh: [bool; LATER.len()],
}

fn ours(sent: &Sent) -> View {
    let (fields, policy, now) = (sent.fields(), Policy::header_driven(), Timestamp::from_secs(NOW));
    let storable = judge(StatusCode::OK, &fields, &policy, now, false).is_ok();
    let times = Times { requested: now, responded: now, completed: now };
    let windows = freshness::windows(200, &fields, &policy, &times, false);
    let fresh = LATER.map(|seconds| {
        let then = now.after(Duration::from_secs(seconds));
        let decision = decide(&Facts::default(), Selection::Stored { windows, failing_until: None }, then);
        storable && matches!(decision, Decision::Reuse { .. })
    });
    View { storable, fresh }
}

fn theirs(sent: &Sent) -> View {
    let request = Request::get("https://www.example.com/").body(()).expect("a request");
    let mut response = Response::new(());
    *response.headers_mut() = sent.fields();
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
    let options = CacheOptions {
        shared: true,
        cache_heuristic: 0.0,
        immutable_min_time_to_live: Duration::ZERO,
        ignore_cargo_cult: false,
    };
    let policy = CachePolicy::new_options(&request, &response, now, options);
    let fresh = LATER.map(|seconds| !policy.is_stale(now + Duration::from_secs(seconds)));
    View { storable: policy.is_storable(), fresh }
}

/// The opinion behind a difference. Each is told by what was sent, and by which side is the fresher one.
fn expected_difference(sent: &Sent, ours: &View, theirs: &View) -> Option<&'static str> {
    // Fresh up to a point and then no more, on both sides: so counting tells which one is fresh for longer.
    let points = |view: &View| view.fresh.iter().filter(|fresh| **fresh).count();
    match points(ours).cmp(&points(theirs)) {
        Ordering::Equal if ours.fresh != theirs.fresh => None,
        Ordering::Equal => {
            let dead = theirs.storable && !ours.storable && points(theirs) == 0;
            dead.then_some("ours: without a lifetime or a validator it could never be reused (semantics 7)")
        }
        _ if sent.says("MAX-AGE") => Some("theirs: directives are told apart by case, against RFC 9111, 5.2"),
        Ordering::Less => theirs_is_fresher(sent),
        Ordering::Greater => ours_is_fresher(sent),
    }
}

fn theirs_is_fresher(sent: &Sent) -> Option<&'static str> {
    if sent.says("max-age=100, max-age=10") {
        return Some("ours: conflicting values count as the shorter one (RFC 9111, 4.2.1)");
    }
    if sent.says("s-maxage,") || sent.cache_control == Some("max-age") {
        return Some("ours: a lifetime without its value is zero, not absent (semantics 12)");
    }
    if sent.says("99999999999") && sent.age == Some("2147483648") {
        return Some("ours: delta-seconds saturate at 2^31 (RFC 9111, 1.2.2)");
    }
    if sent.expires.len() > 1 {
        return Some("ours: more than one Expires is already expired (RFC 9111, 4.2.1)");
    }
    if sent.expires.iter().any(|expires| expires.ends_with("+0000")) {
        return Some("ours: a zone other than GMT is invalid (RFC 9111, 4.2)");
    }
    if sent.age == Some("30, 5") {
        return Some("ours: the first member of Age counts (RFC 9111, 5.1)");
    }
    if sent.date == DATE[3] {
        return Some("ours: the apparent age counts too (RFC 9111, 4.2.3)");
    }
    None
}

fn ours_is_fresher(sent: &Sent) -> Option<&'static str> {
    if sent.says("proxy-revalidate") {
        return Some("theirs: proxy-revalidate forbids fresh reuse too, against RFC 9111, 5.2.2.8");
    }
    if sent.says("ext=\"") {
        return Some("theirs: a comma in a quoted string splits, against RFC 9110, 5.6.4");
    }
    if sent.expires.iter().any(|expires| expires.contains("-94")) {
        return Some("theirs: RFC 850 dates are not read, against RFC 9110, 5.6.7");
    }
    None
}

#[test]
fn freshness_differs_from_another_implementation_by_named_opinions_only() {
    let mut named: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut all, mut unexplained) = (0, Vec::new());
    for sent in Sent::all() {
        all += 1;
        let (ours, theirs) = (ours(&sent), theirs(&sent));
        if ours == theirs {
            continue;
        }
        match expected_difference(&sent, &ours, &theirs) {
            Some(opinion) => *named.entry(opinion).or_default() += 1,
            None => unexplained.push(format!("{sent:?}\n    ours   {ours:?}\n    theirs {theirs:?}")),
        }
    }
    let shown = unexplained.iter().take(20).cloned().collect::<Vec<_>>().join("\n");
    assert!(unexplained.is_empty(), "{} of {all} differ without a name, among them\n{shown}", unexplained.len());
    assert_eq!(named.len(), 12, "an opinion that explains nothing is not one: {named:#?}");
}
