//! Memory is given back when versions are: what is resident, of a process that swaps them.

use std::path::Path;
use std::process::Command;

use perch_testkit::{PerchProcess, Services, Store, wait};

use super::{Setup, answers, refresh, register, register_again};

const MIB: u64 = 1 << 20;

/// Writes a model with 64 MiB of weights that answers like the fixture `external`; all of the numbers are exact.
const LARGE: &str = r#"
import sys
import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper

wide = numpy.ones((4, 4096), "float32")
weights = numpy.full((4096, 4096), 10.5 / 4 / 4096, "float32")
graph = helper.make_graph(
    [
        helper.make_node("MatMul", ["features", "wide"], ["a"]),
        helper.make_node("MatMul", ["a", "weights"], ["b"]),
        helper.make_node("ReduceMean", ["b"], ["sum"], axes=[1], keepdims=0),
    ],
    "large",
    [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", 4])],
    [helper.make_tensor_value_info("sum", TensorProto.FLOAT, ["N"])],
    [numpy_helper.from_array(wide, "wide"), numpy_helper.from_array(weights, "weights")],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
onnx.save_model(model, sys.argv[1], save_as_external_data=True, location="weights.bin")
"#;

fn write_large(folder: &Path) {
    let mut python = Command::new(Services::shared().python());
    let status = python.arg("-c").arg(LARGE).arg(folder.join("model.onnx")).status().expect("started");
    assert!(status.success());
}

fn resident(perch: &PerchProcess) -> u64 {
    perch.resident_memory().expect("/proc: this test needs Linux")
}

/// Asks for predictions as a few users do.
fn ask(perch: &PerchProcess, model: &str, version: u64) {
    for _ in 0..20 {
        assert_eq!(answers(perch, model), version.to_string());
    }
}

#[test]
fn the_memory_of_a_large_version_comes_back() {
    let (name, registrar) = ("large", Services::shared().registrar());
    register(name, Store::Direct);
    let folder = tempfile::tempdir().expect("a folder");
    write_large(folder.path());
    assert_eq!(registrar.log_folder(name, folder.path(), Store::Direct), 2);
    assert_eq!(register_again(name), 3);
    let setup = Setup::of(name);
    let perch = setup.ready();
    let serve = |version: u64| {
        registrar.set_alias(name, "stable", version);
        perch.health().wait_serving(name, "stable", version);
        ask(&perch, name, version);
    };
    serve(3);
    let before = resident(&perch);
    for _ in 0..2 {
        serve(2);
        let large = resident(&perch);
        assert!(large > before + 50 * MIB, "{large} bytes with it, {before} before");
        serve(1);
        // What it had is freed after its last request.
        wait::until_ok("memory that comes back", || {
            let after = resident(&perch);
            if after < before + 20 * MIB { Ok(()) } else { Err(format!("{after} bytes, {before} before")) }
        });
    }
}

/// 40 versions, or as many as `PERCH_REGISTRY_VERSIONS` says.
#[test]
fn versions_that_come_and_go_leave_nothing() {
    let versions = std::env::var("PERCH_REGISTRY_VERSIONS").map_or(40, |text| text.parse().expect("a number"));
    let name = "many";
    register(name, Store::Direct);
    let setup = Setup::of(name).models("[{name: many, stable: latest}]").set("registry.poll", "1h");
    let perch = setup.ready();
    ask(&perch, name, 1);
    let first = resident(&perch);
    for version in 2..=versions {
        assert_eq!(register_again(name), version);
        refresh(&perch, name);
        perch.health().wait_serving(name, "stable", version);
        ask(&perch, name, version);
    }
    let most = first + first / 10;
    wait::until_ok("memory that comes back", || {
        let last = resident(&perch);
        if last <= most { Ok(()) } else { Err(format!("{last} bytes, {first} after the first of {versions}")) }
    });
}
