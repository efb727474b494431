//! Every change of a rollout as a line: in the log, and in a file where one is named.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use perch_store::Audit;
use serde::Serialize;

use super::moment;

/// Writes the lines.
#[derive(Debug, Default)]
pub struct AuditLog {
    path: Option<PathBuf>,
    /// Whether the last line could not be written: that is said once.
    failing: AtomicBool,
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(with = "moment")]
    at: f64,
    model: &'a str,
    generation: u64,
    who: &'a str,
    from: &'a str,
    to: &'a str,
    what: &'a str,
    version: Option<&'a str>,
}

impl AuditLog {
    /// To this file as well, if any. It is made with its first line.
    #[must_use]
    pub const fn new(path: Option<PathBuf>) -> Self {
        Self { path, failing: AtomicBool::new(false) }
    }

    /// Writes one line. Whatever goes wrong with the file is logged and stops nothing: the store has the row.
    pub fn record(&self, model: &str, audit: &Audit) {
        let Audit { generation, at, who, from, to, what, version } = audit;
        let (generation, version) = (*generation, version.as_deref());
        let shown = version.unwrap_or_default();
        tracing::info!(target: "perch::audit", model, generation, who, from, to, what, version = shown, "rollout");
        let Some(path) = &self.path else { return };
        let line = Line { at: *at, model, generation, who, from, to, what, version };
        match append(path, &line) {
            Ok(()) => self.failing.store(false, Ordering::Relaxed),
            Err(error) if !self.failing.swap(true, Ordering::Relaxed) => {
                tracing::warn!(path = %path.display(), %error, "the audit log cannot be written; the store has its rows");
            }
            Err(_) => {}
        }
    }
}

/// One line is one write at the end of the file, so lines never mix. The file is opened for each: it may be moved away
/// meanwhile, and changes are rare.
fn append(path: &Path, line: &Line<'_>) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(line)?;
    bytes.push(b'\n');
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    file.write_all(&bytes)?;
    file.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn audit(generation: u64) -> Audit {
        Audit {
            generation,
            at: 1_795_255_200.25,
            who: "judge".into(),
            from: "progressing".into(),
            to: "demoted".into(),
            what: "version 4 is demoted:\nerrors".into(),
            version: (generation == 7).then(|| "4".into()),
        }
    }

    const SEVEN: &str = r#"{"at":"2026-11-21T10:00:00.250Z","model":"iris","generation":7,"who":"judge","from":"progressing","to":"demoted","what":"version 4 is demoted:\nerrors","version":"4"}"#;

    #[test]
    fn each_change_is_one_line_even_when_the_file_is_moved_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        fs::write(&path, "before\n").unwrap();
        let log = AuditLog::new(Some(path.clone()));
        log.record("iris", &audit(7));
        log.record("iris", &audit(8));
        let eight = SEVEN.replace(":7,", ":8,").replace(r#""4"}"#, "null}");
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("before\n{SEVEN}\n{eight}\n"));
        fs::rename(&path, folder.path().join("audit.1")).unwrap();
        log.record("iris", &audit(7));
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{SEVEN}\n"));
    }

    #[test]
    fn a_file_that_cannot_be_written_stops_nothing_and_is_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("missing/audit.jsonl");
        let log = AuditLog::new(Some(path.clone()));
        log.record("iris", &audit(7));
        assert!(log.failing.load(Ordering::Relaxed));
        fs::create_dir(path.parent().unwrap()).unwrap();
        log.record("iris", &audit(7));
        assert!(!log.failing.load(Ordering::Relaxed));
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{SEVEN}\n"));
        AuditLog::default().record("iris", &audit(7));
    }
}
