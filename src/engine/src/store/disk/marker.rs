//! The file that makes a directory a store of Larder's: it has the seed of all hashes, and so of all names. Without it nothing
//! would be found again.
//!
//! ```text
//!   0  8  "LARDERS\n"
//!   8  2  version
//!  10  8  the seed
//!  18  8  XXH3-64 of what is before
//! ```

use super::Files;
use std::io;
use std::path::Path;
use xxhash_rust::xxh3::xxh3_64;

/// Its name.
pub const MARKER: &str = "store";
const BESIDE: &str = "store.new";
const MAGIC: &[u8; 8] = b"LARDERS\n";
const VERSION: u16 = 1;
const LENGTH: usize = 26;

/// The seed of a store; `None`: there is none, or it cannot be read.
///
/// # Errors
/// The disk's, other than that the file is not there.
pub fn read_seed(files: &dyn Files) -> io::Result<Option<u64>> {
    let mut bytes = [0; LENGTH];
    let file = match files.open(Path::new(MARKER)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let whole = file.read_at(&mut bytes, 0)? == LENGTH;
    let seed = bytes[10..18].try_into().map(u64::from_le_bytes).unwrap_or_default();
    Ok((whole && bytes[..] == marker(seed)[..]).then_some(seed))
}

/// Makes a directory a store with this seed.
///
/// # Errors
/// The disk's.
pub fn write_seed(files: &dyn Files, seed: u64) -> io::Result<()> {
    let _ = files.remove(Path::new(BESIDE));
    let file = files.create(Path::new(BESIDE))?;
    file.write_at(&marker(seed), 0)?;
    file.sync()?;
    files.rename(Path::new(BESIDE), Path::new(MARKER))?;
    files.sync_dir(Path::new(""))
}

fn marker(seed: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(LENGTH);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&seed.to_le_bytes());
    let sum = xxh3_64(&bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes
}
