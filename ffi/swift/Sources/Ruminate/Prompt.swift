import CRuminate

/// What a run goes on from.
public struct Prompt: Sendable {
    /// How a question is put.
    public enum Strategy: UInt32, Sendable {
        /// The question alone.
        case direct = 0 // RUM_STRATEGY_DIRECT
        /// "Step by step", with the answer on a last line.
        case chainOfThought = 1 // RUM_STRATEGY_COT
    }

    enum Kind: UInt32 {
        case question = 0 // RUM_PROMPT_QUESTION
        case messages = 1 // RUM_PROMPT_MESSAGES
        case text = 2 // RUM_PROMPT_TEXT
        case tokens = 3 // RUM_PROMPT_TOKENS
    }

    let kind: Kind
    let text: String?
    let tokens: [UInt32]
    let strategy: Strategy
    var method: Method?

    /// A question, put through the model's chat template if it has one.
    public static func question(_ text: String, strategy: Strategy = .direct) -> Prompt {
        Prompt(kind: .question, text: text, tokens: [], strategy: strategy)
    }

    /// A question, put as `method` says; one of several calls is for searches alone.
    public static func question(_ text: String, method: Method) -> Prompt {
        Prompt(kind: .question, text: text, tokens: [], strategy: .direct, method: method)
    }

    /// A conversation: a JSON array of objects with `role` and `content`.
    public static func messages(_ json: String) -> Prompt {
        Prompt(kind: .messages, text: json, tokens: [], strategy: .direct)
    }

    /// What the model goes on from, as it is.
    public static func text(_ text: String) -> Prompt { Prompt(kind: .text, text: text, tokens: [], strategy: .direct) }

    public static func tokens(_ tokens: [UInt32]) -> Prompt { Prompt(kind: .tokens, text: nil, tokens: tokens, strategy: .direct) }

    /// As the library takes it, during `body`.
    func lend<T>(_ texts: Texts, _ body: (inout rum_prompt) throws -> T) throws -> T {
        var prompt = rum_prompt()
        try check(rum_prompt_init(&prompt, MemoryLayout<rum_prompt>.size))
        prompt.kind = kind.rawValue
        prompt.strategy = strategy.rawValue
        prompt.text = texts.str(text)
        prompt.method = method?.handle.raw
        return try withExtendedLifetime(method) {
            try tokens.withUnsafeBufferPointer { buffer in
                prompt.tokens = buffer.baseAddress
                prompt.n_tokens = buffer.count
                return try body(&prompt)
            }
        }
    }
}
