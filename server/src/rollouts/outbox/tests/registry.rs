//! Changes on their way to registries.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use parking_lot::Mutex;
use perch_models::artifact::Artifact;
use perch_models::backend::LoadError;
use perch_models::registry::{BoxFuture, Change, Listing, Registry, RegistryError, Wanted};
use perch_store::{Message, Queue};

use super::desk::Desk;
use super::until;
use crate::registries::Feed;
use crate::rollouts::messages::RegistryWrite;

/// Refuses so many writes, and then takes all.
#[derive(Default)]
struct Scripted {
    refuse: Mutex<usize>,
    tried: Mutex<usize>,
    taken: Mutex<Vec<(String, Change)>>,
}

impl Registry for Scripted {
    fn list(&self) -> BoxFuture<'_, Result<Listing, RegistryError>> {
        Box::pin(async { Ok(Listing::new()) })
    }

    fn versions_never_change(&self) -> bool {
        true
    }

    fn fetch<'f>(&'f self, _wanted: Wanted<'f>) -> BoxFuture<'f, Result<Artifact, LoadError>> {
        Box::pin(async { Err(LoadError::Download("nothing here".into())) })
    }

    fn write<'f>(&'f self, model: &'f str, change: &'f Change) -> BoxFuture<'f, Result<(), RegistryError>> {
        Box::pin(async move {
            *self.tried.lock() += 1;
            let mut refuse = self.refuse.lock();
            if *refuse > 0 {
                *refuse -= 1;
                return Err(RegistryError("503".into()));
            }
            self.taken.lock().push((model.to_owned(), change.clone()));
            Ok(())
        })
    }
}

fn write(model: &str, change: &Change) -> Message {
    let (source, change) = (format!("{model} there"), change.clone());
    let write = RegistryWrite { model: model.into(), source, change, only_if: BTreeMap::new() };
    let payload = serde_json::to_value(&write).unwrap();
    Message { key: format!("{model}/{payload}"), queue: Queue::Registry, group: model.into(), payload }
}

#[tokio::test]
async fn aliases_move_in_their_order_however_long_it_takes() {
    let (main, own) = (Arc::new(Scripted::default()), Arc::new(Scripted::default()));
    let feed = |registry: &Arc<Scripted>, folder_of: Option<&str>, tagged| Feed {
        registry: registry.clone(),
        folder_of: folder_of.map(str::to_owned),
        tagged,
        moves_aliases: true,
    };
    let mut desk = Desk::new((Ipv4Addr::LOCALHOST, 9).into(), &[]).await;
    desk.feeds = vec![feed(&main, None, true), feed(&own, Some("wine"), false)];
    *main.refuse.lock() = 4;
    // Older than any notice may get.
    desk.at -= 7.0 * 24.0 * 3600.0;
    let alias = |alias: &str, version| Change::SetAlias { alias: alias.into(), version };
    let tag = Change::SetTag { version: 2, key: "perch.rollout.state".into(), value: "promoted".into() };
    let changes = [alias("previous", 1), alias("stable", 2), Change::DeleteAlias { alias: "canary".into() }, tag];
    let messages = changes.iter().flat_map(|change| [write("iris", change), write("wine", change)]).collect();
    desk.put(messages).await;
    let running = desk.start();
    until("all", async || desk.pending(Queue::Registry).await == 0).await;
    running.stop().await;
    let named = |name: &str| changes.clone().map(|change| (name.to_owned(), change));
    assert_eq!(*main.taken.lock(), named("iris there"));
    assert_eq!(*main.tried.lock(), 8, "four were refused");
    assert_eq!(*own.taken.lock(), named("wine there")[..3], "no tags where none are wanted");
    assert_eq!(desk.given_up().await, ["no tags are written to this registry"]);
}
