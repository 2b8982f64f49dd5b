//! Every block format against the numpy reference code of the PyPI package `gguf`, bit for bit.
//! `fixtures/make_quant_golden.py` wrote the numbers.
#![allow(clippy::unwrap_used, reason = "a failed test has to stop")]

use std::collections::HashSet;

use ruminate::quant::QuantType;

const GOLDEN: &[u8] = include_bytes!("fixtures/quant_golden.bin");

const QUANTIZED: [QuantType; 8] = {
    use QuantType::*;
    [F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0]
};

struct Record {
    quantize: bool,
    ty: QuantType,
    blocks: Vec<u8>,
    elements: Vec<f32>,
}

fn records() -> Vec<Record> {
    let mut rest = GOLDEN;
    let mut take = |n: usize| {
        let (taken, left) = rest.split_at_checked(n)?;
        rest = left;
        Some(taken)
    };
    let mut all = Vec::new();
    while let Some(direction) = take(1) {
        let mut number = || u32::from_le_bytes(take(4).unwrap().try_into().unwrap());
        let (ty, bytes, elements) = (number(), number() as usize, number() as usize);
        all.push(Record {
            quantize: direction == [1],
            ty: QuantType::from_ggml(ty).unwrap(),
            blocks: take(bytes).unwrap().to_vec(),
            elements: take(4 * elements).unwrap().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        });
    }
    all
}

#[test]
fn dequantized_elements_have_the_reference_bits() {
    let mut seen = HashSet::new();
    for Record { ty, blocks, elements, .. } in records().into_iter().filter(|r| !r.quantize) {
        let mut ours = vec![0.0; elements.len()];
        ty.dequantize(&blocks, &mut ours).unwrap();
        for (i, (ours, reference)) in ours.iter().zip(&elements).enumerate() {
            // NaN has many bit patterns, and which one an operation gives is up to the processor.
            let same = ours.to_bits() == reference.to_bits() || ours.is_nan() && reference.is_nan();
            assert!(same, "{} element {i}: {ours:e}, the reference has {reference:e}", ty.name());
        }
        assert!(elements.len() >= 256 && elements.iter().filter(|x| x.is_normal()).count() > elements.len() / 2);
        seen.insert(ty);
    }
    assert_eq!(seen, QuantType::ALL.into());
}

#[test]
fn quantized_blocks_have_the_reference_bytes() {
    let mut seen = HashSet::new();
    for Record { ty, blocks, elements, .. } in records().into_iter().filter(|r| r.quantize) {
        let ours = ty.quantize(&elements).unwrap();
        assert_eq!(ours.len(), blocks.len());
        for (i, (ours, reference)) in ours.chunks(ty.block_bytes()).zip(blocks.chunks(ty.block_bytes())).enumerate() {
            assert_eq!(ours, reference, "{} block {i}", ty.name());
        }
        seen.insert(ty);
    }
    assert_eq!(seen, QUANTIZED.into());
}
