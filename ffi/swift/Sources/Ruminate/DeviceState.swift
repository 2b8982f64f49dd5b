import CRuminate
import Foundation

/// What the app knows of the device while a run goes on.
public struct DeviceState: Sendable {
    /// How hot the device is. A run pauses half of the time when it is serious, and ends with the best answer so far when it is critical.
    public enum Thermal: UInt32, Sendable {
        case nominal = 0 // RUM_THERMAL_NOMINAL
        case fair = 1 // RUM_THERMAL_FAIR
        case serious = 2 // RUM_THERMAL_SERIOUS
        case critical = 3 // RUM_THERMAL_CRITICAL
    }

    public var thermal: Thermal
    /// Joules that the device has spent since any fixed moment; `nil` when that is not known.
    public var joules: Double?

    public init(thermal: Thermal = .nominal, joules: Double? = nil) {
        self.thermal = thermal
        self.joules = joules
    }

    /// As the system says, for ``RunOptions/device``; nominal where it does not tell.
    @Sendable public static func current() -> DeviceState {
        #if canImport(Darwin)
        switch ProcessInfo.processInfo.thermalState {
        case .fair: return DeviceState(thermal: .fair)
        case .serious: return DeviceState(thermal: .serious)
        case .critical: return DeviceState(thermal: .critical)
        default: return DeviceState(thermal: .nominal)
        }
        #else
        return DeviceState()
        #endif
    }

    func write(to power: UnsafeMutablePointer<rum_power>) {
        power.pointee.thermal = thermal.rawValue
        if let joules { power.pointee.joules = joules }
    }
}

final class DeviceBox {
    let state: @Sendable () -> DeviceState
    init(_ state: @escaping @Sendable () -> DeviceState) { self.state = state }
}
