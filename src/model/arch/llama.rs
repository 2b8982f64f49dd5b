//! Llama 1 to 3, Mistral, SmolLM2 and their kin. Their files hold Q and K with the rows of each head permuted, so
//! that rotated pairs are neighbours (llama.cpp's converter does so).

use crate::error::Result;
use crate::gguf::Gguf;
use crate::kernels::RopeStyle;
use crate::model::Config;
use crate::model::arch::rope_factors;

pub(super) fn refine(gguf: &Gguf, config: &mut Config) -> Result<()> {
    config.rope.style = RopeStyle::Interleaved;
    config.rope.factors = rope_factors(gguf, config)?;
    Ok(())
}
