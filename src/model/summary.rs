//! What a model consists of, in numbers.

use super::Model;
use super::tensor::DataType;

/// Sizes of a model, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Elements of all tensors; an embedding that is also the head counts once.
    pub parameters: u64,
    /// Bytes that they take in the file.
    pub bytes: u64,
    /// By element type, the one with most bytes first.
    pub types: Vec<TypeSummary>,
}

/// The part of a model that is stored as one type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeSummary {
    pub data_type: DataType,
    pub tensors: usize,
    pub parameters: u64,
    pub bytes: u64,
}

impl Model {
    /// Counts parameters and bytes.
    pub fn summary(&self) -> Summary {
        let mut types: Vec<TypeSummary> = Vec::new();
        for tensor in self.tensors.values() {
            let place = types.iter().position(|entry| entry.data_type == tensor.data_type).unwrap_or_else(|| {
                types.push(TypeSummary { data_type: tensor.data_type, tensors: 0, parameters: 0, bytes: 0 });
                types.len() - 1
            });
            types[place].tensors += 1;
            types[place].parameters += tensor.elements() as u64;
            types[place].bytes += tensor.stored_bytes() as u64;
        }
        types.sort_by_key(|entry| std::cmp::Reverse(entry.bytes));
        Summary { parameters: types.iter().map(|entry| entry.parameters).sum(), bytes: types.iter().map(|entry| entry.bytes).sum(), types }
    }
}

impl Summary {
    /// The types' names, the one with most bytes first: `Q4_1, Q8_0, F32`.
    pub fn type_names(&self) -> String {
        self.types.iter().map(|entry| entry.data_type.name()).collect::<Vec<_>>().join(", ")
    }
}
