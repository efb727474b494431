//! How long encoding takes, in bytes of text, so that much of it leaves the reactor.

use perch_models::text::{TextConfig, TextInput};

/// Encoding that costs more takes longer than 500 µs, at 2.3 µs a word: it leaves the reactor.
pub const SMALL: usize = 1 << 10;
/// A text costs this much however short it is.
const EACH: usize = 32;

/// What one text costs, behind a prompt of so many bytes.
#[must_use]
pub const fn text(bytes: usize, prompt: usize) -> usize {
    EACH.saturating_add(bytes).saturating_add(prompt)
}

/// What each of the inputs costs with that prompt, or the model's own.
pub fn inputs(config: &TextConfig, prompt: Option<&str>, inputs: &[TextInput]) -> Vec<usize> {
    let prompt = self::prompt(config, prompt);
    let cost = |input: &TextInput| match input {
        // Two texts have no prompt.
        TextInput::Pair(..) => text(input.bytes(), 0),
        TextInput::Text(_) | TextInput::Ids(_) => text(input.bytes(), prompt),
    };
    inputs.iter().map(cost).collect()
}

/// Bytes that stand before each text: those of the prompt that is named, or else of the model's own.
#[must_use]
pub fn prompt(config: &TextConfig, name: Option<&str>) -> usize {
    let name = name.or(config.default_prompt.as_deref());
    name.and_then(|name| config.prompts.get(name)).map_or(0, String::len)
}

#[cfg(test)]
mod tests {
    use super::super::bounds::tests::config;
    use super::*;

    fn total(config: &TextConfig, prompt: Option<&str>, texts: usize, bytes: usize) -> usize {
        inputs(config, prompt, &vec![TextInput::Text("x".repeat(bytes)); texts]).iter().sum()
    }

    #[test]
    fn many_short_texts_are_not_small() {
        let config = config(Some(4), &[]);
        assert!(total(&config, None, 1, 500) <= SMALL);
        assert!(total(&config, None, 8, 60) <= SMALL);
        assert!(total(&config, None, 500, 2) > SMALL);
    }

    #[test]
    fn a_prompt_is_part_of_each_text() {
        let mut config = config(Some(4), &[]);
        config.prompts = [("long".to_owned(), "p".repeat(2000)), ("short".to_owned(), "p".to_owned())].into();
        assert_eq!([None, Some("short"), Some("none")].map(|name| prompt(&config, name)), [0, 1, 0]);
        config.default_prompt = Some("long".to_owned());
        assert_eq!([None, Some("short")].map(|name| prompt(&config, name)), [2000, 1]);
        assert!(total(&config, None, 1, 2) > SMALL && total(&config, Some("short"), 1, 2) <= SMALL);
        let pair = [TextInput::Pair("a".into(), "b".into())];
        assert_eq!(inputs(&config, None, &pair), [EACH + 2]);
    }
}
