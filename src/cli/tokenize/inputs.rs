//! Documents out of files of text, JSON lines (compressed, too) and Parquet, one after the other.

use super::parquet::Rows;
use crate::error::{At, Error, Result};
use crate::mapped::no_pointer;
use crate::terminal;
use flate2::read::MultiGzDecoder;
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A longer document is cut after a line, and is one all the same; a line that is longer is no text that a person wrote.
const PART: usize = 1 << 20;
const MAX_LINE: usize = 64 << 20;
/// Files in a directory, and directories in it.
const MAX_FILES: usize = 1_000_000;
const MAX_DEPTH: usize = 32;
/// The field that holds the text where nobody says another.
const FIELD: &str = "text";
/// What is taken for text in a directory.
const TEXTS: [&str; 8] = ["txt", "md", "rst", "tex", "text", "jsonl", "ndjson", "parquet"];

/// A document, or a part of a long one.
#[derive(Debug)]
pub struct Document {
    pub text: String,
    /// The end of the part before, if this one goes on.
    pub before: String,
    /// Whether a document begins with it.
    pub begins: bool,
    /// For messages.
    pub place: String,
}

/// What the name of a compressed text ends in.
const COMPRESSED: [&str; 2] = ["gz", "zst"];

fn ending(path: &Path) -> String {
    path.extension().map(|extension| extension.to_string_lossy().to_lowercase()).unwrap_or_default()
}

/// All documents, read as they are asked for.
pub struct Documents {
    waiting: VecDeque<PathBuf>,
    open: Option<Open>,
    field: Option<String>,
    bytes: Option<u64>,
    read: u64,
    count: usize,
}

enum Open {
    Text { lines: Lines, before: String },
    Json { lines: Lines, field: String },
    Parquet { rows: Rows, shown: String, bytes: u64 },
}

impl Documents {
    /// Opens files and directories; `field` is that of JSON lines, or the column of Parquet.
    ///
    /// # Errors
    /// One of them is not there, or of a kind that can't be read.
    pub fn open(paths: &[PathBuf], field: Option<&str>) -> Result<Documents> {
        let mut waiting = VecDeque::new();
        for path in paths {
            if path.is_dir() {
                let (before, mut surplus) = (waiting.len(), 0);
                collect(path, 0, &mut waiting, &mut surplus)?;
                if waiting.len() == before {
                    let remedy = format!("files ending in {} are read in a directory; give others by name", TEXTS.join(", "));
                    return Err(Error::new("there are no texts in this directory").at(path.display()).remedy(remedy));
                }
                if surplus > 0 {
                    terminal::note(&format!("{}: {surplus} files of other kinds are passed over", path.display()));
                }
            } else {
                if path != Path::new("-") {
                    std::fs::metadata(path).map_err(Error::from).at(path.display())?;
                }
                waiting.push_back(path.clone());
            }
        }
        if waiting.iter().filter(|path| *path == Path::new("-")).count() > 1 {
            return Err(Error::new("standard input can be read once").remedy("give `-` once"));
        }
        let sizes = waiting.iter().map(|path| std::fs::metadata(path).ok().filter(|file| file.is_file()).map(|file| file.len()));
        let bytes = sizes.sum();
        Ok(Documents { waiting, open: None, field: field.map(str::to_owned), bytes, read: 0, count: 0 })
    }

    /// The length of all files, if it is known.
    pub fn bytes(&self) -> Option<u64> {
        self.bytes
    }

    /// How much of that has been read.
    pub fn read(&self) -> u64 {
        self.read
    }

    /// How many documents there were so far.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The next documents, of about `size` bytes together; empty at the end.
    ///
    /// # Errors
    /// A file that can't be read, or is no text; a line without the field.
    pub fn portion(&mut self, size: usize) -> Result<Vec<Document>> {
        let (mut portion, mut bytes) = (Vec::new(), 0);
        while bytes < size {
            let Some(document) = self.next()? else { break };
            bytes += document.text.len() + document.before.len();
            self.count += usize::from(document.begins);
            portion.push(document);
        }
        Ok(portion)
    }

    fn next(&mut self) -> Result<Option<Document>> {
        loop {
            let Some(open) = &mut self.open else {
                let Some(path) = self.waiting.pop_front() else { return Ok(None) };
                self.open = Some(Open::file(&path, self.field.as_deref())?);
                continue;
            };
            let (document, read) = open.next()?;
            self.read += read;
            match document {
                Some(document) if document.text.is_empty() => {}
                Some(document) => return Ok(Some(document)),
                None => self.open = None,
            }
        }
    }
}

impl Open {
    fn file(path: &Path, field: Option<&str>) -> Result<Open> {
        let shown = path.display().to_string();
        let extension = ending(path);
        let standard = path == Path::new("-");
        if extension == "parquet" {
            let bytes = std::fs::metadata(path).at(&shown)?.len();
            return Ok(Open::Parquet { rows: Rows::open(path, field.unwrap_or(FIELD)).at(&shown)?, shown, bytes });
        }
        if let "bz2" | "xz" | "zip" | "7z" = extension.as_str() {
            return Err(Error::new("this file is compressed in a way that is not read here")
                .at(&shown)
                .remedy("unpack it, or send it through a pipe: xzcat FILE | caramba tokenize MODEL - ..."));
        }
        // What is compressed is of the kind that its name has before that: `a.jsonl.gz`.
        let (packed, extension) = if COMPRESSED.contains(&extension.as_str()) {
            (extension, ending(&path.with_extension("")))
        } else {
            (String::new(), extension)
        };
        let bytes = Arc::new(AtomicU64::new(0));
        let reader: Box<dyn Read> = match standard {
            true => Box::new(Counted(std::io::stdin().lock(), Arc::clone(&bytes))),
            false => Box::new(Counted(std::fs::File::open(path).at(&shown)?, Arc::clone(&bytes))),
        };
        let reader: Box<dyn Read> = match packed.as_str() {
            "gz" => Box::new(MultiGzDecoder::new(reader)),
            "zst" => {
                let mut decoder = zstd::stream::read::Decoder::new(reader).at(&shown)?;
                // What is asked for to look back is never more than for a line.
                decoder.window_log_max(MAX_LINE.ilog2()).at(&shown)?;
                Box::new(decoder)
            }
            _ => reader,
        };
        let shown = if standard { "standard input".to_owned() } else { shown };
        let lines = Lines { reader: BufReader::with_capacity(1 << 16, reader), shown, line: 0, bytes, told: 0 };
        let json = ["jsonl", "ndjson"].contains(&extension.as_str()) || (standard && field.is_some());
        Ok(match json {
            true => Open::Json { lines, field: field.unwrap_or(FIELD).to_owned() },
            false => Open::Text { lines, before: String::new() },
        })
    }

    /// The next document (perhaps an empty one), and how many bytes of the file it took.
    fn next(&mut self) -> Result<(Option<Document>, u64)> {
        match self {
            Open::Text { lines, before } => {
                let begins = lines.line == 0;
                let (mut text, mut read) = (String::new(), 0);
                let mut last = 0;
                while text.len() < PART {
                    let start = text.len();
                    let (length, taken) = lines.next(&mut text)?;
                    read += taken;
                    if length == 0 {
                        break;
                    }
                    last = start;
                }
                if text.is_empty() {
                    return Ok((None, read));
                }
                let next = text[last..].to_owned();
                let place = lines.shown.clone();
                let document = Document { text, before: std::mem::replace(before, next), begins, place };
                Ok((Some(document), read))
            }
            Open::Json { lines, field } => {
                let mut text = String::new();
                let (length, read) = lines.next(&mut text)?;
                if length == 0 {
                    return Ok((None, read));
                }
                let place = format!("{}, line {}", lines.shown, lines.line);
                let text = if text.trim().is_empty() { String::new() } else { field_of(&text, field).at(&place)? };
                Ok((Some(Document { text, before: String::new(), begins: true, place }), read))
            }
            Open::Parquet { rows, shown, bytes } => {
                let read = std::mem::take(bytes);
                let Some((row, text)) = rows.next().transpose().at(&*shown)? else { return Ok((None, read)) };
                let place = format!("{shown}, row {row}");
                Ok((Some(Document { text, before: String::new(), begins: true, place }), read))
            }
        }
    }
}

/// The text of a JSON line: that of a field, or of one within (`a.b`).
fn field_of(line: &str, field: &str) -> Result<String> {
    let value: serde_json::Value = serde_json::from_str(line).map_err(|error| Error::new(format!("this is not JSON: {error}")))?;
    if let serde_json::Value::String(text) = value {
        return Ok(text);
    }
    let found = value.get(field).or_else(|| field.split('.').try_fold(&value, |value, key| value.get(key)));
    match found {
        Some(serde_json::Value::String(text)) => Ok(text.clone()),
        Some(serde_json::Value::Null) => Ok(String::new()),
        Some(_) => Err(Error::new(format!("the field `{field}` is no text")).remedy("--field says which one is")),
        None => {
            let names = value.as_object().map(|fields| fields.keys().map(String::as_str).collect::<Vec<_>>()).unwrap_or_default();
            Err(Error::new(format!("there is no field `{field}`"))
                .remedy(format!("--field says which one holds the text; there are: {}", names.join(", "))))
        }
    }
}

/// Lines of UTF-8.
struct Lines {
    reader: BufReader<Box<dyn Read>>,
    shown: String,
    /// How many were read.
    line: usize,
    /// How many bytes of the file were read, and how many of them were told.
    bytes: Arc<AtomicU64>,
    told: u64,
}

/// Counts what is read of a file: of a compressed one, fewer bytes than its text has.
struct Counted<R>(R, Arc<AtomicU64>);

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.0.read(buffer)?;
        self.1.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

impl Lines {
    /// Appends the next line with its end. Returns its length (0 at the end of the file), and how many bytes of the file were read for it.
    fn next(&mut self, text: &mut String) -> Result<(usize, u64)> {
        let mut bytes = Vec::new();
        let limit = MAX_LINE as u64 + 1;
        self.reader.by_ref().take(limit).read_until(b'\n', &mut bytes).map_err(|error| self.unreadable(&error))?;
        self.line += 1;
        let place = |error: Error| error.at(format!("{}, line {}", self.shown, self.line));
        if self.line == 1 {
            // Of a corpus that was cloned: its pointers would be read as texts.
            no_pointer(&bytes).at(&self.shown)?;
        }
        if bytes.len() > MAX_LINE {
            return Err(place(Error::new(format!("this line is longer than {} MB", MAX_LINE >> 20)).remedy("break it into documents")));
        }
        let length = bytes.len();
        let bytes = if self.line == 1 { bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes) } else { &bytes };
        text.push_str(
            std::str::from_utf8(bytes).map_err(|_| place(Error::new("this is no UTF-8 text").remedy("convert the file to UTF-8")))?,
        );
        let read = self.bytes.load(Ordering::Relaxed);
        Ok((length, read - std::mem::replace(&mut self.told, read)))
    }

    fn unreadable(&self, error: &std::io::Error) -> Error {
        let path = Path::new(&self.shown);
        let found = Error::new(format!("it can't be read: {error}")).at(&self.shown);
        if COMPRESSED.contains(&ending(path).as_str()) { found.remedy("it may be cut off: copy or fetch it again") } else { found }
    }
}

/// The texts in a directory and those in it, in the order of their names.
fn collect(directory: &Path, depth: usize, into: &mut VecDeque<PathBuf>, surplus: &mut usize) -> Result<()> {
    if depth > MAX_DEPTH || into.len() > MAX_FILES {
        return Err(Error::new(format!("more than {MAX_FILES} files, or more than {MAX_DEPTH} levels")).at(directory.display()));
    }
    let entries = std::fs::read_dir(directory).at(directory.display())?;
    let mut paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<std::io::Result<Vec<_>>>().at(directory.display())?;
    paths.sort();
    for path in paths {
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if path.is_dir() && !hidden {
            collect(&path, depth + 1, into, surplus)?;
        } else if path.is_file() && !hidden {
            let plain = if COMPRESSED.contains(&ending(&path).as_str()) { ending(&path.with_extension("")) } else { ending(&path) };
            let text = TEXTS.contains(&plain.as_str());
            if text { into.push_back(path) } else { *surplus += 1 }
        }
    }
    Ok(())
}
