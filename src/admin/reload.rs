//! `POST /v1/reload`: reads the configuration again. Who does that, and what it takes, is the composition's to know.

use super::Admin;
use super::problem::{Problem, json};
use super::query::Query;
use crate::service::{Request, Response};
use http::StatusCode;
use serde::Serialize;

/// Reads the configuration again and puts it in force, or leaves everything as it is. Blocks while the file is read.
pub type Reload = Box<dyn Fn() -> Result<Reloaded, NotReloaded> + Send + Sync>;

/// A configuration in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reloaded {
    /// The sections that are different now.
    pub changed: Vec<&'static str>,
}

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConfigFault {
    /// Both count from 1; 0: the file as a whole.
    pub line: usize,
    pub column: usize,
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// Why everything stays as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotReloaded {
    /// Larder was started without a file.
    NoFile,
    Faulty {
        file: String,
        faults: Vec<ConfigFault>,
    },
    /// These sections cannot be changed while Larder runs.
    NeedsRestart(Vec<&'static str>),
}

impl std::fmt::Display for NotReloaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            NotReloaded::NoFile => {
                f.write_str("Larder was started without a configuration file: there is nothing to read again")
            }
            NotReloaded::Faulty { file, faults } => {
                write!(f, "{file} has {} faults", faults.len())?;
                faults.iter().try_for_each(|fault| write!(f, "; line {}: {}", fault.line, fault.message))
            }
            NotReloaded::NeedsRestart(sections) => {
                let sections = sections.join("`, `");
                write!(f, "`{sections}` cannot be changed while Larder runs: put them back, or restart it")
            }
        }
    }
}

#[derive(Serialize)]
struct Done {
    reloaded: bool,
    changed: Vec<&'static str>,
}

pub(super) async fn reload(admin: &Admin, request: &Request) -> Result<Response, Problem> {
    Query::parse(request.query.as_deref())?.end(&[])?;
    if request.body.is_err() {
        return Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "a reload takes no body: the file on the server is read",
        ));
    }
    // Others wait for their answers meanwhile on other threads.
    match tokio::task::block_in_place(|| (admin.reload)()) {
        Ok(Reloaded { changed }) => Ok(json(&Done { reloaded: true, changed })),
        Err(refused) => Err(problem(&refused)),
    }
}

fn problem(refused: &NotReloaded) -> Problem {
    let NotReloaded::Faulty { file, faults } = refused else {
        return Problem::unprocessable(format!("{refused}; the old configuration stays in force"));
    };
    let detail = format!("`{file}` has {} faults, see `faults`; the old configuration stays in force", faults.len());
    Problem::unprocessable(detail).with("faults", faults)
}
