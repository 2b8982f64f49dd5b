import CRuminate

/// Values the steps of a search, from 0 to 1. One run at a time.
public final class Judge: Sendable {
    let handle: Handle

    init(_ handle: Handle) { self.handle = handle }

    /// Judges that need no file.
    public enum Kind: UInt32, Sendable {
        case arithmetic = 0 // RUM_JUDGE_ARITHMETIC
        case logprob = 1 // RUM_JUDGE_LOGPROB
        case entropy = 2 // RUM_JUDGE_ENTROPY
    }

    public convenience init(_ kind: Kind) throws {
        var raw: OpaquePointer?
        try check(rum_judge_new(kind.rawValue, &raw))
        try self.init(Handle(raw) { rum_judge_free($0) })
    }

    /// A reward head that reads the hidden states of exactly this model.
    public convenience init(headAt path: String, for model: Model) throws {
        var raw: OpaquePointer?
        try Texts.lend(path) { path in try check(rum_judge_open_head(model.handle.raw, path.ptr, path.len, &raw)) }
        try self.init(Handle(raw) { rum_judge_free($0) })
    }

    /// A finished step, as a scorer sees it.
    public struct Step: Sendable {
        public let number: UInt64
        public let parent: UInt64
        public let text: String
        /// The text from the prompt's end to this step's end.
        public let path: String
        public let isComplete: Bool
    }

    /// Asks `score` for the value of each step, from 0 to 1, on the run's thread. What it throws ends the run.
    public convenience init(named name: String, score: @escaping @Sendable (Step) throws -> Float) throws {
        let box = Unmanaged.passRetained(ScoreBox(score)).toOpaque()
        var raw: OpaquePointer?
        try Texts.lend(name) { name in
            try check(rum_judge_new_scorer(name.ptr, name.len, { user, steps, count, values in
                guard let user, let steps, let values else { return -1 }
                let box = Unmanaged<ScoreBox>.fromOpaque(user).takeUnretainedValue()
                for index in 0..<count {
                    guard let step = steps[index]?.pointee else { return -1 }
                    let known = Step(
                        number: step.id, parent: step.parent, text: String(step.text), path: String(step.path),
                        isComplete: step.complete != 0)
                    guard let value = try? box.score(known) else { return -1 }
                    values[index] = value
                }
                return 0
            }, box, { user in user.map { Unmanaged<ScoreBox>.fromOpaque($0).release() } }, &raw))
        }
        try self.init(Handle(raw) { rum_judge_free($0) })
    }

    /// A finished solution, as a verifier sees it.
    public struct Solution: Sendable {
        public let question: String
        public let text: String
        public let answer: String?

        init(_ solution: rum_solution) {
            question = String(solution.question)
            text = String(solution.text)
            answer = .maybe(solution.answer)
        }
    }

    /// Asks `verify` whether a finished solution is right, on the run's thread. What it throws ends the run.
    public convenience init(named name: String, verify: @escaping @Sendable (Solution) throws -> Bool) throws {
        let box = Unmanaged.passRetained(VerifyBox(verify)).toOpaque()
        var raw: OpaquePointer?
        try Texts.lend(name) { name in
            try check(rum_judge_new_verifier(name.ptr, name.len, VerifyBox.call, box, VerifyBox.drop, &raw))
        }
        try self.init(Handle(raw) { rum_judge_free($0) })
    }

    /// The judge's values of the steps of a solution; for judges of texts.
    public func score(question: String, steps: [String], isComplete: Bool) throws -> [Float] {
        let texts = Texts()
        let asked = texts.str(question)
        let given = steps.map { texts.str($0) }
        var values = [Float](repeating: 0, count: steps.count)
        try withExtendedLifetime(texts) {
            try check(rum_judge_score(handle.raw, asked.ptr, asked.len, given, given.count, isComplete ? 1 : 0, &values))
        }
        return values
    }
}

private final class ScoreBox {
    let score: @Sendable (Judge.Step) throws -> Float
    init(_ score: @escaping @Sendable (Judge.Step) throws -> Float) { self.score = score }
}

final class VerifyBox {
    let verify: @Sendable (Judge.Solution) throws -> Bool
    init(_ verify: @escaping @Sendable (Judge.Solution) throws -> Bool) { self.verify = verify }

    static let call: @convention(c) (UnsafeMutableRawPointer?, UnsafePointer<rum_solution>?) -> Int32 = { user, solution in
        guard let user, let solution else { return -1 }
        let box = Unmanaged<VerifyBox>.fromOpaque(user).takeUnretainedValue()
        guard let right = try? box.verify(Judge.Solution(solution.pointee)) else { return -1 }
        return right ? 1 : 0
    }

    static let drop: @convention(c) (UnsafeMutableRawPointer?) -> Void = { user in
        user.map { Unmanaged<VerifyBox>.fromOpaque($0).release() }
    }
}
