//! `perch models rollback`.

use clap::Args;
use perch_models::registry::{Change, PREVIOUS};

use super::alias::named;
use super::moves;
use super::place::{Named, Place};
use crate::cli::{Failure, Outcome, Output};

#[derive(Args)]
pub(super) struct Rollback {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    model: Named,
    /// The form of the result.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

impl Rollback {
    pub(super) async fn run(&self) -> Outcome {
        let mut entry = named(&self.place, self.model.get(), None).await?;
        let (name, target) = (entry.model.name.clone(), entry.model.stable.clone());
        let Some(previous) = entry.alias(PREVIOUS) else {
            let message = format!("{name} has no alias {PREVIOUS}: nothing was promoted yet that could be taken back");
            return Err(Failure::Failed(message));
        };
        entry.require(previous)?;
        if entry.tracks().stable == Some(previous) {
            return Err(Failure::Failed(format!("{name}: stable is {previous} already, as {PREVIOUS} is")));
        }
        let result = moves::to(&mut entry, &target, previous).await;
        let Ok(mut moved) = result else {
            // `previous` may be set already to where stable still is: a second try would find nothing to go back to.
            let _ = entry.write(Change::SetAlias { alias: PREVIOUS.to_owned(), version: previous }).await;
            return result.map(drop);
        };
        if moved.previous.is_some() {
            let flags = self.place.flags(&self.place.load(&[])?);
            moved.back = Some(format!("perch models rollback {name}{flags}"));
        }
        moved.print(self.output);
        Ok(())
    }
}
