use super::*;
use crate::error::ErrorKind;
use crate::kernels::get_row;
use crate::kernels::testing::{Noise, bits};

#[test]
fn rows_come_back_as_they_were() {
    let team = Team::new(2).unwrap();
    for ty in QuantType::ALL {
        let k = ty.block_len().max(32) * 3 + if ty.block_len() == 1 { 5 } else { 0 };
        for rows in [1, 15, 16, 33] {
            let mut noise = Noise::new(rows as u64);
            let mut data: Vec<u8> = (0..rows * ty.row_bytes(k).unwrap()).map(|_| (noise.next() >> 56) as u8).collect();
            if ty.block_len() == 1 {
                // Numbers that equal themselves.
                data.iter_mut().for_each(|byte| *byte &= 0x3f);
            }
            let w = MatrixView::new(ty, rows, k, &data).unwrap();
            let packed = PackedMatrix::new(&team, &w).unwrap();
            let (mut want, mut got) = (vec![0.0; k], vec![0.0; k]);
            for row in 0..rows {
                get_row(&w, row, &mut want).unwrap();
                packed.get_row(row, &mut got).unwrap();
                let same = |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
                assert!(want.iter().zip(&got).all(same), "{ty:?} row {row}: {:?} {:?}", bits(&want), bits(&got));
            }
            assert!(packed.get_row(rows, &mut got).is_err() && packed.get_row(0, &mut got[1..]).is_err());
        }
    }
}

#[test]
fn packing_takes_about_as_much_memory_as_the_file() {
    for ty in QuantType::ALL {
        let k = 2048;
        let layout = GroupLayout::new(ty, k).unwrap();
        let file = GROUP_ROWS * ty.row_bytes(k).unwrap();
        assert!(layout.group <= file + file / 20, "{ty:?}: {} for {file}", layout.group);
    }
    assert!(GroupLayout::new(Q8_0, usize::MAX / 32 * 32).is_none());
}

#[test]
fn packing_ends_with_the_error_of_whoever_is_told() {
    let team = Team::new(2).unwrap();
    // Three steps of work.
    let (rows, k) = (2000, 4096);
    let data = vec![0; rows * Q8_0.row_bytes(k).unwrap()];
    let w = MatrixView::new(Q8_0, rows, k, &data).unwrap();
    let mut told = 0;
    let stopped = PackedMatrix::new_in_steps(&team, &w, &mut |_| {
        told += 1;
        Err(Error::new(ErrorKind::Cancelled, "enough"))
    });
    assert_eq!(stopped.map(|_| ()).unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!(told, 1, "nobody is asked again");
}

#[test]
fn bytes_that_begin_within_a_cache_line_are_refused() {
    #[repr(align(64))]
    struct Lines([u8; 2 * LINE]);
    static LINES: Lines = Lines([0; 2 * LINE]);
    // One group of two columns is a line.
    let from = |start: usize| PackedMatrix::from_bytes(Bytes::from_static(&LINES.0[start..]), 0, F16, 16, 2);
    assert_eq!(from(0).unwrap().data().len(), LINE);
    for start in [1, 2, 32] {
        assert_eq!(from(start).map(|_| ()).unwrap_err().kind(), ErrorKind::InvalidArgument, "{start}");
    }
    assert!(PackedMatrix::from_bytes(Bytes::from_static(&LINES.0[1..]).aligned().unwrap(), 0, F16, 16, 2).is_ok());
}
