//! Sizes that cannot wrap.

/// A count of bytes or elements that a file asked for. All arithmetic is checked; `None` means that it left 64 bits.
///
/// Wrapped products and pads are how most GGUF parsers were broken, in safe languages too (RUSTSEC-2026-0217,
/// CVE-2026-33298), so no size in this room is computed in any other way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Extent(u64);

impl Extent {
    pub(super) const fn new(n: u64) -> Self {
        Self(n)
    }

    pub(super) fn of_len(n: usize) -> Option<Self> {
        u64::try_from(n).ok().map(Self)
    }

    pub(super) const fn get(self) -> u64 {
        self.0
    }

    pub(super) fn to_usize(self) -> Option<usize> {
        usize::try_from(self.0).ok()
    }

    pub(super) fn add(self, n: u64) -> Option<Self> {
        self.0.checked_add(n).map(Self)
    }

    pub(super) fn mul(self, n: u64) -> Option<Self> {
        self.0.checked_mul(n).map(Self)
    }

    /// How many groups of `n` this is; `None` when it is no whole number of them.
    pub(super) fn exact_div(self, n: u64) -> Option<Self> {
        if self.0.checked_rem(n)? == 0 { self.0.checked_div(n).map(Self) } else { None }
    }

    /// The next multiple of `alignment`, itself included.
    pub(super) fn align_to(self, alignment: u32) -> Option<Self> {
        self.0.checked_next_multiple_of(alignment.into()).map(Self)
    }

    pub(super) fn is_multiple_of(self, alignment: u32) -> bool {
        self.0.is_multiple_of(alignment.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_wraps() {
        let max = Extent::new(u64::MAX);
        assert_eq!(max.add(1), None);
        assert_eq!(max.mul(2), None);
        assert_eq!(max.align_to(32), None);
        assert_eq!(Extent::new(u64::MAX - 30).align_to(32), None);
        assert_eq!(Extent::new(1 << 32).mul(1 << 32), None);
        assert_eq!(Extent::new(5).exact_div(0), None);
        assert_eq!(Extent::new(5).align_to(0), None);
    }

    #[test]
    fn alignment_and_division_are_exact() {
        assert_eq!(Extent::new(0).align_to(32), Some(Extent::new(0)));
        assert_eq!(Extent::new(33).align_to(32), Some(Extent::new(64)));
        assert_eq!(Extent::new(64).exact_div(32), Some(Extent::new(2)));
        assert_eq!(Extent::new(65).exact_div(32), None);
    }
}
