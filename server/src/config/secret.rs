//! Values that nobody may see: how they are given, and that they are never shown.

use super::{
    env::Env,
    fields::Fields,
    tree::{Kind, Node, Scalar, Source, Value},
    words::Variable,
};
use std::{
    fmt,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

/// What is shown in place of a secret.
const HIDDEN: &str = "***";
/// The largest file that is a secret, in bytes.
const MAX_FILE: u64 = 64 << 10;
/// The keys that hold secrets: messages do not repeat what is written there.
const KEYS: [&str; 3] = ["server.adminToken", "registry.password", "registry.token"];

/// A password or a token. It prints as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A secret of this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for who needs it: not for a log, an error or a page.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

/// Whether the key of this path holds a secret, or is the way to one. In a policy that is all of `notifications`: the
/// address of a webhook is what lets anybody write there.
pub(super) fn is(path: &str) -> bool {
    let receiver =
        path.split_once("notifications").is_some_and(|(before, _)| before.is_empty() || before.ends_with("rollout."));
    receiver
        || KEYS.iter().any(|key| path.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
}

/// How a message repeats a piece of a secret.
pub(super) fn hidden(_: &str) -> String {
    format!("{HIDDEN:?}")
}

/// Reads a secret: its text, `{env: NAME}` or `{file: PATH}`. The last two are printed as they were
/// written, and read when loading.
pub(super) fn take(f: &mut Fields, key: &'static str, env: &Env) -> Option<Secret> {
    const EXPECTED: &str = "expected a text, {env: NAME} or {file: PATH}";
    debug_assert!(is(&f.path(key)), "{key} is not among the keys that are hidden");
    let Some(node) = f.node(key) else {
        f.record(key, Node::new(Value::Null, Source::Default));
        return None;
    };
    let source = node.source.clone();
    let (read, shown) = match node.value {
        Value::Scalar(scalar) => {
            let read = match scalar.kind {
                Kind::Number | Kind::Bool => Err(format!("{EXPECTED} (put a number in quotes)")),
                Kind::Text | Kind::Loose => checked(scalar.text).map(Some),
            };
            (read, Value::Scalar(Scalar::text(HIDDEN)))
        }
        Value::Map(_) => {
            let (given, node) =
                f.inner(f.path(key), node, |f| (f.take_opt::<Variable>("env"), f.take_opt::<PathBuf>("file")));
            let read = match given {
                (Some(_), Some(_)) => Err(format!("{EXPECTED}, got both")),
                (Some(name), None) => variable(&name.0, env).map(Some),
                (None, file) => file.as_deref().map(from_file).transpose(),
            };
            (read, written(node.value))
        }
        Value::Broken => (Ok(None), Value::Null),
        Value::Null | Value::List(_) => (Err(EXPECTED.to_owned()), Value::Null),
    };
    f.record(key, Node::new(shown, source.clone()));
    read.unwrap_or_else(|message| {
        f.error(key, &source, message);
        None
    })
    .map(Secret)
}

/// The mapping without the keys that were not written; nothing where none was.
fn written(value: Value) -> Value {
    match value {
        Value::Map(mut entries) => {
            entries.retain(|(_, node)| node.value != Value::Null);
            if entries.is_empty() { Value::Null } else { Value::Map(entries) }
        }
        other => other,
    }
}

pub(super) fn variable(name: &str, env: &Env) -> Result<String, String> {
    match env.get(name) {
        Some(text) if !text.is_empty() => checked(text.to_owned()).map_err(|message| format!("{name}: {message}")),
        Some(_) => Err(format!("the environment variable {name} is empty")),
        None => Err(format!("the environment variable {name} is not set")),
    }
}

/// The file without the line break that editors and `echo` leave at its end.
pub(super) fn from_file(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes))
        .map_err(|error| format!("{shown} cannot be read: {error}"))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(format!("{shown} is no secret: larger than {} KiB", MAX_FILE >> 10));
    }
    let mut text = String::from_utf8(bytes).map_err(|_| format!("{shown} is no secret: not UTF-8 text"))?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    checked(text).map_err(|message| format!("{shown}: {message}"))
}

/// What can be sent in a header, without saying what it is.
fn checked(text: String) -> Result<String, String> {
    if text.trim().is_empty() {
        Err("expected a secret, got nothing".to_owned())
    } else if text.contains(char::is_control) {
        Err("expected a secret, got several lines or other control characters".to_owned())
    } else {
        Ok(text)
    }
}
