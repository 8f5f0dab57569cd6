//! `larder warm`: pages are generated before anybody asks for them, and it is told how that goes.

use super::text::{safe, took};
use super::{ASK, Admin, Connection, Failure, finish, print, print_json};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;
use serde_json::json;
use std::process::ExitCode;
use std::time::Duration;

#[derive(Debug, clap::Args)]
pub struct WarmArgs {
    /// A path: /blog/hello. Neither paths nor routes: the pages of every route that has a `prerender`.
    #[arg(value_name = "PATH")]
    paths: Vec<String>,
    /// The pages that the `prerender` of the route of this name lists. May be repeated.
    #[arg(long = "route", value_name = "R")]
    routes: Vec<String>,
    /// The host of the paths; else every host of their routes.
    #[arg(long, value_name = "H")]
    host: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Deserialize)]
struct Ordered {
    run: u64,
}

#[derive(Deserialize)]
pub(super) struct Told {
    pub runs: Vec<Report>,
}

#[derive(Deserialize)]
pub(super) struct Report {
    pub run: u64,
    pub occasion: String,
    pub state: String,
    listed: u64,
    stored: u64,
    left: u64,
    not_stored: u64,
    failed: u64,
    elapsed_ms: u64,
    slowest: Vec<Slow>,
    failures: Vec<Trouble>,
    problems: Vec<String>,
}

#[derive(Deserialize)]
struct Slow {
    url: String,
    took_ms: u64,
}

#[derive(Deserialize)]
pub(super) struct Trouble {
    pub url: String,
    pub reason: String,
}

/// Between two questions.
pub(super) const PAUSE: Duration = Duration::from_millis(200);
/// Of the slowest pages so many are shown, from this time on.
const SLOW_SHOWN: usize = 5;
const SLOW: u64 = 1000;

impl WarmArgs {
    /// Orders, watches, prints, and tells how it ended.
    pub fn run(&self) -> ExitCode {
        finish(self.warm())
    }

    fn warm(&self) -> Result<(), Failure> {
        let admin = Admin::at(&self.connection, ASK)?;
        let body = json!({ "routes": self.routes, "paths": self.paths, "host": self.host });
        let answer = admin.post("/v1/warm", &body)?;
        let run = admin.success::<Ordered>(&answer)?.run.to_string();
        let bar = bar();
        loop {
            let answer = admin.get("/v1/prerenders", &[("run", &run)])?;
            let told: Told = admin.success(&answer)?;
            let Some(report) = told.runs.into_iter().next() else { return Err(admin.not_larder(&answer)) };
            report.show(&bar);
            if report.state == "ended" {
                bar.finish_and_clear();
                if self.connection.json {
                    print_json(&answer)?;
                } else {
                    print(&report.told())?;
                }
                return report.outcome();
            }
            std::thread::sleep(PAUSE);
        }
    }
}

/// On a terminal alone.
pub(super) fn bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    let form = "{wide_bar} {pos} of {len}, {msg}, {eta} left";
    bar.set_style(ProgressStyle::with_template(form).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

impl Report {
    fn done(&self) -> u64 {
        self.stored + self.left + self.not_stored + self.failed
    }

    pub(super) fn show(&self, bar: &ProgressBar) {
        bar.set_length(self.listed);
        bar.set_position(self.done());
        let a_second = self.done() * 1000 / self.elapsed_ms.max(1);
        bar.set_message(format!("{} failed, {a_second} a second", self.failed));
    }

    fn told(&self) -> String {
        let Report { listed, stored, left, not_stored, failed, elapsed_ms, .. } = self;
        let mut text = format!(
            "{listed} pages in {}: {stored} stored, {left} left as they were, {not_stored} not to be stored, {failed} failed\n",
            took(*elapsed_ms)
        );
        for Slow { url, took_ms } in self.slowest.iter().filter(|slow| slow.took_ms >= SLOW).take(SLOW_SHOWN) {
            text += &format!("slow: {} took {}\n", safe(url), took(*took_ms));
        }
        text
    }

    fn outcome(&self) -> Result<(), Failure> {
        let troubles = self.failures.iter().map(|f| format!("\n  {}: {}", safe(&f.url), safe(&f.reason)));
        let problems = self.problems.iter().map(|problem| format!("\n  {}", safe(problem)));
        let all: String = problems.chain(troubles).collect();
        if all.is_empty() {
            return Ok(());
        }
        let untold = (self.failed + self.not_stored).saturating_sub(self.failures.len() as u64);
        let more = if untold > 0 { format!("\n  and {untold} more pages") } else { String::new() };
        Err(Failure::CannotRun(format!("not everything was stored:{all}{more}")))
    }
}
