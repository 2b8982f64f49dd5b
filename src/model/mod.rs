//! What a GGUF file says about its network: configuration, weights, one file per architecture.
