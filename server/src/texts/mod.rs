//! Texts, from what a client asks to answers: which version, its tokens, its runs.
//!
//! A request's texts are encoded for the version that was picked, since each has a tokenizer of its own; for stable
//! again, where the canary fails.

mod bounds;
mod cost;
mod encode;
mod key;
mod named;

use std::sync::Arc;
use std::time::{Duration, Instant};

use perch_models::fingerprint::Fingerprint;
use perch_models::run::{Answer, Follow, InferError, Pending, Text};
use perch_models::text::{Sequence, TextInput, TextOptions, Want};
use perch_router::policy::HashKey;

pub use bounds::check_shown;
pub use cost::{SMALL, prompt, text};
pub use encode::encode;
pub use named::Named;

use crate::cache::MOST_INPUT;
use crate::catalog::Served;
use crate::error::{ApiError, Kind};
use crate::rollouts::live::Why;
use crate::serving::{Asked, Failed, Rollout, Serving};
use crate::split::attempt::{self, Done};
use crate::split::work::{Answers, Way, Work, answers, count};
use crate::split::{self, Picked};

/// What a client asks of texts.
#[derive(Debug, Clone, PartialEq)]
pub struct TextAsk {
    /// The model's name; none for the only one there is.
    pub model: Option<String>,
    /// Texts, of which there is at least one.
    pub inputs: Vec<TextInput>,
    /// How they are encoded.
    pub options: TextOptions,
    /// What is wanted of each.
    pub want: Want,
    /// How they are called where one of them is wrong.
    pub named: Named,
}

/// Texts that were run.
pub struct RanTexts {
    /// The version that has answered.
    pub served: Arc<Served>,
    /// One answer a text, in order: a single tensor f32 `[1, dimensions]`, `[tokens, dimensions]` or `[1, labels]`.
    pub answers: Vec<Answer>,
    /// Tokens of each text.
    pub tokens: Vec<usize>,
    /// Where the time went.
    pub times: Times,
    /// Why stable has answered in the canary's place, where it did.
    pub fallback: Option<Why>,
}

/// Where a request's time went: encoding in all, then means over its texts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Times {
    /// From the request's texts to their tokens.
    pub tokenization: Duration,
    /// From the request's arrival to the start of a text's run.
    pub queue: Duration,
    /// The run that a text was in.
    pub inference: Duration,
}

impl Serving {
    /// Encodes texts and runs them.
    ///
    /// # Errors
    /// Everything that may be wrong with them, the model's failure, a full queue, or the deadline.
    pub async fn texts(&self, asked: Asked<'_>, ask: TextAsk) -> Result<RanTexts, Failed> {
        let early = |error: ApiError| (error, None);
        let track = split::asked_for(asked.headers).map_err(early)?;
        let ask = Arc::new(ask);
        let (stable, rollout) = self.route(&ask, &asked).await.map_err(early)?;
        let way = self.way(&asked, None);
        let counted = match rollout.map(|rollout| split::pick(rollout, asked.headers, track)) {
            None => None,
            Some(Picked::Stable(counted)) => counted,
            Some(Picked::Canary(picked)) => {
                let done = attempt::run::<Encoded>(self, way, picked, (&ask, None)).await?;
                let Done { work, answers, fallback } = done;
                return Ok(work.ran(answers, fallback));
            }
        };
        let mut work = Encoded::make(&ask, self, &stable).await.map_err(|error| (error, Some(stable.clone())))?;
        if let Some(answers) = work.recall() {
            return Ok(work.ran(answers, None));
        }
        let counted = counted.map(|counted| counted.submitted(work.rows(), &way));
        let mut pending = work.submit(&way, None).map_err(|error| (error.into(), Some(stable.clone())))?;
        let replies = pending.until(way.deadline).await;
        if let Some(counted) = counted {
            counted.texts_ended(replies.as_ref(), &way);
        }
        match replies.map_or(Err(InferError::Timeout), answers) {
            Ok(answers) => {
                let answers = work.settle(answers);
                Ok(work.ran(answers, None))
            }
            Err(error) => Err((error.into(), Some(stable))),
        }
    }

    /// The stable version that texts are for, and the rollout of its model, if anything is tried.
    async fn route(&self, ask: &TextAsk, asked: &Asked<'_>) -> Result<(Arc<Served>, Option<Rollout>), ApiError> {
        let (stable, mut rollout) = {
            let snapshot = self.catalog.load();
            let (entry, stable) = snapshot.entry(ask.model.as_deref())?;
            let route = entry.route.as_ref();
            (stable.clone(), route.and_then(|route| Some(Rollout::of(entry, route.load(asked.reactor)?))))
        };
        if let Some(rollout) = &mut rollout
            && let Some(HashKey::Field(field)) = rollout.live.hash_key()
        {
            rollout.key = key::find(&self.lifecycle, asked.body, field).await?;
        }
        Ok((stable, rollout))
    }
}

/// A request's texts, ready for one version.
struct Encoded {
    served: Arc<Served>,
    /// Those that are left to be run.
    texts: Vec<Text>,
    /// Of each text what was answered before, and what its answer is kept by; empty where nothing is kept.
    kept: Vec<(Option<Answer>, Fingerprint)>,
    /// Tokens of each, which outlive their submission.
    tokens: Vec<usize>,
    took: Duration,
}

impl Encoded {
    fn ran(self, answers: Answers, fallback: Option<Why>) -> RanTexts {
        let texts = u32::try_from(answers.len().max(1)).unwrap_or(u32::MAX);
        let mean = |time: fn(&Answer) -> Duration| answers.iter().map(time).sum::<Duration>() / texts;
        let (queue, inference) = (mean(|answer| answer.queued), mean(|answer| answer.executed));
        let times = Times { tokenization: self.took, queue, inference };
        RanTexts { served: self.served, answers: answers.into_vec(), tokens: self.tokens, times, fallback }
    }
}

impl Work for Encoded {
    type Source = Arc<TextAsk>;

    async fn make(ask: &Arc<TextAsk>, serving: &Serving, served: &Arc<Served>) -> Result<Self, ApiError> {
        let began = Instant::now();
        let Some(model) = served.runtime.text() else {
            let message = format!("version {} of model \"{}\" takes tensors, not texts", served.version, served.model);
            return Err(ApiError::new(Kind::NotText, message));
        };
        if let Want::Embedding(finish) = ask.want
            && let Some(dimensions) = finish.dimensions
        {
            model.check_dimensions(dimensions).map_err(ApiError::from)?;
        }
        // What will be refused is not encoded first.
        if let Some(error) = served.runtime.is_full() {
            return Err(error.into());
        }
        let sequences = encode(serving, model, ask).await?;
        bounds::check(model.config(), ask.want, &sequences)?;
        let tokens = sequences.iter().map(Sequence::len).collect();
        let texts = sequences.into_iter().map(|sequence| Text { sequence, want: ask.want }).collect();
        Ok(Self { served: served.clone(), texts, kept: Vec::new(), tokens, took: began.elapsed() })
    }

    fn readdressed(self, served: &Arc<Served>, _same_signature: bool) -> Option<Self> {
        Arc::ptr_eq(&self.served, served).then_some(self)
    }

    fn served(&self) -> &Arc<Served> {
        &self.served
    }

    fn rows(&self) -> u32 {
        count(self.texts.len())
    }

    fn recall(&mut self) -> Option<Answers> {
        let cache = self.served.cache.as_ref()?;
        if self.tokens.iter().sum::<usize>() > MOST_INPUT / size_of::<u32>() {
            return None;
        }
        let identity = self.served.runtime.identity();
        let look = |text: &Text| {
            let input = Fingerprint::of_text(identity, text);
            (cache.get(&input), input)
        };
        self.kept = self.texts.iter().map(look).collect();
        let mut found = self.kept.iter().map(|(answer, _)| answer.is_some());
        self.texts.retain(|_| !found.next().unwrap_or(false));
        self.texts.is_empty().then(|| self.kept.drain(..).filter_map(|(answer, _)| answer).collect())
    }

    fn settle(&mut self, ran: Answers) -> Answers {
        let Some(cache) = self.served.cache.as_ref().filter(|_| !self.kept.is_empty()) else { return ran };
        let mut ran = ran.into_iter();
        let settle = |(answer, input): (Option<Answer>, Fingerprint)| {
            answer.or_else(|| ran.next().inspect(|answer| cache.put(input, answer)))
        };
        self.kept.drain(..).filter_map(settle).collect()
    }

    fn submit(&mut self, way: &Way, follow: Option<(Arc<dyn Follow>, Instant)>) -> Result<Pending, InferError> {
        let texts = std::mem::take(&mut self.texts);
        Ok(self.served.runtime.submit_texts(way.reactor, texts, way.arrived, way.deadline, follow.as_ref()))
    }
}
