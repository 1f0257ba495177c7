//! The program `holt`. Everything is in the library, behind [`holt::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    holt::cli::main()
}
