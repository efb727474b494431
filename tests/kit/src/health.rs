//! What a server says of itself at /health/all, however it was started.

use std::net::SocketAddr;

use serde_json::Value;

use crate::{Client, wait};

/// The health endpoints of one server.
#[derive(Clone, Copy, Debug)]
pub struct Health(SocketAddr);

impl Health {
    /// Those of the server at `address`.
    pub const fn of(address: SocketAddr) -> Self {
        Self(address)
    }

    /// Everything.
    pub fn all(self) -> Value {
        Client::new(self.0).get("/health/all").ok()
    }

    /// What it says of the registry.
    pub fn registry(self) -> Value {
        self.all()["registry"].take()
    }

    /// What it says of one model; null where it knows none of this name.
    pub fn model(self, name: &str) -> Value {
        let all = self.all();
        let models = all["models"].as_array().expect("a list of models");
        models.iter().find(|model| model["name"] == name).cloned().unwrap_or(Value::Null)
    }

    /// Waits until it is ready.
    pub fn wait_ready(self) {
        wait::until_ok("a ready server", || {
            let ready = Client::new(self.0).get("/health/ready").status == 200;
            if ready { Ok(()) } else { Err(self.all().to_string()) }
        });
    }

    /// Waits until `condition` holds for what is said of the registry, and gives it.
    pub fn wait_registry(self, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
        wait::until_ok(&format!("the registry: {what}"), || {
            let registry = self.registry();
            if condition(&registry) { Ok(registry) } else { Err(registry.to_string()) }
        })
    }

    /// Waits until `condition` holds for what is said of a model, and gives it.
    pub fn wait_model(self, name: &str, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
        wait::until_ok(&format!("{name}: {what}"), || {
            let model = self.model(name);
            if condition(&model) { Ok(model) } else { Err(model.to_string()) }
        })
    }

    /// Waits until `version` of a model is ready on `track`, and gives its report.
    pub fn wait_serving(self, name: &str, track: &str, version: u64) -> Value {
        let version = version.to_string();
        let serves = |report: &&Value| report["track"] == track && report["state"] == "ready";
        let model = self.wait_model(name, &format!("version {version} is {track}"), |model| {
            report(model, &version).is_some_and(|report| serves(&report))
        });
        report(&model, &version).cloned().expect("the one that was waited for")
    }

    /// Waits until the load of `version` has failed, and gives the reason.
    pub fn wait_failed(self, name: &str, version: u64) -> String {
        let version = version.to_string();
        let model = self.wait_model(name, &format!("version {version} fails"), |model| {
            report(model, &version).is_some_and(|report| report["state"] == "failed")
        });
        report(&model, &version).and_then(|report| report["error"].as_str()).expect("a reason").to_owned()
    }
}

/// The report of one version within a model of /health/all.
pub fn report<'m>(model: &'m Value, version: &str) -> Option<&'m Value> {
    model["versions"].as_array()?.iter().find(|report| report["version"] == version)
}
