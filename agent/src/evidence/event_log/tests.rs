//! Files of a machine, and each way in which they are not fit to be sent.

use attestation::event_log::{CLOSING_EVENT, EventType, RunTimeEvent};

use super::*;

/// A Specification ID event, one entry of `data_bytes`, and padding.
fn area(data_bytes: usize) -> Vec<u8> {
    let mut spec_id = b"Spec ID Event03\0\0\0\0\0\0\x02\0\x02\x01\0\0\0\x0c\0\x30\0".to_vec();
    spec_id.push(0);
    let mut area = [1_u32, EventType::NO_ACTION.0]
        .map(u32::to_le_bytes)
        .concat();
    area.extend([0; 20]);
    area.extend(u32::try_from(spec_id.len()).unwrap().to_le_bytes());
    area.extend(spec_id);
    area.extend(
        [1_u32, EventType::SEPARATOR.0, 1]
            .map(u32::to_le_bytes)
            .concat(),
    );
    area.extend(0x000c_u16.to_le_bytes());
    area.extend([7; 48]);
    area.extend(u32::try_from(data_bytes).unwrap().to_le_bytes());
    area.extend(vec![0; data_bytes]);
    area.extend([0xff; 1000]);
    area
}

struct Machine(tempfile::TempDir);

impl Machine {
    fn new() -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        machine.write("ccel", &area(4));
        machine.write("runtime", b"cocoon:configuration 0a\ncocoon:closed\n");
        machine
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.0.path().join(name), bytes).unwrap();
    }

    fn config(&self) -> EventLogConfig {
        EventLogConfig {
            ccel: self.0.path().join("ccel"),
            runtime: Some(self.0.path().join("runtime")),
        }
    }

    fn refusal(&self) -> EventLogFileError {
        read_event_log(&self.config()).unwrap_err()
    }
}

#[test]
fn both_files_are_sent_without_padding() {
    let machine = Machine::new();
    let bytes = read_event_log(&machine.config()).unwrap();
    assert!(bytes.len() < 300, "{} bytes", bytes.len());
    let log = EventLog::decode(&bytes).unwrap();
    assert_eq!(log.ccel.events().len(), 1);
    let names: Vec<_> = log
        .run_time
        .events()
        .iter()
        .map(RunTimeEvent::name)
        .collect();
    assert_eq!(names, ["cocoon:configuration", CLOSING_EVENT]);
    assert!(log.closing().is_ok());
}

#[test]
fn without_a_run_time_log_there_is_none() {
    let machine = Machine::new();
    let config = EventLogConfig {
        runtime: None,
        ..machine.config()
    };
    let log = EventLog::decode(&read_event_log(&config).unwrap()).unwrap();
    assert_eq!(log.run_time, RunTimeLog::default());
}

#[test]
fn a_file_that_cannot_be_sent_is_an_error_that_names_it() {
    let machine = Machine::new();
    machine.write("ccel", &[0xff; 64]);
    let refusal = machine.refusal();
    assert!(
        matches!(refusal, EventLogFileError::Ccel { .. }),
        "{refusal}"
    );
    assert!(refusal.to_string().ends_with("/ccel is no CCEL"));
    machine.write("ccel", &vec![0xff; CCEL_AREA_BYTES_MAX + 1]);
    assert!(matches!(
        machine.refusal(),
        EventLogFileError::TooLong { .. }
    ));
    machine.write("ccel", &area(40_000));
    assert!(matches!(machine.refusal(), EventLogFileError::Pack(_)));
    machine.write("ccel", &area(4));
    machine.write("runtime", b"Upper\n");
    assert!(matches!(
        machine.refusal(),
        EventLogFileError::RunTime { .. }
    ));
    machine.write("runtime", &[0xff]);
    assert!(matches!(machine.refusal(), EventLogFileError::Text { .. }));
    std::fs::remove_file(machine.0.path().join("runtime")).unwrap();
    assert!(matches!(machine.refusal(), EventLogFileError::Read { .. }));
}
