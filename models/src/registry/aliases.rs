//! Moves of aliases that can be undone: before `stable` goes elsewhere, `previous` is set to where it was.

use super::{Change, ModelListing, Registry, RegistryError};

/// The alias that rollback goes to.
pub const PREVIOUS: &str = "previous";

/// What a move did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    /// Where the alias was.
    pub from: Option<u64>,
    /// Where it is.
    pub to: u64,
}

/// Points `alias` of `model` to `version`; where it is `stable`, the name of the alias that serves, `previous` is set
/// first, so that a move that is cut in the middle can still be undone.
///
/// # Errors
/// When the registry refuses; the alias is then where it was.
pub async fn move_alias(
    registry: &dyn Registry,
    model: &str,
    listed: &ModelListing,
    alias: &str,
    version: u64,
    stable: &str,
) -> Result<Move, RegistryError> {
    let from = listed.aliases.as_ref().and_then(|aliases| aliases.get(alias)).copied();
    if from == Some(version) {
        return Ok(Move { from, to: version });
    }
    if let Some(from) = from.filter(|_| alias == stable) {
        registry.write(model, &Change::SetAlias { alias: PREVIOUS.to_owned(), version: from }).await?;
    }
    registry.write(model, &Change::SetAlias { alias: alias.to_owned(), version }).await?;
    Ok(Move { from, to: version })
}
