//! Products of matrices, through the crate `gemm-f32`: blocked for the caches, packed, with vectors of the instruction set
//! at hand.
#![expect(
    unsafe_code,
    reason = "the crate takes pointers and strides; `multiply` compares them with the slices first"
)]

use gemm_common::Parallelism;

/// Numbers as a matrix.
#[derive(Debug, Clone, Copy)]
pub(super) struct Matrix<'a> {
    numbers: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

/// Numbers as a matrix to write to, row by row.
#[derive(Debug)]
pub(super) struct MatrixMut<'a> {
    numbers: &'a mut [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
}

/// What a product is added to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    Zero,
    /// What the output holds.
    Present,
}

impl<'a> Matrix<'a> {
    /// Rows begin `stride` numbers apart.
    pub(super) fn by_rows(
        numbers: &'a [f32],
        stride: usize,
        (rows, columns): (usize, usize),
    ) -> Self {
        assert!(end(rows, stride, columns, 1) <= numbers.len());
        Self {
            numbers,
            rows,
            columns,
            row_stride: stride,
            column_stride: 1,
        }
    }

    /// Rows become columns.
    pub(super) const fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

impl<'a> MatrixMut<'a> {
    /// Rows begin `stride` numbers apart.
    pub(super) fn new(
        numbers: &'a mut [f32],
        stride: usize,
        (rows, columns): (usize, usize),
    ) -> Self {
        assert!(end(rows, stride, columns, 1) <= numbers.len());
        assert!(columns <= stride);
        Self {
            numbers,
            rows,
            columns,
            row_stride: stride,
        }
    }
}

/// Behind the last number of a matrix; more than any slice where the sizes are absurd.
fn end(rows: usize, row_stride: usize, columns: usize, column_stride: usize) -> usize {
    let (Some(last_row), Some(last_column)) = (rows.checked_sub(1), columns.checked_sub(1)) else {
        return 0;
    };
    let row = last_row.saturating_mul(row_stride);
    row.saturating_add(last_column.saturating_mul(column_stride))
        .saturating_add(1)
}

/// output = start + left × right.
pub(super) fn multiply(
    parallelism: Parallelism,
    output: MatrixMut<'_>,
    start: Start,
    left: Matrix<'_>,
    right: Matrix<'_>,
) {
    let MatrixMut {
        numbers,
        rows,
        columns,
        row_stride,
    } = output;
    assert_eq!(
        (left.rows, left.columns, right.columns),
        (rows, right.rows, columns)
    );
    let gemm = gemm_f32::gemm::f32::get_gemm_fn();
    // The crate prefers outputs by columns: the same product with everything transposed.
    // SAFETY: every matrix was compared with its slice when it was made, so each index that its sizes and strides allow
    // lies in it; slices have at most isize::MAX bytes. The output is borrowed mutably, so it overlaps nothing, and its
    // rows do not overlap each other. Sizes of the factors and the output were compared above.
    unsafe {
        gemm(
            columns,
            rows,
            left.columns,
            numbers.as_mut_ptr(),
            row_stride.cast_signed(),
            1,
            start == Start::Present,
            right.numbers.as_ptr(),
            right.row_stride.cast_signed(),
            right.column_stride.cast_signed(),
            left.numbers.as_ptr(),
            left.row_stride.cast_signed(),
            left.column_stride.cast_signed(),
            1.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize) -> Vec<f32> {
        (0_u8..11)
            .cycle()
            .map(|x| f32::from(x) - 5.0)
            .take(count)
            .collect()
    }

    /// The definition, number by number.
    fn wanted(left: Matrix<'_>, right: Matrix<'_>, row: usize, column: usize) -> f32 {
        let at = |matrix: Matrix<'_>, row, column| {
            matrix.numbers[row * matrix.row_stride + column * matrix.column_stride]
        };
        let terms = (0..left.columns).map(|k| at(left, row, k) * at(right, k, column));
        terms.sum()
    }

    #[test]
    fn products_of_all_shapes_and_strides_are_exact_for_small_whole_numbers() {
        for (rows, inner, columns) in [
            (1, 1, 1),
            (3, 5, 2),
            (17, 33, 19),
            (1, 384, 40),
            (70, 40, 90),
        ] {
            let (a, b) = (numbers(rows * (inner + 3)), numbers(columns * (inner + 1)));
            let left = Matrix::by_rows(&a, inner + 3, (rows, inner));
            let right = Matrix::by_rows(&b, inner + 1, (columns, inner)).transposed();
            for (start, before) in [(Start::Zero, 0.0), (Start::Present, 7.0)] {
                let mut output = vec![7.0; rows * (columns + 2)];
                let into = MatrixMut::new(&mut output, columns + 2, (rows, columns));
                multiply(Parallelism::None, into, start, left, right);
                for (index, got) in output.iter().enumerate() {
                    let (row, column) = (index / (columns + 2), index % (columns + 2));
                    let wanted = if column < columns {
                        before + wanted(left, right, row, column)
                    } else {
                        7.0
                    };
                    assert!(
                        (got - wanted).abs() < 1e-3,
                        "{rows} {inner} {columns}: {row} {column}"
                    );
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "numbers.len()")]
    fn a_matrix_does_not_leave_its_slice() {
        let _ = Matrix::by_rows(&[0.0; 11], 4, (3, 4));
    }
}
