//! What `scripts/` fetches and builds for tests. What is there already is not made again.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::models::root;

/// The path that a script prints as its last line. What it says meanwhile is on stderr, which libtest lets through.
fn path_of(script: &str, arguments: &[&str]) -> PathBuf {
    let mut command = Command::new(root().join("scripts").join(script));
    let output = command.args(arguments).current_dir(root()).stderr(Stdio::inherit()).output();
    let output = output.expect("a script, which needs bash");
    assert!(output.status.success(), "scripts/{script} ended with {}, the reason is above", output.status);
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    text.lines().last().expect("a path").into()
}

/// The folder of the registry that `scripts/minilm` builds. It is everybody's: only read it.
pub fn minilm() -> PathBuf {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| path_of("minilm", &[])).clone()
}

/// The library that, loaded before a program, gives it another clock.
pub fn faketime() -> PathBuf {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| path_of("faketime", &[])).clone()
}

/// A Python that has ONNX, its runtime and tokenizers.
pub fn onnx() -> PathBuf {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| path_of("venv", &["minilm", "examples/minilm/requirements.txt"]).join("bin/python")).clone()
}

/// A Python that has the clients of `tests/clients`.
pub fn clients() -> PathBuf {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| path_of("venv", &["clients", "tests/clients/requirements.txt"]).join("bin/python")).clone()
}
