//! What is known of a download while it goes on: for the log, the metrics and /health/all.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use perch_models::registry::Progress;

use crate::metrics::DownloadMetrics;

/// The log hears of a download that often.
const EVERY: Duration = Duration::from_secs(5);

/// One version's download.
pub struct Download {
    model: String,
    version: u64,
    /// Bytes in all; 0 until that is known.
    total: AtomicU64,
    here: AtomicU64,
    /// Made when something is downloaded: a folder of models has no such metrics.
    metrics: OnceLock<DownloadMetrics>,
    times: Mutex<Times>,
}

struct Times {
    began: Instant,
    logged: Instant,
}

impl Download {
    /// A download that has not begun, and may never have to.
    #[must_use]
    pub fn new(model: &str, version: u64) -> Arc<Self> {
        let now = Instant::now();
        Arc::new(Self {
            model: model.to_owned(),
            version,
            total: AtomicU64::new(0),
            here: AtomicU64::new(0),
            metrics: OnceLock::new(),
            times: Mutex::new(Times { began: now, logged: now }),
        })
    }

    /// Bytes that are here, and bytes in all; `None` where nothing is downloaded.
    #[must_use]
    pub fn state(&self) -> Option<(u64, u64)> {
        let total = self.total.load(Ordering::Relaxed);
        (total > 0).then(|| (self.here.load(Ordering::Relaxed), total))
    }

    fn metrics(&self) -> &DownloadMetrics {
        self.metrics.get_or_init(|| DownloadMetrics::new(&self.model))
    }

    fn log(&self, message: &'static str) {
        let (here, total) = (self.here.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed));
        let percent = (here * 100).checked_div(total).unwrap_or(100);
        tracing::info!(model = self.model, version = self.version, bytes = here, of = total, percent, "{message}");
    }
}

impl Progress for Download {
    fn begin(&self, total: u64, present: u64) {
        let now = Instant::now();
        *self.times.lock() = Times { began: now, logged: now };
        self.here.store(present, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
        self.log(if present == 0 { "downloading" } else { "resuming a download" });
    }

    fn advance(&self, bytes: u64) {
        self.here.fetch_add(bytes, Ordering::Relaxed);
        self.metrics().bytes(bytes);
        let mut times = self.times.lock();
        if times.logged.elapsed() > EVERY {
            times.logged = Instant::now();
            self.log("downloading");
        }
    }

    fn discard(&self, bytes: u64) {
        self.here.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn end(&self) {
        let took = self.times.lock().began.elapsed();
        self.metrics().end(took);
        self.log("downloaded");
    }
}
