//! Tells people and programs what happened: messages for channels, JSON for webhooks. Addresses are secrets: they are
//! in the configuration only, and a message in the store knows its receiver by a name.

mod client;
mod slack;

use std::collections::BTreeMap;

use perch_router::policy::NotificationType;
use perch_store::{BoxFuture, Message, Pending, Queue};
use reqwest::Url;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::messages::Notice;
use super::outbox::{Courier, Outcome};
use crate::config::{Receiver, Secret};
use crate::metrics::rollouts as metrics;
use client::Client;

/// What a receiver is called: the same as long as its address is, and nothing of it: `slack/1b2c3d4e`.
fn name(receiver: &Receiver) -> String {
    let digest = Sha256::digest(receiver.url.expose());
    let short: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("{}/{short}", label(receiver.kind))
}

const fn label(kind: NotificationType) -> &'static str {
    match kind {
        NotificationType::Slack => "slack",
        NotificationType::Webhook => "webhook",
    }
}

/// The addresses of all receivers.
pub struct Receivers {
    by_name: BTreeMap<String, (NotificationType, Url)>,
    client: Client,
    /// Whether other replicas may know more.
    others: bool,
}

impl Receivers {
    /// Those of all policies.
    ///
    /// # Errors
    /// When an address is none.
    pub fn new<'r>(receivers: impl IntoIterator<Item = &'r Receiver>) -> Result<Self, String> {
        let named = receivers.into_iter().map(|receiver| {
            let url = address(&receiver.url).map_err(|problem| format!("notifications: {problem}"))?;
            Ok((name(receiver), (receiver.kind, url)))
        });
        Ok(Self { by_name: named.collect::<Result<_, String>>()?, client: Client::new()?, others: false })
    }

    /// There are other replicas, which may know receivers that this one does not: while policies are rolled out.
    #[must_use]
    pub fn beside_others(self) -> Self {
        Self { others: true, ..self }
    }

    async fn send(&self, pending: &Pending) -> Outcome {
        let notice: Notice = match serde_json::from_value(pending.message.payload.clone()) {
            Ok(notice) => notice,
            Err(error) => return Outcome::Hopeless(format!("no notice: {error}")),
        };
        let Some((kind, url)) = self.by_name.get(&notice.receiver) else {
            let error = format!("the policy has no receiver {} any more", notice.receiver);
            return if self.others { Outcome::Later { error, after: None } } else { Outcome::Hopeless(error) };
        };
        let body: Value = match kind {
            NotificationType::Slack => slack::body(&notice),
            NotificationType::Webhook => pending.message.payload.clone(),
        };
        let outcome = self.client.post(url, &pending.message.key, &body).await;
        let result = match outcome {
            Outcome::Sent => "sent",
            Outcome::Later { .. } => "failed",
            Outcome::Hopeless(_) => "refused",
        };
        metrics::count_notification(label(*kind), result);
        outcome
    }
}

/// A message for each of `receivers` that wants to know: what a transition takes with it. `notice` is filled in but for
/// its receiver.
pub(super) fn messages(receivers: &[Receiver], notice: &Notice) -> Vec<Message> {
    let wanted = receivers.iter().filter(|receiver| receiver.on.contains(&notice.occasion));
    let message = |receiver: &Receiver| {
        let notice = Notice { receiver: name(receiver), ..notice.clone() };
        let Notice { model, generation, receiver, .. } = &notice;
        // With a generation, a model's rollout and a receiver are one change, for ever.
        let rollout = notice.rollout.as_deref().unwrap_or(model);
        let occasion = slack::occasion(notice.occasion);
        let key = format!("{rollout}/{generation}/{occasion}/{receiver}");
        let payload = serde_json::to_value(&notice).ok()?;
        Some(Message { key, queue: Queue::Notify, group: format!("{model}/{receiver}"), payload })
    };
    wanted.filter_map(message).collect()
}

impl Courier for Receivers {
    fn deliver<'a>(&'a self, pending: &'a Pending) -> BoxFuture<'a, Outcome> {
        Box::pin(self.send(pending))
    }
}

/// Without a word of what is written there.
fn address(url: &Secret) -> Result<Url, String> {
    let url = Url::parse(url.expose()).map_err(|error| format!("expected an address such as https://…: {error}"))?;
    if matches!(url.scheme(), "http" | "https") && url.has_host() {
        Ok(url)
    } else {
        Err(format!("expected http:// or https://, got {}:", url.scheme()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use perch_router::policy::Occasion;
    use serde_json::json;

    pub fn notice() -> Notice {
        Notice {
            model: "iris".into(),
            version: Some("4".into()),
            occasion: Occasion::Demoted,
            message: "version 4 is demoted: errors: 0.05 is above 0.01".into(),
            state: "demoted".into(),
            reason: Some("errors: 0.05 is above 0.01".into()),
            weight: perch_router::weight::Weight::ZERO,
            generation: 7,
            rollout: Some("iris/sha256:ab/2".into()),
            at: 1_795_255_200.25,
            receiver: String::new(),
        }
    }

    fn receiver(kind: NotificationType, url: &str, on: &[Occasion]) -> Receiver {
        Receiver { kind, url: Secret::new(url), on: on.to_vec() }
    }

    #[test]
    fn those_who_asked_get_a_message_with_a_key_of_their_own() {
        let iris = vec![
            receiver(NotificationType::Slack, "https://hooks.test/T0/secret", &Occasion::ALL),
            receiver(NotificationType::Webhook, "https://hooks.test/T0/secret", &[Occasion::Demoted]),
            receiver(NotificationType::Webhook, "https://other.test/", &[Occasion::Promoted]),
        ];
        let messages = messages(&iris, &notice());
        let groups: Vec<&str> = messages.iter().map(|message| &*message.group).collect();
        assert!(groups[0].starts_with("iris/slack/") && groups[1].starts_with("iris/webhook/") && groups.len() == 2);
        let names: Vec<&str> = groups.iter().filter_map(|group| group.strip_prefix("iris/")).collect();
        assert_eq!(messages[1].key, format!("iris/sha256:ab/2/7/demoted/{}", names[1]));
        assert_eq!(
            messages[1].payload,
            json!({
                "model": "iris", "version": "4", "occasion": "demoted",
                "message": "version 4 is demoted: errors: 0.05 is above 0.01", "state": "demoted",
                "reason": "errors: 0.05 is above 0.01", "weight": 0, "generation": 7, "rollout": "iris/sha256:ab/2",
                "at": "2026-11-21T10:00:00.250Z", "receiver": names[1],
            })
        );
        assert!(!format!("{messages:?}").contains("secret"), "{messages:?}");
    }

    #[test]
    fn an_address_that_is_none_is_refused_without_showing_it() {
        for (url, word) in [("hooks/secret", "expected an address"), ("ftp://secret/", "got ftp:"), ("secret:", "http")]
        {
            let problem = Receivers::new([&receiver(NotificationType::Slack, url, &[])]).err().unwrap();
            assert!(problem.starts_with("notifications: "), "{problem}");
            assert!(problem.contains(word) && !problem.contains("secret/") && !problem.contains("hooks/"), "{problem}");
        }
    }
}
