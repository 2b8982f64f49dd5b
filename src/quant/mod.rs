//! Block formats of tensor data: one file per format, scalar truth.
//!
//! Layouts follow ggml's `ggml-common.h`; every format is a sequence of blocks along a tensor's first dimension.
#![forbid(unsafe_code)]

use crate::error::{Error, Result};

mod bf16;
pub(crate) mod block;
mod f16;
mod f32;
pub(crate) mod iq4_nl;
mod iq4_xs;
mod names;
mod q2_k;
mod q3_k;
mod q4_0;
mod q4_1;
pub(crate) mod q4_k;
mod q5_0;
mod q5_1;
mod q5_k;
mod q6_k;
mod q8_0;

pub(crate) use bf16::BlockBF16;
pub(crate) use f16::BlockF16;
pub(crate) use f32::BlockF32;
pub(crate) use iq4_nl::BlockIQ4_NL;
pub(crate) use iq4_xs::BlockIQ4_XS;
pub(crate) use q2_k::BlockQ2_K;
pub(crate) use q3_k::BlockQ3_K;
pub(crate) use q4_0::BlockQ4_0;
pub(crate) use q4_1::BlockQ4_1;
pub(crate) use q4_k::BlockQ4_K;
pub(crate) use q5_0::BlockQ5_0;
pub(crate) use q5_1::BlockQ5_1;
pub(crate) use q5_k::BlockQ5_K;
pub(crate) use q6_k::BlockQ6_K;
pub(crate) use q8_0::BlockQ8_0;

#[cfg(target_endian = "big")]
compile_error!("blocks are read as little-endian numbers, as GGUF stores them");

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

    /// Whether [`quantize`](Self::quantize) writes this format; the others are only read.
    pub const fn is_written(self) -> bool {
        matches!(
            self,
            Self::F32 | Self::F16 | Self::BF16 | Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 | Self::Q8_0
        )
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
        if n.is_multiple_of(self.block_len()) { (n / self.block_len()).checked_mul(self.block_bytes()) } else { None }
    }

    /// The elements of `src`, whole blocks of this format, into `dst`, which has room for exactly them.
    pub fn dequantize(self, src: &[u8], dst: &mut [f32]) -> Result<()> {
        let expected = self.row_bytes(dst.len());
        if expected != Some(src.len()) {
            let (name, bytes, elements) = (self.name(), src.len(), dst.len());
            return Err(Error::invalid(format!("{bytes} bytes of {name} do not hold exactly {elements} elements")));
        }
        match self {
            Self::F32 => block::dequantize::<BlockF32, 1>(src, dst),
            Self::F16 => block::dequantize::<BlockF16, 1>(src, dst),
            Self::Q4_0 => block::dequantize::<BlockQ4_0, 32>(src, dst),
            Self::Q4_1 => block::dequantize::<BlockQ4_1, 32>(src, dst),
            Self::Q5_0 => block::dequantize::<BlockQ5_0, 32>(src, dst),
            Self::Q5_1 => block::dequantize::<BlockQ5_1, 32>(src, dst),
            Self::Q8_0 => block::dequantize::<BlockQ8_0, 32>(src, dst),
            Self::Q2_K => block::dequantize::<BlockQ2_K, 256>(src, dst),
            Self::Q3_K => block::dequantize::<BlockQ3_K, 256>(src, dst),
            Self::Q4_K => block::dequantize::<BlockQ4_K, 256>(src, dst),
            Self::Q5_K => block::dequantize::<BlockQ5_K, 256>(src, dst),
            Self::Q6_K => block::dequantize::<BlockQ6_K, 256>(src, dst),
            Self::IQ4_NL => block::dequantize::<BlockIQ4_NL, 32>(src, dst),
            Self::IQ4_XS => block::dequantize::<BlockIQ4_XS, 256>(src, dst),
            Self::BF16 => block::dequantize::<BlockBF16, 1>(src, dst),
        }
        Ok(())
    }

    /// The blocks of this format that are nearest to `src` by ggml's reference rule.
    ///
    /// An error of kind [`NonFinite`](crate::ErrorKind::NonFinite) when `src` holds NaN, infinity or a number that the
    /// format cannot hold, and of kind [`Unsupported`](crate::ErrorKind::Unsupported) for formats that are only read.
    pub fn quantize(self, src: &[f32]) -> Result<Vec<u8>> {
        if self.row_bytes(src.len()).is_none() {
            let (name, n, block) = (self.name(), src.len(), self.block_len());
            return Err(Error::invalid(format!("{n} elements are no whole number of {name} blocks of {block}")));
        }
        match self {
            Self::F32 => block::quantize::<BlockF32, 1>(src),
            Self::F16 => block::quantize::<BlockF16, 1>(src),
            Self::BF16 => block::quantize::<BlockBF16, 1>(src),
            Self::Q4_0 => block::quantize::<BlockQ4_0, 32>(src),
            Self::Q4_1 => block::quantize::<BlockQ4_1, 32>(src),
            Self::Q5_0 => block::quantize::<BlockQ5_0, 32>(src),
            Self::Q5_1 => block::quantize::<BlockQ5_1, 32>(src),
            Self::Q8_0 => block::quantize::<BlockQ8_0, 32>(src),
            Self::Q2_K | Self::Q3_K | Self::Q4_K | Self::Q5_K | Self::Q6_K | Self::IQ4_NL | Self::IQ4_XS => {
                Err(Error::unsupported(format!("quantizing to {} is not supported; use Q8_0 or Q4_0", self.name())))
            }
        }
        .map_err(|e| e.context(format_args!("quantizing to {}", self.name())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    const QUANTIZED: [QuantType; 8] = {
        use QuantType::*;
        [F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0]
    };

    #[test]
    fn names_and_numbers_lead_back_to_the_type() {
        for ty in QuantType::ALL {
            assert_eq!(QuantType::from_ggml(ty as u32).unwrap(), ty);
            assert_eq!(QuantType::from_name(&ty.name().to_lowercase()), Some(ty));
            assert_eq!(format!("{ty:?}"), ty.name());
        }
        let e = QuantType::from_ggml(16).unwrap_err();
        assert!(e.kind() == ErrorKind::Unsupported && e.to_string().contains("IQ2_XXS"), "{e}");
        let e = QuantType::from_ggml(77).unwrap_err();
        assert!(e.kind() == ErrorKind::Unsupported && e.to_string().contains("77"), "{e}");
        assert_eq!(QuantType::from_name("IQ2_XXS"), None);
    }

    #[test]
    fn wrong_sizes_are_refused() {
        for ty in QuantType::ALL {
            let (bytes, elements) = (vec![0; ty.block_bytes()], ty.block_len());
            ty.dequantize(&bytes, &mut vec![0.0; elements]).unwrap();
            ty.dequantize(&[], &mut []).unwrap();
            for (bytes, elements) in [(bytes.len() - 1, elements), (bytes.len(), elements + 1), (0, elements), (1, 0)] {
                let e = ty.dequantize(&vec![0; bytes], &mut vec![0.0; elements]).unwrap_err();
                assert!(e.kind() == ErrorKind::InvalidArgument && e.to_string().contains(ty.name()), "{e}");
            }
        }
        assert_eq!(QuantType::Q4_0.quantize(&[0.0; 31]).unwrap_err().kind(), ErrorKind::InvalidArgument);
    }

    #[test]
    fn formats_that_are_only_read_say_so() {
        for ty in QuantType::ALL.into_iter().filter(|ty| !QUANTIZED.contains(ty)) {
            let e = ty.quantize(&[0.0; 256]).unwrap_err();
            assert!(e.kind() == ErrorKind::Unsupported && e.to_string().contains(ty.name()), "{e}");
            assert!(!ty.is_written());
        }
        assert!(QUANTIZED.iter().all(|ty| ty.is_written()));
    }

    #[test]
    fn quantizing_keeps_numbers_within_a_step_and_refuses_what_it_cannot_hold() {
        let x: Vec<f32> = (0..256).map(|i| ((i * 7919 % 256) as f32 - 100.0) / 128.0).collect();
        for ty in QUANTIZED {
            // The range of a block over the number of its levels, and half precision of the largest.
            let step = match ty {
                QuantType::F32 => 0.0,
                QuantType::F16 | QuantType::BF16 | QuantType::Q8_0 => 0.01,
                QuantType::Q5_0 | QuantType::Q5_1 => 0.1,
                _ => 0.2,
            };
            let mut back = vec![0.0; x.len()];
            ty.dequantize(&ty.quantize(&x).unwrap(), &mut back).unwrap();
            for (x, back) in x.iter().zip(&back) {
                assert!((x - back).abs() <= step, "{} {x} {back}", ty.name());
            }
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let e = ty.quantize(&[bad; 32]).unwrap_err();
                assert!(e.kind() == ErrorKind::NonFinite && e.to_string().contains(ty.name()), "{e}");
            }
            let largest = ty.quantize(&[f32::MAX, f32::MIN].repeat(16));
            assert_eq!(largest.is_ok(), ty == QuantType::F32, "{}", ty.name());
            ty.dequantize(&ty.quantize(&[0.0; 32]).unwrap(), &mut back[..32]).unwrap();
            assert_eq!(back[..32], [0.0; 32]);
        }
    }
}
