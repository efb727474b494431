//! Element types of tensors and their names on each wire.

use std::fmt;

/// The element type of a tensor. These are the types that an ONNX graph may declare and JSON can carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum DType {
    Bool,
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F16,
    F32,
    F64,
    String,
}

impl DType {
    /// Every type, for lookups by name.
    pub const ALL: [Self; 13] = [
        Self::Bool,
        Self::U8,
        Self::I8,
        Self::U16,
        Self::I16,
        Self::U32,
        Self::I32,
        Self::U64,
        Self::I64,
        Self::F16,
        Self::F32,
        Self::F64,
        Self::String,
    ];

    /// The name numpy uses, shown in messages: `float32`, `int64`, `string`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::U8 => "uint8",
            Self::I8 => "int8",
            Self::U16 => "uint16",
            Self::I16 => "int16",
            Self::U32 => "uint32",
            Self::I32 => "int32",
            Self::U64 => "uint64",
            Self::I64 => "int64",
            Self::F16 => "float16",
            Self::F32 => "float32",
            Self::F64 => "float64",
            Self::String => "string",
        }
    }

    /// The name in the Open Inference Protocol: `FP32`, `INT64`, `BYTES`.
    #[must_use]
    pub const fn oip(self) -> &'static str {
        match self {
            Self::Bool => "BOOL",
            Self::U8 => "UINT8",
            Self::I8 => "INT8",
            Self::U16 => "UINT16",
            Self::I16 => "INT16",
            Self::U32 => "UINT32",
            Self::I32 => "INT32",
            Self::U64 => "UINT64",
            Self::I64 => "INT64",
            Self::F16 => "FP16",
            Self::F32 => "FP32",
            Self::F64 => "FP64",
            Self::String => "BYTES",
        }
    }

    /// The type that has this Open Inference Protocol name.
    #[must_use]
    pub fn from_oip(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dtype| dtype.oip() == name)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oip_names_are_read_back() {
        for dtype in DType::ALL {
            assert_eq!(DType::from_oip(dtype.oip()), Some(dtype));
        }
        assert_eq!(DType::from_oip("fp32"), None);
    }
}
