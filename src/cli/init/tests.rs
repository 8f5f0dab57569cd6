//! Builds that are made up here, in the form of Next.js 16.4's manifests.

mod build;
mod refusals;
mod routes;
mod text;

use super::{Options, read, yaml};
use build::Build;
use serde_json::json;

fn options() -> Options {
    Options { origin: "http://127.0.0.1:3000".to_owned(), listen: "127.0.0.1:8080".to_owned() }
}

/// The lines of the configuration that are no comments.
fn lines(build: &Build) -> Vec<String> {
    let text = yaml(&build.read().unwrap(), &options());
    text.lines()
        .filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
        .map(str::to_owned)
        .collect()
}

/// The patterns, in their order, each with its window.
fn windows(build: &Build) -> Vec<(String, String)> {
    let mut windows = Vec::new();
    let mut patterns = Vec::new();
    for line in lines(build) {
        let line = line.trim_start_matches([' ', '-']);
        if let Some(pattern) = line.strip_prefix("match: ").or_else(|| line.starts_with('"').then_some(line)) {
            patterns.push(pattern.trim_matches('"').to_owned());
        } else if let Some(window) = line.strip_prefix("revalidate: ") {
            windows.extend(patterns.drain(..).map(|pattern| (pattern, window.to_owned())));
        } else if line.starts_with("prerender:") {
            break;
        }
    }
    windows
}

fn expect(build: &Build, expected: &[(&str, &str)]) {
    let windows = windows(build);
    let windows: Vec<(&str, &str)> =
        windows.iter().map(|(pattern, window)| (pattern.as_str(), window.as_str())).collect();
    assert_eq!(windows, expected);
}

/// The manifests of tests/nextjs/app, without what is not read.
fn fixture() -> Build {
    let shared = ["/", "/_not-found", "/gated", "/login", "/picture"];
    let mut build = Build::new();
    for page in shared {
        build = build.prerendered(page, page, false);
    }
    build
        .prerendered("/blog/hello", "/blog/[slug]", 2)
        .prerendered("/blog/world", "/blog/[slug]", 2)
        .prerendered("/old/1", "/old/[id]", 2)
        .prerendered("/tagged/built", "/tagged/[slug]", 3600)
        .dynamic("/blog/[slug]", json!({ "fallback": null, "compute": "blocking" }))
        .dynamic("/kept/[id]", json!({ "fallback": null, "compute": "blocking" }))
        .dynamic("/old/[id]", json!({ "fallback": null, "compute": "blocking" }))
        .dynamic("/tagged/[slug]", json!({ "fallback": null, "compute": "blocking" }))
        .rendered(&["/api/echo", "/api/time", "/blog/[slug]", "/me", "/stream", "/_global-error"])
        .pages_router(&[("/_app", "pages/_app.js"), ("/old-cached", "pages/old-cached.js"), ("/404", "pages/404.html")])
        .proxy("/gated")
}

const FIXTURE: &str = r#"# Larder in front of a Next.js app: written by `larder init --next` from the build "FzRJR7IwPxbMbh82rJrAG".
# Run it again when pages, their windows or the paths of a `fallback: false` have changed. `larder check FILE`
# finds mistakes.

listen: "127.0.0.1:8080"
origin: "http://127.0.0.1:3000"    # where `next start` answers

# Not available in this version: to keep the pages of each build apart. Until then, after a deployment:
# `larder revalidate --prefix /`. The next visit of each page gets it as it is and has it rendered again.
# deployment:
#   id: "FzRJR7IwPxbMbh82rJrAG"

# Draft Mode: requests with Next.js's cookie pass by the cache, which is the default. With a secret only those
# do that carry the right value. It is `preview.previewModeId` in the build's prerender-manifest.json, new
# with each build, and belongs into the environment, not in here.
# draft:
#   cookies: [__prerender_bypass]
#   secret: ${NEXT_PREVIEW_MODE_ID}

# What has no route goes by the headers that Next.js sends, and is right so: files under /_next, the pages
# router's data (/_next/data/...), and these:
# - Static, rendered by `next build` (s-maxage=31536000): "/", "/gated", "/login", "/picture".
# - Rendered for each request, and stored only where they send a lifetime: "/api/echo", "/api/time", "/me",
#   "/old-cached", "/stream".
# - No path is prerendered, so the window stands in the headers alone: "/kept/[id]".

# The app has a proxy (middleware) for "/gated". Larder asks for pages without the visitors' cookies. Where it
# shows another page by a cookie, say so on the route: `bypass_when: { cookies: [name] }`, or `key: { cookies:
# [name] }` for a few values.

# The pages that Next.js renders again after a window (ISR), each with that window: what Next.js itself still
# marks as stale, Larder does not take for new. The first route that matches decides. On these routes nothing
# but the path counts: query parameters are dropped, on the way to the app too. If a page reads some on the
# server, list them: `key: { query: [page] }`.
routes:
  - match: "/blog/{slug}"
    revalidate: 2s
    expire: 365d
    tags: ["blog:{slug}"]

  - match: "/old/{id}"
    revalidate: 2s
    expire: 365d
    tags: ["old:{id}"]

  - match: "/tagged/{slug}"
    revalidate: 1h
    expire: 365d
    tags: ["tagged:{slug}"]
"#;

#[test]
fn the_test_app() {
    assert_eq!(yaml(&fixture().read().unwrap(), &options()), FIXTURE);
}

#[test]
fn a_build_is_found_in_the_apps_folder_and_by_its_own_name() {
    let build = fixture();
    build.write();
    for folder in [build.app(), build.dist()] {
        assert_eq!(yaml(&read(&folder).unwrap(), &options()), FIXTURE);
    }
}

#[test]
fn the_preview_secrets_stay_where_they_are() {
    assert!(!yaml(&fixture().read().unwrap(), &options()).contains(build::SECRET));
}

#[test]
fn a_build_without_windows_has_no_routes() {
    let build = Build::new().prerendered("/", "/", false);
    assert_eq!(lines(&build)[2..], ["routes: []"]);
}
