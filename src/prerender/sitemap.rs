//! Sitemaps, read as they arrive (sitemaps.org, protocol 0.9): `<urlset>`, `<sitemapindex>`, and lists of one URL a
//! line, each of them plain or gzipped.
//!
//! Memory is bounded whatever arrives: a buffer, one tag or text, one URL. What a URL may be asked of, who fetches a
//! sitemap, and how deep indexes may nest is not known here: a location is handed on as it was written, unchecked.

mod input;
mod xml;

use input::Input;
use std::io::{self, BufRead, Read};
use std::ops::ControlFlow;

/// What a sitemap points at: the text of a `<loc>`, its entities decoded and the whitespace around it removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// From a `<urlset>`, or a line of a list.
    Page(String),
    /// From a `<sitemapindex>`: another sitemap.
    Sitemap(String),
}

/// How the answer says that it is written. Gzip is not asked about: it is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Xml,
    /// One URL a line. A document that begins with `<` is read as XML nevertheless.
    Lines,
}

impl Format {
    /// `text/plain` is a list of lines; everything else, and nothing, is XML.
    pub fn of(content_type: Option<&str>) -> Format {
        let essence = content_type.and_then(|value| value.split(';').next()).unwrap_or_default();
        if essence.trim().eq_ignore_ascii_case("text/plain") { Format::Lines } else { Format::Xml }
    }
}

/// How much of a sitemap is read before it is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the document, after gzip.
    pub bytes: u64,
    /// Locations.
    pub urls: u64,
    /// Bytes of one location. sitemaps.org has 2,048.
    pub loc: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { bytes: 1 << 30, urls: 10_000_000, loc: 2048 }
    }
}

/// What a document looks like that is no sitemap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looks {
    Nothing,
    Html,
    Json,
    /// RSS or Atom.
    Feed,
    OtherXml,
    /// A list of URLs that was not announced as `text/plain`.
    Urls,
    Text,
    Binary,
}

/// Why a sitemap was not read to its end. Positions are in bytes of the document after gzip.
#[derive(Debug)]
pub enum SitemapError {
    /// Something else was sent: an error page, say.
    NotASitemap { looks_like: Looks, begins_with: String },
    /// It is broken, cut off, or not in UTF-8.
    Malformed { at: u64, what: String },
    /// Well-formed, and without a single location: it would silently list nothing.
    Empty,
    /// More bytes than [`Limits::bytes`].
    TooLarge { limit: u64 },
    /// More locations than [`Limits::urls`].
    TooManyUrls { limit: u64 },
    /// A location of more bytes than [`Limits::loc`].
    LocTooLong { at: u64, limit: usize },
    /// The input failed.
    Read(io::Error),
    /// The consumer broke off.
    Stopped,
}

impl std::fmt::Display for SitemapError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotASitemap { looks_like, begins_with } => not_a_sitemap(f, *looks_like, begins_with),
            Self::Malformed { at, what } => {
                write!(f, "the sitemap is broken at byte {at}: {what}. Whatever generates it has to be repaired")
            }
            Self::Empty => f.write_str(
                "the sitemap holds no URL: it has no <loc> directly below a <url> or <sitemap>. Check what generates it",
            ),
            Self::TooLarge { limit } => {
                write!(f, "the sitemap has more than {limit} bytes (uncompressed). Split it, or raise the limit")
            }
            Self::TooManyUrls { limit } => {
                write!(f, "the sitemap has more than {limit} URLs. Split it, or raise the limit")
            }
            Self::LocTooLong { at, limit } => write!(
                f,
                "the sitemap has a URL of more than {limit} bytes at byte {at}. Shorten it, or take it out of the sitemap"
            ),
            Self::Read(cause) => write!(f, "reading the sitemap failed: {cause}. Try again"),
            Self::Stopped => f.write_str("reading the sitemap was broken off, because nobody wants the rest of it"),
        }
    }
}

impl std::error::Error for SitemapError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read(cause) => Some(cause),
            _ => None,
        }
    }
}

fn not_a_sitemap(f: &mut std::fmt::Formatter<'_>, looks_like: Looks, begins_with: &str) -> std::fmt::Result {
    let (this, hint) = match looks_like {
        Looks::Nothing => return f.write_str("this is an empty document, not a sitemap. Check the address"),
        Looks::Html => ("an HTML page", "Check the address, and that it is not answered with an error or a login page"),
        Looks::Json => ("JSON", "Check the address"),
        Looks::Feed => ("an RSS or Atom feed", "Feeds are not read: name a sitemap"),
        Looks::OtherXml => ("other XML", "The outermost element has to be <urlset> or <sitemapindex>"),
        Looks::Urls => ("a list of URLs", "It is read as one if it is sent with `Content-Type: text/plain`"),
        Looks::Text => ("some text", "Check the address"),
        Looks::Binary => ("binary data", "Check the address. Of compressions, gzip is understood, once"),
    };
    write!(f, "this is {this}, not a sitemap: it begins with `{begins_with}`. {hint}")
}

/// Reads a sitemap to its end, hands every location to `found`, and says how many there were.
///
/// Locations are handed on while the document is read. **What was found before an error has been handed on already.**
/// Two things are left out without an error: an empty `<loc/>`, and everything the protocol does not know (images,
/// videos, news, alternates), the `<image:loc>` of an image included.
///
/// # Errors
/// Whatever [`SitemapError`] lists; `Stopped` if `found` breaks off.
pub fn read(
    input: impl Read,
    format: Format,
    limits: &Limits,
    found: &mut dyn FnMut(Found) -> ControlFlow<()>,
) -> Result<u64, SitemapError> {
    let (start, mut input) = Input::open(Box::new(input), limits.bytes)?;
    let mut out = Out { limits, found, count: 0 };
    match input::sniff(&start, format)? {
        Format::Xml => xml::read(input, &mut out)?,
        Format::Lines => lines(&mut input, &mut out)?,
    }
    if out.count == 0 { Err(SitemapError::Empty) } else { Ok(out.count) }
}

/// Where locations go, and what may go there.
struct Out<'a> {
    limits: &'a Limits,
    found: &'a mut dyn FnMut(Found) -> ControlFlow<()>,
    count: u64,
}

impl Out<'_> {
    fn hand(&mut self, found: Found) -> Result<(), SitemapError> {
        if self.count >= self.limits.urls {
            return Err(SitemapError::TooManyUrls { limit: self.limits.urls });
        }
        self.count += 1;
        match (self.found)(found) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(SitemapError::Stopped),
        }
    }
}

/// What a line may have around its URL: whitespace, a byte order mark.
const AROUND_A_LINE: usize = 1024;

fn lines(input: &mut Input<'_>, out: &mut Out<'_>) -> Result<(), SitemapError> {
    let longest = out.limits.loc.saturating_add(AROUND_A_LINE);
    let mut line = Vec::new();
    let mut at = 0;
    loop {
        line.clear();
        input.next_piece();
        let read = input.by_ref().take(longest as u64).read_until(b'\n', &mut line);
        let read = read.map_err(|cause| input.why(cause).or_longer_than_a_piece(at))?;
        if read == 0 {
            return Ok(());
        }
        let text = std::str::from_utf8(&line).ok().map(|text| text.trim_start_matches('\u{feff}').trim());
        if text.is_some_and(|text| text.len() > out.limits.loc) || (read == longest && !line.ends_with(b"\n")) {
            return Err(SitemapError::LocTooLong { at, limit: out.limits.loc });
        }
        match text {
            Some("") => {}
            Some(url) if input::is_web_url(url) => out.hand(Found::Page(url.to_owned()))?,
            _ => {
                let what = format!("a list of URLs has one URL a line, and this is none: `{}`", input::excerpt(&line));
                return Err(SitemapError::Malformed { at, what });
            }
        }
        at += read as u64;
    }
}

#[cfg(test)]
#[path = "tests/sitemap.rs"]
mod tests;
