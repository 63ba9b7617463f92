//! Random numbers from a seed: the same seed gives the same numbers.

use super::failure::Answer;
use super::numbers::Numbers;
use super::tokens::SplitMix64;
use super::values::count;
use crate::error::{Error, Result};
use crate::limits;
use rhai::plugin::*;
use rhai::{Array, FLOAT, INT};
use std::cell::RefCell;
use std::rc::Rc;

/// A generator. Copies go on together: what one has drawn the other does not draw again.
#[derive(Clone)]
pub struct Random(Rc<RefCell<SplitMix64>>);

impl Random {
    /// From 0 to below 1: 53 bits, as many as a float has.
    fn uniform(&self) -> f64 {
        (self.0.borrow_mut().next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Source: G. E. P. Box and M. E. Muller, "A Note on the Generation of Random Normal Deviates", Annals of Mathematical Statistics 29 (1958).
    fn normal(&self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    fn below(&self, bound: usize) -> usize {
        self.0.borrow_mut().below(bound as u64) as usize
    }

    fn integer(&self, low: INT, high: INT) -> Result<INT> {
        let width = high.checked_sub(low).filter(|width| *width > 0);
        let width =
            width.ok_or_else(|| Error::new(format!("an integer from {low} to below {high}: expected a lower bound and a larger one")))?;
        Ok(low + self.0.borrow_mut().below(width as u64) as INT)
    }

    fn many(&self, number: INT, draw: impl Fn(&Random) -> f64) -> Result<Numbers> {
        let number = count("the count of random numbers", number)?;
        limits::room("the random numbers", (number as u64).saturating_mul(8))?;
        Ok((0..number).map(|_| draw(self)).collect::<Vec<f64>>().into())
    }

    /// Fisher and Yates' shuffle of the first `count` places.
    fn shuffle(&self, list: &mut Array, count: usize) {
        for place in 0..count.min(list.len().saturating_sub(1)) {
            let other = place + self.below(list.len() - place);
            list.swap(place, other);
        }
    }
}

#[export_module]
pub(super) mod api {
    /// Random numbers from a seed. A copy is the same generator: it goes on where the other one is.
    pub type Random = super::Random;

    /// A generator of random numbers.
    ///
    /// # Example
    /// ```rhai
    /// let random = rng(7);
    /// assert(random.uniform() < 1.0 && rng(7).integer(0, 100) == rng(7).integer(0, 100), "seeded");
    /// ```
    #[rhai_fn(name = "rng")]
    pub fn rng(seed: INT) -> Random {
        super::Random(Rc::new(RefCell::new(SplitMix64(seed as u64))))
    }

    /// A number from 0 to below 1, all as likely.
    ///
    /// # Example
    /// ```rhai
    /// let drawn = rng(1).uniform();
    /// assert(drawn >= 0.0 && drawn < 1.0, "between");
    /// ```
    #[rhai_fn(name = "uniform", pure, volatile)]
    pub fn uniform(random: &mut Random) -> FLOAT {
        random.uniform()
    }

    /// So many numbers from 0 to below 1.
    ///
    /// # Example
    /// ```rhai
    /// assert((rng(1).uniform(10000).mean() - 0.5).abs() < 0.02, "evenly");
    /// ```
    #[rhai_fn(name = "uniform", pure, return_raw, volatile)]
    pub fn uniform_many(random: &mut Random, count: INT) -> Answer<Numbers> {
        Ok(random.many(count, super::Random::uniform)?)
    }

    /// So many numbers from `low` to below `high`.
    ///
    /// # Example
    /// ```rhai
    /// assert(rng(1).uniform(-1.0, 1.0, 100).min() < 0.0, "either side of 0");
    /// ```
    #[rhai_fn(name = "uniform", pure, return_raw, volatile)]
    pub fn uniform_between(random: &mut Random, low: FLOAT, high: FLOAT, count: INT) -> Answer<Numbers> {
        Ok(random.many(count, |random| low + (high - low) * random.uniform())?)
    }

    /// A number of the standard normal distribution.
    ///
    /// # Example
    /// ```rhai
    /// assert(rng(1).normal().abs() < 10.0, "near 0");
    /// ```
    #[rhai_fn(name = "normal", pure, volatile)]
    pub fn normal(random: &mut Random) -> FLOAT {
        random.normal()
    }

    /// So many numbers of the standard normal distribution.
    ///
    /// # Example
    /// ```rhai
    /// assert((rng(1).normal(10000).std() - 1.0).abs() < 0.03, "as wide as it should be");
    /// ```
    #[rhai_fn(name = "normal", pure, return_raw, volatile)]
    pub fn normal_many(random: &mut Random, count: INT) -> Answer<Numbers> {
        Ok(random.many(count, super::Random::normal)?)
    }

    /// So many numbers of the normal distribution with this mean and standard deviation.
    ///
    /// # Example
    /// ```rhai
    /// assert((rng(1).normal(100.0, 15.0, 10000).mean() - 100.0).abs() < 1.0, "around 100");
    /// ```
    #[rhai_fn(name = "normal", pure, return_raw, volatile)]
    pub fn normal_around(random: &mut Random, mean: FLOAT, deviation: FLOAT, count: INT) -> Answer<Numbers> {
        Ok(random.many(count, |random| mean + deviation * random.normal())?)
    }

    /// An integer from `low` to below `high`.
    ///
    /// # Example
    /// ```rhai
    /// let die = rng(3).integer(1, 7);
    /// assert(die >= 1 && die <= 6, "a die");
    /// ```
    #[rhai_fn(name = "integer", pure, return_raw, volatile)]
    pub fn integer(random: &mut Random, low: INT, high: INT) -> Answer<INT> {
        Ok(random.integer(low, high)?)
    }

    /// So many integers from `low` to below `high`, as an array.
    ///
    /// # Example
    /// ```rhai
    /// assert(rng(3).integers(0, 2, 50).sum() > 10, "heads and tails");
    /// ```
    #[rhai_fn(name = "integers", pure, return_raw, volatile)]
    pub fn integers(random: &mut Random, low: INT, high: INT, number: INT) -> Answer<Array> {
        let number = count("the count of integers", number)?;
        limits::room("the integers", (number as u64).saturating_mul(16))?;
        (0..number).map(|_| Ok(random.integer(low, high)?.into())).collect()
    }

    /// The same elements in another order: a new array.
    ///
    /// # Example
    /// ```rhai
    /// let mixed = rng(5).shuffle([1, 2, 3, 4]);
    /// mixed.sort();
    /// assert(mixed == [1, 2, 3, 4], "all of them");
    /// ```
    #[rhai_fn(name = "shuffle", name = "permutation", pure, volatile)]
    pub fn shuffle(random: &mut Random, list: Array) -> Array {
        let mut list = list;
        random.shuffle(&mut list, usize::MAX);
        list
    }

    /// The integers from 0 to below `count` in random order.
    ///
    /// # Example
    /// ```rhai
    /// assert(rng(5).permutation(10).sum() == 45, "0 to 9");
    /// ```
    #[rhai_fn(name = "permutation", pure, return_raw, volatile)]
    pub fn permutation(random: &mut Random, number: INT) -> Answer<Array> {
        let number = count("the count of integers", number)?;
        limits::room("the integers", (number as u64).saturating_mul(16))?;
        Ok(shuffle(random, (0..number as INT).map(Into::into).collect()))
    }

    /// One of the elements.
    ///
    /// # Example
    /// ```rhai
    /// assert(rng(5).choice(["a", "b"]) in ["a", "b"], "one of them");
    /// ```
    #[rhai_fn(name = "choice", pure, return_raw, volatile)]
    pub fn choice(random: &mut Random, list: Array) -> Answer<Dynamic> {
        if list.is_empty() {
            return Err(Error::new("a choice of no elements").into());
        }
        Ok(list[random.below(list.len())].clone())
    }

    /// So many elements, none of them twice, in random order.
    ///
    /// # Example
    /// ```rhai
    /// assert(rng(5).sample([1, 2, 3, 4, 5], 3).unique().len == 3, "three of five");
    /// ```
    #[rhai_fn(name = "sample", pure, return_raw, volatile)]
    pub fn sample(random: &mut Random, list: Array, number: INT) -> Answer<Array> {
        let mut list = list;
        let number = count("the count of the sample", number)?;
        if number > list.len() {
            return Err(Error::new(format!("{number} of {} elements, none of them twice: expected at most as many", list.len())).into());
        }
        random.shuffle(&mut list, number);
        list.truncate(number);
        Ok(list)
    }
}

pub(super) fn module() -> rhai::Module {
    exported_module!(api)
}
