//! What is shown of a metric is what the reference says of the same executions.

use std::time::{Duration, Instant};

use perch_router::judge::{Absolute, Limit};
use perch_testkit::fake::Act;
use serde_json::json;

use super::{ALL, PATIENT, Trial, body};

/// Rows of an execution, and how many of them are NaN.
const EXECUTIONS: [(u8, u8); 20] = [
    (1, 0),
    (4, 1),
    (2, 0),
    (8, 0),
    (8, 8),
    (3, 1),
    (32, 0),
    (32, 5),
    (1, 1),
    (16, 0),
    (16, 2),
    (5, 0),
    (31, 31),
    (2, 1),
    (1, 0),
    (1, 0),
    (7, 7),
    (9, 0),
    (12, 3),
    (1, 1),
];

#[test]
fn the_view_shows_what_the_reference_computes_from_the_same_executions() {
    for attempt in 1.. {
        let trial = Trial::start("numbers", &[PATIENT, ALL]);
        trial.script.behave(2, |_| Act::Nan(|row| row < 0.0));
        let mut reference = Absolute::new(Limit::new(0.01).expect("a limit"));
        let mut client = trial.server.client();
        let (mut first_bad, mut bad_rows, mut rows_all) = (None, 0_u32, 0_u32);
        for (rows, bad) in EXECUTIONS {
            let batch: Vec<f32> = (0..rows).map(|row| if row < bad { -1.0 } else { f32::from(row) }).collect();
            let reply = client.predict(&body(&batch)).ok();
            assert_eq!(reply["predictions"], json!(batch.iter().map(|row| 2.0 * row).collect::<Vec<f32>>()));
            let mut execution = reference.dispatch(rows.into());
            // A second opens another epoch: this is over before.
            reference.bad_so_far(&mut execution, f64::from(bad) / f64::from(rows), 0.0);
            reference.end(execution);
            if bad > 0 {
                first_bad.get_or_insert_with(Instant::now);
            }
            (bad_rows, rows_all) = (bad_rows + u32::from(bad), rows_all + u32::from(rows));
        }
        if first_bad.expect("some are bad").elapsed() > Duration::from_millis(900) {
            assert!(attempt < 10, "{} requests take longer than a second each time", EXECUTIONS.len());
            continue;
        }
        let (_, metric) = trial.counted("errors", EXECUTIONS.len() as u64);
        let verdict = reference.verdict((1.0_f64 / 0.001).ln(), 1_000_000);
        assert_eq!((metric["n"].as_u64(), metric["bad"].as_u64()), (Some(verdict.n), Some(verdict.bad)), "{metric}");
        for (name, expected) in [("evidence", verdict.evidence), ("enough", verdict.enough), ("limit", verdict.limit)] {
            let shown = metric[name].as_f64().expect("a number");
            assert!((shown - expected).abs() < 1e-9, "{name}: {shown}, expected {expected}");
        }
        let value = metric["value"].as_f64().expect("a share");
        let share = f64::from(bad_rows) / f64::from(rows_all);
        assert!((value - share).abs() < 1e-12, "{value}, expected {share}");
        return;
    }
}
