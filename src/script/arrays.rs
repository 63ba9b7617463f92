//! Arrays: sums and extremes, texts joined, elements once. And what of the language itself could fill the memory in one step.

use super::failure::Answer;
use super::numbers::Numbers;
use super::values::{count, described, floats};
use crate::error::{Error, Result};
use crate::{limits, statistics};
use rhai::plugin::*;
use rhai::{Array, Blob, FLOAT, INT, ImmutableString};
use std::collections::BTreeSet;

/// Bytes of an element of an array.
const ELEMENT: u64 = size_of::<Dynamic>() as u64;

fn integers(array: &Array) -> Option<Vec<INT>> {
    array.iter().map(|value| value.as_int().ok()).collect()
}

fn numbers(array: &Array) -> Answer<Vec<f64>> {
    floats(&Dynamic::from_array(array.clone()))
}

/// The place of the element that is kept by `better(new, best)`.
fn place(array: &Array, what: &str, better: impl Fn(f64, f64) -> bool) -> Answer<usize> {
    let values = numbers(array)?;
    let best = (0..values.len()).reduce(|best, next| if better(values[next], values[best]) { next } else { best });
    best.ok_or_else(|| Error::new(format!("the {what} of no elements")).into())
}

/// Room for more elements, where a script asks for a size.
fn room(len: INT, bytes: u64) -> Result<usize> {
    let len = count("the length", len)?;
    limits::room("it", (len as u64).saturating_mul(bytes))?;
    Ok(len)
}

#[export_module]
pub(super) mod api {
    /// The sum: an integer where all are integers, else a float.
    ///
    /// # Example
    /// ```rhai
    /// assert([1, 2, 3].sum() == 6 && [0.5, 1].sum() == 1.5, "sums");
    /// ```
    #[rhai_fn(name = "sum", pure, return_raw)]
    pub fn sum(array: &mut Array) -> Answer<Dynamic> {
        match integers(array) {
            Some(values) => {
                let total = values.iter().try_fold(0 as INT, |total, value| total.checked_add(*value));
                Ok(total
                    .ok_or_else(|| Error::new("the sum is beyond the largest integer").remedy("sum floats: numbers(array).sum()"))?
                    .into())
            }
            None => Ok(statistics::sum(numbers(array)?).into()),
        }
    }

    /// The smallest element.
    ///
    /// # Example
    /// ```rhai
    /// assert([3, 1, 2].min() == 1, "the smallest");
    /// ```
    #[rhai_fn(name = "min", pure, return_raw)]
    pub fn min(array: &mut Array) -> Answer<Dynamic> {
        Ok(array[place(array, "smallest", |new, best| new < best)?].clone())
    }

    /// The largest element.
    ///
    /// # Example
    /// ```rhai
    /// assert([3, 1.5, 2].max() == 3, "the largest");
    /// ```
    #[rhai_fn(name = "max", pure, return_raw)]
    pub fn max(array: &mut Array) -> Answer<Dynamic> {
        Ok(array[place(array, "largest", |new, best| new > best)?].clone())
    }

    /// Where the smallest element is; the first of equal ones.
    ///
    /// # Example
    /// ```rhai
    /// assert([3, 1, 2].argmin() == 1, "the second");
    /// ```
    #[rhai_fn(name = "argmin", pure, return_raw)]
    pub fn argmin(array: &mut Array) -> Answer<INT> {
        Ok(place(array, "smallest", |new, best| new < best)? as INT)
    }

    /// Where the largest element is; the first of equal ones.
    ///
    /// # Example
    /// ```rhai
    /// assert([3, 1, 2].argmax() == 0, "the first");
    /// ```
    #[rhai_fn(name = "argmax", pure, return_raw)]
    pub fn argmax(array: &mut Array) -> Answer<INT> {
        Ok(place(array, "largest", |new, best| new > best)? as INT)
    }

    /// The elements as text, with `separator` between them.
    ///
    /// # Example
    /// ```rhai
    /// assert(["a", 1, true].join(", ") == "a, 1, true", "joined");
    /// ```
    #[rhai_fn(name = "join", pure)]
    pub fn join(array: &mut Array, separator: &str) -> String {
        array.iter().map(ToString::to_string).collect::<Vec<_>>().join(separator)
    }

    /// The elements, each once, in the order in which they first come. Of texts, numbers and truth values.
    ///
    /// # Example
    /// ```rhai
    /// assert([2, 1, 2, "a", "a"].unique() == [2, 1, "a"], "once each");
    /// ```
    #[rhai_fn(name = "unique", pure, return_raw)]
    pub fn unique(array: &mut Array) -> Answer<Array> {
        let mut seen = BTreeSet::new();
        let mut kept = Array::new();
        for value in array.iter() {
            if value.is_array() || value.is_map() || value.is_fnptr() {
                return Err(Error::new(format!("{} among the elements: expected texts, numbers and truth values", described(value))).into());
            }
            if seen.insert((value.type_name().to_owned(), value.to_string())) {
                kept.push(value.clone());
            }
        }
        Ok(kept)
    }

    /// The running sums.
    ///
    /// # Example
    /// ```rhai
    /// assert(cumsum([1, 2, 3]) == numbers([1, 3, 6]), "running");
    /// ```
    #[rhai_fn(name = "cumsum", return_raw)]
    pub fn cumsum(values: Dynamic) -> Answer<Numbers> {
        let mut total = 0.0;
        let running = floats(&values)?.into_iter().map(|value| {
            total += value;
            total
        });
        Ok(running.collect::<Vec<f64>>().into())
    }

    /// `count` numbers from `first` to `last`, both included, at equal distances.
    ///
    /// # Example
    /// ```rhai
    /// assert(linspace(0.0, 1.0, 5) == numbers([0, 0.25, 0.5, 0.75, 1]), "five");
    /// ```
    #[rhai_fn(name = "linspace", return_raw)]
    pub fn linspace(first: FLOAT, last: FLOAT, number: INT) -> Answer<Numbers> {
        let number = room(number, 8)?;
        let step = if number > 1 { (last - first) / (number - 1) as f64 } else { 0.0 };
        let value = |index: usize| if index + 1 == number && number > 1 { last } else { first + step * index as f64 };
        Ok((0..number).map(value).collect::<Vec<f64>>().into())
    }

    /// Appends `item` until the array has `len` elements.
    ///
    /// # Example
    /// ```rhai
    /// let list = [1];
    /// list.pad(3, 0);
    /// assert(list == [1, 0, 0], "three");
    /// ```
    #[rhai_fn(name = "pad", return_raw)]
    pub fn pad(array: &mut Array, len: INT, item: Dynamic) -> Answer<()> {
        let len = room(len, ELEMENT)?;
        if len > array.len() {
            array.resize(len, item);
        }
        Ok(())
    }

    /// Appends `character` until the text has `len` characters.
    ///
    /// # Example
    /// ```rhai
    /// let text = "ab";
    /// text.pad(4, '.');
    /// assert(text == "ab..", "four");
    /// ```
    #[rhai_fn(name = "pad", return_raw)]
    pub fn pad_text(text: &mut ImmutableString, len: INT, character: char) -> Answer<()> {
        pad_text_with(text, len, &character.to_string())
    }

    /// Appends `padding` until the text has `len` characters.
    ///
    /// # Example
    /// ```rhai
    /// let text = "ab";
    /// text.pad(5, "-=");
    /// assert(text == "ab-=-", "five");
    /// ```
    #[rhai_fn(name = "pad", return_raw)]
    pub fn pad_text_with(text: &mut ImmutableString, len: INT, padding: &str) -> Answer<()> {
        let missing = room(len, 4)?.saturating_sub(text.chars().count());
        if missing > 0 && !padding.is_empty() {
            let more: String = padding.chars().cycle().take(missing).collect();
            *text = format!("{text}{more}").into();
        }
        Ok(())
    }

    /// So many bytes of 0.
    ///
    /// # Example
    /// ```rhai
    /// assert(blob(3).len == 3, "three bytes");
    /// ```
    #[rhai_fn(name = "blob", return_raw)]
    pub fn blob(len: INT) -> Answer<Blob> {
        blob_of(len, 0)
    }

    /// So many bytes of one value.
    ///
    /// # Example
    /// ```rhai
    /// assert(blob(2, 7)[1] == 7, "sevens");
    /// ```
    #[rhai_fn(name = "blob", return_raw)]
    pub fn blob_of(len: INT, value: INT) -> Answer<Blob> {
        Ok(vec![value as u8; room(len, 1)?])
    }

    /// Appends bytes of one value until there are `len` of them.
    ///
    /// # Example
    /// ```rhai
    /// let bytes = blob(1);
    /// bytes.pad(3, 9);
    /// assert(bytes.len == 3 && bytes[2] == 9, "three");
    /// ```
    #[rhai_fn(name = "pad", return_raw)]
    pub fn pad_blob(blob: &mut Blob, len: INT, value: INT) -> Answer<()> {
        let len = room(len, 1)?;
        if len > blob.len() {
            blob.resize(len, value as u8);
        }
        Ok(())
    }
}

pub(super) fn module() -> rhai::Module {
    exported_module!(api)
}
