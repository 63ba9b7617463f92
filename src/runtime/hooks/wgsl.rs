//! An expression as WGSL: one `let` for each value, no control flow.

use super::expression::{Binary, Expression, Kind, Operation, Place, Unary};
use std::fmt::Write;

/// What expressions call: operations that WGSL leaves undefined for some values.
const HELPERS: &str = "
fn hook_divide(a: i32, b: i32) -> i32 {
    return select(a / select(b, 1, b == 0 || b == -1), select(0, -a, b == -1), b == 0 || b == -1);
}
fn hook_remainder(a: i32, b: i32) -> i32 {
    return select(a % select(b, 1, b == 0 || b == -1), 0, b == 0 || b == -1);
}
fn hook_power(x: f32, y: f32) -> f32 {
    let size = pow(abs(x), y);
    let is_whole = y == floor(y);
    // Of what is negative: with a sign where the exponent is whole, and not a number where it isn't.
    let of_negative = select(sqrt(x), select(size, -size, abs(y % 2.0) == 1.0), is_whole);
    return select(select(size, of_negative, x < 0.0), 1.0, y == 0.0);
}
";

/// The functions of a seam: `score_hook(score, at)` and `mask_hook(at)`. Tables of the first lie from word `tables_at` on, those of the second behind them.
pub(super) fn functions(score: Option<&Expression>, mask: Option<&Expression>, tables_at: usize) -> String {
    let mut text = HELPERS.to_owned();
    let mut at = tables_at;
    for (expression, signature) in [(score, "score_hook(score: f32, at: At) -> f32"), (mask, "mask_hook(at: At) -> bool")] {
        if let Some(expression) = expression {
            function(&mut text, expression, signature, at);
            at += expression.tables.iter().map(super::Table::len).sum::<usize>();
        }
    }
    text
}

fn function(text: &mut String, expression: &Expression, signature: &str, tables_at: usize) {
    // Writing to a text can't fail.
    let _ = writeln!(text, "fn {signature} {{");
    for (id, ((operation, kind), used)) in expression.operations().zip(expression.used()).enumerate() {
        if used {
            let _ = writeln!(text, "    let v{id} = {};", value(expression, operation, kind, tables_at));
        }
    }
    let _ = writeln!(text, "    return v{};\n}}", expression.result());
}

/// A number as WGSL.
pub fn literal(value: f32) -> String {
    format!("{value:?}f")
}

fn value(expression: &Expression, operation: Operation, kind: Kind, tables_at: usize) -> String {
    match operation {
        Operation::Score => "score".to_owned(),
        Operation::Place(place) => match place {
            Place::Query => "at.query",
            Place::Key => "at.key",
            Place::Head => "at.head",
            Place::KvHead => "at.kv_head",
            Place::Layer => "at.layer",
            Place::Sequence => "at.sequence",
            Place::Length => "at.length",
        }
        .to_owned(),
        Operation::Float(value) => literal(value),
        Operation::Int(value) => format!("i32({value})"),
        Operation::Bool(value) => value.to_string(),
        Operation::Unary(unary, a) => match unary {
            Unary::Negate => format!("-v{a}"),
            Unary::Not => format!("!v{a}"),
            Unary::Abs => format!("abs(v{a})"),
            Unary::Exp => format!("exp(v{a})"),
            Unary::Log => format!("log(v{a})"),
            Unary::Log2 => format!("log2(v{a})"),
            Unary::Sqrt => format!("sqrt(v{a})"),
            // Drivers compute it from two exponentials, some of which overflow; one will do. It is exact to 6e-8, beside values up to 1.
            Unary::Tanh => format!("1.0 - 2.0 / (exp(min(2.0 * v{a}, 80.0)) + 1.0)"),
            Unary::Sigmoid => format!("1.0 / (1.0 + exp(min(-v{a}, 80.0)))"),
            Unary::Floor => format!("floor(v{a})"),
            Unary::Ceiling => format!("ceil(v{a})"),
            Unary::Round => format!("sign(v{a}) * floor(abs(v{a}) + 0.5)"),
            Unary::ToFloat => format!("f32(v{a})"),
            Unary::ToInt => format!("i32(v{a})"),
        },
        Operation::Binary(binary, a, b) => {
            let is_int = expression.kind(a) == Kind::Int;
            match binary {
                Binary::Add => format!("v{a} + v{b}"),
                Binary::Subtract => format!("v{a} - v{b}"),
                Binary::Multiply => format!("v{a} * v{b}"),
                Binary::Divide if is_int => format!("hook_divide(v{a}, v{b})"),
                Binary::Divide => format!("v{a} / v{b}"),
                Binary::Remainder if is_int => format!("hook_remainder(v{a}, v{b})"),
                Binary::Remainder => format!("v{a} % v{b}"),
                Binary::Power => format!("hook_power(v{a}, v{b})"),
                Binary::Min => format!("min(v{a}, v{b})"),
                Binary::Max => format!("max(v{a}, v{b})"),
                Binary::Less => format!("v{a} < v{b}"),
                Binary::LessOrEqual => format!("v{a} <= v{b}"),
                Binary::Equal => format!("v{a} == v{b}"),
                Binary::And => format!("v{a} && v{b}"),
                Binary::Or => format!("v{a} || v{b}"),
            }
        }
        Operation::Select { condition, yes, no } => format!("select(v{no}, v{yes}, v{condition})"),
        Operation::Element { table, index } => {
            let before: usize = expression.tables[..table].iter().map(super::Table::len).sum();
            let last = expression.tables[table].len().saturating_sub(1);
            let word = format!("hook_data[{}u + u32(clamp(v{index}, 0, {last}))]", tables_at + before);
            if kind == Kind::Int { format!("bitcast<i32>({word})") } else { format!("bitcast<f32>({word})") }
        }
    }
}
