import CRuminate

/// What a run came to.
public struct Outcome: Sendable {
    /// Why a run ended. None of these is an error: the best answer so far is there.
    public enum StopReason: UInt32, Sendable {
        case finished = 0 // RUM_STOP_FINISHED
        case tokens = 1 // RUM_STOP_TOKENS
        case deadline = 2 // RUM_STOP_DEADLINE
        case memory = 3 // RUM_STOP_MEMORY
        case energy = 4 // RUM_STOP_ENERGY
        case cancelled = 5 // RUM_STOP_CANCELLED
        case context = 6 // RUM_STOP_CONTEXT
        case other = 7 // RUM_STOP_OTHER
        case heat = 8 // RUM_STOP_HEAT
    }

    /// One class of equal answers.
    public struct Candidate: Sendable {
        public let answer: String
        public let votes: UInt64
        public let weight: Double
        public let score: Double
    }

    /// What the run has spent.
    public struct Usage: Sendable {
        public let promptTokens: UInt64
        public let policyTokens: UInt64
        public let forwardPasses: UInt64
        public let peakBytes: UInt64
        public let milliseconds: Double
        public let joules: Double
        /// Whether the joules were counted rather than estimated.
        public let joulesAreMeasured: Bool
    }

    /// `nil` when no text holds one.
    public let answer: String?
    /// The text that gave the answer, or the best text without one; of a run that learns, its report as JSON.
    public let text: String
    /// What `text` is worth, from 0 to 1; NaN without tokens.
    public let score: Double
    public let stopReason: StopReason
    /// Best first.
    public let candidates: [Candidate]
    public let usage: Usage

    /// Copies what a run that has ended came to; throws what it failed with.
    init(of run: Handle) throws {
        var result = rum_result()
        result.struct_size = MemoryLayout<rum_result>.size
        try check(rum_run_get_result(run.raw, &result))
        var usage = rum_usage()
        usage.struct_size = MemoryLayout<rum_usage>.size
        try check(rum_run_get_usage(run.raw, &usage))
        var candidates: [Candidate] = []
        for index in 0..<result.n_candidates {
            var candidate = rum_candidate()
            candidate.struct_size = MemoryLayout<rum_candidate>.size
            try check(rum_run_get_candidate(run.raw, index, &candidate))
            candidates.append(Candidate(
                answer: String(candidate.answer), votes: candidate.votes, weight: candidate.weight, score: candidate.score))
        }
        answer = .maybe(result.answer)
        text = String(result.text)
        score = result.score
        stopReason = StopReason(rawValue: result.stop_reason) ?? .other
        self.candidates = candidates
        self.usage = Usage(
            promptTokens: usage.prompt_tokens, policyTokens: usage.policy_tokens, forwardPasses: usage.forward_passes,
            peakBytes: usage.peak_bytes, milliseconds: usage.wall_ms, joules: usage.joules,
            joulesAreMeasured: usage.joules_measured != 0)
    }
}
