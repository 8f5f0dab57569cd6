//! Records as bytes, and back. Selectors stay hashes: they mean the same to whoever has the seed.

use super::super::codec::{Reader, Write};
use super::{Added, Mark, PrefixMarks, Records};
use semantics::Timestamp;

fn write_mark(out: &mut Vec<u8>, mark: Mark) {
    out.u64(mark.epoch);
    out.u64(mark.at.as_micros());
    out.u64(mark.validate);
}

fn read_mark(read: &mut Reader<'_>) -> Option<Mark> {
    Some(Mark { epoch: read.u64()?, at: Timestamp::from_micros(read.u64()?), validate: read.u64()? })
}

impl Records {
    pub(in crate::invalidate) fn dump(&self, out: &mut Vec<u8>) {
        out.reserve(self.soft.len() * 40 + self.hard.len() * 24 + self.prefixes.bytes() + self.added_bytes);
        out.push(u8::from(self.scoped));
        write_mark(out, self.folded);
        out.u64(self.forgotten);
        out.u64(self.distrusted);
        out.count(self.soft.len());
        // The oldest first: put back in this order, they fold in this order too.
        for (hash, mark) in self.soft.iter().rev() {
            out.u128(*hash);
            write_mark(out, *mark);
        }
        out.count(self.hard.len());
        for (hash, epoch) in sorted(&self.hard) {
            out.u128(*hash);
            out.u64(*epoch);
        }
        out.count(self.prefixes.len());
        for (key, marks) in self.prefixes.iter() {
            out.bytes(key);
            out.push(u8::from(marks.soft.is_some()) | u8::from(marks.hard.is_some()) << 1);
            marks.soft.iter().for_each(|mark| write_mark(out, *mark));
            marks.hard.iter().for_each(|epoch| out.u64(*epoch));
        }
        out.count(self.added.len());
        for (hash, all) in sorted(&self.added) {
            out.u128(*hash);
            out.count(all.len());
            for added in all {
                out.bytes(added.tag.as_bytes());
                out.u64(added.epoch);
            }
        }
    }

    pub(in crate::invalidate) fn restore(read: &mut Reader<'_>, seed: u64) -> Option<Self> {
        let mut records = Records::new(seed);
        records.scoped = read.u8()? != 0;
        records.folded = read_mark(read)?;
        records.forgotten = read.u64()?;
        records.distrusted = read.u64()?;
        for _ in 0..read.count()? {
            records.soft.put(read.u128()?, read_mark(read)?);
        }
        for _ in 0..read.count()? {
            records.hard.insert(read.u128()?, read.u64()?);
        }
        for _ in 0..read.count()? {
            let (key, which) = (read.bytes()?.to_vec(), read.u8()?);
            let soft = if which & 1 == 0 { None } else { Some(read_mark(read)?) };
            let hard = if which & 2 == 0 { None } else { Some(read.u64()?) };
            records.hard_prefixes += usize::from(hard.is_some());
            records.prefixes.insert(key, PrefixMarks { soft, hard });
        }
        for _ in 0..read.count()? {
            let (hash, count) = (read.u128()?, read.count()?);
            let all: Option<Vec<_>> =
                (0..count).map(|_| Some(Added { tag: read.text()?.to_owned(), epoch: read.u64()? })).collect();
            let all = all?;
            records.added_bytes += all.iter().map(|added| added.tag.len()).sum::<usize>();
            records.added.insert(hash, all);
        }
        Some(records)
    }
}

/// In one order, whatever the table's is: the same records are the same bytes.
fn sorted<V>(map: &std::collections::HashMap<u128, V>) -> Vec<(&u128, &V)> {
    let mut all: Vec<_> = map.iter().collect();
    all.sort_unstable_by_key(|(hash, _)| **hash);
    all
}
