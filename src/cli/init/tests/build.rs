//! A build in a folder of its own, which goes with it.

use crate::cli::init::{InitError, NextBuild, read};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

pub(super) const SECRET: &str = "5ec7e7";

pub(super) struct Build {
    folder: PathBuf,
    prerender: Value,
    routes: Value,
    config: Value,
    app: Map<String, Value>,
    pages: Map<String, Value>,
}

static FOLDERS: AtomicU32 = AtomicU32::new(0);

impl Build {
    pub(super) fn new() -> Self {
        let name = format!("larder-init-{}-{}", std::process::id(), FOLDERS.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(folder.join(".next/server")).unwrap();
        let build = Build {
            folder,
            prerender: json!({
                "version": 4, "routes": {}, "dynamicRoutes": {}, "notFoundRoutes": [],
                "preview": { "previewModeId": SECRET, "previewModeSigningKey": SECRET }
            }),
            routes: json!({
                "version": 3, "basePath": "", "headers": [], "dynamicRoutes": [], "staticRoutes": [],
                "redirects": [{ "source": "/:path+/", "destination": "/:path+", "internal": true, "statusCode": 308 }],
                "rewrites": { "beforeFiles": [], "afterFiles": [], "fallback": [] }
            }),
            config: json!({ "distDir": ".next", "trailingSlash": false, "basePath": "" }),
            app: Map::new(),
            pages: Map::new(),
        };
        build.file("BUILD_ID", "FzRJR7IwPxbMbh82rJrAG")
    }

    pub(super) fn app(&self) -> PathBuf {
        self.folder.clone()
    }

    pub(super) fn dist(&self) -> PathBuf {
        self.folder.join(".next")
    }

    /// A path that was rendered at build time.
    pub(super) fn prerendered(self, path: &str, page: &str, window: impl Into<Value>) -> Self {
        let window = window.into();
        let mut instance = json!({ "compute": "static", "initialRevalidateSeconds": window, "srcRoute": page });
        if window.is_number() {
            instance["initialExpireSeconds"] = json!(31_536_000);
        }
        self.instance(path, instance)
    }

    pub(super) fn instance(mut self, path: &str, instance: Value) -> Self {
        self.prerender["routes"][path] = instance;
        self
    }

    pub(super) fn dynamic(mut self, page: &str, dynamic: Value) -> Self {
        self.prerender["dynamicRoutes"][page] = dynamic;
        self
    }

    pub(super) fn prerender(mut self, key: &str, value: Value) -> Self {
        self.prerender[key] = value;
        self
    }

    /// Pages of the app router.
    pub(super) fn rendered(mut self, pages: &[&str]) -> Self {
        self.app.extend(pages.iter().map(|page| (format!("{page}/page"), json!(page))));
        self
    }

    pub(super) fn pages_router(mut self, pages: &[(&str, &str)]) -> Self {
        self.pages.extend(pages.iter().map(|(page, file)| ((*page).to_owned(), json!(file))));
        self
    }

    pub(super) fn routes(mut self, key: &str, value: Value) -> Self {
        self.routes[key] = value;
        self
    }

    pub(super) fn config(mut self, key: &str, value: Value) -> Self {
        self.config[key] = value;
        self
    }

    pub(super) fn proxy(self, source: &str) -> Self {
        let functions = json!({ "/_middleware": { "runtime": "nodejs", "matchers": [{ "originalSource": source }] } });
        let manifest = json!({ "version": 1, "functions": functions });
        self.file("server/functions-config-manifest.json", &manifest.to_string())
    }

    /// A file of the build's.
    pub(super) fn file(self, name: &str, text: &str) -> Self {
        std::fs::write(self.dist().join(name), text).unwrap();
        self
    }

    pub(super) fn public(self, path: &str) -> Self {
        let file = self.folder.join("public").join(path);
        std::fs::create_dir_all(file.parent().unwrap_or(Path::new("/"))).unwrap();
        std::fs::write(file, "").unwrap();
        self
    }

    pub(super) fn write(&self) {
        let server = json!({ "version": 1, "config": self.config });
        let manifests = [
            ("prerender-manifest.json", self.prerender.to_string()),
            ("routes-manifest.json", self.routes.to_string()),
            ("required-server-files.json", server.to_string()),
            ("app-path-routes-manifest.json", Value::Object(self.app.clone()).to_string()),
            ("server/pages-manifest.json", Value::Object(self.pages.clone()).to_string()),
        ];
        for (name, text) in manifests {
            std::fs::write(self.dist().join(name), text).unwrap();
        }
    }

    pub(super) fn read(&self) -> Result<NextBuild, InitError> {
        self.write();
        read(&self.folder)
    }
}

impl Drop for Build {
    fn drop(&mut self) {
        // What is left of it is in the system's own folder for such things.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
