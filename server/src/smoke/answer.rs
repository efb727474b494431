//! A version's answer beside the one that is expected, output by output and row by row.

use jiter::JsonValue;
use perch_models::json::{Form, write_answer};
use perch_models::run::Answer;
use perch_models::signature::{OutputSpec, Signature};
use perch_models::tensor::{Column, Data};

use super::same::{Rule, short};

/// An answer as `/predict` gives it.
pub(super) struct Shown<'a> {
    pub form: Form,
    pub signature: &'a Signature,
    pub answer: &'a Answer,
    pub selected: Option<&'a [usize]>,
}

impl Shown<'_> {
    /// The outputs asked for, with what they hold.
    fn outputs(&self) -> Vec<(&OutputSpec, &Column)> {
        let all: Vec<usize> = (0..self.answer.columns.len()).collect();
        let pair = |i: &usize| Some((self.signature.outputs.get(*i)?, self.answer.columns.get(*i)?));
        self.selected.unwrap_or(&all).iter().filter_map(pair).collect()
    }

    /// The first value that is no number.
    pub fn not_finite(&self) -> Option<String> {
        self.outputs().into_iter().find_map(|(spec, column)| {
            let (row, value) = not_finite(column, self.answer)?;
            Some(format!("output \"{}\", row {row}: expected a number, got {value}", spec.name()))
        })
    }

    /// What is not as expected, at most `most` of it. An error where the two cannot be compared.
    pub fn differences(&self, expected: &JsonValue<'_>, tolerance: f64, most: usize) -> Result<Vec<String>, String> {
        let mut text = b"{".to_vec();
        let rows = &self.answer.rows;
        write_answer(&mut text, self.form, self.signature, &self.answer.columns, rows, self.selected);
        text.push(b'}');
        let whole = JsonValue::parse(&text, true).map_err(|error| format!("its answer cannot be read: {error}"))?;
        let got = match &whole {
            JsonValue::Object(entries) => entries.first().map_or(&JsonValue::Null, |(_, value)| value),
            _ => &JsonValue::Null,
        };
        let outputs = self.outputs();
        let mut found = Found { most, list: Vec::new() };
        match self.form {
            Form::Instances => predictions(expected, got, &outputs, tolerance, &mut found),
            Form::Named => named(expected, got, &outputs, tolerance, &mut found),
            Form::Oip => tensors(expected, got, &outputs, tolerance, &mut found),
        }
        Ok(found.list)
    }
}

/// Differences so far.
struct Found {
    most: usize,
    list: Vec<String>,
}

impl Found {
    fn add(&mut self, message: String) {
        if self.list.len() < self.most {
            self.list.push(message);
        }
    }

    fn compare(
        &mut self,
        output: (&OutputSpec, &Column),
        row: usize,
        (expected, got): (&JsonValue<'_>, &JsonValue<'_>),
        tolerance: f64,
    ) {
        let rule = rule(output.1, tolerance);
        if let Some((expected, got)) = rule.difference(expected, got) {
            self.add(format!("output \"{}\", row {row}: expected {expected}, got {got}", output.0.name()));
        }
    }

    /// Both as lists of the same length, with the number of each row.
    fn rows(
        &mut self,
        output: (&OutputSpec, &Column),
        (expected, got): (&JsonValue<'_>, &JsonValue<'_>),
        per_row: usize,
        tolerance: f64,
    ) {
        match (expected, got) {
            (JsonValue::Array(expected), JsonValue::Array(got)) if expected.len() == got.len() => {
                for (i, pair) in expected.iter().zip(got.iter()).enumerate() {
                    self.compare(output, i / per_row.max(1), pair, tolerance);
                }
            }
            (JsonValue::Array(expected), JsonValue::Array(got)) => {
                let (expected, got, name) = (expected.len(), got.len(), output.0.name());
                self.add(format!("output \"{name}\": expected {expected} values, got {got}"));
            }
            pair => self.compare(output, 0, pair, tolerance),
        }
    }
}

type Outputs<'o> = [(&'o OutputSpec, &'o Column)];

fn predictions(
    expected: &JsonValue<'_>,
    got: &JsonValue<'_>,
    outputs: &Outputs<'_>,
    tolerance: f64,
    found: &mut Found,
) {
    if let [only] = outputs {
        return found.rows(*only, (expected, got), 1, tolerance);
    }
    let (JsonValue::Array(expected), JsonValue::Array(got)) = (expected, got) else { return };
    if expected.len() != got.len() {
        return found.add(format!("expected {} predictions, got {}", expected.len(), got.len()));
    }
    for (row, (expected, got)) in expected.iter().zip(got.iter()).enumerate() {
        let JsonValue::Object(expected) = expected else {
            found.add(format!("row {row}: expected {}, got an object with one value an output", short(expected)));
            continue;
        };
        by_name(expected, outputs, found, |output, value, found| match entry(got, output.0.name()) {
            Some(got) => found.compare(output, row, (value, got), tolerance),
            None => found.add(format!("output \"{}\", row {row}: expected a value, got none", output.0.name())),
        });
    }
}

fn named(expected: &JsonValue<'_>, got: &JsonValue<'_>, outputs: &Outputs<'_>, tolerance: f64, found: &mut Found) {
    let JsonValue::Object(expected) = expected else {
        return found.add(format!("outputs: expected {}, got an object with one value an output", short(expected)));
    };
    by_name(expected, outputs, found, |output, value, found| match entry(got, output.0.name()) {
        Some(got) => found.rows(output, (value, got), 1, tolerance),
        None => found.add(format!("output \"{}\": expected a value, got none", output.0.name())),
    });
}

fn tensors(expected: &JsonValue<'_>, got: &JsonValue<'_>, outputs: &Outputs<'_>, tolerance: f64, found: &mut Found) {
    let (JsonValue::Array(expected), JsonValue::Array(got)) = (expected, got) else {
        return found.add("outputs: expected an object, got an array of tensors".to_owned());
    };
    let with_name =
        |tensor: &JsonValue<'_>, name: &str| matches!(entry(tensor, "name"), Some(JsonValue::Str(n)) if n == name);
    for tensor in expected.iter() {
        let output = outputs.iter().find(|(spec, _)| with_name(tensor, spec.name()));
        let got = output.and_then(|(spec, _)| got.iter().find(|got| with_name(got, spec.name())));
        let (Some(output), Some(got)) = (output, got) else {
            let name = entry(tensor, "name").map_or_else(|| "one without a name".to_owned(), short);
            found.add(format!("expected an output {name}, got {}", names(outputs)));
            continue;
        };
        for key in ["shape", "datatype"] {
            if let (Some(expected), Some(got)) = (entry(tensor, key), entry(got, key))
                && expected != got
            {
                let name = output.0.name();
                found.add(format!("output \"{name}\": expected {key} {}, got {}", short(expected), short(got)));
            }
        }
        if let (Some(expected), Some(got)) = (entry(tensor, "data"), entry(got, "data")) {
            let per_row = match output.1 {
                Column::Tensor(tensor) => tensor.row_len(),
                Column::Maps(_) => 1,
            };
            found.rows(*output, (expected, got), per_row, tolerance);
        }
    }
}

/// Calls `compare` for each expected output, and notes those that there are not.
fn by_name<'e>(
    expected: &'e [(std::borrow::Cow<'e, str>, JsonValue<'e>)],
    outputs: &Outputs<'_>,
    found: &mut Found,
    mut compare: impl FnMut((&OutputSpec, &Column), &JsonValue<'e>, &mut Found),
) {
    for (name, value) in expected {
        match outputs.iter().find(|(spec, _)| spec.name() == *name) {
            Some(output) => compare(*output, value, found),
            None => found.add(format!("expected an output \"{name}\", got {}", names(outputs))),
        }
    }
}

fn names(outputs: &Outputs<'_>) -> String {
    outputs.iter().map(|(spec, _)| spec.name()).collect::<Vec<_>>().join(", ")
}

fn entry<'v, 'j>(value: &'v JsonValue<'j>, name: &str) -> Option<&'v JsonValue<'j>> {
    match value {
        JsonValue::Object(entries) => entries.iter().find(|(key, _)| key == name).map(|(_, value)| value),
        _ => None,
    }
}

/// How values of this output are compared.
const fn rule(column: &Column, tolerance: f64) -> Rule {
    match column {
        Column::Tensor(tensor) => match tensor.data() {
            Data::F16(_) | Data::F32(_) | Data::F64(_) => Rule::Within(tolerance),
            _ => Rule::Same,
        },
        Column::Maps(_) => Rule::SameSingle,
    }
}

/// The first row of the answer with a value that is no number, and that value.
fn not_finite(column: &Column, answer: &Answer) -> Option<(usize, f64)> {
    let bad = |value: &f64| !value.is_finite();
    match column {
        Column::Maps(maps) => maps.get(answer.rows.clone())?.iter().enumerate().find_map(|(row, map)| {
            let value = map.iter().map(|(_, value)| f64::from(*value)).find(bad)?;
            Some((row, value))
        }),
        Column::Tensor(tensor) => {
            let len = tensor.row_len();
            let first = if tensor.shape().is_empty() { 0 } else { answer.rows.start * len };
            let last = if tensor.shape().is_empty() { 1 } else { answer.rows.end * len };
            let float = |i: usize| match tensor.data() {
                Data::F16(values) => values.get(i).map(|value| value.to_f64()),
                Data::F32(values) => values.get(i).map(|value| f64::from(*value)),
                Data::F64(values) => values.get(i).copied(),
                _ => None,
            };
            (first..last).find_map(|i| {
                let value = float(i).filter(bad)?;
                Some(((i - first) / len.max(1), value))
            })
        }
    }
}
