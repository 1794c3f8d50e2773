//! Launches, and what they compute.

use crate::gpu::{Gpu, address};
use crate::promised;

#[test]
fn a_launch_computes_what_the_kernel_says() {
    promised("launches::a_launch_computes_what_the_kernel_says", || {
        let gpu = Gpu::open();
        let count = 1000_u16;
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
