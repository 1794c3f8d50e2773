//! Tests of parsing, encoding, replay and closing on small logs written here by hand.

mod difference;
mod log;
mod run_time;
mod subject;

use super::*;
use crate::Measurement;

/// A Specification ID event that lists SHA-384 alone, as OVMF writes it.
pub(super) fn head() -> Vec<u8> {
    head_of(&[(0x000c, 48)])
}

pub(super) fn head_of(algorithms: &[(u16, u16)]) -> Vec<u8> {
    let mut data = b"Spec ID Event03\0".to_vec();
    data.extend([0, 0, 0, 0, 0, 2, 0, 2]);
    data.extend(u32::try_from(algorithms.len()).unwrap().to_le_bytes());
    for (algorithm, bytes) in algorithms {
        data.extend(algorithm.to_le_bytes());
        data.extend(bytes.to_le_bytes());
    }
    data.push(0);
    let mut head = 1_u32.to_le_bytes().to_vec();
    head.extend(3_u32.to_le_bytes());
    head.extend([0; 20]);
    head.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
    head.extend(data);
    head
}

/// One entry with a SHA-384 digest.
pub(super) fn entry(index: u32, event_type: EventType, digest: [u8; 48], data: &[u8]) -> Vec<u8> {
    let mut entry = index.to_le_bytes().to_vec();
    entry.extend(event_type.0.to_le_bytes());
    entry.extend(1_u32.to_le_bytes());
    entry.extend(0x000c_u16.to_le_bytes());
    entry.extend(digest);
    entry.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
    entry.extend(data);
    entry
}

/// A log of two firmware events, two of the kernel's and two of user space, the last of them the closing one.
pub(super) fn event_log() -> EventLog {
    let ccel = [
        head(),
        entry(1, EventType::SEPARATOR, [1; 48], &[0; 4]),
        entry(
            2,
            EventType::EFI_ACTION,
            [2; 48],
            b"Calling EFI Application",
        ),
        entry(3, EventType::IPL, [3; 48], b".cmdline\0"),
        entry(3, EventType::IPL, [4; 48], b".initrd\0"),
    ];
    let event = RunTimeEvent::new("cocoon:config", [0xab; 4]).unwrap();
    EventLog {
        ccel: Ccel::parse(&ccel.concat()).unwrap(),
        run_time: RunTimeLog::new(vec![event, RunTimeEvent::closing()]).unwrap(),
    }
}

/// Any event, for comparisons.
pub(super) fn event(register: Register, event_type: EventType, digest: u8, data: &[u8]) -> Event {
    Event {
        register,
        digest: Measurement([digest; 48]),
        content: Content::Firmware {
            event_type,
            data: data.to_vec(),
        },
    }
}
