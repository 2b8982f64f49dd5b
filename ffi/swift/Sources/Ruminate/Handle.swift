import CRuminate

/// A handle of the library that frees itself. The library guards every handle against use from several threads.
final class Handle: @unchecked Sendable {
    let raw: OpaquePointer
    private let free: @Sendable (OpaquePointer) -> Void

    /// Takes over what a function handed out.
    init(_ raw: OpaquePointer?, free: @escaping @Sendable (OpaquePointer) -> Void) throws {
        guard let raw else { throw RuminateError(code: .internal, message: "the library gave no handle") }
        self.raw = raw
        self.free = free
    }

    deinit { free(raw) }
}

/// Texts that the library reads during a call, or until a run has started.
final class Texts {
    private var held: [UnsafeMutableBufferPointer<CChar>] = []

    /// `text` as the library takes it, for the life of this object; no text for `nil`.
    func str(_ text: String?) -> rum_str {
        guard let text else { return rum_str(ptr: nil, len: 0) }
        let utf8 = Array(text.utf8)
        let copy = UnsafeMutableBufferPointer<CChar>.allocate(capacity: utf8.count + 1)
        for (place, byte) in utf8.enumerated() { copy[place] = CChar(bitPattern: byte) }
        copy[utf8.count] = 0
        held.append(copy)
        return rum_str(ptr: UnsafePointer(copy.baseAddress), len: utf8.count)
    }

    /// `text` as the library takes it, during `body`.
    static func lend<T>(_ text: String, _ body: (rum_str) throws -> T) rethrows -> T {
        let texts = Texts()
        return try withExtendedLifetime(texts) { try body(texts.str(text)) }
    }

    deinit { held.forEach { $0.deallocate() } }
}

extension String {
    /// A copy of borrowed text; empty for none.
    init(_ text: rum_str) {
        self = text.ptr.map { start in
            String(decoding: UnsafeRawBufferPointer(start: start, count: text.len), as: UTF8.self)
        } ?? ""
    }

    /// A copy of borrowed text, or `nil` for none.
    static func maybe(_ text: rum_str) -> String? { text.ptr == nil ? nil : String(text) }
}

/// The text of a handle, which is freed.
func take(_ raw: OpaquePointer?) throws -> String {
    let text = try Handle(raw) { rum_text_free($0) }
    var str = rum_str(ptr: nil, len: 0)
    try check(rum_text_get(text.raw, &str))
    return withExtendedLifetime(text) { String(str) }
}
