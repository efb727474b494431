//! Values as every database takes them.

use perch_router::rollout::State;
use serde_json::Value;

use crate::{ErrorKind, StoreError, Transition};

/// A number as databases have them: their integers have a sign.
pub fn signed(what: &str, number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| StoreError::invalid(format!("{what} is {number}: expected at most {}", i64::MAX)))
}

/// The way back.
pub fn unsigned(what: &str, number: i64) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|_| StoreError::corrupt(format!("{what} is {number}: expected 0 or more")))
}

/// A time that will be readable.
pub fn finite(what: &str, number: f64) -> Result<f64, StoreError> {
    if number.is_finite() {
        Ok(number)
    } else {
        Err(StoreError::invalid(format!("{what} is {number}: expected a finite number")))
    }
}

/// A state as text. One that could not be read back is refused: JSON has no infinity, and a restart would stumble.
pub fn state_to_text(model: &str, state: &State) -> Result<String, StoreError> {
    let refused = |error| StoreError::invalid(format!("the state of model \"{model}\" cannot be stored: {error}"));
    let text = serde_json::to_string(state).map_err(refused)?;
    serde_json::from_str::<State>(&text).map_err(refused)?;
    Ok(text)
}

/// The way back.
pub fn state_from_text(model: &str, text: &str) -> Result<State, StoreError> {
    serde_json::from_str(text).map_err(|error| {
        let message = format!(
            "the stored state of model \"{model}\" cannot be read; was it written by another version of perch? {error}"
        );
        StoreError::new(ErrorKind::Incompatible, message)
    })
}

/// A payload as it was stored.
pub fn payload(what: impl FnOnce() -> String, text: &str) -> Result<Value, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::corrupt(format!("{} cannot be read: {error}", what())))
}

/// A transition that goes one generation on.
pub fn check(transition: &Transition) -> Result<(), StoreError> {
    let Transition { model, from, state, audit, .. } = transition;
    let expected = from.checked_add(1);
    for (what, generation) in [("state", state.generation), ("audit row", audit.generation)] {
        if Some(generation) != expected {
            let message = format!("the {what} of model \"{model}\" has generation {generation}: expected {from} + 1");
            return Err(StoreError::invalid(message));
        }
    }
    Ok(())
}
