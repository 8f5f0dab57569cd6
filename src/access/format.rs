//! A request as one line of printable ASCII, whatever it consisted of: what could end the line, begin another or speak
//! to a terminal is escaped.

use super::{Format, Line};
use semantics::Timestamp;
use semantics::time::http_date;
use std::io::Write;

/// A second in words: most lines share it with the one before.
#[derive(Default)]
pub(super) struct Second {
    since_epoch: Option<u64>,
    text: Vec<u8>,
}

/// Longer values are cut, in bytes: one request must not fill the log.
const LONGEST_VALUE: usize = 8 << 10;

/// Appends the line to `out`, with its end.
pub(super) fn write(out: &mut Vec<u8>, format: Format, line: &Line<'_>, second: &mut Second) {
    match format {
        Format::Json => json(out, line, second),
        Format::Combined => combined(out, line, second),
    }
    out.push(b'\n');
}

fn json(out: &mut Vec<u8>, line: &Line<'_>, second: &mut Second) {
    out.extend_from_slice(b"{\"time\":\"");
    out.extend_from_slice(second.text(line.time, Format::Json));
    // Writing into a Vec cannot fail, here and below.
    let _ =
        write!(out, ".{:03}Z\",\"remote\":\"{}\",\"method\":\"", line.time.as_micros() / 1_000 % 1_000, line.remote);
    json_text(out, line.method);
    out.extend_from_slice(b"\",\"host\":\"");
    json_text(out, line.host);
    out.extend_from_slice(b"\",\"path\":\"");
    json_text(out, line.path);
    if let Some(query) = line.query {
        out.push(b'?');
        json_text(out, query);
    }
    let micros = line.took.as_micros();
    let (status, bytes) = (line.status, line.bytes);
    let _ = write!(
        out,
        "\",\"proto\":\"{}\",\"status\":{status},\"bytes\":{bytes},\"duration_ms\":{}.{:03},\
         \"cache\":\"{}\",\"route\":\"",
        line.proto,
        micros / 1_000,
        micros % 1_000,
        line.cache.as_str(),
    );
    json_text(out, line.route.as_bytes());
    out.extend_from_slice(b"\",\"ua\":\"");
    json_text(out, line.user_agent);
    out.extend_from_slice(b"\",\"referer\":\"");
    json_text(out, line.referer);
    out.extend_from_slice(b"\"}");
}

/// `$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"`
fn combined(out: &mut Vec<u8>, line: &Line<'_>, second: &mut Second) {
    let _ = write!(out, "{} - - [", line.remote);
    out.extend_from_slice(second.text(line.time, Format::Combined));
    out.extend_from_slice(b"] \"");
    combined_request(out, line);
    let _ = write!(out, "\" {} {} \"", line.status, line.bytes);
    combined_text(out, or_hyphen(line.referer));
    out.extend_from_slice(b"\" \"");
    combined_text(out, or_hyphen(line.user_agent));
    out.push(b'"');
}

/// The request line, as far as it is known.
fn combined_request(out: &mut Vec<u8>, line: &Line<'_>) {
    if line.method.is_empty() && line.path.is_empty() {
        out.push(b'-');
        return;
    }
    if !line.method.is_empty() {
        combined_text(out, line.method);
        out.push(b' ');
    }
    combined_text(out, line.path);
    if let Some(query) = line.query {
        out.push(b'?');
        combined_text(out, query);
    }
    if !line.proto.is_empty() {
        out.push(b' ');
        out.extend_from_slice(line.proto.as_bytes());
    }
}

fn or_hyphen(value: &[u8]) -> &[u8] {
    if value.is_empty() { b"-" } else { value }
}

/// What is written as it is, in both formats.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

/// Escapes as JSON does (RFC 8259, 7), and everything beyond ASCII too. JSON has no word for bytes that are not UTF-8:
/// they become the text `\xff`.
fn json_text(out: &mut Vec<u8>, value: &[u8]) {
    let value = &value[..value.len().min(LONGEST_VALUE)];
    if value.iter().all(|byte| is_plain(*byte)) {
        out.extend_from_slice(value);
        return;
    }
    for chunk in value.utf8_chunks() {
        for c in chunk.valid().chars() {
            match u8::try_from(c) {
                Ok(byte) if is_plain(byte) => out.push(byte),
                Ok(byte @ (b'"' | b'\\')) => out.extend_from_slice(&[b'\\', byte]),
                _ => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        let _ = write!(out, "\\u{unit:04x}");
                    }
                }
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\\\x{byte:02x}");
        }
    }
}

/// Escapes as nginx does: a quote is `\x22`, so that nobody who parses the line needs to know of escapes.
fn combined_text(out: &mut Vec<u8>, value: &[u8]) {
    let value = &value[..value.len().min(LONGEST_VALUE)];
    if value.iter().all(|byte| is_plain(*byte)) {
        out.extend_from_slice(value);
        return;
    }
    for byte in value {
        if is_plain(*byte) {
            out.push(*byte);
        } else {
            let _ = write!(out, "\\x{byte:02X}");
        }
    }
}

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

impl Second {
    fn text(&mut self, at: Timestamp, format: Format) -> &[u8] {
        let second = at.as_micros() / 1_000_000;
        if self.since_epoch != Some(second) {
            self.since_epoch = Some(second);
            self.text.clear();
            // `Sun, 06 Nov 1994 08:49:37 GMT`
            let date = http_date(at);
            let (day, month, year, time) = (&date[5..7], &date[8..11], &date[12..16], &date[17..25]);
            let _ = match format {
                Format::Json => {
                    let number = MONTHS.iter().position(|name| *name == month).unwrap_or_default() + 1;
                    write!(self.text, "{year}-{number:02}-{day}T{time}")
                }
                Format::Combined => write!(self.text, "{day}/{month}/{year}:{time} +0000"),
            };
        }
        &self.text
    }
}
