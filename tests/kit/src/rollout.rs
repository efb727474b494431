//! A model's rollout, as the admin API shows it and takes commands for it.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::{Client, Reply, wait};

/// One model's rollout on one server.
#[derive(Clone, Debug)]
pub struct Rollout {
    address: SocketAddr,
    model: String,
}

impl Rollout {
    /// That of `model` on the server whose admin API is at `address`.
    pub fn of(address: SocketAddr, model: &str) -> Self {
        Self { address, model: model.to_owned() }
    }

    /// A request from this machine: /admin asks for no more where no token is set.
    fn ask(&self, method: &str, path: &str, body: &str) -> Reply {
        let (model, length) = (&self.model, body.len());
        let head = format!("{method} /admin/rollouts/{model}{path} HTTP/1.1\r\nhost: localhost");
        let mut client = Client::new(self.address);
        client.send(format!("{head}\r\ncontent-length: {length}\r\n\r\n{body}").as_bytes()).expect("sent");
        client.receive().expect("whole").expect("an answer")
    }

    /// What is shown of it. It is drawn anew at every change, and once a second.
    pub fn view(&self) -> Value {
        self.ask("GET", "", "").ok()
    }

    /// Waits until `condition` holds for what is shown of it, and gives that.
    pub fn wait(&self, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
        wait::until_ok(&format!("the rollout of {}: {what}", self.model), || {
            let reply = self.ask("GET", "", "");
            let view = reply.json();
            // A model is followed a moment after the server listens.
            if reply.status == 200 && condition(&view) { Ok(view) } else { Err(view.to_string()) }
        })
    }

    /// Waits until it is in this state.
    pub fn wait_state(&self, state: &str) -> Value {
        self.wait(state, |view| view["state"] == state)
    }

    /// Waits until the canary is loaded and gets `weight` percent.
    pub fn wait_weight(&self, weight: f64) -> Value {
        self.wait(&format!("weight {weight}"), |view| view["ready"] == true && view["weight"] == weight)
    }

    /// Waits until `metric` has counted `n` executions, and gives what is shown of it.
    pub fn wait_metric(&self, metric: &str, n: u64) -> Value {
        let view = self.wait(&format!("{metric} of {n} executions"), |view| Self::metric(view, metric)["n"] == n);
        Self::metric(&view, metric).clone()
    }

    /// What a view says of one metric; null where it has none of this name.
    pub fn metric<'v>(view: &'v Value, name: &str) -> &'v Value {
        let mut metrics = view["metrics"].as_array().into_iter().flatten();
        metrics.find(|metric| metric["name"] == name).unwrap_or(&Value::Null)
    }

    /// Gives a command.
    pub fn command(&self, name: &str, body: &Value) -> Reply {
        self.ask("POST", &format!("/{name}"), &body.to_string())
    }

    /// Sets the weight by hand.
    pub fn set_weight(&self, weight: f64) {
        self.command("weight", &json!({"weight": weight})).ok();
    }

    /// What has happened to it, newest first.
    pub fn history(&self) -> Vec<Value> {
        let answer = self.ask("GET", "/history?limit=1000", "").ok();
        answer["history"].as_array().expect("a list").clone()
    }
}
