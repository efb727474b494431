use std::time::{Duration, SystemTime};

use super::evict::folders;
use super::*;
use crate::artifacts::manifest::Entry;
use crate::digest;

fn cache(max_bytes: u64) -> (tempfile::TempDir, Cache) {
    let dir = tempfile::tempdir().expect("a folder");
    let cache = Cache::new(dir.path().join("cache"), max_bytes);
    (dir, cache)
}

fn add(cache: &Cache, key: &str, content: &[u8]) {
    let staging = cache.stage(key).expect("writable").expect("free");
    staging.resume(&[]).expect("written");
    let path = staging.files().join("model.onnx");
    fs::write(&path, content).expect("written");
    let entry = Entry {
        path: "model.onnx".into(),
        bytes: content.len() as u64,
        sha256: digest::of_file(&path).expect("readable"),
        etag: None,
    };
    cache.admit(staging, &Manifest::new("s3://b/p", vec![entry])).expect("admitted");
}

fn age(cache: &Cache, key: &str, hours: u64) {
    let file = File::options().append(true).open(cache.entry(key).join(MANIFEST)).expect("there");
    file.set_modified(SystemTime::now() - Duration::from_secs(3600 * hours)).expect("an old file");
}

fn names(cache: &Cache) -> Vec<String> {
    let folders = folders(&cache.root.join("artifacts")).expect("readable");
    let mut names: Vec<String> =
        folders.iter().filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect();
    names.sort();
    names
}

/// Bytes of all entries and downloads.
fn held(cache: &Cache) -> u64 {
    cache.evict("", |_| false).expect("readable")
}

#[test]
fn what_is_admitted_is_found_and_nothing_else_is_left() {
    let (_dir, cache) = cache(100);
    assert!(cache.find("k").expect("readable").is_none());
    add(&cache, "k", b"abc");
    let found = cache.find("k").expect("readable").expect("there");
    assert_eq!(fs::read(found.dir.join("model.onnx")).expect("readable"), b"abc");
    assert_eq!(found.known.len(), 1);
    assert_eq!(held(&cache), 3);
    assert_eq!(fs::read_dir(cache.partial()).expect("readable").count(), 0);
}

#[test]
fn a_flipped_byte_is_found_and_the_entry_goes() {
    let (_dir, cache) = cache(100);
    for damage in ["files/model.onnx", MANIFEST] {
        add(&cache, "k", b"abc");
        let path = cache.entry("k").join(damage);
        let mut bytes = fs::read(&path).expect("readable");
        bytes[0] ^= 1;
        fs::write(&path, bytes).expect("written");
        assert!(cache.find("k").expect("readable").is_none(), "{damage}");
        assert!(!cache.entry("k").exists());
    }
}

#[test]
fn room_is_made_of_what_was_longest_unused_and_never_of_what_is_in_use() {
    let (_dir, cache) = cache(10);
    for (key, hours) in [("a", 3), ("b", 2), ("c", 1)] {
        add(&cache, key, b"abc");
        age(&cache, key, hours);
    }
    let used = cache.find("a").expect("readable").expect("there");
    cache.make_room("d", 4).expect("b goes");
    assert_eq!(names(&cache), ["a", "c"]);
    let error = cache.make_room("d", 8).expect_err("a is in use").to_string();
    assert!(
        error.contains("8 bytes") && error.contains("maxSize is 10") && error.contains("3 bytes are in use"),
        "{error}"
    );
    assert_eq!(names(&cache), ["a"]);
    drop(used);
    cache.make_room("d", 8).expect("a goes");
    assert_eq!(names(&cache), [] as [&str; 0]);
    let error = cache.make_room("d", 11).expect_err("more than all").to_string();
    assert!(error.contains("11 bytes, but artifacts.maxSize is 10"), "{error}");
}

#[test]
fn letting_go_is_a_use() {
    let (_dir, cache) = cache(6);
    add(&cache, "a", b"abc");
    add(&cache, "b", b"abc");
    let used = cache.find("a").expect("readable").expect("there");
    age(&cache, "a", 5);
    age(&cache, "b", 1);
    drop(used);
    cache.make_room("c", 3).expect("b goes");
    assert_eq!(names(&cache), ["a"]);
}

#[test]
fn downloads_count_and_go_when_they_are_nobodys() {
    let (_dir, cache) = cache(10);
    let staging = cache.stage("k").expect("writable").expect("free");
    fs::write(staging.files().join("f"), b"12345678").expect("written");
    assert!(cache.make_room("other", 5).is_err(), "it is being written");
    cache.make_room("k", 10).expect("its own bytes are part of the ten");
    // As a kill leaves it: unlocked, and there.
    drop(staging);
    assert_eq!(held(&cache), 8);
    cache.make_room("other", 5).expect("nobody goes on with it");
    assert_eq!(held(&cache), 0);
}

#[test]
fn a_full_disk_is_freed_of_what_nobody_uses() {
    let (_dir, cache) = cache(100);
    add(&cache, "a", b"abc");
    add(&cache, "b", b"abc");
    let used = cache.find("b").expect("readable").expect("there");
    assert!(cache.free_disk("k").expect("writable"));
    assert_eq!(names(&cache), ["b"]);
    assert!(!cache.free_disk("k").expect("writable"), "nothing more");
    drop(used);
}

#[test]
fn an_entry_that_is_admitted_again_replaces_the_first() {
    let (_dir, cache) = cache(100);
    add(&cache, "k", b"abc");
    let reader = cache.find("k").expect("readable").expect("there");
    add(&cache, "k", b"xyz");
    let again = cache.find("k").expect("readable").expect("there");
    assert_eq!(fs::read(again.dir.join("model.onnx")).expect("readable"), b"xyz");
    drop(reader);
    assert_eq!(names(&cache), ["k"]);
}

#[test]
fn keys_are_names_of_folders() {
    assert_eq!(key("curve_forecaster", 7, 255), "curve_forecaster-7-00000000000000ff");
    assert_eq!(key("../a b/ü", 1, 0), "___a_b__-1-0000000000000000");
    assert!(key(&"x".repeat(500), 1, 0).len() < 120);
}
