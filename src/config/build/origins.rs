//! What is behind Larder.

use super::positive;
use crate::config::address::{OriginUrl, host_and_port, of_origin};
use crate::config::fault::Fault;
use crate::config::raw::{Origin, OriginServer, Root};
use crate::config::tree::Spot;
use crate::origin::{Concurrency, HostHeader, PassedSettings, ServerSettings, Settings, Timeouts};

/// The name of the origin that the short form stands for.
const SHORT: &str = "app";
/// Origins' names are labels of metrics.
const LONGEST_NAME: usize = 64;

/// The names of the origins, in the order of the file.
pub(super) fn names<'a>(file: &Spot<'a>) -> impl Iterator<Item = &'a str> + use<'a> {
    file.has("origin").then_some(SHORT).into_iter().chain(file.key("origins").names())
}

pub(super) fn origins(root: &Root, file: &Spot<'_>, faults: &mut Vec<Fault>) -> Vec<Settings> {
    let mut settings = Vec::new();
    if let Some(url) = &root.origin {
        let spot = file.key("origin");
        let servers = server(&OriginServer::new(url), Origin::default().http2, &spot, faults).into_iter().collect();
        settings.push(of(SHORT, &Origin::default(), servers, &spot, faults));
    }
    let section = file.key("origins");
    for name in section.names() {
        let Some(origin) = root.origins.get(name) else { continue };
        if !is_label(name) {
            let message = format!("`{}` is not a name for an origin", name.escape_debug());
            faults.push(Fault::new(section.key(name).at(), message).remedy("letters, digits, `-` and `_`, at most 64"));
        }
        let spot = section.key(name);
        let at = |i| spot.key("servers").item(i).key("url");
        let servers =
            origin.servers.iter().enumerate().filter_map(|(i, s)| server(s, origin.http2, &at(i), faults)).collect();
        settings.push(of(name, origin, servers, &spot, faults));
    }
    settings
}

fn of(name: &str, origin: &Origin, servers: Vec<ServerSettings>, spot: &Spot<'_>, faults: &mut Vec<Fault>) -> Settings {
    let (deadlines, pool) = (spot.key("timeouts"), spot.key("passed"));
    Settings {
        name: name.to_owned(),
        servers,
        host: host_header(&origin.host, &spot.key("host"), faults),
        timeouts: Timeouts {
            connect: positive(origin.timeouts.connect, &deadlines.key("connect"), faults),
            first_byte: positive(origin.timeouts.first_byte, &deadlines.key("first_byte"), faults),
            between_bytes: positive(origin.timeouts.between_bytes, &deadlines.key("between_bytes"), faults),
            total: positive(origin.timeouts.total, &deadlines.key("total"), faults),
        },
        renders: Concurrency { max_concurrent: origin.renders.max_concurrent.get(), queue: origin.renders.queue },
        refreshes: Concurrency { max_concurrent: origin.refreshes.max_concurrent.get(), queue: origin.refreshes.queue },
        passed: PassedSettings {
            max_concurrent: origin.passed.max_concurrent.get(),
            first_byte: positive(origin.passed.first_byte, &pool.key("first_byte"), faults),
            idle: positive(origin.passed.idle, &pool.key("idle"), faults),
        },
    }
}

fn server(server: &OriginServer, http2: bool, spot: &Spot<'_>, faults: &mut Vec<Fault>) -> Option<ServerSettings> {
    match of_origin(&server.url) {
        Ok(OriginUrl { host, port, tls }) => {
            Some(ServerSettings { host, port, tls, http2, weight: server.weight.get() })
        }
        Err(wrong) => {
            faults.push(spot.fault(wrong.message).remedy(wrong.remedy));
            None
        }
    }
}

fn host_header(text: &str, spot: &Spot<'_>, faults: &mut Vec<Fault>) -> HostHeader {
    match text {
        "preserve" => HostHeader::Preserve,
        "origin" => HostHeader::Origin,
        literal => {
            if host_and_port(literal).is_none() {
                let fault = spot.fault(format!("is not a host: `{}`", literal.escape_debug()));
                faults.push(fault.remedy("`preserve`, `origin`, or a name with or without a port"));
            }
            HostHeader::Literal(literal.to_ascii_lowercase())
        }
    }
}

fn is_label(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    !name.is_empty() && name.len() <= LONGEST_NAME && name.bytes().all(fits)
}
