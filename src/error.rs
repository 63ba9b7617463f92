//! One error type, for the person who made the mistake: what is wrong, where, and what to do about it.

use crate::diagnostics::Place;
use std::fmt;

/// What every fallible function of caramba returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A message with its place (file, line, tensor, key) and its remedy.
///
/// `message` is a whole sentence without the final full stop, and says what was expected and what was found. Places are added
/// from the inside out with [`Error::at`], so the outermost (usually the file) comes first when displayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    message: String,
    places: Vec<String>,
    excerpt: Option<Box<str>>,
    remedy: Option<Box<str>>,
    parameter: Option<Box<str>>,
}

impl Error {
    /// An error that says `message`.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), places: Vec::new(), excerpt: None, remedy: None, parameter: None }
    }

    /// Adds an outer place: `Error::new("...").at("tensor x").at("model.gguf")` displays as `model.gguf: tensor x: ...`.
    #[must_use]
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        self.places.push(place.to_string());
        self
    }

    /// Says what to do about it. The first (innermost) remedy wins: it knows most.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy.get_or_insert_with(|| remedy.into().into());
        self
    }

    /// Shows the source lines that it is about below the sentence (see [`Source`](crate::source::Source)). The first (innermost) wins.
    #[must_use]
    pub fn showing(mut self, excerpt: impl Into<String>) -> Self {
        self.excerpt.get_or_insert_with(|| excerpt.into().into());
        self
    }

    /// Says which parameter it is about: whoever knows where that was given shows the place. The first (innermost) wins.
    #[must_use]
    pub fn about(mut self, parameter: impl Into<String>) -> Self {
        self.parameter.get_or_insert_with(|| parameter.into().into());
        self
    }

    /// The parameter that it is about, if it is about one.
    pub fn parameter(&self) -> Option<&str> {
        self.parameter.as_deref()
    }

    /// The same with another sentence.
    #[must_use]
    pub fn with_message(&self, message: impl Into<String>) -> Self {
        Self { message: message.into(), ..self.clone() }
    }

    /// The same without what to do about it.
    #[must_use]
    pub fn without_help(mut self) -> Self {
        self.remedy = None;
        self
    }

    /// The same without the source lines that it shows.
    #[must_use]
    pub fn without_excerpt(mut self) -> Self {
        self.excerpt = None;
        self
    }

    /// The places that were added, the innermost first.
    pub fn places(&self) -> impl Iterator<Item = &str> {
        self.places.iter().map(String::as_str)
    }

    /// The sentence alone, without place, source lines and remedy.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Where it is, if that is a line of a file: the file's name, and the place in it.
    pub fn position(&self) -> Option<(String, Place)> {
        self.places.iter().rev().find_map(|place| {
            let mut parts = place.rsplitn(3, ':');
            let (column, line) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
            Some((parts.next()?.to_owned(), Place::new(line, column)))
        })
    }

    /// The source lines that it shows.
    pub fn excerpt(&self) -> Option<&str> {
        self.excerpt.as_deref()
    }

    /// What to do about it, if that is known.
    pub fn help(&self) -> Option<&str> {
        self.remedy.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for place in self.places.iter().rev() {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.message)?;
        if let Some(excerpt) = &self.excerpt {
            write!(f, "\n{excerpt}")?;
        }
        match &self.remedy {
            Some(remedy) => write!(f, "\n  help: {remedy}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

/// Adds a place to whatever error a `Result` holds.
pub trait At<T> {
    /// See [`Error::at`].
    fn at(self, place: impl fmt::Display) -> Result<T>;
}

impl<T, E: Into<Error>> At<T> for std::result::Result<T, E> {
    fn at(self, place: impl fmt::Display) -> Result<T> {
        self.map_err(|error| error.into().at(place))
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        let remedy = match error.kind() {
            std::io::ErrorKind::NotFound => Some("check the path; it is relative to the current directory"),
            std::io::ErrorKind::PermissionDenied => Some("check who owns the file or directory and its permissions"),
            std::io::ErrorKind::StorageFull => Some("free some space on that disk, or write elsewhere"),
            _ => None,
        };
        let plain = Self::new(error.to_string());
        match remedy {
            Some(remedy) => plain.remedy(remedy),
            None => plain,
        }
    }
}

/// "did you mean `x`?", or the list of what is known, for a name that is not.
///
/// # Example
/// ```
/// let error = caramba::error::unknown("cache kind", "fp61", ["fp16", "q8", "q4"]);
/// assert_eq!(error.to_string(), "unknown cache kind `fp61`\n  help: did you mean `fp16`? known are: fp16, q8, q4");
/// ```
pub fn unknown<'a>(what: &str, name: &str, known: impl IntoIterator<Item = &'a str>) -> Error {
    let known: Vec<&str> = known.into_iter().collect();
    let nearest = nearest(name, known.iter().copied());
    let guess = nearest.map(|candidate| format!("did you mean `{candidate}`? ")).unwrap_or_default();
    Error::new(format!("unknown {what} `{name}`")).remedy(format!("{guess}known are: {}", known.join(", ")))
}

/// The nearest of `known` to a misspelt `name`, if one is near enough to be meant: rather nothing than something silly. A third of the letters may
/// differ; of a name of up to three letters none but their order.
///
/// # Example
/// ```
/// use caramba::error::nearest;
/// assert_eq!(nearest("laod", ["load", "log"]), Some("load"));
/// assert_eq!(nearest("join", ["asin", "min"]), None);
/// assert_eq!(nearest("y", ["x"]), None);
/// assert_eq!(nearest("update", ["date"]), None);
/// assert_eq!(nearest("length", ["len", "push"]), Some("len"));
/// ```
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let known: Vec<&str> = known.into_iter().filter(|candidate| *candidate != name).collect();
    let letters = |text: &str| {
        let mut letters: Vec<char> = text.chars().collect();
        letters.sort_unstable();
        letters
    };
    let near = |candidate: &str| {
        let (a, b) = (name.to_lowercase(), candidate.to_lowercase());
        let distance = strsim::damerau_levenshtein(&a, &b);
        let longer = a.chars().count().max(b.chars().count());
        let allowed = if longer > 3 { longer / 3 } else { usize::from(letters(&a) == letters(&b)) };
        // A name that begins or ends otherwise is another one, however short the way is: `plot` is not `slot`.
        let same_begin = a.chars().next() == b.chars().next() || letters(&a) == letters(&b) || longer > 5 && distance == 1;
        // `heads` is `n_heads` without its first word.
        let without_a_word = |long: &str, short: &str| long.strip_suffix(short).is_some_and(|begin| begin.ends_with('_'));
        let same_begin = same_begin || without_a_word(&a, &b) || without_a_word(&b, &a);
        (distance <= allowed && same_begin).then_some(distance)
    };
    let nearest = known.iter().filter_map(|candidate| Some((near(candidate)?, *candidate)));
    let nearest = nearest.min_by_key(|(distance, candidate)| (*distance, candidate.len())).map(|(_, candidate)| candidate);
    // `length` is meant where there is `len`.
    let begins = |candidate: &&&str| candidate.len() >= 3 && name.starts_with(**candidate);
    nearest.or_else(|| known.iter().filter(begins).max_by_key(|candidate| candidate.len()).copied())
}
