//! `perch rollout simulate`: how soon would this policy catch so many errors, and how often would it demote a healthy
//! canary?

mod text;

use std::thread::ScopedJoinHandle;

use clap::Args;
use perch_router::{
    policy::{Problem, RolloutPolicy, Span},
    simulate::{Inputs, Outcome, healthy_rates, simulate},
};
use serde::Serialize;

use crate::cli::{self, Failure, Output};
use crate::config::{Config, Layers, environment};

/// Say how soon a policy demotes a bad canary, and how often a healthy one.
#[derive(Args)]
pub(super) struct Simulate {
    /// A preset (phased, four-steps) or a file with a rollout policy.
    #[arg(long, default_value = "phased")]
    policy: String,
    /// Share of the canary's requests that fail, such as 5% or 0.05.
    #[arg(long, value_parser = share)]
    error_rate: f64,
    /// Requests in a second, of both versions together.
    #[arg(long)]
    rate: f64,
    /// Share of the canary's requests that are slower than the policy allows.
    #[arg(long, value_parser = share, default_value = "0%")]
    slow: f64,
    /// Share of stable's requests that fail.
    #[arg(long, value_parser = share, default_value = "0%")]
    stable_error_rate: f64,
    /// Requests in a batch.
    #[arg(long, default_value_t = 1)]
    batch: u32,
    /// Rollouts that are simulated.
    #[arg(long, default_value_t = 1000)]
    runs: u32,
    /// How long each is followed, such as 12h.
    #[arg(long, default_value = "24h")]
    longest: Span,
    /// Where random numbers begin: the same seed, the same answer.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The form of the result.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

/// Error rates of the table.
const TABLE: [f64; 6] = [0.02, 0.05, 0.1, 0.2, 0.5, 1.0];

/// What came of one truth.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Case {
    error_rate: f64,
    slow_rate: f64,
    outcome: Outcome,
}

/// The answer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    policy: String,
    requests_per_second: f64,
    batch_rows: u32,
    stable_error_rate: f64,
    longest: Span,
    seed: u64,
    asked: Case,
    healthy: Case,
    table: Vec<Case>,
}

pub(super) fn run(command: &Simulate) -> cli::Outcome {
    let policy = read_policy(&command.policy)?;
    let answer = command.answer(&policy).map_err(|problem| Failure::Usage(command.message(&problem)))?;
    match command.output {
        Output::Text => print!("{}", text::print(&answer, &policy)),
        Output::Json => println!("{:#}", serde_json::json!(answer)),
    }
    Ok(())
}

impl Simulate {
    /// Each case on a thread of its own.
    fn answer(&self, policy: &RolloutPolicy) -> Result<Answer, Problem> {
        let case = |(error_rate, slow_rate): (f64, f64)| {
            let inputs = Inputs {
                policy,
                requests_per_second: self.rate,
                batch_rows: self.batch,
                error_rate,
                slow_rate,
                stable_error_rate: self.stable_error_rate,
                runs: self.runs,
                seed: self.seed,
                longest: self.longest,
            };
            simulate(&inputs).map(|outcome| Case { error_rate, slow_rate, outcome })
        };
        std::thread::scope(|scope| {
            let start = |rates| scope.spawn(move || case(rates));
            let (asked, healthy) = (start((self.error_rate, self.slow)), start(healthy_rates(policy)));
            let table = TABLE.map(|rate| start((rate, self.slow)));
            Ok(Answer {
                policy: self.policy.clone(),
                requests_per_second: self.rate,
                batch_rows: self.batch,
                stable_error_rate: self.stable_error_rate,
                longest: self.longest,
                seed: self.seed,
                asked: join(asked)?,
                healthy: join(healthy)?,
                table: table.into_iter().map(join).collect::<Result<_, _>>()?,
            })
        })
    }

    /// The problem, by the option that it is about.
    fn message(&self, Problem { key, message }: &Problem) -> String {
        let option = match key.as_str() {
            "requestsPerSecond" => "--rate",
            "batchRows" => "--batch",
            "errorRate" => "--error-rate",
            "slowRate" => "--slow",
            "stableErrorRate" => "--stable-error-rate",
            "runs" => "--runs",
            "longest" => "--longest",
            key => return format!("--policy {}: {}: {message}", self.policy, key.trim_start_matches("policy.")),
        };
        format!("{option}: {message}")
    }
}

fn join<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// A preset or a file, read as the server reads it.
fn read_policy(asked: &str) -> Result<RolloutPolicy, Failure> {
    let layers = Layers::new().stateless().env(environment());
    // A configuration has to say where models are; nothing is read there.
    let layers = layers.flag("registry.path", Some(".".to_owned()), "perch").flag(
        "registry.rollout",
        Some(asked.to_owned()),
        "--policy",
    );
    let loaded = Config::load(layers).map_err(|errors| Failure::Usage(errors.to_string()))?;
    Ok(loaded.config.registry.rollout.policy.clone())
}

/// A share, as `5%` or `0.05`.
fn share(text: &str) -> Result<f64, String> {
    let expected = || format!("expected a share such as 5% or 0.05, got {text:?}");
    let (digits, part) = text.strip_suffix('%').map_or((text, 1.0), |digits| (digits.trim_end(), 100.0));
    let value = digits.parse::<f64>().map_err(|_| expected())? / part;
    if (0.0..=1.0).contains(&value) { Ok(value) } else { Err(expected()) }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        simulate: Simulate,
    }

    fn command(line: &str) -> Simulate {
        Line::try_parse_from(line.split(' ')).map_err(|error| error.to_string()).unwrap().simulate
    }

    #[test]
    fn shares_are_read() {
        for (text, value) in [("5%", 0.05), ("0.05", 0.05), ("5 %", 0.05), ("0", 0.0), ("100%", 1.0), ("1", 1.0)] {
            assert_eq!(share(text), Ok(value), "{text}");
        }
        for text in ["", "%", "5", "101%", "-1%", "NaN", "five"] {
            let expected = format!("expected a share such as 5% or 0.05, got {text:?}");
            assert_eq!(share(text), Err(expected));
        }
    }

    #[test]
    fn what_is_wrong_is_named_as_it_was_asked() {
        let policy = RolloutPolicy::phased();
        for (line, expected) in [
            ("x --error-rate 5% --rate 0", "--rate: expected above 0 and at most 1000000, got 0"),
            ("x --error-rate 5% --rate 1 --batch 5000", "--batch: expected 1 to 1024, got 5000"),
            ("x --error-rate 5% --rate 1 --runs 0", "--runs: expected 1 to 100000, got 0"),
            ("x --error-rate 5% --rate 1 --longest 0s", "--longest: expected above 0s and at most 168h, got 0s"),
        ] {
            let command = command(line);
            let problem = command.answer(&policy).map(|_| ()).unwrap_err();
            assert_eq!(command.message(&problem), expected);
        }
        let command = command("x --error-rate 5% --rate 1");
        let problem = Problem { key: "policy.analysis.x".to_owned(), message: "no".to_owned() };
        assert_eq!(command.message(&problem), "--policy phased: analysis.x: no");
    }

    #[test]
    fn policies_are_presets_or_files() {
        assert!(read_policy("four-steps").is_ok_and(|policy| policy == RolloutPolicy::four_steps()));
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        let message = |text: &str| {
            std::fs::write(path, text).unwrap();
            match read_policy(path) {
                Ok(_) => String::new(),
                Err(Failure::Usage(message) | Failure::Failed(message) | Failure::Missing(message)) => message,
            }
        };
        assert_eq!(message("analysis: {minFailures: 5}"), "");
        assert!(message("analysis: {minFailures: 0}").ends_with("analysis.minFailures: expected at least 1, got 0"));
        assert!(message("analysis: {minFailure: 5}").contains("minFailure"));
        assert!(matches!(read_policy("/nowhere/p.yaml"), Err(Failure::Usage(text)) if text.contains("phased")));
    }

    #[test]
    fn the_answer_fits_a_terminal() {
        let policy = RolloutPolicy::phased();
        let answer = command("x --error-rate 5% --rate 10 --runs 20 --longest 2h").answer(&policy).unwrap();
        assert_eq!(text::print(&answer, &policy), include_str!("simulate/answer.txt"));
        assert!(include_str!("simulate/answer.txt").lines().all(|line| line.chars().count() <= 80));
        assert_eq!(serde_json::json!(answer)["asked"]["outcome"]["demoted"], 1.0);
    }
}
