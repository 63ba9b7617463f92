//! Parquet files: rows as maps, or a column as an array.

use super::failure::Answer;
use super::host::Host;
use super::values::Options;
use crate::error::{At, Result};
use crate::interrupt;
use crate::parquet_file::{Field, ParquetFile};
use rhai::plugin::*;
use rhai::{Array, FLOAT, INT, Map};

/// A field as a script's value: dates and times as text, lists as arrays, groups as maps.
fn value_of(field: &Field) -> Result<Dynamic> {
    let unsigned = |value: u64| INT::try_from(value).map_or_else(|_| Dynamic::from(value as FLOAT), Dynamic::from);
    Ok(match field {
        Field::Null => Dynamic::UNIT,
        Field::Bool(value) => (*value).into(),
        Field::Byte(value) => INT::from(*value).into(),
        Field::Short(value) => INT::from(*value).into(),
        Field::Int(value) => INT::from(*value).into(),
        Field::Long(value) => (*value).into(),
        Field::UByte(value) => INT::from(*value).into(),
        Field::UShort(value) => INT::from(*value).into(),
        Field::UInt(value) => INT::from(*value).into(),
        Field::ULong(value) => unsigned(*value),
        Field::Float16(value) => FLOAT::from(f32::from(*value)).into(),
        Field::Float(value) => FLOAT::from(*value).into(),
        Field::Double(value) => (*value).into(),
        Field::Str(text) => text.as_str().into(),
        Field::Bytes(bytes) => match String::from_utf8(bytes.data().to_vec()) {
            Ok(text) => text.into(),
            Err(error) => Dynamic::from_blob(error.into_bytes()),
        },
        Field::Decimal(_) => field.to_string().parse::<FLOAT>().map_or_else(|_| field.to_string().into(), Dynamic::from),
        Field::Group(row) => {
            let entry = |(name, field): (&String, &Field)| Ok((name.as_str().into(), value_of(field)?));
            Dynamic::from_map(row.get_column_iter().map(entry).collect::<Result<_>>()?)
        }
        Field::ListInternal(list) => Dynamic::from_array(list.elements().iter().map(value_of).collect::<Result<_>>()?),
        Field::MapInternal(map) => {
            let entry = |(key, value): &(Field, Field)| Ok((value_of(key)?.to_string().into(), value_of(value)?));
            Dynamic::from_map(map.entries().iter().map(entry).collect::<Result<_>>()?)
        }
        // Dates and times as they are written.
        other => other.to_string().into(),
    })
}

/// Goes through a file's rows, the first `most` of them.
fn each_row(
    context: &NativeCallContext,
    path: &str,
    columns: Option<&[&str]>,
    most: usize,
    mut take: impl FnMut(Vec<(String, Field)>) -> Result<()>,
) -> Answer<()> {
    let host = Host::of(context)?;
    let file = host.resolve(path)?;
    let mut read = || -> Result<()> {
        let rows = ParquetFile::open(&file)?.into_rows(columns)?;
        for row in rows.take(most) {
            interrupt::check()?;
            take(row?)?;
        }
        Ok(())
    };
    read().at(path)?;
    host.opened(&file);
    Ok(())
}

#[export_module]
pub(super) mod api {
    /// The rows of a Parquet file: an array of maps, by the names of its columns. Lists are arrays, groups are maps, dates and times are text, what is missing is
    /// `()`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// for row in read_parquet("arc/test.parquet") {
    ///     print(`${row.question} ${row.choices.text}`);
    /// }
    /// ```
    #[rhai_fn(name = "read_parquet", return_raw, volatile)]
    pub fn read_parquet(context: NativeCallContext, path: &str) -> Answer<Array> {
        read_parquet_with(context, path, Map::new())
    }

    /// As above. Options: `columns` (a list of names; others are not read) and `rows` (only the first so many).
    ///
    /// # Example
    /// ```rhai,no_run
    /// let rows = read_parquet("arc/test.parquet", #{ columns: ["question", "answerKey"], rows: 100 });
    /// ```
    #[rhai_fn(name = "read_parquet", return_raw, volatile)]
    pub fn read_parquet_with(context: NativeCallContext, path: &str, options: Map) -> Answer<Array> {
        let mut options = Options::new("read_parquet option", options);
        let columns = options.texts("columns")?;
        let most = options.count("rows")?.unwrap_or(usize::MAX);
        options.finish()?;
        let columns: Option<Vec<&str>> = columns.as_ref().map(|columns| columns.iter().map(String::as_str).collect());
        let mut rows = Array::new();
        each_row(&context, path, columns.as_deref(), most, |row| {
            let entry = |(name, field): &(String, Field)| Ok((name.as_str().into(), value_of(field).at(format!("column `{name}`"))?));
            rows.push(Dynamic::from_map(row.iter().map(entry).collect::<Result<Map>>()?));
            Ok(())
        })?;
        Ok(rows)
    }

    /// One column of a Parquet file as an array: texts, or numbers (`numbers(...)` packs those, `tokens(...)` token ids).
    ///
    /// # Example
    /// ```rhai,no_run
    /// let model = load("models/SmolLM2-135M");
    /// let texts = read_parquet("wikitext/test.parquet", "text");
    /// print(`${texts.map(|text| model.tokenize(text).len).sum()} tokens`);
    /// ```
    #[rhai_fn(name = "read_parquet", return_raw, volatile)]
    pub fn read_parquet_column(context: NativeCallContext, path: &str, column: &str) -> Answer<Array> {
        let mut values = Array::new();
        each_row(&context, path, Some(&[column]), usize::MAX, |row| {
            values.extend(row.first().map(|(_, field)| value_of(field)).transpose()?);
            Ok(())
        })?;
        Ok(values)
    }

    /// The names of a Parquet file's columns, and how many rows it has: `columns` and `rows`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// print(parquet_columns("arc/test.parquet").columns);
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn parquet_columns(context: NativeCallContext, path: &str) -> Answer<Map> {
        let host = Host::of(&context)?;
        let place = host.resolve(path)?;
        let file = ParquetFile::open(&place).at(path)?;
        host.opened(&place);
        let names: Array = file.names().into_iter().map(|name| name.to_owned().into()).collect();
        let rows = INT::try_from(file.rows()).unwrap_or(INT::MAX);
        Ok(Map::from_iter([("columns".into(), names.into()), ("rows".into(), rows.into())]))
    }
}

pub(super) fn module() -> rhai::Module {
    exported_module!(api)
}
