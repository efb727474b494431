//! Server-sent events out of the bytes that arrive.

/// A line that is longer is none of perch's.
const LONGEST: usize = 4 << 20;

/// What a stream says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// An event's data.
    Data(String),
    /// A comment: the other side is there.
    Comment,
}

/// The state of a stream between two pieces of it.
#[derive(Default)]
pub(super) struct Parser {
    line: Vec<u8>,
    data: Vec<u8>,
    /// Whether a carriage return ended the last line, so that a line feed belongs to it.
    returned: bool,
}

impl Parser {
    /// Takes the next bytes and gives what is complete; an error where a line or event is too long.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<Vec<Said>, String> {
        let mut said = Vec::new();
        for byte in bytes {
            let after_return = std::mem::replace(&mut self.returned, *byte == b'\r');
            match byte {
                b'\n' if after_return => {}
                b'\n' | b'\r' => said.extend(self.end_of_line()),
                _ => self.line.push(*byte),
            }
            if self.line.len() + self.data.len() > LONGEST {
                return Err(format!("an event is longer than {LONGEST} bytes"));
            }
        }
        Ok(said)
    }

    fn end_of_line(&mut self) -> Option<Said> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            let mut data = std::mem::take(&mut self.data);
            // Each line of data ends with a line feed; that of the last is not part of it.
            data.pop()?;
            return Some(Said::Data(String::from_utf8_lossy(&data).into_owned()));
        }
        if line.starts_with(b":") {
            return Some(Said::Comment);
        }
        let value = line.strip_prefix(b"data").and_then(|rest| match rest {
            [] => Some(rest),
            [b':', value @ ..] => Some(value.strip_prefix(b" ").unwrap_or(value)),
            _ => None,
        });
        if let Some(value) = value {
            self.data.extend_from_slice(value);
            self.data.push(b'\n');
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(text: &str) -> Said {
        Said::Data(text.to_owned())
    }

    #[test]
    fn events_come_in_whatever_pieces() {
        let stream = ": hello\n\nevent: rollout\nid: 7\ndata: {\"a\": 1}\n\ndata:x\r\ndata: y\r\n\r\ndatum: no\n\ndata\n\n: end\r\r";
        let expected = [Said::Comment, data("{\"a\": 1}"), data("x\ny"), data(""), Said::Comment];
        for size in 1..stream.len() {
            let mut parser = Parser::default();
            let mut said = Vec::new();
            for piece in stream.as_bytes().chunks(size) {
                said.extend(parser.take(piece).expect("short"));
            }
            assert_eq!(said, expected, "in pieces of {size}");
        }
    }

    #[test]
    fn an_endless_line_is_refused() {
        let mut parser = Parser::default();
        let piece = vec![b'x'; 1 << 20];
        let results: Vec<bool> = (0..5).map(|_| parser.take(&piece).is_ok()).collect();
        assert_eq!(results, [true, true, true, true, false]);
    }
}
