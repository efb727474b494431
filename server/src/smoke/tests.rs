//! Files of tests, right and wrong, and a model that doubles its input, or does not.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use perch_models::artifact::Artifact;
use perch_models::backend::{Backend, Device, LoadError, Loader, RunError, SessionOptions, Terminator};
use perch_models::dtype::DType;
use perch_models::run::{Execution, Observer, Turns};
use perch_models::signature::{Dim, OutputSpec, Signature, TensorSpec};
use perch_models::tensor::{Column, Data, Tensor};
use perch_models::version::{Context, Settings};
use perch_models::watchdog::Watchdog;
use tokio_util::task::TaskTracker;

use super::*;

fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    std::fs::write(&path, text).unwrap();
    (dir, path)
}

fn tests(text: &str) -> Vec<SmokeTest> {
    let (_dir, path) = written(text);
    read(&path).unwrap()
}

/// What is wrong, without the folder's name.
fn wrong(text: &str) -> String {
    let (dir, path) = written(text);
    read(&path).unwrap_err().replace(&format!("{}/", dir.path().display()), "")
}

#[test]
fn a_line_is_a_request_and_its_answer() {
    let text = "{\"name\": \"a\", \"instances\": [[1], [NaN]], \"predictions\": [2, NaN], \"tolerance\": 0}\n\n\
                {\"inputs\": {\"x\": [[1]]}, \"outputs\": {\"y\": [[2]]}}\r\n\
                {\"instances\": [[1]], \"outputs\": [\"y\"], \"predictions\": [2]}\n\
                {\"inputs\": [{\"name\": \"x\", \"shape\": [1, 1], \"datatype\": \"FP32\", \"data\": [1]}]}";
    let tests = tests(text);
    let summary: Vec<_> = tests.iter().map(|t| (t.line, t.title(), t.tolerance, t.expected.is_some())).collect();
    assert_eq!(
        summary,
        [
            (1, "smoke test \"a\" (line 1)".to_owned(), 0.0, true),
            (3, "smoke test in line 3".to_owned(), 1e-4, true),
            (4, "smoke test in line 4".to_owned(), 1e-4, true),
            (5, "smoke test in line 5".to_owned(), 1e-4, false),
        ]
    );
    assert_eq!(tests[2].request, br#"{"instances":[[1]],"outputs":["y"]}"#);
}

#[test]
fn wrong_lines_are_named() {
    let good = "{\"instances\": [[1]]}";
    for (line, message) in [
        ("[1]", "expected a JSON object"),
        ("{\"instances\": [1", "malformed JSON: EOF while parsing a list"),
        ("{} x", "malformed JSON: trailing characters"),
        ("{}", "expected \"instances\" or \"inputs\", got neither"),
        ("{\"instances\": [], \"inputs\": {}}", "expected \"instances\" or \"inputs\", got both"),
        (
            "{\"instance\": []}",
            "unknown field \"instance\", expected one of name, instances, inputs, outputs, predictions, \
                                tolerance, parameters",
        ),
        ("{\"instances\": [], \"instances\": []}", "\"instances\" stands twice"),
        ("{\"instances\": [], \"name\": 3}", "name: expected a string"),
        ("{\"instances\": [], \"tolerance\": -1}", "tolerance: expected a number from 0"),
        ("{\"instances\": [], \"tolerance\": NaN}", "tolerance: expected a number from 0"),
        ("{\"instances\": [], \"predictions\": 2}", "predictions: expected an array"),
        ("{\"instances\": [], \"outputs\": 2}", "outputs: expected an object, or an array of tensors or of names"),
        ("{\"instances\": [], \"outputs\": {}}", "`instances` are answered with `predictions`"),
        ("{\"inputs\": {}, \"predictions\": []}", "`inputs` are answered with `outputs`"),
    ] {
        assert_eq!(wrong(&format!("{good}\n{line}\n")), format!("smoke_tests.jsonl:2: {message}"));
    }
    assert_eq!(wrong("\n \n"), "smoke_tests.jsonl holds no smoke test");
    assert_eq!(wrong(&format!("{good}\n").repeat(10_001)), "smoke_tests.jsonl:10001: more than 10000 tests");
    assert_eq!(wrong(&" ".repeat((64 << 20) + 1)), "smoke_tests.jsonl: larger than 64 MiB");
    assert!(read(std::path::Path::new("/nowhere")).unwrap_err().starts_with("/nowhere cannot be read: "));
}

/// Answers `y` = 2 x, `n` = the whole part of x, `s` = its text and `p` = {"a": 1 / x}. Fails on 13.
struct Doubles(Signature);

struct Never;

impl Terminator for Never {
    fn terminate(&self) {}
    fn reset(&self) {}
}

impl Backend for Doubles {
    fn signature(&self) -> &Signature {
        &self.0
    }

    fn terminator(&self) -> Arc<dyn Terminator> {
        Arc::new(Never)
    }

    #[expect(clippy::cast_possible_truncation, reason = "small numbers")]
    fn run(&mut self, inputs: &[Tensor]) -> Result<Vec<Column>, RunError> {
        let Data::F32(rows) = inputs[0].data() else { return Err(RunError::Failed("no floats".to_owned())) };
        if rows.contains(&13.0) {
            return Err(RunError::Failed("13".to_owned()));
        }
        let tensor = |shape: &[usize], data| Tensor::new(shape.into(), data).map(Column::Tensor).expect("fits");
        let count = rows.len();
        Ok(vec![
            tensor(&[count, 1], Data::F32(rows.iter().map(|x| 2.0 * x).collect())),
            tensor(&[count], Data::I64(rows.iter().map(|x| x.trunc() as i64).collect())),
            tensor(&[count], Data::String(rows.iter().map(ToString::to_string).collect())),
            Column::Maps(rows.iter().map(|x| vec![("a".to_owned(), 1.0 / x)]).collect()),
        ])
    }
}

impl Loader for Doubles {
    fn open(&self, _: &SessionOptions) -> Result<Box<dyn Backend>, LoadError> {
        Ok(Box::new(Self(self.0.clone())))
    }

    fn trim(&self) {}
}

struct Silent;

impl Observer for Silent {
    fn executed(&self, _: &Execution) {}
}

fn version() -> ModelVersion {
    let spec = |name: &str, dtype, inner: &[usize]| {
        let shape = [Dim::Free(None)].into_iter().chain(inner.iter().map(|size| Dim::Fixed(*size))).collect();
        TensorSpec { name: name.to_owned(), dtype, shape }
    };
    let signature = Signature {
        inputs: vec![spec("x", DType::F32, &[1])],
        outputs: vec![
            OutputSpec::Tensor(spec("y", DType::F32, &[1])),
            OutputSpec::Tensor(spec("n", DType::I64, &[])),
            OutputSpec::Tensor(spec("s", DType::String, &[])),
            OutputSpec::Maps { name: "p".to_owned() },
        ],
    };
    let artifact = Artifact {
        dir: PathBuf::new(),
        graph: PathBuf::new(),
        examples: Vec::new(),
        declared: Vec::new(),
        digest: "sha256:0".to_owned(),
        bytes: 0,
        lease: None,
    };
    let settings = Settings {
        device: Device::Cpu,
        threads: 1,
        instances: 1,
        max_rows: 64,
        max_queue: Duration::from_secs(10),
        max_delay: Duration::ZERO,
        load_timeout: Duration::from_secs(10),
        ..Settings::default()
    };
    let watchdog = Watchdog::start().unwrap();
    let loader = Doubles(signature);
    let (observer, tasks) = (Arc::new(Silent), TaskTracker::new());
    let context = Context { loader: &loader, watchdog: &watchdog, observer, turns: Turns::new(0, &tasks), tasks };
    ModelVersion::load(artifact, &settings, &context).unwrap()
}

fn ran(text: &str) -> Result<Report, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(run(&tests(text), &version(), Duration::from_secs(10)))
}

#[test]
fn good_answers_of_every_form() {
    let text = r#"
{"instances": [[1.5], [2]], "outputs": ["y"], "predictions": [3.00001, 4]}
{"instances": [[3]], "predictions": [{"y": 6, "n": 3, "s": "3", "p": {"a": 0.33333334}}]}
{"instances": [[3]], "predictions": [{"n": 3}]}
{"inputs": {"x": [[1.5], [2.5]]}, "outputs": {"y": [[3], [5]], "n": [1, 2], "s": ["1.5", "2.5"]}}
{"inputs": [[4]], "outputs": {"p": [{"a": 0.25}]}}
{"inputs": [{"name": "x", "shape": [2, 1], "datatype": "FP32", "data": [1, 4]}], "outputs": [{"name": "y", "shape": [2, 1], "datatype": "FP32", "data": [2, 8]}]}
{"instances": [[1000000]], "outputs": ["y"], "predictions": [2000150]}
{"instances": [[NaN]], "outputs": ["y"], "predictions": [NaN]}
{"instances": [[5], [6]]}
"#;
    let report = ran(text).unwrap();
    assert_eq!((report.tests, report.compared, report.rows), (9, 8, 13));
}

#[test]
fn differences_are_told_with_their_places() {
    for (line, message) in [
        (
            r#"{"name": "t", "instances": [[1], [2]], "outputs": ["y"], "predictions": [2, 4.01]}"#,
            "smoke test \"t\" (line 1): output \"y\", row 1: expected 4.01, got 4",
        ),
        (
            r#"{"instances": [[1]], "outputs": ["y"], "predictions": [2.001], "tolerance": 1e-9}"#,
            "smoke test in line 1: output \"y\", row 0: expected 2.001, got 2",
        ),
        (
            r#"{"instances": [[1]], "predictions": [{"n": 2, "s": "2", "p": {"a": 1.0001}, "z": 1}]}"#,
            "smoke test in line 1: output \"n\", row 0: expected 2, got 1; smoke test in line 1: output \"s\", row 0: \
             expected \"2\", got \"1\"; smoke test in line 1: output \"p\", row 0: expected 1.0001, got 1; smoke test in line \
             1: expected an output \"z\", got y, n, s, p",
        ),
        (
            r#"{"instances": [[1]], "predictions": [{"p": {"b": 1}}]}"#,
            "smoke test in line 1: output \"p\", row 0: expected \"b\", got none of that name",
        ),
        (
            r#"{"instances": [[1]], "outputs": ["y"], "predictions": [2, 2]}"#,
            "smoke test in line 1: output \"y\": expected 2 values, got 1",
        ),
        (
            r#"{"inputs": {"x": [[1], [2]]}, "outputs": {"y": [[2], [5]]}}"#,
            "smoke test in line 1: output \"y\", row 1: expected 5, got 4",
        ),
        (
            r#"{"inputs": [{"name": "x", "shape": [2, 1], "datatype": "FP32", "data": [1, 4]}], "outputs": [{"name": "y", "shape": [2], "data": [2, 9]}]}"#,
            "smoke test in line 1: output \"y\": expected shape a list of 1, got a list of 2; smoke test in line 1: output \
             \"y\", row 1: expected 9, got 8",
        ),
        (r#"{"instances": [[1], [NaN]]}"#, "smoke test in line 1: output \"y\", row 1: expected a number, got NaN"),
        (
            r#"{"instances": [[1], [0]], "outputs": ["p"]}"#,
            "smoke test in line 1: output \"p\", row 1: expected a number, got inf",
        ),
        (r#"{"instances": [[13]]}"#, "smoke test in line 1: 13"),
        (
            r#"{"instances": [[1, 2]]}"#,
            "smoke test in line 1: input \"x\" (float32[?,1]) at [0]: expected 1 values, got 2",
        ),
        (
            r#"{"instances": [[1]], "outputs": ["q"]}"#,
            "smoke test in line 1: outputs: the model has no output \"q\", expected one of y, n, s, p",
        ),
    ] {
        assert_eq!(ran(line), Err(message.to_owned()), "{line}");
    }
}

#[test]
fn a_few_differences_are_enough() {
    let mut text = String::new();
    for i in 1..100 {
        let _ = writeln!(text, "{{\"instances\": [[{i}]], \"outputs\": [\"y\"], \"predictions\": [-1]}}");
    }
    assert_eq!(ran(&text).unwrap_err().matches("expected -1").count(), 5);
}
