//! `perch serve`.

use super::options::Options;
use super::{Failure, Outcome, StartLoader, loader};
use crate::app::App;
use crate::layers::Spans;
use crate::telemetry::Telemetry;

/// Serves until SIGTERM or SIGINT.
pub(super) fn run(options: &Options, start_loader: StartLoader) -> Outcome {
    let config = options.load()?.config;
    let telemetry = Telemetry::start(&config).map_err(|error| Failure::Usage(error.to_string()))?;
    let loader = loader::start(start_loader, &config)?;
    let spans = Spans { exported: telemetry.exports_spans() };
    let failed = |error: &dyn std::error::Error| Failure::Failed(error.to_string());
    let running = App::build(config, loader, spans).and_then(App::start).map_err(|error| failed(&error))?;
    // Ending late is still ending: the requests that were cut are in the log.
    let _clean = running.run().map_err(|error| failed(&error))?;
    Ok(())
}
