//! What no configuration can be made of, and what is said then.

use super::build::Build;
use super::{fixture, options};
use crate::cli::init::{InitError, read, yaml};
use serde_json::json;
use std::path::Path;

fn refusal(build: &Build) -> String {
    build.read().unwrap_err().to_string()
}

#[test]
fn no_folder_and_no_build() {
    let text = |path: &Path| read(path).unwrap_err().to_string();
    assert!(text(Path::new("/nowhere/at/all")).contains("there is no such folder"));
    let build = Build::new();
    assert!(text(&build.dist().join("BUILD_ID")).contains("is no folder"));
    // As `next dev` leaves it.
    std::fs::remove_file(build.dist().join("BUILD_ID")).unwrap();
    assert!(text(&build.app()).contains("run `next build` first"));
}

#[test]
fn missing_manifests() {
    for name in ["prerender-manifest.json", "routes-manifest.json"] {
        let build = fixture();
        build.write();
        std::fs::remove_file(build.dist().join(name)).unwrap();
        let error = read(&build.app()).unwrap_err();
        assert!(matches!(&error, InitError::Missing(file) if file.ends_with(name)), "{error}");
        assert!(error.to_string().contains("run `next build` again"), "{error}");
    }
    let names = ["required-server-files.json", "app-path-routes-manifest.json", "server/pages-manifest.json"];
    let build = fixture();
    build.write();
    for name in names {
        std::fs::remove_file(build.dist().join(name)).unwrap();
    }
    // Not every version has them.
    assert!(yaml(&read(&build.app()).unwrap(), &options()).contains("/blog/{slug}"));
}

#[test]
fn manifests_that_are_none() {
    for name in ["prerender-manifest.json", "routes-manifest.json", "app-path-routes-manifest.json"] {
        for (text, expected) in [
            ("", "is not JSON"),
            ("{ \"version\": 4, ", "is not JSON"),
            ("\u{0}\u{1}", "is not JSON"),
            ("[]", "is not a manifest"),
            (
                "{\"version\":9,\"routes\":7,\"basePath\":7}",
                "is not a manifest that this version of Larder knows, of version 9",
            ),
        ] {
            let build = fixture();
            build.write();
            let build = build.file(name, text);
            let error = read(&build.app()).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(expected), "{name} {text}: {error}");
        }
    }
}

#[test]
fn depth_without_end_is_an_error() {
    let build = fixture();
    build.write();
    let build = build.file("routes-manifest.json", &"{\"version\":".repeat(100_000));
    assert!(matches!(read(&build.app()), Err(InitError::NotJson(..))));
}

#[test]
fn other_versions_are_read_with_a_warning() {
    let build = fixture().prerender("version", json!(5)).routes("version", json!(4));
    let text = yaml(&build.read().unwrap(), &options());
    assert!(text.contains("# WARNING: prerender-manifest.json is of version 5, not 4"), "{text}");
    assert!(text.contains("# WARNING: routes-manifest.json is of version 4, not 3"), "{text}");
    assert!(text.contains("/blog/{slug}"), "{text}");
}

#[test]
fn an_export_has_no_server() {
    let build = fixture().config("output", json!("export"));
    assert!(refusal(&build).contains("output: export"));
    // `out`, as the export leaves it.
    let out = build.app().join("out");
    std::fs::create_dir_all(out.join("_next")).unwrap();
    std::fs::write(out.join("404.html"), "").unwrap();
    assert!(matches!(read(&out), Err(InitError::Export(_))));
}

#[test]
fn locales_of_the_pages_router() {
    let i18n = json!({ "locales": ["en", "de\n"], "defaultLocale": "en" });
    let text = refusal(&fixture().routes("i18n", i18n));
    assert!(text.contains(r#"`i18n` locales ("en", "de\n")"#), "{text}");
}
