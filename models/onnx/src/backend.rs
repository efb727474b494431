//! One session as a [`Backend`].

use std::sync::Arc;

use ort::error::ErrorCode;
use ort::logging::LogLevel;
use ort::session::{RunOptions, Session, SessionInputValue};
use perch_models::backend::{Backend, LoadError, RunError, Terminator};
use perch_models::signature::{Signature, TensorSpec};
use perch_models::tensor::{Column, Tensor};
use smallvec::SmallVec;

use crate::convert;

pub(crate) struct OnnxBackend {
    session: Session,
    signature: Signature,
    options: Arc<RunOptions>,
}

impl OnnxBackend {
    pub(crate) fn new(session: Session) -> Result<Self, LoadError> {
        let signature = convert::signature(&session)?;
        let graph = |error: ort::Error| LoadError::Graph(error.message().to_owned());
        let mut options = RunOptions::new().map_err(graph)?;
        options.set_log_level(LogLevel::Warning).map_err(graph)?;
        Ok(Self { session, signature, options: Arc::new(options) })
    }
}

impl Backend for OnnxBackend {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn terminator(&self) -> Arc<dyn Terminator> {
        Arc::new(Options(Arc::clone(&self.options)))
    }

    fn run(&mut self, inputs: &[Tensor]) -> Result<Vec<Column>, RunError> {
        // Nothing but a text that C cannot hold, with a NUL in it, is refused here: the client's to mend.
        let value = |(tensor, spec): (_, &TensorSpec)| {
            let refused = |error: ort::Error| format!("input \"{}\": {}", spec.name, error.message());
            convert::input(tensor).map_err(|error| RunError::InvalidInput(refused(error)))
        };
        let values: SmallVec<[SessionInputValue<'_>; 4]> =
            inputs.iter().zip(&self.signature.inputs).map(value).collect::<Result<_, _>>()?;
        let outputs = self.session.run_with_options::<_, 0>(values.as_slice(), &*self.options).map_err(error)?;
        let specs = &self.signature.outputs;
        specs.iter().zip(outputs.values()).map(|(spec, value)| convert::output(spec, &value).map_err(error)).collect()
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err takes")]
fn error(error: ort::Error) -> RunError {
    let message = error.message().trim().to_owned();
    match error.code() {
        // What the runtime itself finds wrong with the inputs before it computes.
        ErrorCode::InvalidArgument => RunError::InvalidInput(message),
        _ => RunError::Failed(message),
    }
}

struct Options(Arc<RunOptions>);

impl Terminator for Options {
    fn terminate(&self) {
        if let Err(error) = self.0.terminate() {
            tracing::error!(%error, "a run past its deadline could not be terminated");
        }
    }

    fn reset(&self) {
        if let Err(error) = self.0.unterminate() {
            tracing::error!(%error, "a session stays terminated");
        }
    }
}
