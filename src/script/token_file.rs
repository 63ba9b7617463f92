//! Where in a file token ids lie, and as what integers: arrays of NumPy (`.npy`, `.npz`) and ids without anything around them (`.bin`).
//!
//! Formats: `numpy/lib/format.py` (a magic, a version, the length of a header, the header as a dictionary of Python), the zip archives
//! that `np.savez` makes of such files.

use crate::error::{At, Error, Result};
use std::io::{Cursor, Read};
use zip::CompressionMethod;
use zip::read::ZipArchive;

/// How an id is stored.
#[derive(Debug, Clone, Copy)]
pub(super) struct Integer {
    pub name: &'static str,
    /// NumPy's names of it.
    numpy: [&'static str; 2],
    pub size: usize,
    pub read: fn(&[u8]) -> i64,
}

macro_rules! integer {
    ($kind:ty, $code:literal, $long:literal) => {
        Integer {
            name: stringify!($kind),
            numpy: [$code, $long],
            size: size_of::<$kind>(),
            read: |bytes| {
                let mut all = [0; size_of::<$kind>()];
                all.copy_from_slice(bytes);
                // An id beyond i64 is beyond any vocabulary, too.
                i64::try_from(<$kind>::from_le_bytes(all)).unwrap_or(i64::MAX)
            },
        }
    };
}

const INTEGERS: [Integer; 8] = [
    integer!(u16, "u2", "uint16"),
    integer!(u32, "u4", "uint32"),
    integer!(i32, "i4", "int32"),
    integer!(i64, "i8", "int64"),
    integer!(u8, "u1", "uint8"),
    integer!(i16, "i2", "int16"),
    integer!(u64, "u8", "uint64"),
    integer!(i8, "i1", "int8"),
];

/// Ids in a file: `count` integers from byte `offset` on.
#[derive(Debug)]
pub(super) struct Ids {
    pub integer: Integer,
    pub offset: usize,
    pub count: usize,
}

/// NumPy's headers are of 64 or 128 bytes; those of records with many fields are longer, and no token ids.
const MAX_HEADER: usize = 4096;
const MAGIC: &[u8] = b"\x93NUMPY";
/// Arrays of an archive that are looked at.
const MAX_ARRAYS: usize = 64;

const CONVERT: &str = "caramba tokenize MODEL TEXT -o data.npy makes a dataset of a text";

/// Finds the ids in the bytes of a file; `dtype` is what the user says of a file that doesn't say it itself.
///
/// # Errors
/// What kind of file it is instead, and how to make one of it that can be read.
pub(super) fn find(bytes: &[u8], dtype: Option<&str>) -> Result<Ids> {
    let ids = if bytes.starts_with(MAGIC) {
        array(bytes)?
    } else if bytes.starts_with(b"PK\x03\x04") {
        archived(bytes)?
    } else if let Some(dtype) = dtype {
        raw(bytes, dtype)?
    } else {
        return Err(unknown(bytes));
    };
    if dtype.is_some() && (bytes.starts_with(MAGIC) || bytes.starts_with(b"PK")) {
        return Err(Error::new("the file says itself what its integers are").remedy("leave `dtype` out"));
    }
    match ids.count {
        0 => Err(Error::new("the dataset holds no tokens").remedy(CONVERT)),
        _ => Ok(ids),
    }
}

/// Whether a file has nothing that says what its bytes are.
pub(super) fn is_bare(bytes: &[u8]) -> bool {
    !bytes.starts_with(MAGIC) && !bytes.starts_with(b"PK\x03\x04")
}

/// A file that is neither an array nor said to be ids.
fn unknown(bytes: &[u8]) -> Error {
    if std::str::from_utf8(&bytes[..bytes.len().min(1024)]).is_ok_and(|text| !text.contains('\0')) {
        return Error::new("this is text, expected token ids").remedy(CONVERT);
    }
    Error::new("not a NumPy array: it doesn't begin with \\x93NUMPY").remedy(
        "if it holds token ids and nothing else (as nanoGPT's .bin files do), say how they are stored: --dtype uint16, in a script dataset(path, #{ dtype: \"uint16\" }); or make a \
         .npy of it: np.save(\"data.npy\", np.fromfile(path, dtype=np.uint16))",
    )
}

/// `ids.tofile(path)`
fn raw(bytes: &[u8], dtype: &str) -> Result<Ids> {
    let found = INTEGERS.iter().find(|integer| integer.name == dtype || integer.numpy.contains(&dtype));
    let Some(&integer) = found else {
        return Err(crate::error::unknown("dtype", dtype, INTEGERS.iter().map(|integer| integer.numpy[1])));
    };
    // llm.c's files have a header of 256 integers, which would be taken for ids.
    const LLM_C: u32 = 20_240_520;
    if bytes.first_chunk().is_some_and(|first| u32::from_le_bytes(*first) == LLM_C) {
        return Err(Error::new("this is a file of llm.c, whose first 1024 bytes are no token ids")
            .remedy("np.save(\"data.npy\", np.fromfile(path, dtype=np.uint16)[512:])"));
    }
    if !bytes.len().is_multiple_of(integer.size) {
        return Err(Error::new(format!("its {} bytes are no whole number of {dtype}", bytes.len()))
            .remedy("it is stored as another dtype, or cut off"));
    }
    Ok(Ids { integer, offset: 0, count: bytes.len() / integer.size })
}

/// The only array of integers in an archive, or the one that is called as token ids are.
fn archived(bytes: &[u8]) -> Result<Ids> {
    let damaged = |error: zip::result::ZipError| Error::new(format!("this archive can't be read: {error}")).remedy("copy or make it again");
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(damaged)?;
    if archive.len() > MAX_ARRAYS {
        return Err(
            Error::new(format!("the archive holds {} files", archive.len())).remedy("save the token ids by themselves: np.save(path, ids)")
        );
    }
    let mut found: Vec<(String, Ids)> = Vec::new();
    let mut others = Vec::new();
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(damaged)?;
        let name = entry.name().map_err(damaged)?.into_owned();
        let Some(name) = name.strip_suffix(".npy").map(str::to_owned) else {
            others.push(name);
            continue;
        };
        if entry.compression() != CompressionMethod::Stored {
            let mut start = Vec::new();
            entry.by_ref().take(10).read_to_end(&mut start).at(&name)?;
            return Err(Error::new(format!("its array `{name}` is compressed, and can't be used where it lies"))
                .remedy(format!("np.save(\"data.npy\", np.load(path)[\"{name}\"])")));
        }
        let Some(start) = entry.data_start().and_then(|start| usize::try_from(start).ok()) else { continue };
        let end = usize::try_from(entry.size()).ok().and_then(|size| start.checked_add(size));
        let part = end.and_then(|end| bytes.get(start..end)).ok_or_else(|| Error::new("it goes on beyond the file").at(&name))?;
        match array(part) {
            Ok(ids) => found.push((name, Ids { offset: ids.offset + start, ..ids })),
            Err(_) => others.push(name),
        }
    }
    let named = ["tokens", "ids", "input_ids", "arr_0"].iter().find_map(|known| found.iter().position(|(name, _)| name == known));
    let place = if found.len() == 1 { Some(0) } else { named };
    match place {
        Some(place) => Ok(found.swap_remove(place).1),
        None => {
            let names: Vec<String> = found.into_iter().map(|(name, _)| name).chain(others).collect();
            Err(Error::new(format!("the archive holds several arrays or none of integers: {}", names.join(", ")))
                .remedy("np.save(\"data.npy\", np.load(path)[NAME].ravel())"))
        }
    }
}

/// What the header of a `.npy` file says.
pub(super) struct Header<'b> {
    /// `<f4`
    pub descriptor: &'b str,
    /// Column after column.
    pub fortran: bool,
    pub shape: Vec<usize>,
    /// Where the data begins.
    pub offset: usize,
}

/// Reads the header of a `.npy` file.
///
/// # Errors
/// It is no such file, or one that is cut off.
pub(super) fn header(bytes: &[u8]) -> Result<Header<'_>> {
    if !bytes.starts_with(MAGIC) {
        return Err(Error::new("not a NumPy array: it doesn't begin with \\x93NUMPY").remedy("np.save(path, array) writes one"));
    }
    let cut_off = || Error::new("the file is cut off within its header").remedy("copy or make it again");
    let version = *bytes.get(6).ok_or_else(cut_off)?;
    let (length, start) = match version {
        1 => (bytes.get(8..10).map(|length| u32::from(u16::from_le_bytes([length[0], length[1]]))), 10),
        2 | 3 => (bytes.get(8..12).map(|length| u32::from_le_bytes([length[0], length[1], length[2], length[3]])), 12),
        other => return Err(Error::new(format!("version {other} of NumPy's format is not known")).remedy("save it again with np.save")),
    };
    let length = length.ok_or_else(cut_off)? as usize;
    if length > MAX_HEADER {
        return Err(Error::new(format!("its header is said to have {length} bytes"))
            .remedy("save the ids by themselves: np.save(path, ids.astype(np.int32))"));
    }
    let header = bytes.get(start..start + length).ok_or_else(cut_off)?;
    let header = std::str::from_utf8(header).map_err(|_| Error::new("its header is no text").remedy("copy or make it again"))?;
    let strange = || Error::new("its header is not that of an array of NumPy").remedy("copy or make it again: np.save(path, array)");
    // An array of records lists its fields.
    let descriptor = quoted(header, "descr").unwrap_or_default();
    let fortran = after(header, "fortran_order").ok_or_else(strange)?.starts_with("True");
    let shape = shape(header).ok_or_else(strange)?;
    Ok(Header { descriptor, fortran, shape, offset: start + length })
}

/// An array of another machine.
pub(super) fn unequal_order(dtype: &str) -> Error {
    Error::new("the array is stored in the byte order of another machine").remedy(format!("save it with ids.astype({dtype})"))
}

/// A `.npy` file of integers.
fn array(bytes: &[u8]) -> Result<Ids> {
    let strange = || Error::new("its header is not that of an array of NumPy").remedy("copy or make it again: np.save(path, ids)");
    let Header { descriptor, fortran, shape, offset } = header(bytes)?;
    let (order, code) = descriptor.split_at_checked(1).ok_or_else(no_integers)?;
    let integer = INTEGERS.into_iter().find(|integer| integer.numpy[0] == code).ok_or_else(no_integers)?;
    if order == ">" && integer.size > 1 {
        return Err(unequal_order("np.int32"));
    }
    if fortran && shape.iter().filter(|&&size| size > 1).count() > 1 {
        return Err(Error::new("the array is stored column after column").remedy("save it with np.ascontiguousarray"));
    }
    let count = shape.iter().try_fold(1usize, |count, &size| count.checked_mul(size)).ok_or_else(strange)?;
    let held = bytes.len() - offset;
    match count.checked_mul(integer.size) {
        Some(needed) if needed <= held => Ok(Ids { integer, offset, count }),
        Some(needed) => {
            Err(Error::new(format!("the file is cut off: {} bytes are missing", needed - held)).remedy("copy or make it again"))
        }
        None => Err(strange()),
    }
}

fn no_integers() -> Error {
    Error::new("the array holds no integers that token ids could be")
        .remedy("save them as int32 or uint16: np.save(path, ids.astype(np.int32))")
}

/// What follows a key of the header's dictionary.
fn after<'h>(header: &'h str, key: &str) -> Option<&'h str> {
    let rest = ["'", "\""].iter().find_map(|mark| header.split_once(&format!("{mark}{key}{mark}")))?.1;
    Some(rest.trim_start().strip_prefix(':')?.trim_start())
}

fn quoted<'h>(header: &'h str, key: &str) -> Option<&'h str> {
    let value = after(header, key)?;
    let mark = value.chars().next().filter(|mark| matches!(mark, '\'' | '"'))?;
    value[1..].split_once(mark).map(|(text, _)| text)
}

/// `(3, 4)`, `(3,)`, `()`
fn shape(header: &str) -> Option<Vec<usize>> {
    let (sizes, _) = after(header, "shape")?.strip_prefix('(')?.split_once(')')?;
    // Python 2 wrote `3L`.
    sizes.split(',').map(str::trim).filter(|size| !size.is_empty()).map(|size| size.trim_end_matches('L').parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn npy(header: &str, data: &[u8]) -> Vec<u8> {
        [MAGIC, &[1, 0], &(header.len() as u16).to_le_bytes(), header.as_bytes(), data].concat()
    }

    fn told(bytes: &[u8], dtype: Option<&str>) -> String {
        find(bytes, dtype).unwrap_err().to_string()
    }

    #[test]
    fn arrays_of_every_integer_are_found() {
        for integer in INTEGERS {
            let order = if integer.size == 1 { "|" } else { "<" };
            let header = format!("{{'descr': '{order}{}', 'fortran_order': False, 'shape': (2,), }}", integer.numpy[0]);
            let mut data = vec![0; 2 * integer.size];
            data[integer.size] = 7;
            let bytes = npy(&header, &data);
            let ids = find(&bytes, None).unwrap();
            let at = ids.offset + ids.integer.size;
            assert_eq!((ids.count, ids.integer.name, (ids.integer.read)(&bytes[at..at + integer.size])), (2, integer.name, 7));
        }
        assert_eq!(find(&npy("{'descr': '<u2', 'fortran_order': True, 'shape': (1, 3)}", &[0; 6]), None).unwrap().count, 3);
        assert_eq!(find(&[1, 0, 2, 0], Some("uint16")).unwrap().count, 2);
    }

    #[test]
    fn everything_else_says_what_it_is() {
        let header = |descriptor: &str, rest: &str| npy(&format!("{{'descr': '{descriptor}', {rest}}}"), &[0; 8]);
        for (bytes, dtype, expected) in [
            (header("<f4", "'fortran_order': False, 'shape': (2,)"), None, "holds no integers"),
            (header(">i4", "'fortran_order': False, 'shape': (2,)"), None, "byte order of another machine"),
            (header("<i2", "'fortran_order': True, 'shape': (2, 2)"), None, "column after column"),
            (header("<i4", "'fortran_order': False, 'shape': (3,)"), None, "cut off: 4 bytes are missing"),
            (header("<i4", "'fortran_order': False, 'shape': (99999999999, 99999999999)"), None, "not that of an array"),
            (header("<i4", "'fortran_order': False, 'shape': (0,)"), None, "no tokens"),
            (npy(&"[".repeat(4000), &[]), None, "not that of an array"),
            (npy(&"[".repeat(5000), &[]), None, "said to have 5000 bytes"),
            (MAGIC.to_vec(), None, "cut off within its header"),
            (b"a text\n".to_vec(), None, "this is text, expected token ids"),
            (vec![1, 0, 2, 0, 255, 255], None, "dtype: \"uint16\""),
            (vec![1, 0, 2], Some("uint16"), "its 3 bytes are no whole number of uint16"),
            (vec![1, 0], Some("uint61"), "did you mean `uint16`?"),
            (20_240_520u32.to_le_bytes().to_vec(), Some("uint16"), "a file of llm.c"),
            (header("<i4", "'fortran_order': False, 'shape': (2,)"), Some("uint16"), "leave `dtype` out"),
            (b"PK\x03\x04".to_vec(), None, "this archive can't be read"),
        ] {
            let message = told(&bytes, dtype);
            assert!(message.contains(expected), "{message}\nexpected {expected}");
        }
    }

    #[test]
    fn an_archive_of_arrays_is_read_where_it_lies() {
        use std::io::Write;
        let archive = |names: &[&str], method: CompressionMethod| {
            let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
            for name in names {
                writer.start_file(format!("{name}.npy"), zip::write::SimpleFileOptions::default().compression_method(method)).unwrap();
                writer.write_all(&npy("{'descr': '<u2', 'fortran_order': False, 'shape': (3,), }", &[5, 0, 6, 0, 7, 0])).unwrap();
            }
            writer.finish().unwrap().into_inner()
        };
        for names in [&["whatever"][..], &["mask", "tokens"]] {
            let bytes = archive(names, CompressionMethod::Stored);
            let ids = find(&bytes, None).unwrap();
            assert_eq!((ids.count, &bytes[ids.offset..ids.offset + 6]), (3, &[5, 0, 6, 0, 7, 0][..]));
        }
        assert!(told(&archive(&["a", "b"], CompressionMethod::Stored), None).contains("several arrays or none of integers: a, b"));
        let message = told(&archive(&["tokens"], CompressionMethod::Deflated), None);
        assert!(message.contains("`tokens` is compressed") && message.contains("np.load(path)[\"tokens\"]"), "{message}");
    }
}
