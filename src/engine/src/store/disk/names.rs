//! How files are named: after hashes, so that nothing that anybody asks for is ever part of a name.
//!
//! ```text
//! pages/<hash of the deployment>/<first byte of the key's hash>/<the key's hash>
//! pages/<hash of the deployment>/id      the deployment itself, in words
//! tmp/<process>/<number>                 what is being written
//! versions/<the key's hash>/<when it was generated>      what a page was before; there for what is pinned, too
//! ```

use crate::store::KeyHash;
use semantics::key;
use std::ffi::OsStr;
use std::path::PathBuf;
use xxhash_rust::xxh3::xxh3_64_with_seed;

pub(super) const PAGES: &str = "pages";
pub(super) const TMP: &str = "tmp";
/// The file that names a deployment in its directory.
pub(super) const ID: &str = "id";

/// Where a stored response lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    /// The deployment's hash.
    pub(super) dir: u64,
    pub(super) hash: KeyHash,
}

impl Place {
    pub(super) fn path(self) -> PathBuf {
        let mut path = String::with_capacity(PAGES.len() + 16 + 2 + 32 + 3);
        path.push_str(PAGES);
        path.push('/');
        hex(&mut path, u128::from(self.dir), 16);
        path.push('/');
        hex(&mut path, self.hash >> 120, 2);
        path.push('/');
        hex(&mut path, self.hash, 32);
        path.into()
    }

    /// The number of the directory that it lies in, within its deployment's.
    pub(super) fn shard(self) -> usize {
        shard_of(self.hash)
    }
}

pub(super) fn shard_of(hash: KeyHash) -> usize {
    usize::try_from(hash >> 120).unwrap_or_default()
}

/// The hash of the deployment in a key; `None`: it is no key.
pub(super) fn dir_of(seed: u64, key: &[u8], variant: bool) -> Option<u64> {
    key::deployment(key, variant).map(|deployment| dir_hash(seed, deployment))
}

pub(super) fn dir_hash(seed: u64, deployment: &[u8]) -> u64 {
    xxh3_64_with_seed(deployment, seed)
}

pub(super) fn dir_path(dir: u64) -> PathBuf {
    format!("{PAGES}/{dir:016x}").into()
}

pub(super) fn shard_path(dir: u64, shard: usize) -> PathBuf {
    format!("{PAGES}/{dir:016x}/{shard:02x}").into()
}

/// A name of so many hexadecimal digits, read back.
pub(super) fn number(name: &OsStr, digits: usize) -> Option<u128> {
    let name = name.to_str().filter(|name| name.len() == digits)?;
    let written = name.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if written { u128::from_str_radix(name, 16).ok() } else { None }
}

fn hex(out: &mut String, number: u128, digits: u32) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for at in (0..digits).rev() {
        out.push(char::from(DIGITS[usize::try_from(number >> (at * 4) & 0xf).unwrap_or_default()]));
    }
}
