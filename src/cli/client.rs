//! Commands that ask a running Larder through its admin API: where it is, with which token, and what is said when the
//! answer is not the one that was hoped for. What is asked, and how it is shown, is the business of the modules below.

mod deployments;
mod entries;
mod explain;
mod export;
mod import;
mod revalidate;
mod text;
mod versions;
mod warm;

pub use deployments::DeploymentsArgs;
pub use entries::EntriesArgs;
pub use explain::ExplainArgs;
pub use export::ExportArgs;
pub use import::ImportArgs;
pub use revalidate::RevalidateArgs;
pub use versions::VersionsArgs;
pub use warm::WarmArgs;

use super::{cannot_run, mistake};
use http::header::{AUTHORIZATION, CONTENT_TYPE, EXPECT};
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;
use std::time::Duration;
use text::{safe, safe_json};

const CONNECT: Duration = Duration::from_secs(5);
/// For a whole answer.
const ASK: Duration = Duration::from_secs(30);
/// For a whole answer that waits for the origin.
const REGENERATE: Duration = Duration::from_secs(120);
/// Bytes of an answer.
const MAX_ANSWER: u64 = 64 << 20;
/// Bytes of a piece of what is stored: one entry may be large.
const MAX_PIECE: u64 = 4 << 30;

/// Larger bodies are announced before they are sent, in bytes.
const ASKED_FIRST: usize = 8 << 20;
const OCTETS: &str = "application/octet-stream";

const WHERE: &str = "say where Larder's admin address (`admin.listen`) is: --admin URL or LARDER_ADMIN";
const WHICH: &str = "It is `admin.token` of the configuration; where there is none, Larder makes one and prints it \
                     when it starts";

/// Which Larder is asked, and how its answer is shown.
#[derive(Debug, clap::Args)]
struct Connection {
    /// The admin address of the Larder to ask: its `admin.listen`.
    #[arg(long, value_name = "URL", env = "LARDER_ADMIN", default_value = "http://127.0.0.1:9900")]
    admin: String,
    /// The token: `admin.token` of the configuration, or the one that Larder printed when it started.
    #[arg(long, value_name = "TOKEN", env = "LARDER_ADMIN_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Print the API's JSON instead of text.
    #[arg(long)]
    json: bool,
}

/// The admin API of one Larder.
struct Admin {
    base: String,
    credentials: Option<HeaderValue>,
    agent: ureq::Agent,
}

impl Admin {
    /// `patience`: for each whole answer.
    fn at(connection: &Connection, patience: Duration) -> Result<Self, Failure> {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            // The token is for this address: no proxy of the environment sees it, no redirect takes it elsewhere.
            .proxy(None)
            .max_redirects(0)
            .timeout_connect(Some(CONNECT))
            .timeout_global(Some(patience))
            .user_agent(concat!("larder/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Admin {
            base: base(&connection.admin)?,
            credentials: credentials(connection.token.as_deref())?,
            agent: ureq::Agent::new_with_config(config),
        })
    }

    fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Answer, Failure> {
        let url = self.url(path, query);
        self.answer(path, self.authorised(self.agent.get(url.as_str())).call())
    }

    /// A piece of what is stored, as it is, with the fields of its head.
    fn piece(&self, path: &'static str, query: &[(&str, &str)]) -> Result<(HeaderMap, Vec<u8>), Failure> {
        let url = self.url(path, query);
        let response = self.authorised(self.agent.get(url.as_str())).call().map_err(|e| self.unanswered(&e))?;
        let kind = response.headers().get(CONTENT_TYPE);
        if response.status() != StatusCode::OK || kind.is_none_or(|kind| kind != OCTETS) {
            let answer = self.answer(path, Ok(response))?;
            return Err(if answer.status.is_success() { self.not_larder(&answer) } else { self.refused(&answer) });
        }
        let (head, body) = response.into_parts();
        let bytes = body.into_with_config().limit(MAX_PIECE).read_to_vec().map_err(|e| self.unanswered(&e))?;
        Ok((head.headers, bytes))
    }

    fn send(&self, path: &'static str, bytes: &[u8]) -> Result<Answer, Failure> {
        let url = self.url(path, &[]);
        let request = self.authorised(self.agent.post(url.as_str())).content_type(OCTETS);
        // What is not wanted is refused before it is sent: its connection would break off otherwise.
        let request = if bytes.len() > ASKED_FIRST { request.header(EXPECT, "100-continue") } else { request };
        self.answer(path, request.send(bytes))
    }

    fn url(&self, path: &str, query: &[(&str, &str)]) -> String {
        let mut url = format!("{}{path}", self.base);
        for (n, (name, value)) in query.iter().enumerate() {
            url.push(if n == 0 { '?' } else { '&' });
            url += &format!("{name}={}", encoded(value));
        }
        url
    }

    fn post(&self, path: &str, body: &serde_json::Value) -> Result<Answer, Failure> {
        let url = format!("{}{path}", self.base);
        let request = self.authorised(self.agent.post(url.as_str())).content_type("application/json");
        self.answer(path, request.send(body.to_string()))
    }

    fn authorised<B>(&self, request: ureq::RequestBuilder<B>) -> ureq::RequestBuilder<B> {
        match &self.credentials {
            Some(credentials) => request.header(AUTHORIZATION, credentials.clone()),
            None => request,
        }
    }

    fn answer(&self, path: &str, outcome: Result<http::Response<ureq::Body>, ureq::Error>) -> Result<Answer, Failure> {
        let (head, body) = outcome.map_err(|e| self.unanswered(&e))?.into_parts();
        let bytes = body.into_with_config().limit(MAX_ANSWER).read_to_vec().map_err(|e| self.unanswered(&e))?;
        let kind = head.headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("no content type");
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Ok(Answer { path: path.to_owned(), status: head.status, kind: kind.to_owned(), text })
    }

    /// What a success says.
    fn success<T: DeserializeOwned>(&self, answer: &Answer) -> Result<T, Failure> {
        if !answer.status.is_success() {
            return Err(self.refused(answer));
        }
        serde_json::from_str(&answer.text).map_err(|_| self.not_larder(answer))
    }

    fn refused(&self, answer: &Answer) -> Failure {
        let Some(problem) = answer.problem() else { return self.not_larder(answer) };
        let (base, path, status) = (&self.base, &answer.path, answer.status);
        let said = safe(problem.detail.as_deref().unwrap_or(&problem.title));
        match status {
            StatusCode::UNAUTHORIZED if self.credentials.is_none() => {
                Failure::Mistake(format!("{base} wants a token: --token TOKEN or LARDER_ADMIN_TOKEN. {WHICH}"))
            }
            StatusCode::UNAUTHORIZED => {
                Failure::Mistake(format!("{base} does not know the token of --token or LARDER_ADMIN_TOKEN. {WHICH}"))
            }
            StatusCode::FORBIDDEN => Failure::Mistake(format!(
                "{base} does not allow this: {said}\n\
                 With a token of scope `read`, what only looks works (`entries`, `explain`); with one of scope `revalidate`, \
                 `revalidate` and `warm` do; `admin.token` may do everything"
            )),
            StatusCode::NOT_FOUND => Failure::Mistake(format!(
                "{base} has no {path}: {said}\n\
                 Is that Larder older than this command ({})? Otherwise {WHERE}",
                env!("CARGO_PKG_VERSION")
            )),
            _ if status.is_client_error() => Failure::Mistake(format!("{base} refuses this: {said}")),
            _ => Failure::CannotRun(format!("{base} could not do this ({status}): {said}")),
        }
    }

    fn not_larder(&self, answer: &Answer) -> Failure {
        let (base, path, status, kind) = (&self.base, &answer.path, answer.status, safe(&answer.kind));
        Failure::CannotRun(format!(
            "what answers at {base} is not Larder's admin API, or not of this version ({path}: {status}, {kind}): \
             {WHERE}"
        ))
    }

    fn unanswered(&self, error: &ureq::Error) -> Failure {
        let base = &self.base;
        let what = match error {
            ureq::Error::Http(_) | ureq::Error::BadUri(_) => {
                return Failure::Mistake(format!("this makes no request ({error}): shorten it, or check --admin"));
            }
            ureq::Error::Timeout(_) => format!("{base} did not answer in time ({error}): try again, or {WHERE}"),
            ureq::Error::BodyExceedsLimit(_) => {
                format!("the answer of {base} is longer than {} MiB: ask for less", MAX_ANSWER >> 20)
            }
            ureq::Error::Protocol(_) | ureq::Error::LargeResponseHeader(..) => {
                format!("what answers at {base} is not Larder's admin API ({error}): {WHERE}")
            }
            ureq::Error::Io(e) if broke_off(e.kind()) => {
                format!("the connection to {base} broke off ({e}): try again, or {WHERE}")
            }
            ureq::Error::Io(e) => format!("nobody answers at {base} ({e}): start Larder there, or {WHERE}"),
            _ => format!("nobody answers at {base} ({error}): start Larder there, or {WHERE}"),
        };
        Failure::CannotRun(what)
    }
}

fn broke_off(kind: ErrorKind) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(kind, BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}

/// `http://` and an authority, of what somebody wrote.
fn base(admin: &str) -> Result<String, Failure> {
    let written = admin.trim();
    let url = if written.contains("://") { written.to_owned() } else { format!("http://{written}") };
    let none = || {
        let what =
            format!("`{admin}` is no admin address (--admin or LARDER_ADMIN): write it as http://127.0.0.1:9900");
        Failure::Mistake(what)
    };
    let uri: Uri = url.parse().map_err(|_| none())?;
    let authority = uri.authority().ok_or_else(none)?;
    // A port that is no number is no port to the parser.
    let port = authority.port_u16().is_some() || authority.as_str() == authority.host();
    if authority.host().is_empty() || authority.as_str().contains('@') || !port {
        return Err(none());
    }
    match uri.scheme_str() {
        Some("http") if matches!(uri.path(), "" | "/") && uri.query().is_none() => Ok(format!("http://{authority}")),
        Some("https") => Err(Failure::Mistake(format!(
            "`{admin}`: the admin address speaks plain HTTP, not TLS. Write http://{authority}; to another machine, \
             go through a tunnel (ssh -L 9900:127.0.0.1:9900 HOST) and ask http://127.0.0.1:9900"
        ))),
        _ => Err(none()),
    }
}

/// The field's value; an empty token, as an unset variable leaves it, is none.
fn credentials(token: Option<&str>) -> Result<Option<HeaderValue>, Failure> {
    let Some(token) = token.map(str::trim).filter(|token| !token.is_empty()) else { return Ok(None) };
    match HeaderValue::from_str(&format!("Bearer {token}")) {
        Ok(value) => Ok(Some(value)),
        Err(_) => Err(Failure::Mistake(format!(
            "the token of --token or LARDER_ADMIN_TOKEN has characters that cannot be sent. {WHICH}"
        ))),
    }
}

/// For a query: everything but RFC 3986's unreserved characters is percent-encoded.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            _ => encoded += &format!("%{byte:02X}"),
        }
    }
    encoded
}

struct Answer {
    path: String,
    status: StatusCode,
    /// Its Content-Type.
    kind: String,
    text: String,
}

impl Answer {
    /// What Larder says with a refusal; nothing else answers so.
    fn problem(&self) -> Option<Problem> {
        if !self.kind.starts_with("application/problem+json") {
            return None;
        }
        serde_json::from_str(&self.text).ok()
    }
}

/// RFC 9457.
#[derive(Deserialize)]
struct Problem {
    title: String,
    detail: Option<String>,
}

/// Why a command ends without what it was asked for; the texts say what to do next.
enum Failure {
    /// The user's: an argument, a token, a request that Larder refuses.
    Mistake(String),
    /// Nobody answers there, or not Larder, or Larder could not.
    CannotRun(String),
    /// Whoever reads what is printed has seen enough: `| head`.
    Unheard,
}

impl Failure {
    fn exit(self) -> ExitCode {
        match self {
            Failure::Mistake(what) => mistake(&what),
            Failure::CannotRun(what) => cannot_run(&what),
            Failure::Unheard => ExitCode::SUCCESS,
        }
    }
}

/// To stderr, where the API says that the disk did not take something.
fn warn_unless_durable(durable: Option<bool>) {
    if durable == Some(false) {
        eprintln!("larder: it is so now, but the disk did not take it: a restart may undo it");
    }
}

/// How a command ends.
fn finish(outcome: Result<(), Failure>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.exit(),
    }
}

/// To stdout, as `print!` does it, but for the panic when nobody reads it.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|e| match e.kind() {
        ErrorKind::BrokenPipe => Failure::Unheard,
        _ => Failure::CannotRun(format!("the answer cannot be printed: {e}")),
    })
}

/// What the API sent, as it is.
fn print_json(answer: &Answer) -> Result<(), Failure> {
    print(&(safe_json(&answer.text) + "\n"))
}
