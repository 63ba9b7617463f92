//! Writes what `torch.save` does: an archive of a pickle (protocol 2) that names tensors, and their bytes.

use caramba::model::Model;
use std::io::{Cursor, Write};
use std::path::Path;

/// A tensor of a checkpoint: its name, shape and elements.
pub type Named = (String, Vec<usize>, Vec<f32>);

/// The tensors of a model as the wider platform stores them: modules in lists, gate and up in one matrix, the head by itself.
pub fn platform(model: &Model) -> Vec<Named> {
    let tensor = |name: &str| model.tensors.get(name).map(|tensor| (tensor.shape.clone(), tensor.to_f32()));
    let get = |name: &str| tensor(name).unwrap_or_else(|| panic!("{name}"));
    let named = |name: String, (shape, values): (Vec<usize>, Vec<f32>)| (name, shape, values);
    let mut all = vec![named("embedder.token_embedding.weight".into(), get("model.embed_tokens.weight"))];
    for index in 0..model.architecture.layers.len() {
        let layer = format!("model.layers.{index}.");
        let attention = format!("topology.layers.0.layers.{}.layers", 2 * index);
        let mlp = format!("topology.layers.0.layers.{}.layers", 2 * index + 1);
        all.push(named(format!("{attention}.0.weight"), get(&format!("{layer}input_layernorm.weight"))));
        let own = format!("{layer}self_attn.");
        for name in model.tensors.keys().filter_map(|name| name.strip_prefix(&own)) {
            all.push(named(format!("{attention}.1.{}", name.replace("o_proj", "out_proj")), get(&format!("{own}{name}"))));
        }
        all.push(named(format!("{mlp}.0.weight"), get(&format!("{layer}post_attention_layernorm.weight"))));
        let ((gate, mut values), (_, up)) = (get(&format!("{layer}mlp.gate_proj.weight")), get(&format!("{layer}mlp.up_proj.weight")));
        values.extend(up);
        all.push((format!("{mlp}.1.w_gate_up.weight"), vec![2 * gate[0], gate[1]], values));
        all.push(named(format!("{mlp}.1.w_down.weight"), get(&format!("{layer}mlp.down_proj.weight"))));
    }
    all.push(named("topology.layers.1.weight".into(), get("model.norm.weight")));
    let head = tensor("lm_head.weight").unwrap_or_else(|| get("model.embed_tokens.weight"));
    all.push(named("topology.layers.2.linear.weight".into(), head));
    all
}

/// Writes `{key: {name: tensor, ...}}`.
pub fn save(path: &Path, key: &str, tensors: &[Named]) {
    let mut pickle = b"\x80\x02}".to_vec();
    text(&mut pickle, key);
    pickle.extend(b"}(");
    for (index, (name, shape, values)) in tensors.iter().enumerate() {
        text(&mut pickle, name);
        pickle.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        text(&mut pickle, "storage");
        pickle.extend(b"ctorch\nFloatStorage\n");
        text(&mut pickle, &index.to_string());
        text(&mut pickle, "cpu");
        integer(&mut pickle, values.len());
        pickle.extend(b"tQK\x00");
        sizes(&mut pickle, shape);
        let strides: Vec<usize> = (0..shape.len()).map(|axis| shape[axis + 1..].iter().product()).collect();
        sizes(&mut pickle, &strides);
        pickle.extend(b"\x89ccollections\nOrderedDict\n)RtR");
    }
    pickle.extend(b"us.");
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let mut add = |name: String, bytes: &[u8]| {
        archive.start_file(name, options).unwrap();
        archive.write_all(bytes).unwrap();
    };
    add("archive/data.pkl".into(), &pickle);
    for (index, (.., values)) in tensors.iter().enumerate() {
        add(format!("archive/data/{index}"), bytemuck::cast_slice(values));
    }
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, archive.finish().unwrap().into_inner()).unwrap();
}

fn text(pickle: &mut Vec<u8>, text: &str) {
    pickle.push(b'X');
    pickle.extend((text.len() as u32).to_le_bytes());
    pickle.extend(text.as_bytes());
}

fn integer(pickle: &mut Vec<u8>, value: usize) {
    pickle.push(b'J');
    pickle.extend((value as u32).to_le_bytes());
}

fn sizes(pickle: &mut Vec<u8>, sizes: &[usize]) {
    pickle.push(b'(');
    sizes.iter().for_each(|&size| integer(pickle, size));
    pickle.push(b't');
}
