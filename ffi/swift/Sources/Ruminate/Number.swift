/// `value` as the library takes it; throws what the library says of a number that it cannot take, such as a negative count.
func whole<N: FixedWidthInteger>(_ value: Int, _ name: String) throws -> N {
    guard let number = N(exactly: value) else {
        throw RuminateError(code: .invalidArgument, message: "\(name) is \(value): give a number from 0 to \(N.max)")
    }
    return number
}

/// A budget as the library takes it, 0 for no limit; throws for one of nothing, which would be none.
func budget<Given: BinaryInteger>(_ value: Given?, _ name: String) throws -> UInt64 {
    guard let value else { return 0 }
    guard value > 0, let number = UInt64(exactly: value) else {
        throw RuminateError(code: .invalidArgument, message: "\(name) is \(value): give at least 1, or nil for no limit")
    }
    return number
}

/// The same for a budget that is no whole number.
func budget(_ value: Double?, _ name: String) throws -> Double {
    guard let value else { return 0 }
    guard value > 0, value.isFinite else {
        throw RuminateError(code: .invalidArgument, message: "\(name) is \(value): give a number above 0, or nil for no limit")
    }
    return value
}
