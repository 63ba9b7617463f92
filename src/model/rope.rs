//! Rotary position embedding (RoPE): how fast each pair of a head's elements turns with the position, and the ways to stretch it to
//! contexts beyond the one that a model was trained with.
//!
//! Source of all scalings: `transformers`, `modeling_rope_utils.py`, the functions `_compute_*_parameters` and `dynamic_rope_update`.

use super::architecture::{MAX_SIZE, within};
use crate::error::{Error, Result};

/// Rotary position embedding in the Hugging Face convention: element `i` is paired with `i + width / 2`.
#[derive(Debug, Clone, PartialEq)]
pub struct Rope {
    pub base: f32,
    pub scaling: RopeScaling,
    /// Elements of a head that are rotated; `None`: all. Pair `i` is still elements `i` and `i + width / 2`, and the first `rotated / 2` pairs
    /// turn: readers put the rows of queries and keys in this order, which changes no product of both.
    pub rotated: Option<usize>,
    /// Cosines and sines are multiplied by this (YaRN, LongRoPE), and so the scores by its square.
    pub attention_factor: f32,
}

#[derive(Debug, Clone, PartialEq)]
pub enum RopeScaling {
    None,
    /// Positions divided by `factor`.
    Linear {
        factor: f32,
    },
    /// Llama 3's: frequencies are scaled by wavelength.
    Llama3 {
        factor: f32,
        low_freq_factor: f32,
        high_freq_factor: f32,
        original_context: usize,
    },
    /// Each frequency divided by its own factor (GGUF's `rope_freqs.weight`).
    Factors(Vec<f32>),
    /// YaRN (Peng et al. 2023): frequencies that turn more than `beta_fast` times over the original context are kept, those that turn less than
    /// `beta_slow` times are divided by `factor`, those between are blended by their index.
    Yarn {
        factor: f32,
        beta_fast: f32,
        beta_slow: f32,
        original_context: usize,
        /// The indices between which is blended are rounded to whole ones.
        truncate: bool,
    },
    /// Dynamic NTK: beyond the original context the base grows with the length of the text.
    Dynamic {
        factor: f32,
        original_context: usize,
    },
    /// LongRoPE (Ding et al. 2024; Phi-3): each frequency divided by its own factor, of one list up to the original context, of another for
    /// longer texts.
    LongRope {
        short: Vec<f32>,
        long: Vec<f32>,
        original_context: usize,
    },
    /// Every key/value head (and the query heads that share it) has inverse frequencies of its own, `[kv_heads][width / 2]` in radians per
    /// position: a student's heads, which keep different rotary pairs of their teacher. The base means nothing then.
    PerHead(Vec<Vec<f32>>),
}

impl Rope {
    /// All elements rotated, nothing multiplied.
    pub fn new(base: f32, scaling: RopeScaling) -> Rope {
        Rope { base, scaling, rotated: None, attention_factor: 1.0 }
    }

    /// That its numbers fit each other and a head of `width`.
    ///
    /// # Errors
    /// The first number that doesn't fit.
    pub(super) fn check(&self, width: usize) -> Result<()> {
        positive("the base", self.base)?;
        positive("the attention factor", self.attention_factor)?;
        if let Some(rotated) = self.rotated
            && (rotated == 0 || rotated > width || !rotated.is_multiple_of(2))
        {
            return Err(Error::new(format!(
                "RoPE rotates {rotated} elements of a head: expected an even number from 2 to its size {width}"
            )));
        }
        let pairs = self.rotated.unwrap_or(width) / 2;
        let list = |factors: &[f32]| {
            if factors.len() != pairs {
                return Err(Error::new(format!(
                    "there are {} factors of RoPE, expected {pairs}: half the elements of a head that are rotated",
                    factors.len()
                )));
            }
            factors.iter().try_for_each(|&factor| positive("a factor", factor))
        };
        let original = |context: usize| within("the original context of RoPE's scaling", context, MAX_SIZE);
        match &self.scaling {
            RopeScaling::None => Ok(()),
            RopeScaling::Linear { factor } => positive("the scaling factor", *factor),
            RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context } => {
                positive("the scaling factor", *factor)?;
                positive("low_freq_factor", *low_freq_factor)?;
                original(*original_context)?;
                match low_freq_factor < high_freq_factor {
                    true => Ok(()),
                    false => Err(Error::new(format!(
                        "high_freq_factor is {high_freq_factor}, expected more than low_freq_factor ({low_freq_factor})"
                    ))),
                }
            }
            RopeScaling::Factors(factors) => list(factors),
            RopeScaling::Yarn { factor, beta_fast, beta_slow, original_context, .. } => {
                positive("the scaling factor", *factor)?;
                positive("beta_fast", *beta_fast)?;
                positive("beta_slow", *beta_slow)?;
                if self.base <= 1.0 {
                    return Err(Error::new(format!("the base of RoPE is {}, expected more than 1 for YaRN", self.base)));
                }
                original(*original_context)
            }
            RopeScaling::Dynamic { factor, original_context } => {
                positive("the scaling factor", *factor)?;
                if pairs < 2 {
                    return Err(Error::new("dynamic scaling of RoPE needs more than one pair in each head"));
                }
                original(*original_context)
            }
            RopeScaling::LongRope { short, long, original_context } => {
                list(short)?;
                list(long)?;
                original(*original_context)
            }
            RopeScaling::PerHead(heads) => {
                for (head, frequencies) in heads.iter().enumerate() {
                    if frequencies.len() != pairs {
                        let message = format!("{} frequencies of RoPE, expected {pairs}: half the elements of a head", frequencies.len());
                        return Err(Error::new(message).at(format!("key/value head {head}")));
                    }
                    if let Some(frequency) = frequencies.iter().find(|frequency| !frequency.is_finite()) {
                        return Err(Error::new(format!("a frequency of RoPE is {frequency}")).at(format!("key/value head {head}")));
                    }
                }
                Ok(())
            }
        }
    }

    /// How many key/value heads have frequencies of their own; `None`: all have the same.
    pub fn heads(&self) -> Option<usize> {
        match &self.scaling {
            RopeScaling::PerHead(heads) => Some(heads.len()),
            _ => None,
        }
    }

    /// Whether the frequencies depend on how long the text is.
    pub fn depends_on_length(&self) -> bool {
        matches!(self.scaling, RopeScaling::Dynamic { .. } | RopeScaling::LongRope { .. })
    }

    /// The inverse frequencies of key/value head `head`, as [`Rope::inverse_frequencies_at`] gives them for all heads.
    pub fn inverse_frequencies_of(&self, head: usize, width: usize, length: usize) -> Vec<f32> {
        match &self.scaling {
            RopeScaling::PerHead(heads) => heads.get(head).cloned().unwrap_or_default(),
            _ => self.inverse_frequencies_at(width, length),
        }
    }

    /// The `width / 2` inverse frequencies of a text within the original context, in radians per position; those of the first head where heads differ.
    pub fn inverse_frequencies(&self, width: usize) -> Vec<f32> {
        self.inverse_frequencies_at(width, 0)
    }

    /// As [`Rope::inverse_frequencies`], of a text of `length` tokens.
    pub fn inverse_frequencies_at(&self, width: usize, length: usize) -> Vec<f32> {
        if let RopeScaling::PerHead(heads) = &self.scaling {
            return heads.first().cloned().unwrap_or_default();
        }
        let rotated = self.rotated.unwrap_or(width);
        let dimensions = rotated as f64;
        let base = match &self.scaling {
            RopeScaling::Dynamic { factor, original_context } if length > *original_context => {
                let (factor, stretched) = (f64::from(*factor), length as f64 / *original_context as f64);
                f64::from(self.base) * (factor * stretched - (factor - 1.0)).powf(dimensions / (dimensions - 2.0))
            }
            _ => f64::from(self.base),
        };
        let blend = self.yarn_blend(dimensions);
        let scaled = |(i, frequency): (usize, f64)| match &self.scaling {
            RopeScaling::None | RopeScaling::Dynamic { .. } | RopeScaling::PerHead(_) => frequency,
            RopeScaling::Linear { factor } => frequency / f64::from(*factor),
            RopeScaling::Factors(factors) => frequency / factor_of(factors, i),
            RopeScaling::LongRope { long, original_context, .. } if length > *original_context => frequency / factor_of(long, i),
            RopeScaling::LongRope { short, .. } => frequency / factor_of(short, i),
            RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context } => {
                let (factor, low, high) = (f64::from(*factor), f64::from(*low_freq_factor), f64::from(*high_freq_factor));
                let turns = *original_context as f64 * frequency / std::f64::consts::TAU;
                // Below `low` turns over the original context: slowed by `factor`; above `high`: kept; between: blended.
                let blend = ((turns - low) / (high - low)).clamp(0.0, 1.0);
                (1.0 - blend) * frequency / factor + blend * frequency
            }
            RopeScaling::Yarn { factor, .. } => {
                let slowed = blend(i);
                frequency / f64::from(*factor) * slowed + frequency * (1.0 - slowed)
            }
        };
        let plain = (0..rotated / 2).map(|i| base.powf(-2.0 * i as f64 / dimensions));
        let mut frequencies: Vec<f32> = plain.enumerate().map(|pair| scaled(pair) as f32).collect();
        // The others stand still.
        frequencies.resize(width / 2, 0.0);
        frequencies
    }

    /// How much of pair `i`'s frequency is YaRN's slowed one.
    fn yarn_blend(&self, dimensions: f64) -> impl Fn(usize) -> f64 + use<> {
        let (low, high) = match self.scaling {
            RopeScaling::Yarn { beta_fast, beta_slow, original_context, truncate, .. } => {
                // The index of the pair that turns so many times over the original context.
                let index = |turns: f32| {
                    let ratio = original_context as f64 / (f64::from(turns) * std::f64::consts::TAU);
                    dimensions * ratio.ln() / (2.0 * f64::from(self.base).ln())
                };
                let (low, high) = (index(beta_fast), index(beta_slow));
                let (low, high) = if truncate { (low.floor(), high.ceil()) } else { (low, high) };
                (low.max(0.0), high.min(dimensions - 1.0))
            }
            _ => (0.0, 1.0),
        };
        // No width: a step.
        let width = if low == high { 0.001 } else { high - low };
        move |i| ((i as f64 - low) / width).clamp(0.0, 1.0)
    }
}

fn factor_of(factors: &[f32], i: usize) -> f64 {
    factors.get(i).map_or(1.0, |&factor| f64::from(factor))
}

fn positive(what: &str, value: f32) -> Result<()> {
    match value.is_finite() && value > 0.0 {
        true => Ok(()),
        false => Err(Error::new(format!("{what} of RoPE is {value}, expected a positive number"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: &[f32], expected: &[f64]) {
        let same = found.len() == expected.len() && found.iter().zip(expected).all(|(a, b)| (f64::from(*a) - b).abs() <= 1e-6 * b.abs());
        assert!(same, "{found:?}, expected {expected:?}");
    }

    #[test]
    fn only_the_first_pairs_turn_in_a_partial_rotation() {
        let rope = Rope { rotated: Some(4), ..Rope::new(100.0, RopeScaling::None) };
        near(&rope.inverse_frequencies(8), &[1.0, 0.1, 0.0, 0.0]);
        assert!(Rope { rotated: Some(3), ..rope.clone() }.check(8).is_err() && Rope { rotated: Some(10), ..rope }.check(8).is_err());
    }

    #[test]
    fn frequencies_follow_the_length_where_the_scaling_says_so() {
        let dynamic = Rope::new(100.0, RopeScaling::Dynamic { factor: 2.0, original_context: 8 });
        near(&dynamic.inverse_frequencies_at(4, 8), &[1.0, 0.1]);
        // base (2 * 16 / 8 - 1) ^ (4 / 2) = 900
        near(&dynamic.inverse_frequencies_at(4, 16), &[1.0, 1.0 / 30.0]);
        let long = Rope::new(100.0, RopeScaling::LongRope { short: vec![1.0, 2.0], long: vec![4.0, 8.0], original_context: 8 });
        near(&long.inverse_frequencies_at(4, 8), &[1.0, 0.05]);
        near(&long.inverse_frequencies_at(4, 9), &[0.25, 0.0125]);
        assert!(dynamic.depends_on_length() && long.depends_on_length());
    }

    /// What `_compute_yarn_parameters` gives for a head of 8, base 10000, factor 4, original context 64.
    #[test]
    fn yarn_is_that_of_transformers() {
        let scaling = |truncate| RopeScaling::Yarn { factor: 4.0, beta_fast: 32.0, beta_slow: 1.0, original_context: 64, truncate };
        near(&Rope::new(10_000.0, scaling(true)).inverse_frequencies(8), &YARN_TRUNCATED);
        near(&Rope::new(10_000.0, scaling(false)).inverse_frequencies(8), &YARN);
    }

    const YARN_TRUNCATED: [f64; 4] = [1.0, 0.0625, 0.0025, 0.00025];
    const YARN: [f64; 4] = [1.0, 0.025595249608159065, 0.0025, 0.00025];
}
