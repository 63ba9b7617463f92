//! An expression of a script as values that are made from earlier ones: what is translated to WGSL, evaluated on the host and bounded.
//!
//! Every operation is total, so that nothing needs a branch: integers wrap, a division of integers by zero is 0, floats follow IEEE 754.

use crate::error::{Error, Result};

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `f32`
    Float,
    /// `i32`
    Int,
    Bool,
}

impl Kind {
    /// As a script's author calls it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Float => "a float",
            Kind::Int => "an integer",
            Kind::Bool => "a truth value",
        }
    }
}

/// What an expression is told of the place it is evaluated at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The query's position.
    Query,
    /// The key's position.
    Key,
    /// The query head.
    Head,
    KvHead,
    Layer,
    /// The number of the sequence in its batch.
    Sequence,
    /// Positions up to the query's, its own included.
    Length,
}

/// Names that a script knows places by.
pub const PLACES: [(&str, Place); 7] = [
    ("query", Place::Query),
    ("key", Place::Key),
    ("head", Place::Head),
    ("kv_head", Place::KvHead),
    ("layer", Place::Layer),
    ("sequence", Place::Sequence),
    ("length", Place::Length),
];

/// Of one value. The result is of its kind but for the last two; of an integer there are `Negate` and `Abs`, of a truth value `Not`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unary {
    Negate,
    Not,
    Abs,
    Exp,
    /// The natural logarithm.
    Log,
    Log2,
    Sqrt,
    Tanh,
    Sigmoid,
    Floor,
    Ceiling,
    /// Halves away from zero.
    Round,
    ToFloat,
    /// Towards zero.
    ToInt,
}

/// Of two values of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binary {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    /// Of floats.
    Power,
    Min,
    Max,
    Less,
    LessOrEqual,
    Equal,
    And,
    Or,
}

/// The number of a value in its expression.
pub type ValueId = usize;

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Operation {
    /// The scaled product of query and key.
    Score,
    Place(Place),
    Float(f32),
    Int(i32),
    Bool(bool),
    Unary(Unary, ValueId),
    Binary(Binary, ValueId, ValueId),
    Select {
        condition: ValueId,
        yes: ValueId,
        no: ValueId,
    },
    /// An element of a table; an index outside takes the nearest one.
    Element {
        table: usize,
        index: ValueId,
    },
}

/// A captured list of numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    pub values: TableValues,
}

#[derive(Debug, Clone, PartialEq)]
pub enum TableValues {
    Floats(Vec<f32>),
    Ints(Vec<i32>),
}

impl Table {
    pub fn len(&self) -> usize {
        match &self.values {
            TableValues::Floats(values) => values.len(),
            TableValues::Ints(values) => values.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn kind(&self) -> Kind {
        match self.values {
            TableValues::Floats(_) => Kind::Float,
            TableValues::Ints(_) => Kind::Int,
        }
    }

    /// The words that the device reads.
    pub fn words(&self) -> Vec<u32> {
        match &self.values {
            TableValues::Floats(values) => values.iter().map(|value| value.to_bits()).collect(),
            TableValues::Ints(values) => values.iter().map(|&value| value as u32).collect(),
        }
    }
}

/// A value that was computed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Constant {
    Float(f32),
    Int(i32),
    Bool(bool),
}

/// Where an expression is evaluated on the host.
#[derive(Debug, Clone, Copy, Default)]
pub struct At {
    pub query: i32,
    pub key: i32,
    pub head: i32,
    pub kv_head: i32,
    pub layer: i32,
    pub sequence: i32,
}

/// Values of one expression: what a function's calls put in is bounded by this.
const MOST_VALUES: usize = 4096;

/// Operations in an order in which each uses earlier ones only.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Expression {
    values: Vec<(Operation, Kind)>,
    pub tables: Vec<Table>,
    result: ValueId,
}

impl Expression {
    /// Adds a value; one of constants is computed here.
    ///
    /// # Errors
    /// An expression that is too long; a constant that is not a number (a division of zero by zero, a logarithm of what is negative).
    pub fn add(&mut self, operation: Operation) -> Result<ValueId> {
        if let Some(known) = self.values.iter().position(|(value, _)| *value == operation) {
            return Ok(known);
        }
        let kind = self.kind_of(operation);
        let operation = self.folded(operation)?;
        if let Some(known) = self.values.iter().position(|(value, _)| *value == operation) {
            return Ok(known);
        }
        if self.values.len() >= MOST_VALUES {
            return Err(Error::new(format!(
                "the expression has more than {MOST_VALUES} operations, those of the functions that it calls included"
            ))
            .remedy("compute what doesn't depend on `at` and the score before, and capture it as a number or a list"));
        }
        self.values.push((operation, kind));
        Ok(self.values.len() - 1)
    }

    /// Adds a table.
    pub fn add_table(&mut self, table: Table) -> usize {
        if let Some(known) = self.tables.iter().position(|known| *known == table) {
            return known;
        }
        self.tables.push(table);
        self.tables.len() - 1
    }

    pub fn set_result(&mut self, result: ValueId) {
        self.result = result;
    }

    pub fn result(&self) -> ValueId {
        self.result
    }

    pub fn kind(&self, id: ValueId) -> Kind {
        self.values[id].1
    }

    /// What a value is if it is known now.
    pub fn constant(&self, id: ValueId) -> Option<Constant> {
        match self.values[id].0 {
            Operation::Float(value) => Some(Constant::Float(value)),
            Operation::Int(value) => Some(Constant::Int(value)),
            Operation::Bool(value) => Some(Constant::Bool(value)),
            _ => None,
        }
    }

    pub fn operations(&self) -> impl Iterator<Item = (Operation, Kind)> {
        self.values.iter().copied()
    }

    /// Which values the result needs.
    pub fn used(&self) -> Vec<bool> {
        let mut used = vec![false; self.values.len()];
        if let Some(result) = used.get_mut(self.result) {
            *result = true;
        }
        for (id, (operation, _)) in self.values.iter().enumerate().rev() {
            if used[id] {
                match *operation {
                    Operation::Unary(_, a) | Operation::Element { index: a, .. } => used[a] = true,
                    Operation::Binary(_, a, b) => (used[a], used[b]) = (true, true),
                    Operation::Select { condition, yes, no } => (used[condition], used[yes], used[no]) = (true, true, true),
                    _ => {}
                }
            }
        }
        used
    }

    /// Whether the result depends on a place.
    pub fn depends_on(&self, place: Place) -> bool {
        self.values.iter().zip(self.used()).any(|((operation, _), used)| used && *operation == Operation::Place(place))
    }

    fn kind_of(&self, operation: Operation) -> Kind {
        match operation {
            Operation::Score | Operation::Float(_) | Operation::Unary(Unary::ToFloat, _) => Kind::Float,
            Operation::Place(_) | Operation::Int(_) | Operation::Unary(Unary::ToInt, _) => Kind::Int,
            Operation::Bool(_) | Operation::Binary(Binary::Less | Binary::LessOrEqual | Binary::Equal, ..) => Kind::Bool,
            Operation::Unary(_, a) | Operation::Binary(_, a, _) | Operation::Select { yes: a, .. } => self.values[a].1,
            Operation::Element { table, .. } => self.tables[table].kind(),
        }
    }

    fn folded(&self, operation: Operation) -> Result<Operation> {
        let value = match operation {
            Operation::Unary(unary, a) => self.constant(a).map(|a| apply(unary, a)),
            Operation::Binary(binary, a, b) => self.constant(a).zip(self.constant(b)).map(|(a, b)| combine(binary, a, b)),
            Operation::Select { condition, yes, no } => match self.constant(condition) {
                Some(Constant::Bool(condition)) => return Ok(self.values[if condition { yes } else { no }].0),
                _ => None,
            },
            Operation::Element { table, index } => match self.constant(index) {
                Some(Constant::Int(index)) => Some(self.element(table, index)),
                _ => None,
            },
            _ => None,
        };
        Ok(match value {
            None => operation,
            Some(Constant::Float(value)) if value.is_nan() => return Err(Error::new("this is not a number whatever the score is")),
            // WGSL has no infinity; beyond any score, it means the same.
            Some(Constant::Float(value)) => Operation::Float(value.clamp(f32::MIN, f32::MAX)),
            Some(Constant::Int(value)) => Operation::Int(value),
            Some(Constant::Bool(value)) => Operation::Bool(value),
        })
    }

    fn element(&self, table: usize, index: i32) -> Constant {
        let index = (index.max(0) as usize).min(self.tables[table].len().saturating_sub(1));
        match &self.tables[table].values {
            TableValues::Floats(values) => Constant::Float(values.get(index).copied().unwrap_or(0.0)),
            TableValues::Ints(values) => Constant::Int(values.get(index).copied().unwrap_or(0)),
        }
    }

    /// What the device computes, on the host.
    pub fn evaluate(&self, score: f32, at: At) -> Constant {
        let mut values: Vec<Constant> = Vec::with_capacity(self.values.len());
        for (operation, _) in &self.values {
            let value = match *operation {
                Operation::Score => Constant::Float(score),
                Operation::Place(place) => Constant::Int(match place {
                    Place::Query => at.query,
                    Place::Key => at.key,
                    Place::Head => at.head,
                    Place::KvHead => at.kv_head,
                    Place::Layer => at.layer,
                    Place::Sequence => at.sequence,
                    Place::Length => at.query.wrapping_add(1),
                }),
                Operation::Float(value) => Constant::Float(value),
                Operation::Int(value) => Constant::Int(value),
                Operation::Bool(value) => Constant::Bool(value),
                Operation::Unary(unary, a) => apply(unary, values[a]),
                Operation::Binary(binary, a, b) => combine(binary, values[a], values[b]),
                Operation::Select { condition, yes, no } => values[if values[condition] == Constant::Bool(true) { yes } else { no }],
                Operation::Element { table, index } => match values[index] {
                    Constant::Int(index) => self.element(table, index),
                    other => other,
                },
            };
            values.push(value);
        }
        values.get(self.result).copied().unwrap_or(Constant::Bool(false))
    }
}

/// Operations of kinds that they are not for leave their argument: whoever adds them sees to it that there are none.
pub(super) fn apply(unary: Unary, a: Constant) -> Constant {
    match (unary, a) {
        (Unary::Not, Constant::Bool(a)) => Constant::Bool(!a),
        (Unary::Negate, Constant::Int(a)) => Constant::Int(a.wrapping_neg()),
        (Unary::Abs, Constant::Int(a)) => Constant::Int(a.wrapping_abs()),
        (Unary::ToFloat, Constant::Int(a)) => Constant::Float(a as f32),
        (Unary::ToInt, Constant::Float(a)) => Constant::Int(a as i32),
        (_, Constant::Float(a)) => Constant::Float(match unary {
            Unary::Negate => -a,
            Unary::Abs => a.abs(),
            Unary::Exp => a.exp(),
            Unary::Log => a.ln(),
            Unary::Log2 => a.log2(),
            Unary::Sqrt => a.sqrt(),
            Unary::Tanh => a.tanh(),
            Unary::Sigmoid => 1.0 / (1.0 + (-a).exp()),
            Unary::Floor => a.floor(),
            Unary::Ceiling => a.ceil(),
            Unary::Round => a.round(),
            Unary::Not | Unary::ToFloat | Unary::ToInt => a,
        }),
        (_, other) => other,
    }
}

pub(super) fn combine(binary: Binary, a: Constant, b: Constant) -> Constant {
    match (a, b) {
        (Constant::Float(a), Constant::Float(b)) => match binary {
            Binary::Less => Constant::Bool(a < b),
            Binary::LessOrEqual => Constant::Bool(a <= b),
            Binary::Equal => Constant::Bool(a == b),
            Binary::Add => Constant::Float(a + b),
            Binary::Subtract => Constant::Float(a - b),
            Binary::Multiply => Constant::Float(a * b),
            Binary::Divide => Constant::Float(a / b),
            Binary::Remainder => Constant::Float(a % b),
            Binary::Power => Constant::Float(a.powf(b)),
            Binary::Min => Constant::Float(a.min(b)),
            Binary::Max => Constant::Float(a.max(b)),
            Binary::And | Binary::Or => Constant::Float(a),
        },
        (Constant::Int(a), Constant::Int(b)) => match binary {
            Binary::Less => Constant::Bool(a < b),
            Binary::LessOrEqual => Constant::Bool(a <= b),
            Binary::Equal => Constant::Bool(a == b),
            Binary::Add => Constant::Int(a.wrapping_add(b)),
            Binary::Subtract => Constant::Int(a.wrapping_sub(b)),
            Binary::Multiply => Constant::Int(a.wrapping_mul(b)),
            Binary::Divide => Constant::Int(if b == 0 { 0 } else { a.wrapping_div(b) }),
            Binary::Remainder => Constant::Int(if b == 0 { 0 } else { a.wrapping_rem(b) }),
            Binary::Min => Constant::Int(a.min(b)),
            Binary::Max => Constant::Int(a.max(b)),
            Binary::Power | Binary::And | Binary::Or => Constant::Int(a),
        },
        (Constant::Bool(a), Constant::Bool(b)) => match binary {
            Binary::And => Constant::Bool(a && b),
            Binary::Or => Constant::Bool(a || b),
            _ => Constant::Bool(a == b),
        },
        (a, _) => a,
    }
}
