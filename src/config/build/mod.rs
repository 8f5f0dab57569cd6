//! From what is written to what is used. Finds the faults that one key alone does not show.

mod guard;
mod listen;
mod origins;
mod policy;
mod prerender;
mod routes;
mod store;
mod tags;

use super::address::host_and_port;
use super::fault::{Fault, Location};
use super::raw::{self, AccessForm, AccessOutput, ByteSize, Duration, Level, LogForm, Root, Threads};
use super::tree::{Node, Spot};
use super::{Config, LogFormat, Logging};
use crate::access;
use crate::proxy;
use crate::proxy::IpNet;
use serde_json::Value;
use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// Gives every route the keys of `defaults` that it does not have itself.
pub(super) fn inherit(root: &mut Value) {
    let Some(defaults) = root.get("defaults").and_then(Value::as_object).cloned() else { return };
    let routes = root.get_mut("routes").and_then(Value::as_array_mut);
    for route in routes.into_iter().flatten().filter_map(Value::as_object_mut) {
        for (key, value) in &defaults {
            if !route.contains_key(key) {
                route.insert(key.clone(), value.clone());
            }
        }
    }
}

/// With faults, what is returned is of no use.
pub(super) fn build(root: &Root, tree: &Node, faults: &mut Vec<Fault>) -> Config {
    let file = Spot::root(tree);
    let well_formed = faults.is_empty();
    if well_formed {
        has_the_necessary(&file, faults);
    }
    let addresses = listen::addresses(root, &file, faults);
    let origins = origins::origins(root, &file, faults);
    let hosts = hosts(root, &file, faults);
    let unmatched = policy::unmatched(root, &file, faults);
    let names: Vec<&str> = origins::names(&file).collect();
    let routes = routes::routes(root, &file, &names, &hosts, faults);
    check_cookies(&root.draft.cookies, &file.key("draft").key("cookies"), faults);
    if let Some(secret) = &root.draft.secret.0
        && (secret.is_empty() || !secret.bytes().all(|b| b.is_ascii_graphic() && b != b';'))
    {
        let fault = file.key("draft").key("secret").fault("is not what a cookie can hold, or empty");
        faults.push(fault.remedy("Next.js has it as `preview.previewModeId` in `.next/prerender-manifest.json`"));
    }
    Config {
        listeners: addresses.listeners,
        trusted_proxies: networks(&root.server.trusted_proxies, &file.key("server").key("trusted_proxies"), faults),
        threads: threads(root.server.threads),
        drain: root.server.shutdown.drain.0,
        limits: limits(&root.server.limits, &file.key("server").key("limits"), faults),
        hosts,
        admin: addresses.admin,
        metrics_listen: addresses.metrics,
        logging: logging(&root.logging),
        access: access_log(&root.logging.access, &file.key("logging").key("access"), faults),
        origins,
        store: store::memory(root, &file, faults),
        disk: store::disk(root, &file, faults),
        deployment: store::deployment(root, &file, faults),
        routes,
        unmatched,
        unmatched_tags: tags::of_unmatched(root, &file, faults),
    }
}

/// An address to listen on and an origin, each written in one of two ways.
fn has_the_necessary(file: &Spot<'_>, faults: &mut Vec<Fault>) {
    let listeners = file.key("server").has("listeners");
    match (file.has("listen"), listeners) {
        (true, true) => {
            let fault = file.fault_of_key("listen", "and `server.listeners` are both given");
            faults.push(fault.remedy("`listen` is short for one listener: keep one of them"));
        }
        (false, false) => faults.push(
            Fault::new(file.at(), "there is nothing to listen on").remedy("for example `listen: 127.0.0.1:8080`"),
        ),
        _ => {}
    }
    match (file.has("origin"), file.key("origins").names().next().is_some()) {
        (true, true) => {
            let fault = file.fault_of_key("origin", "and `origins` are both given");
            faults.push(fault.remedy("`origin` is short for one origin, `app`: keep one of them"));
        }
        (false, false) => {
            let fault = Fault::new(file.at(), "there is no origin");
            faults.push(fault.remedy("for example `origin: http://127.0.0.1:3000`"));
        }
        _ => {}
    }
}

fn hosts(root: &Root, file: &Spot<'_>, faults: &mut Vec<Fault>) -> Vec<Vec<String>> {
    let mut seen: HashMap<String, Location> = HashMap::new();
    let spot = file.key("hosts");
    let mut sites = Vec::new();
    for (i, names) in root.hosts.iter().enumerate() {
        if names.is_empty() {
            faults.push(spot.item(i).fault("is an empty list"));
        }
        let mut site = Vec::new();
        for (j, name) in names.iter().enumerate() {
            let spot = spot.item(i).item(j);
            let name = name.to_ascii_lowercase();
            if host_and_port(&name).is_none() {
                faults.push(spot.fault(format!("is not a host: `{name}`")));
            } else if let Some(first) = seen.insert(name.clone(), spot.at()) {
                faults.push(spot.fault(format!("is `{name}` again, which stands in line {} already", first.line)));
            }
            site.push(name);
        }
        sites.push(site);
    }
    sites
}

fn networks(texts: &[String], spot: &Spot<'_>, faults: &mut Vec<Fault>) -> Vec<IpNet> {
    let mut networks = Vec::new();
    for (i, text) in texts.iter().enumerate() {
        match text.parse::<IpNet>() {
            Ok(network) => networks.push(network),
            Err(_) => {
                let fault = spot.item(i).fault(format!("is not a network: `{text}`"));
                faults.push(fault.remedy("for example `10.0.0.0/8`"));
            }
        }
    }
    networks
}

fn threads(threads: Threads) -> usize {
    match threads {
        Threads::Of(threads) => threads.get(),
        Threads::Word(_) => std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
    }
}

/// Less would refuse what every browser sends.
const LEAST_HEAD: ByteSize = ByteSize(1 << 10);

fn limits(limits: &raw::Limits, spot: &Spot<'_>, faults: &mut Vec<Fault>) -> proxy::Limits {
    let mut head = |size: ByteSize, key: &str| {
        if size < LEAST_HEAD {
            faults.push(spot.key(key).fault(format!("must be at least {LEAST_HEAD}, not {size}")));
        }
        size.in_memory()
    };
    let (header_bytes, uri_bytes) = (head(limits.header_bytes, "header_bytes"), head(limits.uri_bytes, "uri_bytes"));
    proxy::Limits {
        connections: limits.connections.get(),
        connections_per_ip: limits.connections_per_ip.map(NonZeroUsize::get),
        header_bytes,
        headers: limits.headers.get(),
        uri_bytes,
        body_bytes: limits.body_bytes.get().map(|size| size.0),
        header_timeout: positive(limits.header_timeout, &spot.key("header_timeout"), faults),
        idle_timeout: positive(limits.idle_timeout, &spot.key("idle_timeout"), faults),
        body_min_rate: limits.body_min_rate.in_memory(),
        send_min_rate: limits.send_min_rate.in_memory(),
    }
}

fn logging(logging: &raw::Logging) -> Logging {
    let level = match logging.level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    };
    let format = match logging.format {
        LogForm::Text => LogFormat::Text,
        LogForm::Json => LogFormat::Json,
    };
    Logging { level: level.to_owned(), format }
}

fn access_log(written: &raw::Access, spot: &Spot<'_>, faults: &mut Vec<Fault>) -> access::Settings {
    let format = match written.format {
        AccessForm::Json => access::Format::Json,
        AccessForm::Combined => access::Format::Combined,
    };
    let name = match &written.output {
        AccessOutput::Off(_) => "off",
        AccessOutput::Named(name) => name.as_str(),
    };
    let output = match name {
        "off" => access::Output::Off,
        "stdout" => access::Output::Stdout,
        path => {
            // `stderr` or `none` would be a file that nobody looks for.
            if !path.contains(['/', '.']) {
                let fault =
                    spot.key("output").fault(format!("is neither `stdout` nor `off`: `{}`", path.escape_debug()));
                faults.push(fault.remedy("or a file's path, with a `/` or a `.` in it: `./access`"));
            }
            access::Output::File(PathBuf::from(path))
        }
    };
    access::Settings { format, output }
}

/// A deadline: with none at all, nothing would ever be in time.
fn positive(duration: Duration, spot: &Spot<'_>, faults: &mut Vec<Fault>) -> std::time::Duration {
    if duration.0.is_zero() {
        faults.push(spot.fault("must be longer than nothing"));
    }
    duration.0
}

/// Names of cookies, without `*`.
fn check_cookies(names: &[String], spot: &Spot<'_>, faults: &mut Vec<Fault>) {
    for (i, name) in names.iter().enumerate() {
        if !is_token(name) {
            faults.push(spot.item(i).fault(format!("is not a cookie's name: `{}`", name.escape_debug())));
        }
    }
}

/// RFC 9110, 5.6.2. Cookies' names are tokens too (RFC 6265, 4.1.1).
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}
