//! Where ONNX Runtime keeps weights and what it computes with: in memory of the binary's allocator, mimalloc.
//!
//! Left to itself the runtime takes it from `malloc`, in pages of 4 KiB, and a matrix product waits for their
//! addresses. mimalloc asks for pages of 2 MiB, and is taken here by `RegisterAllocator` of the runtime's C API
//! (`onnxruntime_c_api.h`), which leaves `malloc` itself to everyone else in the process.

use std::ffi::{c_int, c_long, c_void};
use std::sync::OnceLock;

use ort::AsPointer;
use ort::environment::Environment;
use ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};
use ort::sys::{OrtAllocator, OrtMemoryInfo};

/// Bytes. The runtime's own allocator aligns to a cache line and the widest vectors, too.
const ALIGNMENT: usize = 64;

/// Bytes. Blocks from here on lie in pages of 2 MiB. With all memory in them, which is mimalloc's default, a small model's
/// process held 12 MB more, and was no faster.
const HUGE_FROM: usize = 256 << 10;

/// Bytes.
const HUGE_PAGE: usize = 2 << 20;

/// `mi_option_purge_delay` of mimalloc's `mi_option_t`, which its crate does not name.
const MI_OPTION_PURGE_DELAY: c_int = 15;

/// How long mimalloc keeps what nobody uses, in ms. A second, its default, is shorter than the pauses of a model that
/// works: what it computes in would be handed back between two batches and come again in pages of 4 KiB.
const PURGE_DELAY: c_long = 3_600_000;

/// What the C API is given: it calls the functions with a pointer to the first field.
#[repr(C)]
struct Registered {
    functions: OrtAllocator,
    info: MemoryInfo<'static>,
}

/// Once a process, as the environment is, and for as long.
static REGISTERED: OnceLock<Registered> = OnceLock::new();

/// Makes the binary's allocator keep what is free for an hour, unless `MIMALLOC_PURGE_DELAY` says otherwise.
///
/// Call it first thing in `main`: what is free by then is handed back after a second, out of the middle of pages that a
/// graph has since been read into.
pub fn keep_memory() {
    #[expect(unsafe_code, reason = "no other thread reads options yet, as the caller is told")]
    unsafe {
        libmimalloc_sys::mi_option_set_default(MI_OPTION_PURGE_DELAY, PURGE_DELAY);
    }
}

/// Gives `environment` the allocator. Sessions use it that are built `with_env_allocators`.
pub(crate) fn register(environment: &Environment) -> Result<(), ort::Error> {
    let info = MemoryInfo::new(AllocationDevice::CPU, 0, AllocatorType::Device, MemoryType::Default)?;
    #[expect(unsafe_code, reason = "without its functions the structure is not to be used: they are set here")]
    let unset = unsafe { OrtAllocator::default() };
    // It says that it is of API version 17, before `Reserve`: that memory comes by `Alloc`, too.
    let functions = OrtAllocator { Alloc: Some(allocate), Free: Some(free), Info: Some(describe), ..unset };
    let registered = REGISTERED.get_or_init(|| Registered { functions, info });
    #[expect(unsafe_code, reason = "both live on; the runtime reads the allocator, whose type in C has no const")]
    unsafe {
        let allocator = (&raw const *registered).cast_mut().cast();
        ort::Error::result_from_status((ort::api().RegisterAllocator)(environment.ptr().cast_mut(), allocator))
    }
}

/// Gives back what reading a graph left in `malloc`'s hands: as much as the graph's weights, which are kept packed.
pub(crate) fn trim_malloc() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[expect(unsafe_code, reason = "malloc_trim has no preconditions and may be called from any thread")]
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Gives back everything that nobody uses: what dropped sessions had, and threads that ended.
pub(crate) fn trim() {
    trim_malloc();
    #[expect(unsafe_code, reason = "mi_collect has no preconditions and may be called from any thread")]
    unsafe {
        libmimalloc_sys::mi_collect(true);
    }
}

#[expect(unsafe_code, reason = "called by the runtime, from any thread")]
unsafe extern "system" fn allocate(_: *mut OrtAllocator, size: usize) -> *mut c_void {
    let memory = unsafe { libmimalloc_sys::mi_malloc_aligned(size, ALIGNMENT) };
    if size >= HUGE_FROM && !memory.is_null() {
        ask_for_huge_pages(memory, size);
    }
    memory
}

/// Makes the kernel take pages of 2 MiB for `memory` when it is first touched, and for what shares them. Asking again
/// for the same pages costs a system call, nothing beside what is computed in a block of this size.
fn ask_for_huge_pages(memory: *mut c_void, size: usize) {
    #[cfg(target_os = "linux")]
    {
        let within = memory.addr() % HUGE_PAGE;
        let pages = memory.wrapping_byte_sub(within);
        #[expect(unsafe_code, reason = "advice, which changes nothing that anybody reads, mapped or not")]
        unsafe {
            libc::madvise(pages, (within + size).next_multiple_of(HUGE_PAGE), libc::MADV_HUGEPAGE);
        }
    }
}

#[expect(unsafe_code, reason = "called by the runtime, once for each of the above, with what it returned")]
unsafe extern "system" fn free(_: *mut OrtAllocator, memory: *mut c_void) {
    unsafe { libmimalloc_sys::mi_free(memory) }
}

#[expect(unsafe_code, reason = "called by the runtime with what it was registered with")]
unsafe extern "system" fn describe(this: *const OrtAllocator) -> *const OrtMemoryInfo {
    unsafe { (*this.cast::<Registered>()).info.ptr() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_is_the_one_that_is_meant() {
        #[expect(unsafe_code, reason = "no other test touches an option")]
        let delay = || unsafe { libmimalloc_sys::mi_option_get(MI_OPTION_PURGE_DELAY) };
        assert_eq!(delay(), 1000, "no other option has this default");
        keep_memory();
        assert_eq!(delay(), PURGE_DELAY);
    }

    #[test]
    fn memory_is_aligned_and_taken_back() {
        let this = std::ptr::null_mut();
        for size in [0, 1, 63, 64, 100, 4096, 3 << 20] {
            #[expect(unsafe_code, reason = "neither function looks at what it is called of")]
            unsafe {
                let memory = allocate(this, size);
                assert!(!memory.is_null() && (memory as usize).is_multiple_of(ALIGNMENT), "{size}");
                memory.cast::<u8>().write_bytes(1, size);
                free(this, memory);
            }
        }
    }
}
