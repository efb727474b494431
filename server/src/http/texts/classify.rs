//! `/predict` with texts, as TEI has it: for requests that are no tensors.

use std::time::Instant;

use http::HeaderMap;

use super::call::Call;
use super::find::Needs;
use super::{answered, read, write};
use crate::catalog::Snapshot;
use crate::error::{ErrorShape, Kind};
use crate::http::body::Buffered;
use crate::http::response::Answered;
use crate::reactor::Seat;
use crate::serving::Failed;
use crate::texts::RanTexts;

/// Labels what `call` holds.
///
/// # Errors
/// Everything that may be wrong with it.
pub async fn classified(call: &Call<'_>) -> Result<Answered, Failed> {
    let read::Classify { ask, batch } = call.parse(read::classify).await?;
    let ran = call.run(ask, Needs::Scores).await?;
    let labels = move |ran: &RanTexts| {
        let names = ran.served.runtime.text().map(|text| text.config().labels.as_slice());
        write::labels(&ran.answers, names.unwrap_or_default(), batch)
    };
    call.answer(ran, false, labels).await
}

/// What becomes of a request to `/predict` that could not be read as tensors, which `failed` says: if it was meant for
/// a model of texts it is answered as that, errors in TEI's form.
///
/// # Errors
/// `failed`, if it was not.
pub async fn instead(
    seat: &Seat,
    headers: HeaderMap,
    body: Buffered,
    arrived: Instant,
    failed: Failed,
) -> Result<Answered, Failed> {
    if !any_texts(&seat.serving.catalog.load()) {
        return Err(failed);
    }
    let call = Call::of(seat, headers, body, arrived);
    let Ok(Some(model)) = call.parse(|json| Ok(read::looks_like_texts(json))).await else { return Err(failed) };
    let meant = match call.find(model.as_deref(), Needs::Scores) {
        Ok(_) => true,
        // It takes texts, and does something else with them; or there are several.
        Err(error) => error.kind == Kind::InvalidInput,
    };
    if meant { Ok(answered(classified(&call).await).shaped(ErrorShape::Tei)) } else { Err(failed) }
}

fn any_texts(snapshot: &Snapshot) -> bool {
    let mut stable = snapshot.models.values().filter_map(|entry| entry.stable.as_ref());
    stable.any(|stable| stable.runtime.text().is_some())
}
