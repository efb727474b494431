//! Answers: printed from the rows of a batch's outputs into one buffer.
//!
//! NaN and infinities are the bare tokens `NaN`, `Infinity` and `-Infinity`, which Python's json reads.

use std::ops::Range;

use super::decimals::write_separated;
use super::envelope::Form;
use crate::signature::{OutputSpec, Signature};
use crate::tensor::{Column, Tensor};
use crate::with_data;

/// Appends `"predictions":…` or `"outputs":…` for the rows `rows` of `columns`.
///
/// `selected` are positions of outputs, all of them when `None`; `columns` are in the signature's order.
pub fn write_answer(
    out: &mut Vec<u8>,
    form: Form,
    signature: &Signature,
    columns: &[Column],
    rows: &Range<usize>,
    selected: Option<&[usize]>,
) {
    let all: Vec<usize>;
    let selected = if let Some(selected) = selected {
        selected
    } else {
        all = (0..columns.len()).collect();
        &all
    };
    let outputs = || selected.iter().filter_map(|i| Some((signature.outputs.get(*i)?, columns.get(*i)?)));
    match form {
        Form::Instances => {
            out.extend_from_slice(b"\"predictions\":[");
            match (outputs().next(), selected.len()) {
                (Some((_, column)), 1) => separated(out, rows.clone(), |out, row| write_row(out, column, row)),
                _ => separated(out, rows.clone(), |out, row| {
                    out.push(b'{');
                    separated(out, outputs(), |out, (spec, column)| {
                        write_key(out, spec.name());
                        write_row(out, column, row);
                    });
                    out.push(b'}');
                }),
            }
            out.push(b']');
        }
        Form::Named => {
            out.extend_from_slice(b"\"outputs\":{");
            separated(out, outputs(), |out, (spec, column)| {
                write_key(out, spec.name());
                write_nested(out, column, rows);
            });
            out.push(b'}');
        }
        Form::Oip => {
            out.extend_from_slice(b"\"outputs\":[");
            separated(out, outputs(), |out, (spec, column)| write_oip(out, spec, column, rows));
            out.push(b']');
        }
    }
}

/// Appends a JSON string.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    // Writing to a Vec cannot fail, and a str always serialises.
    let _ = serde_json::to_writer(out, text);
}

/// Appends the floats of an embedding, or of another score: an array, nested where `shape` has several dimensions, and a
/// bare number where it has none. There are as many as that says.
pub fn write_floats(out: &mut Vec<u8>, values: &[f32], shape: &[usize]) {
    write_nested_block(out, values, shape, &write_separated);
}

fn write_key(out: &mut Vec<u8>, key: &str) {
    write_string(out, key);
    out.push(b':');
}

fn separated<T>(out: &mut Vec<u8>, items: impl IntoIterator<Item = T>, mut write: impl FnMut(&mut Vec<u8>, T)) {
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write(out, item);
    }
}

/// One row as a prediction: a row of a single value is that value.
fn write_row(out: &mut Vec<u8>, column: &Column, row: usize) {
    match column {
        Column::Tensor(tensor) => {
            let len = tensor.row_len();
            let range = row * len..(row + 1) * len;
            let inner = tensor.shape().get(1..).unwrap_or_default();
            let inner = if len == 1 { &[] } else { inner };
            with_data!(tensor.data(), values => write_block(out, values.get(range).unwrap_or_default(), inner));
        }
        Column::Maps(rows) => write_map(out, rows.get(row).map_or(&[], Vec::as_slice)),
    }
}

fn write_nested(out: &mut Vec<u8>, column: &Column, rows: &Range<usize>) {
    match column {
        Column::Tensor(tensor) => {
            let (range, first) = span(tensor, rows);
            let mut shape: smallvec::SmallVec<[usize; 4]> = tensor.shape().into();
            if let Some(outermost) = shape.first_mut() {
                *outermost = first;
            }
            with_data!(tensor.data(), values => write_block(out, values.get(range).unwrap_or_default(), &shape));
        }
        Column::Maps(all) => {
            out.push(b'[');
            separated(out, all.get(rows.clone()).unwrap_or_default(), |out, map| write_map(out, map));
            out.push(b']');
        }
    }
}

/// Elements of the rows `rows`, and how many rows these are. A scalar has no rows to choose from.
fn span(tensor: &Tensor, rows: &Range<usize>) -> (Range<usize>, usize) {
    if tensor.shape().is_empty() {
        return (0..1, 1);
    }
    let len = tensor.row_len();
    (rows.start * len..rows.end * len, rows.len())
}

fn write_oip(out: &mut Vec<u8>, spec: &OutputSpec, column: &Column, rows: &Range<usize>) {
    out.extend_from_slice(b"{\"name\":");
    write_string(out, spec.name());
    match column {
        Column::Tensor(tensor) => {
            let (range, first) = span(tensor, rows);
            out.extend_from_slice(b",\"shape\":[");
            separated(out, tensor.shape().iter().enumerate(), |out, (i, size)| {
                let size = if i == 0 { first } else { *size };
                out.extend_from_slice(itoa::Buffer::new().format(size).as_bytes());
            });
            out.extend_from_slice(b"],\"datatype\":\"");
            out.extend_from_slice(tensor.dtype().oip().as_bytes());
            out.extend_from_slice(b"\",\"data\":");
            let count = range.len();
            with_data!(tensor.data(), values => write_block(out, values.get(range).unwrap_or_default(), &[count]));
        }
        // A map has no datatype there; each row is a JSON object in a BYTES element.
        Column::Maps(all) => {
            let maps = all.get(rows.clone()).unwrap_or_default();
            out.extend_from_slice(b",\"shape\":[");
            out.extend_from_slice(itoa::Buffer::new().format(maps.len()).as_bytes());
            out.extend_from_slice(b"],\"datatype\":\"BYTES\",\"data\":[");
            separated(out, maps, |out, map| {
                let mut text = Vec::new();
                write_map(&mut text, map);
                write_string(out, &String::from_utf8_lossy(&text));
            });
            out.push(b']');
        }
    }
    out.push(b'}');
}

fn write_map(out: &mut Vec<u8>, map: &[(String, f32)]) {
    out.push(b'{');
    separated(out, map, |out, (key, value)| {
        write_key(out, key);
        value.write(out);
    });
    out.push(b'}');
}

fn write_block<T: Scalar>(out: &mut Vec<u8>, values: &[T], shape: &[usize]) {
    write_nested_block(out, values, shape, &|out, row| separated(out, row, |out, value| value.write(out)));
}

/// `write_row` writes the innermost rows, without their brackets.
fn write_nested_block<T: Scalar>(
    out: &mut Vec<u8>,
    values: &[T],
    shape: &[usize],
    write_row: &impl Fn(&mut Vec<u8>, &[T]),
) {
    match shape {
        [] => values.iter().take(1).for_each(|value| value.write(out)),
        [_] => {
            out.push(b'[');
            write_row(out, values);
            out.push(b']');
        }
        [outer, inner @ ..] => {
            let len: usize = inner.iter().product();
            out.push(b'[');
            separated(out, 0..*outer, |out, i| {
                let part = values.get(i * len..(i + 1) * len).unwrap_or_default();
                write_nested_block(out, part, inner, write_row);
            });
            out.push(b']');
        }
    }
}

trait Scalar {
    fn write(&self, out: &mut Vec<u8>);
}

macro_rules! integers {
    ($($rust:ty),+) => {$(
        impl Scalar for $rust {
            fn write(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(itoa::Buffer::new().format(*self).as_bytes());
            }
        }
    )+};
}
integers!(u8, i8, u16, i16, u32, i32, u64, i64);

/// The shortest text that reads back as the same float, or the token that Python's json takes for what is not finite.
pub(super) fn shortest<F: zmij::Float>(value: F, buffer: &mut zmij::Buffer) -> &str {
    match buffer.format(value) {
        "inf" => "Infinity",
        "-inf" => "-Infinity",
        text => text,
    }
}

macro_rules! floats {
    ($($rust:ty),+) => {$(
        impl Scalar for $rust {
            fn write(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(shortest(*self, &mut zmij::Buffer::new()).as_bytes());
            }
        }
    )+};
}
floats!(f32, f64);

impl Scalar for half::f16 {
    fn write(&self, out: &mut Vec<u8>) {
        self.to_f32().write(out);
    }
}

impl Scalar for bool {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(if *self { b"true" } else { b"false" });
    }
}

impl Scalar for String {
    fn write(&self, out: &mut Vec<u8>) {
        write_string(out, self);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtype::DType;
    use crate::signature::{Dim, TensorSpec};
    use crate::tensor::Data;

    fn output(name: &str) -> OutputSpec {
        OutputSpec::Tensor(TensorSpec { name: name.into(), dtype: DType::F32, shape: vec![Dim::Free(None)] })
    }

    fn tensor(shape: &[usize], data: Data) -> Column {
        Column::Tensor(Tensor::new(shape.into(), data).expect("fits"))
    }

    fn text(form: Form, columns: &[(&str, Column)], rows: Range<usize>, selected: Option<&[usize]>) -> String {
        let signature = Signature { inputs: vec![], outputs: columns.iter().map(|(name, _)| output(name)).collect() };
        let columns: Vec<Column> = columns.iter().map(|(_, column)| column.clone()).collect();
        let mut out = Vec::new();
        write_answer(&mut out, form, &signature, &columns, &rows, selected);
        String::from_utf8(out).expect("utf-8")
    }

    #[test]
    fn a_column_of_one_is_plain_numbers() {
        let y = ("y", tensor(&[3, 1], Data::F32(vec![0.1, f32::NAN, -2.0])));
        assert_eq!(text(Form::Instances, std::slice::from_ref(&y), 0..3, None), r#""predictions":[0.1,NaN,-2.0]"#);
        assert_eq!(text(Form::Named, std::slice::from_ref(&y), 1..3, None), r#""outputs":{"y":[[NaN],[-2.0]]}"#);
        assert_eq!(
            text(Form::Oip, &[y], 2..3, None),
            r#""outputs":[{"name":"y","shape":[1,1],"datatype":"FP32","data":[-2.0]}]"#
        );
    }

    #[test]
    fn floats_are_nested_as_their_shape_says() {
        let text = |values: &[f32], shape: &[usize]| {
            let mut out = Vec::new();
            write_floats(&mut out, values, shape);
            String::from_utf8(out).expect("utf-8")
        };
        assert_eq!(text(&[0.5, -1e-7, 3.0], &[3]), "[0.5000000000,-1e-7,3.0]");
        assert_eq!(text(&[1.0, 2.0, 3.0, 4.0], &[2, 2]), "[[1.0,2.0],[3.0,4.0]]");
        assert_eq!(text(&[], &[0]), "[]");
    }

    proptest::proptest! {
        #[test]
        fn a_float_reads_back_as_itself(bits in proptest::num::u32::ANY) {
            let value = f32::from_bits(bits);
            let mut out = Vec::new();
            value.write(&mut out);
            let text = String::from_utf8(out).expect("utf-8");
            let read = text.replace("Infinity", "inf").parse::<f32>().expect("a float");
            proptest::prop_assert!(read.to_bits() == bits || value.is_nan() && read.is_nan(), "{text}");
            // Python and JavaScript read an f64, and round it where they keep an f32.
            let wide = text.replace("Infinity", "inf").parse::<f64>().expect("a float");
            #[expect(clippy::cast_possible_truncation, reason = "what such a client does")]
            let narrow = wide as f32;
            proptest::prop_assert!(narrow.to_bits() == bits || value.is_nan(), "{text}");
        }
    }

    #[test]
    fn several_outputs_are_objects() {
        let columns = [
            ("label", tensor(&[2], Data::String(vec!["a\"b".into(), "ü".into()]))),
            ("p", Column::Maps(vec![vec![("a".into(), 0.5)], vec![("a".into(), f32::INFINITY), ("b".into(), 0.25)]])),
        ];
        assert_eq!(
            text(Form::Instances, &columns, 0..2, None),
            r#""predictions":[{"label":"a\"b","p":{"a":0.5}},{"label":"ü","p":{"a":Infinity,"b":0.25}}]"#
        );
        assert_eq!(text(Form::Instances, &columns, 1..2, Some(&[0])), r#""predictions":["ü"]"#);
        assert_eq!(
            text(Form::Oip, &columns, 0..1, Some(&[1])),
            r#""outputs":[{"name":"p","shape":[1],"datatype":"BYTES","data":["{\"a\":0.5}"]}]"#
        );
    }

    #[test]
    fn deep_tensors_keep_their_shape() {
        let y = ("y", tensor(&[2, 2, 2], Data::I64((1..=8).collect())));
        assert_eq!(text(Form::Instances, std::slice::from_ref(&y), 1..2, None), r#""predictions":[[[5,6],[7,8]]]"#);
        assert_eq!(text(Form::Named, &[y], 0..2, None), r#""outputs":{"y":[[[1,2],[3,4]],[[5,6],[7,8]]]}"#);
    }
}
