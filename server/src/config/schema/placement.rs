//! Where and how exactly one model computes: its own settings, over those of `runtime`.

use super::{Model, Runtime};
use perch_models::{
    agreement::Limits,
    backend::{Device, Precision},
};

/// `runtime.agreement` and `models[].agreement`: how near a model's answers have to be to those of the CPU in fp32,
/// wherever else it computes. What is not set is taken from `runtime`, and there from [`Limits::default`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Agreement {
    /// `cosine`: the smallest cosine of two rows. Default 0.999, -1 to 1.
    pub cosine: Option<f64>,
    /// `relative`: the largest relative error. Default 0.01, at least 0.
    pub relative: Option<f64>,
}

/// What one model is opened with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Placement {
    /// Where it computes.
    pub device: Device,
    /// In which precision.
    pub precision: Precision,
    /// The most bytes of a CUDA device's memory for each session's tensors.
    pub memory_limit: Option<usize>,
    /// How near it has to be to the CPU.
    pub agreement: Limits,
}

impl Model {
    /// Where and how it computes. A precision of `runtime` that its own device does not offer is not for it, and
    /// neither is a limit on a memory that it does not use.
    #[must_use]
    pub fn placement(&self, runtime: &Runtime) -> Placement {
        let device = self.device.unwrap_or(runtime.device);
        let inherited = Some(runtime.precision).filter(|precision| device.offers(*precision));
        let default = Limits::default();
        let (own, ours) = (self.agreement, runtime.agreement);
        Placement {
            device,
            precision: self.precision.or(inherited).unwrap_or_default(),
            memory_limit: self.memory_limit.or(runtime.memory_limit).filter(|_| limits_memory(device)),
            agreement: Limits {
                cosine: own.cosine.or(ours.cosine).unwrap_or(default.cosine),
                relative: own.relative.or(ours.relative).unwrap_or(default.relative),
            },
        }
    }
}

/// Whether a limit on memory means anything on `device`.
pub(in crate::config) const fn limits_memory(device: Device) -> bool {
    matches!(device, Device::Auto | Device::Cuda(_))
}
