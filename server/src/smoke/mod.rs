//! Smoke tests: requests in a file, that a version has to answer well before it gets any from callers.
//!
//! A line is a request as `/predict` takes it, with a `name`, the answer that is expected (`predictions` of `instances`,
//! `outputs` of `inputs`) and its `tolerance`, all three optional. Without an expected answer it has to be answered, and
//! without NaN and infinities.

mod answer;
mod file;
mod same;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::{Duration, Instant};

use jiter::JsonValue;
use perch_models::json::Envelope;
use perch_models::version::ModelVersion;

/// The name of the file in a version's own folder.
pub const FILE: &str = "smoke_tests.jsonl";

/// Differences that are told; there may be as many as values.
const TOLD: usize = 5;
/// Not a reactor: workers run it, beside what callers ask for.
const NO_REACTOR: usize = usize::MAX;

/// One line of the file.
#[derive(Debug, Clone, PartialEq)]
pub struct SmokeTest {
    /// What a message calls it besides its line.
    pub name: Option<String>,
    /// Its line in the file, from 1.
    pub line: usize,
    /// The body, as `/predict` takes it.
    request: Vec<u8>,
    /// The answer, without its key.
    expected: Option<JsonValue<'static>>,
    /// How far a float may be away: so much, or so much of what is expected, whichever is more.
    tolerance: f64,
}

/// Tests that were all answered well.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// Tests that were run.
    pub tests: usize,
    /// Of those, the ones whose answer was compared.
    pub compared: usize,
    /// Rows in all of them.
    pub rows: usize,
    /// How long it took.
    pub took: Duration,
}

/// Reads a file of tests. It blocks.
///
/// # Errors
/// A file that cannot be read, is too large or holds no test, or its first wrong line, with the number.
pub fn read(path: &Path) -> Result<Vec<SmokeTest>, String> {
    file::read(path)
}

/// Runs the tests one after another on the version's workers, each within `timeout`.
///
/// # Errors
/// The first test that is not answered, or the first differences: test, output, row, expected and got.
pub async fn run(tests: &[SmokeTest], version: &ModelVersion, timeout: Duration) -> Result<Report, String> {
    let began = Instant::now();
    let mut report = Report::default();
    let mut differences = Vec::new();
    for test in tests {
        let failed = |message: String| format!("{}: {message}", test.title());
        let (rows, found) = test.run(version, timeout).await.map_err(failed)?;
        report.tests += 1;
        report.compared += usize::from(test.expected.is_some());
        report.rows += rows;
        differences.extend(found.into_iter().map(failed));
        if differences.len() >= TOLD {
            break;
        }
    }
    report.took = began.elapsed();
    differences.truncate(TOLD);
    if differences.is_empty() { Ok(report) } else { Err(differences.join("; ")) }
}

impl SmokeTest {
    fn title(&self) -> String {
        match &self.name {
            Some(name) => format!("smoke test {name:?} (line {})", self.line),
            None => format!("smoke test in line {}", self.line),
        }
    }

    /// The number of rows, and what is not as expected.
    async fn run(&self, version: &ModelVersion, timeout: Duration) -> Result<(usize, Vec<String>), String> {
        let signature = version.signature();
        let wrong = |error: perch_models::json::BodyError| error.to_string();
        let mut envelope = Envelope::scan(&self.request, |_| Some(signature)).map_err(wrong)?;
        let inputs = envelope.tensors(signature).map_err(wrong)?;
        let selected = envelope.selected(signature).map_err(wrong)?;
        let now = Instant::now();
        let answer = version.infer(NO_REACTOR, inputs, now, now + timeout).await.map_err(|error| error.to_string())?;
        let shown = answer::Shown { form: envelope.form, signature, answer: &answer, selected: selected.as_deref() };
        let differences = match &self.expected {
            Some(expected) => shown.differences(expected, self.tolerance, TOLD)?,
            None => shown.not_finite().into_iter().collect(),
        };
        Ok((answer.rows.len(), differences))
    }
}
