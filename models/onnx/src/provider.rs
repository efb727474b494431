//! Execution providers: what makes a session compute elsewhere than on ONNX Runtime's own CPU kernels.

use std::path::{Path, PathBuf};

use ort::ep::{self, ArbitrarilyConfigurableExecutionProvider, ArenaExtendStrategy, ExecutionProviderDispatch};
use perch_models::backend::{Device, Precision};

/// What a session is asked of its device.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish {
    pub(crate) device: Device,
    pub(crate) precision: Precision,
    pub(crate) threads: usize,
    pub(crate) memory_limit: Option<usize>,
}

impl Wish {
    /// As little as can be asked of `device`.
    pub(crate) const fn of(device: Device) -> Self {
        Self { device, precision: Precision::Fp32, threads: 1, memory_limit: None }
    }

    /// The provider, where it needs one. Each fails where it cannot be had: left to itself, ONNX Runtime would compute
    /// on the CPU and say so in its log.
    pub(crate) fn provider(self) -> Option<ExecutionProviderDispatch> {
        match self.device {
            Device::Auto | Device::Cpu => None,
            Device::Cuda(id) => Some(self.cuda(id).build().error_on_failure()),
            Device::OpenVino => Some(self.openvino().build().error_on_failure()),
        }
    }

    fn cuda(self, id: u32) -> ep::CUDA {
        let provider = ep::CUDA::default()
            .with_device_id(i32::try_from(id).unwrap_or(i32::MAX))
            // On by default in the library: what is called fp32 has to be fp32.
            .with_tf32(self.precision == Precision::Tf32)
            // The default tries every algorithm whenever a shape is new, with requests too.
            .with_conv_algorithm_search(ep::cuda::ConvAlgorithmSearch::Heuristic);
        match self.memory_limit {
            // By powers of two, which is the default, half of a limit may go unused.
            Some(limit) => {
                provider.with_memory_limit(limit).with_arena_extend_strategy(ArenaExtendStrategy::SameAsRequested)
            }
            None => provider,
        }
    }

    fn openvino(self) -> ep::OpenVINO {
        ep::OpenVINO::default()
            .with_device_type("CPU")
            .with_num_threads(self.threads)
            .with_arbitrary_config("load_config", openvino_config(self.precision))
    }
}

/// OpenVINO's own settings, as the provider takes them: JSON text, not a path. The precision is always said: without it
/// OpenVINO takes bf16 where the CPU has it.
fn openvino_config(precision: Precision) -> String {
    let hint = match precision {
        Precision::Fp32 | Precision::Tf32 => "f32",
        Precision::Bf16 => "bf16",
        Precision::Fp16 => "f16",
    };
    format!(r#"{{"CPU":{{"INFERENCE_PRECISION_HINT":"{hint}"}}}}"#)
}

/// The folder of `library`, when the provider of `device` lies beside it, where the library looks for it.
pub(crate) fn folder_with(library: &Path, device: Device) -> Option<PathBuf> {
    let name = match device {
        Device::Auto | Device::Cpu => return None,
        Device::Cuda(_) => "libonnxruntime_providers_cuda.so",
        Device::OpenVino => "libonnxruntime_providers_openvino.so",
    };
    let real = library.canonicalize().ok()?;
    let folder = real.parent()?;
    folder.join(name).is_file().then(|| folder.to_owned())
}

/// What brings a library that has the provider of `device`.
pub(crate) const fn script(device: Device) -> &'static str {
    match device {
        Device::Auto | Device::Cpu => "scripts/onnxruntime",
        Device::Cuda(_) => "scripts/onnxruntime --gpu",
        Device::OpenVino => "scripts/onnxruntime --openvino",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openvino_is_told_the_precision_in_json() {
        let told = |precision| openvino_config(precision);
        assert_eq!(told(Precision::Fp32), r#"{"CPU":{"INFERENCE_PRECISION_HINT":"f32"}}"#);
        assert_eq!(told(Precision::Bf16), r#"{"CPU":{"INFERENCE_PRECISION_HINT":"bf16"}}"#);
        assert_eq!(told(Precision::Fp16), r#"{"CPU":{"INFERENCE_PRECISION_HINT":"f16"}}"#);
    }

    #[test]
    fn only_other_devices_need_a_provider() {
        assert!(Wish::of(Device::Cpu).provider().is_none());
        let options = |provider: String| provider;
        let cuda = Wish { memory_limit: Some(1 << 30), ..Wish::of(Device::Cuda(1)) }.cuda(1);
        let shown = options(format!("{cuda:?}"));
        for (key, value) in [("device_id", "1"), ("gpu_mem_limit", "1073741824"), ("use_tf32", "0")] {
            assert!(shown.contains(key) && shown.contains(value), "{key} {value}: {shown}");
        }
        let tf32 = Wish { precision: Precision::Tf32, ..Wish::of(Device::Cuda(0)) }.cuda(0);
        assert!(!format!("{tf32:?}").contains("gpu_mem_limit"), "{tf32:?}");
    }

    #[test]
    fn providers_lie_beside_the_library() {
        let dir = std::env::temp_dir().join(format!("perch-provider-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("made");
        let library = dir.join("libonnxruntime.so");
        std::fs::write(&library, "").expect("written");
        assert_eq!(folder_with(&library, Device::OpenVino), None);
        std::fs::write(dir.join("libonnxruntime_providers_openvino.so"), "").expect("written");
        assert_eq!(folder_with(&library, Device::OpenVino), dir.canonicalize().ok());
        assert_eq!(folder_with(&library, Device::Cuda(0)), None);
        std::fs::remove_dir_all(dir).expect("removed");
    }
}
