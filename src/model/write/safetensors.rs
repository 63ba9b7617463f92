//! A safetensors file, written row by row: no tensor is ever in memory as a whole.

use crate::error::{At, Error, Result};
use crate::interrupt;
use crate::model::inventory::Item;
use crate::model::tensor::{DataType, Tensor};
use half::{bf16, f16};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// Elements converted at a time: some hundred KB, so that Ctrl-C is heard soon.
const TILE: usize = 1 << 16;

/// Writes `items` out of `tensors`, in their order; matrices as `data_type`, vectors as F32.
pub(super) fn write(path: &Path, items: &[Item], tensors: &BTreeMap<String, Tensor>, data_type: DataType) -> Result<()> {
    if !matches!(data_type, DataType::F32 | DataType::F16 | DataType::BF16) {
        return Err(Error::new(format!("a model can be written in F32, F16 or BF16, not in {}", data_type.name())));
    }
    // `transformers` insists on being told which framework's layout this is.
    let mut header = Map::from_iter([("__metadata__".to_owned(), json!({ "format": "pt" }))]);
    let mut end = 0;
    for (name, shape) in items {
        let stored = stored_as(data_type, shape);
        let start = end;
        end += shape.iter().product::<usize>() * stored.block_bytes();
        header.insert(name.clone(), json!({ "dtype": stored.name(), "shape": shape, "data_offsets": [start, end] }));
    }
    let mut header = Value::Object(header).to_string().into_bytes();
    // The first tensor begins at a multiple of 8.
    header.resize(header.len().next_multiple_of(8), b' ');

    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(&header)?;
    for (name, shape) in items {
        let tensor = tensors.get(name).ok_or_else(|| Error::new("it is missing")).at(format!("tensor {name}"))?;
        values(&mut file, tensor, stored_as(data_type, shape)).at(format!("tensor {name}"))?;
    }
    let file = file.into_inner().map_err(|error| Error::from(error.into_error()))?;
    file.sync_data()?;
    Ok(())
}

fn stored_as(data_type: DataType, shape: &[usize]) -> DataType {
    if shape.len() == 1 { DataType::F32 } else { data_type }
}

fn values(file: &mut impl Write, tensor: &Tensor, data_type: DataType) -> Result<()> {
    let (rows, columns) = (tensor.rows(), tensor.columns());
    let tile = (TILE / columns.max(1)).max(1);
    let mut wide = vec![0.0f32; tile * columns];
    let mut bytes = Vec::new();
    for first in (0..rows).step_by(tile) {
        interrupt::check()?;
        let count = tile.min(rows - first);
        let wide = &mut wide[..count * columns];
        tensor.read_rows(first..first + count, wide);
        bytes.clear();
        match data_type {
            DataType::F16 => wide.iter().for_each(|&value| bytes.extend(f16::from_f32(value).to_le_bytes())),
            DataType::BF16 => wide.iter().for_each(|&value| bytes.extend(bf16::from_f32(value).to_le_bytes())),
            _ => wide.iter().for_each(|&value| bytes.extend(value.to_le_bytes())),
        }
        // 65520 is the first number that rounds to infinity. What isn't finite already is the model's own.
        if data_type == DataType::F16
            && let Some(value) = wide.iter().find(|value| value.is_finite() && value.abs() >= 65520.0)
        {
            return Err(Error::new(format!("it holds {value}, more than a half float can")).remedy("write the model in F32 or BF16"));
        }
        file.write_all(&bytes)?;
    }
    Ok(())
}
