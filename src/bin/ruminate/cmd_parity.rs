//! `parity`: one model in two engines, layer by layer.

use std::path::PathBuf;

use ruminate::engine::{Batch, Engine, Rows, Tap, Want};
use ruminate::learn::tap_name;
use ruminate::observe::Interrupt;
use ruminate::text::TokenId;
use serde_json::{Value, json};

use crate::backend::BackendArgs;
use crate::exit::{Code, Failure};
use crate::model::ModelArgs;
use crate::output::Output;
use crate::{input, signal};

/// Tokens of one pass: bounds the rows that are held at once.
const PASS_TOKENS: usize = 16;
const TEXT: &str = "Tom has 3 boxes with 4 pens each. He gives away 5 pens. How many pens are left?";

/// Compare what two engines compute: hidden states after every layer, and logits.
///
/// Two engines that are right differ by rounding, and by how they keep keys, values and activations; what is wrong shows as the layer where
/// differences jump. Ends with exit code 1 when they exceed --tolerance.
#[derive(clap::Args)]
pub struct Args {
    /// The text that both read.
    #[arg(long, short, env = "RUMINATE_PROMPT", value_name = "TEXT", default_value = TEXT, conflicts_with = "file")]
    prompt: String,
    /// A file with the text; `-` reads standard input.
    #[arg(long, short, env = "RUMINATE_FILE")]
    file: Option<PathBuf>,
    /// What to compare --backend with: `native`, `llama`, or `llama:DEVICE+…:LAYERS` as traces record it.
    #[arg(long, env = "RUMINATE_AGAINST", value_name = "NAME")]
    against: String,
    /// How far hidden states may differ, as a share of the largest of their row, and logits, as a share of the largest distance between two.
    #[arg(long, env = "RUMINATE_TOLERANCE", value_name = "X", default_value_t = 0.02)]
    tolerance: f64,
    #[command(flatten)]
    model: ModelArgs,
}

pub fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    let against = BackendArgs::recorded(Some(&args.against)).map_err(|e| Failure::usage(e.to_string()))?;
    let text = args.file.as_deref().map_or_else(|| Ok(args.prompt.clone()), input::file)?;
    let mut model = args.model.load()?;
    let mut tokens = model.encode_raw(&text)?;
    tokens.truncate(model.engine.info().n_ctx);
    if tokens.is_empty() {
        return Err(Failure::usage("the text has no tokens"));
    }
    let gguf = args.model.source.open()?;
    let mut other = against.open(&args.model, &gguf, &model.options)?.engine;
    let taps: Vec<Tap> = (0..model.engine.info().n_layer).map(Tap::Layer).chain([Tap::Final]).collect();
    let mut parity = Parity::new(taps.len());
    let interrupt = Interrupt { cancel: signal::token(), deadline: None };
    let bar = output.count_progress("tokens", tokens.len() as u64);
    let (ours, theirs) = (model.engine.root()?, other.root()?);
    let (mut a, mut b) = (Rows::new(), Rows::new());
    for part in tokens.chunks(PASS_TOKENS) {
        for (engine, branch, rows) in [(&mut model.engine, &ours, &mut a), (&mut other, &theirs, &mut b)] {
            let mut batch = Batch::new(&interrupt).with_taps(&taps);
            part.iter().for_each(|&token| batch.push(branch, token, Want::Both));
            engine.forward(&batch, rows)?;
        }
        (0..part.len()).try_for_each(|row| parity.add(&a, &b, row))?;
        bar.inc(part.len() as u64);
    }
    bar.finish_and_clear();
    parity.show(args, &taps, &tokens, &model.backend, output)
}

/// Differences so far.
struct Parity {
    layers: Vec<Layer>,
    logits: Logits,
}

#[derive(Clone)]
struct Layer {
    /// The largest difference, as a share of the largest state of its row.
    difference: f64,
    /// The least cosine of two rows.
    cosine: f64,
}

#[derive(Default)]
struct Logits {
    rows: usize,
    /// The largest difference, as a share of the distance between the largest and the least logit.
    difference: f64,
    /// Kullback and Leibler's divergence, in nats, summed over the rows.
    divergence: f64,
    /// Rows where both would choose the same token.
    agree: usize,
}

impl Parity {
    fn new(taps: usize) -> Self {
        Self { layers: vec![Layer { difference: 0.0, cosine: 1.0 }; taps], logits: Logits::default() }
    }

    fn add(&mut self, a: &Rows, b: &Rows, row: usize) -> Result<(), Failure> {
        let lacks = || Failure::new(Code::Failure, "an engine gave no hidden states or no logits");
        let states = a.hidden(row).zip(b.hidden(row)).ok_or_else(lacks)?;
        let logits = a.logits(row).zip(b.logits(row)).ok_or_else(lacks)?;
        if states.0.len() != states.1.len() || logits.0.len() != logits.1.len() {
            return Err(Failure::new(Code::Failure, "the engines' rows are of different lengths"));
        }
        let width = (states.0.len() / self.layers.len()).max(1);
        let rows = states.0.chunks_exact(width).zip(states.1.chunks_exact(width));
        self.layers.iter_mut().zip(rows).for_each(|(layer, (a, b))| layer.add(a, b));
        self.logits.add(logits.0, logits.1);
        Ok(())
    }

    fn show(
        &self,
        args: &Args,
        taps: &[Tap],
        tokens: &[TokenId],
        backend: &str,
        output: &Output,
    ) -> Result<(), Failure> {
        let beyond = |difference: f64| difference > args.tolerance || difference.is_nan();
        let first =
            self.layers.iter().zip(taps).find(|(layer, _)| beyond(layer.difference)).map(|(_, tap)| tap_name(*tap));
        let (n, logits) = (self.logits.rows.max(1) as f64, &self.logits);
        if output.json {
            let layer = |(layer, tap): (&Layer, &Tap)| -> Value {
                json!({ "layer": tap_name(*tap), "difference": layer.difference, "cosine": layer.cosine })
            };
            output.document(&json!({
                "backend": backend,
                "against": args.against,
                "tokens": tokens.len(),
                "tolerance": args.tolerance,
                "layers": self.layers.iter().zip(taps).map(layer).collect::<Vec<_>>(),
                "first_layer_beyond": first,
                "logits": {
                    "difference": logits.difference,
                    "divergence": logits.divergence / n,
                    "same_choice": logits.agree as f64 / n,
                },
            }))?;
        } else {
            output.line(&format!("{backend} against {}, {} tokens", args.against, tokens.len()))?;
            output.line("layer  difference    cosine")?;
            for (layer, tap) in self.layers.iter().zip(taps) {
                output.line(&format!("{:<5}  {:>10.2e}  {:.6}", tap_name(*tap), layer.difference, layer.cosine))?;
            }
            output.line(&format!(
                "logits differ by {:.2e} of their range at most, by {:.2e} nats in the mean; the same choice at {} of {} tokens",
                logits.difference,
                logits.divergence / n,
                logits.agree,
                logits.rows
            ))?;
        }
        match first {
            Some(layer) => Err(Failure::new(
                Code::Failure,
                format!("the engines differ by more than {} from layer {layer} on", args.tolerance),
            )),
            None if beyond(logits.difference) => {
                Err(Failure::new(Code::Failure, format!("the logits differ by more than {}", args.tolerance)))
            }
            None => Ok(()),
        }
    }
}

impl Layer {
    fn add(&mut self, a: &[f32], b: &[f32]) {
        let (mut aa, mut bb, mut ab) = (0.0, 0.0, 0.0);
        let (mut largest, mut difference) = (f64::MIN_POSITIVE, 0.0f64);
        for (&a, &b) in a.iter().zip(b) {
            let (a, b) = (f64::from(a), f64::from(b));
            (aa, bb, ab) = (aa + a * a, bb + b * b, ab + a * b);
            largest = largest.max(a.abs());
            difference = greater(difference, (a - b).abs());
        }
        self.difference = greater(self.difference, difference / largest);
        let norms = (aa * bb).sqrt();
        self.cosine = self.cosine.min(if norms > 0.0 { ab / norms } else { 1.0 });
    }
}

impl Logits {
    fn add(&mut self, a: &[f32], b: &[f32]) {
        let top = |x: &[f32]| (0..x.len()).max_by(|&i, &j| x[i].total_cmp(&x[j]));
        let bounds = |x: &[f32]| x.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), &x| (l.min(x), h.max(x)));
        let (least, most) = bounds(a);
        let range = f64::from(most - least).max(f64::MIN_POSITIVE);
        let largest = a.iter().zip(b).map(|(a, b)| f64::from((a - b).abs())).fold(0.0, greater);
        self.difference = greater(self.difference, largest / range);
        let total =
            |x: &[f32], most: f32| x.iter().map(|x| f64::from(x - most).exp()).sum::<f64>().ln() + f64::from(most);
        let (total_a, total_b) = (total(a, most), total(b, bounds(b).1));
        let share = |(a, b): (&f32, &f32)| {
            let (a, b) = (f64::from(*a) - total_a, f64::from(*b) - total_b);
            a.exp() * (a - b)
        };
        self.divergence += a.iter().zip(b).map(share).sum::<f64>();
        self.agree += usize::from(top(a) == top(b));
        self.rows += 1;
    }
}

/// The greater one; what is no number is greater than all.
fn greater(a: f64, b: f64) -> f64 {
    if a.is_nan() || a > b { a } else { b }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_rows_do_not_differ_and_a_moved_one_does() {
        let mut layer = Layer { difference: 0.0, cosine: 1.0 };
        layer.add(&[1.0, -2.0], &[1.0, -2.0]);
        assert!(layer.difference == 0.0 && (layer.cosine - 1.0).abs() < 1e-12);
        layer.add(&[0.0, 4.0], &[3.0, 4.0]);
        assert!((layer.difference - 0.75).abs() < 1e-12 && (layer.cosine - 0.8).abs() < 1e-12);
        layer.add(&[1.0, 1.0], &[f32::NAN, 1.0]);
        layer.add(&[1.0, 1.0], &[1.0, 1.0]);
        assert!(layer.difference.is_nan(), "what is no number stays seen");
    }

    #[test]
    fn divergence_is_that_of_the_distributions() {
        let mut logits = Logits::default();
        // Shares 1/4 and 3/4 against 1/2 and 1/2, whatever is added to all logits.
        logits.add(&[7.0, 7.0 + 3.0f32.ln()], &[-900.0, -900.0]);
        let expected = 0.25 * (0.5f64).ln() + 0.75 * (1.5f64).ln();
        assert!((logits.divergence - expected).abs() < 1e-6, "{}", logits.divergence);
        assert_eq!((logits.rows, logits.agree), (1, 1));
        logits.add(&[1.0, 0.0], &[0.0, 1.0]);
        assert_eq!((logits.rows, logits.agree, logits.difference > 0.9), (2, 1, true));
    }
}
