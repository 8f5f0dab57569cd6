//! The pages of a build, and how each is rendered.

use super::manifest::{Dynamic, Fallback, Instance, Manifests};
use super::path::Path;
use super::text::{duration, quote};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug)]
pub(super) struct Page {
    /// As Next.js has it: `/blog/[slug]`.
    pub(super) name: String,
    pub(super) path: Path,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    Isr(Isr),
    /// Rendered once, at build time or at the first request.
    Fixed,
    /// Rendered for each request.
    Dynamic,
    /// A part of it is (Partial Prerendering).
    Partial,
    /// No path of it is prerendered, and so no manifest says its window.
    Unknown,
}

#[derive(Debug)]
pub(super) struct Isr {
    /// Seconds.
    pub(super) window: u64,
    pub(super) expire: Option<u64>,
    /// The only paths there are (`fallback: false`).
    pub(super) closed: Option<Vec<String>>,
    /// What is to be said of it.
    pub(super) notes: Vec<String>,
}

impl Page {
    pub(super) fn isr(&self) -> Option<&Isr> {
        match &self.kind {
            Kind::Isr(isr) => Some(isr),
            _ => None,
        }
    }
}

/// In the order in which Next.js tries them.
pub(super) fn pages(manifests: &Manifests) -> Vec<Page> {
    let prerender = &manifests.prerender;
    let mut instances: BTreeMap<&str, Vec<(&str, &Instance)>> = BTreeMap::new();
    for (path, instance) in &prerender.routes {
        let page = instance.src_route.as_deref().unwrap_or(path);
        instances.entry(page).or_default().push((path, instance));
    }
    let whole = prerender.dynamic.iter().filter(|(page, dynamic)| {
        // One with some of its parameters filled in is part of the page that it is of.
        dynamic.fallback_source_route.as_ref().is_none_or(|source| source == *page)
    });
    let listed = manifests.routes.static_routes.iter().chain(&manifests.routes.dynamic_routes);
    let mut names: BTreeSet<&str> = instances.keys().copied().collect();
    names.extend(whole.map(|(page, _)| page.as_str()));
    names.extend(listed.map(|page| page.page.as_str()));
    names.extend(manifests.app.values().map(String::as_str));
    names.extend(manifests.pages.keys().map(String::as_str));
    let mut pages: Vec<Page> = names
        .into_iter()
        .filter(|name| name.starts_with('/') && !is_internal(name))
        .map(|name| Page {
            name: name.to_owned(),
            path: Path::of_page(name),
            kind: kind(manifests, name, instances.get(name).map(Vec::as_slice).unwrap_or_default()),
        })
        .collect();
    pages.sort_by(|one, other| one.path.cmp(&other.path));
    pages
}

/// What has no URL of its own. Intercepting routes (`/feed/(..)photo/[id]`) are reached by way of others' URLs.
fn is_internal(name: &str) -> bool {
    const INTERNAL: [&str; 8] =
        ["/_app", "/_document", "/_error", "/_not-found", "/_global-error", "/404", "/500", "/_offline"];
    INTERNAL.contains(&name) || name.starts_with("/_next/") || name.contains("/(.")
}

fn kind(manifests: &Manifests, name: &str, instances: &[(&str, &Instance)]) -> Kind {
    let dynamic = manifests.prerender.dynamic.get(name);
    let renderings = instances.iter().map(|(_, instance)| &instance.rendering);
    if renderings.chain(dynamic.map(|dynamic| &dynamic.rendering)).any(|rendering| rendering.is_partial()) {
        return Kind::Partial;
    }
    if instances.is_empty() && dynamic.is_none() {
        // Pages of the pages router that ask for no data are files.
        let is_file = manifests.pages.get(name).is_some_and(|file| file.ends_with(".html"));
        return if is_file { Kind::Fixed } else { Kind::Dynamic };
    }
    if instances.iter().any(|(_, instance)| forbids_storing(instance)) {
        return Kind::Dynamic;
    }
    // A 404 has a window of its own, most often a short one.
    let found = |path: &str| !manifests.prerender.not_found.contains(path);
    let mut counted: Vec<&Instance> =
        instances.iter().filter(|(path, _)| found(path)).map(|(_, instance)| *instance).collect();
    if counted.is_empty() {
        counted = instances.iter().map(|(_, instance)| *instance).collect();
    }
    let fallback = dynamic.and_then(|dynamic| dynamic.fallback_revalidate);
    let windows: BTreeSet<Option<u64>> = counted
        .iter()
        .map(|instance| instance.initial_revalidate_seconds)
        .chain(fallback)
        .map(|w| w.seconds())
        .collect();
    let Some(window) = windows.iter().flatten().min().copied() else {
        return if windows.is_empty() { Kind::Unknown } else { Kind::Fixed };
    };
    let expires = counted.iter().map(|instance| instance.initial_expire_seconds);
    let expires = expires.chain(dynamic.map(|dynamic| dynamic.fallback_expire)).flatten();
    // Beyond what Larder takes it is no limit.
    let expire = expires.filter_map(super::manifest::whole).min();
    let mut notes = Vec::new();
    if windows.len() > 1 {
        let written = windows.iter().map(|window| window.map_or("none".to_owned(), duration));
        let written = written.collect::<Vec<_>>().join(", ");
        notes.push(format!("Its paths have different windows in the build ({written}): this is the shortest."));
    }
    if let Some(expire) = expire.filter(|expire| *expire < window) {
        let expire = duration(expire);
        notes.push(format!("Next.js has an expire of {expire}, which is less than the window: it is left out."));
    }
    Kind::Isr(Isr {
        window,
        expire: expire.filter(|expire| *expire >= window),
        closed: dynamic.and_then(|dynamic| closed(dynamic, instances, &mut notes)),
        notes,
    })
}

fn closed(dynamic: &Dynamic, instances: &[(&str, &Instance)], notes: &mut Vec<String>) -> Option<Vec<String>> {
    match &dynamic.fallback {
        Fallback::Flag(false) => Some(instances.iter().map(|(path, _)| (*path).to_owned()).collect()),
        Fallback::Shell(file) => {
            notes.push(format!(
                "`fallback: true`: the first visitor of a path that was not rendered yet gets Next.js's own shell ({}), \
                 which is no-store and never stored; the page is stored from the next visit on.",
                quote(file)
            ));
            None
        }
        Fallback::Flag(true) | Fallback::Blocking(()) => None,
    }
}

/// A route handler that says so of its answer.
fn forbids_storing(instance: &Instance) -> bool {
    let control = instance.initial_headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("cache-control"));
    control.map(|(_, value)| value.to_ascii_lowercase()).any(|v| v.contains("no-store") || v.contains("private"))
}
