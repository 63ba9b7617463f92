//! How a script's values become a chart or a table: whole numbers are numbers too, `()` is a missing one, and a mistake says where it is:
//! `series[1]: points[3]: ...`.

use super::chart::{Bar, Distribution, Panel, Point, Samples, Series};
use super::html::{Item, Section};
use super::table::{Cell, Column};
use serde::Deserialize;
use serde::de::{self, DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;

pub(super) fn yes() -> bool {
    true
}

pub(super) fn series<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Series>, D::Error> {
    list("series", deserializer)
}

pub(super) fn points<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Point>, D::Error> {
    list("points", deserializer)
}

pub(super) fn panels<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Panel>, D::Error> {
    list("panels", deserializer)
}

pub(super) fn bars<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Bar>, D::Error> {
    list("bars", deserializer)
}

pub(super) fn boxes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Distribution>, D::Error> {
    list("boxes", deserializer)
}

pub(super) fn points_of_ratio<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Bar>, D::Error> {
    list("points", deserializer)
}

pub(super) fn samples<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Samples>, D::Error> {
    list("series", deserializer)
}

pub(super) fn values<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
    Ok(list::<Number, D>("values", deserializer)?.into_iter().map(|Number(value)| value).collect())
}

/// Rows of numbers.
pub(super) fn grid<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Vec<f64>>, D::Error> {
    struct Row(Vec<f64>);
    impl<'de> Deserialize<'de> for Row {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Row, D::Error> {
            values(deserializer).map(Row)
        }
    }
    Ok(list::<Row, D>("values", deserializer)?.into_iter().map(|Row(values)| values).collect())
}

/// Texts, or numbers as texts.
pub(super) fn names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected text or a number")]
    enum Name {
        Text(String),
        Integer(i64),
        Float(f64),
    }
    let names = list::<Name, D>("names", deserializer)?.into_iter().map(|name| match name {
        Name::Text(text) => text,
        Name::Integer(value) => value.to_string(),
        Name::Float(value) => super::number::significant(value, 4),
    });
    Ok(names.collect())
}

pub(super) fn sections<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Section>, D::Error> {
    list("sections", deserializer)
}

pub(super) fn items<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Item>, D::Error> {
    list("items", deserializer)
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Item, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Map {
            text: String,
            #[serde(default)]
            file: Option<String>,
            /// Nothing is "not known", which is not the same as unsaid.
            #[serde(default, deserialize_with = "known")]
            passed: Option<Option<bool>>,
        }
        fn known<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<bool>>, D::Error> {
            Option::deserialize(deserializer).map(Some)
        }
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Item;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an item: its text, or a map with text and, if there are, file and passed")
            }
            fn visit_str<E>(self, text: &str) -> Result<Item, E> {
                Ok(Item { text: text.to_owned(), ..Item::default() })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Item, A::Error> {
                let Map { text, file, passed } = Map::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(Item { text, file, passed })
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

pub(super) fn columns<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Column>, D::Error> {
    list("columns", deserializer)
}

/// Rows, each a list of cells.
pub(super) fn rows<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Vec<Cell>>, D::Error> {
    struct Row(Vec<Cell>);
    impl<'de> Deserialize<'de> for Row {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Row, D::Error> {
            list("cells", deserializer).map(Row)
        }
    }
    Ok(list::<Row, D>("rows", deserializer)?.into_iter().map(|Row(cells)| cells).collect())
}

pub(super) fn numbers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
    Ok(list::<Number, D>("ticks", deserializer)?.into_iter().map(|Number(value)| value).collect())
}

pub(super) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Number::deserialize(deserializer).map(|Number(value)| value)
}

/// `None` for a missing number and for NaN.
pub(super) fn optional<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    Ok(Some(number(deserializer)?).filter(|value| !value.is_nan()))
}

/// Any number; NaN for a missing one.
struct Number(f64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Number, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, or nothing where it is missing")
            }
            fn visit_f64<E>(self, value: f64) -> Result<Number, E> {
                Ok(Number(value))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Number, E> {
                Ok(Number(value as f64))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Number, E> {
                Ok(Number(value as f64))
            }
            fn visit_unit<E>(self) -> Result<Number, E> {
                Ok(Number(f64::NAN))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl<'de> Deserialize<'de> for Point {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Point, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Map {
            #[serde(deserialize_with = "number")]
            x: f64,
            #[serde(deserialize_with = "number")]
            y: f64,
            #[serde(default, deserialize_with = "optional")]
            low: Option<f64>,
            #[serde(default, deserialize_with = "optional")]
            high: Option<f64>,
            #[serde(default)]
            label: Option<String>,
        }
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Point;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a point: [x, y], [x, y, low, high], or a map with x, y and, if there is an interval, low and high")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Point, A::Error> {
                let mut numbers = Vec::with_capacity(4);
                while let Some(Number(value)) = values.next_element()? {
                    numbers.push(value);
                }
                let known = |value: f64| Some(value).filter(|value| !value.is_nan());
                match numbers[..] {
                    [x, y] => Ok(Point { x, y, low: None, high: None, label: None }),
                    [x, y, low, high] => Ok(Point { x, y, low: known(low), high: known(high), label: None }),
                    _ => Err(de::Error::invalid_length(numbers.len(), &self)),
                }
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Point, A::Error> {
                let Map { x, y, low, high, label } = Map::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(Point { x, y, low, high, label })
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

/// A list whose mistakes say `series[1]: points[3]: ...`.
fn list<'de, T: DeserializeOwned, D: Deserializer<'de>>(name: &'static str, deserializer: D) -> Result<Vec<T>, D::Error> {
    struct One<T> {
        name: &'static str,
        index: usize,
        kind: PhantomData<T>,
    }
    impl<'de, T: DeserializeOwned> DeserializeSeed<'de> for One<T> {
        type Value = T;

        fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
            T::deserialize(deserializer).map_err(|error| de::Error::custom(format!("{}[{}]: {error}", self.name, self.index)))
        }
    }
    struct Reader<T> {
        name: &'static str,
        kind: PhantomData<T>,
    }
    impl<'de, T: DeserializeOwned> Visitor<'de> for Reader<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "an array of {}", self.name)
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Vec<T>, A::Error> {
            let mut list = Vec::new();
            while let Some(one) = values.next_element_seed(One { name: self.name, index: list.len(), kind: PhantomData })? {
                list.push(one);
            }
            Ok(list)
        }
    }
    // Not `deserialize_seq`: a script's value of another type is then told by what was expected of it.
    deserializer.deserialize_any(Reader { name, kind: PhantomData })
}
