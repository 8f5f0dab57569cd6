//! What the journal writes beside numbers and byte strings.

use super::{Invalidation, Mode, Target};
pub(super) use crate::codec::{Reader, Write};

pub(super) trait WriteMore: Write {
    fn optional(&mut self, text: Option<&str>);
    fn invalidation(&mut self, one: &Invalidation);
}

impl WriteMore for Vec<u8> {
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
pub(super) trait ReadMore<'a> {
    fn optional(&mut self) -> Option<Option<&'a str>>;
    fn invalidation(&mut self) -> Option<Invalidation>;
}

impl<'a> ReadMore<'a> for Reader<'a> {
    fn optional(&mut self) -> Option<Option<&'a str>> {
        let is_there = self.u8()?;
        let text = self.text()?;
        Some((is_there != 0).then_some(text))
    }

    fn invalidation(&mut self) -> Option<Invalidation> {
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
}
