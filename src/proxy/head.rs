//! A request head, read strictly: one unambiguous reading, or a refusal (RFC 9112, 2-6; hardening "Traps" T23-T27).
//!
//! pingora's parser accepts bare LF, several lengths that agree, lists of transfer codings and illegal targets. What
//! gets past this module means the same to every parser behind it.

use super::{Limits, nominated};
use http::{StatusCode, Version};
use pingora::http::RequestHeader;
use semantics::{Field, Method};

/// Why a head is refused: the status, and what to tell the one who sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) what: &'static str,
}

const fn refuse(status: StatusCode, what: &'static str) -> Refusal {
    Refusal { status, what }
}

pub(super) const fn bad(what: &'static str) -> Refusal {
    refuse(StatusCode::BAD_REQUEST, what)
}

/// How the request's body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    None,
    Length(u64),
    Chunked,
}

/// A head that was accepted. Borrows the connection's buffer.
#[derive(Debug)]
pub(super) struct Head<'b> {
    pub(super) method: &'b str,
    pub(super) path: &'b str,
    pub(super) query: Option<&'b str>,
    /// The Host field, or the authority of an absolute target. `None` only in HTTP/1.0.
    pub(super) host: Option<&'b str>,
    pub(super) version: Version,
    pub(super) fields: Vec<Field<'b>>,
    pub(super) framing: Framing,
    pub(super) keep_alive: bool,
}

impl<'b> Head<'b> {
    pub(super) fn kind(&self) -> Method {
        Method::of(self.method)
    }

    /// A field's values, line by line.
    pub(super) fn values(&self, name: &str) -> impl DoubleEndedIterator<Item = &'b [u8]> {
        self.fields.iter().filter(move |f| f.is(name)).map(|f| f.value)
    }
}

/// Where the head ends in `buf`, its empty line included. Looks only at what arrived since `scanned`.
pub(super) fn end(buf: &[u8], scanned: usize) -> Option<usize> {
    let from = scanned.saturating_sub(3).min(buf.len());
    memchr::memmem::find(&buf[from..], b"\r\n\r\n").map(|at| from + at + 4)
}

/// Parses the bytes of one head, empty line included.
pub(super) fn parse<'b>(bytes: &'b [u8], limits: &Limits) -> Result<Head<'b>, Refusal> {
    let line_end =
        memchr::memchr(b'\r', bytes).filter(|at| *at + 2 < bytes.len()).ok_or(bad("the request line does not end"))?;
    if bytes[line_end + 1] != b'\n' {
        return Err(bad("the request line does not end in CRLF"));
    }
    let (method, target, version) = request_line(&bytes[..line_end], limits)?;
    let fields = parse_fields(&bytes[line_end + 2..], limits.headers.min(MAX_FIELDS))?;
    check_lines(bytes, fields.len() + 2)?;
    let (authority, path, query) = split_target(method, target)?;
    Head::of(method, (authority, path, query), version, fields, limits)
}

/// The most field lines that a configuration may allow.
const MAX_FIELDS: usize = 256;

/// Lines end in CRLF and nothing else: there are as many CR and as many LF as there are lines. What else a bare CR, a
/// NUL or a continuation line could do, the field parser refuses.
fn check_lines(bytes: &[u8], lines: usize) -> Result<(), Refusal> {
    let count = |wanted: u8| bytes.iter().filter(|b| **b == wanted).count();
    if count(b'\n') == lines && count(b'\r') == lines {
        Ok(())
    } else {
        Err(bad("a line of the request head does not end in CRLF"))
    }
}

fn request_line<'b>(line: &'b [u8], limits: &Limits) -> Result<(&'b str, &'b str, Version), Refusal> {
    let mut parts = line.split(|b| *b == b' ');
    let (Some(method), Some(target), Some(version), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(bad("the request line is not METHOD TARGET VERSION"));
    };
    let version = match version {
        b"HTTP/1.1" => Version::HTTP_11,
        b"HTTP/1.0" => Version::HTTP_10,
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => {
            return Err(refuse(StatusCode::HTTP_VERSION_NOT_SUPPORTED, "the HTTP version is not 1.0 or 1.1"));
        }
        _ => return Err(bad("the request line is not METHOD TARGET VERSION")),
    };
    check_request(method, target, limits)?;
    Ok((text(method)?, text(target)?, version))
}

pub(super) fn check_request(method: &[u8], target: &[u8], limits: &Limits) -> Result<(), Refusal> {
    if target.len() > limits.uri_bytes {
        return Err(refuse(StatusCode::URI_TOO_LONG, "the request target is longer than `limits.uri_bytes`"));
    }
    if !is_method(method) {
        return Err(bad("the request method is not a token"));
    }
    // RFC 3986 and what browsers leave unencoded in queries; no fragment, no quotes that logs and HTML would trip over.
    let visible = |b: &u8| matches!(b, 0x21..=0x7e) && !matches!(b, b'#' | b'"' | b'<' | b'>' | b'\\' | b'`');
    if target.is_empty() || !target.iter().all(visible) {
        return Err(bad("the request target has characters that must be percent-encoded"));
    }
    Ok(())
}

fn is_method(bytes: &[u8]) -> bool {
    let token = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
    !bytes.is_empty() && bytes.len() <= 32 && bytes.iter().all(token)
}

/// So much of a refused head is told of, in bytes.
const GLIMPSE: usize = 1024;

/// The method and the target of a head that was refused, as far as they can be told, for the log: nothing else may go
/// by them. Without a method, all that stands in the first line is the target.
pub(super) fn glimpse(bytes: &[u8]) -> (&[u8], &[u8]) {
    let bytes = &bytes[..bytes.len().min(GLIMPSE)];
    let line = bytes.split(|b| matches!(b, b'\r' | b'\n')).next().unwrap_or_default();
    let Some(at) = memchr::memchr(b' ', line).filter(|at| is_method(&line[..*at])) else { return (b"", line) };
    let (method, rest) = (&line[..at], &line[at + 1..]);
    let target = match memchr::memrchr(b' ', rest) {
        Some(at) if rest[at + 1..].starts_with(b"HTTP/") => &rest[..at],
        _ => rest,
    };
    (method, target)
}

fn text(bytes: &[u8]) -> Result<&str, Refusal> {
    std::str::from_utf8(bytes).map_err(|_| bad("the request line is not ASCII"))
}

/// Enough for browsers; setting up more slots than that would cost more than parsing them.
const USUAL_FIELDS: usize = 32;

fn parse_fields(bytes: &[u8], most: usize) -> Result<Vec<Field<'_>>, Refusal> {
    let mut usual = [httparse::EMPTY_HEADER; USUAL_FIELDS];
    match parse_into(bytes, &mut usual[..most.min(USUAL_FIELDS)]) {
        Err(httparse::Error::TooManyHeaders) if most > USUAL_FIELDS => {
            let mut many = [httparse::EMPTY_HEADER; MAX_FIELDS];
            parse_into(bytes, &mut many[..most])
        }
        parsed => parsed,
    }
    .map_err(|error| match error {
        httparse::Error::TooManyHeaders => too_many_fields(),
        _ => bad("a field of the request head is malformed"),
    })
}

pub(super) fn too_many_fields() -> Refusal {
    refuse(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "more fields than `limits.headers`")
}

pub(super) fn too_large() -> Refusal {
    refuse(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "the request head is larger than `limits.header_bytes`")
}

fn parse_into<'b>(bytes: &'b [u8], slots: &mut [httparse::Header<'b>]) -> Result<Vec<Field<'b>>, httparse::Error> {
    match httparse::parse_headers(bytes, slots)? {
        httparse::Status::Complete((_, parsed)) => {
            Ok(parsed.iter().map(|h| Field { name: h.name, value: h.value }).collect())
        }
        httparse::Status::Partial => Err(httparse::Error::NewLine),
    }
}

pub(super) type Target<'b> = (Option<&'b str>, &'b str, Option<&'b str>);

/// Origin-form, absolute-form, or `*` for OPTIONS (RFC 9112, 3.2).
pub(super) fn split_target<'b>(method: &str, target: &'b str) -> Result<Target<'b>, Refusal> {
    if method == "CONNECT" || method == "TRACE" {
        return Err(refuse(StatusCode::METHOD_NOT_ALLOWED, "this method is not served here"));
    }
    let (authority, rest) = if target.starts_with('/') {
        (None, target)
    } else if let Some(after) = strip_scheme(target) {
        let at = after.find(['/', '?']).unwrap_or(after.len());
        if at == 0 {
            return Err(bad("the request target has no host"));
        }
        (Some(&after[..at]), &after[at..])
    } else if target == "*" && method == "OPTIONS" {
        (None, target)
    } else {
        return Err(bad("the request target is neither a path nor an http URL"));
    };
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (rest, None),
    };
    Ok((authority, if path.is_empty() { "/" } else { path }, query))
}

fn strip_scheme(target: &str) -> Option<&str> {
    let (scheme, rest) = target.split_once("://")?;
    (scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")).then_some(rest)
}

impl<'b> Head<'b> {
    pub(super) fn of(
        method: &'b str,
        (authority, path, query): Target<'b>,
        version: Version,
        fields: Vec<Field<'b>>,
        limits: &Limits,
    ) -> Result<Self, Refusal> {
        let (framing, keep_alive) = (Framing::None, version >= Version::HTTP_11);
        let mut head = Head { method, path, query, host: authority, version, fields, framing, keep_alive };
        head.read_fields(limits)?;
        Ok(head)
    }

    /// Reads the fields that say how this message is to be taken.
    fn read_fields(&mut self, limits: &Limits) -> Result<(), Refusal> {
        let (mut host, mut length, mut coding) = (None, None, None);
        let mut for_us_alone = false;
        for field in &self.fields {
            match field.name.len() {
                4 if field.is("host") => once(&mut host, field.value, "there is more than one Host field")?,
                14 if field.is("content-length") => {
                    once(&mut length, field.value, "there is more than one Content-Length field")?;
                }
                17 if field.is("transfer-encoding") => {
                    once(&mut coding, field.value, "there is more than one Transfer-Encoding field")?;
                }
                10 if field.is("connection") => {
                    for option in field.value.split(|b| *b == b',').map(<[u8]>::trim_ascii) {
                        if option.eq_ignore_ascii_case(b"close") {
                            self.keep_alive = false;
                        } else if option.eq_ignore_ascii_case(b"keep-alive") {
                            self.keep_alive |= self.version == Version::HTTP_10;
                        } else {
                            for_us_alone = true;
                        }
                    }
                }
                6 if field.is("expect") => {
                    if !field.value.eq_ignore_ascii_case(b"100-continue") {
                        return Err(refuse(StatusCode::EXPECTATION_FAILED, "only `Expect: 100-continue` can be met"));
                    }
                    for_us_alone |= self.version == Version::HTTP_10;
                }
                _ => {}
            }
        }
        self.framing = framing(length, coding, self.version, limits)?;
        if for_us_alone {
            nominated::strip(&mut self.fields, self.version);
        }
        self.settle_host(host)
    }

    /// One authority, in one place (RFC 9112, 3.2.2: an absolute target must agree with Host).
    fn settle_host(&mut self, field: Option<&'b [u8]>) -> Result<(), Refusal> {
        let field = match field {
            Some(value) => Some(std::str::from_utf8(value).map_err(|_| bad("the Host field is not a host"))?),
            None if self.version == Version::HTTP_11 => return Err(bad("there is no Host field")),
            None if self.version == Version::HTTP_2 && self.host.is_none() => return Err(bad("there is no host")),
            None => None,
        };
        self.host = match (self.host, field) {
            (Some(target), Some(field)) if !target.eq_ignore_ascii_case(field) => {
                return Err(bad("the request target and the Host field name different hosts"));
            }
            (target, field) => target.or(field),
        };
        match self.host {
            Some(host) if !is_authority(host) => Err(bad("the Host field is not a host")),
            _ => Ok(()),
        }
    }
}

fn once<'b>(slot: &mut Option<&'b [u8]>, value: &'b [u8], what: &'static str) -> Result<(), Refusal> {
    if slot.replace(value).is_some() { Err(bad(what)) } else { Ok(()) }
}

fn framing(
    length: Option<&[u8]>,
    coding: Option<&[u8]>,
    version: Version,
    limits: &Limits,
) -> Result<Framing, Refusal> {
    match (length, coding) {
        (Some(_), Some(_)) => Err(bad("there are both Content-Length and Transfer-Encoding")),
        (None, None) => Ok(Framing::None),
        (None, Some(_)) if version != Version::HTTP_11 => Err(bad("this version of HTTP has no Transfer-Encoding")),
        (None, Some(coding)) if coding.eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
        (None, Some(_)) => {
            Err(refuse(StatusCode::NOT_IMPLEMENTED, "the only transfer coding that is understood is `chunked`"))
        }
        (Some(digits), None) => {
            let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
            let canonical = plain && (digits.len() == 1 || digits[0] != b'0');
            let length = std::str::from_utf8(digits).ok().filter(|_| canonical).and_then(|d| d.parse().ok());
            let Some(length) = length else { return Err(bad("Content-Length is not a plain number")) };
            if limits.body_bytes.is_some_and(|most| length > most) {
                return Err(refuse(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "the request body is larger than `limits.body_bytes`",
                ));
            }
            Ok(if length == 0 { Framing::None } else { Framing::Length(length) })
        }
    }
}

/// host [ ":" port ] (RFC 9110, 7.2): a name, an IPv4 address or a bracketed IPv6 address.
pub fn is_authority(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((v6, port)) if v6.parse::<std::net::Ipv6Addr>().is_ok() => ("v6", port),
            _ => return false,
        },
        None => match text.find(':') {
            Some(at) => text.split_at(at),
            None => (text, ""),
        },
    };
    let name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
    let port_ok = match port.strip_prefix(':') {
        None => port.is_empty(),
        Some(digits) => {
            digits.len() <= 5 && digits.bytes().all(|b| b.is_ascii_digit()) && digits.parse::<u16>().is_ok()
        }
    };
    !host.is_empty() && host.len() <= 253 && host.bytes().all(name) && !host.starts_with('.') && port_ok
}

/// The head as pingora's client wants it.
pub(super) fn owned(head: &Head<'_>) -> pingora::Result<RequestHeader> {
    let target = match head.query {
        Some(query) => format!("{}?{query}", head.path),
        None => head.path.to_owned(),
    };
    let mut owned = RequestHeader::build(head.method, target.as_bytes(), Some(head.fields.len() + 8))?;
    for field in &head.fields {
        owned.append_header(field.name.to_owned(), field.value)?;
    }
    if let Some(host) = head.host.filter(|_| !head.fields.iter().any(|field| field.is("host"))) {
        owned.insert_header(http::header::HOST, host)?;
    }
    owned.set_version(head.version);
    Ok(owned)
}

/// The head once more in canonical bytes, for pingora's road: what it reads is exactly what was judged here.
pub(super) fn rewrite(head: &Head<'_>, out: &mut bytes::BytesMut) {
    let mut put = |bytes: &[u8]| out.extend_from_slice(bytes);
    put(head.method.as_bytes());
    put(b" ");
    put(head.path.as_bytes());
    if let Some(query) = head.query {
        put(b"?");
        put(query.as_bytes());
    }
    put(if head.version == Version::HTTP_11 { b" HTTP/1.1\r\n" } else { b" HTTP/1.0\r\n" });
    if let Some(host) = head.host {
        put(b"Host: ");
        put(host.as_bytes());
        put(b"\r\n");
    }
    for field in head.fields.iter().filter(|f| !f.is("host") && !f.is("content-length")) {
        put(field.name.as_bytes());
        put(b": ");
        put(field.value);
        put(b"\r\n");
    }
    match head.framing {
        Framing::Length(length) => put(format!("Content-Length: {length}\r\n").as_bytes()),
        // An empty body that was announced stays announced: some origins insist on it.
        Framing::None if head.fields.iter().any(|f| f.is("content-length")) => put(b"Content-Length: 0\r\n"),
        Framing::None | Framing::Chunked => {}
    }
    put(b"\r\n");
}
