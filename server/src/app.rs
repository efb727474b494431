//! Puts the server together and runs it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{any, get};
use http::header::ALLOW;
use metrics_exporter_prometheus::{BuildError, PrometheusHandle};
use perch_models::backend::Loader;
use perch_models::run::Turns;
use perch_models::watchdog::Watchdog;
use thiserror::Error;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::admin::Admin;
use crate::admin::access::Access;
use crate::cache::ResponseCache;
use crate::catalog::Catalog;
use crate::config::{Config, StateUrl};
use crate::error::{ApiError, Kind};
use crate::http::body::BodyLimits;
use crate::http::health::{self, Health};
use crate::http::metrics::{self as metrics_http, Recorded};
use crate::http::texts;
use crate::layers::{self, Shared, Spans, Stack};
use crate::lifecycle::{self, Lifecycle};
use crate::listener::{self, BindError};
use crate::metrics;
use crate::reactor::{Reactor, ReactorOptions, Seat};
use crate::reconcile::{Reconciler, Refresh, Tools};
use crate::registries::Registries;
use crate::rollouts::notify::Receivers;
use crate::rollouts::registry_writes::RegistryWrites;
use crate::rollouts::{self, Driver, Rollouts};
use crate::serving::Serving;
use crate::writeback::WriteBack;

/// How long the start waits for the store of rollouts.
const STORE_PATIENCE: Duration = Duration::from_secs(5);

/// The server cannot start.
#[derive(Debug, Error)]
pub enum StartError {
    /// An address is taken or not ours.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The registry cannot be followed as configured.
    #[error("{0}")]
    Registry(String),
    /// Notifications cannot be sent as configured.
    #[error("{0}")]
    Notifications(String),
    /// Metrics cannot be recorded.
    #[error("metrics: {0}")]
    Metrics(#[from] BuildError),
    /// The system refuses threads.
    #[error("cannot start threads: {0}")]
    Threads(#[from] io::Error),
}

/// A server that is ready to be started.
pub struct App {
    config: Arc<Config>,
    loader: Arc<dyn Loader>,
    catalog: Arc<Catalog>,
    lifecycle: Arc<Lifecycle>,
    recorder: PrometheusHandle,
    watchdog: Watchdog,
    registries: Arc<Registries>,
    writes: WriteBack,
    cache: Option<Arc<ResponseCache>>,
    cores: usize,
    spans: Spans,
}

impl App {
    /// Puts a server together; nothing runs yet.
    ///
    /// # Errors
    /// When metrics or threads cannot be had.
    pub fn build(config: Config, loader: Arc<dyn Loader>, spans: Spans) -> Result<Self, StartError> {
        let mut registries = Registries::open(&config).map_err(StartError::Registry)?;
        registries.spare_read_only();
        Ok(Self {
            cache: ResponseCache::new(config.server.response_cache).map(Arc::new),
            config: Arc::new(config),
            loader,
            catalog: Arc::default(),
            lifecycle: Arc::default(),
            recorder: metrics::install()?,
            watchdog: Watchdog::start()?,
            registries: Arc::new(registries),
            writes: WriteBack::default(),
            // Honours the cgroup's quota and the cpuset.
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            spans,
        })
    }

    /// Listens and begins to load. What loads is served as soon as it is warm.
    ///
    /// # Errors
    /// When an address cannot be listened on.
    pub fn start(self) -> Result<Running, StartError> {
        // Registry, probes on the second port and accepting run here, so that they answer while models compute.
        let control = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("perch-control")
            .enable_all()
            .build()?;
        let server = &self.config.server;
        let main = control.block_on(listener::bind("server.listen", server.listen))?;
        let address = main.local_addr()?;
        let second = match server.metrics_listen {
            Some(address) => Some(control.block_on(listener::bind("server.metricsListen", address))?),
            None => None,
        };
        let metrics_address = second.as_ref().map(tokio::net::TcpListener::local_addr).transpose()?;

        let admin = match server.admin_listen {
            Some(address) => Some(control.block_on(listener::bind("server.adminListen", address))?),
            None => None,
        };
        let admin_address = admin.as_ref().map(tokio::net::TcpListener::local_addr).transpose()?;

        let (mut driver, rollouts) = self.rollouts(address)?;
        // What was tried and what rests is known before anything is loaded; a store that takes its time opens later.
        let opened = control.block_on(async { tokio::time::timeout(STORE_PATIENCE, driver.open()).await });
        if opened.is_err() {
            tracing::warn!(patience = ?STORE_PATIENCE, "the store of rollouts takes its time: starting without it");
        }
        let tools = Tools {
            loader: self.loader.clone(),
            watchdog: self.watchdog.clone(),
            registries: self.registries.clone(),
            writes: self.writes.clone(),
            rollouts: rollouts.clone(),
            cache: self.cache.clone(),
            turns: Turns::new(self.cores, &self.lifecycle.tasks()),
            cores: self.cores,
        };
        let reconciler = Reconciler::new(self.config.clone(), tools, self.catalog.clone(), self.lifecycle.clone());
        let refresh = reconciler.refresh();
        let finished = CancellationToken::new();
        let shared = Arc::new(Shared::new(self.lifecycle.clone(), server.max_in_flight));
        let bodies = Arc::new(BodyLimits::new(server.max_body, server.max_buffered));
        let reactors =
            (0..self.cores).map(|number| self.reactor(number, &shared, &bodies, &finished, (&refresh, &rollouts)));
        let reactors: Arc<Vec<Reactor>> = Arc::new(reactors.collect::<io::Result<_>>()?);

        let entered = control.enter();
        self.lifecycle.spawn(upkeep(self.recorder.clone(), self.cache.clone(), self.lifecycle.stopping().clone()));
        self.lifecycle.spawn(reconciler.run());
        self.lifecycle.spawn(driver.run());
        let registries = self.registries.feeds().iter().map(|feed| feed.registry.clone()).collect();
        self.lifecycle.spawn(self.writes.clone().run(registries, self.lifecycle.stopping().clone()));
        let stopping = self.lifecycle.stopping().clone();
        self.lifecycle.spawn(listener::accept(main, reactors.clone(), server.max_connections, stopping));
        if let Some(second) = second {
            self.serve_aside("server.metricsListen", second, self.probes(&rollouts));
        }
        if let (Some(admin), Some(address)) = (admin, admin_address) {
            let routes = self.admin((&refresh, &rollouts), Access::at(address, server));
            let routes = routes.fallback(async || ApiError::new(Kind::NotFound, "no such path"));
            self.serve_aside("server.adminListen", admin, layers::scoped(routes, shared));
        }
        drop(entered);
        tracing::info!(%address, cores = self.cores, "listening");
        Ok(Running { app: self, control, reactors, finished, address, metrics_address, admin_address })
    }

    /// Everybody whom a policy wants to be told of something.
    fn receivers(&self) -> Result<Receivers, StartError> {
        let rollouts = self.config.models.iter().map(|model| &model.rollout).chain([&self.config.registry.rollout]);
        let receivers = Receivers::new(rollouts.flat_map(|rollout| &rollout.receivers));
        let receivers = receivers.map_err(StartError::Notifications)?;
        let alone = matches!(self.config.state, StateUrl::Sqlite(_));
        Ok(if alone { receivers } else { receivers.beside_others() })
    }

    /// Who drives rollouts, and the handle of everybody else.
    fn rollouts(&self, address: SocketAddr) -> Result<(Driver, Rollouts), StartError> {
        let parts = rollouts::Parts {
            place: self.config.state.clone(),
            replica: replica(address),
            cache: self.config.artifacts.cache.clone(),
            audit_log: self.config.rollouts.audit_log.clone(),
            catalog: self.catalog.clone(),
            lifecycle: self.lifecycle.clone(),
            timeout: self.config.server.request_timeout,
            // One for each reactor, and one for all other threads.
            slots: self.cores + 1,
            registry: RegistryWrites::new(self.registries.feeds().to_vec()),
            receivers: self.receivers()?,
        };
        Ok(Driver::new(parts))
    }

    fn reactor(
        &self,
        number: usize,
        shared: &Arc<Shared>,
        bodies: &Arc<BodyLimits>,
        finished: &CancellationToken,
        admin: (&Refresh, &Rollouts),
    ) -> io::Result<Reactor> {
        let server = &self.config.server;
        let serving = Arc::new(Serving {
            catalog: self.catalog.clone(),
            lifecycle: self.lifecycle.clone(),
            timeout: server.request_timeout,
            bodies: bodies.clone(),
            cores: self.cores,
        });
        let seat = Seat { reactor: number, serving, config: self.config.clone() };
        // POST /predict never comes here: the stack answers it without a detour.
        let wrong_method = async || ([(ALLOW, "POST")], ApiError::new(Kind::MethodNotAllowed, "this path takes POST"));
        let others = Router::new()
            .route("/predict", any(wrong_method))
            .merge(texts::routes(seat.clone()))
            .merge(self.admin(admin, Access::of_main(server)))
            .fallback(async || ApiError::new(Kind::NotFound, "no such path"));
        let stack = Stack {
            probes: self.probes(admin.1),
            others,
            seat: Arc::new(seat),
            shared: shared.clone(),
            spans: self.spans,
        };
        let options = ReactorOptions {
            stack: Arc::new(stack),
            lifecycle: self.lifecycle.clone(),
            finished: finished.clone(),
            idle_timeout: server.idle_timeout,
        };
        Reactor::start(number, options)
    }

    /// Serves `routes` on a port of their own, off the reactors.
    fn serve_aside(&self, key: &'static str, listener: tokio::net::TcpListener, routes: Router) {
        let stopping = self.lifecycle.stopping().clone();
        self.lifecycle.spawn(async move {
            let serving = axum::serve(listener, routes).with_graceful_shutdown(stopping.cancelled_owned());
            if let Err(error) = serving.await {
                tracing::error!(%error, "{key} failed");
            }
        });
    }

    fn admin(&self, (refresh, rollouts): (&Refresh, &Rollouts), access: Access) -> Router {
        let (config, catalog, lifecycle) = (self.config.clone(), self.catalog.clone(), self.lifecycle.clone());
        let admin = Admin { config, catalog, refresh: refresh.clone(), rollouts: rollouts.clone(), lifecycle };
        admin.routes(access)
    }

    fn probes(&self, rollouts: &Rollouts) -> Router {
        let health = Health {
            catalog: self.catalog.clone(),
            lifecycle: self.lifecycle.clone(),
            writes: self.writes.clone(),
            rollouts: rollouts.clone(),
        };
        let health = Router::new()
            .route("/health", get(health::ready))
            .route("/health/live", get(health::live))
            .route("/health/ready", get(health::ready))
            .route("/health/all", get(health::all))
            .with_state(health);
        let recorded = Recorded { recorder: self.recorder.clone(), lifecycle: self.lifecycle.clone() };
        Router::new().route("/metrics", get(metrics_http::metrics)).with_state(recorded).merge(health)
    }
}

/// Histograms keep every sample until they are drained: without a scraper they would grow for ever.
async fn upkeep(recorder: PrometheusHandle, cache: Option<Arc<ResponseCache>>, stopping: CancellationToken) {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            _ = tick.tick() => {}
        }
        recorder.run_upkeep();
        if let Some(cache) = &cache {
            cache.tidy();
            metrics::set_cache_size(cache.size());
        }
    }
}

/// A server that runs.
pub struct Running {
    app: App,
    control: Runtime,
    reactors: Arc<Vec<Reactor>>,
    finished: CancellationToken,
    address: SocketAddr,
    metrics_address: Option<SocketAddr>,
    admin_address: Option<SocketAddr>,
}

impl Running {
    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where metrics and health are served besides.
    #[must_use]
    pub const fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    /// Where /admin is served, when not with everything else.
    #[must_use]
    pub const fn admin_address(&self) -> Option<SocketAddr> {
        self.admin_address
    }

    /// What is loaded.
    #[must_use]
    pub const fn catalog(&self) -> &Arc<Catalog> {
        &self.app.catalog
    }

    /// Runs until SIGTERM or SIGINT, then drains. True when everything ended within the bound.
    ///
    /// # Errors
    /// When no signal handler can be installed.
    pub fn run(self) -> io::Result<bool> {
        let signal = self.control.block_on(lifecycle::signal())?;
        tracing::info!(signal, delay = ?self.app.config.server.drain.delay, "draining: unready, still accepting");
        Ok(self.stop())
    }

    /// Drains and ends. True when everything ended within the bound.
    #[must_use]
    pub fn stop(self) -> bool {
        let drain = &self.app.config.server.drain;
        metrics::set_ready(false);
        let clean = self.control.block_on(self.app.lifecycle.shut_down(drain.delay, drain.timeout));
        if !clean {
            tracing::warn!(timeout = ?drain.timeout, "some requests did not end within server.drain.timeout");
        }
        self.finished.cancel();
        self.control.shutdown_timeout(Duration::from_secs(1));
        if let Some(reactors) = Arc::into_inner(self.reactors).filter(|_| clean) {
            reactors.into_iter().for_each(Reactor::join);
        }
        tracing::info!(clean, "stopped");
        clean
    }
}

/// What people call this process: its host, which is the pod's name, and its port.
fn replica(address: SocketAddr) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match host.trim() {
        "" => address.to_string(),
        host => format!("{host}:{}", address.port()),
    }
}
