//! The manifests of a Next.js build, as far as they matter here; their meaning is in Next's `build/index.d.ts`. What
//! they come to for Larder is not known here.

use super::InitError;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// Bytes of a manifest. A hundred thousand pages come to some sixty million.
const MAX_MANIFEST: u64 = 512 << 20;

/// The versions whose fields these are.
const PRERENDER_VERSION: u64 = 4;
const ROUTES_VERSION: u64 = 3;

/// `prerender-manifest.json`. Its `preview` has secrets, which are not read.
#[derive(Debug, Deserialize)]
pub(super) struct Prerender {
    version: u64,
    /// What was rendered at build time, by path.
    pub(super) routes: BTreeMap<String, Instance>,
    /// Pages with parameters of which some or all paths are prerendered, by page.
    #[serde(rename = "dynamicRoutes")]
    pub(super) dynamic: BTreeMap<String, Dynamic>,
    /// Paths that were prerendered as a 404.
    #[serde(default, rename = "notFoundRoutes")]
    pub(super) not_found: BTreeSet<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Instance {
    pub(super) initial_revalidate_seconds: Window,
    pub(super) initial_expire_seconds: Option<f64>,
    #[serde(default)]
    pub(super) initial_headers: BTreeMap<String, String>,
    /// The page it is of; none: the path itself is one.
    pub(super) src_route: Option<String>,
    #[serde(flatten)]
    pub(super) rendering: Rendering,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Dynamic {
    pub(super) fallback: Fallback,
    pub(super) fallback_revalidate: Option<Window>,
    pub(super) fallback_expire: Option<f64>,
    /// The page it is of, where it is one with some of its parameters filled in.
    pub(super) fallback_source_route: Option<String>,
    #[serde(flatten)]
    pub(super) rendering: Rendering,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Rendering {
    rendering_mode: Option<String>,
    #[serde(rename = "experimentalPPR")]
    experimental_ppr: Option<bool>,
    compute: Option<String>,
}

impl Rendering {
    /// Whether a part of the page is rendered for each request (Partial Prerendering): `next start` sends it as
    /// `no-store`. Versions that do not say `compute` do not tell such a page from one that is whole.
    pub(super) fn is_partial(&self) -> bool {
        let may_be = self.rendering_mode.as_deref() == Some("PARTIALLY_STATIC") || self.experimental_ppr == Some(true);
        may_be && !matches!(self.compute.as_deref(), Some("static" | "blocking"))
    }
}

/// Seconds, or `false`: for ever. `true` is a second, of old.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Window {
    Seconds(f64),
    Flag(bool),
}

impl Window {
    /// Whole seconds, at least one; `None`: for ever, or not at all.
    pub(super) fn seconds(self) -> Option<u64> {
        match self {
            Window::Seconds(seconds) => whole(seconds),
            Window::Flag(at_once) => at_once.then_some(1),
        }
    }
}

/// Larder takes a hundred years at most. Next's own word for "never" is 4294967294.
const LONGEST: f64 = 3_155_760_000.0;

/// Rounded up; `None`: none at all, or for ever.
pub(super) fn whole(seconds: f64) -> Option<u64> {
    // A float becomes an integer without a cast by way of its digits.
    let fits = seconds > 0.0 && seconds <= LONGEST;
    fits.then(|| format!("{:.0}", seconds.ceil()).parse().ok()).flatten()
}

/// What a path that is not prerendered gets.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Fallback {
    /// `false`: a 404.
    Flag(bool),
    /// The file of a shell, of a page of the pages router with `fallback: true`.
    Shell(String),
    /// `null`: it is rendered, and everybody waits.
    Blocking(()),
}

/// `routes-manifest.json`
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Routes {
    version: u64,
    #[serde(default)]
    pub(super) base_path: String,
    #[serde(default)]
    pub(super) dynamic_routes: Vec<Page>,
    #[serde(default)]
    pub(super) static_routes: Vec<Page>,
    #[serde(default)]
    pub(super) redirects: Vec<Custom>,
    #[serde(default)]
    pub(super) rewrites: Rewrites,
    pub(super) i18n: Option<I18n>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Page {
    pub(super) page: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct I18n {
    #[serde(default)]
    pub(super) locales: Vec<String>,
}

/// A redirect or a rewrite.
#[derive(Debug, Deserialize)]
pub(super) struct Custom {
    pub(super) source: String,
    /// One that Next.js adds itself, for slashes.
    #[serde(default)]
    pub(super) internal: bool,
}

/// By when they are tried; until Next.js 12 one list.
#[derive(Debug, Deserialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub(super) enum Rewrites {
    Phases {
        #[serde(default)]
        before_files: Vec<Custom>,
        #[serde(default)]
        after_files: Vec<Custom>,
        #[serde(default)]
        fallback: Vec<Custom>,
    },
    One(Vec<Custom>),
}

impl Default for Rewrites {
    fn default() -> Self {
        Rewrites::One(Vec::new())
    }
}

impl Rewrites {
    pub(super) fn all(&self) -> Vec<&Custom> {
        match self {
            Rewrites::Phases { before_files, after_files, fallback } => {
                before_files.iter().chain(after_files).chain(fallback).collect()
            }
            Rewrites::One(all) => all.iter().collect(),
        }
    }
}

/// `required-server-files.json`
#[derive(Debug, Default, Deserialize)]
pub(super) struct ServerFiles {
    #[serde(default)]
    pub(super) config: Config,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Config {
    pub(super) trailing_slash: bool,
    pub(super) dist_dir: Option<String>,
    pub(super) output: Option<String>,
}

/// `server/middleware-manifest.json`: of the edge runtime.
#[derive(Debug, Default, Deserialize)]
struct Middleware {
    #[serde(default)]
    middleware: BTreeMap<String, Function>,
}

/// `server/functions-config-manifest.json`: of the Node.js runtime.
#[derive(Debug, Default, Deserialize)]
struct Functions {
    #[serde(default)]
    functions: BTreeMap<String, Function>,
}

#[derive(Debug, Deserialize)]
struct Function {
    #[serde(default)]
    matchers: Vec<FunctionMatcher>,
}

#[derive(Debug, Deserialize)]
struct FunctionMatcher {
    #[serde(default = "everything", rename = "originalSource")]
    source: String,
}

fn everything() -> String {
    "/:path*".to_owned()
}

/// All of them.
#[derive(Debug)]
pub(super) struct Manifests {
    pub(super) build_id: String,
    pub(super) prerender: Prerender,
    pub(super) routes: Routes,
    pub(super) server: ServerFiles,
    /// Pages of the app router.
    pub(super) app: BTreeMap<String, String>,
    /// Pages of the pages router, with the file of each.
    pub(super) pages: BTreeMap<String, String>,
    /// What the app's proxy (middleware) is for.
    pub(super) proxied: Vec<String>,
    /// Versions of manifests that are not the known ones.
    pub(super) strange: Vec<String>,
}

impl Manifests {
    /// `dist`: the folder with BUILD_ID in it.
    pub(super) fn read(dist: &Path) -> Result<Self, InitError> {
        let server: ServerFiles = optional(dist, "required-server-files.json")?.unwrap_or_default();
        if server.config.output.as_deref() == Some("export") {
            return Err(InitError::Export(dist.to_path_buf()));
        }
        let prerender: Prerender = required(dist, "prerender-manifest.json")?;
        let routes: Routes = required(dist, "routes-manifest.json")?;
        if let Some(i18n) = &routes.i18n {
            return Err(InitError::Locales(i18n.locales.clone()));
        }
        let versions = [
            ("prerender-manifest.json", prerender.version, PRERENDER_VERSION),
            ("routes-manifest.json", routes.version, ROUTES_VERSION),
        ];
        let strange = versions.iter().filter(|(_, version, known)| version != known);
        let strange = strange.map(|(file, version, known)| format!("{file} is of version {version}, not {known}"));
        Ok(Manifests {
            build_id: String::from_utf8_lossy(&bytes(dist, "BUILD_ID")?).trim().to_owned(),
            strange: strange.collect(),
            prerender,
            routes,
            server,
            app: optional(dist, "app-path-routes-manifest.json")?.unwrap_or_default(),
            pages: optional(dist, "server/pages-manifest.json")?.unwrap_or_default(),
            proxied: proxied(dist)?,
        })
    }
}

fn proxied(dist: &Path) -> Result<Vec<String>, InitError> {
    let edge: Middleware = optional(dist, "server/middleware-manifest.json")?.unwrap_or_default();
    let node: Functions = optional(dist, "server/functions-config-manifest.json")?.unwrap_or_default();
    let node = node.functions.into_iter().filter(|(name, _)| name == "/_middleware").map(|(_, function)| function);
    let mut sources = BTreeSet::new();
    for function in edge.middleware.into_values().chain(node) {
        if function.matchers.is_empty() {
            sources.insert(everything());
        }
        sources.extend(function.matchers.into_iter().map(|matcher| matcher.source));
    }
    Ok(sources.into_iter().collect())
}

fn bytes(dist: &Path, name: &str) -> Result<Vec<u8>, InitError> {
    let file = dist.join(name);
    let unreadable = |file: PathBuf, e: &std::io::Error| match e.kind() {
        ErrorKind::NotFound => InitError::Missing(file),
        _ => InitError::Unreadable(file, e.to_string()),
    };
    // A pipe would be waited for.
    if file.exists() && !file.is_file() {
        return Err(InitError::Unreadable(file, "it is no file".to_owned()));
    }
    let opened = std::fs::File::open(&file).map_err(|e| unreadable(file.clone(), &e))?;
    let mut bytes = Vec::new();
    opened.take(MAX_MANIFEST + 1).read_to_end(&mut bytes).map_err(|e| unreadable(file.clone(), &e))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_MANIFEST {
        return Err(InitError::Unreadable(file, format!("it has more than {} MiB", MAX_MANIFEST >> 20)));
    }
    Ok(bytes)
}

fn required<T: DeserializeOwned>(dist: &Path, name: &str) -> Result<T, InitError> {
    let bytes = bytes(dist, name)?;
    serde_json::from_slice(&bytes).map_err(|error| {
        let file = dist.join(name);
        match serde_json::from_slice::<Value>(&bytes) {
            Ok(value) => InitError::Unexpected(file, value.get("version").and_then(Value::as_u64), error.to_string()),
            Err(error) => InitError::NotJson(file, error.to_string()),
        }
    })
}

/// A manifest that not every version of Next.js has.
fn optional<T: DeserializeOwned>(dist: &Path, name: &str) -> Result<Option<T>, InitError> {
    match required(dist, name) {
        Err(InitError::Missing(_)) => Ok(None),
        other => other.map(Some),
    }
}
