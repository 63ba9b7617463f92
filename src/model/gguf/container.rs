//! The GGUF container: keys with values, and tensors. Format: `docs/gguf.md` of ggml (MIT).
//!
//! Nothing is copied: a string or an array is a place in the mapped file, and is read when somebody asks for it. Every length in the
//! file is distrusted; each cap below says what it keeps out.

use crate::error::{At, Error, Result};
use crate::model::tensor::{Bytes, DATA_TYPES, DataType, Tensor};
use std::collections::BTreeMap;
use std::ops::Range;

pub(super) const MAGIC: &[u8; 4] = b"GGUF";

/// The largest models have some thousands of tensors and a hundred keys. A count beyond these is a damaged file, and would only be found
/// out after a long walk through it.
const MAX_TENSORS: u64 = 1 << 20;
const MAX_KEYS: u64 = 1 << 16;
/// ggml's names have at most 64 bytes; keys are specified to have at most 65535.
const MAX_NAME: u64 = 1 << 16;
/// The longest strings are chat templates of some 100 KB.
const MAX_STRING: u64 = 1 << 26;
/// Arrays in arrays are allowed by the format and used by nobody; the walk is recursive, so a file must not choose its depth.
const MAX_NESTING: usize = 4;
/// ggml's `GGML_MAX_DIMS`.
const MAX_DIMENSIONS: u32 = 4;
const DEFAULT_ALIGNMENT: u64 = 32;

/// A key's value.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// Any of the integer types.
    Integer(i128),
    /// Either of the float types.
    Float(f64),
    Bool(bool),
    /// Where its text lies in the file.
    String(Range<usize>),
    Array(Array),
}

/// An array in the file: `count` elements of type `element`, from byte `start` on.
#[derive(Debug, Clone)]
pub(super) struct Array {
    element: u32,
    count: usize,
    start: usize,
}

/// A parsed GGUF file.
pub(super) struct Container {
    bytes: Bytes,
    values: BTreeMap<String, Value>,
    /// By ggml's name. Shapes are `[rows, columns]` as everywhere in caramba (ggml has them the other way round).
    pub tensors: BTreeMap<String, Tensor>,
}

impl Container {
    pub fn parse(bytes: Bytes) -> Result<Container> {
        let mut cursor = Cursor { bytes: bytes.as_ref().as_ref(), at: 0 };
        let magic = cursor.take(4)?;
        if magic != MAGIC {
            return Err(Error::new(format!(
                "expected a GGUF file, which begins with `GGUF`; this one begins with `{}`",
                magic.escape_ascii()
            )));
        }
        let version = cursor.u32()?;
        match version {
            2 | 3 => {}
            _ if version.swap_bytes() <= 0xffff => {
                return Err(Error::new("the file is big-endian GGUF; only little-endian files are supported")
                    .remedy("convert it with gguf_convert_endian.py of the Python package gguf"));
            }
            _ => {
                return Err(Error::new(format!("GGUF version {version} is not supported; versions 2 and 3 are"))
                    .remedy("make the file anew with a current converter"));
            }
        }
        let tensor_count = cursor.count("tensors", MAX_TENSORS)?;
        let key_count = cursor.count("keys", MAX_KEYS)?;

        let mut values = BTreeMap::new();
        for _ in 0..key_count {
            let key = cursor.name()?;
            let kind = cursor.u32().at(format!("key {key}"))?;
            let value = cursor.value(kind, 0).at(format!("key {key}"))?;
            if values.insert(key.clone(), value).is_some() {
                return Err(Error::new(format!("key {key} stands in the file twice")));
            }
        }

        let mut infos = Vec::new();
        for _ in 0..tensor_count {
            let name = cursor.name()?;
            let info = cursor.tensor_info().at(format!("tensor {name}"))?;
            infos.push((name, info));
        }
        let (header, bytes) = (cursor.at as u64, bytes.clone());
        let mut container = Container { bytes, values, tensors: BTreeMap::new() };
        let alignment = match container.integer("general.alignment")? {
            None => DEFAULT_ALIGNMENT,
            Some(alignment) if alignment.is_power_of_two() && alignment <= 1 << 20 => alignment,
            Some(alignment) => return Err(Error::new(format!("general.alignment is {alignment}, expected a power of two"))),
        };
        // No overflow: the header lies within the file, so it is far below 2^63.
        let data = header.next_multiple_of(alignment);
        for (name, info) in infos {
            let tensor = container.tensor(&info, data, alignment).at(format!("tensor {name}"))?;
            if container.tensors.insert(name.clone(), tensor).is_some() {
                return Err(Error::new(format!("tensor {name} stands in the file twice")));
            }
        }
        container.check_overlaps()?;
        Ok(container)
    }

    /// That no two tensors share bytes.
    fn check_overlaps(&self) -> Result<()> {
        let mut ranges: Vec<(usize, usize, &str)> =
            self.tensors.iter().map(|(name, tensor)| (tensor.offset, tensor.offset + tensor.stored_bytes(), name.as_str())).collect();
        ranges.sort_unstable();
        match ranges.windows(2).find(|pair| pair[1].0 < pair[0].1) {
            Some(pair) => Err(Error::new(format!("the bytes of tensors {} and {} overlap", pair[0].2, pair[1].2))
                .remedy("the file is damaged: fetch it again")),
            None => Ok(()),
        }
    }

    fn tensor(&self, info: &TensorInfo, data: u64, alignment: u64) -> Result<Tensor> {
        let Some(data_type) = DataType::from_ggml(info.data_type) else {
            let known: Vec<&str> = DATA_TYPES.iter().map(|entry| entry.name).collect();
            return Err(Error::new(format!("ggml's element type {} is not supported", type_name(info.data_type)))
                .remedy(format!("use a file with these types: {}", known.join(", "))));
        };
        if !info.offset.is_multiple_of(alignment) {
            return Err(Error::new(format!("its offset {} is no multiple of the file's alignment {alignment}", info.offset)));
        }
        let start = data.checked_add(info.offset).and_then(|start| usize::try_from(start).ok());
        let start = start.ok_or_else(|| Error::new(format!("its offset {} is beyond any file", info.offset)))?;
        Tensor::new(data_type, info.shape.clone(), self.bytes.clone(), start)
    }

    fn file(&self) -> &[u8] {
        self.bytes.as_ref().as_ref()
    }

    /// A whole number of any type.
    pub fn integer(&self, key: &str) -> Result<Option<u64>> {
        self.one(key, "a whole number", |value| match value {
            Value::Integer(number) => u64::try_from(*number).ok(),
            _ => None,
        })
    }

    /// A number of any type.
    pub fn float(&self, key: &str) -> Result<Option<f64>> {
        self.one(key, "a number", |value| match value {
            Value::Float(number) => Some(*number),
            Value::Integer(number) => Some(*number as f64),
            _ => None,
        })
    }

    pub fn bool(&self, key: &str) -> Result<Option<bool>> {
        self.one(key, "true or false", |value| match value {
            Value::Bool(flag) => Some(*flag),
            _ => None,
        })
    }

    pub fn string(&self, key: &str) -> Result<Option<&str>> {
        self.one(key, "UTF-8 text", |value| match value {
            Value::String(range) => std::str::from_utf8(&self.file()[range.clone()]).ok(),
            _ => None,
        })
    }

    /// One whole number for all of `count` layers, or an array with one for each.
    pub fn integer_per_layer(&self, key: &str, count: usize) -> Result<Option<Vec<u64>>> {
        if let Some(Value::Array(_)) = self.values.get(key) {
            let each = self.integers(key)?.unwrap_or_default();
            if each.len() != count {
                return Err(Error::new(format!("key {key} has {} values, expected one for each of the {count} layers", each.len())));
            }
            return Ok(Some(each));
        }
        Ok(self.integer(key)?.map(|number| vec![number; count]))
    }

    /// The elements of an array of whole numbers.
    pub fn integers(&self, key: &str) -> Result<Option<Vec<u64>>> {
        self.elements(key, "an array of whole numbers", |value| match value {
            Value::Integer(number) => u64::try_from(number).ok(),
            _ => None,
        })
    }

    /// The elements of an array of numbers.
    pub fn floats(&self, key: &str) -> Result<Option<Vec<f64>>> {
        self.elements(key, "an array of numbers", |value| match value {
            Value::Float(number) => Some(number),
            Value::Integer(number) => Some(number as f64),
            _ => None,
        })
    }

    /// The elements of an array of strings.
    pub fn strings(&self, key: &str) -> Result<Option<Vec<&str>>> {
        self.elements(key, "an array of UTF-8 strings", |value| match value {
            Value::String(range) => std::str::from_utf8(&self.file()[range]).ok(),
            _ => None,
        })
    }

    fn one<'a, T>(&'a self, key: &str, expected: &str, read: impl Fn(&'a Value) -> Option<T>) -> Result<Option<T>> {
        match self.values.get(key) {
            None => Ok(None),
            Some(value) => match read(value) {
                Some(it) => Ok(Some(it)),
                None => Err(Error::new(format!("key {key}: expected {expected}, found {}", self.shown(value)))),
            },
        }
    }

    fn elements<T>(&self, key: &str, expected: &str, read: impl Fn(Value) -> Option<T>) -> Result<Option<Vec<T>>> {
        let Some(value) = self.values.get(key) else { return Ok(None) };
        let wrong = || Error::new(format!("key {key}: expected {expected}, found {}", self.shown(value)));
        let Value::Array(array) = value else { return Err(wrong()) };
        let mut cursor = Cursor { bytes: self.file(), at: array.start };
        let mut elements = Vec::new();
        for _ in 0..array.count {
            // The walk went over these very bytes when the file was parsed.
            elements.push(read(cursor.value(array.element, 0)?).ok_or_else(wrong)?);
        }
        Ok(Some(elements))
    }

    fn shown(&self, value: &Value) -> String {
        match value {
            Value::Integer(number) => number.to_string(),
            Value::Float(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            Value::String(range) => {
                let text = String::from_utf8_lossy(&self.file()[range.clone()]);
                format!("\"{}\"", text.chars().take(60).collect::<String>())
            }
            Value::Array(array) => format!("an array of {} elements of type {}", array.count, array.element),
        }
    }
}

struct TensorInfo {
    data_type: u32,
    shape: Vec<usize>,
    offset: u64,
}

/// Reads from the front of the file on, and knows where it is.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, length: u64) -> Result<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        match usize::try_from(length).ok().and_then(|length| rest.get(..length)) {
            Some(taken) => {
                self.at += taken.len();
                Ok(taken)
            }
            None => {
                Err(Error::new(format!("the file ends at byte {}, {length} more were expected from byte {} on", self.bytes.len(), self.at))
                    .remedy("the file is truncated or damaged: fetch it again"))
            }
        }
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N]> {
        let taken = self.take(N as u64)?;
        let mut bytes = [0; N];
        bytes.copy_from_slice(taken);
        Ok(bytes)
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.number()?))
    }

    fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.number()?))
    }

    /// A number of things that follow; each takes at least a byte, so that a count that the file has no room for is refused here.
    fn count(&mut self, what: &str, most: u64) -> Result<u64> {
        let (place, count) = (self.at, self.u64()?);
        if count > most || count > (self.bytes.len() - self.at) as u64 {
            return Err(Error::new(format!("byte {place} says that {count} {what} follow; that can't be"))
                .remedy("the file is truncated or damaged: fetch it again"));
        }
        Ok(count)
    }

    fn name(&mut self) -> Result<String> {
        let place = self.at;
        let length = self.count("bytes of a name", MAX_NAME)?;
        let bytes = self.take(length)?;
        String::from_utf8(bytes.to_vec()).map_err(|_| Error::new(format!("the name at byte {place} is not UTF-8 text")))
    }

    fn value(&mut self, kind: u32, nesting: usize) -> Result<Value> {
        Ok(match kind {
            0 => Value::Integer(u8::from_le_bytes(self.number()?).into()),
            1 => Value::Integer(i8::from_le_bytes(self.number()?).into()),
            2 => Value::Integer(u16::from_le_bytes(self.number()?).into()),
            3 => Value::Integer(i16::from_le_bytes(self.number()?).into()),
            4 => Value::Integer(self.u32()?.into()),
            5 => Value::Integer(i32::from_le_bytes(self.number()?).into()),
            6 => Value::Float(f32::from_le_bytes(self.number()?).into()),
            7 => Value::Bool(self.number::<1>()?[0] != 0),
            8 => {
                let length = self.count("bytes of a string", MAX_STRING)?;
                let start = self.at;
                self.take(length)?;
                Value::String(start..self.at)
            }
            9 => {
                if nesting == MAX_NESTING {
                    return Err(Error::new(format!("arrays are nested more than {MAX_NESTING} deep")));
                }
                let element = self.u32()?;
                let count = self.count("array elements", u64::MAX)?;
                let array = Array { element, count: count as usize, start: self.at };
                match fixed_size(element) {
                    // No overflow: the count is at most the file's length.
                    Some(size) => _ = self.take(count.saturating_mul(size))?,
                    None => {
                        for _ in 0..count {
                            self.value(element, nesting + 1)?;
                        }
                    }
                }
                Value::Array(array)
            }
            10 => Value::Integer(self.u64()?.into()),
            11 => Value::Integer(i64::from_le_bytes(self.number()?).into()),
            12 => Value::Float(f64::from_le_bytes(self.number()?)),
            _ => return Err(Error::new(format!("value type {kind} is unknown")).remedy("the file is damaged, or newer than caramba")),
        })
    }

    fn tensor_info(&mut self) -> Result<TensorInfo> {
        let dimensions = self.u32()?;
        if !(1..=MAX_DIMENSIONS).contains(&dimensions) {
            return Err(Error::new(format!("it has {dimensions} dimensions, expected 1 to {MAX_DIMENSIONS}")));
        }
        let mut shape = Vec::new();
        for _ in 0..dimensions {
            let size = self.u64()?;
            if size == 0 {
                return Err(Error::new("one of its dimensions is 0").remedy("the file is damaged: fetch it again"));
            }
            shape.push(usize::try_from(size).map_err(|_| Error::new(format!("a dimension of {size} is beyond any file")))?);
        }
        // ggml may write trailing dimensions of 1.
        while shape.len() > 1 && shape.last() == Some(&1) {
            shape.pop();
        }
        shape.reverse();
        Ok(TensorInfo { shape, data_type: self.u32()?, offset: self.u64()? })
    }
}

/// Bytes of a value whose size doesn't depend on its content.
fn fixed_size(kind: u32) -> Option<u64> {
    match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}

/// ggml's name for the types that others use and we don't read.
fn type_name(number: u32) -> String {
    let name = match number {
        9 => "Q8_1",
        15 => "Q8_K",
        16 => "IQ2_XXS",
        17 => "IQ2_XS",
        18 => "IQ3_XXS",
        19 => "IQ1_S",
        20 => "IQ4_NL",
        21 => "IQ3_S",
        22 => "IQ2_S",
        23 => "IQ4_XS",
        24 => "I8",
        25 => "I16",
        26 => "I32",
        27 => "I64",
        28 => "F64",
        29 => "IQ1_M",
        34 => "TQ1_0",
        35 => "TQ2_0",
        39 => "MXFP4",
        _ => return number.to_string(),
    };
    format!("{name} ({number})")
}
