//! The replicas of a fleet: who is there, who has the canary, and what each has seen by itself.

use super::Scene;
use super::numbers::{count, evidence, span};
use super::text::{Line, Look, clean, cut, width};
use crate::cli::rollout::view::{Fleet, Metric, Replica};

/// A name is at least that wide before others give way.
const NAME: usize = 10;
/// A replica that was heard of longer ago is said to be silent, in seconds.
const SILENT: f64 = 2.0;

/// The replicas, `most` of them: those first that something is the matter with.
pub(super) fn replicas(scene: &Scene<'_>, most: usize) -> Vec<Line> {
    let Some(fleet) = scene.view.fleet.as_ref().filter(|fleet| !fleet.replicas.is_empty()) else { return Vec::new() };
    let trying = scene.view.state.is_trying();
    let mut shown: Vec<&Replica> = fleet.replicas.iter().collect();
    shown.sort_by_key(|replica| trying && is_well(replica));
    let hidden = shown.len() - most.min(shown.len());
    shown.truncate(most);
    let names = shown.iter().map(|replica| width(&clean(&replica.name))).max().unwrap_or_default();
    let name = names.max("REPLICAS".len()).min((scene.width / 3).max(NAME));
    let mut lines = vec![head(fleet, trying)];
    lines.extend(shown.iter().map(|replica| row(scene, replica, name, trying)));
    if hidden > 0 {
        lines.push(Line::new().with(Look::Dim, format!("  {hidden} more")));
    }
    lines
}

fn head(fleet: &Fleet, trying: bool) -> Line {
    let ready = format!("  {} of {} have the canary", fleet.ready, fleet.seen);
    let line = Line::new().with(Look::Strong, "REPLICAS");
    match trying {
        true if fleet.ready < fleet.seen => line.with(Look::Warn, ready),
        true => line.with(Look::Dim, ready),
        false => line.with(Look::Dim, format!("  {}", fleet.seen)),
    }
}

fn is_well(replica: &Replica) -> bool {
    replica.ready && replica.unfit.is_none() && !replica.other_policy && replica.heard < SILENT
}

fn row(scene: &Scene<'_>, replica: &Replica, name: usize, trying: bool) -> Line {
    let line = Line::new().plain(format!("  {}", cut(&clean(&replica.name), name, scene.glyphs))).up_to(name + 2);
    if replica.heard >= SILENT {
        return line.with(Look::Warn, format!("  silent for {}", span(replica.heard)));
    }
    if !trying {
        return line.with(Look::Dim, if replica.asked { "  this one" } else { "" });
    }
    if let Some(why) = &replica.unfit {
        return line.with(Look::Bad, "  unfit  ").plain(clean(why));
    }
    let line = if replica.ready { line.with(Look::Good, "  ready  ") } else { line.with(Look::Warn, "  loading") };
    let line = if replica.other_policy { line.with(Look::Warn, "  other policy") } else { line };
    let seen: Vec<String> = replica.metrics.iter().map(alone).collect();
    line.plain(if seen.is_empty() { String::new() } else { format!("  {}", seen.join(", ")) })
}

/// Evidence of one's own, and the executions that it is of.
fn alone(metric: &Metric) -> String {
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| evidence(value, false));
    let (have, enough) = (number(metric.evidence), number(metric.enough));
    format!("{} {have}/{enough} n {} bad {}", clean(&metric.name), count(metric.n), count(metric.bad))
}
