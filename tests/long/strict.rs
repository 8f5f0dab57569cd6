//! HTTP/1.1 by the book (RFC 9112): what a string of bytes means, or that it means nothing from here on. A reading of
//! its own, so that it shares no mistake with Larder or pingora. It does not judge what is harmless: methods, hosts,
//! the characters of a target.

use crate::dsl::{Lines, latin};

/// A request whose head is valid.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    /// Without its query, and without scheme and host.
    pub path: String,
    pub fields: Lines,
}

/// Where a message ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Behind so many bytes.
    At(usize),
    /// Not here yet.
    More,
    /// Nobody can tell: whatever follows is no message.
    Bad(&'static str),
}

/// What stands at the beginning of some bytes.
#[derive(Debug)]
pub struct Reading {
    /// Once its head is whole.
    pub request: Option<Request>,
    pub end: End,
}

enum Framing {
    Length(usize),
    Chunked,
}

/// Reads one request.
pub fn request(bytes: &[u8]) -> Reading {
    let mut start = 0;
    // Empty lines before a request are skipped (RFC 9112, 2.2).
    while bytes[start..].starts_with(b"\r\n") {
        start += 2;
    }
    let Some(head_ends) = find(&bytes[start..], b"\r\n\r\n") else { return Reading { request: None, end: End::More } };
    let body = start + head_ends + 4;
    let (request, framing) = match request_head(&bytes[start..start + head_ends]) {
        Ok(read) => read,
        Err(why) => return Reading { request: None, end: End::Bad(why) },
    };
    Reading { request: Some(request), end: ahead(body, body_ends(&framing, &bytes[body..])) }
}

/// Requests one after the other.
#[derive(Debug, Default)]
pub struct Pipeline {
    /// Those with a valid head that stand where a request may.
    pub requests: Vec<Request>,
    /// So many of them have their whole bodies.
    pub whole: usize,
}

/// Every request that some bytes contain.
pub fn pipeline(bytes: &[u8]) -> Pipeline {
    let mut pipeline = Pipeline::default();
    let mut at = 0;
    loop {
        let reading = request(&bytes[at..]);
        pipeline.requests.extend(reading.request);
        let End::At(end) = reading.end else { return pipeline };
        pipeline.whole += 1;
        at += end;
    }
}

fn request_head(head: &[u8]) -> Result<(Request, Framing), &'static str> {
    let lines = lines(head)?;
    let (first, rest) = lines.split_first().ok_or("no request line")?;
    let words: Vec<&str> = first.split(' ').collect();
    let [method, target, version] = words[..] else { return Err("a request line that is not of three words") };
    if method.is_empty() || target.is_empty() || !matches!(version, "HTTP/1.1" | "HTTP/1.0") {
        return Err("a request line without method, target or version");
    }
    let fields = fields(rest)?;
    let framing = framing(&fields, version == "HTTP/1.1")?.unwrap_or(Framing::Length(0));
    Ok((Request { method: method.to_owned(), path: path(target), fields }, framing))
}

fn path(target: &str) -> String {
    let rest = match target.split_once("://") {
        Some((_, rest)) if !target.starts_with('/') => &rest[rest.find(['/', '?']).unwrap_or(rest.len())..],
        _ => target,
    };
    let path = rest.split('?').next().unwrap_or_default();
    if path.is_empty() { "/".to_owned() } else { path.to_owned() }
}

fn lines(head: &[u8]) -> Result<Vec<String>, &'static str> {
    let lines: Vec<String> = latin(head).split("\r\n").map(str::to_owned).collect();
    if lines.iter().any(|line| line.contains(['\r', '\n', '\0'])) { Err("a bare CR, LF or NUL") } else { Ok(lines) }
}

fn fields(lines: &[String]) -> Result<Lines, &'static str> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    let field = |line: &String| -> Result<(String, String), &'static str> {
        let (name, value) = line.split_once(':').ok_or("a line without a colon")?;
        if name.is_empty() || !name.bytes().all(token) {
            return Err("a name that is no token");
        }
        Ok((name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned()))
    };
    lines.iter().map(field).collect()
}

fn framing(fields: &Lines, http11: bool) -> Result<Option<Framing>, &'static str> {
    let values = |name: &str| -> Vec<&str> {
        fields.iter().filter(|(n, _)| n.as_str() == name).map(|(_, value)| value.as_str()).collect()
    };
    match (&values("content-length")[..], &values("transfer-encoding")[..]) {
        ([], []) => Ok(None),
        ([length], []) => Ok(Some(Framing::Length(canonical(length)?))),
        ([], [coding]) if http11 && coding.eq_ignore_ascii_case("chunked") => Ok(Some(Framing::Chunked)),
        ([], [_]) => Err("a Transfer-Encoding that is not chunked"),
        _ => Err("more than one framing field"),
    }
}

fn canonical(length: &str) -> Result<usize, &'static str> {
    let digits = !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit());
    let short = length == "0" || !length.starts_with('0');
    length.parse().ok().filter(|_| digits && short).ok_or("a Content-Length that is no plain number")
}

fn body_ends(framing: &Framing, bytes: &[u8]) -> End {
    match framing {
        Framing::Length(length) if bytes.len() >= *length => End::At(*length),
        Framing::Length(_) => End::More,
        Framing::Chunked => chunks_end(bytes),
    }
}

fn ahead(start: usize, end: End) -> End {
    if let End::At(at) = end { End::At(start + at) } else { end }
}

fn chunks_end(bytes: &[u8]) -> End {
    let mut at = 0;
    loop {
        let Some(length) = find(&bytes[at..], b"\r\n") else { return End::More };
        let Some(size) = chunk_size(&bytes[at..at + length]) else { return End::Bad("a chunk's size line") };
        at += length + 2;
        if size == 0 {
            return ahead(at, trailers_end(&bytes[at..]));
        }
        let end = at.saturating_add(size).saturating_add(2);
        match bytes.get(at..end) {
            None => return End::More,
            Some(chunk) if !chunk.ends_with(b"\r\n") => return End::Bad("a chunk that is longer than its size"),
            Some(_) => at = end,
        }
    }
}

fn chunk_size(line: &[u8]) -> Option<usize> {
    let line = latin(line);
    let (size, extension) = line.split_once(';').unwrap_or((line.as_str(), ""));
    let hex = !size.is_empty() && size.bytes().all(|b| b.is_ascii_hexdigit());
    let odd = extension.contains(['\r', '\n', '\0']);
    usize::from_str_radix(size, 16).ok().filter(|_| hex && !odd)
}

fn trailers_end(bytes: &[u8]) -> End {
    let mut at = 0;
    loop {
        let Some(length) = find(&bytes[at..], b"\r\n") else { return End::More };
        let line = &bytes[at..at + length];
        at += length + 2;
        if line.is_empty() {
            return End::At(at);
        }
        if line.iter().any(|b| matches!(b, b'\r' | b'\n' | 0)) {
            return End::Bad("a trailer line");
        }
    }
}

/// Answers one after the other, interim ones not counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Answers {
    pub whole: usize,
    /// The last one is cut off.
    pub cut: bool,
}

/// Reads what came back for these requests.
pub fn answers(bytes: &[u8], asked: &[Request]) -> Result<Answers, String> {
    let mut answers = Answers::default();
    let mut at = 0;
    while at < bytes.len() {
        let Some(head_ends) = find(&bytes[at..], b"\r\n\r\n") else {
            answers.cut = true;
            let begun = is_begun(&bytes[at..]);
            return if begun { Ok(answers) } else { Err(format!("at byte {at} stands no answer")) };
        };
        let (code, fields) = answer_head(&bytes[at..at + head_ends])?;
        at += head_ends + 4;
        if code < 200 {
            continue;
        }
        let to_head = asked.get(answers.whole).is_some_and(|request| request.method == "HEAD");
        match answer_ends(code, to_head, &fields, &bytes[at..])? {
            End::At(end) => at += end,
            End::More => {
                answers.cut = true;
                return Ok(answers);
            }
            End::Bad(why) => return Err(format!("an answer's body has {why}")),
        }
        answers.whole += 1;
    }
    Ok(answers)
}

fn is_begun(bytes: &[u8]) -> bool {
    b"HTTP/1.".iter().zip(bytes).all(|(wanted, found)| wanted == found)
}

fn answer_head(head: &[u8]) -> Result<(u16, Lines), String> {
    let lines = lines(head)?;
    let (first, rest) = lines.split_first().ok_or("no status line")?;
    let code = first.strip_prefix("HTTP/1.1 ").or_else(|| first.strip_prefix("HTTP/1.0 "));
    let code = code.and_then(|rest| rest.split(' ').next()).filter(|code| code.len() == 3);
    let code = code.and_then(|code| code.parse().ok()).ok_or_else(|| format!("the status line `{first}`"))?;
    Ok((code, fields(rest)?))
}

fn answer_ends(code: u16, to_head: bool, fields: &Lines, rest: &[u8]) -> Result<End, String> {
    // A HEAD that is refused before it is understood has an answer with a body, and the connection is closed.
    let bodiless = to_head && (rest.is_empty() || is_begun(rest));
    let framing = framing(fields, true)?;
    if bodiless || matches!(code, 204 | 304) {
        return Ok(End::At(0));
    }
    Ok(framing.map_or(End::At(rest.len()), |framing| body_ends(&framing, rest)))
}

/// Where these bytes stand first.
pub fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
