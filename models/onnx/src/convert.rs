//! Between the runtime's values and ours.

use half::f16;
use ort::session::{Session, SessionInputValue};
use ort::value::{DynMapValueType, DynSequenceValueType, DynValue, TensorElementType, TensorRef, ValueType};
use perch_models::backend::LoadError;
use perch_models::dtype::DType;
use perch_models::signature::{Dim, OutputSpec, Signature, TensorSpec};
use perch_models::tensor::{Column, Data, Element, Shape, Tensor};

/// What the graph of `session` declares.
pub(crate) fn signature(session: &Session) -> Result<Signature, LoadError> {
    let inputs = session.inputs().iter().map(|input| match input.dtype() {
        ValueType::Tensor { .. } => tensor_spec("input", input.name(), input.dtype()),
        other => Err(unsupported("input", input.name(), other)),
    });
    let outputs = session.outputs().iter().map(|output| match output.dtype() {
        ValueType::Tensor { .. } => tensor_spec("output", output.name(), output.dtype()).map(OutputSpec::Tensor),
        ValueType::Sequence(inner) if is_class_map(inner) => Ok(OutputSpec::Maps { name: output.name().to_owned() }),
        other => Err(unsupported("output", output.name(), other)),
    });
    let signature =
        Signature { inputs: inputs.collect::<Result<_, _>>()?, outputs: outputs.collect::<Result<_, _>>()? };
    if signature.inputs.is_empty() || signature.outputs.is_empty() {
        let (inputs, outputs) = (signature.inputs.len(), signature.outputs.len());
        return Err(LoadError::Unsupported(format!("a graph with {inputs} inputs and {outputs} outputs")));
    }
    Ok(signature)
}

/// What `ZipMap` gives: from a label, a string or an int64, to a float.
fn is_class_map(value: &ValueType) -> bool {
    use TensorElementType::{Float32, Int64, String};
    matches!(value, ValueType::Map { key: Int64 | String, value: Float32 })
}

fn tensor_spec(role: &str, name: &str, value: &ValueType) -> Result<TensorSpec, LoadError> {
    let ValueType::Tensor { ty, shape, dimension_symbols } = value else { return Err(unsupported(role, name, value)) };
    let dtype = dtype(*ty).ok_or_else(|| unsupported(role, name, value))?;
    let dim = |(size, symbol): (&i64, &String)| match usize::try_from(*size) {
        Ok(size) => Dim::Fixed(size),
        Err(_) => Dim::Free(Some(symbol.clone()).filter(|symbol| !symbol.is_empty())),
    };
    Ok(TensorSpec {
        name: name.to_owned(),
        dtype,
        shape: shape.iter().zip(dimension_symbols.iter()).map(dim).collect(),
    })
}

fn unsupported(role: &str, name: &str, value: &ValueType) -> LoadError {
    LoadError::Unsupported(format!("{role} \"{name}\" is of type {value}"))
}

fn dtype(element: TensorElementType) -> Option<DType> {
    Some(match element {
        TensorElementType::Bool => DType::Bool,
        TensorElementType::Uint8 => DType::U8,
        TensorElementType::Int8 => DType::I8,
        TensorElementType::Uint16 => DType::U16,
        TensorElementType::Int16 => DType::I16,
        TensorElementType::Uint32 => DType::U32,
        TensorElementType::Int32 => DType::I32,
        TensorElementType::Uint64 => DType::U64,
        TensorElementType::Int64 => DType::I64,
        TensorElementType::Float16 => DType::F16,
        TensorElementType::Float32 => DType::F32,
        TensorElementType::Float64 => DType::F64,
        TensorElementType::String => DType::String,
        _ => return None,
    })
}

/// A view of `tensor` for the runtime; only strings are copied.
pub(crate) fn input(tensor: &Tensor) -> Result<SessionInputValue<'_>, ort::Error> {
    let shape = tensor.shape();
    macro_rules! view {
        ($values:expr) => {
            TensorRef::from_array_view((shape, $values.as_slice()))?.into()
        };
    }
    Ok(match tensor.data() {
        Data::Bool(values) => view!(values),
        Data::U8(values) => view!(values),
        Data::I8(values) => view!(values),
        Data::U16(values) => view!(values),
        Data::I16(values) => view!(values),
        Data::U32(values) => view!(values),
        Data::I32(values) => view!(values),
        Data::U64(values) => view!(values),
        Data::I64(values) => view!(values),
        Data::F16(values) => view!(values),
        Data::F32(values) => view!(values),
        Data::F64(values) => view!(values),
        Data::String(values) => ort::value::Tensor::from_string_array((shape, values.as_slice()))?.into(),
    })
}

/// Copies one output out of the runtime.
pub(crate) fn output(spec: &OutputSpec, value: &DynValue) -> Result<Column, ort::Error> {
    match spec {
        OutputSpec::Tensor(spec) => match spec.dtype {
            DType::Bool => dense::<bool>(value),
            DType::U8 => dense::<u8>(value),
            DType::I8 => dense::<i8>(value),
            DType::U16 => dense::<u16>(value),
            DType::I16 => dense::<i16>(value),
            DType::U32 => dense::<u32>(value),
            DType::I32 => dense::<i32>(value),
            DType::U64 => dense::<u64>(value),
            DType::I64 => dense::<i64>(value),
            DType::F16 => dense::<f16>(value),
            DType::F32 => dense::<f32>(value),
            DType::F64 => dense::<f64>(value),
            DType::String => {
                let (shape, strings) = value.try_extract_strings()?;
                tensor(shape, Data::String(strings))
            }
        },
        OutputSpec::Maps { .. } => maps(value),
    }
}

fn dense<T>(value: &DynValue) -> Result<Column, ort::Error>
where
    T: Element + ort::value::PrimitiveTensorElementType,
{
    let (shape, values) = value.try_extract_tensor::<T>()?;
    tensor(shape, T::wrap(values.to_vec()))
}

fn tensor(shape: &[i64], data: Data) -> Result<Column, ort::Error> {
    let shape: Shape = shape.iter().map(|size| usize::try_from(*size).unwrap_or(0)).collect();
    Tensor::new(shape, data).map(Column::Tensor).map_err(|error| ort::Error::new(error.to_string()))
}

fn maps(value: &DynValue) -> Result<Column, ort::Error> {
    let sequence = value.view().downcast::<DynSequenceValueType>()?;
    let maps = sequence.try_extract_sequence::<DynMapValueType>()?;
    let rows = maps.iter().map(|map| {
        if let ValueType::Map { key: TensorElementType::String, .. } = map.dtype() {
            map.try_extract_key_values::<String, f32>()
        } else {
            let pairs = map.try_extract_key_values::<i64, f32>()?;
            Ok(pairs.into_iter().map(|(label, value)| (label.to_string(), value)).collect())
        }
    });
    rows.collect::<Result<_, _>>().map(Column::Maps)
}
