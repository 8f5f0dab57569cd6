mod guards;
mod mutations;
mod policies;
mod prerenders;
mod refusals;
mod stores;
mod tls;
mod tokens;
mod variables;

use super::*;
use crate::origin::HostHeader;
use std::path::PathBuf;

const START: &str = "listen: 127.0.0.1:8080\norigin: http://127.0.0.1:3000\n";

fn read(text: &str) -> Result<Config, Faults> {
    parse(text, "larder.yaml", &HashMap::new())
}

/// A configuration with these lines after the necessary ones.
fn with(lines: &str) -> Config {
    read(&format!("{START}{lines}")).unwrap_or_else(|faults| panic!("{faults}"))
}

/// What is wrong with these lines after the necessary ones, which are two: `line:column: message (remedy)`.
fn wrong_with(lines: &str) -> Vec<String> {
    wrong(&format!("{START}{lines}"))
}

fn wrong(text: &str) -> Vec<String> {
    let told = |fault: Fault| {
        let Location { line, column } = fault.location;
        let remedy = fault.remedy.map(|remedy| format!(" ({remedy})")).unwrap_or_default();
        format!("{line}:{column}: {}{remedy}", fault.message)
    };
    read(text).expect_err("is wrong").faults.into_iter().map(told).collect()
}

/// Asserts that there is one fault, at this place, and that it says this.
fn assert_one_fault(lines: &str, place: &str, words: &str) {
    let faults = wrong_with(lines);
    let [fault] = faults.as_slice() else { panic!("one fault in\n{lines}\nbut: {faults:#?}") };
    // Where no column is given, it is the parser's to choose.
    let place = if place.contains(':') { format!("{place}: ") } else { format!("{place}:") };
    assert!(fault.starts_with(&place) && fault.contains(words), "{lines}\n{fault}");
}

fn config_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("config")
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A listener without TLS.
fn plain(text: &str) -> Listener {
    Listener { address: address(text), tls: None, redirect: None, h2c: false }
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn two_lines_are_a_configuration() {
    let config = with("");
    assert_eq!(config.listeners, [plain("127.0.0.1:8080")]);
    assert_eq!(config.admin.listen, address("127.0.0.1:9900"));
    assert_eq!(config.admin.token, None);
    assert_eq!(config.metrics_listen, None);
    assert_eq!((config.logging.level.as_str(), config.logging.format), ("info", LogFormat::Text));
    assert_eq!(config.access, access::Settings { format: access::Format::Json, output: access::Output::Stdout });
    assert_eq!((config.store.max_size, config.store.max_object), (256 << 20, 8 << 20));
    assert_eq!((config.drain, config.limits.connections), (seconds(30), 20_000));
    assert_eq!((config.limits.header_bytes, config.limits.uri_bytes), (32 << 10, 8 << 10));
    assert_eq!((config.limits.body_bytes, config.limits.connections_per_ip), (None, None));
    assert!(config.threads >= 1 && config.routes.is_empty() && config.hosts.is_empty());
    let [origin] = config.origins.as_slice() else { panic!("one origin") };
    let server = &origin.servers[0];
    assert_eq!((origin.name.as_str(), server.host.as_str(), server.port, server.weight), ("app", "127.0.0.1", 3000, 1));
    assert_eq!((origin.host.clone(), origin.timeouts.total), (HostHeader::Preserve, seconds(60)));
    assert_eq!((origin.renders.max_concurrent, origin.renders.queue), (64, 10_000));
    assert_eq!((origin.refreshes.max_concurrent, origin.refreshes.queue), (16, 100_000));
    assert_eq!((origin.passed.max_concurrent, origin.passed.idle), (256, seconds(3_600)));
    assert!(!config.unmatched.is_isr());
}

#[test]
fn the_command_line_alone_is_a_configuration() {
    let open = zero("http://[::1]:3000/", "localhost:8080", Some(":9900")).unwrap_err();
    assert_eq!(open.faults.len(), 1, "an admin address without a token is not for everybody");
    let config = zero("http://[::1]:3000/", "localhost:8080", Some("[::1]:9900")).unwrap();
    assert_eq!(config.listeners, [plain("127.0.0.1:8080")]);
    assert_eq!(config.admin.listen, address("[::1]:9900"));
    assert_eq!((config.origins[0].servers[0].host.as_str(), config.origins[0].servers[0].port), ("::1", 3000));
    let faults = zero("127.0.0.1:3000", "example.com:80", None).unwrap_err();
    let told = faults.to_string();
    assert!(told.contains("command line: `origin` has no scheme\n  = write `http://127.0.0.1:3000`\n"), "{told}");
    assert!(told.contains("command line: `listen` is not an address"), "{told}");
    assert!(told.ends_with("2 faults; nothing was started\n"), "{told}");
}

#[test]
fn the_files_in_the_folder_are_fine() {
    for name in ["minimal.yaml", "demo.yaml", "reference.yaml"] {
        let config = load(&config_folder().join(name));
        assert!(config.is_ok(), "{}", config.unwrap_err());
    }
}

#[test]
fn the_minimal_file_is_what_the_command_line_makes() {
    let file = load(&config_folder().join("minimal.yaml")).unwrap();
    let line = zero("http://127.0.0.1:3000", "127.0.0.1:8080", None).unwrap();
    assert_eq!(format!("{file:?}"), format!("{line:?}"));
}

#[test]
fn the_reference_names_every_key() {
    let reference = std::fs::read_to_string(config_folder().join("reference.yaml")).unwrap();
    let schema = raw::schema().to_value();
    let mut names = Vec::new();
    collect_keys(&schema, &mut names);
    for name in names {
        assert!(reference.contains(&format!("{name}:")), "{name} is not in reference.yaml");
    }
}

fn collect_keys(schema: &serde_json::Value, names: &mut Vec<String>) {
    match schema {
        serde_json::Value::Object(object) => {
            if let Some(properties) = object.get("properties").and_then(|p| p.as_object()) {
                names.extend(properties.keys().cloned());
            }
            object.values().for_each(|value| collect_keys(value, names));
        }
        serde_json::Value::Array(values) => values.iter().for_each(|value| collect_keys(value, names)),
        _ => {}
    }
}

#[test]
fn the_schema_in_the_folder_is_current() {
    let written = std::fs::read_to_string(config_folder().join("larder.schema.json")).unwrap_or_default();
    assert!(written.trim_end() == schema().trim_end(), "run `larder schema > config/larder.schema.json`");
}

#[test]
fn the_schema_says_what_a_key_means_and_what_it_is_by_default() {
    let schema = raw::schema().to_value();
    let limits = &schema["$defs"]["Limits"]["properties"];
    assert_eq!(limits["connections"]["default"], 20_000);
    assert_eq!(limits["header_bytes"]["default"], "32KiB");
    assert_eq!(limits["body_bytes"]["default"], "unlimited");
    assert_eq!(limits["connections_per_ip"].get("default"), None);
    assert_eq!(limits["connections_per_ip"]["type"], "integer");
    assert_eq!(limits["header_timeout"]["default"], "10s");
    assert_eq!(schema["$defs"]["Route"]["properties"]["set_cookie"]["enum"], serde_json::json!(["strip", "bypass"]));
    assert_eq!(schema["$defs"]["Route"]["properties"]["expire"]["default"], "365d");
    assert_eq!(schema["$defs"]["Route"]["required"], serde_json::json!(["match"]));
    assert_eq!(schema["$defs"]["Store"]["properties"]["redis"]["x-larder-not-available"], true);
}

#[test]
fn a_whole_configuration_is_understood() {
    let config = read(
        "hosts: [[www.Example.com, example.com], [other.example]]\n\
         server:\n  listeners:\n    - address: 0.0.0.0:0\n    - address: '[::1]:8443'\n  \
         trusted_proxies: [10.0.0.0/8]\n  threads: 3\n  shutdown: { drain: 5m }\n  \
         limits: { connections_per_ip: 10, body_bytes: 4KiB, send_min_rate: 0, headers: 5 }\n\
         admin:\n  listen: 0.0.0.0:9900\n  token: '12345678'\n\
         metrics: { listen: ':9901' }\n\
         logging: { level: debug, format: json, access: { output: off } }\n\
         origins:\n  zebra:\n    servers: [{ url: 'http://10.0.0.11:3000', weight: 2 }, { url: http://web }]\n    \
         host: Shop.example\n    timeouts: { total: 90s }\n  \
         aardvark: { servers: [{ url: 'http://[::1]:80' }], host: origin }\n\
         store: { memory: { max_size: 1GiB, max_object: 512 } }\n\
         routes:\n  - { match: { path: /a/*, host: example.com, methods: [GET] }, origin: aardvark }\n",
    )
    .unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(config.hosts[0], ["www.example.com", "example.com"]);
    assert_eq!(config.listeners.len(), 2);
    assert!(config.trusted_proxies[0].contains("10.9.9.9".parse().unwrap()));
    assert_eq!((config.threads, config.drain), (3, seconds(300)));
    assert_eq!((config.limits.connections_per_ip, config.limits.body_bytes), (Some(10), Some(4_096)));
    assert_eq!((config.limits.send_min_rate, config.limits.headers), (0, 5));
    assert_eq!(config.admin.token.as_deref(), Some("12345678"));
    assert_eq!(config.metrics_listen, Some(address("0.0.0.0:9901")));
    assert_eq!((config.logging.level.as_str(), config.logging.format), ("debug", LogFormat::Json));
    assert_eq!(config.access.output, access::Output::Off);
    let names: Vec<&str> = config.origins.iter().map(|origin| origin.name.as_str()).collect();
    assert_eq!(names, ["zebra", "aardvark"], "the order is the file's");
    let zebra = &config.origins[0];
    assert_eq!((zebra.servers[0].weight, zebra.servers[1].host.as_str(), zebra.servers[1].port), (2, "web", 80));
    assert_eq!(zebra.host, HostHeader::Literal("shop.example".to_owned()));
    assert_eq!((zebra.timeouts.total, zebra.timeouts.connect), (seconds(90), seconds(2)));
    assert_eq!((config.store.max_size, config.store.max_object), (1 << 30, 512));
    let route = &config.routes[0];
    assert_eq!((route.name.as_str(), route.origin), ("/a/*", 1));
    assert!(route.matcher.matches("GET", "www.example.com", "/a/b"), "a site is one under all its names");
    assert!(!route.matcher.matches("GET", "other.example", "/a/b"));
}

#[test]
fn the_access_log_goes_where_it_is_told_to() {
    use access::{Format, Output};
    for (keys, format, output) in [
        ("format: combined", Format::Combined, Output::Stdout),
        ("output: stdout", Format::Json, Output::Stdout),
        ("output: off", Format::Json, Output::Off),
        ("output: false", Format::Json, Output::Off),
        ("format: combined, output: /var/log/larder/access.log", Format::Combined, file("/var/log/larder/access.log")),
        ("output: access.log", Format::Json, file("access.log")),
        ("output: ./stdout", Format::Json, file("./stdout")),
    ] {
        let config = with(&format!("logging: {{ access: {{ {keys} }} }}\n"));
        assert_eq!(config.access, access::Settings { format, output }, "{keys}");
    }
}

fn file(path: &str) -> access::Output {
    access::Output::File(PathBuf::from(path))
}
