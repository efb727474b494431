//! Lines of text with looks, measured in columns.

use crossterm::style::{Attribute, Color, ContentStyle, Stylize};
use unicode_width::UnicodeWidthChar;

/// How a piece of text looks where there are colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(in crate::cli::rollout) enum Look {
    #[default]
    Plain,
    Strong,
    Dim,
    Good,
    Warn,
    Bad,
}

/// The characters that a frame is drawn with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli::rollout) struct Glyphs {
    pub(super) full: &'static str,
    pub(super) empty: &'static str,
    pub(super) here: &'static str,
    pub(super) done: &'static str,
    pub(super) arrow: &'static str,
    pub(super) ellipsis: char,
    ascii: bool,
}

impl Glyphs {
    pub(in crate::cli::rollout) const UNICODE: Self =
        Self { full: "█", empty: "░", here: "▶", done: "✓", arrow: "→", ellipsis: '…', ascii: false };
    pub(in crate::cli::rollout) const ASCII: Self =
        Self { full: "#", empty: ".", here: ">", done: "+", arrow: "->", ellipsis: '~', ascii: true };

    /// What a locale can show: the first of `LC_ALL`, `LC_CTYPE` and `LANG` that says something decides, as in POSIX.
    pub(in crate::cli::rollout) fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let locale =
            ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(|name| variable(name).filter(|v| !v.is_empty()));
        let locale = locale.unwrap_or_default().to_ascii_lowercase();
        if locale.contains("utf-8") || locale.contains("utf8") { Self::UNICODE } else { Self::ASCII }
    }
}

/// A line of a frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::cli::rollout) struct Line(Vec<(Look, String)>);

impl Line {
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    /// The line with more at its end. Line breaks and control characters become spaces: what a server sends must not
    /// steer the terminal.
    pub(super) fn with(mut self, look: Look, text: impl AsRef<str>) -> Self {
        self.0.push((look, clean(text.as_ref())));
        self
    }

    /// The same without a look.
    pub(super) fn plain(self, text: impl AsRef<str>) -> Self {
        self.with(Look::Plain, text)
    }

    /// The line with spaces up to a column.
    pub(super) fn up_to(self, column: usize) -> Self {
        let missing = column.saturating_sub(self.width());
        self.plain(" ".repeat(missing))
    }

    /// Columns.
    pub(in crate::cli::rollout) fn width(&self) -> usize {
        self.0.iter().map(|(_, text)| width(text)).sum()
    }

    /// The line, cut where it is wider than `columns`, in characters that the glyphs allow.
    pub(super) fn fit(self, columns: usize, glyphs: &Glyphs) -> Self {
        let mut pieces = self.0;
        if glyphs.ascii {
            for (_, text) in &mut pieces {
                *text = text.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect();
            }
        }
        let line = Self(pieces);
        if line.width() <= columns {
            return line;
        }
        let mut left = columns;
        let mut fitted = Vec::new();
        for (look, text) in line.0 {
            let wide = width(&text);
            // What is cut needs a column for the sign of it, also when it is the next piece that does not fit.
            if wide < left {
                left -= wide;
                fitted.push((look, text));
                continue;
            }
            fitted.push((look, cut(&format!("{text}{}", " ".repeat(columns)), left, glyphs)));
            break;
        }
        Self(fitted)
    }

    /// The text alone.
    pub(in crate::cli::rollout) fn text(&self) -> String {
        let text: String = self.0.iter().map(|(_, text)| text.as_str()).collect();
        text.trim_end().to_owned()
    }

    /// The text with the terminal's sequences for its looks.
    pub(in crate::cli::rollout) fn ansi(&self) -> String {
        self.0.iter().map(|(look, text)| format!("{}", style(*look).apply(text))).collect()
    }
}

fn style(look: Look) -> ContentStyle {
    let plain = ContentStyle::new();
    match look {
        Look::Plain => plain,
        Look::Strong => plain.attribute(Attribute::Bold),
        Look::Dim => plain.attribute(Attribute::Dim),
        Look::Good => plain.with(Color::DarkGreen),
        Look::Warn => plain.with(Color::DarkYellow),
        Look::Bad => plain.with(Color::DarkRed).attribute(Attribute::Bold),
    }
}

/// Text without line breaks and control characters, and without those that turn the direction of writing.
pub(in crate::cli::rollout) fn clean(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|c| if c.is_control() || turns(c) { ' ' } else { c }).collect()
}

/// Columns of a text.
pub(super) fn width(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or_default()).sum()
}

/// A text in at most so many columns; what is missing at its end is marked.
pub(super) fn cut(text: &str, columns: usize, glyphs: &Glyphs) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let Some(room) = columns.checked_sub(1) else { return String::new() };
    let mut used = 0;
    let mut short = String::new();
    for c in text.chars() {
        used += c.width().unwrap_or_default();
        if used > room {
            break;
        }
        short.push(c);
    }
    let mut short = short.trim_end().to_owned();
    short.push(glyphs.ellipsis);
    short
}

/// A bar of `columns`. What is begun shows, and what is not complete does not look so.
pub(super) fn bar(fraction: f64, columns: usize, glyphs: &Glyphs) -> (String, String) {
    #[expect(clippy::cast_precision_loss, reason = "columns of a terminal")]
    let all = columns as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to the columns")]
    let mut full = (fraction.clamp(0.0, 1.0) * all).round() as usize;
    if fraction > 0.0 && full == 0 {
        full = 1.min(columns);
    }
    if fraction < 1.0 && full == columns {
        full = columns.saturating_sub(1);
    }
    (glyphs.full.repeat(full), glyphs.empty.repeat(columns - full))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_by_columns() {
        let line = |text: &str| Line::new().with(Look::Good, text).plain(" end");
        assert_eq!(line("abc").fit(7, &Glyphs::UNICODE).text(), "abc end");
        assert_eq!(line("abc").fit(6, &Glyphs::UNICODE).text(), "abc e…");
        assert_eq!(line("abc").fit(3, &Glyphs::UNICODE).text(), "ab…");
        assert_eq!(line("abc").fit(3, &Glyphs::ASCII).text(), "ab~");
        assert_eq!(line("日本語").fit(7, &Glyphs::UNICODE).text(), "日本語…");
        assert_eq!(line("日本語").fit(6, &Glyphs::UNICODE).text(), "日本…");
        assert_eq!(line("日本語").fit(6, &Glyphs::ASCII).text(), "??? e~");
        assert_eq!(line("abc").fit(0, &Glyphs::UNICODE).text(), "");
        for columns in 0..12 {
            assert!(line("日本語 e\u{301}").fit(columns, &Glyphs::UNICODE).width() <= columns);
        }
    }

    #[test]
    fn a_server_does_not_steer_the_terminal() {
        let line = Line::new().plain("a\u{1b}[2Jb\nc\u{9b}d\u{202e}e");
        assert_eq!(line.text(), "a [2Jb c d e");
    }

    #[test]
    fn looks_are_sequences_only_where_they_are_asked_for() {
        let line = Line::new().with(Look::Bad, "x").plain("y");
        assert_eq!(line.text(), "xy");
        assert!(line.ansi().contains("\u{1b}[") && line.ansi().ends_with('y'), "{:?}", line.ansi());
    }

    #[test]
    fn bars_do_not_look_complete_before_they_are() {
        let drawn = |fraction: f64| bar(fraction, 4, &Glyphs::ASCII);
        let both = |full: &str, empty: &str| (full.to_owned(), empty.to_owned());
        assert_eq!(drawn(0.0), both("", "...."));
        assert_eq!(drawn(-3.0), both("", "...."));
        assert_eq!(drawn(f64::NAN), both("", "...."));
        assert_eq!(drawn(0.001), both("#", "..."));
        assert_eq!(drawn(0.5), both("##", ".."));
        assert_eq!(drawn(0.999), both("###", "."));
        assert_eq!(drawn(7.0), both("####", ""));
        assert_eq!(bar(0.5, 0, &Glyphs::ASCII), both("", ""));
    }

    #[test]
    fn the_locale_decides_by_its_first_word() {
        let glyphs = |pairs: &'static [(&str, &str)]| {
            Glyphs::of(|name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
        };
        assert_eq!(glyphs(&[("LANG", "de_CH.UTF-8")]), Glyphs::UNICODE);
        assert_eq!(glyphs(&[("LANG", "C.utf8"), ("LC_ALL", "")]), Glyphs::UNICODE);
        assert_eq!(glyphs(&[("LANG", "de_CH.UTF-8"), ("LC_ALL", "C")]), Glyphs::ASCII);
        assert_eq!(glyphs(&[]), Glyphs::ASCII);
    }
}
