//! Which preference pairs are made of a search's tree.

use ruminate::learn::PairParams;

use crate::call::entry;
use crate::sized::{self, Struct};
use crate::status::{Failure, rum_status};

/// Which pairs are made: at every branching point the best ways to go on are set against the worst, by the share of right solutions
/// below them. Fill it with `rum_pairing_init`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct rum_pairing {
    pub struct_size: usize,
    /// Pairs of one branching point, at most. Default: 4.
    pub most: u64,
    /// The two shares of right solutions are at least this far apart, above 0 and at most 1. Default: 0.5.
    pub gap: f64,
    /// 1 to trust a pair by how often its sides were visited (MCTS-DPO), which labels it with a smoothing.
    pub by_visits: u32,
    /// 0.
    pub reserved: u32,
}

// SAFETY: `repr(C)`; whole numbers and floats, without padding.
unsafe impl Struct for rum_pairing {
    const FIRST: usize = 24 + size_of::<usize>();

    fn initial() -> Self {
        let PairParams { most, gap, by_visits } = PairParams::default();
        Self { struct_size: size_of::<Self>(), most: most as u64, gap, by_visits: by_visits.into(), reserved: 0 }
    }
}

/// Fills `pairing` with the defaults. `struct_size` is `sizeof *pairing`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rum_pairing_init(pairing: *mut rum_pairing, struct_size: usize) -> rum_status {
    // SAFETY: the caller's promise.
    entry("rum_pairing_init", |_| unsafe { sized::init(pairing, struct_size) })
}

/// What `pairing` describes, checked.
///
/// # Safety
/// `pairing` is NULL, for the defaults, or a struct of its size.
pub unsafe fn read(pairing: *const rum_pairing) -> Result<PairParams, Failure> {
    // SAFETY: the caller's promise.
    let pairing = unsafe { sized::read_or_initial(pairing, "the pairing") }?;
    if !(pairing.gap > 0.0 && pairing.gap <= 1.0) {
        return Err(Failure::invalid(format!("the gap is {}: give more than 0 and at most 1", pairing.gap)));
    }
    let most = usize::try_from(pairing.most).unwrap_or(usize::MAX);
    Ok(PairParams { most, gap: pairing.gap, by_visits: pairing.by_visits != 0 })
}
