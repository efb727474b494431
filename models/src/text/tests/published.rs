//! Descriptions as published models have them.

use serde_json::{Map, Value, json};

use super::fixtures::{Folder, bert, graph, qwen, spec, tokens, xlmr};
use crate::dtype::DType;
use crate::layout::{SENTENCE_CONFIGS, text_files};
use crate::text::files::Files;
use crate::text::pool::Mode;
use crate::text::vector::Activation;
use crate::text::{Direction, Task, TextConfig, TextModel};

const MODULES: [&str; 3] = ["Transformer", "Pooling", "Normalize"];

#[test]
fn a_folder_without_a_tokenizer_is_no_text_model() {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("config.json"), "{}").expect("written");
    assert!(TextModel::load(dir.path(), &tokens(4)).expect("not looked at").is_none());
}

/// What is read has to be known by its hash.
#[test]
fn everything_that_is_read_is_in_the_digest() {
    for sentence in SENTENCE_CONFIGS {
        let mut folder = Folder::new(&bert()).with(sentence, &json!({}));
        for name in ["config", "tokenizer_config", "special_tokens_map", "config_sentence_transformers"] {
            folder = folder.with(&format!("{name}.json"), &json!({}));
        }
        let files = Files::read(folder.path()).expect("empty");
        let hashed = text_files(folder.path()).expect("listed");
        for file in [files.config, files.tokenizer, files.special, files.sentence, files.prompts] {
            let name = file.path().strip_prefix(folder.path()).expect("inside");
            assert!(hashed.contains(&name.to_owned()), "{}", name.display());
        }
    }
}

/// sentence-transformers/all-MiniLM-L6-v2
#[test]
fn minilm_is_a_normalised_mean() {
    let config = json!({
        "architectures": ["BertModel"], "model_type": "bert", "pad_token_id": 0, "max_position_embeddings": 512,
        "vocab_size": 30522,
    });
    let pooling = json!({
        "word_embedding_dimension": 4, "pooling_mode_cls_token": false, "pooling_mode_mean_tokens": true,
        "pooling_mode_max_tokens": false, "pooling_mode_mean_sqrt_len_tokens": false,
    });
    let versions = json!({"__version__": {"sentence_transformers": "2.0.0"}});
    let tokenizer = json!({"do_lower_case": true, "pad_token": "[PAD]", "model_max_length": 512});
    let folder = Folder::new(&bert())
        .with("config.json", &config)
        .with("tokenizer_config.json", &tokenizer)
        .with("sentence_bert_config.json", &json!({"max_seq_length": 256, "do_lower_case": false}))
        .with("config_sentence_transformers.json", &versions)
        .with_pooling(&pooling)
        .with_modules(&MODULES);
    let model = folder.loaded(&tokens(4));
    assert!(model.may_pad() && model.fixed_length().is_none());
    let expected = TextConfig {
        task: Task::Embedding,
        pooling: vec![Mode::Mean],
        include_prompt: true,
        normalise: true,
        dimensions: Some(4),
        max_tokens: 256,
        truncation: Direction::Right,
        prompts: [].into(),
        default_prompt: None,
        pad_id: 0,
        first_position: 0,
        labels: vec![],
        activation: Activation::Identity,
        family: Some("bert".into()),
    };
    assert_eq!(model.config(), &expected);
    assert_eq!(model.config().task.name(), "embedding");
}

/// BAAI/bge-small-en-v1.5, which has labels although it classifies nothing.
#[test]
fn bge_takes_the_first_token() {
    let labelled = json!({
        "architectures": ["BertModel"], "id2label": {"0": "LABEL_0"}, "max_position_embeddings": 512,
    });
    let pooling = json!({
        "word_embedding_dimension": 4, "pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false,
    });
    let folder = Folder::new(&bert())
        .with("config.json", &labelled)
        .with("tokenizer_config.json", &json!({"model_max_length": 1e30}))
        .with_pooling(&pooling)
        .with_modules(&MODULES);
    let config = folder.loaded(&tokens(4)).config().clone();
    assert_eq!((config.task, config.max_tokens), (Task::Embedding, 512));
    assert_eq!((config.pooling, config.normalise), (vec![Mode::Cls], true));
}

/// intfloat/multilingual-e5-base: XLM-R, whose places begin after the padding's.
#[test]
fn e5_has_prompts_and_places_after_padding() {
    let mut signature = tokens(4);
    signature.inputs = vec![spec("position_ids", DType::I32, 2, None), spec("input_ids", DType::I32, 2, None)];
    let config = json!({
        "architectures": ["XLMRobertaModel"], "model_type": "xlm-roberta", "pad_token_id": 1,
        "max_position_embeddings": 514,
    });
    let tokenizer = json!({"pad_token": {"content": "<pad>"}, "model_max_length": 8192, "truncation_side": "left"});
    let prompts = json!({"prompts": {"query": "query: ", "document": null}, "default_prompt_name": "query"});
    let folder = Folder::new(&xlmr())
        .with("config.json", &config)
        .with("tokenizer_config.json", &tokenizer)
        .with("config_sentence_transformers.json", &prompts)
        .with_pooling(&json!({"embedding_dimension": 4, "pooling_mode": "mean", "include_prompt": true}))
        .with_modules(&["Transformer", "Pooling"]);
    let model = folder.loaded(&signature);
    assert!(!model.may_pad(), "there is no mask");
    let config = model.config();
    assert_eq!((config.max_tokens, config.first_position, config.pad_id), (512, 2, 1));
    assert_eq!((config.truncation, config.normalise), (Direction::Left, false));
    let prompts: Vec<_> = config.prompts.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    assert_eq!(prompts, [("document", ""), ("query", "query: ")]);
    assert_eq!(config.default_prompt.as_deref(), Some("query"));
}

/// Qwen/Qwen3-Embedding-0.6B: the last token; padded on the left in Python.
#[test]
fn qwen_takes_the_last_token() {
    let config = json!({
        "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "max_position_embeddings": 32768,
        "vocab_size": 300,
    });
    let tokenizer = json!({
        "padding_side": "left", "pad_token": "<|endoftext|>", "eos_token": "<|im_end|>", "model_max_length": 131_072,
    });
    let prompts = json!({
        "prompts": {"query": "Instruct: ", "document": ""}, "default_prompt_name": null, "similarity_fn_name": "cosine",
    });
    let pooling = json!({
        "word_embedding_dimension": 4, "pooling_mode_lasttoken": true, "pooling_mode_mean_tokens": false,
        "include_prompt": true,
    });
    let folder = Folder::new(&qwen())
        .with("config.json", &config)
        .with("tokenizer_config.json", &tokenizer)
        .with("config_sentence_transformers.json", &prompts)
        .with_pooling(&pooling)
        .with_modules(&MODULES);
    let config = folder.loaded(&tokens(4)).config().clone();
    assert_eq!((config.pooling, config.max_tokens, config.pad_id), (vec![Mode::LastToken], 32768, 257));
}

/// A whole model of sentence-transformers in one graph, as optimum exports it: what lies between is in the graph.
#[test]
fn a_graph_that_pools_needs_no_pooling() {
    let signature = graph(&[("token_embeddings", 3, Some(4)), ("sentence_embedding", 2, Some(3))]);
    let folder = Folder::new(&bert()).with_pooling(&json!({"pooling_mode": "mean"})).with_modules(&[
        "Transformer",
        "Pooling",
        "Dense",
        "Normalize",
    ]);
    let config = folder.loaded(&signature).config().clone();
    assert_eq!((config.task, config.dimensions, config.normalise), (Task::Embedding, Some(3), true));
    assert!(config.pooling.is_empty());
    let config = Folder::new(&bert()).loaded(&graph(&[("embeddings", 2, None)])).config().clone();
    assert_eq!((config.task, config.dimensions, config.normalise), (Task::Embedding, None, false));
}

/// What sentence-transformers itself does with a model that it knows nothing of.
#[test]
fn a_tokenizer_alone_means_the_mean() {
    let config = Folder::new(&bert()).loaded(&tokens(4)).config().clone();
    assert_eq!((config.pooling, config.normalise, config.max_tokens), (vec![Mode::Mean], false, 512));
    assert_eq!((config.pad_id, config.dimensions), (0, Some(4)));
}

#[test]
fn pooling_is_read_without_a_list_of_modules_and_may_be_of_several_modes() {
    let load = |pooling| Folder::new(&bert()).with_pooling(&pooling).loaded(&tokens(4)).config().clone();
    let flags = json!({"pooling_mode_cls_token": true, "pooling_mode_max_tokens": true, "include_prompt": false});
    let config = load(flags);
    assert_eq!((config.pooling, config.include_prompt), (vec![Mode::Cls, Mode::Max], false));
    assert_eq!(config.dimensions, Some(8));
    let config = load(json!({"pooling_mode": ["weightedmean", "mean_sqrt_len_tokens"]}));
    assert_eq!(config.pooling, [Mode::WeightedMean, Mode::MeanSqrtLen]);
}

/// BAAI/bge-reranker-base
#[test]
fn one_label_is_a_reranker() {
    let config = json!({
        "architectures": ["XLMRobertaForSequenceClassification"], "model_type": "xlm-roberta", "pad_token_id": 1,
        "id2label": {"0": "LABEL_0"}, "max_position_embeddings": 514,
    });
    let folder = Folder::new(&xlmr()).with("config.json", &config);
    let config = folder.loaded(&graph(&[("logits", 2, Some(1))])).config().clone();
    assert_eq!((config.task, config.activation), (Task::Reranker, Activation::Sigmoid));
    assert_eq!((config.labels, config.max_tokens), (vec!["LABEL_0".to_owned()], 512));
    // An output of another name, whose last dimension was squeezed away.
    assert_eq!(folder.loaded(&graph(&[("score", 1, None)])).config().task, Task::Reranker);
    assert_eq!(Folder::new(&xlmr()).loaded(&graph(&[("logits", 1, Some(1))])).config().task, Task::Reranker);
}

/// distilbert-base-uncased-finetuned-sst-2-english and its like
#[test]
fn several_labels_are_a_classifier() {
    let load = |config: Value| {
        let folder = Folder::new(&bert()).with("config.json", &config);
        let config = folder.loaded(&graph(&[("logits", 2, Some(2))])).config().clone();
        (config.task, config.labels.join(","), config.activation)
    };
    let architectures = ["DistilBertForSequenceClassification"];
    let labels = json!({"1": "POSITIVE", "0": "NEGATIVE"});
    let got = load(json!({"architectures": architectures, "id2label": labels, "problem_type": null}));
    assert_eq!(got, (Task::Classifier, "NEGATIVE,POSITIVE".into(), Activation::Softmax));
    let got = load(json!({"id2label": labels, "problem_type": "multi_label_classification"}));
    assert_eq!(got, (Task::Classifier, "NEGATIVE,POSITIVE".into(), Activation::Sigmoid));
    // transformers leaves out what is its default.
    let got = load(json!({"architectures": architectures, "problem_type": "regression"}));
    assert_eq!(got, (Task::Classifier, "LABEL_0,LABEL_1".into(), Activation::Identity));
}

#[test]
fn ten_labels_are_in_the_order_of_their_numbers() {
    let labels: Map<String, Value> = (0..11).map(|i| (i.to_string(), json!(format!("L{i}")))).collect();
    let folder = Folder::new(&bert()).with("config.json", &json!({"id2label": labels}));
    let config = folder.loaded(&graph(&[("scores", 2, None)])).config().clone();
    assert_eq!((config.task, config.labels.last().map(String::as_str)), (Task::Classifier, Some("L10")));
}
