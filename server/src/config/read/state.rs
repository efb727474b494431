//! `state`: where rollouts are remembered, and where that is by default.

use super::home;
use crate::config::{
    env::Env,
    fields::Fields,
    schema::{RegistrySource, StateUrl},
    setting::Setting,
    tree::Scalar,
};
use sha2::{Digest, Sha256};
use std::{
    fmt::Write,
    path::{Path, PathBuf},
};

const EXPECTED: &str =
    "a file as sqlite:///FOLDER/state.db or sqlite:state.db, or a database as postgres://USER:PASSWORD@HOST/DATABASE";

/// Reads `state`. Without it: a file of this user for this registry, so that servers over different ones do not share
/// their rollouts. `needed`: whether it is an error where there is none.
pub(super) fn state(root: &mut Fields, registry: &RegistrySource, env: &Env, needed: bool) -> StateUrl {
    let none = || StateUrl::Sqlite(PathBuf::new());
    match home(env, "XDG_STATE_HOME", ".local/state") {
        Some((folder, from)) => root.take_from("state", StateUrl::Sqlite(folder.join(file_name(registry))), from),
        None if needed => {
            let expected = format!("{EXPECTED} (flag --state), as neither XDG_STATE_HOME nor HOME is set");
            root.require("state", &expected).unwrap_or_else(none)
        }
        None => root.take_opt("state").unwrap_or_else(none),
    }
}

/// `state-0123456789ab.db`, by what the registry is and where. Not by who asks: a password may change.
fn file_name(registry: &RegistrySource) -> String {
    let mut hash = Sha256::new();
    match registry {
        RegistrySource::Directory { path } => {
            hash.update("directory\n");
            hash.update(real(path).as_os_str().as_encoded_bytes());
        }
        RegistrySource::Mlflow(mlflow) => {
            hash.update("mlflow\n");
            hash.update(mlflow.uri.trim_end_matches('/'));
        }
    }
    let mut name = "state-".to_owned();
    for byte in hash.finalize().iter().take(6) {
        let _ = write!(name, "{byte:02x}");
    }
    name + ".db"
}

/// Where a folder really is; one that is not there yet, by its name.
fn real(path: &Path) -> PathBuf {
    path.canonicalize().or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.to_owned())
}

impl Setting for StateUrl {
    fn parse(scalar: &Scalar) -> Result<Self, String> {
        // The address of a database may hold a password: it is not repeated.
        if ["postgres:", "postgresql:"].iter().any(|scheme| scalar.text.starts_with(scheme)) {
            return scalar.text.parse().map(|place| Self::Postgres(Box::new(place)));
        }
        let path = scalar.text.strip_prefix("sqlite:").and_then(|rest| match rest.strip_prefix("//") {
            // A name before the path would be another machine's.
            Some(path) => path.starts_with('/').then_some(path),
            None => Some(rest),
        });
        // `:memory:` would forget what is to be remembered, and nobody reads options.
        let file = |path: &&str| {
            let odd = |c: char| c.is_control() || matches!(c, '?' | '#');
            !path.trim().is_empty() && !path.starts_with(':') && !path.ends_with('/') && !path.contains(odd)
        };
        path.filter(file).map(|path| Self::Sqlite(path.into())).ok_or_else(|| scalar.expected(EXPECTED))
    }

    fn show(&self) -> Scalar {
        let path = match self {
            Self::Sqlite(path) => path,
            Self::Postgres(place) => return Scalar::text(place.to_string()),
        };
        let path = path.to_string_lossy();
        // With slashes, an `@` would look like the end of a password.
        let slashes = if path.starts_with('/') && !path.contains('@') { "//" } else { "" };
        Scalar::text(format!("sqlite:{slashes}{path}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::schema::Mlflow;

    #[test]
    fn files_by_their_urls() {
        for (text, path, shown) in [
            ("sqlite:///var/lib/perch/state.db", "/var/lib/perch/state.db", "sqlite:///var/lib/perch/state.db"),
            ("sqlite:state.db", "state.db", "sqlite:state.db"),
            ("sqlite:a/b.db", "a/b.db", "sqlite:a/b.db"),
            ("sqlite:/s.db", "/s.db", "sqlite:///s.db"),
            ("sqlite:///a@b.db", "/a@b.db", "sqlite:/a@b.db"),
        ] {
            let state = StateUrl::parse(&Scalar::text(text)).unwrap();
            assert_eq!(state, StateUrl::Sqlite(path.into()));
            assert_eq!(state.show().text, shown);
        }
        for text in ["", "state.db", "sqlite:", "sqlite://host/x.db", "sqlite://", "sqlite::memory:", "sqlite:x?a=b"] {
            let expected = format!("expected {EXPECTED}, got {text:?}");
            assert_eq!(StateUrl::parse(&Scalar::text(text)), Err(expected));
        }
    }

    #[test]
    fn databases_by_their_urls() {
        for (text, shown) in [
            ("postgres://me:hunter2@h:5433/d?schema=fleet", "postgres://me:***@h:5433/d?schema=fleet"),
            ("postgresql://h/d", "postgresql://h/d"),
        ] {
            let state = StateUrl::parse(&Scalar::text(text)).unwrap();
            assert_eq!(
                (&state, state.show().text.as_str()),
                (&StateUrl::Postgres(Box::new(text.parse().unwrap())), shown)
            );
            assert!(!format!("{state:?}").contains("hunter2"));
        }
        for (text, expected) in [
            ("postgres://me:hunter2@h", "it names no database"),
            ("postgres://me:hunter2@h/d?schema=A", "parameter \"schema\" of the address is \"A\""),
        ] {
            let error = StateUrl::parse(&Scalar::text(text)).unwrap_err();
            assert!(error.contains(expected) && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn one_file_a_registry() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("models");
        std::fs::create_dir(&path).unwrap();
        let named = |path: PathBuf| file_name(&RegistrySource::Directory { path });
        let name = named(path.clone());
        assert!(
            name.strip_prefix("state-").and_then(|n| n.strip_suffix(".db")).is_some_and(|hex| hex.len() == 12),
            "{name}"
        );
        assert_eq!(named(path.join("../models/.")), name);
        std::os::unix::fs::symlink(&path, folder.path().join("link")).unwrap();
        assert_eq!(named(folder.path().join("link")), name);
        assert_ne!(named(folder.path().join("other")), name);
        let mlflow = |uri: &str, password: Option<&str>| {
            file_name(&RegistrySource::Mlflow(Mlflow {
                uri: uri.to_owned(),
                timeout: std::time::Duration::from_secs(1),
                username: None,
                password: password.map(crate::config::Secret::new),
                token: None,
                ca_cert: None,
                insecure_tls: false,
            }))
        };
        assert_eq!(mlflow("http://m", None), mlflow("http://m/", Some("p")));
        assert_ne!(mlflow("http://m", None), mlflow("http://n", None));
    }
}
