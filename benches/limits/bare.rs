//! The limit "bare": the best simple model server that one would write on axum.
//!
//! The rows are parsed straight into one `f32` buffer, each request is one ONNX Runtime run on the
//! thread that reads it, and the answer is printed. There is no middleware, no routing, no merging
//! and no deadline. Every worker thread has a session and buffers of its own.

mod common;

use std::cell::RefCell;
use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::sync::OnceLock;

use axum::Router;
use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use clap::Parser;
use ort::environment::Environment;
use ort::session::Session;
use ort::value::TensorRef;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A bare axum server of one model with one input `[N, 16]` and one output `[N, 1]`.
#[derive(Debug, Parser)]
struct Args {
    #[command(flatten)]
    common: common::Common,
    /// The ONNX model.
    #[arg(long)]
    model: PathBuf,
    /// The shared library of ONNX Runtime.
    #[arg(long, env = "ORT_DYLIB_PATH")]
    library: PathBuf,
}

const FEATURES: usize = 16;

type BoxError = Box<dyn Error + Send + Sync>;

/// What a thread needs to open its session.
struct Setup {
    environment: Environment,
    model: PathBuf,
}

static SETUP: OnceLock<Setup> = OnceLock::new();

/// A session with the buffers that its thread uses again for every request.
struct Worker {
    session: Session,
    features: Vec<f32>,
}

impl Worker {
    fn open(setup: &Setup) -> ort::Result<Self> {
        let session = Session::builder(&setup.environment)?.with_intra_threads(1)?.commit_from_file(&setup.model)?;
        let features = Vec::new();
        Ok(Self { session, features })
    }

    fn json(&mut self, body: &[u8]) -> Result<Response, BoxError> {
        self.features.clear();
        let mut json = serde_json::Deserializer::from_slice(body);
        Body(&mut self.features).deserialize(&mut json)?;
        json.end()?;
        self.run(|predictions| {
            let mut answer = Vec::with_capacity(32 + 12 * predictions.len());
            answer.extend_from_slice(br#"{"predictions":"#);
            serde_json::to_writer(&mut answer, predictions)?;
            answer.push(b'}');
            Ok(respond("application/json", answer))
        })
    }

    fn binary(&mut self, body: &[u8]) -> Result<Response, BoxError> {
        let (values, rest) = body.as_chunks::<4>();
        if !rest.is_empty() || values.len() % FEATURES != 0 {
            return Err(format!("{} bytes are not rows of {FEATURES} floats", body.len()).into());
        }
        self.features.clear();
        self.features.extend(values.iter().map(|bytes| f32::from_le_bytes(*bytes)));
        self.run(|predictions| {
            let answer = predictions.iter().flat_map(|value| value.to_le_bytes()).collect();
            Ok(respond("application/octet-stream", answer))
        })
    }

    /// Runs the model on the rows in `features` and gives the predictions to `answer`.
    fn run(&mut self, answer: impl FnOnce(&[f32]) -> Result<Response, BoxError>) -> Result<Response, BoxError> {
        let shape = [self.features.len() / FEATURES, FEATURES];
        let input = TensorRef::from_array_view((shape, &*self.features))?;
        let outputs = self.session.run(ort::inputs![input])?;
        let (_, predictions) = outputs[0].try_extract_tensor::<f32>()?;
        answer(predictions)
    }
}

fn respond(content_type: &'static str, body: Vec<u8>) -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static(content_type))], body).into_response()
}

thread_local! {
    static WORKER: RefCell<Option<Worker>> = const { RefCell::new(None) };
}

/// Lets this thread's worker answer; the worker is opened on first use.
fn with_worker(answer: impl FnOnce(&mut Worker) -> Result<Response, BoxError>) -> Response {
    WORKER
        .with_borrow_mut(|worker| {
            let worker = match worker {
                Some(worker) => worker,
                None => worker.insert(Worker::open(SETUP.get().ok_or("not set up")?)?),
            };
            answer(worker)
        })
        .unwrap_or_else(|error| (StatusCode::BAD_REQUEST, error.to_string()).into_response())
}

async fn predict(body: Bytes) -> Response {
    with_worker(|worker| worker.json(&body))
}

async fn binary(body: Bytes) -> Response {
    with_worker(|worker| worker.binary(&body))
}

/// Reads `{"instances": [[..], ..]}` into one flat buffer; other keys are passed over.
struct Body<'a>(&'a mut Vec<f32>);

impl<'de> DeserializeSeed<'de> for Body<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Body<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `instances`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut found = false;
        while let Some(key) = map.next_key::<&str>()? {
            if key == "instances" && !found {
                found = true;
                map.next_value_seed(Rows(self.0))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        if found { Ok(()) } else { Err(A::Error::missing_field("instances")) }
    }
}

/// Reads an array of rows.
struct Rows<'a>(&'a mut Vec<f32>);

impl<'de> DeserializeSeed<'de> for Rows<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Rows<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rows of {FEATURES} numbers")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<(), A::Error> {
        while rows.next_element_seed(Row(self.0))?.is_some() {}
        Ok(())
    }
}

/// Reads one row.
struct Row<'a>(&'a mut Vec<f32>);

impl<'de> DeserializeSeed<'de> for Row<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Row<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{FEATURES} numbers")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut row: A) -> Result<(), A::Error> {
        let start = self.0.len();
        while let Some(value) = row.next_element()? {
            self.0.push(value);
        }
        match self.0.len() - start {
            FEATURES => Ok(()),
            length => Err(A::Error::invalid_length(length, &self)),
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let environment = ort::init_from(args.library.canonicalize()?)?.build()?;
    let setup = SETUP.get_or_init(|| Setup { environment, model: args.model });
    // Before listening, so that the first connection finds the model loaded.
    let worker = Worker::open(setup)?;
    WORKER.set(Some(worker));
    let router = Router::new().route("/predict", post(predict)).route("/binary", post(binary));
    common::serve(&args.common, router)
}
