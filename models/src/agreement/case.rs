//! What both sessions are run on: the version's own example, and inputs that perch makes up.

use crate::dtype::DType;
use crate::example::Example;
use crate::run::compose::Rules;
use crate::signature::Signature;
use crate::tensor::{Data, Tensor};
use crate::text::{EncodeOptions, Input, Sequence, Task, TextModel};

/// Sentences of several lengths, in several alphabets.
const SENTENCES: [&str; 4] = [
    "Yes.",
    "How do I change the address that my invoices are sent to?",
    "The ferry leaves at half past seven, weather permitting. Wer zu spät kommt, wartet zwei Stunden auf die nächste \
     Überfahrt. Les billets s'achètent à bord; 現金のみ, только наличные.",
    "A warehouse on the river keeps four thousand crates of instruments: violins without strings, brass from orchestras \
     that no longer meet, and a harp which nobody has been able to tune. Every spring the lower floor is flooded, and the \
     staff carry what they can up the stairs in the order of a list that was written in 1962. Last year the list itself \
     got wet. Since then they have started with whatever stands closest to the door, and it has made no difference: \
     between eleven and fifteen crates are lost each time, about 0.3 % of the stock.",
];
/// How often the last sentence is repeated for a long text: about 250 tokens.
const REPEATS: usize = 2;

/// One input of the comparison.
pub(super) struct Case {
    /// What it is, for messages.
    pub name: String,
    /// In the signature's order.
    pub inputs: Vec<Tensor>,
    /// Of texts: tokens of each row. Their padded length is in the inputs' shape.
    pub lengths: Option<(Vec<usize>, usize)>,
}

impl Case {
    fn plain(name: &str, inputs: Vec<Tensor>) -> Self {
        Self { name: name.into(), inputs, lengths: None }
    }

    /// Padded as texts are when they are served.
    fn texts(name: String, (text, rules): (&TextModel, &Rules), rows: &[&Sequence]) -> Self {
        let inputs = text.inputs(rows, rules.padded(longest(rows)));
        let padded = inputs.first().and_then(|tensor| tensor.shape().get(1).copied()).unwrap_or(0);
        Self { name, inputs, lengths: Some((rows.iter().map(|row| row.len()).collect(), padded)) }
    }
}

/// The inputs to compare on. An example that came with the version is always among them; where it has none, texts and,
/// for other models, zeros and numbers between -1 and 1.
pub(super) fn cases(signature: &Signature, example: &Example, text: Option<(&TextModel, &Rules)>) -> Vec<Case> {
    let mut cases = Vec::new();
    if example.given {
        cases.push(Case::plain("the input example", example.inputs.clone()));
    }
    cases.extend(text.map(of_texts).unwrap_or_default());
    if cases.is_empty() {
        cases.push(Case::plain("zeros", example.inputs.clone()));
    }
    let floats = |dtype| matches!(dtype, DType::F16 | DType::F32 | DType::F64);
    if text.is_none() && signature.inputs.iter().any(|spec| floats(spec.dtype)) {
        cases.push(Case::plain("numbers between -1 and 1", example.inputs.iter().map(spread).collect()));
    }
    cases
}

/// Each text alone, and all but the longest together, so that there is padding: if texts are padded.
fn of_texts((text, rules): (&TextModel, &Rules)) -> Vec<Case> {
    let long = [SENTENCES[SENTENCES.len() - 1]; REPEATS].join(" ");
    let options = EncodeOptions { truncate: true, ..EncodeOptions::default() };
    let ranks = text.config().task == Task::Reranker;
    let encode = |sentence: &&str| {
        // A model that ranks takes a query and a text.
        let input = if ranks { Input::Pair(SENTENCES[1], sentence) } else { Input::Text(sentence) };
        text.encode(input, &options).ok()
    };
    let rows: Vec<Sequence> = SENTENCES.iter().chain([&long.as_str()]).filter_map(encode).collect();
    let (one, many) = if ranks { ("a pair of texts", "pairs of texts") } else { ("a text", "texts") };
    let alone = |row: &Sequence| Case::texts(format!("{one} of {} tokens", row.len()), (text, rules), &[row]);
    let mut cases: Vec<Case> = rows.iter().map(alone).collect();
    let together: Vec<&Sequence> = rows.iter().take(SENTENCES.len()).collect();
    if rules.may_pad && together.len() > 1 {
        let name = format!("{} {many} padded to {} tokens", together.len(), rules.padded(longest(&together)));
        cases.push(Case::texts(name, (text, rules), &together));
    }
    cases
}

fn longest(rows: &[&Sequence]) -> usize {
    rows.iter().map(|row| row.len()).max().unwrap_or(0)
}

/// The same shape with other numbers: floats are spread over -1 to 1, always in the same way; all else stays.
fn spread(tensor: &Tensor) -> Tensor {
    // The multiples of the golden ratio, modulo 1, fill the unit interval evenly.
    let mut place = 0.5_f32;
    let mut next = || {
        place = (place + 0.618_034).fract();
        2.0 * place - 1.0
    };
    let data = match tensor.data() {
        Data::F16(values) => Data::F16(values.iter().map(|_| half::f16::from_f32(next())).collect()),
        Data::F32(values) => Data::F32(values.iter().map(|_| next()).collect()),
        Data::F64(values) => Data::F64(values.iter().map(|_| f64::from(next())).collect()),
        other => other.clone(),
    };
    Tensor::new(tensor.shape().into(), data).unwrap_or_else(|_| tensor.clone())
}
