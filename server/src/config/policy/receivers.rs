//! Who is told: the addresses of a policy's notifications, which are secrets.

use super::{Finding, path::Path};
use crate::config::{
    Secret,
    env::Env,
    interpolate::is_name,
    schema::Receiver,
    secret,
    setting::Setting,
    tree::{Node, Scalar, Value},
    words::Url,
};
use perch_router::policy::{Notification, RolloutPolicy, Secret as Place};

/// What stands in the policy for an address that was written out: an address too, so that it can be read again.
const HIDDEN: &str = "https://***";

/// Finds the address of everybody who is told, and hides those that the policy itself holds.
pub(super) fn resolve(
    policy: &mut RolloutPolicy,
    tree: &Node,
    env: &Env,
    findings: &mut Vec<Finding>,
) -> Vec<Receiver> {
    let places = places(tree);
    let mut receivers = Vec::new();
    for (notification, index) in policy.notifications.iter_mut().zip(places) {
        let path = Path::default().key("notifications").item(index);
        match address(notification, &path, env) {
            Ok(Some(url)) => {
                receivers.push(Receiver {
                    kind: notification.kind,
                    url: Secret::new(url),
                    on: notification.on.clone(),
                });
            }
            // None or both: the policy's check has said so.
            Ok(None) => {}
            Err((at, message)) => findings.push(Finding { source: at.source(tree), at, message }),
        }
        if let Some(url) = &mut notification.url {
            HIDDEN.clone_into(url);
        }
    }
    receivers
}

/// The places of the items that could be read.
fn places(tree: &Node) -> Vec<usize> {
    match tree.find("notifications").map(|node| &node.value) {
        Some(Value::List(items)) => {
            let read = items.iter().enumerate().filter(|(_, item)| item.value != Value::Broken);
            read.map(|(index, _)| index).collect()
        }
        _ => Vec::new(),
    }
}

fn address(notification: &Notification, path: &Path, env: &Env) -> Result<Option<String>, (Path, String)> {
    let from = path.key("urlFrom");
    let (at, found) = match (&notification.url, &notification.url_from) {
        (Some(url), None) => (path.key("url"), Ok(url.clone())),
        (None, Some(Place::Env(name))) => {
            let named = if is_name(name) {
                secret::variable(name, env)
            } else {
                Err("expected the name of an environment variable".to_owned())
            };
            (from.key("env"), named)
        }
        (None, Some(Place::File(file))) => (from.key("file"), secret::from_file(file.as_ref())),
        (None, None) | (Some(_), Some(_)) => return Ok(None),
    };
    // What is no address is not repeated: it may be most of one.
    let checked = found.and_then(|url| match Url::parse(&Scalar::text(&url)) {
        Ok(url) if !url.0.contains(char::is_control) => Ok(url.0),
        _ => Err("expected the URL of a webhook, http:// or https://".to_owned()),
    });
    checked.map(Some).map_err(|message| (at, message))
}
