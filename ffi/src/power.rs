//! Heat and energy, as the host knows them.

use std::ffi::c_void;
use std::sync::Arc;

use ruminate::{Error, ErrorKind};

use crate::host::Host;
use crate::judge_host::HostFailed;
use crate::number::numbers;

/// How hot the device is: the four states of Apple's `ProcessInfo.ThermalState`; Android's thermal status 0 to 3 and more map onto
/// them.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum rum_thermal {
    /// Cool.
    RUM_THERMAL_NOMINAL = 0,
    /// Warm. Nothing changes.
    RUM_THERMAL_FAIR = 1,
    /// Hot. The run pauses half of the time.
    RUM_THERMAL_SERIOUS = 2,
    /// Too hot. The run ends with `RUM_STOP_HEAT` and the best answer so far.
    RUM_THERMAL_CRITICAL = 3,
}

numbers!(rum_thermal, "thermal state": RUM_THERMAL_NOMINAL, RUM_THERMAL_FAIR, RUM_THERMAL_SERIOUS, RUM_THERMAL_CRITICAL);

/// What the host knows of the device's heat and energy; filled by the host's function.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct rum_power {
    pub struct_size: usize,
    /// Joules that the device, or its battery, has spent since any moment that stays the same during the run; NaN, which it is
    /// before the call, when the host does not know. Then the energy is counted or estimated as without the function.
    pub joules: f64,
    /// A `rum_thermal`; `RUM_THERMAL_NOMINAL` before the call.
    pub thermal: u32,
    /// 0.
    pub reserved: u32,
}

/// Fills `power` and returns 0; another number cancels the run. Asked before forward passes, training steps and fits, at most ten times
/// a second, on the run's thread with no lock held. It must not throw or jump out.
pub type rum_power_fn = Option<unsafe extern "C" fn(user: *mut c_void, power: *mut rum_power) -> i32>;

/// A function of the host that knows heat and energy.
pub struct Power {
    pub host: Arc<Host>,
    pub call: unsafe extern "C" fn(*mut c_void, *mut rum_power) -> i32,
}

/// What it said.
pub struct Said {
    /// Where the host knows it.
    pub joules: Option<f64>,
    pub thermal: rum_thermal,
}

impl Power {
    /// Asks the host; `None` when it wants the run to end.
    pub fn ask(&self) -> ruminate::Result<Option<Said>> {
        let mut power = rum_power { struct_size: size_of::<rum_power>(), joules: f64::NAN, thermal: 0, reserved: 0 };
        // SAFETY: the host's function with the host's data; the struct outlives the call.
        if unsafe { (self.call)(self.host.user(), &mut power) } != 0 {
            return Ok(None);
        }
        let thermal = rum_thermal::read(power.thermal).map_err(|failure| {
            Error::new(ErrorKind::InvalidArgument, format!("on_power: {}", failure.message)).with_source(HostFailed)
        })?;
        Ok(Some(Said { joules: Some(power.joules).filter(|joules| joules.is_finite()), thermal }))
    }
}
