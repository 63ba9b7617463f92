//! What a pickle would import when Python loads it. Nothing is executed here, and nothing is built: opcodes are only walked over.
//!
//! A pickle is a program, and a checkpoint that comes from elsewhere can start any other. The library that reads the tensors executes
//! nothing either; but it passes over calls that it doesn't know, and whoever got such a file should hear of it before loading it with
//! PyTorch. So the names of all that is imported are compared with a list of what checkpoints need, as `torch.load` does with
//! `weights_only`. Opcodes and their arguments: CPython's `Lib/pickletools.py`.

use crate::error::{Error, Result};
use std::collections::HashMap;

/// What checkpoints are made of: (module, names; empty for all of them). Constructors of plain data, and of tensors.
const HARMLESS: &[(&str, &[&str])] = &[
    ("collections", &["OrderedDict", "defaultdict", "Counter", "deque"]),
    ("builtins", PLAIN),
    ("__builtin__", PLAIN),
    ("copyreg", &["_reconstructor"]),
    ("copy_reg", &["_reconstructor"]),
    ("_codecs", &["encode"]),
    (
        "torch._utils",
        &["_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3", "_rebuild_parameter", "_rebuild_parameter_with_state"],
    ),
    ("torch._tensor", &["_rebuild_from_type_v2"]),
    ("torch", &["Size", "Tensor", "device"]),
    ("torch.nn.parameter", &["Parameter", "Buffer"]),
    ("torch.storage", &["UntypedStorage", "TypedStorage"]),
    ("torch.serialization", &["_get_layout"]),
    ("torch.torch_version", &["TorchVersion"]),
    ("numpy", &["dtype", "ndarray"]),
    ("numpy.core.multiarray", &["scalar", "_reconstruct"]),
    ("numpy._core.multiarray", &["scalar", "_reconstruct"]),
    ("numpy.dtypes", &[]),
    ("pathlib", &["Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath"]),
    ("pathlib._local", &["Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath"]),
    ("argparse", &["Namespace"]),
    ("types", &["SimpleNamespace"]),
    ("datetime", &["datetime", "date", "time", "timedelta", "timezone"]),
    ("uuid", &["UUID"]),
];
const PLAIN: &[&str] = &[
    "set",
    "frozenset",
    "dict",
    "list",
    "tuple",
    "int",
    "float",
    "bool",
    "str",
    "bytes",
    "bytearray",
    "complex",
    "slice",
    "range",
    "object",
];
/// Element types, which `torch` has as attributes of itself.
const ELEMENTS: &[&str] = &[
    "float32", "float64", "float16", "bfloat16", "float", "double", "half", "int64", "int32", "int16", "int8", "uint8", "bool", "long",
    "int",
];

fn harmless(module: &str, name: &str) -> bool {
    let listed = |&(known, names): &(&str, &[&str])| known == module && (names.is_empty() || names.contains(&name));
    HARMLESS.iter().any(listed) || (module == "torch" && (name.ends_with("Storage") || ELEMENTS.contains(&name)))
}

/// Refuses a pickle that would call anything but constructors of plain data and tensors. `bytes` begins with it; the number of its bytes
/// is returned.
///
/// # Errors
/// As above; bytes that are no pickle, or its end is missing.
pub(super) fn inspect(bytes: &[u8]) -> Result<usize> {
    let mut walk = Walk { bytes, at: 0, memo: HashMap::new(), recent: Vec::new() };
    while walk.step()? {}
    Ok(walk.at)
}

struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    memo: HashMap<usize, Option<&'a str>>,
    /// The texts pushed since the last operation that did anything else: those that are certainly on top of the stack. `None`: no text.
    recent: Vec<Option<&'a str>>,
}

impl<'a> Walk<'a> {
    /// One opcode; `false` after the last.
    fn step(&mut self) -> Result<bool> {
        let start = self.at;
        let opcode = self.take(1)?[0];
        match opcode {
            b'.' => return Ok(false),
            // Imports: as text, or from two texts on the stack.
            b'c' | b'i' => {
                let (module, name) = (self.line()?, self.line()?);
                allow(&text(module), &text(name))?;
                self.recent.clear();
            }
            0x93 => {
                let [.., Some(module), Some(name)] = self.recent[..] else {
                    return Err(Error::new(format!("byte {start} of the pickle imports something whose name is computed")).remedy(REMEDY));
                };
                allow(module, name)?;
                self.recent.clear();
            }
            // Texts.
            b'X' => self.push_text(4)?,
            0x8c => self.push_text(1)?,
            0x8d => self.push_text(8)?,
            b'V' => {
                let line = std::str::from_utf8(self.line()?).ok();
                self.recent.push(line);
            }
            // The memo, which leaves the stack as it is or repeats a text.
            b'q' => self.put(1)?,
            b'r' => self.put(4)?,
            b'p' => {
                let index = self.index()?;
                self.memo.insert(index, self.recent.last().copied().flatten());
            }
            0x94 => {
                self.memo.insert(self.memo.len(), self.recent.last().copied().flatten());
            }
            b'h' => self.get(1)?,
            b'j' => self.get(4)?,
            b'g' => {
                let index = self.index()?;
                self.recent.push(self.memo.get(&index).copied().flatten());
            }
            // Marks of the format itself: protocol, frame.
            0x80 => drop(self.take(1)?),
            0x95 => drop(self.take(8)?),
            // Everything else: skipped with its argument.
            _ => {
                self.recent.clear();
                match opcode {
                    b'('
                    | b'0'
                    | b'1'
                    | b'2'
                    | b'N'
                    | b'R'
                    | b'b'
                    | b'd'
                    | b'l'
                    | b't'
                    | b's'
                    | b'a'
                    | b')'
                    | b']'
                    | b'}'
                    | b'e'
                    | b'u'
                    | b'o'
                    | b'Q'
                    | 0x81
                    | 0x85..=0x89
                    | 0x8f..=0x92
                    | 0x97
                    | 0x98 => {}
                    b'K' => drop(self.take(1)?),
                    b'M' => drop(self.take(2)?),
                    b'J' => drop(self.take(4)?),
                    b'G' => drop(self.take(8)?),
                    b'I' | b'L' | b'F' | b'P' | b'S' => drop(self.line()?),
                    b'U' | b'C' | 0x8a => drop(self.counted(1)?),
                    b'T' | b'B' | 0x8b => drop(self.counted(4)?),
                    0x8e | 0x96 => drop(self.counted(8)?),
                    0x82..=0x84 => {
                        return Err(
                            Error::new(format!("byte {start} of the pickle imports from Python's extension registry")).remedy(REMEDY)
                        );
                    }
                    _ => return Err(damaged(format!("byte {start} of the pickle is {opcode:#04x}, which is no operation of a pickle"))),
                }
            }
        }
        Ok(true)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let end = self.at.checked_add(count).filter(|&end| end <= self.bytes.len());
        let end = end.ok_or_else(|| damaged(format!("the pickle goes on beyond its {} bytes", self.bytes.len())))?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    /// A little-endian number of `width` bytes.
    fn number(&mut self, width: usize) -> Result<usize> {
        let bytes = self.take(width)?;
        let number = bytes.iter().rev().fold(0u64, |number, &byte| (number << 8) | u64::from(byte));
        Ok(usize::try_from(number).unwrap_or(usize::MAX))
    }

    fn counted(&mut self, width: usize) -> Result<&'a [u8]> {
        let count = self.number(width)?;
        self.take(count)
    }

    /// What is left of a line, without its end.
    fn line(&mut self) -> Result<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|&byte| byte == b'\n').ok_or_else(|| damaged("a line of the pickle has no end".to_owned()))?;
        self.at += length + 1;
        Ok(&rest[..length])
    }

    fn push_text(&mut self, width: usize) -> Result<()> {
        let text = std::str::from_utf8(self.counted(width)?).ok();
        self.recent.push(text);
        Ok(())
    }

    /// A memo index that is written as text.
    fn index(&mut self) -> Result<usize> {
        let line = text(self.line()?);
        line.parse().map_err(|_| damaged(format!("expected the number of an object in the pickle, found {line:?}")))
    }

    fn put(&mut self, width: usize) -> Result<()> {
        let index = self.number(width)?;
        self.memo.insert(index, self.recent.last().copied().flatten());
        Ok(())
    }

    fn get(&mut self, width: usize) -> Result<()> {
        let index = self.number(width)?;
        self.recent.push(self.memo.get(&index).copied().flatten());
        Ok(())
    }
}

const REMEDY: &str = "nothing in it was executed; don't load it with PyTorch unless you know who wrote it. A checkpoint of your own can be \
                      saved again with tensors only: torch.save({\"state_dict\": model.state_dict()}, path)";

fn allow(module: &str, name: &str) -> Result<()> {
    match harmless(module, name) {
        true => Ok(()),
        false => Err(Error::new(format!("this checkpoint wants to run code: it calls `{module}.{name}` when it is loaded")).remedy(REMEDY)),
    }
}

fn damaged(message: String) -> Error {
    Error::new(message).remedy("the file is truncated or damaged, or is no PyTorch checkpoint: fetch it again")
}

fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

#[cfg(test)]
mod tests {
    use super::inspect;

    fn refused(pickle: &[u8]) -> String {
        inspect(pickle).unwrap_err().message().to_owned()
    }

    #[test]
    fn calls_are_found_wherever_they_hide() {
        let call = "this checkpoint wants to run code: it calls `posix.system` when it is loaded";
        // Protocol 0; the result is popped.
        assert_eq!(refused(b"cposix\nsystem\n(S'true'\ntR0}."), call);
        // Protocol 4, names on the stack, then repeated from the memo.
        assert_eq!(refused(b"\x80\x04\x8c\x05posix\x94\x8c\x06system\x94\x93."), call);
        assert_eq!(refused(b"\x80\x04\x8c\x06system\x94\x8c\x05posix\x94h\x01h\x00\x93."), call);
        // The instance operation of protocol 0.
        assert_eq!(refused(b"(S'true'\niposix\nsystem\n."), call);
        assert!(refused(b"\x80\x04\x8c\x05posix\x8c\x03sys0\x8c\x06system\x93.").contains("computed"));
        assert!(refused(b"\x80\x02\x82\x01.").contains("extension registry"));
        assert!(refused(b"\x80\x02cbuiltins\neval\n.").contains("`builtins.eval`"));
        assert!(refused(b"\x80\x02ctorch\nload\n.").contains("`torch.load`"));
    }

    #[test]
    fn harmless_pickles_pass_and_are_measured() {
        let pickle = b"\x80\x02ccollections\nOrderedDict\nq\x00)Rq\x01X\x01\x00\x00\x00aK\x05s.rest";
        assert_eq!(inspect(pickle).unwrap(), pickle.len() - 4);
        assert!(inspect(b"\x80\x04\x95\x0b\0\0\0\0\0\0\0\x8c\x05torch\x94\x8c\x0bHalfStorage\x94\x93.").is_ok());
    }

    #[test]
    fn damage_is_told() {
        assert!(refused(b"").contains("goes on beyond"));
        assert!(refused(b"\x80\x02X\xff\xff\xff\xffab").contains("goes on beyond its 9 bytes"));
        assert!(refused(b"\x80\x02\xfe.").contains("byte 2 of the pickle is 0xfe"));
        assert!(refused(b"cposix").contains("no end"));
        assert!(refused(b"gx\n.").contains("number of an object"));
    }
}
