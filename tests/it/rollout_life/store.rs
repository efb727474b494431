//! A store that cannot be opened, or fails in the middle: stable serves, nothing is promoted, what is bad goes.

use std::fs;

use perch_testkit::PerchProcess;
use perch_testkit::process::command;
use serde_json::{Value, json};

use super::traffic::assert_all;
use super::{Admin, MODEL, Site, policy, steps, traffic};
use crate::PERCH;

/// Stable serves, the canary gets nothing, and everybody says why.
fn assert_stands(perch: &PerchProcess, reason: &str) {
    let load = traffic(perch);
    let admin = Admin::of(perch);
    let view = admin.wait("it says so", |view| view["store"]["state"] == "unavailable");
    assert!(view["store"]["error"].as_str().is_some_and(|error| error.contains(reason)), "{}", view["store"]);
    assert_eq!((&view["state"], &view["weight"]), (&json!("idle"), &json!(0.0)));
    let store = perch.health().all()["store"].take();
    assert_eq!(store["state"], "unavailable");
    assert!(store["error"].as_str().is_some_and(|error| error.contains(reason)), "{store}");
    assert_eq!(perch.get("/health/ready").status, 200);
    for command in ["start", "abort", "pause"] {
        assert_eq!(admin.try_post(command, &Value::Null).error(503).0, "store_unavailable", "{command}");
    }
    assert_eq!(admin.get(&admin.path("/history")).error(503).0, "store_unavailable");
    load.next(300);
    assert_all(&load.end(), "1", "stable");
    let said = perch.log().iter().filter(|line| line.contains("rollouts cannot be stored")).count();
    assert_eq!(said, 1, "it is said once, however often it is tried");
}

#[test]
fn the_file_of_another_program_is_left_alone() {
    let site = Site::new(&steps("60s"));
    site.models.set_alias(MODEL, "canary", 2);
    fs::create_dir_all(site.state().parent().expect("a folder")).expect("made");
    fs::write(
        site.state(),
        "this is no database, and longer than the header of one would have to be, at 100 bytes: so.",
    )
    .expect("written");
    let before = fs::read(site.state()).expect("readable");
    let perch = site.ready();
    assert_stands(&perch, "not a database");
    assert_eq!(fs::read(site.state()).expect("readable"), before);
}

#[test]
fn a_folder_that_cannot_be_made_is_said() {
    let site = Site::new(&steps("60s"));
    site.models.set_alias(MODEL, "canary", 2);
    fs::write(site.state().parent().expect("a folder"), "a file in its place").expect("written");
    let perch = site.ready();
    assert_stands(&perch, "rollouts.db");
    fs::remove_file(site.state().parent().expect("a folder")).expect("removed");
    let admin = Admin::of(&perch);
    let load = traffic(&perch);
    admin.wait_state("promoted");
    load.end();
}

#[test]
fn a_file_that_another_process_has_is_taken_when_it_is_free() {
    let site = Site::new(&steps("60s"));
    let first = site.ready();
    site.models.set_alias(MODEL, "canary", 2);
    let second = site.ready();
    // The first one rolls out meanwhile, with its own traffic.
    let admin = Admin::of(&second);
    let view = admin.wait("it says so", |view| view["store"]["state"] == "unavailable");
    let by = format!("in use by another process ({})", first.id());
    assert!(view["store"]["error"].as_str().is_some_and(|error| error.contains(&by)), "{}", view["store"]);
    assert_stands(&second, "in use by");
    first.kill();
    let load = traffic(&second);
    admin.wait("its own turn", |view| view["store"]["state"] == "ready" && view["state"] == "progressing");
    admin.wait_state("promoted");
    site.wait_aliases(&json!({"previous": 1, "stable": 2}));
    load.end();
}

/// A full disk in the middle: a mount of its own, which nobody else sees.
fn on_a_small_disk(site: &Site) -> (PerchProcess, std::path::PathBuf) {
    let folder = site.state().parent().expect("a folder").to_owned();
    fs::create_dir_all(&folder).expect("made");
    let mount = r#"mount -t tmpfs -o size=2m tmpfs "$0" && exec "$@""#;
    let mut unshare = command("unshare", &["--map-root-user", "--mount", "sh", "-c", mount]);
    unshare.arg(&folder).arg(PERCH).args(site.serve()).envs(&site.variables);
    let perch = PerchProcess::spawn(&mut unshare);
    perch.wait_ready();
    // It is seen from outside by way of the process.
    let seen = std::path::PathBuf::from(format!("/proc/{}/root{}", perch.id(), folder.display()));
    (perch, seen)
}

/// Takes what room there is.
fn fill(folder: &std::path::Path) {
    use std::io::Write as _;
    let mut file = fs::File::create(folder.join("filler")).expect("made");
    for size in [64 << 10, 4096, 512, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
}

#[test]
fn nothing_is_promoted_on_a_full_disk_and_it_goes_on_afterwards() {
    let site = Site::new(&policy("[{setWeight: 30}, {pause: {duration: 6s}}, {promote: {}}]"));
    let (perch, disk) = on_a_small_disk(&site);
    let (admin, load) = (Admin::of(&perch), traffic(&perch));
    site.models.set_alias(MODEL, "canary", 2);
    admin.wait("30 %", |view| view["weight"] == json!(30.0));
    fill(&disk);
    let view = admin.wait("it is noticed", |view| view["store"]["state"] == "unavailable");
    let elapsed = |view: &Value| view["stepElapsed"].as_f64().unwrap_or(0.0);
    let before = elapsed(&view);
    // Longer than the step takes.
    for _ in 0..7 {
        load.next(200);
        let view = admin.view();
        assert_eq!((&view["state"], &view["weight"]), (&json!("progressing"), &json!(30.0)));
        assert_eq!(view["store"]["state"], "unavailable", "until something can be stored");
    }
    assert!(elapsed(&admin.view()) - before < 1.0, "the clock stands: {before}, {}", elapsed(&admin.view()));
    assert_eq!(admin.try_post("pause", &Value::Null).error(503).0, "store_unavailable");
    fs::remove_file(disk.join("filler")).expect("removed");
    admin.wait("it is well", |view| view["store"]["state"] == "ready");
    admin.wait_state("promoted");
    site.wait_aliases(&json!({"previous": 1, "stable": 2}));
    load.end();
}

#[test]
fn a_bad_canary_is_taken_out_on_a_full_disk() {
    let site = Site::new(&policy("[{setWeight: 30}, {pause: {}}]"));
    let (perch, disk) = on_a_small_disk(&site);
    let (admin, load) = (Admin::of(&perch), traffic(&perch));
    site.models.set_alias(MODEL, "canary", 3);
    admin.wait_state("paused");
    fill(&disk);
    admin.wait("it is noticed", |view| view["store"]["state"] == "unavailable");
    load.poison(true);
    admin.wait_state("demoted");
    assert_all(&load.next(50), "1", "stable");
    fs::remove_file(disk.join("filler")).expect("removed");
    admin.wait("it is stored", |view| view["store"]["state"] == "ready");
    let demoted = |row: &Value| row["to"] == "demoted" && row["from"] == "paused";
    perch_testkit::wait::until_true("a row", || admin.history().iter().filter(|row| demoted(row)).count() == 1);
    load.end();
}
