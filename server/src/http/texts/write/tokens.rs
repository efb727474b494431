//! Tokens, and the texts made of them.

use perch_models::json::write_string;
use perch_models::text::Token;

use super::{array, number};
use crate::error::ApiError;

/// `[[{"id","text","special","start","stop"}]]`.
pub fn tokens(texts: &[Vec<Token>]) -> Result<Vec<u8>, ApiError> {
    let mut out = Vec::with_capacity(16 + 72 * texts.iter().map(Vec::len).sum::<usize>());
    array(&mut out, texts, |out, text| {
        array(out, text, |out, token| {
            out.extend_from_slice(b"{\"id\":");
            out.extend_from_slice(itoa::Buffer::new().format(token.id).as_bytes());
            out.extend_from_slice(b",\"text\":");
            write_string(out, &token.text);
            out.extend_from_slice(if token.special { b",\"special\":true" } else { b",\"special\":false" });
            for (key, place) in [(&b",\"start\":"[..], token.start), (b",\"stop\":", token.stop)] {
                out.extend_from_slice(key);
                match place {
                    Some(place) => number(out, place),
                    None => out.extend_from_slice(b"null"),
                }
            }
            out.push(b'}');
            Ok(())
        })
    })?;
    Ok(out)
}

/// `["text"]`.
pub fn decoded(texts: &[String]) -> Result<Vec<u8>, ApiError> {
    let mut out = Vec::with_capacity(16 + texts.iter().map(|text| text.len() + 4).sum::<usize>());
    array(&mut out, texts, |out, text| {
        write_string(out, text);
        Ok(())
    })?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_say_where_they_stand() {
        let special = Token { id: 101, text: "[CLS]".into(), special: true, start: None, stop: None };
        let plain = Token { id: 7, text: "ü".into(), special: false, start: Some(0), stop: Some(2) };
        let expected = concat!(
            r#"[[{"id":101,"text":"[CLS]","special":true,"start":null,"stop":null},"#,
            r#"{"id":7,"text":"ü","special":false,"start":0,"stop":2}],[]]"#
        );
        let written = tokens(&[vec![special, plain], vec![]]).expect("written");
        assert_eq!(String::from_utf8(written).expect("utf-8"), expected);
        assert_eq!(decoded(&["a\"".into(), "b".into()]).expect("written"), br#"["a\"","b"]"#);
    }
}
