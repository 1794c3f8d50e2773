//! `cocoon`: submit tasks to a confidential GPU pool, fetch outputs, verify receipts.

use client::{Exit, cli, program};

fn main() -> Exit {
    program::main(cli::run)
}
