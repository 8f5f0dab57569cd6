//! Request strings to begin with: as they should be, and as attackers write them. Behind each of the latter stands a
//! request for the marker's path, which nobody may be taken to ask for.

use crate::chance::Chance;

pub const PAGE: &str = "/p";

const HOST: &str = "Host: site.test\r\n";

/// Framing fields in front of `0 CRLF CRLF`.
const FRAMINGS: [&str; 36] = [
    "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
    "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
    "Content-Length: 5\r\nContent-Length: 6\r\n",
    "Content-Length: 5\r\nContent-Length: 5\r\n",
    "Content-Length: 5, 5\r\n",
    "Content-Length: 05\r\n",
    "Content-Length: +5\r\n",
    "Content-Length: -1\r\n",
    "Content-Length: 0x5\r\n",
    "Content-Length: 5 5\r\n",
    "Content-Length: 5;\r\n",
    "Content-Length: 5e0\r\n",
    "Content-Length:\r\n",
    "Content-Length: 18446744073709551617\r\n",
    "Content-Length : 5\r\n",
    "Content-Length\t: 5\r\n",
    " Content-Length: 5\r\n",
    "X: y\r\n\tContent-Length: 5\r\n",
    "Content_Length: 5\r\n",
    "Transfer-Encoding: xchunked\r\n",
    "Transfer-Encoding: identity\r\n",
    "Transfer-Encoding: gzip, chunked\r\n",
    "Transfer-Encoding: chunked, identity\r\n",
    "Transfer-Encoding: chunked, chunked\r\n",
    "Transfer-Encoding: , chunked\r\n",
    "Transfer-Encoding: \"chunked\"\r\n",
    "Transfer-Encoding: chunked;q=1\r\n",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
    "Transfer-Encoding: \x0bchunked\r\n",
    "Transfer-Encoding : chunked\r\n",
    "Transfer-Encoding:\r\n chunked\r\n",
    "X: y\rTransfer-Encoding: chunked\r\n",
    "X: y\nTransfer-Encoding: chunked\r\n",
    "X: \0\r\nTransfer-Encoding: chunked\r\n",
    "Connection: Content-Length\r\nContent-Length: 5\r\n",
];

/// Bodies that are chunked, or nearly.
const CHUNKS: [&str; 22] = [
    "\r\n\r\n",
    ";x\r\n\r\n",
    "-1\r\n\r\n",
    "0x1\r\na\r\n0\r\n\r\n",
    "1 \r\na\r\n0\r\n\r\n",
    "1\na\n0\n\n",
    "g\r\na\r\n0\r\n\r\n",
    "10000000000000000\r\na\r\n0\r\n\r\n",
    "ffffffffffffffff\r\na\r\n0\r\n\r\n",
    "1\r\nab\r\n0\r\n\r\n",
    "1\r\na0\r\n\r\n",
    "1\r\na\n0\r\n\r\n",
    "1\r\na\r\n0\r\nX: y\n\r\n\r\n",
    "1;x=\ny\r\na\r\n0\r\n\r\n",
    "1;x=\ry\r\na\r\n0\r\n\r\n",
    "0;\n\r\n\r\n",
    "0\r\n",
    "0\r\nX: y\r\n",
    "00\r\n\r\n",
    "1;x=\"y\"\r\na\r\n0;z\r\nX: y\r\n\r\n",
    "5\r\nhello\r\n0\r\nContent-Length: 9\r\n\r\n",
    "5\r\nhe",
];

/// Heads without their last empty line.
const HEADS: [&str; 22] = [
    "GET /p HTTP/1.1\nHost: site.test\n",
    "GET /p HTTP/1.1\r\nHost: site.test\nX: y\r\n",
    "GET /p HTTP/1.1\rXHost: site.test\r\n",
    "GET /p HTTP/1.1\r\nHost: site.test\rX: y\r\n",
    "GET /p HTTP/1.1\r\nHost: site.test\r\nX: a\0b\r\n",
    "GET /p HTTP/1.1\r\nHost: site.test\r\nX: a\r\n b\r\n",
    "GET /p HTTP/1.1\r\n Host: site.test\r\n",
    "GET /p HTTP/1.1\r\nHost : site.test\r\n",
    "GET /p HTTP/1.1\r\nHost: site.test\r\nno colon\r\n",
    "GET /p HTTP/1.1\r\nHost: site.test\r\n: no name\r\n",
    "GET /p HTTP/1.1\r\nHost: site.test\r\nX Y: z\r\n",
    "GET /p HTTP/1.1\r\nHost: site.test\r\nHost: evil.test\r\n",
    "GET /p HTTP/1.1\r\nHost: site.test, evil.test\r\n",
    "GET /p HTTP/1.1\r\nHost: evil.test@site.test\r\n",
    "GET /p HTTP/1.1\r\nHost: [::1\r\n",
    "GET /p HTTP/1.1\r\n",
    "GET /p HTTP/1.0\r\nTransfer-Encoding: chunked\r\nHost: site.test\r\n",
    "GET /p HTTP/1.1\r\nHost: site.test\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n",
    "GET /p HTTP/1.1\r\nHost: site.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 777\r\n",
    "GET /p HTTP/1.1\r\nHost: site.test\r\nExpect: 100-continue\r\nContent-Length: 300\r\n",
    "PURGE /p HTTP/1.1\r\nHost: site.test\r\n",
    "\r\n\r\nGET /p HTTP/1.1\r\nHost: site.test\r\n",
];

/// Targets, between one space and another.
const TARGETS: [&str; 20] = [
    "/a b",
    " /p",
    "/p ",
    "p",
    "*",
    "//p",
    "/../p",
    "/%2e%2e/p",
    "/p%00",
    "/p%0d%0aX:%20y",
    "/p;x=y",
    "/p#x",
    "/p\\..\\q",
    "/<p>",
    "http://site.test/p",
    "http://evil.test/p",
    "http://user@site.test/p",
    "http:///p",
    "ftp://site.test/p",
    "site.test:443",
];

/// A string for a marker: one of those above, or several, with some changes.
pub fn mutant(chance: &mut Chance, marker: &str) -> Vec<u8> {
    let mut bytes = original(chance, marker).into_bytes();
    let donor = original(chance, marker).into_bytes();
    if !chance.one_in(8) {
        chance.mutate(&mut bytes, &donor);
    }
    bytes
}

fn original(chance: &mut Chance, marker: &str) -> String {
    let smuggled = format!("GET {marker} HTTP/1.1\r\n{HOST}\r\n");
    match chance.below(10) {
        0 | 1 => sound(chance, marker, &smuggled),
        2 | 3 => {
            let framing = chance.pick(&FRAMINGS);
            format!("POST /echo HTTP/1.1\r\n{HOST}{framing}\r\n0\r\n\r\n{smuggled}")
        }
        4 | 5 => {
            let chunks = chance.pick(&CHUNKS);
            format!("POST /echo HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n{chunks}{smuggled}")
        }
        6 => format!("{}\r\n{smuggled}", chance.pick(&HEADS)),
        7 => {
            let (method, target) =
                (chance.pick(&["GET", "HEAD", "OPTIONS", "DELETE", "CONNECT"]), chance.pick(&TARGETS));
            format!("{method} {target} HTTP/1.1\r\n{HOST}\r\n{smuggled}")
        }
        // A request hidden in the body of one whose answer is known already.
        8 => sized("GET", PAGE, "", &smuggled),
        _ => (0..chance.within(2, 6)).map(|_| sound(chance, marker, &smuggled)).collect(),
    }
}

/// A request by the book.
fn sound(chance: &mut Chance, marker: &str, smuggled: &str) -> String {
    let fields = |lines: &str| format!("GET {PAGE} HTTP/1.1\r\n{HOST}{lines}\r\n");
    match chance.below(15) {
        0 | 1 => fields(""),
        2 => format!("HEAD {PAGE} HTTP/1.1\r\n{HOST}\r\n"),
        3 => format!("GET {marker}/cold?x=1 HTTP/1.1\r\n{HOST}Accept: */*\r\n\r\n"),
        4 => sized("POST", "/echo", "", smuggled),
        5 => sized("PUT", "/echo", "Expect: 100-continue\r\n", smuggled),
        6 => chunked(smuggled, ""),
        7 => chunked(smuggled, ";x=y"),
        8 => format!("GET http://site.test{PAGE} HTTP/1.1\r\n{HOST}\r\n"),
        9 => format!("OPTIONS * HTTP/1.1\r\n{HOST}\r\n"),
        10 => format!("GET {PAGE} HTTP/1.0\r\nConnection: keep-alive\r\n{HOST}\r\n"),
        11 => fields("Range: bytes=1-2\r\n"),
        12 => fields("Cookie: session=1\r\nX-Unknown: y\r\n"),
        13 => fields("Cache-Control: only-if-cached\r\nIf-None-Match: *\r\n"),
        _ => format!("DELETE {marker}/own HTTP/1.1\r\n{HOST}Content-Length: 0\r\n\r\n"),
    }
}

fn sized(method: &str, path: &str, lines: &str, body: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\n{HOST}{lines}Content-Length: {}\r\n\r\n{body}", body.len())
}

fn chunked(body: &str, extension: &str) -> String {
    let size = format!("{:x}{extension}", body.len());
    format!("POST /echo HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n{size}\r\n{body}\r\n0\r\nX: y\r\n\r\n")
}
