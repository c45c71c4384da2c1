//! The program. Everything is in the library, so that tests run what people run.

use std::process::ExitCode;

fn main() -> ExitCode {
    gantry::cli::main()
}
