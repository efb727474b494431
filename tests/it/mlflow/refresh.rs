//! `POST /admin/models/{model}/refresh`, and who may ask for it.

use perch_testkit::{Client, Models, Reply, Services, Store, TestServer};

use super::{Setup, answers, post_refresh, refresh, register, register_again};

const PATH: &str = "/admin/models/external/refresh";

fn post(server: &TestServer, token: Option<&str>) -> Reply {
    let header = token.map(|token| format!("Bearer {token}"));
    let headers: Vec<(&str, &str)> = header.iter().map(|value| ("authorization", value.as_str())).collect();
    server.client().request("POST", PATH, &headers, b"")
}

#[test]
fn a_refresh_shows_a_change_at_once() {
    let (name, registrar) = ("refreshed", Services::shared().registrar());
    register(name, Store::Proxied);
    let setup = Setup::of(name).set("registry.poll", "1h");
    let perch = setup.ready();
    assert_eq!(register_again(name), 2);
    registrar.set_alias(name, "stable", 2);
    refresh(&perch, name);
    perch.health().wait_serving(name, "stable", 2);
    assert_eq!(answers(&perch, name), "2");
    let (code, message) = post_refresh(perch.address(), "nobody").error(404);
    assert_eq!((code.as_str(), message.contains("nobody")), ("model_not_found", true), "{message}");
}

#[test]
fn a_refresh_needs_the_token_where_there_is_one() {
    let server = TestServer::builder(Models::with(&["external"])).set("server.adminToken", "the right one").ready();
    for token in [None, Some("a wrong one"), Some("")] {
        assert_eq!(post(&server, token).error(401).0, "unauthorized", "{token:?}");
    }
    assert_eq!(post(&server, Some("the right one")).status, 202);
}

#[test]
fn admin_is_nowhere_but_on_its_own_address() {
    let server = TestServer::builder(Models::with(&["external"])).set("server.adminListen", "127.0.0.1:0").ready();
    assert_eq!(post(&server, None).error(404).0, "not_found");
    let address = server.admin_address().expect("a listener of its own");
    assert_eq!(post_refresh(address, "external").status, 202);
    assert_eq!(post_refresh(server.address(), "external").error(404).0, "not_found");
    let elsewhere = Client::new(address).request("POST", PATH, &[], b"");
    assert_eq!(elsewhere.error(403).0, "forbidden", "without a token, this machine has to be asked by its own name");
    assert_eq!(Client::new(address).post("{}").error(404).0, "not_found", "nothing else is there");
}
