//! The fleet as people and programs are shown it.

use perch_router::fleet::SILENT;
use serde_json::{Value, json};

use super::{Fleet, Member};

impl Fleet {
    /// Who takes part in a model's rollout, and what each has seen.
    #[must_use]
    pub fn show(&self, model: &str, ready: bool) -> Value {
        let (living, members) = (self.living(model), self.members(model));
        let (seen, is_ready) = self.readiness(model, ready);
        let replicas = living.iter().map(|replica| {
            let is_of = |member: &&Member| member.note.replica == replica.boot && member.age < SILENT;
            let member = members.iter().find(is_of);
            let note = member.map(|member| &member.note);
            let own = replica.boot == self.boot;
            let metrics = note.map(|note| {
                let metric = |(name, alone): (&String, &super::Alone)| {
                    json!({
                        "name": name,
                        "evidence": alone.evidence,
                        "enough": alone.enough,
                        "n": alone.n,
                        "bad": alone.bad,
                    })
                };
                note.metrics.iter().map(metric).collect::<Vec<_>>()
            });
            json!({
                "replica": replica.name,
                "boot": replica.boot,
                "asked": own,
                "heard": (replica.age.as_secs_f64() * 10.0).round() / 10.0,
                "ready": if own { ready } else { note.is_some_and(|note| note.ready) },
                "unfit": note.and_then(|note| note.unfit.clone()),
                "otherPolicy": note.is_some_and(|note| note.other_policy),
                "executions": note.map(|note| note.executions),
                "metrics": metrics.unwrap_or_default(),
            })
        });
        json!({
            "replica": self.name,
            "seen": seen,
            "ready": is_ready,
            "replicas": replicas.collect::<Vec<_>>(),
        })
    }
}
