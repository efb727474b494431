//! What is not served, and what is wrong with a folder, in words.

use serde_json::{Value, json};

use super::fixtures::{Folder, bert, graph, spec, tokens};
use crate::backend::LoadError;
use crate::dtype::DType;
use crate::signature::Signature;

fn refused(folder: &Folder, signature: &Signature) -> String {
    folder.load(signature).expect_err("refused").to_string()
}

#[test]
fn a_module_that_is_not_in_the_graph_is_named() {
    let mean = json!({"pooling_mode": "mean"});
    let folder =
        Folder::new(&bert()).with_pooling(&mean).with_modules(&["Transformer", "Pooling", "Dense", "Normalize"]);
    let error = folder.load(&tokens(4)).expect_err("Dense");
    assert!(matches!(error, LoadError::Unsupported(_)));
    assert!(error.to_string().contains("the module Dense is not served: export the whole model"), "{error}");
    let error = refused(&Folder::new(&bert()).with_modules(&["Transformer", "Normalize"]), &tokens(4));
    assert!(error.contains("modules.json: expected one Pooling after the transformer, got 0"), "{error}");
    let error = refused(&Folder::new(&bert()).with_modules(&["MLMTransformer", "SpladePooling"]), &tokens(4));
    assert!(error.contains("the module SpladePooling"), "{error}");
    let error = refused(&Folder::new(&bert()).with_modules(&["Transformer", "Pooling"]), &tokens(4));
    assert!(error.contains("it names a Pooling, but there is no "), "{error}");
}

#[test]
fn prompts_cannot_be_left_out_of_what_the_graph_pools() {
    let folder = Folder::new(&bert())
        .with_pooling(&json!({"pooling_mode": "mean", "include_prompt": false}))
        .with_modules(&["Transformer", "Pooling"]);
    let pools = graph(&[("sentence_embedding", 2, Some(4))]);
    assert!(folder.load(&pools).is_ok(), "there are no prompts");
    let folder = folder.with("config_sentence_transformers.json", &json!({"prompts": {"query": "query: "}}));
    let error = refused(&folder, &pools);
    assert!(error.contains("the graph pools by itself and knows nothing of prompts"), "{error}");
}

#[test]
fn inputs_and_outputs_that_mean_nothing_here_are_shown() {
    let folder = Folder::new(&bert());
    let with = |input| {
        let mut signature = tokens(4);
        signature.inputs.push(input);
        refused(&folder, &signature)
    };
    let error = with(spec("past_key_values.0.key", DType::F32, 4, None));
    assert!(error.contains("input \"past_key_values.0.key\" is float32[?,?,?,?]"), "{error}");
    assert!(error.contains("export the model without a cache (use_cache=False)"), "{error}");
    let error = with(spec("task_id", DType::I64, 0, None));
    assert!(error.contains("names input_ids, attention_mask, token_type_ids, position_ids"), "{error}");
    let error = with(spec("position_ids", DType::F32, 2, None));
    assert!(error.contains("expected int64 or int32"), "{error}");
    let mut signature = tokens(4);
    signature.inputs.remove(0);
    assert!(refused(&folder, &signature).contains("needs the input input_ids, but the graph takes attention_mask"));

    let error = refused(&folder, &graph(&[("a", 3, None), ("b", 3, None)]));
    assert!(error.contains("the graph gives \"a\" float32[?,?,?], \"b\" float32[?,?,?]"), "{error}");
    assert!(refused(&folder, &graph(&[("logits", 3, Some(9))])).contains("token classification"));
}

#[test]
fn wrong_values_are_told_by_file_and_key() {
    let wrong = |name: &str, content: Value| refused(&Folder::new(&bert()).with(name, &content), &tokens(4));
    let (sentence, tokenizer) = ("sentence_bert_config.json", "tokenizer_config.json");
    let (prompts, pooling) = ("config_sentence_transformers.json", "1_Pooling/config.json");
    let modes = "\"pooling_mode\": expected one of cls, max, mean, mean_sqrt_len_tokens, weightedmean, lasttoken, got";
    for (name, content, expected) in [
        (sentence, json!({"max_seq_length": "long"}), "\"max_seq_length\": expected a number of tokens, got \"long\""),
        (sentence, json!({"max_seq_length": 0}), "the files leave room for no token at all"),
        (sentence, json!({"max_seq_length": 2}), "2 special tokens leave no room in 2 tokens"),
        (tokenizer, json!({"truncation_side": "up"}), "\"truncation_side\": expected left or right, got \"up\""),
        (tokenizer, json!({"pad_token": 3}), "\"pad_token\": expected a token, got 3"),
        (prompts, json!({"prompts": ["query: "]}), "\"prompts\": expected an object of strings"),
        (
            prompts,
            json!({"prompts": {"a": "A"}, "default_prompt_name": "b"}),
            "\"default_prompt_name\": expected one of the prompts [a], got \"b\"",
        ),
        (pooling, json!({"pooling_mode": "median"}), modes),
        (
            pooling,
            json!({"pooling_mode": 1}),
            "\"pooling_mode\": expected the name of a mode, or a list of them, got 1",
        ),
        (pooling, json!({"word_embedding_dimension": 768}), "expects 768 dimensions a token, but the graph gives 4"),
        (
            "config.json",
            json!({"architectures": "Bert"}),
            "\"architectures\": expected a list of strings, got \"Bert\"",
        ),
        ("modules.json", json!({"0": "Transformer"}), "modules.json: invalid type"),
    ] {
        let error = wrong(name, content);
        assert!(error.contains(expected), "{name}: {error}");
        assert!(expected.starts_with('"') == error.contains(&format!("{name}: \"")), "{name}: {error}");
    }
    let error = refused(&Folder::new(&json!({"model": {"type": "WordPiece"}})), &tokens(4));
    assert!(error.contains("tokenizer.json: "), "{error}");
}

#[test]
fn labels_have_to_fit_the_graph() {
    let wrong = |config: Value| {
        let folder = Folder::new(&bert()).with("config.json", &config);
        refused(&folder, &graph(&[("logits", 2, Some(2))]))
    };
    let error = wrong(json!({"id2label": {"0": "a", "1": "b", "2": "c"}}));
    assert!(error.ends_with("config.json names 3 labels, but the graph gives 2 scores"), "{error}");
    assert!(wrong(json!({"id2label": {"1": "a", "2": "b"}})).contains("expected labels numbered from 0"));
    assert!(wrong(json!({"id2label": {"a": "a"}})).contains("expected labels by number"));
    let error = wrong(json!({"problem_type": "ranking"}));
    assert!(error.contains("single_label_classification, multi_label_classification or regression"), "{error}");
}

#[test]
fn a_template_that_names_no_token_is_refused_at_once() {
    let mut tokenizer = bert();
    tokenizer["post_processor"]["special_tokens"] = json!({});
    let error = refused(&Folder::new(&tokenizer), &tokens(4));
    assert!(error.contains("tokenizer.json: its post_processor is broken"), "{error}");
}
