//! Moves of what serves, and how they are told.

use perch_models::registry::{Change, PREVIOUS, Selector, move_alias};
use serde_json::{Value, json};

use super::catalog::Entry;
use super::choose::choose;
use super::print_json;
use crate::cli::{Failure, Output};

/// What a command has moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Moved {
    pub(super) model: String,
    /// An alias or a stage.
    pub(super) target: Selector,
    pub(super) from: Option<u64>,
    pub(super) to: Option<u64>,
    /// Where `previous` was set to.
    pub(super) previous: Option<u64>,
    /// Aliases that went with it.
    pub(super) removed: Vec<String>,
    /// The command that undoes it.
    pub(super) back: Option<String>,
}

/// Moves an alias or a stage to a version that is there. Whenever that is what serves, `previous` is set first.
pub(super) async fn to(entry: &mut Entry, target: &Selector, version: u64) -> Result<Moved, Failure> {
    let serves = is_stable(entry, target);
    let (from, previous) = match target {
        Selector::Alias(alias) => {
            pin(entry, serves).await?;
            // No alias has this name: where a stage serves, or a number, none is like another.
            let stable = if let Selector::Alias(stable) = &entry.model.stable { stable } else { "" };
            let registry = entry.registry.as_ref();
            let moved = move_alias(registry, &entry.source, &entry.listing, alias, version, stable).await;
            let from = moved.map_err(|error| Failure::Failed(error.0))?.from;
            (from, from.filter(|from| serves && *from != version))
        }
        Selector::Stage(stage) => {
            let from = choose(target, &entry.listing, &[]);
            let previous = from.filter(|from| serves && *from != version);
            if let Some(from) = previous {
                note_previous(entry, from).await;
            }
            if from != Some(version) {
                entry.write(Change::SetStage { version, stage: stage.clone() }).await?;
            }
            (from, previous)
        }
        other => {
            let name = &entry.model.name;
            let message = format!("{name}: stable is configured as {other}; a move needs an alias or a stage");
            return Err(Failure::Usage(message));
        }
    };
    Ok(Moved {
        model: entry.model.name.clone(),
        target: target.clone(),
        from,
        to: Some(version),
        previous,
        removed: Vec::new(),
        back: None,
    })
}

/// Whether `target` is what serves.
pub(super) fn is_stable(entry: &Entry, target: &Selector) -> bool {
    match (&entry.model.stable, target) {
        (Selector::Stage(stable), Selector::Stage(stage)) => stable.eq_ignore_ascii_case(stage),
        (stable, target) => stable == target,
    }
}

/// A folder without aliases serves its highest version as stable. The first alias would end that and leave nothing to
/// serve, or nothing to go back to: what serves by now is given the alias first.
async fn pin(entry: &mut Entry, quietly: bool) -> Result<(), Failure> {
    let (Selector::Alias(stable), None) = (&entry.model.stable, &entry.listing.aliases) else { return Ok(()) };
    let stable = stable.clone();
    let Some(version) = choose(&entry.model.stable, &entry.listing, &[]) else { return Ok(()) };
    entry.write(Change::SetAlias { alias: stable.clone(), version }).await?;
    if !quietly {
        let name = &entry.model.name;
        eprintln!("perch: {name} had no aliases and served its highest version: {stable} is {version} from now on");
    }
    entry.listing.aliases = Some([(stable, version)].into());
    Ok(())
}

/// Where stages serve, the registry may be one without aliases.
async fn note_previous(entry: &Entry, version: u64) {
    let change = Change::SetAlias { alias: PREVIOUS.to_owned(), version };
    if let Err(Failure::Failed(error)) = entry.write(change).await {
        eprintln!("perch: the alias {PREVIOUS} cannot be set, so that a rollback will not find {version}: {error}");
    }
}

impl Entry {
    /// Changes the registry's entry.
    pub(super) async fn write(&self, change: Change) -> Result<(), Failure> {
        self.registry.write(&self.source, &change).await.map_err(|error| Failure::Failed(error.0))
    }
}

impl Moved {
    pub(super) fn print(&self, output: Output) {
        match output {
            Output::Json => print_json(&self.to_json()),
            Output::Text => println!("{}", self.to_text()),
        }
    }

    fn to_text(&self) -> String {
        let (model, target) = (&self.model, name(&self.target));
        let shown = |version: Option<u64>| version.map_or_else(|| "none".to_owned(), |version| version.to_string());
        let first = match self.to {
            None if self.from.is_none() => format!("{model}: there is no {target}, nothing to delete"),
            Some(to) if self.from == self.to => format!("{model}: {target} is {to} already"),
            _ => format!("{model}: {target} {} -> {}", shown(self.from), shown(self.to)),
        };
        let removed = self.removed.iter().map(|alias| format!("{model}: {alias} is removed"));
        let back = self.back.iter().map(|back| format!("to go back: {back}"));
        let lines: Vec<String> = [first].into_iter().chain(removed).chain(back).collect();
        lines.join("\n")
    }

    fn to_json(&self) -> Value {
        let number = |version: Option<u64>| version.map(|version| version.to_string());
        let mut value = json!({"model": self.model});
        let (key, name) = match &self.target {
            Selector::Stage(stage) => ("stage", stage.clone()),
            target => ("alias", name(target)),
        };
        value[key] = json!(name);
        value["from"] = json!(number(self.from));
        value["to"] = json!(number(self.to));
        value["previous"] = json!(number(self.previous));
        value["removed"] = json!(self.removed);
        value["back"] = json!(self.back);
        value
    }
}

/// An alias by its name alone.
fn name(target: &Selector) -> String {
    if let Selector::Alias(alias) = target { alias.clone() } else { target.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_are_told() {
        let mut moved = Moved {
            model: "m".into(),
            target: Selector::Alias("stable".into()),
            from: Some(1),
            to: Some(2),
            previous: Some(1),
            removed: vec!["canary".into()],
            back: Some("perch models rollback m".into()),
        };
        let expected = "m: stable 1 -> 2\nm: canary is removed\nto go back: perch models rollback m";
        assert_eq!(moved.to_text(), expected);
        let expected = json!({"model": "m", "alias": "stable", "from": "1", "to": "2", "previous": "1",
            "removed": ["canary"], "back": "perch models rollback m"});
        assert_eq!(moved.to_json(), expected);
        (moved.removed, moved.back) = (Vec::new(), None);
        (moved.target, moved.to) = (Selector::Stage("Production".into()), Some(1));
        assert_eq!(moved.to_text(), "m: stage Production is 1 already");
        assert_eq!(moved.to_json()["stage"], "Production");
        (moved.target, moved.from, moved.to) = (Selector::Alias("canary".into()), Some(1), None);
        assert_eq!(moved.to_text(), "m: canary 1 -> none");
        moved.from = None;
        assert_eq!(moved.to_text(), "m: there is no canary, nothing to delete");
    }
}
