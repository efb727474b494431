//! Opening, warming up and measuring a version.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use super::{Context, ModelVersion, Settings};
use crate::agreement::Check;
use crate::artifact::Artifact;
use crate::backend::{Backend, Device, LoadError, Precision, SessionOptions};
use crate::declared::differences;
use crate::example::Example;
use crate::layout::TOKENIZER;
use crate::run::compose::{Ceiling, Rules};
use crate::run::lane::{Lane, Shared};
use crate::run::pool::{Limits, Pool};
use crate::run::queue::{Fifo, Texts};
use crate::run::session::Session;
use crate::run::turn::Turn;
use crate::signature::Signature;
use crate::text::TextModel;
use crate::warmup::{EXACT, Profile, ROUGH, WarmUp};

/// A model whose runs are shorter than this runs inline: a hand-off to another thread would cost more than it saves.
const INLINE_RUN: Duration = Duration::from_micros(300);
/// Graphs up to this size are first opened with one thread, since most of them turn out to run inline.
const SMALL_GRAPH: u64 = 32 << 20;
/// The most tokens in a run of several texts, padding included: what a run takes in memory grows with them.
pub const MAX_PADDED: usize = 16_384;
/// How long shorter texts may go first on a CPU: it shortens the median wait by half. On a GPU, where a run gets cheaper
/// with company, it gains nothing.
const MAX_AGE: Duration = Duration::from_millis(150);

impl ModelVersion {
    /// Opens, warms up and measures. It blocks for as long as that takes.
    ///
    /// # Errors
    /// Says what is wrong with the version.
    pub fn load(mut artifact: Artifact, settings: &Settings, context: &Context<'_>) -> Result<Self, LoadError> {
        let lease = artifact.lease.take();
        let artifact = &artifact;
        let deadline = Instant::now() + settings.load_timeout;
        let name = artifact.dir.display().to_string();
        let device = context.loader.resolve(settings.device)?;
        let opener = Opener { artifact, settings, context, device, deadline };
        // Texts never run inline.
        let may_inline = artifact.bytes <= SMALL_GRAPH && !artifact.dir.join(TOKENIZER).is_file();
        let first_threads = if may_inline { 1 } else { settings.threads };
        let mut first = opener.open(first_threads)?;
        let signature = Arc::new(first.signature().clone());
        for difference in differences(&artifact.declared, &signature) {
            tracing::warn!(path = name, "{difference}");
        }
        let text = text_model(artifact, &signature)?;
        let example = match &text {
            Some(text) => Example { inputs: text.example(|length| length), given: true },
            None => Example::load(&artifact.examples, &signature)?,
        };
        let mut subject = Subject { example, text: text.clone(), rules: None };
        let mut profile = opener.warm_up(first.as_mut(), &subject)?;
        if let (Some(text), Some(found)) = (&text, &profile.texts) {
            // What is run from here on is padded as requests are.
            subject.example.inputs = text.example(|length| found.rules.padded(length));
            subject.rules = Some(found.rules.clone());
        }
        opener.agree(first.as_mut(), first_threads, &subject)?;

        let inline = text.is_none() && profile.cost.estimate(1) < INLINE_RUN && device.runs_inline();
        let mut workers: Vec<Box<dyn Backend>> = Vec::new();
        let mut lanes: Vec<Box<dyn Backend>> = Vec::new();
        if inline {
            workers.push(first);
            lanes = opener.open_many(context.turns.reactors(), 1)?;
        } else {
            if first_threads == settings.threads {
                workers.push(first);
            } else {
                drop(first);
                workers.push(opener.open(settings.threads)?);
                profile = opener.warm_up(workers[0].as_mut(), &subject)?;
            }
            workers.extend(opener.open_many(settings.instances.saturating_sub(1), settings.threads)?);
        }
        let others: Vec<_> = workers.iter_mut().skip(1).chain(&mut lanes).collect();
        let ceilings = opener.run_others(others, &subject)?;
        if let Some(found) = &mut profile.texts {
            found.rules.ceilings.extend(ceilings);
        }
        let texts =
            profile.texts.as_ref().map(|found| Texts::new(found.grid.clone(), found.rules.clone(), settings.max_queue));
        let sessions = workers.len() + lanes.len();
        let session = |backend| Session::new(backend, context, profile.stacks, text.clone());
        let stacked = |budget| if profile.stacks { profile.cost.best_batch(settings.max_rows, budget) } else { 1 };
        let pool = Pool::start(
            "perch-worker",
            workers.into_iter().map(session).collect(),
            (Fifo::new(profile.cost.clone(), stacked(Duration::MAX)), texts),
            Limits { max_queue: settings.max_queue, max_delay: settings.max_delay },
            context.tasks.clone(),
        )
        .map_err(|error| LoadError::Files(format!("{name}: cannot start a thread: {error}")))?;
        let shared = Arc::new(Shared { inline: AtomicBool::new(inline), pool });
        let lane = |(backend, turn): (_, &Arc<Turn>)| {
            Arc::new(Lane::new(session(backend), stacked(INLINE_RUN), turn.clone(), shared.clone()))
        };
        let lanes = lanes.into_iter().zip(context.turns.iter()).map(lane).collect();
        let (digest, dir) = (artifact.digest.clone(), artifact.dir.clone());
        let identity = identity(&digest, device, settings.precision);
        Ok(Self { signature, device, digest, identity, dir, profile, text, lanes, shared, sessions, _lease: lease })
    }
}

/// See [`ModelVersion::identity`].
fn identity(digest: &str, device: Device, precision: Precision) -> String {
    if (device, precision) == (Device::Cpu, Precision::Fp32) {
        digest.to_owned()
    } else {
        format!("{digest} {device} {precision}")
    }
}

/// What lies between texts and the graph. A model that perch cannot give texts to still takes tensors.
fn text_model(artifact: &Artifact, signature: &Signature) -> Result<Option<Arc<TextModel>>, LoadError> {
    match TextModel::load(&artifact.dir, signature) {
        Ok(text) => Ok(text.map(Arc::new)),
        Err(LoadError::Unsupported(why)) => {
            let path = artifact.dir.display();
            tracing::warn!(%path, why, "the model has a tokenizer, but takes tensors only");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// What is run at warm-up.
struct Subject {
    example: Example,
    text: Option<Arc<TextModel>>,
    /// What runs of texts may be, once that is known.
    rules: Option<Rules>,
}

/// Opens sessions of one artifact.
struct Opener<'o> {
    artifact: &'o Artifact,
    settings: &'o Settings,
    context: &'o Context<'o>,
    device: Device,
    deadline: Instant,
}

impl Opener<'_> {
    fn options(&self, threads: usize) -> SessionOptions {
        let Settings { precision, memory_limit, .. } = *self.settings;
        SessionOptions { graph: self.artifact.graph.clone(), device: self.device, precision, threads, memory_limit }
    }

    fn open(&self, threads: usize) -> Result<Box<dyn Backend>, LoadError> {
        self.context.loader.open(&self.options(threads))
    }

    /// Anywhere but on the CPU in fp32, the version has to answer as it does there.
    fn agree(&self, backend: &mut dyn Backend, threads: usize, subject: &Subject) -> Result<(), LoadError> {
        let options = self.options(threads);
        if !options.must_agree() {
            return Ok(());
        }
        let Context { loader, watchdog, .. } = self.context;
        let check = Check { loader: *loader, watchdog, deadline: self.deadline, limits: self.settings.agreement };
        check.run(backend, &options, &subject.example, subject.text.as_deref().zip(subject.rules.as_ref()))
    }

    /// What runs of texts may be, if the model can pad.
    fn rules(&self, text: &TextModel) -> Rules {
        let gpu = matches!(self.device, Device::Cuda(_));
        Rules {
            max_rows: self.settings.max_rows,
            max_padded: Some(MAX_PADDED),
            may_pad: text.may_pad(),
            buckets: self.buckets(text),
            few_shapes: !self.settings.buckets.is_empty(),
            ceilings: Vec::new(),
            max_age: if gpu { Duration::ZERO } else { MAX_AGE },
        }
    }

    /// Lengths to pad to: those of the settings that the model takes, and the longest that it takes.
    fn buckets(&self, text: &TextModel) -> Box<[usize]> {
        if let Some(only) = text.fixed_length() {
            return [only].into();
        }
        let most = text.config().max_tokens;
        let fitting = self.settings.buckets.iter().copied().filter(|length| *length < most);
        let last = (!self.settings.buckets.is_empty()).then_some(most);
        fitting.chain(last).collect()
    }

    fn open_many(&self, count: usize, threads: usize) -> Result<Vec<Box<dyn Backend>>, LoadError> {
        std::thread::scope(|scope| {
            let opening: Vec<_> = (0..count).map(|_| scope.spawn(move || self.open(threads))).collect();
            let panicked = |_| Err(LoadError::Graph("opening it panicked".into()));
            opening.into_iter().map(|thread| thread.join().unwrap_or_else(panicked)).collect()
        })
    }

    fn warm_up(&self, backend: &mut dyn Backend, subject: &Subject) -> Result<Profile, LoadError> {
        let warm_up = self.on(backend);
        match &subject.text {
            Some(text) => warm_up.run_texts(text, self.rules(text)),
            None => warm_up.run(&subject.example, self.settings.max_rows),
        }
    }

    fn on<'b>(&self, backend: &'b mut dyn Backend) -> WarmUp<'b> {
        let slot = self.context.watchdog.watch(backend.terminator());
        let tolerance = if self.options(1).must_agree() { ROUGH } else { EXACT };
        WarmUp { backend, slot, deadline: self.deadline, tolerance }
    }

    /// The first runs of further copies, all at a time. A copy that never ran allocates on its first request, and compiles
    /// each new shape by itself: let that not be a user's. Gives what did not run.
    fn run_others(&self, copies: Vec<&mut Box<dyn Backend>>, subject: &Subject) -> Result<Vec<Ceiling>, LoadError> {
        std::thread::scope(|scope| {
            let start = |copy| std::thread::Builder::new().spawn_scoped(scope, move || self.run_first(copy, subject));
            let running: Vec<_> = copies.into_iter().map(start).collect();
            let mut ceilings = Vec::new();
            for thread in running {
                let thread = thread.map_err(|error| LoadError::WarmUp(format!("cannot start a thread: {error}")))?;
                let panicked = |_| Err(LoadError::WarmUp("it panicked".into()));
                ceilings.extend(thread.join().unwrap_or_else(panicked)?);
            }
            Ok(ceilings)
        })
    }

    fn run_first(&self, copy: &mut Box<dyn Backend>, subject: &Subject) -> Result<Vec<Ceiling>, LoadError> {
        self.run_once(copy.as_mut(), &subject.example)?;
        match (&subject.text, &subject.rules) {
            (Some(text), Some(rules)) => Ok(self.on(copy.as_mut()).run_shapes(text, rules.clone())?.ceilings),
            _ => Ok(Vec::new()),
        }
    }

    fn run_once(&self, backend: &mut dyn Backend, example: &Example) -> Result<(), LoadError> {
        let slot = self.context.watchdog.watch(backend.terminator());
        slot.arm(self.deadline);
        let result = backend.run(&example.inputs);
        match (result, slot.disarm()) {
            (_, true) => Err(LoadError::WarmUp("the model gave no answer within the load timeout".into())),
            (Err(error), _) if example.given => Err(LoadError::WarmUp(format!("on the input example: {error}"))),
            _ => Ok(()),
        }
    }
}
