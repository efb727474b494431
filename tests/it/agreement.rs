//! A version that answers otherwise elsewhere than on the CPU gets no requests.

use perch_testkit::fake::FakeLoader;
use perch_testkit::{Models, TestServer};
use serde_json::json;

#[test]
fn a_version_that_disagrees_with_the_cpu_is_never_served() {
    let models = Models::scripted(&["fake"]);
    models.scripted_version("fake", 2);
    models.set_alias("fake", "stable", 1);
    let (loader, script) = FakeLoader::new();
    script.differs_elsewhere(2);
    let yaml = "runtime: {device: openvino, precision: bf16}";
    let server = TestServer::builder(models).yaml(yaml).loader(loader).ready();
    let answer = || server.predict(&json!({"model": "fake", "instances": [21]})).ok();
    assert_eq!((answer()["version"].clone(), answer()["predictions"].clone()), (json!("1"), json!([42.0])));
    server.models.set_alias("fake", "stable", 2);
    let error = server.health().wait_failed("fake", 2);
    for part in [
        "device openvino with precision bf16 does not answer as the CPU in fp32 does",
        "output \"y\" on numbers between -1 and 1: cosine 1.000000, expected at least 0.999",
        "relative error 5.00e-1, expected at most 0.01",
        "An attention mask of the smallest float (-3.4e38)",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert_eq!(answer()["version"], "1", "what works goes on");
}

#[test]
fn more_may_be_allowed_for() {
    let (loader, script) = FakeLoader::new();
    script.differs_elsewhere(1);
    let yaml = "runtime: {device: openvino, agreement: {relative: 0.5}}";
    let server = TestServer::builder(Models::scripted(&["fake"])).yaml(yaml).loader(loader).ready();
    assert_eq!(server.predict(&json!({"model": "fake", "instances": [2]})).ok()["predictions"], json!([6.0]));
}
