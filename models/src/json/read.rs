//! `instances` and named `inputs` to tensors.

use jiter::Peek;

use super::cursor::{Cursor, Result, type_name};
use super::error::BodyError;
use super::nested::{TensorReader, reader};
use crate::signature::{Dim, Signature, TensorSpec};
use crate::tensor::Tensor;

fn expected_names(signature: &Signature) -> String {
    let names: Vec<&str> = signature.inputs.iter().map(|spec| spec.name.as_str()).collect();
    names.join(", ")
}

fn missing(place: &str, spec: &TensorSpec) -> BodyError {
    BodyError::Invalid(format!("{place}: input \"{}\" ({spec}) is missing", spec.name))
}

/// `{"name": nested, ...}`, or the bare nested array of a model with one input.
pub(super) fn named(cursor: &mut Cursor<'_>, signature: &Signature) -> Result<Vec<Tensor>> {
    let peek = cursor.peek()?;
    if peek != Peek::Object {
        let [spec] = signature.inputs.as_slice() else {
            return Err(BodyError::Invalid(format!(
                "inputs: expected an object with {}, got {}",
                expected_names(signature),
                type_name(peek)
            )));
        };
        let mut reader = reader(spec);
        reader.whole(cursor, peek)?;
        return Ok(vec![reader.finish()?]);
    }
    let mut tensors: Vec<Option<Tensor>> = vec![None; signature.inputs.len()];
    let mut key = cursor.object()?;
    while let Some(name) = key {
        let at = find(signature, &name, &"inputs")?;
        let mut reader = reader(&signature.inputs[at]);
        let peek = cursor.peek()?;
        reader.whole(cursor, peek)?;
        if tensors[at].replace(reader.finish()?).is_some() {
            return Err(BodyError::Invalid(format!("inputs: input \"{name}\" stands twice")));
        }
        key = cursor.next_key()?;
    }
    let given = signature.inputs.iter().zip(tensors);
    given.map(|(spec, tensor)| tensor.ok_or_else(|| missing("inputs", spec))).collect()
}

/// `[row, row, ...]`.
pub(super) fn instances(cursor: &mut Cursor<'_>, signature: &Signature) -> Result<Vec<Tensor>> {
    let mut readers: Vec<_> = signature.inputs.iter().map(reader).collect();
    // Flat rows need an order that nobody can mistake: every input is one value a row.
    let flat = signature.inputs.len() > 1 && signature.inputs.iter().all(is_column);
    let mut row = 0;
    cursor.peek()?;
    let mut next = cursor.array()?;
    while let Some(peek) = next {
        match (peek, readers.as_mut_slice()) {
            (Peek::Object, readers) => object_row(cursor, signature, readers, row)?,
            (peek, [reader]) => reader.row(cursor, peek)?,
            (Peek::Array, readers) if flat => flat_row(cursor, signature, readers, row)?,
            (peek, _) => {
                let or = if flat { " or a row of their values" } else { "" };
                return Err(BodyError::Invalid(format!(
                    "instances[{row}]: expected an object with {}{or}, got {}",
                    expected_names(signature),
                    type_name(peek)
                )));
            }
        }
        row += 1;
        next = cursor.array_step()?;
    }
    if row == 0 {
        return Err(BodyError::invalid("instances: expected at least one row, got none"));
    }
    readers.iter_mut().map(|reader| reader.finish()).collect()
}

/// True for `[N,1]` and `[N]`.
fn is_column(spec: &TensorSpec) -> bool {
    !spec.shape.is_empty() && spec.shape.iter().skip(1).all(|dim| *dim == Dim::Fixed(1))
}

fn object_row(
    cursor: &mut Cursor<'_>,
    signature: &Signature,
    readers: &mut [Box<dyn TensorReader + '_>],
    row: usize,
) -> Result<()> {
    let mut seen = vec![false; readers.len()];
    let mut key = cursor.object()?;
    while let Some(name) = key {
        let at = find(signature, &name, &format_args!("instances[{row}]"))?;
        if std::mem::replace(&mut seen[at], true) {
            return Err(BodyError::Invalid(format!("instances[{row}]: input \"{name}\" stands twice")));
        }
        let peek = cursor.peek()?;
        readers[at].row(cursor, peek)?;
        key = cursor.next_key()?;
    }
    match seen.iter().position(|seen| !seen) {
        Some(at) => Err(missing(&format!("instances[{row}]"), &signature.inputs[at])),
        None => Ok(()),
    }
}

fn flat_row(
    cursor: &mut Cursor<'_>,
    signature: &Signature,
    readers: &mut [Box<dyn TensorReader + '_>],
    row: usize,
) -> Result<()> {
    let mut count = 0;
    let mut next = cursor.array()?;
    while let Some(peek) = next {
        let Some(reader) = readers.get_mut(count) else { break };
        reader.row(cursor, peek)?;
        count += 1;
        next = cursor.array_step()?;
    }
    if count < readers.len() || next.is_some() {
        let got = if next.is_some() { "more".to_owned() } else { count.to_string() };
        return Err(BodyError::Invalid(format!(
            "instances[{row}]: expected {} values ({}), got {got}",
            readers.len(),
            expected_names(signature)
        )));
    }
    Ok(())
}

fn find(signature: &Signature, name: &str, place: &dyn std::fmt::Display) -> Result<usize> {
    signature.input(name).ok_or_else(|| {
        let name: String = name.chars().take(64).collect();
        BodyError::Invalid(format!(
            "{place}: the model has no input \"{name}\", expected {}",
            expected_names(signature)
        ))
    })
}
