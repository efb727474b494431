//! The libraries that perch loads allocate with its own allocator, and free there, too.

use std::collections::BTreeSet;
use std::fs;

use object::{Object, ObjectSymbol};
use perch_testkit::{Models, PerchProcess};

use crate::PERCH;

/// Whether memory comes from a function of this name, or goes back to it.
fn allocates(name: &str) -> bool {
    let operators = ["_Znw", "_Zna", "_Zdl", "_Zda"].iter().any(|operator| name.starts_with(operator));
    let functions = ["malloc", "calloc", "realloc", "reallocarray", "free", "cfree", "malloc_usable_size"];
    let aligned = ["posix_memalign", "aligned_alloc", "memalign", "valloc", "pvalloc"];
    operators || functions.contains(&name) || aligned.contains(&name)
}

/// The functions of this kind that a library takes from elsewhere, or offers to others.
fn functions(path: &str, imported: bool) -> BTreeSet<String> {
    let bytes = fs::read(path).expect("a library");
    let file = object::File::parse(bytes.as_slice()).expect("ELF");
    let symbols = file.dynamic_symbols().filter(|symbol| symbol.is_undefined() == imported);
    let names = symbols.filter_map(|symbol| symbol.name().ok().map(str::to_owned));
    names.filter(|name| allocates(name)).collect()
}

#[test]
fn what_is_allocated_in_one_place_is_freed_in_the_same() {
    let models = Models::with(&["external"]);
    let perch = PerchProcess::serve(PERCH, models.path(), &[]);
    perch.wait_ready();
    let maps = fs::read_to_string(format!("/proc/{}/maps", perch.id())).expect("the process' libraries");
    let files: BTreeSet<&str> = maps.split_whitespace().filter(|word| word.contains(".so")).collect();
    assert!(files.iter().any(|file| file.contains("libonnxruntime")), "{files:?}");

    let offered = functions(PERCH, false);
    for file in files.into_iter().filter(|file| !file.contains("/libc.so") && !file.contains("/ld-linux")) {
        let taken = functions(file, true);
        let elsewhere: Vec<_> = taken.difference(&offered).collect();
        assert!(elsewhere.is_empty(), "{file} takes {elsewhere:?} from glibc, and the rest from perch");
    }
    perch.stop();
}
