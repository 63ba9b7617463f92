//! Every stored type is read as the Python package `gguf` reads it.

use caramba::model::tensor::{DATA_TYPES, Tensor};
use half::f16;
use safetensors::SafeTensors;
use std::sync::Arc;

#[test]
fn every_type_is_dequantised_as_gguf_does() {
    let fixture: &'static [u8] = include_bytes!("fixtures/quants.safetensors");
    let fixture = SafeTensors::deserialize(fixture).unwrap();
    for entry in DATA_TYPES {
        let stored = fixture.tensor(entry.name).unwrap();
        let expected = fixture.tensor(&format!("{}.f32", entry.name)).unwrap();
        let expected_values: Vec<f32> = expected.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        // An odd offset: nothing may rely on alignment.
        for offset in [0, 1] {
            let bytes: Vec<u8> = std::iter::repeat_n(0, offset).chain(stored.data().iter().copied()).collect();
            let tensor = Tensor::new(entry.data_type, expected.shape().to_vec(), Arc::new(bytes), offset).unwrap();
            assert_eq!(tensor.to_f32(), expected_values, "{} at offset {offset}", entry.name);
            let mut halves = vec![f16::ZERO; tensor.elements()];
            tensor.read_rows_f16(0..tensor.rows(), &mut halves);
            assert!(halves.iter().zip(&expected_values).all(|(half, value)| *half == f16::from_f32(*value)), "{} as f16", entry.name);
            assert_eq!(tensor.row_bytes(1), &stored.data()[tensor.stored_row_bytes()..], "{} packed", entry.name);
        }
    }
}
