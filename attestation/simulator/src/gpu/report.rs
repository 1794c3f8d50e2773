//! A GPU's report: an SPDM 1.1 exchange (DMTF DSP0274) with NVIDIA's opaque data, laid out as an H100's. Little-endian.

use super::{
    GpuFlaw, GpuOptions,
    chain::{DeviceChain, firmware_id},
    measurements::{MEASUREMENTS_COUNT, Part, part, values, vbios_text},
};
use crate::keys::Seed;

/// `GET_MEASUREMENTS` of SPDM 1.1 for all measurements, signed.
const REQUEST: [u8; 4] = [0x11, 0xe0, 0x01, 0xff];

/// `MEASUREMENTS` of SPDM 1.1.
const RESPONSE: [u8; 4] = [0x11, 0x60, 0, 0];

const SLOT: u8 = 0;

/// Measurement specification and value type: DMTF, digest of mutable firmware.
const DMTF: u8 = 1;
const DIGEST: u8 = 1;

/// What NVIDIA writes for *on*, and for *off*.
const ON: u8 = 0xaa;
const OFF: u8 = 0x55;

/// Request ‖ response, signed by the key of the GPU's firmware.
pub(super) fn signed(
    seed: Seed,
    chain: &DeviceChain,
    nonce: &[u8; 32],
    options: &GpuOptions,
) -> Vec<u8> {
    let mut report = REQUEST.to_vec();
    let mut nonce = *nonce;
    flip(&mut nonce, options.flaw == Some(GpuFlaw::Nonce));
    report.extend(nonce);
    report.push(SLOT);

    let record = record(seed, options);
    report.extend(RESPONSE);
    report.push(MEASUREMENTS_COUNT);
    report.extend(le::<3>(record.len()));
    report.extend(record);
    report.extend(seed.bytes::<32>("GPU nonce"));
    let opaque = opaque(seed, options);
    report.extend(le::<2>(opaque.len()));
    report.extend(opaque);

    let mut signature = chain.firmware.key.sign_fixed(&report);
    flip(&mut signature, options.flaw == Some(GpuFlaw::Signature));
    report.extend(signature);
    report
}

fn flip(bytes: &mut [u8], wanted: bool) {
    if let (true, Some(last)) = (wanted, bytes.last_mut()) {
        *last ^= 1;
    }
}

fn record(seed: Seed, options: &GpuOptions) -> Vec<u8> {
    let vbios = vbios_text(options.vbios_version);
    let mut record = Vec::new();
    for index in 0..MEASUREMENTS_COUNT {
        let version = match part(index) {
            Some(Part::Driver) => &options.driver_version,
            _ => &vbios,
        };
        let mut value = values(seed, index, version)
            .first()
            .copied()
            .unwrap_or([0; 48]);
        flip(
            &mut value,
            options.flaw == Some(GpuFlaw::Measurement(index)),
        );
        // SPDM counts from 1.
        record.extend([index.saturating_add(1), DMTF]);
        record.extend(le::<2>(value.len().saturating_add(3)));
        record.push(DIGEST);
        record.extend(le::<2>(value.len()));
        record.extend(value);
    }
    record
}

/// The fields of an H100, in its order, with made-up values where the verifier reads none.
fn opaque(seed: Seed, options: &GpuOptions) -> Vec<u8> {
    let [first @ .., last] = options.vbios_version;
    let mut vbios: Vec<u8> = first.into_iter().rev().collect();
    vbios.extend([last, 0, 0, 0]);
    let mut firmware = firmware_id(seed);
    flip(&mut firmware, options.flaw == Some(GpuFlaw::FirmwareId));
    let driver = format!("{}\0", options.driver_version);
    let nvdec0 = if options.nvdec0 { ON } else { OFF };
    let fields: [(u16, &[u8]); 16] = [
        (6, &vbios),
        (14, &[0xa1, 0x04, 0, 0]),
        (15, b"882\0\0\0\0\0\0"),
        (16, b"0\0\0\0\0"),
        (17, b"1010\0"),
        (18, b"0200\0"),
        (19, &[0, 0]),
        (3, driver.as_bytes()),
        (4, &[0x80, 0x01, 0, 0, 0, 0, 0, 0]),
        (12, &[0; 256]),
        (13, &[0, 0xc0, 0x01, 0]),
        (11, &[nvdec0]),
        (20, &firmware),
        (21, &[OFF]),
        (34, &[1, 0]),
        (36, &[0, 0]),
    ];
    let encode = |(number, value): (u16, &[u8])| {
        [
            number.to_le_bytes().as_slice(),
            &le::<2>(value.len()),
            value,
        ]
        .concat()
    };
    fields.into_iter().flat_map(encode).collect()
}

/// A length in `N` bytes; everything here fits.
fn le<const N: usize>(length: usize) -> [u8; N] {
    let mut bytes = [0; N];
    for (byte, source) in bytes.iter_mut().zip(length.to_le_bytes()) {
        *byte = source;
    }
    bytes
}
