//! Instruction sets: tokens that prove their presence, and f32 lanes that compute the same bits on each of them.
//!
//! A kernel is written once over [`Simd`] and instantiated by `dispatch!` for every [`Isa`];
//! the scalar instance is the twin that tests compare with and that runs where nothing better is known.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod math;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;
mod vector;

#[cfg(target_arch = "x86_64")]
pub use avx2::{Avx2, AvxVnni};
#[cfg(target_arch = "x86_64")]
pub use avx512::Avx512;
pub use math::{exp, gelu, sigmoid, tanh};
#[cfg(target_arch = "aarch64")]
pub use neon::{Dotprod, I8mm, Neon};
pub use scalar::Scalar;
pub use vector::{LANES, Simd, WIDE, load_or};

/// The instruction set that a kernel call uses: one value, chosen once and handed down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Isa {
    /// Plain Rust: every platform, and the reference for all others.
    Scalar,
    /// x86-64 with AVX2, FMA and F16C.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    /// AVX2 with the 256-bit integer dot product.
    #[cfg(target_arch = "x86_64")]
    AvxVnni(AvxVnni),
    /// AVX-512 with the integer dot product.
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    /// 64-bit Arm.
    #[cfg(target_arch = "aarch64")]
    Neon(Neon),
    /// 64-bit Arm with dot products of bytes.
    #[cfg(target_arch = "aarch64")]
    Dotprod(Dotprod),
    /// 64-bit Arm with dot products and matrix products of bytes.
    #[cfg(target_arch = "aarch64")]
    I8mm(I8mm),
}

impl Isa {
    /// The best instruction set of this processor. Reads no environment variable.
    pub fn detect() -> Self {
        Self::available().last().copied().unwrap_or(Self::Scalar)
    }

    /// Every instruction set that this processor has, the scalar one first, the best one last.
    pub fn available() -> Vec<Self> {
        #[allow(unused_mut)]
        let mut all = vec![Self::Scalar];
        #[cfg(target_arch = "x86_64")]
        all.extend(
            [Avx2::new().map(Self::Avx2), AvxVnni::new().map(Self::AvxVnni), Avx512::new().map(Self::Avx512)]
                .into_iter()
                .flatten(),
        );
        #[cfg(target_arch = "aarch64")]
        all.extend(
            [Neon::new().map(Self::Neon), Dotprod::new().map(Self::Dotprod), I8mm::new().map(Self::I8mm)]
                .into_iter()
                .flatten(),
        );
        all
    }

    /// The instruction set of this name, if this processor has it.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::available().into_iter().find(|isa| isa.name() == name)
    }

    /// A short name: `scalar`, `avx2`, `avxvnni`, `avx512`, `neon`, `dotprod`, `i8mm`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni(_) => "avxvnni",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => "avx512",
            #[cfg(target_arch = "aarch64")]
            Self::Neon(_) => "neon",
            #[cfg(target_arch = "aarch64")]
            Self::Dotprod(_) => "dotprod",
            #[cfg(target_arch = "aarch64")]
            Self::I8mm(_) => "i8mm",
        }
    }
}

/// Asks for the cache line at `p`, which need not be a valid address.
#[inline(always)]
pub fn prefetch(p: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads nothing and cannot fault; sse is part of x86-64.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(p.cast());
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: a prefetch reads nothing and cannot fault.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{p}]", p = in(reg) p, options(nostack, preserves_flags, readonly));
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
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
            #[allow(clippy::too_many_arguments)]
            fn avx512(token: $crate::simd::Avx512, $($arg: $ty),*) $(-> $ret)? {
                $body(token, $($arg),*)
            }
            match isa {
                $crate::simd::Isa::Scalar => $body($crate::simd::Scalar, $($arg),*),
                #[cfg(target_arch = "x86_64")]
                // SAFETY: an `Avx2` token exists only where avx2, fma and f16c were detected.
                $crate::simd::Isa::Avx2(token) => unsafe { avx2(token, $($arg),*) },
                #[cfg(target_arch = "x86_64")]
                // SAFETY: as above.
                $crate::simd::Isa::AvxVnni(token) => unsafe { avx2(token.avx2(), $($arg),*) },
                #[cfg(target_arch = "x86_64")]
                // SAFETY: an `Avx512` token exists only where these extensions were detected.
                $crate::simd::Isa::Avx512(token) => unsafe { avx512(token, $($arg),*) },
                // NEON is part of the platform, so it needs no function of its own.
                #[cfg(target_arch = "aarch64")]
                $crate::simd::Isa::Neon(token) => $body(token, $($arg),*),
                #[cfg(target_arch = "aarch64")]
                $crate::simd::Isa::Dotprod(token) => $body(token.neon(), $($arg),*),
                #[cfg(target_arch = "aarch64")]
                $crate::simd::Isa::I8mm(token) => $body(token.neon(), $($arg),*),
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
