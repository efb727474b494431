//! `precision`, `memoryLimit`, `agreement` and `buckets`: what goes with a device.

use crate::config::{
    fields::Fields,
    schema::{Agreement, limits_memory},
    setting::Setting,
    tree::{Node, Source, Value},
    units::Bytes,
};
use perch_models::backend::{Device, Precision};

/// Less than this holds no tensors.
const SMALLEST_MEMORY: Bytes = Bytes(1 << 20);
/// No text is longer in any model that is known.
const LONGEST: usize = 1 << 20;

/// `precision`, fp32 by default: one that `device` offers.
pub(super) fn default_precision(f: &mut Fields, device: Device) -> Precision {
    let source = f.written("precision");
    let precision = f.take("precision", Precision::default());
    refuse(f, device, precision, source);
    precision
}

/// `precision`, where it is written: one that `device` offers.
pub(in crate::config) fn precision(f: &mut Fields, device: Device) -> Option<Precision> {
    let source = f.written("precision");
    let precision = f.take_opt::<Precision>("precision")?;
    refuse(f, device, precision, source);
    Some(precision)
}

/// Notes a precision that `device` does not offer.
fn refuse(f: &mut Fields, device: Device, precision: Precision, source: Option<Source>) {
    if device.offers(precision) {
        return;
    }
    let offered: Vec<String> = device.precisions().iter().map(ToString::to_string).collect();
    let advice = match (device, precision) {
        (Device::Cuda(_), Precision::Fp16 | Precision::Bf16) => {
            format!("a GPU computes a graph as it is written: register one in {precision}")
        }
        (_, Precision::Tf32) => "device cuda offers it".to_owned(),
        _ => "device openvino offers it".to_owned(),
    };
    let expected = offered.join(" or ");
    let message = format!("expected {expected} with device {device}, got \"{precision}\" ({advice})");
    f.error("precision", &source.unwrap_or(Source::Default), message);
}

/// `memoryLimit`, where it is written, in bytes: for devices that have a memory of their own.
pub(in crate::config) fn memory_limit(f: &mut Fields, device: Device) -> Option<usize> {
    let source = f.written("memoryLimit");
    let limit = f.take_opt_in("memoryLimit", SMALLEST_MEMORY..)?;
    if limits_memory(device) {
        return Some(limit.0);
    }
    let message = format!("expected only with device cuda or auto, got it with device {device}");
    f.error("memoryLimit", &source.unwrap_or(Source::Default), message);
    None
}

/// `agreement`, as far as it is written.
pub(in crate::config) fn agreement(f: &mut Fields) -> Agreement {
    f.section("agreement", |f| Agreement {
        cosine: f.take_opt_in("cosine", -1.0..=1.0),
        relative: f.take_opt_in("relative", 0.0..),
    })
}

/// `buckets`, where they are written: lengths in tokens, ascending.
pub(in crate::config) fn buckets(f: &mut Fields) -> Option<Vec<usize>> {
    let Some(source) = f.written("buckets") else {
        f.node("buckets");
        f.record("buckets", Node::new(Value::Null, Source::Default));
        return None;
    };
    let path = f.path("buckets");
    let (items, _) = f.items("buckets");
    let mut lengths: Vec<usize> = Vec::new();
    let mut shown = Vec::new();
    for (i, item) in items.into_iter().enumerate() {
        let read = match &item.value {
            Value::Broken => continue,
            Value::Scalar(scalar) => match usize::parse(scalar) {
                Ok(length) if (1..=LONGEST).contains(&length) => Ok(length),
                _ => Err(scalar.expected(&format!("1 to {LONGEST}"))),
            },
            other => Err(format!("expected 1 to {LONGEST}, got {}", other.shown())),
        };
        let above = |length: usize| match lengths.last() {
            Some(last) if length <= *last => Err(format!("expected more than {last}, as lengths ascend, got {length}")),
            _ => Ok(length),
        };
        match read.and_then(above) {
            Ok(length) => {
                lengths.push(length);
                shown.push(Node::new(Value::Scalar(length.show()), item.source));
            }
            Err(message) => f.error_at(&format!("{path}[{i}]"), &item.source, message),
        }
    }
    f.record("buckets", Node::new(Value::List(shown), source));
    Some(lengths)
}
