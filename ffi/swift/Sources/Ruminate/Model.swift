import CRuminate
import Dispatch

/// A model: weights, vocabulary and chat template. It never changes, so that any number of tasks and sessions may use it.
public final class Model: Sendable {
    let handle: Handle

    init(_ handle: Handle) { self.handle = handle }

    /// How a model is opened.
    public struct Options: Sendable {
        /// Copies the whole file into memory instead of mapping it.
        public var readsWholeFile = false
        /// Packs all weights at once, so that the first answer does not wait for it.
        public var packs = false
        /// A file that keeps the packed weights for the next start.
        public var packedCache: String?
        public var backend = Backend.native

        public init(readsWholeFile: Bool = false, packs: Bool = false, packedCache: String? = nil, backend: Backend = .native) {
            self.readsWholeFile = readsWholeFile
            self.packs = packs
            self.packedCache = packedCache
            self.backend = backend
        }
    }

    /// What computes.
    public enum Backend: Sendable {
        /// The engine of the library, on the processor.
        case native
        /// llama.cpp, where the library was built with it: so many layers on a GPU, all of them without a number, and the only devices to
        /// use, by the names that ``Library/devices()`` has.
        case llama(gpuLayers: UInt32? = nil, devices: [String] = [])
    }

    /// How far opening is.
    public struct Progress: Sendable {
        public enum Stage: UInt32, Sendable {
            case reading = 0 // RUM_LOAD_STAGE_READING
            case packing = 1 // RUM_LOAD_STAGE_PACKING
        }

        public let stage: Stage
        public let done: UInt64
        public let total: UInt64
    }

    /// Opens the GGUF file at `path` on a queue of its own; a cancelled task ends it with `RuminateError.Code.cancelled`.
    ///
    /// - Parameter progress: Told on another thread; may be called often.
    public static func open(
        path: String, options: Options = Options(), runtime: Runtime? = nil, progress: (@Sendable (Progress) -> Void)? = nil
    ) async throws -> Model {
        let token = try CancelToken()
        return try await withTaskCancellationHandler {
            try await offload { try open(path: path, options: options, runtime: runtime, token: token, progress: progress) }
        } onCancel: {
            token.cancel()
        }
    }

    private static func open(
        path: String, options: Options, runtime: Runtime?, token: CancelToken, progress: (@Sendable (Progress) -> Void)?
    ) throws -> Model {
        let texts = Texts()
        var opening = rum_model_options()
        try check(rum_model_options_init(&opening, MemoryLayout<rum_model_options>.size))
        opening.load = options.readsWholeFile ? 1 : 0 // RUM_LOAD_READ, RUM_LOAD_MMAP
        opening.pack = options.packs ? 1 : 0
        opening.packed_cache = texts.str(options.packedCache)
        options.backend.choose(in: &opening, texts)
        if let progress {
            opening.user = Unmanaged.passRetained(Told(progress)).toOpaque()
            opening.on_progress = { user, stage, done, total in
                if let user, let stage = Progress.Stage(rawValue: stage) {
                    Unmanaged<Told>.fromOpaque(user).takeUnretainedValue().tell(Progress(stage: stage, done: done, total: total))
                }
                return 0
            }
            opening.drop = { user in user.map { Unmanaged<Told>.fromOpaque($0).release() } }
        }
        let name = texts.str(path)
        var raw: OpaquePointer?
        try withExtendedLifetime(texts) {
            try check(rum_model_open(runtime?.handle.raw, name.ptr, name.len, &opening, token.handle.raw, &raw))
        }
        return try Model(Handle(raw) { rum_model_free($0) })
    }

    private final class Told {
        let tell: @Sendable (Progress) -> Void
        init(_ tell: @escaping @Sendable (Progress) -> Void) { self.tell = tell }
    }

    /// What a model is.
    public struct Info: Sendable {
        public let architecture: String
        public let name: String
        public let fingerprint: String
        public let vocabulary: Int
        public let layers: Int
        public let trainedContext: Int
        public let fileBytes: UInt64
        public let hasChatTemplate: Bool
    }

    public func info() throws -> Info {
        var info = rum_model_info()
        info.struct_size = MemoryLayout<rum_model_info>.size
        try check(rum_model_get_info(handle.raw, &info))
        return Info(
            architecture: String(info.architecture), name: String(info.name), fingerprint: String(info.fingerprint),
            vocabulary: Int(info.n_vocab), layers: Int(info.n_layer), trainedContext: Int(info.n_ctx_train),
            fileBytes: info.file_bytes, hasChatTemplate: info.has_chat_template != 0)
    }

    /// The file's metadata value of `key` as text; `nil` for one that it does not have.
    public func metadata(_ key: String) -> String? {
        var value = rum_str(ptr: nil, len: 0)
        return withExtendedLifetime(self) {
            let status = Texts.lend(key) { key in rum_model_get_meta(handle.raw, key.ptr, key.len, &value) }
            return status == 0 ? String(value) : nil
        }
    }

    public func tokenize(_ text: String, addSpecial: Bool = false) throws -> [UInt32] {
        var tokens = [UInt32](repeating: 0, count: text.utf8.count + 2)
        var count = 0
        let flags: UInt32 = addSpecial ? 1 : 0 // RUM_TOKENIZE_ADD_SPECIAL
        try Texts.lend(text) { text in
            try check(rum_tokenize(handle.raw, text.ptr, text.len, flags, &tokens, tokens.count, &count))
        }
        return Array(tokens.prefix(count))
    }

    public func detokenize(_ tokens: [UInt32]) throws -> String {
        var raw: OpaquePointer?
        try check(rum_detokenize(handle.raw, tokens, tokens.count, 0, &raw))
        return try take(raw)
    }

    /// The text of a conversation, a JSON array of objects with `role` and `content`, by the model's chat template.
    public func render(messages json: String, addGenerationPrompt: Bool = true) throws -> String {
        var raw: OpaquePointer?
        try Texts.lend(json) { json in
            try check(rum_chat_render(handle.raw, json.ptr, json.len, addGenerationPrompt ? 1 : 0, &raw))
        }
        return try take(raw)
    }

    /// Bytes that the model at `path` would take with a tree of branches, before it is loaded.
    public static func estimate(path: String, promptTokens: Int = 256, branches: Int = 8, branchTokens: Int = 512) throws -> UInt64 {
        var tree = rum_estimate()
        try check(rum_estimate_init(&tree, MemoryLayout<rum_estimate>.size))
        tree.prompt_tokens = try whole(promptTokens, "promptTokens")
        tree.branches = try whole(branches, "branches")
        tree.branch_tokens = try whole(branchTokens, "branchTokens")
        try Texts.lend(path) { path in try check(rum_model_estimate(path.ptr, path.len, nil, &tree)) }
        return tree.total
    }

    /// What a session of the model at `path` would take on each device with ``Backend/llama(gpuLayers:devices:)``, before anything is
    /// loaded: a JSON object.
    public static func estimate(path: String, backend: Backend) throws -> String {
        let texts = Texts()
        let name = texts.str(path)
        var opening = rum_model_options()
        try check(rum_model_options_init(&opening, MemoryLayout<rum_model_options>.size))
        backend.choose(in: &opening, texts)
        var raw: OpaquePointer?
        try withExtendedLifetime(texts) { try check(rum_model_estimate_json(name.ptr, name.len, &opening, nil, &raw)) }
        return try take(raw)
    }
}

extension Model.Backend {
    fileprivate func choose(in opening: inout rum_model_options, _ texts: Texts) {
        if case .llama(let gpuLayers, let devices) = self {
            opening.backend = 1 // RUM_BACKEND_LLAMA
            opening.n_gpu_layers = gpuLayers ?? .max
            opening.device = texts.str(devices.joined(separator: ","))
        }
    }
}

/// Runs `body`, which blocks, where no task waits for it.
func offload<T: Sendable>(_ body: @escaping @Sendable () throws -> T) async throws -> T {
    try await withCheckedThrowingContinuation { continuation in
        DispatchQueue.global(qos: .userInitiated).async { continuation.resume(with: Result(catching: body)) }
    }
}
