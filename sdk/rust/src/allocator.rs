//! The filter's allocator: the standard library's, with an arena beside it for what the host hands over.
//!
//! A string from the host needs room in the filter's memory. To ask for it, the host would call back into the filter,
//! which costs more than the call that wants the string. So host and filter share an arena: the host puts strings there
//! by itself, and the filter's allocator knows them when they are freed. With the last piece that is freed, the arena
//! begins anew; a piece that is kept for long only makes the host ask for room as it does without an arena.
//!
//! The arena's four words are exported as `tollgate_arena`. A filter with an allocator of its own switches the crate's
//! default feature `arena` off.
#![allow(unsafe_code, reason = "an allocator deals in addresses")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;

/// As much as the strings of one phase need. What does not fit, the host asks for.
const SIZE: usize = 16 << 10;

#[global_allocator]
static ALLOCATOR: WithArena = WithArena;

/// What the host reads and writes, see above: addresses, and how many pieces are in use.
#[repr(C)]
struct Arena {
    begin: *mut u8,
    end: *mut u8,
    next: *mut u8,
    live: u32,
}

/// A place in memory that host and filter write in turn.
#[repr(transparent)]
struct Shared<T>(UnsafeCell<T>);

// SAFETY: a Wasm instance has one thread, and the host writes only while it is called from that thread.
unsafe impl<T> Sync for Shared<T> {}

static BYTES: Shared<[u8; SIZE]> = Shared(UnsafeCell::new([0; SIZE]));

#[unsafe(export_name = "tollgate_arena")]
static ARENA: Shared<Arena> = {
    let begin = BYTES.0.get().cast::<u8>();
    // SAFETY: the end of an array is an address that may be computed.
    let end = unsafe { begin.add(SIZE) };
    Shared(UnsafeCell::new(Arena { begin, end, next: begin, live: 0 }))
};

struct WithArena;

// SAFETY: pieces of the arena are only made by the host, never by `alloc`, and never go to the system's allocator;
// everything else does. The default `realloc` allocates, copies and frees, which is right for both.
unsafe impl GlobalAlloc for WithArena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises, passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        if Arena::frees(piece) {
            return;
        }
        // SAFETY: it is none of the arena's, so it came from the system's allocator.
        unsafe { System.dealloc(piece, layout) }
    }

    unsafe fn realloc(&self, piece: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !Arena::holds(piece) {
            // SAFETY: it is none of the arena's, so it came from the system's allocator.
            return unsafe { System.realloc(piece, layout, size) };
        }
        // SAFETY: the caller promises a size that makes a layout; the new piece is another than the old one, and both
        // have the bytes that are copied.
        unsafe {
            let grown = System.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !grown.is_null() {
                grown.copy_from_nonoverlapping(piece, layout.size().min(size));
                Arena::frees(piece);
            }
            grown
        }
    }
}

impl Arena {
    fn holds(piece: *mut u8) -> bool {
        let begin = BYTES.0.get().cast::<u8>();
        (piece as usize).wrapping_sub(begin as usize) < SIZE
    }

    /// True if the piece was the arena's; it is free then.
    fn frees(piece: *mut u8) -> bool {
        if !Self::holds(piece) {
            return false;
        }
        // SAFETY: one thread, and no other reference: see `Shared`.
        let arena = unsafe { &mut *ARENA.0.get() };
        arena.live -= 1;
        if arena.live == 0 {
            arena.next = arena.begin;
        }
        true
    }
}
