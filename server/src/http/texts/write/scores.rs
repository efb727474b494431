//! Scores: of texts for a query, and of labels for a text. The best comes first.

use perch_models::json::{write_floats, write_string};
use perch_models::run::Answer;

use super::{array, floats, number};
use crate::error::{ApiError, Kind};

/// `[{"index","text"?,"score"}]`, one for each text.
pub fn ranks(answers: &[Answer], texts: Option<&[String]>) -> Result<Vec<u8>, ApiError> {
    let score = |answer| match floats(answer)?.0 {
        [score] => Ok(*score),
        scores => {
            let message = format!("expected one score for a pair of texts, the model gave {}", scores.len());
            Err(ApiError::new(Kind::ModelFailed, message))
        }
    };
    let scores: Vec<f32> = answers.iter().map(score).collect::<Result<_, ApiError>>()?;
    let mut out = Vec::with_capacity(48 * scores.len() + texts.map_or(0, |texts| texts.iter().map(String::len).sum()));
    array(&mut out, best_first(&scores)?, |out, i| {
        out.extend_from_slice(b"{\"index\":");
        number(out, i);
        if let Some(text) = texts.and_then(|texts| texts.get(i)) {
            out.extend_from_slice(b",\"text\":");
            write_string(out, text);
        }
        write_score(out, scores[i]);
        Ok(())
    })?;
    Ok(out)
}

/// `[{"label","score"}]` of one text, or, for a batch, one such array for each.
pub fn labels(answers: &[Answer], names: &[String], batch: bool) -> Result<Vec<u8>, ApiError> {
    let mut out = Vec::with_capacity(64 * names.len() * answers.len());
    let one = |out: &mut Vec<u8>, answer: &Answer| {
        let (scores, _) = floats(answer)?;
        if scores.len() != names.len() {
            let message = format!("expected {} scores, one a label, the model gave {}", names.len(), scores.len());
            return Err(ApiError::new(Kind::ModelFailed, message));
        }
        array(out, best_first(scores)?, |out, i| {
            out.extend_from_slice(b"{\"label\":");
            write_string(out, &names[i]);
            write_score(out, scores[i]);
            Ok(())
        })
    };
    match answers {
        [answer] if !batch => one(&mut out, answer)?,
        answers => array(&mut out, answers, one)?,
    }
    Ok(out)
}

fn write_score(out: &mut Vec<u8>, score: f32) {
    out.extend_from_slice(b",\"score\":");
    write_floats(out, &[score], &[]);
    out.push(b'}');
}

/// Places of the scores, the highest first; equal ones stay in their order. NaN has no place among them.
fn best_first(scores: &[f32]) -> Result<Vec<usize>, ApiError> {
    if scores.iter().any(|score| score.is_nan()) {
        return Err(ApiError::new(Kind::ModelFailed, "the model gave NaN as a score"));
    }
    let mut places: Vec<usize> = (0..scores.len()).collect();
    places.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    Ok(places)
}

#[cfg(test)]
mod tests {
    use super::super::tests::answer;
    use super::*;

    fn text(written: Result<Vec<u8>, ApiError>) -> String {
        String::from_utf8(written.expect("written")).expect("utf-8")
    }

    #[test]
    fn ranks_are_sorted() {
        let answers = [0.25, 0.75, 0.25].map(|score| answer(&[1, 1], &[score]));
        let expected = r#"[{"index":1,"score":0.75},{"index":0,"score":0.25},{"index":2,"score":0.25}]"#;
        assert_eq!(text(ranks(&answers, None)), expected);
        let texts = ["a\"".to_owned(), "b".to_owned()];
        let expected = r#"[{"index":1,"text":"b","score":0.75},{"index":0,"text":"a\"","score":0.25}]"#;
        assert_eq!(text(ranks(&answers[..2], Some(&texts))), expected);
    }

    #[test]
    fn labels_are_sorted_and_nested_for_batches() {
        let names = ["no".to_owned(), "yes".to_owned()];
        let answers = [[0.25, 0.75], [1.5, -2.0]].map(|scores| answer(&[1, 2], &scores));
        let first = r#"[{"label":"yes","score":0.75},{"label":"no","score":0.25}]"#;
        let second = r#"[{"label":"no","score":1.5},{"label":"yes","score":-2.0}]"#;
        assert_eq!(text(labels(&answers[..1], &names, false)), first);
        assert_eq!(text(labels(&answers[..1], &names, true)), format!("[{first}]"));
        assert_eq!(text(labels(&answers, &names, true)), format!("[{first},{second}]"));
    }

    #[test]
    fn what_is_no_score_is_the_models_fault() {
        let error = ranks(&[answer(&[1, 1], &[f32::NAN])], None).expect_err("NaN");
        assert_eq!((error.kind, error.message.as_str()), (Kind::ModelFailed, "the model gave NaN as a score"));
        let error = ranks(&[answer(&[1, 2], &[1.0, 2.0])], None).expect_err("two");
        assert_eq!(error.message, "expected one score for a pair of texts, the model gave 2");
        let error = labels(&[answer(&[1, 1], &[1.0])], &["a".into(), "b".into()], false).expect_err("one");
        assert_eq!(error.message, "expected 2 scores, one a label, the model gave 1");
    }
}
