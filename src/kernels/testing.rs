//! Inputs for the room's tests.

/// Reproducible noise (SplitMix64, Steele et al. 2014).
pub(crate) struct Noise(u64);

impl Noise {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// About normally distributed: the sum of twelve uniform numbers, less six.
    pub(crate) fn normals(&mut self, n: usize) -> Vec<f32> {
        let uniform = |noise: &mut Self| (noise.next() >> 40) as f32 / (1u64 << 24) as f32;
        (0..n).map(|_| (0..12).map(|_| uniform(self)).sum::<f32>() - 6.0).collect()
    }
}

pub(crate) fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}
