//! The XML of a sitemap: a walk that knows three levels, and steps over everything else.
//!
//! Namespaces are compared by prefix: `<url>` and `<loc>` count if theirs is the one of the outermost element. No
//! generator declares two prefixes for the namespace of sitemaps, and many get its URL wrong.

use super::input::{Input, excerpt};
use super::{Found, Looks, Out, SitemapError};
use quick_xml::Error;
use quick_xml::errors::IllFormedError;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesRef, Event};
use quick_xml::name::QName;
use quick_xml::reader::Reader;
use std::io;
use std::sync::Arc;

/// How deep elements that are stepped over may nest.
const DEPTH: u32 = 64;
/// Whitespace behind the URL of a `<loc>`, in bytes.
const AROUND_A_LOC: usize = 1024;
/// Elements that nobody but HTML begins with.
const HTML: [&str; 8] = ["html", "head", "body", "title", "meta", "script", "div", "p"];

/// Reads an XML sitemap to its end.
pub(super) fn read(input: Input<'_>, out: &mut Out<'_>) -> Result<(), SitemapError> {
    let mut reader = Reader::from_reader(input);
    // `<loc/>` is `<loc></loc>`.
    reader.config_mut().expand_empty_elements = true;
    let mut walk = Walk { out, place: Place::Before, skipping: 0, kind: Kind::Pages, prefix: None, loc: String::new() };
    let mut buffer = Vec::new();
    loop {
        buffer.clear();
        reader.get_mut().next_piece();
        let began = reader.buffer_position();
        let event = match reader.read_event_into(&mut buffer) {
            Ok(event) => event,
            Err(Error::Io(cause)) => return Err(walk.input_failed(reader.get_ref(), cause, began)),
            Err(error) => return Err(malformed(reader.error_position(), &words(&error))),
        };
        if walk.step(event, began)? == Next::Ended {
            return Ok(());
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Goes,
    Ended,
}

/// The innermost element that is not stepped over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The outermost element has not begun.
    Before,
    Root,
    /// `<url>`, or `<sitemap>` in an index.
    Entry,
    Loc,
    /// The outermost element has ended.
    After,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Pages,
    Sitemaps,
}

struct Walk<'a, 'o> {
    out: &'a mut Out<'o>,
    place: Place,
    /// How deep we are in elements that are stepped over.
    skipping: u32,
    kind: Kind,
    prefix: Option<String>,
    loc: String,
}

impl Walk<'_, '_> {
    /// `at`: where the event begins.
    fn step(&mut self, event: Event<'_>, at: u64) -> Result<Next, SitemapError> {
        match event {
            Event::Start(start) => self.start(start.name(), at)?,
            Event::End(_) => self.end(at)?,
            Event::Text(text) => self.text(&text.xml10_content(), at)?,
            Event::CData(text) => self.text(&text.xml10_content(), at)?,
            Event::GeneralRef(reference) => self.text(resolve(&reference, at)?.encode_utf8(&mut [0; 4]), at)?,
            Event::DocType(doctype) if is_html(&doctype) => return Err(not_a_sitemap(Looks::Html, "!DOCTYPE html")),
            Event::Eof => return self.eof(at),
            // Expanded to `Start` and `End`.
            Event::Empty(_) => {}
            Event::DocType(_) | Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
        }
        Ok(Next::Goes)
    }

    fn start(&mut self, name: QName<'_>, at: u64) -> Result<(), SitemapError> {
        let (local, prefix) = (name.local_name().into_inner(), name.prefix().map(|p| p.into_inner()));
        let entry = if self.kind == Kind::Pages { "url" } else { "sitemap" };
        let ours = prefix == self.prefix.as_deref();
        match self.place {
            Place::Before => {
                self.kind = match local {
                    "urlset" => Kind::Pages,
                    "sitemapindex" => Kind::Sitemaps,
                    _ => return Err(not_a_sitemap(other(local), name.0)),
                };
                self.prefix = prefix.map(str::to_owned);
                self.place = Place::Root;
            }
            Place::Root if self.skipping == 0 && ours && local == entry => self.place = Place::Entry,
            Place::Entry if self.skipping == 0 && ours && local == "loc" => {
                self.loc.clear();
                self.place = Place::Loc;
            }
            Place::Root | Place::Entry if self.skipping < DEPTH => self.skipping += 1,
            Place::Root | Place::Entry => {
                return Err(malformed(at, &format!("elements nested more than {DEPTH} deep")));
            }
            Place::Loc => return Err(malformed(at, &format!("<{}> within a <loc>", name.0))),
            Place::After => return Err(malformed(at, &format!("<{}> behind the end of the sitemap", name.0))),
        }
        Ok(())
    }

    fn end(&mut self, at: u64) -> Result<(), SitemapError> {
        if self.skipping > 0 {
            self.skipping -= 1;
            return Ok(());
        }
        self.place = match self.place {
            Place::Loc => {
                self.found(at)?;
                Place::Entry
            }
            Place::Entry => Place::Root,
            // The reader knows an end without a beginning.
            Place::Root | Place::Before | Place::After => Place::After,
        };
        Ok(())
    }

    fn text(&mut self, text: &str, at: u64) -> Result<(), SitemapError> {
        match self.place {
            Place::Loc => {
                let text = if self.loc.is_empty() { text.trim_start() } else { text };
                if self.loc.len() + text.len() > self.out.limits.loc.saturating_add(AROUND_A_LOC) {
                    return Err(self.loc_too_long(at));
                }
                self.loc.push_str(text);
            }
            Place::Root | Place::Entry => {}
            Place::Before | Place::After if text.trim().is_empty() => {}
            Place::Before => return Err(malformed(at, "text before the first element")),
            Place::After => return Err(malformed(at, "text behind the end of the sitemap")),
        }
        Ok(())
    }

    fn found(&mut self, at: u64) -> Result<(), SitemapError> {
        let loc = self.loc.trim();
        if loc.len() > self.out.limits.loc {
            return Err(self.loc_too_long(at));
        }
        if loc.is_empty() {
            return Ok(());
        }
        let loc = loc.to_owned();
        self.out.hand(if self.kind == Kind::Pages { Found::Page(loc) } else { Found::Sitemap(loc) })
    }

    fn eof(&self, at: u64) -> Result<Next, SitemapError> {
        match self.place {
            Place::After => Ok(Next::Ended),
            Place::Before => Err(malformed(at, "it ends before its first element")),
            Place::Root | Place::Entry | Place::Loc => {
                let root = if self.kind == Kind::Pages { "urlset" } else { "sitemapindex" };
                Err(malformed(at, &format!("it ends before </{root}>: it was cut off")))
            }
        }
    }

    fn loc_too_long(&self, at: u64) -> SitemapError {
        SitemapError::LocTooLong { at, limit: self.out.limits.loc }
    }

    fn input_failed(&self, input: &Input<'_>, cause: Arc<io::Error>, at: u64) -> SitemapError {
        match Arc::try_unwrap(cause) {
            Ok(cause) => match input.why(cause) {
                super::input::Why::Piece if self.place == Place::Loc => self.loc_too_long(at),
                why => why.or_longer_than_a_piece(at),
            },
            Err(shared) => SitemapError::Read(io::Error::new(shared.kind(), shared.to_string())),
        }
    }
}

/// The five entities of XML and characters by number; nothing that a document declares itself (XML 1.0, 4.1 and 4.6).
fn resolve(reference: &BytesRef<'_>, at: u64) -> Result<char, SitemapError> {
    let known = match reference.resolve_char_ref() {
        Ok(None) => resolve_xml_entity(reference).and_then(|text| text.chars().next()),
        Ok(character) => character.filter(|c| is_xml(*c)),
        Err(_) => None,
    };
    let what =
        || format!("`&{};` is no known character: a plain `&` is written `&amp;`", excerpt(reference.as_bytes()));
    known.ok_or_else(|| malformed(at, &what()))
}

/// XML 1.0, 2.2: Char.
fn is_xml(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

fn is_html(doctype: &str) -> bool {
    let name = doctype.split(|c: char| c.is_ascii_whitespace() || c == '[').next().unwrap_or_default();
    name.eq_ignore_ascii_case("html")
}

fn other(root: &str) -> Looks {
    if HTML.iter().any(|name| root.eq_ignore_ascii_case(name)) {
        return Looks::Html;
    }
    if matches!(root, "rss" | "feed" | "RDF") { Looks::Feed } else { Looks::OtherXml }
}

fn not_a_sitemap(looks_like: Looks, tag: &str) -> SitemapError {
    SitemapError::NotASitemap { looks_like, begins_with: format!("<{}>", excerpt(tag.as_bytes())) }
}

fn words(error: &Error) -> String {
    match error {
        Error::IllFormed(IllFormedError::UnclosedReference) => {
            "a `&` that begins no entity: a plain `&` is written `&amp;`".to_owned()
        }
        Error::IllFormed(IllFormedError::MismatchedEndTag { expected, found }) => {
            format!("</{}> where </{}> has to be", excerpt(found.as_bytes()), excerpt(expected.as_bytes()))
        }
        Error::IllFormed(IllFormedError::UnmatchedEndTag(found)) => {
            format!("</{}> ends what never began", excerpt(found.as_bytes()))
        }
        Error::Encoding(_) => "bytes that are no UTF-8".to_owned(),
        Error::Syntax(what) => what.to_string(),
        other => other.to_string(),
    }
}

fn malformed(at: u64, what: &str) -> SitemapError {
    // Parts of it are the document's.
    let what = what.chars().filter(|c| !c.is_control()).take(200).collect();
    SitemapError::Malformed { at, what }
}
