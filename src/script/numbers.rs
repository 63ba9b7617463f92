//! Numbers: a packed list of floats, and the arithmetic and statistics on them.

use super::failure::Answer;
use super::packed::Packed;
use super::tokens::hex;
use super::values::{self, floats};
use crate::error::{Error, Result};
use crate::statistics;
use rhai::plugin::*;
use rhai::{Array, FLOAT, INT};
use sha2::{Digest, Sha256};
use std::borrow::Cow;

/// Floats, as wide as they came: logits of a whole prompt are large, and are not doubled. Copies and slices share their memory.
#[derive(Debug, Clone)]
pub enum Numbers {
    Single(Packed<f32>),
    Double(Packed<f64>),
}

impl From<Vec<f32>> for Numbers {
    fn from(values: Vec<f32>) -> Self {
        Self::Single(values.into())
    }
}

impl From<Vec<f64>> for Numbers {
    fn from(values: Vec<f64>) -> Self {
        Self::Double(values.into())
    }
}

impl Numbers {
    pub(super) fn len(&self) -> usize {
        match self {
            Numbers::Single(values) => values.len(),
            Numbers::Double(values) => values.len(),
        }
    }

    pub(super) fn iter(&self) -> Box<dyn Iterator<Item = f64> + '_> {
        match self {
            Numbers::Single(values) => Box::new(values.as_slice().iter().map(|&value| f64::from(value))),
            Numbers::Double(values) => Box::new(values.as_slice().iter().copied()),
        }
    }

    pub(super) fn to_vec(&self) -> Vec<f64> {
        self.iter().collect()
    }

    /// As they are on the device.
    pub(super) fn to_single(&self) -> Cow<'_, [f32]> {
        match self {
            Numbers::Single(values) => Cow::Borrowed(values.as_slice()),
            Numbers::Double(values) => Cow::Owned(values.as_slice().iter().map(|&value| value as f32).collect()),
        }
    }

    fn get(&self, index: INT) -> Result<f64> {
        match self {
            Numbers::Single(values) => values.get(index).map(f64::from),
            Numbers::Double(values) => values.get(index),
        }
    }

    pub(super) fn slice(&self, start: INT, end: INT) -> Result<Numbers> {
        Ok(match self {
            Numbers::Single(values) => Numbers::Single(values.slice(start, end)?),
            Numbers::Double(values) => Numbers::Double(values.slice(start, end)?),
        })
    }

    fn extend(&mut self, more: &[f64]) {
        match self {
            Numbers::Double(values) => values.extend(more),
            Numbers::Single(_) => {
                let mut values = self.to_vec();
                values.extend_from_slice(more);
                *self = values.into();
            }
        }
    }

    fn map(&self, change: impl Fn(f64) -> f64) -> Numbers {
        self.iter().map(change).collect::<Vec<f64>>().into()
    }

    fn with(&self, other: &Numbers, change: impl Fn(f64, f64) -> f64) -> Answer<Numbers> {
        if self.len() != other.len() {
            return Err(Error::new(format!("{} numbers and {}: expected as many", self.len(), other.len())).into());
        }
        Ok(self.iter().zip(other.iter()).map(|(a, b)| change(a, b)).collect::<Vec<f64>>().into())
    }
}

#[export_module]
pub(super) mod api {
    /// A packed list of floats: what sessions score and clocks measure. Copies and slices share their memory. It has a length, can be
    /// indexed, sliced, joined and gone through with `for`; `+ - * /` work on each number; statistics are methods.
    pub type Numbers = super::Numbers;

    /// An empty list, to be filled with `push`.
    ///
    /// # Example
    /// ```rhai
    /// let times = numbers();
    /// times.push(2.5);
    /// times.push(3);
    /// assert(times.mean() == 2.75, "the mean of both");
    /// ```
    #[rhai_fn(name = "numbers")]
    pub fn empty() -> Numbers {
        Vec::<f64>::new().into()
    }

    /// Packs an array of integers and floats.
    #[rhai_fn(name = "numbers", return_raw)]
    pub fn pack(values: Array) -> Answer<Numbers> {
        Ok(floats(&Dynamic::from_array(values))?.into())
    }

    /// How many there are.
    #[rhai_fn(get = "len", name = "len", pure)]
    pub fn len(numbers: &mut Numbers) -> INT {
        numbers.len() as INT
    }

    /// Whether there are none.
    #[rhai_fn(name = "is_empty", pure)]
    pub fn is_empty(numbers: &mut Numbers) -> bool {
        numbers.len() == 0
    }

    /// One number: `numbers[0]`, `numbers[-1]`.
    #[rhai_fn(index_get, pure, return_raw)]
    pub fn get(numbers: &mut Numbers, index: INT) -> Answer<FLOAT> {
        Ok(numbers.get(index)?)
    }

    /// A part: `numbers[0..10]`.
    #[rhai_fn(index_get, pure, return_raw)]
    pub fn get_range(numbers: &mut Numbers, range: std::ops::Range<INT>) -> Answer<Numbers> {
        Ok(numbers.slice(range.start, range.end)?)
    }

    /// A part, its end included: `numbers[0..=9]`.
    #[rhai_fn(index_get, pure, return_raw)]
    pub fn get_range_inclusive(numbers: &mut Numbers, range: std::ops::RangeInclusive<INT>) -> Answer<Numbers> {
        Ok(numbers.slice(*range.start(), range.end().saturating_add(1))?)
    }

    /// `count` numbers from `start` on: of a matrix `[rows, width]`, row `i` is `slice(i * width, width)`.
    #[rhai_fn(name = "slice", pure, return_raw)]
    pub fn slice(numbers: &mut Numbers, start: INT, count: INT) -> Answer<Numbers> {
        Ok(numbers.slice(start, start.saturating_add(count))?)
    }

    /// The rows of a matrix `[rows, width]` that is stored row after row. They share its memory.
    ///
    /// # Example
    /// ```rhai
    /// let rows = numbers([1, 2, 3, 4]).rows(2);
    /// assert(rows.len == 2 && rows[1][0] == 3.0, "two rows of two");
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn rows(numbers: &mut Numbers, width: INT) -> Answer<Array> {
        let length = numbers.len();
        let rows = usize::try_from(width).ok().filter(|&width| width > 0 && length.is_multiple_of(width)).map(|width| length / width);
        let Some(rows) = rows else {
            return Err(Error::new(format!("{length} numbers are no rows of {width}")).into());
        };
        let row = |index: usize| Ok(Dynamic::from(numbers.slice(index as INT * width, (index as INT + 1) * width)?));
        (0..rows).map(row).collect()
    }

    /// Appends a number.
    #[rhai_fn(name = "push")]
    pub fn push(numbers: &mut Numbers, value: FLOAT) {
        numbers.extend(&[value]);
    }

    /// Appends an integer as a float.
    #[rhai_fn(name = "push")]
    pub fn push_integer(numbers: &mut Numbers, value: INT) {
        numbers.extend(&[value as f64]);
    }

    /// Appends numbers.
    #[rhai_fn(name = "append", return_raw)]
    pub fn append(numbers: &mut Numbers, more: Dynamic) -> Answer<()> {
        numbers.extend(&floats(&more)?);
        Ok(())
    }

    /// Whether both hold the same numbers.
    #[rhai_fn(name = "==")]
    pub fn equal(first: Numbers, second: Numbers) -> bool {
        first.len() == second.len() && first.iter().zip(second.iter()).all(|(a, b)| a == b)
    }

    /// Whether they differ.
    #[rhai_fn(name = "!=")]
    pub fn differ(first: Numbers, second: Numbers) -> bool {
        !equal(first, second)
    }

    /// Sums, one by one.
    #[rhai_fn(name = "+", return_raw)]
    pub fn add(first: Numbers, second: Numbers) -> Answer<Numbers> {
        first.with(&second, |a, b| a + b)
    }

    /// Differences, one by one.
    #[rhai_fn(name = "-", return_raw)]
    pub fn subtract(first: Numbers, second: Numbers) -> Answer<Numbers> {
        first.with(&second, |a, b| a - b)
    }

    /// Products, one by one.
    #[rhai_fn(name = "*", return_raw)]
    pub fn multiply(first: Numbers, second: Numbers) -> Answer<Numbers> {
        first.with(&second, |a, b| a * b)
    }

    /// Quotients, one by one.
    #[rhai_fn(name = "/", return_raw)]
    pub fn divide(first: Numbers, second: Numbers) -> Answer<Numbers> {
        first.with(&second, |a, b| a / b)
    }

    /// Each number plus `value`.
    #[rhai_fn(name = "+")]
    pub fn add_value(numbers: Numbers, value: FLOAT) -> Numbers {
        numbers.map(|number| number + value)
    }

    /// Each number minus `value`.
    #[rhai_fn(name = "-")]
    pub fn subtract_value(numbers: Numbers, value: FLOAT) -> Numbers {
        numbers.map(|number| number - value)
    }

    /// Each number times `value`.
    #[rhai_fn(name = "*")]
    pub fn multiply_by(numbers: Numbers, value: FLOAT) -> Numbers {
        numbers.map(|number| number * value)
    }

    /// Each number divided by `value`.
    #[rhai_fn(name = "/")]
    pub fn divide_by(numbers: Numbers, value: FLOAT) -> Numbers {
        numbers.map(|number| number / value)
    }

    /// Absolute values.
    #[rhai_fn(name = "abs", pure)]
    pub fn abs(numbers: &mut Numbers) -> Numbers {
        numbers.map(f64::abs)
    }

    /// e to the power of each.
    #[rhai_fn(name = "exp", pure)]
    pub fn exp(numbers: &mut Numbers) -> Numbers {
        numbers.map(f64::exp)
    }

    /// Natural logarithms.
    #[rhai_fn(name = "ln", pure)]
    pub fn ln(numbers: &mut Numbers) -> Numbers {
        numbers.map(f64::ln)
    }

    /// The sum, with the rounding errors carried along.
    #[rhai_fn(name = "sum", pure)]
    pub fn sum(numbers: &mut Numbers) -> FLOAT {
        statistics::sum(numbers.iter())
    }

    /// The smallest.
    #[rhai_fn(name = "min", pure, return_raw)]
    pub fn min(numbers: &mut Numbers) -> Answer<FLOAT> {
        numbers.iter().reduce(f64::min).ok_or_else(|| Error::new("the smallest of no numbers").into())
    }

    /// The largest.
    #[rhai_fn(name = "max", pure, return_raw)]
    pub fn max(numbers: &mut Numbers) -> Answer<FLOAT> {
        numbers.iter().reduce(f64::max).ok_or_else(|| Error::new("the largest of no numbers").into())
    }

    /// Where the largest is; the first of equal ones.
    #[rhai_fn(pure, return_raw)]
    pub fn argmax(numbers: &mut Numbers) -> Answer<INT> {
        let best = numbers.iter().enumerate().reduce(|best, next| if next.1 > best.1 { next } else { best });
        best.map(|(index, _)| index as INT).ok_or_else(|| Error::new("the largest of no numbers").into())
    }

    /// Where the `count` largest are, the largest first.
    ///
    /// # Example
    /// ```rhai
    /// assert(numbers([0.1, 0.7, 0.2]).largest(2) == [1, 2], "second, then third");
    /// ```
    #[rhai_fn(name = "largest", name = "top_k", pure, return_raw)]
    pub fn largest(numbers: &mut Numbers, count: INT) -> Answer<Array> {
        let count = values::count("the count of the largest", count)?;
        let all = numbers.to_vec();
        let mut order: Vec<usize> = (0..all.len()).collect();
        order.sort_by(|&a, &b| all[b].total_cmp(&all[a]));
        Ok(order.into_iter().take(count).map(|index| (index as INT).into()).collect())
    }

    /// The natural logarithm of the sum of the exponentials, without overflow: `logits[i] - logits.log_sum_exp()` is a log-probability.
    #[rhai_fn(pure, return_raw)]
    pub fn log_sum_exp(numbers: &mut Numbers) -> Answer<FLOAT> {
        let max = max(numbers)?;
        Ok(max + statistics::sum(numbers.iter().map(|number| (number - max).exp())).ln())
    }

    /// The mean absolute difference of two lists of one length.
    ///
    /// # Example
    /// ```rhai
    /// assert(numbers([1, 2]).mean_difference(numbers([2, 4])) == 1.5, "one and two");
    /// ```
    #[rhai_fn(name = "mean_difference", name = "mean_abs_diff", pure, return_raw)]
    pub fn mean_difference(numbers: &mut Numbers, other: Numbers) -> Answer<FLOAT> {
        let mut differences = numbers.with(&other, |a, b| (a - b).abs())?;
        if differences.len() == 0 {
            return Err(Error::new("the mean difference of no numbers").into());
        }
        Ok(sum(&mut differences) / differences.len() as f64)
    }

    /// Sorted, the smallest first.
    #[rhai_fn(pure)]
    pub fn sorted(numbers: &mut Numbers) -> Numbers {
        let mut values = numbers.to_vec();
        values.sort_by(f64::total_cmp);
        values.into()
    }

    /// Whether every number is finite: neither NaN nor infinite.
    #[rhai_fn(pure)]
    pub fn all_finite(numbers: &mut Numbers) -> bool {
        numbers.iter().all(f64::is_finite)
    }

    /// The SHA-256 of the numbers as 64-bit little-endian floats, in hexadecimal.
    #[rhai_fn(name = "hash", pure)]
    pub fn hash(numbers: &mut Numbers) -> String {
        let mut hasher = Sha256::new();
        numbers.iter().for_each(|number| hasher.update(number.to_le_bytes()));
        hex(&hasher.finalize())
    }

    /// An ordinary array of them.
    #[rhai_fn(name = "to_array", pure)]
    pub fn to_array(numbers: &mut Numbers) -> Array {
        numbers.iter().map(Into::into).collect()
    }

    /// The first few, for a person to read.
    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn to_string(numbers: &mut Numbers) -> String {
        let first: Vec<String> = numbers.iter().take(8).map(|number| number.to_string()).collect();
        let dots = if numbers.len() > 8 { ", ..." } else { "" };
        format!("{} numbers [{}{dots}]", numbers.len(), first.join(", "))
    }

    /// Each number plus an integer.
    ///
    /// # Example
    /// ```rhai
    /// assert(numbers([1, 2]) + 1 == numbers([2, 3]) && numbers([1, 2]) * 2 == numbers([2, 4]), "each");
    /// ```
    #[rhai_fn(name = "+")]
    pub fn add_integer(numbers: Numbers, value: INT) -> Numbers {
        add_value(numbers, value as FLOAT)
    }

    /// Each number minus an integer.
    #[rhai_fn(name = "-")]
    pub fn subtract_integer(numbers: Numbers, value: INT) -> Numbers {
        subtract_value(numbers, value as FLOAT)
    }

    /// Each number times an integer.
    #[rhai_fn(name = "*")]
    pub fn multiply_by_integer(numbers: Numbers, value: INT) -> Numbers {
        multiply_by(numbers, value as FLOAT)
    }

    /// Each number divided by an integer.
    #[rhai_fn(name = "/")]
    pub fn divide_by_integer(numbers: Numbers, value: INT) -> Numbers {
        divide_by(numbers, value as FLOAT)
    }

    /// `value` times each number.
    #[rhai_fn(name = "*")]
    pub fn times_numbers(value: FLOAT, numbers: Numbers) -> Numbers {
        multiply_by(numbers, value)
    }

    /// `value` plus each number.
    #[rhai_fn(name = "+")]
    pub fn plus_numbers(value: FLOAT, numbers: Numbers) -> Numbers {
        add_value(numbers, value)
    }

    /// `value` minus each number.
    ///
    /// # Example
    /// ```rhai
    /// assert(1.0 - numbers([0.25, 0.5]) == numbers([0.75, 0.5]) && -numbers([1]) == numbers([-1]), "each");
    /// ```
    #[rhai_fn(name = "-")]
    pub fn minus_numbers(value: FLOAT, numbers: Numbers) -> Numbers {
        numbers.map(|number| value - number)
    }

    /// The numbers with the other sign.
    #[rhai_fn(name = "-")]
    pub fn negative(numbers: Numbers) -> Numbers {
        numbers.map(|number| -number)
    }

    /// Square roots.
    ///
    /// # Example
    /// ```rhai
    /// assert(numbers([4, 9]).sqrt() == numbers([2, 3]), "roots");
    /// ```
    #[rhai_fn(name = "sqrt", pure)]
    pub fn sqrt(numbers: &mut Numbers) -> Numbers {
        numbers.map(f64::sqrt)
    }

    /// Each number to a power.
    ///
    /// # Example
    /// ```rhai
    /// assert(numbers([2, 3]) ** 2.0 == numbers([4, 9]), "squares");
    /// ```
    #[rhai_fn(name = "**", name = "pow")]
    pub fn power(numbers: Numbers, exponent: FLOAT) -> Numbers {
        numbers.map(|number| number.powf(exponent))
    }

    /// Where the smallest is; the first of equal ones.
    ///
    /// # Example
    /// ```rhai
    /// assert(numbers([3, 1, 2]).argmin() == 1, "the second");
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn argmin(numbers: &mut Numbers) -> Answer<INT> {
        let best = numbers.iter().enumerate().reduce(|best, next| if next.1 < best.1 { next } else { best });
        best.map(|(index, _)| index as INT).ok_or_else(|| Error::new("the smallest of no numbers").into())
    }

    /// The sum of the products of numbers at the same place.
    ///
    /// # Example
    /// ```rhai
    /// assert(numbers([1, 2]).dot(numbers([3, 4])) == 11.0, "1 * 3 + 2 * 4");
    /// ```
    #[rhai_fn(name = "dot", pure, return_raw)]
    pub fn dot(numbers: &mut Numbers, other: Numbers) -> Answer<FLOAT> {
        Ok(statistics::sum(numbers.with(&other, |a, b| a * b)?.iter()))
    }

    /// Probabilities of logits: they sum up to 1.
    ///
    /// # Example
    /// ```rhai
    /// assert((numbers([1, 2, 3]).softmax().sum() - 1.0).abs() < 1e-12, "all of it");
    /// ```
    #[rhai_fn(name = "softmax", pure, return_raw)]
    pub fn softmax(numbers: &mut Numbers) -> Answer<Numbers> {
        let total = log_sum_exp(numbers)?;
        Ok(numbers.map(|number| (number - total).exp()))
    }

    /// Parts of `size` numbers, each beginning `stride` after the one before. They share memory.
    ///
    /// # Example
    /// ```rhai
    /// assert(numbers([1, 2, 3, 4]).windows(2, 1).map(|part| part.sum()) == [3.0, 5.0, 7.0], "three windows");
    /// ```
    #[rhai_fn(name = "windows", pure, return_raw)]
    pub fn windows(numbers: &mut Numbers, size: INT, stride: INT) -> Answer<Array> {
        if size < 1 || stride < 1 {
            return Err(Error::new(format!("windows of {size} numbers every {stride}: expected 1 or more")).into());
        }
        let last = numbers.len() as INT - size;
        (0..=last).step_by(stride as usize).map(|start| Ok(Dynamic::from(numbers.slice(start, start + size)?))).collect()
    }
}

pub(super) fn module() -> rhai::Module {
    let mut module = exported_module!(api);
    module.set_iter(std::any::TypeId::of::<Numbers>(), |value| {
        let numbers = value.cast::<Numbers>();
        let mut index = 0;
        Box::new(std::iter::from_fn(move || {
            let number = numbers.get(index).ok()?;
            index += 1;
            Some(number.into())
        }))
    });
    module
}
