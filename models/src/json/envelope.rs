//! The outer object of a prediction request: finds its parts without parsing the numbers.

use std::ops::Range;

use jiter::Peek;

use super::cursor::{Cursor, Result, type_name};
use super::error::BodyError;
use super::{oip, read};
use crate::signature::Signature;
use crate::tensor::Tensor;

/// How a request writes its tensors; its answer has the same form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `"instances": [row, ...]`; the answer has `predictions`.
    Instances,
    /// `"inputs": {"name": nested}`, or the bare tensor of a model with one input; the answer has named `outputs`.
    Named,
    /// `"inputs": [{"name", "shape", "datatype", "data"}]`, the Open Inference Protocol's form, in both directions.
    Oip,
}

const KNOWN: &str = "model, instances, inputs, outputs, parameters, id";

/// A scanned request: what it asks for, and where its tensors stand in the body.
#[derive(Debug)]
pub struct Envelope<'b> {
    body: &'b [u8],
    data: Range<usize>,
    /// The model asked for, when named.
    pub model: Option<String>,
    /// How the tensors are written.
    pub form: Form,
    /// The outputs asked for, when not all.
    pub outputs: Option<Vec<String>>,
    /// The client's own name for the request, given back in the answer.
    pub id: Option<String>,
}

impl<'b> Envelope<'b> {
    /// Scans a whole body. All of its syntax is checked here, but for the text of strings.
    ///
    /// # Errors
    /// Malformed JSON with line and column, or a field that does not belong here.
    pub fn scan(body: &'b [u8]) -> Result<Self> {
        let mut cursor = Cursor::new(body, 0..body.len());
        let peek = cursor.peek()?;
        if peek != Peek::Object {
            return Err(BodyError::Invalid(format!(
                "expected a JSON object with \"instances\" or \"inputs\", got {}",
                type_name(peek)
            )));
        }
        let mut fields = Fields::default();
        let mut key = cursor.object()?;
        while let Some(name) = key {
            fields.read(&mut cursor, &name)?;
            key = cursor.next_key()?;
        }
        cursor.finish()?;
        fields.envelope(body)
    }

    /// An envelope around a bare value, as input examples are stored.
    #[must_use]
    pub const fn bare(body: &'b [u8], data: Range<usize>, form: Form) -> Self {
        Self { body, data, model: None, form, outputs: None, id: None }
    }

    /// Reads the tensors, in the order of the signature's inputs, and checks them against it.
    ///
    /// # Errors
    /// Names the input, what was expected and what came.
    pub fn tensors(&self, signature: &Signature) -> Result<Vec<Tensor>> {
        let cursor = Cursor::new(self.body, self.data.clone());
        let tensors = match self.form {
            Form::Instances => read::instances(cursor, signature),
            Form::Named => read::named(cursor, signature),
            Form::Oip => oip::tensors(cursor, self.body, signature),
        }?;
        signature.check(&tensors).map_err(BodyError::Invalid)?;
        Ok(tensors)
    }

    /// Positions of the outputs to answer with, in the order asked for; all of them when none was named.
    ///
    /// # Errors
    /// An output that the model does not have.
    pub fn selected(&self, signature: &Signature) -> Result<Option<Vec<usize>>> {
        let Some(names) = &self.outputs else { return Ok(None) };
        let find = |name: &String| {
            signature.output(name).ok_or_else(|| {
                let known: Vec<&str> = signature.outputs.iter().map(|output| output.name()).collect();
                BodyError::Invalid(format!(
                    "outputs: the model has no output \"{name}\", expected one of {}",
                    known.join(", ")
                ))
            })
        };
        names.iter().map(find).collect::<Result<Vec<_>>>().map(Some)
    }
}

#[derive(Default)]
struct Fields {
    model: Option<String>,
    instances: Option<Range<usize>>,
    inputs: Option<Range<usize>>,
    outputs: Option<Vec<String>>,
    parameters: bool,
    id: Option<String>,
}

impl Fields {
    fn read(&mut self, cursor: &mut Cursor<'_>, name: &str) -> Result<()> {
        let peek = cursor.peek()?;
        let twice = match name {
            "model" => self.model.replace(string(cursor, peek, name)?).is_some(),
            "id" => self.id.replace(string(cursor, peek, name)?).is_some(),
            "instances" => {
                expect(peek, Peek::Array, "instances: expected an array of rows")?;
                self.instances.replace(cursor.skip()?).is_some()
            }
            "inputs" => self.inputs.replace(cursor.skip()?).is_some(),
            "outputs" => {
                expect(peek, Peek::Array, "outputs: expected an array of output names")?;
                let names = oip::output_names(cursor)?;
                self.outputs.replace(names).is_some()
            }
            "parameters" => {
                expect(peek, Peek::Object, "parameters: expected an object")?;
                cursor.skip()?;
                std::mem::replace(&mut self.parameters, true)
            }
            _ => {
                let name: String = name.chars().take(64).collect();
                return Err(BodyError::Invalid(format!("unknown field \"{name}\", expected one of {KNOWN}")));
            }
        };
        if twice {
            return Err(BodyError::Invalid(format!("field \"{name}\" stands twice")));
        }
        Ok(())
    }

    fn envelope(self, body: &[u8]) -> Result<Envelope<'_>> {
        let (data, form) = match (self.instances, self.inputs) {
            (Some(data), None) => (data, Form::Instances),
            (None, Some(data)) => {
                let form = oip::form(body, data.clone())?;
                (data, form)
            }
            (Some(_), Some(_)) => return Err(BodyError::invalid("expected \"instances\" or \"inputs\", got both")),
            (None, None) => return Err(BodyError::invalid("expected \"instances\" or \"inputs\", got neither")),
        };
        Ok(Envelope { body, data, model: self.model, form, outputs: self.outputs, id: self.id })
    }
}

pub(super) fn expect(peek: Peek, expected: Peek, message: &str) -> Result<()> {
    if peek == expected { Ok(()) } else { Err(BodyError::Invalid(format!("{message}, got {}", type_name(peek)))) }
}

pub(super) fn string(cursor: &mut Cursor<'_>, peek: Peek, field: &str) -> Result<String> {
    expect(peek, Peek::String, &format!("{field}: expected a string"))?;
    cursor.string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(body: &str) -> String {
        Envelope::scan(body.as_bytes()).expect_err(body).to_string()
    }

    #[test]
    fn the_parts_are_found_in_any_order() {
        let body = br#" {"instances": [[1,2]], "id": "7", "model": "m", "outputs": ["y", {"name": "z"}]} "#;
        let envelope = Envelope::scan(body).expect("well formed");
        assert_eq!(envelope.model.as_deref(), Some("m"));
        assert_eq!(envelope.id.as_deref(), Some("7"));
        assert_eq!(envelope.form, Form::Instances);
        assert_eq!(&body[envelope.data.clone()], b"[[1,2]]");
        assert_eq!(envelope.outputs, Some(vec!["y".to_owned(), "z".to_owned()]));
    }

    #[test]
    fn the_form_of_inputs_is_told_by_what_stands_there() {
        let form = |body: &str| Envelope::scan(body.as_bytes()).map(|envelope| envelope.form);
        assert_eq!(form(r#"{"inputs": {"x": [1]}}"#), Ok(Form::Named));
        assert_eq!(form(r#"{"inputs": [[1]]}"#), Ok(Form::Named));
        assert_eq!(form(r#"{"inputs": [ {"name": "x"}]}"#), Ok(Form::Oip));
    }

    #[test]
    fn malformed_json_is_placed() {
        assert_eq!(message("{\n  \"instances\": [1,,2]}"), "malformed JSON at line 2, column 19: expected value");
        assert!(message("{\"instances\": [1").starts_with("malformed JSON at line 1, column 16: EOF"));
        assert!(message("").starts_with("malformed JSON at line 1, column 0: EOF"), "{}", message(""));
        assert!(message("{\"instances\": [1]} x").contains("trailing characters"));
        let deep = format!("{{\"parameters\": {{\"a\": {}", "[".repeat(100_000));
        assert!(message(&deep).contains("recursion limit exceeded"), "{}", message(&deep));
    }

    #[test]
    fn fields_that_do_not_belong_are_named() {
        assert_eq!(message("[1]"), "expected a JSON object with \"instances\" or \"inputs\", got an array");
        assert_eq!(message("{}"), "expected \"instances\" or \"inputs\", got neither");
        assert_eq!(message(r#"{"instances": [], "inputs": {}}"#), "expected \"instances\" or \"inputs\", got both");
        assert_eq!(
            message(r#"{"instance": []}"#),
            "unknown field \"instance\", expected one of model, instances, inputs, outputs, parameters, id"
        );
        assert_eq!(message(r#"{"instances": {}}"#), "instances: expected an array of rows, got an object");
        assert_eq!(message(r#"{"instances": [], "instances": []}"#), "field \"instances\" stands twice");
        assert_eq!(message(r#"{"model": 3, "instances": []}"#), "model: expected a string, got a number");
    }
}
