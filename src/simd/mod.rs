//! Instruction-set tokens, their intrinsics and the dispatch between them.
