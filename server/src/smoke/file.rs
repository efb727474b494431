//! The file: one request a line, taken apart into what is asked and what is expected.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use jiter::{Jiter, JsonValue, Peek};
use perch_models::json::{Envelope, Form};

use super::SmokeTest;

/// More are a benchmark.
const MOST_TESTS: usize = 10_000;
const MAX_FILE: u64 = 64 << 20;
/// What two implementations of the same graph may differ by.
const TOLERANCE: f64 = 1e-4;
const KNOWN: &str = "name, instances, inputs, outputs, predictions, tolerance, parameters";

pub(super) fn read(path: &Path) -> Result<Vec<SmokeTest>, String> {
    let shown = path.display();
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes))
        .map_err(|error| format!("{shown} cannot be read: {error}"))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(format!("{shown}: larger than {} MiB", MAX_FILE >> 20));
    }
    let mut tests = Vec::new();
    for (line, text) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        if text.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        if tests.len() == MOST_TESTS {
            return Err(format!("{shown}:{line}: more than {MOST_TESTS} tests"));
        }
        tests.push(one(text, line).map_err(|message| format!("{shown}:{line}: {message}"))?);
    }
    if tests.is_empty() { Err(format!("{shown} holds no smoke test")) } else { Ok(tests) }
}

/// One line.
fn one(text: &[u8], line: usize) -> Result<SmokeTest, String> {
    let mut fields = Fields::default();
    fields.read(text)?;
    let Fields { name, tolerance, predictions, outputs, mut request, .. } = fields;
    request.push(b'}');
    let form = Envelope::scan(&request, |_| None).map_err(|error| error.to_string())?.form;
    let expected = match (form, predictions, outputs) {
        (Form::Instances, None, Some(_)) => return Err("`instances` are answered with `predictions`".to_owned()),
        (Form::Named | Form::Oip, Some(_), _) => return Err("`inputs` are answered with `outputs`".to_owned()),
        (_, predictions, outputs) => predictions.or(outputs),
    };
    let tolerance = tolerance.unwrap_or(TOLERANCE);
    Ok(SmokeTest { name, line, request, expected, tolerance })
}

#[derive(Default)]
struct Fields {
    seen: Vec<String>,
    name: Option<String>,
    tolerance: Option<f64>,
    predictions: Option<JsonValue<'static>>,
    /// As an answer: names of outputs are a part of the request.
    outputs: Option<JsonValue<'static>>,
    /// The request so far, without its closing brace.
    request: Vec<u8>,
}

impl Fields {
    fn read(&mut self, text: &[u8]) -> Result<(), String> {
        let mut jiter = Jiter::new(text).with_allow_inf_nan();
        let malformed = |error: jiter::JiterError| format!("malformed JSON: {}", error.error_type);
        if jiter.peek().map_err(malformed)? != Peek::Object {
            return Err("expected a JSON object".to_owned());
        }
        self.request.push(b'{');
        let mut key = jiter.known_object().map_err(malformed)?.map(str::to_owned);
        while let Some(name) = key {
            jiter.peek().map_err(malformed)?;
            // peek() has moved past the white space.
            let from = jiter.current_index();
            jiter.next_skip().map_err(malformed)?;
            self.take(&name, jiter.slice_to_current(from))?;
            key = jiter.next_key().map_err(malformed)?.map(str::to_owned);
        }
        jiter.finish().map_err(malformed)
    }

    fn take(&mut self, key: &str, raw: &[u8]) -> Result<(), String> {
        if self.seen.iter().any(|seen| seen == key) {
            return Err(format!("\"{key}\" stands twice"));
        }
        self.seen.push(key.to_owned());
        let parsed = || JsonValue::parse(raw, true).map(JsonValue::into_static).map_err(|error| error.to_string());
        match key {
            "name" => match parsed()? {
                JsonValue::Str(name) => self.name = Some(name.into_owned()),
                _ => return Err("name: expected a string".to_owned()),
            },
            "tolerance" => {
                let number = match parsed()? {
                    JsonValue::Float(number) => Some(number),
                    // Exact: nobody writes a tolerance beyond 2^53.
                    JsonValue::Int(number) => number.to_string().parse().ok(),
                    _ => None,
                };
                let number = number.filter(|number| number.is_finite() && *number >= 0.0);
                self.tolerance = Some(number.ok_or("tolerance: expected a number from 0")?);
            }
            "predictions" => match parsed()? {
                rows @ JsonValue::Array(_) => self.predictions = Some(rows),
                _ => return Err("predictions: expected an array".to_owned()),
            },
            "outputs" => match parsed()? {
                JsonValue::Array(items) if !items.iter().any(is_tensor) => self.pass_on(key, raw),
                answer @ (JsonValue::Array(_) | JsonValue::Object(_)) => self.outputs = Some(answer),
                _ => return Err("outputs: expected an object, or an array of tensors or of names".to_owned()),
            },
            "instances" | "inputs" | "parameters" => self.pass_on(key, raw),
            _ => {
                let key: String = key.chars().take(64).collect();
                return Err(format!("unknown field \"{key}\", expected one of {KNOWN}"));
            }
        }
        Ok(())
    }

    fn pass_on(&mut self, key: &str, raw: &[u8]) {
        if self.request.len() > 1 {
            self.request.push(b',');
        }
        self.request.extend_from_slice(format!("\"{key}\":").as_bytes());
        self.request.extend_from_slice(raw);
    }
}

/// `{"name": …, "data": […]}` is an answer; `{"name": …}` asks for one.
fn is_tensor(item: &JsonValue<'_>) -> bool {
    matches!(item, JsonValue::Object(entries) if entries.iter().any(|(key, _)| key == "data"))
}
