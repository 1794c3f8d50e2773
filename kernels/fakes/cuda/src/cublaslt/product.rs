//! D = alpha A B + beta C + bias, in binary32.
#![expect(unsafe_code, reason = "device memory at an address")]

use std::ffi::c_int;
use std::ptr::with_exposed_provenance_mut;

use half::{bf16, f16};

use crate::code::Code;
use crate::memory::Memory;

/// `cudaDataType_t`, as far as the fake knows it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Binary32,
    Binary16,
    Bfloat16,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Columns,
    Rows,
}

/// `cublasLtMatrixLayout_t`.
#[derive(Clone, Copy)]
pub(super) struct Layout {
    pub(super) kind: Type,
    pub(super) order: Order,
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// From one column to the next, or from one row where these lie together.
    pub(super) stride: usize,
    pub(super) batches: usize,
    pub(super) batch_stride: usize,
}

/// A layout in device memory.
#[derive(Clone, Copy)]
pub(super) struct Matrix {
    pub(super) address: usize,
    layout: Layout,
}

#[derive(Clone, Copy)]
pub(super) struct Product {
    pub(super) a: Matrix,
    pub(super) b: Matrix,
    pub(super) c: Matrix,
    pub(super) d: Matrix,
    /// One number for each row of D.
    pub(super) bias: Option<(usize, Type)>,
    pub(super) alpha: f32,
    pub(super) beta: f32,
}

impl Type {
    /// `CUDA_R_32F`.
    pub(super) const BINARY32: c_int = 0;

    pub(super) fn numbered(number: u64) -> Option<Self> {
        match number {
            0 => Some(Self::Binary32),
            2 => Some(Self::Binary16),
            14 => Some(Self::Bfloat16),
            _ => None,
        }
    }

    fn bytes(self) -> usize {
        if self == Self::Binary32 { 4 } else { 2 }
    }

    /// # Safety
    ///
    /// The address is valid for reads.
    unsafe fn load(self, address: usize) -> f32 {
        let at = with_exposed_provenance_mut::<()>(address);
        // SAFETY: the caller's.
        unsafe {
            match self {
                Self::Binary32 => at.cast::<f32>().read_unaligned(),
                Self::Binary16 => at.cast::<f16>().read_unaligned().to_f32(),
                Self::Bfloat16 => at.cast::<bf16>().read_unaligned().to_f32(),
            }
        }
    }

    /// # Safety
    ///
    /// The address is valid for writes.
    unsafe fn store(self, address: usize, value: f32) {
        let at = with_exposed_provenance_mut::<()>(address);
        // SAFETY: the caller's.
        unsafe {
            match self {
                Self::Binary32 => at.cast::<f32>().write_unaligned(value),
                Self::Binary16 => at.cast::<f16>().write_unaligned(f16::from_f32(value)),
                Self::Bfloat16 => at.cast::<bf16>().write_unaligned(bf16::from_f32(value)),
            }
        }
    }
}

impl Order {
    pub(super) fn numbered(number: u64) -> Option<Self> {
        match number {
            0 => Some(Self::Columns),
            1 => Some(Self::Rows),
            _ => None,
        }
    }
}

impl Layout {
    pub(super) fn new(kind: c_int, rows: u64, columns: u64, stride: i64) -> Option<Self> {
        Some(Self {
            kind: Type::numbered(kind.try_into().ok()?)?,
            order: Order::Columns,
            rows: rows.try_into().ok()?,
            columns: columns.try_into().ok()?,
            stride: stride.try_into().ok()?,
            batches: 1,
            batch_stride: 0,
        })
    }

    /// The same numbers read as the transpose.
    pub(super) fn transposed_if(self, is_transposed: bool) -> Self {
        if !is_transposed {
            return self;
        }
        Self {
            rows: self.columns,
            columns: self.rows,
            order: match self.order {
                Order::Columns => Order::Rows,
                Order::Rows => Order::Columns,
            },
            ..self
        }
    }

    /// How long what lies together is, and how often it comes.
    fn runs(&self) -> (usize, usize) {
        match self.order {
            Order::Columns => (self.rows, self.columns),
            Order::Rows => (self.columns, self.rows),
        }
    }

    fn elements(&self) -> usize {
        let (length, count) = self.runs();
        let last = self.stride * count.saturating_sub(1) + length;
        self.batch_stride * self.batches.saturating_sub(1) + last
    }
}

impl Matrix {
    pub(super) fn new(layout: Layout) -> Self {
        Self { address: 0, layout }
    }

    fn kind(&self) -> Type {
        self.layout.kind
    }

    fn is_in(&self, memory: &Memory) -> Result<(), Code> {
        memory.holds(self.address, self.layout.elements() * self.kind().bytes())
    }

    fn element(&self, batch: usize, row: usize, column: usize) -> usize {
        let within = match self.layout.order {
            Order::Columns => column * self.layout.stride + row,
            Order::Rows => row * self.layout.stride + column,
        };
        self.address + (batch * self.layout.batch_stride + within) * self.kind().bytes()
    }

    /// One batch, row by row.
    ///
    /// # Safety
    ///
    /// The matrix lies in device memory.
    unsafe fn rows(&self, batch: usize) -> Vec<f32> {
        let Layout { rows, columns, .. } = self.layout;
        let places = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
        let addresses = places.map(|(row, column)| self.element(batch, row, column));
        // SAFETY: the caller's; each is within the layout.
        addresses
            .map(|address| unsafe { self.kind().load(address) })
            .collect()
    }
}

impl Product {
    /// Whether the shapes belong together.
    pub(super) fn fits(&self) -> bool {
        let [a, b, c, d] = [self.a, self.b, self.c, self.d].map(|matrix| matrix.layout);
        let is_wide = |layout: Layout| layout.stride >= layout.runs().0;
        a.columns == b.rows
            && (a.rows, b.columns) == (d.rows, d.columns)
            && (c.rows, c.columns) == (d.rows, d.columns)
            && [a, b, c, d]
                .iter()
                .all(|each| each.batches == d.batches && is_wide(*each))
    }

    pub(super) fn run(&self, memory: &Memory) -> Result<(), Code> {
        for matrix in [&self.a, &self.b, &self.d] {
            matrix.is_in(memory)?;
        }
        if self.beta != 0.0 {
            self.c.is_in(memory)?;
        }
        if let Some((address, kind)) = self.bias {
            memory.holds(address, self.d.layout.rows * kind.bytes())?;
        }
        for batch in 0..self.d.layout.batches {
            // SAFETY: all of it lies in device memory.
            unsafe { self.run_batch(batch) };
        }
        Ok(())
    }

    /// # Safety
    ///
    /// Every matrix that is read or written, and the bias, lie in device memory.
    unsafe fn run_batch(&self, batch: usize) {
        let (depth, columns) = (self.b.layout.rows, self.b.layout.columns);
        // SAFETY: the caller's.
        let (a, b) = unsafe { (self.a.rows(batch), self.b.rows(batch)) };
        for (row, factors) in a.chunks(depth.max(1)).enumerate() {
            let mut sums = vec![0.0_f32; columns];
            for (factor, others) in factors.iter().zip(b.chunks(columns.max(1))) {
                for (sum, other) in sums.iter_mut().zip(others) {
                    *sum += factor * other;
                }
            }
            for (column, sum) in sums.iter().enumerate() {
                // SAFETY: the caller's.
                unsafe { self.finish(batch, row, column, *sum) };
            }
        }
    }

    /// # Safety
    ///
    /// As of `run_batch`.
    unsafe fn finish(&self, batch: usize, row: usize, column: usize, sum: f32) {
        let mut value = self.alpha * sum;
        // SAFETY: the caller's. Where beta is zero, C is not read.
        unsafe {
            if self.beta != 0.0 {
                value += self.beta * self.c.kind().load(self.c.element(batch, row, column));
            }
            if let Some((address, kind)) = self.bias {
                value += kind.load(address + row * kind.bytes());
            }
            self.d
                .kind()
                .store(self.d.element(batch, row, column), value);
        }
    }
}
