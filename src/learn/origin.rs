//! [`Origin`]: what all rows of a file have in common.

use std::io::Read;

use crate::engine::Tap;
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::storage::wire::{get_raw, get_text, get_u64, get_within, put_raw, put_text, put_u64};

const MAGIC: &[u8; 8] = b"RUMROWS1";
const FINAL: u64 = u64::MAX;
/// Caps of what a file may claim.
const MOST_TAPS: u64 = 64;
const MOST_TEXT: u64 = 1 << 16;

/// What all rows of a file have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// `general.architecture` of the model.
    pub architecture: String,
    /// [`ModelInfo::fingerprint`](crate::engine::ModelInfo::fingerprint) of the model.
    pub fingerprint: String,
    /// Names the question set, such as by a digest; with a question's number it names the question.
    pub data: String,
    /// How the samples were drawn, as whoever drew them writes it down.
    pub settings: String,
    /// Width of a hidden state.
    pub n_embd: usize,
    /// The model's layers.
    pub n_layer: usize,
    /// Where hidden states were read.
    pub taps: Vec<Tap>,
}

impl Origin {
    /// Numbers in the hidden states of one row of a pass.
    pub fn width(&self) -> usize {
        self.taps.len().saturating_mul(self.n_embd)
    }

    /// Refuses rows that cannot stand beside each other: an error of kind
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) that names the difference.
    pub fn check_same_model(&self, other: &Self) -> Result<()> {
        let (mine, theirs) = (&self.fingerprint, &other.fingerprint);
        if (mine, self.n_embd, self.n_layer) != (theirs, other.n_embd, other.n_layer) {
            return Err(Error::invalid(format!("rows of another model: fingerprint {theirs}, not {mine}")));
        }
        if self.taps != other.taps {
            let (mine, theirs) = (&self.taps, &other.taps);
            return Err(Error::invalid(format!("rows of other hidden states: {theirs:?}, not {mine:?}")));
        }
        Ok(())
    }

    pub(super) fn check_same(&self, other: &Self) -> Result<()> {
        self.check_same_model(other)?;
        let (mine, theirs) = ((&self.data, &self.settings), (&other.data, &other.settings));
        if mine != theirs {
            return Err(Error::invalid(format!("rows drawn otherwise: {theirs:?}, not {mine:?}")));
        }
        Ok(())
    }

    pub(super) fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        put_raw(&mut out, MAGIC)?;
        for text in [&self.architecture, &self.fingerprint, &self.data, &self.settings] {
            put_text(&mut out, text)?;
        }
        for number in [self.n_embd, self.n_layer, self.taps.len()] {
            put_u64(&mut out, number as u64)?;
        }
        for tap in &self.taps {
            put_u64(&mut out, if let Tap::Layer(i) = tap { *i as u64 } else { FINAL })?;
        }
        Self::get(&mut out.as_slice())?;
        Ok(out)
    }

    pub(super) fn get(input: &mut dyn Read) -> Result<Self> {
        let mut magic = [0; 8];
        get_raw(input, &mut magic)?;
        if &magic != MAGIC {
            return Err(Error::format("this is no file of labelled steps"));
        }
        let limits = Limits::default();
        let mut text = |what| get_text(input, MOST_TEXT, what);
        let [architecture, fingerprint] = [text("the architecture")?, text("the fingerprint")?];
        let [data, settings] = [text("the name of the data")?, text("the settings")?];
        let n_embd = get_within(input, u64::from(limits.width), "the width")? as usize;
        let n_layer = get_within(input, u64::from(limits.layers), "the layers")? as usize;
        let n_taps = get_within(input, MOST_TAPS, "the taps")?;
        let mut taps = Vec::new();
        for _ in 0..n_taps {
            taps.push(match get_u64(input)? {
                FINAL => Tap::Final,
                layer if layer < n_layer as u64 => Tap::Layer(layer as usize),
                layer => return Err(Error::format(format!("a tap of layer {layer} of {n_layer}"))),
            });
        }
        if n_embd == 0 || taps.is_empty() {
            return Err(Error::format("rows without hidden states"));
        }
        Ok(Self { architecture, fingerprint, data, settings, n_embd, n_layer, taps })
    }
}
