//! How far two models (or one model with two caches) are apart in what they predict: the Kullback-Leibler divergence of their distributions, position
//! by position, in double precision.

use super::failure::Answer;
use super::numbers::Numbers;
use super::tokens::Tokens;
use super::values;
use crate::error::Error;
use rayon::prelude::*;
use rhai::plugin::*;
use rhai::{INT, Map};

/// What is said of one position.
struct Position {
    /// Nats.
    kl: f64,
    /// Whether both take the same token for the likeliest.
    agrees: bool,
    /// Log-probabilities (nats) of the token that really follows, where it is known: of the reference, and of the other.
    target: Option<[f64; 2]>,
}

/// The largest logit's index (the first of equal ones), and the logarithm of the sum of the exponentials.
fn summed(logits: &[f32]) -> (usize, f64) {
    let best = logits.iter().enumerate().fold(0, |best, (index, &logit)| if logit > logits[best] { index } else { best });
    let max = f64::from(logits[best]);
    let sum: f64 = logits.iter().map(|&logit| (f64::from(logit) - max).exp()).sum();
    (best, max + sum.ln())
}

/// D(P || Q) = sum_i p_i (ln p_i - ln q_i), with p and q the softmax of each position's logits.
fn position(p: &[f32], q: &[f32], target: Option<u32>) -> Position {
    let ((p_best, p_sum), (q_best, q_sum)) = (summed(p), summed(q));
    let term = |(&p, &q): (&f32, &f32)| {
        let (p, q) = (f64::from(p) - p_sum, f64::from(q) - q_sum);
        p.exp() * (p - q)
    };
    // It is never below 0; what is, is the rounding of equal distributions.
    let kl = p.iter().zip(q).map(term).sum::<f64>().max(0.0);
    let of = |token: u32| Some([f64::from(*p.get(token as usize)?) - p_sum, f64::from(*q.get(token as usize)?) - q_sum]);
    Position { kl, agrees: p_best == q_best, target: target.and_then(of) }
}

#[export_module]
pub(super) mod api {
    /// How far `other` is from `reference`: both are logits as a matrix `[positions, vocab]`, as `all_logits` returns them, and `targets` are the
    /// tokens that really follow (as many as there are positions, or one fewer). A map of one number for each position: `kl` (D(reference || other)
    /// in nats), `agrees` (1 where both take the same token for the likeliest, else 0), `reference` and `other` (log-probabilities of the target).
    ///
    /// # Example
    /// ```rhai
    /// let found = logit_divergence(numbers([0, 0]), numbers([0, 1.0986122886681098]), 2, tokens([1]));
    /// // p = [1/2, 1/2], q = [1/4, 3/4]: 1/2 ln 2 + 1/2 ln 2/3
    /// assert((found.kl[0] - 0.14384103622589045).abs() < 1e-7 && (found.other[0].exp() - 0.75).abs() < 1e-7, "by hand");
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn logit_divergence(reference: Numbers, other: Numbers, vocab: INT, targets: Tokens) -> Answer<Map> {
        let vocab = values::count("the vocabulary", vocab)?;
        let (length, others) = (reference.len(), other.len());
        if length != others || vocab == 0 || !length.is_multiple_of(vocab) {
            let message = format!("{length} and {others} logits: expected as many of both, in rows of {vocab}");
            return Err(Error::new(message).remedy("give all_logits of two sessions that were given the same tokens").into());
        }
        let rows = length / vocab;
        if targets.as_slice().len() != rows && targets.as_slice().len() + 1 != rows {
            let message = format!("{} targets for {rows} positions: expected as many, or one fewer", targets.as_slice().len());
            return Err(Error::new(message).into());
        }
        let (p, q) = (reference.to_single(), other.to_single());
        let (p, q, targets) = (p.as_ref(), q.as_ref(), targets.as_slice());
        let of = |row: usize| {
            let range = row * vocab..(row + 1) * vocab;
            super::position(&p[range.clone()], &q[range], targets.get(row).copied())
        };
        let found: Vec<super::Position> = (0..rows).into_par_iter().map(of).collect();
        let list =
            |of: &dyn Fn(&super::Position) -> Option<f64>| Dynamic::from(Numbers::from(found.iter().filter_map(of).collect::<Vec<f64>>()));
        Ok(Map::from_iter([
            ("kl".into(), list(&|position| Some(position.kl))),
            ("agrees".into(), list(&|position| Some(f64::from(u8::from(position.agrees))))),
            ("reference".into(), list(&|position| position.target.map(|target| target[0]))),
            ("other".into(), list(&|position| position.target.map(|target| target[1]))),
        ]))
    }
}

pub(super) fn module() -> rhai::Module {
    exported_module!(api)
}
