//! Text: patterns and words.

use super::failure::Answer;
use super::values;
use crate::error::{Error, Result, unknown};
use crate::{interrupt, limits};
use regex::{Regex, RegexBuilder};
use rhai::plugin::*;
use rhai::{Array, INT};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

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

/// Bytes of a text that any pattern is through with at once.
const SHORT: usize = 4096;

/// What `work` finds in a text. A pattern takes the text's length times its own, which may be hours: the search of a long text is nobody's who has been
/// stopped (Ctrl-C, the script's time) meanwhile.
///
/// # Errors
/// Ctrl-C; the script's time is over.
fn search<T: Send + 'static>(text: &str, work: impl FnOnce(&str) -> T + Send + 'static) -> Result<T> {
    if text.len() <= SHORT {
        return Ok(work(text));
    }
    let (sender, receiver) = mpsc::channel();
    let text = text.to_owned();
    let searching = std::thread::Builder::new().name("a pattern".to_owned()).spawn(move || {
        // Nobody waits for it any more: then it is not wanted.
        let _ = sender.send(work(&text));
    });
    searching.map_err(|error| Error::new(format!("a pattern cannot be searched for: {error}")))?;
    loop {
        match receiver.recv_timeout(LOOK) {
            Ok(found) => return Ok(found),
            Err(RecvTimeoutError::Timeout) => interrupt::check()?,
            Err(RecvTimeoutError::Disconnected) => return Err(Error::new("the search for a pattern came to nothing")),
        }
    }
}

/// So often a search is asked whether it is still wanted.
const LOOK: Duration = Duration::from_millis(50);

/// The groups of what is found, all of it first.
type Groups = Vec<Option<String>>;

fn groups(found: &regex::Captures) -> Groups {
    found.iter().map(|part| part.map(|part| part.as_str().to_owned())).collect()
}

/// The first group, or all where there is none or it took no part.
fn part(mut groups: Groups) -> Dynamic {
    let first = groups.get_mut(1).and_then(Option::take);
    first.or_else(|| groups.first_mut().and_then(Option::take)).map_or(Dynamic::UNIT, Into::into)
}

/// What is missing to so many characters.
fn spaces(text: &str, width: INT) -> Result<String> {
    let missing = values::count("the width", width)?.saturating_sub(text.chars().count());
    limits::room("the text", missing as u64)?;
    Ok(" ".repeat(missing))
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
        let pattern = compile(pattern, flags)?;
        Ok(search(text, move |text| pattern.is_match(text))?)
    }

    /// What a regular expression finds first: its first group, or all of it where it has none; `()` where nothing is found.
    ///
    /// # Example
    /// ```rhai
    /// assert("the answer is 42.".find_pattern("is (\\d+)") == "42", "the group");
    /// ```
    #[rhai_fn(return_raw)]
    pub fn find_pattern(text: &str, pattern: &str) -> Answer<Dynamic> {
        let pattern = compile(pattern, "")?;
        let found = search(text, move |text| pattern.captures(text).as_ref().map(groups))?;
        Ok(found.map_or(Dynamic::UNIT, part))
    }

    /// How often a regular expression matches, without overlaps.
    #[rhai_fn(return_raw)]
    pub fn count_matches(text: &str, pattern: &str) -> Answer<INT> {
        let pattern = compile(pattern, "")?;
        Ok(search(text, move |text| pattern.find_iter(text).count() as INT)?)
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

    /// All that a regular expression finds, without overlaps: the first group of each, or all of it where it has none.
    ///
    /// # Example
    /// ```rhai
    /// assert("a1 b22".find_all("\\d+") == ["1", "22"] && "k=v, x=y".find_all("(\\w)=") == ["k", "x"], "both");
    /// ```
    #[rhai_fn(name = "find_all", return_raw)]
    pub fn find_all(text: &str, pattern: &str) -> Answer<Array> {
        let pattern = compile(pattern, "")?;
        let found: Vec<Groups> = search(text, move |text| pattern.captures_iter(text).map(|found| groups(&found)).collect())?;
        Ok(found.into_iter().map(part).collect())
    }

    /// The groups of what a regular expression finds first: an array, all of it at 0, or, where groups have names, a map of these; `()` where nothing is
    /// found. A group that took no part is `()`.
    ///
    /// # Example
    /// ```rhai
    /// assert("2026-11-26".captures("(\\d+)-(\\d+)") == ["2026-11", "2026", "11"], "groups");
    /// assert("k=v".captures("(?P<key>\\w)=(?P<value>\\w)").value == "v", "by their names");
    /// ```
    #[rhai_fn(name = "captures", return_raw)]
    pub fn captures(text: &str, pattern: &str) -> Answer<Dynamic> {
        let pattern = compile(pattern, "")?;
        let names: Vec<Option<String>> = pattern.capture_names().map(|name| name.map(str::to_owned)).collect();
        let Some(found) = search(text, move |text| pattern.captures(text).as_ref().map(groups))? else { return Ok(Dynamic::UNIT) };
        let value = |part: Option<String>| part.map_or(Dynamic::UNIT, Into::into);
        Ok(if names.iter().all(Option::is_none) {
            Dynamic::from_array(found.into_iter().map(value).collect())
        } else {
            let named = names.into_iter().zip(found).filter_map(|(name, part)| Some((name?.into(), value(part))));
            Dynamic::from_map(named.collect())
        })
    }

    /// The text with all that a regular expression finds replaced: a new text. `$1` and `${name}` stand for groups.
    ///
    /// # Example
    /// ```rhai
    /// assert("a1 b22".replace_all("(\\d+)", "<$1>") == "a<1> b<22>", "both");
    /// ```
    #[rhai_fn(name = "replace_all", return_raw)]
    pub fn replace_all(text: &str, pattern: &str, with: &str) -> Answer<String> {
        let pattern = compile(pattern, "")?;
        let with = with.to_owned();
        let replaced = search(text, move |text| {
            limits::room("the text", (pattern.find_iter(text).count() as u64).saturating_mul(with.len() as u64))?;
            Ok::<String, Error>(pattern.replace_all(text, with.as_str()).into_owned())
        });
        Ok(replaced??)
    }

    /// The parts of the text between what a regular expression finds.
    ///
    /// # Example
    /// ```rhai
    /// assert("a, b;c".split_pattern("[,;]\\s*") == ["a", "b", "c"], "three");
    /// ```
    #[rhai_fn(name = "split_pattern", return_raw)]
    pub fn split_pattern(text: &str, pattern: &str) -> Answer<Array> {
        let pattern = compile(pattern, "")?;
        let parts: Vec<String> = search(text, move |text| pattern.split(text).map(str::to_owned).collect())?;
        Ok(parts.into_iter().map(Into::into).collect())
    }

    /// The lines of a text.
    ///
    /// # Example
    /// ```rhai
    /// assert("a\nb\n".lines() == ["a", "b"], "two");
    /// ```
    #[rhai_fn(name = "lines", name = "splitlines")]
    pub fn lines(text: &str) -> Array {
        text.lines().map(|line| line.to_owned().into()).collect()
    }

    /// The text without spaces and line ends around it: a new text (`trim` changes the text itself, and returns nothing).
    ///
    /// # Example
    /// ```rhai
    /// assert("  a b\n".strip() == "a b", "inside");
    /// ```
    pub fn strip(text: &str) -> String {
        text.trim().to_owned()
    }

    /// The text in capitals.
    ///
    /// # Example
    /// ```rhai
    /// assert("fp16".upper() == "FP16", "capitals");
    /// ```
    pub fn upper(text: &str) -> String {
        text.to_uppercase()
    }

    /// The text in small letters.
    ///
    /// # Example
    /// ```rhai
    /// assert("FP16".lower() == "fp16", "small");
    /// ```
    pub fn lower(text: &str) -> String {
        text.to_lowercase()
    }

    /// The text with spaces behind it until it has `width` characters: a new text.
    ///
    /// # Example
    /// ```rhai
    /// assert("ab".ljust(4) == "ab  ", "on the left");
    /// ```
    #[rhai_fn(name = "ljust", name = "pad_end", return_raw)]
    pub fn ljust(text: &str, width: INT) -> Answer<String> {
        Ok(format!("{text}{}", spaces(text, width)?))
    }

    /// The text with spaces before it until it has `width` characters: a new text.
    ///
    /// # Example
    /// ```rhai
    /// assert("ab".rjust(4) == "  ab", "on the right");
    /// ```
    #[rhai_fn(name = "rjust", name = "pad_start", return_raw)]
    pub fn rjust(text: &str, width: INT) -> Answer<String> {
        Ok(format!("{}{text}", spaces(text, width)?))
    }

    /// The text, `count` times.
    ///
    /// # Example
    /// ```rhai
    /// assert("ab".repeat(3) == "ababab" && "-" * 3 == "---", "three times");
    /// ```
    #[rhai_fn(name = "repeat", name = "*", return_raw)]
    pub fn repeat(text: &str, count: INT) -> Answer<String> {
        let count = values::count("the count", count)?;
        limits::room("the text", (text.len() as u64).saturating_mul(count as u64))?;
        Ok(text.repeat(count))
    }
}

pub(super) fn module() -> rhai::Module {
    exported_module!(api)
}
