//! From what a rollout decided to what is stored with it: the audit row, and the messages to the registry and to people.

use std::collections::BTreeMap;

use perch_models::registry::{Change, PREVIOUS, Selector};
use perch_router::policy::Occasion;
use perch_router::rollout::{Alias, Effect, Phase, Reason, State, Version};
use perch_store::{Audit, Message, Queue, Transition};

use super::handle::Followed;
use super::messages::{Notice, RegistryWrite};
use super::model::ModelRollout;
use super::notify;
use super::wish::number;

/// Tags of a version that say how its rollout ended.
const STATE_TAG: &str = "perch.rollout.state";
const REASON_TAG: &str = "perch.rollout.reason";
const AT_TAG: &str = "perch.rollout.at";
/// Longer values are cut: MLflow takes 5000 characters.
const MAX_TAG: usize = 500;

/// Whether promotions move the aliases of a model: it may be forbidden, and a stage or a number is no alias.
pub(super) fn moves_aliases(followed: &Followed) -> bool {
    followed.moves_aliases && matches!(followed.settings.stable, Selector::Alias(_))
}

/// The transition of a model to `next`, with all that has to happen because of it.
pub(super) fn transition(model: &ModelRollout, next: State, effects: &[Effect], who: &str, now: f64) -> Transition {
    let generation = next.generation;
    let audit = effects.iter().find_map(|effect| match effect {
        Effect::Audit { from, to, what } => Some((*from, *to, what.clone())),
        _ => None,
    });
    let (from, to, what) = audit.unwrap_or((model.state.phase.name(), next.phase.name(), String::new()));
    let version = about(&next).or_else(|| about(&model.state)).map(|version| version.name.clone());
    let audit =
        Audit { generation, at: now, who: who.to_owned(), from: from.to_owned(), to: to.to_owned(), what, version };
    let (mut writes, mut notices) = (Vec::new(), Vec::new());
    for effect in effects {
        let only_if = only_if(model, &next, effect);
        let changes = changes(&model.followed, effect);
        writes.extend(changes.into_iter().map(|change| write(&model.followed, change, only_if.clone())));
        if let Effect::Notify(occasion, message) = effect {
            let notice = notice(model, &next, *occasion, message, now);
            notices.extend(notify::messages(&model.rollout.receivers, &notice));
        }
    }
    let name = model.name();
    // What was tried may be over by now; its id is that of the state before.
    let rollout = next.rollout_id(name).or_else(|| model.rollout_id()).unwrap_or_else(|| name.to_owned());
    let write = |(place, payload): (usize, serde_json::Value)| {
        let (key, group) = (format!("{rollout}/{generation}/registry/{place}"), name.to_owned());
        Message { key, queue: Queue::Registry, group, payload }
    };
    let messages = writes.into_iter().enumerate().map(write).chain(notices).collect();
    Transition { model: name.to_owned(), from: model.state.generation, state: next, audit, messages }
}

/// The version that a state is about.
fn about(state: &State) -> Option<&Version> {
    match &state.phase {
        Phase::Demoted { version, .. } | Phase::Aborted { version, .. } => Some(version),
        _ => state.trying(),
    }
}

fn changes(followed: &Followed, effect: &Effect) -> Vec<Change> {
    let settings = &followed.settings;
    let set = |alias: &str, version: &Version| {
        number(version).map(|version| Change::SetAlias { alias: alias.to_owned(), version })
    };
    match effect {
        Effect::SetAlias(Alias::Previous, version) => set(PREVIOUS, version).into_iter().collect(),
        Effect::SetAlias(Alias::Stable, version) => {
            alias(&settings.stable).and_then(|alias| set(&alias, version)).into_iter().collect()
        }
        Effect::ClearCanary => alias(&settings.canary).map(|alias| Change::DeleteAlias { alias }).into_iter().collect(),
        Effect::Tag { version, state, reason, at } if followed.tagged => {
            let tags = [
                (STATE_TAG, (*state).to_owned()),
                (REASON_TAG, reason.chars().take(MAX_TAG).collect()),
                (AT_TAG, super::moment::text(*at)),
            ];
            let tag = |(key, value): (&str, String)| {
                number(version).map(|version| Change::SetTag { version, key: key.to_owned(), value })
            };
            tags.into_iter().filter_map(tag).collect()
        }
        _ => Vec::new(),
    }
}

fn alias(selector: &Selector) -> Option<String> {
    if let Selector::Alias(alias) = selector { Some(alias.clone()) } else { None }
}

/// Where the aliases have to be for a move of theirs still to be meant when it comes to the registry: a registry that was
/// away, or a process that was killed before it knew that it had written, makes that late.
fn only_if(model: &ModelRollout, next: &State, effect: &Effect) -> BTreeMap<String, Vec<u64>> {
    let (settings, state) = (&model.followed.settings, &model.state);
    let versions = |versions: &[Option<&Version>]| versions.iter().flatten().filter_map(|one| number(one)).collect();
    let entry = |selector: &Selector, versions: Vec<u64>| Some((alias(selector)?, versions));
    let conditions = match effect {
        // Nobody has moved it to a third version. Where there was none, there is nothing to compare with.
        Effect::SetAlias(Alias::Stable, to) if state.stable.is_some() => {
            let allowed = versions(&[state.stable.as_ref(), state.trying(), next.trying(), Some(to)]);
            vec![entry(&settings.stable, allowed)]
        }
        // It is still the one that has become stable, and that still is.
        Effect::ClearCanary => {
            let promoted = if let Phase::Promoted { new, .. } = &next.phase { Some(new) } else { next.stable.as_ref() };
            let canary = versions(&[state.canary.as_ref(), next.canary.as_ref(), promoted]);
            vec![entry(&settings.canary, canary), entry(&settings.stable, versions(&[promoted]))]
        }
        _ => Vec::new(),
    };
    conditions.into_iter().flatten().collect()
}

fn write(followed: &Followed, change: Change, only_if: BTreeMap<String, Vec<u64>>) -> serde_json::Value {
    let (model, source) = (followed.settings.name.clone(), followed.source.clone());
    serde_json::to_value(RegistryWrite { model, source, change, only_if }).unwrap_or_default()
}

fn notice(model: &ModelRollout, next: &State, occasion: Occasion, message: &str, at: f64) -> Notice {
    let name = model.name();
    let reason = match &next.phase {
        Phase::Demoted { reason, .. } | Phase::Aborted { reason, .. } => Some(reason),
        _ => None,
    };
    // One that another canary ends is over before the next begins, in one change: it is told as what it was.
    let superseded = occasion == Occasion::Aborted && reason.is_none();
    let (of, reason) = if superseded { (&model.state, Some(&Reason::Superseded)) } else { (next, reason) };
    Notice {
        model: name.to_owned(),
        version: about(of).map(|version| version.name.clone()),
        occasion,
        message: message.to_owned(),
        state: next.phase.name().to_owned(),
        reason: reason.map(Reason::to_string),
        weight: next.weight(),
        generation: next.generation,
        rollout: of.rollout_id(name).or_else(|| model.rollout_id()),
        at,
        receiver: String::new(),
    }
}
