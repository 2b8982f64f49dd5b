//! `estimate`: what a model would take, before it is loaded.

use std::path::PathBuf;

use ruminate::Limits;
use ruminate::engine::native::{NativeEngine, NativeOptions};
use ruminate::engine::{Footprint, Network};
use ruminate::gguf::Gguf;
use ruminate::model::{Config, Model};
use ruminate::storage::LoadMode;
use serde_json::json;

use crate::backend::BackendArgs;
use crate::exit::Failure;
use crate::model::Kv;
use crate::output::{Output, Style};
use crate::{size, source};

/// Price a model before loading it: weights, KV per token and branch, scratch, and the widest tree within a budget.
///
/// With --backend llama: what llama.cpp plans to take on each device, and whether that fits what is free there. Drivers take something
/// more. Its KV cells are taken at once, for --ctx tokens of one branch and what branches add.
#[derive(clap::Args)]
pub struct Args {
    /// The model file.
    file: PathBuf,
    /// Memory for the keys and values of all branches, as in `solve`; asks for the widest tree that fits.
    #[arg(long, env = "RUMINATE_BUDGET_MEM", value_name = "SIZE", value_parser = size::parse)]
    budget_mem: Option<u64>,
    /// Tokens of the prompt, which all branches share.
    #[arg(long, env = "RUMINATE_PROMPT_TOKENS", value_name = "N", default_value_t = 256)]
    prompt_tokens: usize,
    /// Tokens that each branch adds.
    #[arg(long, env = "RUMINATE_MAX_TOKENS", value_name = "N", default_value_t = 512)]
    max_tokens: usize,
    /// How keys and values are kept.
    #[arg(long, env = "RUMINATE_KV", value_enum, default_value_t = Kv::F16)]
    kv: Kv,
    /// Tokens that one branch can hold; at most what the model was trained for. Scratch depends on it, and with --backend llama the
    /// KV that is taken at once.
    #[arg(long, env = "RUMINATE_CTX", value_name = "N")]
    ctx: Option<usize>,
    #[command(flatten)]
    backend: BackendArgs,
}

pub fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    args.backend.check()?;
    let gguf = source::open(&args.file, LoadMode::Mmap)?;
    if !args.backend.is_native() {
        return devices(args, &gguf, output);
    }
    let config = Config::from_gguf(&gguf, &Limits::default())?;
    if let Some(n_ctx) = args.ctx.filter(|n_ctx| !(1..=config.n_ctx_train).contains(n_ctx)) {
        let message = format!("a context of {n_ctx} tokens; the model holds 1 to {}", config.n_ctx_train);
        return Err(Failure::usage(message));
    }
    let mut options = NativeOptions::default();
    (options.kv_type, options.n_ctx) = (args.kv.into(), args.ctx);
    let estimate = NativeEngine::estimate(&config, Model::resident_bytes(&gguf), &options);
    let branch = estimate.kv(0, 1, args.max_tokens);
    let fixed = estimate.weights.saturating_add(estimate.scratch);
    let widest = args.budget_mem.map(|budget| estimate.widest(args.prompt_tokens, args.max_tokens, budget));
    if output.json {
        return output.document(&json!({
            "weights_bytes": estimate.weights,
            "kv_type": options.kv_type.name(),
            "kv_bytes_per_token": estimate.kv_per_token,
            "kv_bytes_per_branch": branch,
            "kv_page_bytes": estimate.kv_page,
            "page_tokens": estimate.page_tokens,
            "scratch_bytes": estimate.scratch,
            "prompt_tokens": args.prompt_tokens,
            "max_tokens": args.max_tokens,
            "one_branch_total_bytes": fixed.saturating_add(estimate.kv(args.prompt_tokens, 1, args.max_tokens)),
            "budget_bytes": args.budget_mem,
            "widest": widest,
        }));
    }
    let row = |label: &str, value: String| {
        let label = format!("{label:<18}");
        output.line(&format!("{} {value}", output.paint(Style::Bold, &label)))
    };
    row("weights", size::show(estimate.weights))?;
    row("scratch", size::show(estimate.scratch))?;
    row("KV of one token", size::show(estimate.kv_per_token))?;
    row("KV of one branch", format!("{} for {} tokens", size::show(branch), args.max_tokens))?;
    let total = fixed.saturating_add(estimate.kv(args.prompt_tokens, 1, args.max_tokens));
    row("one branch in all", format!("{} with a prompt of {} tokens", size::show(total), args.prompt_tokens))?;
    match (widest, args.budget_mem) {
        (Some(widest), Some(budget)) => {
            row("widest tree", format!("{widest} branches within {} of KV", size::show(budget)))
        }
        _ => Ok(()),
    }
}

/// What llama.cpp would take, device by device.
fn devices(args: &Args, gguf: &Gguf, output: &Output) -> Result<(), Failure> {
    let mut options = NativeOptions::default();
    (options.kv_type, options.n_ctx, options.kv_limit) = (args.kv.into(), args.ctx, args.budget_mem);
    let all = Network::footprint(gguf, Some(&args.file), &args.backend.choice(), &options)
        .map_err(|e| e.context(args.file.display()))?;
    let fits = Footprint::all_fit(&all);
    if output.json {
        return output.document(&json!({
            "backend": args.backend.name(),
            "kv_type": options.kv_type.name(),
            "devices": all.iter().map(Footprint::document).collect::<Vec<_>>(),
            "fits": fits,
        }));
    }
    for footprint in &all {
        let Footprint { device, weights, kv, scratch, .. } = footprint;
        let label = format!("{:<18}", device.name);
        let verdict = match footprint.fits() {
            Some(true) => format!("fits {} that are free", size::show(device.memory_free)),
            Some(false) => format!("does not fit {} that are free", size::show(device.memory_free)),
            None => "does not tell what is free".to_owned(),
        };
        output.line(&format!(
            "{} {}: weights {}, KV {}, scratch {}; {verdict}",
            output.paint(Style::Bold, &label),
            size::show(footprint.total()),
            size::show(*weights),
            size::show(*kv),
            size::show(*scratch)
        ))?;
    }
    Ok(())
}
