//! Which URLs are one page (semantics 40 and 44): the normal form of a path, and the page behind a data URL.
//!
//! It knows what frameworks call the data of a page. It does not know which framework an origin runs: what looks like
//! a data URL counts as one, and at worst a file is invalidated with a page of its name.

/// A path in normal form (RFC 3986, 6.2.2.1 and 6.2.2.2): printable ASCII alone, see [`each_normal_byte`].
pub fn normal(path: &str) -> String {
    let mut normal = String::with_capacity(path.len());
    each_normal_byte(path.as_bytes(), |byte| {
        normal.push(char::from(byte));
        true
    });
    normal
}

/// A path or query as browsers send it: what may not stand in a request line is percent-encoded.
pub fn as_sent(text: &str) -> String {
    let mut sent = String::with_capacity(text.len());
    for byte in text.bytes() {
        if matches!(byte, 0x21..=0x7e) && !b"\"#<>\\`".contains(&byte) {
            sent.push(char::from(byte));
        } else {
            sent.push('%');
            sent.push(char::from(HEX[usize::from(byte >> 4)]));
            sent.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
    sent
}

/// The page paths, in normal form, that select what is stored at a path as received: the path itself first, then the
/// page whose data it gives, without and with a slash at the end (its data URL is the same for both).
pub fn pages_of(path: &str) -> Vec<String> {
    let path = normal(path);
    let Some(page) = behind(&path) else { return vec![path] };
    let (page, slashed) = (page.to_owned(), format!("{page}/"));
    if page.is_empty() { vec![path, slashed] } else { vec![path, page, slashed] }
}

/// The page whose data is at a normal path, without a slash at its end: the site's root is empty.
fn behind(path: &str) -> Option<&str> {
    let page = if let Some(data) = path.strip_prefix("/_next/data/") {
        next_data(data)?
    } else if let Some(page) = path.strip_suffix(".rsc") {
        rsc(page)
    } else if let Some(page) = path.strip_suffix(".data") {
        react_router(page)
    } else if let Some(page) = path.strip_suffix("__data.json") {
        // SvelteKit: `/a/__data.json`, and `/a.html__data.json` where the page's own path ends so.
        page.strip_suffix('/').or_else(|| page.ends_with(".html").then_some(page))?
    } else {
        // Nuxt; `.js` is for `renderJsonPayloads: false`.
        path.strip_suffix("/_payload.json").or_else(|| path.strip_suffix("/_payload.js"))?
    };
    // `/a/.data` is a file that begins with a dot.
    (!page.ends_with('/')).then_some(page)
}

/// Next.js' Pages Router: `<build>/<page>.json`, where the root is `index`, and a page that begins so has one more.
fn next_data(data: &str) -> Option<&str> {
    let page = data[data.find('/')?..].strip_suffix(".json")?;
    match page.strip_prefix("/index") {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => Some(rest),
        _ => Some(page),
    }
}

/// Next.js' App Router, as adapters store it: `<page>.rsc`, `<page>.prefetch.rsc` and
/// `<page>.segments/<segment>.segment.rsc`, where the root is `index`. React Router has `<page>.rsc` too.
fn rsc(rsc: &str) -> &str {
    let page = match rsc.strip_suffix(".segment").and_then(|segment| segment.rfind(".segments/")) {
        Some(end) => &rsc[..end],
        None => rsc.strip_suffix(".prefetch").unwrap_or(rsc),
    };
    if page == "/index" { "" } else { react_router(page) }
}

/// React Router's single fetch: the root is `_root`, and `_` stands behind a slash at the end where it minds slashes.
fn react_router(page: &str) -> &str {
    page.strip_suffix("/_root").or_else(|| page.strip_suffix("/_")).unwrap_or(page)
}

/// The normal form, byte by byte: unreserved characters decoded, other escapes in upper case; everything outside ASCII,
/// spaces, controls and a `%` that begins no escape encoded. Ends early, with `false`, where `emit` says so.
pub fn each_normal_byte(path: &[u8], mut emit: impl FnMut(u8) -> bool) -> bool {
    let mut rest = path;
    while let [byte, tail @ ..] = rest {
        rest = tail;
        let (value, encoded) = match (byte, tail) {
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    rest = after;
                    ((high << 4) | low, true)
                }
                _ => (*byte, true),
            },
            _ => (*byte, *byte == b'%' || !byte.is_ascii_graphic()),
        };
        let fine = if encoded && !is_unreserved(value) {
            emit(b'%') && emit(HEX[usize::from(value >> 4)]) && emit(HEX[usize::from(value & 15)])
        } else {
            emit(value)
        };
        if !fine {
            return false;
        }
    }
    true
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// RFC 3986, 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}
