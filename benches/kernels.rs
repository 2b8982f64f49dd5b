//! Matrix products per weight format: `cargo bench --bench kernels`, in multiply-adds per second (divan prints them as
//! items). `RUMINATE_BENCH_THREADS` sets the team, 2 by default.

// A benchmark that cannot start has nothing to report.
#![allow(clippy::expect_used)]

use divan::Bencher;
use divan::counter::ItemsCount;
use ruminate::Limits;
use ruminate::engine::native::{NativeEngine, NativeOptions};
use ruminate::engine::{Batch, Engine, Rows, Want};
use ruminate::exec::Team;
use ruminate::gguf::Gguf;
use ruminate::kernels::{
    Activations, Attention, AttentionPlan, AttentionShape, Input, KvLayout, KvPage, KvSlot, KvType, MatrixView,
    PAGE_TOKENS, PackedMatrix, Product, Query, Stretch, attention, matmul, store_keys_values,
};
use ruminate::model::Model;
use ruminate::observe::Interrupt;
use ruminate::quant::QuantType;
use ruminate::simd::Isa;
use ruminate::storage::LoadMode;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

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

/// The best instruction set, or the one that `RUMINATE_ISA` names.
fn isa() -> Isa {
    std::env::var("RUMINATE_ISA").ok().map_or_else(Isa::detect, |name| Isa::by_name(&name).expect("an instruction set"))
}

#[divan::bench(args = QuantType::ALL, consts = [1, 4, 32])]
fn matrix_product<const COLUMNS: usize>(bencher: Bencher<'_, '_>, ty: QuantType) {
    let (team, isa) = (team(), isa());
    let k = COLS.next_multiple_of(ty.block_len());
    // Small bytes, so that scales are finite numbers in every format.
    let bytes = ty.row_bytes(k).expect("whole blocks") * ROWS;
    let data: Vec<u8> = (0..bytes).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8 & 0x3f).collect();
    let w = MatrixView::new(ty, ROWS, k, &data).expect("a matrix");
    let w = PackedMatrix::new(&team, &w).expect("memory");
    let x: Vec<f32> = (0..COLUMNS * k).map(|i| (i * 7919 % 1000) as f32 / 500.0 - 1.0).collect();
    let mut acts = Activations::new();
    acts.set(&team, isa, Input::Plain(&x), k, &[ty]).expect("whole columns");
    let mut out = vec![0.0; COLUMNS * ROWS];
    bencher.counter(ItemsCount::new(ROWS * k * COLUMNS)).bench_local(|| {
        let out = divan::black_box(&mut out[..]);
        matmul(&team, isa, &acts, vec![Product { w: &w, bias: None, out, add: false }]).expect("a product");
    });
}

/// Trees in which every branch decodes one token: branches, the prefix that they share, tokens of their own.
const TREES: [(usize, usize, usize); 6] =
    [(1, 64, 0), (1, 1024, 0), (1, 8192, 0), (8, 1024, 0), (32, 1024, 16), (256, 1024, 16)];

/// A tree of branches over a model 896 wide: two KV heads, each read by seven query heads of 64.
struct Tree {
    shape: AttentionShape,
    layout: KvLayout,
    pages: Vec<KvPage>,
    paths: Vec<Vec<Stretch>>,
    queries: Vec<Query>,
    q: Vec<f32>,
}

impl Tree {
    fn new(team: &Team, ty: KvType, (branches, prefix, own): (usize, usize, usize)) -> Self {
        let shape = AttentionShape { head_dim: 64, n_head_kv: 2, n_group: 7, scale: 0.125, soft_cap: None };
        let layout = KvLayout { ty, n_layer: 1, n_head_kv: 2, head_dim: 64 };
        let stretches = |first: usize, n: usize| {
            let page = |i: usize| Stretch { page: (first + i) as u32, tokens: PAGE_TOKENS.min(n - i * PAGE_TOKENS) };
            (0..n.div_ceil(PAGE_TOKENS)).map(page).collect::<Vec<_>>()
        };
        let (common, each) = (prefix.div_ceil(PAGE_TOKENS), own.div_ceil(PAGE_TOKENS));
        let paths: Vec<_> =
            (0..branches).map(|b| [stretches(0, prefix), stretches(common + b * each, own)].concat()).collect();
        let count = common + branches * each;
        let mut pages: Vec<_> = (0..count).map(|_| KvPage::new(layout).expect("a page")).collect();
        let slots: Vec<_> = (0..count * PAGE_TOKENS)
            .map(|i| KvSlot { page: (i / PAGE_TOKENS) as u32, place: i % PAGE_TOKENS })
            .collect();
        let kv: Vec<f32> = (0..slots.len() * 128).map(|i| (i * 7919 % 1000) as f32 / 500.0 - 1.0).collect();
        store_keys_values(team, Isa::detect(), layout, 0, &mut pages, &slots, [&kv, &kv]);
        let queries = (0..branches).map(|path| Query { path, end: prefix + own }).collect();
        let q = (0..branches * 14 * 64).map(|i| (i * 31 % 97) as f32 / 97.0 - 0.5).collect();
        Self { shape, layout, pages, paths, queries, q }
    }

    fn plan(&self, team: &Team) -> AttentionPlan {
        AttentionPlan::new(&self.shape, team.threads(), None, &self.paths, &self.queries)
    }

    fn bench(bencher: Bencher<'_, '_>, ty: KvType, sizes: (usize, usize, usize)) {
        let team = team();
        let tree = Self::new(&team, ty, sizes);
        let plan = tree.plan(&team);
        let (mut scratch, mut out) = (Vec::new(), vec![0.0; tree.q.len()]);
        let Self { shape, layout, pages, q, .. } = &tree;
        let of = Attention { shape: *shape, layout: *layout, layer: 0, pages, plan: &plan };
        bencher
            .counter(ItemsCount::new(2 * sizes.0 * 14 * 64 * (sizes.1 + sizes.2)))
            .bench_local(|| attention(&team, Isa::detect(), &of, q, &mut scratch, divan::black_box(&mut out)));
    }
}

#[divan::bench(args = TREES)]
fn attention_over_halves(bencher: Bencher<'_, '_>, sizes: (usize, usize, usize)) {
    Tree::bench(bencher, KvType::F16, sizes);
}

#[divan::bench(args = TREES)]
fn attention_over_bytes(bencher: Bencher<'_, '_>, sizes: (usize, usize, usize)) {
    Tree::bench(bencher, KvType::Q8, sizes);
}

/// What a pass's plan costs, once for all layers.
#[divan::bench(args = TREES)]
fn attention_plan(bencher: Bencher<'_, '_>, sizes: (usize, usize, usize)) {
    let team = team();
    let tree = Tree::new(&team, KvType::F16, sizes);
    bencher.bench_local(|| tree.plan(&team));
}

/// 256 branches forked from a prefix of 1,024 tokens, and given back.
#[divan::bench]
fn fork_256_branches(bencher: Bencher<'_, '_>) {
    let limits = Limits::default();
    let gguf = Gguf::open(Path::new("models/abacus-q8_0.gguf"), LoadMode::Mmap, &limits).expect("the built-in model");
    let model = Model::load(&gguf, &limits).expect("a model");
    let mut options = NativeOptions::default();
    options.n_ctx = Some(1024.min(model.config().n_ctx_train));
    let mut engine = NativeEngine::new(Arc::new(model), &options).expect("an engine");
    let root = engine.root().expect("a branch");
    let interrupt = Interrupt::default();
    let mut batch = Batch::new(&interrupt);
    batch.extend(&root, &vec![1; engine.info().n_ctx], Want::None);
    engine.forward(&batch, &mut Rows::new()).expect("a pass");
    bencher.bench_local(|| {
        let forks: Vec<_> = (0..256).map(|_| engine.fork(&root).expect("a fork")).collect();
        forks.into_iter().for_each(|branch| engine.release(branch));
    });
}

/// What a job costs beyond its work; the caller may do all of it.
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

/// The same where all threads must have come before any may go: what handing over and back costs.
#[divan::bench]
fn meetings_200(bencher: Bencher<'_, '_>) {
    let team = team();
    // A team starts no more threads than that.
    let threads = team.threads().min(std::thread::available_parallelism().map_or(1, usize::from));
    bencher.counter(ItemsCount::new(200usize)).bench_local(|| {
        for _ in 0..200 {
            let here = AtomicUsize::new(0);
            team.run(threads, &|_| {
                here.fetch_add(1, Ordering::AcqRel);
                while here.load(Ordering::Acquire) < threads {
                    std::hint::spin_loop();
                }
            });
        }
    });
}
