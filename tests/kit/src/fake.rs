//! A backend that does what its input says: some numbers on the wire make it fail, panic, hang, or answer nonsense.
//!
//! Its models take `x` float [N, 1] and answer `y` = 2 x, except for the numbers in [`trigger`]. A version may be told to
//! behave otherwise ([`Script::behave`]) and to take something else ([`Script::takes`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use perch_models::backend::{Backend, LoadError, Loader, RunError, SessionOptions, Terminator};
use perch_models::dtype::DType;
use perch_models::signature::{Dim, OutputSpec, Signature, TensorSpec};
use perch_models::tensor::{Column, Data, Tensor};

/// Rows with these numbers are trouble for the whole batch that they are in.
pub mod trigger {
    /// The backend panics.
    pub const PANIC: f32 = 1001.0;
    /// The model fails.
    pub const FAIL: f32 = 1002.0;
    /// The model says that its input is wrong.
    pub const INVALID: f32 = 1003.0;
    /// The run only ends when it is terminated.
    pub const SPIN: f32 = 1004.0;
    /// The run ends late, whatever is done: a kernel that does not look at its terminator.
    pub const DEAF: f32 = 1005.0;
    /// This row's answer is NaN.
    pub const NAN: f32 = 1006.0;
    /// The answer has a row too many.
    pub const LONG: f32 = 1007.0;
    /// The answer has a row too few.
    pub const SHORT: f32 = 1008.0;
    /// The answer has no outputs at all.
    pub const NOTHING: f32 = 1009.0;
    /// The run takes as long as [`Script::delay`](super::Script::delay) says.
    pub const SLOW: f32 = 1010.0;
}

/// How long a [`trigger::DEAF`] run takes.
pub const DEAF_FOR: Duration = Duration::from_secs(6);

/// What a version makes of one run.
#[derive(Clone, Copy, Debug)]
pub enum Act {
    /// It answers.
    Answer,
    /// It fails.
    Fail,
    /// It says that its input is wrong.
    Invalid,
    /// It only ends when it is terminated.
    Spin,
    /// Rows for which this holds are answered with NaN.
    Nan(fn(f32) -> bool),
    /// The answer has a row too few.
    Short,
    /// It takes so long, and answers.
    Wait(Duration),
}

/// What a version makes of a run, by its rows.
type Behaviour = Arc<dyn Fn(&[f32]) -> Act + Send + Sync>;

/// What all copies of all models of one loader share with the test.
#[derive(Default)]
pub struct Script {
    /// How long a [`trigger::SLOW`] run takes, in milliseconds.
    pub slow_ms: AtomicU64,
    /// While it is set, opening any model panics.
    pub open_panics: AtomicBool,
    /// While it is set, runs end only when they are terminated: warm-ups, too.
    pub always_spins: AtomicBool,
    batches: Mutex<Vec<(u64, Vec<f32>)>>,
    behaviours: Mutex<BTreeMap<u64, Behaviour>>,
    inputs: Mutex<BTreeMap<u64, (String, usize)>>,
    elsewhere: Mutex<BTreeSet<u64>>,
}

impl Script {
    /// Sets how long a [`trigger::SLOW`] run takes.
    pub fn delay(&self, delay: Duration) {
        let delay = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        self.slow_ms.store(delay, Ordering::SeqCst);
    }

    /// Every batch that was begun so far, by its rows; warm-ups too.
    pub fn batches(&self) -> Vec<Vec<f32>> {
        let batches = self.batches.lock().expect("no thread panics with it");
        batches.iter().map(|(_, rows)| rows.clone()).collect()
    }

    /// The same of one version.
    pub fn batches_of(&self, version: u64) -> Vec<Vec<f32>> {
        let batches = self.batches.lock().expect("no thread panics with it");
        batches.iter().filter(|(by, _)| *by == version).map(|(_, rows)| rows.clone()).collect()
    }

    /// From here on, this version acts so in every run that no [`trigger`] decides; warm-ups too.
    pub fn behave(&self, version: u64, behaviour: impl Fn(&[f32]) -> Act + Send + Sync + 'static) {
        self.behaviours.lock().expect("no thread panics with it").insert(version, Arc::new(behaviour));
    }

    /// When this version is opened, its input has this name and so many numbers a row. It answers by the first of them.
    pub fn takes(&self, version: u64, name: &str, width: usize) {
        self.inputs.lock().expect("no thread panics with it").insert(version, (name.to_owned(), width));
    }

    /// When this version is opened anywhere but on the CPU in fp32, its answers are half as large again.
    pub fn differs_elsewhere(&self, version: u64) {
        self.elsewhere.lock().expect("no thread panics with it").insert(version);
    }

    fn act(&self, version: u64, rows: &[f32]) -> Act {
        let behaviour = self.behaviours.lock().expect("no thread panics with it").get(&version).cloned();
        behaviour.map_or(Act::Answer, |behaviour| behaviour(rows))
    }

    /// True when a batch with this row was begun.
    pub fn began(&self, row: f32) -> bool {
        self.batches().iter().any(|batch| batch.iter().any(|value| value.to_bits() == row.to_bits()))
    }
}

/// Opens scripted models.
#[derive(Default)]
pub struct FakeLoader {
    /// The script of all its models.
    pub script: Arc<Script>,
}

impl FakeLoader {
    /// A loader, to be given to a server, and its script.
    pub fn new() -> (Arc<Self>, Arc<Script>) {
        let loader = Arc::new(Self::default());
        let script = loader.script.clone();
        (loader, script)
    }
}

impl Loader for FakeLoader {
    fn open(&self, options: &SessionOptions) -> Result<Box<dyn Backend>, LoadError> {
        assert!(!self.script.open_panics.load(Ordering::SeqCst), "as the test wants it");
        let folder = options.graph.parent().and_then(|folder| folder.file_name()?.to_str());
        let version = folder.and_then(|name| name.parse().ok()).unwrap_or(0);
        let inputs = self.script.inputs.lock().expect("no thread panics with it");
        let (name, width) = inputs.get(&version).cloned().unwrap_or_else(|| ("x".to_owned(), 1));
        let spec = |name: &str, width: usize| TensorSpec {
            name: name.into(),
            dtype: DType::F32,
            shape: vec![Dim::Free(None), Dim::Fixed(width)],
        };
        let signature = Signature { inputs: vec![spec(&name, width)], outputs: vec![OutputSpec::Tensor(spec("y", 1))] };
        let elsewhere = self.script.elsewhere.lock().expect("no thread panics with it").contains(&version);
        let factor = if options.must_agree() && elsewhere { 3.0 } else { 2.0 };
        Ok(Box::new(Fake { version, width, factor, signature, script: self.script.clone(), ended: Arc::default() }))
    }

    fn trim(&self) {}
}

struct Fake {
    version: u64,
    width: usize,
    factor: f32,
    signature: Signature,
    script: Arc<Script>,
    ended: Arc<Ended>,
}

#[derive(Default)]
struct Ended(AtomicBool);

impl Terminator for Ended {
    fn terminate(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn reset(&self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

impl Fake {
    /// Waits, and ends early when it is told to.
    fn hold(&self, most: Duration) -> Result<(), RunError> {
        let began = Instant::now();
        while began.elapsed() < most {
            if self.ended.0.load(Ordering::SeqCst) {
                return Err(RunError::Failed("ended".into()));
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

impl Backend for Fake {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn terminator(&self) -> Arc<dyn Terminator> {
        self.ended.clone()
    }

    fn run(&mut self, inputs: &[Tensor]) -> Result<Vec<Column>, RunError> {
        let Some(Data::F32(rows)) = inputs.first().map(Tensor::data) else {
            return Err(RunError::InvalidInput("x is no float".into()));
        };
        let rows: Vec<f32> = rows.iter().copied().step_by(self.width).collect();
        self.script.batches.lock().expect("no thread panics with it").push((self.version, rows.clone()));
        let found: BTreeSet<u32> = rows.iter().map(|row| row.to_bits()).collect();
        let has = |number: f32| found.contains(&number.to_bits());
        assert!(!has(trigger::PANIC), "as the request wants it");
        if has(trigger::FAIL) {
            return Err(RunError::Failed("the model failed as the request wants it".into()));
        }
        if has(trigger::INVALID) {
            return Err(RunError::InvalidInput("the input is wrong as the request wants it".into()));
        }
        if has(trigger::SPIN) || self.script.always_spins.load(Ordering::SeqCst) {
            self.hold(Duration::MAX)?;
        }
        if has(trigger::DEAF) {
            thread::sleep(DEAF_FOR);
        }
        if has(trigger::SLOW) {
            self.hold(Duration::from_millis(self.script.slow_ms.load(Ordering::SeqCst)))?;
        }
        if has(trigger::NOTHING) {
            return Ok(Vec::new());
        }
        let act = self.script.act(self.version, &rows);
        match act {
            Act::Fail => return Err(RunError::Failed(format!("version {} fails", self.version))),
            Act::Invalid => return Err(RunError::InvalidInput(format!("version {} refuses", self.version))),
            Act::Spin => self.hold(Duration::MAX)?,
            Act::Wait(time) => self.hold(time)?,
            Act::Answer | Act::Nan(_) | Act::Short => {}
        }
        let is_nan = |row: f32| matches!(act, Act::Nan(of) if of(row)) || row.to_bits() == trigger::NAN.to_bits();
        let answer = |row: &f32| if is_nan(*row) { f32::NAN } else { self.factor * row };
        let mut answers: Vec<f32> = rows.iter().map(answer).collect();
        if matches!(act, Act::Short) {
            answers.pop();
        }
        if has(trigger::LONG) {
            answers.push(0.0);
        }
        if has(trigger::SHORT) {
            answers.pop();
        }
        let shape = [answers.len(), 1];
        let tensor = Tensor::new(shape.as_slice().into(), Data::F32(answers));
        tensor.map(|tensor| vec![Column::Tensor(tensor)]).map_err(|error| RunError::Failed(error.to_string()))
    }
}
