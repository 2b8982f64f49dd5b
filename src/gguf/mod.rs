//! The GGUF container: parse, validate, write (<https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>).
