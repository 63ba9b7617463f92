//! The file around a checkpoint's pickle, and where in it tensors lie.
//!
//! PyTorch writes a zip archive since 1.6: `NAME/data.pkl`, and `NAME/data/KEY` for the bytes of each storage, neither of which it
//! compresses. So tensors are views into the mapped file. Before, it wrote a row of pickles and then the storages one after the other,
//! each after the number of its elements.

use super::pickle::{self, Tensors, damaged};
use super::views::{Storage, StoredTensor};
use crate::error::{Error, Result};
use crate::model::tensor::{Bytes, Tensor};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Cursor, Read};
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use zip::CompressionMethod;
use zip::read::{ArchiveOffset, Config, ZipArchive};

/// A pickle holds names and shapes, some KB for a model. It may be compressed, and say things briefly: what is made of it is bounded by
/// this and the length of the file, for of the two only the latter is paid for by whoever made it.
const MAX_PICKLE: u64 = 16 << 20;
const MAX_MEMORY: usize = 24 << 20;
/// An archive's entry takes some 300 bytes in memory and 46 in the file; checkpoints have one for each tensor.
const MAX_ENTRIES: usize = 1 << 16;

/// What opens a file of PyTorch before 1.6: a pickle of the number 0x1950a86a20f9469cfc6c.
const LEGACY: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";

/// A checkpoint whose pickle has been read.
pub(super) struct Container {
    bytes: Bytes,
    /// By the path of keys that leads to it.
    pub tensors: BTreeMap<String, Rc<StoredTensor>>,
    /// The paths of the dictionaries that they lie in, with a dot at the end; that of the outermost is empty.
    pub dictionaries: BTreeSet<String>,
    /// Keys of storages that are compressed: bytes that can't be used where they lie.
    compressed: BTreeSet<String>,
    /// Bytes that may still be copied to bring tensors into order. One that lies apart needs no more than the file has; a view that
    /// repeats elements could ask for any amount.
    left: Cell<usize>,
    /// Where the bytes of each storage lie, by key.
    places: BTreeMap<String, Range<usize>>,
}

impl Container {
    /// # Errors
    /// A pickle that wants to run code; anything else than a checkpoint; a file that is damaged, or of a kind PyTorch no longer writes.
    pub fn read(bytes: Bytes) -> Result<Container> {
        let file = bytes.as_ref().as_ref();
        let budget = MAX_MEMORY.saturating_add(file.len());
        let Contents { pickled, places, compressed } = if file.starts_with(b"PK") {
            zipped(file, budget)?
        } else if file.starts_with(LEGACY) {
            legacy(file, budget)?
        } else if file.get(257..262) == Some(b"ustar") {
            return Err(Error::new("this checkpoint was written by a PyTorch older than 0.1.10")
                .remedy("load and save it again with a newer PyTorch"));
        } else {
            // A pickle by itself has no tensors, but may have something worse.
            Contents { pickled: pickle::read(file, budget)?.tensors(budget)?, places: BTreeMap::new(), compressed: BTreeSet::new() }
        };
        let left = Cell::new(file.len());
        Ok(Container { bytes, tensors: pickled.tensors, dictionaries: pickled.dictionaries, compressed, left, places })
    }

    /// A tensor with all its elements, in the order of its shape.
    ///
    /// # Errors
    /// An element type that no model has; a storage that isn't there, or is shorter than its tensor.
    pub fn tensor(&self, stored: &StoredTensor) -> Result<Tensor> {
        let StoredTensor { storage, offset, shape, strides } = stored;
        let element = storage.element;
        let Some(data_type) = element.data_type else {
            return Err(Error::new(format!("its elements are of type {}; float32, float16 and bfloat16 are supported", element.name))
                .remedy("save the model in one of these: model.float(), model.half() or model.bfloat16()"));
        };
        let file = self.bytes.as_ref().as_ref();
        if self.compressed.contains(&storage.key) {
            return Err(Error::new("its bytes are compressed: the checkpoint was unpacked and zipped again")
                .remedy("PyTorch doesn't compress: load and save it again with torch.save, or zip it with `zip -0 -r`"));
        }
        let place = self.places.get(&storage.key).ok_or_else(|| damaged(format!("its storage {} is not in the file", storage.key)))?;
        // All products below are of what fits into the storage.
        let count = shape.iter().try_fold(1usize, |count, &size| count.checked_mul(size)).filter(|&count| count <= file.len());
        let last = shape
            .iter()
            .zip(strides)
            .try_fold(*offset, |last, (&size, &stride)| last.checked_add(size.saturating_sub(1).checked_mul(stride)?));
        let bytes = match (count, last) {
            (Some(0), _) => Some(&[][..]),
            (Some(_), Some(last)) if last < storage.elements => file.get(place.clone()),
            _ => None,
        };
        let reaches = |bytes: &&[u8]| count == Some(0) || last.is_some_and(|last| bytes.len() / element.size > last);
        let (Some(bytes), Some(count)) = (bytes.filter(reaches), count) else {
            return Err(damaged(format!("shape {shape:?} needs more than its storage {} has", storage.key)));
        };

        if contiguous(shape, strides) {
            let start = if count == 0 { 0 } else { place.start + offset * element.size };
            return Tensor::new(data_type, shape.clone(), self.bytes.clone(), start);
        }
        let size = count * element.size;
        let Some(left) = self.left.get().checked_sub(size) else {
            return Err(Error::new(format!("shape {shape:?} with strides {strides:?} repeats the elements of its storage"))
                .remedy("save the model with .contiguous() tensors"));
        };
        self.left.set(left);
        let mut gathered = Vec::with_capacity(size);
        for index in 0..count {
            let mut rest = index;
            let mut at = *offset;
            for (&size, &stride) in shape.iter().zip(strides).rev() {
                at += rest % size * stride;
                rest /= size;
            }
            gathered.extend_from_slice(&bytes[at * element.size..(at + 1) * element.size]);
        }
        Tensor::new(data_type, shape.clone(), Arc::new(gathered), 0)
    }
}

/// Whether elements lie in the order of the shape. The stride of a dimension of size 1 means nothing.
fn contiguous(shape: &[usize], strides: &[usize]) -> bool {
    let mut expected = 1;
    shape.iter().zip(strides).rev().all(|(&size, &stride)| {
        let matches = size <= 1 || stride == expected;
        expected = size.saturating_mul(expected);
        matches
    })
}

/// What a file was found to hold.
struct Contents {
    pickled: Tensors,
    places: BTreeMap<String, Range<usize>>,
    compressed: BTreeSet<String>,
}

fn zipped(file: &[u8], budget: usize) -> Result<Contents> {
    check_entries(file)?;
    let unreadable = |error: zip::result::ZipError| damaged(format!("this is no readable PyTorch checkpoint: {error}"));
    // The archive begins where the file does. Looking for another beginning, the library takes the second entry of the directory for the
    // first when the first is as long as the two records that PyTorch puts after it: when the file was saved under a name of 21 letters.
    let config = Config { archive_offset: ArchiveOffset::Known(0) };
    let mut archive = ZipArchive::with_config(config, Cursor::new(file)).map_err(unreadable)?;
    let mut pickle: Option<(String, Vec<u8>)> = None;
    let mut entries = Vec::new();
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(unreadable)?;
        let name = entry.name().map_err(unreadable)?.into_owned();
        let mut contents = |limit: u64| -> Result<Vec<u8>> {
            let mut contents = Vec::new();
            let length = entry.by_ref().take(limit + 1).read_to_end(&mut contents).map_err(|error| damaged(format!("{name}: {error}")))?;
            match length as u64 > limit {
                true => Err(damaged(format!("{name} has more than {limit} bytes"))),
                false => Ok(contents),
            }
        };
        if let Some(root) = name.strip_suffix("data.pkl") {
            if pickle.is_some() {
                return Err(damaged("expected one data.pkl in this archive, found several".to_owned()));
            }
            pickle = Some((root.to_owned(), contents(MAX_PICKLE.saturating_add(file.len() as u64))?));
        } else if name.ends_with("byteorder") && contents(16)?.trim_ascii() != b"little" {
            return Err(
                Error::new("this checkpoint was written on a big-endian machine").remedy("load and save it again on an ordinary one")
            );
        } else if let Some(start) = entry.data_start() {
            let place = |start: u64| Some(usize::try_from(start).ok()?..usize::try_from(start.checked_add(entry.size())?).ok()?);
            entries.extend(place(start).map(|place| (name, place, entry.compression() == CompressionMethod::Stored)));
        }
    }
    let Some((root, pickle)) = pickle else {
        return Err(damaged("expected one data.pkl in this archive, found none".to_owned()));
    };
    let pickled = pickle::read(&pickle, budget)?.tensors(budget)?;
    let prefix = format!("{root}data/");
    let (mut places, mut compressed) = (BTreeMap::new(), BTreeSet::new());
    for (name, place, stored) in entries {
        let Some(key) = name.strip_prefix(&prefix).map(str::to_owned) else { continue };
        if !stored {
            compressed.insert(key);
        } else if places.insert(key.clone(), place).is_some() {
            return Err(damaged(format!("storage {key} stands in the archive twice")));
        }
    }
    Ok(Contents { pickled, places, compressed })
}

/// That the archive's directory, whose record is the last in the file, lists no more than a checkpoint has: the library reads all of it.
fn check_entries(file: &[u8]) -> Result<()> {
    // `end of central directory record`: signature, 6 bytes, number of entries; a comment of 64 KB may follow.
    let tail = &file[file.len().saturating_sub(22 + (1 << 16))..];
    let Some(at) = tail.windows(4).rposition(|bytes| bytes == b"PK\x05\x06") else { return Ok(()) };
    let count = tail.get(at + 10..at + 12).map_or(0, |count| usize::from(u16::from_le_bytes([count[0], count[1]])));
    // A larger number stands in another record, `PK\x06\x06`, 32 bytes on.
    let wide = tail.windows(4).rposition(|bytes| bytes == b"PK\x06\x06").and_then(|at| tail.get(at + 32..at + 40)?.first_chunk());
    let count = wide.map_or(count, |count| usize::try_from(u64::from_le_bytes(*count)).unwrap_or(usize::MAX));
    match count > MAX_ENTRIES {
        true => Err(damaged(format!("the archive lists {count} entries, more than any checkpoint has"))),
        false => Ok(()),
    }
}

fn legacy(file: &[u8], budget: usize) -> Result<Contents> {
    let mut at = 0;
    let mut next = || {
        let read = pickle::read(&file[at..], budget)?;
        at += read.length;
        Ok::<_, Error>(read)
    };
    // The magic number, the version of the format, the machine that wrote it; then the checkpoint, and the keys of its storages.
    let (_, _, _) = (next()?, next()?, next()?);
    let (checkpoint, keys) = (next()?, next()?);
    let mut places = BTreeMap::new();
    for key in keys.texts() {
        let Some(storage) = checkpoint.storages.get(key) else {
            return Err(damaged(format!("nothing says how long storage {key} is")));
        };
        let Storage { element, elements, .. } = &**storage;
        let start = at.saturating_add(8);
        let end = start.saturating_add(elements.saturating_mul(element.size));
        let counted = file.get(at..start).and_then(|count| Some(u64::from_le_bytes(*count.first_chunk()?)));
        if counted != Some(*elements as u64) || end > file.len() {
            return Err(damaged(format!("storage {key} of {elements} elements is not at byte {at}, or goes on beyond the file")));
        }
        places.insert(key.to_owned(), start..end);
        at = end;
    }
    Ok(Contents { pickled: checkpoint.tensors(budget)?, places, compressed: BTreeSet::new() })
}
