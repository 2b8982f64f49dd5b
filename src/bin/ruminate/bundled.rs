//! The model that is part of the program, and its reward head.

use ruminate::storage::Bytes;

/// What messages call it.
pub const NAME: &str = "the built-in model";

/// At an address that the library can use without a copy.
#[repr(C, align(64))]
struct Aligned<T: ?Sized>(T);

static MODEL: &Aligned<[u8]> = &Aligned(*include_bytes!("../../../models/abacus-q8_0.gguf"));

static HEAD: &Aligned<[u8]> = &Aligned(*include_bytes!("../../../models/abacus-prm.gguf"));

pub fn bytes() -> Bytes {
    Bytes::from_static(&MODEL.0)
}

pub fn head() -> Bytes {
    Bytes::from_static(&HEAD.0)
}
