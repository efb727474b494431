//! What a run of a model costs by its number of rows, as measured at warm-up.

use std::time::Duration;

/// Seconds of a run at a few batch sizes, ascending in rows.
#[derive(Debug, Clone, PartialEq)]
pub struct CostCurve {
    points: Vec<(usize, f64)>,
}

impl CostCurve {
    /// A curve through measured points; sizes must ascend. Without any, runs are taken to be free.
    #[must_use]
    pub fn new(points: impl IntoIterator<Item = (usize, Duration)>) -> Self {
        let points = points.into_iter().map(|(rows, time)| (rows, time.as_secs_f64())).collect();
        Self { points }
    }

    /// Expected time of a run of `rows` rows: linear between the measured sizes, and in proportion to the last beyond.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "row counts are far below 2^52")]
    pub fn estimate(&self, rows: usize) -> Duration {
        let seconds = match self.points.partition_point(|(measured, _)| *measured < rows) {
            0 => self.points.first().map_or(0.0, |(_, time)| *time),
            i if i == self.points.len() => self.points[i - 1].1 * rows as f64 / self.points[i - 1].0 as f64,
            i => {
                let ((low, from), (high, to)) = (self.points[i - 1], self.points[i]);
                from + (to - from) * (rows - low) as f64 / (high - low) as f64
            }
        };
        Duration::from_secs_f64(seconds.max(0.0))
    }

    /// The largest batch worth composing: not above `max_rows`, not above `budget`, and only while a larger batch still
    /// makes each row cheaper by a twentieth.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "row counts are far below 2^52")]
    pub fn best_batch(&self, max_rows: usize, budget: Duration) -> usize {
        let budget = budget.as_secs_f64();
        let mut best: Option<(usize, f64)> = None;
        for (rows, time) in self.points.iter().copied().filter(|(rows, _)| *rows <= max_rows) {
            let per_row = time / rows as f64;
            match best {
                Some((_, before)) if time > budget || per_row > before * 0.95 => break,
                _ => best = Some((rows, per_row)),
            }
        }
        best.map_or(1, |(rows, _)| rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(points: &[(usize, u64)]) -> CostCurve {
        CostCurve::new(points.iter().map(|(rows, time)| (*rows, Duration::from_micros(*time))))
    }

    #[test]
    fn estimates_lie_on_the_measured_line_and_beyond_it() {
        let curve = micros(&[(1, 10), (4, 16), (16, 40)]);
        let estimate = |rows| curve.estimate(rows).as_micros();
        assert_eq!([estimate(1), estimate(2), estimate(4), estimate(10), estimate(16)], [10, 12, 16, 28, 40]);
        assert_eq!(estimate(160), 400);
        assert_eq!(micros(&[]).estimate(8), Duration::ZERO);
    }

    #[test]
    fn batches_grow_only_while_rows_get_cheaper() {
        let budget = Duration::from_micros(300);
        assert_eq!(micros(&[(1, 7), (2, 8), (4, 11), (8, 14), (16, 20)]).best_batch(64, budget), 16);
        assert_eq!(micros(&[(1, 7), (2, 8), (4, 11), (8, 14), (16, 20)]).best_batch(8, budget), 8);
        assert_eq!(micros(&[(1, 100), (2, 180), (4, 350)]).best_batch(64, budget), 2, "bounded by the budget");
        assert_eq!(micros(&[(1, 100), (2, 200), (4, 390)]).best_batch(64, Duration::MAX), 1, "nothing gained");
        assert_eq!(micros(&[(1, 900)]).best_batch(64, budget), 1);
    }
}
