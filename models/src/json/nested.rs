//! Nested arrays to a tensor: the shape is discovered from the first row and every other row is held to it.

use jiter::Peek;
use smallvec::SmallVec;

use super::cursor::{Cursor, Result, type_name};
use super::element::{ElementError, FromJson, for_dtype};
use super::error::BodyError;
use crate::signature::{Dim, TensorSpec};
use crate::tensor::{Shape, Tensor};

/// Reads the rows of one input, one after the other or as one array.
pub(super) trait TensorReader {
    /// Reads a whole nested array.
    fn whole(&mut self, cursor: &mut Cursor<'_>, peek: Peek) -> Result<()>;
    /// Reads one row, that is, one element of the outermost dimension.
    fn row(&mut self, cursor: &mut Cursor<'_>, peek: Peek) -> Result<()>;
    /// The tensor of everything that was read.
    fn finish(&mut self) -> Result<Tensor>;
}

/// A reader for the input `spec`.
pub(super) fn reader(spec: &TensorSpec) -> Box<dyn TensorReader + '_> {
    fn boxed<T: FromJson>(spec: &TensorSpec) -> Box<dyn TensorReader + '_> {
        Box::new(Nested::<T>::new(spec))
    }
    for_dtype!(spec.dtype, boxed(spec))
}

struct Nested<'s, T> {
    spec: &'s TensorSpec,
    /// Sizes seen so far; `None` until the first array of that depth has ended.
    sizes: SmallVec<[Option<usize>; 4]>,
    /// Where the reader stands, for messages.
    path: SmallVec<[usize; 4]>,
    values: Vec<T>,
    rows: usize,
}

impl<'s, T: FromJson> Nested<'s, T> {
    fn new(spec: &'s TensorSpec) -> Self {
        let sizes = spec.shape.iter().map(|dim| match dim {
            Dim::Fixed(size) => Some(*size),
            Dim::Free(_) => None,
        });
        let row_len: usize =
            spec.shape.iter().skip(1).map(|dim| if let Dim::Fixed(size) = dim { *size } else { 1 }).product();
        // One row's worth, bounded: the size is the graph's word, not the client's bytes.
        let values = Vec::with_capacity(row_len.min(4096));
        Self { spec, sizes: sizes.collect(), path: SmallVec::new(), values, rows: 0 }
    }

    fn value(&mut self, cursor: &mut Cursor<'_>, peek: Peek, depth: usize) -> Result<()> {
        let rank = self.spec.shape.len();
        if depth < rank && peek == Peek::Array {
            return self.array(cursor, depth);
        }
        // A row of a [N,1] input may be given as the plain number.
        let may_omit = depth > 0 && self.spec.shape[depth..].iter().all(|dim| *dim == Dim::Fixed(1));
        if depth < rank && !may_omit {
            return Err(self.unfit(&format!("expected an array of rank {}, got {}", rank - depth, type_name(peek))));
        }
        self.element(cursor, peek)
    }

    fn element(&mut self, cursor: &mut Cursor<'_>, peek: Peek) -> Result<()> {
        match T::read(cursor, peek) {
            Ok(value) => {
                self.values.push(value);
                Ok(())
            }
            Err(ElementError::Body(error)) => Err(error),
            Err(ElementError::Unfit(got)) => Err(self.unfit(&format!("expected {}, got {got}", T::DTYPE))),
        }
    }

    fn array(&mut self, cursor: &mut Cursor<'_>, depth: usize) -> Result<()> {
        self.path.push(0);
        let innermost = depth + 1 == self.spec.shape.len();
        let mut count = 0;
        let mut next = cursor.array()?;
        while let Some(peek) = next {
            self.path[depth] = count;
            if innermost {
                let before = self.values.len();
                self.element(cursor, peek)?;
                T::read_on(cursor, &mut self.values);
                count += self.values.len() - before;
            } else {
                self.value(cursor, peek, depth + 1)?;
                count += 1;
            }
            next = cursor.array_step()?;
        }
        self.path.pop();
        self.settle(depth, count)
    }

    /// Holds an array of `count` elements to what this depth has had before, or to what the graph declares.
    fn settle(&mut self, depth: usize, count: usize) -> Result<()> {
        match self.sizes[depth] {
            None => self.sizes[depth] = Some(count),
            Some(size) if size == count => {}
            Some(size) => {
                let what = match self.spec.shape[depth] {
                    Dim::Fixed(_) => format!("expected {size} values, got {count}"),
                    Dim::Free(_) => format!("rows differ in length: expected {size} values as before, got {count}"),
                };
                return Err(self.unfit(&what));
            }
        }
        Ok(())
    }

    fn unfit(&self, what: &str) -> BodyError {
        let at: String = self.path.iter().map(|index| format!("[{index}]")).collect();
        BodyError::Invalid(format!(
            "input \"{}\" ({}){}{at}: {what}",
            self.spec.name,
            self.spec,
            if at.is_empty() { "" } else { " at " }
        ))
    }
}

impl<T: FromJson> TensorReader for Nested<'_, T> {
    fn whole(&mut self, cursor: &mut Cursor<'_>, peek: Peek) -> Result<()> {
        self.value(cursor, peek, 0)
    }

    fn row(&mut self, cursor: &mut Cursor<'_>, peek: Peek) -> Result<()> {
        if self.spec.shape.is_empty() {
            return Err(self.unfit("a scalar has no rows: use \"inputs\""));
        }
        self.path.push(self.rows);
        self.value(cursor, peek, 1)?;
        self.path.pop();
        self.rows += 1;
        Ok(())
    }

    fn finish(&mut self) -> Result<Tensor> {
        if self.rows > 0 {
            self.settle(0, self.rows)?;
        }
        // A depth that was never reached lies under an empty array.
        let shape: Shape = self.sizes.iter().map(|size| size.unwrap_or(0)).collect();
        let values = std::mem::take(&mut self.values);
        Tensor::new(shape, T::wrap(values)).map_err(|error| self.unfit(&error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtype::DType;
    use crate::tensor::Data;

    fn spec(dtype: DType, shape: &[Option<usize>]) -> TensorSpec {
        let shape = shape.iter().map(|dim| dim.map_or(Dim::Free(None), Dim::Fixed)).collect();
        TensorSpec { name: "x".into(), dtype, shape }
    }

    fn read(spec: &TensorSpec, text: &str) -> Result<Tensor> {
        let mut cursor = Cursor::new(text.as_bytes(), 0..text.len());
        let mut reader = reader(spec);
        let peek = cursor.peek()?;
        reader.whole(&mut cursor, peek)?;
        cursor.finish()?;
        reader.finish()
    }

    fn message(spec: &TensorSpec, text: &str) -> String {
        read(spec, text).expect_err(text).to_string()
    }

    #[test]
    fn arrays_become_row_major_buffers() {
        let tensor = read(&spec(DType::F32, &[None, Some(2)]), "[[1, 2.5], [-3e2, NaN]]").expect("well formed");
        assert_eq!(tensor.shape(), [2, 2]);
        let Data::F32(values) = tensor.data() else { panic!("f32") };
        assert_eq!(values[..3], [1.0, 2.5, -300.0]);
        assert!(values[3].is_nan());
    }

    #[test]
    fn a_column_may_be_flat() {
        let tensor = read(&spec(DType::I64, &[None, Some(1)]), "[1, [2], 3]").expect("rows of one");
        assert_eq!(tensor, Tensor::new([3, 1][..].into(), Data::I64(vec![1, 2, 3])).expect("fits"));
    }

    #[test]
    fn messages_name_the_place_and_what_was_expected() {
        let x = spec(DType::F32, &[None, Some(2)]);
        let at = |text| message(&x, text);
        assert_eq!(at("[[1,2],[3]]"), "input \"x\" (float32[?,2]) at [1]: expected 2 values, got 1");
        assert_eq!(at("[[1,true]]"), "input \"x\" (float32[?,2]) at [0][1]: expected float32, got a boolean");
        assert_eq!(at("[1,2]"), "input \"x\" (float32[?,2]) at [0]: expected an array of rank 1, got a number");
        assert_eq!(at("[[[1],2]]"), "input \"x\" (float32[?,2]) at [0][0]: expected float32, got an array");
        assert_eq!(at("3"), "input \"x\" (float32[?,2]): expected an array of rank 2, got a number");
        assert_eq!(
            at("[[1,1e39]]"),
            "input \"x\" (float32[?,2]) at [0][1]: expected float32, got 1e39, which is out of its range"
        );
        assert_eq!(at("[[1,null]]"), "input \"x\" (float32[?,2]) at [0][1]: expected float32, got null");
        let free = spec(DType::F64, &[None, None]);
        assert_eq!(
            message(&free, "[[1,2],[3]]"),
            "input \"x\" (float64[?,?]) at [1]: rows differ in length: expected 2 values as before, got 1"
        );
        let int = spec(DType::U8, &[None]);
        assert_eq!(message(&int, "[256]"), "input \"x\" (uint8[?]) at [0]: expected uint8, got 256");
        assert_eq!(message(&int, "[1.0]"), "input \"x\" (uint8[?]) at [0]: expected uint8, got 1.0");
        assert_eq!(message(&int, "[NaN]"), "input \"x\" (uint8[?]) at [0]: expected uint8, got NaN");
    }

    #[test]
    fn infinities_are_floats_but_overflow_is_not() {
        let x = spec(DType::F64, &[None]);
        assert!(read(&x, "[Infinity, -Infinity]").is_ok());
        assert!(message(&x, "[1e999]").contains("1e999, which is out of its range"));
    }

    #[test]
    fn empty_arrays_have_empty_shapes() {
        let tensor = read(&spec(DType::F32, &[None, None]), "[]").expect("read, refused later by Signature::check");
        assert_eq!(tensor.shape(), [0, 0]);
    }
}
