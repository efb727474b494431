//! Whole loads of a model that takes texts, on scripted sessions that say what they were run on.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio_util::task::TaskTracker;

use super::{Context, ModelVersion, Settings};
use crate::artifact::Artifact;
use crate::backend::{Backend, Device, LoadError, Loader, Precision, RunError, SessionOptions, Terminator};
use crate::dtype::DType;
use crate::run::compose::Rules;
use crate::run::{Execution, Observer, Turns};
use crate::signature::{Dim, OutputSpec, Signature, TensorSpec};
use crate::tensor::{Column, Data, Tensor};
use crate::testing::Ended;
use crate::watchdog::Watchdog;

/// Texts and their padded length.
type Shape = (usize, usize);

/// What a session makes of a run.
#[derive(Clone, Copy, PartialEq)]
enum Act {
    Answer,
    /// Its answer to a text depends on what the text is padded with.
    Unmasked,
    Fail,
    /// It runs until it is ended.
    Hang,
}

/// What the sessions of a device do: by their number, the shape, and how often they had it before.
type Script = fn(usize, Shape, usize) -> Act;

struct Toys {
    script: Script,
    opened: AtomicUsize,
    /// By session; those on the CPU in fp32, of another device, have the number `CPU`.
    ran: Arc<Mutex<Vec<(usize, Shape)>>>,
}

const CPU: usize = usize::MAX;

impl Toys {
    fn load(script: Script, settings: &Settings) -> (Self, Result<ModelVersion, LoadError>) {
        let toys = Self { script, opened: AtomicUsize::new(0), ran: Arc::default() };
        let watchdog = Watchdog::start().expect("a thread");
        let (observer, tasks) = (Arc::new(Nobody), TaskTracker::new());
        let context = Context { loader: &toys, watchdog: &watchdog, observer, turns: Turns::new(1, &tasks), tasks };
        let version = ModelVersion::load(artifact(), settings, &context);
        (toys, version)
    }

    fn shapes(&self, session: usize) -> BTreeSet<Shape> {
        self.ran.lock().iter().filter(|(by, _)| *by == session).map(|(_, shape)| *shape).collect()
    }
}

fn artifact() -> Artifact {
    let dir = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/models/toy_embedder/1"));
    let graph = PathBuf::from("model.onnx");
    let (examples, declared, digest) = (Vec::new(), Vec::new(), "sha256:aa".to_owned());
    Artifact { dir: dir.into(), graph, examples, declared, digest, bytes: 1, lease: None }
}

struct Nobody;

impl Observer for Nobody {
    fn executed(&self, _: &Execution) {}
}

impl Loader for Toys {
    fn open(&self, options: &SessionOptions) -> Result<Box<dyn Backend>, LoadError> {
        // The first of all is the one that is warmed up; what is opened on the CPU later is there to be compared with.
        let compares = !options.must_agree() && self.opened.load(Ordering::SeqCst) > 0;
        let number = if compares { CPU } else { self.opened.fetch_add(1, Ordering::SeqCst) };
        let (script, ran) = (self.script, self.ran.clone());
        let spec = |name: &str, dtype, last: &[Dim]| TensorSpec {
            name: name.into(),
            dtype,
            shape: [&[Dim::Free(None), Dim::Free(None)], last].concat(),
        };
        let input = |name| spec(name, DType::I64, &[]);
        let signature = Signature {
            inputs: ["input_ids", "attention_mask", "token_type_ids"].map(input).into(),
            outputs: vec![OutputSpec::Tensor(spec("last_hidden_state", DType::F32, &[Dim::Fixed(8)]))],
        };
        Ok(Box::new(Toy { number, script, ran, signature, ended: Arc::default() }))
    }

    fn trim(&self) {}
}

struct Toy {
    number: usize,
    script: Script,
    ran: Arc<Mutex<Vec<(usize, Shape)>>>,
    signature: Signature,
    ended: Arc<Ended>,
}

impl Backend for Toy {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn terminator(&self) -> Arc<dyn Terminator> {
        self.ended.clone()
    }

    fn run(&mut self, inputs: &[Tensor]) -> Result<Vec<Column>, RunError> {
        let shape = (inputs[0].shape()[0], inputs[0].shape()[1]);
        let before = {
            let mut ran = self.ran.lock();
            ran.push((self.number, shape));
            ran.iter().filter(|other| **other == (self.number, shape)).count() - 1
        };
        // Company costs next to nothing, so that all of it is worth a measurement.
        std::thread::sleep(Duration::from_millis(1));
        let act = if self.number == CPU { Act::Answer } else { (self.script)(self.number, shape, before) };
        match act {
            Act::Fail => return Err(RunError::Failed("out of memory".into())),
            Act::Hang => {
                while !self.ended.is_set() {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
            Act::Answer | Act::Unmasked => {}
        }
        let (Data::I64(ids), Data::I64(mask)) = (inputs[0].data(), inputs[1].data()) else { unreachable!("integers") };
        let mut values = Vec::new();
        for (ids, mask) in ids.chunks(shape.1).zip(mask.chunks(shape.1)) {
            let padding = if act == Act::Unmasked { mask.iter().filter(|mask| **mask == 0).count() } else { 0 };
            for id in ids {
                let id = u16::try_from(*id).unwrap_or(u16::MAX);
                let padding = u16::try_from(padding).unwrap_or(u16::MAX);
                values.extend((0..8_u16).map(|i| f32::from(id * (i + 1) % 7) + f32::from(padding * i)));
            }
        }
        let shape = [shape.0, shape.1, 8];
        Ok(vec![Column::Tensor(Tensor::new(shape.as_slice().into(), Data::F32(values)).expect("it fits"))])
    }
}

/// Three sessions of a device on which shapes are dear. The model takes 32 tokens.
fn on_device(buckets: &[usize]) -> Settings {
    let (device, buckets) = (Device::OpenVino, buckets.to_vec());
    Settings { device, buckets, instances: 3, max_rows: 4, ..Settings::default() }
}

fn answers(_: usize, _: Shape, _: usize) -> Act {
    Act::Answer
}

fn rules(version: &ModelVersion) -> &Rules {
    &version.profile.texts.as_ref().expect("it takes texts").rules
}

#[test]
fn each_copy_runs_each_shape_and_is_compared_on_no_other() {
    let (toys, version) = Toys::load(answers, &on_device(&[8, 16]));
    let version = version.expect("loaded");
    let all: BTreeSet<Shape> =
        [8, 16, 32].into_iter().flat_map(|length| [1, 2, 4].map(|rows| (rows, length))).collect();
    assert_eq!(version.sessions(), 3);
    assert!(toys.shapes(0).is_superset(&all), "{:?}", toys.shapes(0));
    assert_eq!([toys.shapes(1), toys.shapes(2)], [all.clone(), all.clone()]);
    let compared = toys.shapes(CPU);
    assert!(compared.is_subset(&all) && compared.contains(&(4, 32)), "{compared:?}");
    assert!(rules(&version).may_pad && rules(&version).ceilings.is_empty());
}

#[test]
fn shapes_that_take_too_long_are_left_to_the_first_requests() {
    let slow: Script = |_, shape, before| if shape == (4, 32) && before == 0 { Act::Hang } else { Act::Answer };
    let settings = Settings { load_timeout: Duration::from_secs(4), instances: 1, ..on_device(&[8, 16]) };
    let (_, version) = Toys::load(slow, &settings);
    let version = version.expect("loaded");
    assert!(rules(&version).ceilings.is_empty(), "they did not fail");
}

#[test]
fn a_mask_that_is_ignored_is_seen_where_all_texts_have_one_length() {
    // The larger of the two sentences fills the only bucket, the other one is padded in every run.
    let unmasked: Script = |_, _, _| Act::Unmasked;
    let (_, version) = Toys::load(unmasked, &Settings { device: Device::Cpu, ..on_device(&[32]) });
    assert!(!rules(&version.expect("loaded")).may_pad);
}

#[test]
fn shapes_for_which_there_is_no_memory_are_never_composed() {
    let small: Script = |_, (rows, length), _| if rows * length > 64 { Act::Fail } else { Act::Answer };
    let settings = Settings { device: Device::Cpu, max_rows: 16, ..Settings::default() };
    let (toys, version) = Toys::load(small, &settings);
    let version = version.expect("loaded");
    assert_eq!([8, 16, 17, 32].map(|length| rules(&version).rows_at(length)), [8, 4, 2, 2]);
    let failed: Vec<Shape> =
        toys.ran.lock().iter().map(|(_, shape)| *shape).filter(|(rows, length)| rows * length > 64).collect();
    assert_eq!(failed.iter().collect::<BTreeSet<_>>().len(), failed.len(), "each once: {failed:?}");

    let shared: Script = |session, shape, _| if session > 0 && shape == (4, 32) { Act::Fail } else { Act::Answer };
    let (_, version) = Toys::load(shared, &on_device(&[8, 16]));
    let version = version.expect("loaded");
    assert_eq!([16, 32].map(|length| rules(&version).rows_at(length)), [4, 2], "the second copy found too little");
}

#[test]
fn a_text_alone_has_to_run() {
    for session in [0, 2] {
        let broken: [Script; 3] = [
            |session, shape, _| if session == 0 && shape == (1, 8) { Act::Fail } else { Act::Answer },
            |_, _, _| Act::Answer,
            |session, shape, _| if session == 2 && shape == (1, 8) { Act::Fail } else { Act::Answer },
        ];
        let (_, version) = Toys::load(broken[session], &on_device(&[8, 16]));
        let error = version.err().expect("refused").to_string();
        assert_eq!(error, "warm-up failed: on a text of 8 tokens: out of memory");
    }
}

#[test]
fn one_folder_is_another_model_elsewhere() {
    let identity = |device, precision| {
        let settings = Settings { device, precision, instances: 1, ..Settings::default() };
        let (_, version) = Toys::load(answers, &settings);
        version.expect("loaded").identity().to_owned()
    };
    assert_eq!(identity(Device::Cpu, Precision::Fp32), "sha256:aa", "what is promoted keeps its answers");
    assert_eq!(identity(Device::OpenVino, Precision::Fp32), "sha256:aa openvino fp32");
    assert_eq!(identity(Device::OpenVino, Precision::Bf16), "sha256:aa openvino bf16");
    assert_eq!(identity(Device::Cuda(1), Precision::Fp32), "sha256:aa cuda:1 fp32");
}
