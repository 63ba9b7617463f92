//! Safetensors files: a length, a JSON header, bytes. Format: the README of `safetensors`.
//!
//! The header is read here rather than by the crate of that name, because a damaged file must be told with the tensor that it concerns.

use crate::error::{At, Error, Result};
use crate::model::file;
use crate::model::section::Section;
use crate::model::tensor::{Bytes, DataType, Tensor};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The format's own limit. A longer header is a file of another kind, whose first 8 bytes were taken for a length.
const MAX_HEADER: u64 = 100_000_000;
/// The types of the format that are read. The others (integers, 8-bit floats) need scales that stand elsewhere, each in its own way.
const TYPES: &[(&str, DataType)] = &[("F32", DataType::F32), ("F16", DataType::F16), ("BF16", DataType::BF16)];

/// The tensors of all the files, under the names of a Hugging Face Llama.
pub(crate) fn read(files: &[PathBuf]) -> Result<BTreeMap<String, Tensor>> {
    let mut tensors = BTreeMap::new();
    for path in files {
        for (name, tensor) in file::map(path).and_then(|bytes| parse(&bytes).at(path.display()))? {
            if tensors.insert(name.clone(), tensor).is_some() {
                return Err(Error::new("it stands in another file of the model too").at(format!("tensor {name}")).at(path.display()));
            }
        }
    }
    Ok(with_prefix(tensors))
}

/// A model saved without its head (`LlamaModel`) has names without `model.`.
fn with_prefix(tensors: BTreeMap<String, Tensor>) -> BTreeMap<String, Tensor> {
    if !tensors.contains_key("embed_tokens.weight") {
        return tensors;
    }
    let renamed = |name: String| if name.starts_with("lm_head.") { name } else { format!("model.{name}") };
    tensors.into_iter().map(|(name, tensor)| (renamed(name), tensor)).collect()
}

/// The tensors of one file.
pub(crate) fn parse(bytes: &Bytes) -> Result<Vec<(String, Tensor)>> {
    let file = bytes.as_ref().as_ref();
    let truncated = |what: String| Error::new(what).remedy("the file is truncated or damaged: fetch it again");
    let Some(length) = file.first_chunk() else {
        return Err(truncated(format!(
            "the file has {} bytes; a safetensors file begins with the 8 bytes of its header's length",
            file.len()
        )));
    };
    let length = u64::from_le_bytes(*length);
    if length > MAX_HEADER {
        return Err(Error::new(format!("the header is said to have {length} bytes; the format allows {MAX_HEADER}"))
            .remedy("this is not a safetensors file, or it is damaged: fetch it again"));
    }
    let data = 8 + length as usize;
    let Some(header) = file.get(8..data) else {
        return Err(truncated(format!("the header ends at byte {data}, the file at byte {}", file.len())));
    };
    let header: Value = serde_json::from_slice(header).map_err(|error| truncated(format!("the header is not JSON: {error}")))?;
    let header = Section::of(&header).at("header")?;
    let mut tensors = Vec::new();
    let mut end = data;
    for name in header.keys().filter(|&name| name != "__metadata__") {
        let section = header.section(name)?.ok_or_else(|| Error::new(format!("tensor {name} is null")))?;
        let tensor = tensor(section, bytes, data).at(format!("tensor {name}"))?;
        end = end.max(tensor.offset + tensor.stored_bytes());
        tensors.push((name.to_owned(), tensor));
    }
    if end < file.len() {
        return Err(truncated(format!("the tensors end at byte {end}, the file at byte {}", file.len())));
    }
    Ok(tensors)
}

fn tensor(section: Section, bytes: &Bytes, data: usize) -> Result<Tensor> {
    let found = section.text("dtype")?.unwrap_or("nothing");
    let Some((_, data_type)) = TYPES.iter().find(|(name, _)| *name == found) else {
        let known: Vec<&str> = TYPES.iter().map(|(name, _)| *name).collect();
        return Err(Error::new(format!("its elements are of type {found}; {} are supported", known.join(", ")))
            .remedy("save the model in one of these, or use a GGUF file for a quantised one"));
    };
    let shape = section.sizes("shape")?.unwrap_or_default();
    let offsets = section.sizes("data_offsets")?.unwrap_or_default();
    let (&[start, stop], true) = (offsets.as_slice(), section.get("shape").is_some_and(Value::is_array)) else {
        return Err(Error::new("it has no shape, or not two data_offsets"));
    };
    let offset = data.checked_add(start).ok_or_else(|| Error::new(format!("it is said to begin at byte {start}")))?;
    let tensor = Tensor::new(*data_type, shape, bytes.clone(), offset)?;
    if stop.checked_sub(start) != Some(tensor.stored_bytes()) {
        return Err(Error::new(format!(
            "its data_offsets {start} to {stop} are not the {} bytes of its shape {:?}",
            tensor.stored_bytes(),
            tensor.shape
        )));
    }
    Ok(tensor)
}
