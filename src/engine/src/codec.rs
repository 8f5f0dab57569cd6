//! Numbers and byte strings, one after the other, little endian: strings have their length before them.

pub(crate) trait Write {
    fn u16(&mut self, n: u16);
    fn u32(&mut self, n: u32);
    fn u64(&mut self, n: u64);
    fn u128(&mut self, n: u128);
    fn count(&mut self, n: usize);
    fn bytes(&mut self, bytes: &[u8]);
}

impl Write for Vec<u8> {
    fn u16(&mut self, n: u16) {
        self.extend_from_slice(&n.to_le_bytes());
    }

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
        // Nothing here is so many: what it belongs to would not fit in a frame or a head either, and is refused there.
        self.u32(u32::try_from(n).unwrap_or(u32::MAX));
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.extend_from_slice(bytes);
    }
}

/// Every method is `None` where the bytes end too early.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes }
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*first)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    pub(crate) fn u128(&mut self) -> Option<u128> {
        self.take().map(u128::from_le_bytes)
    }

    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.u32()? as usize;
        let (bytes, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(bytes)
    }

    pub(crate) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    /// So many things of at least one byte each can still come.
    pub(crate) fn count(&mut self) -> Option<usize> {
        let count = self.u32()? as usize;
        (count <= self.rest.len()).then_some(count)
    }

    /// All of it was read.
    pub(crate) fn end(&self) -> Option<()> {
        self.rest.is_empty().then_some(())
    }
}
