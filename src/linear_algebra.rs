//! Matrices in double precision, and their decompositions: what turning one model's weights into another's needs. The work is faer's;
//! here are shapes that are checked, and the one thing that is ours: the decomposition of a product that is never formed.

use crate::error::{Error, Result};
use crate::interrupt;
use crate::model::Tensor;
use faer::linalg::solvers::{DenseSolveCore, Solve};
use faer::{Mat, MatRef};
use std::ops::Range;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

/// Elements of the largest matrix that is made: 8 GB. A square of a vocabulary isn't asked for on purpose.
const MAX_ELEMENTS: usize = 1 << 30;

/// A matrix `[rows, columns]` of doubles.
#[derive(Clone, PartialEq)]
pub struct Matrix(Mat<f64>);

/// `u * diag(s) * v^T`, with `u` `[rows, rank]`, `v` `[columns, rank]`, and `s` falling.
pub struct Svd {
    pub u: Matrix,
    pub s: Vec<f64>,
    pub v: Matrix,
}

impl Matrix {
    /// `value(row, column)` everywhere.
    ///
    /// # Errors
    /// More elements than any use has.
    pub fn from_fn(rows: usize, columns: usize, value: impl FnMut(usize, usize) -> f64) -> Result<Matrix> {
        check_size(rows, columns)?;
        Ok(Matrix(Mat::from_fn(rows, columns, value)))
    }

    /// Zeros.
    ///
    /// # Errors
    /// More elements than any use has.
    pub fn zeros(rows: usize, columns: usize) -> Result<Matrix> {
        check_size(rows, columns)?;
        Ok(Matrix(Mat::zeros(rows, columns)))
    }

    /// A weight, dequantised; a vector is one row.
    ///
    /// # Errors
    /// More elements than any use has.
    pub fn from_tensor(tensor: &Tensor) -> Result<Matrix> {
        check_size(tensor.rows(), tensor.columns())?;
        let (values, columns) = (tensor.to_f32(), tensor.columns());
        Matrix::from_fn(tensor.rows(), columns, |row, column| f64::from(values[row * columns + column]))
    }

    /// As a weight, rounded to f32.
    ///
    /// # Errors
    /// A value beyond what f32 holds, or that is no number.
    pub fn to_tensor(&self) -> Result<Tensor> {
        let mut values = Vec::with_capacity(self.rows() * self.columns());
        for row in 0..self.rows() {
            values.extend((0..self.columns()).map(|column| self.0[(row, column)] as f32));
        }
        match values.iter().position(|value| !value.is_finite()) {
            None => Tensor::from_f32(vec![self.rows(), self.columns()], values),
            Some(place) => {
                let (row, column) = (place / self.columns(), place % self.columns());
                Err(Error::new(format!(
                    "the value at row {row}, column {column} is {}: a weight is a number of f32",
                    self.0[(row, column)]
                )))
            }
        }
    }

    /// Some rows as floats, column by column.
    pub(crate) fn to_f32(&self, rows: Range<usize>) -> Vec<f32> {
        (0..self.columns()).flat_map(|column| rows.clone().map(move |row| self.0[(row, column)] as f32)).collect()
    }

    pub fn rows(&self) -> usize {
        self.0.nrows()
    }

    pub fn columns(&self) -> usize {
        self.0.ncols()
    }

    /// One row.
    ///
    /// # Errors
    /// A row that there isn't.
    pub fn row(&self, row: usize) -> Result<Vec<f64>> {
        self.check_row(row)?;
        Ok((0..self.columns()).map(|column| self.0[(row, column)]).collect())
    }

    /// Some rows, in the given order; one may come twice.
    ///
    /// # Errors
    /// A row that there isn't.
    pub fn rows_at(&self, rows: &[usize]) -> Result<Matrix> {
        rows.iter().try_for_each(|&row| self.check_row(row))?;
        Matrix::from_fn(rows.len(), self.columns(), |row, column| self.0[(rows[row], column)])
    }

    /// Rows that follow each other.
    ///
    /// # Errors
    /// Rows that there aren't.
    pub fn rows_of(&self, rows: Range<usize>) -> Result<Matrix> {
        if rows.start > rows.end || rows.end > self.rows() {
            return Err(Error::new(format!("rows {}..{} of a matrix of {} rows", rows.start, rows.end, self.rows())));
        }
        Ok(Matrix(self.0.subrows(rows.start, rows.len()).to_owned()))
    }

    /// Matrices of one width, one below the other.
    ///
    /// # Errors
    /// None at all, or of several widths.
    pub fn stacked(parts: &[&Matrix]) -> Result<Matrix> {
        let Some(first) = parts.first() else { return Err(Error::new("no matrices to stack")) };
        if let Some(other) = parts.iter().find(|part| part.columns() != first.columns()) {
            let widths = (first.columns(), other.columns());
            return Err(Error::new(format!("matrices of {} and of {} columns can't be stacked", widths.0, widths.1)));
        }
        let rows = parts.iter().map(|part| part.rows()).sum();
        let mut whole = Matrix::zeros(rows, first.columns())?;
        let mut start = 0;
        for part in parts {
            whole.0.as_mut().subrows_mut(start, part.rows()).copy_from(&part.0);
            start += part.rows();
        }
        Ok(whole)
    }

    pub fn transposed(&self) -> Matrix {
        Matrix(self.0.transpose().to_owned())
    }

    /// # Errors
    /// Inner sizes that differ; Ctrl-C.
    pub fn times(&self, other: &Matrix) -> Result<Matrix> {
        interrupt::check()?;
        if self.columns() != other.rows() {
            return Err(Error::new(format!("{} times {}: the inner sizes differ", self.shape(), other.shape())));
        }
        check_size(self.rows(), other.columns())?;
        Ok(Matrix(&self.0 * &other.0))
    }

    pub fn scaled(&self, factor: f64) -> Matrix {
        Matrix(&self.0 * faer::Scale(factor))
    }

    /// Row `r` times `factors[r]`.
    ///
    /// # Errors
    /// Not one factor for every row.
    pub fn rows_scaled(&self, factors: &[f64]) -> Result<Matrix> {
        check_factors(factors, self.rows(), "rows")?;
        Matrix::from_fn(self.rows(), self.columns(), |row, column| self.0[(row, column)] * factors[row])
    }

    /// Column `c` times `factors[c]`.
    ///
    /// # Errors
    /// Not one factor for every column.
    pub fn columns_scaled(&self, factors: &[f64]) -> Result<Matrix> {
        check_factors(factors, self.columns(), "columns")?;
        Matrix::from_fn(self.rows(), self.columns(), |row, column| self.0[(row, column)] * factors[column])
    }

    /// Rows `p` and `p + n`, for `n` pairs, turned as RoPE turns the two elements of a pair when a key is seen from a query that comes later:
    /// by minus the angle whose cosine and sine are given. (Means of cosines and sines give the mean of what is seen.)
    ///
    /// # Errors
    /// Not one cosine and one sine for every pair.
    pub fn turned(&self, cosines: &[f64], sines: &[f64]) -> Result<Matrix> {
        let pairs = self.rows() / 2;
        if !self.rows().is_multiple_of(2) {
            return Err(Error::new(format!("{} rows are no pairs", self.rows())));
        }
        check_factors(cosines, pairs, "pairs")?;
        check_factors(sines, pairs, "pairs")?;
        Matrix::from_fn(self.rows(), self.columns(), |row, column| match row < pairs {
            true => cosines[row] * self.0[(row, column)] + sines[row] * self.0[(row + pairs, column)],
            false => cosines[row - pairs] * self.0[(row, column)] - sines[row - pairs] * self.0[(row - pairs, column)],
        })
    }

    /// # Errors
    /// Shapes that differ.
    pub fn plus(&self, other: &Matrix) -> Result<Matrix> {
        self.check_same_shape(other)?;
        Ok(Matrix(&self.0 + &other.0))
    }

    /// # Errors
    /// Shapes that differ.
    pub fn minus(&self, other: &Matrix) -> Result<Matrix> {
        self.check_same_shape(other)?;
        Ok(Matrix(&self.0 - &other.0))
    }

    /// The sum of the products of elements at the same place: `trace(self^T other)`.
    ///
    /// # Errors
    /// Shapes that differ.
    pub fn dot(&self, other: &Matrix) -> Result<f64> {
        self.check_same_shape(other)?;
        let column = |column: usize| (0..self.rows()).map(|row| self.0[(row, column)] * other.0[(row, column)]).sum::<f64>();
        Ok((0..self.columns()).map(column).sum())
    }

    /// The first `size` rows and columns.
    ///
    /// # Errors
    /// There are fewer.
    pub fn corner(&self, size: usize) -> Result<Matrix> {
        if size > self.rows() || size > self.columns() {
            return Err(Error::new(format!("{} has no corner of {size}", self.shape())));
        }
        Ok(Matrix(self.0.submatrix(0, 0, size, size).to_owned()))
    }

    /// The Frobenius norm: the root of the sum of all squares.
    pub fn norm(&self) -> f64 {
        self.0.norm_l2()
    }

    /// The `rank` largest singular values and their vectors; fewer where the matrix has no more.
    ///
    /// # Errors
    /// Values that are no numbers; Ctrl-C.
    pub fn svd(&self, rank: usize) -> Result<Svd> {
        interrupt::check()?;
        self.check_finite()?;
        let rank = rank.min(self.rows()).min(self.columns());
        if rank == 0 {
            return Ok(Svd { u: Matrix::zeros(self.rows(), 0)?, s: Vec::new(), v: Matrix::zeros(self.columns(), 0)? });
        }
        let own = self.0.clone();
        let found = interruptible(move || own.thin_svd())?.map_err(|_| Error::new("the singular value decomposition did not converge"))?;
        let first = |vectors: MatRef<f64>| Matrix(vectors.subcols(0, rank).to_owned());
        let s = found.S().column_vector().iter().take(rank).copied().collect();
        Ok(Svd { u: first(found.U()), s, v: first(found.V()) })
    }

    /// `self = q * r`, with `q` `[rows, k]` of orthonormal columns and `r` `[k, columns]` upper triangular, `k` the smaller side.
    ///
    /// # Errors
    /// Values that are no numbers; Ctrl-C.
    pub fn qr(&self) -> Result<(Matrix, Matrix)> {
        interrupt::check()?;
        self.check_finite()?;
        let own = self.0.clone();
        interruptible(move || {
            let found = own.qr();
            (Matrix(found.compute_thin_Q()), Matrix(found.thin_R().to_owned()))
        })
    }

    /// The lower triangle `l` of a symmetric positive definite matrix, `l l^T`.
    ///
    /// # Errors
    /// No square matrix, not positive definite; Ctrl-C.
    pub fn cholesky(&self) -> Result<Matrix> {
        interrupt::check()?;
        self.check_square()?;
        let own = self.0.clone();
        let found = interruptible(move || own.llt(faer::Side::Lower).map(|factor| factor.L().to_owned()))?;
        found.map(Matrix).map_err(|_| self.not_positive())
    }

    /// The inverse, by an LU decomposition.
    ///
    /// # Errors
    /// No square matrix; a singular one; Ctrl-C.
    pub fn inverse(&self) -> Result<Matrix> {
        interrupt::check()?;
        self.check_square()?;
        self.check_finite()?;
        let own = self.0.clone();
        let inverse = Matrix(interruptible(move || own.partial_piv_lu().inverse())?);
        match inverse.norm().is_finite() {
            true => Ok(inverse),
            false => Err(Error::new(format!("the matrix {} is singular", self.shape()))),
        }
    }

    fn not_positive(&self) -> Error {
        Error::new(format!("the matrix {} is not positive definite", self.shape())).remedy("add a ridge: a + identity(n) * small")
    }

    /// `x` of `self x = right`, for a symmetric positive definite matrix: by Cholesky.
    ///
    /// # Errors
    /// No square matrix, not positive definite, `right` of other rows; Ctrl-C.
    pub fn solve(&self, right: &Matrix) -> Result<Matrix> {
        interrupt::check()?;
        self.check_square()?;
        if right.rows() != self.rows() {
            return Err(Error::new(format!("a matrix {} and a right side {}: the rows differ", self.shape(), right.shape())));
        }
        let (own, right) = (self.0.clone(), right.0.clone());
        let solved = interruptible(move || own.llt(faer::Side::Lower).map(|factor| factor.solve(&right)))?;
        solved.map(Matrix).map_err(|_| self.not_positive())
    }

    /// The sum of the diagonal.
    ///
    /// # Errors
    /// No square matrix.
    pub fn trace(&self) -> Result<f64> {
        self.check_square()?;
        Ok((0..self.rows()).map(|row| self.0[(row, row)]).sum())
    }

    fn check_square(&self) -> Result<()> {
        match self.rows() == self.columns() {
            true => Ok(()),
            false => Err(Error::new(format!("a matrix {} is not square", self.shape()))),
        }
    }

    fn shape(&self) -> String {
        format!("[{}, {}]", self.rows(), self.columns())
    }

    fn check_row(&self, row: usize) -> Result<()> {
        match row < self.rows() {
            true => Ok(()),
            false => Err(Error::new(format!("there is no row {row}: the matrix has {}", self.rows()))),
        }
    }

    fn check_same_shape(&self, other: &Matrix) -> Result<()> {
        match self.rows() == other.rows() && self.columns() == other.columns() {
            true => Ok(()),
            false => Err(Error::new(format!("the shapes {} and {} differ", self.shape(), other.shape()))),
        }
    }

    /// Decompositions of what is no number don't end well.
    fn check_finite(&self) -> Result<()> {
        match self.norm().is_finite() {
            true => Ok(()),
            false => Err(Error::new(format!("a matrix {} holds values that are no finite numbers", self.shape()))
                .remedy("the model's weights are damaged: fetch them again")),
        }
    }
}

impl std::fmt::Debug for Matrix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "matrix {}", self.shape())
    }
}

/// The `rank` largest singular values of `left * right`, and their vectors, without the product: where the inner size is small and the outer
/// ones are large (a head's `Wq^T Wk`: 64 inside, thousands outside), both are reduced to triangles first, and the triangles' product is
/// decomposed.
///
/// # Errors
/// Inner sizes that differ; values that are no numbers; Ctrl-C.
pub fn svd_of_product(left: &Matrix, right: &Matrix, rank: usize) -> Result<Svd> {
    if left.columns() != right.rows() {
        return Err(Error::new(format!("{} times {}: the inner sizes differ", left.shape(), right.shape())));
    }
    if left.columns() == 0 {
        return Ok(Svd { u: Matrix::zeros(left.rows(), 0)?, s: Vec::new(), v: Matrix::zeros(right.columns(), 0)? });
    }
    let (q_left, r_left) = left.qr()?;
    let (q_right, r_right) = right.transposed().qr()?;
    let core = r_left.times(&r_right.transposed())?.svd(rank)?;
    Ok(Svd { u: q_left.times(&core.u)?, s: core.s, v: q_right.times(&core.v)? })
}

/// Conjugate gradients for `apply(x) = right` from `start`, so many steps: `apply` is symmetric and positive. Rows may fall into `blocks` of equal size that
/// `apply` doesn't mix: each then has steps of its own, as if it were solved by itself (M. R. Hestenes and E. Stiefel, 1952). Few steps are a regularisation.
///
/// # Errors
/// Shapes that differ; blocks that don't divide the rows; what `apply` returns.
pub fn conjugate_gradients<E: From<Error>>(
    mut apply: impl FnMut(&Matrix) -> std::result::Result<Matrix, E>,
    right: &Matrix,
    start: &Matrix,
    steps: usize,
    blocks: usize,
) -> std::result::Result<Matrix, E> {
    right.check_same_shape(start)?;
    if blocks == 0 || !right.rows().is_multiple_of(blocks) {
        return Err(Error::new(format!("{} rows are no {blocks} blocks of equal size", right.rows())).into());
    }
    let rows = right.rows() / blocks;
    let dots = |a: &Matrix, b: &Matrix| -> Vec<f64> {
        let block = |block: usize| {
            let column = |column: usize| (block * rows..(block + 1) * rows).map(|row| a.0[(row, column)] * b.0[(row, column)]).sum::<f64>();
            (0..a.columns()).map(column).sum()
        };
        (0..blocks).map(block).collect()
    };
    // a += factor[block] * b
    let add = |a: &mut Matrix, b: &Matrix, factors: &[f64], keep: &[f64]| {
        for column in 0..a.columns() {
            for row in 0..a.rows() {
                a.0[(row, column)] = keep[row / rows] * a.0[(row, column)] + factors[row / rows] * b.0[(row, column)];
            }
        }
    };
    let ones = vec![1.0; blocks];
    let mut x = start.clone();
    // Of nothing, the image is known.
    let mut residual = if x.norm() == 0.0 { right.clone() } else { right.minus(&apply(&x)?)? };
    let mut direction = residual.clone();
    let mut squares = dots(&residual, &residual);
    for _ in 0..steps {
        let image = apply(&direction)?;
        image.check_same_shape(&direction)?;
        let quotient = |(top, bottom): (f64, f64)| if bottom > 0.0 { top / bottom } else { 0.0 };
        let lengths: Vec<f64> = squares.iter().copied().zip(dots(&direction, &image)).map(quotient).collect();
        add(&mut x, &direction, &lengths, &ones);
        let back: Vec<f64> = lengths.iter().map(|length| -length).collect();
        add(&mut residual, &image, &back, &ones);
        let next = dots(&residual, &residual);
        let turns: Vec<f64> = next.iter().copied().zip(squares).map(quotient).collect();
        add(&mut direction, &residual, &ones, &turns);
        squares = next;
    }
    Ok(x)
}

/// What `work` makes, on a thread of its own, so that Ctrl-C is heard while it goes on: a decomposition can't be stopped, but nobody has to wait
/// for it. The thread ends with its work, or with the process.
///
/// # Errors
/// Ctrl-C; a panic in `work`.
fn interruptible<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    const EVERY: Duration = Duration::from_millis(50);
    let (sender, receiver) = std::sync::mpsc::channel();
    // The receiver is gone only after an interruption: then nobody wants the result.
    std::thread::spawn(move || _ = sender.send(work()));
    loop {
        match receiver.recv_timeout(EVERY) {
            Ok(made) => return Ok(made),
            Err(RecvTimeoutError::Timeout) => interrupt::check()?,
            Err(RecvTimeoutError::Disconnected) => return Err(Error::new("a decomposition failed without a word")),
        }
    }
}

fn check_size(rows: usize, columns: usize) -> Result<()> {
    match rows.checked_mul(columns) {
        Some(elements) if elements <= MAX_ELEMENTS => crate::limits::room("the matrix", elements as u64 * 8),
        _ => {
            Err(Error::new(format!("a matrix [{rows}, {columns}] is too large")).remedy("decompose thin factors instead of their product"))
        }
    }
}

fn check_factors(factors: &[f64], count: usize, what: &str) -> Result<()> {
    match factors.len() == count {
        true => Ok(()),
        false => Err(Error::new(format!("{} factors for {count} {what}: expected as many", factors.len()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers without any pattern, the same ones each time.
    fn random(rows: usize, columns: usize, seed: f64) -> Matrix {
        Matrix::from_fn(rows, columns, |row, column| ((row * columns + column) as f64 * 12.9898 + seed).sin() * 43758.5453 % 1.0).unwrap()
    }

    impl Matrix {
        fn column(&self) -> Vec<f64> {
            self.transposed().row(0).unwrap()
        }
    }

    fn composed(svd: &Svd) -> Matrix {
        svd.u.columns_scaled(&svd.s).unwrap().times(&svd.v.transposed()).unwrap()
    }

    #[test]
    fn factors_give_the_matrix_back() {
        for (rows, columns) in [(7, 5), (5, 7), (1, 4), (6, 6)] {
            let matrix = random(rows, columns, 1.0);
            let svd = matrix.svd(usize::MAX).unwrap();
            assert!(composed(&svd).minus(&matrix).unwrap().norm() < 1e-12);
            assert!(svd.s.windows(2).all(|pair| pair[0] >= pair[1]) && svd.s.iter().all(|&value| value >= 0.0));
            let (q, r) = matrix.qr().unwrap();
            assert!(q.times(&r).unwrap().minus(&matrix).unwrap().norm() < 1e-12);
        }
    }

    #[test]
    fn what_is_cut_off_is_the_error() {
        let matrix = random(9, 6, 2.0);
        let all = matrix.svd(6).unwrap();
        for rank in 0..=6 {
            let error = composed(&matrix.svd(rank).unwrap()).minus(&matrix).unwrap().norm();
            let rest = all.s[rank..].iter().map(|value| value * value).sum::<f64>().sqrt();
            assert!((error - rest).abs() < 1e-12, "rank {rank}: {error} and {rest}");
        }
    }

    #[test]
    fn a_product_is_decomposed_without_being_formed() {
        for (rows, inner, columns) in [(40, 3, 30), (5, 8, 4), (6, 0, 5)] {
            let (left, right) = (random(rows, inner, 3.0), random(inner, columns, 4.0));
            let product = left.times(&right).unwrap();
            for rank in [1, 2, 8] {
                let (found, expected) = (svd_of_product(&left, &right, rank).unwrap(), product.svd(rank).unwrap());
                let difference = composed(&found).minus(&composed(&expected)).unwrap().norm();
                assert!(difference < 1e-10, "[{rows}, {inner}, {columns}] rank {rank}: {difference}");
            }
        }
    }

    #[test]
    fn rows_are_taken_and_stacked() {
        let matrix = Matrix::from_fn(4, 2, |row, column| (row * 2 + column) as f64).unwrap();
        let picked = matrix.rows_at(&[3, 0, 3]).unwrap();
        assert_eq!((picked.row(0).unwrap(), picked.row(1).unwrap(), picked.rows()), (vec![6.0, 7.0], vec![0.0, 1.0], 3));
        let halves = (matrix.rows_of(0..1).unwrap(), matrix.rows_of(1..4).unwrap());
        assert!(Matrix::stacked(&[&halves.0, &halves.1]).unwrap() == matrix);
        assert_eq!(matrix.transposed().row(1).unwrap(), [1.0, 3.0, 5.0, 7.0]);
        assert_eq!(matrix.rows_scaled(&[0.0, 1.0, 0.0, 2.0]).unwrap().row(3).unwrap(), [12.0, 14.0]);
        assert_eq!(matrix.columns_scaled(&[2.0, 0.0]).unwrap().row(1).unwrap(), [4.0, 0.0]);
        assert_eq!(matrix.dot(&matrix).unwrap(), matrix.norm().powi(2).round());
        assert_eq!(Matrix::from_tensor(&matrix.to_tensor().unwrap()).unwrap().row(2).unwrap(), [4.0, 5.0]);
    }

    #[test]
    fn keys_turn_as_rope_turns_them() {
        // Two pairs; a query at position 9 and a key at 4, turned by their own positions, or the key alone by the distance.
        let (query, key) = (random(4, 1, 5.0), random(4, 1, 6.0));
        let frequencies = [1.0, 0.1];
        let rope = |vector: &Matrix, position: f64| {
            let angles = frequencies.map(|frequency| frequency * position);
            // RoPE turns forwards.
            vector.turned(&angles.map(f64::cos), &angles.map(|angle| -angle.sin())).unwrap()
        };
        let expected = rope(&query, 9.0).dot(&rope(&key, 4.0)).unwrap();
        let angles = frequencies.map(|frequency| frequency * 5.0);
        let seen = key.turned(&angles.map(f64::cos), &angles.map(f64::sin)).unwrap();
        assert!((query.dot(&seen).unwrap() - expected).abs() < 1e-12);
        let first = random(2, 1, 5.0).turned(&[0.0], &[-1.0]).unwrap();
        let plain = random(2, 1, 5.0);
        assert_eq!(first.column(), [-plain.column()[1], plain.column()[0]], "a quarter forwards: x cos - y sin, y cos + x sin");
    }

    #[test]
    fn mistakes_are_told() {
        let (matrix, other) = (random(3, 2, 1.0), random(3, 3, 1.0));
        let nothing = Matrix::from_fn(2, 2, |_, _| f64::NAN).unwrap();
        let failures = [
            matrix.times(&other).map(drop),
            matrix.plus(&other).map(drop),
            Matrix::stacked(&[&matrix, &other]).map(drop),
            Matrix::stacked(&[]).map(drop),
            matrix.rows_at(&[3]).map(drop),
            matrix.rows_of(2..4).map(drop),
            matrix.rows_scaled(&[1.0]).map(drop),
            matrix.turned(&[1.0], &[0.0]).map(drop),
            matrix.corner(3).map(drop),
            nothing.svd(1).map(drop),
            nothing.to_tensor().map(drop),
            Matrix::zeros(1 << 20, 1 << 20).map(drop),
            svd_of_product(&matrix, &other, 1).map(drop),
        ];
        let told: Vec<String> = failures.into_iter().map(|failure| failure.unwrap_err().message().to_owned()).collect();
        insta::assert_snapshot!(told.join("\n"), @r#"
        [3, 2] times [3, 3]: the inner sizes differ
        the shapes [3, 2] and [3, 3] differ
        matrices of 2 and of 3 columns can't be stacked
        no matrices to stack
        there is no row 3: the matrix has 3
        rows 2..4 of a matrix of 3 rows
        1 factors for 3 rows: expected as many
        3 rows are no pairs
        [3, 2] has no corner of 3
        a matrix [2, 2] holds values that are no finite numbers
        the value at row 0, column 0 is NaN: a weight is a number of f32
        a matrix [1048576, 1048576] is too large
        [3, 2] times [3, 3]: the inner sizes differ
        "#);
    }
}
