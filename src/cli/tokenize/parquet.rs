//! One column of text of a Parquet file, row by row.

use crate::error::{At, Error, Result};
use crate::guard;
use parquet::basic::Type as Physical;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use parquet::record::reader::RowIter;
use parquet::schema::types::Type;
use std::path::Path;
use std::sync::Arc;

/// The texts of a column.
pub struct Rows {
    rows: RowIter<'static>,
    row: usize,
    column: String,
}

fn damaged(error: &parquet::errors::ParquetError) -> Error {
    let error = error.to_string();
    if error.contains("Disabled feature") || error.contains("not enabled") {
        return Error::new(format!("it is compressed in a way that is not read here: {error}"))
            .remedy("write it again: pyarrow.parquet.write_table(table, path, compression=\"snappy\")");
    }
    Error::new(format!("this Parquet file can't be read: {error}")).remedy("copy or fetch it again")
}

impl Rows {
    /// # Errors
    /// It is no Parquet file, or has no such column of text.
    pub fn open(path: &Path, column: &str) -> Result<Rows> {
        let file = std::fs::File::open(path)?;
        let reader = guard::caught("the Parquet library", || SerializedFileReader::new(file))?.map_err(|error| damaged(&error))?;
        let schema = reader.metadata().file_metadata().schema();
        let names = || schema.get_fields().iter().map(|field| field.name()).collect::<Vec<_>>().join(", ");
        let Some(field) = schema.get_fields().iter().find(|field| field.name() == column) else {
            return Err(Error::new(format!("there is no column `{column}`"))
                .remedy(format!("--field says which one holds the text; there are: {}", names())));
        };
        if !field.is_primitive() || field.get_physical_type() != Physical::BYTE_ARRAY {
            return Err(
                Error::new(format!("the column `{column}` is no text")).remedy(format!("--field says which one is, of: {}", names()))
            );
        }
        let only = Type::group_type_builder(schema.name()).with_fields(vec![Arc::clone(field)]).build().map_err(|error| damaged(&error))?;
        let rows = guard::caught("the Parquet library", || RowIter::from_file_into(Box::new(reader)).project(Some(only)))?;
        Ok(Rows { rows: rows.map_err(|error| damaged(&error))?, row: 0, column: column.to_owned() })
    }
}

impl Iterator for Rows {
    /// The number of a row, from 0, and its text; nothing for a row without one.
    type Item = Result<(usize, String)>;

    fn next(&mut self) -> Option<Self::Item> {
        let place = self.row;
        let row = match guard::caught("the Parquet library", || self.rows.next()) {
            Ok(row) => row?,
            Err(error) => return Some(Err(error)),
        };
        self.row += 1;
        let text = row.map_err(|error| damaged(&error)).and_then(|row| match row.get_column_iter().next() {
            Some((_, Field::Str(text))) => Ok(text.clone()),
            Some((_, Field::Bytes(bytes))) => {
                String::from_utf8(bytes.data().to_vec()).map_err(|_| Error::new(format!("the column `{}` is no UTF-8 text", self.column)))
            }
            Some((_, Field::Null)) | None => Ok(String::new()),
            Some(_) => Err(Error::new(format!("the column `{}` is no text", self.column))),
        });
        Some(text.at(format!("row {place}")).map(|text| (place, text)))
    }
}
