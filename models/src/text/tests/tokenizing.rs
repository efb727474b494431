//! From texts to tokens, with tokenizers of every kind.

use proptest::prelude::*;
use serde_json::json;

use super::fixtures::{Folder, bert, graph, qwen, tokens, xlmr};
use crate::text::{Direction, EncodeOptions, Input, TextError, TextModel, Token};

fn model(max_tokens: usize) -> TextModel {
    let folder = Folder::new(&bert())
        .with("sentence_bert_config.json", &json!({"max_seq_length": max_tokens}))
        .with("config_sentence_transformers.json", &json!({"prompts": {"query": "query: ", "none": ""}}));
    folder.loaded(&tokens(4))
}

fn reranker(tokenizer: &serde_json::Value) -> TextModel {
    Folder::new(tokenizer).with("sentence_bert_config.json", &json!({"max_seq_length": 9})).loaded(&graph(&[(
        "logits",
        2,
        Some(1),
    )]))
}

fn cutting(direction: Direction) -> EncodeOptions<'static> {
    EncodeOptions { truncate: true, direction: Some(direction), ..EncodeOptions::default() }
}

fn ids(model: &TextModel, text: &str, options: &EncodeOptions<'_>) -> Vec<u32> {
    model.encode(Input::Text(text), options).expect(text).ids
}

/// Letters of [`bert`], by their place.
fn letter(letter: char) -> u32 {
    16 + u32::from(letter) - u32::from('a')
}

#[test]
fn the_files_own_padding_and_truncation_are_off() {
    let sequence = model(16).encode(Input::Text("Hello, WORLD!"), &EncodeOptions::default()).expect("short");
    assert_eq!(sequence.ids, [2, 5, 12, 6, 14, 3]);
    assert_eq!((sequence.type_ids.len(), sequence.skip, sequence.len(), sequence.is_empty()), (0, 0, 6, false));
    let bare = EncodeOptions { special: false, ..EncodeOptions::default() };
    assert_eq!(ids(&model(16), "Hello, WORLD!", &bare), [5, 12, 6, 14]);
}

#[test]
fn what_is_too_long_is_refused_or_cut_between_the_special_tokens() {
    let model = model(5);
    let error = model.encode(Input::Text("a b c d"), &EncodeOptions::default()).expect_err("6 tokens");
    assert_eq!(error.to_string(), "`inputs` must have less than 5 tokens. Given: 6");
    assert!(error.is_invalid_input());
    let [a, b, c, d] = ['a', 'b', 'c', 'd'].map(letter);
    assert_eq!(ids(&model, "a b c d", &cutting(Direction::Right)), [2, a, b, c, 3]);
    assert_eq!(ids(&model, "a b c d", &cutting(Direction::Left)), [2, b, c, d, 3]);
    assert_eq!(ids(&model, "a b c", &EncodeOptions::default()), [2, a, b, c, 3]);
    let shorter = EncodeOptions { max_tokens: Some(4), ..cutting(Direction::Right) };
    assert_eq!(ids(&model, "a b c d", &shorter), [2, a, b, 3]);
    let longer = EncodeOptions { max_tokens: Some(99), ..EncodeOptions::default() };
    assert!(model.encode(Input::Text("a b c d"), &longer).is_err(), "the model takes no more");
    let error =
        model.encode(Input::Text(&"x".repeat(1251)), &EncodeOptions::default()).expect_err("too long to look at");
    assert_eq!(error.to_string(), "`inputs` must have less than 1250 characters. Given: 1251");
}

#[test]
fn the_cut_is_at_the_same_place_however_long_the_text_is() {
    let model = model(100);
    let text: String = (b'a'..=b'z').cycle().take(20_000).map(|i| format!("w{}ing hello, ", char::from(i))).collect();
    let all = EncodeOptions { special: false, truncate: true, max_tokens: None, ..EncodeOptions::default() };
    for direction in [Direction::Left, Direction::Right] {
        let got = ids(&model, &text, &EncodeOptions { direction: Some(direction), ..all });
        let end = if direction == Direction::Right { &text[..3000] } else { &text[text.len() - 3000..] };
        let (tokenizer, _) = model.tokenizer().parts();
        let whole = tokenizer.encode_fast(end, false).expect("split");
        let kept =
            if direction == Direction::Right { &whole.get_ids()[..100] } else { &whole.get_ids()[whole.len() - 100..] };
        assert_eq!(got, kept, "{direction:?}");
    }
}

#[test]
fn nothing_is_not_encoded() {
    let model = model(16);
    for input in [Input::Text(""), Input::Ids(&[]), Input::Pair("", "")] {
        assert_eq!(model.encode(input, &EncodeOptions::default()), Err(TextError::Empty));
        assert_eq!(model.tokenizer().tokens(input, true, None), Err(TextError::Empty));
    }
    assert_eq!(TextError::Empty.to_string(), "`inputs` cannot be empty");
    assert_eq!(ids(&model, "  \t", &EncodeOptions::default()), [2, 3], "white space is a text");
    let bare = EncodeOptions { special: false, ..EncodeOptions::default() };
    assert_eq!(model.encode(Input::Text("  "), &bare), Err(TextError::Empty), "no token is left");
    assert_eq!(model.tokenizer().decode(&[], true), Err(TextError::Empty));
}

#[test]
fn prompts_go_before_the_text() {
    let model = model(16);
    let named = |name| EncodeOptions { prompt: Some(name), ..EncodeOptions::default() };
    assert_eq!(ids(&model, "hello", &named("query")), [2, 7, 11, 5, 3]);
    assert_eq!(ids(&model, "hello", &named("none")), [2, 5, 3]);
    assert_eq!(ids(&model, "hello", &EncodeOptions::default()), [2, 5, 3]);
    let error = model.encode(Input::Text("hello"), &named("quarry")).expect_err("no such prompt");
    assert_eq!(error.to_string(), "unknown prompt \"quarry\": expected none, query");
    let error = model.encode(Input::Pair("a", "b"), &named("query")).expect_err("two texts");
    assert_eq!(error.to_string(), "`prompt_name` cannot be set with dual inputs");
    let sequence = model.encode(Input::Ids(&[2, 5, 3]), &named("query")).expect("as text");
    assert_eq!(sequence.ids, [2, 7, 11, 5, 3]);
    let none = Folder::new(&bert()).loaded(&tokens(4));
    let error = none.encode(Input::Text("hello"), &named("query")).expect_err("no prompts");
    assert_eq!(error.to_string(), "unknown prompt \"query\": expected none, the model has no prompts");
}

#[test]
fn the_default_prompt_is_taken_where_none_is_named() {
    let prompts = json!({"prompts": {"query": "query: ", "none": ""}, "default_prompt_name": "query"});
    let model = Folder::new(&bert()).with("config_sentence_transformers.json", &prompts).loaded(&tokens(4));
    assert_eq!(ids(&model, "hello", &EncodeOptions::default()), [2, 7, 11, 5, 3]);
    assert_eq!(ids(&model, "hello", &EncodeOptions { prompt: Some("none"), ..EncodeOptions::default() }), [2, 5, 3]);
    let pair = model.encode(Input::Pair("a", "b"), &EncodeOptions::default()).expect("without a prompt");
    assert_eq!(pair.ids, [2, letter('a'), 3, letter('b'), 3]);
    let shown = model.tokenizer().tokens(Input::Text("hello"), false, None).expect("shown");
    assert_eq!(shown.iter().map(|token| token.id).collect::<Vec<_>>(), [7, 11, 5]);
}

#[test]
fn a_prompt_that_is_not_pooled_is_counted() {
    let prompts = json!({"prompts": {"query": "query: the "}, "default_prompt_name": "query"});
    let folder = Folder::new(&bert())
        .with("config_sentence_transformers.json", &prompts)
        .with("sentence_bert_config.json", &json!({"max_seq_length": 6}))
        .with("1_Pooling/config.json", &json!({"pooling_mode": "mean", "include_prompt": false}));
    let model = folder.loaded(&tokens(4));
    let skip = |text: &str, direction| {
        let sequence = model.encode(Input::Text(text), &cutting(direction)).expect(text);
        (sequence.ids, sequence.skip)
    };
    // [CLS] query : the | hello [SEP]
    assert_eq!(skip("hello", Direction::Right), (vec![2, 7, 11, 9, 5, 3], 4));
    assert_eq!(skip("hello world", Direction::Right), (vec![2, 7, 11, 9, 5, 3], 4));
    assert_eq!(skip("hello world", Direction::Left), (vec![2, 11, 9, 5, 6, 3], 3));
}

#[test]
fn tokens_are_taken_as_they_are() {
    let model = model(4);
    let encode =
        |ids: &[u32], options: &EncodeOptions<'_>| model.encode(Input::Ids(ids), options).map(|sequence| sequence.ids);
    assert_eq!(encode(&[2, 5, 3], &EncodeOptions::default()), Ok(vec![2, 5, 3]));
    assert_eq!(encode(&[5, 6, 7, 8, 9], &cutting(Direction::Right)), Ok(vec![5, 6, 7, 8]));
    assert_eq!(encode(&[5, 6, 7, 8, 9], &cutting(Direction::Left)), Ok(vec![6, 7, 8, 9]));
    assert_eq!(encode(&[5; 5], &EncodeOptions::default()), Err(TextError::TooLong { limit: 4, given: 5 }));
    let error = encode(&[5, 68], &EncodeOptions::default()).expect_err("68 tokens");
    assert_eq!(error.to_string(), "token 68 is not in the vocabulary: expected ids below 68");
    assert!(model.tokenizer().decode(&[u32::MAX], true).is_err());
    let more = Folder::new(&bert()).with("config.json", &json!({"vocab_size": 80})).loaded(&tokens(4));
    assert!(more.encode(Input::Ids(&[79]), &EncodeOptions::default()).is_ok(), "the graph has more rows");
}

#[test]
fn two_texts_share_the_room_and_have_types() {
    let model = reranker(&bert());
    let encode = |first, second, options: &EncodeOptions<'_>| model.encode(Input::Pair(first, second), options);
    let [a, b, c, d] = ['a', 'b', 'c', 'd'].map(letter);
    let sequence = encode("a b", "c d", &EncodeOptions::default()).expect("short");
    assert_eq!((sequence.ids, sequence.type_ids), (vec![2, a, b, 3, c, d, 3], vec![0, 0, 0, 0, 1, 1, 1]));
    let error = encode("a b c d", "a b c", &EncodeOptions::default()).expect_err("10 tokens");
    assert_eq!(error, TextError::TooLong { limit: 9, given: 10 });
    let sequence = encode("a b", "a b c d d d", &cutting(Direction::Right)).expect("cut");
    assert_eq!(sequence.ids, [2, a, b, 3, a, b, c, d, 3]);
    let sequence = encode("a b c d", "a b c d", &cutting(Direction::Left)).expect("cut");
    assert_eq!(sequence.ids, [2, b, c, d, 3, b, c, d, 3]);
    let sequence = encode("a b c d", "", &cutting(Direction::Left)).expect("one is empty");
    assert_eq!(sequence.ids, [2, a, b, c, d, 3, 3]);

    let sequence = reranker(&xlmr()).encode(Input::Pair("hello", "world"), &EncodeOptions::default()).expect("short");
    assert_eq!((sequence.ids, sequence.type_ids.len()), (vec![0, 5, 2, 2, 6, 2], 0));
    // No template at all: the types are all that tells the texts apart.
    let sequence = reranker(&qwen()).encode(Input::Pair("he", "he"), &EncodeOptions::default()).expect("short");
    assert_eq!((sequence.ids, sequence.type_ids), (vec![256, 256], vec![0, 1]));
}

#[test]
fn an_end_that_only_python_would_add_is_added() {
    let config = json!({"eos_token": {"content": "<|endoftext|>"}, "add_eos_token": true});
    let folder = Folder::new(&qwen()).with("tokenizer_config.json", &config);
    assert_eq!(ids(&folder.loaded(&tokens(4)), "he", &EncodeOptions::default()), [256, 257]);
    assert_eq!(ids(&Folder::new(&qwen()).loaded(&tokens(4)), "he", &EncodeOptions::default()), [256]);
    let broken =
        Folder::new(&qwen()).with("tokenizer_config.json", &json!({"eos_token": "</s>", "add_eos_token": true}));
    let error = broken.load(&tokens(4)).expect_err("no such token").to_string();
    assert!(error.contains("\"eos_token\": expected a token of the vocabulary, got \"</s>\""), "{error}");
}

#[test]
fn lower_case_is_asked_for_by_sentence_transformers() {
    let cased = Folder::new(&xlmr());
    assert_eq!(ids(&cased.loaded(&tokens(4)), "HELLO", &EncodeOptions::default()), [0, 4, 3, 2]);
    let lowered = cased.with("sentence_bert_config.json", &json!({"do_lower_case": true}));
    assert_eq!(ids(&lowered.loaded(&tokens(4)), "HELLO", &EncodeOptions::default()), [0, 5, 2]);
}

#[test]
fn tokens_are_shown_with_their_places_in_bytes() {
    let model = model(16);
    let tokens = model.tokenizer().tokens(Input::Text("Hé, hello"), true, None).expect("shown");
    let special = |id, text: &str| Token { id, text: text.into(), special: true, start: None, stop: None };
    let token = |id, text: &str, start: usize| Token {
        id,
        text: text.into(),
        special: false,
        start: Some(start),
        stop: Some(start + text.len()),
    };
    let e = 42 + 4;
    let expected = [
        special(2, "[CLS]"),
        token(letter('h'), "H", 0),
        token(e, "é", 1),
        token(12, ",", 3),
        token(5, "hello", 5),
        special(3, "[SEP]"),
    ];
    assert_eq!(tokens, expected);
    let prompted = model.tokenizer().tokens(Input::Text("hello"), false, Some("query")).expect("shown");
    assert_eq!(prompted, [token(7, "query", 0), token(11, ":", 5), token(5, "hello", 7)]);
    let from_ids = model.tokenizer().tokens(Input::Ids(&[5, 6]), true, None).expect("shown");
    assert_eq!(from_ids, [token(5, "hello", 0), token(6, "world", 6)]);
    let pair = model.tokenizer().tokens(Input::Pair("hello", "the world"), true, None).expect("shown");
    assert_eq!(pair[3], token(9, "the", 0));
    // A byte of a character.
    let bytes = Folder::new(&qwen()).loaded(&super::fixtures::tokens(4));
    let shown = bytes.tokenizer().tokens(Input::Text("hé"), true, None).expect("shown");
    assert_eq!(shown.len(), 3);
    assert_eq!(model.tokenizer().decode(&[2, 5, 12, 6, 3], true).expect("text"), "hello, world");
    assert_eq!(model.tokenizer().decode(&[2, 5, 3], false).expect("text"), "[CLS] hello [SEP]");
}

#[test]
fn a_tokenizer_is_shared_by_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<TextModel>();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_text_is_encoded_or_refused(
        text in "\\PC{0,200}|[\\x00-\\u{10ffff}]{0,60}", other in "\\PC{0,40}", left in any::<bool>(),
    ) {
        let direction = if left { Direction::Left } else { Direction::Right };
        for tokenizer in [bert(), xlmr(), qwen()] {
            let model = reranker(&tokenizer);
            for options in [EncodeOptions::default(), cutting(direction)] {
                for input in [Input::Text(&text), Input::Pair(&text, &other)] {
                    match model.encode(input, &options) {
                        Ok(sequence) => prop_assert!((1..=9).contains(&sequence.len())),
                        Err(error) => prop_assert!(error.is_invalid_input(), "{}", error),
                    }
                }
            }
            if let Ok(tokens) = model.tokenizer().tokens(Input::Text(&text), true, None) {
                let ids: Vec<u32> = tokens.iter().map(|token| token.id).collect();
                prop_assert!(ids.is_empty() || model.tokenizer().decode(&ids, true).is_ok());
                prop_assert!(tokens.iter().all(|token| token.stop.is_none_or(|stop| stop <= text.len())));
            }
        }
    }

    #[test]
    fn special_tokens_stay_where_they_are(text in "[a-z ]{0,80}", left in any::<bool>(), most in 3_usize..30) {
        let direction = if left { Direction::Left } else { Direction::Right };
        let model = model(30);
        prop_assume!(!text.is_empty());
        let got = ids(&model, &text, &EncodeOptions { max_tokens: Some(most), ..cutting(direction) });
        prop_assert!(got.len() <= most);
        prop_assert_eq!((got.first(), got.last()), (Some(&2), Some(&3)));
        let (tokenizer, _) = model.tokenizer().parts();
        let all = tokenizer.encode_fast(text.as_str(), false).expect("split");
        let inner = &got[1..got.len() - 1];
        prop_assert_eq!(inner.len(), all.len().min(most - 2));
        let kept = if left { all.get_ids().ends_with(inner) } else { all.get_ids().starts_with(inner) };
        prop_assert!(kept);
    }
}
