//! `aliases.json` and `tags.json` of a model's folder: small files, read whole and replaced in one step.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// `{"stable": 1, "canary": 2}`
pub(super) const ALIASES: &str = "aliases.json";
/// `{"1": {"perch.state": "ready"}}`
pub(super) const TAGS: &str = "tags.json";

pub(super) type Tags = BTreeMap<u64, BTreeMap<String, String>>;

pub(super) fn read_aliases(model: &Path) -> Result<Option<BTreeMap<String, u64>>, String> {
    let Some(aliases) = read::<BTreeMap<String, u64>>(model, ALIASES, "{\"alias\": version}")? else {
        return Ok(None);
    };
    match aliases.iter().find(|(_, version)| **version == 0) {
        Some((alias, _)) => {
            let path = model.join(ALIASES);
            Err(format!("{}: alias {alias}: versions are positive integers, got 0", path.display()))
        }
        None => Ok(Some(aliases)),
    }
}

pub(super) fn read_tags(model: &Path) -> Result<Tags, String> {
    Ok(read(model, TAGS, "{\"version\": {\"key\": \"value\"}}")?.unwrap_or_default())
}

fn read<T: DeserializeOwned>(model: &Path, name: &str, expected: &str) -> Result<Option<T>, String> {
    let path = model.join(name);
    match fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .map_err(|error| format!("{}: expected {expected}: {error}", path.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

/// Points `alias` of the model folder `model` to `version`, or deletes it; the file is replaced atomically.
///
/// # Errors
/// When the present file is broken, or the folder cannot be written.
pub fn set_alias(model: &Path, alias: &str, version: Option<u64>) -> io::Result<()> {
    let _turn = take_turn(model)?;
    let mut aliases = read_aliases(model).map_err(io::Error::other)?.unwrap_or_default();
    let before = match version {
        Some(version) => aliases.insert(alias.to_owned(), version),
        None => aliases.remove(alias),
    };
    if before == version { Ok(()) } else { replace(model, ALIASES, &aliases) }
}

/// Sets a tag of a version in the model folder `model`; the file is replaced atomically.
///
/// # Errors
/// When the present file is broken, or the folder cannot be written.
pub fn set_tag(model: &Path, version: u64, key: &str, value: &str) -> io::Result<()> {
    let _turn = take_turn(model)?;
    let mut tags = read_tags(model).map_err(io::Error::other)?;
    let before = tags.entry(version).or_default().insert(key.to_owned(), value.to_owned());
    if before.as_deref() == Some(value) { Ok(()) } else { replace(model, TAGS, &tags) }
}

/// One writer at a time, in whatever process: each reads the file, changes it and puts it back.
fn take_turn(model: &Path) -> io::Result<File> {
    let folder = File::open(model)?;
    match folder.lock() {
        // A file system without locks has had one writer at a time so far, too.
        Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
        locked => locked?,
    }
    Ok(folder)
}

fn replace(model: &Path, name: &str, content: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_vec_pretty(content).map_err(io::Error::other)?;
    let fresh = model.join(format!(".{name}.{}", std::process::id()));
    let written = File::create(&fresh).and_then(|mut file| {
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&fresh, model.join(name))
    });
    if written.is_err() {
        // Best effort: what matters is the error.
        let _ = fs::remove_file(&fresh);
    }
    written
}
