//! A chunked request body, watched as it passes (RFC 9112, 7.1). pingora reads an empty size line as the last chunk, and
//! any byte inside an extension; what gets past here ends in one place for every parser.

/// Where in the body the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In a size, with so many digits so far.
    Size {
        digits: u8,
        size: u64,
    },
    Extension {
        length: u16,
        size: u64,
    },
    /// The size line's LF is due.
    SizeEnd {
        size: u64,
    },
    Data {
        left: u64,
    },
    /// The CRLF after a chunk.
    DataCr,
    DataLf,
    /// In a line of the trailer section, with so many bytes so far.
    Trailer {
        length: u16,
    },
    TrailerEnd {
        empty: bool,
    },
    Done,
}

/// Follows one chunked body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunks(State);

/// The body is not what RFC 9112, 7.1 describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

/// An extension or a trailer line is at most so long, in bytes (our choice: nobody sends them).
const LINE_AT_MOST: u16 = 4096;

impl Default for Chunks {
    fn default() -> Self {
        Chunks(State::Size { digits: 0, size: 0 })
    }
}

impl Chunks {
    pub(super) fn is_done(&self) -> bool {
        self.0 == State::Done
    }

    /// Takes in what has arrived, and says how much of it belongs to this body.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<usize, Broken> {
        let mut at = 0;
        while at < bytes.len() && !self.is_done() {
            if let State::Data { left } = self.0 {
                let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len() - at);
                at += here;
                let left = left - here as u64;
                self.0 = if left == 0 { State::DataCr } else { State::Data { left } };
            } else {
                self.0 = next(self.0, bytes[at])?;
                at += 1;
            }
        }
        Ok(at)
    }
}

fn next(state: State, byte: u8) -> Result<State, Broken> {
    let text = matches!(byte, b'\t' | b' '..=b'~' | 0x80..);
    Ok(match (state, byte) {
        (State::Size { digits, size }, b) if b.is_ascii_hexdigit() && digits < 16 => {
            let digit = u64::from((b as char).to_digit(16).unwrap_or_default());
            State::Size { digits: digits + 1, size: size << 4 | digit }
        }
        (State::Size { digits: 1.., size }, b'\r') => State::SizeEnd { size },
        (State::Size { digits: 1.., size }, b';') => State::Extension { length: 0, size },
        (State::Extension { size, .. }, b'\r') => State::SizeEnd { size },
        (State::Extension { length, size }, _) if text && length < LINE_AT_MOST => {
            State::Extension { length: length + 1, size }
        }
        (State::SizeEnd { size: 0 }, b'\n') => State::Trailer { length: 0 },
        (State::SizeEnd { size }, b'\n') => State::Data { left: size },
        (State::DataCr, b'\r') => State::DataLf,
        (State::DataLf, b'\n') => State::Size { digits: 0, size: 0 },
        (State::Trailer { length }, b'\r') => State::TrailerEnd { empty: length == 0 },
        (State::Trailer { length }, _) if text && length < LINE_AT_MOST => State::Trailer { length: length + 1 },
        (State::TrailerEnd { empty: true }, b'\n') => State::Done,
        (State::TrailerEnd { empty: false }, b'\n') => State::Trailer { length: 0 },
        _ => return Err(Broken),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How much of the bytes is the body, and whether it is whole.
    fn read(bytes: &[u8]) -> Result<(usize, bool), Broken> {
        let mut chunks = Chunks::default();
        chunks.feed(bytes).map(|n| (n, chunks.is_done()))
    }

    #[test]
    fn a_body_ends_where_its_last_chunk_does() {
        assert_eq!(read(b"0\r\n\r\nGET"), Ok((5, true)));
        assert_eq!(read(b"5\r\nhello\r\n0\r\n\r\nGET /"), Ok((15, true)));
        assert_eq!(read(b"A;x=y\r\n0123456789\r\n0;z\r\nT: v\r\n\r\nrest"), Ok((32, true)));
        assert_eq!(read(b"5\r\nhel"), Ok((6, false)));
    }

    #[test]
    fn it_may_come_byte_by_byte() {
        let body = b"3\r\nabc\r\n10;e\r\n0123456789abcdef\r\n000\r\n\r\n";
        let mut chunks = Chunks::default();
        for byte in body {
            assert!(!chunks.is_done());
            assert_eq!(chunks.feed(&[*byte]), Ok(1));
        }
        assert!(chunks.is_done());
    }

    #[test]
    fn what_parsers_read_differently_is_broken() {
        for body in [
            &b"\r\n\r\n"[..],
            b";x\r\n\r\n",
            b"5\nhello\r\n0\r\n\r\n",
            b"5\r\nhello0\r\n\r\n",
            b"5\r\nhello\n0\r\n\r\n",
            b"0x5\r\nhello\r\n",
            b" 5\r\nhello\r\n",
            b"5 \r\nhello\r\n",
            b"-5\r\n",
            b"5;a\nb\r\nhello",
            b"5;a\0\r\nhello",
            b"11111111111111111\r\n",
            b"0\r\nT: v\n\r\n",
        ] {
            assert_eq!(read(body), Err(Broken), "{}", body.escape_ascii());
        }
    }
}
