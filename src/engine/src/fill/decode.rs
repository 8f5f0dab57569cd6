//! Content codings that nobody asked for: fills ask for `identity`, and an origin that encodes anyway is decoded, so that no
//! client gets what it did not ask for (semantics 47).

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use semantics::coding::{OF_THE_BYTES, forbids_transforming, weak};
use std::io::{self, Read};

/// A coding that can be undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

/// How a body is encoded.
pub(super) enum Encoding {
    None,
    Known(Coding),
    /// Several codings, or one that we do not know or may not undo.
    Unknown,
}

pub(super) fn of(fields: &HeaderMap) -> Encoding {
    let lines = fields.get_all(header::CONTENT_ENCODING).into_iter().flat_map(|v| v.as_bytes().split(|b| *b == b','));
    let named = |coding: &&[u8]| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity");
    let mut codings = lines.map(<[u8]>::trim_ascii).filter(named);
    match (codings.next(), codings.next()) {
        (None, _) => Encoding::None,
        _ if forbids_transforming(fields) => Encoding::Unknown,
        (Some(one), None) => match one.to_ascii_lowercase().as_slice() {
            b"gzip" | b"x-gzip" => Encoding::Known(Coding::Gzip),
            b"deflate" => Encoding::Known(Coding::Deflate),
            b"br" => Encoding::Known(Coding::Brotli),
            b"zstd" => Encoding::Known(Coding::Zstd),
            _ => Encoding::Unknown,
        },
        (Some(_), Some(_)) => Encoding::Unknown,
    }
}

/// Why a body could not be decoded.
pub(super) enum Undecodable {
    Broken,
    TooLarge,
}

/// Undoes a coding. The result is at most `most` bytes, however small the input was.
pub(super) fn decode(body: &[u8], coding: Coding, most: usize) -> Result<Bytes, Undecodable> {
    // A redirect, say: there is nothing that could be coded.
    if body.is_empty() {
        return Ok(Bytes::new());
    }
    let mut decoded = Vec::new();
    let limit = most as u64 + 1;
    let read = match coding {
        Coding::Gzip => flate2::read::MultiGzDecoder::new(body).take(limit).read_to_end(&mut decoded),
        Coding::Deflate => inflate(body, limit, &mut decoded),
        Coding::Brotli => brotli::Decompressor::new(body, 4096).take(limit).read_to_end(&mut decoded),
        Coding::Zstd => zstd(body, limit, &mut decoded),
    };
    match read {
        Ok(_) if decoded.len() > most => Err(Undecodable::TooLarge),
        Ok(_) => Ok(Bytes::from(decoded)),
        Err(_) => Err(Undecodable::Broken),
    }
}

/// Some send the bare stream, without zlib's frame around it (RFC 9110, 8.4.1.2).
fn inflate(body: &[u8], limit: u64, decoded: &mut Vec<u8>) -> io::Result<usize> {
    flate2::read::ZlibDecoder::new(body).take(limit).read_to_end(decoded).or_else(|_| {
        decoded.clear();
        flate2::read::DeflateDecoder::new(body).take(limit).read_to_end(decoded)
    })
}

fn zstd(body: &[u8], limit: u64, decoded: &mut Vec<u8>) -> io::Result<usize> {
    zstd::stream::read::Decoder::new(body)?.take(limit).read_to_end(decoded)
}

/// The fields of a body that was decoded. A tag named the encoded form: it is still good for asking, but no longer strong.
pub(super) fn decoded_fields(fields: &mut HeaderMap) {
    for name in std::iter::once(&header::CONTENT_ENCODING).chain(&OF_THE_BYTES) {
        fields.remove(name);
    }
    let weak = fields.get(header::ETAG).map(|tag| HeaderValue::from_bytes(&weak(tag.as_bytes())));
    if let Some(Ok(weak)) = weak {
        fields.insert(header::ETAG, weak);
    }
}
