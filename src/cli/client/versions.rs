//! `larder versions`: the good versions of a page that are kept, and one of them served again.

use super::text::{Table, safe, size, span};
use super::{ASK, Admin, Answer, Connection, Failure, finish, print, print_json, warn_unless_durable};
use http::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct VersionsArgs {
    /// A whole URL, or a path of the first of `hosts`.
    url: String,
    /// A field that the visitor sends, where the page varies: 'Accept-Language: de'. May be repeated.
    #[arg(long = "header", value_name = "FIELD")]
    headers: Vec<String>,
    /// Serve this version from now on. It is regenerated after its window, as any page is.
    #[arg(long, value_name = "ID", conflicts_with = "unpin")]
    restore: Option<String>,
    /// With --restore: serve it until it is unpinned, and do not regenerate it.
    #[arg(long, requires = "restore")]
    pin: bool,
    /// Let the page be regenerated again.
    #[arg(long)]
    unpin: bool,
    #[command(flatten)]
    connection: Connection,
}

const HEAD: [&str; 6] = ["id", "generated", "age", "status", "size", ""];

#[derive(Deserialize)]
struct Told {
    url: String,
    history: u64,
    versions: Vec<Version>,
}

#[derive(Deserialize)]
struct Version {
    id: String,
    generated: String,
    age_s: u64,
    status: u16,
    bytes: u64,
    current: bool,
    pinned: bool,
}

#[derive(Deserialize)]
struct Served {
    url: String,
    /// Told only where it is false.
    durable: Option<bool>,
}

/// What a refusal names that is about the page, and not about the call.
#[derive(Deserialize)]
struct OfPage {
    detail: String,
    #[serde(rename = "url")]
    _url: String,
}

impl VersionsArgs {
    /// Asks, prints, and tells how it ended.
    pub fn run(&self) -> ExitCode {
        finish(self.versions())
    }

    fn versions(&self) -> Result<(), Failure> {
        let admin = Admin::at(&self.connection, ASK)?;
        let (answer, text, durable) = match (&self.restore, self.unpin) {
            (Some(id), _) => {
                let body = json!({ "url": self.url, "headers": self.headers, "id": id, "pin": self.pin });
                let answer = admin.post("/v1/versions", &body)?;
                let served: Served = success(&admin, &answer)?;
                let until = if self.pin { "until it is unpinned" } else { "for its window" };
                let text = format!("{} is served from version {} {until}\n", safe(&served.url), safe(id));
                (answer, text, served.durable)
            }
            (None, true) => {
                let answer = admin.post("/v1/versions/unpin", &json!({ "url": self.url, "headers": self.headers }))?;
                let served: Served = success(&admin, &answer)?;
                let text = format!("{} is not pinned any more: its next visit renews it\n", safe(&served.url));
                (answer, text, served.durable)
            }
            (None, false) => {
                let mut query = vec![("url", self.url.as_str())];
                query.extend(self.headers.iter().map(|field| ("header", field.as_str())));
                let answer = admin.get("/v1/versions", &query)?;
                let told: Told = success(&admin, &answer)?;
                let text = told.table();
                (answer, text, None)
            }
        };
        if self.connection.json {
            print_json(&answer)?;
        } else {
            print(&text)?;
        }
        warn_unless_durable(durable);
        Ok(())
    }
}

/// As [`Admin::success`], but where the page is not found it is not the call that is unknown.
fn success<T: DeserializeOwned>(admin: &Admin, answer: &Answer) -> Result<T, Failure> {
    if answer.status == StatusCode::NOT_FOUND
        && answer.problem().is_some()
        && let Ok(problem) = serde_json::from_str::<OfPage>(&answer.text)
    {
        return Err(Failure::Mistake(safe(&problem.detail)));
    }
    admin.success(answer)
}

impl Told {
    fn table(&self) -> String {
        let head = HEAD.map(str::to_owned).to_vec();
        let rows: Vec<Vec<String>> = std::iter::once(head).chain(self.versions.iter().map(Version::row)).collect();
        let kept = match self.history {
            ..=1 => "its route keeps one (`history`)".to_owned(),
            most => format!("its route keeps {most} (`history`)"),
        };
        format!("{}: {kept}\n{}", safe(&self.url), Table::default().page(&rows))
    }
}

impl Version {
    fn row(&self) -> Vec<String> {
        let state = match (self.current, self.pinned) {
            (true, true) => "served, pinned",
            (true, false) => "served",
            (false, _) => "",
        };
        vec![
            safe(&self.id),
            safe(&self.generated),
            span(self.age_s),
            self.status.to_string(),
            size(self.bytes),
            state.to_owned(),
        ]
    }
}
