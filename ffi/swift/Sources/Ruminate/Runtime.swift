import CRuminate

/// Threads and a memory budget, shared by the models that are opened with it.
public final class Runtime: Sendable {
    let handle: Handle

    /// - Parameters:
    ///   - threads: Threads of one session; 0 for all processors. Answers do not depend on it.
    ///   - memoryBytes: What all models and sessions may take together; 0 for no limit.
    public init(threads: Int = 0, memoryBytes: UInt64 = 0) throws {
        var options = rum_runtime_options()
        try check(rum_runtime_options_init(&options, MemoryLayout<rum_runtime_options>.size))
        options.threads = try whole(threads, "threads")
        options.memory_bytes = memoryBytes
        var raw: OpaquePointer?
        try check(rum_runtime_new(&options, &raw))
        handle = try Handle(raw) { rum_runtime_free($0) }
    }

    /// Bytes of the memory budget that are taken.
    public func memoryInUse() throws -> UInt64 {
        var used: UInt64 = 0
        try check(rum_runtime_memory(handle.raw, &used))
        return used
    }

    /// How short of memory the system is.
    public enum MemoryPressure: UInt32, Sendable {
        case normal = 0 // RUM_MEMORY_NORMAL
        case warning = 1 // RUM_MEMORY_WARNING
        case critical = 2 // RUM_MEMORY_CRITICAL
    }

    /// Tells all sessions; lasts until the next call. Answers do not depend on it. Call it from a `DispatchSource` of memory pressure, or
    /// when the system warns of low memory.
    public func setMemoryPressure(_ level: MemoryPressure) throws {
        try check(rum_runtime_set_memory_pressure(handle.raw, level.rawValue))
    }
}
