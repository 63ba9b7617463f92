//! Parquet files: some of their columns, row by row.

use crate::error::{At, Error, Result};
use crate::guard;
use crate::mapped::no_pointer;
use parquet::basic::Type as Physical;
use parquet::file::reader::{FileReader, SerializedFileReader};
pub use parquet::record::Field;
use parquet::record::reader::RowIter;
use parquet::schema::types::Type;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

/// A file whose footer has been read.
pub struct ParquetFile {
    reader: SerializedFileReader<File>,
}

/// Its rows, of the columns that were asked for.
pub struct Rows {
    rows: RowIter<'static>,
    row: usize,
}

fn damaged(error: &parquet::errors::ParquetError) -> Error {
    let error = error.to_string();
    if error.contains("Disabled feature") || error.contains("not enabled") {
        return Error::new(format!("it is compressed in a way that is not read here: {error}"))
            .remedy("write it again: pyarrow.parquet.write_table(table, path, compression=\"snappy\")");
    }
    Error::new(format!("this Parquet file can't be read: {error}")).remedy("copy or fetch it again")
}

impl ParquetFile {
    /// # Errors
    /// It is not there, or no Parquet file.
    pub fn open(path: &Path) -> Result<ParquetFile> {
        let mut file = File::open(path)?;
        let mut start = [0; 64];
        let length = file.read(&mut start)?;
        no_pointer(&start[..length])?;
        let reader = guard::caught("the Parquet library", || SerializedFileReader::new(file))?.map_err(|error| damaged(&error))?;
        Ok(ParquetFile { reader })
    }

    fn fields(&self) -> &[Arc<Type>] {
        self.reader.metadata().file_metadata().schema().get_fields()
    }

    /// The names of its columns, in order.
    pub fn names(&self) -> Vec<&str> {
        self.fields().iter().map(|field| field.name()).collect()
    }

    /// How many rows it says that it has.
    pub fn rows(&self) -> u64 {
        u64::try_from(self.reader.metadata().file_metadata().num_rows()).unwrap_or(0)
    }

    /// Whether a column holds texts; `None`: there is no such column.
    pub fn is_text(&self, column: &str) -> Option<bool> {
        let field = self.fields().iter().find(|field| field.name() == column)?;
        Some(field.is_primitive() && field.get_physical_type() == Physical::BYTE_ARRAY)
    }

    /// Goes through the rows, with these columns in the order of the file; `None`: all.
    ///
    /// # Errors
    /// A column that there isn't; a damaged file.
    pub fn into_rows(self, columns: Option<&[&str]>) -> Result<Rows> {
        let only = match columns {
            None => None,
            Some(columns) => {
                if let Some(missing) = columns.iter().find(|column| !self.names().contains(column)) {
                    return Err(
                        Error::new(format!("there is no column `{missing}`")).remedy(format!("there are: {}", self.names().join(", ")))
                    );
                }
                let kept = self.fields().iter().filter(|field| columns.contains(&field.name())).map(Arc::clone).collect();
                let name = self.reader.metadata().file_metadata().schema().name();
                Some(Type::group_type_builder(name).with_fields(kept).build().map_err(|error| damaged(&error))?)
            }
        };
        let rows = guard::caught("the Parquet library", || RowIter::from_file_into(Box::new(self.reader)).project(only))?;
        Ok(Rows { rows: rows.map_err(|error| damaged(&error))?, row: 0 })
    }
}

impl Iterator for Rows {
    /// The fields of a row with their names.
    type Item = Result<Vec<(String, Field)>>;

    fn next(&mut self) -> Option<Self::Item> {
        let place = self.row;
        let row = match guard::caught("the Parquet library", || self.rows.next()) {
            Ok(row) => row?,
            Err(error) => return Some(Err(error)),
        };
        self.row += 1;
        Some(row.map_err(|error| damaged(&error)).at(format!("row {place}")).map(parquet::record::Row::into_columns))
    }
}
