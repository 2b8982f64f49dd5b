import CRuminate
import Dispatch

/// A search, a generation or learning under way, or its result.
///
/// It goes on in a thread of the library whether anybody waits or not. A task that is cancelled while it waits for ``events`` or
/// ``outcome()`` cancels the run; the outcome is then the best so far. A run that nobody holds any more is cancelled, too.
public final class Run: Sendable {
    let handle: Handle
    private let token: CancelToken

    init(_ handle: Handle, token: CancelToken) {
        self.handle = handle
        self.token = token
    }

    /// Events until the run is over; ends with the error of a run that failed. For one consumer.
    public var events: AsyncThrowingStream<Event, any Error> {
        AsyncThrowingStream { continuation in
            let token = token
            continuation.onTermination = { end in
                if case .cancelled = end { token.cancel() }
            }
            // Pulling blocks, so it has a thread of its own.
            DispatchQueue(label: "ruminate.events").async { [self] in
                do {
                    while let event = try pull() { continuation.yield(event) }
                    var status: Int32 = 0
                    var message = rum_str(ptr: nil, len: 0)
                    try check(rum_run_error(handle.raw, &status, &message))
                    guard status == 0 else {
                        throw RuminateError(code: .init(rawValue: status), message: String(message))
                    }
                    continuation.finish()
                } catch {
                    continuation.finish(throwing: error)
                }
            }
        }
    }

    /// The next event that this package knows; `nil` after the last.
    private func pull() throws -> Event? {
        while true {
            var event = rum_event()
            event.struct_size = MemoryLayout<rum_event>.size
            try check(rum_run_next(handle.raw, UInt64.max, &event))
            if event.kind == Event.Kind.done.rawValue { return nil }
            if let known = Event(event) { return known }
        }
    }

    /// What the run comes to: waits for its end.
    public func outcome() async throws -> Outcome {
        let (handle, token) = (handle, token)
        return try await withTaskCancellationHandler {
            try await offload {
                try check(rum_run_wait(handle.raw, UInt64.max, nil))
                return try Outcome(of: handle)
            }
        } onCancel: {
            token.cancel()
        }
    }

    /// Asks the run to end.
    public func cancel() { rum_run_cancel(handle.raw) }

    /// The trace of a search that was started with ``RunOptions/keepsTrace``: JSON lines. After its end.
    public func trace() throws -> String {
        var trace = rum_str(ptr: nil, len: 0)
        try check(rum_run_get_trace(handle.raw, &trace))
        return String(trace)
    }

    /// The adapter that training came to, whatever ended it. After its end.
    public func adapter() throws -> Adapter {
        var raw: OpaquePointer?
        try check(rum_run_get_adapter(handle.raw, &raw))
        return try Adapter(Handle(raw) { rum_adapter_free($0) })
    }
}

/// What accompanies a run.
public struct RunOptions: Sendable {
    /// Values the steps of a search.
    public var judge: Judge?
    /// A file in which a cancelled search or training is kept: a run with the same arguments goes on with it.
    public var checkpoint: String?
    /// For ``Run/trace()``.
    public var keepsTrace = false
    /// Whether text is told as it grows.
    public var tellsText = true
    /// Asked about the device's heat and energy, on the run's thread.
    public var device: (@Sendable () -> DeviceState)?

    public init(
        judge: Judge? = nil, checkpoint: String? = nil, keepsTrace: Bool = false, tellsText: Bool = true,
        device: (@Sendable () -> DeviceState)? = nil
    ) {
        self.judge = judge
        self.checkpoint = checkpoint
        self.keepsTrace = keepsTrace
        self.tellsText = tellsText
        self.device = device
    }

    private static let nodes: UInt32 = 1 // RUM_EVENTS_NODES
    private static let text: UInt32 = 2 // RUM_EVENTS_TEXT
    private static let progress: UInt32 = 4 // RUM_EVENTS_PROGRESS

    /// Starts a run: `body` calls one of the functions that do, with these options.
    func start(_ body: (inout rum_run_options, inout OpaquePointer?) throws -> Void) throws -> Run {
        let (texts, token) = (Texts(), try CancelToken())
        var given = rum_run_options()
        try check(rum_run_options_init(&given, MemoryLayout<rum_run_options>.size))
        given.judge = judge?.handle.raw
        given.cancel = token.handle.raw
        given.checkpoint = texts.str(checkpoint)
        given.events = RunOptions.nodes | RunOptions.progress | (tellsText ? RunOptions.text : 0)
        given.trace = keepsTrace ? 1 : 0
        if let device {
            // Let go by the library, whether the run starts or not.
            given.user = Unmanaged.passRetained(DeviceBox(device)).toOpaque()
            given.on_power = { user, power in
                guard let user, let power else { return 1 }
                Unmanaged<DeviceBox>.fromOpaque(user).takeUnretainedValue().state().write(to: power)
                return 0
            }
            given.drop = { user in user.map { Unmanaged<DeviceBox>.fromOpaque($0).release() } }
        }
        var raw: OpaquePointer?
        try withExtendedLifetime((texts, self)) { try body(&given, &raw) }
        return try Run(Handle(raw) { rum_run_free($0) }, token: token)
    }
}
