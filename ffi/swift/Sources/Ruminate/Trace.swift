import CRuminate

/// What a trace can become.
public enum TraceFormat: UInt32, Sendable {
    /// One HTML page that shows the tree and needs no network.
    case html = 0 // RUM_TRACE_HTML
    /// OpenTelemetry spans with OpenInference's attributes.
    case openInference = 1 // RUM_TRACE_OPENINFERENCE
}

/// Turns the trace of ``Run/trace()`` into a page or into spans; `name` is what a page calls it.
public func convertTrace(_ trace: String, to format: TraceFormat, name: String = "") throws -> String {
    let texts = Texts()
    let (lines, title) = (texts.str(trace), texts.str(name))
    var raw: OpaquePointer?
    try withExtendedLifetime(texts) {
        try check(rum_trace_convert(lines.ptr, lines.len, format.rawValue, title.ptr, title.len, &raw))
    }
    return try take(raw)
}
