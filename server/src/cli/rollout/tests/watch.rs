//! `watch` where there is no terminal.

use std::time::Duration;

use serde_json::{Value, json};

use super::fake::{Fake, event};
use super::{assert_ended, perch, view};

fn at(step: u64, weight: f64) -> Value {
    let mut view = view("m", "progressing");
    (view["step"], view["weight"], view["generation"]) = (json!(step), json!(weight), json!(step));
    view
}

/// Lines without their times.
fn lines(out: &str) -> Vec<&str> {
    out.lines().map(|line| line.split_once(' ').expect("a time").1).collect()
}

async fn fake() -> Fake {
    Fake::with(vec![view("m", "progressing")]).await
}

/// Waits until the events have been asked for so many more times.
async fn connected(fake: &Fake, times: usize) {
    let mut seen = 0;
    while seen < times {
        tokio::time::sleep(Duration::from_millis(20)).await;
        seen += fake.asked().iter().filter(|asked| asked.what.ends_with("/events")).count();
    }
}

#[tokio::test]
async fn a_line_a_change_until_the_end() {
    let fake = fake().await;
    fake.script(vec![
        (0, event(&at(1, 10.0))),
        (0, ": still here\n\n".to_owned()),
        (0, event(&at(1, 10.0))),
        (10, event(&at(2, 50.0)) + &event(&view("m", "promoted"))),
        (60_000, String::new()),
    ]);
    let ended = perch(&fake.address, &["watch", "--until", "promoted"]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(
        lines(&ended.out),
        [
            "m progressing version 2 step 1/9 weight 10 % errors 0.4 %/1 % E -1.2/7.6 n 123",
            "m progressing version 2 step 2/9 weight 50 % errors 0.4 %/1 % E -1.2/7.6 n 123",
            "m promoted version 2",
        ]
    );
    let time = ended.out.split(' ').next().expect("a time");
    assert!(time.len() == 8 && time.matches(':').count() == 2, "{time}");
    // Nobody reads the history, so it is not asked for.
    let asked: Vec<String> = fake.asked().into_iter().map(|asked| asked.what).collect();
    assert_eq!(asked, ["GET /admin/rollouts", "GET /admin/rollouts/m/events"]);
}

#[tokio::test]
async fn another_end_is_a_failure() {
    for (state, until, code, piece) in [
        ("demoted", "promoted", 1, "m: version 2 is demoted, not promoted: errors: 0.31 is above 0.01"),
        ("demoted", "demoted", 0, "m demoted version 2"),
        ("demoted", "ended", 0, "m demoted version 2"),
        ("aborted", "demoted", 1, "is aborted, not demoted"),
    ] {
        let fake = fake().await;
        let mut end = view("m", state);
        end["reason"] = json!("errors: 0.31 is above 0.01");
        fake.script(vec![(0, event(&at(1, 10.0))), (0, event(&end)), (60_000, String::new())]);
        assert_ended(&perch(&fake.address, &["watch", "m", "--until", until]).await, code, &[piece]);
    }
}

#[tokio::test]
async fn only_the_named_version_ends_it() {
    let fake = fake().await;
    let mut third = view("m", "promoted");
    third["canary"]["version"] = json!("3");
    fake.script(vec![(0, event(&view("m", "demoted"))), (0, event(&third)), (60_000, String::new())]);
    let ended = perch(&fake.address, &["watch", "m", "--until", "promoted", "--version", "3"]).await;
    assert_ended(&ended, 0, &["m demoted version 2", "m promoted version 3"]);
}

#[tokio::test]
async fn a_cut_stream_is_connected_again_and_said() {
    let fake = fake().await;
    // Cut in the middle of an event, which then is none.
    let half = event(&at(2, 50.0));
    fake.script(vec![(0, event(&at(1, 10.0))), (0, half[..half.len() / 2].to_owned())]);
    // A server that starts has no models yet and says so once; the next connection works.
    let watched = perch(&fake.address, &["watch", "m", "--until", "ended", "--timeout", "60s"]);
    let later = async {
        connected(&fake, 2).await;
        fake.script(vec![(0, event(&at(3, 50.0))), (0, event(&view("m", "aborted"))), (60_000, String::new())]);
    };
    let (ended, ()) = tokio::join!(watched, later);
    assert_ended(&ended, 0, &["no connection to the server", "next try in about 0.5 s", "starting", "connected again"]);
    let steps: Vec<&str> = lines(&ended.out);
    assert_eq!(steps.len(), 3, "{steps:?}");
    assert!(steps[0].contains("step 1/9") && steps[1].contains("step 3/9") && steps[2] == "m aborted version 2");
}

#[tokio::test]
async fn what_time_does_not_mend_ends_it() {
    let fake = fake().await;
    fake.script(vec![(0, event(&at(1, 10.0))), (0, "data: {\"model\": 1}\n\n".to_owned()), (60_000, String::new())]);
    assert_ended(
        &perch(&fake.address, &["watch", "m"]).await,
        1,
        &["an event that is not perch's", "expected a string"],
    );
    // Before the first event there is nothing to wait for.
    assert_ended(&perch(&fake.address, &["watch", "m"]).await, 69, &["starting"]);
    fake.script(vec![(0, event(&at(1, 10.0)))]);
    let refused = async {
        connected(&fake, 1).await;
        fake.refuse(401, &json!({"error": {"code": "unauthorized", "message": "the token is another now"}}));
    };
    let (ended, ()) = tokio::join!(perch(&fake.address, &["watch", "m"]), refused);
    assert_ended(&ended, 1, &["the token is another now", "PERCH_ADMIN_TOKEN"]);
    fake.refuse(200, &json!({}));
    assert_ended(&perch(&fake.address, &["watch", "m"]).await, 1, &["where events were asked for"]);
}

#[tokio::test]
async fn patience_ends() {
    let fake = fake().await;
    fake.script(vec![(0, event(&at(1, 10.0))), (60_000, String::new())]);
    let ended = perch(&fake.address, &["watch", "m", "--until", "ended", "--timeout", "5s"]).await;
    assert_ended(&ended, 1, &["after 5s it is", "step 1/9"]);
}

#[tokio::test]
async fn programs_get_a_line_of_json_an_event() {
    let fake = fake().await;
    let (first, last) = (at(1, 10.0), view("m", "promoted"));
    fake.script(vec![(0, event(&first)), (0, event(&first)), (0, event(&last)), (60_000, String::new())]);
    let ended = perch(&fake.address, &["watch", "m", "--until", "ended", "--output", "json"]).await;
    let events: Vec<Value> = ended.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(events, [first.clone(), first, last]);
}
