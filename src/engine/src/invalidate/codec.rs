//! Numbers and byte strings, one after the other, little endian: strings have their length before them.

use super::{Invalidation, Mode, Target};

pub(super) trait Write {
    fn u32(&mut self, n: u32);
    fn u64(&mut self, n: u64);
    fn u128(&mut self, n: u128);
    fn count(&mut self, n: usize);
    fn bytes(&mut self, bytes: &[u8]);
    fn optional(&mut self, text: Option<&str>);
    fn invalidation(&mut self, one: &Invalidation);
}

impl Write for Vec<u8> {
    fn u32(&mut self, n: u32) {
        self.extend_from_slice(&n.to_le_bytes());
    }

    fn u64(&mut self, n: u64) {
        self.extend_from_slice(&n.to_le_bytes());
    }

    fn u128(&mut self, n: u128) {
        self.extend_from_slice(&n.to_le_bytes());
    }

    fn count(&mut self, n: usize) {
        // Nothing here is so many: what it belongs to would not fit in a frame either, and is refused there.
        self.u32(u32::try_from(n).unwrap_or(u32::MAX));
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.extend_from_slice(bytes);
    }

    fn optional(&mut self, text: Option<&str>) {
        self.push(u8::from(text.is_some()));
        self.bytes(text.unwrap_or_default().as_bytes());
    }

    fn invalidation(&mut self, one: &Invalidation) {
        let (kind, value) = match &one.target {
            Target::Path(value) => (0, value),
            Target::Prefix(value) => (1, value),
            Target::Route(value) => (2, value),
            Target::Tag(value) => (3, value),
        };
        let mode = match one.mode {
            Mode::Soft => 0,
            Mode::Validate => 1,
            Mode::Hard => 2,
        };
        self.extend_from_slice(&[kind, mode]);
        self.optional(one.host.as_deref());
        self.bytes(value.as_bytes());
    }
}

/// Every method is `None` where the bytes end too early, or say what cannot be.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes }
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*first)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    pub(super) fn u128(&mut self) -> Option<u128> {
        self.take().map(u128::from_le_bytes)
    }

    /// So many things of at least one byte each can still come.
    pub(super) fn count(&mut self) -> Option<usize> {
        let count = self.u32()? as usize;
        (count <= self.rest.len()).then_some(count)
    }

    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.u32()? as usize;
        let (bytes, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(bytes)
    }

    pub(super) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    pub(super) fn optional(&mut self) -> Option<Option<&'a str>> {
        let is_there = self.u8()?;
        let text = self.text()?;
        Some((is_there != 0).then_some(text))
    }

    pub(super) fn invalidation(&mut self) -> Option<Invalidation> {
        let (kind, mode) = (self.u8()?, self.u8()?);
        let host = self.optional()?.map(str::to_owned);
        let value = self.text()?.to_owned();
        let target = match kind {
            0 => Target::Path(value),
            1 => Target::Prefix(value),
            2 => Target::Route(value),
            3 => Target::Tag(value),
            _ => return None,
        };
        let mode = match mode {
            0 => Mode::Soft,
            1 => Mode::Validate,
            2 => Mode::Hard,
            _ => return None,
        };
        Some(Invalidation { target, host, mode })
    }

    /// All of it was read.
    pub(super) fn end(&self) -> Option<()> {
        self.rest.is_empty().then_some(())
    }
}
