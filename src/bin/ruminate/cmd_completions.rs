//! `completions`: the completion script of a shell.

use std::io::{self, Write};

use clap::CommandFactory;
use clap_complete::Shell;

use crate::exit::Failure;
use crate::output::Output;

/// Print the completion script of a shell.
#[derive(clap::Args)]
pub struct Args {
    shell: Shell,
}

pub fn run(args: &Args, _output: &Output) -> Result<(), Failure> {
    // Into memory first: the generator would panic on a closed pipe.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::Cli::command(), "ruminate", &mut script);
    io::stdout().write_all(&script).map_err(|e| Failure::stdout(&e))
}
