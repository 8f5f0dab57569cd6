//! The configuration as it is written: its keys, their defaults and what they mean. The JSON Schema comes from here.

mod origin;
mod route;
mod values;

pub(crate) use origin::{Origin, OriginServer, Store};
pub(crate) use route::{
    BypassWhen, Coding, Defaults, Fallback, Guard, JsonSource, Match, Occasion, OnUncacheable, Prerender, Revalidate,
    RevalidateWord, Route, RouteKeys, SetCookie,
};
pub(crate) use values::{
    AccessOutput, ByteSize, DURATION, Duration, Limit, NOT_AVAILABLE, ONLY, PERCENT, Percent, REFUSED, SIZE, Threads,
};

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use values::{Auto, TextOrNull};

/// The whole file.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Configuration of Larder")]
pub(crate) struct Root {
    /// Where clients are served, `IP:port`: short for `server.listeners` with this one address.
    pub(crate) listen: Option<String>,
    /// The URL of the renderer behind: short for `origins` with one origin, `app`, and this one server.
    pub(crate) origin: Option<String>,
    /// `isr`: Larder's opinions hold on header-driven routes too; `rfc9111`: these are a plain HTTP cache's.
    #[serde(default)]
    pub(crate) profile: Profile,
    /// The hosts that are served. Each list is one site; its first name is sent to the origin. Other hosts get 421.
    #[serde(default)]
    pub(crate) hosts: Vec<Vec<String>>,
    /// Towards clients.
    #[serde(default)]
    pub(crate) server: Server,
    /// The operator's address.
    #[serde(default)]
    pub(crate) admin: Admin,
    /// Metrics and health on an address of their own.
    #[serde(default)]
    pub(crate) metrics: Metrics,
    /// Logs go to stderr.
    #[serde(default)]
    pub(crate) logging: Logging,
    /// The renderers behind, by name. Requests that match no route go to the first.
    #[serde(default)]
    pub(crate) origins: BTreeMap<String, Origin>,
    /// Where responses are kept.
    #[serde(default)]
    pub(crate) store: Store,
    /// Entries scoped to a deployment of the application.
    #[serde(default)]
    pub(crate) deployment: Deployment,
    /// Draft mode: such requests pass by the cache.
    #[serde(default)]
    pub(crate) draft: Draft,
    /// Route keys for every request, also for those that match no route; a route overrides them key by key.
    #[serde(default)]
    pub(crate) defaults: Defaults,
    /// The first route that matches a request decides. What matches none is header-driven, on the first origin.
    #[serde(default)]
    pub(crate) routes: Vec<Route>,
}

/// Whose rules hold on header-driven routes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Profile {
    #[default]
    Isr,
    Rfc9111,
}

/// Whose pages are stored: a new version of the application has pages of its own.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Deployment {
    /// The deployment that is served. It counts only if it is another one than at the last start or reload: what was activated
    /// otherwise since then stays.
    pub(crate) id: String,
    /// So many deployments keep their pages, the one that is served among them.
    pub(crate) keep: NonZeroUsize,
    /// Serves the previous deployment's page as stale while the new one's is rendered.
    pub(crate) bridge: bool,
}

impl Default for Deployment {
    fn default() -> Self {
        Deployment { id: "default".to_owned(), keep: count(5), bridge: false }
    }
}

/// Towards clients.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Server {
    /// The addresses to listen on.
    pub(crate) listeners: Option<Vec<Listener>>,
    /// Networks whose X-Forwarded-* and Forwarded fields are believed.
    pub(crate) trusted_proxies: Vec<String>,
    /// Worker threads; `auto` is one for each core.
    pub(crate) threads: Threads,
    /// How Larder leaves.
    pub(crate) shutdown: Shutdown,
    /// What one client may ask for.
    pub(crate) limits: Limits,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listener {
    /// `IP:port`, `[IPv6]:port` or `:port`.
    pub(crate) address: String,
    /// TLS, with these certificates.
    pub(crate) tls: Option<Tls>,
    /// HTTP/2 without TLS.
    #[serde(default)]
    pub(crate) h2c: bool,
    /// Sends http:// visitors to https://.
    #[serde(default)]
    pub(crate) redirect_to_https: bool,
}

/// What a listener shows its clients.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tls {
    /// Chosen by the name that a client asks for; the first one is for clients that ask for another. They are read anew when
    /// they change.
    pub(crate) certificates: Vec<CertificateFiles>,
    /// The oldest version that is spoken.
    #[serde(default)]
    pub(crate) min_version: TlsVersion,
}

/// A certificate and its key, in PEM. Relative to this file.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CertificateFiles {
    /// With the certificates that lead to its authority behind it.
    pub(crate) cert: String,
    pub(crate) key: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(inline)]
pub(crate) enum TlsVersion {
    #[default]
    #[serde(rename = "1.2")]
    Tls12,
    #[serde(rename = "1.3")]
    Tls13,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Shutdown {
    /// So long may requests that run at a shutdown take to end.
    pub(crate) drain: Duration,
}

/// What one client may ask for.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Limits {
    /// Open connections in all.
    pub(crate) connections: NonZeroUsize,
    /// Open connections of one address; trusted proxies are not counted.
    pub(crate) connections_per_ip: Option<NonZeroUsize>,
    /// A request head.
    pub(crate) header_bytes: ByteSize,
    /// Field lines of a request.
    #[schemars(extend("maximum" = 256))]
    pub(crate) headers: NonZeroUsize,
    /// A request target.
    pub(crate) uri_bytes: ByteSize,
    /// A request body.
    pub(crate) body_bytes: Limit<ByteSize>,
    /// From the first byte of a head to its end, in all.
    pub(crate) header_timeout: Duration,
    /// Between two requests on a connection.
    pub(crate) idle_timeout: Duration,
    /// The slowest request body, a second.
    pub(crate) body_min_rate: ByteSize,
    /// The slowest reader of an answer, a second.
    pub(crate) send_min_rate: ByteSize,
}

/// The operator's address.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Admin {
    /// The address of the admin API and the status page.
    #[schemars(extend("default" = "127.0.0.1:9900"))]
    pub(crate) listen: Option<String>,
    /// Who sends it may do everything. Absent: one is made at start, and the address must be a loopback one.
    pub(crate) token: Option<String>,
    /// More tokens that may do less.
    pub(crate) tokens: Vec<Token>,
    /// Other products' purge calls that are answered here too, with the same tokens.
    pub(crate) compat: Vec<Compat>,
    /// The method PURGE; without it nobody may purge so.
    pub(crate) purge_method: Option<PurgeMethod>,
}

/// A token that may do less than everything.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Token {
    /// What is sent as `Authorization: Bearer TOKEN`.
    pub(crate) token: String,
    /// `revalidate` invalidates and tags, `read` looks.
    pub(crate) scope: Scope,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum Scope {
    Revalidate,
    Read,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum Compat {
    Fastly,
    Cloudflare,
}

/// Who may purge by the method PURGE.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PurgeMethod {
    /// Networks of the clients from whom PURGE is taken: the connection's own address counts.
    pub(crate) allow: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Metrics {
    /// Absent: metrics are on the admin address.
    pub(crate) listen: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Logging {
    /// How much is logged.
    #[schemars(extend("default" = "info"))]
    pub(crate) level: Level,
    /// For people or for machines.
    #[schemars(extend("default" = "text"))]
    pub(crate) format: LogForm,
    /// One line for each request.
    pub(crate) access: Access,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum Level {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum LogForm {
    #[default]
    Text,
    Json,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Access {
    /// One JSON object a line, or the combined format of nginx and Apache.
    #[schemars(extend("default" = "json"))]
    pub(crate) format: AccessForm,
    /// `stdout`, `off`, or a file's path. A file is appended to, and opened anew at SIGUSR1.
    #[schemars(extend("default" = "stdout"))]
    pub(crate) output: AccessOutput,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum AccessForm {
    #[default]
    Json,
    Combined,
}

/// Draft mode.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Draft {
    /// A request with one of these cookies passes by the cache.
    pub(crate) cookies: Vec<String>,
    /// The framework's secret, which is the value of that cookie: another value is made up, and counts for nothing. Next.js
    /// has it as `preview.previewModeId` in `.next/prerender-manifest.json`. It is also sent with regenerations after an
    /// invalidation, as `x-prerender-revalidate`, so that the framework's own cache renders anew.
    pub(crate) secret: TextOrNull,
}

impl Default for Threads {
    fn default() -> Self {
        Threads::Word(Auto::Auto)
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        Shutdown { drain: Duration::from_secs(30) }
    }
}

/// A count that is written in this file: never 0.
pub(crate) const fn count(n: usize) -> NonZeroUsize {
    match NonZeroUsize::new(n) {
        Some(n) => n,
        None => NonZeroUsize::MIN,
    }
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections: count(20_000),
            connections_per_ip: None,
            header_bytes: ByteSize(32 * KIB),
            headers: count(100),
            uri_bytes: ByteSize(8 * KIB),
            body_bytes: Limit::UNLIMITED,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            body_min_rate: ByteSize(KIB),
            send_min_rate: ByteSize(KIB),
        }
    }
}

impl Default for Draft {
    fn default() -> Self {
        Draft { cookies: vec![semantics::policy::DRAFT_COOKIE.to_owned()], secret: TextOrNull(None) }
    }
}

/// The JSON Schema of the file.
pub(crate) fn schema() -> Schema {
    let settings = SchemaSettings::draft2020_12().with_transform(RecursiveTransform(tidy));
    settings.into_generator().into_root_schema_for::<Root>()
}

/// An optional key is absent or has a value: `null` is none, and a default of `null` says nothing.
fn tidy(schema: &mut Schema) {
    let Some(object) = schema.as_object_mut() else { return };
    if object.get("default").is_some_and(Value::is_null) {
        object.remove("default");
    }
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|name| *name != "null");
        if types.len() == 1
            && let Some(only) = types.pop()
        {
            object.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(values)) = object.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    if let Some(Value::Array(choices)) = object.get_mut("anyOf") {
        choices.retain(|choice| choice.get("type").is_none_or(|name| *name != "null"));
        if choices.len() == 1
            && let Some(Value::Object(only)) = choices.pop()
        {
            object.remove("anyOf");
            for (key, value) in only {
                object.entry(key).or_insert(value);
            }
        }
    }
}
