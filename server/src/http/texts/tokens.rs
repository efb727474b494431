//! `/tokenize` and `/decode`: the stable version's tokenizer, without its graph.

use axum::extract::{Request, State};
use perch_models::text::{Input, TextModel};

use super::call::Call;
use super::find::Needs;
use super::{answered, read, write};
use crate::catalog::Served;
use crate::error::{ApiError, Kind};
use crate::http::response::Answered;
use crate::reactor::Seat;
use crate::texts;

/// More tokens are turned into text on another thread.
const LARGE_IDS: usize = 256;

/// `POST /tokenize`.
pub async fn tokenize(State(seat): State<Seat>, request: Request) -> Answered {
    let answer = async {
        let call = Call::read(&seat, request).await?;
        let request = call.parse(read::tokenize).await?;
        let served = call.find(request.model.as_deref(), Needs::Tokens)?;
        let large = weigh(model(&served)?, &request)? > texts::SMALL;
        call.make(served, large, move |served| split(model(served)?, &request)).await
    };
    answered(answer.await)
}

/// `POST /decode`.
pub async fn decode(State(seat): State<Seat>, request: Request) -> Answered {
    let answer = async {
        let call = Call::read(&seat, request).await?;
        let request = call.parse(read::decode).await?;
        let served = call.find(request.model.as_deref(), Needs::Tokens)?;
        let large = request.ids.iter().map(Vec::len).sum::<usize>() > LARGE_IDS;
        call.make(served, large, move |served| join(model(served)?, &request)).await
    };
    answered(answer.await)
}

/// What splitting the texts costs.
///
/// # Errors
/// When the answer would be too large.
fn weigh(model: &TextModel, request: &read::Tokenize) -> Result<usize, ApiError> {
    let prompt = texts::prompt(model.config(), request.prompt.as_deref());
    let bytes = |text: &String| text.len().saturating_add(prompt);
    texts::check_shown(request.texts.iter().map(bytes).fold(0, usize::saturating_add))?;
    Ok(request.texts.iter().map(|text| texts::text(text.len(), prompt)).fold(0, usize::saturating_add))
}

fn split(model: &TextModel, request: &read::Tokenize) -> Result<Vec<u8>, ApiError> {
    let prompt = request.prompt.as_deref();
    let tokens = |text: &String| model.tokenizer().tokens(Input::Text(text), request.special, prompt);
    write::tokens(&request.texts.iter().map(tokens).collect::<Result<Vec<_>, _>>()?)
}

fn join(model: &TextModel, request: &read::Decode) -> Result<Vec<u8>, ApiError> {
    let text = |ids: &Vec<u32>| model.tokenizer().decode(ids, request.skip_special);
    write::decoded(&request.ids.iter().map(text).collect::<Result<Vec<_>, _>>()?)
}

fn model(served: &Served) -> Result<&TextModel, ApiError> {
    let none = || ApiError::new(Kind::NotText, format!("model \"{}\" takes tensors, not texts", served.model));
    served.runtime.text().map(AsRef::as_ref).ok_or_else(none)
}
