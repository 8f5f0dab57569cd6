//! The bytes of a sitemap: decompressed, counted against the limits, and looked at before they are read.

use super::{Format, Looks, SitemapError};
use flate2::read::MultiGzDecoder;
use std::io::{self, BufRead, BufReader, Cursor, Read};

/// What is looked at to tell what a document is, in bytes.
const START: u64 = 1024;
/// The longest single tag, comment or text, in bytes: the XML reader holds one of them in memory.
const PIECE: u64 = 256 << 10;
/// Bytes read at once.
const BUFFER: usize = 64 << 10;
/// What is shown of a document, in characters.
const EXCERPT: usize = 60;

const GZIP: &[u8] = b"\x1f\x8b";
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A document after gzip.
pub(super) struct Input<'r> {
    bytes: BufReader<Box<dyn Read + 'r>>,
    limit: u64,
    read: u64,
    /// Bytes of the current tag, comment or text.
    piece: u64,
}

impl<'r> Input<'r> {
    /// The beginning of the document, and the whole of it.
    pub(super) fn open(raw: Box<dyn Read + 'r>, limit: u64) -> Result<(Vec<u8>, Input<'r>), SitemapError> {
        // Gzip makes what it cannot compress a little longer. And it may be endless without ever yielding a byte.
        let left = limit.saturating_add(limit / 64).saturating_add(1024);
        let mut raw = Raw { raw, left };
        let magic = peek(&mut raw, 2).map_err(|cause| why(cause, 0, limit))?;
        let gzipped = magic == GZIP;
        let raw = Cursor::new(magic).chain(raw);
        let mut plain: Box<dyn Read + 'r> = if gzipped { Box::new(MultiGzDecoder::new(raw)) } else { Box::new(raw) };
        let start = peek(&mut plain, START).map_err(|cause| why(cause, 0, limit))?;
        let whole: Box<dyn Read + 'r> = Box::new(Cursor::new(start.clone()).chain(plain));
        Ok((start, Input { bytes: BufReader::with_capacity(BUFFER, whole), limit, read: 0, piece: 0 }))
    }

    /// A tag, comment, text or line begins.
    pub(super) fn next_piece(&mut self) {
        self.piece = 0;
    }

    /// What an error of this input means.
    pub(super) fn why(&self, cause: io::Error) -> Why {
        match cause.downcast::<Fault>() {
            Ok(Fault::Piece) => Why::Piece,
            Ok(fault) => Why::Other(fault.into_error(self.limit)),
            Err(cause) => Why::Other(why(cause, self.read, self.limit)),
        }
    }
}

impl BufRead for Input<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let have = self.bytes.fill_buf()?.len();
        let room = self.limit - self.read;
        let piece = PIECE - self.piece;
        if have > 0 && room == 0 {
            return Err(Fault::TooLarge.into());
        }
        if have > 0 && piece == 0 {
            return Err(Fault::Piece.into());
        }
        let may = usize::try_from(room.min(piece)).unwrap_or(usize::MAX);
        Ok(&self.bytes.buffer()[..have.min(may)])
    }

    fn consume(&mut self, amount: usize) {
        self.bytes.consume(amount);
        self.read += amount as u64;
        self.piece += amount as u64;
    }
}

impl Read for Input<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(into)?;
        self.consume(read);
        Ok(read)
    }
}

/// What stopped an [`Input`].
pub(super) enum Why {
    /// A tag, comment, text or line that is longer than can be held.
    Piece,
    Other(SitemapError),
}

impl Why {
    /// `at`: where the piece begins.
    pub(super) fn or_longer_than_a_piece(self, at: u64) -> SitemapError {
        match self {
            Why::Piece => {
                SitemapError::Malformed { at, what: format!("a tag, comment or text of more than {PIECE} bytes") }
            }
            Why::Other(error) => error,
        }
    }
}

/// What travels through gzip and the XML reader as an `io::Error`, and has to be told from theirs.
#[derive(Debug)]
enum Fault {
    Read(io::Error),
    TooLarge,
    Piece,
}

impl Fault {
    fn into_error(self, limit: u64) -> SitemapError {
        match self {
            Fault::Read(cause) => SitemapError::Read(cause),
            // A piece was told apart by [`Input::why`].
            Fault::TooLarge | Fault::Piece => SitemapError::TooLarge { limit },
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::error::Error for Fault {}

impl From<Fault> for io::Error {
    fn from(fault: Fault) -> Self {
        io::Error::other(fault)
    }
}

fn why(cause: io::Error, at: u64, limit: u64) -> SitemapError {
    match cause.downcast::<Fault>() {
        Ok(fault) => fault.into_error(limit),
        Err(cause) => SitemapError::Malformed { at, what: format!("its gzip data is damaged or cut off ({cause})") },
    }
}

/// The input as it was given: what it reports is marked as its own, and it ends at a limit.
struct Raw<'r> {
    raw: Box<dyn Read + 'r>,
    left: u64,
}

impl Read for Raw<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = loop {
            match self.raw.read(into) {
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(Fault::Read(cause).into()),
                Ok(read) => break read,
            }
        };
        self.left = self.left.checked_sub(read as u64).ok_or(Fault::TooLarge)?;
        Ok(read)
    }
}

fn peek(from: &mut impl Read, bytes: u64) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    from.take(bytes).read_to_end(&mut start)?;
    Ok(start)
}

/// How a document is read that begins like this.
pub(super) fn sniff(start: &[u8], format: Format) -> Result<Format, SitemapError> {
    if matches!(start, [0xfe, 0xff, ..] | [0xff, 0xfe, ..] | [0, b'<', ..] | [b'<', 0, ..] | [0, 0, 0, b'<', ..]) {
        let what = "it is written in UTF-16 or UTF-32, and a sitemap has to be in UTF-8".to_owned();
        return Err(SitemapError::Malformed { at: 0, what });
    }
    let text = start.strip_prefix(BYTE_ORDER_MARK).unwrap_or(start).trim_ascii_start();
    let looks_like = match text.first() {
        // Nothing but whitespace, as far as one can see.
        None if start.len() as u64 == START => return Ok(format),
        None => Looks::Nothing,
        Some(b'<') => return Ok(Format::Xml),
        Some(b'{' | b'[') => Looks::Json,
        Some(_) if is_web_url(&String::from_utf8_lossy(text.split(|b| *b == b'\n').next().unwrap_or(text))) => {
            if format == Format::Lines {
                return Ok(Format::Lines);
            }
            Looks::Urls
        }
        // The last character may be cut in two.
        Some(_) if std::str::from_utf8(text).is_err_and(|e| e.error_len().is_some()) || text.contains(&0) => {
            Looks::Binary
        }
        Some(_) => Looks::Text,
    };
    Err(SitemapError::NotASitemap { looks_like, begins_with: excerpt(text) })
}

/// Whether a line of a list is a URL, as far as a list is concerned: of the web, and in one word.
pub(super) fn is_web_url(line: &str) -> bool {
    let line = line.trim();
    let after = |scheme: &str| line.get(..scheme.len()).is_some_and(|s| s.eq_ignore_ascii_case(scheme));
    (after("http://") || after("https://")) && !line.contains(|c: char| c.is_whitespace() || c.is_control())
}

/// The beginning of something, fit to be shown in one line.
pub(super) fn excerpt(bytes: &[u8]) -> String {
    let bytes = &bytes[..bytes.len().min(4 * EXCERPT)];
    let text = String::from_utf8_lossy(bytes);
    let text = match std::str::from_utf8(bytes) {
        Err(e) if e.error_len().is_some() => bytes.escape_ascii().to_string(),
        _ => text.split_whitespace().collect::<Vec<_>>().join(" "),
    };
    let shown = text.chars().filter(|c| !c.is_control() && *c != char::REPLACEMENT_CHARACTER);
    shown.take(EXCERPT).collect()
}
