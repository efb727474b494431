//! Smoke tests on the real runtime: the example's pass on the version they were made from, and on no other.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use perch_models::artifact::Artifact;
use perch_models::backend::Device;
use perch_models::digest::Known;
use perch_models::run::{Execution, Observer, Turns};
use perch_models::version::{Context, ModelVersion, Settings};
use perch_models::watchdog::Watchdog;
use perch_server::smoke::{self, Report};
use perch_testkit::models::{root, source};
use perch_testkit::server::onnx;

struct Silent;

impl Observer for Silent {
    fn executed(&self, _: &Execution) {}
}

fn load(dir: &Path) -> ModelVersion {
    let artifact = Artifact::open(dir, &Known::new()).expect("files");
    let settings = Settings {
        device: Device::Cpu,
        threads: 1,
        instances: 1,
        max_rows: 64,
        max_queue: Duration::from_secs(10),
        max_delay: Duration::ZERO,
        load_timeout: Duration::from_secs(60),
        ..Settings::default()
    };
    let (loader, watchdog) = (onnx(), Watchdog::start().expect("a thread"));
    let (observer, tasks) = (Arc::new(Silent), tokio_util::task::TaskTracker::new());
    let turns = Turns::new(1, &tasks);
    let context = Context { loader: loader.as_ref(), watchdog: &watchdog, observer, turns, tasks };
    ModelVersion::load(artifact, &settings, &context).expect("loads")
}

#[test]
fn the_examples_tests_pass_on_their_own_version() {
    let file = root().join("examples/curve_forecaster").join(smoke::FILE);
    let tests = smoke::read(&file).expect("right lines");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let run = |version: u64| -> Result<Report, String> {
        let version = load(&source("curve_forecaster").join(version.to_string()));
        runtime.block_on(smoke::run(&tests, &version, Duration::from_secs(10)))
    };
    let report = run(2).expect("its own answers");
    assert_eq!((report.tests, report.compared, report.rows), (6, 5, 8));
    let error = run(1).expect_err("answers of another version");
    assert!(error.starts_with("smoke test \"1995Q1\" (line 1): output \""), "{error}");
    assert!(error.contains(", row 0: expected 5.5363274, got "), "{error}");
}
