//! Safetensors files: a length, a JSON header, bytes. Format: the README of `safetensors`.
//!
//! The header is read here rather than by the crate of that name, because a damaged file must be told with the tensor that it concerns.

use super::raw::RawMap;
use crate::error::{At, Error, Result};
use crate::model::names::{self, Held, Source};
use crate::model::section::Section;
use crate::model::tensor::{Bytes, DataType, Tensor};
use crate::model::{Architecture, ModelFile, pairs};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The format allows 100 MB; the headers of the largest models have 1 MB.
const MAX_HEADER: u64 = 25_000_000;
/// What the header says of one tensor is a hundred bytes long.
const MAX_ENTRY: usize = 4096;
/// The types of the format that are read. The others (integers, 8-bit floats) need scales that stand elsewhere, each in its own way.
const TYPES: &[(&str, DataType)] = &[("F32", DataType::F32), ("F16", DataType::F16), ("BF16", DataType::BF16)];
/// Types whose elements are whole numbers or truth values.
const INTEGERS: [&str; 9] = ["BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64"];

/// A tensor in a file: what is known of it from the header, and the tensor itself, unless its elements are of a type that isn't read. That
/// matters only if somebody needs it.
pub(crate) struct Stored {
    shape: Vec<usize>,
    integer: bool,
    pub tensor: Result<Tensor>,
}

/// The tensors of all the files, under the names that they have there.
pub(super) fn read(files: &[ModelFile]) -> Result<BTreeMap<String, Stored>> {
    let mut tensors = BTreeMap::new();
    for file in files {
        let place = file.path.display();
        for (name, tensor) in parse(&file.bytes()).at(place)? {
            let place = file.path.display();
            if tensors.contains_key(&name) {
                return Err(Error::new("it stands in another file of the model too").at(format!("tensor {name}")).at(place));
            }
            tensors.insert(name, Stored { tensor: tensor.tensor.at(place), ..tensor });
        }
    }
    Ok(tensors)
}

/// The tensors of `architecture` among those of the files, under canonical names, and what the user should know of the choice.
pub(super) fn canonical(
    architecture: &mut Architecture,
    stored: BTreeMap<String, Stored>,
    wanted: Option<&str>,
) -> Result<(BTreeMap<String, Tensor>, Vec<String>)> {
    let held = stored.iter().map(|(name, stored)| (name.clone(), Held { shape: stored.shape.clone(), integer: stored.integer })).collect();
    let found = names::find_or_widen(architecture, &held, &BTreeSet::from([String::new()]), wanted)?;
    let mut tensors = BTreeMap::new();
    for (name, Source { name: own, rows }) in found.sources {
        let Some(whole) = stored.get(&own) else { continue };
        let tensor = whole.tensor.clone()?;
        tensors.insert(name, rows.map_or(Ok(tensor.clone()), |rows| tensor.part(rows))?);
    }
    for (index, layer) in architecture.layers.iter().enumerate() {
        pairs::align(&layer.attention, index, false, &mut tensors)?;
    }
    Ok((tensors, found.notes))
}

/// The tensors of one file.
pub(crate) fn parse(bytes: &Bytes) -> Result<Vec<(String, Stored)>> {
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
        return Err(Error::new(format!("the header is said to have {length} bytes; no more than {MAX_HEADER} can be"))
            .remedy("this is not a safetensors file, or it is damaged: fetch it again"));
    }
    let data = 8 + length as usize;
    let Some(header) = file.get(8..data) else {
        return Err(truncated(format!("the header ends at byte {data}, the file at byte {}", file.len())));
    };
    let header = std::str::from_utf8(header).map_err(|_| truncated("the header is not JSON: it is not UTF-8 text".to_owned()))?;
    // Writers fill the header up with spaces.
    let header = RawMap::parse(header.trim_end_matches([' ', '\0'])).map_err(|error| match error.message().strip_prefix("this is") {
        Some(what) => truncated(format!("the header is{what}")),
        None => error,
    })?;
    let mut tensors = Vec::new();
    let mut ranges = Vec::new();
    for (name, entry) in header.entries.iter().filter(|(name, _)| name != "__metadata__") {
        let place = || format!("tensor {name}");
        if entry.get().len() > MAX_ENTRY {
            return Err(truncated(format!("the header says more than {MAX_ENTRY} bytes of it")).at(place()));
        }
        let entry: Value = serde_json::from_str(entry.get()).map_err(|error| truncated(format!("the header is not JSON: {error}")))?;
        let (stored, range) = Section::of(&entry).and_then(|section| tensor(section, bytes, data)).at(place())?;
        ranges.push((range, name));
        tensors.push((name.clone().into_owned(), Stored { tensor: stored.tensor.at(place()), ..stored }));
    }
    ranges.sort_unstable_by_key(|(range, _)| (range.start, range.end));
    for pair in ranges.windows(2) {
        if let [(one, first), (other, second)] = pair
            && other.start < one.end
        {
            return Err(Error::new(format!("the bytes of `{first}` and `{second}` overlap")).remedy("the file is damaged: fetch it again"));
        }
    }
    let end = ranges.iter().map(|(range, _)| range.end).max().unwrap_or(data);
    if end < file.len() {
        return Err(truncated(format!("the tensors end at byte {end}, the file at byte {}", file.len())));
    }
    Ok(tensors)
}

/// One tensor, and where in the file its bytes lie.
fn tensor(section: Section, bytes: &Bytes, data: usize) -> Result<(Stored, std::ops::Range<usize>)> {
    let found = section.text("dtype")?.unwrap_or("nothing");
    let shape = section.sizes("shape")?.unwrap_or_default();
    let offsets = section.sizes("data_offsets")?.unwrap_or_default();
    let (&[start, stop], true) = (offsets.as_slice(), section.get("shape").is_some_and(Value::is_array)) else {
        return Err(Error::new("it has no shape, or not two data_offsets"));
    };
    let file = bytes.as_ref().as_ref().len();
    let place = data.checked_add(start).zip(data.checked_add(stop));
    let Some((begin, end)) = place.filter(|(begin, end)| begin <= end) else {
        return Err(Error::new(format!("its data_offsets {start} to {stop} are no part of a file")));
    };
    let stored = |tensor| Stored { shape: shape.clone(), integer: INTEGERS.contains(&found), tensor };
    let Some((_, data_type)) = TYPES.iter().find(|(name, _)| *name == found) else {
        if end > file {
            return Err(Error::new(format!("it is said to end at byte {end}, the file ends at byte {file}"))
                .remedy("the file is truncated or damaged: fetch it again"));
        }
        let known: Vec<&str> = TYPES.iter().map(|(name, _)| *name).collect();
        let error = Error::new(format!("its elements are of type {found}; {} are supported", known.join(", ")))
            .remedy("save the model in one of these, or use a GGUF file for a quantised one");
        return Ok((stored(Err(error)), begin..end));
    };
    // Models have matrices and vectors; a buffer may be anything.
    let tensor = match Tensor::new(*data_type, shape.clone(), bytes.clone(), begin) {
        Err(error) if !(1..=2).contains(&shape.len()) => return Ok((stored(Err(error)), begin..end)),
        tensor => tensor?,
    };
    if end - begin != tensor.stored_bytes() {
        return Err(Error::new(format!(
            "its data_offsets {start} to {stop} are not the {} bytes of its shape {:?}",
            tensor.stored_bytes(),
            tensor.shape
        )));
    }
    Ok((stored(Ok(tensor)), begin..end))
}
