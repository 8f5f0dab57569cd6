//! One file, as it is written beside.

use crate::store::disk::Disk;
use crate::store::disk::files::File;
use crate::store::disk::find::preamble_of;
use crate::store::disk::format::{self, BLOCK, SUM};
use crate::store::disk::names::Place;
use crate::store::{Body, Filed, Slot};
use std::io;
use std::path::Path;

/// Bodies up to here are written with their heads in one piece, in bytes.
const IN_ONE_PIECE: usize = 1 << 20;

/// Writes one file, all of it.
pub(super) fn write(disk: &Disk, name: &Path, slot: &Slot, id: u64, place: Place) -> io::Result<Box<dyn File>> {
    let mut bytes = format::encode_head(slot, id);
    let body = match slot {
        Slot::Response(response) => &response.body,
        Slot::Varies(_) => &Body::Held(bytes::Bytes::new()),
    };
    let file = disk.files.create(name)?;
    match body {
        Body::Held(body) if body.len() <= IN_ONE_PIECE => {
            format::append_body(&mut bytes, body, id);
            file.write_at(&bytes, 0)?;
        }
        Body::Held(body) => {
            file.write_at(&bytes, 0)?;
            let mut at = bytes.len() as u64;
            for (number, block) in body.chunks(BLOCK).enumerate() {
                bytes.clear();
                bytes.extend_from_slice(block);
                bytes.extend_from_slice(&format::block_sum(block, id, number as u64));
                file.write_at(&bytes, at)?;
                at += bytes.len() as u64;
            }
        }
        Body::Filed(filed) => {
            file.write_at(&bytes, 0)?;
            copy_body(disk, &*file, bytes.len() as u64, place, filed)?;
        }
    }
    Ok(file)
}

/// A body that stays as it is, with another head: its checksums go along.
fn copy_body(disk: &Disk, file: &dyn File, to: u64, place: Place, filed: &Filed) -> io::Result<()> {
    let old = disk.files.open(&place.path())?;
    let preamble = preamble_of(&*old)?.filter(|p| p.id == filed.id && p.body == filed.length);
    let Some(preamble) = preamble else {
        return Err(io::Error::new(io::ErrorKind::ResourceBusy, "another body is there by now"));
    };
    let length = filed.length + filed.length.div_ceil(BLOCK as u64) * SUM as u64;
    file.copy_from(&*old, preamble.body_from(), to, length)
}
