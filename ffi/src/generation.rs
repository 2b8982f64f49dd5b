//! How to generate plainly.

use std::time::Duration;

use ruminate::engine::SamplerParams;

use crate::call::entry;
use crate::sized::{self, Struct};
use crate::status::{Failure, rum_status};

/// How to generate one text. Fill it with `rum_generation_init`, then change what you like: fields are taken as they stand.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct rum_generation {
    pub struct_size: usize,
    /// Tokens to generate, at most. Default: 512.
    pub max_tokens: u64,
    /// Milliseconds from the start, missed by at most one forward pass; 0 for no limit.
    pub budget_ms: u64,
    /// Decides every random number.
    pub seed: u64,
    /// 0 takes the most likely token; else from 0.001 to 100. Default: 0.8.
    pub temperature: f32,
    /// Keeps that many of the most likely tokens; 0 keeps all. Default: 40.
    pub top_k: u32,
    /// Keeps the fewest most likely tokens whose probabilities add up to this; 1 keeps all. Default: 0.95.
    pub top_p: f32,
    /// Keeps tokens at least this fraction as likely as the most likely one; 0 keeps all. Default: 0.05.
    pub min_p: f32,
    /// Makes tokens of the last `repetition_window` less likely, from 0.1 to 10; 1 is off.
    pub repetition_penalty: f32,
    /// Tokens that the repetition penalty looks back on.
    pub repetition_window: u32,
    /// At temperature 0: tokens that the text so far proposes for each pass, at most 64. The output is the same.
    pub draft: u32,
    /// 0.
    pub reserved: u32,
}

// SAFETY: `repr(C)`; whole numbers and floats, without padding.
unsafe impl Struct for rum_generation {
    const FIRST: usize = 56 + size_of::<usize>();

    fn initial() -> Self {
        let sampler = SamplerParams::default();
        Self {
            struct_size: size_of::<Self>(),
            max_tokens: 512,
            budget_ms: 0,
            seed: 0,
            temperature: 0.8,
            top_k: 40,
            top_p: 0.95,
            min_p: 0.05,
            repetition_penalty: sampler.repetition_penalty,
            repetition_window: sampler.repetition_window as u32,
            draft: 4,
            reserved: 0,
        }
    }
}

/// Fills `generation` with the defaults. `struct_size` is `sizeof *generation`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rum_generation_init(generation: *mut rum_generation, struct_size: usize) -> rum_status {
    // SAFETY: the caller's promise.
    entry("rum_generation_init", |_| unsafe { sized::init(generation, struct_size) })
}

/// How to generate one text.
#[derive(Debug, Clone)]
pub struct Generation {
    pub max_tokens: usize,
    pub wall: Option<Duration>,
    pub seed: u64,
    pub sampler: SamplerParams,
    pub draft: usize,
}

/// What `generation` describes, checked.
///
/// # Safety
/// `generation` is NULL, for the defaults, or a struct of its size.
pub unsafe fn read(generation: *const rum_generation) -> Result<Generation, Failure> {
    // SAFETY: the caller's promise.
    let asked = unsafe { sized::read_or_initial(generation, "the generation") }?;
    let max_tokens = usize::try_from(asked.max_tokens).unwrap_or(usize::MAX);
    if max_tokens == 0 || asked.draft > 64 {
        return Err(Failure::invalid("give a max_tokens of at least 1 and a draft of at most 64"));
    }
    let sampler = SamplerParams {
        temperature: asked.temperature,
        top_k: asked.top_k as usize,
        top_p: asked.top_p,
        min_p: asked.min_p,
        repetition_penalty: asked.repetition_penalty,
        repetition_window: asked.repetition_window as usize,
    };
    sampler.validate()?;
    let wall = (asked.budget_ms > 0).then(|| Duration::from_millis(asked.budget_ms));
    let draft = if asked.temperature == 0.0 { asked.draft as usize } else { 0 };
    Ok(Generation { max_tokens, wall, seed: asked.seed, sampler, draft })
}
