//! The matrices of a layer as files hold them: some architectures keep several projections in one.

use super::Projection::{self, AttnK, AttnOutput, AttnQ, AttnV, FfnDown, FfnGate, FfnUp};

/// The matrix `blk.<layer>.<name>.weight` of a file, and the projections whose rows it holds, in order.
#[derive(Debug)]
pub(super) struct Stored {
    pub name: &'static str,
    pub parts: &'static [Projection],
}

const APART: [Stored; 7] = [
    Stored { name: "attn_q", parts: &[AttnQ] },
    Stored { name: "attn_k", parts: &[AttnK] },
    Stored { name: "attn_v", parts: &[AttnV] },
    Stored { name: "attn_output", parts: &[AttnOutput] },
    Stored { name: "ffn_gate", parts: &[FfnGate] },
    Stored { name: "ffn_up", parts: &[FfnUp] },
    Stored { name: "ffn_down", parts: &[FfnDown] },
];

const FUSED: [Stored; 4] = [
    Stored { name: "attn_qkv", parts: &[AttnQ, AttnK, AttnV] },
    Stored { name: "attn_output", parts: &[AttnOutput] },
    Stored { name: "ffn_up", parts: &[FfnGate, FfnUp] },
    Stored { name: "ffn_down", parts: &[FfnDown] },
];

/// The matrices of every layer of this architecture, as llama.cpp's converter writes them.
pub(super) fn stored(architecture: &str) -> &'static [Stored] {
    match architecture {
        "phi3" => &FUSED,
        _ => &APART,
    }
}

/// Layer and matrix that the tensor name `blk.<layer>.<name>.weight` means in files of this architecture.
pub(super) fn find(architecture: &str, tensor: &str) -> Option<(usize, &'static Stored)> {
    let (layer, name) = tensor.strip_prefix("blk.")?.strip_suffix(".weight")?.split_once('.')?;
    let number: usize = layer.parse().ok()?;
    // `+1` and `01` parse too, but name no tensor.
    let stored = stored(architecture).iter().find(|stored| stored.name == name)?;
    (number.to_string() == layer).then_some((number, stored))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_projection_is_stored_once() {
        for architecture in ["llama", "phi3"] {
            let parts: Vec<Projection> = stored(architecture).iter().flat_map(|s| s.parts).copied().collect();
            assert_eq!(parts, Projection::ALL, "{architecture}");
        }
    }

    #[test]
    fn names_mean_what_they_say_exactly() {
        let (layer, stored) = find("llama", "blk.12.ffn_up.weight").unwrap();
        assert_eq!((layer, stored.parts), (12, [FfnUp].as_slice()));
        assert_eq!(find("phi3", "blk.0.ffn_up.weight").unwrap().1.parts, [FfnGate, FfnUp]);
        for name in
            ["blk.01.attn_q.weight", "blk.+1.attn_q.weight", "blk.1.attn_q", "attn_q.weight", "blk.1.attn_qkv.weight"]
        {
            assert!(find("llama", name).is_none(), "{name}");
        }
        assert!(find("phi3", "blk.0.attn_q.weight").is_none());
    }
}
