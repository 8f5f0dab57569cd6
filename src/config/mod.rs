//! The configuration: from a YAML file, or from the command line, to settings that the other rooms can use. No other
//! room knows YAML. Every fault is reported at once, with its place.

mod address;
mod build;
mod fault;
mod lint;
#[allow(dead_code, reason = "a key that may only have its default is checked, and never read")]
mod raw;
mod tree;

pub use fault::{Fault, Faults, Location};

use crate::access;
use crate::origin;
use crate::prerender;
use crate::proxy::{self, IpNet, Matcher, TagTemplate};
use crate::tls;
use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tree::Node;

/// Everything that Larder needs to start.
#[derive(Clone, Debug)]
pub struct Config {
    pub listeners: Vec<Listener>,
    /// Whose X-Forwarded-* fields are believed.
    pub trusted_proxies: Vec<IpNet>,
    pub threads: usize,
    /// So long may requests that run at a shutdown take to end.
    pub drain: Duration,
    pub limits: proxy::Limits,
    /// Lower case; each list is one site, its first name is sent to the origin. None: any host.
    pub hosts: Vec<Vec<String>>,
    pub admin: Admin,
    /// None: metrics are on the admin address.
    pub metrics_listen: Option<SocketAddr>,
    pub logging: Logging,
    /// One line for each request.
    pub access: access::Settings,
    /// In the order of the file. The first is for requests that match no route.
    pub origins: Vec<origin::Settings>,
    pub store: engine::store::Settings,
    pub disk: Option<Disk>,
    pub deployment: Deployment,
    /// The first that matches decides.
    pub routes: Vec<RouteConfig>,
    /// The policy for requests that match no route.
    pub unmatched: semantics::Policy,
    /// The tags of those.
    pub unmatched_tags: Vec<TagTemplate>,
}

/// An address to listen on, and what is spoken there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    pub address: SocketAddr,
    pub tls: Option<tls::Settings>,
    /// Who comes without TLS is sent to this port.
    pub redirect: Option<u16>,
    /// HTTP/2 may be spoken without TLS.
    pub h2c: bool,
}

/// Where the disk store lies, and how much there may be of it.
#[derive(Clone, Debug)]
pub struct Disk {
    pub path: PathBuf,
    /// Bytes.
    pub max_size: u64,
    /// Bytes.
    pub max_object: u64,
    pub sync: Duration,
    /// Thousandths of the file system.
    pub min_free: u32,
}

/// Whose pages are served.
#[derive(Clone, Debug)]
pub struct Deployment {
    pub id: String,
    pub keep: usize,
    pub bridge: bool,
}

/// The operator's address.
#[derive(Clone, Debug)]
pub struct Admin {
    pub listen: SocketAddr,
    /// Who sends it may do everything. None: one is made at start.
    pub token: Option<String>,
    /// More of them, which may do less.
    pub tokens: Vec<ScopedToken>,
    /// Whose purge calls are answered besides Larder's own.
    pub compat: Vec<Compat>,
    /// Who may send PURGE; empty: nobody.
    pub purge_from: Vec<IpNet>,
}

/// A token and what it is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopedToken {
    pub token: String,
    pub scope: Scope,
}

/// What a token that may not do everything may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Invalidate and tag.
    Revalidate,
    /// Look.
    Read,
}

/// A product that has purge calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compat {
    Fastly,
    Cloudflare,
}

#[derive(Clone, Debug)]
pub struct Logging {
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: String,
    pub format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// One route.
#[derive(Clone, Debug)]
pub struct RouteConfig {
    pub name: String,
    pub matcher: Matcher,
    /// Its place in [`Config::origins`].
    pub origin: usize,
    pub policy: semantics::Policy,
    pub tags: Vec<TagTemplate>,
    /// Pages that are generated before anybody asks for them.
    pub prerender: Option<prerender::Settings>,
}

/// The largest configuration that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// Reads a file, with `${VAR}` replaced from the environment.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load(path: &Path) -> Result<Config, Faults> {
    let name = path.display().to_string();
    let refused = |fault: Fault| Faults::new(&name, "", vec![fault]);
    let bytes = read_file(path).map_err(|message| refused(Fault::new(Location::default(), message)))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let good = String::from_utf8_lossy(&error.as_bytes()[..error.utf8_error().valid_up_to()]).into_owned();
        let column = good.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
        refused(Fault::new(Location { line: good.matches('\n').count() + 1, column }, "not UTF-8 from here on"))
    })?;
    // A variable that is not UTF-8 is as good as none.
    let env =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let mut config = parse(&text, &name, &env.collect())?;
    let folder = path.parent().unwrap_or(Path::new(""));
    for list in config.routes.iter_mut().filter_map(|route| route.prerender.as_mut()?.file.as_mut()) {
        *list = folder.join(&*list);
    }
    for tls in config.listeners.iter_mut().filter_map(|listener| listener.tls.as_mut()) {
        for files in &mut tls.certificates {
            files.cert = folder.join(&files.cert);
            files.key = folder.join(&files.key);
        }
    }
    if let Some(disk) = &mut config.disk {
        disk.path = folder.join(&disk.path);
    }
    Ok(config)
}

fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
    let file = File::open(path).map_err(unreadable)?;
    let length = file.metadata().map_err(unreadable)?.len();
    if length > MAX_FILE {
        return Err(format!("is {length} bytes; a configuration is at most 1 MiB"));
    }
    let mut bytes = Vec::new();
    // A pipe tells no length.
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err("is larger than a configuration, which is at most 1 MiB".to_owned());
    }
    Ok(bytes)
}

/// Reads a configuration from text; `name` is for messages, `env` for `${VAR}`.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse(text: &str, name: &str, env: &HashMap<String, String>) -> Result<Config, Faults> {
    let mut faults = Vec::new();
    let config = tree::read(text, env, &mut faults).and_then(|tree| understand(&tree, &mut faults));
    finish(config, name, text, faults)
}

/// The start without a file: an origin's URL and addresses from the command line.
///
/// # Errors
/// Everything that is wrong with them.
pub fn zero(origin: &str, listen: &str, admin: Option<&str>) -> Result<Config, Faults> {
    let admin = match admin {
        Some(address) => Node::map([("listen", Node::text(address))]),
        None => Node::map([]),
    };
    let tree = Node::map([("listen", Node::text(listen)), ("origin", Node::text(origin)), ("admin", admin)]);
    let mut faults = Vec::new();
    let config = understand(&tree, &mut faults);
    finish(config, "command line", "", faults)
}

/// The JSON Schema of the configuration.
pub fn schema() -> String {
    // A schema is a JSON value, which can be written.
    serde_json::to_string_pretty(&raw::schema()).unwrap_or_default()
}

/// What a tree says. With faults of form, what is left of it is still looked at, so that all faults come at once.
fn understand(tree: &Node, faults: &mut Vec<Fault>) -> Option<Config> {
    let mut value = lint::check(tree, raw::schema().as_value(), faults)?;
    build::inherit(&mut value);
    match serde_json::from_value::<raw::Root>(value) {
        Ok(root) => Some(build::build(&root, tree, faults)),
        Err(error) => {
            if faults.is_empty() {
                // The schema and the types come from one source, so this does not happen.
                faults.push(Fault::new(Location::default(), format!("cannot be used: {error}")));
            }
            None
        }
    }
}

fn finish(config: Option<Config>, name: &str, text: &str, faults: Vec<Fault>) -> Result<Config, Faults> {
    match config {
        Some(config) if faults.is_empty() => Ok(config),
        _ => Err(Faults::new(name, text, faults)),
    }
}

#[cfg(test)]
mod tests;
