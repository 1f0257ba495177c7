//! The program `holt`. Everything is in the library, behind [`holt::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    // What Holt makes is for the user it runs as: the database, its copies and sockets hold what others must not read.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    holt::cli::main()
}
