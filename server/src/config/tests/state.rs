//! Where rollouts are remembered.

use super::{Config, Layers, env, layers, load, wrong};
use crate::config::StateUrl;
use std::path::PathBuf;

const FILE: &str = "registry: {path: /srv/models}\n";

fn state(layers: Layers) -> PathBuf {
    match load(layers).config.state {
        StateUrl::Sqlite(path) => path,
        StateUrl::Postgres(place) => panic!("{place}"),
    }
}

#[test]
fn by_default_with_the_users_state() {
    let variables = |name: &str, value: &str| [(name.to_owned(), value.to_owned())];
    let of = |name: &str, value: &str| state(Layers::new().file_text("perch.yaml", FILE).env(variables(name, value)));
    let own = of("XDG_STATE_HOME", "/x");
    assert!(own.starts_with("/x/perch"), "{own:?}");
    let home = of("HOME", "/home/me");
    assert_eq!(home.parent(), Some("/home/me/.local/state/perch".as_ref()));
    assert_eq!(home.file_name(), own.file_name());
    let nowhere = Config::load(Layers::new().file_text("perch.yaml", FILE)).unwrap_err().to_string();
    assert_eq!(
        nowhere,
        "state: expected a file as sqlite:///FOLDER/state.db or sqlite:state.db, or a database as \
         postgres://USER:PASSWORD@HOST/DATABASE (flag --state), as neither XDG_STATE_HOME nor HOME is set"
    );
    assert_eq!(state(Layers::new().file_text("perch.yaml", FILE).stateless()), PathBuf::new());
}

#[test]
fn where_somebody_says() {
    let file =
        format!("{FILE}state: sqlite:///var/lib/perch/state.db\nrollouts: {{auditLog: /var/log/rollouts.jsonl}}");
    let config = load(layers(&file, &[])).config;
    assert_eq!(config.state, StateUrl::Sqlite("/var/lib/perch/state.db".into()));
    assert_eq!(config.rollouts.audit_log, Some("/var/log/rollouts.jsonl".into()));
    assert_eq!(state(layers(&file, &[("PERCH__STATE", "sqlite:s.db")])), PathBuf::from("s.db"));
    let flag = layers(&file, &[("PERCH__STATE", "sqlite:s.db")]).flag("state", Some("sqlite:t.db".into()), "--state");
    assert_eq!(state(flag), PathBuf::from("t.db"));
    assert_eq!(
        wrong(layers(&format!("{FILE}state: postgres://me:hunter2@db/perch?schema=Perch"), &[])),
        [
            "state (perch.yaml:2): parameter \"schema\" of the address is \"Perch\": expected small letters, digits and _, at \
          most 63, not beginning with a digit or pg_"
        ]
    );
    let password = [("PASSWORD", "hunter2")];
    let shared = load(layers(&format!("{FILE}state: postgres://me:${{PASSWORD}}@db/perch"), &password));
    assert_eq!(shared.config.state, StateUrl::Postgres(Box::new("postgres://me:hunter2@db/perch".parse().unwrap())));
    assert!(!shared.to_yaml().contains("hunter2"));
    let printed = load(layers(&file, &[])).to_yaml();
    let again = load(Layers::new().file_text("printed.yaml", printed).env(env(&[]))).config;
    assert_eq!(again, config);
}
