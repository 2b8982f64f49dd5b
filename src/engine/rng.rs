//! Random numbers that belong to a place in the search, so that no schedule can change them.
//!
//! Philox4x64-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011) is a keyed
//! bijection of a counter: there is no state to advance, only a question (seed, path, step) and its answer.

/// The random numbers of one branch: a seed and the path that leads to the branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stream {
    seed: u64,
    path: u64,
}

/// What a counter is used for, so that steps and children never draw the same number.
const STEP: u64 = 0;
const CHILD: u64 = 1;

impl Stream {
    /// The stream of the root of everything that is drawn under `seed`.
    pub fn new(seed: u64) -> Self {
        Self { seed, path: 0 }
    }

    /// The stream of this branch's child number `index`.
    #[must_use]
    pub fn child(self, index: u64) -> Self {
        let [path, ..] = philox([index, 0, 0, CHILD], [self.seed, self.path]);
        Self { seed: self.seed, path }
    }

    /// 64 random bits for `step`, which counts the branch's own tokens from 0.
    pub fn bits(self, step: u64) -> u64 {
        let [bits, ..] = philox([step, 0, 0, STEP], [self.seed, self.path]);
        bits
    }

    /// A number in [0, 1) for `step`, a multiple of 2^-53.
    pub fn uniform(self, step: u64) -> f64 {
        (self.bits(step) >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }
}

/// Ten rounds of Philox4x64 with the constants of the paper's table 2.
fn philox(mut counter: [u64; 4], mut key: [u64; 2]) -> [u64; 4] {
    for _ in 0..10 {
        let [c0, c1, c2, c3] = counter;
        let (high0, low0) = multiply(0xD2E7_470E_E14C_6C93, c0);
        let (high1, low1) = multiply(0xCA5A_8263_9512_1157, c2);
        counter = [high1 ^ c1 ^ key[0], low1, high0 ^ c3 ^ key[1], low0];
        key = [key[0].wrapping_add(0x9E37_79B9_7F4A_7C15), key[1].wrapping_add(0xBB67_AE85_84CA_A73B)];
    }
    counter
}

/// The high and the low half of a 128-bit product.
fn multiply(a: u64, b: u64) -> (u64, u64) {
    let product = u128::from(a) * u128::from(b);
    ((product >> 64) as u64, product as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Golden: numpy 2.4.6 `np.random.Philox(key=…, counter=…).random_raw(4)`, which increments the counter first.
    #[test]
    fn philox_equals_numpys() {
        assert_eq!(
            philox([1, 0, 0, 0], [0, 0]),
            [0x02f4_ba64_08e4_d89b, 0x3dd6_2b0b_9ca8_c5b2, 0x1c86_67a5_5d90_2e79, 0x907d_7a05_2fd5_b4dc]
        );
        assert_eq!(
            philox([8, 0, 0, 0], [0x0123_4567_89ab_cdef, 42]),
            [0xea73_87fb_3bc1_81b2, 0xa989_bc54_0b23_b6fe, 0x506d_3cc4_ceae_13fe, 0xdf39_6859_a78a_9a8b]
        );
        assert_eq!(
            philox([u64::MAX, 5, 6, 7], [u64::MAX, u64::MAX]),
            [0x83b9_5324_746e_8c6b, 0xd7a7_c7f6_9ddd_b952, 0xdf19_dd1a_cce8_2002, 0x3a8f_d58f_2830_9a1b]
        );
    }

    #[test]
    fn streams_differ_by_seed_path_and_step() {
        let root = Stream::new(7);
        let places =
            [root, Stream::new(8), root.child(0), root.child(1), root.child(0).child(0), root.child(1).child(0)];
        let mut seen = std::collections::HashSet::new();
        for place in places {
            for step in 0..100 {
                assert!(seen.insert(place.bits(step)), "two places drew the same number");
            }
        }
        assert_eq!(root.child(3).bits(5), Stream::new(7).child(3).bits(5));
    }

    #[test]
    fn uniform_fills_the_unit_interval_evenly() {
        let stream = Stream::new(1).child(2);
        let mut bins = [0u32; 10];
        for step in 0..100_000 {
            let u = stream.uniform(step);
            assert!((0.0..1.0).contains(&u));
            bins[(u * 10.0) as usize] += 1;
        }
        // Binomial: standard deviation 95; six of them.
        assert!(bins.iter().all(|&n| n.abs_diff(10_000) < 570), "{bins:?}");
    }
}
