//! Matrix products per weight format: `cargo bench --bench kernels`, in multiply-adds per second (divan prints them as
//! items). `RUMINATE_BENCH_THREADS` sets the team, 2 by default.

// A benchmark that cannot start has nothing to report.
#![allow(clippy::expect_used)]

use divan::Bencher;
use divan::counter::ItemsCount;
use ruminate::exec::Team;
use ruminate::kernels::{Activations, AttentionShape, KeysValues, MatrixView, attention, matmul};
use ruminate::quant::QuantType;
use ruminate::simd::Isa;

/// The feed-forward matrix of a model 896 wide; formats in blocks of 256 get the nearest width.
const ROWS: usize = 4864;
const COLS: usize = 896;

fn main() {
    divan::main();
}

fn team() -> Team {
    let threads = std::env::var("RUMINATE_BENCH_THREADS").ok().and_then(|n| n.parse().ok()).unwrap_or(2);
    Team::new(threads).expect("a team")
}

#[divan::bench(args = QuantType::ALL, consts = [1, 4, 32])]
fn matrix_product<const COLUMNS: usize>(bencher: Bencher<'_, '_>, ty: QuantType) {
    let (team, isa) = (team(), Isa::detect());
    let k = COLS.next_multiple_of(ty.block_len());
    // Small bytes, so that scales are finite numbers in every format.
    let bytes = ty.row_bytes(k).expect("whole blocks") * ROWS;
    let data: Vec<u8> = (0..bytes).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8 & 0x3f).collect();
    let w = MatrixView::new(ty, ROWS, k, &data).expect("a matrix");
    let x: Vec<f32> = (0..COLUMNS * k).map(|i| (i * 7919 % 1000) as f32 / 500.0 - 1.0).collect();
    let mut acts = Activations::new();
    acts.set(&x, k).expect("whole columns");
    acts.prepare(&team, isa, ty);
    let mut out = vec![0.0; COLUMNS * ROWS];
    bencher
        .counter(ItemsCount::new(ROWS * k * COLUMNS))
        .bench_local(|| matmul(&team, isa, &w, &acts, divan::black_box(&mut out)).expect("a product"));
}

/// Seven query heads of 64 that share a KV head, as in a model 896 wide.
#[divan::bench(args = [64, 1024, 8192])]
fn attention_of_one_token(bencher: Bencher<'_, '_>, n: usize) {
    let (dim, heads, isa) = (64, 7, Isa::detect());
    let cache: Vec<half::f16> = (0..n * dim).map(|i| half::f16::from_f32((i % 97) as f32 / 97.0 - 0.5)).collect();
    let q: Vec<f32> = (0..heads * dim).map(|i| (i % 31) as f32 / 31.0 - 0.5).collect();
    let mut out = vec![0.0; heads * dim];
    let shape = AttentionShape { head_dim: dim, start: 0, end: n, scale: 0.125, soft_cap: None };
    bencher.counter(ItemsCount::new(2 * heads * dim * n)).bench_local(|| {
        let path = cache.chunks(32 * dim).map(|page| KeysValues { keys: page, values: page });
        attention(isa, &shape, &q, path, divan::black_box(&mut out));
    });
}

/// What a job costs beyond its work.
#[divan::bench]
fn empty_job(bencher: Bencher<'_, '_>) {
    let team = team();
    bencher.bench_local(|| {
        team.run(team.threads(), &|part| {
            divan::black_box(part);
        })
    });
}

/// A forward pass of a small model has about as many jobs, one right after the other.
#[divan::bench]
fn empty_jobs_200(bencher: Bencher<'_, '_>) {
    let team = team();
    bencher.counter(ItemsCount::new(200usize)).bench_local(|| {
        for _ in 0..200 {
            team.run(team.threads(), &|part| {
                divan::black_box(part);
            });
        }
    });
}
