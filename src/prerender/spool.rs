//! Pages on their way from the lists to those who generate them: in memory, and from some number on in a file.

use super::own::Page;
use semantics::Scheme;
use std::io::{self, BufRead, BufReader, BufWriter, Seek, Write};
use tempfile::SpooledTempFile;

/// Up to here the pages are kept in memory, in bytes; beyond, in a file without a name.
const IN_MEMORY: usize = 4 << 20;

/// Pages on their way into the file.
pub(super) struct Spool {
    file: BufWriter<SpooledTempFile>,
    pub(super) count: u64,
}

impl Spool {
    pub(super) fn new() -> Self {
        Spool { file: BufWriter::new(SpooledTempFile::new(IN_MEMORY)), count: 0 }
    }

    /// # Errors
    /// The page does not fit in any more.
    pub(super) fn add(&mut self, page: &Page) -> io::Result<()> {
        let Page { scheme, host, target } = page;
        self.count += 1;
        writeln!(self.file, "{} {host} {target}", scheme.as_str())
    }

    pub(super) fn pages(self) -> Pages {
        let mut file = self.file.into_inner().unwrap_or_else(|_| SpooledTempFile::new(IN_MEMORY));
        // What cannot be wound back is read from where it is: from its end, so there is nothing.
        let _ = file.rewind();
        Pages(BufReader::new(file))
    }
}

/// Pages that were found, to be read back.
pub(super) struct Pages(BufReader<SpooledTempFile>);

impl Pages {
    /// The next ones, `count` at most. Blocks as files do.
    pub(super) fn next(&mut self, count: usize) -> Vec<Page> {
        let mut pages = Vec::with_capacity(count);
        let mut line = String::new();
        while pages.len() < count {
            line.clear();
            if self.0.read_line(&mut line).is_ok_and(|n| n > 0)
                && let Some(page) = read_back(line.trim_end())
            {
                pages.push(page);
            } else {
                break;
            }
        }
        pages
    }
}

fn read_back(line: &str) -> Option<Page> {
    let mut words = line.split(' ');
    let scheme = if words.next()? == Scheme::Https.as_str() { Scheme::Https } else { Scheme::Http };
    Some(Page { scheme, host: words.next()?.to_owned(), target: words.next()?.to_owned() })
}
