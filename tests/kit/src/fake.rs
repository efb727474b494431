//! A backend that does what its input says: some numbers on the wire make it fail, panic, hang, or answer nonsense.
//!
//! Its models take `x` float [N, 1] and answer `y` = 2 x, except for the numbers in [`trigger`].

use std::collections::BTreeSet;
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

/// What all copies of all models of one loader share with the test.
#[derive(Default)]
pub struct Script {
    /// How long a [`trigger::SLOW`] run takes, in milliseconds.
    pub slow_ms: AtomicU64,
    /// While it is set, opening any model panics.
    pub open_panics: AtomicBool,
    /// While it is set, runs end only when they are terminated: warm-ups, too.
    pub always_spins: AtomicBool,
    batches: Mutex<Vec<Vec<f32>>>,
}

impl Script {
    /// Sets how long a [`trigger::SLOW`] run takes.
    pub fn delay(&self, delay: Duration) {
        let delay = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        self.slow_ms.store(delay, Ordering::SeqCst);
    }

    /// Every batch that was begun so far, by its rows; warm-ups too.
    pub fn batches(&self) -> Vec<Vec<f32>> {
        self.batches.lock().expect("no thread panics with it").clone()
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
    fn open(&self, _options: &SessionOptions) -> Result<Box<dyn Backend>, LoadError> {
        assert!(!self.script.open_panics.load(Ordering::SeqCst), "as the test wants it");
        let spec = |name: &str| TensorSpec {
            name: name.into(),
            dtype: DType::F32,
            shape: vec![Dim::Free(None), Dim::Fixed(1)],
        };
        let signature = Signature { inputs: vec![spec("x")], outputs: vec![OutputSpec::Tensor(spec("y"))] };
        Ok(Box::new(Fake { signature, script: self.script.clone(), ended: Arc::default() }))
    }

    fn trim(&self) {}
}

struct Fake {
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
        self.script.batches.lock().expect("no thread panics with it").push(rows.clone());
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
        let nan = trigger::NAN.to_bits();
        let answer = |row: &f32| if row.to_bits() == nan { f32::NAN } else { 2.0 * row };
        let mut answers: Vec<f32> = rows.iter().map(answer).collect();
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
