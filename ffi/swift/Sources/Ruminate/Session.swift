import CRuminate

/// Runs a model: keys and values, buffers, threads. One run at a time; another meanwhile throws `RuminateError.Code.busy`.
///
/// ```swift
/// let session = try Session(model: try await Model.open(path: path))
/// let run = try await session.solve(.question("What is 6 times 7?"))
/// for try await event in run.events { print(event) }
/// print(try await run.outcome().answer ?? "none")
/// ```
public actor Session {
    private let handle: Handle

    /// How a session is made.
    public struct Options: Sendable {
        /// Threads of one forward pass; 0 for the runtime's.
        public var threads = 0
        /// Tokens that one branch may hold; 0 for what the model was trained for, at most 4096.
        public var context = 0
        /// Bytes that keys and values may take; 0 for no limit beyond the runtime's.
        public var kvBytes: UInt64 = 0
        /// Keeps keys and values in 8 bits.
        public var compactsKV = false

        public init(threads: Int = 0, context: Int = 0, kvBytes: UInt64 = 0, compactsKV: Bool = false) {
            self.threads = threads
            self.context = context
            self.kvBytes = kvBytes
            self.compactsKV = compactsKV
        }

        func lend() throws -> rum_session_options {
            var raw = rum_session_options()
            try check(rum_session_options_init(&raw, MemoryLayout<rum_session_options>.size))
            raw.threads = try whole(threads, "threads")
            raw.n_ctx = try whole(context, "context")
            raw.kv_bytes = kvBytes
            raw.kv_type = compactsKV ? 1 : 0 // RUM_KV_Q8, RUM_KV_F16
            return raw
        }
    }

    public init(model: Model, options: Options = Options()) throws {
        var given = try options.lend()
        var raw: OpaquePointer?
        try check(rum_session_new(model.handle.raw, &given, &raw))
        handle = try Handle(raw) { rum_session_free($0) }
    }

    /// A session that goes on from a file that ``save(to:)`` wrote.
    public init(model: Model, savedAt path: String, options: Options = Options()) throws {
        var given = try options.lend()
        var raw: OpaquePointer?
        try Texts.lend(path) { path in try check(rum_session_load(model.handle.raw, &given, path.ptr, path.len, &raw)) }
        handle = try Handle(raw) { rum_session_free($0) }
    }

    private init(_ handle: Handle) { self.handle = handle }

    /// Starts a search for the answer to `prompt`.
    public func solve(_ prompt: Prompt, search: Search = Search(), options: RunOptions = RunOptions()) throws -> Run {
        try handle.solve(prompt, search: search, options: options)
    }

    /// Starts the generation of one text behind `prompt`; what the session already holds of its beginning is not computed again.
    public func generate(_ prompt: Prompt, generation: Generation = Generation(), options: RunOptions = RunOptions()) throws -> Run {
        try handle.generate(prompt, generation: generation, options: options)
    }

    /// Searches for the answer and waits for it; a cancelled task gives the best so far.
    public func answer(_ prompt: Prompt, search: Search = Search(), options: RunOptions = RunOptions()) async throws -> Outcome {
        try await solve(prompt, search: search, options: options).outcome()
    }

    /// A session that goes on from where this one stands, and shares its keys and values until the two differ.
    public func clone() throws -> Session {
        var raw: OpaquePointer?
        try check(rum_session_clone(handle.raw, &raw))
        return try Session(Handle(raw) { rum_session_free($0) })
    }

    /// How many tokens the session holds after its latest generation.
    public func tokenCount() throws -> Int {
        var count = 0
        try check(rum_session_n_tokens(handle.raw, &count))
        return count
    }

    /// Cuts what the session holds back to its first `count` tokens; 0 empties it.
    public func rewind(to count: Int = 0) throws { try check(rum_session_rewind(handle.raw, count)) }

    /// Writes what the session holds to a file, whole or not at all.
    public func save(to path: String) throws { try handle.save(to: path) }

    /// Goes on from a file that ``save(to:)`` wrote under the same adapters.
    public func restore(from path: String) throws { try handle.restore(from: path) }

    /// Bytes in use.
    public struct Memory: Sendable {
        public let weights: UInt64
        public let kv: UInt64
        public let kvPeak: UInt64
        public let scratch: UInt64
        public let adapters: UInt64
    }

    public func memory() throws -> Memory {
        var memory = rum_memory()
        memory.struct_size = MemoryLayout<rum_memory>.size
        try check(rum_session_memory(handle.raw, &memory))
        return Memory(
            weights: memory.weights, kv: memory.kv, kvPeak: memory.kv_peak, scratch: memory.scratch, adapters: memory.adapters)
    }

    /// Puts adapters, each counted as often as its scale says, in place of those before; none takes all away. The session must hold no
    /// tokens.
    public func setAdapters(_ adapters: [(adapter: Adapter, scale: Float)]) throws {
        let raws: [OpaquePointer?] = adapters.map { $0.adapter.handle.raw }
        let scales = adapters.map(\.scale)
        try withExtendedLifetime(adapters.map(\.adapter)) {
            try check(rum_session_set_adapters(handle.raw, raws, scales, adapters.count))
        }
    }

    /// A reward head that was fitted on the session's model with the adapters that stand beside it now.
    public func head(at path: String) throws -> Judge { try handle.head(at: path) }

    /// Times decoding and sets how many branches a search decodes at once; about 30 forward passes.
    public func measureWidth() throws -> Int {
        var width: UInt64 = 0
        try check(rum_session_measure_width(handle.raw, nil, &width))
        return Int(width)
    }

    /// Starts sampling solutions of questions with known answers.
    public func collect(_ questions: [Question], as sampling: Sampling, options: RunOptions = RunOptions()) throws -> Run {
        try handle.collect(questions, as: sampling, options: options)
    }
}

// Outside the actor: closures that the library is called in are lent to functions that belong to none.
extension Handle {
    fileprivate func solve(_ prompt: Prompt, search: Search, options: RunOptions) throws -> Run {
        let texts = Texts()
        var given = try search.lend(texts)
        return try options.start { accompanying, run in
            try prompt.lend(texts) { prompt in try check(rum_run_search(raw, &prompt, &given, &accompanying, &run)) }
        }
    }

    fileprivate func generate(_ prompt: Prompt, generation: Generation, options: RunOptions) throws -> Run {
        let texts = Texts()
        var given = try generation.lend()
        return try options.start { accompanying, run in
            try prompt.lend(texts) { prompt in try check(rum_run_generate(raw, &prompt, &given, &accompanying, &run)) }
        }
    }

    fileprivate func collect(_ questions: [Question], as sampling: Sampling, options: RunOptions) throws -> Run {
        let texts = Texts()
        // What can be wrong is looked at before the library takes over the closures that it is given.
        let counts = try sampling.counts()
        let given = questions.map { question in
            rum_question(
                struct_size: MemoryLayout<rum_question>.size, number: question.number, text: texts.str(question.text),
                answer: texts.str(question.answer))
        }
        return try options.start { accompanying, run in
            try given.withUnsafeBufferPointer { buffer in
                let pointers: [UnsafePointer<rum_question>?] = buffer.indices.map { buffer.baseAddress?.advanced(by: $0) }
                try sampling.lend(texts, counts) { how in
                    try check(rum_run_collect(raw, pointers, pointers.count, &how, &accompanying, &run))
                }
            }
        }
    }

    fileprivate func save(to path: String) throws {
        try Texts.lend(path) { path in try check(rum_session_save(raw, path.ptr, path.len)) }
    }

    fileprivate func restore(from path: String) throws {
        try Texts.lend(path) { path in try check(rum_session_restore(raw, path.ptr, path.len)) }
    }

    fileprivate func head(at path: String) throws -> Judge {
        var judge: OpaquePointer?
        try Texts.lend(path) { path in try check(rum_judge_open_session_head(raw, path.ptr, path.len, &judge)) }
        return try Judge(Handle(judge) { rum_judge_free($0) })
    }
}
