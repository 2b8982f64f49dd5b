//! The log of a training run: a JSON line for every step.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use ruminate::learn::preference::StepReport;
use ruminate::search::Joules;
use serde::{Deserialize, Serialize};

use crate::exit::{Code, Failure};

/// Bytes of a log, at most: a million steps.
const CAP: u64 = 1 << 29;

/// One step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    #[serde(flatten)]
    pub report: StepReport,
    /// Energy of the step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joules: Option<f64>,
    /// How it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joules_source: Option<String>,
}

/// A log that grows.
pub struct TrainingLog {
    path: PathBuf,
    file: File,
}

impl TrainingLog {
    /// Goes on with the log at `path` behind step `done`, or begins it. What stands behind that step was written by a run that was
    /// killed before it was saved: it is cut off, since the steps come again.
    pub fn open(path: &Path, done: u64) -> Result<Self, Failure> {
        let named = |e: &std::io::Error| Failure::file(path.display(), e);
        let file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(|e| named(&e))?;
        let text = text(&file, path)?;
        let kept = lines(&text, path)?.into_iter().take_while(|(_, line)| line.report.step <= done).last();
        file.set_len(kept.map_or(0, |(end, _)| end as u64)).map_err(|e| named(&e))?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// All complete lines of the log at `path`.
    pub fn read(path: &Path) -> Result<Vec<Line>, Failure> {
        let file = File::open(path).map_err(|e| Failure::file(path.display(), &e))?;
        Ok(lines(&text(&file, path)?, path)?.into_iter().map(|(_, line)| line).collect())
    }

    pub fn push(&mut self, report: &StepReport, joules: Joules) -> Result<(), Failure> {
        let line =
            Line { report: *report, joules: Some(joules.joules), joules_source: Some(joules.source.name().to_owned()) };
        let failed = |e: String| Failure::new(Code::Failure, format!("{}: {e}", self.path.display()));
        let line = serde_json::to_string(&line).map_err(|e| failed(e.to_string()))? + "\n";
        (&self.file).write_all(line.as_bytes()).map_err(|e| failed(e.to_string()))
    }
}

fn text(file: &File, path: &Path) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    file.take(CAP + 1).read_to_end(&mut bytes).map_err(|e| Failure::file(path.display(), &e))?;
    if bytes.len() as u64 > CAP {
        return Err(Failure::data(format!("{} has more than {CAP} bytes", path.display())));
    }
    // A line that was not written to its end may end inside a character.
    bytes.truncate(bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1));
    String::from_utf8(bytes).map_err(|_| Failure::data(format!("{} is not UTF-8 text", path.display())))
}

/// Every line with the place where it ends. Steps only ever go up, so that a file of another kind is left alone.
fn lines(text: &str, path: &Path) -> Result<Vec<(usize, Line)>, Failure> {
    let (mut lines, mut end) = (Vec::<(usize, Line)>::new(), 0);
    for (i, line) in text.split_inclusive('\n').enumerate() {
        end += line.len();
        let wrong = |e: &str| {
            Failure::data(format!("{}, line {}: this is no log of a training run: {e}", path.display(), i + 1))
        };
        let line: Line = serde_json::from_str(line).map_err(|e| wrong(&e.to_string()))?;
        if lines.last().is_some_and(|(_, last)| line.report.step <= last.report.step) {
            return Err(wrong("its steps do not go up"));
        }
        lines.push((end, line));
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn push(log: &mut TrainingLog, step: u64) {
        let report: StepReport = serde_json::from_str(&format!(
            "{{\"step\":{step},\"steps\":9,\"examples\":1,\"loss\":0.5,\"accuracy\":1,\"margin\":0,\"chosen_logprob\":0,\
             \"rejected_logprob\":0,\"log_ratio\":0,\"tokens\":7,\"grad_norm\":1,\"lr\":0.1,\"seconds\":0.1}}"
        ))
        .unwrap();
        log.push(&report, Joules { joules: 2.5, ..Joules::default() }).unwrap();
    }

    #[test]
    fn a_log_is_cut_to_the_step_that_a_run_goes_on_from() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let steps = || TrainingLog::read(&path).unwrap().iter().map(|line| line.report.step).collect::<Vec<_>>();
        let mut log = TrainingLog::open(&path, 0).unwrap();
        (1..=5).for_each(|step| push(&mut log, step));
        // Killed in the middle of a line.
        let whole = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{whole}{{\"step\":6,\"ste")).unwrap();
        assert_eq!(steps(), [1, 2, 3, 4, 5]);
        let mut log = TrainingLog::open(&path, 3).unwrap();
        (4..=6).for_each(|step| push(&mut log, step));
        assert_eq!(steps(), [1, 2, 3, 4, 5, 6]);
        assert_eq!(TrainingLog::read(&path).unwrap()[5].joules, Some(2.5));
        // A run that begins anew begins its log anew.
        TrainingLog::open(&path, 0).unwrap();
        assert_eq!(steps(), [0u64; 0]);
    }

    #[test]
    fn another_file_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        for other in ["dear diary\n", "{\"prompt\":\"a\"}\n"] {
            fs::write(&path, other).unwrap();
            assert!(TrainingLog::open(&path, 0).is_err() && TrainingLog::read(&path).is_err());
            assert_eq!(fs::read_to_string(&path).unwrap(), other);
        }
    }
}
