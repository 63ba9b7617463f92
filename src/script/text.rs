//! Text: patterns and words.

use super::failure::Answer;
use crate::error::{Error, Result, unknown};
use regex::{Regex, RegexBuilder};
use rhai::plugin::*;
use rhai::{Array, INT};

/// Bytes that a compiled pattern may take: what a person writes takes a thousandth.
const PATTERN_BYTES: usize = 10 << 20;

fn compile(pattern: &str, flags: &str) -> Result<Regex> {
    let mut builder = RegexBuilder::new(pattern);
    builder.size_limit(PATTERN_BYTES);
    for flag in flags.chars() {
        match flag {
            'i' => builder.case_insensitive(true),
            'm' => builder.multi_line(true),
            's' => builder.dot_matches_new_line(true),
            'x' => builder.ignore_whitespace(true),
            other => return Err(unknown("flag of a pattern", &other.to_string(), ["i", "m", "s", "x"])),
        };
    }
    builder.build().map_err(|error| Error::new(format!("the pattern `{pattern}` cannot be read: {error}")))
}

#[export_module]
pub(super) mod api {
    /// Whether a regular expression matches somewhere in the text.
    ///
    /// # Example
    /// ```rhai
    /// assert("the answer is 42".matches("\\d+") && !"none".matches("\\d+"), "digits");
    /// ```
    #[rhai_fn(name = "matches", return_raw)]
    pub fn matches(text: &str, pattern: &str) -> Answer<bool> {
        matches_with(text, pattern, "")
    }

    /// As above, with flags: `i` (any case), `m` (`^` and `$` at lines), `s` (`.` is a line end too), `x` (spaces mean nothing).
    #[rhai_fn(name = "matches", return_raw)]
    pub fn matches_with(text: &str, pattern: &str, flags: &str) -> Answer<bool> {
        Ok(compile(pattern, flags)?.is_match(text))
    }

    /// What a regular expression finds first: its first group, or all of it where it has none; `()` where nothing is found.
    ///
    /// # Example
    /// ```rhai
    /// assert("the answer is 42.".find_pattern("is (\\d+)") == "42", "the group");
    /// ```
    #[rhai_fn(return_raw)]
    pub fn find_pattern(text: &str, pattern: &str) -> Answer<Dynamic> {
        let found = compile(pattern, "")?
            .captures(text)
            .and_then(|found| found.get(1).or_else(|| found.get(0)).map(|part| part.as_str().to_owned()));
        Ok(found.map_or(Dynamic::UNIT, Into::into))
    }

    /// How often a regular expression matches, without overlaps.
    #[rhai_fn(return_raw)]
    pub fn count_matches(text: &str, pattern: &str) -> Answer<INT> {
        Ok(compile(pattern, "")?.find_iter(text).count() as INT)
    }

    /// The words of a text: what stands between spaces and line ends.
    ///
    /// # Example
    /// ```rhai
    /// assert(" a  b\nc ".words() == ["a", "b", "c"], "three");
    /// ```
    pub fn words(text: &str) -> Array {
        text.split_whitespace().map(|word| word.to_owned().into()).collect()
    }
}

pub(super) fn module() -> rhai::Module {
    exported_module!(api)
}
