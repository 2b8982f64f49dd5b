//! The command line: a thin user of the public API.

fn main() {}
