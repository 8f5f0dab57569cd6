use super::format::write;
use super::*;
use std::collections::VecDeque;
use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

/// 2026-07-30, 12:34:56.789 UTC.
const NOON: Timestamp = Timestamp::from_micros(1_785_414_896_789_012);

fn line() -> Line<'static> {
    Line {
        time: NOON,
        remote: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)),
        method: b"GET",
        host: b"site.test",
        path: b"/blog/a",
        query: Some(b"page=2"),
        proto: "HTTP/1.1",
        status: 200,
        bytes: 10_240,
        took: Duration::from_micros(1_234_056),
        cache: Outcome::Hit,
        route: "post",
        user_agent: b"Mozilla/5.0 (X11)",
        referer: b"https://site.test/",
    }
}

/// The line without its end.
fn written(format: Format, line: &Line<'_>) -> String {
    let mut out = Vec::new();
    write(&mut out, format, line, &mut Second::default());
    let text = String::from_utf8(out).expect("ASCII");
    let one = text.strip_suffix('\n').expect("a line's end");
    assert!(one.bytes().all(|b| (b' '..=b'~').contains(&b)), "one line of printable ASCII: {one:?}");
    one.to_owned()
}

/// What somebody reads who parses the JSON.
fn read(line: &Line<'_>) -> serde_json::Value {
    let text = written(Format::Json, line);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn a_line_of_json_has_these_members_in_this_order() {
    let expected = "{\"time\":\"2026-07-30T12:34:56.789Z\",\"remote\":\"192.0.2.7\",\"method\":\"GET\",\
                    \"host\":\"site.test\",\"path\":\"/blog/a?page=2\",\"proto\":\"HTTP/1.1\",\"status\":200,\
                    \"bytes\":10240,\"duration_ms\":1234.056,\"cache\":\"hit\",\"route\":\"post\",\
                    \"ua\":\"Mozilla/5.0 (X11)\",\"referer\":\"https://site.test/\"}";
    assert_eq!(written(Format::Json, &line()), expected);
}

#[test]
fn a_combined_line_is_what_nginx_writes() {
    let expected = "192.0.2.7 - - [30/Jul/2026:12:34:56 +0000] \"GET /blog/a?page=2 HTTP/1.1\" 200 10240 \
                    \"https://site.test/\" \"Mozilla/5.0 (X11)\"";
    assert_eq!(written(Format::Combined, &line()), expected);
}

#[test]
fn what_is_not_known_is_empty_in_json_and_a_hyphen_in_the_combined_format() {
    let nothing = Line {
        remote: IpAddr::V6(Ipv6Addr::LOCALHOST),
        method: b"",
        host: b"",
        path: b"",
        query: None,
        proto: "",
        status: 400,
        bytes: 0,
        user_agent: b"",
        referer: b"",
        ..line()
    };
    assert_eq!(written(Format::Combined, &nothing), "::1 - - [30/Jul/2026:12:34:56 +0000] \"-\" 400 0 \"-\" \"-\"");
    let value = read(&nothing);
    for key in ["method", "host", "path", "proto", "ua", "referer"] {
        assert_eq!(value[key], "", "{key}");
    }
    let half = Line { method: b"GET", path: b"/a b", ..nothing };
    assert!(written(Format::Combined, &half).contains(" \"GET /a b\" 400 "));
}

#[test]
fn json_gives_back_every_text_and_shows_bytes_that_are_none() {
    let cases: [(&[u8], &str); 7] = [
        (b"plain", "plain"),
        (b"a\"b\\c", "a\"b\\c"),
        (b"\r\n{\"status\":200}\n", "\r\n{\"status\":200}\n"),
        (b"\x00\x1b[31m\x7f\t", "\0\u{1b}[31m\u{7f}\t"),
        ("Grüße \u{2028}\u{202e}\u{85} 🦀".as_bytes(), "Grüße \u{2028}\u{202e}\u{85} 🦀"),
        (b"caf\xe9", "caf\\xe9"),
        (b"\xff\xfe\xf0\x9f\xa6", "\\xff\\xfe\\xf0\\x9f\\xa6"),
    ];
    for (sent, read_back) in cases {
        let value = read(&Line { path: sent, query: Some(sent), user_agent: sent, referer: sent, ..line() });
        assert_eq!(value["path"], format!("{read_back}?{read_back}"));
        assert_eq!((value["ua"].as_str(), value["referer"].as_str()), (Some(read_back), Some(read_back)));
        assert_eq!(value["status"], 200, "nobody writes members of his own");
    }
}

#[test]
fn the_combined_format_has_no_quote_or_control_character_that_a_client_sent() {
    let cases: [(&[u8], &str); 4] = [
        (b"\" 200 0 \"-\" \"-", "\\x22 200 0 \\x22-\\x22 \\x22-"),
        (b"\n127.0.0.1 - - ", "\\x0A127.0.0.1 - - "),
        (b"\\x22\x1b[2J\x7f", "\\x5Cx22\\x1B[2J\\x7F"),
        (b"caf\xe9 \xc3\xa9", "caf\\xE9 \\xC3\\xA9"),
    ];
    for (sent, shown) in cases {
        let text = written(Format::Combined, &Line { path: sent, query: None, user_agent: sent, ..line() });
        assert_eq!(text.matches('"').count(), 6, "{text}");
        assert!(text.contains(&format!("\"GET {shown} HTTP/1.1\" 200 ")), "{text}");
        assert!(text.ends_with(&format!(" \"{shown}\"")), "{text}");
    }
}

#[test]
fn a_long_value_is_cut() {
    let long = vec![b'a'; 100_000];
    let value = read(&Line { user_agent: &long, ..line() });
    assert_eq!(value["ua"].as_str().map(str::len), Some(8 << 10));
}

#[test]
fn every_second_is_told_in_both_formats() {
    let mut seconds = (Second::default(), Second::default());
    for (at, json, combined) in [
        (0, "1970-01-01T00:00:00", "01/Jan/1970:00:00:00"),
        (0, "1970-01-01T00:00:00", "01/Jan/1970:00:00:00"),
        (1, "1970-01-01T00:00:01", "01/Jan/1970:00:00:01"),
        (951_782_399, "2000-02-28T23:59:59", "28/Feb/2000:23:59:59"),
        (951_782_400, "2000-02-29T00:00:00", "29/Feb/2000:00:00:00"),
        (1_798_761_599, "2026-12-31T23:59:59", "31/Dec/2026:23:59:59"),
    ] {
        let line = Line { time: Timestamp::from_secs(at), ..line() };
        let mut out = Vec::new();
        write(&mut out, Format::Json, &line, &mut seconds.0);
        write(&mut out, Format::Combined, &line, &mut seconds.1);
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains(&format!("\"time\":\"{json}.000Z\"")), "{text}");
        assert!(text.contains(&format!("[{combined} +0000]")), "{text}");
    }
}

#[test]
fn a_full_buffer_drops_lines_and_counts_them() {
    let dropped = Counter::default();
    let queue = Queue::new(Format::Json, dropped.clone());
    let long = vec![b'a'; 8 << 10];
    let line = Line { user_agent: &long, ..line() };
    let mut pushed = 0;
    while dropped.get() == 0 {
        queue.push(&line);
        pushed += 1;
        assert!(pushed < 1_000, "a mebibyte is full at some time");
    }
    queue.push(&line);
    assert_eq!(dropped.get(), 2);
    let held: Vec<u8> = queue.buffers.iter().flat_map(|buffer| buffer.lock().lines.clone()).collect();
    assert_eq!(held.iter().filter(|b| **b == b'\n').count(), pushed - 1);
    assert!(held.len() < BUFFER_AT_MOST + (16 << 10), "{} bytes", held.len());
    assert!(queue.next_orders().hurry, "the writer was told");
}

/// A folder that is gone after the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let folder = std::env::temp_dir().join(format!("larder-access-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn to(path: PathBuf) -> Settings {
    Settings { format: Format::Combined, output: Output::File(path) }
}

fn paths(file: &std::path::Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    text.lines().map(|line| line.split(' ').nth(6).unwrap_or_default().to_owned()).collect()
}

fn log(log: &AccessLog, path: &str) {
    log.log(|| Line { path: path.as_bytes(), query: None, ..line() });
}

#[test]
fn a_file_is_appended_to_and_holds_everything_once_it_is_flushed() {
    let folder = Folder::new("append");
    let file = folder.0.join("access.log");
    for (path, all) in [("/1", &["/1"][..]), ("/2", &["/1", "/2"][..])] {
        let access = AccessLog::start(&to(file.clone()), Clock::manual(NOON), Counter::default()).unwrap();
        log(&access, path);
        access.flush();
        assert_eq!(paths(&file), all);
    }
}

#[test]
fn a_file_that_was_moved_away_is_opened_anew() {
    let folder = Folder::new("reopen");
    let (file, old) = (folder.0.join("access.log"), folder.0.join("access.log.1"));
    let access = AccessLog::start(&to(file.clone()), Clock::manual(NOON), Counter::default()).unwrap();
    log(&access, "/1");
    access.flush();
    fs::rename(&file, &old).unwrap();
    log(&access, "/2");
    access.flush();
    access.reopen();
    access.flush();
    log(&access, "/3");
    access.flush();
    assert_eq!((paths(&old), paths(&file)), (vec!["/1".to_owned(), "/2".to_owned()], vec!["/3".to_owned()]));
}

#[test]
fn a_file_that_cannot_be_opened_is_an_error() {
    let folder = Folder::new("nowhere");
    let started = AccessLog::start(&to(folder.0.join("a/b")), Clock::manual(NOON), Counter::default());
    assert_eq!(started.err().map(|error| error.kind()), Some(io::ErrorKind::NotFound));
}

#[test]
fn what_is_off_is_not_even_looked_at() {
    let off = Settings { format: Format::Json, output: Output::Off };
    let access = AccessLog::start(&off, Clock::manual(NOON), Counter::default()).unwrap();
    access.log(|| panic!("nobody asked for a line"));
    access.flush();
    access.reopen();
}

/// An output that takes so many bytes at a time, or answers with an error.
struct Scripted {
    script: VecDeque<io::Result<usize>>,
    taken: Arc<Mutex<Vec<u8>>>,
}

impl Write for Scripted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.script.pop_front().unwrap_or(Ok(usize::MAX))?.min(bytes.len());
        self.taken.lock().extend_from_slice(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A writer whose output does this; what it has taken, and what was dropped.
fn scripted(script: Vec<io::Result<usize>>) -> (Writer, Arc<Mutex<Vec<u8>>>, Counter) {
    let (taken, dropped) = (Arc::new(Mutex::new(Vec::new())), Counter::default());
    let queue = Arc::new(Queue::new(Format::Json, dropped.clone()));
    let output: Box<dyn Write + Send> = Box::new(Scripted { script: script.into(), taken: taken.clone() });
    (Writer::new(queue, (output, None), Clock::manual(NOON)), taken, dropped)
}

fn full() -> io::Result<usize> {
    Err(io::ErrorKind::StorageFull.into())
}

#[test]
fn an_output_that_takes_little_at_a_time_gets_everything() {
    let interrupted = Err(io::ErrorKind::Interrupted.into());
    let (mut writer, taken, dropped) = scripted(vec![Ok(1), interrupted, Ok(2), Err(io::ErrorKind::WouldBlock.into())]);
    writer.write(b"one\ntwo\n");
    assert_eq!((taken.lock().as_slice(), dropped.get()), (&b"one\ntwo\n"[..], 0));
}

#[test]
fn lines_that_did_not_go_out_whole_are_counted_and_the_next_one_begins_anew() {
    let (mut writer, taken, dropped) = scripted(vec![Ok(6), full(), full()]);
    writer.write(b"one\ntwo\nthree\n");
    assert_eq!(dropped.get(), 2, "the second was torn, the third not begun");
    writer.write(b"four\n");
    assert_eq!(dropped.get(), 3, "there is still no room");
    writer.write(b"five\n");
    assert_eq!((taken.lock().as_slice(), dropped.get()), (&b"one\ntw\nfive\n"[..], 3));
}

#[test]
fn lines_that_were_not_begun_leave_no_empty_ones() {
    let (mut writer, taken, dropped) = scripted(vec![full(), Ok(0)]);
    for line in [b"one\n", b"two\n", b"six\n"] {
        writer.write(line);
    }
    assert_eq!((taken.lock().as_slice(), dropped.get()), (&b"six\n"[..], 2));
}
