//! Bodies that stay on the disk: read block by block for everybody who gets them, each block checked before it is given out.

use super::Disk;
use super::files::File;
use super::find::preamble_of;
use super::format::{BLOCK, Bad, SUM, block_sum};
use super::names::Place;
use super::patience::LONG_DEADLINE;
use crate::store::{Filed, KeyHash};
use bytes::Bytes;
use std::io;
use std::sync::Arc;

/// Blocks that are read at a time.
const AT_A_TIME: u64 = 4;
/// So often a piece is read that the disk refuses to give.
const TRIES: u32 = 4;

/// A body that is being read from its file. The file may be replaced or removed meanwhile: this one stays as it is.
#[derive(Debug)]
pub struct BodyReader {
    file: Arc<dyn File>,
    disk: Arc<Disk>,
    place: Place,
    body: Filed,
    from: u64,
    /// What is given out next, and where it ends.
    at: u64,
    end: u64,
}

impl Disk {
    /// Opens the body of what is stored at a place; `None`: it is not there any more.
    pub(super) async fn open_body(self: &Arc<Self>, dir: u64, hash: KeyHash, body: Filed) -> Option<BodyReader> {
        let place = Place { dir, hash };
        let opened = self.read(LONG_DEADLINE, move |disk| {
            let file = disk.files.open(&place.path());
            let opened = file.and_then(|file| preamble_of(&*file).map(|preamble| (file, preamble)));
            let whole = disk.was_whole(place, &body);
            opened.and_then(|opened| if whole { Ok(opened) } else { Err(damaged()) })
        });
        let (file, preamble) = match opened.await? {
            Ok((file, preamble)) => (file, preamble?),
            Err(error) => {
                if is_damage(&error) {
                    self.is_bad(place, Bad::Damaged);
                } else if error.kind() != io::ErrorKind::NotFound {
                    self.health.failed("read", &error);
                }
                return None;
            }
        };
        let same = preamble.id == body.id && preamble.body == body.length;
        let from = preamble.body_from();
        let reader =
            || BodyReader { file: file.into(), disk: self.clone(), place, body, from, at: 0, end: body.length };
        same.then(reader)
    }

    /// Whether a body was whole when it was first asked for: that is found out once, before anybody gets its beginning.
    fn was_whole(&self, place: Place, body: &Filed) -> bool {
        if self.whole.lock().get(&body.id).is_some() {
            return true;
        }
        let whole = self.is_whole(place, body);
        if whole {
            self.whole.lock().put(body.id, ());
        }
        whole
    }

    /// Whether a body that stays in its file is what it should be; `true` where that cannot be told. For threads that may
    /// wait.
    pub(super) fn is_whole(&self, place: Place, body: &Filed) -> bool {
        let read = || {
            let file = self.files.open(&place.path())?;
            let Some(preamble) = preamble_of(&*file)? else { return Ok(()) };
            let blocks = body.length.div_ceil(BLOCK as u64);
            (0..blocks).try_for_each(|block| read_blocks(&*file, body, preamble.body_from(), block, 1).map(drop))
        };
        !matches!(read(), Err(error) if is_damage(&error))
    }
}

impl BodyReader {
    /// Gives out this part alone; both ends count.
    pub fn part(&mut self, first: u64, last: u64) {
        self.at = first.min(self.body.length);
        self.end = last.saturating_add(1).min(self.body.length);
    }

    /// The next piece; `None` after the last.
    ///
    /// # Errors
    /// The disk's, or the file was damaged: what follows is not the page.
    pub async fn chunk(&mut self) -> io::Result<Option<Bytes>> {
        if self.at >= self.end {
            return Ok(None);
        }
        let first = self.at / BLOCK as u64;
        let blocks = AT_A_TIME.min((self.end - 1) / BLOCK as u64 - first + 1);
        let read = self.read(first, blocks).await;
        match &read {
            Err(error) if is_damage(error) => self.disk.is_bad(self.place, Bad::Damaged),
            // It was counted when nobody waited any longer.
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
            Err(error) => self.disk.health.failed("read", error),
            Ok(_) => {}
        }
        let bytes = Bytes::from(read?);
        let begins = first * BLOCK as u64;
        let skipped = usize::try_from(self.at - begins).unwrap_or(usize::MAX).min(bytes.len());
        let upto = usize::try_from(self.end - begins).unwrap_or(usize::MAX).min(bytes.len());
        let chunk = bytes.slice(skipped..upto);
        self.at += chunk.len() as u64;
        if chunk.is_empty() { Err(damaged()) } else { Ok(Some(chunk)) }
    }

    /// The visitor has the head already, so that nothing else can answer him: what fails is tried again.
    async fn read(&self, first: u64, blocks: u64) -> io::Result<Vec<u8>> {
        let mut tries = 1;
        loop {
            let (file, body, from) = (self.file.clone(), self.body, self.from);
            let read = self.disk.read_on(move |_| read_blocks(&*file, &body, from, first, blocks)).await;
            match read.ok_or(io::ErrorKind::TimedOut)? {
                Err(error) if !is_damage(&error) && tries < TRIES => tries += 1,
                read => return read,
            }
        }
    }
}

fn read_blocks(file: &dyn File, body: &Filed, from: u64, first: u64, blocks: u64) -> io::Result<Vec<u8>> {
    let stride = (BLOCK + SUM) as u64;
    let whole = body.length + body.length.div_ceil(BLOCK as u64) * SUM as u64;
    let length = (blocks * stride).min(whole.saturating_sub(first * stride));
    let mut stored = vec![0; usize::try_from(length).unwrap_or_default()];
    if file.read_at(&mut stored, from + first * stride)? != stored.len() {
        return Err(damaged());
    }
    let mut bytes = Vec::with_capacity(stored.len());
    for (number, block) in (first..).zip(stored.chunks(BLOCK + SUM)) {
        let at = block.len().checked_sub(SUM).ok_or_else(damaged)?;
        let (block, sum) = block.split_at(at);
        if block_sum(block, body.id, number) != sum {
            return Err(damaged());
        }
        bytes.extend_from_slice(block);
    }
    Ok(bytes)
}

fn is_damage(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidData
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a block of a stored body is damaged")
}
