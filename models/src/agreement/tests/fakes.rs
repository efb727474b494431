//! A loader whose sessions on the CPU answer rightly, and whose others answer as a test wants.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::agreement::{Check, Limits};
use crate::backend::{Backend, LoadError, Loader, RunError, SessionOptions, Terminator};
use crate::device::{Device, Precision};
use crate::dtype::DType;
use crate::example::Example;
use crate::run::compose::Rules;
use crate::signature::{Dim, OutputSpec, Signature, TensorSpec};
use crate::tensor::{Column, Tensor};
use crate::testing::Ended;
use crate::text::TextModel;
use crate::watchdog::Watchdog;

/// What a session makes of its inputs.
pub(super) type Answer = Arc<dyn Fn(&[Tensor]) -> Result<Vec<Column>, RunError> + Send + Sync>;

pub(super) fn answer(answer: impl Fn(&[Tensor]) -> Result<Vec<Column>, RunError> + Send + Sync + 'static) -> Answer {
    Arc::new(answer)
}

/// Two models in one: that of the CPU and that of all other devices.
pub(super) struct Fakes {
    pub(super) signature: Signature,
    pub(super) cpu: Answer,
    pub(super) device: Answer,
    /// Runs only end when they are terminated.
    pub(super) cpu_hangs: bool,
    /// Sessions opened on the CPU.
    pub(super) opened: AtomicUsize,
}

/// `x` float [?, 3] to `y` of this type.
pub(super) fn signature(dtype: DType) -> Signature {
    let spec = |name: &str, dtype, width| TensorSpec {
        name: name.into(),
        dtype,
        shape: vec![Dim::Free(None), Dim::Fixed(width)],
    };
    Signature { inputs: vec![spec("x", DType::F32, 3)], outputs: vec![OutputSpec::Tensor(spec("y", dtype, 3))] }
}

impl Fakes {
    pub(super) fn new(signature: Signature, cpu: Answer, device: Answer) -> Self {
        Self { signature, cpu, device, cpu_hangs: false, opened: AtomicUsize::new(0) }
    }

    /// The check of a session on OpenVINO in bf16, with nothing but zeros for an example.
    pub(super) fn check(&self) -> Result<(), LoadError> {
        self.check_with(Limits::default(), false, None)
    }

    pub(super) fn check_with(
        &self,
        limits: Limits,
        given: bool,
        text: Option<(&TextModel, &Rules)>,
    ) -> Result<(), LoadError> {
        let options = SessionOptions {
            graph: PathBuf::from("model.onnx"),
            device: Device::OpenVino,
            precision: Precision::Bf16,
            threads: 1,
            memory_limit: None,
        };
        assert!(options.must_agree());
        let mut backend = self.open(&options).expect("opened");
        let inputs = self.signature.inputs.iter().map(|spec| Tensor::zeros(spec.dtype, [1, 3][..].into())).collect();
        let watchdog = Watchdog::start().expect("a thread");
        let deadline = Instant::now() + Duration::from_millis(if self.cpu_hangs { 50 } else { 60_000 });
        Check { loader: self, watchdog: &watchdog, deadline, limits }.run(
            backend.as_mut(),
            &options,
            &Example { inputs, given },
            text,
        )
    }
}

impl Loader for Fakes {
    fn open(&self, options: &SessionOptions) -> Result<Box<dyn Backend>, LoadError> {
        let on_cpu = !options.must_agree();
        self.opened.fetch_add(usize::from(on_cpu), Ordering::SeqCst);
        Ok(Box::new(Fake {
            signature: self.signature.clone(),
            answer: if on_cpu { self.cpu.clone() } else { self.device.clone() },
            hangs: on_cpu && self.cpu_hangs,
            ended: Arc::default(),
        }))
    }

    fn trim(&self) {}
}

struct Fake {
    signature: Signature,
    answer: Answer,
    hangs: bool,
    ended: Arc<Ended>,
}

impl Backend for Fake {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn terminator(&self) -> Arc<dyn Terminator> {
        self.ended.clone()
    }

    fn run(&mut self, inputs: &[Tensor]) -> Result<Vec<Column>, RunError> {
        while self.hangs && !self.ended.is_set() {
            thread::yield_now();
        }
        (self.answer)(inputs)
    }
}
