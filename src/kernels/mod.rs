//! Arithmetic over whole tensors: matmul, attention, norm, rope, softmax; each with its scalar twin.

mod activations;
mod attention;
mod dequantized;
mod gemm;
mod logit_blocks;
mod matmul;
mod matrix;
mod norm;
mod packed;
mod pointwise;
mod quantize;
mod rope;
mod rows;
mod softmax;
#[cfg(test)]
pub(crate) mod testing;

pub use activations::{Activations, Input, LONGEST_BLOCK};
pub use attention::{
    Attention, AttentionPlan, AttentionShape, KvLayout, KvPage, KvSlot, KvType, PAGE_TOKENS, Query, Stretch, attention,
    attention_scratch_bytes, store_keys_values,
};
pub use dequantized::{matmul_f32, matmul_f32_back};
pub use gemm::{Mat, gemm};
pub use logit_blocks::{
    LOGIT_BLOCK, LogitBlock, logit_block_count, logit_blocks, row_logit_blocks, temper_logit_blocks,
};
pub use matmul::{Product, matmul, matmul_gated};
pub use matrix::MatrixView;
pub use norm::rms_norm_inplace;
pub use packed::PackedMatrix;
pub use pointwise::{Activation, add, all_finite, gate, gelu_mul, scale, silu_mul, soft_cap};
pub use rope::{RopeStyle, rope};
pub use rows::get_row;
