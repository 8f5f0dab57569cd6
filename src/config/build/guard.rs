//! Guards of routes.

use super::is_token;
use crate::config::fault::Fault;
use crate::config::raw::{ByteSize, Guard as RawGuard};
use crate::config::tree::Spot;
use semantics::guard::{Guard, MAX_TEXT, MAX_TEXTS};

pub(super) fn guard(raw: &RawGuard) -> Guard {
    Guard {
        min_bytes: raw.min_bytes.map_or(0, ByteSize::in_memory),
        max_shrink: raw.max_shrink.map(|percent| percent.0),
        must_contain: raw.must_contain.clone(),
        must_not_contain: raw.must_not_contain.clone(),
        content_type: raw.content_type.clone(),
    }
}

pub(super) fn check(raw: &RawGuard, spot: &Spot<'_>, faults: &mut Vec<Fault>) {
    if raw.max_shrink.is_some_and(|percent| percent.0 == 0) {
        let fault = spot.key("max_shrink").fault("must be a percentage from `1%` to `99%`");
        faults.push(fault.remedy("leave it out, and a page may become as short as it likes"));
    }
    let (has, has_not) = (&raw.must_contain, &raw.must_not_contain);
    check_texts(has, &spot.key("must_contain"), faults);
    check_texts(has_not, &spot.key("must_not_contain"), faults);
    for (i, text) in has_not.iter().enumerate().filter(|(_, text)| !text.is_empty()) {
        if let Some(j) = has.iter().position(|other| other.contains(text)) {
            let message = format!("stands in `must_contain[{j}]`: no page could have the one without the other");
            faults.push(spot.key("must_not_contain").item(i).fault(message).remedy("remove one of them"));
        }
    }
    if let Some(content_type) = &raw.content_type {
        check_type(content_type, &spot.key("content_type"), faults);
    }
}

fn check_texts(texts: &[String], spot: &Spot<'_>, faults: &mut Vec<Fault>) {
    if texts.len() > MAX_TEXTS {
        let fault = spot.fault(format!("are {} texts, and {MAX_TEXTS} are the most", texts.len()));
        faults.push(fault.remedy("each new version is searched for every one of them"));
    }
    for (i, text) in texts.iter().enumerate() {
        if text.is_empty() {
            let fault = spot.item(i).fault("is empty, and every page has that in it");
            faults.push(fault.remedy("write a text that tells a good page from a bad one, or remove it"));
        } else if text.len() > MAX_TEXT {
            let message = format!("is {} bytes long, and {} are the most", text.len(), ByteSize(MAX_TEXT as u64));
            faults.push(spot.item(i).fault(message));
        }
    }
}

/// A media type alone: its parameters say how it is written down (RFC 9110, 8.3.1).
fn check_type(text: &str, spot: &Spot<'_>, faults: &mut Vec<Fault>) {
    if text.split_once('/').is_some_and(|(kind, form)| is_token(kind) && is_token(form) && !text.contains('*')) {
        return;
    }
    let fault = spot.fault(format!("is not a media type: `{}`", text.escape_debug()));
    let alone = text.split(';').next().unwrap_or_default().trim();
    faults.push(match alone.split_once('/') {
        Some((kind, form)) if text.contains(';') && is_token(kind) && is_token(form) => {
            fault.remedy(format!("write `{alone}`: a page may have any parameters"))
        }
        _ => fault.remedy("for example `text/html`"),
    });
}
