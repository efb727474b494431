//! What is wrong with a configuration: every finding, one line each, with its key and its place.

use super::tree::Source;
use std::fmt;

/// The longest piece of a value that a message repeats, in characters.
const SHOWN: usize = 64;

/// One finding: `server.maxBody (perch.yaml:7): expected a size such as 32MiB, got "lots"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The key's path, such as `server.maxBody`; empty where the finding is about a whole source
    /// (a file that is not YAML) or in a policy's file, whose keys the message begins with.
    pub key: String,
    /// Where the value was written, such as `perch.yaml:7` or `--listen`; `None` where nothing was
    /// written at all (a required key that is missing).
    pub place: Option<String>,
    /// What was expected and what was found, without the key and the place.
    pub message: String,
}

impl ConfigError {
    /// A finding about a value that was written somewhere.
    pub(super) fn at(key: &str, place: impl fmt::Display, message: impl Into<String>) -> Self {
        Self { key: key.to_owned(), place: Some(place.to_string()), message: message.into() }
    }

    /// A finding in a file of its own, whose keys begin there: `rollouts/curve.yaml:12:9: analysis.judge: …`.
    pub(super) fn in_policy(key: &str, source: &Source, message: &str) -> Self {
        let message = if key.is_empty() { message.to_owned() } else { format!("{key}: {message}") };
        Self::at("", source.exact(), message)
    }

    /// A finding about a value that nobody wrote.
    pub(super) fn missing(key: &str, message: impl Into<String>) -> Self {
        Self { key: key.to_owned(), place: None, message: message.into() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.place, self.key.is_empty()) {
            (Some(place), false) => write!(f, "{} ({place}): {}", self.key, self.message),
            (Some(place), true) => write!(f, "{place}: {}", self.message),
            (None, false) => write!(f, "{}: {}", self.key, self.message),
            (None, true) => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for ConfigError {}

/// Every finding at once, so that a file is mended in one go. Never empty. Prints one line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// A value as a message repeats it: in quotes, on one line, not endless, and without a password.
pub(super) fn quote(text: &str) -> String {
    let text = redact(text);
    if text.chars().count() <= SHOWN {
        return format!("{text:?}");
    }
    let head: String = text.chars().take(SHOWN).collect();
    format!("{head:?}…")
}

/// The text with the user part of each URL hidden: `http://me:secret@host` -> `http://***@host`.
///
/// A password may hold any character, `/` and `,` too, so everything up to the last `@` of the word
/// goes: hiding a piece of a path is the smaller harm.
pub(super) fn redact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (scheme, tail) = rest.split_at(at + 3);
        out.push_str(scheme);
        let end = tail.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'')).unwrap_or(tail.len());
        let (word, after) = tail.split_at(end);
        match word.rfind('@') {
            Some(user_end) => {
                out.push_str("***");
                out.push_str(&word[user_end..]);
            }
            None => out.push_str(word),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_each() {
        let errors = ConfigErrors(vec![
            ConfigError::at("a.b", "perch.yaml:7", "expected a list"),
            ConfigError::missing("registry.path", "expected a folder"),
            ConfigError::at("", "perch.yaml:1:2", "unclosed bracket"),
        ]);
        assert_eq!(
            errors.to_string(),
            "a.b (perch.yaml:7): expected a list\n\
             registry.path: expected a folder\n\
             perch.yaml:1:2: unclosed bracket"
        );
    }

    #[test]
    fn passwords_are_hidden() {
        for (text, shown) in [
            ("http://me:secret@host:4318/v1", "http://***@host:4318/v1"),
            ("http://host:4318/v1", "http://host:4318/v1"),
            ("a=https://u:p@x b=https://u:p/,@y", "a=https://***@x b=https://***@y"),
            ("me@host", "me@host"),
            ("://@", "://***@"),
            ("é://é@é", "é://***@é"),
        ] {
            assert_eq!(redact(text), shown);
        }
        assert_eq!(quote("http://u:p@h"), "\"http://***@h\"");
    }

    #[test]
    fn long_values_are_cut() {
        let shown = quote(&"ä".repeat(1000));
        assert_eq!(shown.chars().count(), SHOWN + 3);
        assert_eq!(quote("two\nlines"), "\"two\\nlines\"");
    }
}
