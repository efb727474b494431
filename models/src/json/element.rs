//! How one JSON scalar becomes one element of each dtype.

use half::f16;
use jiter::Peek;

use super::cursor::{Cursor, type_name};
use super::error::BodyError;
use super::floats;
use crate::tensor::Element;

/// Why a scalar is not an element of this dtype: `got` goes into the message, or the body is not JSON.
pub(super) enum ElementError {
    /// Described for the client.
    Unfit(String),
    /// The body itself is broken.
    Body(BodyError),
}

impl From<BodyError> for ElementError {
    fn from(error: BodyError) -> Self {
        Self::Body(error)
    }
}

/// An element that can be read from JSON.
pub(super) trait FromJson: Element {
    fn read(cursor: &mut Cursor<'_>, peek: Peek) -> std::result::Result<Self, ElementError>;

    /// Behind an element of an array: may read more of its elements, as many as it knows to be fit.
    fn read_on(_: &mut Cursor<'_>, _: &mut Vec<Self>) {}
}

fn unfit<T>(peek: Peek) -> std::result::Result<T, ElementError> {
    Err(ElementError::Unfit(type_name(peek).to_owned()))
}

/// Reads a float. Finding its text first and handing that to the standard library's parser took longer.
fn float<T>(
    cursor: &mut Cursor<'_>,
    peek: Peek,
    narrow: impl Fn(f64) -> T,
    is_infinite: impl Fn(&T) -> bool,
) -> std::result::Result<T, ElementError> {
    if !peek.is_num() {
        return unfit(peek);
    }
    let start = cursor.offset();
    let value = narrow(cursor.float(peek)?);
    // Infinity as a token is meant; infinity that a finite number overflowed to is not.
    if is_infinite(&value) && !cursor.text_since(start).ends_with('y') {
        let text = shorten(cursor.text_since(start));
        return Err(ElementError::Unfit(format!("{text}, which is out of its range")));
    }
    Ok(value)
}

macro_rules! floats {
    ($($rust:ty: $narrow:expr),+) => {$(
        impl FromJson for $rust {
            fn read(cursor: &mut Cursor<'_>, peek: Peek) -> std::result::Result<Self, ElementError> {
                float(cursor, peek, $narrow, |value: &Self| value.is_infinite())
            }

            fn read_on(cursor: &mut Cursor<'_>, values: &mut Vec<Self>) {
                floats::read_on(cursor, |value| Some($narrow(value)).filter(|value| value.is_finite()), values);
            }
        }
    )+};
}

#[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is the purpose; overflow is checked")]
const fn to_f32(value: f64) -> f32 {
    value as f32
}

floats!(f32: to_f32, f64: std::convert::identity, f16: f16::from_f64);

macro_rules! integers {
    ($($rust:ty),+) => {$(
        impl FromJson for $rust {
            fn read(cursor: &mut Cursor<'_>, peek: Peek) -> std::result::Result<Self, ElementError> {
                if !peek.is_num() {
                    return unfit(peek);
                }
                let text = cursor.number(peek)?;
                text.parse().map_err(|_| ElementError::Unfit(shorten(text)))
            }
        }
    )+};
}

integers!(u8, i8, u16, i16, u32, i32, u64, i64);

impl FromJson for bool {
    fn read(cursor: &mut Cursor<'_>, peek: Peek) -> std::result::Result<Self, ElementError> {
        match peek {
            Peek::True | Peek::False => Ok(cursor.bool(peek)?),
            other => unfit(other),
        }
    }
}

impl FromJson for String {
    fn read(cursor: &mut Cursor<'_>, peek: Peek) -> std::result::Result<Self, ElementError> {
        match peek {
            Peek::String => Ok(cursor.string()?),
            other => unfit(other),
        }
    }
}

/// A number of a thousand digits does not belong whole in a message.
fn shorten(text: &str) -> String {
    const MOST: usize = 32;
    match text.get(..MOST) {
        Some(start) if text.len() > MOST => format!("{start}…"),
        _ => text.to_owned(),
    }
}

/// Calls `$function::<T>($args)` with the Rust type of `$dtype`.
macro_rules! for_dtype {
    ($dtype:expr, $function:ident($($arg:expr),* $(,)?)) => {
        match $dtype {
            $crate::dtype::DType::Bool => $function::<bool>($($arg),*),
            $crate::dtype::DType::U8 => $function::<u8>($($arg),*),
            $crate::dtype::DType::I8 => $function::<i8>($($arg),*),
            $crate::dtype::DType::U16 => $function::<u16>($($arg),*),
            $crate::dtype::DType::I16 => $function::<i16>($($arg),*),
            $crate::dtype::DType::U32 => $function::<u32>($($arg),*),
            $crate::dtype::DType::I32 => $function::<i32>($($arg),*),
            $crate::dtype::DType::U64 => $function::<u64>($($arg),*),
            $crate::dtype::DType::I64 => $function::<i64>($($arg),*),
            $crate::dtype::DType::F16 => $function::<half::f16>($($arg),*),
            $crate::dtype::DType::F32 => $function::<f32>($($arg),*),
            $crate::dtype::DType::F64 => $function::<f64>($($arg),*),
            $crate::dtype::DType::String => $function::<String>($($arg),*),
        }
    };
}
pub(super) use for_dtype;
