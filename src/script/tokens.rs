//! Tokens: a packed list of token ids.

use super::failure::Answer;
use super::packed::Packed;
use super::values;
use crate::error::{Error, Result};
use rhai::plugin::*;
use rhai::{Array, INT};
use sha2::{Digest, Sha256};

/// Token ids. Copies and slices share their memory.
#[derive(Debug, Clone)]
pub struct Tokens(Packed<u32>);

impl From<Vec<u32>> for Tokens {
    fn from(tokens: Vec<u32>) -> Self {
        Self(tokens.into())
    }
}

impl Tokens {
    pub fn as_slice(&self) -> &[u32] {
        self.0.as_slice()
    }

    /// # Errors
    /// The first token that is `vocab` or more, with its position counted from `offset`.
    pub(super) fn check(&self, vocab: usize, offset: usize) -> Result<()> {
        match self.as_slice().iter().position(|&token| token as usize >= vocab) {
            None => Ok(()),
            Some(index) => {
                let token = self.as_slice()[index];
                let message =
                    format!("token {token} at position {} is beyond the vocabulary of {vocab} (ids 0 to {})", offset + index, vocab - 1);
                Err(Error::new(message).remedy("use tokens that were made with this model's tokenizer"))
            }
        }
    }
}

/// The SHA-256 of the ids as 32-bit little-endian integers, in hexadecimal.
pub(super) fn hash_of(tokens: impl IntoIterator<Item = u32>) -> String {
    let mut hasher = Sha256::new();
    for token in tokens {
        hasher.update(token.to_le_bytes());
    }
    hex(&hasher.finalize())
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A small generator with a period of 2^64 that gives the same numbers on every machine.
///
/// Source: G. L. Steele, D. Lea, C. H. Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014.
pub(super) struct SplitMix64(pub(super) u64);

impl SplitMix64 {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to `bound - 1`; the bias of the multiplication is under `bound / 2^64`.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }
}

#[export_module]
pub(super) mod api {
    /// A packed list of token ids: 4 bytes a token. Copies and slices share their memory. It has a length and can be indexed, sliced,
    /// compared, joined with `+` and gone through with `for`.
    pub type Tokens = super::Tokens;

    /// Packs an array of token ids.
    ///
    /// # Example
    /// ```rhai
    /// let prompt = tokens([1, 2, 3]);
    /// assert(prompt.len == 3 && prompt[-1] == 3, "packed");
    /// ```
    #[rhai_fn(return_raw)]
    pub fn tokens(ids: Array) -> Answer<Tokens> {
        Ok(values::token_list(&Dynamic::from_array(ids))?)
    }

    /// `count` token ids drawn evenly from `0..vocab`: the same for the same seed, on every machine.
    ///
    /// # Example
    /// ```rhai
    /// assert(random_tokens(4, 100, 7) == random_tokens(4, 100, 7), "seeded");
    /// ```
    #[rhai_fn(return_raw)]
    pub fn random_tokens(count: INT, vocab: INT, seed: INT) -> Answer<Tokens> {
        let count = values::count("the count of random tokens", count)?;
        if vocab < 1 || vocab > INT::from(u32::MAX) {
            return Err(Error::new(format!("a vocabulary of {vocab}: expected 1 or more")).into());
        }
        crate::limits::room("the tokens", (count as u64).saturating_mul(4))?;
        let mut random = SplitMix64(seed as u64);
        Ok(Tokens::from((0..count).map(|_| random.below(vocab as u64) as u32).collect::<Vec<_>>()))
    }

    /// How many there are.
    #[rhai_fn(get = "len", name = "len", pure)]
    pub fn len(tokens: &mut Tokens) -> INT {
        tokens.0.len() as INT
    }

    /// Whether there are none.
    #[rhai_fn(name = "is_empty", pure)]
    pub fn is_empty(tokens: &mut Tokens) -> bool {
        tokens.0.len() == 0
    }

    /// One token: `tokens[0]`, `tokens[-1]`.
    #[rhai_fn(index_get, pure, return_raw)]
    pub fn get(tokens: &mut Tokens, index: INT) -> Answer<INT> {
        Ok(tokens.0.get(index)?.into())
    }

    /// A part: `tokens[0..512]`.
    #[rhai_fn(index_get, pure, return_raw)]
    pub fn get_range(tokens: &mut Tokens, range: std::ops::Range<INT>) -> Answer<Tokens> {
        Ok(Tokens(tokens.0.slice(range.start, range.end)?))
    }

    /// A part, its end included: `tokens[0..=511]`.
    #[rhai_fn(index_get, pure, return_raw)]
    pub fn get_range_inclusive(tokens: &mut Tokens, range: std::ops::RangeInclusive<INT>) -> Answer<Tokens> {
        Ok(Tokens(tokens.0.slice(*range.start(), range.end().saturating_add(1))?))
    }

    /// `count` tokens from `start` on.
    ///
    /// # Example
    /// ```rhai
    /// assert(tokens([5, 6, 7, 8]).slice(1, 2) == tokens([6, 7]), "from 1 on");
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn slice(tokens: &mut Tokens, start: INT, count: INT) -> Answer<Tokens> {
        Ok(Tokens(tokens.0.slice(start, start.saturating_add(count))?))
    }

    /// Both lists, one after the other.
    #[rhai_fn(name = "+")]
    pub fn join(first: Tokens, second: Tokens) -> Tokens {
        let mut joined = first;
        joined.0.extend(second.as_slice());
        joined
    }

    /// Appends tokens.
    #[rhai_fn(name = "+=", name = "append")]
    pub fn append(tokens: &mut Tokens, more: Tokens) {
        tokens.0.extend(more.as_slice());
    }

    /// Appends one token.
    #[rhai_fn(return_raw)]
    pub fn push(tokens: &mut Tokens, token: INT) -> Answer<()> {
        let token = u32::try_from(token).map_err(|_| Error::new(format!("{token} is no token id: expected 0 or more")))?;
        tokens.0.extend(&[token]);
        Ok(())
    }

    /// Whether both hold the same ids.
    #[rhai_fn(name = "==")]
    pub fn equal(first: Tokens, second: Tokens) -> bool {
        first.as_slice() == second.as_slice()
    }

    /// Whether they differ.
    #[rhai_fn(name = "!=")]
    pub fn differ(first: Tokens, second: Tokens) -> bool {
        first.as_slice() != second.as_slice()
    }

    /// Whether `token` is among them.
    #[rhai_fn(name = "contains", pure)]
    pub fn contains(tokens: &mut Tokens, token: INT) -> bool {
        u32::try_from(token).is_ok_and(|token| tokens.as_slice().contains(&token))
    }

    /// How many positions hold the same token in both lists.
    ///
    /// # Example
    /// ```rhai
    /// assert(tokens([1, 2, 3]).agreeing(tokens([1, 9, 3])) == 2, "two of three");
    /// ```
    #[rhai_fn(name = "agreeing", name = "count_equal", pure, return_raw)]
    pub fn agreeing(tokens: &mut Tokens, other: Tokens) -> Answer<INT> {
        if tokens.0.len() != other.0.len() {
            return Err(Error::new(format!("{} tokens and {}: expected as many", tokens.0.len(), other.0.len())).into());
        }
        Ok(tokens.as_slice().iter().zip(other.as_slice()).filter(|(a, b)| a == b).count() as INT)
    }

    /// The largest id; an error where there are none.
    #[rhai_fn(name = "max", pure, return_raw)]
    pub fn max(tokens: &mut Tokens) -> Answer<INT> {
        let max = tokens.as_slice().iter().max();
        Ok(max.copied().ok_or_else(|| Error::new("the largest of no tokens"))?.into())
    }

    /// An error that names the first token which is `vocab` or more, with its position.
    #[rhai_fn(name = "check", pure, return_raw)]
    pub fn check(tokens: &mut Tokens, vocab: INT) -> Answer<()> {
        Ok(tokens.check(values::count("the vocabulary", vocab)?, 0)?)
    }

    /// The SHA-256 of the ids (32-bit little-endian), in hexadecimal: what a report says of a prompt.
    #[rhai_fn(name = "hash", pure)]
    pub fn hash(tokens: &mut Tokens) -> String {
        hash_of(tokens.as_slice().iter().copied())
    }

    /// An ordinary array of the ids.
    #[rhai_fn(pure)]
    pub fn to_array(tokens: &mut Tokens) -> Array {
        tokens.as_slice().iter().map(|&token| INT::from(token).into()).collect()
    }

    /// The first few, for a person to read.
    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn to_string(tokens: &mut Tokens) -> String {
        let first: Vec<String> = tokens.as_slice().iter().take(8).map(u32::to_string).collect();
        let dots = if tokens.0.len() > 8 { ", ..." } else { "" };
        format!("{} tokens [{}{dots}]", tokens.0.len(), first.join(", "))
    }
}

pub(super) fn module() -> rhai::Module {
    let mut module = exported_module!(api);
    module.set_iter(std::any::TypeId::of::<Tokens>(), |value| {
        let tokens = value.cast::<Tokens>();
        let mut index = 0;
        Box::new(std::iter::from_fn(move || {
            let token = tokens.as_slice().get(index)?;
            index += 1;
            Some(INT::from(*token).into())
        }))
    });
    module
}
