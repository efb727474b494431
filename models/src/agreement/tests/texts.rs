//! Models of texts are compared on texts.

use std::path::Path;
use std::time::Duration;

use super::fakes::{Fakes, answer};
use crate::agreement::Limits;
use crate::agreement::case::cases;
use crate::backend::LoadError;
use crate::dtype::DType;
use crate::example::Example;
use crate::run::compose::Rules;
use crate::signature::{Dim, OutputSpec, Signature, TensorSpec};
use crate::tensor::{Column, Data, Tensor};
use crate::text::TextModel;

fn spec(name: &str, dtype: DType, shape: &[Dim]) -> TensorSpec {
    TensorSpec { name: name.into(), dtype, shape: shape.into() }
}

fn load(name: &str, output: TensorSpec) -> (TextModel, Signature) {
    let input = |name| spec(name, DType::I64, &[Dim::Free(None), Dim::Free(None)]);
    let signature = Signature {
        inputs: ["input_ids", "attention_mask", "token_type_ids"].map(input).into(),
        outputs: vec![OutputSpec::Tensor(output)],
    };
    let models = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/models"));
    let text = TextModel::load(&models.join(name), &signature).expect("a right folder").expect("a tokenizer");
    (text, signature)
}

fn toy() -> (TextModel, Signature) {
    let shape = [Dim::Free(None), Dim::Free(None), Dim::Fixed(8)];
    load("toy_embedder/1", spec("last_hidden_state", DType::F32, &shape))
}

fn rules(buckets: &[usize]) -> Rules {
    let (ceilings, max_age, few_shapes) = (Vec::new(), Duration::ZERO, !buckets.is_empty());
    Rules { max_rows: 4, max_padded: None, may_pad: true, buckets: buckets.into(), few_shapes, ceilings, max_age }
}

/// Each number of a token is its id, the mask and one; what stands under the mask is `padding`.
fn hidden(inputs: &[Tensor], padding: f32) -> Column {
    let (Data::I64(ids), Data::I64(mask)) = (inputs[0].data(), inputs[1].data()) else { unreachable!("ids and mask") };
    let mut values = Vec::new();
    for (id, mask) in ids.iter().zip(mask) {
        let id = f32::from(u16::try_from(*id).unwrap_or(u16::MAX));
        values.extend((0_u8..8).map(|i| if *mask == 1 { id + f32::from(i) } else { padding }));
    }
    let shape = [inputs[0].shape(), &[8]].concat();
    Column::Tensor(Tensor::new(shape.as_slice().into(), Data::F32(values)).expect("a shape that fits"))
}

#[test]
fn the_texts_have_several_lengths_and_padding() {
    let (text, signature) = toy();
    let example = Example { inputs: Vec::new(), given: false };
    let cases = cases(&signature, &example, Some((&text, &rules(&[]))));
    let lengths: Vec<_> = cases.iter().filter_map(|case| case.lengths.clone()).collect();
    assert_eq!(lengths.len(), cases.len(), "nothing but texts");
    let (together, alone) = lengths.split_last().expect("some");
    assert!(alone.iter().all(|(rows, padded)| rows.len() == 1 && rows[0] == *padded), "{alone:?}");
    assert!(alone.windows(2).all(|pair| pair[0].1 <= pair[1].1) && alone[0].1 < alone[3].1, "{alone:?}");
    assert!(together.0.len() == 4 && together.0[0] < together.1, "{together:?}");
    for case in &cases {
        assert!(case.inputs.iter().all(|tensor| tensor.shape()[0] == case.lengths.as_ref().map_or(0, |l| l.0.len())));
    }
}

#[test]
fn what_stands_in_the_padding_does_not_matter_and_a_mask_that_is_ignored_does() {
    let (text, signature) = toy();
    let model = |padding: f32| answer(move |inputs| Ok(vec![hidden(inputs, padding)]));
    let fakes = Fakes::new(signature.clone(), model(0.0), model(f32::NAN));
    assert_eq!(fakes.check_with(Limits::default(), false, Some((&text, &rules(&[])))), Ok(()));
    let wrong = answer(|inputs: &[Tensor]| {
        // Alone it is right, padded it is not.
        let padded = matches!(inputs[1].data(), Data::I64(mask) if mask.contains(&0));
        let Column::Tensor(right) = hidden(inputs, 0.0) else { unreachable!("a tensor") };
        let zeros = Tensor::zeros(DType::F32, right.shape().into());
        Ok(vec![Column::Tensor(if padded { zeros } else { right })])
    });
    let fakes = Fakes::new(signature, model(0.0), wrong);
    match fakes.check_with(Limits::default(), false, Some((&text, &rules(&[])))) {
        Err(LoadError::Disagrees(found)) => {
            assert!(found.found.contains("on 4 texts padded to "), "{found}");
        }
        other => unreachable!("{other:?}"),
    }
}

#[test]
fn texts_are_padded_as_they_are_served() {
    let (text, signature) = toy();
    let example = Example { inputs: Vec::new(), given: false };
    let padded = |rules: &Rules| -> Vec<(usize, usize)> {
        let cases = cases(&signature, &example, Some((&text, rules)));
        cases.iter().map(|case| (case.inputs[0].shape()[0], case.inputs[0].shape()[1])).collect()
    };
    let shapes = padded(&rules(&[16, 32]));
    assert_eq!(shapes, [(1, 16), (1, 32), (1, 32), (1, 32), (1, 32), (4, 32)]);
    let alone = padded(&Rules { may_pad: false, ..rules(&[16, 32]) });
    assert!(alone.iter().all(|(rows, _)| *rows == 1) && alone[0].1 < 16, "{alone:?}");
}

#[test]
fn what_ranks_is_compared_on_pairs() {
    let (text, signature) = load("toy_reranker/1", spec("logits", DType::F32, &[Dim::Free(None), Dim::Fixed(1)]));
    let example = Example { inputs: Vec::new(), given: false };
    let cases = cases(&signature, &example, Some((&text, &rules(&[]))));
    assert_eq!(cases.len(), 6);
    for case in &cases {
        let types = case.inputs[2].data();
        assert!(matches!(types, Data::I64(types) if types.contains(&1)), "{}: {types:?}", case.name);
    }
    assert!(cases[5].name.starts_with("4 pairs of texts padded to "), "{}", cases[5].name);
}
