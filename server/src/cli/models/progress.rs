//! Downloads as a person sees them: a bar on a terminal, a line now and then elsewhere. All of it on stderr.

use std::fmt::Write;
use std::io::IsTerminal as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{BinaryBytes, HumanDuration, MultiProgress, ProgressBar, ProgressState, ProgressStyle};
use parking_lot::Mutex;
use perch_models::registry::Progress;

/// Where there is no terminal, a download is told of that often.
const EVERY: Duration = Duration::from_secs(5);
/// How often a bar that waits moves.
const TICK: Duration = Duration::from_millis(100);
/// 80 columns hold it, with a name of twenty.
const BAR: &str = "{prefix}  [{wide_bar}] {percent:>3}% of {binary_total_bytes} {speed:>12} {left:>4}";
const WAITING: &str = "{prefix}  {msg} {spinner}";

/// All bars of a command.
pub(super) struct Screen {
    pub(super) bars: MultiProgress,
    terminal: bool,
}

impl Screen {
    pub(super) fn new() -> Self {
        Self { bars: MultiProgress::new(), terminal: std::io::stderr().is_terminal() }
    }

    /// Begins to show what happens to a version, until it is dropped.
    pub(super) fn show(&self, model: &str, version: u64) -> Arc<Shown> {
        let bar = if self.terminal { self.bars.add(ProgressBar::new(0)) } else { ProgressBar::hidden() };
        bar.set_prefix(format!("{model} {version}"));
        let now = Instant::now();
        let shown = Arc::new(Shown {
            name: format!("{model} {version}"),
            lines: !self.terminal,
            bar,
            total: AtomicU64::new(0),
            here: AtomicU64::new(0),
            times: Mutex::new((now, now)),
        });
        shown.wait("looking");
        shown
    }
}

/// One version on the screen.
pub(super) struct Shown {
    name: String,
    /// Whether it is told of in lines.
    lines: bool,
    bar: ProgressBar,
    total: AtomicU64,
    here: AtomicU64,
    /// When the download began, and when it was last told of.
    times: Mutex<(Instant, Instant)>,
}

impl Shown {
    /// Something of unknown length goes on.
    pub(super) fn wait(&self, message: &'static str) {
        if self.lines {
            return;
        }
        if let Ok(style) = ProgressStyle::with_template(WAITING) {
            self.bar.set_style(style);
        }
        self.bar.set_message(message);
        self.bar.enable_steady_tick(TICK);
    }

    fn line(&self, text: &str) {
        if self.lines {
            eprintln!("{}: {text}", self.name);
        }
    }
}

/// A key of a bar's template.
fn key(present: u64, value: fn(&ProgressState, u64) -> String) -> impl Fn(&ProgressState, &mut dyn Write) + Clone {
    move |state, out| {
        // It is a string.
        let _ = out.write_str(&value(state, present));
    }
}

/// Bytes that came, and the milliseconds that they took.
fn came(state: &ProgressState, present: u64) -> (u64, u64) {
    let millis = u64::try_from(state.elapsed().as_millis()).unwrap_or(u64::MAX);
    (state.pos().saturating_sub(present), millis.max(1))
}

fn speed(state: &ProgressState, present: u64) -> String {
    let (bytes, millis) = came(state, present);
    format!("{}/s", BinaryBytes(bytes.saturating_mul(1000) / millis))
}

/// The time that the rest takes at this speed.
fn left(state: &ProgressState, present: u64) -> String {
    let (bytes, millis) = came(state, present);
    let rest = state.len().unwrap_or_default().saturating_sub(state.pos());
    let left = rest.saturating_mul(millis).checked_div(bytes);
    left.map_or_else(|| "-".to_owned(), |millis| format!("{:#}", HumanDuration(Duration::from_millis(millis))))
}

impl Drop for Shown {
    fn drop(&mut self) {
        // What came of it is in the command's result.
        self.bar.finish_and_clear();
    }
}

impl Progress for Shown {
    fn begin(&self, total: u64, present: u64) {
        self.total.store(total, Ordering::Relaxed);
        self.here.store(present, Ordering::Relaxed);
        let now = Instant::now();
        *self.times.lock() = (now, now);
        let all = BinaryBytes(total);
        if present == 0 {
            self.line(&format!("downloading {all}"));
        } else {
            self.line(&format!("resuming after {} of {all}", BinaryBytes(present)));
        }
        if let Ok(style) = ProgressStyle::with_template(BAR) {
            let style = style.progress_chars("=> ");
            // The bar's own estimates count what was here before, too.
            let style = style.with_key("speed", key(present, speed)).with_key("left", key(present, left));
            self.bar.set_style(style);
        }
        self.bar.set_length(total);
        self.bar.set_position(present);
        self.bar.reset_elapsed();
    }

    fn advance(&self, bytes: u64) {
        let here = self.here.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.bar.inc(bytes);
        let mut times = self.times.lock();
        if times.1.elapsed() >= EVERY {
            times.1 = Instant::now();
            let total = self.total.load(Ordering::Relaxed);
            let percent = (here * 100).checked_div(total).unwrap_or(100);
            self.line(&format!("{percent} % of {}", BinaryBytes(total)));
        }
    }

    fn discard(&self, bytes: u64) {
        self.here.fetch_sub(bytes, Ordering::Relaxed);
        self.bar.dec(bytes);
    }

    fn end(&self) {
        let took = self.times.lock().0.elapsed();
        self.line(&format!("downloaded in {took:.1?}, verifying"));
        self.wait("verifying");
    }
}
