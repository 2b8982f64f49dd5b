import CRuminate

/// Ends work early when asked, from any thread or task. It stays cancelled.
///
/// A cancelled Swift task cancels the runs that it waits for by itself; a token is for everything else, such as a stop button.
public final class CancelToken: Sendable {
    let handle: Handle

    public init() throws {
        var raw: OpaquePointer?
        try check(rum_cancel_new(&raw))
        handle = try Handle(raw) { rum_cancel_free($0) }
    }

    /// Asks everything that has this token to end; it does so within one layer of one forward pass.
    public func cancel() { rum_cancel_cancel(handle.raw) }

    public var isCancelled: Bool {
        var cancelled: UInt32 = 0
        return rum_cancel_is_cancelled(handle.raw, &cancelled) == 0 && cancelled != 0
    }
}
