//! Content coding of what is stored: one version, and for each request the coding that it asks for (RFC 9110, 8.4 and 12.5.3).

use crate::cache_control::commas;
use crate::message::contains_ignore_case;
use crate::weight::weighted;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

/// A coding that Larder makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Coding {
    /// RFC 8878.
    Zstd,
    /// RFC 7932.
    Brotli,
    /// RFC 1952.
    Gzip,
}

impl Coding {
    pub const ALL: [Coding; 3] = [Coding::Zstd, Coding::Brotli, Coding::Gzip];

    /// Its name in Content-Encoding and Accept-Encoding.
    pub fn as_str(self) -> &'static str {
        match self {
            Coding::Zstd => "zstd",
            Coding::Brotli => "br",
            Coding::Gzip => "gzip",
        }
    }

    /// Its place in tables.
    pub fn index(self) -> usize {
        match self {
            Coding::Zstd => 0,
            Coding::Brotli => 1,
            Coding::Gzip => 2,
        }
    }

    /// By name, in any case; `x-gzip` is `gzip` (RFC 9110, 8.4.1.3).
    pub fn named(name: &[u8]) -> Option<Self> {
        let is = |coding: &Coding| name.eq_ignore_ascii_case(coding.as_str().as_bytes());
        Coding::ALL.into_iter().find(is).or_else(|| name.eq_ignore_ascii_case(b"x-gzip").then_some(Coding::Gzip))
    }
}

/// What a client takes, in thousandths; 0 is not at all (RFC 9110, 12.4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    codings: [u16; 3],
    /// Of the body as it is; `None`: it is not spoken of, and is as good as anything that is accepted.
    identity: Option<u16>,
}

impl Accepted {
    /// From every Accept-Encoding line of a request. Without one, the body as it is: clients that understand codings say so
    /// (RFC 9110, 12.5.3 would let us choose). What is malformed counts for nothing.
    pub fn of<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut told: [Option<u16>; 3] = [None; 3];
        let (mut identity, mut others) = (None, None);
        for one in lines.flat_map(commas) {
            let Some((name, quality)) = weighted(one) else { continue };
            if name == b"*" {
                others = Some(quality);
            } else if name.eq_ignore_ascii_case(b"identity") {
                identity = Some(quality);
            } else if let Some(coding) = Coding::named(name) {
                told[coding.index()] = Some(quality);
            }
        }
        // `*` is what is not named, the body as it is too where it is refused.
        let codings = told.map(|quality| quality.or(others).unwrap_or(0));
        Accepted { codings, identity: identity.or(others.filter(|quality| *quality == 0)) }
    }

    pub fn takes(&self, coding: Coding) -> bool {
        self.codings[coding.index()] > 0
    }

    /// Whether the body as it is will not do.
    pub fn refuses_identity(&self) -> bool {
        self.identity == Some(0)
    }

    /// The coding to answer in: what the client likes best, and of what it likes as much, the first in `order`. `None`: the
    /// body as it is.
    pub fn best(&self, order: &[Coding]) -> Option<Coding> {
        let least = self.identity.unwrap_or(1).max(1);
        let mut best: Option<(Coding, u16)> = None;
        for coding in order {
            let quality = self.codings[coding.index()];
            if quality >= least && best.is_none_or(|(_, than)| quality > than) {
                best = Some((*coding, quality));
            }
        }
        best.map(|(coding, _)| coding)
    }
}

/// Fields that tell of the bytes of one form of a response: another form does without them (RFC 9530, 2; RFC 1864).
pub const OF_THE_BYTES: [HeaderName; 4] = [
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
];

/// A tag for what is made anew each time, and not always of the same bytes (RFC 9110, 8.8.1).
pub fn weak(etag: &[u8]) -> Vec<u8> {
    if etag.starts_with(b"W/") { etag.to_vec() } else { [b"W/", etag].concat() }
}

/// The smallest body that is worth a coding, in bytes: a smaller one fits into the packet that its head travels in.
pub const SMALLEST: u64 = 512;

/// Whether a response gains by a coding and may have one: a whole page of a kind that compresses, which is in no coding yet
/// and whose owner does not forbid it (RFC 9111, 5.2.2.6). `length`: of the body, where it is known.
pub fn is_codable(status: StatusCode, fields: &HeaderMap, length: Option<u64>) -> bool {
    status == StatusCode::OK
        && length.is_none_or(|length| length >= SMALLEST)
        && fields.get(header::CONTENT_TYPE).is_some_and(|kind| is_compressible(kind.as_bytes()))
        && !fields.contains_key(header::CONTENT_ENCODING)
        && !fields.contains_key(header::CONTENT_RANGE)
        && !forbids_transforming(fields)
}

/// Whether the owner of a response forbids that its bytes are changed on their way (RFC 9111, 5.2.2.6).
pub fn forbids_transforming(fields: &HeaderMap) -> bool {
    let forbids = |value: &HeaderValue| contains_ignore_case(value.as_bytes(), b"no-transform");
    fields.get_all(header::CACHE_CONTROL).iter().any(forbids)
}

/// Media types whose bytes compress: text, and what is text in disguise. Images, films and archives are compressed already.
fn is_compressible(content_type: &[u8]) -> bool {
    let kind = content_type.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
    let begins = |prefix: &[u8]| kind.get(..prefix.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(prefix));
    let ends =
        |suffix: &[u8]| kind.len() > suffix.len() && kind[kind.len() - suffix.len()..].eq_ignore_ascii_case(suffix);
    // Events come in small pieces and for hours: a coder for each of them would cost more memory than it saves bytes.
    (begins(b"text/") && !kind.eq_ignore_ascii_case(b"text/event-stream"))
        || ends(b"+json")
        || ends(b"+xml")
        || COMPRESSIBLE.iter().any(|other| kind.eq_ignore_ascii_case(other.as_bytes()))
}

const COMPRESSIBLE: [&str; 15] = [
    "application/json",
    "application/javascript",
    "application/x-javascript",
    "application/ecmascript",
    "application/xml",
    "application/x-ndjson",
    "application/wasm",
    "application/rtf",
    "application/graphql",
    "application/vnd.ms-fontobject",
    "font/ttf",
    "font/otf",
    "image/bmp",
    "image/x-icon",
    "image/vnd.microsoft.icon",
];

/// The entity tag of a response in a coding: another representation has another tag (RFC 9110, 8.8.3.3).
pub fn etag_in(etag: &[u8], coding: Coding) -> Vec<u8> {
    let end = etag.len().saturating_sub(usize::from(etag.ends_with(b"\"")));
    [&etag[..end], b"~", coding.as_str().as_bytes(), &etag[end..]].concat()
}

/// What a client sends in If-Match or If-None-Match, in the origin's own words: the tag of a coding is that of the body as it
/// is, which is strong. `None`: there is none of a coding among them.
pub fn etags_as_given(value: &[u8]) -> Option<Vec<u8>> {
    let given = |tag: &[u8]| -> Option<Vec<u8>> {
        let opaque = tag.strip_prefix(b"W/").unwrap_or(tag);
        let ends = |coding: &Coding| opaque.strip_suffix(format!("~{}\"", coding.as_str()).as_bytes());
        Coding::ALL.iter().find_map(ends).map(|begin| [begin, b"\""].concat())
    };
    let tags: Vec<&[u8]> = commas(value).map(<[u8]>::trim_ascii).collect();
    tags.iter().any(|tag| given(tag).is_some()).then(|| {
        let all: Vec<Vec<u8>> = tags.iter().map(|tag| given(tag).unwrap_or_else(|| tag.to_vec())).collect();
        all.join(&b", "[..])
    })
}

/// Whether a Vary field speaks of Accept-Encoding already.
pub fn varies_by_coding<'a>(vary: impl Iterator<Item = &'a [u8]>) -> bool {
    vary.flat_map(commas)
        .map(<[u8]>::trim_ascii)
        .any(|name| name == b"*" || name.eq_ignore_ascii_case(b"accept-encoding"))
}
