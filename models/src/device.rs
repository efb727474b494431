//! Where models compute, and how exactly.

use std::fmt;

/// Where a model computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Device {
    /// A CUDA device where the runtime library has that provider and finds one, the CPU otherwise.
    #[default]
    Auto,
    /// The CPU, by ONNX Runtime itself.
    Cpu,
    /// This CUDA device; a model that cannot use it fails to load.
    Cuda(u32),
    /// The CPU, by OpenVINO; a model that cannot use it fails to load.
    OpenVino,
}

/// How exactly a model computes what its graph has as 32-bit floats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// As the graph says.
    #[default]
    Fp32,
    /// Products of matrices with 10 bits behind the point: TensorFloat-32.
    Tf32,
    /// With 7 bits behind the point, and the range of fp32.
    Bf16,
    /// With 10 bits behind the point, and a range up to 65504.
    Fp16,
}

impl Device {
    /// The lengths that rows of text are padded to where nothing else is configured. A shape costs what compiling it costs
    /// when it is new, so each that a run may have is run once at warm-up, in every session, and not for the first time
    /// with a request, unless there are more than that has time for. None where shapes are free.
    #[must_use]
    pub const fn buckets(self) -> &'static [usize] {
        match self {
            Self::Auto | Self::Cpu => &[],
            Self::Cuda(_) => &[32, 64, 128, 256, 512],
            // Padding costs more here, where a row is computed by a few cores.
            Self::OpenVino => &[16, 32, 64, 128, 256, 512],
        }
    }

    /// The precisions that it offers.
    #[must_use]
    pub const fn precisions(self) -> &'static [Precision] {
        match self {
            Self::Auto | Self::Cpu => &[Precision::Fp32],
            Self::Cuda(_) => &[Precision::Fp32, Precision::Tf32],
            Self::OpenVino => &[Precision::Fp32, Precision::Bf16, Precision::Fp16],
        }
    }

    /// Whether it offers `precision`.
    #[must_use]
    pub fn offers(self, precision: Precision) -> bool {
        self.precisions().contains(&precision)
    }

    /// Whether runs may be held on a reactor. Only those of the CPU can be ended at any time.
    #[must_use]
    pub const fn runs_inline(self) -> bool {
        matches!(self, Self::Auto | Self::Cpu)
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(id) => write!(f, "cuda:{id}"),
            Self::OpenVino => f.write_str("openvino"),
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fp32 => "fp32",
            Self::Tf32 => "tf32",
            Self::Bf16 => "bf16",
            Self::Fp16 => "fp16",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_device_offers_fp32_and_ascending_buckets() {
        for device in [Device::Auto, Device::Cpu, Device::Cuda(1), Device::OpenVino] {
            assert!(device.offers(Precision::Fp32), "{device}");
            assert!(device.buckets().windows(2).all(|pair| pair[0] < pair[1]), "{device}");
            assert_eq!(device.buckets().is_empty(), device.runs_inline(), "{device}");
        }
        assert!(!Device::Cpu.offers(Precision::Bf16) && !Device::Cuda(0).offers(Precision::Fp16));
    }
}
