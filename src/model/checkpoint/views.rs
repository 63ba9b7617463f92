//! What a pickle's objects and calls say of tensors: PyTorch's storages and views of them.
//!
//! A call is never made: what it would return is known of the few that matter (`torch/_utils.py`, `torch/_tensor.py`), and of the others
//! nothing is wanted.

use super::pickle::{Id, Object, damaged};
use crate::error::{Error, Result};
use crate::model::tensor::DataType;
use std::rc::Rc;

/// PyTorch's own limit is 64.
const MAX_DIMENSIONS: usize = 64;

/// The type of a storage's elements.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Element {
    /// PyTorch's name of it.
    pub name: &'static str,
    /// Bytes.
    pub size: usize,
    /// `None`: read by no model.
    pub data_type: Option<DataType>,
    /// Whole numbers or truth values.
    pub integer: bool,
}

const fn float(name: &'static str, size: usize, data_type: Option<DataType>) -> Element {
    Element { name, size, data_type, integer: false }
}

const fn integer(name: &'static str, size: usize) -> Element {
    Element { name, size, data_type: None, integer: true }
}

/// Of a type that came into being later, or that no model has. It may stand beside the weights.
const UNKNOWN: Element = float("of an unknown type", 1, None);

/// By the prefix of the storage's class: `HalfStorage`. Those without a class of their own are known by their type's name only.
const STORAGES: &[(&str, Element)] = &[
    ("Float", float("float32", 4, Some(DataType::F32))),
    ("Half", float("float16", 2, Some(DataType::F16))),
    ("BFloat16", float("bfloat16", 2, Some(DataType::BF16))),
    ("Double", float("float64", 8, None)),
    ("Long", integer("int64", 8)),
    ("Int", integer("int32", 4)),
    ("Short", integer("int16", 2)),
    ("Char", integer("int8", 1)),
    ("Byte", integer("uint8", 1)),
    ("Bool", integer("bool", 1)),
    ("", integer("uint16", 2)),
    ("", integer("uint32", 4)),
    ("", integer("uint64", 8)),
    ("ComplexFloat", float("complex64", 8, None)),
    ("ComplexDouble", float("complex128", 16, None)),
    // Bytes without a type: the tensor has it.
    ("Untyped", float("bytes", 1, None)),
];

/// Where the elements of tensors are kept.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Storage {
    pub key: String,
    pub element: Element,
    pub elements: usize,
}

/// A view into a storage; offset and strides are in elements.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct StoredTensor {
    pub storage: Rc<Storage>,
    pub offset: usize,
    pub shape: Vec<usize>,
    pub strides: Vec<usize>,
}

/// What a call would return, of the few that tell of tensors.
pub(super) fn call<'a>(objects: &[Object<'a>], callee: Id, arguments: Id) -> Result<Object<'a>> {
    let Object::Tuple(arguments) = &objects[arguments] else {
        return Err(damaged("a call in the pickle has no list of arguments".to_owned()));
    };
    let Object::Import(module, name) = objects[callee] else { return Ok(Object::Plain) };
    match (module, name) {
        ("collections", "OrderedDict") => Ok(Object::Dict(ordered(objects, arguments))),
        ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => tensor(objects, arguments, None),
        ("torch._utils", "_rebuild_tensor_v3") => tensor(objects, arguments, Some(6)),
        ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => match arguments.first() {
            Some(&tensor) if matches!(objects[tensor], Object::Tensor(_)) => Ok(objects[tensor].clone()),
            _ => Err(damaged("a parameter in the pickle has no tensor".to_owned())),
        },
        ("torch._tensor", "_rebuild_from_type_v2") => match arguments[..] {
            // Only what is called here is called again: no import leads back to this line twice.
            [inner, _, arguments, ..] if !matches!(objects[inner], Object::Import("torch._tensor", _)) => call(objects, inner, arguments),
            _ => Err(damaged("a tensor in the pickle is built in an unknown way".to_owned())),
        },
        _ => Ok(Object::Plain),
    }
}

/// `OrderedDict([(key, value), ...])`
fn ordered(objects: &[Object], arguments: &[Id]) -> Vec<(Id, Id)> {
    let Some(Object::List(items)) = arguments.first().map(|&list| &objects[list]) else { return Vec::new() };
    let pair = |&item: &Id| match &objects[item] {
        Object::Tuple(pair) | Object::List(pair) if pair.len() == 2 => Some((pair[0], pair[1])),
        _ => None,
    };
    items.iter().filter_map(pair).collect()
}

/// `_rebuild_tensor(storage, offset, shape, strides, ...)`; `typed` is the place of the argument that has the type of its elements.
fn tensor<'a>(objects: &[Object<'a>], arguments: &[Id], typed: Option<usize>) -> Result<Object<'a>> {
    let [storage, offset, shape, strides, ..] = arguments else {
        return Err(damaged("a tensor in the pickle lacks its shape".to_owned()));
    };
    let Object::Storage(storage) = &objects[*storage] else {
        return Err(damaged("a tensor in the pickle has no storage".to_owned()));
    };
    let mut storage = Rc::clone(storage);
    if let Some(&Object::Import("torch", name)) = typed.and_then(|place| arguments.get(place)).map(|&id| &objects[id]) {
        let element = STORAGES.iter().map(|(_, element)| *element).find(|element| element.name == name).unwrap_or(UNKNOWN);
        let elements = storage.elements.saturating_mul(storage.element.size) / element.size;
        storage = Rc::new(Storage { elements, element, key: storage.key.clone() });
    }
    let (shape, strides) = (sizes(objects, *shape)?, sizes(objects, *strides)?);
    if shape.len() != strides.len() {
        return Err(damaged(format!("a tensor in the pickle has shape {shape:?} and strides {strides:?}")));
    }
    if shape.len() > MAX_DIMENSIONS {
        return Err(damaged(format!("a tensor in the pickle has {} dimensions", shape.len())));
    }
    Ok(Object::Tensor(Rc::new(StoredTensor { storage, offset: size(objects, *offset)?, shape, strides })))
}

/// `("storage", class, key, device, number of elements)`
pub(super) fn storage(objects: &[Object], id: Id) -> Result<Storage> {
    let wrong = || damaged("the pickle refers to something that is no storage of a tensor".to_owned());
    let Object::Tuple(parts) = &objects[id] else { return Err(wrong()) };
    let [tag, class, key, _, elements, view @ ..] = &parts[..] else { return Err(wrong()) };
    let (Object::Text("storage"), &Object::Import(_, class)) = (&objects[*tag], &objects[*class]) else {
        return Err(wrong());
    };
    if view.iter().any(|&part| !matches!(objects[part], Object::Plain)) {
        return Err(Error::new("its storages are views of each other, as PyTorch before 0.4 wrote them")
            .remedy("load and save it with a newer PyTorch"));
    }
    let key = match objects[*key] {
        Object::Text(key) => key.to_owned(),
        Object::Int(key) => key.to_string(),
        _ => return Err(wrong()),
    };
    let prefix = class.strip_suffix("Storage").unwrap_or(class);
    let element = STORAGES.iter().find(|(name, _)| *name == prefix && !name.is_empty()).map_or(UNKNOWN, |(_, element)| *element);
    let elements = size(objects, *elements)?;
    match elements.checked_mul(element.size) {
        Some(_) => Ok(Storage { key, element, elements }),
        None => Err(damaged(format!("storage {key} is said to have {elements} elements"))),
    }
}

fn size(objects: &[Object], id: Id) -> Result<usize> {
    let number = if let Object::Int(number) = objects[id] { usize::try_from(number).ok() } else { None };
    number.ok_or_else(|| damaged("a size in the pickle is no whole number".to_owned()))
}

fn sizes(objects: &[Object], id: Id) -> Result<Vec<usize>> {
    match &objects[id] {
        Object::Tuple(items) | Object::List(items) => items.iter().map(|&item| size(objects, item)).collect(),
        _ => Err(damaged("a shape in the pickle is no list".to_owned())),
    }
}
