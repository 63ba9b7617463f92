//! A slice that many values share: what tokens and numbers are made of. A script's own array takes 16 bytes an element, which is four
//! times too much for a dataset of tokens.

use crate::error::{Error, Result};
use rhai::INT;
use std::ops::Range;
use std::rc::Rc;

/// Elements of one allocation, and the part of them that is meant: copies and slices cost nothing.
#[derive(Debug, Clone)]
pub(super) struct Packed<T> {
    data: Rc<Vec<T>>,
    range: Range<usize>,
}

impl<T> From<Vec<T>> for Packed<T> {
    fn from(data: Vec<T>) -> Self {
        Self { range: 0..data.len(), data: Rc::new(data) }
    }
}

impl<T: Copy> Packed<T> {
    pub(super) fn as_slice(&self) -> &[T] {
        &self.data[self.range.clone()]
    }

    pub(super) fn len(&self) -> usize {
        self.range.len()
    }

    /// Element `index`; negative ones count from the end.
    pub(super) fn get(&self, index: INT) -> Result<T> {
        position(index, self.len()).map(|index| self.as_slice()[index]).ok_or_else(|| outside(index, self.len()))
    }

    /// Elements `start..end`, both inside.
    pub(super) fn slice(&self, start: INT, end: INT) -> Result<Packed<T>> {
        let inside = |value: INT| usize::try_from(value).ok().filter(|&value| value <= self.len());
        match (inside(start), inside(end)) {
            (Some(start), Some(end)) if start <= end => {
                Ok(Self { data: Rc::clone(&self.data), range: self.range.start + start..self.range.start + end })
            }
            _ => Err(Error::new(format!("{start}..{end} is not inside the {} elements that there are", self.len()))),
        }
    }

    /// Appends in place where nobody else holds these elements.
    pub(super) fn extend(&mut self, more: &[T]) {
        let data = Rc::make_mut(&mut self.data);
        // What lies beyond the part that is meant belongs to whoever was copied from.
        data.truncate(self.range.end);
        data.drain(..self.range.start);
        data.extend_from_slice(more);
        self.range = 0..data.len();
    }
}

fn position(index: INT, len: usize) -> Option<usize> {
    let from_start = if index < 0 { index.checked_add(INT::try_from(len).ok()?)? } else { index };
    usize::try_from(from_start).ok().filter(|&index| index < len)
}

fn outside(index: INT, len: usize) -> Error {
    match len {
        0 => Error::new(format!("there is no element {index}: there are none at all")),
        _ => Error::new(format!("there is no element {index}: they go from 0 to {}", len - 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_share_and_pushes_do_not_disturb() {
        let whole = Packed::from(vec![1, 2, 3, 4, 5]);
        let mut part = whole.slice(1, 4).unwrap();
        assert_eq!(part.as_slice(), [2, 3, 4]);
        assert!(std::ptr::eq(&whole.as_slice()[1], &part.as_slice()[0]));
        part.extend(&[9]);
        assert_eq!((whole.as_slice(), part.as_slice()), (&[1, 2, 3, 4, 5][..], &[2, 3, 4, 9][..]));
        assert_eq!(part.slice(1, 3).unwrap().slice(1, 2).unwrap().as_slice(), [4]);
    }

    #[test]
    fn places_outside() {
        let values = Packed::from(vec![1, 2, 3]);
        assert_eq!((values.get(-1), values.get(-3), values.get(2)), (Ok(3), Ok(1), Ok(3)));
        for index in [3, -4, INT::MIN, INT::MAX] {
            assert!(values.get(index).unwrap_err().message().contains("from 0 to 2"), "{index}");
        }
        for (start, end) in [(0, 4), (-1, 2), (2, 1), (4, 4)] {
            assert!(values.slice(start, end).is_err(), "{start}..{end}");
        }
        assert!(Packed::<u32>::from(vec![]).get(0).is_err());
    }
}
