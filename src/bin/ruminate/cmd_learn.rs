//! `learn`: from samples and preferences to reward heads and adapters.

mod collect;
mod dpo;
mod head;
mod held_out;
mod improve;
mod label_args;
mod limit_args;
mod line_writer;
mod readings;
mod report;
mod rollouts;
mod step_file;
mod train_args;
mod training;
mod training_log;

use crate::exit::Failure;
use crate::output::Output;

/// Learn from the model's own samples and from preferences.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    Collect(Box<collect::CollectArgs>),
    Dpo(Box<dpo::DpoArgs>),
    Head(head::HeadArgs),
    Improve(Box<improve::ImproveArgs>),
    Report(report::ReportArgs),
}

pub fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    match &args.what {
        What::Collect(args) => collect::run(args, output),
        What::Dpo(args) => dpo::run(args, output),
        What::Head(args) => head::run(args, output),
        What::Improve(args) => improve::run(args, output),
        What::Report(args) => report::run(args, output),
    }
}
