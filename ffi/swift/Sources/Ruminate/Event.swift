import CRuminate

/// Something that happened in a run. Nodes are numbered from 1; 0 is the prompt, and a plain generation is one node.
public enum Event: Sendable {
    /// So many tokens of the prompt are computed, questions sampled, or fits made.
    case progress(done: UInt64, total: UInt64)
    /// A node began to grow.
    case nodeStarted(node: UInt64, parent: UInt64)
    /// A node received text, whole characters only.
    case text(node: UInt64, String)
    /// A node stopped growing.
    case nodeDone(Node)
    /// A node was pruned.
    case nodeClosed(node: UInt64)
    /// A training step ended.
    case step(Step)

    /// A node that stopped growing.
    public struct Node: Sendable {
        public let number: UInt64
        public let parent: UInt64
        public let text: String
        /// Found in the text from the prompt's end to here.
        public let answer: String?
        /// Why it stopped, such as `eog`, `answer` or `step`.
        public let end: String
        /// What the text from the prompt's end to here is worth, from 0 to 1.
        public let value: Double
        /// What a judge makes of the node.
        public let score: Double?
        public let policyTokens: UInt64
        public let milliseconds: Double
    }

    /// Figures of a training step, under the adapter as it was before it.
    public struct Step: Sendable {
        public let number: UInt64
        public let total: UInt64
        public let loss: Double
        public let accuracy: Double
        public let margin: Double
        /// All figures, as a JSON object.
        public let json: String
    }

    enum Kind: UInt32 {
        case none = 0 // RUM_EVENT_NONE
        case progress = 1 // RUM_EVENT_PROGRESS
        case nodeStarted = 2 // RUM_EVENT_NODE_STARTED
        case nodeText = 3 // RUM_EVENT_NODE_TEXT
        case nodeDone = 4 // RUM_EVENT_NODE_DONE
        case nodeClosed = 5 // RUM_EVENT_NODE_CLOSED
        case done = 6 // RUM_EVENT_DONE
        case step = 7 // RUM_EVENT_STEP
    }

    /// `flags`: `score` holds a judge's value.
    private static let scored: UInt32 = 2 // RUM_EVENT_SCORED

    /// A copy of what `event` tells; `nil` for the last one, and for kinds that this version does not know.
    init?(_ event: rum_event) {
        switch Kind(rawValue: event.kind) {
        case .progress: self = .progress(done: event.done, total: event.total)
        case .nodeStarted: self = .nodeStarted(node: event.node, parent: event.parent)
        case .nodeText: self = .text(node: event.node, String(event.text))
        case .nodeDone:
            self = .nodeDone(Node(
                number: event.node, parent: event.parent, text: String(event.text), answer: .maybe(event.answer),
                end: String(event.end), value: event.value, score: event.flags & Event.scored != 0 ? event.score : nil,
                policyTokens: event.policy_tokens, milliseconds: event.wall_ms))
        case .nodeClosed: self = .nodeClosed(node: event.node)
        case .step:
            self = .step(Step(
                number: event.done, total: event.total, loss: event.loss, accuracy: event.accuracy, margin: event.margin,
                json: String(event.text)))
        case .none?, .done, nil: return nil
        }
    }
}
