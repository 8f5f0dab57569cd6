//! Three thousand mutated answers, to fills of cold pages and to regenerations of stored ones. Nothing is stored of an
//! answer that did not come to its end, nothing under a key it does not belong to, and nobody waits for ever
//! (hardening, "attack families": hostile origins; F-06, F-07, F-16, F-17).

use crate::chance;
use crate::dsl::{Crowd, Edge, Origin, Response, until};
use crate::mutants::{TAG, mutant, name, possibly_whole};
use crate::process::{self, Process};
use crate::recorder::{Answer, Recorder};
use crate::strict::Request;
use std::cell::Cell;
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use tokio::task::LocalSet;

const CASES: usize = 3_000;
const WORKERS: usize = 16;
const MORE_MEMORY: u64 = 64 << 20;

/// What the origin plays: good pages; for a case that is due its mutant, once; then nothing but failures, so that what
/// is stored stays as it is.
struct Script {
    seed: u64,
    /// Good pages that are to be spoilt.
    due: Mutex<HashSet<String>>,
    played: Mutex<HashSet<String>>,
}

impl Script {
    fn answer(&self, request: &Request) -> Answer {
        let path = &request.path;
        let case = path.rsplit('/').next().and_then(|n| n.parse().ok()).unwrap_or(CASES);
        let due = path.contains("/cold/") || self.due.lock().unwrap().contains(path);
        if !due {
            return good(path, case);
        }
        if self.played.lock().unwrap().insert(path.clone()) { mutant(self.seed, case) } else { sorry() }
    }

    fn is_played(&self, path: &str) -> bool {
        self.played.lock().unwrap().contains(path)
    }
}

/// Stale from the start: every look at it asks for the next generation.
fn good(path: &str, case: usize) -> Answer {
    let body = format!("{} {path} {}\n", name(case), "good ".repeat(case % 400));
    let head = "HTTP/1.1 200 OK\r\nCache-Control: s-maxage=0, stale-while-revalidate=86400\r\n";
    let sum = chance::checksum(body.as_bytes());
    let bytes = format!("{head}ETag: {TAG}\r\nX-Sum: {sum:016x}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    Answer { bytes: bytes.into_bytes(), keep: case % 4 < 2 }
}

fn sorry() -> Answer {
    let bytes = b"HTTP/1.1 503 Service Unavailable\r\nCache-Control: no-store\r\nContent-Length: 0\r\n\r\n".to_vec();
    Answer { bytes, keep: true }
}

/// An origin's name for each worker, so that no circuit breaker sees more failures in a row than one case has. The
/// server is the same, and so are its pooled connections.
fn config(url: &str) -> String {
    let mut origins = String::new();
    let mut routes = String::new();
    for n in 0..WORKERS {
        origins += &format!(
            "  w{n}:\n    servers: [{{ url: \"{url}\" }}]\n    \
             timeouts: {{ connect: 1s, first_byte: 1s, between_bytes: 500ms, total: 3s }}\n    \
             passed: {{ first_byte: 1s, idle: 500ms }}\n"
        );
        routes += &format!("  - {{ match: \"/w{n}/**\", origin: w{n} }}\n");
    }
    format!("listen: {{listen}}\nadmin:\n  listen: {{admin}}\norigins:\n{origins}routes:\n{routes}")
}

struct Run {
    edge: Edge,
    script: Arc<Script>,
    next: Cell<usize>,
}

#[tokio::test]
async fn no_answer_of_an_origin_is_stored_by_half_or_in_another_ones_place() {
    let seed = chance::seed("answers");
    let script = Arc::new(Script { seed, due: Mutex::default(), played: Mutex::default() });
    let plays = script.clone();
    let origin = Recorder::start(move |request| plays.answer(request)).await;
    let nobody = Origin::start().await;
    let edge = Edge::with_config(&nobody, &config(&origin.url())).await;
    let larder = Process::of(&edge);
    // Warm: with connections in the pool, and every part in use.
    let path = |worker: usize| format!("/w{worker}/good/{worker}");
    Crowd::of((0..WORKERS).map(|w| edge.get(&path(w)))).answers().await;
    Crowd::of((0..WORKERS).map(|w| edge.get(&path(w)).cookie("session=1"))).answers().await;
    until("the visitors have gone", async || edge.metric("larder_connections").await < 0.5).await;
    let (descriptors, memory) = (larder.descriptors(), larder.resident());

    let run = Rc::new(Run { edge, script, next: Cell::new(0) });
    let local = LocalSet::new();
    let workers: Vec<_> = (0..WORKERS).map(|worker| local.spawn_local(work(run.clone(), worker))).collect();
    let all = async {
        for worker in workers {
            worker.await.unwrap();
        }
    };
    local.run_until(all).await;

    let played = run.script.played.lock().unwrap().len();
    assert!(played > CASES * 9 / 10, "only {played} mutants were played");
    assert_eq!(origin.faults(), Vec::<String>::new(), "LARDER_SEED={seed}");
    origin.close().await;
    until("descriptors are as many as at the beginning", async || larder.descriptors() <= descriptors).await;
    let more = larder.resident().saturating_sub(memory);
    assert!(more <= MORE_MEMORY, "{} MiB more than at the beginning", more >> 20);
    process::assert_no_panic(&run.edge);
}

async fn work(run: Rc<Run>, worker: usize) {
    loop {
        let case = run.next.get();
        if case >= CASES {
            return;
        }
        run.next.set(case + 1);
        if case.is_multiple_of(2) {
            run.stored(&format!("/w{worker}/stored/{case}"), case).await;
        } else {
            // A success first, so that no breaker opens.
            run.check(&run.edge.get(&format!("/w{worker}/good/{case}")).await, case);
            run.cold(&format!("/w{worker}/cold/{case}"), case).await;
        }
    }
}

impl Run {
    /// A good page whose regeneration is answered by a mutant.
    async fn stored(&self, path: &str, case: usize) {
        let first = self.edge.stored(path).await;
        self.check(&first, case);
        assert!(first.field("x-sum").is_some(), "case {case}: {}", told(&first));
        self.script.due.lock().unwrap().insert(path.to_owned());
        // As long as it is stale and nothing is said against it, this look at it or the next starts a regeneration.
        let undecided = |a: &Response| {
            let failing = a.field("cache-status").is_some_and(|status| status.contains("failing"));
            a.is_stale() && a.field("x-sum").is_some() && !failing
        };
        let decided = |a: &Response| self.script.is_played(path) && !undecided(a);
        self.edge.first(path, "the mutant is judged", decided).await;
        let (one, two) = (self.edge.get(path).await, self.edge.get(path).await);
        self.check(&one, case);
        self.check(&two, case);
        self.assert_same(&one, &two, case);
    }

    /// A page whose first fill is answered by a mutant.
    async fn cold(&self, path: &str, case: usize) {
        let first = self.edge.get(path).await;
        let (one, two) = (self.edge.get(path).await, self.edge.get(path).await);
        for answer in [&first, &one, &two] {
            self.check(answer, case);
        }
        if one.is_hit() {
            let whole = first.whole && first.code == one.code && first.body == one.body;
            assert!(whole, "{}\nwas first {}\nand then {}", self.about(case), told(&first), told(&one));
        }
        self.assert_same(&one, &two, case);
    }

    /// What holds for every answer, and for those from the store.
    fn check(&self, answer: &Response, case: usize) {
        let text = answer.text();
        let mut numbers = text.split("case=").skip(1).filter_map(|rest| rest.split(':').next()?.parse::<usize>().ok());
        let foreign = numbers.find(|n| *n != case && text.contains(&name(*n)));
        assert_eq!(foreign, None, "another case's page: {}", self.about(case));
        if let (Some(sum), true) = (answer.field("x-sum"), answer.whole) {
            let right = format!("{:016x}", chance::checksum(&answer.body));
            assert_eq!(sum, right, "not the body of its head: {}", self.about(case));
        }
        if answer.is_hit() {
            assert!(answer.whole, "cut off, from the store: {}", self.about(case));
            let may_be = answer.field("x-sum").is_some() || possibly_whole(&mutant(self.script.seed, case).bytes);
            assert!(may_be, "this was stored, and never came to its end: {}", self.about(case));
        }
    }

    /// What is stored is what it was: the origin has said nothing since that counts.
    fn assert_same(&self, one: &Response, two: &Response, case: usize) {
        if one.is_hit() && two.is_hit() {
            let same = one.code == two.code && one.body == two.body;
            assert!(same, "{}\nwas first {}\nand then {}", self.about(case), told(one), told(two));
        }
    }

    fn about(&self, case: usize) -> String {
        let Answer { bytes, keep } = mutant(self.script.seed, case);
        let begins: Vec<u8> = bytes.iter().take(1_500).copied().collect();
        format!("case {case}, LARDER_SEED={}, kept open: {keep}: {}", self.script.seed, begins.escape_ascii())
    }
}

fn told(answer: &Response) -> String {
    let begins: String = answer.text().chars().take(300).collect();
    format!("{}, whole: {}, {} bytes, {:?}: {begins:?}", answer.code, answer.whole, answer.body.len(), answer.lines)
}
