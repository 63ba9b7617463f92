//! Token ids into files, as they come: `.npy` (whose header is written when their number is known), or ids and nothing else.

use super::split::Split;
use crate::error::{At, Error, Result};
use crate::script::Sidecar;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// What a file of ids looks like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Format {
    Npy,
    Raw,
}

impl Format {
    /// By the name's ending.
    ///
    /// # Errors
    /// Another one.
    pub fn of(path: &Path) -> Result<Format> {
        match path.extension().map(|extension| extension.to_string_lossy().to_lowercase()).as_deref() {
            Some("npy") => Ok(Format::Npy),
            Some("bin") => Ok(Format::Raw),
            _ => Err(Error::new("token ids go into a file that ends in .npy or .bin").at(path.display()).remedy("call it DATA.npy")),
        }
    }
}

/// A file that was written.
#[derive(Debug)]
pub struct Written {
    pub path: PathBuf,
    pub tokens: u64,
}

/// NumPy aligns what follows its header to 64 bytes; with room for any number.
const HEADER: usize = 128;

/// Where tokens go.
pub struct Output {
    path: PathBuf,
    format: Format,
    wide: bool,
    sidecar: Sidecar,
    shard: Option<u64>,
    parts: Vec<Part>,
    /// The part that the document goes to which is being written.
    current: usize,
    documents: u64,
    written: Vec<Written>,
}

/// One of the splits, or all.
struct Part {
    name: Option<String>,
    share: f64,
    tokens: u64,
    file: Option<Open>,
    shards: usize,
}

struct Open {
    file: BufWriter<NamedTempFile>,
    path: PathBuf,
    tokens: u64,
}

impl Output {
    pub fn new(path: &Path, format: Format, vocab: usize, split: Option<Split>, shard: Option<u64>, sidecar: Sidecar) -> Output {
        let part = |name, share| Part { name, share, tokens: 0, file: None, shards: 0 };
        let parts = match split {
            Some(Split(parts)) => parts.into_iter().map(|(name, share)| part(Some(name), share)).collect(),
            None => vec![part(None, 1.0)],
        };
        let sidecar = Sidecar { dtype: if vocab > 1 << 16 { "uint32" } else { "uint16" }.to_owned(), ..sidecar };
        Output {
            path: path.to_owned(),
            format,
            wide: vocab > 1 << 16,
            sidecar,
            shard,
            parts,
            current: 0,
            documents: 0,
            written: Vec::new(),
        }
    }

    /// Adds the tokens of a document, or what goes on of the last one; `end` parts it from the document before.
    ///
    /// # Errors
    /// A file can't be written.
    pub fn add(&mut self, begins: bool, end: Option<u32>, tokens: &[u32]) -> Result<()> {
        if begins {
            self.documents += 1;
            // The part that is furthest behind its share, so that any length of the corpus is shared out evenly.
            let total: u64 = self.parts.iter().map(|part| part.tokens).sum();
            let behind = |part: &Part| part.share * (total + tokens.len() as u64) as f64 - part.tokens as f64;
            let furthest = self.parts.iter().enumerate().max_by(|a, b| behind(a.1).total_cmp(&behind(b.1)));
            self.current = furthest.map_or(0, |(index, _)| index);
            if let Some(end) = end.filter(|_| self.parts[self.current].tokens > 0) {
                self.write(&[end])?;
            }
        }
        self.write(tokens)
    }

    fn write(&mut self, mut tokens: &[u32]) -> Result<()> {
        while !tokens.is_empty() {
            let shard = self.shard.unwrap_or(u64::MAX);
            if self.parts[self.current].file.as_ref().is_some_and(|open| open.tokens >= shard) {
                self.close(self.current)?;
            }
            let path = self.name(self.current);
            let (format, wide) = (self.format, self.wide);
            let part = &mut self.parts[self.current];
            let open = match &mut part.file {
                Some(open) => open,
                file => file.insert(Open::create(&path, format)?),
            };
            let count = usize::try_from(shard - open.tokens).unwrap_or(usize::MAX).min(tokens.len());
            let (now, later) = tokens.split_at(count);
            open.write(now, wide).at(path.display())?;
            part.tokens += count as u64;
            tokens = later;
        }
        Ok(())
    }

    /// `DATA.train.00003.npy`
    fn name(&self, part: usize) -> PathBuf {
        let part = &self.parts[part];
        let mut name = self.path.file_stem().unwrap_or_default().to_owned();
        if let Some(split) = &part.name {
            name.push(format!(".{split}"));
        }
        if self.shard.is_some() {
            name.push(format!(".{:05}", part.shards));
        }
        name.push(".");
        name.push(self.path.extension().unwrap_or_default());
        self.path.with_file_name(name)
    }

    fn close(&mut self, part: usize) -> Result<()> {
        let Some(open) = self.parts[part].file.take() else { return Ok(()) };
        self.parts[part].shards += 1;
        let written = open.close(self.format, self.wide, &self.sidecar)?;
        self.written.push(written);
        Ok(())
    }

    /// Ends all files. A corpus of one document has been written to one part so far, and is cut by the shares.
    ///
    /// # Errors
    /// A file can't be written, or a part would be empty.
    pub fn finish(mut self) -> Result<Vec<Written>> {
        if self.documents == 1 && self.shard.is_none() && self.parts.len() > 1 {
            self.cut()?;
        }
        if let Some(empty) = self.parts.iter().find(|part| part.tokens == 0 && self.documents > 0) {
            let name = empty.name.clone().unwrap_or_default();
            return Err(Error::new(format!("`{name}` would be empty: there are {} documents", self.documents))
                .remedy("give it a larger share, or more documents"));
        }
        for part in 0..self.parts.len() {
            self.close(part)?;
        }
        Ok(self.written)
    }

    /// The one document, cut where the shares say.
    fn cut(&mut self) -> Result<()> {
        let Some(mut open) = self.parts[self.current].file.take() else { return Ok(()) };
        let (total, size) = (open.tokens, if self.wide { 4 } else { 2 });
        open.file.flush()?;
        let mut file = open.file.into_inner().map_err(|error| Error::from(error.into_error()))?;
        file.as_file_mut().seek(SeekFrom::Start(header_of(self.format) as u64))?;
        self.parts.iter_mut().for_each(|part| part.tokens = 0);
        let (mut shares, mut before) = (0.0, 0);
        for index in 0..self.parts.len() {
            shares += self.parts[index].share;
            let until = if index + 1 == self.parts.len() { total } else { ((total as f64 * shares).round() as u64).min(total) };
            self.current = index;
            let mut left = until - before;
            let mut bytes = vec![0; size << 16];
            while left > 0 {
                let count = left.min(1 << 16) as usize;
                file.as_file_mut().read_exact(&mut bytes[..count * size])?;
                let id = |bytes: &[u8]| bytes.iter().rev().fold(0, |id, &byte| id << 8 | u32::from(byte));
                let ids: Vec<u32> = bytes[..count * size].chunks(size).map(id).collect();
                self.write(&ids)?;
                left -= count as u64;
            }
            before = until;
        }
        Ok(())
    }
}

fn header_of(format: Format) -> usize {
    if format == Format::Npy { HEADER } else { 0 }
}

impl Open {
    fn create(path: &Path, format: Format) -> Result<Open> {
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::create_dir_all(directory).at(directory.display())?;
        let file = tempfile::Builder::new().prefix(".tokens").tempfile_in(directory).at(directory.display())?;
        let mut file = BufWriter::with_capacity(1 << 20, file);
        file.write_all(&vec![0; header_of(format)])?;
        Ok(Open { file, path: path.to_owned(), tokens: 0 })
    }

    fn write(&mut self, tokens: &[u32], wide: bool) -> Result<()> {
        let beyond = |token: u32| Error::new(format!("token {token} is beyond the vocabulary"));
        for &token in tokens {
            match wide {
                true => self.file.write_all(&token.to_le_bytes())?,
                false => self.file.write_all(&u16::try_from(token).map_err(|_| beyond(token))?.to_le_bytes())?,
            }
        }
        self.tokens += tokens.len() as u64;
        Ok(())
    }

    fn close(mut self, format: Format, wide: bool, sidecar: &Sidecar) -> Result<Written> {
        self.file.flush().at(self.path.display())?;
        let mut file = self.file.into_inner().map_err(|error| Error::from(error.into_error())).at(self.path.display())?;
        if format == Format::Npy {
            file.as_file_mut().seek(SeekFrom::Start(0))?;
            file.as_file_mut().write_all(&header(self.tokens, wide)).at(self.path.display())?;
        }
        // A temporary file is its owner's alone; a dataset is as any other file.
        permit(file.as_file())?;
        file.persist(&self.path).map_err(|error| Error::from(error.error)).at(self.path.display())?;
        Sidecar { tokens: self.tokens, ..sidecar.clone() }.write(&self.path)?;
        Ok(Written { path: self.path, tokens: self.tokens })
    }
}

#[cfg(unix)]
fn permit(file: &std::fs::File) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    Ok(file.set_permissions(std::fs::Permissions::from_mode(0o644))?)
}

#[cfg(not(unix))]
fn permit(_: &std::fs::File) -> Result<()> {
    Ok(())
}

/// The header of an array of one dimension (numpy/lib/format.py, version 1).
fn header(tokens: u64, wide: bool) -> Vec<u8> {
    let kind = if wide { "<u4" } else { "<u2" };
    let dictionary = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({tokens},), }}");
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    header.extend(((HEADER - 10) as u16).to_le_bytes());
    header.extend(format!("{dictionary:<width$}\n", width = HEADER - 11).bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array1;
    use ndarray_npy::ReadNpyExt;

    fn written(vocab: usize, split: Option<&str>, shard: Option<u64>, documents: &[&[u32]]) -> Vec<(String, Vec<u32>)> {
        let directory = tempfile::tempdir().unwrap();
        let split = split.map(|split| split.parse().unwrap());
        let mut output = Output::new(&directory.path().join("d.npy"), Format::Npy, vocab, split, shard, Sidecar::default());
        documents.iter().for_each(|tokens| output.add(true, Some(9), tokens).unwrap());
        let read = |path: &Path| {
            let file = || std::fs::File::open(path).unwrap();
            match vocab > 1 << 16 {
                true => Array1::<u32>::read_npy(file()).unwrap().to_vec(),
                false => Array1::<u16>::read_npy(file()).unwrap().iter().map(|&id| u32::from(id)).collect(),
            }
        };
        let files = output.finish().unwrap();
        files.iter().map(|file| (file.path.file_name().unwrap().to_string_lossy().into_owned(), read(&file.path))).collect()
    }

    #[test]
    fn ids_are_as_wide_as_the_vocabulary_needs() {
        assert_eq!(written(65_536, None, None, &[&[1, 65_535], &[2]]), [("d.npy".to_owned(), vec![1, 65_535, 9, 2])]);
        assert_eq!(written(65_537, None, None, &[&[1, 65_536]]), [("d.npy".to_owned(), vec![1, 65_536])]);
    }

    #[test]
    fn documents_are_shared_out() {
        let documents: Vec<&[u32]> = vec![&[1; 10]; 20];
        let files = written(10, Some("train=0.75,val=0.25"), None, &documents);
        // Fifteen documents and five, with what stands between them.
        assert_eq!(
            files.iter().map(|(name, ids)| (name.as_str(), ids.len())).collect::<Vec<_>>(),
            [("d.train.npy", 164), ("d.val.npy", 54)]
        );
        // One document is cut.
        let one: Vec<u32> = (0..8).collect();
        assert_eq!(written(10, Some("train=0.75,val=0.25"), None, &[&one])[1], ("d.val.npy".to_owned(), vec![6, 7]));
        let names = |files: Vec<(String, Vec<u32>)>| files.into_iter().map(|(name, ids)| (name, ids.len())).collect::<Vec<_>>();
        assert_eq!(
            names(written(10, None, Some(3), &[&one])),
            [("d.00000.npy".to_owned(), 3), ("d.00001.npy".to_owned(), 3), ("d.00002.npy".to_owned(), 2)]
        );
    }
}
