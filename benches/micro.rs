//! What perch itself adds to a model's run: reading a body into tensors and printing an answer.
//!
//! `cargo bench --bench micro`; the load benchmark beside it (`make bench`) measures the whole.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use perch_models::dtype::DType;
use perch_models::json::{Envelope, Form, write_answer};
use perch_models::signature::{Dim, OutputSpec, Signature, TensorSpec};
use perch_models::tensor::{Column, Data, Tensor};

const WIDTH: u16 = 16;

fn signature() -> Signature {
    let spec = |name: &str, width| TensorSpec {
        name: name.into(),
        dtype: DType::F32,
        shape: vec![Dim::Free(Some("batch".into())), Dim::Fixed(width)],
    };
    Signature { inputs: vec![spec("features", usize::from(WIDTH))], outputs: vec![OutputSpec::Tensor(spec("y", 1))] }
}

/// 3.0613, say.
fn short(i: u16) -> String {
    format!("{}.{:04}", i % 7, u32::from(i) * 613 % 9973)
}

/// As Python prints a float64.
fn long(i: u16) -> String {
    format!("{:?}", f64::from(i).sqrt() / 7.0)
}

fn body(rows: usize, number: fn(u16) -> String) -> String {
    let row: Vec<String> = (1..=WIDTH).map(number).collect();
    let rows = vec![format!("[{}]", row.join(",")); rows];
    format!("{{\"instances\":[{}]}}", rows.join(","))
}

fn parse(c: &mut Criterion) {
    let signature = signature();
    let mut group = c.benchmark_group("parse");
    let bodies = [
        (1, "1 row", body(1, short)),
        (64, "64 rows", body(64, short)),
        (64, "64 rows of long numbers", body(64, long)),
        (4096, "4096 rows", body(4096, short)),
    ];
    for (rows, name, body) in bodies {
        group.throughput(Throughput::Elements(rows * u64::from(WIDTH)));
        group.bench_function(name, |b| {
            b.iter(|| {
                let envelope = Envelope::scan(black_box(body.as_bytes()), |_| Some(&signature));
                envelope.and_then(|mut envelope| envelope.tensors(&signature))
            });
        });
    }
    group.finish();
}

fn print(c: &mut Criterion) {
    let signature = signature();
    let mut group = c.benchmark_group("print");
    for rows in [1_u16, 64, 4096] {
        let values = (0..rows).map(|i| f32::from(i) * 0.618 + 0.1).collect();
        let Ok(tensor) = Tensor::new([usize::from(rows), 1][..].into(), Data::F32(values)) else { continue };
        let columns: Arc<[Column]> = [Column::Tensor(tensor)].into();
        group.throughput(Throughput::Elements(u64::from(rows)));
        group.bench_function(format!("{rows} rows"), |b| {
            let mut out = Vec::new();
            b.iter(|| {
                out.clear();
                let all = 0..usize::from(rows);
                write_answer(&mut out, Form::Instances, &signature, black_box(&columns), &all, None);
                out.len()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, parse, print);
criterion_main!(benches);
