//! The commands that change a rollout. Each prints what is so afterwards.

use clap::Args;
use serde_json::{Map, Value, json};

use super::console::{Console, now};
use super::options::{Connection, Surroundings};
use super::words::sentence;
use crate::cli::{Failure, Outcome, Output};

/// What every command takes.
#[derive(Args)]
struct Order {
    #[command(flatten)]
    connection: Connection,
    /// Do it only if the rollout is at this generation still, as `get --output json` told it.
    #[arg(long, value_name = "N")]
    if_generation: Option<u64>,
    /// Who gives the command, for the audit log; else the user and the machine.
    #[arg(long, value_name = "NAME")]
    who: Option<String>,
    /// The form of the result.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

/// A command that says nothing more than its name.
#[derive(Args)]
pub(super) struct Plain {
    /// The model; where the server has one only, it is that.
    model: Option<String>,
    #[command(flatten)]
    order: Order,
}

#[derive(Args)]
pub(super) struct Promote {
    /// The model; where the server has one only, it is that.
    model: Option<String>,
    /// Skip all that is left of the plan: the canary becomes stable now.
    #[arg(long)]
    full: bool,
    #[command(flatten)]
    order: Order,
}

#[derive(Args)]
pub(super) struct Retry {
    /// The model; where the server has one only, it is that.
    model: Option<String>,
    /// Also while the version is in quarantine.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    order: Order,
}

#[derive(Args)]
#[command(allow_missing_positional = true)]
pub(super) struct Weight {
    /// The model; where the server has one only, it is that.
    model: Option<String>,
    /// The canary's share of the traffic, 0 to 100, with up to two decimals.
    #[arg(value_name = "PERCENT", value_parser = weight)]
    percent: f64,
    #[command(flatten)]
    order: Order,
}

impl Plain {
    pub(super) async fn run(&self, name: &str, around: &Surroundings, console: &mut Console<'_>) -> Outcome {
        self.order.give(name, self.model.as_deref(), Map::new(), around, console).await
    }
}

impl Promote {
    pub(super) async fn run(&self, around: &Surroundings, console: &mut Console<'_>) -> Outcome {
        self.order.give("promote", self.model.as_deref(), said("full", self.full), around, console).await
    }
}

impl Retry {
    pub(super) async fn run(&self, around: &Surroundings, console: &mut Console<'_>) -> Outcome {
        self.order.give("retry", self.model.as_deref(), said("force", self.force), around, console).await
    }
}

impl Weight {
    pub(super) async fn run(&self, around: &Surroundings, console: &mut Console<'_>) -> Outcome {
        // A whole number looks like one on the wire.
        let number: Value = serde_json::from_str(&self.percent.to_string()).unwrap_or_else(|_| json!(self.percent));
        let body = Map::from_iter([("weight".to_owned(), number)]);
        self.order.give("weight", self.model.as_deref(), body, around, console).await
    }
}

impl Order {
    async fn give(
        &self,
        command: &str,
        model: Option<&str>,
        mut body: Map<String, Value>,
        around: &Surroundings,
        console: &mut Console<'_>,
    ) -> Outcome {
        let client = self.connection.client(around)?;
        if self.who.as_ref().is_some_and(|who| who.trim().is_empty()) {
            return Err(Failure::Usage("--who: expected a name".to_owned()));
        }
        if let Some(who) = self.who.clone().or_else(|| around.who()) {
            body.insert("who".to_owned(), json!(who));
        }
        let model = client.model(model).await?;
        let answer = client.post(&[&model, command], &Value::Object(body), self.if_generation).await;
        let answer = answer.map_err(|trouble| client.failure(trouble))?;
        match self.output {
            Output::Json => console.json(&answer),
            Output::Text => console.line(&sentence(&client.view(answer)?, &now())),
        }
    }
}

/// A body that says something only where it is so.
fn said(key: &str, so: bool) -> Map<String, Value> {
    so.then(|| (key.to_owned(), json!(true))).into_iter().collect()
}

/// A weight in percent.
fn weight(text: &str) -> Result<f64, String> {
    let digits = text.strip_suffix('%').unwrap_or(text).trim_end();
    let decimals = digits.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    let plain = !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit() || c == '.');
    let number = digits.parse().ok().filter(|number| (0.0..=100.0).contains(number));
    number.filter(|_| plain && decimals <= 2).ok_or_else(|| "expected 0 to 100, with at most two decimals".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_percent_with_two_decimals() {
        for (text, number) in [("0", 0.0), ("25", 25.0), ("0.25", 0.25), ("99.99", 99.99), ("100", 100.0), ("5%", 5.0)]
        {
            assert_eq!(weight(text), Ok(number));
        }
        for text in ["", "-1", "100.01", "0.255", "1e1", "NaN", "inf", "ten", "%", "+5"] {
            assert!(weight(text).is_err(), "{text}");
        }
    }
}
