import CRuminate

/// What went wrong in a call of the library.
public struct RuminateError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What to act on.
    public enum Code: Int32, Sendable {
        case invalidArgument = -1 // RUM_ERR_INVALID_ARGUMENT
        case misuse = -2 // RUM_ERR_MISUSE
        case busy = -3 // RUM_ERR_BUSY
        case poisoned = -4 // RUM_ERR_POISONED
        case `internal` = -5 // RUM_ERR_INTERNAL
        case io = -6 // RUM_ERR_IO
        case format = -7 // RUM_ERR_FORMAT
        case unsupported = -8 // RUM_ERR_UNSUPPORTED
        case contextLength = -9 // RUM_ERR_CONTEXT_LENGTH
        case memory = -10 // RUM_ERR_MEMORY
        case nonFinite = -11 // RUM_ERR_NON_FINITE
        case cancelled = -12 // RUM_ERR_CANCELLED
        case fileChanged = -13 // RUM_ERR_FILE_CHANGED
        case bufferTooSmall = -14 // RUM_ERR_BUFFER_TOO_SMALL
        case notFound = -15 // RUM_ERR_NOT_FOUND
        case notDone = -16 // RUM_ERR_NOT_DONE
        case callback = -17 // RUM_ERR_CALLBACK
        case abi = -18 // RUM_ERR_ABI
    }

    /// `nil` for a status that this version of the package does not know.
    public let code: Code?
    /// For a person.
    public let message: String

    public var description: String { message }
}

/// Throws the failure that `status` says, with this thread's message: to be called at once, before another call on the thread.
func check(_ status: Int32) throws {
    guard status != 0 else { return }
    throw RuminateError(code: .init(rawValue: status), message: String(cString: rum_last_error()))
}

/// The library's version, and whether the package fits it.
public enum Library {
    /// "MAJOR.MINOR.PATCH" of the library.
    public static var version: String { String(cString: rum_version()) }

    /// Throws when the package was compiled for another interface than the library has.
    public static func checkABI() throws { try check(rum_check_abi(UInt32(RUM_ABI_VERSION))) }

    /// What the build is and can do, as a JSON object.
    public static func buildInfo() throws -> String {
        var raw: OpaquePointer?
        try check(rum_build_info_json(&raw))
        return try take(raw)
    }

    /// The devices that ``Model/Backend/llama(gpuLayers:devices:)`` can use, as a JSON array.
    public static func devices() throws -> String {
        var raw: OpaquePointer?
        try check(rum_devices_json(&raw))
        return try take(raw)
    }
}
