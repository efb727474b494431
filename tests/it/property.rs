//! Whatever stands in a body, the answer is a prediction or an error of the client's, and always JSON.
//!
//! A hundred thousand bodies, or as many as `PERCH_PROPERTY_CASES` says, from the seed `PERCH_PROPERTY_SEED`. They go out
//! in groups on connections that are kept: the server takes them one by one, the sockets take them at once.

use std::fmt::Write as _;

use perch_testkit::client::request;
use perch_testkit::{Client, Reply, TestServer, json as tokens};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Requests that are on their way at once on one connection.
const GROUP: usize = 32;
const CLIENTS: u64 = 4;
const MODELS: [&str; 9] = ["external", "mixed", "dtypes", "image", "sentences", "scalar_rows", "fixed", "iris", "nan"];

/// Requests as they should be, to be spoilt.
const VALID: [&str; 10] = [
    r#"{"model": "external", "instances": [[1, 2.5, -3e2, NaN], [0, 0, 0, 0]]}"#,
    r#"{"model": "external", "inputs": {"features": [[1, 2, 3, 4]]}, "outputs": ["sum"], "id": "a"}"#,
    r#"{"model": "external", "inputs": [{"name": "features", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}"#,
    r#"{"model": "mixed", "instances": [[40, 52000, 7, 3, true, "Z\u00fcrich"], [31, 1500, 0, 5, false, "Oslo"]]}"#,
    r#"{"model": "mixed", "inputs": {"age": [[1]], "income": [[2]], "visits": [3], "level": [[4]], "member": [[true]], "city": [["x"]]}}"#,
    r#"{"model": "dtypes", "inputs": {"uint8": [[0, 255]], "int8": [[-128, 127]], "uint16": [[0, 65535]], "int16": [[0, 1]], "uint32": [[0, 1]], "uint64": [[0, 18446744073709551615]], "float16": [[-0.5, 65504]]}}"#,
    r#"{"model": "sentences", "instances": ["perch", "Gr\u00fc\u00dfe", "\ud83d\udc1f"], "parameters": {"a": [1, {"b": null}]}}"#,
    r#"{"model": "iris", "instances": [{"features": [5.1, 3.5, 1.4, 0.2]}], "outputs": [{"name": "output_probability"}]}"#,
    r#"{"model": "scalar_rows", "inputs": [1, -2.5, Infinity]}"#,
    r#"{"model": "fixed", "instances": [[1, 2, 3, 4]]}"#,
];

/// One way of spoiling bytes.
#[derive(Clone, Debug)]
enum Mutation {
    Flip(prop::sample::Index, u8),
    Set(prop::sample::Index, u8),
    Truncate(prop::sample::Index),
    Delete(prop::sample::Index, usize),
    Duplicate(prop::sample::Index, usize),
    Insert(prop::sample::Index, &'static str),
}

impl Mutation {
    fn apply(&self, body: &mut Vec<u8>) {
        if body.is_empty() {
            return;
        }
        let len = body.len();
        let end = |start: usize, count: usize| (start + count).min(len);
        match self {
            Self::Flip(at, bit) => body[at.index(len)] ^= 1 << bit,
            Self::Set(at, byte) => body[at.index(len)] = *byte,
            Self::Truncate(at) => body.truncate(at.index(len)),
            Self::Delete(at, count) => drop(body.drain(at.index(len)..end(at.index(len), *count))),
            Self::Duplicate(at, count) => {
                let start = at.index(len);
                let piece = body[start..end(start, *count)].to_vec();
                body.splice(start..start, piece);
            }
            Self::Insert(at, text) => drop(body.splice(at.index(len)..at.index(len), text.bytes())),
        }
    }
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let at = any::<prop::sample::Index>;
    let pieces = prop::sample::select(vec![
        "[",
        "]",
        "{",
        "}",
        ",",
        ":",
        "\"",
        "null",
        "NaN",
        "-Infinity",
        "-",
        "1e400",
        "1e-400",
        "0x1",
        "\\u0000",
        "\\ud800",
        "99999999999999999999",
        "true",
        "\"model\": \"iris\",",
        "\"instances\":",
        "\"inputs\":",
        "[]",
        "{}",
        "1.5",
        " ",
    ]);
    prop_oneof![
        (at(), 0..8_u8).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        (at(), any::<u8>()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        at().prop_map(Mutation::Truncate),
        (at(), 1..20_usize).prop_map(|(at, count)| Mutation::Delete(at, count)),
        (at(), 1..20_usize).prop_map(|(at, count)| Mutation::Duplicate(at, count)),
        (at(), pieces).prop_map(|(at, piece)| Mutation::Insert(at, piece)),
    ]
}

fn spoilt() -> impl Strategy<Value = Vec<u8>> {
    (prop::sample::select(VALID.to_vec()), prop::collection::vec(mutation(), 1..4)).prop_map(|(valid, mutations)| {
        let mut body = valid.as_bytes().to_vec();
        mutations.iter().for_each(|mutation| mutation.apply(&mut body));
        body
    })
}

/// Scalars as JSON text, the odd ones too.
fn scalar() -> impl Strategy<Value = String> {
    let odd = prop::sample::select(vec![
        "NaN",
        "Infinity",
        "-Infinity",
        "-0",
        "-0.0",
        "1e38",
        "-3.5e38",
        "1e308",
        "5e-324",
        "65504",
        "65520",
        "255",
        "256",
        "-129",
        "4294967296",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775809",
        "18446744073709551616",
        "true",
        "false",
        "null",
        "\"\"",
        "\"perch\"",
        "\"\\u0000\"",
        "{}",
        "[]",
    ]);
    prop_oneof![
        3 => (-100..100_i32).prop_map(|number| number.to_string()),
        3 => any::<f32>().prop_map(|number| if number.is_finite() { format!("{number:e}") } else { "NaN".into() }),
        1 => any::<i64>().prop_map(|number| number.to_string()),
        1 => "[ -~é世]{0,6}".prop_map(|text| serde_json::Value::from(text).to_string()),
        2 => odd.prop_map(str::to_owned),
    ]
}

/// Nested arrays, mostly of the form that tensors have.
fn tensor() -> impl Strategy<Value = String> {
    let list = |items: Vec<String>| format!("[{}]", items.join(","));
    let row = (scalar(), 0..6_usize).prop_map(move |(item, count)| list(vec![item; count]));
    prop_oneof![
        scalar(),
        prop::collection::vec(scalar(), 0..5).prop_map(list),
        (row, 0..4_usize).prop_map(move |(row, count)| list(vec![row; count])),
        prop::collection::vec(prop::collection::vec(scalar(), 4).prop_map(list), 1..3).prop_map(list),
        (scalar(), 1..4_usize).prop_map(|(item, deep)| format!("{}{item}{}", "[".repeat(deep), "]".repeat(deep))),
    ]
}

const INPUTS: [&str; 12] =
    ["features", "age", "income", "visits", "level", "member", "city", "text", "x", "image", "uint8", "float16"];

fn shaped() -> impl Strategy<Value = Vec<u8>> {
    let name = || prop::sample::select(INPUTS.to_vec());
    let datatype = prop::sample::select(vec!["FP32", "FP64", "INT64", "UINT8", "BOOL", "BYTES", "FP16", "BF16", ""]);
    let shape = prop::collection::vec(prop_oneof![4 => 0..5_u64, 1 => any::<u64>()], 0..4);
    let data = prop_oneof![
        tensor().prop_map(|rows| format!("\"instances\": {rows}")),
        prop::collection::vec((name(), tensor()), 0..7).prop_map(|fields| {
            let fields: Vec<String> = fields.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
            format!("\"instances\": [{{{}}}]", fields.join(", "))
        }),
        prop::collection::vec((name(), tensor()), 0..7).prop_map(|fields| {
            let fields: Vec<String> = fields.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
            format!("\"inputs\": {{{}}}", fields.join(", "))
        }),
        tensor().prop_map(|rows| format!("\"inputs\": {rows}")),
        (name(), datatype, shape, tensor()).prop_map(|(name, datatype, shape, data)| format!(
            "\"inputs\": [{{\"name\": \"{name}\", \"datatype\": \"{datatype}\", \"shape\": {shape:?}, \"data\": {data}}}]"
        )),
    ];
    let outputs =
        prop::option::weighted(0.2, prop::collection::vec(prop::sample::select(vec!["sum", "score", "same"]), 0..3));
    (prop::sample::select(MODELS.to_vec()), data, outputs).prop_map(|(model, data, outputs)| {
        let mut body = format!("{{\"model\": \"{model}\", {data}");
        if let Some(outputs) = outputs {
            let _ = write!(body, ", \"outputs\": {outputs:?}");
        }
        body.push('}');
        body.into_bytes()
    })
}

fn float() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<f32>().prop_map(|number| if number.is_finite() { format!("{number:e}") } else { "-Infinity".into() }),
        (-1000..1000_i32).prop_map(|number| number.to_string()),
        Just("NaN".to_owned()),
    ]
}

/// Rows of `width` floats as they should be; one value is the row itself where the model has it so.
fn rows(width: usize) -> impl Strategy<Value = String> {
    let row = prop::collection::vec(float(), width);
    let row = row.prop_map(move |row| if width == 1 { row.concat() } else { format!("[{}]", row.join(",")) });
    prop::collection::vec(row, 1..6).prop_map(|rows| format!("[{}]", rows.join(",")))
}

/// Requests that nothing is wrong with.
fn fitting() -> impl Strategy<Value = Vec<u8>> {
    let wide = (prop::sample::select(vec!["external", "iris"]), rows(4));
    let narrow = (prop::sample::select(vec!["scalar_rows", "nan"]), rows(1));
    let person = (float(), float(), -(1_i64 << 40)..1 << 40, any::<i32>(), any::<bool>(), "[ -~é世]{0,9}").prop_map(
        |(age, income, visits, level, member, city)| {
            let city = serde_json::Value::from(city);
            format!("[[{age},{income},{visits},{level},{member},{city}]]")
        },
    );
    let text = prop::collection::vec("[ -~é世]{0,9}", 1..5).prop_map(|text| serde_json::Value::from(text).to_string());
    let request = prop_oneof![
        3 => wide,
        2 => narrow,
        2 => person.prop_map(|rows| ("mixed", rows)),
        1 => text.prop_map(|rows| ("sentences", rows)),
    ];
    (request, any::<bool>()).prop_map(|((model, rows), bare)| {
        let field = if bare && model != "mixed" { "inputs" } else { "instances" };
        format!("{{\"model\": \"{model}\", \"{field}\": {rows}}}").into_bytes()
    })
}

fn any_json() -> impl Strategy<Value = Vec<u8>> {
    let keys =
        || prop::sample::select(vec!["model", "instances", "inputs", "outputs", "parameters", "id", "name", "x", ""]);
    let value = scalar().prop_recursive(4, 24, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec((keys(), inner), 0..5).prop_map(|fields| {
                let fields: Vec<String> = fields.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
                format!("{{{}}}", fields.join(","))
            }),
        ]
    });
    value.prop_map(String::into_bytes)
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        1 => prop::collection::vec(any::<u8>(), 0..64),
        2 => any_json(),
        4 => spoilt(),
        4 => shaped(),
        2 => fitting(),
    ]
}

/// Says what is wrong with an answer.
fn check(reply: &Reply) -> Result<(), String> {
    let text = String::from_utf8_lossy(&reply.body);
    let wrong = |what: &str| Err(format!("{what}: {} {text}", reply.status));
    let Ok(body) = tokens::parse(&reply.body) else { return wrong("no JSON") };
    match reply.status {
        200 if body["predictions"].is_array() || body["outputs"].is_object() || body["outputs"].is_array() => Ok(()),
        400 | 404 if body["error"]["code"].is_string() && body["error"]["message"].is_string() => Ok(()),
        _ => wrong("neither a prediction nor an error of the client's"),
    }
}

fn ask(client: &mut Client, body: &[u8]) -> Result<(), String> {
    let reply = client.try_request("POST", "/predict", &[], body).map_err(|error| error.to_string())?;
    check(&reply)
}

/// The smallest body that fails like this one.
fn smallest(client: &mut Client, mut tree: impl ValueTree<Value = Vec<u8>>) -> String {
    let mut worst = (tree.current(), String::new());
    for _ in 0..500 {
        let failed = match ask(client, &tree.current()) {
            Ok(()) => false,
            Err(why) => {
                worst = (tree.current(), why);
                true
            }
        };
        if !(if failed { tree.simplify() } else { tree.complicate() }) {
            break;
        }
    }
    format!("{}\n-> {}", String::from_utf8_lossy(&worst.0), worst.1)
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// Sends `cases` bodies; the first failure ends it.
fn run(server: &TestServer, seed: u64, cases: u64) -> Result<[u64; 2], String> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let (strategy, mut client) = (body(), server.client());
    let (mut sent, mut answers) = (0, [0, 0]);
    while sent < cases {
        let mut trees = Vec::with_capacity(GROUP);
        let mut group = Vec::new();
        for _ in 0..GROUP {
            let tree = strategy.new_tree(&mut runner).map_err(|reason| reason.to_string())?;
            group.extend(request("POST", "/predict", &[], &tree.current()));
            trees.push(tree);
        }
        client.send(&group).map_err(|error| error.to_string())?;
        for tree in trees {
            let reply =
                client.receive().map_err(|error| error.to_string()).and_then(|reply| reply.ok_or("closed".into()));
            match reply.and_then(|reply| check(&reply).map(|()| reply.status)) {
                Ok(status) => answers[usize::from(status != 200)] += 1,
                Err(why) => {
                    return Err(format!("seed {seed}: {why}\nsmallest: {}", smallest(&mut server.client(), tree)));
                }
            }
            sent += 1;
        }
    }
    Ok(answers)
}

#[test]
fn no_body_gets_anything_but_a_prediction_or_an_error_of_the_clients() {
    let (cases, seed) = (number("PERCH_PROPERTY_CASES", 100_000), number("PERCH_PROPERTY_SEED", 1));
    let server = TestServer::with(&MODELS);
    let results: Vec<Result<[u64; 2], String>> = std::thread::scope(|scope| {
        let server = &server;
        let client =
            |number| scope.spawn(move || run(server, seed.wrapping_mul(CLIENTS) + number, cases.div_ceil(CLIENTS)));
        let clients: Vec<_> = (0..CLIENTS).map(client).collect();
        clients.into_iter().map(|client| client.join().expect("a client")).collect()
    });
    let mut answers = [0, 0];
    for result in results {
        match result {
            Ok(counts) => answers = [answers[0] + counts[0], answers[1] + counts[1]],
            Err(why) => assert_eq!(why, ""),
        }
    }
    // Both kinds in numbers, or the bodies do not test what they are for.
    let [predictions, errors] = answers;
    assert!(predictions > cases / 10 && errors > cases / 4, "{predictions} predictions, {errors} errors");
}
