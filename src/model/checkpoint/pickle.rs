//! A pickle, read without executing anything: the stack machine that it is a program for, with nothing but data.
//!
//! Opcodes and their arguments: CPython's `Lib/pickletools.py`. Only what tells of tensors becomes a value; all other data is
//! [`Object::Plain`]. Objects are kept in one list and refer to each other by their place in it: a pickle can tie objects into rings and
//! nest them without end, and a list is neither walked nor freed recursively.

use super::imports;
use super::views::{self, Storage, StoredTensor};
use crate::error::{Error, Result};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

/// How deep dictionaries may be nested: a path is walked for each level.
const MAX_DEPTH: usize = 16;
/// What an object takes in memory, with its places in the list, on the stack and in the memo, lists growing by doubling.
const OBJECT: usize = 2 * size_of::<Object>() + 16;
/// What a place in a list or dictionary takes.
const ITEM: usize = 2 * size_of::<(Id, Id)>();

/// The place of an object in the list.
pub(super) type Id = usize;

#[derive(Debug, Clone)]
pub(super) enum Object<'a> {
    Plain,
    Int(i64),
    Text(&'a str),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Import(&'a str, &'a str),
    Storage(Rc<Storage>),
    Tensor(Rc<StoredTensor>),
}

/// What a pickle built.
pub(super) struct Pickle<'a> {
    objects: Vec<Object<'a>>,
    root: Id,
    /// Its length in bytes.
    pub length: usize,
    /// Every storage that it speaks of, by key.
    pub storages: BTreeMap<String, Rc<Storage>>,
}

/// A key of a dictionary, or a place in a list.
#[derive(Clone, Copy)]
enum Key<'a> {
    Text(&'a str),
    Int(i64),
}

impl std::fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Key::Text(key) => f.write_str(key),
            Key::Int(key) => key.fmt(f),
        }
    }
}

/// The tensors of a pickle.
pub(super) struct Tensors {
    /// By the path of keys that leads to each: `state_dict.norm.weight`.
    pub tensors: BTreeMap<String, Rc<StoredTensor>>,
    /// The paths of all dictionaries and lists on the way, with a dot at the end; that of the outermost is empty.
    pub dictionaries: BTreeSet<String>,
}

/// Reads the pickle that `bytes` begins with, in at most `budget` bytes of memory.
///
/// # Errors
/// It imports what no checkpoint needs, is damaged, or speaks of tensors in a way that PyTorch doesn't.
pub(super) fn read(bytes: &[u8], budget: usize) -> Result<Pickle<'_>> {
    let mut machine = Machine {
        bytes,
        at: 0,
        objects: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        storages: BTreeMap::new(),
        left: budget,
    };
    while machine.step()? {}
    let root = machine.pop()?;
    Ok(Pickle { objects: machine.objects, root, length: machine.at, storages: machine.storages })
}

impl Pickle<'_> {
    /// Every tensor in the dictionaries and lists of the pickle, found in at most `budget` bytes of memory.
    ///
    /// # Errors
    /// Nested without end.
    pub fn tensors(&self, budget: usize) -> Result<Tensors> {
        let mut found = Tensors { tensors: BTreeMap::new(), dictionaries: BTreeSet::new() };
        let mut left = budget;
        let mut waiting = vec![(self.root, String::new(), 0)];
        while let Some((id, path, depth)) = waiting.pop() {
            let items: Vec<(Key, Id)> = match &self.objects[id] {
                Object::Tensor(tensor) => {
                    found.tensors.insert(path, Rc::clone(tensor));
                    continue;
                }
                _ if depth == MAX_DEPTH => continue,
                Object::Dict(items) => items.iter().filter_map(|&(key, value)| Some((self.key(key)?, value))).collect(),
                Object::List(items) | Object::Tuple(items) => {
                    items.iter().enumerate().map(|(index, &item)| (Key::Int(index as i64), item)).collect()
                }
                _ => continue,
            };
            let prefix = if path.is_empty() { path } else { path + "." };
            for (key, child) in items.into_iter().filter(|(_, child)| self.leads_on(*child)) {
                let length = if let Key::Text(key) = key { key.len() } else { 20 };
                // A path is kept here, and again where a tensor is found.
                left = left.checked_sub(2 * (prefix.len() + length) + 128).ok_or_else(endless)?;
                waiting.push((child, format!("{prefix}{key}"), depth + 1));
            }
            found.dictionaries.insert(prefix);
        }
        Ok(found)
    }

    fn key(&self, id: Id) -> Option<Key<'_>> {
        match self.objects[id] {
            Object::Text(key) => Some(Key::Text(key)),
            Object::Int(key) => Some(Key::Int(key)),
            _ => None,
        }
    }

    /// Whether an object is a tensor, or may hold some.
    fn leads_on(&self, id: Id) -> bool {
        match &self.objects[id] {
            Object::Tensor(_) => true,
            Object::Dict(items) => !items.is_empty(),
            Object::List(items) | Object::Tuple(items) => !items.is_empty(),
            _ => false,
        }
    }

    /// The texts of a list: the keys of the storages of a legacy file.
    pub fn texts(&self) -> Vec<&str> {
        let Object::List(items) = &self.objects[self.root] else { return Vec::new() };
        items.iter().filter_map(|&item| if let Object::Text(text) = self.objects[item] { Some(text) } else { None }).collect()
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    objects: Vec<Object<'a>>,
    stack: Vec<Id>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<usize, Id>,
    storages: BTreeMap<String, Rc<Storage>>,
    /// Bytes of memory that may still be taken.
    left: usize,
}

impl<'a> Machine<'a> {
    /// One opcode; `false` after the last.
    fn step(&mut self) -> Result<bool> {
        let start = self.at;
        let opcode = self.take(1)?[0];
        match opcode {
            b'.' => return Ok(false),
            // Protocol and frame: marks of the format itself.
            0x80 => drop(self.take(1)?),
            0x95 => drop(self.take(8)?),

            // Data that tells nothing of tensors.
            b'N' | 0x88 | 0x89 => self.push(Object::Plain)?,
            b'F' => self.line().and_then(|_| self.push(Object::Plain))?,
            b'G' => self.take(8).and_then(|_| self.push(Object::Plain))?,
            b'C' => self.counted(1).and_then(|_| self.push(Object::Plain))?,
            b'B' => self.counted(4).and_then(|_| self.push(Object::Plain))?,
            0x8e | 0x96 => self.counted(8).and_then(|_| self.push(Object::Plain))?,

            // Whole numbers.
            b'K' => self.int(1)?,
            b'M' => self.int(2)?,
            b'J' => {
                let bytes = self.take(4)?;
                self.push(Object::Int(i64::from(i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))))?;
            }
            b'I' | b'L' => {
                let line = text(self.line()?)?;
                let number = line.trim_end_matches('L').parse();
                self.push(number.map_or(Object::Plain, Object::Int))?;
            }
            0x8a => self.long(1)?,
            0x8b => self.long(4)?,

            // Texts.
            b'X' | b'T' => self.text(4)?,
            0x8c | b'U' => self.text(1)?,
            0x8d => self.text(8)?,
            b'V' => {
                let line = text(self.line()?)?;
                self.push(Object::Text(line))?;
            }
            b'S' => {
                let line = text(self.line()?)?;
                self.push(Object::Text(line.trim_matches(['\'', '"'])))?;
            }

            // The stack and the memo.
            b'(' => {
                self.charge(16)?;
                self.marks.push(self.stack.len());
            }
            b'0' => {
                if self.marks.last() == Some(&self.stack.len()) {
                    self.marks.pop();
                } else {
                    self.pop()?;
                }
            }
            b'1' => drop(self.pop_marked()?),
            b'2' => {
                let top = self.top()?;
                self.charge(16)?;
                self.stack.push(top);
            }
            b'q' => self.number(1).and_then(|index| self.put(index))?,
            b'r' => self.number(4).and_then(|index| self.put(index))?,
            b'p' => self.index().and_then(|index| self.put(index))?,
            0x94 => self.put(self.memo.len())?,
            b'h' => self.number(1).and_then(|index| self.get(index))?,
            b'j' => self.number(4).and_then(|index| self.get(index))?,
            b'g' => self.index().and_then(|index| self.get(index))?,

            // Collections.
            b')' => self.push(Object::Tuple(Vec::new()))?,
            b']' | 0x8f => self.push(Object::List(Vec::new()))?,
            b'}' => self.push(Object::Dict(Vec::new()))?,
            b't' => {
                let items = self.pop_marked()?;
                self.push(Object::Tuple(items))?;
            }
            b'l' | 0x91 => {
                let items = self.pop_marked()?;
                self.push(Object::List(items))?;
            }
            b'd' => {
                let items = self.pop_marked()?;
                self.push(Object::Dict(pairs(&items)))?;
            }
            0x85..=0x87 => {
                let mut items = vec![0; usize::from(opcode - 0x84)];
                for item in items.iter_mut().rev() {
                    *item = self.pop()?;
                }
                self.push(Object::Tuple(items))?;
            }
            b'a' => {
                let item = self.pop()?;
                self.append(&[item])?;
            }
            b'e' | 0x90 => {
                let items = self.pop_marked()?;
                self.append(&items)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set(&[key, value])?;
            }
            b'u' => {
                let items = self.pop_marked()?;
                self.set(&items)?;
            }

            // Imports and calls.
            b'c' => {
                let (module, name) = (text(self.line()?)?, text(self.line()?)?);
                self.import(module, name)?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                match (&self.objects[module], &self.objects[name]) {
                    (&Object::Text(module), &Object::Text(name)) => self.import(module, name)?,
                    _ => return Err(damaged(format!("byte {start} of the pickle imports something that has no name"))),
                }
            }
            b'R' => {
                let (arguments, callee) = (self.pop()?, self.pop()?);
                let result = views::call(&self.objects, callee, arguments)?;
                match &result {
                    Object::Dict(items) => self.charge(ITEM * items.len())?,
                    Object::Tensor(tensor) => self.charge(128 + 16 * tensor.shape.len())?,
                    _ => {}
                }
                self.push(result)?;
            }
            b'i' => {
                let (module, name) = (text(self.line()?)?, text(self.line()?)?);
                imports::allow(module, name)?;
                self.pop_marked()?;
                self.push(Object::Plain)?;
            }
            b'o' => {
                self.pop_marked()?;
                self.push(Object::Plain)?;
            }
            0x81 => {
                let (_, _) = (self.pop()?, self.pop()?);
                self.push(Object::Plain)?;
            }
            0x92 => {
                let (_, _, _) = (self.pop()?, self.pop()?, self.pop()?);
                self.push(Object::Plain)?;
            }
            // The state of an object, such as the version of a state_dict.
            b'b' => drop(self.pop()?),
            0x82..=0x84 => {
                return Err(
                    Error::new(format!("byte {start} of the pickle imports from Python's extension registry")).remedy(imports::REMEDY)
                );
            }
            b'Q' => {
                let id = self.pop()?;
                let storage = Rc::new(views::storage(&self.objects, id)?);
                self.charge(256 + 2 * storage.key.len())?;
                self.storages.insert(storage.key.clone(), Rc::clone(&storage));
                self.push(Object::Storage(storage))?;
            }
            _ => return Err(damaged(format!("byte {start} of the pickle is {opcode:#04x}, which is no operation of a checkpoint's"))),
        }
        Ok(true)
    }

    fn import(&mut self, module: &'a str, name: &'a str) -> Result<()> {
        imports::allow(module, name)?;
        self.push(Object::Import(module, name))
    }

    fn append(&mut self, items: &[Id]) -> Result<()> {
        let top = self.top()?;
        self.charge(ITEM * items.len())?;
        if let Object::List(list) = &mut self.objects[top] {
            list.extend_from_slice(items);
        }
        Ok(())
    }

    fn set(&mut self, items: &[Id]) -> Result<()> {
        let top = self.top()?;
        self.charge(ITEM * items.len())?;
        if let Object::Dict(dict) = &mut self.objects[top] {
            dict.extend(pairs(items));
        }
        Ok(())
    }

    fn push(&mut self, object: Object<'a>) -> Result<()> {
        self.charge(OBJECT)?;
        self.stack.push(self.objects.len());
        self.objects.push(object);
        Ok(())
    }

    /// Takes so many bytes out of the budget.
    fn charge(&mut self, bytes: usize) -> Result<()> {
        self.left = self.left.checked_sub(bytes).ok_or_else(endless)?;
        Ok(())
    }

    fn top(&self) -> Result<Id> {
        self.stack.last().copied().ok_or_else(|| damaged("the pickle takes more than it has".to_owned()))
    }

    /// The object on top, which no mark protects.
    fn pop(&mut self) -> Result<Id> {
        let top = self.top()?;
        if self.marks.last() == Some(&self.stack.len()) {
            return Err(damaged("the pickle takes more than it has".to_owned()));
        }
        self.stack.pop();
        Ok(top)
    }

    /// Everything above the last mark.
    fn pop_marked(&mut self) -> Result<Vec<Id>> {
        let mark = self.marks.pop().filter(|&mark| mark <= self.stack.len());
        let mark = mark.ok_or_else(|| damaged("the pickle takes more than it has".to_owned()))?;
        self.charge(ITEM * (self.stack.len() - mark))?;
        Ok(self.stack.split_off(mark))
    }

    fn put(&mut self, index: usize) -> Result<()> {
        let top = self.top()?;
        self.charge(48)?;
        self.memo.insert(index, top);
        Ok(())
    }

    fn get(&mut self, index: usize) -> Result<()> {
        let id = self.memo.get(&index).copied();
        self.charge(16)?;
        self.stack.push(id.ok_or_else(|| damaged(format!("the pickle refers to object {index}, which it hasn't")))?);
        Ok(())
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
        let number = self.take(width)?.iter().rev().fold(0u64, |number, &byte| (number << 8) | u64::from(byte));
        Ok(usize::try_from(number).unwrap_or(usize::MAX))
    }

    fn int(&mut self, width: usize) -> Result<()> {
        let number = self.number(width)?;
        self.push(Object::Int(number as i64))
    }

    /// A number in two's complement, as long as its count says; those beyond 64 bits tell of nothing here.
    fn long(&mut self, width: usize) -> Result<()> {
        let bytes = self.counted(width)?;
        let negative = bytes.last().is_some_and(|&byte| byte >= 0x80);
        let number = bytes.iter().rev().fold(if negative { -1i64 } else { 0 }, |number, &byte| (number << 8) | i64::from(byte));
        self.push(if bytes.len() > 8 { Object::Plain } else { Object::Int(number) })
    }

    fn counted(&mut self, width: usize) -> Result<&'a [u8]> {
        let count = self.number(width)?;
        self.take(count)
    }

    fn text(&mut self, width: usize) -> Result<()> {
        // Protocol 2 keeps bytes in texts, too; those that aren't UTF-8 name nothing.
        let text = std::str::from_utf8(self.counted(width)?);
        self.push(text.map_or(Object::Plain, Object::Text))
    }

    /// What is left of a line, without its end.
    fn line(&mut self) -> Result<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|&byte| byte == b'\n').ok_or_else(|| damaged("a line of the pickle has no end".to_owned()))?;
        self.at += length + 1;
        Ok(&rest[..length])
    }

    /// A memo index that is written as text.
    fn index(&mut self) -> Result<usize> {
        let line = text(self.line()?)?;
        line.parse().map_err(|_| damaged(format!("expected the number of an object in the pickle, found {line:?}")))
    }
}

fn pairs(items: &[Id]) -> Vec<(Id, Id)> {
    items.as_chunks::<2>().0.iter().map(|&[key, value]| (key, value)).collect()
}

fn text(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| damaged("a line of the pickle is no text".to_owned()))
}

fn endless() -> Error {
    damaged("it describes far more than its size can hold: its parts refer to each other without end".to_owned())
}

pub(super) fn damaged(message: String) -> Error {
    Error::new(message).remedy("the file is truncated or damaged, or is no PyTorch checkpoint: fetch or save it again")
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: usize = 1 << 24;

    fn read(pickle: &[u8]) -> Result<Pickle<'_>> {
        super::read(pickle, BUDGET)
    }

    fn tensors(pickle: &Pickle) -> BTreeMap<String, Rc<StoredTensor>> {
        pickle.tensors(BUDGET).unwrap().tensors
    }

    fn refused(pickle: &[u8]) -> String {
        read(pickle).err().unwrap().message().to_owned()
    }

    #[test]
    fn calls_are_found_wherever_they_hide() {
        let call = "this checkpoint wants to run code: it calls `posix.system` when it is loaded";
        // Protocol 0; the result is popped.
        assert_eq!(refused(b"cposix\nsystem\n(S'true'\ntR0}."), call);
        // Protocol 4, names on the stack, then repeated from the memo, then dug up from below something else.
        assert_eq!(refused(b"\x80\x04\x8c\x05posix\x94\x8c\x06system\x94\x93."), call);
        assert_eq!(refused(b"\x80\x04\x8c\x06system\x94\x8c\x05posix\x94h\x01h\x00\x93."), call);
        assert_eq!(refused(b"\x80\x04\x8c\x05posix\x8c\x03sys0\x8c\x06system\x93."), call);
        // The instance operation of protocol 0.
        assert_eq!(refused(b"(S'true'\niposix\nsystem\n."), call);
        assert!(refused(b"\x80\x02\x82\x01.").contains("extension registry"));
        assert!(refused(b"\x80\x02cbuiltins\neval\n.").contains("`builtins.eval`"));
        assert!(refused(b"\x80\x02ctorch\nload\n.").contains("`torch.load`"));
        assert!(refused(b"\x80\x02ctorch._utils\n_rebuild_sparse_tensor\n.").contains("of a kind that isn't supported"));
    }

    #[test]
    fn dictionaries_are_walked() {
        // {"a": 5, "b": OrderedDict([...]) with state} of protocol 2, and something after it.
        let pickle = b"\x80\x02}q\x00(X\x01\x00\x00\x00aK\x05X\x01\x00\x00\x00bccollections\nOrderedDict\nq\x01)Rq\x02}bu.rest";
        let read = read(pickle).unwrap();
        assert_eq!(read.length, pickle.len() - 4);
        assert!(tensors(&read).is_empty() && read.storages.is_empty());
    }

    /// A half-float matrix [2, 3] at offset 1 of storage "7".
    #[test]
    fn tensors_are_found() {
        let pickle = b"\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nHalfStorage\n\
            X\x01\x00\x00\x007X\x03\x00\x00\x00cpuK\x09tQK\x01K\x02K\x03\x86K\x03K\x01\x86\x89}tRs.";
        let read = read(pickle).unwrap();
        let tensor = &tensors(&read)["w"];
        assert_eq!((tensor.offset, tensor.shape.as_slice(), tensor.strides.as_slice()), (1, [2, 3].as_slice(), [3, 1].as_slice()));
        assert_eq!(tensor.storage, read.storages["7"]);
        assert_eq!((tensor.storage.elements, tensor.storage.element.name), (9, "float16"));
    }

    #[test]
    fn damage_is_told() {
        assert!(refused(b"").contains("goes on beyond"));
        assert!(refused(b"\x80\x02X\xff\xff\xff\xffab").contains("goes on beyond its 9 bytes"));
        assert!(refused(b"\x80\x02\xfe.").contains("byte 2 of the pickle is 0xfe"));
        assert!(refused(b"cposix").contains("no end"));
        assert!(refused(b"gx\n.").contains("number of an object"));
        for pickle in [&b"."[..], b"t.", b"(0R.", b"\x87.", b"u.", b"Q.", b"q\x00.", b"K\x01Q.", b"K\x01K\x02R.", b"}(K\x01tb0b."] {
            assert!(read(pickle).is_err(), "{pickle:?}");
        }
    }

    /// A list that holds itself, and lists of lists of lists.
    #[test]
    fn rings_and_towers_come_to_an_end() {
        assert!(tensors(&read(b"]q\x00h\x00a.").unwrap()).is_empty());
        let deep = [vec![b')'], vec![0x85; 1 << 16], vec![b'.']].concat();
        assert!(tensors(&read(&deep).unwrap()).is_empty());
        let deep = [vec![b')'], vec![0x85; 1 << 20], vec![b'.']].concat();
        assert!(refused(&deep).contains("far more than its size can hold"));
        // Each list holds the one before it many times: too many paths to walk.
        let mut wide = b"]q\x00".to_vec();
        for level in 0..12u8 {
            wide.extend([b']', b'q', level + 1, b'(']);
            wide.extend([b'h', level].repeat(200));
            wide.push(b'e');
        }
        wide.push(b'.');
        assert!(read(&wide).unwrap().tensors(BUDGET).err().unwrap().to_string().contains("without end"));
    }
}
