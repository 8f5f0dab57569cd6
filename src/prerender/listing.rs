//! Which pages a route has, from all its sources: written into a temporary file as they are found, so that a million of
//! them take no memory, and the origin is not held up while they are rendered.

use super::fetch::{self, Document, Limited, NotFetched};
use super::own::{Home, NotOurs, Page, Place};
use super::run::Run;
use super::sitemap::{self, Format, Found, Limits};
use super::spool::{Pages, Spool};
use super::{Json, Plan, Reached, Shop};
use crate::proxy::Listed;
use semantics::Timestamp;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// Pages of one route.
const PAGES_AT_MOST: u64 = 10_000_000;
/// Sitemaps of one route, and how deep indexes may lie in each other.
const SITEMAPS_AT_MOST: usize = 50_000;
const DEPTH_AT_MOST: usize = 3;
/// A JSON document, in bytes: it is held as a whole, and takes forty times as much while it is read.
const JSON_AT_MOST: u64 = 4 << 20;
/// A line of a list, in bytes.
const LINE_AT_MOST: u64 = 8 << 10;
/// For all sources of a route.
const TIME_AT_MOST: Duration = Duration::from_secs(1800);

/// What the sources of a route say.
pub(super) struct Listing {
    pub(super) pages: Pages,
    pub(super) listed: Listed,
    /// Every source was read to its end.
    pub(super) complete: bool,
    pub(super) reached: Reached,
}

/// Reads all sources of a plan.
pub(super) async fn read(shop: &Arc<Shop>, plan: &Plan, run: &Arc<Run>) -> Listing {
    let Ok(_turn) = shop.readers.acquire().await else { return nothing() };
    let (shop, plan, owned) = (shop.clone(), plan.clone(), run.clone());
    let handle = Handle::current();
    let reading = tokio::task::spawn_blocking(move || match Lister::new(&shop, &plan, &owned, handle) {
        Some(lister) => lister.read(&plan),
        None => nothing(),
    });
    reading.await.unwrap_or_else(|_| {
        run.problem("reading the lists failed: Larder's log says more".to_owned());
        nothing()
    })
}

/// The pages of an order, each of the route that it belongs to.
pub(super) fn given(shop: &Shop, paths: &[String], host: Option<&str>, run: &Run) -> Pages {
    let site = shop.current.load_full();
    let mut spool = Spool::new();
    for path in paths {
        let named = path.split(['?', '#']).next().unwrap_or_default();
        let of = host.or_else(|| site.hosts.sites.first()?.first().map(String::as_str)).unwrap_or_default();
        let route = site.routes.find("GET", of, named).clone();
        let homes = match host {
            Some(host) => vec![Home { scheme: site.trust.usual_scheme(), host: host.to_owned() }],
            None => Place::of_any(shop, &route).homes(),
        };
        for home in homes {
            match Place::of_any(shop, &route).resolve(path, &home) {
                Ok(page) => {
                    take_in(&mut spool, &page, run);
                }
                Err(why) => run.problem(format!("`{}` {}", path.escape_debug(), why.as_str())),
            }
        }
    }
    spool.pages()
}

/// Sends a page on its way to those who generate it. Whether there was room for it.
fn take_in(spool: &mut Spool, page: &Page, run: &Run) -> bool {
    match spool.add(page) {
        Ok(()) => {
            run.listed();
            true
        }
        Err(error) => {
            run.problem(format!("the list does not fit into the temporary folder ({error}): make room there"));
            false
        }
    }
}

fn nothing() -> Listing {
    Listing { pages: Spool::new().pages(), listed: Listed::default(), complete: false, reached: Reached::Yes }
}

struct Lister<'a> {
    shop: &'a Shop,
    place: Place,
    run: &'a Run,
    handle: Handle,
    spool: Spool,
    /// There was no room for a page.
    broken: bool,
    listed: Listed,
    closed: bool,
    not_ours: HashMap<NotOurs, (u64, String)>,
    complete: bool,
    reached: Reached,
    until: Timestamp,
}

impl<'a> Lister<'a> {
    /// `None`: there is no such route any more.
    fn new(shop: &'a Shop, plan: &Plan, run: &'a Run, handle: Handle) -> Option<Self> {
        let place = Place::of(shop, &plan.route)?;
        Some(Lister {
            shop,
            place,
            run,
            handle,
            spool: Spool::new(),
            broken: false,
            listed: Listed::default(),
            closed: plan.closed,
            not_ours: HashMap::new(),
            complete: true,
            reached: Reached::Yes,
            until: shop.now().after(TIME_AT_MOST),
        })
    }

    fn read(mut self, plan: &Plan) -> Listing {
        for home in self.place.homes() {
            for path in &plan.settings.paths {
                let _ = self.add(path, &home);
            }
            if let Some(file) = &plan.settings.file {
                let read = File::open(file).and_then(|opened| self.lines(opened, &home));
                if let Err(error) = read {
                    self.incomplete(format!("{} cannot be read: {error}", file.display()));
                }
            }
            if let Some(sitemap) = &plan.settings.sitemap {
                self.sitemaps(sitemap, &home);
            }
            if let Some(json) = &plan.settings.json
                && let Err(why) = self.json(json, &home)
            {
                self.incomplete(format!("{}: {why}", json.url));
            }
        }
        for (why, (count, first)) in &self.not_ours {
            let others = if *count > 1 { format!(" (and {} more)", count - 1) } else { String::new() };
            self.run.problem(format!("`{}`{others} {}: left out", first.escape_debug(), why.as_str()));
        }
        // Of a list of what there is, nothing may be missing: hosts that are not known yet, say.
        let doubtful = self.closed && (self.spool.count == 0 || self.not_ours.contains_key(&NotOurs::Foreign));
        if doubtful {
            self.run.problem(
                "the list does not close the route: it names no page, or pages of hosts that are not known".to_owned(),
            );
        }
        let complete = self.complete && !self.broken && !doubtful;
        Listing { pages: self.spool.pages(), listed: self.listed, complete, reached: self.reached }
    }

    fn incomplete(&mut self, why: String) {
        self.complete = false;
        self.run.problem(why);
    }

    /// Takes a page in. What is not the route's is counted, and told of once.
    fn add(&mut self, text: &str, home: &Home) -> ControlFlow<()> {
        match self.place.page(text, home) {
            Ok(page) => {
                if self.closed {
                    let path = page.target.split('?').next().unwrap_or_default();
                    self.listed.add(self.place.site.listed_under(&page.host), path);
                }
                self.broken |= !take_in(&mut self.spool, &page, self.run);
            }
            Err(why) => {
                self.not_ours.entry(why).or_insert_with(|| (0, text.chars().take(200).collect())).0 += 1;
            }
        }
        if self.is_enough() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn limits(&self) -> Limited {
        Limited { clock: self.place.site.engine.clock.clone(), until: self.until, over: self.run.over() }
    }

    fn is_enough(&self) -> bool {
        self.spool.count >= PAGES_AT_MOST || self.broken || self.run.is_over() || self.shop.now() > self.until
    }

    fn lines(&mut self, file: File, home: &Home) -> io::Result<()> {
        let mut file = BufReader::new(file);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = file.by_ref().take(LINE_AT_MOST).read_until(b'\n', &mut line)?;
            if read == 0 {
                return Ok(());
            }
            if read as u64 == LINE_AT_MOST {
                return Err(io::Error::other(format!("a line has more than {LINE_AT_MOST} bytes")));
            }
            let text = String::from_utf8_lossy(&line);
            let text = text.split('#').next().unwrap_or_default().trim();
            if !text.is_empty() && self.add(text, home).is_break() {
                return Err(io::Error::other("it lists too much"));
            }
        }
    }

    /// A sitemap, and those that it names.
    fn sitemaps(&mut self, url: &str, home: &Home) {
        let mut seen = HashSet::from([url.to_owned()]);
        let mut next = vec![(url.to_owned(), home.clone(), 0)];
        while let Some((url, home, depth)) = next.pop() {
            if self.is_enough() {
                self.incomplete(format!("{url}: not read any more, the lists are too long or took too long"));
                return;
            }
            if depth > DEPTH_AT_MOST {
                self.incomplete(format!("{url}: indexes of sitemaps lie in each other too deep"));
                continue;
            }
            match self.sitemap(&url, &home) {
                Ok((home, more)) => {
                    for url in more {
                        if seen.len() >= SITEMAPS_AT_MOST {
                            self.incomplete(format!("there are more than {SITEMAPS_AT_MOST} sitemaps"));
                            break;
                        }
                        if seen.insert(url.clone()) {
                            next.push((url, home.clone(), depth + 1));
                        }
                    }
                }
                Err(why) => self.incomplete(format!("{url}: {why}")),
            }
        }
    }

    /// The sitemaps that one names, as URLs of the home where it was found.
    fn sitemap(&mut self, url: &str, home: &Home) -> Result<(Home, Vec<String>), String> {
        let Document { home, content_type, body } = self.document(url, home)?;
        let mut sitemaps = Vec::new();
        let mut take = |found| match found {
            Found::Page(url) => self.add(&url, &home),
            Found::Sitemap(_) if sitemaps.len() >= SITEMAPS_AT_MOST => ControlFlow::Break(()),
            Found::Sitemap(url) => {
                sitemaps.push(url);
                ControlFlow::Continue(())
            }
        };
        let format = Format::of(content_type.as_deref());
        sitemap::read(body, format, &Limits::default(), &mut take).map_err(|error| error.to_string())?;
        Ok((home, sitemaps))
    }

    fn json(&mut self, json: &Json, home: &Home) -> Result<(), String> {
        let Document { home, body, .. } = self.document(&json.url, home)?;
        let mut text = Vec::new();
        body.take(JSON_AT_MOST + 1).read_to_end(&mut text).map_err(|error| error.to_string())?;
        if text.len() as u64 > JSON_AT_MOST {
            return Err(format!("is larger than {} MiB: send it in parts, or as a sitemap", JSON_AT_MOST >> 20));
        }
        let value = serde_json::from_slice(&text).map_err(|error| format!("is not JSON: {error}"))?;
        for value in json.pointer.select(&value).map_err(|error| error.to_string())? {
            match json.to.render(value) {
                Some(path) => {
                    if self.add(&path, &home).is_break() {
                        return Err("it lists too much".to_owned());
                    }
                }
                None => self.incomplete(format!("{}: `{}` makes no path", json.url, value.escape_debug())),
            }
        }
        Ok(())
    }

    fn document(&mut self, url: &str, home: &Home) -> Result<Document, String> {
        fetch::document(&self.handle, &*self.shop.origin, &self.place, url, home, self.limits()).map_err(|error| {
            match error {
                NotFetched::Unreachable(why) => {
                    self.reached = Reached::No;
                    why
                }
                NotFetched::Other(why) => why,
            }
        })
    }
}
