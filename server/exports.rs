//! Exports the binary's allocator, so that the libraries that it loads use it, too.
//!
//! A library that is loaded looks for `malloc` in the executable first, but sees only what stands in its table of
//! dynamic symbols. The linker puts there by itself what the libraries that it links against ask for, such as `malloc`
//! for libc, and leaves the others out: memory of glibc's `posix_memalign` would then end in mimalloc's `free`. So all of
//! them are named (<https://www.gnu.org/software/libc/manual/html_node/Replacing-malloc.html>).

#![expect(clippy::print_stdout, reason = "the way in which a build script talks to cargo")]

use std::env;

/// What allocates and what frees, in C and in C++: `operator new` and `operator delete` in all their forms.
const FUNCTIONS: [&str; 32] = [
    "malloc",
    "calloc",
    "realloc",
    "reallocarray",
    "free",
    "cfree",
    "posix_memalign",
    "aligned_alloc",
    "memalign",
    "valloc",
    "pvalloc",
    "malloc_usable_size",
    "_Znwm",
    "_Znam",
    "_ZnwmRKSt9nothrow_t",
    "_ZnamRKSt9nothrow_t",
    "_ZnwmSt11align_val_t",
    "_ZnamSt11align_val_t",
    "_ZnwmSt11align_val_tRKSt9nothrow_t",
    "_ZnamSt11align_val_tRKSt9nothrow_t",
    "_ZdlPv",
    "_ZdaPv",
    "_ZdlPvm",
    "_ZdaPvm",
    "_ZdlPvSt11align_val_t",
    "_ZdaPvSt11align_val_t",
    "_ZdlPvmSt11align_val_t",
    "_ZdaPvmSt11align_val_t",
    "_ZdlPvRKSt9nothrow_t",
    "_ZdaPvRKSt9nothrow_t",
    "_ZdlPvSt11align_val_tRKSt9nothrow_t",
    "_ZdaPvSt11align_val_tRKSt9nothrow_t",
];

fn main() {
    println!("cargo::rerun-if-changed=server/exports.rs");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|found| found == value);
    if is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu") {
        for function in FUNCTIONS {
            println!("cargo::rustc-link-arg=-Wl,--export-dynamic-symbol={function}");
        }
    }
}
