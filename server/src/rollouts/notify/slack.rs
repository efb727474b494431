//! Text for a channel, as Slack's incoming webhooks take it, and those of Mattermost and others.

use perch_router::policy::Occasion;
use serde_json::{Value, json};

use super::super::messages::Notice;

/// Slack takes 3000 characters a block; escaping makes at most five of one.
const MAX: usize = 500;

/// The word for it on every wire.
pub const fn occasion(occasion: Occasion) -> &'static str {
    match occasion {
        Occasion::Started => "started",
        Occasion::Promoted => "promoted",
        Occasion::Demoted => "demoted",
        Occasion::Aborted => "aborted",
        Occasion::Suspended => "suspended",
        Occasion::Inconclusive => "inconclusive",
    }
}

/// The request's body: a line for the notification, and the same with what stands behind it.
pub fn body(notice: &Notice) -> Value {
    let Notice { model, message, state, weight, generation, rollout, .. } = notice;
    let text = format!("*{}* {}: {}", escape(model), occasion(notice.occasion), escape(message));
    let mut facts = format!("state {} | canary {weight} % | generation {generation}", escape(state));
    if let Some(rollout) = rollout {
        facts = format!("{facts} | {}", escape(rollout));
    }
    json!({
        "text": text,
        "blocks": [
            {"type": "section", "text": {"type": "mrkdwn", "text": text}},
            {"type": "context", "elements": [{"type": "mrkdwn", "text": facts}]},
        ],
    })
}

/// Slack's three control characters, and no more of it than there is room for.
fn escape(text: &str) -> String {
    let cut = text.char_indices().nth(MAX).map_or(text, |(end, _)| &text[..end]);
    let mut escaped = String::with_capacity(cut.len());
    for character in cut.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            other => escaped.push(other),
        }
    }
    if cut.len() < text.len() {
        escaped.push('…');
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollouts::notify::tests::notice;

    #[test]
    fn the_text_is_as_recorded() {
        let mut notice = notice();
        notice.message = "version 4 is demoted: <!channel> p95 & more > 1 s".into();
        let text = serde_json::to_string_pretty(&body(&notice)).unwrap() + "\n";
        assert_eq!(text, include_str!("slack.json"));
    }

    #[test]
    fn long_texts_fit_a_block() {
        let mut notice = notice();
        notice.message = "<é>".repeat(1000);
        let text = body(&notice)["text"].as_str().unwrap().to_owned();
        assert!(text.chars().count() < 3000 && text.ends_with("&lt;é…"), "{text}");
    }
}
