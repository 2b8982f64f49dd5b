mod case;
mod ggml;

use super::*;
use crate::kernels::activations::Partner;
use crate::kernels::testing::{Noise, bits};
use crate::kernels::{Input, MatrixView};
use crate::quant::QuantType::{self, *};
use case::{Case, matrix, packed, random, run};
use half::{bf16, f16};

/// One input column as it is quantized, and per 32 the sum that weights with minimums use.
fn stored(case: &Case, x: &[f32]) -> (Vec<f64>, Vec<f64>) {
    let amax = |x: &[f32]| x.iter().fold(0.0f32, |m, x| if x.abs() > m.abs() { *x } else { m });
    match Partner::of(case.ty) {
        Partner::Q8 => {
            let mut sums = Vec::new();
            let block = |x: &[f32]| {
                let amax = amax(x).abs();
                let (d, id) = (amax / 127.0, if amax > 0.0 { 127.0 / amax } else { 0.0 });
                let q: Vec<f32> = x.iter().map(|x| (x * id).round_ties_even()).collect();
                sums.push(f64::from(d * q.iter().sum::<f32>()));
                q.into_iter().map(move |q| f64::from(d) * f64::from(q)).collect::<Vec<_>>()
            };
            (x.chunks(32).flat_map(block).collect(), sums)
        }
        Partner::Q8K => {
            let block = |x: &[f32]| {
                let inverse = -127.0 / amax(x);
                let d = if inverse.is_finite() { f64::from(1.0 / inverse) } else { 0.0 };
                let inverse = if inverse.is_finite() { inverse } else { 0.0 };
                x.iter().map(move |x| d * f64::from((x * inverse).round_ties_even())).collect::<Vec<_>>()
            };
            (x.chunks(256).flat_map(block).collect(), Vec::new())
        }
        Partner::F16 => (x.iter().map(|x| f16::from_f32(*x).to_f64()).collect(), Vec::new()),
        Partner::BF16 => (x.iter().map(|x| bf16::from_f32(*x).to_f64()).collect(), Vec::new()),
        Partner::F32 => (x.iter().map(|x| f64::from(*x)).collect(), Vec::new()),
    }
}

/// Checks `got` against the product of dequantized weights and stored inputs in f64.
fn check(case: &Case, got: &[f32]) {
    let mut w = vec![0.0; case.k];
    for row in 0..case.rows {
        let view = MatrixView::new(case.ty, case.rows, case.k, &case.data).unwrap();
        crate::kernels::get_row(&view, row, &mut w).unwrap();
        let mins: Vec<f64> = match case.ty {
            Q4_1 | Q5_1 => {
                let half = |b: &[u8]| f16::from_le_bytes([b[2], b[3]]).to_f64();
                view.row(row).chunks(case.ty.block_bytes()).map(half).collect()
            }
            _ => vec![0.0; case.k.div_ceil(32)],
        };
        for (c, x) in case.x.chunks(case.k).enumerate() {
            let (x, sums) = stored(case, x);
            let terms = w.iter().zip(&x).enumerate().map(|(i, (w, x))| (f64::from(*w) - mins[i / 32]) * x);
            let terms: Vec<f64> = terms.chain(mins.iter().zip(&sums).map(|(m, s)| m * s)).collect();
            let (want, size) = (terms.iter().sum::<f64>(), terms.iter().map(|t| t.abs()).sum::<f64>());
            let error = (f64::from(got[c * case.rows + row]) - want).abs();
            // K-quants subtract minimums that are larger than what remains, so the bound counts them too.
            assert!(error <= size * 4e-6 + 1e-30, "{:?} row {row} column {c}: off by {error} of {size}", case.ty);
        }
    }
}

#[test]
fn every_format_matches_f64() {
    for ty in QuantType::ALL {
        for (rows, blocks) in [(1, 1), (5, 3), (18, 9)] {
            let case = random(ty, rows, blocks, 3);
            check(&case, &run(&case, Isa::Scalar, 1));
        }
    }
}

#[test]
fn every_instruction_set_gives_the_scalar_bits() {
    for ty in QuantType::ALL {
        for (rows, blocks, columns) in
            [(1, 1, 1), (3, 2, 2), (6, 3, 3), (17, 7, 4), (33, 8, 5), (16, 4, 7), (21, 9, 19)]
        {
            let case = random(ty, rows, blocks, columns);
            let want = run(&case, Isa::Scalar, 1);
            for isa in Isa::available() {
                assert_eq!(bits(&run(&case, isa, 1)), bits(&want), "{ty:?} on {isa:?}, {rows} rows, {columns} columns");
            }
        }
    }
}

#[test]
fn extremes_do_not_saturate() {
    for ty in QuantType::ALL {
        let k = ty.block_len().max(32) * 3;
        for (byte, scale) in
            [(0xff, 1.0), (0x00, 1.0), (0x80, 1.0), (0x7f, -1.0), (0x0f, 0.0), (0xf0, 6e-8), (0x81, 6e4)]
        {
            // All inputs of one sign, of alternating signs, and of signs that alternate by pair.
            let sign = |i: usize| [1.0, [1.0, -1.0][i % 2], [1.0, -1.0][i / 2 % 2]];
            let x: Vec<f32> = (0..9).flat_map(|c| (0..k).map(move |i| sign(i)[c % 3] * 0.5)).collect();
            let case = Case { ty, rows: 5, k, data: matrix(ty, 5, k, || byte, || scale), x };
            let want = run(&case, Isa::Scalar, 1);
            check(&case, &want);
            for isa in Isa::available() {
                assert_eq!(bits(&run(&case, isa, 1)), bits(&want), "{ty:?} on {isa:?}, bytes {byte:#x}");
            }
        }
    }
}

#[test]
fn zero_and_vanishing_inputs_give_zero() {
    for ty in QuantType::ALL {
        for size in [0.0, 1e-38, 1e-45] {
            let mut case = random(ty, 4, 2, 2);
            case.x.iter_mut().for_each(|x| *x = size * x.signum());
            for isa in Isa::available() {
                assert!(run(&case, isa, 1).iter().all(|y| y.abs() < 1e-30), "{ty:?} on {isa:?}");
            }
        }
    }
}

#[test]
fn a_column_gives_the_same_bits_in_every_batch() {
    for ty in QuantType::ALL {
        let all = random(ty, 18, 2, 33);
        for isa in Isa::available() {
            let alone = |x: &[f32]| run(&Case { data: all.data.clone(), x: x.to_vec(), ..all }, isa, 1);
            let want: Vec<f32> = all.x.chunks(all.k).flat_map(alone).collect();
            for n in 1..=33 {
                let batch = Case { data: all.data.clone(), x: all.x[..n * all.k].to_vec(), ..all };
                assert_eq!(bits(&run(&batch, isa, 1)), bits(&want[..n * all.rows]), "{ty:?} on {isa:?}, batch {n}");
            }
        }
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    for ty in QuantType::ALL {
        for columns in [1, 3, 16] {
            let case = random(ty, 131, if ty.block_len() == 256 { 1 } else { 8 }, columns);
            for isa in Isa::available() {
                let want = run(&case, isa, 1);
                for threads in [2, 3, 5] {
                    assert_eq!(bits(&run(&case, isa, threads)), bits(&want), "{ty:?} on {isa:?}, {threads} threads");
                }
            }
        }
    }
}

#[test]
fn bad_input_reaches_the_output() {
    for ty in QuantType::ALL {
        for bad in [f32::NAN, f32::INFINITY] {
            let mut case = random(ty, 3, 2, 9);
            case.x[4 * case.k + 11] = bad;
            for isa in Isa::available() {
                let out = run(&case, isa, 1);
                for (c, y) in out.chunks(3).enumerate() {
                    assert_eq!(y.iter().all(|y| y.is_finite()), c != 4, "{ty:?} on {isa:?}: column {c} is {y:?}");
                }
            }
        }
    }
}

#[test]
fn shapes_are_checked() {
    let (team, case, isa) = (Team::new(1).unwrap(), random(Q4_0, 4, 2, 2), Isa::Scalar);
    let w = packed(&case);
    let mut acts = Activations::new();
    let multiply = |acts: &Activations, len: usize| {
        matmul(&team, isa, acts, vec![Product { w: &w, bias: None, out: &mut vec![0.0; len], add: false }])
    };
    assert!(acts.set(&team, isa, Input::Plain(&case.x), 63, &[Q4_0]).is_err());
    acts.set(&team, isa, Input::Plain(&case.x), 64, &[Q4_K]).unwrap();
    assert!(!acts.is_ready(Q4_K), "64 inputs are no block of 256");
    assert!(multiply(&acts, 8).is_err(), "not prepared");
    acts.set(&team, isa, Input::Plain(&case.x), 64, &[Q4_1]).unwrap();
    assert!(multiply(&acts, 8).is_ok(), "Q4_1 has the same partner");
    assert!(multiply(&acts, 7).is_err(), "too few outputs");
    acts.set(&team, isa, Input::Plain(&case.x), 32, &[Q4_0]).unwrap();
    assert!(multiply(&acts, 16).is_err(), "wrong width");
}

#[test]
fn products_share_a_job_add_up_and_take_a_bias() {
    let team = Team::new(2).unwrap();
    let cases = [random(Q8_0, 40, 3, 5), random(Q4_0, 17, 3, 5), random(Q5_0, 64, 3, 5)];
    let x = &cases[0].x;
    for isa in Isa::available() {
        let mut acts = Activations::new();
        acts.set(&team, isa, Input::Plain(x), 96, &[Q8_0]).unwrap();
        let weights: Vec<_> = cases.iter().map(packed).collect();
        let biases: Vec<Vec<f32>> = cases.iter().map(|c| Noise::new(3).normals(c.rows)).collect();
        let mut outs: Vec<_> = cases.iter().map(|c| vec![1.5f32; 5 * c.rows]).collect();
        let products = outs.iter_mut().zip(&weights).zip(&biases);
        let products = products.map(|((out, w), bias)| Product { w, bias: Some(bias), out, add: true });
        matmul(&team, isa, &acts, products.collect()).unwrap();
        for ((case, out), bias) in cases.iter().zip(&outs).zip(&biases) {
            let plain = run(&Case { x: x.clone(), data: case.data.clone(), ..*case }, isa, 1);
            for (i, (out, plain)) in out.iter().zip(plain).enumerate() {
                assert_eq!(*out, 1.5 + (plain + bias[i % case.rows]), "{:?} on {isa:?}", case.ty);
            }
        }
    }
}

#[test]
fn a_gated_product_is_the_gate_times_the_product() {
    let team = Team::new(3).unwrap();
    // Both matrices, of formats with different partners too.
    for (first, second) in [(Q4_0, Q4_0), (Q4_K, Q8_0), (F16, Q6_K)] {
        let (mut gate, up) = (random(first, 50, 1, 35), random(second, 50, 1, 35));
        let k = 256;
        gate = Case { k, data: random(first, 50, k / first.block_len().max(32), 1).data, ..gate };
        gate.data.resize(50 * first.row_bytes(k).unwrap(), 0);
        let mut data = random(second, 50, k / second.block_len(), 1).data;
        data.resize(50 * second.row_bytes(k).unwrap(), 0);
        let x = Noise::new(5).normals(35 * k);
        let (gate, up) = (Case { x: x.clone(), ..gate }, Case { k, data, x, ..up });
        let (g, u) = (packed(&gate), packed(&up));
        for isa in Isa::available() {
            let mut acts = Activations::new();
            acts.set(&team, isa, Input::Plain(&gate.x), k, &[first, second]).unwrap();
            let (mut out, mut want) = (vec![0.0; 35 * 50], run(&gate, isa, 1));
            let up_product = Product { w: &u, bias: None, out: &mut out, add: false };
            matmul_gated(&team, isa, &acts, Activation::Silu, (&g, None), up_product).unwrap();
            crate::kernels::silu_mul(isa, &mut want, &run(&up, isa, 1));
            assert_eq!(bits(&out), bits(&want), "{first:?} and {second:?} on {isa:?}");
        }
    }
}

/// Weights that end where memory ends, in sizes that leave odd vectors: a read behind them would end the test.
#[test]
#[cfg(target_os = "linux")]
fn nothing_is_read_behind_the_weights() {
    let team = Team::new(1).unwrap();
    for ty in QuantType::ALL {
        for (rows, blocks, columns) in [(1, 1, 1), (16, 3, 2), (33, 5, 1), (48, 2, 7), (16, 1, 33)] {
            let case = random(ty, rows, blocks, columns);
            let here = crate::storage::Bytes::guarded(packed(&case).data());
            let w = PackedMatrix::from_bytes(here, 0, ty, rows, case.k).unwrap();
            for isa in Isa::available() {
                let mut acts = Activations::new();
                acts.set(&team, isa, Input::Plain(&case.x), case.k, &[ty]).unwrap();
                let mut out = vec![f32::NAN; columns * rows];
                matmul(&team, isa, &acts, vec![Product { w: &w, bias: None, out: &mut out, add: false }]).unwrap();
                assert_eq!(bits(&out), bits(&run(&case, isa, 1)), "{ty:?} on {isa:?}");
            }
        }
    }
}
