//! Instruction sets: tokens that prove their presence, and eight f32 lanes that compute the same bits on each of them.
//!
//! A kernel is written once over [`Simd`] and instantiated by `dispatch!` for every [`Isa`];
//! the scalar instance is the twin that tests compare with and that runs where nothing better is known.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod math;
mod scalar;
mod vector;

#[cfg(target_arch = "x86_64")]
pub use avx2::Avx2;
pub use math::{exp, gelu, sigmoid, tanh};
pub use scalar::Scalar;
pub use vector::{LANES, Simd, load_or};

/// The instruction set that a kernel call uses: one value, chosen once and handed down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Isa {
    /// Plain Rust: every platform, and the reference for all others.
    Scalar,
    /// x86-64 with AVX2, FMA and F16C.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
}

impl Isa {
    /// The best instruction set of this processor. Reads no environment variable.
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(token) = Avx2::new() {
            return Self::Avx2(token);
        }
        Self::Scalar
    }

    /// Every instruction set that this processor has, the scalar one first.
    pub fn available() -> Vec<Self> {
        let mut all = vec![Self::Scalar];
        if Self::detect() != Self::Scalar {
            all.push(Self::detect());
        }
        all
    }

    /// A short name: `scalar`, `avx2`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => "avx2",
        }
    }
}

/// Defines `pub fn name(isa: Isa, args…)` that runs the generic `body(simd, args…)` with the instructions of `isa`.
///
/// `body` must be `#[inline(always)]`, so that it is compiled inside the function that enables the instructions.
macro_rules! dispatch {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? = $body:path) => {
        $(#[$meta])*
        $vis fn $name(isa: $crate::simd::Isa, $($arg: $ty),*) $(-> $ret)? {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c")]
            #[allow(clippy::too_many_arguments)]
            fn avx2(token: $crate::simd::Avx2, $($arg: $ty),*) $(-> $ret)? {
                $body(token, $($arg),*)
            }
            match isa {
                $crate::simd::Isa::Scalar => $body($crate::simd::Scalar, $($arg),*),
                #[cfg(target_arch = "x86_64")]
                // SAFETY: an `Avx2` token exists only where avx2, fma and f16c were detected.
                $crate::simd::Isa::Avx2(token) => unsafe { avx2(token, $($arg),*) },
            }
        }
    };
}
pub(crate) use dispatch;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalar_is_always_available_and_names_differ() {
        let all = Isa::available();
        assert_eq!(all[0], Isa::Scalar);
        let mut names: Vec<_> = all.iter().map(|isa| isa.name()).collect();
        names.dedup();
        assert_eq!(names.len(), all.len());
    }
}
