//! Files of weights, seen as bytes without reading them.

use super::tensor::Bytes;
use crate::error::{At, Error, Result};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

/// The file at `path`, mapped into memory: pages are read when they are looked at, and the system may drop them again.
///
/// # Errors
/// It can't be opened, isn't a file, or is empty.
pub(crate) fn map(path: &Path) -> Result<Bytes> {
    let attempt = || -> Result<Bytes> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(Error::new("expected a file, found a directory or a device"));
        }
        if metadata.len() == 0 {
            return Err(Error::new("the file is empty").remedy("fetch or copy it again"));
        }
        // SAFETY: the map is read-only, and all reads go through bounds-checked slices of bytes, for which any content is valid. What
        // can't be excluded is another process that shortens the file meanwhile; the system then stops ours, as it would any program
        // that maps its weights. Nothing in caramba writes into a model's files: new ones are written beside and renamed.
        let map = unsafe { memmap2::Mmap::map(&file) }?;
        if map.starts_with(b"version https://git-lfs") {
            return Err(Error::new("this is not the file but a pointer to it, as Git leaves it where Git LFS is missing")
                .remedy("run `git lfs pull` there"));
        }
        Ok(Arc::new(map))
    };
    attempt().at(path.display())
}

/// A file of text (a configuration, an index), whole. These are small: `limit` keeps a wrong file from filling the memory.
///
/// # Errors
/// It can't be read, is longer than `limit` bytes, or isn't UTF-8.
pub(crate) fn read_text(path: &Path, limit: u64) -> Result<String> {
    let attempt = || -> Result<String> {
        let length = std::fs::metadata(path)?.len();
        if length > limit {
            return Err(Error::new(format!("expected at most {limit} bytes of text, found {length}")));
        }
        let bytes = std::fs::read(path)?;
        String::from_utf8(bytes).map_err(|error| Error::new(format!("byte {} is not UTF-8 text", error.utf8_error().valid_up_to())))
    };
    attempt().at(path.display())
}
