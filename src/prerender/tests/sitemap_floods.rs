//! Documents that are long, endless, or noise.

use super::{WILD, collect, gzip, loc, malformed, pages, urlset, xml};
use crate::prerender::sitemap::{Format, Found, Limits, SitemapError, read};
use flate2::Compression;
use flate2::read::GzEncoder;
use std::cell::Cell;
use std::io::{self, Read};
use std::ops::ControlFlow;

/// A document that is made while it is read: a head, parts as long as there are any, a tail.
struct Made<'a, F> {
    part: F,
    pending: Vec<u8>,
    taken: usize,
    next: u64,
    bytes: &'a Cell<u64>,
}

impl<'a, F: FnMut(u64) -> Option<String>> Made<'a, F> {
    fn new(bytes: &'a Cell<u64>, part: F) -> Self {
        Made { part, pending: Vec::new(), taken: 0, next: 0, bytes }
    }
}

impl<F: FnMut(u64) -> Option<String>> Read for Made<'_, F> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.pending.len() {
            self.pending = (self.part)(self.next).unwrap_or_default().into_bytes();
            self.next += 1;
            self.taken = 0;
        }
        let length = into.len().min(self.pending.len() - self.taken);
        into[..length].copy_from_slice(&self.pending[self.taken..self.taken + length]);
        self.taken += length;
        self.bytes.set(self.bytes.get() + length as u64);
        Ok(length)
    }
}

fn small(bytes: u64, urls: u64) -> Limits {
    Limits { bytes, urls, ..Limits::default() }
}

const MILLION: u64 = 1_000_000;

fn million(n: u64) -> Option<String> {
    match n {
        0 => Some("<urlset>".to_owned()),
        n if n <= MILLION => Some(format!("<url><loc>https://a.test/{:07}</loc></url>", n - 1)),
        n if n == MILLION + 1 => Some("</urlset>".to_owned()),
        _ => None,
    }
}

#[test]
fn a_million_urls_are_handed_on_as_they_arrive() {
    let made = Cell::new(0);
    let each = million(1).map_or(0, |part| part.len() as u64);
    let mut seen = 0;
    let end = read(Made::new(&made, million), Format::Xml, &Limits::default(), &mut |found| {
        if seen % 1000 == 0 {
            assert_eq!(found, Found::Page(format!("https://a.test/{seen:07}")));
        }
        seen += 1;
        let ahead = made.get() - seen * each;
        assert!(ahead < 128 << 10, "{ahead} bytes were read ahead");
        ControlFlow::Continue(())
    });
    assert_eq!(end.ok(), Some(MILLION));
    assert!(made.get() > 40_000_000);
}

#[test]
fn gzip_and_lines_are_handed_on_as_they_arrive() {
    let made = Cell::new(0);
    let urls = 30_000;
    let part =
        |n| (n <= urls).then(|| format!("<url><loc>{n}</loc></url>{}", if n == urls { "</urlset>" } else { "" }));
    let line = |n| (n < urls).then(|| format!("https://a.test/{n}\n"));
    let zipped = GzEncoder::new(Made::new(&made, |n| if n == 0 { million(0) } else { part(n) }), Compression::fast());
    let inputs: [(Box<dyn Read + '_>, Format); 2] =
        [(Box::new(zipped), Format::Xml), (Box::new(Made::new(&made, line)), Format::Lines)];
    for (input, format) in inputs {
        made.set(0);
        let mut early = 0;
        let end = read(input, format, &Limits::default(), &mut |_| {
            early = if early == 0 { made.get() } else { early };
            ControlFlow::Continue(())
        });
        assert_eq!(end.ok(), Some(urls));
        assert!(early > 0 && early < made.get(), "{format:?}: the first came after {early} of {} bytes", made.get());
    }
}

#[test]
fn urls_are_counted_and_the_allowed_ones_handed_on() {
    let three = urlset(&"<url><loc>/a</loc></url>".repeat(3));
    assert_eq!(collect(three.as_bytes(), Format::Xml, &small(9999, 3)).1.ok(), Some(3));
    let (found, end) = collect(three.as_bytes(), Format::Xml, &small(9999, 2));
    assert!(matches!(end, Err(SitemapError::TooManyUrls { limit: 2 })));
    assert_eq!(found.len(), 2);
}

#[test]
fn bytes_are_counted_after_gzip() {
    let length = WILD.len() as u64;
    for document in [WILD.as_bytes().to_vec(), gzip(WILD.as_bytes())] {
        assert_eq!(collect(&document[..], Format::Xml, &small(length, 9)).1.ok(), Some(3));
        let end = collect(&document[..], Format::Xml, &small(length - 1, 9)).1;
        assert!(matches!(end, Err(SitemapError::TooLarge { limit }) if limit == length - 1), "{end:?}");
    }
}

#[test]
fn endless_documents_end_at_the_limit() {
    let made = Cell::new(0);
    let endless: [(&str, &str); 4] = [
        ("<urlset>", "<url><loc>https://a.test/</loc></url>"),
        ("<urlset>", " <x/>"),
        ("<urlset>", "<url/>"),
        ("", "<!-- -->\n"),
    ];
    for (head, part) in endless {
        for zipped in [false, true] {
            made.set(0);
            let document = Made::new(&made, |n| Some(if n == 0 { format!("{head} ") } else { part.repeat(100) }));
            let input: Box<dyn Read> =
                if zipped { Box::new(GzEncoder::new(document, Compression::fast())) } else { Box::new(document) };
            let end = collect(input, Format::Xml, &small(1_000_000, u64::MAX)).1;
            assert!(matches!(end, Err(SitemapError::TooLarge { limit: 1_000_000 })), "{part}: {end:?}");
            assert!(zipped || made.get() < 1_200_000, "{part}: {} bytes", made.get());
        }
    }
}

#[test]
fn endless_gzip_that_holds_nothing_ends_at_the_limit() {
    let nothing = gzip(b"").repeat(1000);
    let input = Cycle(&nothing, 0);
    let end = collect(input, Format::Xml, &small(1_000_000, 9)).1;
    assert!(matches!(end, Err(SitemapError::TooLarge { .. })), "{end:?}");
}

struct Cycle<'a>(&'a [u8], usize);

impl Read for Cycle<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = (&self.0[self.1..]).read(into)?;
        self.1 = (self.1 + read) % self.0.len();
        Ok(read)
    }
}

#[test]
fn a_piece_that_does_not_end_is_not_collected() {
    let made = Cell::new(0);
    let heads =
        ["<urlset a='", "<!--", "<urlset>", "<urlset><![CDATA[", "<?x", "<!DOCTYPE x [", "<urlset>&", "<", "<!-- -->"];
    for head in heads {
        made.set(0);
        let input = Made::new(&made, |n| {
            Some(if n == 0 { head.to_owned() } else { if head == "<!-- -->" { " " } else { "x" }.repeat(1000) })
        });
        let end = collect(input, Format::Xml, &Limits::default()).1;
        let Err(SitemapError::Malformed { what: said, .. }) = end else { panic!("{head}: {end:?}") };
        assert!(said.contains("more than 262144 bytes"), "{said}");
        assert!(made.get() < 400_000, "{head}: {}", made.get());
    }
}

#[test]
fn a_location_has_a_length() {
    let long = "x".repeat(2048);
    assert_eq!(pages(loc(&format!("\n   {long}\n    "))), [long.as_str()]);
    let endless = "y".repeat(1 << 20);
    let parts = "<![CDATA[xx]]>&amp;".repeat(2000);
    let blank = " ".repeat(2100);
    for inside in [format!("{long}x"), endless.clone(), parts, format!("x{blank}x"), format!("x{blank}<!---->{blank}")]
    {
        let end = xml(loc(&inside)).1;
        assert!(matches!(end, Err(SitemapError::LocTooLong { limit: 2048, .. })), "{end:?}");
    }
    for line in [format!("https://a.test/{long}"), format!("https://a.test/{endless}")] {
        let end = collect(format!("https://a.test/\n{line}\n").as_bytes(), Format::Lines, &Limits::default()).1;
        assert!(matches!(end, Err(SitemapError::LocTooLong { at: 16, .. })), "{end:?}");
    }
}

#[test]
fn nesting_has_a_bottom() {
    let nested =
        |depth: usize| urlset(&format!("{}{}<url><loc>/a</loc></url>", "<x>".repeat(depth), "</x>".repeat(depth)));
    assert_eq!(pages(nested(64)), ["/a"]);
    assert_eq!(malformed(nested(65)), "elements nested more than 64 deep");
    assert_eq!(malformed(nested(1_000_000)), "elements nested more than 64 deep");
}

/// Marsaglia's xorshift64: the same noise every time.
struct Noise(u64);

impl Noise {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound.max(1) as u64).unwrap()
    }
}

fn mutate(document: &mut Vec<u8>, noise: &mut Noise) {
    const WORDS: [&[u8]; 16] = [
        b"<",
        b">",
        b"&",
        b";",
        b"<!--",
        b"-->",
        b"<![CDATA[",
        b"]]>",
        b"<?",
        b"?>",
        b"/",
        b"<!DOCTYPE",
        b"\"",
        b"<loc>",
        b"</url>",
        b"\xff",
    ];
    let at = noise.below(document.len());
    match noise.below(6) {
        0 => document.truncate(at),
        1 => drop(document.drain(at..(at + noise.below(20)).min(document.len()))),
        2 => {
            let word = WORDS[noise.below(WORDS.len())];
            document.splice(at..at, word.iter().copied());
        }
        3 => {
            let copy = document[at..(at + noise.below(80)).min(document.len())].to_vec();
            let to = noise.below(document.len());
            document.splice(to..to, copy);
        }
        _ if at < document.len() => document[at] = noise.below(256).to_le_bytes()[0],
        _ => {}
    }
}

/// One byte at a time.
struct Drops<'a>(&'a [u8]);

impl Read for Drops<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = into.len().min(1);
        self.0.read(&mut into[..most])
    }
}

#[test]
fn noise_is_refused_and_never_a_panic() {
    let limits = Limits { bytes: 1 << 16, urls: 100, loc: 60 };
    let list = "https://a.test/1\r\n\nhttps://a.test/2\n".repeat(5);
    let index = WILD.replace("urlset", "sitemapindex").replace("<url", "<sitemap").replace("</url", "</sitemap");
    let documents = [WILD.as_bytes().to_vec(), index.into_bytes(), list.into_bytes(), gzip(WILD.as_bytes())];
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    let (mut read, mut refused) = (0, 0);
    for round in 0..8_000 {
        let mut document = documents[round % documents.len()].clone();
        for _ in 0..=noise.below(6) {
            mutate(&mut document, &mut noise);
        }
        let format = if round % 4 == 2 { Format::Lines } else { Format::Xml };
        let (found, end) = collect(&document[..], format, &limits);
        for Found::Page(url) | Found::Sitemap(url) in &found {
            assert!(!url.is_empty() && url.len() <= 60 && url.trim() == url, "{url:?}");
        }
        // How the bytes arrive makes no difference. (Where gzip breaks is found when it is read.)
        if round % 4 != 3 {
            let (by_drops, end_by_drops) = collect(Drops(&document), format, &limits);
            assert_eq!(by_drops, found, "round {round}");
            assert_eq!(format!("{end_by_drops:?}"), format!("{end:?}"), "round {round}");
        }
        *if end.is_ok() { &mut read } else { &mut refused } += 1;
    }
    assert!(read > 200 && refused > 2000, "{read} read, {refused} refused");
}

#[test]
fn pure_noise_is_refused() {
    let mut noise = Noise(7);
    for _ in 0..2000 {
        let length = noise.below(300);
        let mut document: Vec<u8> = (0..length).map(|_| noise.below(256).to_le_bytes()[0]).collect();
        if noise.below(2) == 0 {
            document.splice(0..0, *b"\x1f\x8b\x08");
        }
        assert!(xml(&document).1.is_err());
        assert!(collect(&document[..], Format::Lines, &Limits::default()).1.is_err());
    }
}
