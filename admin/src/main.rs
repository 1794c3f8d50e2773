//! `cocoon-admin`: operate a confidential GPU pool.

use client::{Exit, program};

fn main() -> Exit {
    program::main(admin::run)
}
