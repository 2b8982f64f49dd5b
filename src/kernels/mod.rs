//! Arithmetic over whole tensors: matmul, attention, norm, rope, softmax; each with its scalar twin.
