//! A server in this process: on a free port, over a folder of its own, and gone when dropped.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use perch_models::backend::Loader;
use perch_models::version::Mode;
use perch_onnx::OnnxLoader;
use perch_server::app::{App, Running};
use perch_server::config::{Config, Layers};
use perch_server::layers::Spans;
use serde_json::Value;
use tempfile::TempDir;

use crate::models::Models;
use crate::{Client, Health, Reply};

pub use crate::health::report;

/// What makes tests fast, and may be set otherwise: free ports, a short poll, no delay before the end.
const SETTINGS: [(&str, &str); 4] = [
    ("server.listen", "127.0.0.1:0"),
    ("registry.poll", "50ms"),
    ("server.drain.delay", "0s"),
    ("server.drain.timeout", "10s"),
];

/// ONNX Runtime, which can be loaded once a process. `ORT_DYLIB_PATH` names it, as for the binary.
pub fn onnx() -> Arc<dyn Loader> {
    static LOADER: OnceLock<Arc<OnnxLoader>> = OnceLock::new();
    let start = || {
        let given = std::env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty());
        Arc::new(OnnxLoader::start(given.as_ref().map(Path::new), &[]).expect("ONNX Runtime"))
    };
    LOADER.get_or_init(start).clone()
}

/// A server that is about to be started.
pub struct Builder {
    models: Models,
    settings: Vec<(&'static str, String)>,
    yaml: String,
    loader: Option<Arc<dyn Loader>>,
    state: Option<PathBuf>,
}

impl Builder {
    /// Sets a key, such as `server.maxBody`.
    #[must_use]
    pub fn set(mut self, key: &'static str, value: &str) -> Self {
        self.settings.push((key, value.to_owned()));
        self
    }

    /// With this text as the configuration's file, for what is no single value: `models`.
    #[must_use]
    pub fn yaml(mut self, text: &str) -> Self {
        text.clone_into(&mut self.yaml);
        self
    }

    /// With another loader than ONNX Runtime.
    #[must_use]
    pub fn loader(mut self, loader: Arc<dyn Loader>) -> Self {
        self.loader = Some(loader);
        self
    }

    /// Remembers rollouts in this file, for a server that is started again: without it, they go with the server.
    #[must_use]
    pub fn state(mut self, path: &Path) -> Self {
        self.state = Some(path.to_owned());
        self
    }

    /// Starts it; it listens, and begins to load.
    pub fn start(self) -> TestServer {
        let own = crate::state::folder();
        let state = self.state.unwrap_or_else(|| own.path().join("state.db"));
        let mut layers = Layers::new().file_text("test.yaml", self.yaml);
        let path = self.models.path().display().to_string();
        layers = layers.flag("registry.path", Some(path), "the test");
        layers = layers.flag("state", Some(format!("sqlite://{}", state.display())), "the test");
        let settings = SETTINGS.map(|(key, value)| (key, value.to_owned()));
        for (key, value) in settings.into_iter().chain(self.settings) {
            layers = layers.flag(key, Some(value), "the test");
        }
        let config = Config::load(layers).expect("a right configuration").config;
        let loader = self.loader.unwrap_or_else(onnx);
        let app = App::build(config, loader, Spans { exported: false }).expect("built");
        TestServer { running: Some(app.start().expect("started")), models: self.models, _state: own }
    }

    /// Starts it, and waits until it is ready.
    pub fn ready(self) -> TestServer {
        let server = self.start();
        server.wait_ready();
        server
    }
}

/// A running server and its folder of models.
pub struct TestServer {
    running: Option<Running>,
    _state: TempDir,
    /// The folder, to be changed while it runs.
    pub models: Models,
}

impl TestServer {
    /// A server over copies of these fixtures and examples, ready.
    pub fn with(names: &[&str]) -> Self {
        Self::builder(Models::with(names)).ready()
    }

    /// A server over this folder.
    pub const fn builder(models: Models) -> Builder {
        Builder { models, settings: Vec::new(), yaml: String::new(), loader: None, state: None }
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("not stopped yet")
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.running().address()
    }

    /// Where it serves metrics and health besides.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.running().metrics_address()
    }

    /// Where it serves /admin, when not with everything else.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.running().admin_address()
    }

    /// The folder of models.
    pub fn path(&self) -> &Path {
        self.models.path()
    }

    /// A client with a connection of its own.
    pub fn client(&self) -> Client {
        Client::new(self.address())
    }

    /// Gets a path on a new connection.
    pub fn get(&self, path: &str) -> Reply {
        self.client().get(path)
    }

    /// Posts a prediction on a new connection.
    pub fn predict(&self, body: &Value) -> Reply {
        self.client().predict(body)
    }

    /// What it says of itself.
    pub fn health(&self) -> Health {
        Health::of(self.address())
    }

    /// Waits until it is ready.
    pub fn wait_ready(&self) {
        self.health().wait_ready();
    }

    /// What /health/all says of one model.
    pub fn model(&self, name: &str) -> Value {
        self.health().model(name)
    }

    /// Waits until `condition` holds for what /health/all says of a model, and gives it.
    pub fn wait_model(&self, name: &str, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
        self.health().wait_model(name, what, condition)
    }

    /// Waits until `version` of a model is ready on `track`.
    pub fn wait_serving(&self, name: &str, track: &str, version: u64) {
        self.health().wait_serving(name, track, version);
    }

    /// How the version that serves a model is run at present.
    pub fn mode(&self, name: &str) -> Mode {
        let snapshot = self.running().catalog().load();
        let served = snapshot.models.get(name).and_then(|model| model.stable.as_ref());
        served.expect("a model that is served").runtime.mode()
    }

    /// Stops it. True when everything ended within the bound.
    pub fn stop(mut self) -> bool {
        self.running.take().is_some_and(Running::stop)
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            // How it ends is `stop`'s to look at; a test that failed already must not hang here.
            let _ = running.stop();
        }
    }
}
