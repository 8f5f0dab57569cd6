//! Pages that are not generated yet: fallbacks, and lists of pages to generate before anybody asks.

use crate::config::fault::Fault;
use crate::config::raw::{Fallback as RawFallback, JsonSource, Occasion, Prerender, Route};
use crate::config::tree::Spot;
use crate::prerender::{Json, Pointer, Settings, Template};
use crate::proxy::Matcher;
use semantics::policy::{Fallback, Revalidate};
use std::path::PathBuf;
use std::time::Duration;

pub(super) fn fallback(route: &Route, revalidate: Revalidate, spot: &Spot<'_>, faults: &mut Vec<Fault>) -> Fallback {
    let shell = route.keys.shell.as_deref();
    if let Some(path) = shell.filter(|_| spot.has("shell")) {
        if !is_path(path) {
            faults.push(spot.key("shell").fault(format!("is not a path: `{}`", path.escape_debug())));
        }
        if route.fallback != RawFallback::Shell {
            let fault = spot.fault_of_key("shell", "is for `fallback: shell`, which this route does not have");
            faults.push(fault.remedy("write `fallback: shell`, or remove the key"));
        }
    }
    if route.fallback != RawFallback::Blocking && revalidate == Revalidate::Origin && spot.has("fallback") {
        let fault = spot.fault_of_key("fallback", "is for ISR routes, and this route goes by the origin's headers");
        faults.push(fault.remedy("give the route a `revalidate`, or remove the key"));
    }
    match (route.fallback, shell) {
        (RawFallback::Blocking, _) => Fallback::Blocking,
        (RawFallback::Shell, Some(path)) => Fallback::Shell(path.to_owned()),
        (RawFallback::Shell, None) => {
            let fault = spot.key("fallback").fault("is `shell`, and there is no `shell`");
            faults.push(fault.remedy("for example `shell: /blog/_loading`, a page of the origin"));
            Fallback::Blocking
        }
        (RawFallback::NotFound, _) => {
            if route.prerender.is_none() && !spot.has("prerender") {
                let fault = spot.key("fallback").fault("is `not_found`, and there is no `prerender`");
                faults.push(fault.remedy("list the pages that there are: all others would be 404"));
            }
            Fallback::NotFound
        }
    }
}

pub(super) fn of_route(route: &Route, matcher: &Matcher, spot: &Spot<'_>, faults: &mut Vec<Fault>) -> Option<Settings> {
    let raw = route.prerender.as_ref()?;
    if route.keys.bypass == Some(true) {
        let message = "cannot be had with `bypass: true`: nothing of the route is stored";
        faults.push(spot.fault_of_key("prerender", message).remedy("remove one of them"));
    }
    let spot = spot.key("prerender");
    if raw.paths.is_empty() && raw.file.is_none() && raw.sitemap.is_none() && raw.json.is_none() {
        let fault = spot.fault("names no page");
        faults.push(fault.remedy("give `paths`, a `file`, a `sitemap` or `json`"));
    }
    check_paths(&raw.paths, matcher, &spot.key("paths"), faults);
    if raw.file.as_ref().is_some_and(String::is_empty) {
        faults.push(spot.key("file").fault("is empty"));
    }
    if let Some(url) = &raw.sitemap {
        check_url(url, &spot.key("sitemap"), faults);
    }
    if raw.every.is_some_and(|every| every.0 < Duration::from_secs(1)) {
        faults.push(spot.key("every").fault("must be at least `1s`"));
    }
    Some(Settings {
        paths: raw.paths.clone(),
        file: raw.file.as_ref().map(PathBuf::from),
        sitemap: raw.sitemap.clone(),
        json: raw.json.as_ref().and_then(|json| source(json, matcher, &spot.key("json"), faults)),
        on_start: is_on(raw, Occasion::Start),
        on_activate: is_on(raw, Occasion::Activate),
        every: raw.every.map(|every| every.0),
        concurrency: raw.concurrency.get(),
    })
}

fn is_on(raw: &Prerender, occasion: Occasion) -> bool {
    raw.on.contains(&occasion)
}

fn check_paths(paths: &[String], matcher: &Matcher, spot: &Spot<'_>, faults: &mut Vec<Fault>) {
    for (i, path) in paths.iter().enumerate() {
        if !is_path(path) {
            let fault = spot.item(i).fault(format!("is not a path: `{}`", path.escape_debug()));
            faults.push(fault.remedy("it begins with `/`, and is written as in a URL"));
        } else if !matches(matcher, path) {
            let fault = spot.item(i).fault(format!("is `{path}`, which `match` of this route does not match"));
            faults.push(fault.remedy("list it under the route that it belongs to"));
        }
    }
}

fn source(raw: &JsonSource, matcher: &Matcher, spot: &Spot<'_>, faults: &mut Vec<Fault>) -> Option<Json> {
    check_url(&raw.url, &spot.key("url"), faults);
    let pointer = Pointer::parse(&raw.pointer).map_err(|why| faults.push(spot.key("pointer").fault(why))).ok();
    let to = Template::parse(&raw.to).map_err(|why| faults.push(spot.key("to").fault(why))).ok();
    if let Some(path) = to.as_ref().and_then(|to| to.render("x"))
        && !matches(matcher, &path)
    {
        let fault = spot.key("to").fault(format!("makes paths like `{path}`, which `match` does not match"));
        faults.push(fault.remedy("make it fit, or move it to the route that such paths belong to"));
    }
    Some(Json { url: raw.url.clone(), pointer: pointer?, to: to? })
}

/// Without a pattern there is a fault already.
fn matches(matcher: &Matcher, path: &str) -> bool {
    let path = path.split('?').next().unwrap_or(path);
    matcher.patterns.is_empty() || matcher.patterns.iter().any(|pattern| pattern.matches(path))
}

fn check_url(url: &str, spot: &Spot<'_>, faults: &mut Vec<Fault>) {
    let absolute = ["http://", "https://"].iter().find_map(|scheme| url.strip_prefix(scheme));
    let fine = match absolute {
        Some(rest) => !rest.starts_with('/') && !rest.is_empty() && url.bytes().all(|b| b.is_ascii_graphic()),
        None => is_path(url),
    };
    if !fine {
        let fault = spot.fault(format!("is neither a path nor a URL: `{}`", url.escape_debug()));
        faults.push(fault.remedy("for example `/sitemap.xml`"));
    }
}

/// A path, with a query or without, as it stands in a request.
fn is_path(text: &str) -> bool {
    text.starts_with('/')
        && !text.starts_with("//")
        && text.bytes().all(|b| b.is_ascii_graphic() && !b"\"#<>\\`".contains(&b))
}
