//! What a pickle's objects and calls say of tensors: PyTorch's storages and views of them.
//!
//! A call is never made: what it would return is known of the few that matter (`torch/_utils.py`, `torch/_tensor.py`), and of the others
//! nothing is wanted.

use super::pickle::{Id, Object, damaged};
use crate::error::{Error, Result};
use crate::model::tensor::DataType;

/// The type of a storage's elements.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Element {
    /// PyTorch's name of it.
    pub name: &'static str,
    /// Bytes.
    pub size: usize,
    /// `None`: read by no model.
    pub data_type: Option<DataType>,
}

/// By the prefix of the storage's class: `HalfStorage`.
const STORAGES: &[(&str, Element)] = &[
    ("Float", Element { name: "float32", size: 4, data_type: Some(DataType::F32) }),
    ("Half", Element { name: "float16", size: 2, data_type: Some(DataType::F16) }),
    ("BFloat16", Element { name: "bfloat16", size: 2, data_type: Some(DataType::BF16) }),
    ("Double", Element { name: "float64", size: 8, data_type: None }),
    ("Long", Element { name: "int64", size: 8, data_type: None }),
    ("Int", Element { name: "int32", size: 4, data_type: None }),
    ("Short", Element { name: "int16", size: 2, data_type: None }),
    ("Char", Element { name: "int8", size: 1, data_type: None }),
    ("Byte", Element { name: "uint8", size: 1, data_type: None }),
    ("Bool", Element { name: "bool", size: 1, data_type: None }),
    ("ComplexFloat", Element { name: "complex64", size: 8, data_type: None }),
    ("ComplexDouble", Element { name: "complex128", size: 16, data_type: None }),
    // Bytes without a type: the tensor has it.
    ("Untyped", Element { name: "bytes", size: 1, data_type: None }),
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
    pub storage: Storage,
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
    let mut storage = storage.clone();
    if let Some(&Object::Import("torch", name)) = typed.and_then(|place| arguments.get(place)).map(|&id| &objects[id]) {
        let unknown = Element { name: "of an unknown type", size: 1, data_type: None };
        let element = STORAGES.iter().map(|(_, element)| *element).find(|element| element.name == name).unwrap_or(unknown);
        storage = Storage { elements: storage.elements * storage.element.size / element.size, element, ..storage };
    }
    let (shape, strides) = (sizes(objects, *shape)?, sizes(objects, *strides)?);
    if shape.len() != strides.len() {
        return Err(damaged(format!("a tensor in the pickle has shape {shape:?} and strides {strides:?}")));
    }
    Ok(Object::Tensor(StoredTensor { storage, offset: size(objects, *offset)?, shape, strides }))
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
    let element = STORAGES.iter().find(|(name, _)| *name == prefix).map(|(_, element)| *element);
    let element = element.ok_or_else(|| Error::new(format!("it holds tensors of a type that isn't supported (`{class}`)")))?;
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
