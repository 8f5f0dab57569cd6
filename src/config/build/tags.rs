//! Tags of routes.

use crate::config::fault::Fault;
use crate::config::raw::{Root, RouteKeys};
use crate::config::tree::Spot;
use crate::proxy::{Matcher, TagTemplate};
use semantics::tags::MAX_TAGS;

/// The tags for requests that match no route: what `defaults` gives to all.
pub(super) fn of_unmatched(root: &Root, file: &Spot<'_>, faults: &mut Vec<Fault>) -> Vec<TagTemplate> {
    let spot = file.key("defaults").key("tags");
    let templates = templates(&root.defaults.keys, &spot, faults);
    for (i, template) in templates.iter().enumerate() {
        if let Some(name) = template.captures().next() {
            let fault = spot.item(i).fault(format!("has `{{{name}}}`, and `defaults` are for every path"));
            faults.push(fault.remedy("give such tags to the route whose pattern captures it"));
        }
    }
    templates
}

pub(super) fn of_route(
    keys: &RouteKeys,
    matcher: &Matcher,
    route: &Spot<'_>,
    faults: &mut Vec<Fault>,
) -> Vec<TagTemplate> {
    if !route.has("tags") {
        // From `defaults`, where its faults are found.
        return templates(keys, &route.key("tags"), &mut Vec::new());
    }
    let spot = route.key("tags");
    let templates = templates(keys, &spot, faults);
    for (i, template) in templates.iter().enumerate() {
        let captured = |name: &&str| matcher.patterns.iter().all(|pattern| pattern.has_capture(name));
        if let Some(name) = template.captures().find(|name| !captured(name)) {
            let fault = spot.item(i).fault(format!("has `{{{name}}}`, which not every pattern of `match` captures"));
            faults.push(fault.remedy(format!("write `{{{name}}}` for a segment of the pattern")));
        }
    }
    templates
}

fn templates(keys: &RouteKeys, spot: &Spot<'_>, faults: &mut Vec<Fault>) -> Vec<TagTemplate> {
    let texts = keys.tags.as_deref().unwrap_or_default();
    if texts.len() > MAX_TAGS {
        faults.push(spot.fault(format!("are {} tags, and an entry has at most {MAX_TAGS}", texts.len())));
    }
    let mut templates = Vec::new();
    for (i, text) in texts.iter().enumerate() {
        match TagTemplate::parse(text) {
            Ok(template) => templates.push(template),
            Err(why) => faults.push(spot.item(i).fault(why)),
        }
    }
    templates
}
