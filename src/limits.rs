//! Every cap on what a file or a request may ask for, with its unit and its reason.

/// Caps applied while files are parsed and requests are checked. The defaults fit every published model known to us.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Metadata entries in one GGUF file. Published files have fewer than 100.
    pub gguf_metadata_entries: u64,
    /// Tensors in one GGUF file, over all its splits. The largest published models have a few thousand.
    pub gguf_tensors: u64,
    /// Bytes of one metadata key (the GGUF specification's own cap).
    pub gguf_key_bytes: u64,
    /// Bytes of one metadata string. Chat templates are the longest in practice, tens of KiB.
    pub gguf_string_bytes: u64,
    /// Elements of one metadata array. Vocabularies and merges stay below a million.
    pub gguf_array_len: u64,
    /// Bytes of one tensor's name (ggml's own cap is 64).
    pub gguf_tensor_name_bytes: u64,
    /// Bytes of the alignment of tensor data.
    pub gguf_alignment: u32,
    /// Split files of one model.
    pub gguf_splits: u16,
    /// Tokens in one vocabulary.
    pub vocab_tokens: usize,
    /// Bytes of one vocabulary entry.
    pub token_bytes: usize,
    /// Bytes of one text to tokenize.
    pub prompt_bytes: usize,
    /// Bytes of a chat template's source.
    pub template_source_bytes: usize,
    /// Bytes that rendering a chat template may produce.
    pub template_output_bytes: usize,
    /// Work that rendering a chat template may do: instructions executed, plus one per 64 bytes of text made.
    pub template_fuel: u64,
    /// Bytes of a grammar: a JSON schema, a pattern, all choices together.
    pub grammar_bytes: usize,
    /// Transformer layers.
    pub layers: u32,
    /// Width of the residual stream, the feed-forward layer and one head, in elements.
    pub width: u32,
    /// Rank of an adapter's factors. Published ones stay below 512.
    pub lora_rank: u32,
    /// Branches alive at once in one engine.
    pub branches: usize,
    /// Tokens in one forward pass.
    pub batch_tokens: usize,
    /// Bytes of one trace. A search of 5,000 nodes writes a few MiB.
    pub trace_bytes: u64,
    /// Bytes of one line of a trace. The prompt is the longest in practice.
    pub trace_line_bytes: u64,
    /// Nodes in one trace.
    pub trace_nodes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            gguf_metadata_entries: 65_536,
            gguf_tensors: 65_536,
            gguf_key_bytes: 65_535,
            gguf_string_bytes: 16 << 20,
            gguf_array_len: 16 << 20,
            gguf_tensor_name_bytes: 64,
            gguf_alignment: 64 << 10,
            gguf_splits: 1_024,
            vocab_tokens: 4 << 20,
            token_bytes: 64 << 10,
            prompt_bytes: 64 << 20,
            template_source_bytes: 64 << 10,
            template_output_bytes: 4 << 20,
            template_fuel: 1_000_000,
            grammar_bytes: 256 << 10,
            layers: 1_024,
            width: 1 << 20,
            lora_rank: 4_096,
            branches: 4_096,
            batch_tokens: 1 << 20,
            trace_bytes: 1 << 30,
            trace_line_bytes: 64 << 20,
            trace_nodes: 1 << 20,
        }
    }
}
