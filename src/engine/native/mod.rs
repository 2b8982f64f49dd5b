//! The native CPU engine: KV tree, forward pass, sampler.
