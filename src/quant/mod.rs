//! Block formats of tensor data: one file per format, scalar truth.
//!
//! Layouts follow ggml's `ggml-common.h`; every format is a sequence of blocks along a tensor's first dimension.

use crate::error::{Error, Result};

mod names;

/// The format of a tensor's data. Discriminants are ggml's type numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(non_camel_case_types)]
#[repr(u32)]
pub enum QuantType {
    /// IEEE single precision.
    F32 = 0,
    /// IEEE half precision.
    F16 = 1,
    /// 4 bits and a scale per 32.
    Q4_0 = 2,
    /// 4 bits, a scale and a minimum per 32.
    Q4_1 = 3,
    /// 5 bits and a scale per 32.
    Q5_0 = 6,
    /// 5 bits, a scale and a minimum per 32.
    Q5_1 = 7,
    /// 8 bits and a scale per 32.
    Q8_0 = 8,
    /// 2 bits in super-blocks of 256.
    Q2_K = 10,
    /// 3 bits in super-blocks of 256.
    Q3_K = 11,
    /// 4 bits in super-blocks of 256.
    Q4_K = 12,
    /// 5 bits in super-blocks of 256.
    Q5_K = 13,
    /// 6 bits in super-blocks of 256.
    Q6_K = 14,
    /// 4-bit non-linear codebook per 32.
    IQ4_NL = 20,
    /// 4-bit non-linear codebook in super-blocks of 256.
    IQ4_XS = 23,
    /// bfloat16.
    BF16 = 30,
}

impl QuantType {
    /// Every supported format.
    pub const ALL: [Self; 15] = [
        Self::F32,
        Self::F16,
        Self::Q4_0,
        Self::Q4_1,
        Self::Q5_0,
        Self::Q5_1,
        Self::Q8_0,
        Self::Q2_K,
        Self::Q3_K,
        Self::Q4_K,
        Self::Q5_K,
        Self::Q6_K,
        Self::IQ4_NL,
        Self::IQ4_XS,
        Self::BF16,
    ];

    /// The format with ggml's type number `id`; an error that names the type when it is not supported.
    pub fn from_ggml(id: u32) -> Result<Self> {
        Self::ALL.into_iter().find(|t| *t as u32 == id).ok_or_else(|| match names::of_ggml(id) {
            Some(name) => Error::unsupported(format!("tensor type {name} is not supported")),
            None => Error::unsupported(format!("tensor type number {id} is unknown")),
        })
    }

    /// The format called `name`, in any case: `"q4_k"` is [`Q4_K`](Self::Q4_K).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.name().eq_ignore_ascii_case(name))
    }

    /// The name that ggml and file names use, such as `Q4_K`.
    pub fn name(self) -> &'static str {
        names::of_ggml(self as u32).unwrap_or("unknown")
    }

    /// Elements in one block.
    pub const fn block_len(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::BF16 => 1,
            Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 | Self::Q8_0 | Self::IQ4_NL => 32,
            Self::Q2_K | Self::Q3_K | Self::Q4_K | Self::Q5_K | Self::Q6_K | Self::IQ4_XS => 256,
        }
    }

    /// Bytes of one block.
    pub const fn block_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
            Self::Q4_0 | Self::IQ4_NL => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q8_0 => 34,
            Self::Q2_K => 84,
            Self::Q3_K => 110,
            Self::Q4_K => 144,
            Self::Q5_K => 176,
            Self::Q6_K => 210,
            Self::IQ4_XS => 136,
        }
    }

    /// Bytes of a row of `n` elements; `None` when `n` is no whole number of blocks or the size overflows.
    pub fn row_bytes(self, n: usize) -> Option<usize> {
        if n % self.block_len() != 0 { None } else { (n / self.block_len()).checked_mul(self.block_bytes()) }
    }
}
