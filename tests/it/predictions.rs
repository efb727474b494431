//! Right answers: every row of a real holdout, every kind of model, every form of request.

use perch_testkit::json::{close, number};
use perch_testkit::models::{Models, root};
use perch_testkit::{Reply, TestServer};
use serde_json::{Value, json};

const TOLERANCE: f64 = 1e-6;

/// `{"features": [..], "tbilrate": {"1": [..], ..}}`, where null stands for NaN.
fn holdout() -> Value {
    let text = std::fs::read(root().join("examples/curve_forecaster/holdout.json")).expect("the example's holdout");
    serde_json::from_slice(&text).expect("JSON")
}

/// Rows as Python's json writes them: with the token NaN for null.
fn with_nan(value: &Value) -> String {
    value.to_string().replace("null", "NaN")
}

fn assert_close(got: &Value, expected: &Value, what: &str) {
    assert!(close(got, expected, TOLERANCE), "{what}: expected {expected}, got {got}");
}

#[test]
fn every_row_of_the_holdout_is_predicted_by_every_version_as_its_training_did() {
    let holdout = holdout();
    let rows = holdout["features"].as_array().expect("rows");
    for version in 1..=3_u64 {
        let models = Models::with(&["curve_forecaster"]);
        models.set_alias("curve_forecaster", "stable", version);
        let server = TestServer::builder(models).ready();
        let expected = holdout["tbilrate"][version.to_string()].as_array().expect("answers");
        assert_eq!(rows.len(), expected.len());
        let mut client = server.client();
        for (row, expected) in rows.iter().zip(expected) {
            let reply = client.post(format!("{{\"instances\": [{}]}}", with_nan(row)));
            assert_eq!(reply.header("x-perch-version"), Some(&*version.to_string()));
            assert_close(&reply.ok()["predictions"], &json!([expected]), &format!("version {version}, one row"));
        }
        let all = client.post(format!("{{\"instances\": {}}}", with_nan(&holdout["features"]))).ok();
        assert_close(&all["predictions"], &holdout["tbilrate"][version.to_string()], &format!("version {version}"));
        assert_eq!(all["version"], version.to_string());
    }
}

#[test]
fn rows_of_many_clients_at_once_are_answered_to_the_right_one() {
    let holdout = holdout();
    let server = TestServer::with(&["curve_forecaster"]);
    let rows = holdout["features"].as_array().expect("rows");
    let expected = holdout["tbilrate"]["1"].as_array().expect("answers");
    std::thread::scope(|scope| {
        for client in 0..16 {
            let (server, rows, expected) = (&server, &rows, &expected);
            scope.spawn(move || {
                let mut connection = server.client();
                for turn in 0..rows.len() {
                    let at = (turn * 7 + client * 11) % rows.len();
                    let body = format!("{{\"instances\": [{}]}}", with_nan(&rows[at]));
                    let answer = connection.post(body).ok();
                    assert_close(&answer["predictions"], &json!([expected[at]]), &format!("row {at}"));
                }
            });
        }
    });
}

#[test]
fn every_form_of_one_request_gets_the_same_numbers() {
    let server = TestServer::with(&["external"]);
    let mut client = server.client();
    let (one, two) = (json!([1, 1, 1, 1]), json!([0, 0, 0, 2]));
    let predictions = json!([10.5, 8.5]);
    for instances in [json!([one, two]), json!([{"features": one}, {"features": two}])] {
        let answer = client.predict(&json!({"instances": instances})).ok();
        let expected = json!({"model": "external", "version": "1", "track": "stable", "predictions": predictions});
        assert_eq!(answer, expected);
    }
    let outputs = json!({"sum": [[10.5], [8.5]]});
    for inputs in [json!({"features": [one, two]}), json!([one, two])] {
        let answer = client.predict(&json!({"inputs": inputs})).ok();
        let expected = json!({"model": "external", "version": "1", "track": "stable", "outputs": outputs});
        assert_eq!(answer, expected);
    }
    for data in [json!([1, 1, 1, 1, 0, 0, 0, 2]), json!([one, two])] {
        let input = json!({"name": "features", "shape": [2, 4], "datatype": "FP32", "data": data});
        let answer = client.predict(&json!({"model": "external", "inputs": [input]})).ok();
        let expected = json!([{"name": "sum", "shape": [2, 1], "datatype": "FP32", "data": [10.5, 8.5]}]);
        assert_eq!(answer["outputs"], expected);
    }
}

#[test]
fn a_model_of_six_dtypes_and_four_outputs_computes_its_formulas() {
    let server = TestServer::with(&["mixed"]);
    let mut client = server.client();
    let people = [
        (40.0, 52_000.0, 7, 3, true, "Zürich"),
        (31.0, 1_500.0, 0, 5, false, "Oslo"),
        (0.5, -250.0, -3, 2, true, ""),
        (99.25, 1e6, 1 << 40, 2_147_483_647, true, "a \"quoted\" 京"),
    ];
    let named: Vec<Value> = people
        .iter()
        .map(|(age, income, visits, level, member, city)| {
            json!({"age": age, "income": income, "visits": visits, "level": level, "member": member, "city": city})
        })
        .collect();
    let flat: Vec<Value> = people.iter().map(|person| json!(person)).collect();
    let expected: Vec<Value> = people
        .iter()
        .map(|(age, income, visits, level, member, city)| {
            let flag = *member && *level > 2;
            #[expect(clippy::cast_precision_loss, reason = "the model computes in float32")]
            let score = age / 2.0 + income / 1000.0 + *visits as f64;
            let label = if flag { *city } else { "nowhere" };
            json!({"score": score, "flag": flag, "label": label, "count": *visits + i64::from(*level)})
        })
        .collect();
    for instances in [named, flat] {
        let answer = client.predict(&json!({"instances": instances})).ok();
        let got = answer["predictions"].as_array().expect("rows");
        assert_eq!(got.len(), expected.len());
        for (got, expected) in got.iter().zip(&expected) {
            for exact in ["flag", "label", "count"] {
                assert_eq!(got[exact], expected[exact], "{got}");
            }
            let (score, right) = (number(&got["score"]), number(&expected["score"]));
            let (score, right) = (score.expect("a number"), right.expect("a number"));
            assert!((score - right).abs() <= 1e-6 * right.abs().max(1.0), "{score} is not {right}");
        }
    }
    let columns = json!({
        "age": [[40], [31]], "income": [[52000], [1500]], "visits": [[7], [0]],
        "level": [[3], [5]], "member": [[true], [false]], "city": [["Zürich"], ["Oslo"]],
    });
    let answer = client.predict(&json!({"inputs": columns})).ok();
    let expected = json!({
        "score": [[79.0], [17.0]], "flag": [[true], [false]], "label": [["Zürich"], ["nowhere"]], "count": [[10], [5]],
    });
    assert_eq!(answer["outputs"], expected);
}

#[test]
fn probabilities_by_class_are_objects_with_string_keys() {
    let server = TestServer::with(&["iris", "species"]);
    let rows = json!([[5.1, 3.5, 1.4, 0.2], [6.0, 2.7, 4.5, 1.5]]);
    let (most, least) = (49.0 / 54.0, 5.0 / 54.0);
    let iris = json!([
        {"output_label": 0, "output_probability": {"0": 1.0, "1": 0.0, "2": 0.0}},
        {"output_label": 1, "output_probability": {"0": 0.0, "1": most, "2": least}},
    ]);
    let species = json!([
        {"output_label": "setosa", "output_probability": {"setosa": 1.0, "versicolor": 0.0, "virginica": 0.0}},
        {"output_label": "versicolor", "output_probability": {"setosa": 0.0, "versicolor": most, "virginica": least}},
    ]);
    for (model, expected) in [("iris", iris), ("species", species)] {
        let answer = server.predict(&json!({"model": model, "instances": rows})).ok();
        assert_close(&answer["predictions"], &expected, model);
        let answer = server.predict(&json!({"model": model, "inputs": {"features": rows}})).ok();
        for output in ["output_label", "output_probability"] {
            let column: Vec<&Value> = expected.as_array().into_iter().flatten().map(|row| &row[output]).collect();
            assert_close(&answer["outputs"][output], &json!(column), model);
        }
        let input = json!({"name": "features", "shape": [2, 4], "datatype": "FP32", "data": rows});
        let answer = server.predict(&json!({"model": model, "inputs": [input]})).ok();
        let maps = &answer["outputs"][1];
        assert_eq!((&maps["datatype"], &maps["shape"]), (&json!("BYTES"), &json!([2])));
        let first = maps["data"][0].as_str().expect("a map as text");
        let first: Value = serde_json::from_str(first).expect("JSON");
        assert_close(&first, &expected[0]["output_probability"], model);
    }
}

#[test]
fn odd_shapes_are_served() {
    let server = TestServer::with(&["image", "fixed", "scalar_rows", "sentences"]);
    let mut client = server.client();
    let image = |first: f64| -> Value {
        let row = |channel: f64| (0..8).map(|column| first + channel + f64::from(column) / 8.0).collect::<Vec<_>>();
        json!([vec![row(0.0); 8], vec![row(1.0); 8], vec![row(2.0); 8]])
    };
    let answer = client.predict(&json!({"model": "image", "instances": [image(0.0), image(10.0)]})).ok();
    assert_eq!(answer["predictions"], json!([[0.4375, 1.4375, 2.4375], [10.4375, 11.4375, 12.4375]]));

    let answer = client.predict(&json!({"model": "fixed", "instances": [[1, 2, 3, 4]]})).ok();
    assert_eq!(answer["predictions"], json!([10.0]));
    let (code, message) =
        client.predict(&json!({"model": "fixed", "instances": [[1, 2, 3, 4], [1, 2, 3, 4]]})).error(400);
    assert_eq!(code, "invalid_input");
    assert!(message.contains("features") && message.contains("float32[1,4]"), "{message}");

    let answer = client.predict(&json!({"model": "scalar_rows", "instances": [1, -2.5]})).ok();
    assert_eq!(answer["predictions"], json!([2.0, -5.0]));
    let answer = client.predict(&json!({"model": "scalar_rows", "inputs": {"x": [1, -2.5]}})).ok();
    assert_eq!(answer["outputs"], json!({"doubled": [2.0, -5.0]}));

    let text = ["perch", "Grüße, 世界", "", "\u{1f41f}\n\"\\"];
    let answer = client.predict(&json!({"model": "sentences", "instances": text})).ok();
    let expected: Vec<Value> = text.map(|text| json!({"same": text, "perch": i64::from(text == "perch")})).into();
    assert_eq!(answer["predictions"], json!(expected));
}

#[test]
fn every_number_keeps_its_value_at_the_limits_of_its_dtype() {
    let server = TestServer::with(&["dtypes"]);
    let row = json!({
        "uint8": [0, 255], "int8": [-128, 127], "uint16": [0, 65_535], "int16": [-32_768, 32_767],
        "uint32": [0, u32::MAX], "uint64": [0, u64::MAX], "float16": [-0.5, 65_504.0],
    });
    let answer = server.predict(&json!({"instances": [row, row]})).ok();
    let fields = row.as_object().expect("an object").iter();
    let expected: Value = fields.map(|(name, value)| (format!("{name}_out"), value.clone())).collect();
    assert_eq!(answer["predictions"], json!([expected, expected]));
}

#[test]
fn what_is_not_finite_goes_in_and_comes_out_as_pythons_tokens() {
    let server = TestServer::with(&["nan"]);
    let mut client = server.client();
    let reply = client.post(r#"{"instances": [1, -1, 0, Infinity, NaN, -Infinity]}"#);
    let text = reply.text().to_owned();
    assert!(text.contains(r#""predictions":[0.0,NaN,-Infinity,Infinity,NaN,NaN]"#), "{text}");
    reply.ok();
    let reply = client.post(r#"{"inputs": {"x": [[NaN], [0]]}}"#);
    assert!(reply.text().contains(r#""outputs":{"log":[[NaN],[-Infinity]]}"#), "{}", reply.text());
}

#[test]
fn only_the_outputs_asked_for_are_answered_in_that_order() {
    let server = TestServer::with(&["mixed", "iris"]);
    let person = json!({"age": 40, "income": 52000, "visits": 7, "level": 3, "member": true, "city": "Zürich"});
    let ask = |outputs: Value| server.predict(&json!({"model": "mixed", "instances": [person], "outputs": outputs}));
    assert_eq!(ask(json!(["count"])).ok()["predictions"], json!([10]));
    let two = ask(json!(["label", {"name": "score"}]));
    assert!(two.text().contains(r#""predictions":[{"label":"Zürich","score":79.0}]"#), "{}", two.text());
    let (code, message) = ask(json!(["nothing"])).error(400);
    assert_eq!(code, "invalid_input");
    assert!(message.contains("nothing") && message.contains("score, flag, label, count"), "{message}");
}

#[test]
fn the_clients_own_id_comes_back() {
    let server = TestServer::with(&["scalar_rows"]);
    let answer = server.predict(&json!({"id": "order \"7\"", "instances": [1]})).ok();
    assert_eq!(answer["id"], "order \"7\"");
    assert!(server.predict(&json!({"instances": [1]})).ok().get("id").is_none());
}

#[test]
fn a_body_needs_no_content_type_and_may_be_chunked() {
    let server = TestServer::with(&["scalar_rows"]);
    let mut client = server.client();
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "application/json"] {
        let body = br#"{"instances": [1]}"#;
        let reply = client.request("POST", "/predict", &[("content-type", content_type)], body);
        assert_eq!(reply.ok()["predictions"], json!([2.0]));
    }
    let chunked = "POST /predict HTTP/1.1\r\nhost: perch\r\ntransfer-encoding: chunked\r\n\r\n\
                   8\r\n{\"instan\r\na\r\nces\": [1]}\r\n0\r\n\r\n";
    client.send(chunked.as_bytes()).expect("sent");
    assert_eq!(client.receive().expect("whole").expect("an answer").ok()["predictions"], json!([2.0]));
}

fn with_headers(server: &TestServer, headers: &[(&str, &str)]) -> Reply {
    server.client().request("POST", "/predict", headers, br#"{"instances": [1]}"#)
}

#[test]
fn headers_say_who_answered_and_how_long_it_took() {
    let server = TestServer::with(&["scalar_rows"]);
    let reply = with_headers(&server, &[]);
    assert_eq!(reply.header("x-perch-model"), Some("scalar_rows"));
    assert_eq!(reply.header("x-perch-version"), Some("1"));
    assert_eq!(reply.header("x-perch-track"), Some("stable"));
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let timing = reply.header("server-timing").expect("server-timing");
    let times = timing.strip_prefix("queue;dur=").and_then(|rest| rest.split_once(", execute;dur="));
    let (queue, execute) = times.expect("two times");
    for time in [queue, execute] {
        assert!(time.parse::<f64>().is_ok_and(|time| (0.0..60_000.0).contains(&time)), "{timing}");
    }
}

#[test]
fn a_request_keeps_its_id_or_its_traces_or_gets_one() {
    let server = TestServer::with(&["scalar_rows"]);
    let id =
        |headers: &[(&str, &str)]| with_headers(&server, headers).header("x-request-id").expect("an id").to_owned();
    let parent = ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    assert_eq!(id(&[("x-request-id", "mine-1"), parent]), "mine-1");
    assert_eq!(id(&[parent]), "4bf92f3577b34da6a3ce929d0e0e4736");
    let (one, two) = (id(&[]), id(&[]));
    assert_ne!(one, two);
    assert!(one.len() == 32 && one.bytes().all(|byte| byte.is_ascii_hexdigit()), "{one}");
    assert_eq!(id(&[("x-request-id", &"x".repeat(1000))]).len(), 32, "nobody writes a novel into our logs");
    let failed = server.client().request("POST", "/predict", &[("x-request-id", "mine-2")], b"");
    failed.error(400);
    assert_eq!(failed.header("x-request-id"), Some("mine-2"));
}

#[test]
fn a_large_answer_is_compressed_for_who_asks() {
    let server = TestServer::with(&["scalar_rows"]);
    let many: Vec<f64> = (0..5000).map(|row| f64::from(row) / 4.0).collect();
    let body = json!({"instances": many}).to_string();
    let ask =
        |headers: &[(&str, &str)], body: &str| server.client().request("POST", "/predict", headers, body.as_bytes());
    let plain = ask(&[], &body);
    assert_eq!(plain.header("content-encoding"), None);
    let packed = ask(&[("accept-encoding", "gzip")], &body);
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    assert!(packed.body.len() < plain.body.len() / 2, "{} of {}", packed.body.len(), plain.body.len());
    let mut unpacked = Vec::new();
    std::io::copy(&mut flate2::read::GzDecoder::new(&*packed.body), &mut unpacked).expect("gzip");
    assert_eq!(unpacked, plain.body);
    assert_eq!(packed.header("x-perch-model"), Some("scalar_rows"));
    assert!(packed.header("x-request-id").is_some());
    let small = ask(&[("accept-encoding", "gzip")], r#"{"instances": [1]}"#);
    assert_eq!(small.header("content-encoding"), None, "compressing it would cost more than it saves");
}
