//! The outer object of a prediction request.
//!
//! Where the model is known by the time its tensors come, they are read on the way, and the body is gone through once.
//! Otherwise they are skipped, and read from where they stand once the model is known.

use std::ops::Range;

use jiter::Peek;

use super::cursor::{Cursor, Result, type_name};
use super::error::BodyError;
use super::field::field;
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
    /// The tensors, when they were read on the way.
    tensors: Option<Vec<Tensor>>,
    /// The model asked for, when named.
    pub model: Option<String>,
    /// How the tensors are written.
    pub form: Form,
    /// The outputs asked for, when not all.
    pub outputs: Option<Vec<String>>,
    /// The client's own name for the request, given back in the answer.
    pub id: Option<String>,
    /// Where `parameters` stands.
    parameters: Option<Range<usize>>,
}

impl<'b> Envelope<'b> {
    /// Scans a whole body. All of its syntax is checked here, but for the text of strings.
    ///
    /// `signature` gives the signature of the model with this name, or of the only model, where there is one; what it
    /// gives must not change between here and [`Envelope::tensors`].
    ///
    /// # Errors
    /// Malformed JSON with line and column, or a field that does not belong here.
    pub fn scan<'s>(body: &'b [u8], signature: impl Fn(Option<&str>) -> Option<&'s Signature>) -> Result<Self> {
        match scan(body, &signature) {
            // Tensors that cannot be read on the way are an error only if they are for that model, and the model may
            // yet be named.
            Err(BodyError::Invalid(_)) => scan(body, &|_| None),
            scanned => scanned,
        }
    }

    /// An envelope around a bare value, as input examples are stored.
    #[must_use]
    pub const fn bare(body: &'b [u8], data: Range<usize>, form: Form) -> Self {
        Self { body, data, tensors: None, model: None, form, outputs: None, id: None, parameters: None }
    }

    /// Reads the tensors, in the order of the signature's inputs, and checks them against it.
    ///
    /// # Errors
    /// Names the input, what was expected and what came.
    pub fn tensors(&mut self, signature: &Signature) -> Result<Vec<Tensor>> {
        let mut cursor = Cursor::new(self.body, self.data.clone());
        let tensors = match (self.tensors.take(), self.form) {
            (Some(tensors), _) => tensors,
            (None, Form::Instances) => read::instances(&mut cursor, signature)?,
            (None, Form::Named) => read::named(&mut cursor, signature)?,
            (None, Form::Oip) => oip::tensors(&mut cursor, self.body, signature)?,
        };
        signature.check(&tensors).map_err(BodyError::Invalid)?;
        Ok(tensors)
    }

    /// A value in `parameters`: a string's text, or the JSON of anything else. None where it is not there.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<String> {
        field(self.body, self.parameters.clone()?, name)
    }

    /// Positions of the outputs to answer with, in the order asked for; all of them when none was named.
    ///
    /// # Errors
    /// An output that the model does not have.
    pub fn selected(&self, signature: &Signature) -> Result<Option<Vec<usize>>> {
        let Some(names) = &self.outputs else { return Ok(None) };
        let find = |name: &String| {
            signature.output(name).ok_or_else(|| {
                let known: Vec<&str> =
                    signature.outputs.iter().map(super::super::signature::OutputSpec::name).collect();
                BodyError::Invalid(format!(
                    "outputs: the model has no output \"{name}\", expected one of {}",
                    known.join(", ")
                ))
            })
        };
        names.iter().map(find).collect::<Result<Vec<_>>>().map(Some)
    }
}

fn scan<'b, 's>(body: &'b [u8], signature: &impl Fn(Option<&str>) -> Option<&'s Signature>) -> Result<Envelope<'b>> {
    let mut cursor = Cursor::new(body, 0..body.len());
    let peek = cursor.peek()?;
    if peek != Peek::Object {
        let got = type_name(peek);
        return Err(BodyError::Invalid(format!("expected a JSON object with \"instances\" or \"inputs\", got {got}")));
    }
    let mut fields = Fields::default();
    let mut key = cursor.object()?;
    while let Some(name) = key {
        fields.read(&mut cursor, &name, signature)?;
        key = cursor.next_key()?;
    }
    cursor.finish()?;
    fields.envelope(body)
}

#[derive(Default)]
struct Fields {
    model: Option<String>,
    instances: Option<Range<usize>>,
    inputs: Option<Range<usize>>,
    tensors: Option<Vec<Tensor>>,
    outputs: Option<Vec<String>>,
    parameters: Option<Range<usize>>,
    id: Option<String>,
}

impl Fields {
    fn read<'s>(
        &mut self,
        cursor: &mut Cursor<'_>,
        name: &str,
        signature: &impl Fn(Option<&str>) -> Option<&'s Signature>,
    ) -> Result<()> {
        let peek = cursor.peek()?;
        let twice = match name {
            "model" => {
                // Tensors before it were read for another one, perhaps.
                self.tensors = None;
                self.model.replace(string(cursor, peek, name)?).is_some()
            }
            "id" => self.id.replace(string(cursor, peek, name)?).is_some(),
            "instances" => {
                expect(peek, Peek::Array, "instances: expected an array of rows")?;
                let data = match signature(self.model.as_deref()) {
                    Some(signature) => self.on_the_way(cursor, |cursor| read::instances(cursor, signature))?,
                    None => cursor.skip()?,
                };
                self.instances.replace(data).is_some()
            }
            "inputs" => {
                let data = match signature(self.model.as_deref()) {
                    Some(signature) if peek == Peek::Object => {
                        self.on_the_way(cursor, |cursor| read::named(cursor, signature))?
                    }
                    _ => cursor.skip()?,
                };
                self.inputs.replace(data).is_some()
            }
            "outputs" => {
                expect(peek, Peek::Array, "outputs: expected an array of output names")?;
                let names = oip::output_names(cursor)?;
                self.outputs.replace(names).is_some()
            }
            "parameters" => {
                expect(peek, Peek::Object, "parameters: expected an object")?;
                self.parameters.replace(cursor.skip()?).is_some()
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

    fn on_the_way<'j>(
        &mut self,
        cursor: &mut Cursor<'j>,
        read: impl FnOnce(&mut Cursor<'j>) -> Result<Vec<Tensor>>,
    ) -> Result<Range<usize>> {
        let start = cursor.offset();
        self.tensors = Some(read(cursor)?);
        Ok(start..cursor.offset())
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
        let Self { model, tensors, outputs, id, parameters, .. } = self;
        Ok(Envelope { body, data, tensors, model, form, outputs, id, parameters })
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
    use crate::dtype::DType;
    use crate::signature::{Dim, TensorSpec};

    fn message(body: &str) -> String {
        Envelope::scan(body.as_bytes(), |_| None).expect_err(body).to_string()
    }

    #[test]
    fn the_parts_are_found_in_any_order() {
        let body = br#" {"instances": [[1,2]], "id": "7", "model": "m", "outputs": ["y", {"name": "z"}]} "#;
        let envelope = Envelope::scan(body, |_| None).expect("well formed");
        assert_eq!(envelope.model.as_deref(), Some("m"));
        assert_eq!(envelope.id.as_deref(), Some("7"));
        assert_eq!(envelope.form, Form::Instances);
        assert_eq!(&body[envelope.data.clone()], b"[[1,2]]");
        assert_eq!(envelope.outputs, Some(vec!["y".to_owned(), "z".to_owned()]));
    }

    #[test]
    fn the_form_of_inputs_is_told_by_what_stands_there() {
        let form = |body: &str| Envelope::scan(body.as_bytes(), |_| None).map(|envelope| envelope.form);
        assert_eq!(form(r#"{"inputs": {"x": [1]}}"#), Ok(Form::Named));
        assert_eq!(form(r#"{"inputs": [[1]]}"#), Ok(Form::Named));
        assert_eq!(form(r#"{"inputs": [ {"name": "x"}]}"#), Ok(Form::Oip));
    }

    #[test]
    fn tensors_read_on_the_way_are_those_read_later() {
        let spec =
            |width| TensorSpec { name: "x".into(), dtype: DType::F32, shape: vec![Dim::Free(None), Dim::Fixed(width)] };
        let signature = |width| Signature { inputs: vec![spec(width)], outputs: vec![] };
        let (two, three) = (signature(2), signature(3));
        for body in [
            r#"{"model": "two", "instances": [[1,2],[3,4]], "id": "a"}"#,
            r#"{"model": "two", "inputs": {"x": [[1,2],[3,4]]}}"#,
            r#"{"instances": [[1,2],[3,4]], "model": "two"}"#,
            r#"{"model": "two", "inputs": [[1,2],[3,4]]}"#,
        ] {
            // Without a name it is the model of three; those tensors must not be taken for it.
            let known = |model: Option<&str>| Some(if model == Some("two") { &two } else { &three });
            let mut once = Envelope::scan(body.as_bytes(), known).expect(body);
            let mut twice = Envelope::scan(body.as_bytes(), |_| None).expect(body);
            assert_eq!(once.tensors(&two), twice.tensors(&two), "{body}");
            assert!(twice.tensors(&two).is_ok_and(|tensors| tensors[0].shape() == [2, 2]), "{body}");
        }
        let wrong = r#"{"model": "two", "instances": [[1]]}"#;
        let mut envelope = Envelope::scan(wrong.as_bytes(), |_| Some(&two)).expect("an envelope all the same");
        let error = envelope.tensors(&two).expect_err("a value is missing");
        assert_eq!(error.to_string(), "input \"x\" (float32[?,2]) at [0]: expected 2 values, got 1");
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
    fn parameters_are_found_by_name() {
        let body = br#"{"parameters": {"a": [1, {"user": 0}], "user": "u-\u0031", "n": 42 }, "instances": [1]}"#;
        let envelope = Envelope::scan(body, |_| None).expect("well formed");
        assert_eq!(envelope.parameter("user").as_deref(), Some("u-1"));
        assert_eq!(envelope.parameter("n").as_deref(), Some("42"));
        assert_eq!(envelope.parameter("other"), None);
        assert_eq!(Envelope::scan(br#"{"instances": [1]}"#, |_| None).expect("well formed").parameter("n"), None);
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
