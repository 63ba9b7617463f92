//! The kinds of one session's cache, and how people write them.

use super::CacheKind;
use crate::error::{Error, Result};

/// The kinds of one session's cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CacheKinds {
    /// The semantic keys of decoupled layers.
    pub semantic: CacheKind,
    /// The geometric (rotated) keys of decoupled layers.
    pub geometric: CacheKind,
    /// The keys of standard layers.
    pub key: CacheKind,
    pub value: CacheKind,
}

impl CacheKinds {
    /// The same kind everywhere, but for 4 bits and less: geometric keys of decoupled layers stay at q8, since rotation makes them the sensitive ones.
    pub fn uniform(kind: CacheKind) -> CacheKinds {
        CacheKinds::pair(kind, kind)
    }

    /// A kind for keys and one for values, with geometric keys as [`CacheKinds::uniform`] has them.
    pub fn pair(key: CacheKind, value: CacheKind) -> CacheKinds {
        let geometric = if key.entry().bits() <= 4 { CacheKind::Q8 } else { key };
        CacheKinds { semantic: key, geometric, key, value }
    }

    /// `q8`; `q5/q4`, for keys and values; or `q4/q8/q4`, for semantic keys, geometric keys (those of standard layers, too) and values.
    ///
    /// # Errors
    /// An unknown kind; more than three.
    pub fn parse(name: &str) -> Result<CacheKinds> {
        let kinds: Vec<CacheKind> = name.split('/').map(|kind| CacheKind::parse(kind.trim())).collect::<Result<_>>()?;
        match kinds[..] {
            [kind] => Ok(CacheKinds::uniform(kind)),
            [key, value] => Ok(CacheKinds::pair(key, value)),
            [semantic, geometric, value] => Ok(CacheKinds { semantic, geometric, key: geometric, value }),
            _ => Err(Error::new(format!("`{name}` has {} kinds of cache", kinds.len())).remedy(
                "give one, such as q8; two for keys and values: q5/q4; or three for semantic keys, geometric keys and values: q4/q8/q4",
            )),
        }
    }

    /// A name that [`CacheKinds::parse`] takes, as tables have it: aliases become names, and pairs of the same kind one.
    ///
    /// # Errors
    /// As [`CacheKinds::parse`].
    pub fn canonical(name: &str) -> Result<String> {
        CacheKinds::parse(name)?;
        let mut names = name.split('/').map(|kind| CacheKind::parse(kind.trim()).map(CacheKind::name)).collect::<Result<Vec<_>>>()?;
        if names.len() == 2 {
            names.dedup();
        }
        Ok(names.join("/"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_pairs() {
        let name = |name| CacheKinds::canonical(name).unwrap();
        assert_eq!(
            (name("q5_0/q4"), name("q4/q4_0"), name("f16"), name("q4/q8/q4")),
            ("q5/q4".into(), "q4".into(), "fp16".into(), "q4/q8/q4".into())
        );
        let CacheKinds { semantic, geometric, key, value } = CacheKinds::parse("q4/q3").unwrap();
        assert_eq!([semantic, geometric, key, value], [CacheKind::Q4, CacheKind::Q8, CacheKind::Q4, CacheKind::Q3]);
        let of = |name: &str| CacheKinds::parse(name).unwrap_err().to_string();
        assert!(of("q4/q7").starts_with("unknown cache kind `q7`"), "{}", of("q4/q7"));
        assert!(of("q4/q4/q4/q4").starts_with("`q4/q4/q4/q4` has 4 kinds of cache"), "{}", of("q4/q4/q4/q4"));
    }
}
