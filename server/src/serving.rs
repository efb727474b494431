//! One prediction, from a body to an answer: parse, pick, run.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use perch_models::json::{Envelope, Form};
use perch_models::run::Answer;
use perch_models::tensor::{Column, Tensor};

use crate::catalog::{Catalog, Served, Snapshot};
use crate::error::{ApiError, Kind};
use crate::http::body::BodyLimits;
use crate::lifecycle::Lifecycle;

/// Bodies above this take longer than 500 µs to parse, and answers above this as long to print: such work leaves the
/// reactor. Measured (benches/micro.rs): 35 ns a number that is read, 38 ns one that is printed.
const LARGE_BODY: usize = 96 << 10;
const LARGE_ANSWER: usize = 8192;

/// What every reactor needs to answer predictions.
pub struct Serving {
    /// What is loaded.
    pub catalog: Arc<Catalog>,
    /// For work that leaves the reactor.
    pub lifecycle: Arc<Lifecycle>,
    /// From the head of a request to its answer.
    pub timeout: Duration,
    /// How much of bodies may be read.
    pub bodies: Arc<BodyLimits>,
}

/// A request that was understood.
pub struct Parsed {
    /// The version that answers it.
    pub served: Arc<Served>,
    inputs: Vec<Tensor>,
    /// How the answer is written.
    pub form: Form,
    /// Positions of the outputs asked for.
    pub selected: Option<Vec<usize>>,
    /// The client's own id.
    pub id: Option<String>,
}

/// A failure, and the version it is to be counted for where one was chosen.
pub type Failed = (ApiError, Option<Arc<Served>>);

impl Serving {
    /// Understands a body; a large one off the reactor.
    ///
    /// # Errors
    /// Everything that may be wrong with it.
    pub async fn parse(&self, body: Bytes) -> Result<Parsed, Failed> {
        if body.len() <= LARGE_BODY {
            return parse(&body, &self.catalog.load());
        }
        let snapshot = self.catalog.load_full();
        let parsing = self.lifecycle.spawn_blocking(move || parse(&body, &snapshot));
        parsing.await.unwrap_or_else(|_| Err((ApiError::new(Kind::Internal, "parsing failed"), None)))
    }

    /// Runs it on the lane of `reactor`, or on a worker.
    ///
    /// # Errors
    /// The model's failure, a full queue, or the deadline.
    pub async fn infer(&self, parsed: &mut Parsed, reactor: usize, arrived: Instant) -> Result<Answer, ApiError> {
        let inputs = std::mem::take(&mut parsed.inputs);
        Ok(parsed.served.runtime.infer(reactor, inputs, arrived, arrived + self.timeout).await?)
    }

    /// Writes with `write`; a large answer off the reactor.
    ///
    /// # Errors
    /// When writing panicked.
    pub async fn print(
        &self,
        answer: &Answer,
        write: impl FnOnce() -> Vec<u8> + Send + 'static,
    ) -> Result<Vec<u8>, ApiError> {
        let values = answer.columns.iter().map(|column| match column {
            Column::Tensor(tensor) => tensor.row_len() * answer.rows.len(),
            Column::Maps(rows) => rows.first().map_or(0, Vec::len) * answer.rows.len(),
        });
        if values.sum::<usize>() <= LARGE_ANSWER {
            return Ok(write());
        }
        let failed = |_| ApiError::new(Kind::Internal, "printing the answer failed");
        self.lifecycle.spawn_blocking(write).await.map_err(failed)
    }
}

fn parse(body: &[u8], snapshot: &Snapshot) -> Result<Parsed, Failed> {
    let early = |error: ApiError| (error, None);
    let signature = |model: Option<&str>| Some(snapshot.stable(model).ok()?.runtime.signature().as_ref());
    let mut envelope = Envelope::scan(body, signature).map_err(ApiError::from).map_err(early)?;
    let served = snapshot.stable(envelope.model.as_deref()).map_err(early)?.clone();
    let signature = served.runtime.signature();
    let understood = envelope.tensors(signature).and_then(|inputs| Ok((inputs, envelope.selected(signature)?)));
    match understood {
        Ok((inputs, selected)) => Ok(Parsed { inputs, form: envelope.form, selected, id: envelope.id, served }),
        Err(error) => Err((error.into(), Some(served))),
    }
}
