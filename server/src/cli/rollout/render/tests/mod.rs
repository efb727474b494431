//! Frames against texts that are kept beside them. `PERCH_GOLDEN=write` writes them anew: look at them before you
//! commit.

mod views;

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use self::views::{past, progressing};
use super::text::Glyphs;
use super::{Link, Scene, render};
use crate::cli::rollout::view::{Past, View};
use crate::cli::rollout::words::time;

struct Picture {
    view: Value,
    history: Value,
    link: Link,
    height: Option<usize>,
    glyphs: Glyphs,
}

impl Picture {
    fn of(view: Value) -> Self {
        Self { view, history: past(), link: Link::Live, height: None, glyphs: Glyphs::UNICODE }
    }

    /// The frame as text; no line is wider than it may be, and none is lost.
    fn draw(&self, width: usize) -> String {
        let view: View = serde_json::from_value(self.view.clone()).expect("a view");
        let past: Past = serde_json::from_value(self.history.clone()).expect("a history");
        let scene = Scene {
            view: &view,
            history: &past.history,
            link: &self.link,
            now: time("2026-11-03T12:03:04+01:00").expect("a time"),
            width,
            height: self.height,
            glyphs: &self.glyphs,
        };
        let lines = render(&scene);
        for line in &lines {
            assert!(line.width() <= width, "{} columns in {width}: {}", line.width(), line.text());
        }
        if let Some(height) = self.height {
            assert!(lines.len() <= height, "{} lines in {height}", lines.len());
        }
        lines.iter().map(|line| line.text() + "\n").collect()
    }
}

#[track_caller]
fn assert_golden(name: &str, picture: &Picture) {
    for width in [80, 60] {
        let file =
            PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("src/cli/rollout/render/golden/{name}_{width}.txt"));
        let drawn = picture.draw(width);
        if std::env::var_os("PERCH_GOLDEN").is_some_and(|value| value == "write") {
            std::fs::write(&file, &drawn).expect("written");
        }
        let kept = std::fs::read_to_string(&file).expect("a golden text: run with PERCH_GOLDEN=write");
        assert_eq!(drawn, kept, "{}\n{drawn}", file.display());
    }
}

#[test]
fn each_state_looks_as_it_is_kept() {
    for (name, view) in views::STATES {
        assert_golden(name, &Picture::of(view()));
    }
}

#[test]
fn the_document_shows_what_is_drawn() {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/watch.md");
    let document = std::fs::read_to_string(file).expect("a document");
    assert!(document.contains(&Picture::of(progressing()).draw(80)), "docs/watch.md has another frame");
}

#[test]
fn a_small_terminal_shows_what_matters() {
    let mut picture = Picture::of(progressing());
    picture.height = Some(24);
    assert_golden("rows_24", &picture);
    picture.height = Some(12);
    assert_golden("rows_12", &picture);
    for height in 0..60 {
        picture.height = Some(height);
        picture.draw(80);
    }
}

#[test]
fn nothing_is_wider_than_the_terminal() {
    for (_, view) in views::STATES {
        for width in 1..130 {
            for glyphs in [Glyphs::UNICODE, Glyphs::ASCII] {
                let mut picture = Picture::of(view());
                picture.glyphs = glyphs;
                let text = picture.draw(width);
                assert!(glyphs == Glyphs::UNICODE || text.is_ascii(), "{text}");
            }
        }
    }
}

#[test]
fn a_locale_without_unicode_gets_ascii() {
    let mut view = progressing();
    view["model"] = json!("zürich_利率");
    let mut picture = Picture::of(view);
    picture.glyphs = Glyphs::ASCII;
    assert_golden("ascii", &picture);
}

#[test]
fn how_fresh_it_is_shows() {
    let mut picture = Picture::of(progressing());
    picture.link = Link::Stale(Duration::from_secs(7));
    assert_eq!(picture.draw(80).lines().next().expect("a title").split("12:03:04").last(), Some("  7 s old"));
    picture.link = Link::Once;
    assert!(picture.draw(80).lines().next().expect("a title").ends_with("12:03:04"));
    let (age, next) = (Duration::from_secs(70), Some(Duration::from_secs(4)));
    picture.link = Link::Lost { age, next, error: "connection refused".into() };
    assert_golden("cut_off", &picture);
}

#[test]
fn a_server_that_says_little_is_shown() {
    let mut picture = Picture::of(json!({"model": "m", "generation": 0, "state": "progressing"}));
    picture.history = json!({"history": []});
    let text = picture.draw(80);
    assert!(text.contains("m  progressing"), "{text}");
    assert!(text.contains("the canary at 0 %, the canary is loading"), "{text}");
}
