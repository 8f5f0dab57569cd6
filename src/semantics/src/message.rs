//! Requests as the decisions see them: borrowed, read in one pass, without a map.

/// One header field line as received.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    pub name: &'a str,
    pub value: &'a [u8],
}

impl Field<'_> {
    /// Field names are case-insensitive (RFC 9110, 5.1).
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// What a method means to a cache. Everything but GET and HEAD is passed (RFC 9111, 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Head,
    Other,
}

impl Method {
    pub fn of(name: &str) -> Self {
        match name {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            _ => Method::Other,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }

    pub fn default_port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }
}

/// A request, already checked and with its host in canonical form.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub method: Method,
    pub scheme: Scheme,
    /// Lower-cased authority without the scheme's default port.
    pub host: &'a str,
    /// The path as received, beginning with `/`.
    pub path: &'a str,
    /// The query as received, without `?`.
    pub query: Option<&'a str>,
    pub fields: &'a [Field<'a>],
}

impl<'a> Request<'a> {
    /// The first line with that name.
    pub fn field(&self, name: &str) -> Option<&'a [u8]> {
        self.fields.iter().find(|f| f.is(name)).map(|f| f.value)
    }

    /// Every line with that name, in order.
    pub fn fields_named<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.fields.iter().filter(move |f| f.is(name)).map(|f| f.value)
    }

    /// Name and value of every cookie (RFC 6265, 4.2.1), over all Cookie lines.
    pub fn cookies(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        self.fields_named("cookie").flat_map(cookie_pairs)
    }
}

/// Splits one Cookie line into pairs. A pair without `=` is a name without a value.
pub fn cookie_pairs(line: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    line.split(|b| *b == b';').map(<[u8]>::trim_ascii).filter(|pair| !pair.is_empty()).map(|pair| {
        match pair.iter().position(|b| *b == b'=') {
            Some(at) => (pair[..at].trim_ascii(), pair[at + 1..].trim_ascii()),
            None => (pair, &b""[..]),
        }
    })
}

/// What the decisions need of a request's fields, gathered in one pass: this runs on every hit.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'a> {
    pub cookie: bool,
    pub authorization: bool,
    pub range: Option<&'a [u8]>,
    pub if_range: Option<&'a [u8]>,
    pub if_none_match: bool,
    pub if_modified_since: Option<&'a [u8]>,
    /// `Cache-Control: only-if-cached` (RFC 9111, 5.2.1.7).
    pub only_if_cached: bool,
    /// To WebSocket; other protocols are not switched to, and asking for one is no reason to bypass the cache.
    pub upgrade: bool,
    /// The request carries content: a GET with a body is never answered from a store (our choice: the body is not keyed).
    pub body: bool,
    /// A Next.js React Server Component request (`RSC`).
    pub rsc: bool,
    /// A field that is part of every key when present: see [`crate::key::GROUP`].
    pub keyed_group: bool,
    /// There is an Accept-Encoding field: see [`crate::coding::Accepted`].
    pub accept_encoding: bool,
}

impl<'a> Facts<'a> {
    pub fn of(fields: &[Field<'a>]) -> Self {
        let mut facts = Facts::default();
        for field in fields {
            facts.note(field);
        }
        facts
    }

    fn note(&mut self, field: &Field<'a>) {
        // Length first: most fields are told apart without looking at their bytes.
        match field.name.len() {
            3 if field.is("rsc") => (self.rsc, self.keyed_group) = (true, true),
            5 if field.is("range") => self.range = Some(field.value),
            6 if field.is("cookie") => self.cookie = true,
            7 if field.is("upgrade") => self.upgrade |= contains_ignore_case(field.value, b"websocket"),
            8 if field.is("if-range") => self.if_range = Some(field.value),
            13 if field.is("authorization") => self.authorization = true,
            13 if field.is("if-none-match") => self.if_none_match = true,
            13 if field.is("cache-control") => {
                self.only_if_cached |= contains_ignore_case(field.value, b"only-if-cached");
            }
            13 if field.is("x-nextjs-data") => self.keyed_group = true,
            14 if field.is("content-length") => self.body |= field.value != b"0",
            15 if field.is("accept-encoding") => self.accept_encoding = true,
            17 if field.is("if-modified-since") => self.if_modified_since = Some(field.value),
            17 if field.is("transfer-encoding") => self.body = true,
            _ => {}
        }
    }

    pub fn conditional(&self) -> bool {
        self.if_none_match || self.if_modified_since.is_some()
    }
}

pub(crate) fn contains_ignore_case(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.len() >= needle.len() && haystack.windows(needle.len()).any(|w| w.eq_ignore_ascii_case(needle))
}
