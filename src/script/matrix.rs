//! Matrices: the linear algebra that a script does on a model's weights.

use super::failure::Answer;
use super::numbers::Numbers;
use super::values::{count, floats};
use crate::error::{At, Error, Result};
use crate::linear_algebra::{self, Svd};
use rhai::plugin::*;
use rhai::{Array, FLOAT, FnPtr, INT, Map};
use std::ops::{Range, RangeInclusive};
use std::rc::Rc;

/// A matrix of doubles. Copies share their memory.
#[derive(Debug, Clone)]
pub struct Matrix(pub(super) Rc<linear_algebra::Matrix>);

impl From<linear_algebra::Matrix> for Matrix {
    fn from(matrix: linear_algebra::Matrix) -> Self {
        Self(Rc::new(matrix))
    }
}

/// The list of rows that a script gives.
fn indices(rows: &Array) -> Result<Vec<usize>> {
    let index = |(place, row): (usize, &Dynamic)| match row.as_int() {
        Ok(row) => count("a row", row).at(format!("[{place}]")),
        Err(_) => Err(Error::new("the numbers of rows are integers").at(format!("[{place}]"))),
    };
    rows.iter().enumerate().map(index).collect()
}

fn rows_between(matrix: &linear_algebra::Matrix, start: INT, end: INT) -> Result<linear_algebra::Matrix> {
    matrix.rows_of(count("the first row", start)?..count("the end of the rows", end)?)
}

fn parts(svd: Svd) -> Map {
    let mut map = Map::new();
    map.insert("u".into(), Dynamic::from(Matrix::from(svd.u)));
    map.insert("s".into(), Dynamic::from(Numbers::from(svd.s)));
    map.insert("v".into(), Dynamic::from(Matrix::from(svd.v)));
    map
}

#[export_module]
pub(super) mod api {
    /// A matrix `[rows, columns]` of doubles: a weight that is worked on. `a * b` is the product, `a + b` and `a - b` go element by element,
    /// `a * 2.0` scales. `a[2..5]` are rows, and so is `a[[4, 0, 0]]`; `a[2]` is one row as numbers.
    pub type Matrix = super::Matrix;

    /// A matrix of its rows.
    ///
    /// # Example
    /// ```rhai
    /// let a = matrix([[1, 2], [3, 4]]);
    /// assert((a * a.transposed())[0][1] == 11.0, "1 * 3 + 2 * 4");
    /// ```
    #[rhai_fn(return_raw)]
    pub fn matrix(rows: Array) -> Answer<Matrix> {
        let rows: Vec<Vec<f64>> = rows.iter().map(floats).collect::<Answer<_>>()?;
        let width = rows.first().map_or(0, Vec::len);
        if let Some(row) = rows.iter().position(|row| row.len() != width) {
            return Err(Error::new(format!("row {row} has {} numbers: expected {width}, as in row 0", rows[row].len())).into());
        }
        Ok(linear_algebra::Matrix::from_fn(rows.len(), width, |row, column| rows[row][column])?.into())
    }

    /// A matrix of zeros.
    #[rhai_fn(return_raw)]
    pub fn zeros(rows: INT, columns: INT) -> Answer<Matrix> {
        Ok(linear_algebra::Matrix::zeros(count("the number of rows", rows)?, count("the number of columns", columns)?)?.into())
    }

    /// Matrices of one width, one below the other.
    ///
    /// # Example
    /// ```rhai
    /// let tall = stacked([matrix([[1, 2]]), zeros(3, 2)]);
    /// assert(tall.rows == 4 && tall.columns == 2, "1 + 3 rows");
    /// ```
    #[rhai_fn(name = "stacked", name = "vstack", return_raw)]
    pub fn stacked(parts: Array) -> Answer<Matrix> {
        let part = |(index, part): (usize, &Dynamic)| match part.clone().try_cast::<Matrix>() {
            Some(matrix) => Ok(matrix.0),
            None => Err(Error::new(format!("part {index} is no matrix"))),
        };
        let parts: Vec<Rc<linear_algebra::Matrix>> = parts.iter().enumerate().map(part).collect::<Result<_>>()?;
        let parts: Vec<&linear_algebra::Matrix> = parts.iter().map(Rc::as_ref).collect();
        Ok(linear_algebra::Matrix::stacked(&parts)?.into())
    }

    /// The number of rows.
    #[rhai_fn(get = "rows", pure)]
    pub fn rows(matrix: &mut Matrix) -> INT {
        matrix.0.rows() as INT
    }

    /// The number of columns.
    #[rhai_fn(get = "columns", pure)]
    pub fn columns(matrix: &mut Matrix) -> INT {
        matrix.0.columns() as INT
    }

    /// One row, as numbers: `a[2]`.
    #[rhai_fn(index_get, pure, return_raw)]
    pub fn row(matrix: &mut Matrix, row: INT) -> Answer<Numbers> {
        Ok(matrix.0.row(count("a row", row)?)?.into())
    }

    /// Rows that follow each other: `a[2..5]`.
    #[rhai_fn(index_get, pure, return_raw)]
    pub fn row_range(matrix: &mut Matrix, rows: Range<INT>) -> Answer<Matrix> {
        Ok(rows_between(&matrix.0, rows.start, rows.end)?.into())
    }

    /// Rows that follow each other, the last one included: `a[2..=4]`.
    #[rhai_fn(index_get, pure, return_raw)]
    pub fn row_range_inclusive(matrix: &mut Matrix, rows: RangeInclusive<INT>) -> Answer<Matrix> {
        Ok(rows_between(&matrix.0, *rows.start(), rows.end().saturating_add(1))?.into())
    }

    /// Rows in any order, one of them several times if need be: `a[[4, 0, 0]]`.
    #[rhai_fn(index_get, pure, return_raw)]
    pub fn row_list(matrix: &mut Matrix, rows: Array) -> Answer<Matrix> {
        Ok(matrix.0.rows_at(&indices(&rows)?)?.into())
    }

    /// Rows as columns, and columns as rows.
    #[rhai_fn(name = "transposed", name = "transpose", pure)]
    pub fn transposed(matrix: &mut Matrix) -> Matrix {
        matrix.0.transposed().into()
    }

    /// The product.
    #[rhai_fn(name = "*", return_raw)]
    pub fn times(left: Matrix, right: Matrix) -> Answer<Matrix> {
        Ok(left.0.times(&right.0)?.into())
    }

    /// Every element times `factor`.
    #[rhai_fn(name = "*")]
    pub fn scaled(matrix: Matrix, factor: FLOAT) -> Matrix {
        matrix.0.scaled(factor).into()
    }

    /// Sums, element by element.
    #[rhai_fn(name = "+", return_raw)]
    pub fn plus(left: Matrix, right: Matrix) -> Answer<Matrix> {
        Ok(left.0.plus(&right.0)?.into())
    }

    /// Differences, element by element.
    #[rhai_fn(name = "-", return_raw)]
    pub fn minus(left: Matrix, right: Matrix) -> Answer<Matrix> {
        Ok(left.0.minus(&right.0)?.into())
    }

    /// Row `r` times `factors[r]`.
    #[rhai_fn(name = "rows_scaled", name = "scale_rows", pure, return_raw)]
    pub fn rows_scaled(matrix: &mut Matrix, factors: Dynamic) -> Answer<Matrix> {
        Ok(matrix.0.rows_scaled(&floats(&factors)?)?.into())
    }

    /// Column `c` times `factors[c]`.
    #[rhai_fn(name = "columns_scaled", name = "scale_columns", pure, return_raw)]
    pub fn columns_scaled(matrix: &mut Matrix, factors: Dynamic) -> Answer<Matrix> {
        Ok(matrix.0.columns_scaled(&floats(&factors)?)?.into())
    }

    /// The sum of the products of elements at the same place.
    #[rhai_fn(pure, return_raw)]
    pub fn dot(matrix: &mut Matrix, other: Matrix) -> Answer<FLOAT> {
        Ok(matrix.0.dot(&other.0)?)
    }

    /// As `dot`, of the first `size` rows and columns only.
    #[rhai_fn(name = "dot", pure, return_raw)]
    pub fn dot_of_corners(matrix: &mut Matrix, other: Matrix, size: INT) -> Answer<FLOAT> {
        let size = count("the size", size)?;
        Ok(matrix.0.corner(size)?.dot(&other.0.corner(size)?)?)
    }

    /// Rows of keys as a query sees them from later positions: pair `p` of `n`, which is rows `p` and `p + n`, is turned back by the angle
    /// whose cosine and sine are given; means of cosines and sines give the mean of what is seen.
    ///
    /// # Example
    /// ```rhai
    /// let quarter = matrix([[1], [0]]).turned([0.0], [1.0]);
    /// assert(quarter[1][0] == -1.0, "from (1, 0) to (0, -1)");
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn turned(matrix: &mut Matrix, cosines: Dynamic, sines: Dynamic) -> Answer<Matrix> {
        Ok(matrix.0.turned(&floats(&cosines)?, &floats(&sines)?)?.into())
    }

    /// The Frobenius norm: the root of the sum of all squares.
    #[rhai_fn(pure)]
    pub fn norm(matrix: &mut Matrix) -> FLOAT {
        matrix.0.norm()
    }

    /// The `rank` largest singular values and their vectors, fewer where there are no more: a map with `u` `[rows, rank]`, `s` (numbers, the
    /// largest first) and `v` `[columns, rank]`; `u * diag(s) * v^T` is the nearest matrix of that rank.
    ///
    /// # Example
    /// ```rhai
    /// let a = matrix([[3, 0, 0], [0, 0, 1]]);
    /// let one = a.svd(1);
    /// let near = one.u.columns_scaled(one.s) * one.v.transposed();
    /// assert(((near - a).norm() - 1.0).abs() < 1e-12, "what was left out is the second singular value");
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn svd(matrix: &mut Matrix, rank: INT) -> Answer<Map> {
        Ok(parts(matrix.0.svd(count("the rank", rank)?)?))
    }

    /// As `(left * right).svd(rank)`, without the product: quick where that is large and of low rank, such as `wq.transposed() * wk` of a head.
    #[rhai_fn(return_raw)]
    pub fn svd_of_product(left: Matrix, right: Matrix, rank: INT) -> Answer<Map> {
        Ok(parts(linear_algebra::svd_of_product(&left.0, &right.0, count("the rank", rank)?)?))
    }

    /// The identity, `[size, size]`.
    #[rhai_fn(return_raw)]
    pub fn identity(size: INT) -> Answer<Matrix> {
        let size = count("the size", size)?;
        Ok(linear_algebra::Matrix::from_fn(size, size, |row, column| if row == column { 1.0 } else { 0.0 })?.into())
    }

    /// The sum of the diagonal.
    #[rhai_fn(pure, return_raw)]
    pub fn trace(matrix: &mut Matrix) -> Answer<FLOAT> {
        Ok(matrix.0.trace()?)
    }

    /// The lower triangle `l` with `l * l.transposed()` the matrix, which is symmetric and positive definite: its inverse whitens what has this second
    /// moment.
    ///
    /// # Example
    /// ```rhai
    /// let c = matrix([[4, 2], [2, 3]]);
    /// let l = c.cholesky();
    /// assert((l * l.transposed() - c).norm() < 1e-12 && l[0][1] == 0.0, "lower triangular");
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn cholesky(matrix: &mut Matrix) -> Answer<Matrix> {
        Ok(matrix.0.cholesky()?.into())
    }

    /// The inverse of a square matrix.
    #[rhai_fn(pure, return_raw)]
    pub fn inverse(matrix: &mut Matrix) -> Answer<Matrix> {
        Ok(matrix.0.inverse()?.into())
    }

    /// `x` of `a * x = right`, for a symmetric positive definite `a`, by Cholesky: `a.solve(right)`.
    ///
    /// # Example
    /// ```rhai
    /// let x = matrix([[4, 0], [0, 2]]).solve(matrix([[8], [6]]));
    /// assert(x[0][0] == 2.0 && x[1][0] == 3.0, "8 / 4 and 6 / 2");
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn solve(matrix: &mut Matrix, right: Matrix) -> Answer<Matrix> {
        Ok(matrix.0.solve(&right.0)?.into())
    }

    /// As `conjugate_gradients(apply, right, start, steps, 1)`.
    #[rhai_fn(name = "conjugate_gradients", return_raw)]
    pub fn conjugate_gradients_plainly(
        context: NativeCallContext,
        apply: FnPtr,
        right: Matrix,
        start: Matrix,
        steps: INT,
    ) -> Answer<Matrix> {
        conjugate_gradients(context, apply, right, start, steps, 1)
    }

    /// Conjugate gradients for `apply(x) = right` from `start`, so many steps, where `apply` is a function of a matrix, linear, symmetric and positive. The rows may be
    /// `blocks` of equal size that `apply` does not mix: each then has steps of its own.
    ///
    /// # Example
    /// ```rhai
    /// let a = matrix([[4, 1], [1, 3]]);
    /// let x = conjugate_gradients(|x| a * x, matrix([[1], [2]]), zeros(2, 1), 2);
    /// assert((a * x - matrix([[1], [2]])).norm() < 1e-12, "two steps solve two equations");
    /// ```
    #[rhai_fn(return_raw)]
    pub fn conjugate_gradients(
        context: NativeCallContext,
        apply: FnPtr,
        right: Matrix,
        start: Matrix,
        steps: INT,
        blocks: INT,
    ) -> Answer<Matrix> {
        let (steps, blocks) = (count("the number of steps", steps)?, count("the number of blocks", blocks)?);
        let call = |x: &linear_algebra::Matrix| -> Answer<linear_algebra::Matrix> {
            let image: Dynamic = apply.call_within_context(&context, (Matrix::from(x.clone()),))?;
            match image.try_cast::<Matrix>() {
                Some(image) => Ok(linear_algebra::Matrix::clone(&image.0)),
                None => Err(Error::new("the function of conjugate_gradients must return a matrix").into()),
            }
        };
        Ok(linear_algebra::conjugate_gradients(call, &right.0, &start.0, steps, blocks)?.into())
    }

    /// A map with `q`, whose columns are orthonormal, and `r`, upper triangular: `q * r` is the matrix.
    #[rhai_fn(pure, return_raw)]
    pub fn qr(matrix: &mut Matrix) -> Answer<Map> {
        let (q, r) = matrix.0.qr()?;
        let mut map = Map::new();
        map.insert("q".into(), Dynamic::from(Matrix::from(q)));
        map.insert("r".into(), Dynamic::from(Matrix::from(r)));
        Ok(map)
    }

    /// Its shape, for a person to read.
    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn to_string(matrix: &mut Matrix) -> String {
        format!("{:?}", matrix.0)
    }
}

pub(super) fn module() -> rhai::Module {
    exported_module!(api)
}
