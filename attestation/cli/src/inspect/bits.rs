//! Names of the bits in attributes and XFAM.

/// TD attributes; Intel TDX Module ABI (348551), table "ATTRIBUTES".
pub(super) const TD_ATTRIBUTES: &[(u8, &str)] = &[
    (0, "DEBUG"),
    (4, "HGS_PLUS_PROF"),
    (5, "PERF_PROF"),
    (6, "PMT_PROF"),
    (16, "ICSSD"),
    (17, "SERVTD_EXT"),
    (27, "LASS"),
    (28, "SEPT_VE_DISABLE"),
    (29, "MIGRATABLE"),
    (30, "PKS"),
    (31, "KL"),
    (62, "TPA"),
    (63, "PERFMON"),
];

/// Extended features; Intel SDM volume 1, "XSAVE-supported features and state-component bitmaps".
pub(super) const XFAM: &[(u8, &str)] = &[
    (0, "x87"),
    (1, "SSE"),
    (2, "AVX"),
    (5, "AVX512_OPMASK"),
    (6, "AVX512_ZMM_HI256"),
    (7, "AVX512_HI16_ZMM"),
    (8, "PT"),
    (9, "PKRU"),
    (10, "PASID"),
    (11, "CET_U"),
    (12, "CET_S"),
    (13, "HDC"),
    (14, "UINTR"),
    (15, "LBR"),
    (16, "HWP"),
    (17, "AMX_TILECFG"),
    (18, "AMX_TILEDATA"),
];

/// The flags half of an enclave's attributes; Intel SDM volume 3D, "ATTRIBUTES".
pub(super) const SGX_ATTRIBUTES: &[(u8, &str)] = &[
    (0, "INIT"),
    (1, "DEBUG"),
    (2, "MODE64BIT"),
    (4, "PROVISIONKEY"),
    (5, "EINITTOKEN_KEY"),
    (6, "CET"),
    (7, "KSS"),
];

/// The names of the bits that are set in a little-endian field; a bit without a name is shown by its number.
pub(super) fn names(field: &[u8], known: &[(u8, &str)]) -> Vec<String> {
    let bits = field
        .iter()
        .flat_map(|byte| (0..8u8).map(move |bit| byte & (1 << bit) != 0));
    (0u8..)
        .zip(bits)
        .filter(|(_, set)| *set)
        .map(|(position, _)| {
            known
                .iter()
                .find(|(bit, _)| *bit == position)
                .map_or_else(|| format!("bit{position}"), |(_, name)| (*name).to_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    //! Tests of the naming.

    use super::*;

    #[test]
    fn bits_are_counted_from_the_first_byte_up() {
        let field = 0x8000_0000_1000_0009u64.to_le_bytes();
        assert_eq!(
            names(&field, TD_ATTRIBUTES),
            ["DEBUG", "bit3", "SEPT_VE_DISABLE", "PERFMON"]
        );
        assert!(names(&[0; 8], XFAM).is_empty());
    }
}
