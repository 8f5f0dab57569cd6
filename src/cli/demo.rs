//! `larder demo`: the whole story in one process. An origin that takes its time, with switches to break, slow and heal
//! it; Larder in front; a status page.

use super::cannot_run;
use super::serve::{log_to_stderr, wait_and_stop};
use crate::app::{App, CannotRun};
use crate::config::{self, LogFormat, Logging};
use crate::proxy::{bind, escape};
use crate::service::{self, Request, Response};
use engine::Clock;
use http::{Method, StatusCode};
use serde::Deserialize;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

const PAGE: &str = include_str!("demo/page.html");
const PAGES: &str = include_str!("demo/pages.json");
const CONFIG: &str = include_str!("../../config/demo.yaml");

const RENDER: Duration = Duration::from_millis(800);
const SLOW_RENDER: Duration = Duration::from_secs(10);

pub(super) fn run(port: u16) -> ExitCode {
    let _log = log_to_stderr(&Logging { level: "warn".to_owned(), format: LogFormat::Text });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match runtime {
        Ok(runtime) => match runtime.block_on(demo(port)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => cannot_run(&error),
        },
        Err(error) => cannot_run(&error),
    }
}

async fn demo(port: u16) -> Result<(), CannotRun> {
    let Some(last) = port.checked_add(2).filter(|_| port > 0) else {
        return Err(CannotRun(format!("--port {port}: the demo needs this port and the two after it")));
    };
    let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let socket = bind(local(last)).map_err(|e| {
        CannotRun(format!("the demo's origin cannot listen on {}: {e}; choose another --port", local(last)))
    })?;
    let env = [("PORT", port), ("ADMIN_PORT", port + 1), ("ORIGIN_PORT", last)];
    let env = env.into_iter().map(|(name, port)| (name.to_owned(), port.to_string())).collect();
    let config = config::parse(CONFIG, "demo.yaml", &env).map_err(|faults| CannotRun(faults.to_string()))?;
    let origin = Arc::new(Origin::new(format!("http://{}", local(last)), format!("http://{}", local(port + 1)))?);
    let answer = move |(), request: Request| {
        let origin = origin.clone();
        async move { origin.answer(request).await }
    };
    tokio::spawn(service::run(socket, |_| Ok(()), answer));
    let app = App::start(config, None).await?;
    let (site, admin, behind) = (local(port), local(port + 1), local(last));
    let token = app.generated_token().unwrap_or("TOKEN");
    println!(
        "\n  Larder         http://{site}\n  status page    http://{admin}\n  slow origin    http://{behind}\n\n\
         Try this:\n\
         1. Open http://{site} and go through the pages: the first visit of each takes 0.8 s, every other one none.\n\
         2. Wait 5 s and reload: the old page comes at once, a new one is rendered behind it.\n\
         3. curl -X POST http://{behind}/_demo/break   and reload: every page that was seen is still there.\n\
         4. curl -X POST http://{behind}/_demo/heal    and the pages renew themselves.\n\
         5. curl -sI http://{site} | grep -i -e age -e cache-status   and watch http://{admin}\n\
         6. larder explain http://{site}/ --admin http://{admin} --token {token}\n   \
            larder revalidate --prefix / --admin http://{admin} --token {token}\n\n\
         Ctrl-C ends it.\n"
    );
    wait_and_stop(&app).await.map_err(|e| CannotRun(e.to_string()))
}

#[derive(Deserialize)]
struct Page {
    path: String,
    nav: String,
    title: String,
    body: String,
}

/// How the demo's origin behaves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mood {
    Well = 0,
    Broken = 1,
    Slow = 2,
}

struct Origin {
    pages: Vec<Page>,
    base: String,
    admin: String,
    mood: AtomicU8,
    renders: AtomicU64,
    clock: Clock,
}

impl Origin {
    fn new(base: String, admin: String) -> Result<Self, CannotRun> {
        let pages = serde_json::from_str(PAGES).map_err(|e| CannotRun(format!("the demo's pages: {e}")))?;
        Ok(Origin { pages, base, admin, mood: AtomicU8::new(0), renders: AtomicU64::new(0), clock: Clock::system() })
    }

    fn mood(&self) -> Mood {
        match self.mood.load(Ordering::Relaxed) {
            1 => Mood::Broken,
            2 => Mood::Slow,
            _ => Mood::Well,
        }
    }

    async fn answer(&self, request: Request) -> Response {
        if let Some(switch) = request.path.strip_prefix("/_demo/") {
            return self.switch(&request, switch);
        }
        let took = if self.mood() == Mood::Slow { SLOW_RENDER } else { RENDER };
        if self.mood() == Mood::Broken {
            return Response::text(
                StatusCode::INTERNAL_SERVER_ERROR,
                "The demo's origin is broken. POST /_demo/heal mends it.\n",
            );
        }
        tokio::time::sleep(took).await;
        match self.pages.iter().find(|p| p.path == request.path) {
            Some(page) => Response::new(StatusCode::OK, "text/html; charset=utf-8", self.render(page, took)),
            None => Response::text(StatusCode::NOT_FOUND, "There is no such page on this shelf.\n"),
        }
    }

    fn switch(&self, request: &Request, switch: &str) -> Response {
        let mood = match switch {
            "break" => Mood::Broken,
            "slow" => Mood::Slow,
            "heal" => Mood::Well,
            _ => return Response::text(StatusCode::NOT_FOUND, "The switches are break, slow and heal.\n"),
        };
        if request.method != Method::POST {
            return Response::text(StatusCode::METHOD_NOT_ALLOWED, "POST it.\n").with("allow", "POST");
        }
        self.mood.store(mood as u8, Ordering::Relaxed);
        let field = |name| request.fields.get(name).and_then(|v: &http::HeaderValue| v.to_str().ok());
        match field(http::header::REFERER) {
            // A form without JavaScript goes back to its page.
            Some(back) if field(http::header::ACCEPT).is_some_and(|a| a.contains("text/html")) => {
                Response::text(StatusCode::SEE_OTHER, "").with("location", back)
            }
            _ => Response::text(StatusCode::OK, format!("{switch}: done\n")),
        }
    }

    fn render(&self, page: &Page, took: Duration) -> String {
        let now = self.clock.now();
        let nav: String = self
            .pages
            .iter()
            .map(|p| {
                let current = if p.path == page.path { " aria-current=\"page\"" } else { "" };
                format!("<a href=\"{}\"{current}>{}</a>", p.path, escape(&p.nav))
            })
            .collect();
        let took = if took < Duration::from_secs(1) {
            format!("{} ms", took.as_millis())
        } else {
            format!("{} s", took.as_secs())
        };
        let values = [
            ("title", escape(&page.title)),
            ("nav", nav),
            ("rendered_at", semantics::time::http_date(now)),
            ("rendered_ms", (now.as_micros() / 1000).to_string()),
            ("render_count", (self.renders.fetch_add(1, Ordering::Relaxed) + 1).to_string()),
            ("render_took", took),
            ("origin", self.base.clone()),
            ("admin", self.admin.clone()),
            ("body", page.body.clone()),
        ];
        values.iter().fold(PAGE.to_owned(), |html, (name, value)| html.replace(&format!("{{{{{name}}}}}"), value))
    }
}
