//! Every stored type is read as the Python package `gguf` reads it, and means the same when it stays packed on the device.

mod common;

use caramba::gpu::{DeviceChoice, Gpu};
use caramba::model::tensor::{DATA_TYPES, DataType, Tensor};
use caramba::model::{Architecture, Attention, Layer, Model, Rope, RopeScaling};
use caramba::runtime::{CacheKind, WeightKind};
use common::fixtures::relative_error;
use common::lab::Random;
use half::f16;
use safetensors::SafeTensors;
use std::collections::BTreeMap;
use std::path::Path;
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

/// The half floats of a block, where they are and what they are relative to each other: scales, minima.
fn halves(data_type: DataType) -> &'static [(usize, f32)] {
    match data_type {
        DataType::Q4_1 => &[(0, 1.0), (2, -8.0)],
        DataType::Q5_1 => &[(0, 1.0), (2, -16.0)],
        DataType::Q2K => &[(80, 1.0), (82, 1.0)],
        DataType::Q4K | DataType::Q5K => &[(0, 1.0), (2, 1.0)],
        DataType::Q3K => &[(108, 1.0)],
        DataType::Q6K => &[(208, 1.0)],
        _ => &[(0, 1.0)],
    }
}

/// A random matrix of a block type: any bytes are codes. Its elements have a root mean square of about 1 / sqrt(columns).
fn random_blocks(random: &mut Random, data_type: DataType, shape: [usize; 2]) -> Tensor {
    let [rows, columns] = shape;
    let mut bytes: Vec<u8> = (0..rows * data_type.row_bytes(columns)).map(|_| random.word() as u8).collect();
    let mut scaled = |scale: f32| {
        for block in bytes.chunks_mut(data_type.block_bytes()) {
            for &(at, share) in halves(data_type) {
                block[at..at + 2].copy_from_slice(&f16::from_f32(scale * share).to_le_bytes());
            }
        }
        Tensor::new(data_type, shape.to_vec(), Arc::new(bytes.clone()), 0).unwrap()
    };
    let values = scaled(1.0).to_f32();
    let mean_square = values.iter().map(|value| value * value).sum::<f32>() / values.len() as f32;
    scaled((mean_square * columns as f32).sqrt().recip())
}

/// A model of two layers that has a matrix of every block type.
fn model_of_all_types() -> Model {
    let rope = Rope::new(10_000.0, RopeScaling::None);
    let layer = Layer::llama(Attention::standard(4, 2, 64, Some(rope)), 512);
    let architecture = Architecture {
        family: "llama".into(),
        d_model: 256,
        vocab: 50,
        context: 64,
        norm_eps: 1e-5,
        norm_offset: 0.0,
        embedding_scale: 1.0,
        logit_cap: None,
        tied_embeddings: false,
        layers: vec![layer; 2],
        bos: None,
        eos: Vec::new(),
    };
    let types = |name: &str| -> [DataType; 2] {
        match name {
            "q_proj" => [DataType::Q4K, DataType::Q5_0],
            "k_proj" => [DataType::Q5K, DataType::Q4_0],
            "v_proj" => [DataType::Q6K, DataType::Q4_1],
            "o_proj" => [DataType::Q2K, DataType::Q5_1],
            "gate_proj" | "up_proj" => [DataType::Q3K, DataType::Q5K],
            "down_proj" => [DataType::Q8_0, DataType::Q6K],
            "embed_tokens" => [DataType::Q6K; 2],
            _ => [DataType::Q4K; 2],
        }
    };
    let mut random = Random(1);
    let tensors: BTreeMap<String, Tensor> = architecture
        .tensors()
        .into_iter()
        .map(|(name, shape)| {
            let part = name.trim_end_matches(".weight").rsplit('.').next().unwrap();
            let tensor = match shape[..] {
                [rows, columns] => random_blocks(&mut random, types(part)[usize::from(name.contains("layers.1."))], [rows, columns]),
                _ => Tensor::from_f32(shape.clone(), (0..shape[0]).map(|_| 1.0 + 0.1 * random.float()).collect()).unwrap(),
            };
            (name, tensor)
        })
        .collect();
    let missing = DATA_TYPES.iter().find(|entry| entry.block > 1 && tensors.values().all(|tensor| tensor.data_type != entry.data_type));
    assert!(missing.is_none(), "no matrix of {}", missing.unwrap().name);
    Model::new(Path::new("all-types"), Vec::new(), architecture, tensors, Box::new(|| Ok(None))).unwrap()
}

#[test]
fn weights_that_stay_packed_give_the_same_logits() {
    let gpu = Gpu::open(&DeviceChoice::default()).unwrap();
    let model = Arc::new(model_of_all_types());
    let tokens: Vec<u32> = (0..11).map(|i| i * 7 % 50).collect();
    let logits = |weights: WeightKind| {
        let network = common::runtime::load(&gpu, &model, weights);
        let mut session = common::runtime::session(&network, CacheKind::None, 1, None);
        (session.all_logits(std::slice::from_ref(&tokens)).unwrap(), network.weight_bytes())
    };
    let (halves, half_bytes) = logits(WeightKind::F16);
    let (packed, packed_bytes) = logits(WeightKind::Stored);
    // Half floats round every weight, packed blocks their scales, both by 1 in 2048 at most.
    let error = relative_error(&packed, &halves);
    assert!(error < 2.5e-3, "off by {error:.1e}");
    assert!(packed_bytes < half_bytes / 2, "{packed_bytes} bytes packed, {half_bytes} as half floats");
}
