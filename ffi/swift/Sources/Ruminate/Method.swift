import CRuminate

/// How a question is put: in one prompt, or by a method of several calls of the model. Any number of runs may use it at once.
public final class Method: Sendable {
    let handle: Handle

    init(_ handle: Handle) { self.handle = handle }

    /// What a method works with.
    public struct Options: Sendable {
        /// Worked examples for `few-shot`, `memory` and `ensemble`: JSON lines, each an object with `question` and `answer`.
        public var shots: String?
        /// A file of such lines.
        public var shotsPath: String?
        /// Examples that stand before a question.
        public var shotCount = 4
        /// A folder of prompts that stand in the place of the built-in ones.
        public var prompts: String?
        /// Milliseconds that one call of a tool may take.
        public var toolMilliseconds = 2_000
        /// Bytes of what a tool says that the model reads.
        public var toolBytes = 2_000
        /// The operations of `graph-of-thoughts` as a JSON list; the usual ones without it.
        public var graph: String?

        public init() {}
    }

    /// The method of that name, one of those that ``list()`` has; `react` calls `tools`.
    public convenience init(_ name: String, tools: [Tool] = [], options: Options = Options()) throws {
        let texts = Texts()
        var made = rum_method_options()
        try check(rum_method_options_init(&made, MemoryLayout<rum_method_options>.size))
        made.name = texts.str(name)
        made.shots = texts.str(options.shots)
        made.shots_path = texts.str(options.shotsPath)
        made.prompts = texts.str(options.prompts)
        made.graph = texts.str(options.graph)
        made.n_shots = try whole(options.shotCount, "shotCount")
        made.tool_ms = try whole(options.toolMilliseconds, "toolMilliseconds")
        made.tool_bytes = try whole(options.toolBytes, "toolBytes")
        var raw: OpaquePointer?
        let handles: [OpaquePointer?] = tools.map { $0.handle.raw }
        try withExtendedLifetime((texts, tools)) {
            try handles.withUnsafeBufferPointer { buffer in
                made.tools = buffer.baseAddress
                made.n_tools = buffer.count
                try check(rum_method_new(&made, &raw))
            }
        }
        try self.init(Handle(raw) { rum_method_free($0) })
    }

    /// What there is to choose from, as one JSON object: `methods` with their cost, built-in `tools`, and `prompts`.
    public static func list() throws -> String {
        var raw: OpaquePointer?
        try check(rum_methods_json(&raw))
        return try take(raw)
    }
}

/// A function that the model can call by name.
public final class Tool: Sendable {
    let handle: Handle

    init(_ handle: Handle) { self.handle = handle }

    /// A built-in tool: `calculator`, `dates`, `units` or `notes`.
    public convenience init(_ name: String) throws {
        var raw: OpaquePointer?
        try Texts.lend(name) { name in try check(rum_tool_new(name.ptr, name.len, &raw)) }
        try self.init(Handle(raw) { rum_tool_free($0) })
    }

    /// Finds passages in the text files of the folder at `path`.
    public convenience init(folder path: String) throws {
        var raw: OpaquePointer?
        try Texts.lend(path) { path in try check(rum_tool_open_folder(path.ptr, path.len, &raw)) }
        try self.init(Handle(raw) { rum_tool_free($0) })
    }

    /// Calls `call` with the arguments, a JSON object that fits the JSON Schema `schema`; the model reads what it returns. What it
    /// throws is a failure that the model is told of. Called on threads of their own, on several at once by runs side by side.
    public convenience init(
        named name: String, about: String, schema: String, call: @escaping @Sendable (_ arguments: String) throws -> String
    ) throws {
        let texts = Texts()
        var function = rum_function()
        try check(rum_function_init(&function, MemoryLayout<rum_function>.size))
        function.name = texts.str(name)
        function.about = texts.str(about)
        function.schema = texts.str(schema)
        function.call = CallBox.call
        function.user = Unmanaged.passRetained(CallBox(call)).toOpaque()
        function.drop = { user in user.map { Unmanaged<CallBox>.fromOpaque($0).release() } }
        var raw: OpaquePointer?
        try withExtendedLifetime(texts) { try check(rum_tool_new_function(&function, &raw)) }
        try self.init(Handle(raw) { rum_tool_free($0) })
    }
}

private final class CallBox {
    let function: @Sendable (String) throws -> String
    init(_ function: @escaping @Sendable (String) throws -> String) { self.function = function }

    static let call: @convention(c) (UnsafeMutableRawPointer?, UnsafePointer<CChar>?, Int, OpaquePointer?) -> Int32 = {
        user, arguments, _, reply in
        guard let user, let arguments else { return -1 }
        let box = Unmanaged<CallBox>.fromOpaque(user).takeUnretainedValue()
        guard var said = try? box.function(String(cString: arguments)) else { return -1 }
        let status = said.withUTF8 { bytes in
            bytes.withMemoryRebound(to: CChar.self) { rum_reply_write(reply, $0.baseAddress, $0.count) }
        }
        return status == 0 ? 0 : -1
    }
}
