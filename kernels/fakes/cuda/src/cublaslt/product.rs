//! D = alpha A B + beta C + bias, in binary32.
#![expect(unsafe_code, reason = "device memory at an address")]

use std::ptr::with_exposed_provenance_mut;

use half::{bf16, f16};

use crate::code::Code;
use crate::memory::Memory;

/// Numbers in device memory.
#[derive(Clone, Copy)]
pub(super) struct Matrix {
    pub(super) address: usize,
    /// `cudaDataType_t`.
    pub(super) kind: u64,
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// From one row to the next, and from one column.
    pub(super) strides: [usize; 2],
    /// How many there are, and how far from one to the next.
    pub(super) batches: (usize, usize),
}

pub(super) struct Product {
    pub(super) a: Matrix,
    pub(super) b: Matrix,
    pub(super) c: Matrix,
    pub(super) d: Matrix,
    /// The same for every column.
    pub(super) bias: Option<Matrix>,
    pub(super) alpha: f32,
    pub(super) beta: f32,
}

/// `CUDA_R_16F` and `CUDA_R_16BF`; zero is `CUDA_R_32F`.
const BINARY16: u64 = 2;
const BFLOAT16: u64 = 14;

/// The size of a number, if the fake knows the type.
pub(super) fn bytes_of(kind: u64) -> Option<usize> {
    match kind {
        0 => Some(4),
        BINARY16 | BFLOAT16 => Some(2),
        _ => None,
    }
}

impl Matrix {
    /// The same numbers read as the transpose.
    pub(super) fn transposed_if(self, is_transposed: bool) -> Self {
        let [row_stride, column_stride] = self.strides;
        if !is_transposed {
            return self;
        }
        Self {
            rows: self.columns,
            columns: self.rows,
            strides: [column_stride, row_stride],
            ..self
        }
    }

    fn bytes(&self) -> usize {
        bytes_of(self.kind).unwrap_or_default()
    }

    fn element(&self, batch: usize, row: usize, column: usize) -> usize {
        let within = row * self.strides[0] + column * self.strides[1];
        self.address + (batch * self.batches.1 + within) * self.bytes()
    }

    /// Whether all of it lies in one allocation.
    fn is_in(&self, memory: &Memory) -> Result<(), Code> {
        let last = |count: usize| count.saturating_sub(1);
        let last = self.element(last(self.batches.0), last(self.rows), last(self.columns));
        memory.holds(self.address, last - self.address + self.bytes())
    }

    /// # Safety
    ///
    /// The matrix lies in device memory, and the element in the matrix.
    unsafe fn load(&self, batch: usize, row: usize, column: usize) -> f32 {
        let at = with_exposed_provenance_mut::<()>(self.element(batch, row, column));
        // SAFETY: the caller's.
        unsafe {
            match self.kind {
                BINARY16 => at.cast::<f16>().read_unaligned().to_f32(),
                BFLOAT16 => at.cast::<bf16>().read_unaligned().to_f32(),
                _ => at.cast::<f32>().read_unaligned(),
            }
        }
    }

    /// # Safety
    ///
    /// As of `load`.
    unsafe fn store(&self, batch: usize, row: usize, column: usize, value: f32) {
        let at = with_exposed_provenance_mut::<()>(self.element(batch, row, column));
        // SAFETY: the caller's.
        unsafe {
            match self.kind {
                BINARY16 => at.cast::<f16>().write_unaligned(f16::from_f32(value)),
                BFLOAT16 => at.cast::<bf16>().write_unaligned(bf16::from_f32(value)),
                _ => at.cast::<f32>().write_unaligned(value),
            }
        }
    }

    /// One batch, row by row.
    ///
    /// # Safety
    ///
    /// As of `load`.
    unsafe fn numbers(&self, batch: usize) -> Vec<f32> {
        let places =
            (0..self.rows).flat_map(|row| (0..self.columns).map(move |column| (row, column)));
        // SAFETY: the caller's; every place is within the matrix.
        places
            .map(|(row, column)| unsafe { self.load(batch, row, column) })
            .collect()
    }
}

impl Product {
    /// Whether the shapes belong together.
    pub(super) fn fits(&self) -> bool {
        let Self { a, b, c, d, .. } = self;
        a.columns == b.rows
            && (a.rows, b.columns) == (d.rows, d.columns)
            && (c.rows, c.columns) == (d.rows, d.columns)
            && [a, b, c].iter().all(|each| each.batches.0 == d.batches.0)
    }

    pub(super) fn run(&self, memory: &Memory) -> Result<(), Code> {
        let c = (self.beta != 0.0).then_some(&self.c);
        for matrix in [&self.a, &self.b, &self.d]
            .into_iter()
            .chain(c)
            .chain(&self.bias)
        {
            matrix.is_in(memory)?;
        }
        for batch in 0..self.d.batches.0 {
            // SAFETY: all that is read or written lies in device memory.
            unsafe { self.run_batch(batch, c) };
        }
        Ok(())
    }

    /// # Safety
    ///
    /// The matrices, with C where it is given, lie in device memory.
    unsafe fn run_batch(&self, batch: usize, c: Option<&Matrix>) {
        let columns = self.b.columns;
        // SAFETY: the caller's.
        let (a, b) = unsafe { (self.a.numbers(batch), self.b.numbers(batch)) };
        for (row, factors) in a.chunks(self.a.columns.max(1)).enumerate() {
            let mut sums = vec![0.0_f32; columns];
            for (factor, others) in factors.iter().zip(b.chunks(columns.max(1))) {
                for (sum, other) in sums.iter_mut().zip(others) {
                    *sum += factor * other;
                }
            }
            for (column, sum) in sums.into_iter().enumerate() {
                // SAFETY: the caller's.
                unsafe {
                    let old = c.map_or(0.0, |c| c.load(batch, row, column));
                    let bias = self.bias.map_or(0.0, |bias| bias.load(0, row, column));
                    let value = self.alpha * sum + self.beta * old + bias;
                    self.d.store(batch, row, column, value);
                }
            }
        }
    }
}
