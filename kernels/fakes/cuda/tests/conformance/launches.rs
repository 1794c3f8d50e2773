//! Modules, launches, and what they compute.

use cudarc::driver::result::{self, launch_kernel};
use cudarc::driver::sys::CUresult::{
    CUDA_ERROR_INVALID_IMAGE, CUDA_ERROR_INVALID_VALUE, CUDA_ERROR_JIT_COMPILATION_DISABLED,
    CUDA_ERROR_NOT_FOUND,
};

use crate::gpu::{Argument, Gpu, address, code};
use crate::{promised, simulated};

#[test]
fn a_launch_computes_what_the_kernel_says() {
    promised(|| {
        let gpu = Gpu::open();
        let count = 1003_u16;
        let x: Vec<f32> = (0..count).map(f32::from).collect();
        let x = gpu.stream.clone_htod(&x).unwrap();
        let y = gpu.stream.clone_htod(&vec![1.0_f32; count.into()]).unwrap();
        let out = gpu.stream.alloc_zeros::<f32>(count.into()).unwrap();
        let addresses = [&x, &y, &out].map(|slice| address(slice, &gpu.stream));
        gpu.saxpy(&gpu.stream, addresses, count.into()).unwrap();
        let out = gpu.stream.clone_dtoh(&out).unwrap();
        let expected: Vec<_> = (0..count).map(|i| f32::from(i).mul_add(2.0, 1.0)).collect();
        assert_eq!(out, expected);
    });
}

#[test]
fn arguments_are_those_of_the_call() {
    promised(|| {
        let gpu = Gpu::open();
        let x = gpu.stream.clone_htod(&[1.0_f32; 4]).unwrap();
        let outs = [0; 3].map(|_| gpu.stream.alloc_zeros::<f32>(4).unwrap());
        let x = address(&x, &gpu.stream);
        for out in &outs {
            // The arguments of each call lie where those of the last one did.
            gpu.saxpy(&gpu.stream, [x, x, address(out, &gpu.stream)], 4)
                .unwrap();
        }
        for out in &outs {
            assert_eq!(gpu.stream.clone_dtoh(out).unwrap(), [3.0; 4]);
        }
    });
}

#[test]
fn a_name_that_is_no_kernel_is_not_found() {
    promised(|| {
        let gpu = Gpu::open();
        assert_eq!(code(gpu.kernel("no_such_kernel")), CUDA_ERROR_NOT_FOUND);
        assert!(gpu.kernel("sha256_batch").is_ok());
    });
}

#[test]
fn an_image_that_is_none_is_refused() {
    promised(|| {
        let _gpu = Gpu::open();
        let image = [1_u8, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0];
        // SAFETY: as much as a header.
        let loaded = unsafe { result::module::load_data(image.as_ptr().cast()) };
        assert_eq!(code(loaded), CUDA_ERROR_INVALID_IMAGE);
    });
}

#[test]
fn text_is_refused_where_nothing_is_compiled() {
    simulated(
        "the variable must be set before the process starts",
        &[("CUDA_DISABLE_PTX_JIT", "1")],
        || {
            let _gpu = Gpu::open();
            let text = c".version 8.0\n.target sm_80\n.address_size 64\n";
            // SAFETY: a whole program.
            let loaded = unsafe { result::module::load_data(text.as_ptr().cast()) };
            assert_eq!(code(loaded), CUDA_ERROR_JIT_COMPILATION_DISABLED);
        },
    );
}

#[test]
fn a_grid_or_block_beyond_the_limits_is_refused_and_harmless() {
    promised(|| {
        let gpu = Gpu::open();
        let kernel = gpu.kernel("saxpy").unwrap();
        // As many as the kernel has, of none of which it ever sees the value.
        let mut zero = 0_u64;
        let mut arguments = [(&raw mut zero).cast(); 5];
        for (grid, block) in [
            ((1, 1, 1), (1025, 1, 1)),
            // The launch bounds of this kernel are 256 threads.
            ((1, 1, 1), (257, 1, 1)),
            ((1, 1, 1), (1, 1, 65)),
            ((1, 1, 1), (0, 1, 1)),
            ((0, 1, 1), (1, 1, 1)),
            ((1, 65_536, 1), (1, 1, 1)),
        ] {
            let stream = gpu.stream.cu_stream();
            // SAFETY: it is refused before it looks at an argument.
            let launched = unsafe { launch_kernel(kernel, grid, block, 0, stream, &mut arguments) };
            assert_eq!(
                code(launched),
                CUDA_ERROR_INVALID_VALUE,
                "{grid:?} {block:?}"
            );
        }
        gpu.stream.synchronize().unwrap();
    });
}

#[test]
fn blocks_with_barriers_and_shuffles_agree_on_a_sum() {
    promised(|| {
        let gpu = Gpu::open();
        let (rows, columns) = (3_u16, 4097_u16);
        let ones = vec![1.0_f32; usize::from(rows) * usize::from(columns)];
        let x = gpu.stream.clone_htod(&ones).unwrap();
        let out = gpu.stream.alloc_zeros::<f32>(rows.into()).unwrap();
        let arguments = [
            Argument::Address(address(&x, &gpu.stream)),
            Argument::Address(address(&out, &gpu.stream)),
            Argument::Count(rows.into()),
            Argument::Count(columns.into()),
        ];
        gpu.launch(&gpu.stream, "reduce_sum", (2, 256), &arguments)
            .unwrap();
        assert_eq!(
            gpu.stream.clone_dtoh(&out).unwrap(),
            [f32::from(columns); 3]
        );
    });
}
