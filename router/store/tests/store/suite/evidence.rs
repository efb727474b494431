use perch_store::{ErrorKind, EvidenceRow, Store};
use serde_json::json;

fn row(model: &str, rollout: &str, boot: &str, sequence: u64) -> EvidenceRow {
    let sums = [0.1 + 0.2, 1e-300, f64::MAX, f64::from_bits(0x3ff0_0000_0000_0001)];
    let payload = json!({"sums": sums, "count": u64::MAX});
    let at = 1_795_000_000.25 + f64::from(u32::try_from(sequence % 1000).unwrap());
    EvidenceRow { model: model.into(), rollout: rollout.into(), boot: boot.into(), sequence, at, payload }
}

pub async fn the_latest_of_each_boot_is_kept(store: &dyn Store) {
    let stored = async || store.evidence("m/d/1").await.unwrap();
    assert_eq!(stored().await, []);
    for sequence in [5, 7, 6] {
        store.put_evidence(&row("m", "m/d/1", "a", sequence)).await.unwrap();
    }
    assert_eq!(stored().await, [row("m", "m/d/1", "a", 7)], "every bit of it, and none that is older");
    store.put_evidence(&row("m", "m/d/1", "b", 9)).await.unwrap();
    store.put_evidence(&row("m", "m/d/2", "a", 1)).await.unwrap();
    assert_eq!(stored().await, [row("m", "m/d/1", "b", 9), row("m", "m/d/1", "a", 7)], "newest first");
    let last = u64::try_from(i64::MAX).unwrap();
    store.put_evidence(&row("m", "m/d/3", "a", last)).await.unwrap();
    assert_eq!(store.evidence("m/d/3").await.unwrap()[0].sequence, last);
    let error = store.put_evidence(&row("m", "m/d/3", "a", last + 1)).await.unwrap_err();
    assert_eq!((error.kind, error.message.contains("sequence")), (ErrorKind::Invalid, true));
}

pub async fn adopted_evidence_takes_the_place_of_all(store: &dyn Store) {
    for boot in ["a", "b", "c"] {
        store.put_evidence(&row("adopt", "adopt/d/1", boot, 100)).await.unwrap();
    }
    store.put_evidence(&row("adopt", "adopt/d/2", "a", 100)).await.unwrap();
    store.adopt_evidence(&row("adopt", "adopt/d/1", "d", 1)).await.unwrap();
    assert_eq!(store.evidence("adopt/d/1").await.unwrap(), [row("adopt", "adopt/d/1", "d", 1)]);
    assert_eq!(store.evidence("adopt/d/2").await.unwrap().len(), 1);
}

pub async fn other_rollouts_are_forgotten(store: &dyn Store) {
    for (model, rollout) in [("forget", "forget/d/1"), ("forget", "forget/d/2"), ("forget2", "forget2/d/1")] {
        store.put_evidence(&row(model, rollout, "a", 1)).await.unwrap();
    }
    let left = async |rollout| store.evidence(rollout).await.unwrap().len();
    store.forget_evidence("forget", Some("forget/d/2")).await.unwrap();
    assert_eq!((left("forget/d/1").await, left("forget/d/2").await, left("forget2/d/1").await), (0, 1, 1));
    store.forget_evidence("forget", None).await.unwrap();
    assert_eq!((left("forget/d/2").await, left("forget2/d/1").await), (0, 1));
}
