//! One prediction, from a body to an answer: parse, pick, run.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderMap;
use perch_models::fingerprint::Fingerprint;
use perch_models::json::{Envelope, Form};
use perch_models::run::{Answer, Follow, InferError, Pending};
use perch_models::tensor::{Column, Tensor};
use perch_router::policy::HashKey;
use perch_router::track::Track;
use smallvec::smallvec;

use crate::cache::MOST_INPUT;
use crate::catalog::{Catalog, ModelEntry, Served, Snapshot};
use crate::error::{ApiError, Kind};
use crate::http::body::BodyLimits;
use crate::lifecycle::Lifecycle;
use crate::rollouts::live::{Local, Why};
use crate::split::attempt::{self, Done};
use crate::split::work::{Answers, Way, Work, count};
use crate::split::{self, Picked};

/// Bodies above this take longer than 500 µs to parse, and answers above this as long to print: such work leaves the
/// reactor. Measured (benches/micro.rs): 35 ns a number that is read, 38 ns one that is printed.
const LARGE_BODY: usize = 96 << 10;
const LARGE_ANSWER: usize = 8192;
/// Bodies up to this take a few µs.
const SMALL_BODY: usize = 2 << 10;

/// What every reactor needs to answer predictions.
pub struct Serving {
    /// What is loaded.
    pub catalog: Arc<Catalog>,
    /// For work that leaves the reactor.
    pub lifecycle: Arc<Lifecycle>,
    /// From the head of a request to its answer.
    pub timeout: Duration,
    /// How much of bodies may be read.
    pub bodies: Arc<BodyLimits>,
    /// Threads that a large request may be encoded on.
    pub cores: usize,
}

/// A request that was understood. Boxed from its beginning: it is handed on a dozen times, and would be copied each time.
pub struct Parsed {
    /// The version that answers it.
    pub served: Arc<Served>,
    /// Its tensors, for that version.
    pub inputs: Vec<Tensor>,
    /// How the answer is written.
    pub form: Form,
    /// Positions of the outputs asked for.
    pub selected: Option<Vec<usize>>,
    /// The client's own id.
    pub id: Option<String>,
    /// The rollout of its model, if anything is tried.
    pub rollout: Option<Rollout>,
    /// What its answer is kept by, once it was looked up in vain.
    pub kept_as: Option<Fingerprint>,
}

/// A rollout as one request meets it.
pub struct Rollout {
    /// What divides requests and judges the canary.
    pub live: Arc<Local>,
    /// The canary, where it is loaded.
    pub canary: Option<Arc<Served>>,
    /// Whether what was parsed for stable is right for the canary too.
    pub same_signature: bool,
    /// What the request is divided by, where that stands in its body.
    pub key: Option<String>,
}

/// A request as it came.
#[derive(Clone, Copy)]
pub struct Asked<'r> {
    /// Its headers.
    pub headers: &'r HeaderMap,
    /// Its body.
    pub body: &'r Bytes,
    /// Whether all of it came at once.
    pub at_once: bool,
    /// The reactor that it is on.
    pub reactor: usize,
    /// When it came.
    pub arrived: Instant,
}

impl Asked<'_> {
    /// Whether it is understood as soon as it has come: the difference is less than what a clock would cost.
    const fn ready_at_once(&self) -> bool {
        self.at_once && self.body.len() <= SMALL_BODY
    }
}

/// A request that was run.
pub struct Ran {
    /// The request, with the version that has answered it.
    pub parsed: Box<Parsed>,
    /// The answer.
    pub answer: Answer,
    /// Why stable has answered in the canary's place, where it did.
    pub fallback: Option<Why>,
}

/// A failure, and the version it is to be counted for where one was chosen.
pub type Failed = (ApiError, Option<Arc<Served>>);

impl Serving {
    /// Understands a request and runs it on the lane of its reactor, or on a worker.
    ///
    /// # Errors
    /// Everything that may be wrong with it, the model's failure, a full queue, or the deadline.
    pub async fn predict(&self, asked: Asked<'_>) -> Result<Ran, Failed> {
        let track = split::asked_for(asked.headers).map_err(|error| (error, None))?;
        let mut parsed = self.parse(asked.body, track, asked.reactor).await?;
        let way = self.way(&asked, asked.ready_at_once().then_some(asked.arrived));
        let counted = match parsed.rollout.take() {
            None => None,
            Some(rollout) => match split::pick(rollout, asked.headers, track) {
                Picked::Stable(counted) => {
                    if parsed.served.track == Track::Canary {
                        // It was asked for, and has been taken out since.
                        let stable = self.catalog.load().stable(Some(&parsed.served.model)).cloned();
                        let stable = stable.map_err(|error| (error, None))?;
                        let made = Box::pin(Box::<Parsed>::make(asked.body, self, &stable)).await;
                        parsed = made.map_err(|error| (error, Some(stable)))?;
                    }
                    counted
                }
                Picked::Canary(picked) => {
                    let done = attempt::run(self, way, picked, (asked.body, Some(parsed))).await?;
                    let Done { work: parsed, mut answers, fallback } = done;
                    let unloaded = || (InferError::Unloaded.into(), Some(parsed.served.clone()));
                    let answer = answers.pop().ok_or_else(unloaded)?;
                    return Ok(Ran { parsed, answer, fallback });
                }
            },
        };
        if let Some(mut answers) = parsed.recall()
            && let Some(answer) = answers.pop()
        {
            return Ok(Ran { parsed, answer, fallback: None });
        }
        let counted = counted.map(|counted| counted.submitted(parsed.rows(), &way));
        let inputs = std::mem::take(&mut parsed.inputs);
        let result = parsed.served.runtime.infer(way.reactor, inputs, way.arrived, way.deadline).await;
        if let Some(counted) = counted {
            counted.ended(result.as_ref().map(std::slice::from_ref), &way);
        }
        match result {
            Ok(answer) => {
                parsed.keep(&answer);
                Ok(Ran { parsed, answer, fallback: None })
            }
            Err(error) => Err((error.into(), Some(parsed.served))),
        }
    }

    /// Where and until when a request runs, and since when it could have.
    #[must_use]
    pub fn way(&self, asked: &Asked<'_>, ready: Option<Instant>) -> Way {
        let &Asked { reactor, arrived, .. } = asked;
        Way { reactor, arrived, ready, deadline: arrived + self.timeout }
    }

    /// Understands a body, a large one off the reactor: for the stable version, or for the canary where it is asked for
    /// and may be.
    async fn parse(&self, body: &Bytes, track: Option<Track>, reactor: usize) -> Result<Box<Parsed>, Failed> {
        if body.len() <= LARGE_BODY {
            return parse(body, &self.catalog.load(), track, reactor);
        }
        let (snapshot, body) = (self.catalog.load_full(), body.clone());
        let parsing = self.lifecycle.spawn_blocking(move || parse(&body, &snapshot, track, reactor));
        parsing.await.unwrap_or_else(|_| Err((ApiError::new(Kind::Internal, "parsing failed"), None)))
    }
}

/// Whether writing this answer takes longer than a reactor may be held.
#[must_use]
pub fn is_large(answer: &Answer) -> bool {
    let values = answer.columns.iter().map(|column| match column {
        Column::Tensor(tensor) => tensor.row_len() * answer.rows.len(),
        Column::Maps(rows) => rows.first().map_or(0, Vec::len) * answer.rows.len(),
    });
    values.sum::<usize>() > LARGE_ANSWER
}

impl Parsed {
    /// Keeps its answer, if answers are kept.
    fn keep(&mut self, answer: &Answer) {
        if let (Some(input), Some(kept)) = (self.kept_as.take(), &self.served.cache) {
            kept.put(input, answer);
        }
    }
}

/// A request with tensors.
impl Work for Box<Parsed> {
    type Source = Bytes;

    async fn make(body: &Bytes, serving: &Serving, served: &Arc<Served>) -> Result<Self, ApiError> {
        let once = |body: &[u8], served: Arc<Served>| {
            let envelope = Envelope::scan(body, |_| Some(served.runtime.signature().as_ref()));
            let envelope = envelope.map_err(ApiError::from)?;
            understand(envelope, served, None).map_err(|(error, _)| error)
        };
        if body.len() <= LARGE_BODY {
            return once(body, served.clone());
        }
        let (body, served) = (body.clone(), served.clone());
        let parsing = serving.lifecycle.spawn_blocking(move || once(&body, served));
        parsing.await.unwrap_or_else(|_| Err(ApiError::new(Kind::Internal, "parsing failed")))
    }

    fn readdressed(mut self, served: &Arc<Served>, same_signature: bool) -> Option<Self> {
        if same_signature {
            self.served = served.clone();
        }
        Arc::ptr_eq(&self.served, served).then_some(self)
    }

    fn served(&self) -> &Arc<Served> {
        &self.served
    }

    fn rows(&self) -> u32 {
        count(self.inputs.first().map_or(1, Tensor::rows))
    }

    fn recall(&mut self) -> Option<Answers> {
        let kept = self.served.cache.as_ref()?;
        if self.inputs.iter().map(Tensor::bytes).sum::<usize>() > MOST_INPUT {
            return None;
        }
        let input = Fingerprint::of_tensors(self.served.runtime.identity(), &self.inputs);
        let answer = kept.get(&input);
        self.kept_as = Some(input);
        answer.map(|answer| smallvec![answer])
    }

    fn settle(&mut self, ran: Answers) -> Answers {
        ran.iter().for_each(|answer| self.keep(answer));
        ran
    }

    fn submit(&mut self, way: &Way, follow: Option<(Arc<dyn Follow>, Instant)>) -> Result<Pending, InferError> {
        let inputs = std::mem::take(&mut self.inputs);
        self.served.runtime.submit(way.reactor, inputs, way.arrived, way.deadline, follow)
    }
}

fn parse(body: &[u8], snapshot: &Snapshot, track: Option<Track>, reactor: usize) -> Result<Box<Parsed>, Failed> {
    let early = |error: ApiError| (error, None);
    let meant = |model: Option<&str>| {
        let (entry, stable) = snapshot.entry(model)?;
        let rollout = entry.route.as_ref().and_then(|route| Some(Rollout::of(entry, route.load(reactor)?)));
        Ok::<_, ApiError>((stable, rollout))
    };
    // Whoever asks for the canary may write for what it takes: tensors are read once it is known which version is meant.
    let signature = |model: Option<&str>| {
        let stable = snapshot.stable(model).ok().filter(|_| track != Some(Track::Canary));
        stable.map(|stable| stable.runtime.signature().as_ref())
    };
    let envelope = Envelope::scan(body, signature).map_err(ApiError::from).map_err(early)?;
    let (stable, mut rollout) = meant(envelope.model.as_deref()).map_err(early)?;
    let mut served = stable.clone();
    if let Some(rollout) = &mut rollout {
        if let Some(HashKey::Field(field)) = rollout.live.hash_key() {
            rollout.key = envelope.parameter(field);
        }
        if let Some(canary) = rollout.asked_for().filter(|_| track == Some(Track::Canary)) {
            served = canary;
        }
    }
    understand(envelope, served, rollout)
}

impl Rollout {
    /// The rollout of a model, as `live` divides it.
    pub(crate) fn of(entry: &ModelEntry, live: Arc<Local>) -> Self {
        let canary = entry.canary.as_ref().filter(|canary| canary.runtime.digest() == live.digest).cloned();
        Self { live, canary, same_signature: entry.same_signature, key: None }
    }

    /// The canary, for requests that ask for it by header.
    fn asked_for(&self) -> Option<Arc<Served>> {
        self.canary.clone().filter(|_| self.live.is_open())
    }
}

/// The tensors and outputs of a body, for one version.
fn understand(
    mut envelope: Envelope<'_>,
    served: Arc<Served>,
    rollout: Option<Rollout>,
) -> Result<Box<Parsed>, Failed> {
    let signature = served.runtime.signature();
    let understood = envelope.tensors(signature).and_then(|inputs| Ok((inputs, envelope.selected(signature)?)));
    match understood {
        Ok((inputs, selected)) => {
            let (form, id) = (envelope.form, envelope.id);
            Ok(Box::new(Parsed { inputs, form, selected, id, served, rollout, kept_as: None }))
        }
        Err(error) => Err((error.into(), Some(served))),
    }
}
