use super::{Format, Found, Limits, Looks, SitemapError, read};
use flate2::Compression;
use flate2::read::GzEncoder;
use std::io::{self, Read};
use std::ops::ControlFlow;

#[path = "sitemap_floods.rs"]
mod floods;

const NAMESPACE: &str = "xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\"";

/// What was handed on, and how it ended.
fn collect(input: impl Read, format: Format, limits: &Limits) -> (Vec<Found>, Result<u64, SitemapError>) {
    let mut found = Vec::new();
    let end = read(input, format, limits, &mut |one| {
        found.push(one);
        ControlFlow::Continue(())
    });
    (found, end)
}

fn xml(document: impl AsRef<[u8]>) -> (Vec<Found>, Result<u64, SitemapError>) {
    collect(document.as_ref(), Format::Xml, &Limits::default())
}

fn pages(document: impl AsRef<[u8]>) -> Vec<String> {
    let (found, end) = xml(&document);
    assert_eq!(end.expect("a sitemap"), found.len() as u64);
    found.into_iter().map(page).collect()
}

fn page(found: Found) -> String {
    match found {
        Found::Page(url) => url,
        Found::Sitemap(url) => panic!("a sitemap: {url}"),
    }
}

fn error(document: impl AsRef<[u8]>) -> SitemapError {
    xml(document).1.expect_err("no sitemap")
}

fn malformed(document: impl AsRef<[u8]>) -> String {
    match error(document) {
        SitemapError::Malformed { what, .. } => what,
        other => panic!("{other:?}"),
    }
}

fn looks(document: impl AsRef<[u8]>, format: Format) -> (Looks, String) {
    match collect(document.as_ref(), format, &Limits::default()).1 {
        Err(SitemapError::NotASitemap { looks_like, begins_with }) => (looks_like, begins_with),
        other => panic!("{other:?}"),
    }
}

fn urlset(inside: &str) -> String {
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<urlset {NAMESPACE}>{inside}</urlset>\n")
}

fn loc(inside: &str) -> String {
    urlset(&format!("<url><loc>{inside}</loc></url>"))
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut zipped = Vec::new();
    GzEncoder::new(plain, Compression::fast()).read_to_end(&mut zipped).expect("gzip");
    zipped
}

/// A sitemap with everything that is seen in the wild.
const WILD: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<?xml-stylesheet type="text/xsl" href="/sitemap.xsl"?>
<!-- generated -->
<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9" xmlns:image="http://www.google.com/schemas/sitemap-image/1.1"
        xmlns:video="http://www.google.com/schemas/sitemap-video/1.1" xmlns:xhtml="http://www.w3.org/1999/xhtml">
  <url id="1" data-note="a > b">
    <image:image><image:loc>https://a.test/not.png</image:loc><loc>https://a.test/not-either</loc></image:image>
    <loc>
      https://a.test/one?a=1&amp;b=2
    </loc>
    <lastmod>2026-01-01</lastmod>
    <xhtml:link rel="alternate" hreflang="de" href="https://a.test/nicht"/>
    <video:video><video:content_loc>https://a.test/not.mp4</video:content_loc></video:video>
  </url>
  <url><image:loc>https://a.test/not-at-all</image:loc><loc><![CDATA[https://a.test/two?a&b]]></loc></url>
  <unknown><url><loc>https://a.test/no</loc></url></unknown>
  <loc>https://a.test/no</loc>
  <sitemap><loc>https://a.test/no.xml</loc></sitemap>
  <url ><loc lang='x'>https://a.test/<!-- cut -->thr&#101;&#x65;</loc ></url >
  <url/><url><loc/><loc> </loc></url>
</urlset>
<!-- end -->
"#;

const WILD_PAGES: [&str; 3] = ["https://a.test/one?a=1&b=2", "https://a.test/two?a&b", "https://a.test/three"];

#[test]
fn only_the_loc_directly_below_a_url_is_a_page() {
    assert_eq!(pages(WILD), WILD_PAGES);
}

#[test]
fn an_index_lists_sitemaps() {
    let index = format!("<sitemapindex {NAMESPACE}><sitemap><loc>https://a.test/1.xml</loc></sitemap></sitemapindex>");
    let (found, end) = xml(index);
    assert_eq!((found, end.ok()), (vec![Found::Sitemap("https://a.test/1.xml".into())], Some(1)));
}

#[test]
fn a_prefix_is_fine_if_all_have_it() {
    let sitemap = r#"<ns:urlset xmlns:ns="http://www.sitemaps.org/schemas/sitemap/0.9">
        <ns:url><loc>no</loc><image:loc>no</image:loc><ns:loc>yes</ns:loc></ns:url></ns:urlset>"#;
    assert_eq!(pages(sitemap), ["yes"]);
}

#[test]
fn a_namespace_may_be_missing_or_wrong() {
    assert_eq!(pages("<urlset><url><loc>/a</loc></url></urlset>"), ["/a"]);
    assert_eq!(pages("<urlset xmlns='urn:x'><url><loc>/a</loc></url></urlset>"), ["/a"]);
}

#[test]
fn a_byte_order_mark_and_leading_space_are_fine() {
    assert_eq!(pages(format!("\u{feff}{WILD}")), WILD_PAGES);
    assert_eq!(pages(format!("\n\n {WILD}")), WILD_PAGES);
    assert_eq!(pages(format!("{}{WILD}", " ".repeat(5000))), WILD_PAGES);
}

#[test]
fn gzip_is_seen_not_asked_about() {
    assert_eq!(pages(gzip(WILD.as_bytes())), WILD_PAGES);
    let (one, two) = WILD.as_bytes().split_at(700);
    assert_eq!(pages([gzip(one), gzip(two)].concat()), WILD_PAGES, "two members");
}

#[test]
fn entities_are_decoded_once() {
    assert_eq!(pages(loc("&lt;&gt;&amp;&apos;&quot;&#228;&#xE4;")), ["<>&'\"ää"]);
    assert_eq!(pages(loc("a&amp;amp;b")), ["a&amp;b"]);
    assert_eq!(pages(loc("<![CDATA[a&amp;b]]>")), ["a&amp;b"]);
    assert_eq!(pages(loc("/bücher/日本")), ["/bücher/日本"]);
}

#[test]
fn an_entity_that_xml_does_not_have_is_refused() {
    let bomb = format!(
        "<!DOCTYPE urlset [<!ENTITY a \"aaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;\"><!ENTITY c \"&b;&b;&b;&b;\">]>\n{}",
        "<urlset><url><loc>&c;</loc></url></urlset>"
    );
    assert_eq!(malformed(bomb), "`&c;` is no known character: a plain `&` is written `&amp;`");
    let file =
        "<!DOCTYPE urlset [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><urlset><url><loc>&x;</loc></url></urlset>";
    assert!(malformed(file).contains("&x;"));
    for reference in ["&nbsp;", "&;", "&#;", "&#x;", "&#0;", "&#1;", "&#xd800;", "&#xffff;", "&#x110000;", "&#-1;"] {
        assert!(malformed(loc(reference)).contains("no known character"), "{reference}");
    }
    assert!(malformed(urlset("<news>caf&eacute;</news>")).contains("&eacute;"), "outside of a <loc>, too");
}

#[test]
fn a_bare_ampersand_is_refused_with_the_remedy() {
    assert!(malformed(loc("/?a=1&b=2")).contains("`&amp;`"));
}

#[test]
fn a_sitemap_without_urls_is_an_error() {
    for inside in
        ["", "<url></url>", "<url><loc/></url>", "<url><loc>  </loc></url>", "<url><image:loc>x</image:loc></url>"]
    {
        assert!(matches!(error(urlset(inside)), SitemapError::Empty), "{inside}");
    }
    assert!(matches!(error("<sitemapindex/>"), SitemapError::Empty));
    assert!(matches!(error("<a:urlset><url><loc>x</loc></url></a:urlset>"), SitemapError::Empty));
}

#[test]
fn html_is_called_html() {
    for page in [
        "<!DOCTYPE html><html><p>unclosed<br></html>",
        "<!doctype HTML PUBLIC \"-//W3C//DTD XHTML 1.0 Strict//EN\" \"x\"><html></html>",
        "\n<!-- served by x -->\n<HTML><head>",
        "<html lang=en><body>404 &nbsp;",
        "<head><title>",
        "<?xml version=\"1.0\"?><!DOCTYPE html>",
    ] {
        for format in [Format::Xml, Format::Lines] {
            assert_eq!(looks(page, format).0, Looks::Html, "{page}");
        }
    }
    let text = error("<!DOCTYPE html><html></html>").to_string();
    assert!(text.starts_with("this is an HTML page, not a sitemap: it begins with `<!DOCTYPE html>`"), "{text}");
}

#[test]
fn other_documents_are_called_what_they_are() {
    let is = |document: &str| looks(document, Format::Xml);
    assert_eq!(is("{\"error\":\r\n 404}"), (Looks::Json, "{\"error\": 404}".into()));
    assert_eq!(is("\u{feff}[]").0, Looks::Json);
    assert_eq!(is(""), (Looks::Nothing, String::new()));
    assert_eq!(is(" \n").0, Looks::Nothing);
    assert_eq!(is("<rss version='2.0'><channel/></rss>"), (Looks::Feed, "<rss>".into()));
    assert_eq!(is("<feed xmlns='http://www.w3.org/2005/Atom'/>").0, Looks::Feed);
    assert_eq!(is("<s:Envelope/>"), (Looks::OtherXml, "<s:Envelope>".into()));
    assert_eq!(is("https://a.test/\n").0, Looks::Urls);
    assert_eq!(is("Not found"), (Looks::Text, "Not found".into()));
    assert_eq!(looks(b"\x89PNG\r\n\x1a\n\0", Format::Xml), (Looks::Binary, "\\x89PNG\\r\\n\\x1a\\n\\x00".into()));
    assert_eq!(looks(gzip(&gzip(WILD.as_bytes())), Format::Xml).0, Looks::Binary, "gzipped twice");
    assert_eq!(looks("x".repeat(500), Format::Xml).1.len(), 60);
}

#[test]
fn utf_16_is_named() {
    let wide = |bytes: fn(u16) -> [u8; 2]| WILD.encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
    let (little, big) = (wide(u16::to_le_bytes), wide(u16::to_be_bytes));
    for document in [[b"\xff\xfe", &little[..]].concat(), [b"\xfe\xff", &big[..]].concat(), little, big] {
        assert!(malformed(&document).contains("UTF-16"));
        assert!(malformed(gzip(&document)).contains("UTF-16"));
    }
}

#[test]
fn bytes_that_are_no_utf_8_are_refused() {
    assert_eq!(malformed(b"<urlset><url><loc>/caf\xe9</loc></url></urlset>"), "bytes that are no UTF-8");
}

#[test]
fn what_is_broken_is_refused_with_its_place() {
    for (document, what) in [
        ("<urlset><url><loc>x</url></urlset>", "</url> where </loc> has to be"),
        ("<urlset></urlset></urlset>", "</urlset> ends what never began"),
        ("<urlset><url><loc>a<b/></loc></url></urlset>", "<b> within a <loc>"),
        ("<urlset></urlset><urlset/>", "<urlset> behind the end of the sitemap"),
        ("<urlset></urlset>x", "text behind the end of the sitemap"),
        ("<!-- -->x<urlset/>", "text before the first element"),
        ("<!-- only this -->", "it ends before its first element"),
    ] {
        assert_eq!(malformed(document), what);
    }
    let SitemapError::Malformed { at, .. } = error("<urlset><url>&what;</url></urlset>") else { panic!() };
    assert_eq!(at, 13);
}

#[test]
fn what_the_document_says_is_shown_in_one_short_line() {
    let text = error(format!("<urlset></{}\u{1b}[31m\n>", "x".repeat(9000))).to_string();
    assert!(text.len() < 300 && !text.contains(char::is_control), "{text}");
}

#[test]
fn a_document_cut_anywhere_is_an_error() {
    let end = WILD.find("</urlset>").expect("its end") + "</urlset>".len();
    for cut in 0..end {
        let (found, end) = xml(&WILD[..cut]);
        assert!(end.is_err(), "cut at {cut}");
        let expected = WILD_PAGES.into_iter().take(found.len());
        assert!(found.iter().cloned().map(page).eq(expected), "cut at {cut}: {found:?}");
    }
    assert_eq!(xml(&WILD[..end - 1]).0.len(), 3, "what was found before the error was handed on");
}

#[test]
fn gzip_cut_anywhere_is_an_error() {
    let zipped = gzip(WILD.as_bytes());
    for cut in 0..zipped.len() {
        let end = xml(&zipped[..cut]).1;
        assert!(
            matches!(end, Err(SitemapError::Malformed { .. } | SitemapError::NotASitemap { .. })),
            "{cut}: {end:?}"
        );
    }
    assert!(malformed(&zipped[..zipped.len() - 3]).contains("gzip data is damaged or cut off"));
    let mut damaged = zipped;
    let last = damaged.len() - 6;
    damaged[last] ^= 1;
    assert!(malformed(&damaged).contains("gzip"), "the checksum");
}

#[test]
fn lines_are_read_if_announced() {
    let limits = Limits::default();
    let list = "\u{feff}https://a.test/1\r\n\n  HTTP://a.test/2  \nhttps://a.test/3";
    for document in [list.as_bytes().to_vec(), gzip(list.as_bytes())] {
        let (found, end) = collect(&document[..], Format::Lines, &limits);
        let urls: Vec<String> = found.into_iter().map(page).collect();
        assert_eq!(urls, ["https://a.test/1", "HTTP://a.test/2", "https://a.test/3"]);
        assert_eq!(end.ok(), Some(3));
    }
    let (found, _) = collect(WILD.as_bytes(), Format::Lines, &limits);
    assert_eq!(found.len(), 3, "XML that is announced as text");
}

#[test]
fn a_line_that_is_no_url_is_refused() {
    for line in ["# comment", "/relative", "https://a.test/ and more", "ftp://a.test/", "https://a.test/\u{7f}"] {
        let document = format!("https://a.test/1\n{line}\nhttps://a.test/2");
        let (found, end) = collect(document.as_bytes(), Format::Lines, &Limits::default());
        assert_eq!(found.len(), 1, "{line}");
        assert!(matches!(end, Err(SitemapError::Malformed { at: 17, .. })), "{line}: {end:?}");
    }
    let (_, end) = collect(&b"https://a.test/1\nhttps://a.test/\xff"[..], Format::Lines, &Limits::default());
    assert!(matches!(end, Err(SitemapError::Malformed { .. })), "{end:?}");
    assert_eq!(looks("Not found", Format::Lines).0, Looks::Text);
}

#[test]
fn the_content_type_tells_lines_from_xml() {
    for (value, format) in [
        (None, Format::Xml),
        (Some("application/xml"), Format::Xml),
        (Some("text/plain"), Format::Lines),
        (Some("Text/Plain ; charset=utf-8"), Format::Lines),
        (Some("text/plainer"), Format::Xml),
        (Some(""), Format::Xml),
    ] {
        assert_eq!(Format::of(value), format, "{value:?}");
    }
}

#[test]
fn the_consumer_may_break_off() {
    let mut count = 0;
    let end = read(WILD.as_bytes(), Format::Xml, &Limits::default(), &mut |_| {
        count += 1;
        if count == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(matches!(end, Err(SitemapError::Stopped)));
    assert_eq!(count, 2);
}

/// Some bytes, an interruption, some more, and then an error.
struct Failing(Vec<Result<&'static [u8], io::ErrorKind>>);

impl Read for Failing {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Some(next) = self.0.pop() else { return Ok(0) };
        let bytes = next?;
        into[..bytes.len()].copy_from_slice(bytes);
        Ok(bytes.len())
    }
}

#[test]
fn an_input_that_fails_is_told_from_a_broken_sitemap() {
    for kind in [io::ErrorKind::UnexpectedEof, io::ErrorKind::InvalidData, io::ErrorKind::ConnectionReset] {
        let zipped: &'static [u8] = gzip(&vec![b' '; 4000]).leak();
        let filled: &'static [u8] = vec![b' '; 2000].leak();
        for (first, format) in [(filled, Format::Xml), (filled, Format::Lines), (&zipped[..20], Format::Xml)] {
            let parts = vec![Err(kind), Ok(first), Err(io::ErrorKind::Interrupted)];
            let (_, end) = collect(io::BufReader::new(Failing(parts)), format, &Limits::default());
            assert!(matches!(&end, Err(SitemapError::Read(cause)) if cause.kind() == kind), "{kind:?}: {end:?}");
        }
    }
}

#[test]
fn errors_are_written_for_people() {
    let cause = || io::Error::other("connection reset");
    for (error, words) in [
        (SitemapError::Empty, "holds no URL"),
        (SitemapError::TooLarge { limit: 5 }, "more than 5 bytes"),
        (SitemapError::TooManyUrls { limit: 5 }, "more than 5 URLs"),
        (SitemapError::LocTooLong { at: 7, limit: 5 }, "more than 5 bytes at byte 7"),
        (SitemapError::Read(cause()), "connection reset"),
        (SitemapError::Stopped, "broken off"),
        (SitemapError::Malformed { at: 7, what: "x".into() }, "at byte 7: x"),
    ] {
        assert!(error.to_string().contains(words), "{error}");
    }
    assert!(std::error::Error::source(&SitemapError::Read(cause())).is_some());
}
