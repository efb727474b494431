//! `${NAME}` in a text of the file, and `$${` for a `${` that is meant as it stands.

/// A text with its variables filled in.
#[derive(Debug, PartialEq)]
pub(super) struct Expanded {
    pub text: String,
    /// Whether any variable was put in (an escape alone changes no type).
    pub replaced: bool,
}

/// Fills in every `${NAME}`. All that is wrong is returned at once, with pieces of the text as `shown`
/// repeats them. A value that was put in is not looked at again: an environment cannot make the file
/// read other variables.
pub(super) fn expand<'e>(
    text: &str,
    shown: fn(&str) -> String,
    lookup: impl Fn(&str) -> Option<&'e str>,
) -> Result<Expanded, Vec<String>> {
    let mut out = String::with_capacity(text.len());
    let mut wrong = Vec::new();
    let mut replaced = false;
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, tail) = rest.split_at(at);
        let inside = &tail[2..];
        if let Some(before) = before.strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            rest = inside;
            continue;
        }
        out.push_str(before);
        let Some((name, after)) = inside.split_once('}') else {
            wrong.push(format!("{} has no closing brace", shown(tail)));
            break;
        };
        rest = after;
        if !is_name(name) {
            wrong.push(format!(
                "{} is not a variable's name: expected ${{NAME}}, or $${{ for the text itself",
                shown(name)
            ));
        } else if let Some(value) = lookup(name) {
            out.push_str(value);
            replaced = true;
        } else {
            wrong.push(format!("the environment variable {name} is not set"));
        }
    }
    out.push_str(rest);
    if wrong.is_empty() { Ok(Expanded { text: out, replaced }) } else { Err(wrong) }
}

/// The text as the file would have to hold it to mean the same.
pub(super) fn escape(text: &str) -> String {
    text.replace("${", "$${")
}

/// Whether a variable may be called this.
pub(super) fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::error::quote;
    use proptest::prelude::*;

    fn run(text: &str) -> Result<Expanded, Vec<String>> {
        expand(text, quote, |name| match name {
            "HOST" => Some("example.org"),
            "EMPTY" => Some(""),
            "NESTED" => Some("${HOST}"),
            _ => None,
        })
    }

    #[test]
    fn names_are_filled_in() {
        for (text, out, replaced) in [
            ("plain $HOST", "plain $HOST", false),
            ("${HOST}", "example.org", true),
            ("a${HOST}b${HOST}", "aexample.orgbexample.org", true),
            ("[${EMPTY}]", "[]", true),
            ("${NESTED}", "${HOST}", true),
            ("$${HOST}", "${HOST}", false),
            ("$$${HOST}", "$${HOST}", false),
            ("$${HOST} ${HOST}", "${HOST} example.org", true),
            ("$", "$", false),
            ("$$", "$$", false),
        ] {
            let expected = Expanded { text: out.to_owned(), replaced };
            assert_eq!(run(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn all_that_is_wrong_is_said() {
        assert_eq!(
            run("${A} ${HOST} ${B} ${C:-x} ${D"),
            Err(vec![
                "the environment variable A is not set".to_owned(),
                "the environment variable B is not set".to_owned(),
                "\"C:-x\" is not a variable's name: expected ${NAME}, or $${ for the text itself".to_owned(),
                "\"${D\" has no closing brace".to_owned(),
            ])
        );
        assert!(run("${}").is_err());
        assert!(run("${1}").is_err());
    }

    proptest! {
        #[test]
        fn escaped_text_is_itself(text in "[${}A-Z]{0,12}") {
            let expanded = run(&escape(&text));
            prop_assert_eq!(expanded, Ok(Expanded { text, replaced: false }));
        }
    }
}
