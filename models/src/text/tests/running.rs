//! From tokens to the inputs of a graph, and from its outputs to answers.

use half::f16;
use proptest::prelude::*;
use serde_json::json;

use super::fixtures::{Folder, bert, graph, spec, tokens, xlmr};
use crate::dtype::DType;
use crate::signature::Dim;
use crate::tensor::{Column, Data, Tensor};
use crate::text::{EncodeOptions, Finish, Input, Sequence, TextError, TextModel};

fn column(shape: &[usize], values: Vec<f32>) -> Column {
    Column::Tensor(Tensor::new(shape.into(), Data::F32(values)).expect("it fits"))
}

fn encode(model: &TextModel, text: &str) -> Sequence {
    model.encode(Input::Text(text), &EncodeOptions::default()).expect(text)
}

const AS_IS: Finish = Finish { normalise: false, dimensions: None };

#[test]
fn rows_are_filled_up_on_the_right_in_the_order_of_the_graph() {
    let model = Folder::new(&bert()).loaded(&tokens(4));
    let (short, long) =
        (encode(&model, "hello"), model.encode(Input::Pair("hello", "world"), &EncodeOptions::default()).expect("two"));
    let inputs = model.inputs(&[&short, &long], 0);
    assert!(inputs.iter().all(|input| input.shape() == [2, 5]));
    let expected =
        [vec![2, 5, 3, 0, 0, 2, 5, 3, 6, 3], vec![1, 1, 1, 0, 0, 1, 1, 1, 1, 1], vec![0, 0, 0, 0, 0, 0, 0, 0, 1, 1]];
    let got: Vec<&Data> = inputs.iter().map(Tensor::data).collect();
    assert_eq!(got, expected.map(Data::I64).iter().collect::<Vec<_>>());
    assert!(model.inputs(&[&short], 7).iter().all(|input| input.shape() == [1, 7]));
    assert!(model.inputs(&[], 7).iter().all(|input| input.shape() == [0, 7]));
}

#[test]
fn narrow_inputs_places_and_lengths_are_as_the_graph_wants_them() {
    let mut signature = tokens(4);
    let names = ["position_ids", "attention_mask", "input_ids"];
    signature.inputs = names.map(|name| spec(name, DType::I32, 2, None)).into();
    signature.inputs[2].shape[1] = Dim::Fixed(6);
    let config = json!({"model_type": "xlm-roberta", "pad_token_id": 1});
    let model = Folder::new(&xlmr()).with("config.json", &config).loaded(&signature);
    assert_eq!((model.fixed_length(), model.config().max_tokens), (Some(6), 6));
    let inputs = model.inputs(&[&encode(&model, "hello world")], 0);
    let got: Vec<&Data> = inputs.iter().map(Tensor::data).collect();
    let expected = [vec![2, 3, 4, 5, 1, 1], vec![1, 1, 1, 1, 0, 0], vec![0, 5, 6, 2, 1, 1]].map(Data::I32);
    // The padding of this tokenizer is named by nobody: config.json numbers it.
    assert_eq!(got, expected.iter().collect::<Vec<_>>());
}

#[test]
fn embeddings_are_pooled_from_their_row_without_its_padding() {
    let model = Folder::new(&bert()).loaded(&tokens(2));
    let sequence = encode(&model, "hello");
    // Two rows of four places; the second is of three tokens.
    let values = vec![9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 1.0, 0.0, 2.0, 8.0, 6.0, 4.0, 9.0, 9.0];
    let columns = [column(&[2, 4, 2], values)];
    assert_eq!(model.embedding(&columns, 1, &sequence, AS_IS), Ok(vec![3.0, 4.0]));
    assert_eq!(model.embedding(&columns, 1, &sequence, Finish::default()), Ok(vec![0.6, 0.8]));
    let one = Finish { dimensions: Some(1), ..AS_IS };
    assert_eq!(model.embedding(&columns, 1, &sequence, one), Ok(vec![3.0]));
    assert_eq!(model.embedding(&columns, 1, &sequence, Finish { normalise: true, ..one }), Ok(vec![1.0]));
    let (tokens, dim) = model.token_embeddings(&columns, 1, &sequence).expect("it has tokens");
    assert_eq!((tokens.as_ref(), dim), (&[1.0, 0.0, 2.0, 8.0, 6.0, 4.0][..], 2));
}

#[test]
fn the_models_own_norm_comes_before_dimensions_go() {
    let folder = Folder::new(&bert()).with_modules(&["Transformer", "Normalize"]);
    let model = folder.loaded(&graph(&[("sentence_embedding", 2, Some(2))]));
    let sequence = encode(&model, "hello");
    let columns = [column(&[1, 2], vec![3.0, 4.0])];
    assert_eq!(model.embedding(&columns, 0, &sequence, AS_IS), Ok(vec![0.6, 0.8]));
    assert_eq!(model.embedding(&columns, 0, &sequence, Finish { dimensions: Some(1), ..AS_IS }), Ok(vec![0.6]));
    assert_eq!(model.embedding(&columns, 0, &sequence, Finish { dimensions: Some(1), normalise: true }), Ok(vec![1.0]));
    assert_eq!(model.check_dimensions(2), Ok(()));
    let error = TextError::Dimensions { asked: 3, has: 2 };
    assert_eq!(model.check_dimensions(3), Err(error.clone()));
    assert_eq!(model.embedding(&columns, 0, &sequence, Finish { dimensions: Some(3), ..AS_IS }), Err(error));
    let error = model.token_embeddings(&columns, 0, &sequence).expect_err("pooled").to_string();
    assert_eq!(error, "the model gives one embedding a text, not embeddings of tokens");
}

#[test]
fn halves_and_doubles_are_as_good() {
    let model = Folder::new(&bert()).loaded(&graph(&[("sentence_embedding", 2, None)]));
    let sequence = encode(&model, "hello");
    for data in [Data::F16([3.0, 4.0].map(f16::from_f32).into()), Data::F64(vec![3.0, 4.0]), Data::F32(vec![3.0, 4.0])]
    {
        let columns = [Column::Tensor(Tensor::new([1, 2][..].into(), data).expect("it fits"))];
        assert_eq!(model.embedding(&columns, 0, &sequence, AS_IS), Ok(vec![3.0, 4.0]));
    }
}

#[test]
fn scores_follow_the_labels() {
    let folder = Folder::new(&bert()).with("config.json", &json!({"id2label": {"0": "bad", "1": "good"}}));
    let model = folder.loaded(&graph(&[("logits", 2, Some(2))]));
    let columns = [column(&[2, 2], vec![9.0, 9.0, 0.0, 3_f32.ln()])];
    assert_eq!(model.scores(&columns, 1, true), Ok(vec![0.0, 3_f32.ln()]));
    let scores = model.scores(&columns, 1, false).expect("scores");
    assert!((scores[0] - 0.25).abs() < 1e-6 && (scores[1] - 0.75).abs() < 1e-6, "{scores:?}");
    let error = model.embedding(&columns, 0, &encode(&model, "hello"), AS_IS).expect_err("scores").to_string();
    assert_eq!(error, "the model gives scores, not embeddings");

    let reranker = Folder::new(&bert()).loaded(&graph(&[("logits", 2, Some(1))]));
    assert_eq!(reranker.scores(&[column(&[2, 1], vec![9.0, 0.0])], 1, false), Ok(vec![0.5]));
    assert_eq!(reranker.scores(&[column(&[2], vec![9.0, 0.0])], 1, false), Ok(vec![0.5]), "squeezed");
}

#[test]
fn outputs_that_are_not_as_declared_are_the_models_fault() {
    let model = Folder::new(&bert()).loaded(&tokens(2));
    let sequence = encode(&model, "hello");
    for (columns, expected) in [
        (vec![], "the model gave no tensor as output 0"),
        (vec![Column::Maps(vec![])], "the model gave no tensor as output 0"),
        (
            vec![column(&[1, 2, 2], vec![0.0; 4])],
            "the model gave float32[1,2,2], expected floats [more than 0, at least 3, dimensions]",
        ),
        (
            vec![column(&[0, 3, 2], vec![])],
            "the model gave float32[0,3,2], expected floats [more than 0, at least 3, dimensions]",
        ),
        (
            vec![column(&[1, 6], vec![0.0; 6])],
            "the model gave float32[1,6], expected floats [more than 0, at least 3, dimensions]",
        ),
    ] {
        let error = model.embedding(&columns, 0, &sequence, AS_IS).expect_err(expected);
        assert_eq!(error.to_string(), expected);
        assert!(!error.is_invalid_input());
        assert!(matches!(error.into(), crate::backend::RunError::InvalidOutput(_)));
    }
    let classifier = Folder::new(&bert()).loaded(&graph(&[("logits", 2, None)]));
    let error = classifier.scores(&[column(&[1, 3], vec![0.0; 3])], 0, true).expect_err("2 labels").to_string();
    assert_eq!(error, "the model gave 3 scores for 2 labels");
    let integers = Column::Tensor(Tensor::zeros(DType::I64, [1, 2][..].into()));
    assert!(classifier.scores(&[integers], 0, true).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A model that looks at each token alone: what its neighbours in a batch are must not matter.
    #[test]
    fn an_embedding_is_the_same_alone_and_padded(
        texts in prop::collection::vec("[a-z ]{1,20}", 1..6), more in 0_usize..9,
    ) {
        let model = Folder::new(&bert()).loaded(&tokens(3));
        let sequences: Vec<Sequence> = texts.iter().map(|text| encode(&model, text)).collect();
        let run = |rows: &[&Sequence], pad_to: usize| {
            let inputs = model.inputs(rows, pad_to);
            let Data::I64(ids) = inputs[0].data() else { unreachable!("int64") };
            let mut shape = inputs[0].shape().to_vec();
            shape.push(3);
            #[expect(clippy::cast_precision_loss, reason = "small")]
            let values = ids.iter().flat_map(|id| [*id as f32 + 1.0, 1.0 / (*id as f32 + 1.0), 0.5]).collect();
            [column(&shape, values)]
        };
        let rows: Vec<&Sequence> = sequences.iter().collect();
        let together = run(&rows, more);
        for (row, sequence) in sequences.iter().enumerate() {
            let alone = run(&[sequence], 0);
            let alone = model.embedding(&alone, 0, sequence, Finish::default());
            prop_assert_eq!(model.embedding(&together, row, sequence, Finish::default()), alone);
        }
    }
}
