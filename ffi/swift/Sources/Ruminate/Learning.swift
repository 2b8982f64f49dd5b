import CRuminate

/// A LoRA adapter: small matrices beside those of one model. It never changes.
public final class Adapter: Sendable {
    let handle: Handle

    init(_ handle: Handle) { self.handle = handle }

    /// Opens an adapter in llama.cpp's GGUF format.
    public convenience init(path: String, for model: Model) throws {
        var raw: OpaquePointer?
        try Texts.lend(path) { path in try check(rum_adapter_open(model.handle.raw, path.ptr, path.len, &raw)) }
        try self.init(Handle(raw) { rum_adapter_free($0) })
    }

    /// Writes it to a file, whole or not at all.
    public func save(to path: String) throws {
        try Texts.lend(path) { path in try check(rum_adapter_save(handle.raw, path.ptr, path.len)) }
    }

    /// 32 hexadecimal digits that depend on every number in it, and how many there are.
    public func info() throws -> (digest: String, parameters: UInt64, rank: UInt64) {
        var info = rum_adapter_info()
        info.struct_size = MemoryLayout<rum_adapter_info>.size
        try check(rum_adapter_get_info(handle.raw, &info))
        return (String(info.digest), info.parameters, info.rank)
    }
}

/// Preferences to train on; any number of tasks may add to it.
public final class Preferences: Sendable {
    let handle: Handle

    public init(for model: Model) throws {
        var raw: OpaquePointer?
        try check(rum_preferences_new(model.handle.raw, &raw))
        handle = try Handle(raw) { rum_preferences_free($0) }
    }

    private static let good: UInt32 = 8 // RUM_PREFERENCE_GOOD

    /// A better and a worse answer.
    public func add(_ prompt: Prompt, chosen: String, rejected: String) throws {
        try add(prompt) { preference, texts in
            preference.chosen = texts.str(chosen)
            preference.rejected = texts.str(rejected)
        }
    }

    /// A thumb up or down for one answer, for the loss ``Training/Loss/kto``.
    public func add(_ prompt: Prompt, completion: String, isGood: Bool) throws {
        try add(prompt) { preference, texts in
            preference.completion = texts.str(completion)
            preference.flags = isGood ? Preferences.good : 0
        }
    }

    private func add(_ prompt: Prompt, _ fill: (inout rum_preference, Texts) -> Void) throws {
        let texts = Texts()
        var preference = rum_preference()
        try check(rum_preference_init(&preference, MemoryLayout<rum_preference>.size))
        fill(&preference, texts)
        try prompt.lend(texts) { prompt in
            try withUnsafePointer(to: prompt) { pointer in
                preference.prompt = pointer
                try withExtendedLifetime(texts) { try check(rum_preferences_add(handle.raw, &preference)) }
            }
        }
    }

    /// Rows of JSON, one a line; all or none. Gives how many.
    @discardableResult
    public func add(jsonl: String) throws -> Int {
        var count = 0
        try Texts.lend(jsonl) { rows in try check(rum_preferences_add_jsonl(handle.raw, rows.ptr, rows.len, &count)) }
        return count
    }

    /// Pairs from the tree of a search whose right answer is known. Gives how many.
    @discardableResult
    public func add(trace: String, answer: String, most: Int = 4, gap: Double = 0.5) throws -> Int {
        let texts = Texts()
        let (tree, right) = (texts.str(trace), texts.str(answer))
        var pairing = rum_pairing()
        try check(rum_pairing_init(&pairing, MemoryLayout<rum_pairing>.size))
        pairing.most = try whole(most, "most")
        pairing.gap = gap
        var count = 0
        try withExtendedLifetime(texts) {
            try check(rum_preferences_add_trace(handle.raw, tree.ptr, tree.len, right.ptr, right.len, &pairing, &count))
        }
        return count
    }

    public func count() throws -> Int {
        var count = 0
        try check(rum_preferences_count(handle.raw, &count))
        return count
    }

    /// All of them, one JSON object a line.
    public func jsonl() throws -> String {
        var raw: OpaquePointer?
        try check(rum_preferences_to_jsonl(handle.raw, &raw))
        return try take(raw)
    }

    /// Starts training an adapter; its events are ``Event/step(_:)``, and ``Run/adapter()`` gives it.
    public func train(_ training: Training = Training(), options: RunOptions = RunOptions()) throws -> Run {
        let texts = Texts()
        var given = try training.lend(texts)
        return try withExtendedLifetime((texts, training)) {
            try options.start { accompanying, raw in
                try check(rum_run_train(handle.raw, &given, &accompanying, &raw))
            }
        }
    }
}

/// How an adapter is trained, and what that may cost.
public struct Training: Sendable {
    public enum Loss: UInt32, Sendable {
        case dpo = 0 // RUM_LOSS_DPO
        case ipo = 1 // RUM_LOSS_IPO
        case simPO = 2 // RUM_LOSS_SIMPO
        case kto = 3 // RUM_LOSS_KTO
    }

    public var loss: Loss
    public var rank: Int
    /// Layers from the top that are trained; 0 for all.
    public var layers: Int
    public var epochs: Int
    /// Preferences of one step.
    public var batch: Int
    public var learningRate: Double
    public var seed: UInt64
    public var millisecondBudget: Int?
    public var tokenBudget: Int?
    /// An adapter to go on from.
    public var from: Adapter?
    /// A file that gets a JSON line for every step.
    public var log: String?

    public init(
        _ loss: Loss = .dpo, rank: Int = 8, layers: Int = 0, epochs: Int = 1, batch: Int = 8, learningRate: Double = 1e-4,
        seed: UInt64 = 0, millisecondBudget: Int? = nil, tokenBudget: Int? = nil, from: Adapter? = nil, log: String? = nil
    ) {
        self.loss = loss
        self.rank = rank
        self.layers = layers
        self.epochs = epochs
        self.batch = batch
        self.learningRate = learningRate
        self.seed = seed
        self.millisecondBudget = millisecondBudget
        self.tokenBudget = tokenBudget
        self.from = from
        self.log = log
    }

    func lend(_ texts: Texts) throws -> rum_training {
        var raw = rum_training()
        try check(rum_training_init(&raw, MemoryLayout<rum_training>.size))
        raw.loss = loss.rawValue
        raw.rank = try whole(rank, "rank")
        raw.layers = try whole(layers, "layers")
        raw.epochs = try whole(epochs, "epochs")
        raw.batch = try whole(batch, "batch")
        raw.lr = learningRate
        raw.seed = seed
        raw.budget_ms = try budget(millisecondBudget, "millisecondBudget")
        raw.budget_tokens = try budget(tokenBudget, "tokenBudget")
        raw.from = from?.handle.raw
        raw.log = texts.str(log)
        return raw
    }
}

/// A question with a known answer.
public struct Question: Sendable {
    /// No two are equal in a set.
    public let number: UInt64
    public let text: String
    public let answer: String

    public init(number: UInt64, text: String, answer: String) {
        self.number = number
        self.text = text
        self.answer = answer
    }
}

/// How samples are drawn, and what is kept of them.
public struct Sampling: Sendable {
    /// Names the question set.
    public var data: String
    /// Samples of every question.
    public var n: Int
    public var maxTokens: Int
    public var seed: UInt64
    /// A file of labelled steps for ``fitHead(files:to:runtime:options:)``.
    public var rows: String?
    /// Gets preference pairs.
    public var pairs: Preferences?
    /// How a question is put: a method of a single prompt.
    public var method: Method?
    /// Whether a solution is right; without it, answers are compared.
    public var verify: (@Sendable (Judge.Solution) throws -> Bool)?

    public init(
        data: String, n: Int = 16, maxTokens: Int = 512, seed: UInt64 = 0, rows: String? = nil, pairs: Preferences? = nil,
        method: Method? = nil, verify: (@Sendable (Judge.Solution) throws -> Bool)? = nil
    ) {
        self.data = data
        self.n = n
        self.maxTokens = maxTokens
        self.seed = seed
        self.rows = rows
        self.pairs = pairs
        self.method = method
        self.verify = verify
    }

    /// `n` and `maxTokens` as the library takes them.
    func counts() throws -> (n: UInt64, maxTokens: UInt64) { (try whole(n, "n"), try whole(maxTokens, "maxTokens")) }

    func lend(_ texts: Texts, _ counts: (n: UInt64, maxTokens: UInt64), _ body: (inout rum_collection) throws -> Void) throws {
        var raw = rum_collection()
        try check(rum_collection_init(&raw, MemoryLayout<rum_collection>.size))
        raw.data = texts.str(data)
        raw.rows = texts.str(rows)
        raw.n = counts.n
        raw.max_tokens = counts.maxTokens
        raw.seed = seed
        raw.pairs = pairs?.handle.raw
        raw.method = method?.handle.raw
        if let verify {
            raw.verify = VerifyBox.call
            raw.user = Unmanaged.passRetained(VerifyBox(verify)).toOpaque()
            raw.drop = VerifyBox.drop
        }
        try withExtendedLifetime(self) { try body(&raw) }
    }
}

/// Starts fitting a reward head on files of labelled steps, and writes it to `path` once the run has finished.
public func fitHead(files: [String], to path: String, runtime: Runtime? = nil, options: RunOptions = RunOptions()) throws -> Run {
    let texts = Texts()
    let (given, name) = (files.map { texts.str($0) }, texts.str(path))
    return try options.start { accompanying, raw in
        try withExtendedLifetime(texts) {
            try check(rum_run_fit_head(runtime?.handle.raw, given, given.count, name.ptr, name.len, nil, &accompanying, &raw))
        }
    }
}
