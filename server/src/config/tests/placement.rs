//! Devices, and what goes with them.

use super::{layers, load, wrong};
use crate::config::{Config, Placement};
use perch_models::agreement::Limits;
use perch_models::backend::{Device, Precision};

const REGISTRY: &str = "registry: {path: m}\n";

fn config(text: &str) -> Config {
    load(layers(&format!("{REGISTRY}{text}"), &[])).config
}

fn of(config: &Config, model: usize) -> Placement {
    config.models[model].placement(&config.runtime)
}

#[test]
fn a_model_takes_what_goes_with_its_device() {
    let config = config(
        "\
runtime: {device: openvino, precision: bf16, agreement: {cosine: 0.99, relative: 0.1}}
models:
  - a
  - {name: b, device: cpu}
  - {name: c, device: cuda:1, memoryLimit: 2GiB, agreement: {cosine: 1}}
  - {name: d, precision: fp32}
",
    );
    let agreement = Limits { cosine: 0.99, relative: 0.1 };
    let bf16 = Placement { device: Device::OpenVino, precision: Precision::Bf16, memory_limit: None, agreement };
    assert_eq!(of(&config, 0), bf16);
    assert_eq!(of(&config, 1), Placement { device: Device::Cpu, precision: Precision::Fp32, ..bf16 });
    let cuda = Placement {
        device: Device::Cuda(1),
        precision: Precision::Fp32,
        memory_limit: Some(2 << 30),
        agreement: Limits { cosine: 1.0, relative: 0.1 },
    };
    assert_eq!(of(&config, 2), cuda);
    assert_eq!(of(&config, 3), Placement { precision: Precision::Fp32, ..bf16 });
    // One that is found has the settings of `runtime`.
    assert_eq!(config.registry.model("e").placement(&config.runtime), bf16);
}

#[test]
fn a_limit_on_memory_is_for_what_has_a_memory() {
    let config = config("runtime: {device: cuda, memoryLimit: 1GiB}\nmodels: [a, {name: b, device: cpu}]\n");
    assert_eq!((of(&config, 0).memory_limit, of(&config, 1).memory_limit), (Some(1 << 30), None));
}

#[test]
fn buckets() {
    let config = config("models: [a, {name: b, batching: {buckets: [8, 64]}}, {name: c, batching: {buckets: []}}]\n");
    let buckets: Vec<_> = config.models.iter().map(|model| model.batching.buckets.clone()).collect();
    assert_eq!(buckets, [None, Some(vec![8, 64]), Some(vec![])]);
}

#[test]
fn what_does_not_exist_is_refused() {
    let file = "\
registry: {path: m}
runtime: {precision: bf16, agreement: {cosine: 2, relative: -1}}
models:
  - {name: a, device: cpu, precision: bf16, memoryLimit: 1GiB}
  - {name: b, device: cuda, precision: fp16}
  - {name: c, device: openvino, precision: tf32, memoryLimit: 1GiB}
  - {name: d, precision: int8, memoryLimit: 1kB}
  - {name: e, batching: {buckets: [32, 32, many, [1], 0, 64, 48]}}
  - {name: f, batching: {buckets: 32}}
";
    let expected = "\
runtime.precision (perch.yaml:2): expected fp32 with device auto, got \"bf16\" (device openvino offers it)
runtime.agreement.cosine (perch.yaml:2): expected -1 to 1, got 2
runtime.agreement.relative (perch.yaml:2): expected at least 0, got -1
models[0].precision (perch.yaml:4): expected fp32 with device cpu, got \"bf16\" (device openvino offers it)
models[0].memoryLimit (perch.yaml:4): expected only with device cuda or auto, got it with device cpu
models[1].precision (perch.yaml:5): expected fp32 or tf32 with device cuda:0, got \"fp16\" (a GPU computes a graph as it is written: register one in fp16)
models[2].precision (perch.yaml:6): expected fp32 or bf16 or fp16 with device openvino, got \"tf32\" (device cuda offers it)
models[2].memoryLimit (perch.yaml:6): expected only with device cuda or auto, got it with device openvino
models[3].precision (perch.yaml:7): expected fp32, tf32, bf16 or fp16, got \"int8\"
models[3].memoryLimit (perch.yaml:7): expected at least 1MiB, got \"1kB\"
models[4].batching.buckets[1] (perch.yaml:8): expected more than 32, as lengths ascend, got 32
models[4].batching.buckets[2] (perch.yaml:8): expected 1 to 1048576, got \"many\"
models[4].batching.buckets[3] (perch.yaml:8): expected 1 to 1048576, got a list
models[4].batching.buckets[4] (perch.yaml:8): expected 1 to 1048576, got 0
models[4].batching.buckets[6] (perch.yaml:8): expected more than 64, as lengths ascend, got 48
models[5].batching.buckets (perch.yaml:9): expected a list such as [a, b], got 32";
    assert_eq!(wrong(layers(file, &[])), expected.lines().collect::<Vec<_>>());
}
