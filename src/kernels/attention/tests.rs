use super::*;
use crate::kernels::testing::{Noise, bits};
use half::f16;

const THREADS: [usize; 3] = [1, 2, 5];

/// A tree of paths with random keys and values, whose numbers depend on the token alone, not on where it lies.
struct Tree {
    shape: AttentionShape,
    window: Option<usize>,
    ty: KvType,
    /// For each path its tokens, by number.
    paths: Vec<Vec<usize>>,
    queries: Vec<Query>,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
}

/// A tree cut into pages.
struct Paged {
    layout: KvLayout,
    pages: Vec<KvPage>,
    paths: Vec<Vec<Stretch>>,
}

impl Tree {
    /// `count` branches that fork at random places of earlier ones, and queries at the last tokens of each.
    fn random(seed: u64, count: usize, shape: AttentionShape, window: Option<usize>, ty: KvType) -> Self {
        let mut noise = Noise::new(seed);
        let mut below = |n: usize| noise.next() as usize % n.max(1);
        let mut next = 0;
        let mut paths: Vec<Vec<usize>> = Vec::new();
        let mut queries = Vec::new();
        for path in 0..count {
            let shared = match path {
                0 => Vec::new(),
                _ => {
                    let parent = &paths[below(path)];
                    parent[..[parent.len(), 1 + below(parent.len())][below(2)]].to_vec()
                }
            };
            let own = if path == 0 { 70 + below(60) } else { 1 + below(40) };
            let tokens: Vec<usize> = shared.into_iter().chain(next..next + own).collect();
            next += own;
            let asked = 1 + below(own.min(if path % 3 == 0 { own } else { 2 }));
            queries.extend((tokens.len() - asked + 1..=tokens.len()).map(|end| Query { path, end }));
            paths.push(tokens);
        }
        let width = shape.n_head_kv * shape.head_dim;
        let (k, v) = (noise.normals(next * width), noise.normals(next * width));
        let q = noise.normals(queries.len() * shape.width()).into_iter().map(|x| 2.0 * x).collect();
        Self { shape, window, ty, paths, queries, q, k, v }
    }

    /// Every run of tokens between two forks in pages of its own, cut short at `most` tokens; every other byte is NaN.
    fn paged(&self, team: &Team, isa: Isa, most: usize) -> Paged {
        let AttentionShape { n_head_kv, head_dim, .. } = self.shape;
        let layout = KvLayout { ty: self.ty, n_layer: 2, n_head_kv, head_dim };
        let mut place = vec![None; self.k.len() / (n_head_kv * head_dim)];
        let mut pages = Vec::new();
        let mut fill = 0;
        for path in &self.paths {
            let mut fresh = true;
            for &token in path {
                if place[token].is_none() {
                    if fresh || fill == most {
                        let mut page = KvPage::new(layout).unwrap();
                        page.bytes_mut().fill(0xff);
                        pages.push(page);
                        fill = 0;
                    }
                    place[token] = Some(KvSlot { page: pages.len() as u32 - 1, place: fill });
                    (fill, fresh) = (fill + 1, false);
                }
            }
        }
        let slots: Vec<KvSlot> = place.into_iter().flatten().collect();
        store_keys_values(team, isa, layout, 1, &mut pages, &slots, [&self.k, &self.v]);
        let path = |tokens: &Vec<usize>| {
            let mut path: Vec<Stretch> = Vec::new();
            for &token in tokens {
                match path.last_mut() {
                    Some(s) if s.page == slots[token].page => s.tokens += 1,
                    _ => path.push(Stretch { page: slots[token].page, tokens: 1 }),
                }
            }
            path
        };
        Paged { layout, pages, paths: self.paths.iter().map(path).collect() }
    }

    /// Results of the queries named by `chosen`, in that order.
    fn run(&self, threads: usize, isa: Isa, most: usize, chosen: &[usize]) -> Vec<f32> {
        let team = Team::new(threads).unwrap();
        let paged = self.paged(&team, isa, most);
        let queries: Vec<Query> = chosen.iter().map(|&i| self.queries[i]).collect();
        let q: Vec<f32> = chosen.iter().flat_map(|&i| self.row(&self.q, i)).copied().collect();
        let plan = AttentionPlan::new(&self.shape, threads, self.window, &paged.paths, &queries);
        let of = Attention { shape: self.shape, layout: paged.layout, layer: 1, pages: &paged.pages, plan: &plan };
        let mut out = vec![f32::NAN; q.len()];
        // Whatever an earlier call left in the scratch must not matter.
        let mut scratch = vec![f32::NAN; 1 << 12];
        attention(&team, isa, &of, &q, &mut scratch, &mut out);
        let longest = self.paths.iter().map(Vec::len).max().unwrap();
        let bound = attention_scratch_bytes(&self.shape, threads, longest);
        assert!((scratch.capacity() * size_of::<f32>()) as u64 <= bound, "scratch beyond its estimate");
        out
    }

    fn all(&self) -> Vec<usize> {
        (0..self.queries.len()).collect()
    }

    fn row<'a>(&self, of: &'a [f32], query: usize) -> &'a [f32] {
        &of[query * self.shape.width()..][..self.shape.width()]
    }

    /// The definition in f64, from the numbers as the pages keep them.
    fn oracle(&self) -> Vec<f64> {
        let AttentionShape { n_head_kv, n_group, head_dim, scale, soft_cap } = self.shape;
        let kept = |x: &[f32]| -> Vec<f64> {
            let largest = x.iter().fold(0.0f32, |m, x| m.max(x.abs()));
            let kept = |x: &f32| match self.ty {
                KvType::F16 => f16::from_f32(*x).to_f64(),
                KvType::Q8 => (f64::from(*x) * 127.0 / f64::from(largest)).round() * f64::from(largest) / 127.0,
            };
            x.iter().map(kept).collect()
        };
        let kept = |x: &[f32]| x.chunks(head_dim).map(kept).collect::<Vec<_>>();
        let (k, v) = (kept(&self.k), kept(&self.v));
        let mut all = Vec::new();
        for (i, query) in self.queries.iter().enumerate() {
            let start = query.end.saturating_sub(self.window.unwrap_or(usize::MAX));
            let seen = &self.paths[query.path][start..query.end];
            for (h, q) in self.row(&self.q, i).chunks(head_dim).enumerate() {
                let score = |&token: &usize| {
                    let k = &k[token * n_head_kv + h / n_group];
                    let score = q.iter().zip(k).map(|(q, k)| f64::from(*q) * k).sum::<f64>() * f64::from(scale);
                    soft_cap.map_or(score, |cap| f64::from(cap) * (score / f64::from(cap)).tanh()).exp()
                };
                let e: Vec<f64> = seen.iter().map(score).collect();
                let sum: f64 = e.iter().sum();
                let mut out = vec![0.0; head_dim];
                for (e, &token) in e.iter().zip(seen) {
                    let v = &v[token * n_head_kv + h / n_group];
                    out.iter_mut().zip(v).for_each(|(out, v)| *out += e / sum * v);
                }
                all.extend(out);
            }
        }
        all
    }
}

fn shape(head_dim: usize, n_head_kv: usize, n_group: usize, soft_cap: Option<f32>) -> AttentionShape {
    AttentionShape { head_dim, n_head_kv, n_group, scale: 1.0 / (head_dim as f32).sqrt(), soft_cap }
}

/// Head widths and groups of published models and odd ones, with and without windows and caps.
fn trees(ty: KvType) -> Vec<Tree> {
    let cases = [
        (shape(64, 2, 7, None), None, 12),
        (shape(80, 3, 1, Some(3.0)), None, 9),
        (shape(128, 1, 8, None), Some(50), 7),
        (shape(256, 1, 3, None), Some(17), 9),
        (shape(24, 3, 3, Some(2.0)), Some(1), 5),
        (shape(96, 2, 2, None), None, 1),
    ];
    let tree = |(i, (shape, window, count))| Tree::random(i as u64 + 1, count, shape, window, ty);
    cases.into_iter().enumerate().map(tree).collect()
}

#[test]
fn random_trees_match_f64() {
    for ty in [KvType::F16, KvType::Q8] {
        for (i, tree) in trees(ty).iter().enumerate() {
            let got = tree.run(2, Isa::detect(), PAGE_TOKENS, &tree.all());
            let want = tree.oracle();
            assert_eq!(got.len(), want.len());
            for (got, want) in got.iter().zip(want) {
                // A key on the edge between two 8-bit steps may round either way.
                let allowed = if ty == KvType::F16 { 2e-5 } else { 2e-3 };
                assert!((f64::from(*got) - want).abs() < allowed, "{ty:?}, tree {i}: {got} {want}");
            }
        }
    }
}

#[test]
fn threads_instruction_sets_and_page_cuts_do_not_change_a_bit() {
    for ty in [KvType::F16, KvType::Q8] {
        for (i, tree) in trees(ty).iter().enumerate() {
            let want = bits(&tree.run(1, Isa::Scalar, PAGE_TOKENS, &tree.all()));
            for isa in Isa::available() {
                for threads in THREADS {
                    for most in [PAGE_TOKENS, 31, 16, 5] {
                        let got = tree.run(threads, isa, most, &tree.all());
                        assert!(bits(&got) == want, "{ty:?}, tree {i}, {isa:?}, {threads} threads, pages of {most}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_query_gives_the_same_bits_alone_and_among_others() {
    for ty in [KvType::F16, KvType::Q8] {
        for (i, tree) in trees(ty).iter().enumerate() {
            let together = tree.run(2, Isa::detect(), PAGE_TOKENS, &tree.all());
            let mut backwards = tree.all();
            backwards.reverse();
            let reversed = tree.run(3, Isa::detect(), PAGE_TOKENS, &backwards);
            for (at, &query) in backwards.iter().enumerate() {
                let want = bits(tree.row(&together, query));
                assert!(bits(tree.row(&reversed, at)) == want, "{ty:?}, tree {i}, query {query} in reverse");
                if query % 5 == 0 {
                    for threads in THREADS {
                        let alone = tree.run(threads, Isa::detect(), PAGE_TOKENS, &[query]);
                        assert!(bits(&alone) == want, "{ty:?}, tree {i}, query {query} alone, {threads} threads");
                    }
                }
            }
        }
    }
}

#[test]
fn long_contexts_are_split_over_threads_without_changing_a_bit() {
    let mut noise = Noise::new(5);
    let (shape, n) = (shape(64, 3, 3, None), 1500);
    let (k, v) = (noise.normals(n * 192), noise.normals(n * 192));
    let queries = vec![Query { path: 0, end: n }];
    let q = noise.normals(shape.width());
    for window in [None, Some(900)] {
        let paths = vec![(0..n).collect()];
        let (queries, q, k, v) = (queries.clone(), q.clone(), k.clone(), v.clone());
        let tree = Tree { shape, window, ty: KvType::F16, paths, queries, q, k, v };
        let want = tree.run(1, Isa::Scalar, PAGE_TOKENS, &[0]);
        for (got, want) in want.iter().zip(tree.oracle()) {
            assert!((f64::from(*got) - want).abs() < 2e-5, "{got} {want}");
        }
        for threads in [2, 4, 7] {
            let plan = AttentionPlan::new(&shape, threads, window, &[[Stretch { page: 0, tokens: 32 }]], &[]);
            assert_eq!(plan.split, Split::Tasks(vec![0, 0]), "nothing to do needs no thread");
            assert_eq!(bits(&tree.run(threads, Isa::detect(), PAGE_TOKENS, &[0])), bits(&want), "{threads} threads");
        }
    }
}

#[test]
fn a_shared_prefix_is_one_piece_for_all_branches() {
    let page = |page, tokens| Stretch { page, tokens };
    let paths: Vec<_> = (0..8).map(|b| vec![page(0, 32), page(1, 8), page(2 + b, 3)]).collect();
    let queries: Vec<_> = (0..8).map(|path| Query { path, end: 43 }).collect();
    let plan = AttentionPlan::new(&shape(64, 2, 7, None), 2, None, &paths, &queries);
    assert_eq!((plan.clusters.len(), plan.pieces.len()), (1, 10));
    let shared =
        plan.pieces.iter().filter(|p| p.end_row - p.first_row == 8).map(|p| (p.page, p.from, p.to, p.position));
    assert_eq!(shared.collect::<Vec<_>>(), [(0, 0, 32, 0), (1, 0, 8, 32)]);
}

#[test]
fn damaged_numbers_show_in_eight_bits_too() {
    let shape = shape(64, 1, 1, None);
    let mut tree = Tree::random(3, 1, shape, None, KvType::Q8);
    for damage in [f32::NAN, f32::INFINITY] {
        tree.v[70] = damage;
        assert!(tree.run(1, Isa::detect(), PAGE_TOKENS, &[tree.queries.len() - 1]).iter().any(|x| x.is_nan()));
    }
}

#[test]
fn half_precision_is_rounded_as_the_half_crate_does() {
    let mut x: Vec<f32> = Noise::new(5).normals(77).into_iter().map(|x| x * x * x * 1e-4).collect();
    x.extend([65519.0, 65520.0, 1e9, -0.0, 1e-8, 2f32.powi(-25), 1.0 + 2f32.powi(-11), 1.0 + 3.0 * 2f32.powi(-11)]);
    let layout = KvLayout { ty: KvType::F16, n_layer: 1, n_head_kv: 1, head_dim: x.len() };
    for isa in Isa::available() {
        let mut pages = [KvPage::new(layout).unwrap()];
        let slot = KvSlot { page: 0, place: 9 };
        store_keys_values(&Team::new(1).unwrap(), isa, layout, 0, &mut pages, &[slot], [&x, &x]);
        let head = pages[0].head::<f16>(layout, 0, 0);
        for (d, x) in x.iter().enumerate() {
            let want = f16::from_f32(*x).to_bits();
            assert_eq!(head.keys[d * PAGE_TOKENS + 9].to_bits(), want, "{isa:?} {x}");
            assert_eq!(head.values[9 * layout.padded_dim() + d].to_bits(), want, "{isa:?} {x}");
        }
    }
}
