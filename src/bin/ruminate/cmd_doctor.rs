//! `doctor`: what this machine offers.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use ruminate::engine::{Device, Engine, devices};
use ruminate::simd::Isa;
use serde_json::{Value, json};

use crate::exit::Failure;
use crate::model::ModelArgs;
use crate::output::{Output, Style};
use crate::{signal, size, width};

/// Show what this machine offers: instruction sets, cores, memory bandwidth, energy counters, and how many branches of a model
/// decode at almost the price of one.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
}

pub fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let features = cpu_features();
    let one = read_bandwidth(1);
    let all = read_bandwidth(cores);
    let energy = energy_counters();
    let kernels = args.model.isa.unwrap_or_else(Isa::detect).name();
    let mut model = args.model.load()?;
    let widths = width::measure(&mut model, &signal::token(), output)?;
    let free_width = model.engine.info().free_width;
    if output.json {
        return output.document(&json!({
            "version": env!("CARGO_PKG_VERSION"),
            "os": std::env::consts::OS,
            "arch": std::env::consts::ARCH,
            "cpu_features": features,
            "cores": cores,
            "read_gib_s_one_core": one,
            "read_gib_s_all_cores": all,
            "kernels": kernels,
            "model": model.document(&args.model.source.name()),
            "free_width": free_width,
            "decode": widths.iter().map(|w| json!({"branches": w.width, "tok_s": w.rate()})).collect::<Vec<_>>(),
            "devices": devices().iter().map(document).collect::<Vec<_>>(),
            "energy_counters": energy,
        }));
    }
    let row = |label: &str, value: &str| {
        let label = format!("{label:<16}");
        output.line(&format!("{} {value}", output.paint(Style::Bold, &label)))
    };
    row("ruminate", env!("CARGO_PKG_VERSION"))?;
    row("machine", &format!("{}, {}", std::env::consts::ARCH, std::env::consts::OS))?;
    row("instructions", if features.is_empty() { "no extension that is used here" } else { &features })?;
    row("cores", &cores.to_string())?;
    row("memory reads", &format!("{one:.1} GiB/s with one core, {all:.1} GiB/s with all"))?;
    row("kernels", kernels)?;
    let rates = widths.iter().map(|w| format!("{}: {:.0}", w.width, w.rate())).collect::<Vec<_>>().join(", ");
    row("decoding", &format!("tokens per second by branches, {}: {rates}", args.model.source.name()))?;
    row("free width", &format!("{free_width} branches"))?;
    match devices().as_slice() {
        [] => row("GPU backends", "none in this build")?,
        devices => devices.iter().try_for_each(|device| row(&device.name, &line(device)))?,
    }
    row("energy counters", if energy.is_empty() { "none that can be read" } else { &energy })
}

/// A device for people.
fn line(device: &Device) -> String {
    let (free, total) = (size::show(device.memory_free), size::show(device.memory_total));
    format!("{}, {free} of {total} free", device.description)
}

/// A device as JSON; memory in bytes.
fn document(device: &Device) -> Value {
    let Device { name, description, memory_free, memory_total, gpu, .. } = device;
    json!({"name": name, "description": description, "memory_free": memory_free, "memory_total": memory_total, "gpu": gpu})
}

/// Instruction sets that matter to the kernels, among those that the processor has.
fn cpu_features() -> String {
    let mut features: Vec<&str> = Vec::new();
    macro_rules! detect {
        ($is:ident: $($name:tt),*) => {{ $(if std::arch::$is!($name) { features.push($name); })* }};
    }
    #[cfg(target_arch = "x86_64")]
    detect!(is_x86_feature_detected: "sse4.1", "avx", "avx2", "fma", "f16c", "avxvnni", "avx512f", "avx512bw", "avx512vnni");
    #[cfg(target_arch = "aarch64")]
    detect!(is_aarch64_feature_detected: "neon", "dotprod", "i8mm", "fp16", "sve");
    features.join(" ")
}

/// GiB per second at which `threads` threads together read memory that no cache holds.
fn read_bandwidth(threads: usize) -> f64 {
    /// Together far above any cache, on large machines as well as small ones, and no burden to either.
    const BYTES: usize = 512 << 20;
    const ENOUGH: Duration = Duration::from_millis(300);
    let words = BYTES / 8 / threads;
    // Written, not only reserved: untouched memory is one shared page of zeros.
    let buffers: Vec<Vec<u64>> = (1..=threads as u64).map(|i| vec![i; words]).collect();
    let start = Instant::now();
    let passes: u64 = thread::scope(|scope| {
        let read = |buffer: &[u64]| {
            let mut passes = 0;
            while passes == 0 || start.elapsed() < ENOUGH {
                // Independent sums, so that the loads do not wait for each other.
                let sums = buffer.chunks_exact(8).fold([0u64; 8], |mut sums, chunk| {
                    sums.iter_mut().zip(chunk).for_each(|(sum, word)| *sum = sum.wrapping_add(*word));
                    sums
                });
                std::hint::black_box(sums);
                passes += 1;
            }
            passes
        };
        let readers: Vec<_> = buffers.iter().map(|buffer| scope.spawn(move || read(buffer))).collect();
        readers.into_iter().map(|reader| reader.join().unwrap_or(0)).sum()
    });
    (passes * words as u64 * 8) as f64 / start.elapsed().as_secs_f64() / f64::from(1 << 30)
}

/// Energy counters of the processor that this user may read (Linux powercap).
fn energy_counters() -> String {
    let Ok(zones) = std::fs::read_dir("/sys/class/powercap") else { return String::new() };
    let readable = |zone: &Path| std::fs::read_to_string(zone.join("energy_uj")).is_ok();
    let zones = zones.flatten().map(|z| z.path()).filter(|z| readable(z));
    let mut names: Vec<String> =
        zones.filter_map(|z| Some(std::fs::read_to_string(z.join("name")).ok()?.trim().to_owned())).collect();
    names.sort();
    names.join(" ")
}
