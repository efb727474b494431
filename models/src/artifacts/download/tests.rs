use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use super::*;
use crate::artifacts::cache::Cache;
use crate::registry::BoxFuture;

/// A remote folder that cuts each answer after some bytes.
struct Cutting {
    files: Vec<(RemoteFile, Vec<u8>)>,
    /// Bytes of each answer, in turn; the last one for ever.
    answers: Mutex<Vec<usize>>,
    ranges: bool,
    reads: AtomicU64,
}

impl Cutting {
    fn new(files: &[(&str, &[u8])], answers: &[usize]) -> Self {
        let file = |(path, content): &(&str, &[u8])| {
            let bytes = content.len() as u64;
            (RemoteFile { path: (*path).into(), bytes, etag: None }, content.to_vec())
        };
        let answers = Mutex::new(answers.to_vec());
        Self { files: files.iter().map(file).collect(), answers, ranges: true, reads: AtomicU64::new(0) }
    }
}

impl Remote for Cutting {
    fn uri(&self) -> &'static str {
        "test://folder"
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<RemoteFile>, RemoteError>> {
        Box::pin(async { Ok(self.files.iter().map(|(file, _)| file.clone()).collect()) })
    }

    fn read<'r>(&'r self, file: &'r RemoteFile, from: u64) -> BoxFuture<'r, Result<Reading, RemoteError>> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let (_, content) = self.files.iter().find(|(own, _)| own.path == file.path).expect("listed");
        let from = if self.ranges { from } else { 0 };
        let mut answers = self.answers.lock().expect("whole");
        let most = if answers.len() > 1 { answers.remove(0) } else { answers[0] };
        let rest = &content[usize::try_from(from).expect("small")..];
        let mut chunks: Vec<Result<Bytes, RemoteError>> =
            rest[..rest.len().min(most)].chunks(3).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
        if rest.len() > most {
            chunks.push(Err(RemoteError::Transient("cut".into())));
        }
        let chunks = Box::pin(futures_util::stream::iter(chunks));
        Box::pin(async move { Ok(Reading { from, chunks }) })
    }
}

#[derive(Default)]
struct Count {
    total: AtomicU64,
    here: AtomicI64,
}

impl Progress for Count {
    fn begin(&self, total: u64, present: u64) {
        self.total.store(total, Ordering::Relaxed);
        self.here.store(present.cast_signed(), Ordering::Relaxed);
    }

    fn advance(&self, bytes: u64) {
        self.here.fetch_add(bytes.cast_signed(), Ordering::Relaxed);
    }

    fn discard(&self, bytes: u64) {
        self.here.fetch_sub(bytes.cast_signed(), Ordering::Relaxed);
    }

    fn end(&self) {
        assert_eq!(self.here.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed).cast_signed());
    }
}

fn staging(dir: &tempfile::TempDir) -> Staging {
    Cache::new(dir.path(), 1 << 20).stage("k").expect("writable").expect("free")
}

async fn fetch(remote: &Cutting, staging: &Staging) -> Result<Vec<Entry>, DownloadError> {
    let files = list(remote).await?;
    let present = staging.resume(&files).expect("writable");
    download(remote, &files, staging, present, &Count::default()).await
}

const CONTENT: &[u8] = b"The quick brown fox jumps over the lazy dog";
/// `printf 'The quick brown fox jumps over the lazy dog' | sha256sum`
const SHA: &str = "d7a8fbb307d7809469ca9abcb0082e4f8d5651e46d3cdb762d02d0bf37c9e592";

#[tokio::test]
async fn a_download_goes_on_where_it_was_cut() {
    let dir = tempfile::tempdir().expect("a folder");
    let remote = Cutting::new(&[("model.onnx", CONTENT), ("sub/empty", b"")], &[10, 0, 0, 20, 100]);
    let staging = staging(&dir);
    let entries = fetch(&remote, &staging).await.expect("all of it");
    assert_eq!(entries[0], Entry { path: "model.onnx".into(), bytes: 43, sha256: SHA.into(), etag: None });
    assert_eq!((entries[1].path.as_str(), entries[1].bytes), ("sub/empty", 0));
    assert_eq!(std::fs::read(staging.files().join("model.onnx")).expect("there"), CONTENT);
    assert!(staging.files().join("sub/empty").is_file());
}

#[tokio::test]
async fn without_ranges_it_begins_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut remote = Cutting::new(&[("f", CONTENT)], &[10, 30, 100]);
    remote.ranges = false;
    let entries = fetch(&remote, &staging(&dir)).await.expect("all of it");
    assert_eq!((entries[0].sha256.as_str(), remote.reads.load(Ordering::Relaxed)), (SHA, 3));
}

#[tokio::test]
async fn another_process_goes_on_with_what_a_killed_one_left() {
    let dir = tempfile::tempdir().expect("a folder");
    let remote = Cutting::new(&[("f", CONTENT)], &[10, 0]);
    let error = fetch(&remote, &staging(&dir)).await.expect_err("it never ends").to_string();
    assert_eq!(error, "test://folder/f: cut");
    *remote.answers.lock().expect("whole") = vec![33];
    let entries = fetch(&remote, &staging(&dir)).await.expect("the other 33 bytes");
    assert_eq!(entries[0].sha256, SHA);
}

#[tokio::test]
async fn a_description_of_another_flavor_ends_it_before_the_rest_is_asked_for() {
    let dir = tempfile::tempdir().expect("a folder");
    let remote = Cutting::new(&[("a.bin", CONTENT), ("MLmodel", b"flavors: {sklearn: {}}")], &[1000]);
    let error = fetch(&remote, &staging(&dir)).await.expect_err("no ONNX").to_string();
    assert!(error.contains("mlflow.onnx.log_model"), "{error}");
    assert_eq!(remote.reads.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn what_was_not_announced_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut longer = Cutting::new(&[("f", CONTENT)], &[1000]);
    longer.files[0].0.bytes = 20;
    let error = fetch(&longer, &staging(&dir)).await.expect_err("longer").to_string();
    assert!(error.contains("more than the 20 bytes"), "{error}");
    let mut shorter = Cutting::new(&[("f", CONTENT)], &[1000]);
    shorter.files[0].0.bytes = 50;
    let error = fetch(&shorter, &staging(&dir)).await.expect_err("shorter").to_string();
    assert!(error.contains("it ended after 43 of 50 bytes"), "{error}");
    for path in ["../up", "/etc/passwd", "a/../../b"] {
        let error = fetch(&Cutting::new(&[(path, CONTENT)], &[1000]), &staging(&dir)).await.expect_err(path);
        assert!(error.to_string().contains("leads out"), "{error}");
    }
    let error = fetch(&Cutting::new(&[], &[1]), &staging(&dir)).await.expect_err("empty").to_string();
    assert_eq!(error, "test://folder: no files there");
}
