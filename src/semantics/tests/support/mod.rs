//! What the tables have in common.

use http::{HeaderMap, HeaderName, HeaderValue};

/// Fields as a table lists them: names and values.
pub type Fields<'a> = &'a [(&'a str, &'a str)];

pub fn fields(list: Fields<'_>) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in list {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a field name");
        map.append(name, HeaderValue::from_str(value).expect("a field value"));
    }
    map
}
