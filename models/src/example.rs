//! The input that a version is warmed up with: its input example, or zeros.

use std::path::PathBuf;

use jiter::{Jiter, Peek};

use crate::backend::LoadError;
use crate::json::{Envelope, Form};
use crate::signature::{Dim, Signature};
use crate::tensor::Tensor;

/// Tensors to warm up with, in the signature's order.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// One tensor an input.
    pub inputs: Vec<Tensor>,
    /// True when it came with the version: then the model must be able to run it.
    pub given: bool,
}

impl Example {
    /// Reads the first of `files` that is there and can be read as an example, or makes one of zeros where there is
    /// none at all. MLflow writes the same example in two forms, of which either may be the plainer one.
    ///
    /// # Errors
    /// When no example fits the signature: what is wrong with the first.
    pub fn load(files: &[PathBuf], signature: &Signature) -> Result<Self, LoadError> {
        let mut wrong = None;
        for path in files {
            match std::fs::read(path) {
                Ok(body) => match parse(&body, signature) {
                    Ok(inputs) => return Ok(Self { inputs, given: true }),
                    Err(message) => {
                        wrong.get_or_insert_with(|| LoadError::WarmUp(format!("{}: {message}", path.display())));
                    }
                },
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(LoadError::Files(format!("{}: {error}", path.display()))),
            }
        }
        wrong.map_or_else(|| Ok(Self { inputs: zeros(signature), given: false }), Err)
    }
}

/// One row of zeros; other free dimensions are 1 too.
fn zeros(signature: &Signature) -> Vec<Tensor> {
    let size = |dim: &Dim| if let Dim::Fixed(size) = dim { *size } else { 1 };
    signature.inputs.iter().map(|spec| Tensor::zeros(spec.dtype, spec.shape.iter().map(size).collect())).collect()
}

/// Takes every form that MLflow stores: a bare array, `{"inputs": …}`, `{"instances": …}`, and data frames in split
/// form (`{"columns": […], "data": […]}`, also inside `{"dataframe_split": …}`).
fn parse(body: &[u8], signature: &Signature) -> Result<Vec<Tensor>, String> {
    let mut jiter = Jiter::new(body).with_allow_inf_nan();
    let start = body.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(0);
    if jiter.peek().map_err(|error| error.to_string())? == Peek::Array {
        return read(Envelope::bare(body, start..body.len(), Form::Named), signature);
    }
    let mut columns: Option<Vec<String>> = None;
    let mut data = None;
    // What MLflow writes of an example that was a dict of arrays.
    let mut by_input = true;
    let mut key = jiter.next_object().map_err(|error| error.to_string())?.map(str::to_owned);
    while let Some(name) = key {
        let peek = jiter.peek().map_err(|error| error.to_string())?;
        // peek() has moved past the white space.
        let from = jiter.current_index();
        let is_input = signature.inputs.iter().any(|spec| spec.name == name);
        by_input &= is_input && !matches!(name.as_str(), "inputs" | "instances");
        match (name.as_str(), peek) {
            ("dataframe_split", Peek::Object) => {
                jiter.next_skip().map_err(|error| error.to_string())?;
                return parse(jiter.slice_to_current(from), signature);
            }
            ("columns", Peek::Array) => {
                let value = jiter.next_value().map_err(|error| error.to_string())?;
                columns = Some(strings(&value));
            }
            ("data", Peek::Array) => {
                jiter.next_skip().map_err(|error| error.to_string())?;
                data = Some(from..jiter.current_index());
            }
            _ => jiter.next_skip().map_err(|error| error.to_string())?,
        }
        key = jiter.next_key().map_err(|error| error.to_string())?.map(str::to_owned);
    }
    match (columns, data) {
        (Some(columns), Some(data)) => {
            // A frame's columns are the inputs by name, or the features of the only input in order.
            let names: Vec<&str> = signature.inputs.iter().map(|spec| spec.name.as_str()).collect();
            if names.len() > 1 && columns != names {
                return Err(format!("the frame's columns are {columns:?}, expected {names:?}"));
            }
            read(Envelope::bare(body, data, Form::Instances), signature)
        }
        _ if by_input => read(Envelope::bare(body, start..body.len(), Form::Named), signature),
        _ => read(Envelope::scan(body, |_| None).map_err(|error| error.to_string())?, signature),
    }
}

fn read(mut envelope: Envelope<'_>, signature: &Signature) -> Result<Vec<Tensor>, String> {
    envelope.tensors(signature).map_err(|error| error.to_string())
}

fn strings(value: &jiter::JsonValue<'_>) -> Vec<String> {
    let jiter::JsonValue::Array(items) = value else { return Vec::new() };
    let text = |item: &jiter::JsonValue<'_>| match item {
        jiter::JsonValue::Str(text) => text.to_string(),
        other => format!("{other:?}"),
    };
    items.iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtype::DType;
    use crate::signature::TensorSpec;

    fn signature(inputs: &[(&str, usize)]) -> Signature {
        let spec = |(name, width): &(&str, usize)| TensorSpec {
            name: (*name).into(),
            dtype: DType::F32,
            shape: vec![Dim::Free(None), Dim::Fixed(*width)],
        };
        Signature { inputs: inputs.iter().map(spec).collect(), outputs: vec![] }
    }

    #[test]
    fn every_form_that_mlflow_writes_is_read() {
        let one = signature(&[("x", 2)]);
        for text in [
            "[[1, 2], [3, 4]]",
            r#"{"inputs": [[1, 2], [3, 4]]}"#,
            r#"{"inputs": {"x": [[1, 2], [3, 4]]}}"#,
            r#"{"instances": [[1, 2], [3, 4]]}"#,
            r#"{"x": [[1, 2], [3, 4]]}"#,
            r#"{"columns": ["a", "b"], "data": [[1, 2], [3, 4]]}"#,
            r#"{"dataframe_split": {"columns": ["a", "b"], "index": [0, 1], "data": [[1, 2], [3, 4]]}}"#,
        ] {
            let tensors = parse(text.as_bytes(), &one).expect(text);
            assert_eq!(tensors[0].shape(), [2, 2], "{text}");
        }
        let two = signature(&[("a", 1), ("b", 1)]);
        let tensors = parse(br#"{"columns": ["a", "b"], "data": [[1, 2], [3, 4]]}"#, &two).expect("columns by name");
        assert_eq!(tensors.iter().map(Tensor::rows).collect::<Vec<_>>(), [2, 2]);
        assert!(parse(br#"{"columns": ["b", "a"], "data": [[1, 2]]}"#, &two).is_err());
    }

    #[test]
    fn the_form_that_can_be_read_is_taken() {
        let dir = tempfile::tempdir().expect("a folder");
        let files = ["input_example.json", "serving_input_example.json"].map(|name| dir.path().join(name));
        std::fs::write(&files[0], r#"{"odd": "form"}"#).expect("written");
        let signature = signature(&[("x", 2)]);
        let error = Example::load(&files, &signature).expect_err("odd").to_string();
        assert!(error.contains("input_example.json: unknown field \"odd\""), "{error}");
        std::fs::write(&files[1], r#"{"inputs": [[1, 2]]}"#).expect("written");
        let example = Example::load(&files, &signature).expect("the other form");
        assert!(example.given && example.inputs[0].shape() == [1, 2]);
    }

    #[test]
    fn without_a_file_there_are_zeros() {
        let dir = tempfile::tempdir().expect("a folder");
        let example = Example::load(&[dir.path().join("none.json")], &signature(&[("x", 3)])).expect("zeros");
        assert_eq!(example, Example { inputs: vec![Tensor::zeros(DType::F32, [1, 3][..].into())], given: false });
    }
}
