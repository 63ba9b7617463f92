//! Functions of the language that fail silently, in a form that does what is meant or says what is wrong: sorting, filtering, and changing a text.

use super::failure::Answer;
use super::values::{described, kind_of};
use crate::error::Error;
use rhai::plugin::*;
use rhai::{Array, FnPtr, INT, ImmutableString};
use std::cmp::Ordering;

#[export_module]
pub(super) mod api {
    /// Sorts an array of numbers (integers and floats mixed), texts, characters or truth values, smallest first, and returns it.
    ///
    /// # Example
    /// ```rhai
    /// assert([2, 1.5, -1].sort() == [-1, 1.5, 2], "numbers of both kinds");
    /// ```
    #[rhai_fn(name = "sort", return_raw)]
    pub fn sort(array: &mut Array) -> Answer<Array> {
        sort_plainly(array)?;
        Ok(array.clone())
    }

    /// Sorts an array as `compare(a, b)` says, and returns it: below 0 (or `true`) where `a` stands first, above 0 (or `false`) where `b` does. Equal
    /// ones keep their order.
    ///
    /// # Example
    /// ```rhai
    /// let rows = [#{ t: 0.5 }, #{ t: 0.25 }];
    /// rows.sort(|a, b| a.t - b.t);
    /// assert(rows[0].t == 0.25, "fractions count");
    /// ```
    #[rhai_fn(name = "sort", return_raw)]
    pub fn sort_with(context: NativeCallContext, array: &mut Array, compare: FnPtr) -> Answer<Array> {
        sort_by(&context, array, &compare)?;
        Ok(array.clone())
    }

    /// A sorted copy of an array: see `sort`.
    #[rhai_fn(name = "order", return_raw, pure)]
    pub fn order(array: &mut Array) -> Answer<Array> {
        let mut sorted = array.clone();
        sort_plainly(&mut sorted)?;
        Ok(sorted)
    }

    /// A copy of an array, sorted as `compare(a, b)` says: see `sort`.
    #[rhai_fn(name = "order", name = "order_by", return_raw, pure)]
    pub fn order_with(context: NativeCallContext, array: &mut Array, compare: FnPtr) -> Answer<Array> {
        let mut sorted = array.clone();
        sort_by(&context, &mut sorted, &compare)?;
        Ok(sorted)
    }

    /// The elements for which `condition(element)` (or `condition(element, index)`) is true.
    ///
    /// # Example
    /// ```rhai
    /// assert([1, 2, 3].filter(|x| x > 1) == [2, 3], "two of them");
    /// ```
    #[rhai_fn(name = "filter", return_raw, pure)]
    pub fn filter(context: NativeCallContext, array: &mut Array, condition: FnPtr) -> Answer<Array> {
        let mut kept = Array::new();
        for (index, element) in array.iter_mut().enumerate() {
            if holds(&context, "filter", &condition, element, index)? {
                kept.push(element.clone());
            }
        }
        Ok(kept)
    }

    /// Whether `condition(element)` (or `condition(element, index)`) is true of one element at least.
    #[rhai_fn(name = "some", return_raw, pure)]
    pub fn some(context: NativeCallContext, array: &mut Array, condition: FnPtr) -> Answer<bool> {
        for (index, element) in array.iter_mut().enumerate() {
            if holds(&context, "some", &condition, element, index)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether `condition(element)` (or `condition(element, index)`) is true of every element.
    #[rhai_fn(name = "all", return_raw, pure)]
    pub fn all(context: NativeCallContext, array: &mut Array, condition: FnPtr) -> Answer<bool> {
        for (index, element) in array.iter_mut().enumerate() {
            if !holds(&context, "all", &condition, element, index)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reverses an array, and returns it.
    #[rhai_fn(name = "reverse")]
    pub fn reverse(array: &mut Array) -> Array {
        array.reverse();
        array.clone()
    }

    /// Takes the white space at both ends of a text away, and returns it.
    ///
    /// # Example
    /// ```rhai
    /// assert([" a", "b "].map(|line| line.trim()) == ["a", "b"], "trimmed");
    /// ```
    #[rhai_fn(name = "trim")]
    pub fn trim(text: &mut ImmutableString) -> ImmutableString {
        if text.trim().len() < text.len() {
            *text = text.trim().into();
        }
        text.clone()
    }

    /// Replaces every `part` of a text (a text or a character) by `by`, and returns it.
    ///
    /// # Example
    /// ```rhai
    /// let text = "a-b-c";
    /// assert(text.replace("-", "+") == "a+b+c" && text == "a+b+c", "replaced");
    /// ```
    #[rhai_fn(name = "replace")]
    pub fn replace(text: &mut ImmutableString, part: ImmutableString, by: ImmutableString) -> ImmutableString {
        replaced(text, &part, &by)
    }

    /// As above.
    #[rhai_fn(name = "replace")]
    pub fn replace_text(text: &mut ImmutableString, part: ImmutableString, by: char) -> ImmutableString {
        replaced(text, &part, &by.to_string())
    }

    /// As above.
    #[rhai_fn(name = "replace")]
    pub fn replace_character(text: &mut ImmutableString, part: char, by: ImmutableString) -> ImmutableString {
        replaced(text, &part.to_string(), &by)
    }

    /// As above.
    #[rhai_fn(name = "replace")]
    pub fn replace_characters(text: &mut ImmutableString, part: char, by: char) -> ImmutableString {
        replaced(text, &part.to_string(), &by.to_string())
    }
}

fn replaced(text: &mut ImmutableString, part: &str, by: &str) -> ImmutableString {
    if !part.is_empty() {
        *text = text.replace(part, by).into();
    }
    text.clone()
}

/// What a condition says of an element. Anything but true or false is a mistake, not false.
fn holds(context: &NativeCallContext, function: &str, condition: &FnPtr, element: &mut Dynamic, index: usize) -> Answer<bool> {
    let index = INT::try_from(index).unwrap_or(INT::MAX);
    let said = condition.call_raw_with_extra_args(function, context, Some(element), [], [index.into()], Some(0))?;
    said.as_bool().map_err(|_| {
        let error = Error::new(format!("the condition of `{function}` gives {}: expected true or false", described(&said)));
        error.remedy("compare: |x| x != (), |x| x > 0, |text| text != \"\"").into()
    })
}

fn sort_plainly(array: &mut Array) -> Answer<()> {
    let rank = |value: &Dynamic| match () {
        () if value.is_int() || value.is_float() => Some(0),
        () if value.is_string() || value.is_char() => Some(1),
        () if value.is_bool() => Some(2),
        () => None,
    };
    for (index, value) in array.iter().enumerate() {
        if rank(value).is_none() || rank(value) != rank(&array[0]) {
            let error = Error::new(format!("cannot sort {} (element 0) and {} (element {index})", kind_of(&array[0]), kind_of(value)));
            return Err(error.remedy("say how: rows.sort(|a, b| a.time - b.time)").into());
        }
    }
    array.sort_by(|a, b| {
        let number = |value: &Dynamic| value.as_int().map(|value| value as f64).or_else(|_| value.as_float()).ok();
        match (a.as_int(), b.as_int(), number(a), number(b)) {
            (Ok(a), Ok(b), ..) => a.cmp(&b),
            // NaN stands last.
            (_, _, Some(a), Some(b)) => a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan())),
            _ => match (a.as_bool(), b.as_bool()) {
                (Ok(a), Ok(b)) => a.cmp(&b),
                _ => a.to_string().cmp(&b.to_string()),
            },
        }
    });
    Ok(())
}

/// A stable sort; the first failure of `compare` ends it.
fn sort_by(context: &NativeCallContext, array: &mut Array, compare: &FnPtr) -> Answer<()> {
    let mut failed: Option<Box<EvalAltResult>> = None;
    let mut order = |a: &Dynamic, b: &Dynamic| -> Ordering {
        if failed.is_some() {
            return Ordering::Equal;
        }
        let said = match compare.call_raw(context, None, [a.clone(), b.clone()]) {
            Ok(said) => said,
            Err(error) => {
                failed = Some(error);
                return Ordering::Equal;
            }
        };
        if let Ok(number) = said.as_int() {
            return number.cmp(&0);
        }
        if let Ok(first) = said.as_bool() {
            // `|a, b| a < b`: false may mean equal, which the other way round tells.
            return if first { Ordering::Less } else { Ordering::Greater };
        }
        match said.as_float() {
            Ok(number) if !number.is_nan() => number.total_cmp(&0.0),
            _ => {
                let error = Error::new(format!("the comparison of `sort` gives {}: expected a number", described(&said)));
                failed = Some(error.remedy("below 0: the first one stands first; such as |a, b| a.time - b.time").into());
                Ordering::Equal
            }
        }
    };
    // Not `sort_by` of the standard library: it may panic where a comparison contradicts itself.
    let sorted = merged(std::mem::take(array), &mut order);
    *array = sorted;
    failed.map_or(Ok(()), Err)
}

/// Merge sort: stable, and at peace with any comparison.
fn merged(mut values: Array, order: &mut impl FnMut(&Dynamic, &Dynamic) -> Ordering) -> Array {
    if values.len() < 2 {
        return values;
    }
    let right = values.split_off(values.len() / 2);
    let (mut left, mut right) = (merged(values, order).into_iter().peekable(), merged(right, order).into_iter().peekable());
    let mut all = Array::new();
    loop {
        let later = match (left.peek(), right.peek()) {
            (Some(a), Some(b)) => order(a, b) == Ordering::Greater,
            (None, Some(_)) => true,
            (Some(_), None) => false,
            (None, None) => return all,
        };
        all.extend(if later { right.next() } else { left.next() });
    }
}

pub(super) fn module() -> rhai::Module {
    exported_module!(api)
}
