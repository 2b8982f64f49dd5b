//! `learn`: from a model's own samples to a reward head.

mod collect;
mod head;

use crate::exit::Failure;
use crate::output::Output;

/// Learn from the model's own samples.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    Collect(Box<collect::CollectArgs>),
    Head(head::HeadArgs),
}

pub fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    match &args.what {
        What::Collect(args) => collect::run(args, output),
        What::Head(args) => head::run(args, output),
    }
}
