//! The configuration as text. Every text in it that is not from here goes through `quote`.

use super::build::{Route, RouteKind};
use super::text::{comment, duration, quote, some_of};
use super::{NextBuild, Options};
use std::fmt::Write;

/// Names that are shown of a kind of pages.
const SHOWN: usize = 20;

/// A configuration for an app: complete, and with comments that say why it is so.
pub fn yaml(build: &NextBuild, options: &Options) -> String {
    let mut out = head(build);
    let _ = write!(
        out,
        "\nlisten: {}\norigin: {}    # where `next start` answers\n\n",
        quote(&options.listen),
        quote(&options.origin)
    );
    out += &deployment(build);
    out += &draft();
    out += &without_routes(build);
    out += "\n";
    if build.routes.is_empty() {
        out += &comment(0, "No page of the build has a window: all goes by the headers that Next.js sends.");
        out += "routes: []\n";
        return out;
    }
    out += &comment(
        0,
        "The pages that Next.js renders again after a window (ISR), each with that window: what Next.js itself still \
         marks as stale, Larder does not take for new. The first route that matches decides. On these routes nothing but the path counts: query parameters are dropped, on the way to the \
         app too. If a page reads some on the server, list them: `key: { query: [page] }`.",
    );
    out += "routes:\n";
    for (i, route) in build.routes.iter().enumerate() {
        if i > 0 {
            out.push('\n');
        }
        put(&mut out, route);
    }
    out
}

fn head(build: &NextBuild) -> String {
    let id = quote(&build.build_id);
    let mut out = comment(
        0,
        &format!(
            "Larder in front of a Next.js app: written by `larder init --next` from the build {id}. Run it again when \
             pages, their windows or the paths of a `fallback: false` have changed. `larder check FILE` finds mistakes."
        ),
    );
    for strange in &build.strange {
        out += &comment(0, "");
        out += &comment(
            0,
            &format!("WARNING: {strange}, the one that this Larder knows. It was read all the same: look it through."),
        );
    }
    out
}

fn deployment(build: &NextBuild) -> String {
    let mut out = comment(
        0,
        "Not available in this version: to keep the pages of each build apart. Until then, after a deployment: `larder \
         revalidate --prefix /`. The next visit of each page gets it as it is and has it rendered again.",
    );
    let _ = write!(out, "# deployment:\n#   id: {}\n\n", quote(&build.build_id));
    out
}

fn draft() -> String {
    let mut out = comment(
        0,
        "Draft Mode: requests with Next.js's cookie pass by the cache, which is the default. With a secret only those do \
         that carry the right value. It is `preview.previewModeId` in the build's prerender-manifest.json, new with each \
         build, and belongs into the environment, not in here.",
    );
    out += "# draft:\n#   cookies: [__prerender_bypass]\n#   secret: ${NEXT_PREVIEW_MODE_ID}\n\n";
    out
}

/// What needs no route, and why.
fn without_routes(build: &NextBuild) -> String {
    let mut out = comment(
        0,
        "What has no route goes by the headers that Next.js sends, and is right so: files under /_next, the pages \
         router's data (/_next/data/...), and these:",
    );
    let kinds = [
        ("Static, rendered by `next build` (s-maxage=31536000)", &build.fixed),
        ("Rendered for each request, and stored only where they send a lifetime", &build.dynamic),
        ("Rendered in part for each request (Partial Prerendering: no-store)", &build.partial),
        ("No path is prerendered, so the window stands in the headers alone", &build.unknown),
        ("With a window, but not to be written as a route", &build.left_out),
    ];
    for (what, pages) in kinds.iter().filter(|(_, pages)| !pages.is_empty()) {
        out += &comment(0, &format!("- {what}: {}.", some_of(pages, SHOWN)));
    }
    if !build.proxied.is_empty() {
        out += "\n";
        out += &comment(
            0,
            &format!(
                "The app has a proxy (middleware) for {}. Larder asks for pages without the visitors' cookies. Where it \
                 shows another page by a cookie, say so on the route: `bypass_when: {{ cookies: [name] }}`, or `key: {{ \
                 cookies: [name] }}` for a few values.",
                some_of(&build.proxied, SHOWN)
            ),
        );
    }
    if build.has_redirects {
        out += "\n";
        out += &comment(
            0,
            "The app has redirects of its own. One that depends on a cookie, a field or a parameter (`has`, `missing`) \
             is not seen on a route with a window: leave that route out, or use `bypass_when`.",
        );
    }
    if build.many_files {
        out += "\n";
        out += &comment(
            0,
            "`public` has more files than are written here: those that a route below matches are stored for its window.",
        );
    }
    out
}

fn put(out: &mut String, route: &Route) {
    for note in &route.notes {
        *out += &comment(2, note);
    }
    let mut lines = Vec::new();
    if let Some(name) = &route.name {
        lines.push(format!("name: {}", quote(name)));
    }
    match route.patterns.as_slice() {
        [pattern] => lines.push(format!("match: {}", quote(pattern))),
        patterns => {
            lines.push("match:".to_owned());
            lines.extend(patterns.iter().map(|pattern| format!("  - {}", quote(pattern))));
        }
    }
    match &route.kind {
        RouteKind::Headers => lines.push("revalidate: origin".to_owned()),
        RouteKind::Isr { window, expire, tag, only } => {
            lines.push(format!("revalidate: {}", duration(*window)));
            lines.extend(expire.map(|expire| format!("expire: {}", duration(expire))));
            lines.extend(tag.as_ref().map(|tag| format!("tags: [{}]", quote(tag))));
            if let Some(paths) = only {
                lines.push("fallback: not_found".to_owned());
                lines.push("prerender:".to_owned());
                lines.push("  paths:".to_owned());
                lines.extend(paths.iter().map(|path| format!("    - {}", quote(path))));
            }
        }
    }
    for (i, line) in lines.iter().enumerate() {
        let mark = if i == 0 { "- " } else { "  " };
        let _ = writeln!(out, "  {mark}{line}");
    }
}
