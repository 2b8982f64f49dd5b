use super::*;
use crate::kernels::testing::{Noise, bits};

struct Case {
    shape: AttentionShape,
    q: Vec<f32>,
    keys: Vec<f16>,
    values: Vec<f16>,
}

fn case(head_dim: usize, heads: usize, start: usize, end: usize, soft_cap: Option<f32>) -> Case {
    let mut noise = Noise::new((head_dim * 31 + heads * 7 + end) as u64);
    let mut half = |n| noise.normals(n).into_iter().map(f16::from_f32).collect::<Vec<_>>();
    let (keys, values) = (half(end * head_dim), half(end * head_dim));
    let scale = 1.0 / (head_dim as f32).sqrt();
    let q = noise.normals(heads * head_dim).into_iter().map(|x| 2.0 * x).collect();
    Case { shape: AttentionShape { head_dim, start, end, scale, soft_cap }, q, keys, values }
}

fn run(isa: Isa, case: &Case, cuts: &[usize]) -> Vec<f32> {
    let dim = case.shape.head_dim;
    let edges: Vec<usize> = [0].iter().chain(cuts).chain([&case.shape.end]).copied().collect();
    let path = edges
        .windows(2)
        .map(|e| KeysValues { keys: &case.keys[e[0] * dim..e[1] * dim], values: &case.values[e[0] * dim..e[1] * dim] });
    let mut out = vec![0.0; case.q.len()];
    attention(isa, &case.shape, &case.q, path, &mut out);
    out
}

fn oracle(case: &Case) -> Vec<f64> {
    let (shape, dim) = (&case.shape, case.shape.head_dim);
    let row = |of: &[f16], t: usize| of[t * dim..(t + 1) * dim].iter().map(|x| x.to_f64()).collect::<Vec<_>>();
    let head = |q: &[f32]| {
        let score = |t: usize| {
            let dot: f64 = q.iter().zip(row(&case.keys, t)).map(|(q, k)| f64::from(*q) * k).sum();
            let score = dot * f64::from(shape.scale);
            shape.soft_cap.map_or(score, |cap| f64::from(cap) * (score / f64::from(cap)).tanh())
        };
        let e: Vec<f64> = (shape.start..shape.end).map(|t| score(t).exp()).collect();
        let sum: f64 = e.iter().sum();
        let mut out = vec![0.0; dim];
        for (e, t) in e.iter().zip(shape.start..) {
            out.iter_mut().zip(row(&case.values, t)).for_each(|(out, v)| *out += e / sum * v);
        }
        out
    };
    case.q.chunks(dim).flat_map(head).collect()
}

#[test]
fn results_match_f64_and_agree_between_instruction_sets() {
    for head_dim in [32, 64, 80, 96, 128, 256, 20, 5] {
        for (heads, start, end, cap) in
            [(1, 0, 1, None), (2, 0, 9, Some(3.0)), (3, 5, 40, None), (4, 0, 65, None), (7, 13, 100, Some(2.0))]
        {
            let case = case(head_dim, heads, start, end, cap);
            let got = run(Isa::Scalar, &case, &[]);
            for isa in Isa::available() {
                assert_eq!(bits(&run(isa, &case, &[])), bits(&got), "{isa:?} dim {head_dim} heads {heads}");
            }
            for (got, want) in got.iter().zip(oracle(&case)) {
                assert!((f64::from(*got) - want).abs() < 2e-5, "{got} {want}, dim {head_dim} heads {heads}");
            }
        }
    }
}

#[test]
fn pages_do_not_change_a_bit() {
    let case = case(64, 7, 3, 77, None);
    for isa in Isa::available() {
        let whole = run(isa, &case, &[]);
        for cuts in [&[1][..], &[32, 64], &[5, 6, 7, 50], &[76]] {
            assert_eq!(bits(&run(isa, &case, cuts)), bits(&whole), "{isa:?} {cuts:?}");
        }
    }
}

#[test]
fn a_head_gives_the_same_bits_alone_and_among_others() {
    let case = case(80, 6, 0, 50, None);
    for isa in Isa::available() {
        let together = run(isa, &case, &[]);
        for (h, q) in case.q.chunks(80).enumerate() {
            let mut out = vec![0.0; 80];
            let path = [KeysValues { keys: &case.keys, values: &case.values }];
            attention(isa, &case.shape, q, path, &mut out);
            assert_eq!(bits(&out), bits(&together[h * 80..][..80]), "{isa:?} head {h}");
        }
    }
}

#[test]
fn positions_out_of_sight_do_not_matter() {
    let mut case = case(64, 2, 21, 50, None);
    let want = run(Isa::detect(), &case, &[]);
    case.keys[..21 * 64].fill(f16::NAN);
    case.values[..21 * 64].fill(f16::NAN);
    case.keys.resize(99 * 64, f16::NAN);
    case.values.resize(99 * 64, f16::NAN);
    for isa in Isa::available() {
        for page in [4, 7, 99] {
            let pages = case.keys.chunks(page * 64).zip(case.values.chunks(page * 64));
            let mut out = vec![0.0; case.q.len()];
            attention(isa, &case.shape, &case.q, pages.map(|(keys, values)| KeysValues { keys, values }), &mut out);
            assert_eq!(bits(&out), bits(&want), "{isa:?}, pages of {page}");
        }
    }
}
