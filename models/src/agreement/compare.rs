//! What is compared of two outputs of the same input. Pure.
//!
//! With `a` of the device and `b` of the CPU:
//!
//! | output | row | cosine | relative error |
//! |---|---|---|---|
//! | floats `[rows, …]`, two numbers a row or more | all numbers of the row, as one vector | `a·b / (‖a‖ ‖b‖)` | `│‖a‖ − ‖b‖│ / ‖b‖` |
//! | floats, one number a row; maps | all numbers of the output | 1 | `max │a − b│ / max │b│` |
//! | integers, booleans, strings | all elements of the output | 1 | share of the elements that differ |
//!
//! The worst row counts. The cosine alone would not see an output that is twice as large, hence the lengths of the
//! vectors. A label that differs is an error of its own, however near its number. NaN and infinities have to be in the
//! same places. Norms and numbers below 1e-6 count as 0: relative to them, noise is large.
//!
//! Of an output `[rows, length, …]` of a text model, the padding is left out: nobody reads it, and what is there may
//! differ between devices.

use crate::tensor::{Column, Data, Tensor};

use super::figures::Figures;

/// Below this, relative errors say nothing.
const TINY: f64 = 1e-6;

/// The rows of a text model's run: which part of their outputs is no padding.
#[derive(Debug, Clone, Copy)]
pub struct Lengths<'l> {
    /// Tokens of each row.
    pub rows: &'l [usize],
    /// The length that they were padded to.
    pub padded: usize,
}

/// How near the columns `got` are to `expected`.
///
/// # Errors
/// When they are of another form: what is different.
pub fn compare(got: &Column, expected: &Column, lengths: Option<Lengths<'_>>) -> Result<Figures, String> {
    match (got, expected) {
        (Column::Tensor(got), Column::Tensor(expected)) => tensors(got, expected, lengths),
        (Column::Maps(got), Column::Maps(expected)) => maps(got, expected),
        _ => Err("is a tensor on one side and maps on the other".into()),
    }
}

fn tensors(got: &Tensor, expected: &Tensor, lengths: Option<Lengths<'_>>) -> Result<Figures, String> {
    if got.shape() != expected.shape() {
        return Err(format!("has shape {:?}, expected {:?}", got.shape(), expected.shape()));
    }
    let rows = Rows::of(expected, lengths);
    let floats = |a: &dyn Fn(usize) -> f64, b: &dyn Fn(usize) -> f64| rows.floats(|i| (a(i), b(i)));
    Ok(match (got.data(), expected.data()) {
        (Data::F16(a), Data::F16(b)) => floats(&|i| a[i].to_f64(), &|i| b[i].to_f64()),
        (Data::F32(a), Data::F32(b)) => floats(&|i| f64::from(a[i]), &|i| f64::from(b[i])),
        (Data::F64(a), Data::F64(b)) => floats(&|i| a[i], &|i| b[i]),
        (Data::Bool(a), Data::Bool(b)) => rows.labels(|i| a[i] == b[i]),
        (Data::U8(a), Data::U8(b)) => rows.labels(|i| a[i] == b[i]),
        (Data::I8(a), Data::I8(b)) => rows.labels(|i| a[i] == b[i]),
        (Data::U16(a), Data::U16(b)) => rows.labels(|i| a[i] == b[i]),
        (Data::I16(a), Data::I16(b)) => rows.labels(|i| a[i] == b[i]),
        (Data::U32(a), Data::U32(b)) => rows.labels(|i| a[i] == b[i]),
        (Data::I32(a), Data::I32(b)) => rows.labels(|i| a[i] == b[i]),
        (Data::U64(a), Data::U64(b)) => rows.labels(|i| a[i] == b[i]),
        (Data::I64(a), Data::I64(b)) => rows.labels(|i| a[i] == b[i]),
        (Data::String(a), Data::String(b)) => rows.labels(|i| a[i] == b[i]),
        (a, b) => return Err(format!("is {}, expected {}", a.dtype(), b.dtype())),
    })
}

fn maps(got: &[Vec<(String, f32)>], expected: &[Vec<(String, f32)>]) -> Result<Figures, String> {
    let labels = |rows: &[Vec<(String, f32)>]| -> Vec<Vec<String>> {
        rows.iter().map(|row| row.iter().map(|(label, _)| label.clone()).collect()).collect()
    };
    if labels(got) != labels(expected) {
        return Err("has other labels".into());
    }
    let pairs = got.iter().flatten().zip(expected.iter().flatten());
    Ok(numbers(pairs.map(|((_, a), (_, b))| (f64::from(*a), f64::from(*b)))))
}

/// Which elements of a tensor belong to which row.
struct Rows {
    /// From each row's first element, so many are compared.
    starts: Vec<(usize, usize)>,
}

impl Rows {
    fn of(tensor: &Tensor, lengths: Option<Lengths<'_>>) -> Self {
        let (rows, size) = (tensor.rows(), tensor.row_len());
        let by_token = |lengths: &Lengths<'_>| {
            let shape = tensor.shape();
            shape.len() > 2 && shape[1] == lengths.padded && lengths.rows.len() == rows
        };
        let lengths = lengths.filter(by_token);
        let compared = |row: usize| match lengths {
            Some(lengths) => size / lengths.padded.max(1) * lengths.rows[row].min(lengths.padded),
            None => size,
        };
        Self { starts: (0..rows).map(|row| (row * size, compared(row))).collect() }
    }

    fn elements(&self) -> impl Iterator<Item = usize> {
        self.starts.iter().flat_map(|(start, count)| *start..start + count)
    }

    fn floats(&self, pair: impl Fn(usize) -> (f64, f64)) -> Figures {
        if self.starts.iter().all(|(_, count)| *count < 2) {
            return numbers(self.elements().map(pair));
        }
        let row = |(start, count): &(usize, usize)| vectors((*start..start + count).map(&pair));
        self.starts.iter().map(row).fold(Figures::SAME, Figures::worse)
    }

    fn labels(&self, same: impl Fn(usize) -> bool) -> Figures {
        let (mut differ, mut all) = (0_u32, 0_u32);
        for element in self.elements() {
            all = all.saturating_add(1);
            differ = differ.saturating_add(u32::from(!same(element)));
        }
        Figures { relative: f64::from(differ) / f64::from(all.max(1)), ..Figures::SAME }
    }
}

/// Whether a pair has a distance: not where both are NaN, or the same infinity.
enum Pair {
    Numbers,
    Same,
    Broken,
}

fn kind((a, b): (f64, f64)) -> Pair {
    if a.is_finite() && b.is_finite() {
        Pair::Numbers
    } else if (a.is_nan() && b.is_nan()) || a.to_bits() == b.to_bits() {
        Pair::Same
    } else {
        Pair::Broken
    }
}

fn vectors(pairs: impl Iterator<Item = (f64, f64)>) -> Figures {
    let (mut product, mut a_squares, mut b_squares) = (0.0, 0.0, 0.0);
    for (a, b) in pairs {
        match kind((a, b)) {
            Pair::Same => {}
            Pair::Broken => return Figures::BROKEN,
            Pair::Numbers => {
                product += a * b;
                a_squares += a * a;
                b_squares += b * b;
            }
        }
    }
    let (a, b) = (f64::sqrt(a_squares), f64::sqrt(b_squares));
    if a <= TINY && b <= TINY {
        return Figures::SAME;
    }
    let cosine = if a <= TINY || b <= TINY { 0.0 } else { product / (a * b) };
    Figures { cosine, relative: (a - b).abs() / b.max(TINY) }
}

fn numbers(pairs: impl Iterator<Item = (f64, f64)>) -> Figures {
    let (mut difference, mut scale) = (0.0_f64, TINY);
    for (a, b) in pairs {
        match kind((a, b)) {
            Pair::Same => {}
            Pair::Broken => return Figures::BROKEN,
            Pair::Numbers => {
                difference = difference.max((a - b).abs());
                scale = scale.max(b.abs());
            }
        }
    }
    let relative = if difference <= TINY { 0.0 } else { difference / scale };
    Figures { relative, ..Figures::SAME }
}
