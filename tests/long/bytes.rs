//! Twenty thousand mutated request strings on raw connections. Whatever a reader by the book (`strict`) finds in such a
//! string may be asked of the origin, and nothing else (hardening, "attack families": request framing).

use crate::chance::{self, Chance};
use crate::dsl::{Edge, Origin, Request, until};
use crate::process;
use crate::recorder::{Answer, Recorder};
use crate::requests::{self, PAGE};
use crate::strict::{self, Pipeline};
use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Duration, timeout};

const STRINGS: usize = 20_000;
const BATCHES: usize = 20;
const AT_ONCE: usize = 64;
/// Far more than any deadline below.
const ENDS_WITHIN: Duration = Duration::from_secs(15);

const CONFIG: &str = r#"listen: {listen}
admin:
  listen: {admin}
server:
  limits: { idle_timeout: 2s, header_timeout: 2s }
origins:
  app:
    servers: [{ url: "{origin}" }]
    timeouts: { connect: 1s, first_byte: 2s, between_bytes: 2s, total: 4s }
    passed: { first_byte: 2s, idle: 2s }
"#;

/// What the strings of one run share.
struct Run {
    seed: u64,
    to: SocketAddr,
    next: AtomicUsize,
    /// Paths that somebody asked for by the book.
    asked: Mutex<HashSet<String>>,
}

#[tokio::test]
async fn no_string_of_bytes_smuggles_a_request_or_keeps_a_connection() {
    let seed = chance::seed("bytes");
    let origin = Recorder::start(answer).await;
    let nobody = Origin::start().await;
    let edge = Edge::with_config(&nobody, &CONFIG.replace("{origin}", &origin.url())).await;
    edge.stored(PAGE).await;
    let asked = Mutex::new(HashSet::from([PAGE.to_owned()]));
    let run = Arc::new(Run { seed, to: edge.listen, next: AtomicUsize::new(0), asked });
    for batch in 1..=BATCHES {
        let workers: Vec<_> =
            (0..AT_ONCE).map(|_| tokio::spawn(work(run.clone(), STRINGS / BATCHES * batch))).collect();
        for worker in workers {
            worker.await.unwrap();
        }
        Request::new(edge.listen, "GET", PAGE).await.status(200).is("page");
    }
    assert_eq!(origin.faults(), Vec::<String>::new(), "LARDER_SEED={seed}");
    let asked = run.asked.lock().unwrap().clone();
    let reached = origin.paths();
    let smuggled: Vec<&String> = reached.difference(&asked).collect();
    assert!(smuggled.is_empty(), "nobody asked for {smuggled:?}; the number is the string's, LARDER_SEED={seed}");
    assert!(reached.len() > STRINGS / 100, "only {} paths reached the origin", reached.len());
    until("every connection is gone", async || edge.metric("larder_connections").await < 0.5).await;
    process::assert_no_panic(&edge);
}

/// Pages are stored, except those of every other path.
fn answer(request: &strict::Request) -> Answer {
    let body = if request.path == PAGE { "page".to_owned() } else { format!("for {}", request.path) };
    let kept = request.path == PAGE || request.path.len().is_multiple_of(2);
    let cache = if kept { "s-maxage=600" } else { "no-store" };
    let sent = if request.method == "HEAD" { "" } else { body.as_str() };
    let bytes = format!("HTTP/1.1 200 OK\r\nCache-Control: {cache}\r\nContent-Length: {}\r\n\r\n{sent}", body.len());
    Answer { bytes: bytes.into_bytes(), keep: true }
}

/// Sends one string after the other, up to a number.
async fn work(run: Arc<Run>, to: usize) {
    loop {
        let nth = run.next.fetch_add(1, SeqCst);
        if nth >= to {
            // The next batch begins where this one ends.
            run.next.store(to, SeqCst);
            return;
        }
        one(&run, nth).await;
    }
}

async fn one(run: &Run, nth: usize) {
    let mut chance = Chance::of(run.seed, nth);
    let bytes = requests::mutant(&mut chance, &format!("/smuggled/{nth}"));
    let read = strict::pipeline(&bytes);
    run.asked.lock().unwrap().extend(read.requests.iter().map(|request| request.path.clone()));
    let about = || format!("string {nth}, LARDER_SEED={}: {}", run.seed, bytes.escape_ascii());
    let spoken = timeout(ENDS_WITHIN, speak(run.to, &bytes, &read, &mut chance)).await;
    let got = spoken.unwrap_or_else(|_| panic!("its connection does not end: {}", about()));
    let answers = strict::answers(&got, &read.requests)
        .unwrap_or_else(|why| panic!("{why}: {}\nwas answered by {}", about(), got.escape_ascii()));
    // One more, for what is no request any more.
    let most = read.requests.len() + 1;
    let all = answers.whole + usize::from(answers.cut);
    assert!(all <= most, "{all} answers: {}\nwas answered by {}", about(), got.escape_ascii());
}

/// Writes a string in one piece or several, half-closes, and reads to the end.
async fn speak(to: SocketAddr, bytes: &[u8], read: &Pipeline, chance: &mut Chance) -> Vec<u8> {
    let mut stream = TcpStream::connect(to).await.unwrap();
    let _ = stream.set_nodelay(true);
    let mut got = Vec::new();
    let mut rest = bytes;
    for _ in 0..chance.below(4) {
        let (now, later) = rest.split_at(cut(rest, chance));
        rest = later;
        // Larder may have closed it: that shows in what is read.
        let _ = stream.write_all(now).await;
        // Time for the piece to be read alone, and perhaps to be answered.
        let _ = timeout(Duration::from_millis(chance.below(5) as u64), more(&mut stream, &mut got)).await;
    }
    let _ = stream.write_all(rest).await;
    // A client who half-closes early is taken to have gone; every other one waits for what is due to him.
    if chance.one_in(2) {
        let due = |got: &[u8]| strict::answers(got, &read.requests).is_ok_and(|answers| answers.whole < read.whole);
        while due(&got) && more(&mut stream, &mut got).await {}
    }
    let _ = stream.shutdown().await;
    while more(&mut stream, &mut got).await {}
    got
}

/// Anywhere, or right in front of what is to be smuggled.
fn cut(bytes: &[u8], chance: &mut Chance) -> usize {
    match strict::find(bytes, b"GET /smuggled") {
        Some(at) if chance.one_in(2) => at,
        _ => chance.below(bytes.len() + 1),
    }
}

async fn more(stream: &mut TcpStream, got: &mut Vec<u8>) -> bool {
    matches!(stream.read_buf(got).await, Ok(n) if n > 0)
}
