//! `larder deployments`: whose pages are stored, and which are served; with `activate`, another one's from now on.

use super::text::{Table, safe};
use super::warm::{PAUSE, Report, Told, Trouble, bar};
use super::{ASK, Admin, Answer, Connection, Failure, encoded, finish, print, print_json, warn_unless_durable};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

/// A hundred thousand pages take their time; whoever has enough of it leaves, and what he ordered is carried out.
const WARM: Duration = Duration::from_secs(24 * 3600);

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct DeploymentsArgs {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Serve the pages of this deployment from now on.
    Activate(ActivateArgs),
}

#[derive(Debug, clap::Args)]
struct ActivateArgs {
    id: String,
    /// Render first what is on lists for `activate`, and the pages that were asked for most.
    #[arg(long)]
    warm: bool,
    /// With --warm: so many of those [1000].
    #[arg(long, value_name = "N", requires = "warm")]
    pages: Option<u32>,
    /// With --warm: the old deployment stays if more of them fail, in percent [10].
    #[arg(long, value_name = "P", requires = "warm")]
    max_failed: Option<u8>,
    /// With --warm: switch whatever fails.
    #[arg(long, requires = "warm")]
    force: bool,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Deserialize)]
struct Listed {
    deployments: Vec<Deployment>,
}

#[derive(Deserialize)]
struct Deployment {
    id: String,
    active: bool,
    entries: u64,
}

#[derive(Deserialize)]
struct Activated {
    active: String,
    durable: Option<bool>,
    warmed: Option<Warmed>,
}

#[derive(Deserialize)]
struct Warmed {
    listed: u64,
    stored: u64,
    left: u64,
    not_stored: u64,
    failed: u64,
}

/// Why the old one stays.
#[derive(Deserialize)]
struct Refused {
    detail: String,
    failures: Vec<Trouble>,
}

impl DeploymentsArgs {
    /// Asks, prints, and tells how it ended.
    pub fn run(&self) -> ExitCode {
        finish(match &self.action {
            Some(Action::Activate(args)) => args.activate(),
            None => self.list(),
        })
    }

    fn list(&self) -> Result<(), Failure> {
        let admin = Admin::at(&self.connection, ASK)?;
        let answer = admin.get("/v1/deployments", &[])?;
        let listed: Listed = admin.success(&answer)?;
        if self.connection.json {
            return print_json(&answer);
        }
        let row = |one: &Deployment| {
            let active = if one.active { "yes" } else { "" };
            vec![safe(&one.id), active.to_owned(), one.entries.to_string()]
        };
        let head = ["id", "active", "entries"].map(str::to_owned).to_vec();
        let rows: Vec<Vec<String>> = std::iter::once(head).chain(listed.deployments.iter().map(row)).collect();
        print(&Table::default().page(&rows))
    }
}

impl ActivateArgs {
    fn activate(&self) -> Result<(), Failure> {
        let watch = Admin::at(&self.connection, ASK)?;
        let admin = Admin::at(&self.connection, if self.warm { WARM } else { ASK })?;
        let path = format!("/v1/deployments/{}/activate", encoded(&self.id));
        let body = self.body();
        let answer = thread::scope(|scope| {
            let order = scope.spawn(|| admin.post(&path, &body));
            if self.warm {
                show_until(&watch, || order.is_finished());
            }
            order.join().unwrap_or_else(|_| Err(Failure::CannotRun("the activation was not followed".to_owned())))
        })?;
        if answer.status == StatusCode::CONFLICT {
            return Err(refused(&admin, &answer));
        }
        let activated: Activated = admin.success(&answer)?;
        if self.connection.json {
            print_json(&answer)?;
        } else {
            print(&activated.told())?;
        }
        warn_unless_durable(activated.durable);
        Ok(())
    }

    /// What is not said is left to the server.
    fn body(&self) -> Value {
        let mut body = json!({ "warm": self.warm, "force": self.force });
        if let Some(pages) = self.pages {
            body["pages"] = pages.into();
        }
        if let Some(percent) = self.max_failed {
            body["max_failed"] = percent.into();
        }
        body
    }
}

/// Shows how far it is until it is over. Whoever may not ask, or is not answered, sees no bar.
fn show_until(admin: &Admin, over: impl Fn() -> bool) {
    let bar = bar();
    while !over() {
        let told = reports(admin);
        let ours = told.iter().flat_map(|told| &told.runs).filter(|run| is_activation(run));
        if let Some(report) = ours.max_by_key(|run| run.run) {
            report.show(&bar);
        }
        thread::sleep(PAUSE);
    }
    bar.finish_and_clear();
}

fn is_activation(report: &Report) -> bool {
    report.occasion == "activate" && report.state != "ended"
}

fn reports(admin: &Admin) -> Option<Told> {
    admin.get("/v1/prerenders", &[]).and_then(|answer| admin.success(&answer)).ok()
}

fn refused(admin: &Admin, answer: &Answer) -> Failure {
    let Ok(refused) = serde_json::from_str::<Refused>(&answer.text) else { return admin.refused(answer) };
    let failures = refused.failures.iter().map(|f| format!("\n  {}: {}", safe(&f.url), safe(&f.reason)));
    Failure::Mistake(format!("{}{}", safe(&refused.detail), failures.collect::<String>()))
}

impl Activated {
    fn told(&self) -> String {
        let mut text = String::new();
        if let Some(Warmed { listed, stored, left, not_stored, failed }) = &self.warmed {
            text += &format!(
                "{listed} pages: {stored} stored, {left} left as they were, {not_stored} not to be stored, {failed} failed\n"
            );
        }
        text + &format!("{} is served\n", safe(&self.active))
    }
}
