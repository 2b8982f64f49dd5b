use super::*;
use std::sync::Barrier;
use std::time::Instant;

/// A team whose threads all run, whatever the number of cores.
fn crowd(threads: usize) -> Team {
    Team::start(threads, threads).unwrap()
}

#[test]
fn every_part_runs_once_whatever_the_team() {
    for threads in [1, 2, 3, 5, 8] {
        let team = crowd(threads);
        for parts in [0, 1, 2, 3, 7, 64] {
            let hits: Vec<_> = (0..parts).map(|_| AtomicUsize::new(0)).collect();
            team.run(parts, &|part| {
                hits[part].fetch_add(1, SeqCst);
            });
            assert!(hits.iter().all(|h| h.load(SeqCst) == 1), "{threads} threads, {parts} parts");
        }
    }
}

#[test]
fn chunks_cover_the_slice() {
    let team = crowd(3);
    let mut data = vec![0usize; 103];
    team.for_each_chunk_mut(&mut data, 10, |i, chunk| chunk.iter_mut().for_each(|x| *x += i + 1));
    assert!(data.iter().enumerate().all(|(at, &x)| x == at / 10 + 1));
}

#[test]
fn all_threads_of_a_team_work_at_once() {
    let team = crowd(4);
    for _ in 0..20 {
        let all = Barrier::new(4);
        team.run(4, &|_| {
            all.wait();
        });
    }
}

/// Every job has its own stack frame, so a worker that came late to a job that is over would write into another's.
#[test]
fn thousands_of_short_jobs_on_crowded_cores_stay_apart() {
    let team = crowd(8);
    for job in 0..20_000 {
        let parts = 2 + job % 13;
        let hits: [AtomicUsize; 16] = std::array::from_fn(|_| AtomicUsize::new(job));
        team.run(parts, &|part| {
            hits[part].fetch_add(part + 1, Relaxed);
        });
        for (part, hits) in hits.into_iter().enumerate() {
            assert_eq!(hits.into_inner(), if part < parts { job + part + 1 } else { job }, "job {job}, part {part}");
        }
    }
}

#[test]
fn a_panic_reaches_the_caller_and_the_team_goes_on() {
    let team = crowd(4);
    for bad in 0..8 {
        let caught = catch_unwind(AssertUnwindSafe(|| {
            team.run(8, &|part| assert!(part != bad, "part {part}"));
        }));
        assert!(caught.is_err(), "part {bad}");
        let sum = AtomicUsize::new(0);
        team.run(8, &|part| {
            sum.fetch_add(part, SeqCst);
        });
        assert_eq!(sum.into_inner(), 28);
    }
}

#[test]
fn a_panic_of_every_thread_at_once_reaches_the_caller() {
    let team = crowd(3);
    let all = Barrier::new(3);
    let caught = catch_unwind(AssertUnwindSafe(|| {
        team.run(3, &|part| {
            all.wait();
            panic!("part {part}");
        });
    }));
    assert!(caught.is_err());
    let sum = AtomicUsize::new(0);
    team.run(9, &|part| {
        sum.fetch_add(part, SeqCst);
    });
    assert_eq!(sum.into_inner(), 36);
}

#[test]
fn a_job_inside_a_job_and_two_callers_at_once_work() {
    let team = crowd(3);
    let sum = AtomicUsize::new(0);
    let outer = || {
        for _ in 0..100 {
            team.run(6, &|_| {
                team.run(5, &|part| {
                    sum.fetch_add(part, SeqCst);
                });
            });
        }
    };
    thread::scope(|scope| {
        scope.spawn(outer);
        scope.spawn(outer);
    });
    assert_eq!(sum.into_inner(), 2 * 100 * 6 * 10);
}

#[test]
fn sleepers_wake_for_the_next_job() {
    let team = crowd(3);
    for _ in 0..5 {
        while team.shared.sleepers.0.load(SeqCst) < 2 {
            thread::sleep(Duration::from_millis(5));
        }
        let all = Barrier::new(3);
        team.run(3, &|_| {
            all.wait();
        });
    }
}

#[test]
fn a_caller_that_waits_long_sleeps_and_wakes() {
    let team = crowd(2);
    let both = Barrier::new(2);
    team.run(2, &|_| {
        both.wait();
        if thread::current().name() == Some("ruminate-1") {
            while lock(&team.shared.caller).is_none() {
                thread::sleep(Duration::from_millis(1));
            }
            thread::sleep(Duration::from_millis(1));
        }
    });
    assert!(team.shared.door.0.gate.look().is_empty());
}

#[test]
fn a_caller_without_running_workers_does_the_job_alone() {
    let mut team = crowd(3);
    team.shared.door.0.gate.stop();
    team.workers.iter().for_each(|w| w.thread().unpark());
    while !team.workers.iter().all(JoinHandle::is_finished) {
        thread::yield_now();
    }
    let sum = AtomicUsize::new(0);
    team.run(9, &|part| {
        sum.fetch_add(part, SeqCst);
    });
    assert_eq!(sum.into_inner(), 36);
    team.workers.clear();
}

#[test]
fn teams_end_whatever_their_workers_do() {
    for pause in [0, 0, 10, 100, 1000].map(Duration::from_micros) {
        let team = crowd(4);
        team.run(4, &|_| ());
        thread::sleep(pause);
        drop(team);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn an_idle_team_burns_no_cpu() {
    let team = crowd(2);
    let both = Barrier::new(2);
    let tasks = Mutex::new(Vec::new());
    team.run(2, &|_| {
        both.wait();
        lock(&tasks)
            .push((thread::current().name().map(str::to_owned), std::fs::read_link("/proc/thread-self").unwrap()));
    });
    let tasks = tasks.into_inner().unwrap();
    let (_, task) = tasks.iter().find(|(name, _)| name.as_deref() == Some("ruminate-1")).unwrap();
    // Fields 14 and 15 of proc(5)'s stat: user and system time in hundredths of a second.
    let ticks = || -> u64 {
        let stat = std::fs::read_to_string(std::path::Path::new("/proc").join(task).join("stat")).unwrap();
        let fields = stat.rsplit(')').next().unwrap().split_whitespace();
        fields.skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum()
    };
    thread::sleep(Duration::from_millis(20));
    let before = ticks();
    thread::sleep(Duration::from_millis(500));
    assert!(ticks() - before <= 1, "{} of 50 ticks", ticks() - before);
}

#[test]
fn more_threads_than_cores_make_progress() {
    let team = crowd(4 * thread::available_parallelism().map_or(1, usize::from));
    let start = Instant::now();
    for _ in 0..200 {
        team.run(16, &|part| {
            std::hint::black_box(part);
        });
    }
    assert!(start.elapsed() < Duration::from_secs(20), "{:?} for 200 empty jobs", start.elapsed());
}

#[test]
fn team_sizes_are_checked() {
    assert!(Team::new(0).is_err());
    assert!(Team::new(MAX_THREADS + 1).is_err());
    let many = Team::new(MAX_THREADS).unwrap();
    assert_eq!(many.threads(), MAX_THREADS);
    assert!(many.workers.len() < thread::available_parallelism().map_or(1, usize::from));
}
