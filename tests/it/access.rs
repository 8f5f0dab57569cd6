//! The access log: a line for each request, in a form that others parse, and in nobody's way (interface, `logging`;
//! hardening F-66).

use crate::dsl::{Edge, HOST, Http2, Larder, Origin, PLAIN, Reply, Request, Scratch, ms, of, reserve, until};
use serde_json::Value;
use tokio::time::timeout;

const FRESH: &str = "s-maxage=60";
const SOON_STALE: &str = "s-maxage=1, stale-while-revalidate=600";
const DROPPED: &str = "larder_access_log_dropped_total";

/// The whole lines of a JSON log about a path; every other one must be JSON too.
fn about(log: &str, path: &str) -> Vec<Value> {
    let whole = &log[..log.rfind('\n').map_or(0, |at| at + 1)];
    let parsed = whole.lines().map(|line| {
        assert!(line.bytes().all(|b| (b' '..=b'~').contains(&b)), "not printable ASCII: {line:?}");
        serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"))
    });
    parsed.filter(|line| line["path"] == path).collect()
}

/// Waits for a line about a path of which this is true.
async fn noted(edge: &Edge, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let mut found = None;
    until(&format!("a line about {path}"), async || {
        found = about(&edge.larder.stdout(), path).into_iter().find(&wanted);
        found.is_some()
    })
    .await;
    found.unwrap()
}

/// Ends Larder, which writes what it still holds, and returns everything that it wrote.
async fn all_of_it(edge: &mut Edge) -> String {
    edge.larder.signal("TERM");
    assert_eq!(edge.larder.exit().await, 0);
    edge.larder.stdout()
}

fn logging(access: &str) -> String {
    format!("{PLAIN}logging:\n  access: {{ {access} }}\n")
}

#[tokio::test]
async fn a_line_says_how_a_request_was_answered() {
    let origin = Origin::start().await;
    origin.page("/p", "four").cache_control(SOON_STALE);
    origin.page("/form", "thanks").status(201);
    let route = "routes:\n  - { name: pages, match: /p }\n  - { name: forms, match: /form, bypass: true }\n";
    let edge = Edge::with_config(&origin, &[PLAIN, route].concat()).await;
    edge.get("/p").header("User-Agent", "agent/1.0 (x)").header("Referer", "https://r.test/").await.is("four");
    edge.stored("/p").await;
    edge.until_stale("/p").await;
    edge.post("/form", "x").await.status(201);
    let own = edge.get("/cold").header("Cache-Control", "only-if-cached").await;
    own.status(504);
    for (path, method, cache, status, bytes, route) in [
        ("/p", "GET", "miss", 200, 4, "pages"),
        ("/p", "GET", "hit", 200, 4, "pages"),
        ("/p", "GET", "stale", 200, 4, "pages"),
        ("/form", "POST", "bypass", 201, 6, "forms"),
        ("/cold", "GET", "error", 504, own.body.len(), "unmatched"),
    ] {
        let line = noted(&edge, path, |line| line["cache"] == cache).await;
        assert_eq!((&line["method"], &line["route"]), (&method.into(), &route.into()), "{line}");
        assert_eq!((&line["status"], &line["bytes"]), (&status.into(), &bytes.into()), "{line}");
        assert_eq!((&line["host"], &line["proto"]), (&HOST.into(), &"HTTP/1.1".into()), "{line}");
        assert_eq!(line["remote"], "127.0.0.1", "{line}");
        assert!(line["duration_ms"].as_f64().is_some_and(|ms| (0.0..60_000.0).contains(&ms)), "{line}");
        let time = line["time"].as_str().unwrap_or_default();
        assert!(time.len() == 24 && time.starts_with("20") && time.ends_with('Z'), "{line}");
    }
    let first = noted(&edge, "/p", |line| line["cache"] == "miss").await;
    assert_eq!((&first["ua"], &first["referer"]), (&"agent/1.0 (x)".into(), &"https://r.test/".into()));
}

#[tokio::test]
async fn every_request_has_one_line_and_none_is_lost_at_the_end() {
    let origin = Origin::start().await;
    origin.everything(|_| Reply::ok("page").cache_control(FRESH));
    let mut edge = Edge::start(&origin).await;
    for n in 0..100 {
        edge.get(&format!("/{}", n % 50)).await.is("page");
        edge.post(&format!("/{}?n={n}", n % 50), "x").await.is("page");
    }
    assert_eq!(edge.metric(DROPPED).await, 0.0);
    let log = all_of_it(&mut edge).await;
    assert_eq!(log.lines().count(), 200);
    for n in 0..100 {
        assert_eq!(about(&log, &format!("/{}", n % 50)).len(), 2);
        assert_eq!(about(&log, &format!("/{}?n={n}", n % 50)).len(), 1);
    }
}

#[tokio::test]
async fn the_bytes_are_the_bodys_without_what_frames_it() {
    let origin = Origin::start().await;
    origin.page("/p", "0123456789").cache_control(FRESH).etag("\"a\"");
    origin.page("/chunked", "0123456789").cache_control(FRESH).chunked();
    origin.page("/passed", "0123456789").cache_control("private").chunked();
    let edge = Edge::start(&origin).await;
    edge.get("/chunked").await.is("0123456789");
    edge.get("/passed").cookie("session=1").await.is("0123456789");
    edge.stored("/p").await;
    edge.head("/p").header("User-Agent", "head").await.status(200);
    edge.get("/p").header("If-None-Match", "\"a\"").await.status(304);
    edge.get("/p").header("Range", "bytes=2-4").await.status(206);
    for (path, key, value, bytes) in [
        ("/chunked", "cache", Value::from("miss"), 10),
        ("/passed", "status", Value::from(200), 10),
        ("/p", "cache", Value::from("miss"), 10),
        ("/p", "ua", Value::from("head"), 0),
        ("/p", "status", Value::from(304), 0),
        ("/p", "status", Value::from(206), 3),
    ] {
        let line = noted(&edge, path, |line| line[key] == value).await;
        assert_eq!(line["bytes"], bytes, "{line}");
    }
}

#[tokio::test]
async fn an_answer_that_the_client_did_not_wait_for_has_its_line() {
    let origin = Origin::start().await;
    let tap = origin.page("/p", "").cache_control(FRESH).tapped();
    let edge = Edge::start(&origin).await;
    let mut client = edge.raw().await;
    client.send(format!("GET /p HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await;
    tap.send("first");
    client.through("first").await;
    client.reset();
    let line = noted(&edge, "/p", |line| line["status"] == 499).await;
    assert_eq!((&line["cache"], &line["bytes"]), (&"miss".into(), &5.into()), "{line}");
    tap.end();
}

#[tokio::test]
async fn the_combined_format_is_what_others_parse() {
    let origin = Origin::start().await;
    origin.page("/p", "four").cache_control(FRESH);
    let edge = Edge::with_config(&origin, &logging("format: combined")).await;
    edge.get("/p?a=1").header("User-Agent", "a \"b\" c").header("Referer", "https://r.test/").await.is("four");
    until("a line", async || edge.larder.stdout().ends_with('\n')).await;
    let log = edge.larder.stdout();
    // `a - - [b] "c" d e "f" "g"`
    let parts: Vec<&str> = log.trim_end().split('"').collect();
    let [before, request, numbers, referer, " ", agent, ""] = parts.as_slice() else { panic!("{log}") };
    assert_eq!(
        (*request, *numbers, *referer, *agent),
        ("GET /p?a=1 HTTP/1.1", " 200 4 ", "https://r.test/", "a \\x22b\\x22 c")
    );
    let time = before.strip_prefix("127.0.0.1 - - [").and_then(|rest| rest.strip_suffix(" +0000] "));
    let time = time.unwrap_or_else(|| panic!("{log}"));
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert!(shape.len() == 20 && shape.starts_with("00/") && shape.ends_with("/0000:00:00:00"), "{time}");
}

#[tokio::test]
async fn what_a_client_sends_stays_in_its_line() {
    let origin = Origin::start().await;
    origin.page("/p", "page").cache_control(FRESH);
    let mut edge = Edge::start(&origin).await;
    let mut refused = 0;
    for line in [
        &b"GET /a b HTTP/1.1"[..],
        b"GET /\"},{\"status\":200 HTTP/1.1",
        b"GET /\x1b[2J\x07 HTTP/1.1",
        b"GET /\xff\xc3\xa9 HTTP/1.1",
        b"GET /feed\n{\"path\":\"/forged\"} HTTP/1.1",
        b"\x16\x03\x01\x02\x00\x01\xfc\x03",
    ] {
        let mut client = edge.raw().await;
        client.send([line, b"\r\nHost: site.test\r\n\r\n"].concat()).await;
        client.response().await.status(400);
        refused += 1;
    }
    let mut client = edge.raw().await;
    let fields = b"User-Agent: a\"b\\c\td\x80\xff\r\nReferer: \",\"status\":999,\"x\":\"\r\n";
    client.send([&b"GET /p HTTP/1.1\r\nHost: site.test\r\n"[..], fields, b"Connection: close\r\n\r\n"].concat()).await;
    client.response().await.is("page");
    let log = all_of_it(&mut edge).await;
    assert_eq!(log.lines().count(), refused + 1, "{log}");
    let page = about(&log, "/p");
    assert_eq!((&page[0]["ua"], &page[0]["status"]), (&"a\"b\\c\td\\x80\\xff".into(), &200.into()));
    assert_eq!(page[0]["referer"], "\",\"status\":999,\"x\":\"");
    for path in ["/a b", "/\"},{\"status\":200", "/\u{1b}[2J\u{7}", "/\\xff\u{e9}", "/feed"] {
        let lines = about(&log, path);
        assert!(lines.len() == 1 && lines[0]["status"] == 400 && lines[0]["method"] == "GET", "{path}\n{log}");
        assert_eq!((&lines[0]["cache"], &lines[0]["route"]), (&"error".into(), &"unmatched".into()), "{path}");
    }
    let noise = about(&log, "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\\xfc\u{3}");
    assert!(noise.len() == 1 && noise[0]["method"] == "", "{log}");
}

#[tokio::test]
async fn behind_a_trusted_proxy_the_client_is_named() {
    let origin = Origin::start().await;
    origin.everything(|_| Reply::ok("page").cache_control(FRESH));
    let edge =
        Edge::with_config(&origin, &[PLAIN, "server:\n  trusted_proxies: [127.0.0.0/8, 10.0.0.0/8]\n"].concat()).await;
    let told = |request: Request, value: &str| request.header("X-Forwarded-For", value);
    told(edge.get("/one"), "198.51.100.1, 203.0.113.9, 10.1.2.3").await.status(200);
    told(edge.post("/two", "x"), "2001:db8::7").await.status(200);
    told(edge.get("/made-up"), "nobody, 10.1.2.3").await.status(200);
    edge.get("/none").await.status(200);
    for (path, remote) in
        [("/one", "203.0.113.9"), ("/two", "2001:db8::7"), ("/made-up", "10.1.2.3"), ("/none", "127.0.0.1")]
    {
        assert_eq!(noted(&edge, path, |_| true).await["remote"], remote, "{path}");
    }
    let open = Edge::start(&origin).await;
    told(open.get("/one"), "203.0.113.9").await.status(200);
    assert_eq!(noted(&open, "/one", |_| true).await["remote"], "127.0.0.1", "anybody can send that field");
}

#[tokio::test]
async fn off_means_not_a_line() {
    let origin = Origin::start().await;
    origin.page("/p", "page").cache_control(FRESH);
    let mut edge = Edge::with_config(&origin, &logging("output: off")).await;
    edge.stored("/p").await;
    edge.post("/p", "x").await.status(200);
    assert_eq!(all_of_it(&mut edge).await, "");
}

/// The name of a file that is not there yet, beside one that is gone after the test.
fn beside(file: &Scratch) -> String {
    format!("{}.access.log", file.path())
}

#[tokio::test]
async fn a_file_takes_the_lines_and_is_opened_anew_once_it_was_rotated() {
    let origin = Origin::start().await;
    origin.everything(|_| Reply::ok("page").cache_control(FRESH));
    let folder = Scratch::file("here", "");
    let (file, old) = (beside(&folder), format!("{}.1", beside(&folder)));
    let mut edge = Edge::with_config(&origin, &logging(&format!("output: \"{file}\""))).await;
    let read = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
    edge.get("/before").await.is("page");
    until("the line is in the file", async || about(&read(&file), "/before").len() == 1).await;
    std::fs::rename(&file, &old).unwrap();
    edge.larder.signal("USR1");
    until("there is a new file", async || std::fs::exists(&file).unwrap()).await;
    edge.get("/after").await.is("page");
    assert_eq!(all_of_it(&mut edge).await, "", "nothing goes to stdout");
    assert_eq!(about(&read(&file), "/after").len(), 1);
    assert_eq!((about(&read(&old), "/before").len(), about(&read(&old), "/after").len()), (1, 0));
}

#[tokio::test]
async fn a_file_that_cannot_be_opened_is_named_and_exits_2() {
    let ((_front, listen), (_back, admin)) = (reserve(), reserve());
    let yaml = logging("output: /nowhere/access.log")
        .replace("{listen}", &listen.to_string())
        .replace("{admin}", &admin.to_string())
        .replace("{origin}", "http://127.0.0.1:1");
    let file = Scratch::file("larder.yaml", &yaml);
    let mut larder = Larder::run(["serve", "--config", file.path()]);
    let code = larder.exit().await;
    let said = larder.stderr();
    assert!(
        code == 2 && said.contains("/nowhere/access.log") && said.contains("logging.access.output"),
        "{code}: {said}"
    );
}

/// Asks for a page until lines of the access log have been dropped; nobody who asks waits.
async fn until_dropped(edge: &Edge) {
    let long = "x".repeat(8_000);
    until("lines are dropped", async || {
        for _ in 0..50 {
            edge.get("/p").header("User-Agent", &long).header("Referer", &long).await.is("page").at_once();
        }
        edge.metric(DROPPED).await > 0.0
    })
    .await;
}

/// One thread serves: were it stopped, so would be everybody.
fn one_thread() -> String {
    format!("{PLAIN}server:\n  threads: 1\n")
}

#[tokio::test]
async fn a_stdout_that_nobody_reads_stops_nobody_and_loses_lines_that_are_counted() {
    let origin = Origin::start().await;
    origin.everything(|_| Reply::ok("page").cache_control(FRESH));
    let mut edge = Edge::unread(&origin, &one_thread()).await;
    edge.stored("/p").await;
    assert_eq!(edge.metric(DROPPED).await, 0.0, "a few lines wait");
    until_dropped(&edge).await;
    let dropped = edge.metric(DROPPED).await;
    for n in 0..20 {
        edge.get("/p").await.is("page").at_once();
        edge.get(&format!("/cold/{n}")).await.is("page").at_once();
        edge.post("/p", "x").await.is("page").at_once();
    }
    edge.metric_reaches(DROPPED, dropped + 60.0).await;
    edge.larder.read_on();
    until("lines come again, whole ones", async || {
        edge.get("/again").await.is("page");
        !about(&edge.larder.stdout(), "/again").is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_stdout_that_nobody_reads_does_not_keep_larder_from_leaving() {
    let origin = Origin::start().await;
    origin.page("/p", "page").cache_control(FRESH);
    let mut edge = Edge::unread(&origin, &one_thread()).await;
    edge.stored("/p").await;
    until_dropped(&edge).await;
    edge.larder.signal("TERM");
    assert_eq!(timeout(ms(4000), edge.larder.exit()).await, Ok(0));
}

#[tokio::test]
async fn a_full_disk_loses_lines_that_are_counted_and_mentioned() {
    let origin = Origin::start().await;
    origin.page("/p", "page").cache_control(FRESH);
    // Linux's disk that is always full.
    let edge = Edge::with_config(&origin, &logging("output: /dev/full")).await;
    for _ in 0..10 {
        edge.get("/p").await.is("page").at_once();
    }
    edge.metric_reaches(DROPPED, 10.0).await;
    assert_eq!(edge.metric(DROPPED).await, 10.0);
    until("it is mentioned", async || edge.larder.stderr().contains("the access log cannot be written")).await;
    assert_eq!(edge.larder.stderr().matches("the access log cannot be written").count(), 1, "not at every line");
}

#[tokio::test]
async fn a_refused_request_of_http_2_has_its_protocol() {
    let origin = Origin::start().await;
    let yaml =
        "server: { listeners: [{ address: '{listen}', h2c: true }] }\norigin: {origin}\nadmin: { listen: '{admin}' }\n";
    let edge = Edge::with_config(&origin, yaml).await;
    let client = Http2::plain(edge.listen).await;
    client.ask(of("POST", "/refused").header("expect", "miracles")).await.status(417);
    let line = noted(&edge, "/refused", |_| true).await;
    assert_eq!((&line["proto"], &line["status"]), (&"HTTP/2.0".into(), &417.into()), "{line}");
}
