//! The products against ggml's.

use super::case::{Case, run};
use crate::quant::QuantType::{self, *};
use crate::simd::Isa;

/// What ggml's own `ggml_vec_dot_*` (0.25.3 as built into llama-cpp-python 0.3.36, x86-64) make of rows 0, 37, 74, … of
/// the matrix and the column below, as the bits of an f32.
const GGML: [(QuantType, [u32; 7]); 12] = [
    (Q4_0, [0xc30d_f5fc, 0xc0d0_b39e, 0xc1bf_29fc, 0xc1c1_cc90, 0xc0c7_ff6a, 0x4217_a798, 0xc1d5_3466]),
    (Q4_1, [0xc252_ee6f, 0x4253_53d0, 0xc14f_b620, 0xc210_2dbf, 0x4229_275d, 0x41b1_41d1, 0x4200_0bfa]),
    (Q5_0, [0x4252_49fc, 0xc189_1748, 0xc26d_a7f6, 0x4202_1eac, 0x433d_5268, 0x42ad_07b4, 0xc0d5_f370]),
    (Q5_1, [0xc32b_80a1, 0x4151_b16a, 0xc281_d320, 0x425f_b326, 0xc14b_7318, 0xc166_2f36, 0xc17c_e443]),
    (Q8_0, [0xc3a2_7820, 0x4324_56f5, 0xc31b_4e4a, 0xc2d2_97a6, 0x4140_a238, 0xbf3c_1280, 0xc25a_edf4]),
    (Q2_K, [0x3ef6_9540, 0xc096_34ae, 0xc19f_106a, 0xbef4_8f00, 0xc12f_b3a9, 0xc106_31e2, 0x419e_1b78]),
    (Q3_K, [0x3e81_ef85, 0x42c0_1060, 0xc0f3_f3c8, 0xc1c3_f0ac, 0x440d_f77c, 0xc094_6194, 0x42dc_6724]),
    (Q4_K, [0xc1e2_3efe, 0xc33a_25b9, 0x4253_873a, 0xc31a_f6c3, 0x4255_35f2, 0xc1f7_f40a, 0x44aa_514d]),
    (Q5_K, [0x448f_30e2, 0x4505_85c7, 0xc50e_c3e9, 0xc27c_ad5a, 0xc50a_ce1e, 0xc4e9_7c8b, 0x426f_1382]),
    (Q6_K, [0x4535_f485, 0x4540_bfce, 0xc61f_0684, 0xc602_26e6, 0x4156_2700, 0xc684_98fe, 0xc4a6_3b0f]),
    (IQ4_NL, [0xc506_cf10, 0xc2e2_a700, 0xc3b7_280a, 0xc3a6_6bb4, 0xc2dc_2568, 0x43f3_e68e, 0xc3d6_69d6]),
    (IQ4_XS, [0x446e_8488, 0xc623_c414, 0xc529_5d58, 0xc26f_6b8b, 0x4439_fff4, 0x4625_0244, 0xc6c3_0d0e]),
];

#[test]
fn results_are_ggml_s() {
    let (rows, k) = (256, 1024);
    let x: Vec<f32> = (0..k).map(|i| (i * 7919 % 1000) as f32 / 500.0 - 1.0).collect();
    for (ty, want) in GGML {
        let mut state = 1u64;
        let mut byte = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8 & 0x3f
        };
        let data = (0..rows * ty.row_bytes(k).unwrap()).map(|_| byte()).collect();
        let got = run(&Case { ty, rows, k, data, x: x.clone() }, Isa::detect(), 1);
        let got: Vec<f32> = got.into_iter().step_by(37).collect();
        let want = want.map(f32::from_bits);
        // The same integer sums, added up in another order; and ggml rounds the scales of blocks of 32 to half precision.
        let rounding = if ty.block_len() == 32 { 4e-4 } else { 1e-6 };
        let largest = want.iter().fold(0.0f32, |m, x| m.max(x.abs()));
        let near = |(got, want): (&f32, &f32)| (got - want).abs() <= rounding * largest;
        assert!(got.iter().zip(&want).all(near), "{ty:?}: {got:?}, ggml has {want:?}");
    }
}
