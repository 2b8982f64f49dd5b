//! A short name for the headers of a model, and for the numbers of an adapter.

/// A digest of headers: FNV-1a with a 128-bit state, taking eight bytes at a step.
///
/// It tells files apart by accident, not against an adversary. The fold after each product carries high bits down,
/// which plain FNV over words would lack.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fingerprint(u128);

const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

impl Fingerprint {
    pub(crate) const fn new() -> Self {
        Self(OFFSET)
    }

    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.word(bytes.len() as u64);
        let (words, tail) = bytes.as_chunks::<8>();
        for word in words {
            self.word(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        for (to, from) in last.iter_mut().zip(tail) {
            *to = *from;
        }
        self.word(u64::from_le_bytes(last));
    }

    pub(crate) fn hex(self) -> String {
        format!("{:032x}", self.0)
    }

    fn word(&mut self, word: u64) {
        self.0 = (self.0 ^ u128::from(word)).wrapping_mul(PRIME);
        self.0 ^= self.0 >> 64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(parts: &[&[u8]]) -> String {
        let mut f = Fingerprint::new();
        parts.iter().for_each(|p| f.add(p));
        f.hex()
    }

    #[test]
    fn every_bit_and_every_boundary_counts() {
        let base = vec![0_u8; 100];
        let mut seen = std::collections::HashSet::from([digest(&[&base])]);
        for i in 0..800 {
            let mut other = base.clone();
            other[i / 8] ^= 1 << (i % 8);
            assert!(seen.insert(digest(&[&other])), "bit {i}");
        }
        for n in 0..100 {
            assert!(seen.insert(digest(&[&base[..n]])), "length {n}");
            assert!(seen.insert(digest(&[&base[..n], &base[n..]])), "boundary {n}");
        }
        assert_eq!(digest(&[]).len(), 32);
    }
}
