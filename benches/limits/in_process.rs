//! The limit "ORT alone, in process": nanoseconds a run, by number of rows and way of calling.
//!
//! The ways differ only in what is built for each run. The rows are written into the model's input
//! and the predictions are read in all of them.

#![expect(clippy::print_stdout, reason = "the table is what it is for")]
#![expect(clippy::unnecessary_wraps, reason = "all ways are made by one type of function")]

use std::error::Error;
use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Parser;
use ort::environment::Environment;
use ort::memory::Allocator;
use ort::session::{OutputSelector, RunOptions, Session};
use ort::value::{Tensor, TensorRef};

/// Times ONNX Runtime on one thread and prints a Markdown table.
#[derive(Debug, Parser)]
struct Args {
    /// The ONNX model: one input `[N, 16]`, one output `[N, 1]`.
    #[arg(long)]
    model: PathBuf,
    /// The shared library of ONNX Runtime.
    #[arg(long, env = "ORT_DYLIB_PATH")]
    library: PathBuf,
    /// Milliseconds to measure each figure for.
    #[arg(long, default_value_t = 500)]
    millis: u64,
}

const FEATURES: usize = 16;
const ROWS: [usize; 3] = [1, 8, 64];
/// The figure is the median of so many equal parts.
const PARTS: u32 = 9;
/// Different batches that take turns.
const BATCHES: u32 = 512;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// One way of calling: is given the rows, returns the last prediction.
type Way<'a> = Box<dyn FnMut(&[f32]) -> ort::Result<f32> + 'a>;

/// Opens a session and makes the way of calling for a number of rows.
type MakeWay = fn(Session, usize) -> ort::Result<Way<'static>>;

const WAYS: [(&str, MakeWay); 6] = [
    ("run, view of the rows", view),
    ("run, owned copy of the rows", owned),
    ("run with RunOptions kept, view of the rows", options),
    ("run with RunOptions made, view of the rows", options_made),
    ("IoBinding, RunOptions, input and output kept", binding),
    ("run with RunOptions, input and output kept", kept),
];

fn last(values: &[f32]) -> f32 {
    values.last().copied().unwrap_or_default()
}

fn view(mut session: Session, rows: usize) -> ort::Result<Way<'static>> {
    Ok(Box::new(move |features| {
        let input = TensorRef::from_array_view(([rows, FEATURES], features))?;
        let outputs = session.run(ort::inputs![input])?;
        Ok(last(outputs[0].try_extract_tensor()?.1))
    }))
}

fn owned(mut session: Session, rows: usize) -> ort::Result<Way<'static>> {
    Ok(Box::new(move |features| {
        let input = Tensor::from_array(([rows, FEATURES], features.to_vec()))?;
        let outputs = session.run(ort::inputs![input])?;
        Ok(last(outputs[0].try_extract_tensor()?.1))
    }))
}

fn options(mut session: Session, rows: usize) -> ort::Result<Way<'static>> {
    let options = RunOptions::new()?;
    Ok(Box::new(move |features| {
        let input = TensorRef::from_array_view(([rows, FEATURES], features))?;
        let outputs = session.run_with_options(ort::inputs![input], &options)?;
        Ok(last(outputs[0].try_extract_tensor()?.1))
    }))
}

fn options_made(mut session: Session, rows: usize) -> ort::Result<Way<'static>> {
    Ok(Box::new(move |features| {
        let options = RunOptions::new()?;
        let input = TensorRef::from_array_view(([rows, FEATURES], features))?;
        let outputs = session.run_with_options(ort::inputs![input], &options)?;
        Ok(last(outputs[0].try_extract_tensor()?.1))
    }))
}

fn binding(mut session: Session, rows: usize) -> ort::Result<Way<'static>> {
    let input_name = session.inputs()[0].name().to_owned();
    let output_name = session.outputs()[0].name().to_owned();
    let mut input = Tensor::<f32>::new(&Allocator::default(), [rows, FEATURES])?;
    let output = Tensor::<f32>::new(&Allocator::default(), [rows, 1])?;
    let mut binding = session.create_binding()?;
    binding.bind_input(input_name, &input)?;
    binding.bind_output(output_name, output)?;
    let options = RunOptions::new()?;
    Ok(Box::new(move |features| {
        input.extract_tensor_mut().1.copy_from_slice(features);
        let outputs = session.run_binding_with_options(&binding, &options)?;
        Ok(last(outputs[0].try_extract_tensor()?.1))
    }))
}

fn kept(mut session: Session, rows: usize) -> ort::Result<Way<'static>> {
    let output_name = session.outputs()[0].name().to_owned();
    let mut input = Tensor::<f32>::new(&Allocator::default(), [rows, FEATURES])?;
    let output = Tensor::<f32>::new(&Allocator::default(), [rows, 1])?;
    let selector = OutputSelector::default().preallocate(output_name, output);
    let options = RunOptions::new()?.with_outputs(selector);
    Ok(Box::new(move |features| {
        input.extract_tensor_mut().1.copy_from_slice(features);
        let outputs = session.run_with_options(ort::inputs![&input], &options)?;
        Ok(last(outputs[0].try_extract_tensor()?.1))
    }))
}

/// About a standard normal value, the same for the same index: eight uniform ones added (splitmix64).
fn feature(index: usize) -> f32 {
    let mut bits = (index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^= bits >> 31;
    let part = |number: u64| ((bits >> (8 * number)) & 0xff) as u8;
    let sum: f32 = (0..8).map(|number| f32::from(part(number)) / 255.0 - 0.5).sum();
    sum * 1.225
}

/// Batches of rows that take different ways through the trees.
///
/// With the same row every time, the processor learns the way and the run looks faster than it is.
fn batches(rows: usize) -> Vec<Vec<f32>> {
    let values = rows * FEATURES;
    let batch = |start: usize| (start..start + values).map(feature).collect();
    (0..).step_by(values).map(batch).take(BATCHES as usize).collect()
}

/// The median time of one run in nanoseconds.
fn measure(way: &mut Way<'_>, batches: &[Vec<f32>], total: Duration) -> ort::Result<f64> {
    let part = total / PARTS;
    let mut times = Vec::new();
    // The first part warms up and is left out.
    for _ in 0..=PARTS {
        let start = Instant::now();
        let mut runs = 0_u32;
        while start.elapsed() < part {
            for features in batches {
                black_box(way(black_box(features))?);
            }
            runs += BATCHES;
        }
        times.push(start.elapsed().as_secs_f64() * 1e9 / f64::from(runs));
    }
    let times = &mut times[1..];
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

fn open(environment: &Environment, args: &Args) -> Result<Session> {
    Ok(Session::builder(environment)?.with_intra_threads(1)?.commit_from_file(&args.model)?)
}

fn main() -> Result<()> {
    let args = Args::parse();
    let environment = ort::init_from(args.library.canonicalize()?)?.build()?;
    println!(
        "| ORT alone, in process, one thread | {} |",
        ROWS.map(|rows| format!("{rows} row{}", if rows == 1 { "" } else { "s" })).join(" | ")
    );
    println!("|---|{}", "---|".repeat(ROWS.len()));
    // Every way has to give what the plain run gives.
    let mut expected = Vec::new();
    for (name, make) in WAYS {
        let mut cells = Vec::new();
        for (index, count) in ROWS.into_iter().enumerate() {
            let batches = batches(count);
            let mut way = make(open(&environment, &args)?, count)?;
            let predictions = batches.iter().map(|batch| way(batch)).collect::<ort::Result<Vec<_>>>()?;
            if expected.len() == index {
                expected.push(predictions.clone());
            }
            if predictions != expected[index] {
                return Err(format!("{name}, {count} rows: other predictions than the plain run").into());
            }
            let nanos = measure(&mut way, &batches, Duration::from_millis(args.millis))?;
            cells.push(format!("{nanos:.0} ns"));
        }
        println!("| {name} | {} |", cells.join(" | "));
    }
    Ok(())
}
