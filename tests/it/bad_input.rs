//! Requests that are wrong in every way we know: each gets its error, and the next one is served.

use perch_testkit::client::request;
use perch_testkit::{Client, PerchProcess, TestServer, models::Models};
use serde_json::json;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::PERCH;

const GOOD: &str = r#"{"model": "external", "instances": [[1, 1, 1, 1]]}"#;

fn assert_still_serves(server: &TestServer) {
    assert_eq!(server.client().post(GOOD).ok()["predictions"], json!([10.5]));
}

fn server() -> TestServer {
    TestServer::with(&["external", "mixed", "dtypes", "image", "sentences"])
}

/// Each body is answered 400 with a message that has all of these pieces, and the server goes on.
fn assert_refused(server: &TestServer, cases: &[(&str, &[&str])]) {
    let mut client = server.client();
    for (body, pieces) in cases {
        let (code, message) = client.post(body).error(400);
        assert_eq!(code, "invalid_input", "{body}");
        for piece in *pieces {
            assert!(message.contains(piece), "{body}: expected {piece:?} in {message:?}");
        }
        assert_eq!(client.post(GOOD).status, 200, "after {body}");
    }
}

#[test]
fn tensors_that_do_not_fit_are_named_with_what_was_expected_and_what_came() {
    let uint8 = |value: &str| {
        format!(
            r#"{{"model": "dtypes", "inputs": {{"uint8": [[0, {value}]], "int8": [[0, 0]], "uint16": [[0, 0]],
            "int16": [[0, 0]], "uint32": [[0, 0]], "uint64": [[0, 0]], "float16": [[0, 0]]}}}}"#
        )
    };
    let external = |rest: &str| format!(r#"{{"model": "external", {rest}}}"#);
    let cases = [
        (external(r#""instances": [[1, 2, 3]]"#), vec!["features", "float32", "[0]", "expected 4 values, got 3"]),
        (external(r#""instances": [[1, 2, 3, 4], [1, 2, 3, 4, 5]]"#), vec!["[1]", "expected 4 values, got 5"]),
        (external(r#""instances": [1, 2, 3, 4]"#), vec!["features", "rank 1", "a number"]),
        (external(r#""instances": [[[1], 2, 3, 4]]"#), vec!["[0][0]", "float32", "an array"]),
        (external(r#""instances": [[1, 2, "3", 4]]"#), vec!["[0][2]", "float32", "a string"]),
        (external(r#""instances": [[1, 2, null, 4]]"#), vec!["[0][2]", "float32", "null"]),
        (external(r#""instances": [[1, 2, 1e39, 4]]"#), vec!["1e39", "out of its range"]),
        (external(r#""instances": []"#), vec!["at least one row"]),
        (external(r#""instances": [[]]"#), vec!["expected 4 values, got 0"]),
        (external(r#""instances": [{"feature": [1, 2, 3, 4]}]"#), vec!["\"feature\"", "expected features"]),
        (external(r#""instances": [{}]"#), vec!["features", "missing"]),
        (external(r#""inputs": {}"#), vec!["features", "missing"]),
        (external(r#""inputs": {"features": []}"#), vec!["features"]),
        (external(r#""inputs": {"features": 3}"#), vec!["features", "rank 2", "a number"]),
        (external(r#""inputs": {"other": [[1, 2, 3, 4]]}"#), vec!["\"other\"", "features"]),
        (external(r#""inputs": "text""#), vec!["features", "a string"]),
        (external(r#""inputs": []"#), vec!["features"]),
        (uint8("256"), vec!["uint8", "[0][1]", "256"]),
        (uint8("-1"), vec!["uint8", "-1"]),
        (uint8("1.5"), vec!["uint8", "1.5"]),
        (uint8("NaN"), vec!["uint8", "NaN"]),
        (uint8("true"), vec!["uint8", "a boolean"]),
        (uint8(&"9".repeat(300)), vec!["uint8", "999"]),
        (uint8(&"9".repeat(10_000)), vec!["out of range"]),
        (r#"{"model": "sentences", "instances": [7]}"#.to_owned(), vec!["text", "string", "a number"]),
        (r#"{"model": "sentences", "instances": ["a\u0000b"]}"#.to_owned(), vec!["text", "nul byte"]),
        (r#"{"model": "mixed", "instances": [[1, 2, 3]]}"#.to_owned(), vec!["instances[0]", "6 values", "got 3"]),
        (r#"{"model": "mixed", "instances": [7]}"#.to_owned(), vec!["instances[0]", "age", "a number"]),
    ];
    let cases: Vec<(&str, &[&str])> = cases.iter().map(|(body, pieces)| (body.as_str(), pieces.as_slice())).collect();
    assert_refused(&server(), &cases);
}

#[test]
fn columns_of_different_lengths_are_refused() {
    let body = json!({"model": "mixed", "inputs": {
        "age": [[40], [31]], "income": [[1]], "visits": [[7], [0]],
        "level": [[3], [5]], "member": [[true], [false]], "city": [["a"], ["b"]],
    }});
    assert_refused(&server(), &[(&body.to_string(), &["income", "age"])]);
}

#[test]
fn tensors_of_the_open_inference_protocol_are_held_to_what_they_say() {
    let input = |name: &str, shape: &str, datatype: &str, data: &str| {
        format!(
            r#"{{"model": "external", "inputs": [{{"name": "{name}", "shape": {shape}, "datatype": "{datatype}",
            "data": {data}}}]}}"#
        )
    };
    let huge = "[4611686018427387904, 4]";
    let cases = [
        (input("features", "[1, 4]", "FP64", "[1, 2, 3, 4]"), vec!["expected datatype FP32", "FP64"]),
        (input("features", "[1, 5]", "FP32", "[1, 2, 3, 4, 5]"), vec!["features", "[1, 5]"]),
        (input("features", "[4]", "FP32", "[1, 2, 3, 4]"), vec!["features", "[4]"]),
        (input("features", "[2, 4]", "FP32", "[1, 2, 3, 4]"), vec!["8 elements", "got 4"]),
        (input("features", "[-1, 4]", "FP32", "[1, 2, 3, 4]"), vec!["shape"]),
        (input("features", huge, "FP32", "[1, 2, 3, 4]"), vec!["elements"]),
        (input("features", "[18446744073709551615, 4]", "FP32", "[]"), vec!["elements"]),
        (input("features", "[0, 4]", "FP32", "[]"), vec!["features", "empty"]),
        (input("other", "[1, 4]", "FP32", "[1, 2, 3, 4]"), vec!["\"other\"", "features"]),
        (input("features", "[1, 4]", "FP32", "{}"), vec!["features"]),
        (r#"{"model": "external", "inputs": [{"name": "features"}]}"#.to_owned(), vec!["missing"]),
        (r#"{"model": "external", "inputs": [{"name": "features", "x": 1}]}"#.to_owned(), vec!["unknown field \"x\""]),
    ];
    let cases: Vec<(&str, &[&str])> = cases.iter().map(|(body, pieces)| (body.as_str(), pieces.as_slice())).collect();
    assert_refused(&server(), &cases);
}

#[test]
fn fields_that_are_missing_or_do_not_belong_are_named() {
    let cases: [(&str, &[&str]); 10] = [
        ("{}", &["\"instances\" or \"inputs\"", "neither"]),
        (r#"{"model": "external"}"#, &["neither"]),
        (r#"{"model": "external", "instances": [[1,1,1,1]], "inputs": {}}"#, &["both"]),
        (r#"{"model": "external", "instance": []}"#, &["unknown field \"instance\"", "instances"]),
        (r#"{"model": 7, "instances": []}"#, &["model", "a string", "a number"]),
        (r#"{"model": "external", "model": "external", "instances": []}"#, &["\"model\"", "twice"]),
        (r#"{"model": "external", "instances": {}}"#, &["instances", "an object"]),
        (r#"{"model": "external", "id": 7, "instances": [[1,1,1,1]]}"#, &["id", "a string"]),
        (r#"{"instances": [[1,1,1,1]]}"#, &["model", "dtypes, external"]),
        ("[[1, 1, 1, 1]]", &["JSON object", "an array"]),
    ];
    assert_refused(&server(), &cases);
}

#[test]
fn malformed_json_is_placed_by_line_and_column() {
    let deep = format!(r#"{{"model": "external", "instances": {}"#, "[".repeat(100_000));
    let deep_object = format!(r#"{{"model": "external", "parameters": {}"#, r#"{"a":"#.repeat(100_000));
    let deep_field = format!(r#"{{"nonsense": {}"#, "[".repeat(100_000));
    let cases: [(&str, &[&str]); 10] = [
        ("", &["line 1, column 0"]),
        ("   ", &["line 1"]),
        ("{\n  \"model\": \"external\",\n  \"instances\": [[1,,2]]}", &["line 3, column 20"]),
        ("{\"model\": \"external\", \"instances\": [[1, 2", &["line 1"]),
        ("{\"model\": \"external\", \"instances\": [[1, 1, 1, 1]]} x", &["line 1", "trailing"]),
        ("{\"model\": \"external\", \"instances\": [[01, 1, 1, 1]]}", &["line 1"]),
        ("{'model': 'external'}", &["line 1, column 2"]),
        (&deep, &[]),
        (&deep_object, &[]),
        (&deep_field, &[]),
    ];
    assert_refused(&server(), &cases);
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    let server = server();
    let mut client = server.client();
    for body in [
        b"\xff\xfe\x00\x01".as_slice(),
        b"{\"model\": \"sentences\", \"instances\": [\"\xff\"]}",
        b"{\"model\": \"sen\xfftences\", \"instances\": [\"a\"]}",
        b"{\"\xff\": 1}",
        b"\x00",
        b"\xef\xbb\xbf{}",
    ] {
        let (code, _) = client.post(body).error(400);
        assert_eq!(code, "invalid_input");
        assert_still_serves(&server);
    }
}

#[test]
fn unknown_models_paths_and_methods_have_their_own_errors() {
    let server = server();
    let mut client = server.client();
    let (code, message) = client.post(r#"{"model": "externl", "instances": [[1, 1, 1, 1]]}"#).error(404);
    assert_eq!(code, "model_not_found");
    assert!(message.contains("externl") && message.contains("external"), "{message}");
    let name = "x".repeat(100_000);
    let (code, message) = client.predict(&json!({"model": name, "instances": [[1]]})).error(404);
    assert_eq!(code, "model_not_found");
    assert!(message.len() < 500, "a long name is cut: {} characters", message.len());
    for path in ["/predictions", "/predict/", "/healthy"] {
        assert_eq!(client.get(path).error(404).0, "not_found", "{path}");
    }
    assert_eq!(client.get("/").status, 405, "it takes texts, by POST");
    for method in ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        let reply = client.request(method, "/predict", &[], b"");
        assert_eq!(reply.error(405).0, "method_not_allowed", "{method}");
    }
    assert_still_serves(&server);
}

#[test]
fn a_body_over_the_limit_is_refused_however_it_is_sent() {
    let server = TestServer::builder(Models::with(&["external"])).set("server.maxBody", "1KiB").ready();
    let body = format!("{GOOD}{}", " ".repeat(1024 - GOOD.len()));
    assert_eq!(server.client().post(&body).status, 200, "exactly the limit");
    let (code, message) = server.client().post(body.clone() + " ").error(413);
    assert_eq!(code, "body_too_large");
    assert!(message.contains("1025 bytes") && message.contains("1024 bytes"), "{message}");
    let mut client = server.client();
    let head = "POST /predict HTTP/1.1\r\nhost: perch\r\ntransfer-encoding: chunked\r\n\r\n";
    client.send(format!("{head}800\r\n{}\r\n0\r\n\r\n", " ".repeat(2048)).as_bytes()).expect("sent");
    assert_eq!(client.receive().expect("whole").expect("an answer").error(413).0, "body_too_large");
    assert_still_serves(&server);
}

/// Sends the same again and again, `most` times at most, until the other end has answered or hung up: it stops reading
/// then, and what does not fit into the sockets any more cannot be sent. How often that was.
fn send_until_answered(stream: &mut TcpStream, piece: &[u8], most: usize) -> usize {
    let moment = Some(Duration::from_millis(100));
    stream.set_write_timeout(moment).and_then(|()| stream.set_read_timeout(moment)).expect("set");
    let mut sent = 0;
    while sent < most * piece.len() {
        match stream.write(&piece[sent % piece.len()..]) {
            Ok(more) => sent += more,
            // No room for now: that alone does not say that it has stopped.
            Err(error)
                if [ErrorKind::WouldBlock, ErrorKind::TimedOut, ErrorKind::Interrupted].contains(&error.kind()) =>
            {
                if stream.peek(&mut [0]).is_ok() {
                    break;
                }
            }
            Err(_) => break,
        }
    }
    sent / piece.len()
}

/// A process of its own, because its memory is looked at.
#[test]
fn a_gigabyte_announced_or_streamed_takes_no_memory() {
    let models = Models::with(&["external"]);
    let perch = PerchProcess::serve(PERCH, models.path(), &[]);
    perch.wait_ready();
    let before = perch.peak_memory().expect("/proc: this test needs Linux");
    for _ in 0..3 {
        let mut client = perch.client();
        let head = "POST /predict HTTP/1.1\r\nhost: perch\r\ncontent-length: 1073741824\r\n\r\n";
        client.send(head.as_bytes()).expect("sent");
        assert_eq!(client.receive().expect("whole").expect("an answer").error(413).0, "body_too_large");
    }
    let mut client = perch.client();
    client.send(b"POST /predict HTTP/1.1\r\nhost: perch\r\ntransfer-encoding: chunked\r\n\r\n").expect("sent");
    let chunk = format!("100000\r\n{}\r\n", " ".repeat(1 << 20));
    let sent = send_until_answered(client.connect().expect("connected"), chunk.as_bytes(), 1024);
    assert!(sent >= 32, "the limit is 32 MiB: {sent} were sent");
    assert!(sent < 1024, "it must not swallow a gigabyte");
    let after = perch.peak_memory().expect("/proc");
    // One body of 32 MiB is legal, and may be held twice while it is put together.
    assert!(after - before < 96 << 20, "memory grew from {before} to {after}");
    assert_eq!(perch.client().post(GOOD).status, 200);
}

#[test]
fn a_body_that_trickles_in_is_answered_408_in_time() {
    let server = TestServer::builder(Models::with(&["external"])).set("server.requestTimeout", "1s").ready();
    let mut client = server.client();
    let whole = request("POST", "/predict", &[], GOOD.as_bytes());
    let (first, rest) = whole.split_at(whole.len() - 20);
    let began = Instant::now();
    client.send(first).expect("sent");
    for byte in rest.iter().take(10) {
        std::thread::sleep(Duration::from_millis(200));
        // Once it has answered, it may close.
        if client.send(&[*byte]).is_err() {
            break;
        }
    }
    let reply = client.receive().expect("whole").expect("an answer");
    assert_eq!(reply.error(408).0, "body_timeout");
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_still_serves(&server);
}

#[test]
fn a_head_that_trickles_in_is_hung_up_on() {
    let server = TestServer::builder(Models::with(&["external"])).set("server.idleTimeout", "1s").ready();
    for start in ["", "P", "PRI * HTTP", "POST /predict HT", "POST /predict HTTP/1.1\r\nhost: perch\r\nx-slow: "] {
        let mut client = server.client();
        client.send(start.as_bytes()).expect("sent");
        let stream = client.connect().expect("connected");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
        let mut left = Vec::new();
        // Closed, with or without a 408: what matters is that it does not wait for ever.
        let ended = stream.read_to_end(&mut left).map_err(|error| error.kind());
        assert!(ended.is_ok() || ended == Err(ErrorKind::ConnectionReset), "{start:?}: {ended:?}");
        let text = String::from_utf8_lossy(&left);
        assert!(left.is_empty() || text.starts_with("HTTP/1.1 4"), "{start:?}: {text}");
        assert!(
            client.send(b"x").and_then(|()| client.receive()).map_or(true, |reply| reply.is_none()),
            "it is closed"
        );
    }
    assert_still_serves(&server);
}

#[test]
fn what_is_no_http_is_refused() {
    let server = server();
    for nonsense in ["\r\n\r\n\r\nGET", "\u{16}\u{3}\u{1}\u{2}", "GET / HTTP/9.9\r\n\r\n", "POST /predict\r\n\r\n"] {
        let mut client = server.client();
        client.send(nonsense.as_bytes()).expect("sent");
        client.connect().and_then(|stream| stream.shutdown(std::net::Shutdown::Write)).expect("shut down");
        let mut answer = Vec::new();
        let _ = client.connect().expect("connected").read_to_end(&mut answer);
        let text = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || text.starts_with("HTTP/1.1 400"), "{nonsense:?}: {text}");
        assert_still_serves(&server);
    }
    let mut client = server.client();
    client.send(format!("GET / HTTP/1.1\r\nhost: perch\r\nx-long: {}\r\n\r\n", "x".repeat(1 << 20)).as_bytes()).ok();
    let answer = client.receive();
    assert!(!matches!(&answer, Ok(Some(reply)) if reply.status < 400), "{answer:?}");
    assert_still_serves(&server);
}

#[test]
fn a_body_that_breaks_off_harms_nobody() {
    let server = server();
    for _ in 0..20 {
        let mut client = Client::new(server.address());
        client.send(b"POST /predict HTTP/1.1\r\nhost: perch\r\ncontent-length: 1000\r\n\r\n{\"model\"").expect("sent");
        client.hang_up();
    }
    assert_still_serves(&server);
}
