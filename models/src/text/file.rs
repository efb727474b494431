//! One JSON file of a model's folder, read key by key: what is wrong is told by file, key, what was expected and what
//! came.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::backend::LoadError;

/// Lengths above this are no lengths: transformers writes 10^30 for "no limit", `XLNet` -1.
const NO_LIMIT: f64 = 1e9;
/// Longer values are cut in messages.
const SHOWN: usize = 60;

/// A file with one JSON object. A file that is not there reads as one without keys.
#[derive(Debug)]
pub(super) struct JsonFile {
    path: PathBuf,
    keys: Map<String, Value>,
}

impl JsonFile {
    /// Reads `path`.
    ///
    /// # Errors
    /// When it cannot be read, or is not a JSON object.
    pub(super) fn read(path: PathBuf) -> Result<Self, LoadError> {
        let keys = match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|error| broken(&path, &error.to_string()))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Map::new(),
            Err(error) => return Err(broken(&path, &error.to_string())),
        };
        Ok(Self { path, keys })
    }

    /// Reads the first of `names` in `dir` that is there.
    ///
    /// # Errors
    /// As [`JsonFile::read`].
    pub(super) fn first(dir: &Path, names: &[&str]) -> Result<Self, LoadError> {
        let there = names.iter().find(|name| dir.join(name).is_file()).or_else(|| names.first());
        Self::read(dir.join(there.copied().unwrap_or_default()))
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The value of `key`; null is the same as none.
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.keys.get(key).filter(|value| !value.is_null())
    }

    /// A whole number from 0 on.
    pub(super) fn number(&self, key: &str) -> Result<Option<usize>, LoadError> {
        let read = |value: &Value| value.as_u64().and_then(|number| usize::try_from(number).ok());
        self.read_as(key, "a whole number", read)
    }

    /// A length in tokens; none where the value says that there is no limit.
    pub(super) fn length(&self, key: &str) -> Result<Option<usize>, LoadError> {
        let length = self.read_as(key, "a number of tokens", Value::as_f64)?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 1e9")]
        Ok(length.filter(|length| (0.0..NO_LIMIT).contains(length)).map(|length| length as usize))
    }

    /// A string.
    pub(super) fn text(&self, key: &str) -> Result<Option<&str>, LoadError> {
        self.read_as(key, "a string", Value::as_str)
    }

    /// True or false.
    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>, LoadError> {
        self.read_as(key, "true or false", Value::as_bool)
    }

    /// A list of strings.
    pub(super) fn list(&self, key: &str) -> Result<Option<Vec<&str>>, LoadError> {
        self.read_as(key, "a list of strings", |value| value.as_array()?.iter().map(Value::as_str).collect())
    }

    /// An object whose values are strings; null is the empty string.
    pub(super) fn texts(&self, key: &str) -> Result<Option<BTreeMap<String, String>>, LoadError> {
        self.read_as(key, "an object of strings", |value| {
            let text = |value: &Value| if value.is_null() { Some("") } else { value.as_str() }.map(str::to_owned);
            value.as_object()?.iter().map(|(name, value)| Some((name.clone(), text(value)?))).collect()
        })
    }

    /// A token: its text, or an object with its text as `content`.
    pub(super) fn token(&self, key: &str) -> Result<Option<&str>, LoadError> {
        self.read_as(key, "a token", |value| value.as_str().or_else(|| value.get("content")?.as_str()))
    }

    /// `key` holds something else than `expected`.
    pub(super) fn wrong(&self, key: &str, expected: &str) -> LoadError {
        let got = self.get(key).map_or_else(|| "nothing".to_owned(), |value| shown(&value.to_string()));
        LoadError::Files(format!("{}: \"{key}\": expected {expected}, got {got}", self.path.display()))
    }

    fn read_as<'f, T>(
        &'f self,
        key: &str,
        expected: &str,
        read: impl FnOnce(&'f Value) -> Option<T>,
    ) -> Result<Option<T>, LoadError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| self.wrong(key, expected))
    }
}

fn broken(path: &Path, message: &str) -> LoadError {
    LoadError::Files(format!("{}: {message}", path.display()))
}

fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> JsonFile {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("config.json");
        std::fs::write(&path, text).expect("written");
        JsonFile::read(path).expect("an object")
    }

    #[test]
    fn a_file_that_is_not_there_has_no_keys() {
        let none = JsonFile::read("/nowhere/config.json".into()).expect("empty");
        assert_eq!((none.number("a"), none.text("a"), none.texts("a")), (Ok(None), Ok(None), Ok(None)));
    }

    #[test]
    fn values_are_read_or_told_from_what_was_expected() {
        let file = file(
            r#"{"n": 3, "no": null, "huge": 1000000000000000019884624838656, "xl": -1, "half": 2.0, "t": "x",
                "f": true, "l": ["a", "b"], "m": {"q": "query: ", "d": null}, "p": {"content": "<pad>"}}"#,
        );
        assert_eq!(file.number("n"), Ok(Some(3)));
        assert_eq!(file.number("no"), Ok(None));
        assert_eq!((file.length("huge"), file.length("xl"), file.length("half")), (Ok(None), Ok(None), Ok(Some(2))));
        assert_eq!((file.text("t"), file.flag("f")), (Ok(Some("x")), Ok(Some(true))));
        assert_eq!(file.list("l"), Ok(Some(vec!["a", "b"])));
        let texts = [("d", ""), ("q", "query: ")].map(|(name, text)| (name.to_owned(), text.to_owned()));
        assert_eq!(file.texts("m"), Ok(Some(texts.into())));
        assert_eq!((file.token("p"), file.token("t")), (Ok(Some("<pad>")), Ok(Some("x"))));
        let error = file.number("m").expect_err("an object").to_string();
        assert!(
            error.ends_with(r#"config.json: "m": expected a whole number, got {"q":"query: ","d":null}"#),
            "{error}"
        );
        assert!(
            file.list("t").is_err() && file.texts("l").is_err() && file.flag("n").is_err() && file.text("n").is_err()
        );
    }

    #[test]
    fn a_broken_file_is_named() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("config.json");
        std::fs::write(&path, "[1]").expect("written");
        let error = JsonFile::read(path).expect_err("a list").to_string();
        assert!(error.contains("config.json: invalid type"), "{error}");
    }
}
