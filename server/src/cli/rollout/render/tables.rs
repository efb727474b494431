//! The tables of a frame: metrics with their evidence, the gate, stable beside canary.

use super::Scene;
use super::numbers::{count, evidence, millis, rate, ratio, share};
use super::sections::packed;
use super::text::{Line, Look, bar, clean, cut, width};
use crate::cli::rollout::view::{Gate, GateMetric, Metric, Track, View};

/// A bar that is shorter says nothing; one that is longer, nothing more.
const BAR: std::ops::RangeInclusive<usize> = 6..=20;
/// A name is at least that wide before others give way.
const NAME: usize = 12;

/// One row with a bar.
struct Row {
    name: String,
    /// What counts as bad, where the name does not say it.
    detail: String,
    value: String,
    limit: String,
    /// How much of the evidence that decides there is.
    fraction: f64,
    evidence: String,
    n: String,
    bad: String,
    status: String,
    look: Look,
    bar: Look,
}

/// The policy's metrics.
pub(super) fn metrics(scene: &Scene<'_>) -> Vec<Line> {
    let view = scene.view;
    if view.metrics.is_empty() {
        return Vec::new();
    }
    if !view.state.is_trying() && view.metrics.iter().all(|metric| metric.n == 0) {
        let head = "JUDGED BY  ";
        let names: Vec<String> = view.metrics.iter().map(limit_in_words).collect();
        let lines = packed(names.iter().map(String::as_str), ", ", scene.width.saturating_sub(head.len()));
        let line = |(row, text): (usize, String)| {
            let head = if row == 0 { head.to_owned() } else { " ".repeat(head.len()) };
            Line::new().with(Look::Strong, head).plain(text)
        };
        return lines.into_iter().enumerate().map(line).collect();
    }
    let counts = view.judge == "threshold";
    let rows: Vec<Row> = view.metrics.iter().map(|metric| metric_row(metric, counts)).collect();
    bars(scene, ["METRICS", if counts { "ROWS" } else { "EVIDENCE" }], &rows)
}

/// The gate that the rollout stands at.
pub(super) fn gate(scene: &Scene<'_>) -> Vec<Line> {
    let Some(gate) = &scene.view.gate else { return Vec::new() };
    let rows: Vec<Row> = gate_rows(gate, scene.view);
    let title = gate.step.map_or_else(|| "GATE".to_owned(), |step| format!("GATE {step}"));
    bars(scene, [&title, "EVIDENCE"], &rows)
}

fn limit_in_words(metric: &Metric) -> String {
    let Some(limit) = metric.limit else { return metric.name.clone() };
    let slow = metric.latency_limit.map(|slow| format!(" slower than {}", millis(slow * 1_000.0)));
    format!("{} up to {}{}", metric.name, in_unit(limit, &metric.unit), slow.unwrap_or_default())
}

fn in_unit(value: f64, unit: &str) -> String {
    if unit == "ratio" { ratio(value) } else { share(value) }
}

fn value_of(value: Option<f64>, unit: &str) -> String {
    value.map_or_else(|| "-".to_owned(), |value| in_unit(value, unit))
}

fn of_enough(have: Option<f64>, enough: Option<f64>, counts: bool) -> (f64, String) {
    let fraction = match (have, enough) {
        (Some(have), Some(enough)) if enough > 0.0 => have / enough,
        _ => 0.0,
    };
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| evidence(value, counts));
    (fraction, format!("{}/{}", number(have), number(enough)))
}

fn metric_row(metric: &Metric, counts: bool) -> Row {
    let (fraction, evidence) = of_enough(metric.evidence, metric.enough, counts);
    let look = match metric.status.as_str() {
        "ok" => Look::Good,
        "breached" => Look::Bad,
        "inconclusive" => Look::Warn,
        _ => Look::Dim,
    };
    // Of a threshold's rows there cannot be too many.
    let alarming = if counts || metric.status == "shown" { Look::Plain } else { Look::Bad };
    Row {
        name: metric.name.clone(),
        detail: metric.latency_limit.map_or_else(String::new, |limit| format!(">{}", millis(limit * 1_000.0))),
        value: value_of(metric.value, &metric.unit),
        limit: value_of(metric.limit, &metric.unit),
        fraction,
        evidence,
        n: count(metric.n),
        bad: count(metric.bad),
        status: metric.status.clone(),
        look,
        bar: match fraction {
            f if f >= 0.75 => alarming,
            f if f >= 0.25 && alarming == Look::Bad => Look::Warn,
            _ => Look::Plain,
        },
    }
}

fn gate_rows(gate: &Gate, view: &View) -> Vec<Row> {
    let row = |metric: &GateMetric| {
        let unit = view.metrics.iter().find(|other| other.name == metric.name).map_or("", |other| &other.unit);
        let (fraction, evidence) = of_enough(metric.evidence, metric.enough, false);
        let look = if metric.passed { Look::Good } else { Look::Plain };
        Row {
            name: metric.name.clone(),
            detail: String::new(),
            value: value_of(metric.value, unit),
            limit: value_of(metric.limit, unit),
            fraction: if metric.passed { 1.0 } else { fraction },
            evidence,
            n: count(metric.n),
            bad: count(metric.bad),
            status: if metric.passed { "passed" } else { "open" }.to_owned(),
            look,
            bar: Look::Good,
        }
    };
    gate.metrics.iter().map(row).collect()
}

/// Rows with bars: on one line where they fit, else on two.
fn bars(scene: &Scene<'_>, [title, heading]: [&str; 2], rows: &[Row]) -> Vec<Line> {
    let named =
        |row: &Row| if row.detail.is_empty() { row.name.clone() } else { format!("{} {}", row.name, row.detail) };
    let widest = |head: &str, cell: &dyn Fn(&Row) -> String| {
        rows.iter().map(|row| width(&clean(&cell(row)))).max().unwrap_or_default().max(width(head))
    };
    let value = widest("VALUE", &|row| row.value.clone());
    let limit = widest("LIMIT", &|row| row.limit.clone());
    let n = widest("N", &|row| row.n.clone());
    let bad = widest("BAD", &|row| row.bad.clone());
    let status = widest("", &|row| row.status.clone());
    let numbers = widest("", &|row| row.evidence.clone());
    // Two columns before each, and before the row.
    let others = 2 + 2 + value + 2 + limit + 2 + n + 2 + bad + 2 + status;
    let full_name = widest(title, &named);
    let room = scene.width.saturating_sub(others + full_name + 2 + 1 + numbers);
    let one_line = room >= *BAR.start();
    let length =
        if one_line { room.min(*BAR.end()) } else { scene.width.saturating_sub(4 + 2 + numbers + 18).clamp(6, 20) };
    let name = if one_line {
        full_name
    } else {
        widest(title, &|row| row.name.clone()).min(scene.width.saturating_sub(others).max(NAME))
    };
    let evidence_column = length + 1 + numbers;
    let mut head = Line::new().with(Look::Strong, cut(title, name + 2, scene.glyphs)).up_to(name + 2);
    head = head.with(Look::Dim, format!("  {:>value$}  {:>limit$}", "VALUE", "LIMIT"));
    if one_line {
        head = head.with(Look::Dim, format!("  {:<evidence_column$}", cut(heading, evidence_column, scene.glyphs)));
    }
    head = head.with(Look::Dim, format!("  {:>n$}  {:>bad$}", "N", "BAD"));
    let mut lines = vec![head];
    for row in rows {
        let (full, empty) = bar(row.fraction, length, scene.glyphs);
        let label = if one_line { named(row) } else { row.name.clone() };
        let mut line = Line::new().plain(format!("  {}", cut(&clean(&label), name, scene.glyphs))).up_to(name + 2);
        line = line.plain(format!("  {:>value$}  {:>limit$}", row.value, row.limit));
        if one_line {
            line = line.plain("  ").with(row.bar, &full).with(Look::Dim, &empty);
            line = line.plain(format!(" {:<numbers$}", row.evidence));
        }
        line = line.plain(format!("  {:>n$}  {:>bad$}  ", row.n, row.bad)).with(row.look, &row.status);
        lines.push(line);
        if !one_line {
            let line = Line::new().plain("    ").with(row.bar, full).with(Look::Dim, empty);
            lines.push(line.plain(format!("  {}", row.evidence)).with(Look::Dim, format!("  {}", row.detail)));
        }
    }
    lines
}

/// Stable beside canary.
pub(super) fn tracks(scene: &Scene<'_>) -> Vec<Line> {
    let Some(tracks) = &scene.view.tracks else { return Vec::new() };
    let mut rows = vec![["", "REQUESTS", "FAILED", "PER S", "P50", "P95", "P99"].map(str::to_owned)];
    let both = [("stable", &tracks.stable), ("canary", &tracks.canary)];
    rows.extend(both.into_iter().filter_map(|(name, track)| track.as_ref().map(|track| track_row(name, track))));
    let columns = |index: usize| rows.iter().map(|row| width(&row[index])).max().unwrap_or_default();
    let widths: Vec<usize> = (0..7).map(columns).collect();
    let others: usize = widths[1..].iter().sum();
    let gap = if 2 + widths[0].max(NAME) + others + 12 <= scene.width { 2 } else { 1 };
    let name = widths[0].max("TRACKS".len()).min(scene.width.saturating_sub(2 + others + 6 * gap).max(NAME));
    let line = |index: usize, row: &[String; 7]| {
        let failed = index > 0 && row[2] != "0";
        let title = if index == 0 { "TRACKS".to_owned() } else { format!("  {}", cut(&row[0], name, scene.glyphs)) };
        let mut line = Line::new().with(if index == 0 { Look::Strong } else { Look::Plain }, title).up_to(name + 2);
        for (column, cell) in row.iter().enumerate().skip(1) {
            let look = match column {
                _ if index == 0 => Look::Dim,
                2 if failed => Look::Warn,
                _ => Look::Plain,
            };
            line = line.plain(" ".repeat(gap)).with(look, format!("{cell:>wide$}", wide = widths[column]));
        }
        line
    };
    rows.iter().enumerate().map(|(index, row)| line(index, row)).collect()
}

fn track_row(name: &str, track: &Track) -> [String; 7] {
    let latency = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), millis);
    let version = track.version.as_ref().map_or_else(String::new, |version| format!(" {}", clean(version)));
    [
        format!("{name}{version}"),
        count(track.requests),
        count(track.failed),
        track.per_second.map_or_else(|| "-".to_owned(), rate),
        latency(track.p50),
        latency(track.p95),
        latency(track.p99),
    ]
}
