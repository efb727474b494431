//! The environment: `PERCH__SECTION__KEY`, and the names that users of other tools already set.

use super::{
    error::ConfigError,
    merge::merge,
    tree::{Node, Scalar, Source, Value},
    yaml,
};
use std::collections::BTreeMap;

/// What every variable of ours begins with. Two underscores: `PERCH_SERVER_PORT` and the like are
/// set by Kubernetes for a service named perch, and are no configuration.
pub(super) const PREFIX: &str = "PERCH__";

/// Names of others, and the keys they stand for. They are weaker than the file.
const WELL_KNOWN: [(&str, &str); 12] = [
    ("MLFLOW_TRACKING_URI", "registry.uri"),
    ("MLFLOW_TRACKING_USERNAME", "registry.username"),
    ("MLFLOW_TRACKING_PASSWORD", "registry.password"),
    ("MLFLOW_TRACKING_TOKEN", "registry.token"),
    ("MLFLOW_TRACKING_SERVER_CERT_PATH", "registry.caCert"),
    ("MLFLOW_TRACKING_INSECURE_TLS", "registry.insecureTls"),
    ("MLFLOW_S3_ENDPOINT_URL", "artifacts.s3Endpoint"),
    ("AWS_CA_BUNDLE", "artifacts.caCert"),
    ("ORT_DYLIB_PATH", "runtime.library"),
    ("RUST_LOG", "log.filter"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "telemetry.otlpEndpoint"),
    ("OTEL_SERVICE_NAME", "telemetry.serviceName"),
];

/// The environment as it was handed over, sorted: findings come in the same order each time.
#[derive(Debug, Default)]
pub(super) struct Env(BTreeMap<String, String>);

impl Env {
    pub fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(variables.into_iter().collect())
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The layer of the well-known names. An empty one counts as not set, as their own tools have it.
    pub fn well_known(&self) -> Node {
        let mut root = Node::empty();
        for (name, path) in WELL_KNOWN {
            if let Some(text) = self.get(name).filter(|text| !text.is_empty()) {
                let value = Value::Scalar(Scalar::loose(text));
                let node = under(path, Node::new(value, Source::Env(name.into())));
                // The paths are ours and distinct: nothing can clash.
                merge(&mut root, node, "", &mut Vec::new());
            }
        }
        root
    }

    /// The layer of `PERCH__…`.
    pub fn ours(&self, errors: &mut Vec<ConfigError>) -> Node {
        let mut root = Node::empty();
        for (name, text) in &self.0 {
            let Some(rest) = name.strip_prefix(PREFIX) else {
                continue;
            };
            let source = Source::Env(name.as_str().into());
            match path(rest) {
                Some(path) => {
                    let node = under(&path, Node::new(value(text, &source), source));
                    merge(&mut root, node, "", errors);
                }
                None => errors.push(ConfigError::at("", source, "expected a name such as PERCH__SERVER__MAX_BODY")),
            }
        }
        root
    }
}

/// `SERVER__MAX_BODY` -> `server.maxBody`.
fn path(rest: &str) -> Option<String> {
    let keys: Option<Vec<String>> = rest.split("__").map(camel).collect();
    Some(keys?.join("."))
}

/// `MAX_BODY` -> `maxBody`. Only this one spelling: two names for a key would hide one another.
fn camel(word: &str) -> Option<String> {
    let mut out = String::with_capacity(word.len());
    for (i, part) in word.split('_').enumerate() {
        let mut chars = part.chars();
        let first = chars.next()?;
        if !part.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit()) {
            return None;
        }
        out.push(if i == 0 { first.to_ascii_lowercase() } else { first });
        out.extend(chars.map(|c| c.to_ascii_lowercase()));
    }
    Some(out)
}

/// A variable's value as a YAML scalar or a flow mapping. Lists wait until a key asks for one:
/// `[::]:8000` is an address.
fn value(text: &str, source: &Source) -> Value {
    let text = text.trim();
    if matches!(text, "" | "~" | "null") {
        return Value::Null;
    }
    if text.starts_with(['{', '"', '\''])
        && let Some(value @ (Value::Map(_) | Value::Scalar(_))) = yaml::inline(text, source)
    {
        return value;
    }
    Value::Scalar(Scalar::loose(text))
}

/// The node with the mappings of its path around it.
pub(super) fn under(path: &str, node: Node) -> Node {
    path.rsplit('.').fold(node, |inner, key| {
        let source = inner.source.clone();
        Node::new(Value::Map(vec![(key.to_owned(), inner)]), source)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours(variables: &[(&str, &str)]) -> (Node, Vec<String>) {
        let env = Env::new(variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
        let mut errors = Vec::new();
        let node = env.ours(&mut errors);
        (node, errors.iter().map(ToString::to_string).collect())
    }

    fn shown(node: &Node, path: &str) -> String {
        node.find(path).map(|n| format!("{} {}", n.value.shown(), n.source)).unwrap_or_default()
    }

    #[test]
    fn names_become_keys() {
        for (name, key) in [
            ("SERVER__MAX_BODY", Some("server.maxBody")),
            ("SERVER__DRAIN__DELAY", Some("server.drain.delay")),
            ("A1__B_2C", Some("a1.b2c")),
            ("", None),
            ("SERVER__", None),
            ("_SERVER", None),
            ("server__listen", None),
            ("SERVER__MAX BODY", None),
            ("SERVER.LISTEN", None),
        ] {
            assert_eq!(path(name).as_deref(), key, "{name}");
        }
    }

    #[test]
    fn values_are_yaml_but_text_stays_text() {
        let (node, errors) = ours(&[
            ("PERCH__SERVER__LISTEN", "[::]:8000"),
            ("PERCH__SERVER__DRAIN", "{delay: 1s, timeout: 2s}"),
            ("PERCH__SERVER__DRAIN__DELAY", "3s"),
            ("PERCH__LOG__FILTER", "\"quoted\""),
            ("PERCH__LOG__FORMAT", ""),
            ("PERCH__TELEMETRY__SERVICE_NAME", "{not a mapping"),
            ("PERCH_SERVER", "http://elsewhere"),
        ]);
        assert_eq!(errors, [] as [&str; 0]);
        for (path, expected) in [
            ("server.listen", "\"[::]:8000\" PERCH__SERVER__LISTEN"),
            ("server.drain.delay", "\"3s\" PERCH__SERVER__DRAIN__DELAY"),
            ("server.drain.timeout", "\"2s\" PERCH__SERVER__DRAIN"),
            ("log.filter", "\"quoted\" PERCH__LOG__FILTER"),
            ("log.format", "nothing PERCH__LOG__FORMAT"),
            ("telemetry.serviceName", "\"{not a mapping\" PERCH__TELEMETRY__SERVICE_NAME"),
        ] {
            assert_eq!(shown(&node, path), expected);
        }
        assert!(node.find("PERCH_SERVER").is_none());
    }

    #[test]
    fn other_spellings_are_refused() {
        let (_, errors) = ours(&[("PERCH__server__listen", ":1"), ("PERCH__", "1")]);
        assert_eq!(
            errors,
            [
                "PERCH__: expected a name such as PERCH__SERVER__MAX_BODY",
                "PERCH__server__listen: expected a name such as PERCH__SERVER__MAX_BODY",
            ]
        );
    }

    #[test]
    fn well_known_names() {
        let env = Env::new(
            [("RUST_LOG", "debug"), ("MLFLOW_TRACKING_TOKEN", "7"), ("OTEL_SERVICE_NAME", "")]
                .map(|(k, v)| (k.to_owned(), v.to_owned())),
        );
        let node = env.well_known();
        assert_eq!(shown(&node, "log.filter"), "\"debug\" RUST_LOG");
        assert_eq!(shown(&node, "registry.token"), "\"7\" MLFLOW_TRACKING_TOKEN");
        assert_eq!(shown(&node, "telemetry.serviceName"), "");
    }
}
