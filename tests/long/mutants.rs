//! Answers of an origin that is not well: sound ones and nasty ones to begin with, then with some changes.

use crate::chance::{self, Chance};
use crate::dsl::latin;
use crate::recorder::Answer;

/// What the good version of every page says of itself, and no mutant does.
pub const TAG: &str = "\"good\"";

const CACHE: [&str; 8] = [
    "Cache-Control: s-maxage=0, stale-while-revalidate=600\r\n",
    "Cache-Control: s-maxage=60\r\n",
    "Cache-Control: public, max-age=31536000, immutable\r\n",
    "Cache-Control: max-age=60, must-revalidate\r\n",
    "Cache-Control: no-store\r\n",
    "Cache-Control: private, max-age=60\r\n",
    "Cache-Control: s-maxage=60\r\nVary: X-Kind\r\n",
    "",
];

/// What a body says of the case that it belongs to. Nobody comes upon the sum by chance.
pub fn name(case: usize) -> String {
    format!("case={case}:{:016x}", chance::checksum(format!("case {case}").as_bytes()))
}

/// The answer of one case: always the same in one run.
pub fn mutant(seed: u64, case: usize) -> Answer {
    let mut chance = Chance::of(seed, case);
    let body = format!("{} {}", name(case), "changed ".repeat(chance.below(20)));
    let (cache, other) = (chance.pick(&CACHE), chance.pick(&CACHE));
    let mut bytes = chance.pick(&shapes(cache, &body)).clone().into_bytes();
    let donor = chance.pick(&shapes(other, &body)).clone().into_bytes();
    if !chance.one_in(6) {
        chance.mutate(&mut bytes, &donor);
    }
    Answer { bytes, keep: chance.one_in(2) }
}

fn chunks(body: &str) -> String {
    let (one, two) = body.split_at(body.len() / 2);
    format!("{:x}\r\n{one}\r\n{:x}\r\n{two}\r\n0\r\n\r\n", one.len(), two.len())
}

fn shapes(cache: &str, body: &str) -> Vec<String> {
    let mut shapes = sound(cache, body);
    shapes.extend(odd(cache, body));
    shapes.extend(framed_badly(cache, body));
    shapes
}

fn ok(cache: &str, framing: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{cache}{framing}\r\n{body}")
}

fn sized(line: &str, cache: &str, body: &str) -> String {
    format!("{line}\r\n{cache}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// As it should be: sized, chunked, until the end of the connection, 304, interim answers.
fn sound(cache: &str, body: &str) -> Vec<String> {
    let whole = sized("HTTP/1.1 200 OK", cache, body);
    vec![
        whole.clone(),
        whole.clone(),
        ok(cache, "Transfer-Encoding: chunked\r\n", &chunks(body)),
        ok(
            cache,
            "Transfer-Encoding: chunked\r\nTrailer: X\r\n",
            &format!("{:x};a=b\r\n{body}\r\n0\r\nX: y\r\n\r\n", body.len()),
        ),
        ok(cache, "Connection: close\r\n", body),
        format!("HTTP/1.1 304 Not Modified\r\n{cache}ETag: {TAG}\r\n\r\n"),
        format!("HTTP/1.1 304 Not Modified\r\n{cache}\r\n"),
        format!("HTTP/1.1 304 Not Modified\r\n{cache}ETag: \"other\"\r\n\r\n"),
        format!("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n{whole}"),
        sized("HTTP/1.0 200 OK", cache, body),
        sized("HTTP/1.1 404 Not Found", cache, body),
        sized("HTTP/1.1 500 Internal Server Error", cache, body),
        sized("HTTP/1.1 301 Moved Permanently\r\nLocation: /elsewhere", cache, body),
    ]
}

/// Answers that are framed well, and that nobody sends.
fn odd(cache: &str, body: &str) -> Vec<String> {
    let many: String = (0..200).map(|n| format!("X-{n}: y\r\n")).collect();
    vec![
        sized("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-9/10", cache, body),
        sized("HTTP/1.1 204 No Content", cache, body),
        sized("HTTP/1.1 200 OK\r\nSet-Cookie: session=1", cache, body),
        sized("HTTP/1.1 200 OK\r\nVary: *", cache, body),
        sized("HTTP/1.1 200 OK\r\nContent-Encoding: gzip", cache, body),
        sized("HTTP/1.1 200 OK\r\nX: a\r\n b", cache, body),
        sized("HTTP/1.1 200 OK\r\nConnection: Cache-Control, X\r\nX: y", cache, body),
        sized(&format!("HTTP/1.1 200 OK\r\nX: {}", "y".repeat(70_000)), cache, body),
        ok(cache, &format!("{many}Content-Length: {}\r\n", body.len()), body),
        sized("HTTP/1.1 200 OK", cache, "").repeat(2),
        sized("HTTP/1.1 200 OK", cache, body).replace("\r\n", "\n"),
    ]
}

/// Answers of which nobody can tell where they end, or that end elsewhere.
fn framed_badly(cache: &str, body: &str) -> Vec<String> {
    let n = body.len();
    let whole = sized("HTTP/1.1 200 OK", cache, body);
    let length = |value: &str| ok(cache, &format!("Content-Length: {value}\r\n"), body);
    let coding = |value: &str| ok(cache, &format!("Transfer-Encoding: {value}\r\n"), &chunks(body));
    vec![
        length(&(n + 10).to_string()),
        length(&(n - 10).to_string()),
        length(&format!("{n}, {n}")),
        length(&format!("{n}\r\nContent-Length: {n}")),
        length(&format!("{n}\r\nContent-Length: {}", n - 5)),
        length(&format!("{n}\r\nTransfer-Encoding: chunked")),
        length(&format!("+{n}")),
        length("-1"),
        length("99999999999999999999"),
        coding("gzip, chunked"),
        coding("chunked, identity"),
        coding("xchunked"),
        ok(cache, "Transfer-Encoding: identity\r\n", body),
        ok(cache, "Transfer-Encoding: gzip\r\n", body),
        coding("chunked").replace("\r\n0\r\n", "\r\n"),
        coding("chunked").replace("\r\n0\r\n", "\r\n-0\r\n"),
        // An answer to nobody's request, on a connection that is kept.
        format!("{whole}{whole}"),
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n".to_owned() + body,
        whole.replacen("200", "2000", 1),
        whole.replacen("HTTP/1.1 200", "HTTP/1.1 099", 1),
        whole.replacen("HTTP/1.1", "HTTP/2", 1),
        whole.replacen("HTTP/1.1 200 OK", "ICY 200 OK", 1),
        "HTTP/1.1 100 Continue\r\n\r\n".repeat(50),
        whole.replacen("\r\n", "\r\nno colon\r\n", 1),
        String::new(),
    ]
}

/// Whether there is any reading, however kind, by which these bytes are an answer that has come to its end, told by a
/// length or by a last chunk. Where there is none, nothing of it may be stored.
pub fn possibly_whole(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    loop {
        let blank = rest.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
        rest = &rest[blank..];
        let Some(end) = head_end(rest) else { return false };
        let head = latin(&rest[..end]).to_ascii_lowercase();
        rest = &rest[end..];
        // An interim answer.
        if head.get(9..10) == Some("1") {
            continue;
        }
        let sized = head.split("content-length").skip(1).filter_map(first_number).any(|length| length <= rest.len());
        return sized || (head.contains("chunked") && last_chunk_comes(rest));
    }
}

/// Behind the first empty line, of whatever kind.
fn head_end(bytes: &[u8]) -> Option<usize> {
    (0..bytes.len()).filter(|at| bytes[*at] == b'\n').find_map(|at| match &bytes[at + 1..] {
        [b'\n', ..] => Some(at + 2),
        [b'\r', b'\n', ..] => Some(at + 3),
        _ => None,
    })
}

fn first_number(text: &str) -> Option<usize> {
    let digits = text.trim_start_matches(|c: char| !c.is_ascii_digit());
    digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn last_chunk_comes(mut rest: &[u8]) -> bool {
    while let Some(end) = rest.iter().position(|b| *b == b'\n') {
        let line = latin(&rest[..end]);
        let digits: String = line.trim().chars().take_while(char::is_ascii_hexdigit).collect();
        match usize::from_str_radix(&digits, 16) {
            Ok(0) => return true,
            Ok(size) => rest = rest.get((end + 1).saturating_add(size)..).unwrap_or_default(),
            // pingora takes a size line without digits for the last chunk.
            Err(_) => return line.trim().is_empty() || line.trim().starts_with(';'),
        }
        rest = rest.strip_prefix(b"\r\n").unwrap_or(rest);
    }
    false
}
