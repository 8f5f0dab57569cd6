//! `larder init --next`: a configuration from what a build of Next.js says of its pages. Nothing is run and nothing is
//! asked: only the manifests in the build's folder are read, and the names of the files in `public`.
//!
//! Routes are written for pages with a window alone. All else goes by the headers that `next start` sends, which are
//! right for it; such a page gets a route of its own only where a wider one would take it.

mod build;
mod manifest;
mod page;
mod path;
mod public;
mod text;
mod yaml;

pub use yaml::yaml;

use build::Route;
use std::fmt;
use std::path::{Path, PathBuf};
use text::some_of;

/// What stands in the file besides the routes.
#[derive(Clone, Debug)]
pub struct Options {
    /// The URL at which `next start` answers.
    pub origin: String,
    /// Where Larder listens.
    pub listen: String,
}

/// What a build comes to for Larder.
#[derive(Debug)]
pub struct NextBuild {
    /// In the order in which they match.
    routes: Vec<Route>,
    build_id: String,
    /// Pages without a window, which Next.js sends with `s-maxage=31536000`.
    fixed: Vec<String>,
    /// Pages and handlers that are rendered for each request.
    dynamic: Vec<String>,
    /// Pages of which a part is (Partial Prerendering).
    partial: Vec<String>,
    /// Pages with parameters of which no path is prerendered: no window stands in a manifest.
    unknown: Vec<String>,
    /// Pages with a window for which no pattern can be written, or none of use.
    left_out: Vec<String>,
    /// Paths for which the app's proxy (middleware) runs.
    proxied: Vec<String>,
    /// Whether `public` has more files than are looked at.
    many_files: bool,
    has_redirects: bool,
    /// Versions that are not the known ones.
    strange: Vec<String>,
}

/// Reads a build: `dir` is the app's folder, or the build's own (`.next`).
///
/// # Errors
/// Says what is missing or wrong, and what to do.
pub fn read(dir: &Path) -> Result<NextBuild, InitError> {
    if !dir.is_dir() {
        return Err(if dir.exists() {
            InitError::NotAFolder(dir.to_path_buf())
        } else {
            InitError::NoFolder(dir.to_path_buf())
        });
    }
    let is_build = |folder: &PathBuf| folder.join("BUILD_ID").is_file();
    let Some(dist) = [dir.to_path_buf(), dir.join(".next")].into_iter().find(is_build) else {
        let exported = dir.join("_next").is_dir() && dir.join("404.html").is_file();
        return Err(if exported {
            InitError::Export(dir.to_path_buf())
        } else {
            InitError::NoBuild(dir.to_path_buf())
        });
    };
    let manifests = manifest::Manifests::read(&dist)?;
    let app = if dist == dir { above(dir, manifests.server.config.dist_dir.as_deref()) } else { dir.to_path_buf() };
    let files = public::files(&app.join("public"));
    Ok(build::assemble(&manifests, &files))
}

/// The app's folder, of its build's.
fn above(dist: &Path, name: Option<&str>) -> PathBuf {
    // Of `.` there is nothing above before it is made a whole path.
    let dist = dist.canonicalize().unwrap_or_else(|_| dist.to_path_buf());
    let depth = Path::new(name.unwrap_or(".next")).components().count();
    dist.ancestors().nth(depth).unwrap_or(&dist).to_path_buf()
}

/// Why no configuration can be made of a folder.
#[derive(Debug)]
pub enum InitError {
    NoFolder(PathBuf),
    NotAFolder(PathBuf),
    /// There is no BUILD_ID.
    NoBuild(PathBuf),
    /// A manifest is not there.
    Missing(PathBuf),
    /// The system does not let it be read, or it is too large.
    Unreadable(PathBuf, String),
    NotJson(PathBuf, String),
    /// It is JSON, and not what this version knows; with its own version, if it says one.
    Unexpected(PathBuf, Option<u64>, String),
    /// `output: export`: files, and no server.
    Export(PathBuf),
    /// The pages router's locales.
    Locales(Vec<String>),
}

impl fmt::Display for InitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InitError::NoFolder(dir) => write!(f, "{}: there is no such folder", dir.display()),
            InitError::NotAFolder(dir) => {
                write!(f, "{}: is no folder; name the app's folder, or its `.next`", dir.display())
            }
            InitError::NoBuild(dir) => write!(
                f,
                "{}: there is no Next.js build (no BUILD_ID here or in `.next`): run `next build` first. Where \
                 next.config sets a `distDir`, name that folder",
                dir.display()
            ),
            InitError::Missing(file) => {
                write!(f, "{}: is missing, so the build is not whole: run `next build` again", file.display())
            }
            InitError::Unreadable(file, why) => write!(f, "{}: cannot be read: {why}", file.display()),
            InitError::NotJson(file, why) => {
                write!(f, "{}: is not JSON ({why}): run `next build` again", file.display())
            }
            InitError::Unexpected(file, version, why) => {
                let version = version.map(|version| format!(", of version {version}")).unwrap_or_default();
                write!(
                    f,
                    "{}: is not a manifest that this version of Larder knows{version} ({}). Without it: `larder serve \
                     --origin URL` goes by the headers that Next.js sends",
                    file.display(),
                    why.escape_debug()
                )
            }
            InitError::Export(dir) => write!(
                f,
                "{}: is an app with `output: export`, which is files alone: there is no server that Larder could \
                 stand in front of. Any web server serves them",
                dir.display()
            ),
            InitError::Locales(locales) => write!(
                f,
                "the app has `i18n` locales ({}), whose paths `larder init` does not write routes for. `larder serve \
                 --origin URL` goes by the headers that Next.js sends, which hold for every locale",
                some_of(locales, 10)
            ),
        }
    }
}

impl std::error::Error for InitError {}

#[cfg(test)]
mod tests;
