//! Words about registries: their kinds and addresses, stages, tags, and where a model comes from.

use crate::config::{
    interpolate::is_name,
    schema::{ModelSource, TagFilter},
    setting::{Setting, text},
    tree::{Kind as Type, Scalar},
};
use std::{fmt, path::PathBuf};

/// `registry.type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum Kind {
    Directory,
    Mlflow,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Directory => "directory",
            Self::Mlflow => "mlflow",
        })
    }
}

impl Setting for Kind {
    fn parse(scalar: &Scalar) -> Result<Self, String> {
        match scalar.text.as_str() {
            "directory" => Ok(Self::Directory),
            "mlflow" => Ok(Self::Mlflow),
            _ => Err(scalar.expected("mlflow or directory")),
        }
    }

    fn show(&self) -> Scalar {
        Scalar::text(self.to_string())
    }
}

/// `registry.uri`. MLflow itself takes databases, folders and the names of others' services too.
#[derive(Debug, Default, PartialEq)]
pub(in crate::config) struct MlflowUri {
    /// The URL without a user.
    pub uri: String,
    /// The user and the password that were in it.
    pub user: Option<(String, String)>,
}

impl MlflowUri {
    fn parts(text: &str) -> Option<Self> {
        let (scheme, rest) = ["http://", "https://"].into_iter().find_map(|s| Some((s, text.strip_prefix(s)?)))?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
        let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '?' | '#' | '@');
        // An `@` after the first `/` is a password that was not encoded: it would stay in sight.
        if host.is_empty() || host.starts_with(':') || host.contains(odd) || path.contains(odd) {
            return None;
        }
        let user = match user {
            Some(user) => {
                let (name, password) = user.split_once(':').unwrap_or((user, ""));
                Some((decoded(name)?, decoded(password)?))
            }
            None => None,
        };
        Some(Self { uri: format!("{scheme}{host}{path}"), user })
    }
}

impl Setting for MlflowUri {
    fn parse(scalar: &Scalar) -> Result<Self, String> {
        Self::parts(&scalar.text).ok_or_else(|| {
            let expected = scalar.expected("the URL of an MLflow server such as http://mlflow:5000");
            format!("{expected} (perch talks to an MLflow server over HTTP)")
        })
    }

    /// Without the user and the password: the one value that does not read back as itself.
    fn show(&self) -> Scalar {
        Scalar::text(match self.user {
            Some(_) => self.uri.replacen("://", "://***@", 1),
            None => self.uri.clone(),
        })
    }
}

/// A truth as MLflow's variables have it: `1` and `True` too, where the source has no types.
pub(in crate::config) struct Switch(pub bool);

impl Setting for Switch {
    fn parse(scalar: &Scalar) -> Result<Self, String> {
        match (scalar.kind, scalar.text.to_ascii_lowercase().as_str()) {
            (Type::Loose, "true" | "1") => Ok(Self(true)),
            (Type::Loose, "false" | "0") => Ok(Self(false)),
            _ => bool::parse(scalar).map(Self),
        }
    }

    fn show(&self) -> Scalar {
        self.0.show()
    }
}

/// The name of a stage, such as `Production`.
pub(in crate::config) struct Stage(pub String);

impl Setting for Stage {
    fn parse(scalar: &Scalar) -> Result<Self, String> {
        let what = "a stage of letters, digits, ' ', '_' and '-'";
        let stage = text(scalar, what)?;
        if stage.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, ' ' | '_' | '-')) {
            Ok(Self(stage.to_owned()))
        } else {
            Err(scalar.expected(what))
        }
    }

    fn show(&self) -> Scalar {
        Scalar::text(&self.0)
    }
}

/// The name of an environment variable. It stands where a secret may stand by mistake, so a message
/// does not repeat what is no name.
pub(in crate::config) struct Variable(pub String);

impl Setting for Variable {
    fn parse(scalar: &Scalar) -> Result<Self, String> {
        if is_name(&scalar.text) {
            Ok(Self(scalar.text.clone()))
        } else {
            Err("expected the name of an environment variable".to_owned())
        }
    }

    fn show(&self) -> Scalar {
        Scalar::text(&self.0)
    }
}

impl Setting for TagFilter {
    fn parse(scalar: &Scalar) -> Result<Self, String> {
        const EXPECTED: &str = "a tag as KEY=VALUE, or KEY for any value";
        let text = text(scalar, EXPECTED)?;
        let (key, value) = match text.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (text, None),
        };
        // What MLflow takes for a tag's name, and what its search can put in quotes.
        let named = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | ':' | ' ');
        let quotable = |c: char| !c.is_control() && !matches!(c, '\'' | '"');
        let good = |part: &str| !part.is_empty() && part.trim() == part;
        if good(key) && key.chars().all(named) && value.is_none_or(|value| good(value) && value.chars().all(quotable)) {
            Ok(Self { key: key.to_owned(), value: value.map(ToOwned::to_owned) })
        } else {
            Err(scalar.expected(EXPECTED))
        }
    }

    fn show(&self) -> Scalar {
        Scalar::text(match &self.value {
            Some(value) => format!("{}={value}", self.key),
            None => self.key.clone(),
        })
    }
}

impl Setting for ModelSource {
    fn parse(scalar: &Scalar) -> Result<Self, String> {
        const EXPECTED: &str = "the model's name in the registry, or a folder as file:///FOLDER";
        let text = text(scalar, EXPECTED)?;
        if let Some(path) = text.strip_prefix("file://") {
            // A name before the path would be another machine's.
            return decoded(path)
                .filter(|path| path.len() > 1 && path.starts_with('/') && !path.contains('\0'))
                .map(|path| Self::Folder(PathBuf::from(path)))
                .ok_or_else(|| scalar.expected("a folder as file:///FOLDER"));
        }
        // It becomes a folder's name or a part of a URL.
        let fits = |c: char| !c.is_control() && !matches!(c, '/' | ':' | '\\');
        if text.chars().all(fits) && text.trim() == text && text.chars().any(|c| c != '.') {
            Ok(Self::Named(text.to_owned()))
        } else {
            Err(scalar.expected(EXPECTED))
        }
    }

    fn show(&self) -> Scalar {
        match self {
            Self::Named(name) => Scalar::text(name),
            Self::Folder(path) => {
                // An `@` would look like the end of a password.
                let path = path.to_string_lossy().replace('%', "%25").replace('@', "%40");
                Scalar::text(format!("file://{path}"))
            }
        }
    }
}

/// A piece of a URL with each `%XX` replaced. `None` where that is no such code, or no UTF-8.
fn decoded(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        out.push(match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests;
