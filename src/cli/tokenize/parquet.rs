//! One column of text of a Parquet file, row by row.

use crate::error::{At, Error, Result};
use crate::parquet_file::{self, Field, ParquetFile};
use std::path::Path;

/// The texts of a column.
pub struct Rows {
    rows: parquet_file::Rows,
    row: usize,
    column: String,
}

impl Rows {
    /// # Errors
    /// It is no Parquet file, or has no such column of text.
    pub fn open(path: &Path, column: &str) -> Result<Rows> {
        let file = ParquetFile::open(path)?;
        let names = || file.names().join(", ");
        match file.is_text(column) {
            None => {
                let error = Error::new(format!("there is no column `{column}`"));
                Err(error.remedy(format!("--field says which one holds the text; there are: {}", names())))
            }
            Some(false) => {
                let error = Error::new(format!("the column `{column}` is no text"));
                Err(error.remedy(format!("--field says which one is, of: {}", names())))
            }
            Some(true) => Ok(Rows { rows: file.into_rows(Some(&[column]))?, row: 0, column: column.to_owned() }),
        }
    }
}

impl Iterator for Rows {
    /// The number of a row, from 0, and its text; nothing for a row without one.
    type Item = Result<(usize, String)>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = match self.rows.next()? {
            Ok(row) => row,
            Err(error) => return Some(Err(error)),
        };
        let place = self.row;
        self.row += 1;
        let text = match row.into_iter().next() {
            Some((_, Field::Str(text))) => Ok(text),
            Some((_, Field::Bytes(bytes))) => {
                String::from_utf8(bytes.data().to_vec()).map_err(|_| Error::new(format!("the column `{}` is no UTF-8 text", self.column)))
            }
            Some((_, Field::Null)) | None => Ok(String::new()),
            Some(_) => Err(Error::new(format!("the column `{}` is no text", self.column))),
        };
        Some(text.at(format!("row {place}")).map(|text| (place, text)))
    }
}
