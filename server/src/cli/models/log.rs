//! What libraries have to say while a command runs: warnings, on stderr, above the progress bars.

use std::io::{self, Write};

use indicatif::MultiProgress;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::cli::Failure;
use crate::config::Config;

/// Warnings, unless `RUST_LOG` or `log.filter` say otherwise. A fetch may say what it waits for; that a command's listing
/// cannot be kept for a later start is nothing to it.
pub(super) const QUIET: &str =
    "warn,ort=error,perch_models::registry::mlflow=error,perch_models::registry::mlflow::fetch=info";

/// Begins to write warnings.
pub(super) fn start(config: &Config, bars: &MultiProgress) -> Result<(), Failure> {
    let filter =
        EnvFilter::try_new(&config.log.filter).map_err(|error| Failure::Usage(format!("log.filter: {error}")))?;
    let writer = Above(bars.clone());
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_ansi(false).without_time();
    // A second command in this process would find it started: there is none.
    let _ = log.with_target(false).try_init();
    Ok(())
}

/// Writes to stderr while the bars are out of the way.
#[derive(Clone)]
struct Above(MultiProgress);

impl Write for Above {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().write_all(line))?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Above {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}
