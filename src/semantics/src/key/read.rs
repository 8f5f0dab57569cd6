//! Keys read back: what a stored response is for, where only its key is left.
//!
//! It knows the layout that is written in `key`, and neither the request nor its route.

/// What a key was made of. What was not UTF-8 has U+FFFD in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    pub deployment: String,
    pub scheme: String,
    pub host: String,
    /// As received.
    pub path: String,
    /// The keyed part of the query.
    pub query: Option<String>,
    /// The keyed fields that the request had, several lines joined by commas; a cookie is named `cookie:` and its name.
    pub fields: Vec<(String, String)>,
}

impl Key {
    /// The URL that is asked for with this key.
    pub fn url(&self) -> String {
        let Key { scheme, host, path, .. } = self;
        match &self.query {
            Some(query) => format!("{scheme}://{host}{path}?{query}"),
            None => format!("{scheme}://{host}{path}"),
        }
    }
}

/// Reads a primary key, or where `variant` says so the primary key that a variant's begins with. `None`: it is none.
pub fn read(key: &[u8], variant: bool) -> Option<Key> {
    let mut rest = Reader { rest: primary(key, variant)? };
    let deployment = text(rest.part()?);
    let scheme = text(rest.part()?);
    let host = text(rest.part()?);
    let path = text(rest.part()?);
    let query = rest.optional()?.map(text);
    let mut fields = Vec::new();
    while !rest.rest.is_empty() {
        let name = text(rest.part()?);
        fields.push((name, rest.lines()?.join(", ")));
    }
    Some(Key { deployment, scheme, host, path, query, fields })
}

/// Host and path of a key, as [`read`] finds them. Nothing is allocated.
pub fn host_and_path(key: &[u8], variant: bool) -> Option<(&[u8], &[u8])> {
    let mut rest = Reader { rest: primary(key, variant)? };
    let (_deployment, _scheme) = (rest.part()?, rest.part()?);
    Some((rest.part()?, rest.part()?))
}

/// The deployment of a key, as [`read`] finds it.
pub fn deployment(key: &[u8], variant: bool) -> Option<&[u8]> {
    Reader { rest: primary(key, variant)? }.part()
}

/// What comes after the deployment in a primary key.
pub(super) fn behind_deployment(primary: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader { rest: primary };
    reader.part()?;
    Some(reader.rest)
}

/// The primary key that a key is, or that a variant's begins with.
pub fn primary(key: &[u8], variant: bool) -> Option<&[u8]> {
    if variant { Reader { rest: key }.part() } else { Some(key) }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What is left of a key. Every method is `None` where the key ends too early.
#[derive(Clone, Copy)]
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn lines(&mut self) -> Option<Vec<String>> {
        let count = self.length()?;
        (0..count).map(|_| self.part().map(text)).collect()
    }

    fn optional(&mut self) -> Option<Option<&'a [u8]>> {
        let (mark, rest) = self.rest.split_first()?;
        self.rest = rest;
        match mark {
            0 => Some(None),
            1 => self.part().map(Some),
            _ => None,
        }
    }

    fn part(&mut self) -> Option<&'a [u8]> {
        let length = self.length()?;
        let (part, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(part)
    }

    fn length(&mut self) -> Option<usize> {
        let mut length = 0;
        for shift in (0..usize::BITS).step_by(7) {
            let (byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            length |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(length);
            }
        }
        None
    }
}
