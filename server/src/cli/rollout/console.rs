//! Where a command writes: results, messages, and the terminal if there is one.

use std::io::{self, IsTerminal as _, Write};

use chrono::{DateTime, FixedOffset, Local};
use serde_json::Value;

use super::render::text::{Glyphs, Line};
use crate::cli::{Failure, Outcome};

/// Columns where nobody says how many there are.
const COLUMNS: usize = 80;
/// A frame is not wider: eyes lose the line.
const WIDEST: usize = 120;

/// Where a command writes.
pub(super) struct Console<'a> {
    out: Box<dyn Write + 'a>,
    messages: Box<dyn Write + 'a>,
    /// Whether results go to a terminal.
    pub(super) terminal: bool,
    colours: bool,
    /// Whether nobody reads the results any more.
    pub(super) closed: bool,
    pub(super) glyphs: Glyphs,
}

impl Console<'_> {
    pub(super) fn of_process() -> Self {
        let variable = |name: &str| std::env::var(name).ok();
        let dumb = variable("TERM").is_some_and(|term| term == "dumb");
        let terminal = io::stdout().is_terminal() && !dumb;
        // https://no-color.org: present and not empty.
        let colours = terminal && variable("NO_COLOR").is_none_or(|value| value.is_empty());
        Self {
            out: Box::new(io::stdout()),
            messages: Box::new(io::stderr()),
            terminal,
            colours,
            closed: false,
            glyphs: Glyphs::of(variable),
        }
    }

    /// A console of a test.
    #[cfg(test)]
    pub(super) fn into<'a>(out: impl Write + 'a, messages: impl Write + 'a) -> Console<'a> {
        let (out, messages) = (Box::new(out), Box::new(messages));
        Console { out, messages, terminal: false, colours: false, closed: false, glyphs: Glyphs::UNICODE }
    }

    /// Writes a result.
    pub(super) fn print(&mut self, text: &str) -> Outcome {
        match self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()) {
            Ok(()) => Ok(()),
            // Who closed the pipe has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            Err(error) => Err(Failure::Failed(format!("the result cannot be written: {error}"))),
        }
    }

    /// Writes a line of a result.
    pub(super) fn line(&mut self, text: &str) -> Outcome {
        self.print(&format!("{text}\n"))
    }

    /// Writes a result for programs.
    pub(super) fn json(&mut self, value: &Value) -> Outcome {
        self.line(&format!("{value:#}"))
    }

    /// Writes lines of a frame.
    pub(super) fn lines(&mut self, lines: &[Line]) -> Outcome {
        let text: String = lines.iter().map(|line| self.styled(line) + "\n").collect();
        self.print(&text)
    }

    /// A line as this console shows it.
    pub(super) fn styled(&self, line: &Line) -> String {
        if self.colours { line.ansi() } else { line.text() }
    }

    /// Tells of something that is no result.
    pub(super) fn tell(&mut self, message: &str) {
        // Who cannot be told goes on without.
        let _ = writeln!(self.messages, "perch: {message}");
    }

    /// Columns for a frame, and rows where they are limited.
    pub(super) fn size(&self) -> (usize, Option<usize>) {
        let size = self.terminal.then(|| crossterm::terminal::size().ok()).flatten();
        let size = size.filter(|(columns, rows)| *columns > 0 && *rows > 0);
        size.map_or((COLUMNS, None), |(columns, rows)| (usize::from(columns).min(WIDEST), Some(usize::from(rows))))
    }
}

/// The time of this place.
pub(super) fn now() -> DateTime<FixedOffset> {
    Local::now().fixed_offset()
}
