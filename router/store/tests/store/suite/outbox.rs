use perch_store::{Backlog, Claim, Queue, Store};

use super::{audit, message, pending, transition};

async fn due(store: &dyn Store, queue: Queue, now: f64, limit: u32) -> Vec<String> {
    pending(store, queue, now, limit).await.unwrap().into_iter().map(|pending| pending.message.key).collect()
}

async fn id(store: &dyn Store, queue: Queue, key: &str) -> i64 {
    let due = pending(store, queue, 1e10, 100).await.unwrap();
    due.iter().find(|pending| pending.message.key == key).unwrap_or_else(|| panic!("{key} in {due:?}")).id
}

pub async fn groups_go_in_their_order(store: &dyn Store) {
    let notify = |key, group| message(key, Queue::Notify, group);
    let messages =
        vec![notify("a1", "a"), notify("a2", "a"), message("a-tag", Queue::Registry, "a"), notify("b1", "b")];
    store.transition(&transition("order", 0, messages)).await.unwrap();
    store.transition(&transition("order", 1, vec![notify("b2", "b"), notify("a3", "a")])).await.unwrap();

    let first = pending(store, Queue::Notify, 10.0, 10).await.unwrap();
    assert_eq!(first.iter().map(|pending| &*pending.message.key).collect::<Vec<_>>(), ["a1", "b1"]);
    assert_eq!(first[0].message, notify("a1", "a"), "with its payload, in its order");
    assert!(first[0].attempts == 0 && first[0].since.to_bits() == audit(1).at.to_bits());
    assert_eq!(due(store, Queue::Notify, 10.0, 1).await, ["a1"]);
    assert_eq!(due(store, Queue::Registry, 10.0, 10).await, ["a-tag"], "queues do not wait for each other");

    // One that was put off holds back its group, and no other.
    let (a1, b1) = (first[0].id, first[1].id);
    store.put_off(a1, "503", 20.0).await.unwrap();
    store.sent(b1).await.unwrap();
    assert_eq!(due(store, Queue::Notify, 19.9, 10).await, ["b2"]);
    assert_eq!(due(store, Queue::Notify, 20.0, 10).await, ["a1", "b2"]);
    let backlog = Backlog { pending: 4, error: Some("503".into()) };
    assert_eq!(store.backlog(Queue::Notify).await.unwrap(), backlog);
    store.put_off(a1, "504", 30.0).await.unwrap();
    assert_eq!(pending(store, Queue::Notify, 30.0, 10).await.unwrap()[0].attempts, 2);
    assert_eq!(store.backlog(Queue::Notify).await.unwrap().error.as_deref(), Some("504"));

    for (key, left) in [("a1", &["a2", "b2"][..]), ("a2", &["b2", "a3"]), ("b2", &["a3"]), ("a3", &[])] {
        store.sent(id(store, Queue::Notify, key).await).await.unwrap();
        assert_eq!(due(store, Queue::Notify, 30.0, 10).await, left);
    }
    store.sent(id(store, Queue::Registry, "a-tag").await).await.unwrap();
    for queue in Queue::ALL {
        assert_eq!(store.backlog(queue).await.unwrap(), Backlog::default());
    }
    // What is done stays done.
    store.put_off(a1, "late", 0.0).await.unwrap();
    assert_eq!(due(store, Queue::Notify, 1e10, 10).await, [""; 0]);
}

pub async fn a_key_is_stored_once(store: &dyn Store) {
    let once = || vec![message("once", Queue::Notify, "once")];
    store.transition(&transition("once", 0, once())).await.unwrap();
    store.transition(&transition("once", 1, once())).await.unwrap();
    assert_eq!(due(store, Queue::Notify, 1e10, 10).await, ["once"]);
    store.sent(id(store, Queue::Notify, "once").await).await.unwrap();
    store.transition(&transition("once", 2, once())).await.unwrap();
    assert_eq!(due(store, Queue::Notify, 1e10, 10).await, [""; 0], "not after it was sent either");
    assert_eq!(store.states().await.unwrap()["once"].generation, 3, "the change itself is stored");
}

pub async fn what_is_given_up_makes_way(store: &dyn Store) {
    let messages = ["up1", "up2"].map(|key| message(key, Queue::Notify, "up"));
    store.transition(&transition("up", 0, messages.to_vec())).await.unwrap();
    store.give_up(id(store, Queue::Notify, "up1").await, "404").await.unwrap();
    assert_eq!(due(store, Queue::Notify, 1e10, 10).await, ["up2"]);
    assert_eq!(store.backlog(Queue::Notify).await.unwrap(), Backlog { pending: 1, error: None });
    store.sent(id(store, Queue::Notify, "up2").await).await.unwrap();
}

pub async fn what_somebody_sends_nobody_else_does(store: &dyn Store) {
    let messages =
        [("claim1", "x"), ("claim2", "x"), ("claim3", "y")].map(|(key, group)| message(key, Queue::Notify, group));
    store.transition(&transition("claim", 0, messages.to_vec())).await.unwrap();
    let claim = async |holder: &str, now: f64, limit: u32| -> Vec<String> {
        let claim = Claim { holder: holder.into(), now, until: now + 5.0 };
        let claimed = store.claim(Queue::Notify, &claim, limit).await.unwrap();
        claimed.into_iter().map(|pending| pending.message.key).collect()
    };
    assert_eq!(claim("a", 100.0, 1).await, ["claim1"]);
    assert_eq!(claim("b", 101.0, 9).await, ["claim3"], "the rest of its group waits for it");
    assert_eq!(claim("a", 104.0, 9).await, ["claim1"], "who has it claims it again");
    assert_eq!(claim("b", 105.5, 1).await, ["claim3"]);
    assert_eq!(claim("c", 108.0, 9).await, [""; 0]);
    assert_eq!(claim("c", 109.0, 9).await, ["claim1"], "its holder is gone");
    store.put_off(id(store, Queue::Notify, "claim3").await, "503", 111.0).await.unwrap();
    assert_eq!(claim("d", 111.0, 9).await, ["claim3"], "whoever put it off does not hold it");
    for key in ["claim1", "claim2", "claim3"] {
        store.sent(id(store, Queue::Notify, key).await).await.unwrap();
    }
}
