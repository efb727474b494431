//! What is counted under which labels.

use super::*;

/// What `record` leaves in a recorder of its own.
fn rendered(record: impl FnOnce()) -> String {
    let recorder = PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&recorder, record);
    recorder.handle().render()
}

#[test]
fn each_status_is_counted_under_its_own_label() {
    let statuses = [200, 422, 424, 499, 415, 502, 415, 418];
    let text = rendered(|| {
        let metrics = RequestMetrics::new("m", "1", "stable");
        for status in statuses {
            metrics.record(StatusCode::from_u16(status).expect("a status"), Duration::from_millis(1));
        }
    });
    for (status, count) in [(200, 1), (422, 1), (424, 1), (499, 1), (415, 2), (502, 1), (418, 1)] {
        let labels = format!("{{model=\"m\",version=\"1\",track=\"stable\",status=\"{status}\"}} {count}\n");
        assert!(text.contains(&format!("{REQUESTS}{labels}")), "no {status} in {text}");
        assert!(text.contains(&format!("{REQUEST_SECONDS}_count{labels}")), "no {status} in {text}");
    }
}

/// Every status that a failure may have is one whose handles are made once.
#[test]
fn statuses_of_failures_are_known() {
    use crate::error::{ErrorShape, Kind};
    for kind in [Kind::InvalidInput, Kind::Tokenizer, Kind::ModelFailed, Kind::TooManyInputs, Kind::Overloaded] {
        for shape in [ErrorShape::Ours, ErrorShape::Tei, ErrorShape::OpenAi] {
            let status = shape.status(kind).as_u16();
            assert!(STATUSES.contains(&status), "{status}");
        }
    }
}
