//! `larder revalidate`: what is stored of paths, prefixes, tags or routes is no longer fresh.

use super::text::{safe, took};
use super::{ASK, Admin, Connection, Failure, REGENERATE, finish, print, print_json, warn_unless_durable};
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct RevalidateArgs {
    /// A path, with all its queries: /blog/hello.
    #[arg(value_name = "PATH")]
    paths: Vec<String>,
    /// Every path that begins so; `/` is the whole site. May be repeated.
    #[arg(long = "prefix", value_name = "P")]
    prefixes: Vec<String>,
    /// What carries this tag. May be repeated.
    #[arg(long = "tag", value_name = "T")]
    tags: Vec<String>,
    /// What belongs to the route of this name. May be repeated.
    #[arg(long = "route", value_name = "R")]
    routes: Vec<String>,
    /// On this host only.
    #[arg(long, value_name = "H")]
    host: Option<String>,
    /// Never serve it again, not even stale: the next visitor waits for the origin.
    #[arg(long)]
    hard: bool,
    /// Regenerate the paths now, and wait for it.
    #[arg(long)]
    regenerate: bool,
    /// Count the stored responses concerned.
    #[arg(long)]
    count: bool,
    #[command(flatten)]
    connection: Connection,
}

/// What came of it; of a regeneration that failed, too.
#[derive(Deserialize)]
struct Done {
    epoch: u64,
    durable: Option<bool>,
    matched: Option<u64>,
    #[serde(default)]
    regenerated: Vec<Regenerated>,
    #[serde(default)]
    failed: Vec<Failed>,
}

#[derive(Deserialize)]
struct Regenerated {
    url: String,
    status: u16,
    took_ms: u64,
}

#[derive(Deserialize)]
struct Failed {
    url: String,
    reason: String,
}

impl RevalidateArgs {
    /// Asks, prints, and tells how it ended.
    pub fn run(&self) -> ExitCode {
        finish(self.revalidate())
    }

    fn revalidate(&self) -> Result<(), Failure> {
        if [&self.paths, &self.prefixes, &self.tags, &self.routes].iter().all(|selectors| selectors.is_empty()) {
            let what = "`larder revalidate` needs a PATH, --prefix, --tag or --route (`--prefix /` is the whole site)";
            return Err(Failure::Mistake(what.to_owned()));
        }
        let patience = if self.regenerate { REGENERATE } else { ASK };
        let admin = Admin::at(&self.connection, patience)?;
        let body = json!({
            "paths": self.paths, "prefixes": self.prefixes, "tags": self.tags, "routes": self.routes, "host": self.host,
            "hard": self.hard, "regenerate": self.regenerate, "count": self.count,
        });
        let answer = admin.post("/v1/revalidate", &body)?;
        let done: Done = match serde_json::from_str(&answer.text) {
            // The invalidation stands, and so do the regenerations that succeeded.
            Ok(done) if answer.status == StatusCode::BAD_GATEWAY => done,
            _ => admin.success(&answer)?,
        };
        if self.connection.json {
            print_json(&answer)?;
        } else {
            print(&done.told())?;
        }
        warn_unless_durable(done.durable);
        if answer.status.is_success() { Ok(()) } else { Err(done.failure()) }
    }
}

impl Done {
    fn told(&self) -> String {
        let mut text = format!("epoch {}\n", self.epoch);
        if let Some(matched) = self.matched {
            text += &format!("matched {matched}\n");
        }
        for Regenerated { url, status, took_ms } in &self.regenerated {
            text += &format!("regenerated {} ({status}) in {}\n", safe(url), took(*took_ms));
        }
        text
    }

    fn failure(&self) -> Failure {
        let reasons: String =
            self.failed.iter().map(|f| format!("\n  {}: {}", safe(&f.url), safe(&f.reason))).collect();
        Failure::CannotRun(format!("invalidated, but not regenerated; a visit or a later try regenerates it:{reasons}"))
    }
}
