//! A body in a coding while it is on its way: cheaply, and nothing is held back.

use semantics::coding::Coding;
use std::io::{self, Write};

/// Levels that cost about as much as sending what they save.
const ZSTD: i32 = 3;
const BROTLI: u32 = 4;
const GZIP: u32 = 4;
/// Of what was sent, so much is looked back at (a power of two): each stream holds that in memory.
const WINDOW: u32 = 17;

/// The coder of one body.
pub struct Stream(Coder);

enum Coder {
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
}

impl Stream {
    /// # Errors
    /// The coder's own: there is no memory for it.
    pub fn new(coding: Coding) -> io::Result<Self> {
        Ok(Stream(match coding {
            Coding::Zstd => {
                let mut coder = zstd::stream::write::Encoder::new(Vec::new(), ZSTD)?;
                coder.window_log(WINDOW)?;
                Coder::Zstd(coder)
            }
            Coding::Brotli => Coder::Brotli(Box::new(brotli::CompressorWriter::new(Vec::new(), 4096, BROTLI, WINDOW))),
            Coding::Gzip => Coder::Gzip(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(GZIP))),
        }))
    }

    /// The next piece of the body, coded so far that its receiver can read all of it.
    ///
    /// # Errors
    /// The coder's own.
    pub fn piece(&mut self, piece: &[u8]) -> io::Result<Vec<u8>> {
        self.writer().write_all(piece)?;
        self.writer().flush()?;
        Ok(std::mem::take(match &mut self.0 {
            Coder::Zstd(coder) => coder.get_mut(),
            Coder::Brotli(coder) => coder.get_mut(),
            Coder::Gzip(coder) => coder.get_mut(),
        }))
    }

    /// The end of the body.
    ///
    /// # Errors
    /// The coder's own.
    pub fn end(self) -> io::Result<Vec<u8>> {
        match self.0 {
            Coder::Zstd(coder) => coder.finish(),
            Coder::Brotli(coder) => Ok(coder.into_inner()),
            Coder::Gzip(coder) => coder.finish(),
        }
    }

    fn writer(&mut self) -> &mut dyn Write {
        match &mut self.0 {
            Coder::Zstd(coder) => coder,
            Coder::Brotli(coder) => coder,
            Coder::Gzip(coder) => coder,
        }
    }
}
