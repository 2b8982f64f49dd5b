import CRuminate

/// How to search, and what it may cost. A budget that runs out is no error: ``Outcome/stopReason`` says so. One of 0 or less is, like any
/// number that is out of its range: starting the search throws `RuminateError.Code.invalidArgument`.
public struct Search: Sendable {
    public enum Algorithm: UInt32, Sendable, CaseIterable {
        case greedy = 0 // RUM_ALGO_GREEDY
        case bestOfN = 1 // RUM_ALGO_BEST_OF_N
        case selfConsistency = 2 // RUM_ALGO_SELF_CONSISTENCY
        case beam = 3 // RUM_ALGO_BEAM
        case dvts = 4 // RUM_ALGO_DVTS
        case lookahead = 5 // RUM_ALGO_LOOKAHEAD
        case rebase = 6 // RUM_ALGO_REBASE
        case mcts = 7 // RUM_ALGO_MCTS
        case treeOfThoughts = 8 // RUM_ALGO_TREE_OF_THOUGHTS
        case particleFilter = 9 // RUM_ALGO_PARTICLE_FILTER
        case speculativeRejection = 10 // RUM_ALGO_SPECULATIVE_REJECTION
        case budgetForcing = 11 // RUM_ALGO_BUDGET_FORCING
        case deepConf = 12 // RUM_ALGO_DEEP_CONF
        case auto = 13 // RUM_ALGO_AUTO
    }

    /// How finished texts become one answer.
    public enum Vote: UInt32, Sendable {
        case byDefault = 0 // RUM_VOTE_DEFAULT
        case majority = 1 // RUM_VOTE_MAJORITY
        case weighted = 2 // RUM_VOTE_WEIGHTED
        case best = 3 // RUM_VOTE_BEST
    }

    /// When fewer samples are enough, where a majority decides.
    public enum EarlyStop: Sendable {
        case never
        /// When the leader leads with at least this probability, between 0.5 and 1 (Adaptive-Consistency).
        case lead(Double)
        /// When so many consecutive samples agree; at least 2.
        case window(Int)
    }

    public var algorithm: Algorithm
    public var vote: Vote
    /// `nil` for the library's choice.
    public var earlyStop: EarlyStop?
    /// Samples, beams, particles, leaves or simulations, at most.
    public var n: Int
    /// Tokens of one solution, at most.
    public var maxTokens: Int
    /// Equal seeds and budgets in tokens give equal outcomes.
    public var seed: UInt64
    /// 0 takes the most likely token.
    public var temperature: Float
    /// Tokens drawn over all branches; `nil` for no limit.
    public var tokenBudget: Int?
    /// Milliseconds from the start to the answer; `nil` for no limit.
    public var millisecondBudget: Int?
    /// Bytes of keys and values of all branches; `nil` for no limit.
    public var kvByteBudget: UInt64?
    /// Joules; `nil` for no limit.
    public var jouleBudget: Double?
    /// More parameters, as a JSON object with the names that traces have under `params`.
    public var more: String?

    public init(
        _ algorithm: Algorithm = .bestOfN, n: Int = 8, vote: Vote = .byDefault, maxTokens: Int = 512, seed: UInt64 = 0,
        temperature: Float = 0.8, tokenBudget: Int? = nil, millisecondBudget: Int? = nil, kvByteBudget: UInt64? = nil,
        jouleBudget: Double? = nil, earlyStop: EarlyStop? = nil, more: String? = nil
    ) {
        self.algorithm = algorithm
        self.n = n
        self.vote = vote
        self.maxTokens = maxTokens
        self.seed = seed
        self.temperature = temperature
        self.tokenBudget = tokenBudget
        self.millisecondBudget = millisecondBudget
        self.kvByteBudget = kvByteBudget
        self.jouleBudget = jouleBudget
        self.earlyStop = earlyStop
        self.more = more
    }

    func lend(_ texts: Texts) throws -> rum_search {
        var raw = rum_search()
        try check(rum_search_init(&raw, MemoryLayout<rum_search>.size))
        raw.algo = algorithm.rawValue
        raw.vote = vote.rawValue
        raw.n = try whole(n, "n")
        raw.max_tokens = try whole(maxTokens, "maxTokens")
        raw.seed = seed
        raw.temperature = temperature
        raw.budget_tokens = try budget(tokenBudget, "tokenBudget")
        raw.budget_ms = try budget(millisecondBudget, "millisecondBudget")
        raw.budget_kv_bytes = try budget(kvByteBudget, "kvByteBudget")
        raw.budget_joules = try budget(jouleBudget, "jouleBudget")
        raw.more = texts.str(more)
        earlyStop?.choose(in: &raw)
        return raw
    }
}

extension Search.EarlyStop {
    fileprivate func choose(in search: inout rum_search) {
        switch self {
        case .never: search.early_stop = 0 // RUM_EARLY_STOP_NEVER
        case .lead(let probability): (search.early_stop, search.early_stop_value) = (1, probability) // RUM_EARLY_STOP_BETA
        case .window(let samples): (search.early_stop, search.early_stop_value) = (2, Double(samples)) // RUM_EARLY_STOP_WINDOW
        }
    }
}

/// How to generate one text.
public struct Generation: Sendable {
    public var maxTokens: Int
    public var millisecondBudget: Int?
    public var seed: UInt64
    /// 0 takes the most likely token.
    public var temperature: Float

    public init(maxTokens: Int = 512, temperature: Float = 0.8, seed: UInt64 = 0, millisecondBudget: Int? = nil) {
        self.maxTokens = maxTokens
        self.temperature = temperature
        self.seed = seed
        self.millisecondBudget = millisecondBudget
    }

    func lend() throws -> rum_generation {
        var raw = rum_generation()
        try check(rum_generation_init(&raw, MemoryLayout<rum_generation>.size))
        raw.max_tokens = try whole(maxTokens, "maxTokens")
        raw.budget_ms = try budget(millisecondBudget, "millisecondBudget")
        raw.seed = seed
        raw.temperature = temperature
        return raw
    }
}
