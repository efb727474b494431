//! Which versions are refused, and what is said of them.

use std::sync::atomic::Ordering;

use super::fakes::{Fakes, answer, signature};
use crate::agreement::Limits;
use crate::backend::{LoadError, RunError};
use crate::dtype::DType;
use crate::tensor::{Column, Data, Tensor};

/// The numbers of the first input.
fn numbers(inputs: &[Tensor]) -> Vec<f32> {
    match inputs[0].data() {
        Data::F32(values) => values.clone(),
        other => unreachable!("{other:?}"),
    }
}

fn floats(values: Vec<f32>) -> Result<Vec<Column>, RunError> {
    let tensor = Tensor::new([values.len() / 3, 3][..].into(), Data::F32(values));
    tensor.map(|tensor| vec![Column::Tensor(tensor)]).map_err(|error| RunError::InvalidOutput(error.to_string()))
}

/// What the model is on the CPU: `y = 2 x + (1, 2, 3)`.
fn right(inputs: &[Tensor]) -> Vec<f32> {
    numbers(inputs).iter().zip([1.0, 2.0, 3.0].iter().cycle()).map(|(x, b)| 2.0 * x + b).collect()
}

fn refusal(fakes: &Fakes) -> String {
    match fakes.check() {
        Err(LoadError::Disagrees(disagreement)) => disagreement.to_string(),
        other => format!("not refused: {other:?}"),
    }
}

fn device(wrong: impl Fn(&[Tensor]) -> Result<Vec<Column>, RunError> + Send + Sync + 'static) -> Fakes {
    Fakes::new(signature(DType::F32), answer(|inputs| floats(right(inputs))), answer(wrong))
}

#[test]
fn a_device_that_rounds_agrees() {
    let fakes = device(|inputs| floats(right(inputs).iter().map(|y| y * 1.003).collect()));
    assert_eq!(fakes.check(), Ok(()));
    assert_eq!(fakes.opened.load(Ordering::SeqCst), 1, "one session on the CPU, for all inputs");
    let strict = Limits { relative: 0.001, ..Limits::default() };
    assert!(matches!(fakes.check_with(strict, false, None), Err(LoadError::Disagrees(_))));
}

#[test]
fn one_that_is_wrong_is_refused_with_both_figures_and_a_hint() {
    let found = refusal(&device(|inputs| floats(right(inputs).into_iter().rev().collect())));
    let expected = "refused, device openvino with precision bf16 does not answer as the CPU in fp32 does: output \"y\" on \
                    zeros: cosine 0.714286, expected at least 0.999; relative error 0.00e0, expected at most 0.01. An \
                    attention mask of the smallest float (-3.4e38) goes wrong below fp32: export the graph with -1e4";
    assert!(found.starts_with(expected), "{found}");
}

#[test]
fn zeros_alone_would_not_tell() {
    // It answers rightly only to zeros.
    let found = refusal(&device(|inputs| floats(right(inputs).iter().map(|y| y.round()).collect())));
    assert!(found.contains("output \"y\" on numbers between -1 and 1: cosine"), "{found}");
}

#[test]
fn nan_is_refused() {
    let found = refusal(&device(|inputs| floats(vec![f32::NAN; numbers(inputs).len()])));
    assert!(found.contains("cosine NaN, expected at least 0.999; relative error NaN"), "{found}");
}

#[test]
fn labels_have_to_be_the_same() {
    let labels = |label: i64| {
        answer(move |_| Ok(vec![Column::Tensor(Tensor::new([1][..].into(), Data::I64(vec![label])).expect("one"))]))
    };
    let fakes = |label| Fakes::new(signature(DType::I64), labels(7), labels(label));
    assert_eq!(fakes(7).check(), Ok(()));
    let found = refusal(&fakes(8));
    assert!(found.contains("relative error 1.00e0, expected at most 0.01"), "{found}");
}

#[test]
fn maps_have_to_be_near() {
    let maps = |p: f32| answer(move |_| Ok(vec![Column::Maps(vec![vec![("yes".into(), p), ("no".into(), 1.0 - p)]])]));
    let fakes = |p| Fakes::new(signature(DType::F32), maps(0.9), maps(p));
    assert_eq!(fakes(0.901).check(), Ok(()));
    assert!(refusal(&fakes(0.8)).contains("relative error 1.11e-1"), "{}", refusal(&fakes(0.8)));
}

#[test]
fn what_only_one_of_them_runs_is_refused() {
    let fails = |_: &[Tensor]| Err(RunError::Failed("no kernel".into()));
    let found = refusal(&device(fails));
    assert!(found.contains("on zeros it fails: no kernel"), "{found}");
    let other = Fakes::new(signature(DType::F32), answer(fails), answer(|inputs| floats(right(inputs))));
    assert!(refusal(&other).contains("on zeros only the CPU fails: no kernel"), "{}", refusal(&other));
    let none = device(|_| Ok(Vec::new()));
    assert!(refusal(&none).contains("on zeros it has 0 outputs, expected 1"), "{}", refusal(&none));
}

#[test]
fn what_cannot_be_compared_is_not_served() {
    let fails = |_: &[Tensor]| Err(RunError::InvalidInput("not these".into()));
    let error = Fakes::new(signature(DType::F32), answer(fails), answer(fails)).check().expect_err("nothing compared");
    assert!(error.to_string().contains("put an input_example.json beside it"), "{error}");
}

#[test]
fn a_comparison_that_does_not_end_is_ended() {
    let hangs = Fakes { cpu_hangs: true, ..device(|inputs| floats(right(inputs))) };
    let error = hangs.check().expect_err("ended");
    assert!(error.to_string().contains("did not end within the load timeout"), "{error}");
}
