//! From pages to routes, in an order in which each is reached, and none takes what is another's.

use super::NextBuild;
use super::manifest::Manifests;
use super::page::{self, Isr, Kind, Page};
use super::path::{Form, Path, Segment, covers};
use super::public::Files;
use std::collections::{BTreeMap, BTreeSet};

/// Paths that are written into the configuration for one page.
pub(super) const MAX_LISTED: usize = 1_000;
/// Files of `public` that are written one by one.
const MAX_FILES: usize = 200;

#[derive(Debug)]
pub(super) struct Route {
    /// Absent: the first pattern.
    pub(super) name: Option<String>,
    pub(super) patterns: Vec<String>,
    pub(super) kind: RouteKind,
    pub(super) notes: Vec<String>,
}

#[derive(Debug)]
pub(super) enum RouteKind {
    /// `revalidate: origin`
    Headers,
    Isr {
        /// Seconds.
        window: u64,
        expire: Option<u64>,
        tag: Option<String>,
        /// The only paths there are.
        only: Option<Vec<String>>,
    },
}

pub(super) fn assemble(manifests: &Manifests, files: &Files) -> NextBuild {
    let pages = page::pages(manifests);
    let form = Form { base: manifests.routes.base_path.clone(), slash: manifests.server.config.trailing_slash };
    let table = Table { pages: &pages, files, form: &form, others: others(manifests) };
    let of_kind = |fits: fn(&Kind) -> bool| -> Vec<String> {
        pages.iter().filter(|page| fits(&page.kind)).map(|page| page.name.clone()).collect()
    };
    let mut build = NextBuild {
        routes: Vec::new(),
        build_id: manifests.build_id.clone(),
        fixed: of_kind(|kind| matches!(kind, Kind::Fixed)),
        dynamic: of_kind(|kind| matches!(kind, Kind::Dynamic)),
        partial: of_kind(|kind| matches!(kind, Kind::Partial)),
        unknown: of_kind(|kind| matches!(kind, Kind::Unknown)),
        left_out: Vec::new(),
        proxied: manifests.proxied.clone(),
        many_files: files.more,
        has_redirects: manifests.routes.redirects.iter().any(|redirect| !redirect.internal),
        strange: manifests.strange.clone(),
    };
    let plans: Vec<(usize, Plan)> =
        pages.iter().enumerate().filter_map(|(i, page)| Some((i, table.plan(page, page.isr()?)))).collect();
    // What has a pattern with parameters takes more than its page's own paths may be.
    let wide: Vec<&Page> = plans.iter().filter(|(_, plan)| plan.is_wide).map(|(i, _)| &pages[*i]).collect();
    let folded = table.folded(&wide);
    build.routes.extend(table.kept_by_headers(&wide, &folded, &mut build.many_files));
    let mut plans: BTreeMap<usize, Plan> = plans.into_iter().collect();
    for (i, page) in pages.iter().enumerate() {
        match plans.remove(&i) {
            Some(Plan { route: Some(route), .. }) => build.routes.push(route),
            Some(Plan { route: None, .. }) => build.left_out.push(page.name.clone()),
            None if !page.path.is_static() && is_taken(page, &wide) && !is_folded(&page.path, &folded) => {
                build.routes.extend(table.by_headers(page));
            }
            None => {}
        }
    }
    drop_unreachable(&mut build);
    build
}

/// What redirects, rewrites and the proxy may answer, at most.
fn others(manifests: &Manifests) -> Vec<Path> {
    let routes = &manifests.routes;
    let base = Path::literal(&routes.base_path);
    let redirects = routes.redirects.iter().filter(|redirect| !redirect.internal);
    let custom = redirects.chain(routes.rewrites.all()).map(|custom| Path::at_most(&custom.source));
    // The proxy's do not have the base path, and custom ones have it unless they say otherwise.
    custom.chain(manifests.proxied.iter().map(|source| Path::at_most(source).below(&base))).collect()
}

/// What is known of an app's paths.
struct Table<'a> {
    pages: &'a [Page],
    files: &'a Files,
    form: &'a Form,
    others: Vec<Path>,
}

/// What becomes of a page with a window.
struct Plan {
    /// `None`: nothing can be written.
    route: Option<Route>,
    /// Whether it matches more than the paths of the page that are known.
    is_wide: bool,
}

impl Table<'_> {
    fn plan(&self, page: &Page, isr: &Isr) -> Plan {
        let kind = |tag: Option<String>, only: Option<Vec<String>>| RouteKind::Isr {
            window: isr.window,
            expire: isr.expire,
            tag,
            only,
        };
        let mut notes = isr.notes.clone();
        let closed = isr.closed.as_ref().filter(|_| !page.path.is_static());
        let listed = |paths: &Vec<String>| -> Vec<String> {
            let patterns = paths.iter().filter_map(|path| Path::literal(path).pattern(self.form, false));
            patterns.collect::<BTreeSet<_>>().into_iter().collect()
        };
        if let Some(paths) = closed
            && let Some(who) = self.rival(page)
        {
            let patterns = listed(paths);
            if patterns.is_empty() || patterns.len() > MAX_LISTED {
                return Plan { route: None, is_wide: false };
            }
            notes.push(format!("Only the paths that the build has: what is not among them, {who} may answer."));
            let name = page.name.bytes().all(|b| matches!(b, b'!'..=b'~')) && page.name.len() <= 200;
            let name = name.then(|| page.name.clone());
            let route = Route { name, patterns, kind: kind(None, None), notes };
            return Plan { route: Some(route), is_wide: false };
        }
        let Some(pattern) = page.path.pattern(self.form, closed.is_some() || self.has_page_above(page)) else {
            return Plan { route: None, is_wide: false };
        };
        let mut only = closed.map(listed);
        if let Some(paths) = only.take_if(|paths| paths.is_empty() || paths.len() > MAX_LISTED) {
            notes.push(format!(
                "Next.js has {} paths here and a 404 for all others, which are too many to be written: put them into a \
                 file, one a line, and add `fallback: not_found` and `prerender: {{ file: paths.txt }}`.",
                paths.len()
            ));
        }
        if only.is_some() && page.path.is_open() {
            notes.push("A path with a slash at its end gets a 404 too, where Next.js redirects.".to_owned());
        }
        let route = Route { name: None, patterns: vec![pattern], kind: kind(page.path.tag(), only), notes };
        Plan { route: Some(route), is_wide: !page.path.is_static() }
    }

    /// Who else may answer what a page with a list of paths does not.
    fn rival(&self, page: &Page) -> Option<&'static str> {
        let base = Path::literal(&self.form.base);
        let full = page.path.below(&base);
        let later = |other: &&Page| other.path > page.path && other.path.overlaps(&page.path);
        if self.pages.iter().any(|other| later(&other)) {
            Some("another page")
        } else if self.others.iter().any(|other| other.overlaps(&full)) {
            Some("a redirect, a rewrite or the app's proxy (middleware)")
        } else if self.files.more || self.files.paths.iter().any(|file| file.overlaps(&page.path)) {
            Some("a file in `public`")
        } else if self.form.slash && page.path.is_open() {
            Some("a redirect to the path with a slash")
        } else {
            None
        }
    }

    /// Whether the path above `[...name]` may be another page's.
    fn has_page_above(&self, page: &Page) -> bool {
        let above = page.path.parent();
        page.path.ends_with_rest() && self.pages.iter().any(|other| other.path.overlaps(&above))
    }

    fn by_headers(&self, page: &Page) -> Option<Route> {
        let pattern = page.path.pattern(self.form, self.has_page_above(page))?;
        Some(Route { name: None, patterns: vec![pattern], kind: RouteKind::Headers, notes: Vec::new() })
    }

    /// Folders of which all goes by headers: the API, and those with files alone.
    fn folded(&self, wide: &[&Page]) -> BTreeSet<String> {
        let has_window = |folder: &str| {
            let folder = Some(folder);
            self.pages.iter().any(|page| page.isr().is_some() && page.path.first_literal() == folder)
        };
        let of_files = self.files.paths.iter().filter(|file| file.0.len() > 1 && takes(wide, file));
        let mut folders: BTreeSet<&str> = of_files.filter_map(Path::first_literal).collect();
        if self.pages.iter().any(|page| page.path.first_literal() == Some("api") && is_taken(page, wide)) {
            folders.insert("api");
        }
        folders.into_iter().filter(|folder| !has_window(folder)).map(str::to_owned).collect()
    }

    /// Pages without parameters, and files, that a page with a window would take.
    fn kept_by_headers(&self, wide: &[&Page], folded: &BTreeSet<String>, many_files: &mut bool) -> Option<Route> {
        let folders = folded.iter().map(|folder| Path(vec![Segment::Literal(folder.clone()), Segment::RestOrNone]));
        let pages = self.pages.iter().filter(|page| page.path.is_static() && is_taken(page, wide));
        let pages = pages.map(|page| &page.path).filter(|path| !is_folded(path, folded));
        let mut patterns: Vec<String> = folders.filter_map(|folder| folder.pattern(self.form, false)).collect();
        patterns.extend(pages.filter_map(|path| path.pattern(self.form, false)));
        let files = self.files.paths.iter().filter(|file| takes(wide, file) && !is_folded(file, folded));
        // A file has no slash at its end, whatever pages have.
        let form = Form { base: self.form.base.clone(), slash: false };
        let files: Vec<String> = files.filter_map(|file| file.pattern(&form, false)).collect();
        *many_files |= files.len() > MAX_FILES;
        patterns.extend(files.into_iter().take(MAX_FILES));
        if patterns.is_empty() {
            return None;
        }
        let notes = vec![
            "What the routes below would take, and is not theirs: other pages, handlers and files of the app. They go \
             by the headers that Next.js sends."
                .to_owned(),
        ];
        Some(Route { name: Some("by-headers".to_owned()), patterns, kind: RouteKind::Headers, notes })
    }
}

/// Whether a page goes by headers, and a route further down has a pattern for one of its paths.
fn is_taken(page: &Page, wide: &[&Page]) -> bool {
    page.isr().is_none() && wide.iter().any(|other| other.path > page.path && other.path.overlaps(&page.path))
}

fn takes(wide: &[&Page], file: &Path) -> bool {
    wide.iter().any(|page| page.path.overlaps(file))
}

fn is_folded(path: &Path, folded: &BTreeSet<String>) -> bool {
    path.first_literal().is_some_and(|first| folded.contains(first))
}

/// Larder refuses a route that can never match. The order is such that there is none, unless a build is strange.
fn drop_unreachable(build: &mut NextBuild) {
    let mut above: Vec<String> = Vec::new();
    let mut literals: BTreeSet<String> = BTreeSet::new();
    build.routes.retain_mut(|route| {
        route.patterns.retain(|pattern| {
            let reached = !literals.contains(pattern) && !above.iter().any(|other| covers(other, pattern));
            if !reached {
                build.left_out.push(pattern.clone());
            } else if pattern.contains(['*', '{']) {
                above.push(pattern.clone());
            } else {
                literals.insert(pattern.clone());
            }
            reached
        });
        !route.patterns.is_empty()
    });
}
