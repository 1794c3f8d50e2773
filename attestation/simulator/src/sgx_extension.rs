//! The SGX extension of a PCK certificate, as Intel's "PCK Certificate and Certificate Revocation List Profile" lays it out.

use yasna::{DERWriter, DERWriterSeq, models::ObjectIdentifier};

/// 1.2.840.113741.1.13.1, the extension and the prefix of everything inside it.
pub(crate) const SGX_EXTENSION: &[u64] = &[1, 2, 840, 113_741, 1, 13, 1];

/// What a PCK certificate says of its machine.
#[derive(Clone, Debug)]
pub(crate) struct PckFacts {
    pub(crate) ppid: [u8; 16],
    pub(crate) cpu_svn: [u8; 16],
    pub(crate) pce_svn: u16,
    pub(crate) pce_id: [u8; 2],
    pub(crate) fmspc: [u8; 6],
    pub(crate) platform_instance_id: [u8; 16],
}

/// SGX type 1: "scalable", what every server that can run TDX says.
const SGX_TYPE_SCALABLE: i64 = 1;

/// Configuration flags (7.1 dynamic platform, 7.2 cached keys, 7.3 SMT): set, as on real servers.
const CONFIGURATION_FLAGS: [u64; 3] = [1, 2, 3];

/// The extension's content in DER.
pub(crate) fn encode(facts: &PckFacts) -> Vec<u8> {
    yasna::construct_der(|writer| {
        writer.write_sequence(|members| {
            member(members, &[1], |value| value.write_bytes(&facts.ppid));
            member(members, &[2], |value| {
                value.write_sequence(|tcb| write_tcb(tcb, facts));
            });
            member(members, &[3], |value| value.write_bytes(&facts.pce_id));
            member(members, &[4], |value| value.write_bytes(&facts.fmspc));
            member(members, &[5], |value| value.write_enum(SGX_TYPE_SCALABLE));
            member(members, &[6], |value| {
                value.write_bytes(&facts.platform_instance_id);
            });
            member(members, &[7], |value| {
                value.write_sequence(|flags| {
                    for flag in CONFIGURATION_FLAGS {
                        member(flags, &[7, flag], |value| value.write_bool(true));
                    }
                });
            });
        });
    })
}

fn write_tcb(tcb: &mut DERWriterSeq<'_>, facts: &PckFacts) {
    for (component, svn) in (1..).zip(facts.cpu_svn) {
        member(tcb, &[2, component], |value| value.write_u8(svn));
    }
    member(tcb, &[2, 17], |value| value.write_u16(facts.pce_svn));
    member(tcb, &[2, 18], |value| value.write_bytes(&facts.cpu_svn));
}

fn member(sequence: &mut DERWriterSeq<'_>, tail: &[u64], write: impl FnOnce(DERWriter<'_>)) {
    sequence.next().write_sequence(|pair| {
        let components = [SGX_EXTENSION, tail].concat();
        pair.next().write_oid(&ObjectIdentifier::new(components));
        write(pair.next());
    });
}
