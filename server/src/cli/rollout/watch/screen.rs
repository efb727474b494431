//! The terminal while it is watched: a screen of its own, which is gone afterwards.

use std::io::{self, Write};

use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::style::Print;
use crossterm::terminal::{
    BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
};
use crossterm::{execute, queue};

/// The screen; the terminal is as before when this is dropped.
pub(super) struct Screen(());

impl Screen {
    pub(super) fn enter() -> io::Result<Self> {
        execute!(io::stdout(), EnterAlternateScreen, Hide, Clear(ClearType::All))?;
        Ok(Self(()))
    }

    /// Draws lines from the top, over what was there.
    #[expect(clippy::unused_self, reason = "only who has entered may draw")]
    pub(super) fn draw(&self, lines: &[String]) -> io::Result<()> {
        let mut out = Vec::new();
        queue!(out, BeginSynchronizedUpdate)?;
        for (row, line) in lines.iter().enumerate() {
            let row = u16::try_from(row).unwrap_or(u16::MAX);
            // Not a line break: after the last row it would scroll.
            queue!(out, MoveTo(0, row), Print(line), Clear(ClearType::UntilNewLine))?;
        }
        let next = u16::try_from(lines.len()).unwrap_or(u16::MAX);
        let (_, rows) = crossterm::terminal::size().unwrap_or((0, u16::MAX));
        if next < rows {
            queue!(out, MoveTo(0, next), Clear(ClearType::FromCursorDown))?;
        }
        queue!(out, EndSynchronizedUpdate)?;
        let mut stdout = io::stdout().lock();
        stdout.write_all(&out)?;
        stdout.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
    }
}
