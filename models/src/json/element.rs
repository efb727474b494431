//! How one JSON scalar becomes one element of each dtype.

use half::f16;
use jiter::Peek;

use super::cursor::{Cursor, type_name};
use super::error::BodyError;
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
}

fn unfit<T>(peek: Peek) -> std::result::Result<T, ElementError> {
    Err(ElementError::Unfit(type_name(peek).to_owned()))
}

/// Reads a float. Finding its text first and handing that to the standard library's parser took longer.
#[inline]
fn float(
    cursor: &mut Cursor<'_>,
    peek: Peek,
    overflows: impl Fn(f64) -> bool,
) -> std::result::Result<f64, ElementError> {
    if !peek.is_num() {
        return unfit(peek);
    }
    let start = cursor.offset();
    let value = cursor.float(peek)?;
    // Infinity as a token is meant; infinity that a finite number overflowed to is not.
    if overflows(value) && !cursor.text_since(start).ends_with('y') {
        let text = shorten(cursor.text_since(start));
        return Err(ElementError::Unfit(format!("{text}, which is out of its range")));
    }
    Ok(value)
}

impl FromJson for f32 {
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is the purpose; overflow is checked")]
    fn read(cursor: &mut Cursor<'_>, peek: Peek) -> std::result::Result<Self, ElementError> {
        float(cursor, peek, |value| (value as Self).is_infinite()).map(|value| value as Self)
    }
}

impl FromJson for f64 {
    fn read(cursor: &mut Cursor<'_>, peek: Peek) -> std::result::Result<Self, ElementError> {
        float(cursor, peek, Self::is_infinite)
    }
}

impl FromJson for f16 {
    fn read(cursor: &mut Cursor<'_>, peek: Peek) -> std::result::Result<Self, ElementError> {
        float(cursor, peek, |value| Self::from_f64(value).is_infinite()).map(Self::from_f64)
    }
}

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
