//! Plain texts are split as the crate splits them.

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value, json};
use tokenizers::Tokenizer;

use super::fixtures::{bert, qwen, xlmr};
use crate::text::Direction;
use crate::text::plain::Plain;
use crate::text::row::{self, Rules};

const RULES: Rules = Rules { limit: 64, special: true, truncate: true, direction: Direction::Right };

fn tokenizer(file: &Value) -> Tokenizer {
    let mut tokenizer = Tokenizer::from_bytes(file.to_string()).expect("a tokenizer");
    tokenizer.with_padding(None).with_truncation(None).expect("none");
    tokenizer
}

/// Changes what `at` points to.
fn with(mut file: Value, at: &str, value: Value) -> Value {
    *file.pointer_mut(at).expect(at) = value;
    file
}

/// Tokenizers of BERT's kind.
static KINDS: LazyLock<Vec<(Tokenizer, Plain)>> = LazyLock::new(|| {
    let user = json!({
        "id": 99, "content": "@User", "single_word": false, "lstrip": false, "rstrip": false, "normalized": true,
        "special": false,
    });
    let files = [
        bert(),
        with(bert(), "/normalizer/lowercase", json!(false)),
        with(bert(), "/normalizer/clean_text", json!(false)),
        with(bert(), "/model/max_input_chars_per_word", json!(4)),
        with(bert(), "/added_tokens/4", user),
        with(bert(), "/post_processor", Value::Null),
        with(bert(), "/post_processor", json!({"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]})),
    ];
    let kind = |file| {
        let tokenizer = tokenizer(file);
        let plain = Plain::of(&tokenizer).expect("of BERT's kind");
        (tokenizer, plain)
    };
    files.iter().map(kind).collect()
});

#[test]
fn plain_texts_need_no_crate_and_others_do() {
    let (tokenizer, plain) = &KINDS[0];
    let ids = |text| plain.encode(tokenizer, text, RULES).map(|row| row.expect("short").0);
    assert_eq!(ids("Hello,\tworld! "), Some(vec![2, 5, 12, 6, 14, 3]));
    assert_eq!(ids(" "), Some(vec![2, 3]));
    assert_eq!(ids("H\u{c9}LLO w\u{f6}rld"), ids("hello world"));
    for other in [
        "he\u{301}llo",
        "\u{d7}",
        "\u{e9} \u{4f60}",
        "a\u{0}b",
        "\u{7f}",
        "\u{b}",
        "see [MASK]",
        "\u{a0}",
        &"a ".repeat(4097),
    ] {
        assert_eq!(ids(other), None, "{other:?}");
    }
}

#[test]
fn latin_letters_are_split_here_and_as_the_crate_splits_them() {
    for (tokenizer, plain) in KINDS.iter() {
        let mut left = 0;
        for letter in '\u{c0}'..='\u{24f}' {
            let text = format!("{letter} h{letter}llo {letter}{letter}");
            let theirs = row::encode(tokenizer, &text, None, RULES).expect("short").encoding.get_ids().to_vec();
            match plain.encode(tokenizer, &text, RULES) {
                Some(ours) => assert_eq!(ours.expect("short").0, theirs, "{text}"),
                None => left += 1,
            }
        }
        assert!(left < 8, "{left} letters are left to the crate");
    }
}

#[test]
fn other_tokenizers_are_left_to_the_crate() {
    let odd = [
        xlmr(),
        qwen(),
        with(bert(), "/normalizer", json!({"type": "Lowercase"})),
        with(bert(), "/normalizer", Value::Null),
        with(bert(), "/pre_tokenizer", json!({"type": "Whitespace"})),
        // An added token that a text of ASCII may turn into, or that may be anywhere.
        with(bert(), "/added_tokens/4/content", json!("\u{e9}t\u{e9}")),
        with(bert(), "/added_tokens/4/content", json!(" the")),
        // A text that comes twice, and one that is of the second type.
        with(
            bert(),
            "/post_processor/single",
            json!([{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]),
        ),
        with(bert(), "/post_processor/single/1/Sequence/type_id", json!(1)),
        with(bert(), "/model/unk_token", json!("none")),
    ];
    for file in odd {
        assert_eq!(Plain::of(&tokenizer(&file)), None, "{file}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn they_say_the_same(
        text in "([ -~\\t\\n\\r]{0,12}|( |\\[|hello|World|THE|the|ing|[a-z]{1,9}|[0-9]|@[uU]ser|[.,!?@]){0,30}\
            |( |\\[|h\u{e9}llo|THE|[a-z]{1,3}|[0-9]|@[uU]ser|[.,!?@]|[\u{a0}-\u{250}]{1,3}){0,30})",
        limit in 0_usize..24, special in any::<bool>(), truncate in any::<bool>(), left in any::<bool>(),
    ) {
        let direction = if left { Direction::Left } else { Direction::Right };
        let rules = Rules { limit, special, truncate, direction };
        for (tokenizer, plain) in KINDS.iter() {
            if let Some(ours) = plain.encode(tokenizer, &text, rules) {
                let theirs = row::encode(tokenizer, &text, None, rules);
                let theirs = theirs.map(|row| (row.encoding.get_ids().to_vec(), row.cut));
                prop_assert_eq!(ours.map_err(|error| error.to_string()), theirs.map_err(|error| error.to_string()));
            }
        }
    }
}
