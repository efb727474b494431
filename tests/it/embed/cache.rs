//! What of texts is kept.

use perch_testkit::metrics::Scrape;
use perch_testkit::{Models, TestServer};
use serde_json::json;

use super::{PATIENT, embed};

const MODEL: &str = "toy_embedder_cls";

fn lookups(server: &TestServer) -> f64 {
    Scrape::parse(server.get("/metrics").text()).sum("perch_cache_requests_total", &[("model", MODEL)])
}

#[test]
fn requests_of_very_many_tokens_are_not_looked_up() {
    let yaml = format!("models: [{{name: {MODEL}, batching: {{maxQueue: {PATIENT}}}}}]\n");
    let server = TestServer::builder(Models::with(&[MODEL]))
        .yaml(&yaml)
        .set("server.responseCache", "16MiB")
        .set("server.requestTimeout", PATIENT)
        .ready();
    let mut client = server.client();
    let long = "the old library by the river ".repeat(20);
    let ask = json!({"model": MODEL});
    let few = vec![long.as_str(); 10];
    let first = embed(&mut client, &few, &ask).ok();
    assert!((lookups(&server) - 10.0).abs() < 0.5, "{}", lookups(&server));
    assert_eq!(embed(&mut client, &few, &ask).ok(), first);
    // 32 tokens each, and 16,384 are looked up.
    let many = vec![long.as_str(); 513];
    for _ in 0..2 {
        let reply = embed(&mut client, &many, &ask).ok();
        assert_eq!(reply[512], first[0]);
    }
    assert!((lookups(&server) - 20.0).abs() < 0.5, "{}", lookups(&server));
}
