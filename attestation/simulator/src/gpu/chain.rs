//! The five certificates of a device, as NVIDIA's have it: root, chip family, provisioner, boot ROM, firmware.

use rcgen::{
    CustomExtension, ExtendedKeyUsagePurpose, KeyUsagePurpose, OtherNameValue, PublicKeyData,
    SanType,
};
use yasna::models::ObjectIdentifier;

use super::{CHIP, NAME, key::DeviceKey};
use crate::{
    keys::Seed,
    pki::{Authority, authority_params, leaf_params},
};

/// DMTF DSP0274, `id-DMTF-device-info`.
const DEVICE_INFO: &[u64] = &[1, 3, 6, 1, 4, 1, 412, 274, 1];

/// `CompositeDeviceID`, the extension of Hopper's firmware certificates.
const COMPOSITE_DEVICE_ID: &[u64] = &[2, 23, 133, 5, 4, 1];

const SHA384: &[u64] = &[2, 16, 840, 1, 101, 3, 4, 2, 2];

/// Everything of the hierarchy that all GPUs of one seed share.
#[derive(Debug)]
pub(super) struct DeviceAuthorities {
    seed: Seed,
    root: Authority<DeviceKey>,
    family: Authority<DeviceKey>,
    provisioner: Authority<DeviceKey>,
}

/// What belongs to one GPU.
#[derive(Debug)]
pub(super) struct DeviceChain {
    pub(super) boot_rom: Authority<DeviceKey>,
    pub(super) firmware: Authority<DeviceKey>,
}

impl DeviceAuthorities {
    pub(super) fn new(seed: Seed) -> Self {
        let authority = |name| {
            let name = format!("{CHIP} {NAME} - {name}");
            (
                DeviceKey::new(seed, &name),
                authority_params(seed, &name, NAME),
            )
        };
        let (key, params) = authority("Device Identity CA");
        let root = Authority::self_signed(key, params);
        let (key, params) = authority("Identity");
        let family = root.issue(key, params);
        let (key, params) = authority("Provisioner");
        Self {
            provisioner: family.issue(key, params),
            root,
            family,
            seed,
        }
    }

    pub(super) fn root_der(&self) -> &[u8] {
        &self.root.der
    }

    /// The identity of one GPU: its boot ROM's authority, and the certificate of the firmware that booted.
    pub(super) fn device(&self, index: u16) -> DeviceChain {
        let seed = self.seed;
        // The chip is the common name's first word; the verifier reads it there.
        let name = format!("{CHIP} {NAME} - GSP BROM {index}");
        let key = DeviceKey::new(seed, &name);
        let mut params = authority_params(seed, &name, NAME);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let boot_rom = self.provisioner.issue(key, params);

        let name = format!("{CHIP} {NAME} - GSP FMC {index}");
        let key = DeviceKey::new(seed, &name);
        let mut params = leaf_params(seed, &name, NAME);
        let serial = hex::encode(seed.bytes::<8>(&format!("device info {index}")));
        let info = OtherNameValue::Utf8String(format!("{NAME}:{CHIP}:{serial}"));
        params.subject_alt_names = vec![SanType::OtherName((DEVICE_INFO.to_vec(), info))];
        params.custom_extensions = vec![CustomExtension::from_oid_content(
            COMPOSITE_DEVICE_ID,
            composite_device_id(&key, &firmware_id(seed)),
        )];
        DeviceChain {
            firmware: boot_rom.issue(key, params),
            boot_rom,
        }
    }

    /// The certificates in DER, leaf first.
    pub(super) fn certificates(&self, chain: &DeviceChain) -> Vec<Vec<u8>> {
        let authorities = [&self.provisioner, &self.family, &self.root];
        [&chain.firmware, &chain.boot_rom]
            .into_iter()
            .chain(authorities)
            .map(|authority| authority.der.clone())
            .collect()
    }

    /// The certificates that NVIDIA's responder answers for, each with its issuer: those at 1, 2 and 3 of the chain.
    pub(super) fn issued<'a>(&'a self, chain: &'a DeviceChain) -> [Pair<'a>; 3] {
        [
            (&chain.boot_rom, &self.provisioner),
            (&self.provisioner, &self.family),
            (&self.family, &self.root),
        ]
    }

    /// The responder for the certificate at `place` of the chain, certified by that certificate's issuer.
    pub(super) fn responder(&self, place: usize) -> Authority<DeviceKey> {
        let issuer = match place {
            1 => &self.provisioner,
            2 => &self.family,
            _ => &self.root,
        };
        let name = format!("{NAME} - OCSP responder {place}");
        let mut params = leaf_params(self.seed, &name, NAME);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::OcspSigning];
        issuer.issue(DeviceKey::new(self.seed, &name), params)
    }
}

/// A certificate and its issuer.
pub(super) type Pair<'a> = (&'a Authority<DeviceKey>, &'a Authority<DeviceKey>);

/// SHA-384 of the firmware that every GPU of the seed boots.
pub(super) fn firmware_id(seed: Seed) -> [u8; 48] {
    seed.bytes("GPU firmware id")
}

/// `SEQUENCE { version, SubjectPublicKeyInfo, FWID { hash algorithm, digest } }`
fn composite_device_id(key: &DeviceKey, firmware_id: &[u8; 48]) -> Vec<u8> {
    yasna::construct_der(|writer| {
        writer.write_sequence(|members| {
            members.next().write_u8(1);
            members.next().write_der(&key.subject_public_key_info());
            members.next().write_sequence(|fwid| {
                fwid.next().write_oid(&ObjectIdentifier::from_slice(SHA384));
                fwid.next().write_bytes(firmware_id);
            });
        });
    })
}
