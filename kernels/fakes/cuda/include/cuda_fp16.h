// TEST ONLY. Binary16 as <cuda_fp16.h> names it: storage and conversions, no arithmetic, since g++ 12 has no binary16.
#pragma once
#include "cuda_on_cpu.h"

struct alignas(2) __half {
    uint16_t bits;
};
struct alignas(4) __half2 {
    __half x, y;
};
using half = __half;
using half2 = __half2;

namespace cuda_on_cpu {
template <class To, class From>
To same_bits(From from) {
    static_assert(sizeof(To) == sizeof(From), "bits of another width");
    To to;
    std::memcpy(&to, &from, sizeof(To));
    return to;
}
}  // namespace cuda_on_cpu

// Rounds to nearest, ties to even.
inline __half __float2half_rn(float value) {
    const uint32_t bits = cuda_on_cpu::same_bits<uint32_t>(value);
    const uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
    uint32_t half;
    if (magnitude > 0x7f800000) return {0x7fff};  // The one NaN that a device gives.
    if (magnitude >= 0x477ff000) {
        half = 0x7c00;  // 65520 and more round to infinity.
    } else if (magnitude < 0x38800000) {
        // A unit in the last place of numbers from 0.5 to 1 is 2^-24, that of a subnormal binary16: the sum rounds as it must.
        half = cuda_on_cpu::same_bits<uint32_t>(fabsf(value) + 0.5f) - cuda_on_cpu::same_bits<uint32_t>(0.5f);
    } else {
        half = (magnitude + 0xfff + (magnitude >> 13 & 1) - 0x38000000) >> 13;
    }
    return {static_cast<uint16_t>(sign | half)};
}
inline float __half2float(__half value) {
    const uint32_t sign = (value.bits & 0x8000u) << 16, magnitude = value.bits & 0x7fffu;
    // The exponent's bias is 15 there and 127 here; the product is exact, for subnormal numbers too.
    const float scaled = cuda_on_cpu::same_bits<float>(magnitude << 13) * 0x1p112f;
    const uint32_t bits =
        magnitude >= 0x7c00 ? magnitude << 13 | 0x7f800000 : cuda_on_cpu::same_bits<uint32_t>(scaled);
    return cuda_on_cpu::same_bits<float>(sign | bits);
}

inline __half __float2half(float value) { return __float2half_rn(value); }
inline __half2 __halves2half2(__half x, __half y) { return {x, y}; }
inline __half2 __floats2half2_rn(float x, float y) { return {__float2half_rn(x), __float2half_rn(y)}; }
inline __half2 __float22half2_rn(float2 value) { return __floats2half2_rn(value.x, value.y); }
inline float __low2float(__half2 value) { return __half2float(value.x); }
inline float __high2float(__half2 value) { return __half2float(value.y); }
inline float2 __half22float2(__half2 value) { return {__low2float(value), __high2float(value)}; }
