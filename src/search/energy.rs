//! Energy that was spent: read from the processor's counters where the system shows them, else estimated and said so.
//!
//! Counters are those of Linux' powercap (`intel-rapl`, AMD's processors too): the packages, which include their cores, so
//! that no joule counts twice. They count the whole processor, other programs included. Memory beside the package, the
//! screen and the power supply's losses are in neither figure.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

const POWERCAP: &str = "/sys/class/powercap";
const PROCESS: &str = "/proc/self/stat";
/// A reading this young is given again: a reading costs some tens of microseconds, a pass of a small model not much more.
const FRESH: Duration = Duration::from_millis(2);

/// Energy and how it is known.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Joules {
    /// Joules.
    pub joules: f64,
    /// How they are known.
    pub source: EnergySource,
}

/// How energy is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum EnergySource {
    /// Counted by the processor.
    Measured,
    /// Made of processor time by a [`PowerModel`].
    #[default]
    Estimated,
}

impl EnergySource {
    /// The name used in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Measured => "measured",
            Self::Estimated => "estimated",
        }
    }
}

/// What a processor draws, for where nothing counts it: `idle` for every core all the time, and what a busy core draws beyond
/// that for the processor time of this process.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct PowerModel {
    /// Watts of one busy core.
    pub busy_watts: f64,
    /// Watts of one idle core, with its share of the rest of the package or board.
    pub idle_watts: f64,
    /// Cores, as the system counts them.
    pub cores: usize,
}

impl PowerModel {
    /// The model for this kind of machine.
    ///
    /// 64-bit Arm: a Raspberry Pi 4 draws 2.7 W idle and 6.4 W with four busy cores (pidramble.com, power consumption).
    /// Others: a virtual processor of a server draws 0.74 W idle and 3.5 W busy, the mean over SPECpower results that Cloud
    /// Carbon Footprint uses (cloudcarbonfootprint.org, methodology; single processors range from 1.6 to 6 W).
    pub fn of_this_machine() -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let (busy_watts, idle_watts) = if cfg!(target_arch = "aarch64") { (1.6, 0.675) } else { (3.5, 0.74) };
        Self { busy_watts, idle_watts, cores }
    }

    /// With `watts` for a busy core; an idle one never draws more.
    #[must_use]
    pub fn with_busy_watts(self, watts: f64) -> Self {
        Self { busy_watts: watts, idle_watts: self.idle_watts.min(watts), ..self }
    }

    fn joules(&self, wall: Duration, cpu: Duration) -> f64 {
        let idle = self.idle_watts * self.cores as f64 * wall.as_secs_f64();
        idle + (self.busy_watts - self.idle_watts).max(0.0) * cpu.as_secs_f64()
    }
}

/// Counts energy from its start.
#[derive(Debug)]
pub struct EnergyMeter {
    packages: Vec<Package>,
    model: PowerModel,
    process: PathBuf,
    /// Processor time at the start; `None` where the system does not tell it.
    cpu: Option<Duration>,
    started: Instant,
    last: Cell<Option<(Instant, Joules)>>,
}

impl EnergyMeter {
    /// A meter that starts now, with the [model of this machine](PowerModel::of_this_machine).
    pub fn start() -> Self {
        Self::with(PowerModel::of_this_machine())
    }

    /// A meter that starts now and estimates by `model` where no counter can be read.
    pub fn with(model: PowerModel) -> Self {
        Self::new(Path::new(POWERCAP), Path::new(PROCESS), model)
    }

    fn new(powercap: &Path, process: &Path, model: PowerModel) -> Self {
        Self {
            packages: Package::all(powercap).unwrap_or_default(),
            model,
            process: process.to_owned(),
            cpu: cpu_time(process),
            started: Instant::now(),
            last: Cell::new(None),
        }
    }

    /// Joules since the start, never fewer than before from the same source. Cheap enough for every pass; a counter that
    /// wraps around has to be read once per round, which takes minutes at least.
    pub fn joules(&self) -> Joules {
        let now = Instant::now();
        if let Some((at, joules)) = self.last.get()
            && now.duration_since(at) < FRESH
        {
            return joules;
        }
        let joules = match self.measured() {
            Some(joules) => Joules { joules, source: EnergySource::Measured },
            None => Joules { joules: self.estimated(now), source: EnergySource::Estimated },
        };
        self.last.set(Some((now, joules)));
        joules
    }

    /// The sum of all packages; `None` without one, or once one can no longer be read.
    fn measured(&self) -> Option<f64> {
        if self.packages.is_empty() {
            return None;
        }
        self.packages.iter().map(Package::joules).sum()
    }

    fn estimated(&self, now: Instant) -> f64 {
        let wall = now.duration_since(self.started);
        let spent = self.cpu.and_then(|start| Some(cpu_time(&self.process)?.saturating_sub(start)));
        // Where nothing tells, every core is taken to be busy: a limit is then kept rather than broken.
        self.model.joules(wall, spent.unwrap_or_else(|| wall.saturating_mul(self.model.cores as u32)))
    }
}

/// One processor package's counter, in microjoules.
#[derive(Debug)]
struct Package {
    file: PathBuf,
    /// The value after which it starts at 0 again.
    range: u64,
    last: Cell<u64>,
    sum: Cell<u64>,
}

impl Package {
    /// All packages of the machine; `None` unless each of them can be read.
    fn all(powercap: &Path) -> Option<Vec<Self>> {
        let zones = fs::read_dir(powercap).ok()?.flatten().map(|zone| zone.path());
        // `intel-rapl:0` is a package or the platform, `intel-rapl:0:0` a part of it; `intel-rapl-mmio:0` is the same again.
        let is_top = |zone: &PathBuf| {
            let name = zone.file_name().and_then(|name| name.to_str());
            let number = name.and_then(|name| name.strip_prefix("intel-rapl:"));
            number.is_some_and(|number| number.bytes().all(|b| b.is_ascii_digit()))
        };
        let is_package = |zone: &PathBuf| {
            fs::read_to_string(zone.join("name")).is_ok_and(|name| name.trim_end().starts_with("package"))
        };
        zones.filter(is_top).filter(is_package).map(|zone| Self::open(&zone)).collect()
    }

    fn open(zone: &Path) -> Option<Self> {
        let file = zone.join("energy_uj");
        let last = Cell::new(number(&file)?);
        Some(Self { range: number(&zone.join("max_energy_range_uj"))?, last, sum: Cell::new(0), file })
    }

    /// Joules since it was opened.
    fn joules(&self) -> Option<f64> {
        let now = number(&self.file)?;
        let before = self.last.replace(now);
        let step = if now >= before { now - before } else { self.range.saturating_sub(before).saturating_add(now) };
        self.sum.set(self.sum.get().saturating_add(step));
        Some(self.sum.get() as f64 / 1e6)
    }
}

fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// Processor time of all threads of a process, from Linux' `/proc/…/stat`: fields 14 and 15, in ticks of 10 ms (proc(5);
/// the kernel shows user space 100 ticks per second whatever it uses itself).
fn cpu_time(stat: &Path) -> Option<Duration> {
    let stat = fs::read_to_string(stat).ok()?;
    // The second field is the program's name in parentheses, and may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11).map(str::parse::<u64>);
    let (user, system) = (fields.next()?.ok()?, fields.next()?.ok()?);
    Some(Duration::from_millis(user.checked_add(system)?.checked_mul(10)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODEL: PowerModel = PowerModel { busy_watts: 5.0, idle_watts: 1.0, cores: 4 };

    /// A machine's files: zones with their name and counter, and a process.
    struct Machine(tempfile::TempDir);

    impl Machine {
        fn new(zones: &[(&str, &str, u64)], ticks: (u64, u64)) -> Self {
            let machine = Self(tempfile::tempdir().unwrap());
            for (zone, name, value) in zones {
                fs::create_dir_all(machine.path(zone)).unwrap();
                fs::write(machine.path(zone).join("name"), format!("{name}\n")).unwrap();
                fs::write(machine.path(zone).join("max_energy_range_uj"), "1000000000\n").unwrap();
                machine.count(zone, *value);
            }
            machine.spend(ticks);
            machine
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn count(&self, zone: &str, value: u64) {
            fs::write(self.path(zone).join("energy_uj"), format!("{value}\n")).unwrap();
        }

        fn spend(&self, (user, system): (u64, u64)) {
            let text = format!("17 (a ) (b) S 1 17 17 0 -1 4194304 100 0 0 0 {user} {system} 9 9 20 0 3 0 12345 1 1");
            fs::write(self.path("stat"), text).unwrap();
        }

        fn meter(&self) -> EnergyMeter {
            EnergyMeter::new(self.0.path(), &self.path("stat"), MODEL)
        }
    }

    fn read(meter: &EnergyMeter) -> Joules {
        meter.last.set(None);
        meter.joules()
    }

    #[test]
    fn packages_are_added_up_and_neither_their_parts_nor_their_doubles() {
        let zones = [
            ("intel-rapl:0", "package-0", 500_000),
            ("intel-rapl:0:0", "core", 400_000),
            ("intel-rapl:1", "package-1", 999_999_000),
            ("intel-rapl:2", "psys", 7),
            ("intel-rapl-mmio:0", "package-0", 500_000),
            ("dtpm", "package", 1),
        ];
        let machine = Machine::new(&zones, (0, 0));
        let meter = machine.meter();
        assert_eq!(read(&meter), Joules { joules: 0.0, source: EnergySource::Measured });
        for (zone, ..) in zones {
            machine.count(zone, 1_500_000);
        }
        // The second package's counter went past its range, 1 mJ before the end of it.
        assert_eq!(read(&meter), Joules { joules: 1.0 + 1.501, source: EnergySource::Measured });
        machine.count("intel-rapl:0", 2_000_000);
        assert_eq!(read(&meter).joules, 1.5 + 1.501);
    }

    #[test]
    fn without_counters_busy_and_idle_cores_are_estimated() {
        for zones in [&[][..], &[("intel-rapl:0", "psys", 5)], &[("intel-rapl:0:0", "core", 5)]] {
            let machine = Machine::new(zones, (100, 20));
            let meter = machine.meter();
            machine.spend((350, 70));
            let read = read(&meter);
            // 3 s of processor time at 4 W beyond idle, and 4 idle cores for the moment that the test took.
            assert!(read.joules >= 12.0 && read.joules < 60.0, "{read:?}");
            assert_eq!(read.source, EnergySource::Estimated);
        }
        let joules = MODEL.joules(Duration::from_secs(2), Duration::from_secs(3));
        assert_eq!(joules, 4.0 * 1.0 * 2.0 + 4.0 * 3.0);
        let frugal = MODEL.with_busy_watts(0.5).joules(Duration::from_secs(2), Duration::from_secs(3));
        assert_eq!(frugal, 4.0 * 0.5 * 2.0);
    }

    #[test]
    fn a_counter_that_cannot_be_read_is_replaced_by_the_estimate() {
        let machine = Machine::new(&[("intel-rapl:0", "package-0", 5)], (0, 0));
        fs::write(machine.path("intel-rapl:0").join("max_energy_range_uj"), "many").unwrap();
        assert_eq!(machine.meter().joules().source, EnergySource::Estimated);

        let machine = Machine::new(&[("intel-rapl:0", "package-0", 5), ("intel-rapl:1", "package-1", 5)], (0, 0));
        let meter = machine.meter();
        assert_eq!(read(&meter).source, EnergySource::Measured);
        fs::remove_file(machine.path("intel-rapl:1").join("energy_uj")).unwrap();
        assert_eq!(read(&meter).source, EnergySource::Estimated);
        assert_eq!(machine.meter().joules().source, EnergySource::Estimated, "half of the packages are no measurement");
    }

    #[test]
    fn without_processor_time_every_core_counts_as_busy() {
        let machine = Machine::new(&[], (0, 0));
        fs::write(machine.path("stat"), "17 (cut").unwrap();
        let meter = machine.meter();
        let before = Instant::now();
        thread::sleep(Duration::from_millis(20));
        let joules = meter.joules().joules;
        let wall = before.elapsed().as_secs_f64();
        assert!(joules >= 20.0 * 0.02 && joules <= 20.0 * (wall + 0.5), "{joules}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_is_seen_to_work() {
        let start = cpu_time(Path::new(PROCESS)).unwrap();
        let meter = EnergyMeter::start();
        let mut x = 1u64;
        while cpu_time(Path::new(PROCESS)).unwrap() < start + Duration::from_millis(50) {
            (0..100_000).for_each(|i| x = std::hint::black_box(x.wrapping_mul(i | 1)));
        }
        assert!(read(&meter).joules > 0.0);
    }
}
