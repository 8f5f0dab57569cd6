//! Which routes are written, and in which order.

use super::{Build, expect, lines, options};
use crate::cli::init::path::covers;
use crate::cli::init::yaml;
use serde_json::json;

fn text(build: &Build) -> String {
    // Without the breaks of comments.
    yaml(&build.read().unwrap(), &options()).replace("\n# ", " ").replace("\n  # ", " ")
}

fn has(build: &Build, block: &[&str]) {
    let lines = lines(build);
    assert!(lines.windows(block.len()).any(|lines| lines == block), "{lines:#?}");
}

#[test]
fn more_specific_routes_are_above() {
    let mut build = Build::new();
    let pages = ["/[...all]", "/[a]/[b]", "/[a]", "/", "/x/[[...rest]]", "/x/y", "/x/[b]", "/x/[b]/z", "/x/y/[c]"];
    for (i, page) in pages.iter().enumerate() {
        let path = if page.contains('[') { format!("/p{i}") } else { (*page).to_owned() };
        build = build.prerendered(&path, page, 60);
        if page.contains('[') {
            build = build.dynamic(page, json!({ "fallback": null }));
        }
    }
    let order = ["/", "/x/y", "/x/y/{c}", "/x/{b}", "/x/{b}/z", "/x/**", "/{a}", "/{a}/{b}", "/*/**"];
    expect(&build, &order.map(|pattern| (pattern, "60s")));
}

#[test]
fn captures_have_names_that_larder_takes() {
    let build = Build::new()
        .prerendered("/a/1/2/3", "/a/[item-id]/[item.id]/[1ü]", 60)
        .dynamic("/a/[item-id]/[item.id]/[1ü]", json!({ "fallback": null }))
        .prerendered("/b/1", "/b/[x-y]", 60)
        .dynamic("/b/[x-y]", json!({ "fallback": null }));
    expect(&build, &[("/a/{item_id}/{item_id_}/{_1_}", "60s"), ("/b/{x_y}", "60s")]);
    has(&build, &["    tags: [\"b:{x_y}\"]"]);
}

#[test]
fn fallback_false_is_a_404_for_all_other_paths() {
    let build = Build::new()
        .prerendered("/docs/c", "/docs/[...path]", 3600)
        .prerendered("/docs/a/ü b", "/docs/[...path]", 3600)
        .dynamic("/docs/[...path]", json!({ "fallback": false }));
    has(
        &build,
        &[
            "  - match: \"/docs/*/**\"",
            "    revalidate: 1h",
            "    expire: 365d",
            "    fallback: not_found",
            "    prerender:",
            "      paths:",
            "        - \"/docs/a/%C3%BC%20b\"",
            "        - \"/docs/c\"",
        ],
    );
}

/// Where another may answer what is not listed, Larder must ask.
#[test]
fn fallback_false_next_to_others_is_its_paths_alone() {
    let closed = || {
        Build::new()
            .prerendered("/d/1", "/d/[id]", 60)
            .prerendered("/d/2", "/d/[id]", 60)
            .dynamic("/d/[id]", json!({ "fallback": false }))
    };
    has(&closed(), &["    fallback: not_found"]);
    let redirect = |source: &str| json!([{ "source": source, "destination": "/" }]);
    let rewrites = json!({ "fallback": [{ "source": "/D/:x", "destination": "https://example.com/:x" }] });
    for build in [
        closed().rendered(&["/[...all]"]),
        closed().routes("redirects", redirect("/d/old")),
        closed().routes("redirects", redirect("/:path(.*)")),
        closed().routes("rewrites", rewrites),
        closed().proxy("/((?!api|_next/static).*)"),
        closed().file("server/middleware-manifest.json", r#"{"middleware":{"/":{}}}"#),
        closed().public("d/picture.png"),
    ] {
        expect(&build, &[("/d/1", "60s"), ("/d/2", "60s")]);
        has(&build, &["  - name: \"/d/[id]\"", "    match:", "      - \"/d/1\"", "      - \"/d/2\""]);
    }
    let elsewhere = closed().routes("redirects", redirect("/e/:x")).rendered(&["/d", "/d/[id]/x"]).public("e/x.png");
    expect(&elsewhere, &[("/d/{id}", "60s")]);
}

#[test]
fn too_many_paths_are_left_to_a_file() {
    let mut build = Build::new().dynamic("/d/[id]", json!({ "fallback": false }));
    for i in 0..1_001 {
        build = build.prerendered(&format!("/d/{i}"), "/d/[id]", 60);
    }
    expect(&build, &[("/d/{id}", "60s")]);
    let text = text(&build);
    assert!(
        text.contains("Next.js has 1001 paths here") && text.contains("`prerender: { file: paths.txt }`"),
        "{text}"
    );
    assert!(!text.contains("\"/d/7\""));
}

#[test]
fn fallback_true_is_blocking() {
    let build =
        Build::new().prerendered("/f/1", "/f/[id]", 45).dynamic("/f/[id]", json!({ "fallback": "/f/[id].html" }));
    expect(&build, &[("/f/{id}", "45s")]);
    assert!(text(&build).contains("`fallback: true`: the first visitor"));
    assert!(!lines(&build).iter().any(|line| line.contains("fallback")));
}

/// Their parameters count, and their headers say what they are.
#[test]
fn a_wide_route_leaves_other_pages_to_their_headers() {
    let build = Build::new()
        .prerendered("/about", "/about", false)
        .prerendered("/home", "/[...slug]", 60)
        .dynamic("/[...slug]", json!({ "fallback": null }))
        .rendered(&["/", "/api/echo", "/api/user/[id]", "/search", "/user/[id]"])
        .public("robots.txt")
        .public("img/a b.png")
        .public("img/deep/c.png");
    let expected = [
        ("/api/**", "origin"),
        ("/img/**", "origin"),
        ("/about", "origin"),
        ("/search", "origin"),
        ("/robots.txt", "origin"),
        ("/user/{id}", "origin"),
        ("/*/**", "60s"),
    ];
    expect(&build, &expected);
}

#[test]
fn different_windows_of_one_page() {
    let build = Build::new()
        .prerendered("/m/1", "/m/[id]", 30)
        .prerendered("/m/2", "/m/[id]", false)
        .prerendered("/m/3", "/m/[id]", 600)
        .prerendered("/m/404", "/m/[id]", 5)
        .prerender("notFoundRoutes", json!(["/m/404"]))
        .dynamic("/m/[id]", json!({ "fallback": null }));
    expect(&build, &[("/m/{id}", "30s")]);
    assert!(text(&build).contains("different windows in the build (none, 30s, 10m): this is the shortest"));
}

#[test]
fn the_window_of_a_fallback() {
    let build =
        Build::new().dynamic("/m/[id]", json!({ "fallback": null, "fallbackRevalidate": 900, "fallbackExpire": 7200 }));
    has(&build, &["  - match: \"/m/{id}\"", "    revalidate: 15m", "    expire: 2h", "    tags: [\"m:{id}\"]"]);
}

#[test]
fn windows_that_larder_does_not_have() {
    let instance = |window: f64, expire: f64| json!({ "initialRevalidateSeconds": window, "initialExpireSeconds": expire, "srcRoute": null });
    let build = Build::new()
        .instance("/fraction", instance(1.5, 10.0))
        .instance("/less", instance(60.0, 10.0))
        .instance("/never", instance(4_294_967_294.0, 4_294_967_294.0))
        .instance("/none", instance(0.0, 10.0))
        .instance("/ever", instance(60.0, 4_294_967_294.0));
    has(
        &build,
        &[
            "  - match: \"/ever\"",
            "    revalidate: 60s",
            "  - match: \"/fraction\"",
            "    revalidate: 2s",
            "    expire: 10s",
        ],
    );
    expect(&build, &[("/ever", "60s"), ("/fraction", "2s"), ("/less", "60s")]);
    assert!(text(&build).contains("Next.js has an expire of 10s, which is less than the window"));
}

#[test]
fn base_path_and_trailing_slash() {
    let build = Build::new()
        .routes("basePath", json!("/shop"))
        .config("trailingSlash", json!(true))
        .prerendered("/", "/", 60)
        .prerendered("/feed.xml", "/feed.xml", 60)
        .prerendered("/p/1", "/p/[id]", 60)
        .dynamic("/p/[id]", json!({ "fallback": null }))
        .prerendered("/q/1/2", "/q/[...id]", 60)
        .dynamic("/q/[...id]", json!({ "fallback": false }));
    // `/q/1` is redirected to `/q/1/`, so a 404 for all others would be wrong.
    expect(&build, &[("/shop/", "60s"), ("/shop/feed.xml", "60s"), ("/shop/p/{id}/", "60s"), ("/shop/q/1/2/", "60s")]);
}

#[test]
fn pages_that_are_rendered_for_each_request_have_no_route() {
    let window = json!({ "initialRevalidateSeconds": 60, "srcRoute": null });
    let with = |key: &str, value: serde_json::Value| {
        let mut instance = window.clone();
        instance[key] = value;
        instance
    };
    let mut partial = with("renderingMode", json!("PARTIALLY_STATIC"));
    partial["compute"] = json!("resuming");
    let mut whole = partial.clone();
    whole["compute"] = json!("static");
    let build = Build::new()
        .instance("/ppr", partial)
        .instance("/older-ppr", with("experimentalPPR", json!(true)))
        .instance("/cached", whole)
        .instance("/private.json", with("initialHeaders", json!({ "Cache-Control": "private, no-store" })))
        .instance("/feed/(..)photo/1", window.clone());
    expect(&build, &[("/cached", "60s")]);
    assert!(text(&build).contains("(Partial Prerendering: no-store): \"/older-ppr\", \"/ppr\"."));
}

#[test]
fn paths_on_which_servers_disagree_have_no_route() {
    let build = Build::new().prerendered("/a;b", "/a;b", 60).prerendered("/c%2fd", "/c%2fd", 60).prerendered(
        "/%7euser/%61",
        "/%7euser/%61",
        60,
    );
    expect(&build, &[("/~user/a", "60s")]);
}

#[test]
fn what_covers_what() {
    for (pattern, other, expected) in [
        ("/x/**", "/x", true),
        ("/x/**", "/x/{a}/**", true),
        ("/x/*/**", "/x/**", false),
        ("/{a}", "/x", true),
        ("/{a}", "/", false),
        ("/x", "/{a}", false),
        ("/{a}/", "/x", false),
    ] {
        assert_eq!(covers(pattern, other), expected, "{pattern} {other}");
    }
}

#[test]
fn no_route_is_hidden_by_one_above() {
    // Two pages that come to one pattern, which Next.js would refuse.
    let build = Build::new()
        .prerendered("/a/1", "/a/[x]", 60)
        .dynamic("/a/[x]", json!({ "fallback": null }))
        .prerendered("/a/2", "/a/[y]", 90)
        .dynamic("/a/[y]", json!({ "fallback": null }));
    expect(&build, &[("/a/{x}", "60s")]);
    assert!(text(&build).contains("not to be written as a route: \"/a/{y}\""));
}
