//! What the searches of one setting come to.

use std::collections::HashMap;

use serde::Serialize;

use super::ballot::{By, is_right};
use super::record::{Key, Record, Sample};
use super::statistics::{mcnemar, pass_at_k, wilson};
use crate::search_args::Setting;

/// The algorithms whose texts are drawn from the prompt alone, none because of another.
const INDEPENDENT: [&str; 2] = ["best-of-n", "self-consistency"];

/// One setting's accuracy and mean cost per question.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    pub config: String,
    pub algo: &'static str,
    pub budget_tokens: Option<u64>,
    pub budget_ms: Option<u64>,
    pub n: usize,
    pub correct: usize,
    pub accuracy: f64,
    /// Wilson's interval, with every search taken as independent of the others.
    pub ci95: (f64, f64),
    /// Beside the first setting; `None` for the first itself.
    pub versus_first: Option<Versus>,
    /// The share of questions to which any of the search's answers was right: what a perfect choice among them could reach.
    pub oracle: f64,
    pub mean_prompt_tokens: f64,
    pub mean_policy_tokens: f64,
    pub mean_reward_tokens: f64,
    pub mean_wall_ms: f64,
    pub mean_forward_passes: f64,
    pub kv_peak_bytes: u64,
    pub mean_joules: Option<f64>,
    pub joules_source: Option<String>,
    /// By the number of samples, where every search drew all of its samples independently.
    pub subsets: Vec<Subset>,
}

/// The questions that both settings were put, compared one by one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Versus {
    pub pairs: usize,
    /// Right here and wrong with the first setting.
    pub gained: usize,
    /// Wrong here and right with the first setting.
    pub lost: usize,
    /// Accuracy here less that of the first setting.
    pub difference: f64,
    /// McNemar's exact two-sided p.
    pub p: f64,
}

/// What fewer samples would have come to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Subset {
    pub k: usize,
    /// Any of k samples right; the unbiased estimate.
    pub pass: f64,
    /// The most frequent answer among the first k right.
    pub majority: f64,
    /// The answer with the largest sum of scores right, and the one with the best score; where a judge scored all texts.
    pub weighted: Option<f64>,
    pub best: Option<f64>,
}

/// One summary per setting, in their order. `draws_all`: no search ended early because its samples agreed.
pub fn summarise(settings: &[Setting], draws_all: bool, records: &[Record]) -> Vec<Summary> {
    let of = |setting: &Setting| -> Vec<&Record> {
        let name = setting.name();
        records.iter().filter(|record| record.key.config == name).collect()
    };
    let first = settings.first().map(of).unwrap_or_default();
    let one = |(at, setting): (usize, &Setting)| {
        let records = of(setting);
        let mut summary = summary(setting, &records);
        summary.versus_first = (at > 0).then(|| versus(&first, &records));
        if draws_all && INDEPENDENT.contains(&setting.algo.name()) {
            summary.subsets = subsets(setting.n, &records);
        }
        summary
    };
    settings.iter().enumerate().map(one).collect()
}

fn summary(setting: &Setting, records: &[&Record]) -> Summary {
    let n = records.len();
    let correct = records.iter().filter(|record| record.correct).count();
    let mean = |value: fn(&Record) -> f64| records.iter().map(|record| value(record)).sum::<f64>() / n.max(1) as f64;
    let joules: Option<f64> = records.iter().filter(|r| r.error.is_none()).map(|r| r.cost.joules).sum();
    let sources = || records.iter().filter_map(|record| record.cost.joules_source.as_deref());
    let source = sources().find(|&source| source != "measured").or_else(|| sources().next());
    Summary {
        config: setting.name(),
        algo: setting.algo.name(),
        budget_tokens: setting.budget_tokens,
        budget_ms: setting.budget_ms,
        n,
        correct,
        accuracy: correct as f64 / n.max(1) as f64,
        ci95: wilson(correct, n),
        versus_first: None,
        oracle: records.iter().filter(|record| record.has_right()).count() as f64 / n.max(1) as f64,
        mean_prompt_tokens: mean(|r| r.cost.prompt_tokens as f64),
        mean_policy_tokens: mean(|r| r.cost.policy_tokens as f64),
        mean_reward_tokens: mean(|r| r.cost.reward_tokens as f64),
        mean_wall_ms: mean(|r| r.cost.wall_ms),
        mean_forward_passes: mean(|r| r.cost.forward_passes as f64),
        kv_peak_bytes: records.iter().map(|record| record.cost.kv_peak_bytes).max().unwrap_or(0),
        mean_joules: joules.filter(|_| n > 0).map(|sum| sum / n as f64),
        joules_source: source.map(str::to_owned),
        subsets: Vec::new(),
    }
}

fn versus(first: &[&Record], records: &[&Record]) -> Versus {
    let place = |key: &Key| (key.row, key.repeat);
    let first: HashMap<_, bool> = first.iter().map(|record| (place(&record.key), record.correct)).collect();
    let pairs: Vec<(bool, bool)> =
        records.iter().filter_map(|record| Some((*first.get(&place(&record.key))?, record.correct))).collect();
    let count = |pair| pairs.iter().filter(|&&p| p == pair).count();
    let (gained, lost) = (count((false, true)), count((true, false)));
    let difference = (gained as f64 - lost as f64) / pairs.len().max(1) as f64;
    Versus { pairs: pairs.len(), gained, lost, difference, p: mcnemar(lost, gained) }
}

/// For 1, 2, 4, … and `n` samples; nothing unless every search drew `n`, because which ones drew fewer is no accident.
fn subsets(n: usize, records: &[&Record]) -> Vec<Subset> {
    let put: Vec<&[Sample]> = records.iter().filter(|r| r.error.is_none()).map(|r| r.samples.as_slice()).collect();
    if n < 2 || put.is_empty() || put.iter().any(|samples| samples.len() != n) {
        return Vec::new();
    }
    let mut sizes: Vec<usize> =
        std::iter::successors(Some(1usize), |k| k.checked_mul(2)).take_while(|&k| k < n).collect();
    sizes.push(n);
    let share = |sum: f64| sum / records.len() as f64;
    let subset = |k: usize| {
        let right = |samples: &&[Sample]| samples.iter().filter(|sample| sample.correct).count();
        let pass: Option<f64> = put.iter().map(|samples| pass_at_k(n, right(samples), k)).sum();
        let voted = |by: By| {
            share(put.iter().filter(|samples| is_right(samples.get(..k).unwrap_or_default(), by)).count() as f64)
        };
        let scored = put.iter().all(|samples| samples.iter().all(|sample| sample.score.is_some()));
        Some(Subset {
            k,
            pass: share(pass?),
            majority: voted(By::Votes),
            weighted: scored.then(|| voted(By::Sum)),
            best: scored.then(|| voted(By::Best)),
        })
    };
    sizes.into_iter().filter_map(subset).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ruminate::search::Algo;

    use crate::eval::record::{Candidate, Cost};

    fn setting(algo: Algo, n: usize) -> Setting {
        Setting { algo, method: None, n, budget_tokens: None, budget_ms: None }
    }

    /// Samples written as letters; `r` and `R` are right.
    fn record(setting: &Setting, row: usize, correct: bool, samples: &str) -> Record {
        let key = Key { row, repeat: 0, config: setting.name() };
        let sample = |c: char| Sample {
            answer: (c != '-').then(|| c.to_lowercase().to_string()),
            correct: c.eq_ignore_ascii_case(&'r'),
            complete: true,
            tokens: 10,
            confidence: 0.5,
            score: None,
        };
        let cost = Cost { policy_tokens: 10 * row as u64, joules: Some(2.0), ..Cost::default() };
        let samples = samples.chars().map(sample).collect();
        Record { correct, error: None, samples, cost, ..Record::failed(key, String::new()) }
    }

    #[test]
    fn settings_are_counted_and_compared_row_by_row() {
        let (greedy, best) = (setting(Algo::Greedy, 1), setting(Algo::BestOfN, 2));
        let mut records = Vec::new();
        // Greedy is right in rows 0 to 3 of ten; the other in rows 2 to 9, and was not put row 0.
        for row in 0..10 {
            records.push(record(&greedy, row, row < 4, ""));
            if row > 0 {
                records.push(record(&best, row, row > 1, ""));
            }
        }
        let summaries = summarise(&[greedy, best], true, &records);
        let [first, second] = &summaries[..] else { panic!() };
        assert_eq!((first.n, first.correct, first.accuracy, &first.versus_first), (10, 4, 0.4, &None));
        assert_eq!((first.mean_policy_tokens, first.mean_joules), (45.0, Some(2.0)));
        assert_eq!((second.n, second.correct), (9, 8));
        let versus = second.versus_first.as_ref().unwrap();
        assert_eq!((versus.pairs, versus.gained, versus.lost), (9, 6, 1));
        // 2 * (C(7, 0) + C(7, 1)) / 2^7.
        assert!((versus.p - 0.125).abs() < 1e-12 && (versus.difference - 5.0 / 9.0).abs() < 1e-12);
        assert!(second.subsets.is_empty(), "no samples were kept");
    }

    #[test]
    fn fewer_samples_are_estimated_where_all_were_drawn() {
        let best = setting(Algo::BestOfN, 4);
        let records =
            [record(&best, 0, true, "rwrx"), record(&best, 1, false, "w-wr"), record(&best, 2, false, "----")];
        let subsets = |records: &[Record], draws_all| summarise(&[best], draws_all, records).remove(0).subsets;
        let got = subsets(&records, true);
        // Right samples: 2, 1 and 0 of 4. pass@1 = (1/2 + 1/4 + 0) / 3; pass@2 = (5/6 + 1/2 + 0) / 3.
        let expected = [(1, 0.25, 1.0 / 3.0), (2, 4.0 / 9.0, 1.0 / 3.0), (4, 2.0 / 3.0, 1.0 / 3.0)];
        assert_eq!(got.len(), 3);
        for (subset, (k, pass, majority)) in got.iter().zip(expected) {
            assert_eq!(subset.k, k);
            assert!((subset.pass - pass).abs() < 1e-12 && (subset.majority - majority).abs() < 1e-12, "{subset:?}");
        }
        assert!(subsets(&records, false).is_empty());
        let short = [records[0].clone(), record(&best, 1, true, "rr")];
        assert!(subsets(&short, true).is_empty(), "a search that drew fewer");
    }

    #[test]
    fn the_oracle_sees_candidates_and_samples() {
        let best = setting(Algo::BestOfN, 2);
        let mut voted = record(&best, 0, false, "ww");
        voted.candidates = vec![Candidate { answer: "r".to_owned(), correct: true, votes: 1, score: None }];
        let records = [voted, record(&best, 1, false, "wr"), record(&best, 2, false, "ww"), record(&best, 3, true, "")];
        assert_eq!(summarise(&[best], true, &records)[0].oracle, 0.75);
        let none = summarise(&[best], true, &[]).remove(0);
        assert_eq!((none.n, none.accuracy, none.ci95, none.mean_joules), (0, 0.0, (0.0, 1.0), None));
    }
}
