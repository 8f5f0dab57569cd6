//! Sudden ends: of the origin, and of Larder itself (hardening F-01, F-06, F-07, F-30).

use crate::chance::{self, Chance};
use crate::dsl::{Edge, HOST, Larder, Origin, Raw, Reply, Request, Response, SHORT, Seen, until};
use crate::process;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use tokio::task::JoinHandle;
use tokio::time::{Duration, Instant, sleep};

const PAGES: usize = 100;
const VISITORS: usize = 16;
const OUTAGES: usize = 40;
const KILLS: usize = 20;
/// From its start to the first request that it takes.
const READY_WITHIN: Duration = Duration::from_secs(5);
const SOON_STALE: &str = "s-maxage=1, stale-while-revalidate=86400";

/// The origin's application: every answer is a generation of its own.
#[derive(Default)]
struct Site {
    generation: AtomicUsize,
    /// It breaks off in the middle of its answers.
    dying: AtomicBool,
}

impl Site {
    fn at(origin: &Origin) -> Arc<Site> {
        let site = Arc::new(Site::default());
        let script = site.clone();
        origin.everything(move |seen| script.reply(seen));
        site
    }

    fn reply(&self, seen: &Seen) -> Reply {
        let generation = self.generation.fetch_add(1, SeqCst) + 1;
        let page = seen.path.rsplit('/').next().and_then(|n| n.parse().ok()).unwrap_or(0);
        let body = body(page, generation);
        let half = body.len() / 2;
        let reply = Reply::ok(body).cache_control(SOON_STALE);
        match (self.dying.load(SeqCst), generation % 6) {
            (true, 0 | 1) => reply.short(half),
            (true, 2) => reply.short_chunked(half),
            (true, 3) => reply.reset_after(half),
            (true, 4) => Reply::reset(),
            (true, _) => Reply::close(),
            (false, 0 | 1) => reply.chunked(),
            (false, _) => reply,
        }
    }
}

fn path(page: usize) -> String {
    format!("/page/{page}")
}

/// From two lines to 70 KB: what fits into every buffer, and what does not.
fn body(page: usize, generation: usize) -> String {
    let line = format!("page {page} of generation {generation}\n");
    let lines = if page.is_multiple_of(10) { 2000 } else { page };
    let sum = chance::checksum(line.as_bytes());
    format!("{}sum {sum:016x} of page {page} in generation {generation}\n", line.repeat(lines))
}

/// Of which generation a page is, from its first byte to its last; of a page that is cut off, as far as it goes.
fn generation(page: usize, answer: &Response) -> Result<usize, String> {
    let text = answer.text();
    let told = text.split_once("generation ").map_or("", |(_, rest)| rest);
    let digits: String = told.chars().take_while(char::is_ascii_digit).collect();
    let generation = digits.parse().unwrap_or(0);
    let wanted = body(page, generation);
    if wanted == text || (!answer.whole && wanted.starts_with(&text)) {
        return Ok(generation);
    }
    let (begins, ends): (String, String) = (text.chars().take(200).collect(), text.chars().rev().take(200).collect());
    let ends: String = ends.chars().rev().collect();
    Err(format!("page {page} is mixed, {} of {} bytes:\n{begins}\n...\n{ends}", text.len(), wanted.len()))
}

/// What the visitors and the one who kills know of each other.
#[derive(Default)]
struct Tally {
    answers: AtomicUsize,
    over: AtomicBool,
    /// Odd from a kill until Larder is ready again.
    lives: AtomicUsize,
}

impl Tally {
    /// The moments of this file: when the visitors have got so many answers more.
    async fn further(&self, answers: usize) {
        let wanted = self.answers.load(SeqCst) + answers;
        until("the visitors get answers", async || self.answers.load(SeqCst) >= wanted).await;
    }

    async fn end(&self, visitors: Vec<JoinHandle<()>>) {
        self.over.store(true, SeqCst);
        for visitor in visitors {
            visitor.await.unwrap();
        }
    }
}

/// A visitor of known pages, on connections that he keeps for a while. Nothing may go wrong for him.
async fn regular(to: SocketAddr, mut chance: Chance, tally: Arc<Tally>) {
    let mut newest = vec![0; PAGES];
    let mut client = Raw::open(to).await;
    while !tally.over.load(SeqCst) {
        if chance.one_in(30) {
            client = Raw::open(to).await;
        }
        let page = chance.below(PAGES);
        client.send(format!("GET {} HTTP/1.1\r\nHost: {HOST}\r\n\r\n", path(page))).await;
        let answer = client.response().await;
        answer.status(200);
        assert!(answer.whole, "page {page} is cut off after {} bytes", answer.body.len());
        let generation = generation(page, &answer).unwrap_or_else(|mixed| panic!("{mixed}"));
        assert!(generation >= newest[page], "page {page}: {} and then {generation}", newest[page]);
        newest[page] = generation;
        tally.answers.fetch_add(1, SeqCst);
        // He reads.
        sleep(pause(&mut chance)).await;
    }
}

/// A visitor who may see Larder die. Nothing else may go wrong for him, and nothing that he gets is mixed.
async fn hardy(to: SocketAddr, mut chance: Chance, tally: Arc<Tally>) {
    while !tally.over.load(SeqCst) {
        let page = chance.below(PAGES);
        let life = tally.lives.load(SeqCst);
        // With a connection for each of them, it is Larder that closes it: ports are not to run out.
        let got = Request::new(to, "GET", &path(page)).header("Connection", "close").send().await;
        let undisturbed = life.is_multiple_of(2) && tally.lives.load(SeqCst) == life;
        match got {
            Ok(answer) => {
                let well = answer.code == 200 && answer.whole;
                assert!(well || !undisturbed, "page {page}: {} after {} bytes", answer.code, answer.body.len());
                if answer.code == 200 {
                    generation(page, &answer).unwrap_or_else(|mixed| panic!("{mixed}"));
                    tally.answers.fetch_add(1, SeqCst);
                }
            }
            Err(error) => assert!(!undisturbed, "{error}"),
        }
        sleep(pause(&mut chance)).await;
    }
}

fn pause(chance: &mut Chance) -> Duration {
    Duration::from_micros(chance.within(500, 6_000) as u64)
}

#[tokio::test]
async fn known_pages_are_served_without_an_error_while_their_origin_dies_forty_times() {
    let seed = chance::seed("outages");
    let mut chance = Chance::of(seed, 0);
    let origin = Origin::start().await;
    let site = Site::at(&origin);
    let edge = Edge::with_config(&origin, SHORT).await;
    for page in 0..PAGES {
        edge.stored(&path(page)).await;
    }
    let tally = Arc::new(Tally::default());
    let visit = |nth| tokio::spawn(regular(edge.listen, Chance::of(seed, nth), tally.clone()));
    let visitors: Vec<JoinHandle<()>> = (1..=VISITORS).map(visit).collect();
    let mut before = 0;
    for _ in 0..OUTAGES {
        tally.further(chance.within(50, 1_500)).await;
        site.dying.store(true, SeqCst);
        tally.further(chance.within(0, 200)).await;
        origin.down().await;
        tally.further(chance.within(50, 1_500)).await;
        site.dying.store(false, SeqCst);
        before = site.generation.load(SeqCst);
        origin.up();
    }
    // It was not for nothing, and it heals.
    let failed = edge.metric("larder_refresh_failures_total").await;
    assert!(failed >= 40.0, "only {failed} regenerations failed");
    for page in 0..PAGES {
        let renewed = |answer: &Response| generation(page, answer).is_ok_and(|generation| generation > before);
        edge.first(&path(page), "a new generation", renewed).await.status(200);
    }
    tally.end(visitors).await;
    process::assert_no_panic(&edge);
}

#[tokio::test]
async fn after_each_of_twenty_kills_larder_is_soon_ready_and_serves_whole_pages() {
    let seed = chance::seed("kills");
    let mut chance = Chance::of(seed, 0);
    let origin = Origin::start().await;
    let site = Site::at(&origin);
    let mut edge = Edge::start(&origin).await;
    let tally = Arc::new(Tally::default());
    let visit = |nth| tokio::spawn(hardy(edge.listen, Chance::of(seed, nth), tally.clone()));
    let visitors: Vec<JoinHandle<()>> = (1..=VISITORS).map(visit).collect();
    for _ in 0..KILLS {
        tally.further(chance.within(20, 1_500)).await;
        tally.lives.fetch_add(1, SeqCst);
        edge.larder.signal("KILL");
        assert_eq!(edge.larder.exit().await, -1);
        let begun = Instant::now();
        edge.larder = start_again(&edge, &origin);
        until("larder is ready again", async || {
            edge.admin_get("/readyz").send().await.is_ok_and(|answer| answer.code == 200)
        })
        .await;
        let took = begun.elapsed();
        assert!(took < READY_WITHIN, "it was ready after {took:?} only");
        tally.lives.fetch_add(1, SeqCst);
        // What it has stored is gone with it: this is a new page.
        let before = site.generation.load(SeqCst);
        let answer = edge.get("/page/101").await;
        assert!(generation(101, answer.status(200)).is_ok_and(|generation| generation > before));
    }
    tally.further(500).await;
    tally.end(visitors).await;
    process::assert_no_panic(&edge);
}

/// Where it listened before.
fn start_again(edge: &Edge, origin: &Origin) -> Larder {
    let (listen, admin) = (edge.listen.to_string(), edge.admin.to_string());
    Larder::run(["serve", "--origin", &origin.url(), "--listen", &listen, "--admin", &admin])
}
