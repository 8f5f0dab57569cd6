//! What of a request was for us alone: removed at the door, so that everything behind it sees what the origin sees (RFC 9110, 7.6.1).

use http::Version;
use semantics::{Field, personal};

/// Fields that frame a message or say where it goes, and those that proxies in front of us have added: nobody may have them
/// removed by nominating them (our choice; RFC 9110, 7.6.1 says that they must not be nominated).
const KEPT: [&str; 5] = ["connection", "content-length", "host", "transfer-encoding", "upgrade"];

/// Removes what Connection nominates, and what HTTP/1.0 cannot expect (RFC 9110, 10.1.1).
pub(super) fn strip(fields: &mut Vec<Field<'_>>, version: Version) {
    let options =
        fields.iter().filter(|field| field.is("connection")).flat_map(|field| field.value.split(|b| *b == b','));
    let options: Vec<&[u8]> = options.map(<[u8]>::trim_ascii).collect();
    let kept =
        |name: &str| KEPT.iter().any(|kept| kept.eq_ignore_ascii_case(name)) || personal::is_added_by_proxies(name);
    fields.retain(|field| {
        let nominated = options.iter().any(|option| option.eq_ignore_ascii_case(field.name.as_bytes()));
        let in_vain = version == Version::HTTP_10 && field.is("expect");
        !in_vain && (!nominated || kept(field.name))
    });
}
