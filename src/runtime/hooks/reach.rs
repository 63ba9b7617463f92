//! How far a mask looks back, as far as that can be proven: its expression is evaluated on intervals of positions instead of positions.
//!
//! Integers carry their linear form in distance and key beside their interval, so that `at.query - at.key` is the distance exactly (as the affine forms of
//! J. Stolfi and L. de Figueiredo, "Self-Validated Numerical Methods and Applications", 1997). What isn't understood may be anything: the result is
//! never too short.

use super::Reach;
use super::expression::{Binary, Expression, Operation, Place, TableValues, Unary};

/// First positions that are tried as ones that always stay visible.
const MOST_FIRST: i64 = 256;

/// Numbers beyond it are not followed: positions and products of two stay far below.
const HUGE: i64 = 1 << 40;

/// Queries, and keys that lie `distance` before them.
#[derive(Debug, Clone, Copy)]
struct Region {
    query: [i64; 2],
    distance: [i64; 2],
    key: [i64; 2],
    head: i64,
    kv_head: i64,
    layer: i64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Range {
    Any,
    /// From, to, and what it is as (a, b, c) of a * distance + b * key + c.
    Int(i64, i64, Option<[i64; 3]>),
    Float(f64, f64),
    /// Whether it may be false, and true.
    Bool(bool, bool),
}

/// The least reach of `mask` over `context` positions: `None` where nothing shorter than the context is proven.
pub(super) fn reach(mask: &Expression, context: usize, heads: usize, kv_heads: usize, layer: usize) -> Option<Reach> {
    let context = context as i64;
    let depends = mask.depends_on(Place::Head) || mask.depends_on(Place::KvHead);
    let heads_tried = if depends { heads } else { 1 };
    let group = (heads / kv_heads.max(1)).max(1);
    let is_hidden = |first: i64, window: i64| {
        (0..heads_tried).all(|head| {
            let region = Region {
                query: [0, context - 1],
                distance: [window, context - 1],
                key: [first, context - 1],
                head: head as i64,
                kv_head: (head / group) as i64,
                layer: layer as i64,
            };
            matches!(evaluate(mask, region), Range::Bool(_, false))
        })
    };
    let mut best: Option<Reach> = None;
    for first in 0..=MOST_FIRST.min(context - 1) {
        // The fewer keys, the more is hidden: the least window is found by halving.
        let (mut low, mut high) = (1, context);
        while low < high {
            let middle = low.midpoint(high);
            if is_hidden(first, middle) { high = middle } else { low = middle + 1 }
        }
        let found = Reach { window: low as usize, first: first as usize };
        if low + first < context && best.is_none_or(|best| found.window + found.first < best.window + best.first) {
            best = Some(found);
        }
    }
    best
}

/// Whether a query of `query` may see a key of `key` (from, to), which are not all behind them.
pub(super) fn may_see(mask: &Expression, query: [usize; 2], key: [usize; 2], head: usize, kv_head: usize, layer: usize) -> bool {
    let [query, key] = [query, key].map(|range| range.map(|position| position as i64));
    let region = Region {
        query,
        distance: [(query[0] - key[1]).max(0), query[1] - key[0]],
        key,
        head: head as i64,
        kv_head: kv_head as i64,
        layer: layer as i64,
    };
    !matches!(evaluate(mask, region), Range::Bool(_, false))
}

fn linear([a, b, c]: [i64; 3], region: &Region) -> Range {
    let term = |factor: i64, [low, high]: [i64; 2]| if factor < 0 { [factor * high, factor * low] } else { [factor * low, factor * high] };
    let ([a0, a1], [b0, b1]) = (term(a, region.distance), term(b, region.key));
    int(a0 + b0 + c, a1 + b1 + c, Some([a, b, c]))
}

/// What may wrap around may be anything.
fn int(low: i64, high: i64, form: Option<[i64; 3]>) -> Range {
    let form = form.filter(|form| form.iter().all(|factor| factor.abs() < HUGE));
    if low < i64::from(i32::MIN) || high > i64::from(i32::MAX) { Range::Any } else { Range::Int(low, high, form) }
}

fn evaluate(expression: &Expression, region: Region) -> Range {
    let mut ranges: Vec<Range> = Vec::new();
    for (operation, _) in expression.operations() {
        let range = match operation {
            Operation::Score => Range::Any,
            Operation::Place(place) => match place {
                Place::Query => Range::Int(region.query[0], region.query[1], Some([1, 1, 0])),
                Place::Key => linear([0, 1, 0], &region),
                Place::Length => Range::Int(region.query[0] + 1, region.query[1] + 1, Some([1, 1, 1])),
                Place::Head => Range::Int(region.head, region.head, Some([0, 0, region.head])),
                Place::KvHead => Range::Int(region.kv_head, region.kv_head, Some([0, 0, region.kv_head])),
                Place::Layer => Range::Int(region.layer, region.layer, Some([0, 0, region.layer])),
                Place::Sequence => Range::Int(0, i64::from(i32::MAX), None),
            },
            Operation::Float(value) => Range::Float(f64::from(value), f64::from(value)),
            Operation::Int(value) => Range::Int(value.into(), value.into(), Some([0, 0, value.into()])),
            Operation::Bool(value) => Range::Bool(!value, value),
            Operation::Unary(unary, a) => apply(unary, ranges[a]),
            Operation::Binary(binary, a, b) => combine(binary, ranges[a], ranges[b], &region),
            Operation::Select { condition, yes, no } => match ranges[condition] {
                Range::Bool(false, true) => ranges[yes],
                Range::Bool(true, false) => ranges[no],
                _ => joined(ranges[yes], ranges[no]),
            },
            Operation::Element { table, index } => element(&expression.tables[table].values, ranges[index]),
        };
        ranges.push(range);
    }
    ranges.get(expression.result()).copied().unwrap_or(Range::Any)
}

fn joined(a: Range, b: Range) -> Range {
    match (a, b) {
        (Range::Int(a0, a1, form), Range::Int(b0, b1, other)) => Range::Int(a0.min(b0), a1.max(b1), form.filter(|_| form == other)),
        (Range::Float(a0, a1), Range::Float(b0, b1)) => Range::Float(a0.min(b0), a1.max(b1)),
        (Range::Bool(a0, a1), Range::Bool(b0, b1)) => Range::Bool(a0 || b0, a1 || b1),
        _ => Range::Any,
    }
}

fn element(values: &TableValues, index: Range) -> Range {
    let slice = |len: usize| {
        let last = len.saturating_sub(1) as i64;
        let (low, high) = if let Range::Int(low, high, _) = index { (low, high) } else { (0, last) };
        low.clamp(0, last) as usize..=high.clamp(0, last) as usize
    };
    match values {
        TableValues::Ints(values) => {
            let found = values.get(slice(values.len())).unwrap_or_default();
            match (found.iter().min(), found.iter().max()) {
                (Some(&low), Some(&high)) => Range::Int(low.into(), high.into(), (low == high).then_some([0, 0, low.into()])),
                _ => Range::Any,
            }
        }
        TableValues::Floats(values) => {
            let found = values.get(slice(values.len())).unwrap_or_default();
            let low = found.iter().copied().fold(f32::INFINITY, f32::min);
            let high = found.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            if found.iter().any(|value| value.is_nan()) || low > high { Range::Any } else { Range::Float(low.into(), high.into()) }
        }
    }
}

fn apply(unary: Unary, a: Range) -> Range {
    match (unary, a) {
        (Unary::Not, Range::Bool(no, yes)) => Range::Bool(yes, no),
        (Unary::Negate, Range::Int(low, high, form)) => int(-high, -low, form.map(|form| form.map(|factor| -factor))),
        (Unary::Abs, Range::Int(low, high, form)) if low >= 0 => Range::Int(low, high, form),
        (Unary::Abs, Range::Int(low, high, _)) => int(if high < 0 { -high } else { 0 }, (-low).max(high), None),
        // An i32 beyond 2^24 is rounded.
        (Unary::ToFloat, Range::Int(low, high, _)) if low.abs() < 1 << 24 && high.abs() < 1 << 24 => Range::Float(low as f64, high as f64),
        (Unary::Negate, Range::Float(low, high)) => Range::Float(-high, -low),
        (Unary::Floor, Range::Float(low, high)) => Range::Float(low.floor(), high.floor()),
        _ => Range::Any,
    }
}

fn combine(binary: Binary, a: Range, b: Range, region: &Region) -> Range {
    match (a, b) {
        (Range::Int(a0, a1, a_form), Range::Int(b0, b1, b_form)) => {
            let forms = a_form.zip(b_form);
            let sum = |sign: i64| forms.map(|(a, b)| [a[0] + sign * b[0], a[1] + sign * b[1], a[2] + sign * b[2]]);
            // The form knows what both have in common, the interval what the form doesn't say.
            let narrowed = |range: Range| match (range, sum(-1)) {
                (Range::Int(low, high, form), Some(difference)) if binary == Binary::Subtract => match linear(difference, region) {
                    Range::Int(l, h, _) => Range::Int(low.max(l), high.min(h), form),
                    _ => range,
                },
                _ => range,
            };
            match binary {
                Binary::Add => match sum(1).map(|form| linear(form, region)) {
                    Some(Range::Int(low, high, form)) => Range::Int(low.max(a0 + b0), high.min(a1 + b1), form),
                    _ => int(a0 + b0, a1 + b1, None),
                },
                Binary::Subtract => narrowed(int(a0 - b1, a1 - b0, sum(-1))),
                Binary::Multiply => {
                    let products = [a0 * b0, a0 * b1, a1 * b0, a1 * b1];
                    let form = match (a_form, b_form) {
                        (Some(form), Some([0, 0, factor])) | (Some([0, 0, factor]), Some(form)) => {
                            Some(form.map(|part| part.saturating_mul(factor)))
                        }
                        _ => None,
                    };
                    int(products.into_iter().min().unwrap_or(0), products.into_iter().max().unwrap_or(0), form)
                }
                Binary::Divide if b0 == b1 && b0 > 0 => Range::Int(a0 / b0, a1 / b0, None),
                Binary::Remainder if b0 == b1 && b0 > 0 && a0 >= 0 => Range::Int(0, a1.min(b0 - 1), None),
                Binary::Remainder if b0 == b1 && b0 > 0 => Range::Int(1 - b0, b0 - 1, None),
                Binary::Min => Range::Int(a0.min(b0), a1.min(b1), None),
                Binary::Max => Range::Int(a0.max(b0), a1.max(b1), None),
                Binary::Less | Binary::LessOrEqual | Binary::Equal => {
                    // By what they differ: the narrower of interval and form.
                    let (low, high) = match narrowed_difference(a0 - b1, a1 - b0, sum(-1), region) {
                        Some(bounds) => bounds,
                        None => return Range::Bool(true, true),
                    };
                    match binary {
                        Binary::Less => Range::Bool(high >= 0, low < 0),
                        Binary::LessOrEqual => Range::Bool(high > 0, low <= 0),
                        _ => Range::Bool(low != 0 || high != 0, low <= 0 && high >= 0),
                    }
                }
                _ => Range::Any,
            }
        }
        (Range::Float(a0, a1), Range::Float(b0, b1)) => match binary {
            Binary::Less => Range::Bool(a1 >= b0, a0 < b1),
            Binary::LessOrEqual => Range::Bool(a1 > b0, a0 <= b1),
            Binary::Min => Range::Float(a0.min(b0), a1.min(b1)),
            Binary::Max => Range::Float(a0.max(b0), a1.max(b1)),
            _ => Range::Any,
        },
        (a, b) => match binary {
            Binary::And | Binary::Or => {
                let bounds = |range: Range| if let Range::Bool(no, yes) = range { (no, yes) } else { (true, true) };
                let ((a_no, a_yes), (b_no, b_yes)) = (bounds(a), bounds(b));
                if binary == Binary::And { Range::Bool(a_no || b_no, a_yes && b_yes) } else { Range::Bool(a_no && b_no, a_yes || b_yes) }
            }
            Binary::Less | Binary::LessOrEqual | Binary::Equal => Range::Bool(true, true),
            _ => Range::Any,
        },
    }
}

fn narrowed_difference(low: i64, high: i64, form: Option<[i64; 3]>, region: &Region) -> Option<(i64, i64)> {
    match form.map(|form| linear(form, region)) {
        Some(Range::Int(l, h, _)) => Some((low.max(l), high.min(h))),
        Some(_) => None,
        None => Some((low, high)),
    }
}
