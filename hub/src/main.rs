//! The program `holt`. Everything is in the library, behind [`holt::cli`].

use std::process::ExitCode;

/// Requests are many short-lived pieces of memory, on several threads: with the C library's allocator the hub spends a third more on
/// each, and gives back less of what a burst took (`tests/load/broker`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    holt::cli::main()
}
