//! The Open Inference Protocol's JSON form of tensors: `[{"name", "shape", "datatype", "data"}]`.

use std::ops::Range;

use jiter::Peek;

use super::cursor::{Cursor, Result, type_name};
use super::element::{ElementError, FromJson, for_dtype};
use super::envelope::{Form, expect, string};
use super::error::BodyError;
use crate::dtype::DType;
use crate::signature::{Dim, Signature, TensorSpec};
use crate::tensor::{Shape, Tensor};

/// Whether `inputs` is this form, or the named one.
pub(super) fn form(body: &[u8], data: Range<usize>) -> Result<Form> {
    let mut cursor = Cursor::new(body, data);
    if cursor.peek()? == Peek::Array && cursor.array()? == Some(Peek::Object) { Ok(Form::Oip) } else { Ok(Form::Named) }
}

/// Output names, plain or as `{"name": …}`. The cursor stands before the `[`.
pub(super) fn output_names(cursor: &mut Cursor<'_>) -> Result<Vec<String>> {
    let mut names = Vec::new();
    let mut next = cursor.array()?;
    while let Some(peek) = next {
        names.push(match peek {
            Peek::String => cursor.string()?,
            Peek::Object => named_output(cursor)?,
            other => {
                return Err(BodyError::Invalid(format!(
                    "outputs: expected a name or an object with \"name\", got {}",
                    type_name(other)
                )));
            }
        });
        next = cursor.array_step()?;
    }
    Ok(names)
}

fn named_output(cursor: &mut Cursor<'_>) -> Result<String> {
    let mut name = None;
    let mut key = cursor.object()?;
    while let Some(field) = key {
        let peek = cursor.peek()?;
        match field.as_str() {
            "name" => name = Some(string(cursor, peek, "outputs.name")?),
            _ => {
                cursor.skip()?;
            }
        }
        key = cursor.next_key()?;
    }
    name.ok_or_else(|| BodyError::invalid("outputs: expected an object with \"name\""))
}

/// The tensors of a request in this form.
pub(super) fn tensors(cursor: &mut Cursor<'_>, body: &[u8], signature: &Signature) -> Result<Vec<Tensor>> {
    let mut tensors: Vec<Option<Tensor>> = vec![None; signature.inputs.len()];
    cursor.peek()?;
    let mut next = cursor.array()?;
    let mut count = 0;
    while let Some(peek) = next {
        let place = format!("inputs[{count}]");
        expect(peek, Peek::Object, &format!("{place}: expected an object"))?;
        let given = Given::read(cursor, &place)?;
        let at = signature.input(&given.name).ok_or_else(|| {
            let known: Vec<&str> = signature.inputs.iter().map(|spec| spec.name.as_str()).collect();
            let name: String = given.name.chars().take(64).collect();
            BodyError::Invalid(format!("{place}: the model has no input \"{name}\", expected {}", known.join(", ")))
        })?;
        if tensors[at].replace(given.tensor(body, &signature.inputs[at])?).is_some() {
            return Err(BodyError::Invalid(format!("inputs: input \"{}\" stands twice", given.name)));
        }
        count += 1;
        next = cursor.array_step()?;
    }
    let given = signature.inputs.iter().zip(tensors);
    given
        .map(|(spec, tensor)| {
            tensor.ok_or_else(|| BodyError::Invalid(format!("inputs: input \"{}\" ({spec}) is missing", spec.name)))
        })
        .collect()
}

/// One element of the list, as it stands in the body.
struct Given {
    name: String,
    datatype: String,
    shape: Shape,
    data: Range<usize>,
}

impl Given {
    fn read(cursor: &mut Cursor<'_>, place: &str) -> Result<Self> {
        let (mut name, mut datatype, mut shape, mut data) = (None, None, None, None);
        let mut key = cursor.object()?;
        while let Some(field) = key {
            let peek = cursor.peek()?;
            match field.as_str() {
                "name" => name = Some(string(cursor, peek, &format!("{place}.name"))?),
                "datatype" => datatype = Some(string(cursor, peek, &format!("{place}.datatype"))?),
                "shape" => shape = Some(read_shape(cursor, peek, place)?),
                "data" => data = Some(cursor.skip()?),
                "parameters" => {
                    cursor.skip()?;
                }
                other => {
                    let other: String = other.chars().take(64).collect();
                    return Err(BodyError::Invalid(format!(
                        "{place}: unknown field \"{other}\", expected one of name, shape, datatype, data, parameters"
                    )));
                }
            }
            key = cursor.next_key()?;
        }
        let absent = |field: &str| BodyError::Invalid(format!("{place}: \"{field}\" is missing"));
        Ok(Self {
            name: name.ok_or_else(|| absent("name"))?,
            datatype: datatype.ok_or_else(|| absent("datatype"))?,
            shape: shape.ok_or_else(|| absent("shape"))?,
            data: data.ok_or_else(|| absent("data"))?,
        })
    }

    fn tensor(&self, body: &[u8], spec: &TensorSpec) -> Result<Tensor> {
        let unfit = |what: String| BodyError::Invalid(format!("input \"{}\" ({spec}): {what}", spec.name));
        if DType::from_oip(&self.datatype) != Some(spec.dtype) {
            return Err(unfit(format!("expected datatype {}, got {}", spec.dtype.oip(), self.datatype)));
        }
        let fits = |(dim, size): (&Dim, &usize)| match dim {
            Dim::Fixed(fixed) => fixed == size,
            Dim::Free(_) => true,
        };
        if self.shape.len() != spec.shape.len() || !spec.shape.iter().zip(&self.shape).all(fits) {
            return Err(unfit(format!("got shape {:?}", self.shape.as_slice())));
        }
        let mut cursor = Cursor::new(body, self.data.clone());
        let peek = cursor.peek()?;
        for_dtype!(spec.dtype, read_flat(&mut cursor, peek, spec, &self.shape))
    }
}

fn read_shape(cursor: &mut Cursor<'_>, peek: Peek, place: &str) -> Result<Shape> {
    expect(peek, Peek::Array, &format!("{place}.shape: expected an array of sizes"))?;
    let mut shape = Shape::new();
    let mut next = cursor.array()?;
    while let Some(peek) = next {
        let size = if peek.is_num() { cursor.number(peek)?.parse().ok() } else { None };
        shape
            .push(size.ok_or_else(|| BodyError::Invalid(format!("{place}.shape: expected an array of sizes from 0")))?);
        next = cursor.array_step()?;
    }
    Ok(shape)
}

/// Data may be nested or flat: only its order counts.
fn read_flat<T: FromJson>(cursor: &mut Cursor<'_>, peek: Peek, spec: &TensorSpec, shape: &Shape) -> Result<Tensor> {
    fn level<T: FromJson>(
        cursor: &mut Cursor<'_>,
        peek: Peek,
        spec: &TensorSpec,
        depth: usize,
        values: &mut Vec<T>,
    ) -> Result<()> {
        if peek == Peek::Array && depth <= spec.shape.len() {
            let mut next = cursor.array()?;
            while let Some(peek) = next {
                level(cursor, peek, spec, depth + 1, values)?;
                if peek != Peek::Array {
                    T::read_on(cursor, values);
                }
                next = cursor.array_step()?;
            }
            return Ok(());
        }
        let at = values.len();
        match T::read(cursor, peek) {
            Ok(value) => values.push(value),
            Err(ElementError::Body(error)) => return Err(error),
            Err(ElementError::Unfit(got)) => {
                let (name, dtype) = (&spec.name, T::DTYPE);
                return Err(BodyError::Invalid(format!(
                    "input \"{name}\" ({spec}): expected {dtype} at element {at}, got {got}"
                )));
            }
        }
        Ok(())
    }
    let mut values = Vec::new();
    level(cursor, peek, spec, 0, &mut values)?;
    Tensor::new(shape.clone(), T::wrap(values))
        .map_err(|error| BodyError::Invalid(format!("input \"{}\" ({spec}): {error}", spec.name)))
}
