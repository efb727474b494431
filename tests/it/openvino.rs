//! OpenVINO on this CPU: it answers as ONNX Runtime does, and what it gets wrong is refused.

#![expect(clippy::print_stderr, reason = "a test that could not be run says why")]

use std::process::Command;

use perch_testkit::models::root;
use perch_testkit::process::run;
use perch_testkit::{Models, runtime};

use crate::cuda::{assert_answers_as_the_cpu, perch, serve, warnings};

/// Whether OpenVINO computes in bf16 here, and not in fp32 where bf16 is asked for.
fn has_bf16() -> bool {
    ["amx_bf16", "avx512_bf16"].into_iter().any(runtime::has_instructions)
}

#[test]
fn openvino_answers_as_the_cpu_does() {
    let library = match runtime::openvino() {
        Ok(library) => library,
        Err(why) => return eprintln!("not run: models on OpenVINO, as {why}"),
    };
    let models = Models::with(&["external", "toy_embedder"]);
    let server = serve(&library, &models, &["--device", "openvino"]);
    assert_answers_as_the_cpu(&server);
    assert_eq!(warnings(&server), [] as [String; 0]);
    server.stop();
}

#[test]
fn bf16_serves_what_agrees_and_is_said_to_be_fp32_where_it_is() {
    let library = match runtime::openvino() {
        Ok(library) => library,
        Err(why) => return eprintln!("not run: bf16 on OpenVINO, as {why}"),
    };
    let models = Models::with(&["external", "toy_embedder"]);
    if !has_bf16() && !runtime::has_instructions("avx512f") {
        eprintln!("not run: bf16 itself, as this CPU has neither AMX nor AVX-512; that perch says so is tested");
        let server = serve(&library, &models, &["--device", "openvino", "--precision", "bf16"]);
        let told = warnings(&server);
        assert!(told.len() == 1 && told[0].contains("OpenVINO computes in fp32 where bf16 is asked for"), "{told:?}");
        assert_answers_as_the_cpu(&server);
        return server.stop();
    }
    let arguments = ["models", "verify", "--device", "openvino", "--precision", "bf16"];
    let ended = run(&mut perch(&library, &arguments, &models));
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

#[test]
fn a_mask_of_the_smallest_float_is_refused_in_bf16() {
    let library = match runtime::openvino() {
        Ok(library) if has_bf16() => library,
        Ok(_) => {
            return eprintln!("not run: a mask of -3.4e38 in bf16, as this CPU has no bf16 (neither AMX nor AVX-512)");
        }
        Err(why) => return eprintln!("not run: a mask of -3.4e38 in bf16, as {why}"),
    };
    let mut script = Command::new(root().join("scripts/minilm"));
    let made = script.arg("--mask-value=-3.4e38").output().expect("scripts/minilm");
    assert!(made.status.success(), "{made:?}");
    let folder = String::from_utf8(made.stdout).expect("UTF-8");
    let models = Models::with(&[]);
    for file in ["model.onnx", "tokenizer.json", "config.json", "input_example.json"] {
        let path = std::path::Path::new(folder.trim()).join("minilm/1").join(file);
        models.write(&format!("minilm/1/{file}"), &std::fs::read(path).expect("a file of the model"));
    }
    let arguments = ["models", "verify", "--device", "openvino", "--precision", "bf16"];
    let ended = run(&mut perch(&library, &arguments, &models));
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stdout.contains("does not answer as the CPU in fp32 does"), "{ended:?}");
}

#[test]
fn openvino_that_is_not_there_is_a_reason_not_to_start() {
    let models = Models::with(&["external"]);
    let ended = run(&mut perch(&runtime::cpu(), &["serve", "--device", "openvino"], &models));
    assert_eq!(ended.code, Some(69), "{ended:?}");
    for part in ["device openvino: the ONNX Runtime in ", "has no such provider; run scripts/onnxruntime --openvino"] {
        assert!(ended.stderr.contains(part), "{part}: {ended:?}");
    }
}
