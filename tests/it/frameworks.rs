//! docs/frameworks.md, row by row: an origin that sends what the row says, and visitors who look at what the row says of
//! Larder. The document is the table of these tests, so that the two cannot part. Time is not waited for: an `Age` on
//! the origin's answer moves it.

use crate::dsl::{Edge, Lines, Origin, PLAIN, Reply, Request, Response, joined, until};
use std::collections::HashSet;

const DOCUMENT: &str = include_str!("../../docs/frameworks.md");

/// One test for each section of the document.
macro_rules! frameworks {
    ($($test:ident: $section:literal),+ $(,)?) => {
        const TESTED: &[&str] = &[$($section),+];
        $(
            #[tokio::test]
            async fn $test() {
                Section::named($section).holds().await;
            }
        )+
    };
}

frameworks! {
    nextjs_is_answered_as_the_document_says: "Next.js",
    nuxt_is_answered_as_the_document_says: "Nuxt, Nitro",
    sveltekit_is_answered_as_the_document_says: "SvelteKit",
    astro_is_answered_as_the_document_says: "Astro",
    react_router_is_answered_as_the_document_says: "React Router",
    rails_is_answered_as_the_document_says: "Rails",
    django_is_answered_as_the_document_says: "Django",
    laravel_is_answered_as_the_document_says: "Laravel",
    wordpress_is_answered_as_the_document_says: "WordPress",
}

#[test]
fn every_section_of_the_document_has_a_test_and_every_row_a_name_of_its_own() {
    let sections = Section::all();
    let names: Vec<&str> = sections.iter().map(|section| section.name).collect();
    assert_eq!(names, TESTED);
    let mut ids = HashSet::new();
    for row in sections.iter().flat_map(|section| section.plain.iter().chain(&section.routed)) {
        assert!(ids.insert(&row.id), "`{}` stands there twice", row.id);
    }
}

/// Rows that say `asked`: nobody said that such a page may be shared without a word with the app.
#[tokio::test]
async fn a_page_without_a_lifetime_is_not_given_to_members_in_place_of_their_own() {
    let origin = Origin::start().await;
    origin.dynamic("/p", |seen| match seen.field("cookie") {
        None => Reply::ok("hello").etag("\"nobody\""),
        Some(cookie) => Reply::ok(format!("hello {cookie}")).etag(&format!("\"{cookie}\"")),
    });
    let edge = Edge::start(&origin).await;
    for _ in 0..3 {
        edge.get("/p").await.is("hello");
        for member in ["user=ada", "user=bob"] {
            edge.get("/p").cookie(member).await.is(&format!("hello {member}"));
        }
    }
}

/// One framework.
struct Section {
    name: &'static str,
    /// What Larder does without any route.
    plain: Vec<Row>,
    /// The routes that the document suggests, and what it does with them.
    routes: String,
    routed: Vec<Row>,
}

impl Section {
    fn all() -> Vec<Section> {
        DOCUMENT.split("\n## ").skip(1).map(Section::read).collect()
    }

    fn named(name: &str) -> Section {
        let found = Section::all().into_iter().find(|section| section.name == name);
        found.unwrap_or_else(|| panic!("docs/frameworks.md has no section `{name}`"))
    }

    fn read(text: &'static str) -> Section {
        let name = text.lines().next().unwrap();
        let (_, behind) = text.split_once("```yaml\n").unwrap_or_default();
        let routes = behind.split("```").next().unwrap_or_default().to_owned();
        let isr = routes.contains("revalidate:");
        let mut section = Section { name, plain: Vec::new(), routes, routed: Vec::new() };
        for line in text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| id |")) {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            match cells[..] {
                [id, app, sends, _seen, kept, stale, down, _more] => {
                    let stale = if stale == "-" { 0 } else { seconds(stale).unwrap() };
                    let past = Past { stale, app_down: AppDown::read(down) };
                    section.plain.push(Row { past: Some(past), ..Row::read(id, app, sends, kept) });
                }
                [id, app, sends, kept] => section.routed.push(Row { isr, ..Row::read(id, app, sends, kept) }),
                _ => panic!("a row of {} cells: {line}", cells.len()),
            }
        }
        section
    }

    async fn holds(&self) {
        assert!(!self.plain.is_empty(), "{} has no rows", self.name);
        for (config, rows) in [(PLAIN.to_owned(), &self.plain), ([PLAIN, self.routes.as_str()].concat(), &self.routed)]
        {
            let origin = Origin::start().await;
            let edge = Edge::with_config(&origin, &config).await;
            for row in rows {
                row.holds(&origin, &edge).await;
            }
        }
    }
}

/// `60 s`, `1 year`.
fn seconds(cell: &str) -> Option<u64> {
    match cell {
        "1 year" => Some(365 * 86_400),
        _ => cell.strip_suffix(" s")?.parse().ok(),
    }
}

struct Row {
    id: String,
    /// What is asked for, and the field that comes with it.
    target: String,
    field: Option<(String, String)>,
    /// What the app sends.
    status: u16,
    lines: Lines,
    kept: Kept,
    /// On an ISR route, browsers get Larder's own Cache-Control and no cookie.
    isr: bool,
    /// What is said of the time after it was fresh.
    past: Option<Past>,
}

enum Kept {
    /// Never stored, for this reason.
    No(String),
    /// Stored, and the app is asked about it on every visit.
    Asked,
    /// It answers alone for so many seconds.
    Fresh(u64),
}

struct Past {
    /// For so many seconds it answers at once all the same.
    stale: u64,
    app_down: AppDown,
}

/// What a visitor gets past all windows while the app fails.
enum AppDown {
    ThePage,
    TheFailure,
    NotSaid,
}

impl AppDown {
    fn read(cell: &str) -> AppDown {
        match cell {
            "answers" => AppDown::ThePage,
            "fails" => AppDown::TheFailure,
            "-" => AppDown::NotSaid,
            _ => panic!("`{cell}` is neither `answers`, `fails` nor `-`"),
        }
    }
}

impl Row {
    fn read(id: &str, app: &str, sends: &str, kept: &str) -> Row {
        let asked = app.split_once(", asked ").map_or("", |(_, asked)| asked);
        let behind = |word: &str| asked.split_once(&format!("{word} `"))?.1.split('`').next();
        let pair = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned()));
        let (mut status, mut lines) = (200, Lines::new());
        for quoted in sends.split('`').skip(1).step_by(2) {
            match quoted.parse() {
                Ok(number) => status = number,
                Err(_) => lines.push(pair(quoted).unwrap_or_else(|| panic!("{id}: `{quoted}` is no header line"))),
            }
        }
        let kept = match (kept.strip_prefix("no: "), seconds(kept)) {
            (Some(reason), _) => Kept::No(reason.to_owned()),
            (None, Some(seconds)) => Kept::Fresh(seconds),
            (None, None) if kept == "asked" => Kept::Asked,
            _ => panic!("{id}: how long is `{kept}`?"),
        };
        let target = behind("for").map_or_else(|| format!("/{id}"), str::to_owned);
        let field = behind("with").and_then(pair);
        Row { id: id.to_owned(), target, field, status, lines, kept, isr: false, past: None }
    }

    async fn holds(&self, origin: &Origin, edge: &Edge) {
        origin.answers(self.path(), self.reply(0));
        match &self.kept {
            Kept::No(reason) => self.is_passed(reason, origin, edge).await,
            Kept::Asked => self.is_asked_about(origin, edge).await,
            Kept::Fresh(seconds) => self.is_fresh(*seconds, origin, edge).await,
        }
    }

    async fn is_passed(&self, reason: &str, origin: &Origin, edge: &Edge) {
        let (first, second) = match reason {
            "bypass" => ("larder; fwd=bypass", "larder; fwd=bypass"),
            _ => ("larder; fwd=uri-miss", "larder; fwd=miss"),
        };
        let counted = format!("larder_uncacheable_total{{reason={reason}}}");
        let before = edge.metric(&counted).await;
        let answer = self.ask(edge, &self.target).await;
        self.says(&answer, first);
        self.reaches_the_browser(&answer, false);
        if reason != "bypass" {
            edge.metric_reaches(&counted, before + 1.0).await;
        }
        let again = self.ask(edge, &self.target).await;
        self.says(&again, second);
        assert_eq!(origin.count(self.path()), 2, "{}", self.id);
    }

    async fn is_asked_about(&self, origin: &Origin, edge: &Edge) {
        let first = self.ask(edge, &self.target).await;
        self.says(&first, "larder; fwd=uri-miss; stored");
        let again = self.waits(edge, &self.target).await;
        for answer in [&first, &again] {
            answer.status(self.status).is(&self.id);
            self.reaches_the_browser(answer, self.isr);
        }
        self.while_the_app_is_down(origin, edge, &self.target).await;
    }

    async fn is_fresh(&self, seconds: u64, origin: &Origin, edge: &Edge) {
        let personal = !self.isr && self.field.as_ref().is_some_and(|(name, _)| name == "Cookie");
        let first = self.ask(edge, &self.target).await;
        self.says(&first, if personal { "larder; fwd=request" } else { "larder; fwd=uri-miss; stored" });
        if personal {
            // Until it is stored he asks for himself, each time.
            edge.stored(&self.target).await;
        }
        let hit = self.seek(edge, &self.target, "it is a hit", Response::is_hit).await;
        let (left, all) = (ttl(&hit), i64::try_from(seconds).unwrap());
        assert!(left <= all && left > all - 30, "{}: {hit:?}", self.id);
        for answer in [&first, &hit] {
            answer.status(self.status).is(&self.id);
            self.reaches_the_browser(answer, self.isr);
        }
        if seconds > 0 {
            assert_eq!(origin.count(self.path()), 1 + usize::from(personal), "{}", self.id);
        }
        if seconds > 0 && self.field.is_none() {
            edge.get(&self.target).cookie("member=1").await.is(&self.id).cache_status("hit; ttl=");
        }
        let Some(Past { stale, .. }) = self.past else { return };
        if stale > 0 {
            let target = self.moved(origin, "stale", seconds + 10);
            let answer = self.seek(edge, &target, "it is a hit", Response::is_hit).await;
            assert!(ttl(&answer) < 0, "{}: {answer:?}", self.id);
        }
        let target = self.moved(origin, "past", seconds + stale + 10);
        self.waits(edge, &target).await;
        self.while_the_app_is_down(origin, edge, &target).await;
    }

    async fn while_the_app_is_down(&self, origin: &Origin, edge: &Edge, target: &str) {
        let Some(Past { app_down, .. }) = &self.past else { return };
        origin.page(target, "down").status(500);
        // The fill before may not have ended yet.
        let alone = |answer: &Response| !cache_status(answer).contains("collapsed");
        let answer = async || self.seek(edge, target, "it has a fill of its own", alone).await;
        match app_down {
            AppDown::NotSaid => {}
            AppDown::ThePage => {
                answer().await.status(self.status).is(&self.id).cache_status("fwd=stale; fwd-status=500");
            }
            AppDown::TheFailure => {
                answer().await.status(500).cache_status("fwd-status=500");
            }
        }
    }

    fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The same page at another address, where it is so many seconds old when it comes.
    fn moved(&self, origin: &Origin, name: &str, age: u64) -> String {
        let target = format!("/{}/{name}", self.id);
        origin.answers(&target, self.reply(age));
        target
    }

    fn reply(&self, age: u64) -> Reply {
        let reply = self.lines.iter().fold(Reply::ok(self.id.as_str()), |reply, (name, value)| {
            // Frameworks answer conditionals for whole pages only.
            if name == "ETag" && self.status == 200 { reply.etag(value) } else { reply.header(name, value) }
        });
        let reply = reply.status(self.status);
        if age == 0 { reply } else { reply.header("Age", &age.to_string()) }
    }

    fn ask(&self, edge: &Edge, target: &str) -> Request {
        let request = edge.get(target);
        match &self.field {
            Some((name, value)) => request.header(name, value),
            None => request,
        }
    }

    /// Asks until this is true.
    async fn seek(&self, edge: &Edge, target: &str, what: &str, wanted: impl Fn(&Response) -> bool) -> Response {
        let mut found = None;
        until(&format!("{}: {what}", self.id), async || {
            let answer = self.ask(edge, target).await;
            let fits = wanted(&answer);
            found = Some(answer);
            fits
        })
        .await;
        found.unwrap()
    }

    /// Asks until the app is asked about what is stored; until then nothing is answered without it.
    async fn waits(&self, edge: &Edge, target: &str) -> Response {
        let about = |answer: &Response| {
            assert!(!answer.is_hit(), "{}: {answer:?}", self.id);
            cache_status(answer).contains("fwd=stale")
        };
        self.seek(edge, target, "the app is asked about it", about).await
    }

    #[track_caller]
    fn says(&self, answer: &Response, status: &str) {
        assert_eq!(cache_status(answer), status, "{}", self.id);
    }

    /// The browser gets what the app sent, but for what is meant for caches.
    #[track_caller]
    fn reaches_the_browser(&self, answer: &Response, isr: bool) {
        const FOR_CACHES: [&str; 2] = ["cache-tag", "x-nextjs-cache"];
        for (name, _) in &self.lines {
            let wanted = match name.to_ascii_lowercase().as_str() {
                lower if FOR_CACHES.contains(&lower) => None,
                "set-cookie" if isr => None,
                "cache-control" if isr => Some("public, max-age=0, must-revalidate".to_owned()),
                _ => joined(&self.lines, name),
            };
            assert_eq!(answer.field(name), wanted, "{}: {name}", self.id);
        }
    }
}

fn cache_status(answer: &Response) -> String {
    answer.field("cache-status").unwrap_or_default()
}

fn ttl(answer: &Response) -> i64 {
    let status = cache_status(answer);
    let ttl = status.split_once("ttl=").and_then(|(_, rest)| rest.split(';').next()?.parse().ok());
    ttl.unwrap_or_else(|| panic!("no ttl in `{status}`"))
}
