//! Tensors as perch carries them: a shape and one contiguous, row-major buffer.
//!
//! A plain `Vec` a tensor, not an `ndarray`: rows of several requests are appended to one buffer and answers are
//! printed from a range of rows, and both are slices of a contiguous buffer.

use std::ops::Range;

use half::f16;
use smallvec::SmallVec;
use thiserror::Error;

use crate::dtype::DType;

/// Sizes of the dimensions, outermost first.
pub type Shape = SmallVec<[usize; 4]>;

/// The elements of a tensor, row-major.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "one variant a DType")]
pub enum Data {
    Bool(Vec<bool>),
    U8(Vec<u8>),
    I8(Vec<i8>),
    U16(Vec<u16>),
    I16(Vec<i16>),
    U32(Vec<u32>),
    I32(Vec<i32>),
    U64(Vec<u64>),
    I64(Vec<i64>),
    F16(Vec<f16>),
    F32(Vec<f32>),
    F64(Vec<f64>),
    String(Vec<String>),
}

/// Runs `$body` with `$values` bound to the typed vector inside a [`Data`].
#[macro_export]
macro_rules! with_data {
    ($data:expr, $values:ident => $body:expr) => {
        match $data {
            $crate::tensor::Data::Bool($values) => $body,
            $crate::tensor::Data::U8($values) => $body,
            $crate::tensor::Data::I8($values) => $body,
            $crate::tensor::Data::U16($values) => $body,
            $crate::tensor::Data::I16($values) => $body,
            $crate::tensor::Data::U32($values) => $body,
            $crate::tensor::Data::I32($values) => $body,
            $crate::tensor::Data::U64($values) => $body,
            $crate::tensor::Data::I64($values) => $body,
            $crate::tensor::Data::F16($values) => $body,
            $crate::tensor::Data::F32($values) => $body,
            $crate::tensor::Data::F64($values) => $body,
            $crate::tensor::Data::String($values) => $body,
        }
    };
}

/// A Rust type that tensors may hold.
pub trait Element: Clone + Default + Send + Sync + 'static {
    /// Its dtype.
    const DTYPE: DType;
    /// Wraps a typed buffer.
    fn wrap(values: Vec<Self>) -> Data;
    /// The typed buffer, if `data` holds this type.
    fn of(data: &Data) -> Option<&[Self]>;
}

macro_rules! elements {
    ($($rust:ty => $variant:ident),+ $(,)?) => {$(
        impl Element for $rust {
            const DTYPE: DType = DType::$variant;
            fn wrap(values: Vec<Self>) -> Data {
                Data::$variant(values)
            }
            fn of(data: &Data) -> Option<&[Self]> {
                match data {
                    Data::$variant(values) => Some(values),
                    _ => None,
                }
            }
        }
    )+
    impl Data {
        /// The element type.
        #[must_use]
        pub const fn dtype(&self) -> DType {
            match self { $(Self::$variant(_) => DType::$variant),+ }
        }

        /// `count` elements that are zero, false or empty.
        #[must_use]
        pub fn zeros(dtype: DType, count: usize) -> Self {
            match dtype { $(DType::$variant => Self::$variant(vec![<$rust>::default(); count])),+ }
        }

        /// Appends the elements `range` of `other`. False, and nothing done, when the types differ.
        fn extend(&mut self, other: &Self, range: Range<usize>) -> bool {
            match (self, other) {
                $((Self::$variant(to), Self::$variant(from)) => to.extend_from_slice(&from[range]),)+
                _ => return false,
            }
            true
        }
    }};
}

elements! {
    bool => Bool, u8 => U8, i8 => I8, u16 => U16, i16 => I16, u32 => U32, i32 => I32, u64 => U64, i64 => I64,
    f16 => F16, f32 => F32, f64 => F64, String => String,
}

impl Data {
    /// Number of elements.
    #[must_use]
    pub const fn len(&self) -> usize {
        with_data!(self, values => values.len())
    }

    /// True when there is no element.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A shape and a buffer that do not fit together, or tensors that cannot be joined.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ShapeError {
    /// The buffer has another number of elements than the shape says.
    #[error("shape {shape:?} holds {expected} elements, got {got}")]
    Count {
        /// The shape.
        shape: Shape,
        /// The product of the shape.
        expected: usize,
        /// Elements in the buffer.
        got: usize,
    },
    /// Tensors of another type or row shape cannot be appended.
    #[error("cannot append {got} to {expected}")]
    Append {
        /// What the target holds.
        expected: String,
        /// What came.
        got: String,
    },
}

/// A dense tensor. Its buffer always holds exactly the product of its shape.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    shape: Shape,
    data: Data,
}

impl Tensor {
    /// A tensor of `shape` over `data`.
    ///
    /// # Errors
    /// When the number of elements is not the product of the shape.
    pub fn new(shape: Shape, data: Data) -> Result<Self, ShapeError> {
        // Saturating: a shape that a client invented may overflow.
        let expected = shape.iter().fold(1_usize, |product, dim| product.saturating_mul(*dim));
        let got = data.len();
        if expected == got { Ok(Self { shape, data }) } else { Err(ShapeError::Count { shape, expected, got }) }
    }

    /// A tensor of zeros.
    #[must_use]
    pub fn zeros(dtype: DType, shape: Shape) -> Self {
        let count = shape.iter().product();
        Self { shape, data: Data::zeros(dtype, count) }
    }

    /// Sizes of the dimensions.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The elements, row-major.
    #[must_use]
    pub const fn data(&self) -> &Data {
        &self.data
    }

    /// The element type.
    #[must_use]
    pub const fn dtype(&self) -> DType {
        self.data.dtype()
    }

    /// The outermost dimension; 1 for a scalar.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(1)
    }

    /// How much memory its elements take, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        with_data!(&self.data, values => size_of_val(&values[..]))
    }

    /// Elements in one row.
    #[must_use]
    pub fn row_len(&self) -> usize {
        self.shape.iter().skip(1).product()
    }

    /// True when `other` has the same type and the same shape but for the number of rows.
    #[must_use]
    pub fn stacks_with(&self, other: &Self) -> bool {
        self.dtype() == other.dtype()
            && self.shape.len() == other.shape.len()
            && !self.shape.is_empty()
            && self.shape[1..] == other.shape[1..]
    }

    /// The rows `range` as a tensor of their own.
    #[must_use]
    pub fn slice(&self, range: Range<usize>) -> Self {
        let len = self.row_len();
        let mut shape = self.shape.clone();
        if let Some(rows) = shape.first_mut() {
            *rows = range.len();
        }
        let mut data = Data::zeros(self.dtype(), 0);
        data.extend(&self.data, range.start * len..range.end * len);
        Self { shape, data }
    }

    /// True when no value of these rows is a NaN or an infinity.
    #[must_use]
    pub fn is_finite(&self, rows: Range<usize>) -> bool {
        let len = self.row_len();
        match &self.data {
            Data::F32(values) => all_finite(values, rows, len, f32::is_finite),
            Data::F64(values) => all_finite(values, rows, len, f64::is_finite),
            Data::F16(values) => all_finite(values, rows, len, f16::is_finite),
            _ => true,
        }
    }

    /// Joins tensors along the first dimension.
    ///
    /// # Errors
    /// When they do not [stack](Self::stacks_with), or there is none.
    pub fn stack<'t>(parts: impl IntoIterator<Item = &'t Self> + Clone) -> Result<Self, ShapeError> {
        let count = parts.clone().into_iter().map(|part| part.data.len()).sum();
        let mut parts = parts.into_iter();
        let Some(first) = parts.next() else {
            return Err(ShapeError::Append { expected: "a tensor".into(), got: "none".into() });
        };
        let mut all = Self { shape: first.shape.clone(), data: Data::zeros(first.dtype(), 0) };
        with_data!(&mut all.data, values => values.reserve_exact(count));
        all.data.extend(&first.data, 0..first.data.len());
        for part in parts {
            if !all.stacks_with(part) {
                return Err(ShapeError::Append { expected: all.describe(), got: part.describe() });
            }
            all.data.extend(&part.data, 0..part.data.len());
            all.shape[0] += part.shape[0];
        }
        Ok(all)
    }

    /// `float32[3,16]`, for messages.
    #[must_use]
    pub fn describe(&self) -> String {
        format!("{}{:?}", self.dtype(), self.shape.as_slice()).replace(' ', "")
    }
}

/// One output of a run.
#[derive(Debug, Clone, PartialEq)]
pub enum Column {
    /// A dense tensor.
    Tensor(Tensor),
    /// One map a row: the sequence of maps that scikit-learn classifiers give (operator `ZipMap`).
    Maps(Vec<Vec<(String, f32)>>),
}

impl Column {
    /// The rows of `range`, copied.
    #[must_use]
    pub fn slice(&self, range: Range<usize>) -> Self {
        match self {
            Self::Tensor(tensor) => Self::Tensor(tensor.slice(range)),
            Self::Maps(rows) => Self::Maps(rows.get(range).unwrap_or_default().to_vec()),
        }
    }

    /// How much memory it takes, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Tensor(tensor) => size_of::<Tensor>() + tensor.bytes(),
            Self::Maps(rows) => {
                let entry = |(key, _): &(String, f32)| size_of::<(String, f32)>() + key.capacity();
                rows.iter().map(|row| size_of::<Vec<(String, f32)>>() + row.iter().map(entry).sum::<usize>()).sum()
            }
        }
    }

    /// Number of rows; 1 for a scalar tensor.
    #[must_use]
    pub fn rows(&self) -> usize {
        match self {
            Self::Tensor(tensor) => tensor.rows(),
            Self::Maps(rows) => rows.len(),
        }
    }

    /// True when no value of these rows is a NaN or an infinity.
    #[must_use]
    pub fn is_finite(&self, rows: Range<usize>) -> bool {
        match self {
            Self::Tensor(tensor) => tensor.is_finite(rows),
            Self::Maps(maps) => {
                maps.get(rows).into_iter().flatten().all(|row| row.iter().all(|(_, value)| value.is_finite()))
            }
        }
    }
}

/// No branch a value, so that the compiler makes it wide: this is on the path of every request of a canary.
fn all_finite<T: Copy>(values: &[T], rows: Range<usize>, len: usize, finite: impl Fn(T) -> bool) -> bool {
    let values = values.get(rows.start * len..rows.end * len).unwrap_or_default();
    values.iter().fold(true, |all, value| all & finite(*value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use smallvec::smallvec;

    fn tensor(shape: &[usize], values: &[f32]) -> Tensor {
        Tensor::new(shape.into(), Data::F32(values.to_vec())).expect("shape fits")
    }

    #[test]
    fn a_shape_that_does_not_fit_is_refused() {
        let error = Tensor::new(smallvec![2, 3], Data::F32(vec![1.0; 5])).expect_err("5 is not 6");
        assert_eq!(error.to_string(), "shape [2, 3] holds 6 elements, got 5");
        let huge = Tensor::new(smallvec![usize::MAX, 2], Data::F32(vec![1.0; 2]));
        assert!(huge.is_err(), "an overflowing shape must not wrap round to fit");
    }

    #[test]
    fn stacking_keeps_order_and_slicing_gives_it_back() {
        let one = tensor(&[1, 2], &[1.0, 2.0]);
        let two = tensor(&[2, 2], &[3.0, 4.0, 5.0, 6.0]);
        let all = Tensor::stack([&one, &two]).expect("same row shape");
        assert_eq!(all, tensor(&[3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
        assert_eq!(all.slice(0..1), one);
        assert_eq!(all.slice(1..3), two);
    }

    #[test]
    fn rows_that_cannot_be_used_are_found() {
        let column = Column::Tensor(tensor(&[3, 2], &[1.0, 2.0, f32::NAN, 4.0, 5.0, f32::INFINITY]));
        assert!(column.is_finite(0..1) && column.is_finite(0..0));
        assert!(!column.is_finite(1..2) && !column.is_finite(2..3) && !column.is_finite(0..3));
        let maps = Column::Maps(vec![vec![("a".into(), 1.0)], vec![("a".into(), 0.5), ("b".into(), f32::NAN)]]);
        assert!(maps.is_finite(0..1) && !maps.is_finite(0..2));
        assert!(Column::Tensor(Tensor::zeros(DType::I64, smallvec![2])).is_finite(0..2));
    }

    #[test]
    fn other_row_shapes_and_types_do_not_stack() {
        let one = tensor(&[1, 2], &[1.0, 2.0]);
        assert!(Tensor::stack([&one, &tensor(&[1, 1], &[1.0])]).is_err());
        assert!(Tensor::stack([&one, &Tensor::zeros(DType::F64, smallvec![1, 2])]).is_err());
        assert!(Tensor::stack(std::iter::empty::<&Tensor>()).is_err());
    }
}
