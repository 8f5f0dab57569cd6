//! The description of the admin API says what the binary does: every path, every method, and who needs a token
//! (interface, "Admin API"). Bodies and answers are compared by tests/openapi.

use crate::dsl::{Edge, Origin, PLAIN, Request};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const TOKEN: &str = "a-token-of-this-test";

/// What interface.md promises, and what `larder warm` asks. A path that is not here does not exist.
const PROMISED: [(&str, &str); 20] = [
    ("GET", "/"),
    ("GET", "/healthz"),
    ("GET", "/metrics"),
    ("GET", "/openapi.json"),
    ("GET", "/readyz"),
    ("GET", "/v1/deployments"),
    ("GET", "/v1/entries"),
    ("GET", "/v1/explain"),
    ("GET", "/v1/export"),
    ("GET", "/v1/prerenders"),
    ("GET", "/v1/stats"),
    ("GET", "/v1/versions"),
    ("POST", "/v1/deployments/{id}/activate"),
    ("POST", "/v1/import"),
    ("POST", "/v1/reload"),
    ("POST", "/v1/revalidate"),
    ("POST", "/v1/tags"),
    ("POST", "/v1/versions"),
    ("POST", "/v1/versions/unpin"),
    ("POST", "/v1/warm"),
];

/// One method of one path, as it is described.
struct Operation {
    method: String,
    path: String,
    described: Value,
}

impl Operation {
    /// With something in the place of each parameter of the path.
    fn target(&self) -> String {
        self.path.replace("{id}", "default")
    }

    fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    fn is_open(&self) -> bool {
        self.described.get("security").and_then(Value::as_array).is_some_and(Vec::is_empty)
    }

    fn has_answer(&self, code: u16) -> bool {
        self.described["responses"].get(code.to_string()).is_some()
    }
}

async fn start(origin: &Origin) -> Edge {
    Edge::with_config(origin, &format!("{PLAIN}  token: {TOKEN}\n")).await
}

async fn description(edge: &Edge) -> Value {
    let answer = edge.admin_get("/openapi.json").await;
    answer.status(200).header_has("Content-Type", "application/json");
    serde_json::from_slice(&answer.body).unwrap()
}

fn operations(document: &Value) -> Vec<Operation> {
    let paths = document["paths"].as_object().unwrap();
    let of = |(path, methods): (&String, &Value)| {
        let operation = |(method, described): (&String, &Value)| Operation {
            method: method.to_ascii_uppercase(),
            path: path.clone(),
            described: described.clone(),
        };
        methods.as_object().unwrap().iter().map(operation).collect::<Vec<_>>()
    };
    paths.iter().flat_map(of).collect()
}

fn ask(edge: &Edge, method: &str, target: &str) -> Request {
    Request::new(edge.admin, method, target).host(&edge.admin.to_string())
}

fn with_token(request: Request) -> Request {
    request.header("Authorization", &format!("Bearer {TOKEN}"))
}

#[tokio::test]
async fn the_description_is_open_and_whole() {
    let origin = Origin::start().await;
    let edge = start(&origin).await;
    let document = description(&edge).await;
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."), "{}", document["openapi"]);
    let mut left = vec![&document];
    let mut references = 0;
    while let Some(value) = left.pop() {
        if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
            let to = reference.strip_prefix('#').and_then(|pointer| document.pointer(pointer));
            assert!(to.is_some(), "{reference} leads nowhere");
            references += 1;
        }
        match value {
            Value::Object(members) => left.extend(members.values()),
            Value::Array(items) => left.extend(items),
            _ => {}
        }
    }
    assert!(references > 50, "{references} references");
}

#[tokio::test]
async fn every_promised_path_is_described_and_answered_and_no_other() {
    let origin = Origin::start().await;
    let edge = start(&origin).await;
    let operations = operations(&description(&edge).await);
    let mut described: Vec<(&str, &str)> = operations.iter().map(|o| (o.method.as_str(), o.path.as_str())).collect();
    described.sort_unstable();
    assert_eq!(described, PROMISED);
    for operation in &operations {
        let answer = with_token(ask(&edge, &operation.method, &operation.target())).await;
        assert_ne!(answer.code, 404, "{}", operation.name());
        assert!(operation.has_answer(answer.code), "{}: {} is not described", operation.name(), answer.code);
    }
    for path in ["/nothing", "/v1", "/v1/", "/v1/nothing", "/v1/deployments/default", "/openapi.yaml"] {
        with_token(ask(&edge, "GET", path)).await.status(404);
    }
}

/// The routes are listed in one place of the source: whoever adds one there describes it.
#[test]
fn every_route_of_the_source_is_promised() {
    let source = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/admin/mod.rs")).unwrap();
    let routes: Vec<String> = source.lines().filter_map(route_of).collect();
    assert!(routes.len() >= 10, "the routes are not where they were: {routes:?}");
    for route in routes {
        assert!(PROMISED.iter().any(|(_, path)| *path == route), "{route} is neither promised nor described");
    }
}

/// Of `"stats" => Some(Api::Stats),` and of `"/metrics" => Some(Open::Metrics),`.
fn route_of(line: &str) -> Option<String> {
    let (pattern, _) = line.split_once("=> Some(")?;
    let literal = pattern.split('"').nth(1)?;
    Some(if literal.starts_with('/') { literal.to_owned() } else { format!("/v1/{literal}") })
}

#[tokio::test]
async fn a_path_allows_the_methods_that_are_described() {
    let origin = Origin::start().await;
    let edge = start(&origin).await;
    let mut methods: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for operation in operations(&description(&edge).await) {
        let of_path = methods.entry(operation.target()).or_default();
        if operation.method == "GET" {
            of_path.insert("HEAD".to_owned());
        }
        of_path.insert(operation.method);
    }
    for (path, described) in methods {
        let answer = with_token(ask(&edge, "PUT", &path)).await;
        answer.status(405);
        let allow = answer.field("allow").unwrap_or_default();
        let allowed: BTreeSet<String> = allow.split(',').map(|method| method.trim().to_owned()).collect();
        assert_eq!(allowed, described, "{path}");
    }
}

#[tokio::test]
async fn what_is_described_as_open_needs_no_token_and_all_else_does() {
    let origin = Origin::start().await;
    let edge = start(&origin).await;
    for operation in operations(&description(&edge).await) {
        let answer = ask(&edge, &operation.method, &operation.target()).await;
        assert_eq!(answer.code != 401, operation.is_open(), "{}: {}", operation.name(), answer.code);
        assert_eq!(operation.has_answer(401), !operation.is_open(), "{}", operation.name());
        assert_eq!(operation.path.starts_with("/v1/"), !operation.is_open(), "{}", operation.name());
    }
}
