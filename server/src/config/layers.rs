//! What the configuration is put together from, and the putting together.

use super::{
    env::{Env, under},
    error::ConfigError,
    merge::merge,
    tree::{Node, Scalar, Source, Value},
    yaml,
};
use std::{fs::File, io::Read, path::Path};

/// The largest file that is read, in bytes: a configuration is a page or two, and a wrong path may
/// name a model of gigabytes.
const MAX_FILE: u64 = 4 << 20;

/// The sources of a configuration, weakest first: defaults, well-known variables, the file,
/// `PERCH__…` variables, flags. Not `Debug`: an environment holds other people's secrets.
#[derive(Clone, Default)]
pub struct Layers {
    file: Option<(String, Result<String, String>)>,
    env: Vec<(String, String)>,
    flags: Vec<Flag>,
    stateless: bool,
}

/// A flag that was given: the key it stands for, what was given, and its name for messages.
#[derive(Clone)]
struct Flag {
    key: &'static str,
    value: String,
    name: &'static str,
}

/// The layers laid over one another.
pub(super) struct Merged {
    pub tree: Node,
    /// The models that flags name, with the flag.
    pub models: Vec<(String, Source)>,
    pub errors: Vec<ConfigError>,
    /// For the keys that look into it: secrets and the cache's place.
    pub env: Env,
    /// Whether there is a file that could not be read: what is missing may well be in it.
    pub file_lost: bool,
    /// Whether nothing is kept, so that `state` is not needed.
    pub stateless: bool,
}

impl Layers {
    /// Nothing but the defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With the text of a file, under the name that messages give it.
    #[must_use]
    pub fn file_text(mut self, name: impl Into<String>, text: impl Into<String>) -> Self {
        self.file = Some((name.into(), Ok(text.into())));
        self
    }

    /// With a file from disk, read now. One that cannot be read is among the errors of the load.
    #[must_use]
    pub fn file(mut self, path: &Path) -> Self {
        self.file = Some((path.display().to_string(), read(path)));
        self
    }

    /// With an environment, such as [`environment`](super::environment) gives it.
    #[must_use]
    pub fn env(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        self.env.extend(variables);
        self
    }

    /// With a flag for the key it stands for, where it was given (an `Option`, or a `Vec` of what a
    /// repeated one had): `layers.flag("server.listen", args.listen, "--listen")`. For the key
    /// `models` each value is the name of one model; for any other the last one counts.
    #[must_use]
    pub fn flag(mut self, key: &'static str, value: impl IntoIterator<Item = String>, name: &'static str) -> Self {
        let flags = value.into_iter().map(|value| Flag { key, value, name });
        self.flags.extend(flags);
        self
    }

    /// For a command that keeps nothing: `state` may then be unknown, and is an empty path.
    #[must_use]
    pub fn stateless(mut self) -> Self {
        self.stateless = true;
        self
    }

    pub(super) fn merge(self) -> Merged {
        let mut errors = Vec::new();
        let env = Env::new(self.env);
        let mut tree = env.well_known();
        let mut file_lost = false;
        if let Some((name, text)) = self.file {
            match read_tree(&name, text, &env, &mut errors) {
                Some(file) => merge(&mut tree, file, "", &mut errors),
                None => file_lost = true,
            }
        }
        let ours = env.ours(&mut errors);
        merge(&mut tree, ours, "", &mut errors);
        let mut models = Vec::new();
        for flag in self.flags {
            let source = Source::Flag(flag.name.into());
            if flag.key == "models" {
                models.push((flag.value, source));
            } else {
                let value = Value::Scalar(Scalar::loose(flag.value));
                let node = under(flag.key, Node::new(value, source));
                merge(&mut tree, node, "", &mut errors);
            }
        }
        Merged { tree, models, errors, env, file_lost, stateless: self.stateless }
    }
}

fn read_tree(name: &str, text: Result<String, String>, env: &Env, errors: &mut Vec<ConfigError>) -> Option<Node> {
    match text {
        Ok(text) => yaml::file(name, &text, env, errors),
        Err(message) => {
            errors.push(ConfigError::at("", name, message));
            None
        }
    }
}

/// The text of a file.
pub(super) fn read(path: &Path) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("cannot be read: {error}");
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes)).map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(format!("is no configuration: larger than {} MiB", MAX_FILE >> 20));
    }
    String::from_utf8(bytes).map_err(|_| "is no configuration: not UTF-8 text".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(layers: Layers) -> Vec<String> {
        let errors = layers.merge().errors;
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn files_that_cannot_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("perch.yaml");
        let name = path.display();
        let lost = errors(Layers::new().file(&path));
        assert!(lost[0].starts_with(&format!("{name}: cannot be read: ")), "{lost:?}");
        std::fs::write(&path, [0xff, 0xfe, 0x00]).unwrap();
        assert_eq!(errors(Layers::new().file(&path)), [format!("{name}: is no configuration: not UTF-8 text")]);
        std::fs::write(&path, vec![b'#'; 5 << 20]).unwrap();
        assert_eq!(errors(Layers::new().file(&path)), [format!("{name}: is no configuration: larger than 4 MiB")]);
        std::fs::write(&path, "log: {filter: debug}").unwrap();
        let merged = Layers::new().file(&path).merge();
        assert!(!merged.file_lost);
        assert_eq!(merged.tree.find("log.filter").map(|n| n.source.to_string()), Some(format!("{name}:1")));
    }
}
