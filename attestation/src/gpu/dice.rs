//! What a device's own certificate says of the device: the firmware that it booted (DICE) and the chip that it is (SPDM).
//!
//! Hopper and LS10 have a `CompositeDeviceID` under 2.23.133.5.4.1, Blackwell a `DiceTcbInfo` under 2.23.133.5.4.1.1; newer
//! devices may have the latter under the former's number (NVIDIA attestation-sdk, `nv_x509.cpp`). The first element tells.
//!
//! ```text
//! CompositeDeviceID  SEQUENCE { version INTEGER, SubjectPublicKeyInfo, FWID }
//! DiceTcbInfo        SEQUENCE { [0] vendor … [6] IMPLICIT SEQUENCE OF FWID … }     TCG DICE Attestation Architecture 1.1
//! FWID               SEQUENCE { hash algorithm OBJECT IDENTIFIER, digest OCTET STRING }
//! ```

use der::{
    Decode, Reader, Sequence, SliceReader, Tag, TagNumber, Tagged,
    asn1::{AnyRef, ObjectIdentifier, OctetStringRef, Utf8StringRef},
    oid::AssociatedOid,
};
use x509_cert::ext::pkix::{SubjectAltName, name::GeneralName};

use super::certificate::Certificate;

const COMPOSITE_DEVICE_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.5.4.1");
const TCB_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.5.4.1.1");
/// DMTF DSP0274, `id-DMTF-device-info`: `manufacturer:product:serial`.
const DEVICE_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.412.274.1");
const SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
/// `DiceTcbInfo`'s list of firmware digests.
const FWIDS: u32 = 6;

#[derive(Sequence)]
struct Fwid<'a> {
    algorithm: ObjectIdentifier,
    digest: &'a OctetStringRef,
}

#[derive(Sequence)]
struct CompositeDeviceId<'a> {
    version: u8,
    public_key: AnyRef<'a>,
    fwid: Fwid<'a>,
}

/// SHA-384 of the firmware that the device booted; `None` where the certificate has no such extension.
pub(super) fn firmware_id(leaf: &Certificate) -> der::Result<Option<[u8; 48]>> {
    let extension = leaf
        .extension(TCB_INFO)
        .or_else(|| leaf.extension(COMPOSITE_DEVICE_ID));
    extension.map(read_firmware_id).transpose()
}

fn read_firmware_id(extension: &[u8]) -> der::Result<[u8; 48]> {
    let contents = AnyRef::from_der(extension)?;
    contents.tag().assert_eq(Tag::Sequence)?;
    let first = AnyRef::decode(&mut SliceReader::new(contents.value())?)?;
    let fwid = if first.tag() == Tag::Integer {
        CompositeDeviceId::from_der(extension)?.fwid
    } else {
        first_of_tcb_info(contents.value())?
    };
    let digest = fwid.digest.as_bytes().try_into();
    match digest {
        Ok(digest) if fwid.algorithm == SHA384 => Ok(digest),
        _ => Err(Tag::OctetString.value_error().into()),
    }
}

/// The first digest is the firmware's; others cover what it loads.
fn first_of_tcb_info(elements: &[u8]) -> der::Result<Fwid<'_>> {
    let wanted = Tag::ContextSpecific {
        constructed: true,
        number: TagNumber(FWIDS),
    };
    let mut reader = SliceReader::new(elements)?;
    while !reader.is_finished() {
        let element = AnyRef::decode(&mut reader)?;
        if element.tag() == wanted {
            return Fwid::decode(&mut SliceReader::new(element.value())?);
        }
    }
    Err(wanted.value_error().into())
}

/// The product in the leaf's device info, such as `GH100`; `None` where it names none.
pub(super) fn product(leaf: &Certificate) -> der::Result<Option<String>> {
    let Some(names) = leaf.extension(SubjectAltName::OID) else {
        return Ok(None);
    };
    let names = SubjectAltName::from_der(names)?;
    let info = names.0.iter().find_map(|name| match name {
        GeneralName::OtherName(other) if other.type_id == DEVICE_INFO => Some(&other.value),
        _ => None,
    });
    let Some(info) = info else {
        return Ok(None);
    };
    let info: Utf8StringRef<'_> = info.decode_as()?;
    match info.as_str().split(':').collect::<Vec<_>>()[..] {
        [_, product, _] => Ok(Some(product.to_owned())),
        _ => Err(Tag::Utf8String.value_error().into()),
    }
}

#[cfg(test)]
mod tests;
