//! `larder entries`: what is stored, as a table or as one JSON document.

use super::text::{Table, safe, safe_json, size, span, until};
use super::{ASK, Admin, Connection, Failure, finish, print};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::ExitCode;

/// The most the API lists at a time.
const PAGE: usize = 1000;
const HEAD: [&str; 7] = ["url", "status", "state", "age", "ttl", "size", "tags"];

#[derive(Debug, clap::Args)]
pub struct EntriesArgs {
    /// Only paths that begin so.
    #[arg(long, value_name = "P")]
    prefix: Option<String>,
    /// Only what carries this tag.
    #[arg(long, value_name = "T")]
    tag: Option<String>,
    /// Only what is in this state.
    #[arg(long, value_name = "S")]
    state: Option<State>,
    /// How many to list at most; 0 lists all.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum State {
    Fresh,
    Stale,
    Expired,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            State::Fresh => "fresh",
            State::Stale => "stale",
            State::Expired => "expired",
        }
    }
}

/// A stored response, as the API tells of it. Times are seconds but for `took_ms`.
#[derive(Deserialize)]
pub(super) struct Entry {
    pub url: String,
    /// The nominated fields and their values.
    pub variant: BTreeMap<String, Option<String>>,
    pub status: u16,
    pub state: String,
    pub age_s: u64,
    /// Negative once it is stale; none: it stays fresh.
    pub ttl_s: Option<i64>,
    pub expires_in_s: Option<i64>,
    pub bytes: u64,
    pub tags: Vec<String>,
    pub deployment: String,
    pub tier: String,
    #[serde(default)]
    pub pinned: bool,
    pub last_refresh: Option<Past>,
}

/// A regeneration that is over.
#[derive(Deserialize)]
pub(super) struct Past {
    pub ago_s: u64,
    pub cause: String,
    pub outcome: String,
    pub took_ms: u64,
}

#[derive(Deserialize)]
struct Page<T> {
    entries: Vec<T>,
    cursor: Option<String>,
}

/// What the limit left out.
enum Rest {
    Nothing,
    Something,
}

impl EntriesArgs {
    /// Asks, prints, and tells how it ended.
    pub fn run(&self) -> ExitCode {
        finish(self.list())
    }

    fn list(&self) -> Result<(), Failure> {
        let admin = Admin::at(&self.connection, ASK)?;
        let rest = if self.connection.json { self.as_json(&admin)? } else { self.as_table(&admin)? };
        if let Rest::Something = rest {
            eprintln!("larder: there are more than these {}; `--limit 0` lists all", self.limit);
        }
        Ok(())
    }

    fn as_table(&self, admin: &Admin) -> Result<Rest, Failure> {
        let mut table = Table::default();
        let mut head = Some(HEAD.map(str::to_owned).to_vec());
        let rest = self.pages(admin, |entries: Vec<Entry>| {
            if entries.is_empty() {
                return Ok(());
            }
            let rows: Vec<Vec<String>> = head.take().into_iter().chain(entries.iter().map(Entry::row)).collect();
            print(&table.page(&rows))
        })?;
        if head.is_some() {
            eprintln!("larder: nothing that fits is stored");
        }
        Ok(rest)
    }

    /// One document, printed page by page, so that a store of any size can be listed. If a later page fails it stays
    /// open: nobody takes it for the whole.
    fn as_json(&self, admin: &Admin) -> Result<Rest, Failure> {
        let mut before = "{\"entries\":[";
        let rest = self.pages(admin, |entries: Vec<Value>| {
            let mut text = String::new();
            for entry in &entries {
                text += before;
                text += &safe_json(&entry.to_string());
                before = ",";
            }
            print(&text)
        })?;
        print(if before == "," { "]}\n" } else { "{\"entries\":[]}\n" })?;
        Ok(rest)
    }

    fn pages<T: DeserializeOwned>(
        &self,
        admin: &Admin,
        mut show: impl FnMut(Vec<T>) -> Result<(), Failure>,
    ) -> Result<Rest, Failure> {
        let mut left = if self.limit == 0 { usize::MAX } else { self.limit };
        let mut cursor: Option<String> = None;
        loop {
            let most = left.min(PAGE).to_string();
            let filters = [
                ("prefix", self.prefix.as_deref()),
                ("tag", self.tag.as_deref()),
                ("state", self.state.map(State::as_str)),
                ("limit", Some(most.as_str())),
                ("cursor", cursor.as_deref()),
            ];
            let query: Vec<(&str, &str)> =
                filters.iter().filter_map(|(name, value)| value.map(|value| (*name, value))).collect();
            let answer = admin.get("/v1/entries", &query)?;
            let page: Page<T> = admin.success(&answer)?;
            left = left.saturating_sub(page.entries.len());
            show(page.entries)?;
            match page.cursor {
                None => return Ok(Rest::Nothing),
                Some(_) if left == 0 => return Ok(Rest::Something),
                // It would go round for ever.
                next if next == cursor => return Err(admin.not_larder(&answer)),
                next => cursor = next,
            }
        }
    }
}

impl Entry {
    pub(super) fn state(&self) -> String {
        let pinned = if self.pinned { ", pinned" } else { "" };
        format!("{}{pinned}", safe(&self.state))
    }

    fn row(&self) -> Vec<String> {
        vec![
            safe(&self.url),
            self.status.to_string(),
            self.state(),
            span(self.age_s),
            self.ttl_s.map_or_else(|| "never".to_owned(), until),
            size(self.bytes),
            safe(&self.tags.join(", ")),
        ]
    }
}
